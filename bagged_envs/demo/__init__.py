"""What `bagged-envs demo` does: agreement on real rollouts, four variants over time, PPO on late rewards, a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import gymnasium as gym

if TYPE_CHECKING:
    from rich.console import Console


def run_demo(out: Path, quick: bool, console: Console) -> int:
    """Write `agreement.csv`, `timeline.csv`, `learning.csv` and `demo.png` into a folder.

    Args:
        out: The folder, made if need be.
        quick: Train hardly at all, only to see that everything runs.
        console: Where tables and progress go.

    Returns:
        0, or 1 if a bag was not paid its dense rewards to the bit.

    Raises:
        gymnasium.error.DependencyNotInstalled: The extra is missing; the message names it.
        ValueError: `out` is a file.
    """
    try:
        from bagged_envs.demo import agreement, learning, picture, timeline
        from bagged_envs.demo.rows import write
    except ImportError as error:
        raise gym.error.DependencyNotInstalled(
            f'the demo needs more packages: pip install "bagged_envs[demo]" ({error})'
        ) from error

    if out.exists() and not out.is_dir():
        raise ValueError(f"out must be a folder, got the file {out}.")
    out.mkdir(parents=True, exist_ok=True)
    rows = agreement.compare(episodes=2 if quick else 10)
    write(rows, out / "agreement.csv")
    console.print(agreement.table(rows))
    steps = timeline.play_all()
    write(steps, out / "timeline.csv")
    curves = learning.train_all(learning.QUICK if quick else learning.FULL, console)
    write(curves, out / "learning.csv")
    console.print(learning.table(curves))
    picture.draw(steps, curves, out / "demo.png")
    written = ", ".join(sorted(file.name for file in out.iterdir()))
    console.print(f"In {out}/: {written}", markup=False, highlight=False)
    return int(any(row.difference != 0.0 for row in rows))
