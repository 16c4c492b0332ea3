"""RD's losses by hand, its closed form, and what an update needs."""

import pytest
import torch

from bagged_envs.baselines.api import Sampling
from bagged_envs.baselines.random_bags import ACTION, OBSERVATION, bags_of, columns_of, with_padding
from bagged_envs.baselines.redistributors.rd import RD, RDConfig, return_decomposition_loss, ridge_rewards
from bagged_envs.baselines.redistributors.uniform import Uniform

# Two bags of two and three steps; 100.0 stands in padding.
REWARDS = torch.tensor([[1.0, 3.0, 100.0], [1.0, 2.0, 3.0]])[..., None]
MASK = torch.tensor([[True, True, False], [True, True, True]])[..., None]
LABEL, LENGTH = torch.tensor([6.0, 0.0]), torch.tensor([2, 3])


class TestLoss:
    def test_of_means(self):
        # Means per step 2 and 2, labels per step 3 and 0: errors -1 and 2.
        assert return_decomposition_loss(REWARDS, MASK, LABEL, LENGTH).item() == pytest.approx((1 + 4) / 2)

    def test_of_sums(self):
        # Sums 4 and 6, labels 6 and 0: errors -2 and 6.
        assert return_decomposition_loss(REWARDS, MASK, LABEL, LENGTH, "sum").item() == pytest.approx((4 + 36) / 2)

    def test_rewards_of_the_agents_of_a_step_add_up(self):
        # Steps of 1 + 2 and, where the other agent is missing, 3: mean 3, sum 6; label per step 2, label 4.
        rewards = torch.tensor([[[1.0, 2.0], [50.0, 3.0]]])
        mask = torch.tensor([[[True, True], [False, True]]])
        label, length = torch.tensor([4.0]), torch.tensor([2])
        assert return_decomposition_loss(rewards, mask, label, length).item() == pytest.approx(1)
        assert return_decomposition_loss(rewards, mask, label, length, "sum").item() == pytest.approx(4)

    def test_a_bag_of_one_step_is_reward_imputation(self):
        rewards, ones = torch.tensor([2.0, -1.0])[:, None, None], torch.ones(2, dtype=torch.int64)
        for loss in ("mean", "sum"):
            value = return_decomposition_loss(
                rewards, ones[:, None, None].bool(), torch.tensor([5.0, -1.0]), ones, loss
            )
            assert value.item() == pytest.approx(9 / 2)

    def test_padding_gets_no_gradient(self):
        rewards = REWARDS.clone().requires_grad_()
        return_decomposition_loss(rewards, MASK, LABEL, LENGTH).backward()
        # d/dr of ((r1 + r2)/2 - 3)^2 / 2 is -1/2, of ((r1 + r2 + r3)/3 - 0)^2 / 2 is 2/3.
        expected = torch.tensor([[-0.5, -0.5, 0.0], [2 / 3, 2 / 3, 2 / 3]])[..., None]
        torch.testing.assert_close(rewards.grad, expected)


class TestRidge:
    # Rows of H: 2 times the first feature; one of each. Labels 4 and 5; 9.0 stands in padding.
    FEATURES = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [9.0, 9.0]], [[0.0, 1.0], [1.0, 0.0], [9.0, 9.0]]])[:, :, None]
    PRESENT = torch.tensor([[True, True, False]] * 2)[..., None]
    LABELS = torch.tensor([4.0, 5.0])

    def test_without_regularization(self):
        weights = ridge_rewards(self.FEATURES, self.PRESENT, self.LABELS, 0.0)
        assert weights.tolist() == pytest.approx([2.0, 3.0])

    def test_with_regularization(self):
        # H^T H + I = [[6, 1], [1, 2]], H^T R = [13, 5], determinant 11.
        weights = ridge_rewards(self.FEATURES, self.PRESENT, self.LABELS, 1.0)
        assert weights.tolist() == pytest.approx([(2 * 13 - 5) / 11, (6 * 5 - 13) / 11])

    def test_a_linear_rd_trained_to_the_end_agrees(self):
        batch = bags_of([5] * 40, agents=2, labels=torch.linspace(-3, 3, 40).tolist())  # not linear: a fit remains
        redistributor = RD(OBSERVATION, ACTION, RDConfig(hidden=(), learning_rate=0.05, loss="sum"), agents=2)
        for _ in range(400):
            redistributor.update(batch)
        ones = torch.ones(*batch.mask.shape, 1)
        difference = batch.observations - batch.next_observations
        features = torch.cat((batch.observations, batch.actions, difference, ones), dim=3)
        expected = features.double() @ ridge_rewards(features, batch.mask, batch.label, 0.0)
        found = redistributor.relabel(batch).double()
        torch.testing.assert_close(found[batch.mask], expected[batch.mask], rtol=1e-2, atol=1e-2)


class TestUpdate:
    def test_samples_of_steps_are_refused(self):
        batch = columns_of(bags_of([6, 6]), torch.tensor([[0, 1, 2], [3, 4, 5]]))
        with pytest.raises(ValueError, match="whole bags, got 3 columns of bag 0, which has 6 steps"):
            RD(OBSERVATION, ACTION).update(batch)

    def test_no_more_bags_are_drawn_than_an_update_has_time_for(self):
        assert RD(1, 1).sampling == Sampling(bags=16, enough=1000)
        assert RD(1, 1, RDConfig(bags=3, batch_steps=None)).sampling == Sampling(bags=3)

    def test_of_unlabeled_bags_any_columns_may_be_there(self):
        batch = columns_of(bags_of([6, 6], labeled=[False, False]), torch.tensor([[0, 1, 2], [3, 4, 5]]))
        assert RD(OBSERVATION, ACTION).update(batch) == {"labeled": 0.0}

    def test_the_metrics_name_the_configured_loss(self):
        batch = bags_of([2, 5, 3])
        for kind in ("mean", "sum"):
            redistributor = RD(OBSERVATION, ACTION, RDConfig(loss=kind))
            rewards = redistributor.relabel(batch)
            expected = return_decomposition_loss(rewards, batch.mask, batch.label, batch.length, kind).item()
            assert redistributor.update(batch)["loss"] == pytest.approx(expected, rel=1e-5)

    def test_nan_in_padding_or_in_unlabeled_bags_is_never_seen(self):
        clean, dirty = RD(OBSERVATION, ACTION), RD(OBSERVATION, ACTION)
        batch = bags_of([2, 5, 3], labeled=[True, True, False])
        noisy = with_padding(batch, float("nan"))
        noisy.observations[2] = float("nan")
        assert clean.update(batch) == dirty.update(noisy)
        torch.testing.assert_close(clean.relabel(batch)[:2], dirty.relabel(noisy)[:2])

    def test_the_network_sees_the_state_before_minus_the_state_after(self):
        redistributor = RD(1, 1, RDConfig(hidden=()))
        state = redistributor.state_dict()
        state["network"] = {"weights.0": torch.tensor([[1.0, 10.0, 100.0]]), "biases.0": torch.tensor([0.5])}
        redistributor.load_state_dict(state)
        batch = bags_of([1])
        batch = type(batch)(
            observations=torch.full((1, 1, 1, 1), 2.0),
            actions=torch.full((1, 1, 1, 1), 3.0),
            next_observations=torch.full((1, 1, 1, 1), 6.0),
            mask=batch.mask,
            label=batch.label,
            labeled=batch.labeled,
            length=batch.length,
            context=batch.context,
            paid=batch.paid,
        )
        assert redistributor.relabel(batch).item() == pytest.approx(2 + 30 - 400 + 0.5)


class TestStandardize:
    def test_huge_labels_are_fitted_and_paid_in_their_own_units(self):
        batch = bags_of([10] * 256)
        big = type(batch)(**{**vars(batch), "label": 1e5 * batch.label + 3e5 * batch.length})
        redistributor = RD(OBSERVATION, ACTION, RDConfig(standardize=True, learning_rate=1e-3, hidden=(64,)))
        for _ in range(300):
            redistributor.update(big)
        rewards = redistributor.relabel(big)
        truth = 1e5 * batch.dense + 3e5
        uniform = Uniform(OBSERVATION, ACTION).relabel(big)
        assert (rewards - truth).abs().mean() < 0.3 * (uniform - truth).abs().mean()

    def test_present_agents_share_the_mean(self):
        # Equal labels per step: the deviation counts as 1, so each step pays the mean and what the network says.
        batch = bags_of([4, 2], agents=3, labels=[80.0, 40.0])
        plain = RD(OBSERVATION, ACTION, RDConfig(learning_rate=1e-9), agents=3)
        scaled = RD(OBSERVATION, ACTION, RDConfig(learning_rate=1e-9, standardize=True), agents=3)
        scaled.update(batch)
        gap = (scaled.relabel(batch) - plain.relabel(batch)).sum(dim=2)
        torch.testing.assert_close(gap, 20.0 * batch.mask.any(dim=2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("settings", [{"loss": "median"}, {"bags": 0}, {"every": 0}, {"updates": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        RDConfig(**settings)
