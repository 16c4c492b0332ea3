"""Over which Identity gains are stated: the best one, chosen on tuning seeds, never on those that are reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bagged_envs.baselines.benchmark.report.rows import SETTINGS, Cell, Run, defaults_of, flat


@dataclass(frozen=True)
class Control:
    """The Identity of one environment that others are compared with.

    Attributes:
        chosen: The best one on the tuning seeds; None where there are no runs with those.
        among: The Identities it was chosen from.
        seeds: On which seeds.
        plain: Where none could be chosen, the one whose settings are nearest to the defaults, by learner.
    """

    chosen: str | None = None
    among: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    plain: Mapping[str, str] = field(default_factory=dict)

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
            seeds = ", ".join(map(str, self.seeds))
            others = f" among {len(self.among)}" if len(self.among) > 1 else ", the only one that was tuned"
            return f"Best Identity: {self.chosen}, chosen on the tuning seeds {seeds}{others}."
        if not self.plain:
            return "No Identity was run here: gains cannot be stated."
        names = ", ".join(sorted(set(self.plain.values())))
        return (
            f"There are no runs on tuning seeds to choose the best Identity by: the plain one is taken ({names}), and "
            "gains may be smaller over the best one."
        )


def controls(runs: Sequence[Run], tuning: Sequence[Run]) -> dict[Cell, Control]:
    """Return the control of each environment.

    Args:
        runs: On test seeds.
        tuning: On tuning seeds.
    """
    return {cell: _control(*(_identities(some, cell) for some in (runs, tuning))) for cell in cells_of(runs)}


def cells_of(runs: Sequence[Run]) -> list[Cell]:
    """Return where runs were made, each once, in order."""
    return sorted({run.cell for run in runs})


def is_identity(method: str) -> bool:
    """Return whether a method learns from what is paid, as it is paid."""
    return method.startswith("identity-")


def _identities(runs: Sequence[Run], cell: Cell) -> list[Run]:
    return [run for run in runs if run.cell == cell and is_identity(run.result["job"]["method"])]


def _control(runs: Sequence[Run], tuning: Sequence[Run]) -> Control:
    there = {run.method for run in runs}
    tuned = [run for run in tuning if run.method in there]
    if tuned:
        names = sorted({run.method for run in tuned})
        means = {name: np.mean([run.final for run in tuned if run.method == name]) for name in names}
        return Control(max(names, key=means.__getitem__), tuple(names), tuple(sorted({run.seed for run in tuned})))
    plain: dict[str, str] = {}
    for run in sorted(runs, key=lambda run: (_changes(run), run.method)):
        plain.setdefault(_learner(run.result["job"]["method"]), run.method)
    return Control(plain=plain)


def _learner(method: str) -> str:
    return method.rpartition("-")[2]


def _changes(run: Run) -> int:
    """Return how many settings are not the defaults."""
    job = run.result["job"]
    defaults, own = flat(defaults_of(job)), flat({name: job[name] for name in SETTINGS})
    return sum(own.get(path) != defaults.get(path) for path in {*own, *defaults})
