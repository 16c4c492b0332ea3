"""What `bagged-envs train` does with its words."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.redistributors import pinned, settings_on
from bagged_envs.baselines.runs import Row, Run, config_of, train
from bagged_envs.baselines.tensorboard import Board, both
from bagged_envs.wrappers.arguments import known

GROUPS = ("redistributor", "learner", "training")


def train_from_command(
    method: str,
    id: str,
    settings: Sequence[str],
    steps: int,
    seed: int,
    out: Path | None,
    device: str,
    threads: int,
    checkpoint_every: int,
    tensorboard: bool = False,
) -> int:
    """Train with a progress bar; see `bagged_envs.cli.train_command`.

    Returns:
        0, or 1 where training failed or was interrupted.

    Raises:
        ValueError: A name or a setting is wrong.
    """
    groups = grouped(settings)
    named = Method.named(method, groups["redistributor"], groups["learner"])
    told = pinned(settings_on(named.redistributor, named.redistributor_settings, id, named.team))
    run = Run(
        replace(named, redistributor_settings=told),
        id,
        groups["environment"],
        config_of(named, groups["training"]),
        seed,
        device,
        threads,
    )
    folder = Path("runs") / run.folder() if out is None else out
    console = Console()
    console.print(f"{folder}", highlight=False)
    try:
        with Bar(console, steps) as bar, Board(folder) if tensorboard else nullcontext() as board:
            rows = train(run, folder, steps, checkpoint_every, both(bar.report, board))
            bar.finished(rows)
    except (FloatingPointError, OSError, RuntimeError, KeyboardInterrupt) as error:
        console.print(f"bagged-envs: {error}", style="red", markup=False, highlight=False)
        return 1
    return 0


def grouped(settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return `name=value` words by what they are settings of: the environment, or the group before their first dot.

    Raises:
        ValueError: A word is none, or a name comes twice.

    Example:
        >>> grouped(["bag_len=20", "learner.hidden=[64,64]"])["learner"]
        {'hidden': (64, 64)}
    """
    groups: dict[str, dict[str, Any]] = {name: {} for name in ("environment", *GROUPS)}
    for word in settings:
        name, sign, text = word.partition("=")
        if not sign or not name:
            raise ValueError(f"settings must be name=value, such as bag_len=20, got {word!r}.")
        group, dot, rest = name.partition(".")
        if dot:
            known("What stands before the dot of a setting", group, GROUPS)
        place, name = (groups[group], rest) if dot else (groups["environment"], name)
        if name in place:
            raise ValueError(f"each setting must come once, got {word!r} beside {place[name]!r}.")
        place[name] = tuple(found) if isinstance(found := value(text), list) and dot else found
    return groups


def value(text: str) -> Any:
    """Return what a text says in Python's or JSON's words, nan and inf among them, or the text itself.

    Example:
        >>> value("20"), value("(100, 500)"), value("true"), value("sum"), value("nan")
        (20, (100, 500), True, 'sum', nan)
    """
    if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        return float(text)
    for read in (ast.literal_eval, json.loads):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    return text


class Bar:
    """A bar with steps per second, and the return and the redistribution loss of the last evaluation."""

    def __init__(self, console: Console, steps: int, what: str = "train") -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[told]}"), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console)
        self._task = self._progress.add_task(what, total=steps, told="")
        self._told = ""
        self._steps = 0  # that were made under this bar
        self._reached = self._shown = 0

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def report(self, step: int, row: Mapping[str, Any] | None) -> None:
        """Show how the run stands; as lines where the output is no terminal."""
        self._steps += 1
        self._reached = step
        if row is not None:
            loss = row["redistribution_loss"]
            self._told = f"return {row['return']:.1f}" + ("" if loss is None else f", redistribution loss {loss:.3g}")
            if not self._progress.console.is_terminal:
                self._progress.console.print(f"step {step}: {self._told}", highlight=False)
        if row is not None or step // 100 > self._shown // 100:
            self._shown = step
            speed = self._progress.tasks[0].speed
            told = self._told if speed is None else f"{speed:.0f} steps/s {self._told}"
            self._progress.update(self._task, completed=step, told=told)

    def finished(self, rows: Sequence[Row]) -> None:
        """Fill the bar; say so where there was nothing left to do."""
        if self._steps:
            self._progress.update(self._task, completed=self._reached)
            return
        total = self._progress.tasks[0].total
        self._progress.update(self._task, completed=total)
        last = f", with return {rows[-1]['return']:.1f} at step {rows[-1]['step']}" if rows else ""
        self._progress.console.print(f"finished before: {total:,.0f} steps were made already{last}", highlight=False)
