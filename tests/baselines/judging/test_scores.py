"""Scores of rewards against numbers worked out by hand."""

import numpy as np
import pytest

from bagged_envs.baselines.judging.scores import (
    absolute_error,
    bag_residual,
    is_constant,
    pearson,
    return_to_go_correlation,
    returns_to_go,
    spearman,
)


def array(*values):
    return np.array(values, dtype=np.float64)


class TestAbsoluteError:
    def test_by_hand(self):
        assert absolute_error(array(0, 1, -2), array(1, 1, 2)) == pytest.approx(5 / 3)

    def test_shapes_must_agree(self):
        with pytest.raises(ValueError, match=r"got \(3,\) and \(2,\)"):
            absolute_error(array(0, 1, 2), array(0, 1))

    @pytest.mark.parametrize("score", [absolute_error, pearson, spearman])
    def test_no_step_is_refused(self, score):
        with pytest.raises(ValueError, match="at least 1"):
            score(array(), array())

    @pytest.mark.parametrize("score", [absolute_error, pearson, spearman])
    def test_nan_is_refused_and_says_whose(self, score):
        with pytest.raises(ValueError, match="redistributed rewards must be finite"):
            score(array(0, 1), array(0, np.nan))


class TestCorrelations:
    # Deviations (-1, -1, 2) and (-2, 1, 1) from means 1 and 3: 3 / sqrt(6 * 6).
    TRUE, OTHER = array(0, 0, 3), array(1, 4, 4)

    def test_pearson_by_hand(self):
        assert pearson(self.TRUE, self.OTHER) == pytest.approx(3 / 6)

    def test_spearman_by_hand(self):
        # Ranks (1.5, 1.5, 3) and (1, 2.5, 2.5): deviations (-.5, -.5, 1) and (-1, .5, .5), 0.75 / 1.5.
        assert spearman(self.TRUE, self.OTHER) == pytest.approx(0.5)
        assert spearman(array(1, 2, 3, 4), array(1, 8, 27, 64)) == pytest.approx(1.0)
        assert spearman(array(1, 2, 3), array(1, 100, 3)) == pytest.approx(0.5)

    @pytest.mark.parametrize("score", [pearson, spearman])
    def test_scale_and_shift_change_nothing_and_the_sign_does(self, score):
        assert score(self.TRUE, 1e-200 * self.OTHER) == pytest.approx(0.5)
        assert score(1e200 * self.TRUE, self.OTHER) == pytest.approx(0.5)
        assert score(self.TRUE, 7.0 - 2.0 * self.OTHER) == pytest.approx(-0.5)

    @pytest.mark.parametrize("score", [pearson, spearman])
    def test_a_perfect_one_is_never_above_one(self, score):
        values = np.random.default_rng(0).normal(size=1000)
        assert score(values, 3.0 * values) <= 1.0

    @pytest.mark.parametrize("score", [pearson, spearman])
    def test_constants(self, score):
        assert score(self.TRUE, array(2, 2, 2)) == 0.0
        assert np.isnan(score(array(2, 2, 2), self.OTHER))
        assert np.isnan(score(array(0, 0, 0), array(0, 0, 0)))

    @pytest.mark.parametrize("score", [pearson, spearman])
    def test_the_rounding_of_float32_is_no_signal(self, score):
        shares = np.array([1.0 / 3.0, np.nextafter(np.float32(1 / 3), np.float32(1)), 1 / 3], dtype=np.float64)
        assert score(self.TRUE, shares) == 0.0

    def test_what_counts_as_constant(self):
        assert is_constant(array(5, 5, 5 + 4e-6))
        assert not is_constant(array(5, 5, 5 + 6e-6))
        assert is_constant(array(0, 0))


class TestReturnsToGo:
    def test_by_hand(self):
        assert returns_to_go(array(1, 2, -4)).tolist() == [-1.0, -2.0, -4.0]

    def test_the_mean_over_episodes(self):
        # The first in straight proportion; the second the other way round.
        true, other = [array(0, 1, 1), array(1, 0, 2)], [array(0, 2, 2), array(-1, 0, -2)]
        assert return_to_go_correlation(true, other) == pytest.approx(0.0)
        assert return_to_go_correlation(true[:1], other[:1]) == pytest.approx(1.0)

    def test_a_late_reward_keeps_it_only_until_the_reward_is_due(self):
        # Returns-to-go (1, 1, 0) and (1, 1, 1): constant.
        assert return_to_go_correlation([array(0, 1, 0)], [array(0, 0, 1)]) == 0.0

    def test_episodes_without_any_reward_have_nothing_to_say(self):
        assert return_to_go_correlation([array(0, 0), array(1, 2)], [array(3, 4), array(1, 2)]) == pytest.approx(1.0)
        assert np.isnan(return_to_go_correlation([array(0, 0)], [array(3, 4)]))

    def test_as_many_episodes_of_both(self):
        with pytest.raises(ValueError, match="zip"):
            return_to_go_correlation([array(0, 1)], [])


class TestBagResidual:
    def test_by_hand(self):
        sums, labels = array(1, 2, 100), array(2, 0, 0)
        assert bag_residual(sums, labels, np.array([True, True, False])) == pytest.approx(1.5)

    def test_without_labels(self):
        assert np.isnan(bag_residual(array(1), array(0), np.array([False])))
