"""All that a report says, before it is a page, a figure or a table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bagged_envs.baselines.benchmark.arms import changed_of
from bagged_envs.baselines.benchmark.protocol import Protocol, same_protocol
from bagged_envs.baselines.benchmark.report.control import Control, candidates, cells_of, controls
from bagged_envs.baselines.benchmark.report.rows import (
    RELEASED,
    Length,
    Redistribution,
    Result,
    Run,
    counted,
    is_finite,
    redistributions_of,
    runs_of,
)
from bagged_envs.baselines.benchmark.report.rows import Cell as Cell
from bagged_envs.baselines.benchmark.report.samples import Sample
from bagged_envs.baselines.benchmark.report.scores import Curve, Standing, curves, methods_of, standings
from bagged_envs.baselines.benchmark.result_file import RESULT, is_run, read_failure, read_result
from bagged_envs.baselines.lease import owner
from bagged_envs.wrappers.arguments import known


@dataclass(frozen=True)
class Content:
    """What a report is made of.

    Attributes:
        protocol: Of all results.
        runs: Those that are shown, on test seeds.
        everything: All on test seeds, shown or not: the control may be among them.
        tuning: Runs on tuning seeds, of the Identities that controls are chosen from where there are runs that are
            shown.
        against: The control of each environment.
        redistributions: Of those that are shown, on test seeds.
        unfinished: Names of folders without a whole result, and how they stand.
        missing: For each method that is shown, the runs that others have and it has not.
        notes: What a reader must know of what was left out.
        samples: Episodes of trained policies.
        without_sample: Why some methods have none.
    """

    protocol: Protocol
    runs: tuple[Run, ...]
    everything: tuple[Run, ...]
    tuning: tuple[Run, ...]
    against: Mapping[Cell, Control]
    redistributions: tuple[Redistribution, ...] = ()
    unfinished: tuple[tuple[str, str], ...] = ()
    missing: Mapping[str, int] | None = None
    notes: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()
    without_sample: tuple[str, ...] = ()

    @property
    def cells(self) -> list[Cell]:
        """Where there are runs that are shown."""
        return cells_of(self.runs)

    @property
    def places(self) -> list[Cell]:
        """Where there are runs that are shown, those in which redistributors were judged included."""
        return cells_of([*self.runs, *self.redistributions])

    @property
    def methods(self) -> list[str]:
        """All methods that are shown."""
        return sorted({*methods_of(self.runs), *(one.method for one in self.redistributions)})

    @cached_property
    def curves(self) -> dict[Cell, list[Curve]]:
        """Those of training in each environment."""
        return {cell: curves(cell, self.runs) for cell in self.cells}

    @cached_property
    def standings(self) -> dict[Cell, list[Standing]]:
        """How methods stand in each environment."""
        return {cell: standings(cell, self.runs, self.against[cell], self.everything) for cell in self.cells}

    @property
    def lengths(self) -> list[Length]:
        """How long runs are."""
        return sorted({cell.length for cell in self.cells})


@dataclass(frozen=True)
class Choice:
    """What of the results is shown.

    Attributes:
        suite: Of tasks; None for all.
        variant: None for all.
        methods: Names; none for all.
    """

    suite: str | None = None
    variant: str | None = None
    methods: tuple[str, ...] = ()

    def shows(self, one: Run | Redistribution) -> bool:
        """Return whether a run is shown."""
        return (
            self.suite in (None, one.cell.suite)
            and self.variant in (None, one.cell.variant)
            and (not self.methods or one.method in self.methods)
        )


def gathered(
    results: Sequence[Result],
    redistributions: Sequence[Result],
    protocol: Protocol,
    choice: Choice,
    unfinished: Sequence[tuple[str, str]] = (),
) -> Content:
    """Return what results come to, without sample episodes.

    Raises:
        ValueError: There is nothing to show, results are of another protocol or of several, or the choice names what
            is not there.
    """
    everything = [*results, *redistributions]
    if not everything:
        raise ValueError("folder must have a run that is whole, got none: make some with bench run.")
    found = same_protocol([result["job"]["protocol"] for result in everything])
    if found != protocol.hash:
        raise ValueError(
            f"protocol must be the one of the results, {found}, got {protocol.hash} (version {protocol.version}): name "
            "its file with --protocol."
        )
    finite = [result for result in results if is_finite(result)]
    seeds = {*protocol.test, *protocol.tuning}
    runs = runs_of([result for result in finite if result["job"]["seed"] in seeds])
    judged = redistributions_of([one for one in redistributions if one["job"]["seed"] in protocol.test])
    test = tuple(run for run in runs if run.seed in protocol.test)
    tuning = tuple(run for run in runs if run.seed in protocol.tuning)
    _check(choice, [*test, *judged])
    shown = tuple(run for run in test if choice.shows(run))
    among = candidates([*test, *tuning], cells_of(shown))
    return Content(
        protocol,
        shown,
        test,
        tuple(run for run in tuning if (run.cell, run.method) in among),
        controls(test, tuning),
        tuple(one for one in judged if choice.shows(one)),
        tuple(unfinished),
        missing(shown),
        tuple(_notes(results, finite, seeds)),
    )


def _check(choice: Choice, there: Sequence[Run | Redistribution]) -> None:
    if not there:
        raise ValueError("folder must have a whole run on a test seed, got none: tuning seeds are not reported.")
    for name in ("suite", "variant"):
        if getattr(choice, name) is not None:
            known(name, getattr(choice, name), sorted({getattr(one.cell, name) for one in there}))
    for method in choice.methods:
        known("method", method, sorted({one.method for one in there}))
    if not any(map(choice.shows, there)):
        raise ValueError(f"suite, variant and method must leave a run to show, got {choice} which leaves none.")


def _notes(results: Sequence[Result], finite: Sequence[Result], seeds: set[int]) -> list[str]:
    strange, odd = len(results) - len(finite), sum(one["job"]["seed"] not in seeds for one in finite)
    told = [(strange, "has returns that are no finite numbers"), (odd, "has a seed that is none of the protocol's")]
    return [f"Left out: {counted(count, 'run')}, which {why}." for count, why in told if count]


def missing(runs: Sequence[Run]) -> dict[str, int]:
    """Return for each method how many runs it lacks: seeds that others have where it has runs itself."""
    seeds: dict[Cell, set[int]] = defaultdict(set)
    own: dict[tuple[str, Cell], set[int]] = defaultdict(set)
    for run in runs:
        seeds[run.cell].add(run.seed)
        own[run.method, run.cell].add(run.seed)
    lacks: Counter[str] = Counter(dict.fromkeys(methods_of(runs), 0))
    for (method, cell), there in own.items():
        lacks[method] += len(seeds[cell] - there)
    return dict(lacks)


def unfinished_runs(folder: Path) -> list[tuple[str, str]]:
    """Return folders of runs that have no whole result, and why in words."""
    found = []
    for path in sorted(one for one in folder.iterdir() if one.is_dir()):
        if is_run(path) and read_result(path) is None:
            found.append((path.name, _standing(path)))
    return found


def _standing(folder: Path) -> str:
    if (folder / RESULT).exists():
        return f"damaged: {RESULT} is not as it was written"
    if owner(folder) is not None:
        return "running"
    failure = read_failure(folder)
    return "stopped" if failure is None else f"failed: {failure.replace(str(folder), folder.name)}"


def folders_of(folder: Path) -> dict[str, Path]:
    """Return folders by the key that their name ends with."""
    return {path.name.rpartition("-")[2]: path for path in sorted(folder.iterdir()) if path.is_dir()}


def methods_table(content: Content) -> list[dict[str, Any]]:
    """Return what is known of each method: what it is, where its settings come from, how many runs there are."""
    found = []
    results: dict[str, list[Result]] = defaultdict(list)
    for run in content.runs:
        results[run.method].append(run.result)
    for one in content.redistributions:
        results[one.method].append(one.result)
    for label, own in sorted(results.items()):
        job, lacks = own[0]["job"], (content.missing or {}).get(label, 0)
        settings = {f"{group}.{name}": value for group, told in changed_of(job).items() for name, value in told.items()}
        found.append({
            "label": label,
            "method": job["method"],
            "source": "; ".join(sorted({one["arm"]["source"] for one in own})),
            "trials": max(one["arm"]["trials"] for one in own),
            "runs": sum(run.method == label for run in content.runs),
            "judged": sum(one.method == label for one in content.redistributions),
            "missing": lacks,
            "settings": settings,
            "released": RELEASED in own[0],
        })  # fmt: skip
    return found
