"""The numbers of a report are those of `statistics` on its rows, and words stand where there are none."""

import numpy as np
import pytest

from bagged_envs.baselines.benchmark.report import scores
from bagged_envs.baselines.benchmark.report.content import Choice, gathered
from bagged_envs.baselines.benchmark.report.scores import Estimate
from bagged_envs.baselines.benchmark.report.views import views
from bagged_envs.baselines.benchmark.statistics import gain, interval, performance_profile, probability_of_improvement
from tests.baselines.benchmark.invented import benchmark, flat, protocol, result
from tests.baselines.benchmark.small import job

PENDULUM, DOOR, REACHER = "BaggedInvertedPendulum-v0[bag_len=20]", "EpisodicKeyDoor-v0", "EpisodicReacher-v0"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return protocol(tmp_path_factory.mktemp("protocol"))


@pytest.fixture(scope="module")
def content(kept):
    return gathered(benchmark(kept), [], kept, Choice())


def finals(kept, method, label):
    """Final scores straight from the results."""
    ids = {PENDULUM: "BaggedInvertedPendulum-v0", DOOR: DOOR, REACHER: REACHER}
    return [one["final"] for one in benchmark(kept) if (one["arm"]["name"], one["job"]["id"]) == (method, ids[label])]


def normalized(kept, method, label, task):
    return [kept.normalized(task, value) for value in finals(kept, method, label)]


def test_summary(kept, content):
    whole = views(content)[0]
    assert whole.is_whole
    assert [one.method for one in whole.summaries] == ["ours", "identity", "single"]
    ours, identity, single = whole.summaries
    mine, theirs = (
        [normalized(kept, name, PENDULUM, "InvertedPendulum"), normalized(kept, name, DOOR, "KeyDoor")]
        for name in ("ours", "identity")
    )
    for name in ("iqm", "median", "optimality_gap"):
        assert getattr(ours, name) == Estimate(*interval(mine, name))
        assert getattr(identity, name) == Estimate(*interval(theirs, name))
    assert ours.gain == Estimate(*gain(mine, theirs, "iqm"))
    pairs = [[finals(kept, name, label) for label in (PENDULUM, DOOR, REACHER)] for name in ("ours", "identity")]
    assert ours.improvement == Estimate(*probability_of_improvement(*pairs))
    assert (ours.cells, ours.of, ours.runs) == (3, 3, 8)
    assert identity.gain == identity.improvement == Estimate(words=scores.ITSELF)
    assert (ours.part("gain"), ours.part("improvement"), ours.part("iqm")) == ("over 2 of 3 environments", "", "")
    assert (identity.part("gain"), identity.gained, identity.improved) == ("", 0, 0)
    assert (single.cells, single.of, single.runs) == (1, 3, 1)
    assert {single.iqm, single.median, single.optimality_gap} == {Estimate(words=scores.ONE_RUN)}
    # Against three runs of the control there is something to count.
    one = [finals(kept, "single", PENDULUM)], [finals(kept, "identity", PENDULUM)]
    assert single.improvement == Estimate(*probability_of_improvement(*one))


def test_one_run_each_has_an_estimate_and_no_interval(kept):
    found = [
        result(kept, name, 7, flat(value), id=id, task=task)
        for name, value in (("identity", 1.0), ("ours", 2.0))
        for id, task in (("BaggedInvertedPendulum-v0", "InvertedPendulum"), ("EpisodicKeyDoor-v0", "KeyDoor"))
    ]
    ours = next(one for one in views(gathered(found, [], kept, Choice()))[0].summaries if one.method == "ours")
    assert (ours.iqm.value, ours.iqm.low, ours.iqm.words) == (
        pytest.approx((-0.08 + 0.5) / 2),
        None,
        scores.NO_INTERVAL,
    )
    assert (ours.improvement.value, ours.improvement.high) == (1.0, None)


def test_a_single_pair_is_no_probability(kept):
    found = [result(kept, name, 7, flat(1.0)) for name in ("identity", "ours")]
    made = gathered(found, [], kept, Choice())
    (summary,) = (one for one in views(made)[0].summaries if one.method == "ours")
    assert summary.improvement == summary.gain == Estimate(words=scores.ONE_RUN)
    first, second = scores.standings(made.cells[0], made.runs, made.against[made.cells[0]], made.everything)
    assert (first.final, first.gain.words, second.gain.words) == (
        Estimate(1.0, words="one run"),
        scores.ITSELF,
        scores.ONE_RUN,
    )


def test_without_a_scale_and_without_identity(kept):
    found = [result(kept, "ours", seed, flat(seed), id="EpisodicReacher-v0", task="Reacher") for seed in (7, 8)]
    made = gathered(found, [], kept, Choice())
    (view,) = views(made)
    (summary,) = view.summaries
    assert {summary.iqm.words, summary.median.words, summary.optimality_gap.words} == {scores.NO_SCALE}
    assert summary.gain == summary.improvement == Estimate(words=scores.NO_CONTROL)
    assert (view.curves, view.profiles) == ([], {})
    (standing,) = scores.standings(made.cells[0], made.runs, made.against[made.cells[0]], made.everything)
    assert standing.normalized == Estimate(words="no scale")
    assert standing.final == Estimate(*interval([[7.0, 8.0]], "mean"))


def test_standings(kept, content):
    cell = next(cell for cell in content.cells if cell.label == REACHER)
    ours, identity = scores.standings(cell, content.runs, content.against[cell], content.everything)
    mine, theirs = ([finals(kept, name, REACHER)] for name in ("ours", "identity"))
    assert ours.final == Estimate(*interval(mine, "mean"))
    assert ours.gain == Estimate(*gain(mine, theirs, "mean"))
    assert ours.improvement == Estimate(*probability_of_improvement(mine, theirs))
    assert (ours.seeds, ours.control, identity.gain.words) == ((7, 8, 9), "identity", scores.ITSELF)


def test_environments_where_it_is_the_control_are_left_out_and_counted(kept):
    door = {"id": "EpisodicKeyDoor-v0", "task": "KeyDoor"}
    found = [result(kept, name, seed, flat(5.0), **where) for name, where in (("identity", {}), ("far identity", door))
             for seed in (7, 8)]  # fmt: skip
    found += [result(kept, "identity", seed, flat(float(seed)), **door) for seed in (7, 8)]
    made = gathered(found, [], kept, Choice())
    one = next(one for one in views(made)[0].summaries if one.method == "identity")
    mine, theirs = ([[kept.normalized("KeyDoor", value) for value in values]] for values in ((7.0, 8.0), (5.0, 5.0)))
    assert (one.cells, one.gain) == (2, Estimate(*gain(mine, theirs, "iqm")))
    assert one.part("gain") == one.part("improvement") == "over 1 of 2 environments"


def test_a_hidden_control_is_compared_with(kept, content):
    chosen = gathered(benchmark(kept), [], kept, Choice(methods=("ours",)))
    (view, *_), (whole, *_) = views(chosen), views(content)
    assert [one.method for one in view.summaries] == ["ours"]
    assert view.summaries[0].improvement == whole.summaries[0].improvement


class TestReleased:
    """What stands beside the user's own runs changes nothing of what is said of them."""

    def gains(self, kept, own, beside):
        told = [{**one, "released": "file"} for one in beside]
        made = gathered([*own, *told], [], kept, Choice())
        stood = scores.standings(made.cells[0], made.runs, made.against[made.cells[0]], made.everything)
        found = {one.method: (one.control, one.gain, one.improvement) for one in stood}
        assert len(found) > 1
        return {name: one for name, one in found.items() if not name.endswith("(released)")}

    def of(self, kept, name, value, seeds=(7, 8), **changes):
        return [result(kept, name, seed, flat(value + seed), **changes) for seed in seeds]

    def test_a_tuned_control(self, kept):
        far = {"learner": {**job().described()["learner"], "discount": 0.999}}
        seeds = (0, 1, 7, 8)
        own = [*self.of(kept, "identity", 20.0, seeds), *self.of(kept, "identity far", 60.0, seeds, **far),
               *self.of(kept, "ours", 50.0)]  # fmt: skip
        alone = self.gains(kept, own, [])
        assert alone["ours"][0] == "identity far"
        assert alone == self.gains(kept, own, self.of(kept, "identity", 99.0))
        assert alone == self.gains(kept, own, self.of(kept, "identity best", 99.0, seeds))

    def test_a_plain_control(self, kept):
        far = {"learner": {**job().described()["learner"], "discount": 0.999}}
        own = [*self.of(kept, "identity far", 60.0, **far), *self.of(kept, "ours", 50.0)]
        beside = [*self.of(kept, "identity", 20.0), *self.of(kept, "identity of ppo", 1.0, method="identity-ppo")]
        ppo = self.of(kept, "ours of ppo", 5.0, method="uniform-ppo")
        assert self.gains(kept, own + ppo, []) == self.gains(kept, own + ppo, beside)

    def test_own_agents_are_not_made_controls(self, kept):
        agent, other = ({"method": "a:make", "learner": one} for one in ({}, {"redistributor": "rrd"}))
        own = [*self.of(kept, "mine", 5.0, **agent), *self.of(kept, "identity", 2.0)]
        assert self.gains(kept, own, []) == self.gains(kept, own, self.of(kept, "rrd-mine", 9.0, **other))

    def test_where_there_is_no_other_it_is_the_control(self, kept):
        own = [*self.of(kept, "ours", 50.0), *self.of(kept, "others", 50.0)]
        assert {one[0] for one in self.gains(kept, own, []).values()} == {None}
        found = self.gains(kept, own, self.of(kept, "identity", 20.0))
        assert found["ours"][0] == "identity (released)"
        assert found["ours"][1].value == 30.0


class TestCurves:
    def test_means_and_bands(self, kept):
        returns = [[1.0, 2.0, 9.0], [3.0, 2.0, 1.0], [5.0, 2.0, 2.0]]
        found = [result(kept, "ours", seed, one) for seed, one in zip((7, 8, 9), returns, strict=True)]
        made = gathered(found, [], kept, Choice())
        (curve,) = scores.curves(made.cells[0], made.runs)
        assert curve.steps.tolist() == [40, 80, 120]
        assert curve.middle.tolist() == [3.0, 2.0, 4.0]
        assert (curve.low[1], curve.high[1], curve.runs) == (2.0, 2.0, 3)
        # The percentile bootstrap of a mean of three: the extremes are drawn in 1 of 27 resamples, more than 2.5 %.
        assert (curve.low[0], curve.high[0]) == (1.0, 5.0)
        assert (curve.low[2], curve.high[2]) == (1.0, 9.0)

    def test_one_run_has_no_band(self, kept):
        made = gathered([result(kept, "ours", 7, flat(1.0))], [], kept, Choice())
        (curve,) = scores.curves(made.cells[0], made.runs)
        assert (curve.low, curve.high, curve.runs) == (None, None, 1)

    def test_steps_that_all_have(self, kept):
        whole, other = (result(kept, "ours", seed, [1.0, 2.0, 3.0]) for seed in (7, 8))
        del other["rows"][1]
        made = gathered([whole, other], [], kept, Choice())
        (curve,) = scores.curves(made.cells[0], made.runs)
        assert (curve.steps.tolist(), curve.middle.tolist()) == ([40, 120], [1.0, 3.0])

    def test_over_environments(self, kept, content):
        curve = next(one for one in views(content)[0].curves if one.method == "ours")
        ends = [normalized(kept, "ours", PENDULUM, "InvertedPendulum"), normalized(kept, "ours", DOOR, "KeyDoor")]
        last = interval(ends, "iqm")
        assert (curve.middle[-1], curve.low[-1], curve.high[-1], curve.runs) == (*last, 5)

    @pytest.mark.parametrize("count", [60, 61, 100, 121])
    def test_thinned_over_environments_they_end_where_runs_end(self, kept, count):
        returns = [10.0 + place for place in range(count)]
        made = gathered([result(kept, "ours", seed, returns) for seed in (7, 8)], [], kept, Choice())
        (curve,) = views(made)[0].curves
        assert curve.steps[-1] == 40 * count
        assert curve.middle[-1] == kept.normalized("InvertedPendulum", returns[-1])
        assert len(curve.steps) <= scores.MOST_POINTS
        assert len(set(np.diff(curve.steps))) == 1

    def test_runs_without_a_common_step(self, kept):
        found = [result(kept, "ours", seed, [1.0, 2.0]) for seed in (7, 8)]
        del found[0]["rows"][0], found[1]["rows"][1]
        (curve,) = views(gathered(found, [], kept, Choice()))[0].curves
        assert curve.steps.size == curve.middle.size == 0


def test_profiles(kept, content):
    scaled = [normalized(kept, "ours", PENDULUM, "InvertedPendulum"), normalized(kept, "ours", DOOR, "KeyDoor")]
    found, expected = views(content)[0].profiles, performance_profile(scaled, scores.THRESHOLDS)
    assert sorted(found) == ["identity", "ours"]  # of one run there is none
    for mine, theirs in zip(found["ours"], expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


class TestViews:
    def test_each_set_of_environments_once(self, content):
        found = {view.choices: [cell.label for cell in view.cells] for view in views(content)}
        assert found == {
            (("", ""),): [PENDULUM, DOOR, REACHER],
            (("", "Bagged"), ("mujoco", "Bagged")): [PENDULUM],
            (("", "Episodic"),): [DOOR, REACHER],
            (("mujoco", ""),): [PENDULUM, REACHER],
            (("mujoco", "Episodic"),): [REACHER],
            (("symbolic", ""), ("symbolic", "Episodic")): [DOOR],
        }

    def test_lengths_are_not_put_together(self, kept):
        found = [result(kept, "ours", seed, [1.0] * steps) for seed in (7, 8) for steps in (2, 5)]
        made = views(gathered(found, [], kept, Choice()))
        assert [(view.length.steps, len(view.runs), view.is_whole) for view in made] == [(80, 2, True), (200, 2, True)]
        assert len({view.name for view in made}) == 2
