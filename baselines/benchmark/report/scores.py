"""What runs say of methods: numbers where they can be formed, and words where they cannot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bagged_envs.baselines.benchmark import statistics
from bagged_envs.baselines.benchmark.report.control import Control, by_cell, cells_of
from bagged_envs.baselines.benchmark.report.rows import Cell, Run

Floats = npt.NDArray[np.float64]
RESAMPLES, LEVEL, SEED = 2000, 0.95, 0
THRESHOLDS = np.linspace(0.0, 1.25, 51)
MOST_POINTS = 60  # of a curve over several environments, whose intervals are each a bootstrap

NO_SCALE = "no environment with a scale"
NO_RUN = "no run"
ONE_RUN = "one run only"
NO_INTERVAL = "one run each"
NO_CONTROL = "no Identity to compare with"
ITSELF = "is the control"


@dataclass(frozen=True)
class Estimate:
    """A statistic, or why there is none.

    Attributes:
        value: It; None where it cannot be formed.
        low: The lower end of its interval; None where that cannot be formed.
        high: The upper end.
        words: What could not be formed, and why; empty where all could.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    words: str = ""


@dataclass(frozen=True)
class Summary:
    """A method over several environments.

    Attributes:
        method: Its name.
        cells: In how many of the environments it has runs.
        of: How many environments there are.
        runs: How many runs it has.
        iqm: Of normalized scores.
        median: Of the same.
        optimality_gap: Of the same.
        gain: By how much its IQM exceeds that of the control of each environment.
        improvement: The probability that it is better than the control; also where there is no scale.
        gained: In how many environments the gain is formed: not where it is the control, or there is none, or no scale.
        improved: The same of the improvement.
    """

    method: str
    cells: int
    of: int
    runs: int
    iqm: Estimate
    median: Estimate
    optimality_gap: Estimate
    gain: Estimate
    improvement: Estimate
    gained: int
    improved: int

    def part(self, name: str) -> str:
        """Return over how many environments a statistic is, as words; nothing where it is over all of the method's."""
        formed = {"gain": self.gained, "improvement": self.improved}.get(name, self.cells)
        if formed == self.cells or getattr(self, name).value is None:
            return ""
        return f"over {formed} of {self.cells} environments"


@dataclass(frozen=True)
class Standing:
    """A method in one environment.

    Attributes:
        method: Its name.
        runs: How many.
        seeds: Of the runs.
        final: The mean of final returns.
        normalized: The mean of normalized scores.
        control: What it is compared with; None where there is nothing.
        gain: By how much its mean return exceeds the control's.
        improvement: The probability that it is better than the control.
    """

    method: str
    runs: int
    seeds: tuple[int, ...]
    final: Estimate
    normalized: Estimate
    control: str | None
    gain: Estimate
    improvement: Estimate


def aggregate(scores: Sequence[Sequence[float]], name: str) -> Estimate:
    """Return an aggregate of a method's scores, `[runs]` for each environment, with its interval.

    Args:
        scores: As `statistics.interval` takes them; there may be none.
        name: One of `statistics.AGGREGATES`.
    """
    if not scores:
        return Estimate(words=NO_SCALE)
    if sum(map(len, scores)) == 1:
        return Estimate(words=ONE_RUN)
    return _told(statistics.interval(scores, name, RESAMPLES, LEVEL, SEED), scores)


def improvement(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> Estimate:
    """Return the probability that a run of the first is better than one of the second, as `statistics` has it."""
    if not first:
        return Estimate(words=NO_CONTROL)
    if len(first) == len(first[0]) == len(second[0]) == 1:
        return Estimate(words=ONE_RUN)
    return _told(statistics.probability_of_improvement(first, second, RESAMPLES, LEVEL, SEED), [*first, *second])


def gain(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], name: str) -> Estimate:
    """Return by how much an aggregate of the first exceeds that of the second."""
    if not first:
        return Estimate(words=NO_CONTROL)
    if len(first) == len(first[0]) == len(second[0]) == 1:
        return Estimate(words=ONE_RUN)
    return _told(statistics.gain(first, second, name, RESAMPLES, LEVEL, SEED), [*first, *second])


def _told(found: statistics.Interval, scores: Sequence[Sequence[float]]) -> Estimate:
    if max(map(len, scores)) == 1:
        return Estimate(found.estimate, words=NO_INTERVAL)
    return Estimate(*found)


def methods_of(runs: Sequence[Run]) -> list[str]:
    """Return what methods there are, in order."""
    return sorted({run.method for run in runs})


def by_method(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs of each method, methods in order."""
    found: dict[str, list[Run]] = {method: [] for method in methods_of(runs)}
    for run in runs:
        found[run.method].append(run)
    return found


def by_place(runs: Sequence[Run]) -> dict[tuple[str, Cell], list[Run]]:
    """Return the runs of each method in each environment."""
    found: dict[tuple[str, Cell], list[Run]] = defaultdict(list)
    for run in runs:
        found[run.method, run.cell].append(run)
    return dict(found)


def summaries(runs: Sequence[Run], against: Mapping[Cell, Control], everything: Sequence[Run]) -> list[Summary]:
    """Return each method over all environments of some runs, the highest IQM first.

    Args:
        runs: What is summed up.
        against: The control of each environment.
        everything: Runs that controls may be among.
    """
    there, of = by_place(everything), len(cells_of(runs))
    found = [_summary(method, own, of, against, there) for method, own in by_method(runs).items()]
    return sorted(found, key=lambda one: (one.iqm.value is None, -(one.iqm.value or 0.0), one.method))


def _summary(
    method: str,
    own: Sequence[Run],
    of: int,
    against: Mapping[Cell, Control],
    there: Mapping[tuple[str, Cell], list[Run]],
) -> Summary:
    normalized, cells = list(normalized_of(own).values()), by_cell(own)
    pairs = {cell: pair for cell, ours in cells.items() if (pair := _pair(ours, against[cell], there))}
    whole = {cell: pair for cell, pair in pairs.items() if _scaled(pair)}
    ends = [[[run.final for run in side] for side in pair] for pair in pairs.values()]
    scores = [[[_score(run) for run in side] for side in pair] for pair in whole.values()]
    itself = any(against[cell].of(own[0].result["job"]["method"]) == method for cell in cells)
    none = Estimate(words=ITSELF) if itself and not pairs else None
    scale = Estimate(words=NO_SCALE) if pairs and not whole else none
    return Summary(
        method,
        len(cells),
        of,
        len(own),
        aggregate(normalized, "iqm"),
        aggregate(normalized, "median"),
        aggregate(normalized, "optimality_gap"),
        scale or gain([one for one, _ in scores], [other for _, other in scores], "iqm"),
        none or improvement([one for one, _ in ends], [other for _, other in ends]),
        len(whole),
        len(pairs),
    )


def normalized_of(runs: Sequence[Run]) -> dict[Cell, list[float]]:
    """Return the normalized scores of a method's runs by environment, without environments that have no scale."""
    found: dict[Cell, list[float]] = {}
    for run in runs:
        if run.normalized is not None:
            found.setdefault(run.cell, []).append(run.normalized)
    return found


def even_scores(runs: Sequence[Run]) -> dict[str, list[list[float]]]:
    """Return the normalized scores of each method, a list for each environment on a scale, by number of its seed.

    Methods are left out that have not as many runs in each of these environments.
    """
    ordered = sorted(runs, key=lambda run: run.seed)
    found = {name: normalized_of(own) for name, own in by_method(ordered).items()}
    cells = [cell for cell in cells_of(runs) if any(cell in own for own in found.values())]
    scores = {name: [own.get(cell, []) for cell in cells] for name, own in found.items()}
    return {name: own for name, own in scores.items() if all(own) and len(set(map(len, own))) == 1}


def _pair(
    ours: list[Run], control: Control, there: Mapping[tuple[str, Cell], list[Run]]
) -> tuple[list[Run], list[Run]] | None:
    """Return a method's runs in an environment and those of its control; None where it is that, or there is none."""
    one = ours[0]
    name = control.of(one.result["job"]["method"])
    theirs = [] if name is None else there.get((name, one.cell), [])
    return (ours, theirs) if theirs and name != one.method else None


def _scaled(pair: tuple[list[Run], list[Run]]) -> bool:
    return all(run.normalized is not None for side in pair for run in side)


def _score(run: Run) -> float:
    return float("nan") if run.normalized is None else run.normalized


def standings(cell: Cell, runs: Sequence[Run], control: Control, everything: Sequence[Run]) -> list[Standing]:
    """Return each method in one environment, the highest mean return first."""
    own, there = ([run for run in some if run.cell == cell] for some in (runs, everything))
    placed = by_place(there)
    found = [_standing(method, ours, control, placed) for method, ours in by_method(own).items()]
    return sorted(found, key=lambda one: (one.final.value is None, -(one.final.value or 0.0), one.method))


def _standing(method: str, own: list[Run], control: Control, there: Mapping[tuple[str, Cell], list[Run]]) -> Standing:
    name = control.of(own[0].result["job"]["method"])
    finals = [run.final for run in own]
    scaled = [run.normalized for run in own if run.normalized is not None]
    pair = _pair(own, control, there)
    sides = [[run.final for run in side] for side in pair] if pair else []
    missing = Estimate(words=ITSELF if name == method else NO_CONTROL)
    return Standing(
        method,
        len(own),
        tuple(run.seed for run in own),
        _mean(finals),
        _mean(scaled) if scaled else Estimate(words="no scale"),
        name,
        gain(sides[:1], sides[1:], "mean") if pair else missing,
        improvement(sides[:1], sides[1:]) if pair else missing,
    )


def _mean(scores: Sequence[float]) -> Estimate:
    """Return a mean over runs; of one run its own score, which is a number that was measured."""
    if len(scores) == 1:
        return Estimate(scores[0], words="one run")
    return aggregate([scores], "mean")


@dataclass(frozen=True)
class Curve:
    """A method's scores over its training.

    Attributes:
        method: Its name.
        steps: `[P]`.
        middle: `[P]`.
        low: `[P]`, of the interval; None where there is one run.
        high: `[P]`.
        runs: How many.
    """

    method: str
    steps: Floats
    middle: Floats
    low: Floats | None
    high: Floats | None
    runs: int


def curves(cell: Cell, runs: Sequence[Run]) -> list[Curve]:
    """Return for each method in an environment the mean return over runs, with the bootstrap interval of that mean."""
    own = [run for run in runs if run.cell == cell]
    return [_curve(method, ours) for method, ours in by_method(own).items()]


def _curve(method: str, runs: Sequence[Run]) -> Curve:
    steps = common_steps(runs)
    returns = np.array([_at(run, steps) for run in runs])
    if len(runs) == 1:
        return Curve(method, np.array(steps, dtype=np.float64), returns[0], None, None, 1)
    middle, low, high = statistics.intervals([returns], "mean", RESAMPLES, LEVEL, SEED)
    return Curve(method, np.array(steps, dtype=np.float64), middle, low, high, len(runs))


def common_steps(runs: Sequence[Run]) -> list[int]:
    """Return the steps at which all of some runs were evaluated."""
    return sorted(set.intersection(*(set(run.steps) for run in runs)))


def _at(run: Run, steps: Sequence[int]) -> list[float]:
    found = dict(zip(run.steps, run.returns, strict=True))
    return [found[step] for step in steps]


def joint_curves(runs: Sequence[Run], scale: Any) -> list[Curve]:
    """Return for each method the IQM of normalized scores over all environments of one length, over its training.

    Args:
        runs: Of the same length.
        scale: The protocol's `normalized`.
    """
    found = []
    for method, own in by_method([run for run in runs if run.normalized is not None]).items():
        if len(own) > 1:
            found.append(_joint(method, own, scale))
    return found


def _joint(method: str, runs: Sequence[Run], scale: Any) -> Curve:
    steps = common_steps(runs)
    steps = steps[:: -max(1, -(-len(steps) // MOST_POINTS))][::-1]  # from the end: the last one is what all ends in
    tables = [
        np.array([[scale(cell.task, value) for value in _at(run, steps)] for run in own])
        for cell, own in by_cell(runs).items()
    ]
    middle, low, high = statistics.intervals(tables, "iqm", RESAMPLES, LEVEL, SEED) if steps else np.empty((3, 0))
    several = max(map(len, tables)) > 1
    ends = (low, high) if several else (None, None)
    return Curve(method, np.array(steps, dtype=np.float64), middle, ends[0], ends[1], len(runs))


def profiles(runs: Sequence[Run]) -> dict[str, statistics.Profile]:
    """Return the performance profile of each method with more than one run on the scale."""
    found = {}
    for method, own in by_method(runs).items():
        scores = list(normalized_of(own).values())
        if sum(map(len, scores)) > 1:
            found[method] = statistics.performance_profile(scores, THRESHOLDS, RESAMPLES, LEVEL, SEED)
    return found
