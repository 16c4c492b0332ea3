"""The tables of a report, as CSV and as LaTeX."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bagged_envs.baselines.benchmark.report.control import Control
from bagged_envs.baselines.benchmark.report.rows import Cell, Length, Redistribution
from bagged_envs.baselines.benchmark.report.samples import Sample
from bagged_envs.baselines.benchmark.report.scores import Curve, Estimate, Standing, Summary
from bagged_envs.baselines.benchmark.statistics import Profile

Rows = Iterable[Sequence[Any]]
CELL = ("id", "arguments", "label", "steps")  # the first two as in runs.csv, to be joined with it
SUMMED = ("iqm", "median", "optimality_gap", "gain", "improvement")
STOOD = ("final", "normalized", "gain", "improvement")
TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    '"': r"\textquotedbl{}", "|": r"\textbar{}", "…": r"\ldots{}",
}  # fmt: skip


class Table(NamedTuple):
    """A table that becomes a file.

    Attributes:
        heading: The names of its columns.
        rows: A value for each of them.
    """

    heading: Sequence[str]
    rows: Rows


def csv_of(table: Table, protocol: str) -> str:
    """Return a table as CSV, with the protocol's hash on each row; what is not there is empty."""
    stream = io.StringIO()
    rows = ([protocol, *("" if value is None else value for value in row)] for row in table.rows)
    csv.writer(stream, lineterminator="\n").writerows([["protocol", *table.heading], *rows])
    return stream.getvalue()


def _columns(name: str) -> tuple[str, ...]:
    return name, f"{name}_low", f"{name}_high", f"{name}_words"


def _values(one: Estimate) -> tuple[Any, ...]:
    return one.value, one.low, one.high, one.words


def summary(found: Mapping[Length, Sequence[Summary]]) -> Table:
    """Return the summary of each length."""
    heading = ["steps", "unit", "method", "environments", "of", "runs", *(c for name in SUMMED for c in _columns(name))]
    heading += ["gain_environments", "improvement_environments"]
    rows = (
        [
            *(length.steps, length.unit, one.method, one.cells, one.of, one.runs),
            *(v for name in SUMMED for v in _values(getattr(one, name))),
            *(one.gained, one.improved),
        ]
        for length, summaries in found.items()
        for one in summaries
    )
    return Table(heading, rows)


def standings(found: Mapping[Cell, Sequence[Standing]], controls: Mapping[Cell, Control]) -> Table:
    """Return how methods stand in each environment."""
    heading = [*CELL, "task", "method", "runs", "seeds", *(c for name in STOOD for c in _columns(name))]
    rows = (
        [
            *_cell(cell), cell.task, one.method, one.runs, " ".join(map(str, one.seeds)),
            *(v for name in STOOD for v in _values(getattr(one, name))), one.control, controls[cell].words,
        ]
        for cell, standings in found.items()
        for one in standings
    )  # fmt: skip
    return Table([*heading, "control", "control_words"], rows)


def _cell(cell: Cell) -> tuple[str, str, str, int]:
    return cell.id, cell.arguments, cell.label, cell.steps


def curves(found: Mapping[Cell, Sequence[Curve]]) -> Table:
    """Return learning curves."""
    rows = (
        [*_cell(cell), curve.method, curve.runs, *point]
        for cell, curves in found.items()
        for curve in curves
        for point in _points(curve)
    )
    return Table([*CELL, "method", "runs", "step", "mean", "low", "high"], rows)


def joint(found: Mapping[Length, Sequence[Curve]]) -> Table:
    """Return learning curves over all environments."""
    rows = (
        [length.steps, length.unit, curve.method, curve.runs, *point]
        for length, curves in found.items()
        for curve in curves
        for point in _points(curve)
    )
    return Table(["steps", "unit", "method", "runs", "step", "iqm", "low", "high"], rows)


def _points(curve: Curve) -> Iterable[tuple[Any, ...]]:
    steps = [int(step) for step in curve.steps]
    band = [[None] * len(steps) if ends is None else ends.tolist() for ends in (curve.low, curve.high)]
    return zip(steps, curve.middle.tolist(), *band, strict=True)


def profiles(found: Mapping[Length, Mapping[str, Profile]]) -> Table:
    """Return performance profiles."""
    rows = (
        [length.steps, length.unit, method, *point]
        for length, profiles in found.items()
        for method, profile in profiles.items()
        for point in zip(*(values.tolist() for values in profile), strict=True)
    )
    return Table(["steps", "unit", "method", "score", "share", "low", "high"], rows)


def samples(found: Sequence[Sample]) -> Table:
    """Return sample episodes."""
    rows = (
        [*_cell(one.cell), one.method, one.seed, step + 1, dense, None if paid != paid else paid, redistributed]
        for one in found
        for step, (dense, paid, redistributed) in enumerate(
            zip(one.dense.tolist(), one.paid.tolist(), one.redistributed.tolist(), strict=True)
        )
    )
    return Table([*CELL, "method", "seed", "step", "dense", "paid", "redistributed"], rows)


def redistributions(found: Sequence[Redistribution]) -> Table:
    """Return the quality of redistributions, a row per run and score."""
    rows = (
        [*_cell(one.cell), one.method, one.seed, name, value] for one in found for name, value in one.scores.items()
    )
    return Table([*CELL, "method", "seed", "score", "value"], rows)


def methods(found: Sequence[Mapping[str, Any]]) -> Table:
    """Return what methods are."""
    names = ("label", "method", "source", "trials", "runs", "judged", "missing", "settings")
    rows = ([json.dumps(one[name]) if name == "settings" else one[name] for name in names] for one in found)
    return Table(["method" if name == "label" else "built_as" if name == "method" else name for name in names], rows)


def tex(words: str) -> str:
    r"""Return words as LaTeX shows them.

    Example:
        >>> tex("50% of a_b")
        '50\\% of a\\_b'
    """
    return "".join(TEX.get(sign, sign) for sign in " ".join(words.split()))


def summary_tex(found: Sequence[Summary], caption: str, label: str) -> str:
    """Return a summary as a table of LaTeX's package booktabs."""
    heading = ("Method", "Runs", "IQM", "Median", "Optimality gap", "Gain", "P(improvement)")
    lines = [
        r"% needs \usepackage{booktabs} and \usepackage[T1]{fontenc}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{tex(caption)}}}",
        rf"  \label{{tab:{label}}}",
        r"  \begin{tabular}{lrlllll}",
        r"    \toprule",
        f"    {' & '.join(map(tex, heading))} \\\\",
        r"    \midrule",
        *(f"    {' & '.join(_tex_row(one))} \\\\" for one in found),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _tex_row(one: Summary) -> list[str]:
    part = "" if one.cells == one.of else f" ({one.cells} of {one.of} environments)"
    return [tex(one.method + part), str(one.runs), *(_tex_cell(getattr(one, name), one.part(name)) for name in SUMMED)]


def _tex_cell(one: Estimate, part: str) -> str:
    if one.value is None:
        return rf"\emph{{{tex(one.words)}}}"
    if one.low is None or one.high is None:
        return rf"{signed(one.value)} \emph{{({tex(', '.join(filter(None, (one.words, part))))})}}"
    said = rf" \emph{{({part})}}" if part else ""
    return f"{signed(one.value)} [{signed(one.low)}, {signed(one.high)}]{said}"


def signed(value: float) -> str:
    """Return a number of a scale from 0 to 1, a negative one with LaTeX's minus.

    Example:
        >>> signed(-0.5)
        '$-$0.50'
    """
    rounded = f"{value:.2f}"
    return rounded.replace("-", "$-$") if float(rounded) else "0.00"
