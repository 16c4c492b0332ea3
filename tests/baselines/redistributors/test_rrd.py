"""RRD's terms by hand, and that the unbiased loss is unbiased, by counting out all draws."""

import itertools

import pytest
import torch

from bagged_envs.baselines.api import Sampling
from bagged_envs.baselines.random_bags import ACTION, OBSERVATION, bags_of, columns_of
from bagged_envs.baselines.redistributors.rd import return_decomposition_loss
from bagged_envs.baselines.redistributors.rrd import (
    RRD,
    RRDConfig,
    RRDUnbiased,
    correction,
    sample_variance,
    unbiased_loss,
)

# Three bags: K = 2 of T = 4 steps; K = 4 > T = 2; K = 3 of T = 1 (its columns differ only to show that c is 0).
REWARDS = torch.tensor([[1.0, 3.0, 99.0, 99.0], [1.0, 3.0, 3.0, 1.0], [4.0, 5.0, 6.0, 99.0]])[..., None]
MASK = torch.tensor([[True, True, False, False], [True] * 4, [True, True, True, False]])[..., None]
LABEL, LENGTH = torch.tensor([8.0, 2.0, 3.0]), torch.tensor([4, 2, 1])
M = [2.0, 2.0, 5.0]
V = [2.0, 4 / 3, 1.0]
C = [1 - 2 / 4, 1.0, 0.0]


class TestTerms:
    def test_variance(self):
        assert sample_variance(REWARDS, MASK).tolist() == pytest.approx(V)

    def test_variance_of_one_column_is_zero(self):
        assert sample_variance(REWARDS[:, :1], MASK[:, :1]).tolist() == [0.0, 0.0, 0.0]

    def test_variance_of_agents_is_that_of_their_sums(self):
        rewards, mask = torch.tensor([[[1.0, 2.0], [50.0, 5.0]]]), torch.tensor([[[True, True], [False, True]]])
        assert sample_variance(rewards, mask).tolist() == pytest.approx([2.0])  # of 3 and 5

    def test_correction(self):
        assert correction(torch.tensor([2, 4, 3]), LENGTH).tolist() == pytest.approx(C)
        assert correction(torch.tensor([4]), torch.tensor([4])).tolist() == [0.0]


class TestLoss:
    def test_biased(self):
        # Labels per step 2, 1, 3: errors 0, 1, 2.
        assert return_decomposition_loss(REWARDS, MASK, LABEL, LENGTH).item() == pytest.approx(5 / 3)

    def test_unbiased(self):
        # 0 - 1/2 * 2 / 2; 1 - 1 * (4/3) / 4; 4 - 0.
        expected = (-0.5 + 2 / 3 + 4.0) / 3
        assert unbiased_loss(REWARDS, MASK, LABEL, LENGTH).item() == pytest.approx(expected)
        by_terms = sum(
            (m - y) ** 2 - c * v / k for m, y, c, v, k in zip(M, [2.0, 1.0, 3.0], C, V, [2, 4, 3], strict=True)
        )
        assert expected == pytest.approx(by_terms / 3)

    def test_it_may_be_negative(self):
        assert unbiased_loss(REWARDS[:1], MASK[:1], LABEL[:1], LENGTH[:1]).item() == pytest.approx(-0.5)

    def test_with_all_steps_both_are_rd(self):
        rewards, mask = REWARDS[1:2], MASK[1:2]
        label, length = torch.tensor([-7.0]), torch.tensor([4])
        expected = (2.0 + 7 / 4) ** 2
        assert return_decomposition_loss(rewards, mask, label, length).item() == pytest.approx(expected)
        assert unbiased_loss(rewards, mask, label, length).item() == pytest.approx(expected)


def expectation(loss, values, label, draws):
    """The mean of a loss and of its gradient over all draws, each as likely: indices of the columns."""
    values = values.clone().requires_grad_()
    length = torch.tensor([len(values)])
    losses = []
    for draw in draws:
        rewards = values[list(draw)][None]  # [1, K, A]
        losses.append(loss(rewards, torch.ones(rewards.shape, dtype=torch.bool), label, length))
    mean = torch.stack(losses).mean()
    mean.backward()
    return mean.item(), values.grad


class TestUnbiased:
    VALUES = torch.tensor([[1.0, 0.5], [-2.0, 0.0], [0.5, 1.0], [4.0, -1.0], [3.0, 2.0]], dtype=torch.float64)
    LABEL = torch.tensor([7.0], dtype=torch.float64)

    def rd(self, values):
        return expectation(return_decomposition_loss, values, self.LABEL, [range(len(values))])

    @pytest.mark.parametrize("steps", [2, 3, 4, 5])
    def test_over_all_subsets(self, steps):
        draws = list(itertools.combinations(range(5), steps))
        loss, gradient = expectation(unbiased_loss, self.VALUES, self.LABEL, draws)
        expected, expected_gradient = self.rd(self.VALUES)
        assert loss == pytest.approx(expected)
        torch.testing.assert_close(gradient, expected_gradient)

    @pytest.mark.parametrize("steps", [3, 4, 5])
    def test_over_all_draws_with_replacement(self, steps):
        values = self.VALUES[:2]
        draws = list(itertools.product(range(2), repeat=steps))
        loss, gradient = expectation(unbiased_loss, values, self.LABEL, draws)
        expected, expected_gradient = self.rd(values)
        assert loss == pytest.approx(expected)
        torch.testing.assert_close(gradient, expected_gradient)

    @pytest.mark.parametrize("steps", [2, 3, 4, 5])
    def test_the_biased_loss_adds_the_variance_of_the_mean(self, steps):
        draws = list(itertools.combinations(range(5), steps))
        loss, _ = expectation(return_decomposition_loss, self.VALUES, self.LABEL, draws)
        added = (1 - steps / 5) * self.VALUES.sum(dim=1).var().item() / steps
        assert loss == pytest.approx(self.rd(self.VALUES)[0] + added)


class TestClasses:
    def test_what_they_draw(self):
        expected = Sampling(bags=4, steps=64, weight="length")
        assert RRD(OBSERVATION, ACTION).sampling == RRDUnbiased(OBSERVATION, ACTION).sampling == expected

    def test_each_descends_its_own_loss(self):
        batch = columns_of(bags_of([6, 6]), torch.tensor([[0, 2, 5], [4, 1, 3]]))
        for method, loss in ((RRD, return_decomposition_loss), (RRDUnbiased, unbiased_loss)):
            redistributor = method(OBSERVATION, ACTION)
            expected = loss(redistributor.relabel(batch), batch.mask, batch.label, batch.length).item()
            assert redistributor.update(batch)["loss"] == pytest.approx(expected, rel=1e-4)

    def test_on_whole_bags_both_are_one(self):
        batch = bags_of([3, 6])
        assert RRD(OBSERVATION, ACTION).update(batch)["loss"] == pytest.approx(
            RRDUnbiased(OBSERVATION, ACTION).update(batch)["loss"]
        )

    def test_one_step_tells_nothing_of_a_variance(self):
        with pytest.raises(ValueError, match="at least 2 steps"):
            RRDUnbiased(OBSERVATION, ACTION, RRDConfig(steps=1))
        batch = columns_of(bags_of([6, 1]), torch.tensor([[0], [0]]))
        with pytest.raises(ValueError, match="at least 2 columns"):
            RRDUnbiased(OBSERVATION, ACTION).update(batch)
        assert RRD(OBSERVATION, ACTION, RRDConfig(steps=1)).update(batch)["labeled"] == 2
        assert RRDUnbiased(OBSERVATION, ACTION).update(batch.select(torch.tensor([1])))["labeled"] == 1

    def test_a_short_mean_smooths(self):
        # Of a bag's rewards the biased form leaves less spread, the fewer columns it sees.
        store, spread = bags_of([10] * 128), {}
        for steps in (2, 10):
            redistributor = RRD(OBSERVATION, ACTION, RRDConfig(hidden=(32,), learning_rate=3e-3))
            generator = torch.Generator().manual_seed(0)
            for _ in range(150):
                columns = torch.rand(128, 10, generator=generator).argsort(dim=1)[:, :steps]
                redistributor.update(columns_of(store, columns))
            spread[steps] = redistributor.relabel(store).std(dim=1).mean().item()
        assert spread[2] < 0.8 * spread[10]

    @pytest.mark.parametrize("name", ["bags", "steps", "every", "updates"])
    def test_settings_out_of_range_are_refused(self, name):
        with pytest.raises(ValueError, match=name):
            RRDConfig(**{name: 0})
