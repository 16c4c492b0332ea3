"""GRD's masks, sparsity terms and mixture by hand."""

import math
from dataclasses import replace

import pytest
import torch

from bagged_envs.baselines.random_bags import ACTION, OBSERVATION, bags_of
from bagged_envs.baselines.redistributors.grd import (
    GRD,
    PUBLISHED_SPARSITY,
    GRDConfig,
    Masks,
    ancestors,
    dynamics_inputs,
    hard_mask,
    mixture_loss,
    off_entropy,
    reward_inputs,
    sampled_mask,
    sparsity,
)

SIZES = (OBSERVATION, ACTION)
ALWAYS = {"reward_threshold": None, "dynamics_threshold": None}
LN3 = math.log(3.0)
MASKS = Masks(
    torch.tensor([1.0, 0.0]),
    torch.tensor([0.0]),
    torch.tensor([[1.0, 0.0], [1.0, 1.0]]),  # element 0 moves 0; element 1 moves both
    torch.tensor([[0.0, 1.0]]),  # the action moves element 1
)


def with_logits(redistributor, number, row, logits):
    """Set the logits of one edge of one of the four masks."""
    state = redistributor.state_dict()
    state["network"][f"logits.{number}"][row] = torch.tensor(logits)
    redistributor.load_state_dict(state)


class TestMasks:
    def test_an_edge_is_on_where_that_is_likelier(self):
        assert hard_mask(torch.tensor([[1.0, -1.0], [0.0, 0.1], [2.0, 2.0]])).tolist() == [1.0, 0.0, 0.0]

    @pytest.mark.parametrize(("noise", "drawn"), [([0.0, 1.5], 1.0), ([0.0, 2.5], 0.0)])
    def test_a_drawn_mask_is_hard_and_its_gradient_soft(self, noise, drawn):
        logits = torch.tensor([1.0, -1.0], requires_grad=True)
        mask = sampled_mask(logits, torch.tensor(noise), temperature=0.5)
        mask.backward()
        assert mask.item() == drawn
        # softmax([1, noise - 1] / 0.5) begins with s = 1 / (1 + exp((noise - 2) / 0.5)); ds/dlogit = s (1 - s) / 0.5.
        soft = 1 / (1 + math.exp((noise[1] - 2.0) / 0.5))
        assert logits.grad.tolist() == pytest.approx([soft * (1 - soft) / 0.5, -soft * (1 - soft) / 0.5])

    def test_ancestors_of_the_reward(self):
        # 3 -> 2 -> 0 -> reward; 1 moves itself alone.
        edges = torch.zeros(4, 4)
        for parent, child in ((3, 2), (2, 0), (1, 1)):
            edges[parent, child] = 1.0
        assert ancestors(torch.tensor([1.0, 0.0, 0.0, 0.0]), edges).tolist() == [True, False, True, True]
        assert ancestors(torch.tensor([0.0, 1.0, 0.0, 0.0]), edges).tolist() == [False, True, False, False]
        assert ancestors(torch.zeros(4), edges).tolist() == [False] * 4

    @pytest.mark.parametrize(("start", "some_off"), [("on", False), ("random", True)])
    def test_how_they_start(self, start, some_off):
        masks = GRD(8, 4, GRDConfig(start=start)).masks
        assert any(bool((mask == 0).any()) for mask in masks) == some_off
        assert [mask.shape for mask in masks] == [(8,), (4,), (8, 8), (4, 8)]


class TestNetworksInputs:
    STATES, ACTIONS = torch.tensor([[2.0, 3.0]]), torch.tensor([[5.0]])

    def test_of_the_reward(self):
        assert reward_inputs(self.STATES, self.ACTIONS, MASKS).tolist() == [[2.0, 0.0, 0.0]]

    def test_of_the_dynamics(self):
        both = self.STATES.expand(2, -1), self.ACTIONS.expand(2, -1)
        assert dynamics_inputs(*both, MASKS, torch.tensor([0, 1])).tolist() == [[2.0, 3.0, 0.0], [0.0, 3.0, 5.0]]

    @pytest.mark.parametrize(("pairs", "count"), [(None, 20), (20, 20), (7, 7)])
    def test_the_dynamics_learn_from_as_many_pairs_as_set(self, pairs, count):
        redistributor, seen = GRD(*SIZES, GRDConfig(dynamics_pairs=pairs)), []
        redistributor._causes.dynamics.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
        redistributor.update(bags_of([3, 2]))  # five steps of four elements
        assert seen == [count]

    def test_pairs_are_drawn_from_all_steps_and_elements(self):
        redistributor = GRD(*SIZES, GRDConfig(dynamics_pairs=400))
        step, element = redistributor._pairs(200)
        assert (step.min(), step.max()) < (10, 190)
        assert element.bincount().tolist() == pytest.approx([100] * 4, abs=35)
        assert torch.corrcoef(torch.stack((step, element)).float())[0, 1].abs() < 0.2

    @pytest.mark.parametrize(("number", "name"), [(0, "observations"), (1, "actions")])
    def test_the_reward_does_not_see_what_is_off(self, number, name):
        redistributor, batch = GRD(*SIZES), bags_of([3, 2])
        changed = getattr(batch, name).clone()
        changed[..., 1] += 1.0
        other = replace(batch, **{name: changed})
        assert not torch.equal(redistributor.relabel(batch), redistributor.relabel(other))
        with_logits(redistributor, number, 1, [-1.0, 1.0])
        assert torch.equal(redistributor.relabel(batch), redistributor.relabel(other))

    def test_the_reward_does_not_see_the_next_state(self):
        redistributor, batch = GRD(*SIZES), bags_of([3, 2])
        other = replace(batch, next_observations=batch.next_observations + 1.0)
        assert torch.equal(redistributor.relabel(batch), redistributor.relabel(other))


class TestLosses:
    def test_entropy_with_off(self):
        # -log(1/4) for the odds 3 : 1 of "on", -log(1/2) for even odds.
        logits = torch.tensor([[LN3, 0.0], [0.0, 0.0]])
        assert off_entropy(logits).item() == pytest.approx((math.log(4) + math.log(2)) / 2)
        assert off_entropy(torch.empty(0, 2)).item() == 0.0

    def test_sparsity_weighs_the_five_kinds_of_edges(self):
        # Minus log-odds of "off": log 4 for logits (log 3, 0), log 2 for (0, 0), log(4/3) for (0, log 3).
        on, even, off = [LN3, 0.0], [0.0, 0.0], [0.0, LN3]
        logits = Masks(
            torch.tensor([on, even]),
            torch.tensor([off]),
            torch.tensor([[on, even], [off, on]]),
            torch.tensor([[even, off]]),
        )
        config = GRDConfig(state_reward=1.0, action_reward=10.0, state_state=1.0, state_self=10.0, action_state=100.0)
        reward, dynamics = sparsity(logits, config)
        high, half, low = math.log(4), math.log(2), math.log(4 / 3)
        assert reward.item() == pytest.approx((high + half) / 2 + 10 * low)
        assert dynamics.item() == pytest.approx((half + low) / 2 + 10 * high + 100 * (half + low) / 2)

    def test_one_element_has_no_edge_to_others(self):
        logits = Masks(*(torch.zeros(shape) for shape in ((1, 2), (1, 2), (1, 1, 2), (1, 1, 2))))
        _, dynamics = sparsity(logits, GRDConfig(state_state=5.0, state_self=1.0, action_state=0.0))
        assert dynamics.item() == pytest.approx(math.log(2))

    def test_mixture_of_one(self):
        raw = math.log(math.exp(2.0 - 1e-3) - 1)  # a deviation of 2
        loss = mixture_loss(torch.tensor([[0.3, 1.0, raw]]), torch.tensor([4.0]))
        assert loss.item() == pytest.approx(0.5 * 1.5**2 + math.log(2) + 0.5 * math.log(2 * math.pi), rel=1e-5)

    def test_mixture_of_two(self):
        # Weights 3/4 and 1/4, means 0 and 2, deviations 1, target 0.
        raw = math.log(math.exp(1.0 - 1e-3) - 1)
        loss = mixture_loss(torch.tensor([[LN3, 0.0, 0.0, 2.0, raw, raw]]), torch.tensor([0.0]))
        density = (0.75 + 0.25 * math.exp(-2.0)) / math.sqrt(2 * math.pi)
        assert loss.item() == pytest.approx(-math.log(density), rel=1e-5)

    def test_a_negative_output_is_still_a_deviation(self):
        assert math.isfinite(mixture_loss(torch.tensor([[0.0, 0.0, -50.0]]), torch.tensor([0.001])).item())

    @pytest.mark.parametrize(
        ("thresholds", "counted"),
        [
            ((None, None), (1, 1)),
            ((1e9, -1e9), (1, 0)),
            ((-1e9, 1e9), (0, 1)),
            ((-1e9, -1e9), (0, 0)),
        ],
    )
    def test_sparsity_counts_below_its_threshold(self, thresholds, counted):
        weights = dict.fromkeys(PUBLISHED_SPARSITY["Ant"], 1.0)
        config = GRDConfig(**weights, reward_threshold=thresholds[0], dynamics_threshold=thresholds[1])
        metrics = GRD(*SIZES, config).update(bags_of([3, 5]))
        each = math.log(1 + math.exp(2.0))  # logits +1 and -1
        added = metrics["loss"] - metrics["reward_loss"] - metrics["dynamics_loss"]
        assert added == pytest.approx((2 * counted[0] + 3 * counted[1]) * each, abs=1e-4)


class TestUpdate:
    def test_an_element_without_influence_is_switched_off(self):
        # The rewards of these bags do not depend on the last element of the state.
        weights = {"state_reward": 0.05, "action_reward": 0.05}
        redistributor = GRD(
            *SIZES, GRDConfig(**weights, **ALWAYS, hidden=(32,), learning_rate=1e-2, dynamics_pairs=None)
        )
        store, generator = bags_of([10] * 512, seed=1), torch.Generator().manual_seed(2)
        for _ in range(200):
            metrics = redistributor.update(store.select(torch.randint(512, (16,), generator=generator)))
        assert redistributor.masks.state_reward.tolist() == [1.0, 1.0, 1.0, 0.0]
        assert redistributor.masks.action_reward.tolist() == [1.0, 1.0]
        assert (metrics["state_reward_edges"], metrics["action_reward_edges"]) == (0.75, 1.0)
        batch = bags_of([10] * 64, seed=3)
        rewards = redistributor.relabel(batch)[batch.mask]
        assert torch.corrcoef(torch.stack((rewards, batch.dense[batch.mask])))[0, 1] > 0.95

    def test_the_dynamics_are_judged_by_the_next_states_of_the_steps_that_are_there(self):
        redistributor, batch = GRD(*SIZES), bags_of([5, 2, 3])
        state = redistributor.state_dict()
        for name, values in state["network"].items():
            if name.startswith("dynamics"):
                values.zero_()
        redistributor.load_state_dict(state)
        # All outputs are 0: whatever the masks, a normal distribution around 0 of deviation log 2 + 0.001.
        deviation = math.log(2) + 1e-3
        squares = batch.next_observations[batch.mask].square().mean().item() / deviation**2
        expected = 0.5 * squares + math.log(deviation) + 0.5 * math.log(2 * math.pi)
        assert redistributor.update(batch)["dynamics_loss"] == pytest.approx(expected, rel=1e-5)

    def test_every_update_draws_new_masks(self):
        redistributor = GRD(*SIZES, GRDConfig(learning_rate=1e-12))
        losses = {redistributor.update(bags_of([6, 6]))["reward_loss"] for _ in range(10)}
        assert len(losses) > 2


class TestCompactState:
    def test_starts_with_everything(self):
        assert GRD(*SIZES).compact_state_mask.tolist() == [True] * OBSERVATION

    def test_follows_edges_to_the_reward(self):
        redistributor = GRD(*SIZES)
        for element in range(OBSERVATION):
            with_logits(redistributor, 0, element, [1.0, -1.0] if element == 2 else [-1.0, 1.0])
            for child in range(OBSERVATION):
                with_logits(redistributor, 2, (element, child), [-1.0, 1.0])
        assert redistributor.compact_state_mask.tolist() == [False, False, True, False]
        with_logits(redistributor, 2, (0, 2), [1.0, -1.0])
        assert redistributor.compact_state_mask.tolist() == [True, False, True, False]
        with_logits(redistributor, 2, (3, 0), [1.0, -1.0])
        assert redistributor.compact_state_mask.tolist() == [True, False, True, True]


@pytest.mark.parametrize("task", sorted(PUBLISHED_SPARSITY))
def test_published_weights_are_settings(task):
    assert GRDConfig(**PUBLISHED_SPARSITY[task]).state_reward == PUBLISHED_SPARSITY[task]["state_reward"]


def test_the_default_weights_are_those_of_halfcheetah():
    assert GRDConfig(**PUBLISHED_SPARSITY["HalfCheetah"]) == GRDConfig()


@pytest.mark.parametrize("settings", [{"start": "off"}, {"temperature": 0.0}, {"mixtures": 0}, {"bags": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        GRDConfig(**settings)
