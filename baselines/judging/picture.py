"""One episode over time: what a method says each step is worth, beside equal shares and, where known, the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bagged_envs.baselines.layout import labels
from bagged_envs.trajectory import Trajectory

Floats = npt.NDArray[np.float64]
BLUE, ORANGE, GRAY = "#0072b2", "#d55e00", "#888888"
MOST_BORDERS = 60


def equal_shares(trajectory: Trajectory) -> Floats:
    """Return each step's equal share of its bag's label, `[T]`; nan where that is not shown."""
    shown = np.where(trajectory.labeled, labels(trajectory), np.nan)
    return np.asarray((shown / np.bincount(trajectory.bag_ids))[trajectory.bag_ids])


def draw_timeline(method: str, trajectory: Trajectory, rewards: Floats, file: Path) -> None:
    """Write the timeline of an episode as PNG.

    Args:
        method: What the title says.
        trajectory: The episode.
        rewards: Redistributed, `[T]`.
        file: Where to.
    """
    figure = Figure(figsize=(10, 3.4), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    axis, steps = figure.subplots(), np.arange(1, len(trajectory) + 1)
    dense = trajectory.extras.get("dense_rewards")
    if dense is not None:
        earned = dense[: len(trajectory)].reshape(len(trajectory), -1).sum(axis=1)
        axis.plot(steps, earned, color=ORANGE, linewidth=1, alpha=0.7, label="dense reward")
    axis.step(steps, equal_shares(trajectory), where="mid", color=GRAY, linewidth=1.2, label="equal shares")
    axis.plot(steps, rewards, color=BLUE, linewidth=1.2, label=method)
    borders = np.flatnonzero(np.diff(trajectory.bag_ids)) + 1.5
    if len(borders) <= MOST_BORDERS:
        for border in borders:
            axis.axvline(border, color=GRAY, linewidth=0.5, linestyle=":")
    axis.set_xlabel("step")
    axis.set_ylabel("reward")
    axis.set_title(f"{method}: one held-out episode", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)
    figure.savefig(file)
