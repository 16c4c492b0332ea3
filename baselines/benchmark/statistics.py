"""What scores of several runs on several tasks say of a method, and how certainly.

Scores of a method are a list with one array per task, that of its runs, one score each; tasks may have different
numbers of runs. Intervals resample the runs of each task with replacement and keep the tasks: the stratified bootstrap.

Source: Agarwal, Schwarzer, Castro, Courville and Bellemare, "Deep Reinforcement Learning at the Edge of the Statistical
    Precipice", NeurIPS 2021 (arXiv:2108.13264), which names the aggregates; their code is google-research/rliable.
    Where we differ: resampling is scipy's and comes from a seed.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from bagged_envs.wrappers.arguments import known, positive_int

Floats = npt.NDArray[np.float64]
Scores = Sequence[npt.ArrayLike]
# Each takes tasks' scores `[..., runs]` and returns `[...]`: the leading axes are resamples.
Aggregate = Callable[..., Floats]


def iqm(*tasks: Floats) -> Floats:
    """Return the interquartile mean: that of the middle half of all runs of all tasks together.

    A quarter of the runs, rounded down, is cut off at either end.

    Example:
        >>> float(iqm(np.array([0.0, 1.0]), np.array([2.0, 100.0])))
        1.5
    """
    scores = np.concatenate(tasks, axis=-1)
    runs = scores.shape[-1]
    cut = runs // 4
    # To the bit what scipy.stats.trim_mean returns, without its search for NaN: reports take many thousands of these.
    ordered = np.partition(scores, (cut, runs - cut - 1), axis=-1)
    return np.asarray(ordered[..., cut : runs - cut].mean(axis=-1))


def mean(*tasks: Floats) -> Floats:
    """Return the mean over tasks of each task's mean over runs."""
    return _over_tasks(task.mean(axis=-1) for task in tasks)


def median(*tasks: Floats) -> Floats:
    """Return the median over tasks of each task's mean over runs.

    Example:
        >>> float(median(np.array([0.0, 1.0]), np.array([2.0, 4.0]), np.array([9.0])))
        3.0
    """
    found: Floats = np.median([task.mean(axis=-1) for task in tasks], axis=0)
    return found


def optimality_gap(*tasks: Floats, goal: float = 1.0) -> Floats:
    """Return by how much runs fall short of a goal: the mean over tasks and runs of max(goal - score, 0).

    Example:
        >>> float(optimality_gap(np.array([0.5, 2.0]), np.array([1.0, 1.0])))
        0.125
    """
    return _over_tasks(np.maximum(goal - task, 0.0).mean(axis=-1) for task in tasks)


def _over_tasks(values: Iterable[Floats]) -> Floats:
    found: Floats = np.mean(list(values), axis=0)
    return found


AGGREGATES: dict[str, Aggregate] = {"iqm": iqm, "mean": mean, "median": median, "optimality_gap": optimality_gap}


class Interval(NamedTuple):
    """An estimate, and a bootstrap interval around it.

    Attributes:
        estimate: From all runs.
        low: Its lower end.
        high: Its upper end.
    """

    estimate: float
    low: float
    high: float


def interval(
    scores: Scores, aggregate: str = "iqm", resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return an aggregate of a method's scores with its percentile bootstrap interval.

    With one run per task there is nothing to resample, and both ends are the estimate.

    Args:
        scores: For each task `[runs]`.
        aggregate: One of `AGGREGATES`.
        resamples: How many.
        level: How much of the resamples' distribution lies in the interval.
        seed: Of the resampling; the same scores and seed give the same interval.

    Raises:
        ValueError: There is no such aggregate, no task, a task without runs, or a score that is not finite.
    """
    tasks, of = checked(scores), AGGREGATES[known("aggregate", aggregate, list(AGGREGATES))]
    return _interval(tasks, of, resamples, level, seed)


def intervals(
    scores: Scores, aggregate: str = "iqm", resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> tuple[Floats, Floats, Floats]:
    """Return what `interval` gives for each of K scores of the same runs: estimates, lower and upper ends, `[K]`.

    Args:
        scores: For each task `[runs, K]`.
        aggregate: As for `interval`.
        resamples: As for `interval`.
        level: As for `interval`.
        seed: As for `interval`.

    Raises:
        ValueError: As for `interval`, or a task has another K.

    Example:
        >>> intervals([[[0.0, 1.0], [2.0, 1.0]]], "mean", resamples=100)[0].tolist()
        [1.0, 1.0]
    """
    of = AGGREGATES[known("aggregate", aggregate, list(AGGREGATES))]
    tables = [np.asarray(table, dtype=np.float64) for table in scores]
    if any(table.ndim != 2 or table.shape[1] != tables[0].shape[1] for table in tables):
        raise ValueError(f"scores must have [runs, K] for each task, got {[table.shape for table in tables]}.")
    checked([table.ravel() for table in tables])

    def at_each(*drawn: npt.NDArray[np.intp]) -> Floats:  # of which runs, so that they are drawn once for all K
        return np.stack([
            of(*(column[rows] for column, rows in zip(columns, drawn, strict=True)))
            for columns in zip(*(table.T for table in tables), strict=True)
        ])  # fmt: skip

    return _intervals([np.arange(len(table)) for table in tables], at_each, resamples, level, seed)


def probability_of_improvement(
    first: Scores, second: Scores, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return the probability that a run of the first method is better than one of the second, averaged over tasks.

    Of each task, the share of pairs of runs in which the first has the higher score; a tie counts a half. That is the
    Mann-Whitney statistic divided by the number of pairs.

    Args:
        first: For each task `[runs]`.
        second: For the same tasks, in the same order.
        resamples: As for `interval`.
        level: As for `interval`.
        seed: As for `interval`.

    Raises:
        ValueError: As for `interval`, or the methods have different numbers of tasks.

    Example:
        >>> probability_of_improvement([[1.0, 3.0]], [[2.0, 1.0]], resamples=10).estimate
        0.625
    """
    ones, others = checked(first), checked(second)
    _check_common(ones, others)

    def improvement(*tasks: Floats) -> Floats:
        pairs = zip(tasks[: len(ones)], tasks[len(ones) :], strict=True)
        return _over_tasks(_won(one, other) for one, other in pairs)

    return _interval([*ones, *others], improvement, resamples, level, seed)


def _won(one: Floats, other: Floats) -> Floats:
    """Return the share of pairs of runs that one wins, `[..., runs]` and `[..., runs]` to `[...]`."""
    difference = one[..., :, None] - other[..., None, :]
    wins: Floats = (0.5 * (np.sign(difference) + 1.0)).mean(axis=(-2, -1))
    return wins


def gain(
    first: Scores,
    second: Scores,
    aggregate: str = "iqm",
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return by how much an aggregate of the first method exceeds that of the second, with its bootstrap interval.

    Args:
        first: For each task `[runs]`.
        second: For the same tasks, in the same order; numbers of runs may differ.
        aggregate: As for `interval`.
        resamples: As for `interval`.
        level: As for `interval`.
        seed: As for `interval`.

    Raises:
        ValueError: As for `interval`, or the methods have different numbers of tasks.

    Example:
        >>> gain([[1.0, 3.0]], [[0.0, 1.0, 2.0]], "mean", resamples=10).estimate
        1.0
    """
    ones, others, of = checked(first), checked(second), AGGREGATES[known("aggregate", aggregate, list(AGGREGATES))]
    _check_common(ones, others)

    def difference(*tasks: Floats) -> Floats:
        return of(*tasks[: len(ones)]) - of(*tasks[len(ones) :])

    return _interval([*ones, *others], difference, resamples, level, seed)


def _check_common(ones: Sequence[Floats], others: Sequence[Floats]) -> None:
    if len(ones) != len(others):
        raise ValueError(f"second must have the {len(ones)} tasks of first, got {len(others)}: take common ones.")


class Profile(NamedTuple):
    """Which share of runs scores above each threshold, and the pointwise bootstrap interval around it.

    Attributes:
        thresholds: `[K]`.
        share: `[K]`, in [0, 1], over runs of each task and then over tasks.
        low: `[K]`.
        high: `[K]`.
    """

    thresholds: Floats
    share: Floats
    low: Floats
    high: Floats


def performance_profile(
    scores: Scores, thresholds: npt.ArrayLike, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Profile:
    """Return the share of runs whose score exceeds each of some thresholds, averaged over tasks.

    Args:
        scores: For each task `[runs]`.
        thresholds: `[K]`, at least one.
        resamples: As for `interval`.
        level: As for `interval`.
        seed: As for `interval`.

    Raises:
        ValueError: As for `interval`, or there is no threshold.

    Example:
        >>> performance_profile([[0.2, 0.6], [1.0, 1.0]], [0.0, 0.5, 1.0], resamples=10).share.tolist()
        [1.0, 0.75, 0.0]
    """
    tasks, taus = checked(scores), np.asarray(thresholds, dtype=np.float64)

    if not taus.size:
        raise ValueError("thresholds must have at least one, got none.")

    exceeds = [np.asarray(task[:, None] > taus, dtype=np.float64) for task in tasks]  # [runs, K]

    def above(*drawn: npt.NDArray[np.intp]) -> Floats:  # of which runs: how often each was drawn says it all
        counts = [_times(rows, len(own)) @ own for rows, own in zip(drawn, exceeds, strict=True)]  # [..., K], whole
        shares = [count / len(own) for count, own in zip(counts, exceeds, strict=True)]
        return np.stack([_over_tasks(share[..., place] for share in shares) for place in range(len(taus))])

    return Profile(taus, *_intervals([np.arange(len(task)) for task in tasks], above, resamples, level, seed))


def _times(rows: npt.NDArray[np.intp], runs: int) -> Floats:
    """Return how often each of some runs was drawn, `[..., runs]`."""
    found: Floats = np.equal(rows[..., None], np.arange(runs)).sum(axis=-2, dtype=np.float64)
    return found


def checked(scores: Scores) -> list[Floats]:
    """Return scores as arrays, one per task.

    Raises:
        ValueError: There is no task, a task has no runs, or a score is not finite.
    """
    tasks = [np.asarray(task, dtype=np.float64) for task in scores]
    if not tasks:
        raise ValueError("scores must have at least one task, got none.")
    for place, task in enumerate(tasks):
        if task.ndim != 1 or not len(task):
            raise ValueError(f"scores must have [runs] for each task, got shape {task.shape} for task {place}.")
        if not np.isfinite(task).all():
            raise ValueError(f"scores must be finite, got {task.tolist()} for task {place}: leave out what failed.")
    return tasks


def _interval(tasks: Sequence[Floats], of: Aggregate, resamples: int, level: float, seed: int) -> Interval:
    return Interval(*map(float, _intervals(tasks, of, resamples, level, seed)))


def _intervals(
    tasks: Sequence[npt.NDArray[Any]], of: Aggregate, resamples: int, level: float, seed: int
) -> tuple[Floats, Floats, Floats]:
    """Return estimates `[...]` and the ends of their intervals, all from the same resamples.

    Args:
        tasks: For each `[runs]`.
        of: Takes what is drawn of them, `[..., runs]`, and returns `[..., the same leading axes]`.
        resamples: As for `interval`.
        level: As for `interval`.
        seed: As for `interval`.
    """
    positive_int("resamples", resamples)
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie in (0, 1), got {level!r}.")
    estimate = of(*tasks)
    several = [task for task in tasks if len(task) > 1]
    if not several:
        return estimate, estimate, estimate

    def resampled(*drawn: npt.NDArray[Any], axis: int) -> Floats:  # scipy takes no sample of one: nothing to resample
        rows, them = drawn[0].shape[:-1], iter(drawn)
        return of(*(next(them) if len(task) > 1 else np.broadcast_to(task, (*rows, 1)) for task in tasks))

    found = stats.bootstrap(
        several,
        resampled,
        n_resamples=resamples,
        vectorized=True,
        axis=-1,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    low, high = found.confidence_interval
    return estimate, low, high


def as_matrix(scores: Scores) -> Floats:
    """Return scores in rliable's shape, `[runs, tasks]`.

    Raises:
        ValueError: As for `interval`, or tasks have different numbers of runs, which that shape cannot hold.
    """
    tasks = checked(scores)
    counts = sorted({len(task) for task in tasks})
    if len(counts) > 1:
        raise ValueError(f"scores must have as many runs for each task, got between {counts[0]} and {counts[-1]}.")
    return np.stack(tasks, axis=1)


def export(path: Any, methods: Mapping[str, Scores]) -> None:
    """Write an NPZ file with `[runs, tasks]` for each method, as rliable's functions take them: `dict(np.load(path))`.

    Args:
        path: Of the file, or a file opened for writing bytes.
        methods: Scores by a method's name, which may be any.

    Raises:
        OSError: The file could not be written.
        ValueError: As for `as_matrix`.
    """
    matrices = {name: as_matrix(scores) for name, scores in methods.items()}
    with zipfile.ZipFile(path, "w") as archive:  # np.savez takes no array whose name is "file"
        for name, matrix in matrices.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, matrix, allow_pickle=False)
