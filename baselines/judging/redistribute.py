"""What `bagged-envs redistribute` does: every redistributor on one task, fitted, scored, and put into one table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import Progress
from rich.table import Table

from bagged_envs.baselines.growing_table import append_row, read_rows
from bagged_envs.baselines.judging import regret
from bagged_envs.baselines.judging.case import Case, make_case
from bagged_envs.baselines.judging.judge import COLUMNS, KEYS, Row, judge, keys_of
from bagged_envs.baselines.judging.ranking import agreement
from bagged_envs.baselines.judging.recordings import RecordingConfig
from bagged_envs.baselines.latent_rewards.program import Program
from bagged_envs.baselines.redistributors import REDISTRIBUTORS, reads_factors, settings_on
from bagged_envs.baselines.redistributors.own import imported
from bagged_envs.wrappers.arguments import a_seed, known, positive_int

if TYPE_CHECKING:
    from rich.console import Console

HEADINGS = {
    "absolute_error": "abs. error",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "return_to_go": "return-to-go",
    "epic": "EPIC",
    "shaping_free": "shaping-free",
    "bag_residual": "bag residual",
    "bag_error": "held-out bag error",
    "regret": "regret",
    "seconds_per_update": "s/update",
}
HEADING = ",".join(COLUMNS)
WHOLE = ("budget", "seed")
TEXTS = (*(key for key in KEYS if key not in WHOLE), "refused")


def run_redistribute(
    id: str,
    arguments: Mapping[str, Any],
    methods: Sequence[str],
    seeds: Sequence[int],
    updates: int,
    config: RecordingConfig,
    shift: Sequence[int],
    out: Path | None,
    console: Console,
    factors: str | None = None,
    allow_weaker_sandbox: bool = False,
) -> list[Row]:
    """Fit every method with every seed, print the tables, and return the rows.

    Args:
        id: An ID of ours, with a delay.
        arguments: As for `gym.make`.
        methods: Names of `REDISTRIBUTORS`; none for all that need no program which the task does not have.
        seeds: Each has recordings, a split and weights of its own.
        updates: Environment steps whose worth of updates each method makes.
        config: How episodes are recorded.
        shift: Bag lengths to score on as well, without fitting anew.
        out: A CSV file, to which each row is added when it is there; methods that it has already are not run again.
        console: Where progress and tables go.
        factors: The program of methods that read factors; None for the task's own.
        allow_weaker_sandbox: Run programs also where the system cannot be kept from them by seccomp.

    Raises:
        ImportError: A method is `module:name`, and there is no such module.
        OSError: The program's file cannot be read.
        ValueError: A method is unknown, there is no such program, or the ID pays by success.
    """
    if factors is not None:
        Program.named(factors)  # what cannot be read is said before anything is recorded
    names = list(dict.fromkeys(known("methods", imported(name), list(REDISTRIBUTORS)) for name in methods))
    names = names or _all_methods(id, factors)
    settings = {name: _settings(name, factors, allow_weaker_sandbox) for name in names}
    positive_int("updates", updates)
    positive_int("seeds", len(seeds))
    for seed in seeds:
        a_seed(seed)
    rows = [] if out is None else _read(out)
    wanted: list[Row] = []
    with Progress(console=console, transient=True) as progress:
        bar, done = progress.add_task("", total=len(names) * len(seeds)), progress.add_task("updates", total=None)
        for seed in seeds:
            progress.update(bar, description=f"seed {seed}: recording")
            case = make_case(id, arguments, seed, config)
            shifted = [case.under(replace(case.schedule, bag_len=length)) for length in shift]
            for name in names:
                progress.update(bar, description=f"seed {seed}: {name}")
                wanted += _rows_of(
                    name, case, shifted, updates, rows, out, lambda: progress.advance(done), settings[name]
                )
                progress.advance(bar)
    _print(wanted, case, console)
    return wanted


def _rows_of(
    name: str,
    case: Case,
    shifted: Sequence[Case],
    updates: int,
    there: Sequence[Row],
    out: Path | None,
    after_update: Callable[[], None],
    settings: Mapping[str, Any],
) -> list[Row]:
    """Return the rows of a method: those that the file has, and the others, which are added to it."""
    wanted = {_key(keys_of(name, case, one, updates, settings)): one for one in (case, *shifted)}
    found = {_key(row): row for row in there if _key(row) in wanted}
    if len(found) < len(wanted):
        missing = [one for key, one in wanted.items() if key not in found and one is not case]
        for row in judge(name, case, updates, missing, after_update, settings):
            if _key(row) not in found:
                found[_key(row)] = row
                if out is not None:
                    append_row(out, row)
    return [found[key] for key in wanted]


def _settings(name: str, factors: str | None, allow_weaker_sandbox: bool = False) -> dict[str, Any]:
    given = {"factors": factors, "allow_weaker_sandbox": allow_weaker_sandbox}
    return {key: value for key, value in given.items() if value} if reads_factors(name) else {}


def _all_methods(id: str, factors: str | None) -> list[str]:
    """Return the methods that need no program, and those whose program is there."""
    known_factors = {name: settings_on(name, _settings(name, factors), id).get("factors") for name in REDISTRIBUTORS}
    return [name for name, program in known_factors.items() if program is not None or not reads_factors(name)]


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[key] for key in KEYS)


def _read(out: Path) -> list[Row]:
    """Return the rows of a table of ours. A last line that was cut while it was written is taken out.

    Raises:
        ValueError: It has other columns.
    """
    text = out.read_text(encoding="utf-8") if out.exists() else ""
    heading, newline, _ = text.partition("\n")
    if heading != HEADING if newline else not HEADING.startswith(heading):
        raise ValueError(f"out must be a table with columns {HEADING}, got {out} with {heading}: name another file.")
    if text and not text.endswith("\n"):
        out.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")
    return [
        {key: value if key in TEXTS else int(value) if key in WHOLE else float(value) for key, value in row.items()}
        for row in read_rows(out)
    ]


def _print(rows: Sequence[Row], case: Case, console: Console) -> None:
    for scored_on in dict.fromkeys(row["scored_on"] for row in rows):
        own = [row for row in rows if row["scored_on"] == scored_on]
        console.print(table(own, title=f"{case.id}: fitted on {case.schedule}, scored on {scored_on}"))
    for method, reason in {row["method"]: row["refused"] for row in rows if row["refused"]}.items():
        console.print(f"{method} refused: {reason}", markup=False, highlight=False)
    console.print(_notes(case), markup=False, highlight=False)
    fitted = [row for row in rows if row["scored_on"] == str(case.schedule)]
    told = [f"{HEADINGS[score]} {value:.2f} ({count})" for score, (value, count) in agreement(fitted).items()]
    console.print(
        "Held-out bag error ranks methods as the truth does (Spearman over so many methods): "
        + (", ".join(told) or "fewer than three methods predict labels"),
        markup=False,
        highlight=False,
    )


def _notes(case: Case) -> str:
    if case.model is None:
        return (
            "EPIC compares with a regression of the dense rewards on (s, a, s'), whose own error on held-out steps is "
            f"{case.truth_error:.3g} per step. Scores with - are not defined: see docs/redistribution.md."
        )
    best, chance = regret.optimal_return(case.model), regret.random_return(case.model)
    return f"Regret is of an optimal return of {best:.3g}; random actions have a regret of {best - chance:.3g}."


def table(rows: Sequence[Row], title: str) -> Table:
    """Return a table with a row for each method: the mean over seeds, and the standard deviation where there are two.

    Scores that no method has are left out.
    """
    shown = [name for name in HEADINGS if any(not math.isnan(row[name]) for row in rows)]
    made = Table(title=title)
    for heading in ("method", *(HEADINGS[name] for name in shown), "updates"):
        made.add_column(heading, justify="left" if heading == "method" else "right", overflow="fold")
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        if any(row["refused"] for row in own):
            made.add_row(method, "refused, see below")
            continue
        made.add_row(method, *(_cell([row[name] for row in own]) for name in shown), _count(own[0]["updates"]))
    return made


def _count(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f}"


def _cell(values: Sequence[float]) -> str:
    there = [value for value in values if not math.isnan(value)]
    if not there:
        return "-"
    spread = f" ± {np.std(there, ddof=1):.2g}" if len(there) > 1 and np.ptp(there) else ""
    return f"{np.mean(there):.3g}{spread}"
