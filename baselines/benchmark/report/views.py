"""Summaries of all environments, and of those of a suite or a variant: what filters of the page switch between."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bagged_envs.baselines.benchmark.report.content import Content
from bagged_envs.baselines.benchmark.report.control import cells_of
from bagged_envs.baselines.benchmark.report.rows import Cell, Length, Run
from bagged_envs.baselines.benchmark.report.scores import (
    Curve,
    Summary,
    joint_curves,
    profiles,
    summaries,
)
from bagged_envs.baselines.benchmark.statistics import Profile


@dataclass(frozen=True)
class View:
    """All methods over some environments of one length.

    Attributes:
        name: A short one, of letters and digits.
        length: How long runs are.
        cells: The environments.
        choices: The pairs of suite and variant that lead here; empty strings are for all.
        summaries: Of each method.
        curves: Of methods with more than one run on the scale.
        profiles: Of the same.
        runs: What it is made of.
    """

    name: str
    length: Length
    cells: tuple[Cell, ...]
    choices: tuple[tuple[str, str], ...]
    summaries: Sequence[Summary]
    curves: Sequence[Curve]
    profiles: Mapping[str, Profile]
    runs: tuple[Run, ...]

    @property
    def is_whole(self) -> bool:
        """Whether it has all environments of its length."""
        return ("", "") in self.choices


def views(content: Content) -> list[View]:
    """Return the summaries that are worth having, those of all environments first in each length."""
    found = []
    for length in content.lengths:
        runs = [run for run in content.runs if run.cell.length == length]
        for place, (cells, choices) in enumerate(_choices(cells_of(runs)).items()):
            found.append(_view(f"{length.name}-{place}", length, cells, choices, runs, content))
    return found


def _choices(cells: Sequence[Cell]) -> dict[tuple[Cell, ...], list[tuple[str, str]]]:
    """Return sets of environments and the filters that lead to them; different filters may lead to the same."""
    suites, variants = (sorted({getattr(cell, name) for cell in cells}) for name in ("suite", "variant"))
    found: dict[tuple[Cell, ...], list[tuple[str, str]]] = {}
    for suite, variant in itertools.product(["", *suites], ["", *variants]):
        some = tuple(cell for cell in cells if suite in ("", cell.suite) and variant in ("", cell.variant))
        if some:
            found.setdefault(some, []).append((suite, variant))
    return found


def _view(
    name: str,
    length: Length,
    cells: tuple[Cell, ...],
    choices: Sequence[tuple[str, str]],
    runs: Sequence[Run],
    content: Content,
) -> View:
    some = set(cells)
    own = [run for run in runs if run.cell in some]
    return View(
        name,
        length,
        cells,
        tuple(choices),
        summaries(own, content.against, content.everything),
        joint_curves(own, content.protocol.normalized),
        profiles(own),
        tuple(own),
    )
