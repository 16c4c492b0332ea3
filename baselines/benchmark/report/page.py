"""The page of a report: one file that needs nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bagged_envs.baselines.benchmark.report import pictures, words
from bagged_envs.baselines.benchmark.report.album import Shown
from bagged_envs.baselines.benchmark.report.content import Content, methods_table
from bagged_envs.baselines.benchmark.report.rows import Cell, Redistribution
from bagged_envs.baselines.benchmark.report.style import FAINT, GRID, INK, PALETTE, PAPER, Look, looks
from bagged_envs.baselines.benchmark.report.views import View
from bagged_envs.baselines.judging.redistribute import HEADINGS

FOLDER = Path(__file__).parent / "page"
BETTER = {
    **dict.fromkeys(
        ("absolute_error", "epic", "shaping_free", "bag_residual", "bag_error", "regret"), "less is better"
    ),
    **dict.fromkeys(("pearson", "spearman", "return_to_go"), "more is better"),
}


def render(
    content: Content,
    found: Sequence[View],
    shown: Mapping[str, Shown],
    commands: Sequence[str],
    suites: Mapping[str, str],
) -> str:
    """Return the page.

    Args:
        content: What it says.
        found: Summaries, as `views` returns them.
        shown: Their figures, as `album` draws them.
        commands: What to type to have all runs again.
        suites: Files that these commands name, and what is in them.
    """
    look = looks(content.methods)
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"commas": "{:,}".format, "listed": words.listed}
    environment.globals |= {"number": number, "share": share}
    told = _told(content, found, shown, look)
    return environment.get_template("page.html").render(told, commands=commands, suites=suites)


def _told(
    content: Content, found: Sequence[View], shown: Mapping[str, Shown], look: Mapping[str, Look]
) -> dict[str, Any]:
    results = words.results_of(content)
    standing = Counter(why.partition(":")[0] for _, why in content.unfinished)
    return {
        "content": content,
        "protocol": content.protocol,
        "css": Markup((FOLDER / "page.css").read_text() + _colors(look)),
        "js": Markup((FOLDER / "page.js").read_text()),
        "look": look,
        "suite_names": sorted({cell.suite for cell in content.places}),
        "variant_names": sorted({cell.variant for cell in content.places}),
        "views": [_view(view, shown, look) for view in found],
        "cells": [_cell(place, cell, content, shown, look) for place, cell in enumerate(content.cells)],
        "redistributions": redistribution_tables(content.redistributions),
        "methods": methods_table(content),
        "standing": standing,
        "lacking": sum((content.missing or {}).values()),
        "versions": words.versions_of(results),
        "machines": words.machines_of(results),
        "references": {
            task: content.protocol.references.get(task) for task in sorted({cell.task for cell in content.cells})
        },
        "control": " ".join(words.control_words([content.against[cell] for cell in content.cells])),
        "paragraph": words.methods_paragraph(content),
        "interval": words.INTERVAL,
        "recording": words.recording(content.protocol),
        "test_seeds": words.spans(sorted(content.protocol.test)),
        "tuning_seeds": words.spans(sorted(content.protocol.tuning)) or "none",
        "final_share": words.percent(content.protocol.final_share),
    }


def _view(view: View, shown: Mapping[str, Shown], look: Mapping[str, Look]) -> dict[str, Any]:
    return {
        "view": view,
        "choices": json.dumps([list(choice) for choice in view.choices]),
        "figures": [shown[picture.name] for picture in pictures.of_view(view, look)],
        "partial": [one.method for one in view.summaries if one.cells < one.of],
        "common": any(one.cells == one.of for one in view.summaries),
        "fewest": min(Counter((run.method, run.cell) for run in view.runs).values()),
        "scaled": len({run.cell for run in view.runs if run.normalized is not None}),
    }


def _cell(
    place: int, cell: Cell, content: Content, shown: Mapping[str, Shown], look: Mapping[str, Look]
) -> dict[str, Any]:
    episodes = [one for one in content.samples if one.cell == cell]
    return {
        "cell": cell,
        "place": place,
        "control": content.against[cell],
        "figures": [shown[make(cell, content, look).name] for make in (pictures.of_cell, pictures.finals_of)],
        "standings": content.standings[cell],
        "samples": [(one, shown[pictures.of_sample(one, look).name]) for one in episodes],
    }


def redistribution_tables(found: Sequence[Redistribution]) -> list[dict[str, Any]]:
    """Return for each environment a table of the quality of redistributions: means over seeds, and of how many."""
    tables = []
    for cell in sorted({one.cell for one in found}):
        own = [one for one in found if one.cell == cell]
        there = [name for one in own for name, value in one.scores.items() if value is not None]
        names = sorted(set(there), key=lambda name: ([*HEADINGS, name].index(name), name))
        rows = [
            (method, [_mean([one.scores.get(name) for one in own if one.method == method]) for name in names])
            for method in sorted({one.method for one in own})
        ]
        heads = [(HEADINGS.get(name, name), BETTER.get(name, "")) for name in names]
        tables.append({"cell": cell, "names": heads, "rows": rows})
    return tables


def _mean(values: Sequence[float | None]) -> tuple[float | None, int]:
    """Return the mean of what is defined, and of how many values."""
    there = [value for value in values if value is not None and np.isfinite(value)]
    return (float(np.mean(there)) if there else None), len(there)


def _colors(look: Mapping[str, Look]) -> str:
    """Return the colors of a light and of a dark page, and the rules that hide methods."""
    named = (("ink", INK), ("faint", FAINT), ("grid", GRID), ("paper", PAPER))
    sets = [
        "".join(f"--{name}: {pair[dark]}; " for name, pair in named)
        + "".join(f"--c{place}: {pair[dark]}; " for place, pair in enumerate(PALETTE))
        for dark in (0, 1)
    ]
    hide = "".join(f".hide-{one.group} .{one.group} {{ display: none !important; }}\n" for one in look.values())
    return f":root {{ {sets[0]}}}\n@media (prefers-color-scheme: dark) {{ :root {{ {sets[1]}}} }}\n{hide}"


def number(value: float) -> str:
    """Return a number of any size, short.

    Example:
        >>> number(12345.678), number(0.01234567), number(-3.0)
        ('12,346', '0.01235', '-3')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def share(value: float) -> str:
    """Return a number of a scale on which 0 and 1 mean something.

    Example:
        >>> share(0.5), share(-0.001)
        ('0.50', '0.00')
    """
    rounded = f"{value:.2f}"
    return rounded if float(rounded) else "0.00"
