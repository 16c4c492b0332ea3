"""TAR2: its losses and shares by hand, sums that are exact, and each part as a switch."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from bagged_envs.baselines.judging.fit import hidden
from bagged_envs.baselines.random_bags import ACTION, OBSERVATION, bags_of
from bagged_envs.baselines.redistributors.tar2 import (
    TAR2,
    TAR2Config,
    action_loss,
    are_choices,
    normalized_rewards,
    outcome,
    shares,
    tar2_loss,
)

KINDS = ("softmax", "min_max")
every_kind = pytest.mark.parametrize("kind", KINDS)


def tar2(agents=3, seed=0, **settings):
    return TAR2(OBSERVATION, ACTION, TAR2Config(**{"width": 8, "layers": 2} | settings), seed, agents=agents)


def everyone(batch):
    mask = batch.mask.any(dim=2, keepdim=True).expand(batch.mask.shape)
    return replace(batch, mask=mask, context=mask)


def bag(label, mask):
    """One bag of nothing but its label."""
    here = torch.tensor(mask)[None]
    nothing = torch.zeros(*here.shape, 1)
    return replace(
        bags_of([here.shape[1]], agents=here.shape[2], labels=[label]),
        observations=nothing, actions=nothing, next_observations=nothing, mask=here, context=here,
    )  # fmt: skip


class TestLosses:
    SCORES = torch.tensor([[[1.0, 1.0], [2.0, 99.0]], [[-1.0, 3.0], [99.0, 99.0]]])
    MASK = torch.tensor([[[True, True], [True, False]], [[True, True], [False, False]]])

    def test_of_labels_and_actions(self):
        label = torch.tensor([7.0, 0.0])  # 4 - 7 and 2 - 0
        assert tar2_loss(self.SCORES, self.MASK, label, None, 0.05).item() == pytest.approx((9 + 4) / 2)
        both = tar2_loss(self.SCORES, self.MASK, label, torch.tensor(2.0), 0.05).item()
        assert both == pytest.approx((9 + 4) / 2 + 0.05 * 2.0)

    def test_choices_by_cross_entropy(self):
        mask = torch.tensor([[[True], [True], [False]]])
        logits = torch.tensor([[[[0.0, 0.0]], [[math.log(3.0), 0.0]], [[9.0, 9.0]]]])
        actions = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]], [[7.0, 7.0]]]])
        # Probabilities 1/2 and 1/4; the third is padding.
        assert action_loss(logits, actions, mask).item() == pytest.approx((math.log(2) + math.log(4)) / 2)

    def test_numbers_by_least_squares(self):
        mask = torch.tensor([[[True], [True], [False]]])
        predicted, actions = torch.zeros(1, 3, 1, 2), torch.tensor([[[[1.0, 0.0]], [[0.0, 3.0]], [[7.0, 7.0]]]])
        assert action_loss(predicted, actions, mask).item() == pytest.approx((1 + 9) / 4)

    @pytest.mark.parametrize(
        ("action", "choices"),
        [([0.0, 1.0], True), ([1.0, 1.0], False), ([0.5, 0.5], False), ([0.0, 0.0], False), ([2.0, -1.0], False)],
    )
    def test_what_is_a_choice(self, action, choices):
        actions = torch.tensor([[[[1.0, 0.0]], [action]]])
        assert are_choices(actions, torch.ones(1, 2, 1, dtype=torch.bool)) == choices
        assert are_choices(actions, torch.tensor([[[True], [False]]]))
        assert not are_choices(torch.ones(1, 2, 1, 1), torch.ones(1, 2, 1, dtype=torch.bool))

    def test_they_are_what_an_update_reports(self):
        redistributor, batch = tar2(1, standardize=False, inverse_dynamics=False), bags_of([5, 1, 3])
        scores = redistributor.relabel(hidden(batch))
        expected = tar2_loss(scores, batch.mask, batch.label, None, 0.05).item()
        metrics = redistributor.update(batch)
        assert metrics["loss"] == pytest.approx(expected, rel=1e-4)
        assert "action_loss" not in metrics
        assert "action_loss" in tar2(1).update(batch)


class TestShares:
    def test_softmax(self):
        scores, mask = torch.tensor([0.0, math.log(3.0), 50.0]), torch.tensor([True, True, False])
        assert shares(scores, mask, 0, "softmax").tolist() == pytest.approx([0.25, 0.75, 0.0])
        assert shares(scores, mask, 0, "softmax", temperature=0.5).tolist() == pytest.approx([0.1, 0.9, 0.0])

    def test_min_max(self):
        scores, mask = torch.tensor([[1.0, 2.0, 4.0, -9.0]]), torch.tensor([[True, True, True, False]])
        assert shares(scores, mask, 1, "min_max").tolist() == [[0.0, 0.25, 0.75, 0.0]]

    @every_kind
    def test_of_one_or_of_equals(self, kind):
        """The authors' min-max gives these nothing."""
        scores = torch.tensor([[3.0, 9.0], [3.0, 3.0], [3.0, 3.0]])
        mask = torch.tensor([[True, False], [True, True], [False, False]])
        assert shares(scores, mask, 1, kind).tolist() == [[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]]

    def test_of_two_agents_min_max_pays_one_alone(self):
        found = normalized_rewards(torch.tensor([[[1.0, 1.1], [3.0, 2.9]]]), bag(4.0, [[True] * 2] * 2), "min_max")
        assert found.tolist() == [[[0.0, 0.0], [4.0, 0.0]]]

    def test_by_hand(self):
        # Steps have 0 and log 3, so 1 : 3 of 8; agents of the second log 3 and 0, so 3 : 1 of 6.
        scores = torch.tensor([[[0.0, 5.0], [math.log(3.0), 0.0]]])
        found = normalized_rewards(scores, bag(8.0, [[True, False], [True, True]]), "softmax")
        assert found.flatten().tolist() == pytest.approx([2.0, 0.0, 4.5, 1.5])

    @every_kind
    def test_where_the_label_is_negative_the_lowest_scores_get_most_of_it(self, kind):
        scores = torch.tensor([[[1.0, 3.0], [-2.0, 0.5]]])
        here = [[True, True], [True, True]]
        loss, gain = (normalized_rewards(scores, bag(label, here), kind)[0] for label in (-6.0, 6.0))
        assert loss.min() == loss[1, 0]
        assert gain.max() == gain[0, 1]
        torch.testing.assert_close(loss, -normalized_rewards(-scores, bag(6.0, here), kind)[0])

    @pytest.mark.law
    @given(
        seed=st.integers(0, 2**31 - 1),
        steps=st.integers(1, 6),
        agents=st.integers(1, 4),
        label=st.floats(-1e6, 1e6, width=32),
        scale=st.sampled_from([0.0, 1e-3, 1.0, 30.0, 1e6]),
        kind=st.sampled_from(KINDS),
    )
    @example(seed=0, steps=1, agents=1, label=0.0, scale=1.0, kind="min_max")
    @example(seed=0, steps=1, agents=1, label=-3.3, scale=1.0, kind="softmax")
    def test_they_add_up_to_the_label(self, seed, steps, agents, label, scale, kind):
        generator = torch.Generator().manual_seed(seed)
        mask = torch.rand(steps, agents, generator=generator) < 0.6
        mask[torch.arange(steps), torch.randint(agents, (steps,), generator=generator)] = True
        batch = bag(label, mask.tolist())
        scores = scale * torch.randn(1, steps, agents, generator=generator)
        rewards = normalized_rewards(scores, batch, kind).double()
        assert abs(rewards.sum().item() - label) <= 1e-6 * max(1.0, abs(label))
        assert (rewards * math.copysign(1.0, label)).min() >= -1e-6 * abs(label)
        assert not rewards[~batch.mask].any()


class TestRewards:
    @every_kind
    def test_of_labeled_bags_they_add_up_and_unlabeled_ones_get_the_scores(self, kind):
        redistributor = tar2(normalization=kind)
        batch = bags_of([5, 1, 3], agents=3, labels=[-7.0, 3.0, 0.0], labeled=[True, False, True])
        redistributor.update(bags_of([4, 2], agents=3))
        found, scores = redistributor.relabel(batch), redistributor.relabel(hidden(batch))
        assert found[[0, 2]].sum(dim=(1, 2)).tolist() == pytest.approx([-7.0, 0.0], abs=1e-6)
        assert torch.equal(found[1], scores[1])
        assert found[1].abs().max() > 0.0
        assert redistributor.exact

    def test_without_normalization_scores_are_paid_and_nothing_is_exact(self):
        redistributor, batch = tar2(normalization="none"), bags_of([5, 1, 3], agents=3)
        assert not redistributor.exact
        assert torch.equal(redistributor.relabel(batch), redistributor.relabel(hidden(batch)))

    def test_scores_are_fitted_to_labels_whatever_their_scale(self):
        batch = bags_of([4] * 8)
        batch = replace(batch, label=1000.0 * batch.label + 5000.0)
        redistributor = tar2(1, learning_rate=1e-2)
        for _ in range(120):
            redistributor.update(batch)
        predicted = redistributor.relabel(hidden(batch)).sum(dim=(1, 2))
        assert (predicted - batch.label).square().mean() < 0.1 * batch.label.var()


class TestFinalState:
    def test_the_outcome_is_each_agent_s_last_token(self):
        tokens = torch.arange(12.0).view(1, 3, 4, 1)
        mask = torch.tensor([[[True, True, False, False], [True, False, False, False], [False, True, True, False]]])
        # Agents were last there with 4, 9 and 10; one never was.
        assert outcome(tokens, mask).flatten().tolist() == pytest.approx([(4 + 9 + 10) / 3])
        assert outcome(tokens, torch.zeros_like(mask)).tolist() == [[[[0.0]]]]

    @pytest.mark.parametrize("told", [True, False])
    def test_earlier_steps_are_told_if_set(self, told):
        redistributor, batch = tar2(final_state=told), everyone(hidden(bags_of([4], agents=3)))
        last = batch.observations.clone()
        last[:, 3] += 3.0
        moved = redistributor.relabel(batch) - redistributor.relabel(replace(batch, observations=last))
        assert (moved.abs().amax(dim=(0, 2)) > 1e-6).tolist() == [told, told, told, True]


class TestInverseDynamics:
    def predicted(self, redistributor, batch):
        coalitions = torch.ones(2, 1, 3, 3, dtype=torch.bool)
        return redistributor._network(batch, coalitions)[1]

    def test_actions_are_predicted_before_they_are_seen(self):
        redistributor, batch = tar2(), everyone(bags_of([4], agents=3))
        for field, expected in (("actions", [False, False, True, True]), ("observations", [False, True, True, True])):
            values = getattr(batch, field).clone()
            values[:, 1] += 3.0
            before, after = (self.predicted(redistributor, one) for one in (batch, replace(batch, **{field: values})))
            assert ((before - after).abs().amax(dim=(0, 2, 3)) > 1e-6).tolist() == expected

    def test_absent_agents_tell_nothing(self):
        redistributor, batch = tar2(), everyone(bags_of([4], agents=3))
        mask = batch.mask.clone()
        mask[:, 1:, 2] = False
        batch = replace(batch, mask=mask, context=mask)
        other = replace(batch, observations=torch.where(mask[..., None], batch.observations, 50.0))
        assert torch.equal(self.predicted(redistributor, batch)[mask], self.predicted(redistributor, other)[mask])

    def test_choices_are_learned(self):
        """The action is told by the sign of an observation."""
        batch = bags_of([6] * 32)
        chosen = torch.nn.functional.one_hot((batch.observations[..., 0] > 0).long(), 2).float()
        batch = replace(batch, actions=chosen)
        redistributor = tar2(1, learning_rate=1e-2, inverse_dynamics_weight=10.0)
        losses = [redistributor.update(batch)["action_loss"] for _ in range(60)]
        assert losses[0] > 0.6
        assert losses[-1] < 0.3


def test_authors_settings():
    config = TAR2Config.paper()
    assert (config.width, config.layers, config.heads, config.dropout, config.draws) == (64, 3, 4, 0.0, 5)
    assert (config.normalization, config.inverse_dynamics_weight, config.standardize) == ("min_max", 0.05, False)
    assert (config.learning_rate, config.bags, config.updates) == (5e-4, 128, 200)
    assert config.final_state
    assert config.inverse_dynamics
