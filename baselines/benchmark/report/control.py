"""Over which Identity gains are stated: the best one, chosen on tuning seeds, never on those that are reported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bagged_envs.baselines.benchmark.arms import defaults_of, is_agent
from bagged_envs.baselines.benchmark.report.rows import SETTINGS, Cell, Redistribution, Run, flat


@dataclass(frozen=True)
class Control:
    """The Identity of one environment that others are compared with.

    Attributes:
        chosen: The best one on the tuning seeds; None where not all Identities have runs on the same ones.
        among: The Identities it was chosen from, which are all there are; released ones only where there are no others.
        seeds: On which seeds.
        plain: Where none could be chosen, the one whose settings are nearest to the defaults, by learner.
        untuned: Where only some have runs on tuning seeds, or not on the same ones, those that lack some.
    """

    chosen: str | None = None
    among: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    plain: Mapping[str, str] = field(default_factory=dict)
    untuned: tuple[str, ...] = ()

    def of(self, method: str) -> str | None:
        """Return what a method, as results name it, is compared with; None where there is nothing.

        Without a choice it is the Identity of the same learner, or the only one there is.
        """
        if self.chosen is not None:
            return self.chosen
        only = next(iter(self.plain.values())) if len(self.plain) == 1 else None
        return self.plain.get(_learner(method), only)

    @property
    def words(self) -> str:
        """How it was come by, as a sentence."""
        if self.chosen is not None:
            if len(self.among) == 1:
                return f"Identity: {self.chosen}, the only one that was run here."
            seeds = ", ".join(map(str, self.seeds))
            return f"Best Identity: {self.chosen}, chosen on the tuning seeds {seeds} among {len(self.among)}."
        if not self.plain:
            return "No Identity was run here: gains cannot be stated."
        names = ", ".join(sorted(set(self.plain.values())))
        why = "There are no runs on tuning seeds to choose the best Identity by"
        if self.untuned:
            why = f"Not all Identities have runs on the same tuning seeds ({', '.join(self.untuned)} without)"
        return f"{why}: the plain one is taken ({names}), and gains may be smaller over the best one."


def controls(runs: Sequence[Run], tuning: Sequence[Run]) -> dict[Cell, Control]:
    """Return the control of each environment.

    Args:
        runs: On test seeds.
        tuning: On tuning seeds.
    """
    tuned = by_cell(tuning)
    return {cell: _control(own, tuned.get(cell, [])) for cell, own in by_cell(runs).items()}


def cells_of(runs: Iterable[Run | Redistribution]) -> list[Cell]:
    """Return where runs were made, each once, in order."""
    return sorted({run.cell for run in runs})


def by_cell(runs: Sequence[Run]) -> dict[Cell, list[Run]]:
    """Return the runs in each environment, environments in order."""
    found: dict[Cell, list[Run]] = {cell: [] for cell in cells_of(runs)}
    for run in runs:
        found[run.cell].append(run)
    return found


def identities_of(runs: Sequence[Run]) -> list[Run]:
    """Return runs of methods that learn from what is paid, as it is paid.

    An agent of another library is one where the same function also makes agents with a redistributor. Without such, it
    may be anything, and is compared with others as any method is.
    """
    agents = {run.result["job"]["method"] for run in runs if _redistributes(run)}
    return [run for run in runs if _is_identity(run, agents)]


def candidates(runs: Sequence[Run], places: Iterable[Cell]) -> set[tuple[Cell, str]]:
    """Return in which environments, of some, which methods are Identities, whatever seeds they were run with."""
    some = set(places)
    return {(run.cell, run.method) for run in identities_of([run for run in runs if run.cell in some])}


def _is_identity(run: Run, agents: set[str]) -> bool:
    method = run.result["job"]["method"]
    return method.startswith("identity-") or (method in agents and not _redistributes(run))


def _redistributes(run: Run) -> bool:
    """Return whether a run is that of another library's agent with a redistributor."""
    job = run.result["job"]
    return ":" in job["method"] and job["learner"].get("redistributor") is not None


def _control(runs: Sequence[Run], tuning: Sequence[Run]) -> Control:
    own = _candidates(runs)
    names = sorted({run.method for run in own})
    tuned = {name: [run for run in tuning if run.method == name] for name in names}
    seeds = {name: {run.seed for run in some} for name, some in tuned.items()}
    common = set.intersection(*seeds.values()) if seeds else set()
    if common:
        means = {name: np.mean([run.final for run in tuned[name] if run.seed in common]) for name in names}
        return Control(max(names, key=means.__getitem__), tuple(names), tuple(sorted(common)))
    some = {seed for own_seeds in seeds.values() for seed in own_seeds}
    return Control(plain=_plain(own), untuned=tuple(name for name in names if seeds[name] != some))


def _candidates(runs: Sequence[Run]) -> list[Run]:
    """Return the runs of Identities, the user's own where there are some: released ones must not change their gains."""
    own, released = ([run for run in runs if run.released is mark] for mark in (False, True))
    return identities_of(own) or identities_of(released)


def _plain(identities: Sequence[Run]) -> dict[str, str]:
    plain: dict[str, str] = {}
    for run in sorted(identities, key=lambda run: (_changes(run), run.method)):
        plain.setdefault(_learner(run.result["job"]["method"]), run.method)
    return plain


def _learner(method: str) -> str:
    return method if is_agent(method) else method.rpartition("-")[2]


def _changes(run: Run) -> int:
    """Return how many settings are not the defaults."""
    job = run.result["job"]
    defaults, own = flat(defaults_of(job)), flat({name: job[name] for name in SETTINGS})
    return sum(own.get(path) != defaults.get(path) for path in {*own, *defaults})
