"""Statistics of scores: literal numbers, laws, and agreement with scipy on single tasks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bagged_envs.baselines.benchmark.statistics import (
    AGGREGATES,
    as_matrix,
    export,
    gain,
    interval,
    intervals,
    iqm,
    mean,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
)

SCORES = [[0.1, 0.4, 0.9, 0.2], [1.2, 0.8, 1.0, 1.1], [0.5, 0.6, 0.1, 0.7]]
numbers = st.lists(st.floats(-10, 10), min_size=1, max_size=6)
tasks = st.lists(numbers, min_size=1, max_size=4)


def arrays(scores):
    return [np.array(task) for task in scores]


class TestAggregates:
    def test_by_hand(self):
        # Twelve runs; sorted: 0.1 0.1 0.2 | 0.4 0.5 0.6 0.7 0.8 0.9 | 1.0 1.1 1.2
        assert float(iqm(*arrays(SCORES))) == pytest.approx((0.4 + 0.5 + 0.6 + 0.7 + 0.8 + 0.9) / 6)
        assert float(mean(*arrays(SCORES))) == pytest.approx((0.4 + 1.025 + 0.475) / 3)
        assert float(median(*arrays(SCORES))) == pytest.approx(0.475)
        # Of 1: 0.9 + 0.6 + 0.1 + 0.8, then 0.2, then 0.5 + 0.4 + 0.9 + 0.3
        assert float(optimality_gap(*arrays(SCORES))) == pytest.approx((2.4 / 4 + 0.2 / 4 + 2.1 / 4) / 3)
        assert float(optimality_gap(np.array([3.0]), goal=5.0)) == 2.0

    def test_tasks_may_have_different_numbers_of_runs(self):
        uneven = arrays([[0.0, 2.0], [10.0]])
        assert float(mean(*uneven)) == 5.5
        assert float(iqm(*uneven)) == pytest.approx(4.0)  # of three runs nothing is cut off

    @pytest.mark.parametrize("name", AGGREGATES)
    def test_leading_axes_are_kept(self, name):
        drawn = [np.array([task, task[::-1], sorted(task)]) for task in SCORES]
        whole = float(AGGREGATES[name](*arrays(SCORES)))
        assert AGGREGATES[name](*drawn).tolist() == pytest.approx([whole] * 3)


class TestInterval:
    def test_one_task_is_scipys_bootstrap(self):
        runs = np.array(SCORES[0])
        theirs = stats.bootstrap((runs,), np.mean, n_resamples=500, method="percentile", rng=np.random.default_rng(3))
        ours = interval([runs], "mean", resamples=500, seed=3)
        assert ours.estimate == pytest.approx(0.4)
        assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval))

    def test_each_task_keeps_its_runs(self):
        # Were runs drawn across tasks, the mean would move; within tasks nothing can.
        assert interval([[1.0, 1.0], [5.0, 5.0]], "mean", resamples=50) == (3.0, 3.0, 3.0)

    def test_a_seed_makes_it_the_same(self):
        assert interval(SCORES, seed=1) == interval(SCORES, seed=1)
        assert interval(SCORES, seed=1) != interval(SCORES, seed=2)

    def test_it_covers_as_often_as_it_says(self):
        generator, covered = np.random.default_rng(0), 0
        for trial in range(200):
            found = interval(generator.normal(size=(5, 10)), "mean", resamples=200, level=0.9, seed=trial)
            covered += found.low <= 0.0 <= found.high
        assert 0.8 < covered / 200 < 0.96

    def test_a_higher_level_is_wider(self):
        narrow, wide = (interval(SCORES, level=level) for level in (0.5, 0.99))
        assert wide.low < narrow.low < narrow.high < wide.high

    @given(tasks, st.sampled_from(sorted(AGGREGATES)))
    def test_resampled_values_lie_between_what_was_scored(self, scores, name):
        found = interval(scores, name, resamples=20)
        assert found.low <= found.high
        if name != "optimality_gap":
            flat = [score for task in scores for score in task]
            assert min(flat) - 1e-9 <= found.low <= found.high <= max(flat) + 1e-9

    def test_single_runs_stay_as_they_are(self):
        assert interval([[2.0], [4.0]], "mean") == (3.0, 3.0, 3.0)
        mixed = interval([[0.0, 1.0], [4.0]], "mean", resamples=200)
        assert (mixed.low, mixed.high) == (2.0, 2.5)


class TestImprovement:
    def test_by_hand(self):
        # 1 > 0, 1 = 1, 3 > 0, 3 > 1: 3.5 of 4; and 0 of 1
        assert probability_of_improvement([[1.0, 3.0], [0.0]], [[0.0, 1.0], [5.0]]).estimate == (3.5 / 4 + 0.0) / 2

    @given(numbers, numbers)
    def test_it_is_the_statistic_of_mann_and_whitney(self, ones, others):
        found = probability_of_improvement([ones], [others], resamples=2).estimate
        theirs = stats.mannwhitneyu(ones, others, method="asymptotic").statistic / (len(ones) * len(others))
        assert found == pytest.approx(theirs)

    @given(numbers, numbers)
    def test_both_ways_add_up_to_one(self, ones, others):
        there, back = (probability_of_improvement([a], [b], resamples=2) for a, b in ((ones, others), (others, ones)))
        assert there.estimate + back.estimate == pytest.approx(1.0)

    def test_a_clear_winner_is_certain(self):
        assert probability_of_improvement([[3.0, 4.0]] * 2, [[1.0, 2.0]] * 2) == (1.0, 1.0, 1.0)

    def test_tasks_must_be_common(self):
        with pytest.raises(ValueError, match="second must have the 1 tasks of first, got 2"):
            probability_of_improvement([[1.0]], [[1.0], [2.0]])


class TestIntervals:
    @pytest.mark.parametrize("aggregate", sorted(AGGREGATES))
    @pytest.mark.parametrize("runs", [(2, 5, 1), (1, 1), (12,)])
    def test_each_is_what_it_is_alone(self, aggregate, runs):
        scores = [np.random.default_rng(count).normal(size=(count, 3)) for count in runs]
        found = intervals(scores, aggregate, resamples=200, seed=4)
        for place in range(3):
            alone = interval([task[:, place] for task in scores], aggregate, resamples=200, seed=4)
            assert tuple(ends[place] for ends in found) == alone

    @pytest.mark.parametrize(
        ("scores", "message"),
        [
            ([[1.0, 2.0]], r"must have \[runs, K\] for each task, got \[\(2,\)\]"),
            ([[[1.0, 2.0]], [[1.0]]], r"got \[\(1, 2\), \(1, 1\)\]"),
            ([[[1.0, math.nan]]], "must be finite"),
            ([], "at least one task"),
        ],
    )
    def test_refusals(self, scores, message):
        with pytest.raises(ValueError, match=message):
            intervals(scores)


def test_the_interquartile_mean_is_scipys():
    rng = np.random.default_rng(0)
    for runs in range(1, 40):
        scores = rng.normal(size=(5, runs))
        np.testing.assert_array_equal(iqm(scores), stats.trim_mean(scores, 0.25, axis=-1))


class TestProfile:
    def test_by_hand(self):
        found = performance_profile(SCORES, [0.0, 0.5, 1.0, 2.0], resamples=200)
        assert found.share.tolist() == pytest.approx([1.0, (1 / 4 + 1.0 + 2 / 4) / 3, (0 + 2 / 4 + 0) / 3, 0.0])
        assert (found.low <= found.share).all()
        assert (found.share <= found.high).all()
        assert found.low[1] < found.share[1] < found.high[1]

    def test_each_threshold_is_what_it_is_alone(self):
        scores = [*SCORES, [0.3], np.random.default_rng(0).normal(size=11)]
        taus = [-0.5, 0.3, 0.5, 2.0]
        found = performance_profile(scores, taus, resamples=200)
        for place, tau in enumerate(taus):
            alone = interval([np.array(task) > tau for task in scores], "mean", resamples=200)
            assert (found.share[place], found.low[place], found.high[place]) == alone

    def test_without_thresholds(self):
        with pytest.raises(ValueError, match="thresholds must have at least one, got none"):
            performance_profile(SCORES, [])

    def test_it_never_rises(self):
        share = performance_profile(SCORES, np.linspace(-1, 2, 30), resamples=2).share
        assert (np.diff(share) <= 0).all()


class TestRefusals:
    @pytest.mark.parametrize(
        ("scores", "message"),
        [
            ([], "at least one task, got none"),
            ([[1.0], []], r"got shape \(0,\) for task 1"),
            ([[[1.0]]], r"got shape \(1, 1\) for task 0"),
            ([[1.0, math.nan]], r"finite, got \[1.0, nan\] for task 0"),
        ],
    )
    def test_of_scores(self, scores, message):
        with pytest.raises(ValueError, match=message):
            interval(scores)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"aggregate": "iqn"}, "aggregate.*got 'iqn'. Did you mean 'iqm'"),
            ({"resamples": 0}, "resamples must be .*got 0"),
            ({"level": 95}, r"level must lie in \(0, 1\), got 95"),
        ],
    )
    def test_of_settings(self, settings, message):
        with pytest.raises(ValueError, match=message):
            interval(SCORES, **settings)


class TestExport:
    def test_the_shape_is_runs_by_tasks(self, tmp_path):
        assert as_matrix([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).tolist() == [[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]
        export(tmp_path / "scores.npz", {"rrd-td3": SCORES, "file": SCORES[:2], "a/b .npy": SCORES})
        found = dict(np.load(tmp_path / "scores.npz"))
        assert {name: matrix.shape for name, matrix in found.items()} == {
            "rrd-td3": (4, 3), "file": (4, 2), "a/b .npy": (4, 3)
        }  # fmt: skip
        assert found["file"].T.tolist() == SCORES[:2]

    def test_uneven_runs_do_not_fit(self):
        with pytest.raises(ValueError, match="as many runs for each task, got between 1 and 2"):
            as_matrix([[1.0], [1.0, 2.0]])


class TestGain:
    def test_by_hand(self):
        assert gain([[1.0, 3.0], [5.0]], [[0.0], [1.0]], "mean").estimate == (2.0 + 5.0) / 2 - 0.5
        assert gain([[1.0, 2.0, 9.0]], [[0.0, 1.0, 2.0]], "median").estimate == 3.0

    def test_each_side_is_resampled_on_its_own(self):
        # Of two runs each, the difference of means is at most 3 and at least -1: each in 1 of 16 resamples.
        assert gain([[0.0, 2.0]], [[-1.0, 1.0]], "mean") == (1.0, -1.0, 3.0)
        assert gain([[2.0]], [[-1.0, 1.0]], "mean")[1:] == (1.0, 3.0)

    def test_over_itself_it_is_none(self):
        found = gain(SCORES, SCORES)
        assert found.estimate == 0.0
        assert found.low < 0.0 < found.high
        assert gain(SCORES, SCORES) == found
        assert gain(SCORES, SCORES, seed=1) != found

    def test_common_tasks_and_known_aggregates(self):
        with pytest.raises(ValueError, match="second must have the 3 tasks of first, got 2: take common ones"):
            gain(SCORES, SCORES[:2])
        with pytest.raises(ValueError, match="aggregate must be one of .*got 'best'"):
            gain(SCORES, SCORES, "best")
