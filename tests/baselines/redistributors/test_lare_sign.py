"""LaRe without a reward model: the best signs, by hand and against all others."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bagged_envs.baselines.random_bags import ACTION, OBSERVATION, WEIGHTS, bags_of
from bagged_envs.baselines.redistributors import make_redistributor
from bagged_envs.baselines.redistributors.lare_sign import best_signs
from tests.baselines.programs import EVERYTHING


def moments(rows):
    rows = np.array(rows, dtype=float)
    return rows.T @ rows


class TestSigns:
    def test_by_hand(self):
        # y = 3 z1 - 3 z2 - 2
        fit = best_signs(moments([[1, 0, 1, 1], [0, 1, 1, -5], [2, 1, 1, 1], [0, 0, 1, -2]]))
        assert fit.signs.tolist() == [1.0, -1.0]
        assert (fit.scale, fit.offset, fit.error) == pytest.approx((3.0, -2.0, 0.0), abs=1e-9)

    def test_without_scale_the_nearest_sum_is_taken_as_it_is(self):
        # 2 - 1 = 1 against 0.5, and 0 + 1 = 1 against 2: squares 0.25 + 1; all other signs are farther
        fit = best_signs(moments([[2, 1, 1, 0.5], [0, -1, 1, 2]]), scaled=False)
        assert fit.signs.tolist() == [1.0, -1.0]
        assert (fit.scale, fit.offset, fit.error) == pytest.approx((1.0, 0.0, 1.25))

    def test_a_factor_that_tells_nothing_leaves_the_mean(self):
        fit = best_signs(moments([[3, 1, 4], [3, 1, 6]]))
        assert (fit.scale, fit.offset, fit.error) == pytest.approx((0.0, 5.0, 2.0))

    @given(st.integers(1, 4), st.integers(2, 9), st.integers(0, 2**32), st.booleans())
    def test_no_other_signs_are_nearer(self, size, bags, seed, scaled):
        rng = np.random.default_rng(seed)
        rows = np.column_stack((rng.normal(size=(bags, size)), rng.integers(1, 4, bags), rng.normal(size=bags)))
        fit = best_signs(moments(rows), scaled)

        def error(signs):
            said, ones, label = rows[:, :-2] @ signs, rows[:, -2], rows[:, -1]
            if not scaled:
                return float(np.square(said - label).sum())
            both, alone = np.column_stack((said, ones)), ones[:, None]
            weights = np.linalg.lstsq(both, label)[0]
            if weights[0] < 0:  # a sum that counts against itself counts nothing
                both, weights = alone, np.linalg.lstsq(alone, label)[0]
            return float(np.square(both @ weights - label).sum())

        every = [error(np.array(signs)) for signs in itertools.product((1.0, -1.0), repeat=size)]
        assert fit.scale >= 0
        assert fit.error == pytest.approx(min(every), rel=1e-6, abs=1e-9)
        said = fit.scale * rows[:, :-2] @ fit.signs + fit.offset * rows[:, -2]
        assert np.square(said - rows[:, -1]).sum() == pytest.approx(fit.error, rel=1e-6, abs=1e-9)


class TestRewards:
    def made(self, **settings):
        return make_redistributor("lare_sign", OBSERVATION, ACTION, agents=2, factors=EVERYTHING, **settings)

    def test_nothing_is_paid_before_the_first_update(self):
        assert not self.made().relabel(bags_of([3, 2], agents=2)).any()

    @pytest.mark.parametrize("standardize", [True, False])
    def test_signs_of_linear_rewards_are_found(self, standardize):
        own = self.made(standardize_factors=standardize)
        for seed in range(4):
            metrics = own.update(bags_of([10] * 64, seed=seed, agents=2))
        # That of a factor without weight is whatever fits the noise of the others.
        assert own.fit.signs[WEIGHTS != 0].tolist() == WEIGHTS.sign()[WEIGHTS != 0].tolist()
        assert metrics["loss"] == pytest.approx(own.fit.error / 256)
        batch = bags_of([10] * 200, seed=9, agents=2)
        rewards = own.relabel(batch)
        error = (rewards.sum(dim=(1, 2)) - batch.label) / 10
        assert error.square().mean().item() == pytest.approx(metrics["loss"], rel=0.4)

    @pytest.mark.parametrize("scaled", [True, False])
    @pytest.mark.parametrize("standardize", [True, False])
    def test_the_error_is_that_of_what_is_paid(self, standardize, scaled):
        own, batch = self.made(standardize_factors=standardize, scaled=scaled), bags_of([10, 4, 7] * 9, agents=2)
        batch = replace(batch, observations=2 * batch.observations + 3)  # of other means and deviations than 0 and 1
        own.update(batch)
        error = (own.relabel(batch).sum(dim=(1, 2)) - batch.label) / batch.length
        assert error.square().sum().item() == pytest.approx(own.fit.error, rel=1e-4)

    def test_unscaled_rewards_are_the_signed_sum(self):
        own = self.made(standardize_factors=False, scaled=False)
        own.update(bags_of([10] * 64, seed=1, agents=2))
        batch = bags_of([3], seed=9, agents=2)
        together = torch.cat((batch.observations, batch.actions), dim=3)
        said = (together * torch.tensor(own.fit.signs)).sum(dim=3).float()
        torch.testing.assert_close(own.relabel(batch), torch.where(batch.mask, said, 0.0))

    def test_too_many_factors_are_refused(self):
        with pytest.raises(ValueError, match="all signs of at most 16 factors, got 21: use lare_rd"):
            make_redistributor("lare_sign", 20, 1, factors=EVERYTHING)
