"""What `bagged-envs diagnose` does: held-out bags, bootstrap fits, timelines, and warnings in plain words."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import gymnasium as gym
import numpy as np
from rich.progress import Progress
from rich.table import Table

from bagged_envs.baselines.growing_table import append_row
from bagged_envs.baselines.judging.diagnose import Diagnosis, diagnose
from bagged_envs.baselines.judging.fit import HELD_OUT, Spaces, split
from bagged_envs.baselines.promises import no_prediction
from bagged_envs.baselines.redistributors import REDISTRIBUTORS, reads_factors
from bagged_envs.baselines.redistributors.own import imported
from bagged_envs.trajectory import Trajectory
from bagged_envs.trajectory_file import load_trajectories
from bagged_envs.wrappers.arguments import a_seed, known, positive_int

if TYPE_CHECKING:
    from rich.console import Console

NUMBERS = {  # of a diagnosis, and what a table calls them
    "bag_error": "bag error",
    "gain": "gain over Uniform",
    "margin": "in std. errors",
    "fitted_gain": "gain on own bags",
    "stability": "stability",
}
FEW_BAGS = 30


def run_diagnose(
    data: Path,
    methods: Sequence[str],
    updates: int,
    bootstraps: int,
    seed: int,
    out: Path | None,
    console: Console,
) -> list[Diagnosis]:
    """Diagnose every method on a file of trajectories, and print what was found.

    Args:
        data: A file of `save_trajectories`.
        methods: Names of `REDISTRIBUTORS`; none for all that can be judged without the truth, and Uniform.
        updates: Environment steps whose worth of updates is made in each fit.
        bootstraps: How many fits the stability is taken of.
        seed: Of the split, weights and draws.
        out: A folder for `diagnosis.csv` and a timeline of each method.
        console: Where progress and the table go.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: A method is `module:name`, and there is no such module.
        ValueError: The file is damaged, has too few whole episodes or no label, or a method is unknown.
        gymnasium.error.DependencyNotInstalled: Timelines are asked for, and matplotlib is missing.
    """
    chosen = list(dict.fromkeys(known("methods", imported(name), list(REDISTRIBUTORS)) for name in methods))
    chosen = chosen or _all_methods()
    positive_int("updates", updates)
    a_seed(seed)
    loaded = load_trajectories(data)
    episodes = [one for one in loaded if one.closed]
    if len(episodes) < len(loaded):
        console.print(f"{len(loaded) - len(episodes)} episodes with an open bag are left out.")
    if len(episodes) < 2:
        raise ValueError(f"{data} must have at least two whole episodes, got {len(episodes)}: record more.")
    if not any(one.labeled.any() for one in episodes):
        bags = sum(one.num_bags for one in episodes)
        raise ValueError(f"{data} must have labeled bags, got none among {bags} bags: raise label_fraction.")
    spaces, (fitted, held_out) = Spaces.of(episodes), split(episodes, HELD_OUT, seed)
    with Progress(console=console, transient=True) as progress:
        bar, done = progress.add_task("", total=len(chosen)), progress.add_task("updates", total=None)
        found = []
        for name in chosen:
            progress.update(bar, description=name)
            tick = functools.partial(progress.advance, done)
            found.append(diagnose(name, fitted, held_out, spaces, updates, bootstraps, seed, tick))
            progress.advance(bar)
    console.print(spaces.told(), markup=False, highlight=False)
    _tell(found, fitted, held_out, console)
    if out is not None:
        write(found, held_out, out)
        console.print(f"In {out}/: diagnosis.csv and timelines", markup=False, highlight=False)
    return found


def write(found: Sequence[Diagnosis], held_out: Sequence[Trajectory], out: Path) -> None:
    """Write `diagnosis.csv`, and the timeline of the held-out episode with the most steps for each method.

    Raises:
        gymnasium.error.DependencyNotInstalled: matplotlib is missing.
    """
    try:
        from bagged_envs.baselines.judging.picture import draw_timeline
    except ImportError as error:
        raise gym.error.DependencyNotInstalled(
            f'timelines need matplotlib: pip install "bagged_envs[demo]" ({error})'
        ) from error
    out.mkdir(parents=True, exist_ok=True)
    table = out / "diagnosis.csv"
    table.unlink(missing_ok=True)
    place = int(np.argmax([len(one) for one in held_out]))
    for one in found:
        numbers = {name: getattr(one, name) for name in NUMBERS}
        append_row(
            table, {"method": one.method, **numbers, "warnings": "; ".join(one.warnings), "refused": one.refused}
        )
        if one.rewards:
            draw_timeline(one.method, held_out[place], one.rewards[place], out / f"timeline_{one.method}.png")


def _all_methods() -> list[str]:
    predicting = (name for name, kind in REDISTRIBUTORS.items() if no_prediction(kind) is None)
    return ["uniform", *(name for name in predicting if not reads_factors(name))]


def _tell(
    found: Sequence[Diagnosis], fitted: Sequence[Trajectory], held_out: Sequence[Trajectory], console: Console
) -> None:
    bags = [sum(int(one.labeled.sum()) for one in part) for part in (fitted, held_out)]
    console.print(
        f"{len(fitted)} episodes with {bags[0]} labeled bags to fit, {len(held_out)} with {bags[1]} to judge by."
    )
    if bags[0] < FEW_BAGS:
        console.print(f"Only {bags[0]} labeled bags: too few for any method to be trusted.")
    console.print(table(found))
    for one in found:
        for line in (*one.warnings, *([f"refused: {one.refused}"] if one.refused else [])):
            console.print(f"{one.method}: {line}", markup=False, highlight=False)


def table(found: Sequence[Diagnosis]) -> Table:
    """Return a table with a row for each method, the best predictor first."""
    made = Table(title="Labels of unseen bags, predicted from their steps")
    for heading in ("method", *NUMBERS.values()):
        made.add_column(heading, justify="left" if heading == "method" else "right", overflow="fold")
    for one in sorted(found, key=lambda one: math.inf if math.isnan(one.gain) else -one.gain):
        made.add_row(one.method, *(_cell(getattr(one, name)) for name in NUMBERS))
    return made


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"
