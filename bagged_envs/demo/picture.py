"""One picture: four variants over time, and the learning curves under them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bagged_envs.demo.learning import REWARDS, Point, mean_curve
from bagged_envs.demo.timeline import Step

COLORS = ("#0072b2", "#009e73", "#d55e00", "#cc79a7")
CURVES = ("#555555", COLORS[0], COLORS[2])
GRAY = "#b8b8b8"


def draw(steps: Sequence[Step], points: Sequence[Point], file: Path) -> None:
    """Write the picture as PNG."""
    figure = Figure(figsize=(11, 9.5), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.45, 1))
    top, bottom = halves
    axes = top.subplots(2, 2, sharex=True)
    environments = list(dict.fromkeys(step.environment for step in steps))
    for axis, color, environment in zip(axes.flat, COLORS, environments, strict=True):
        _draw_variant(axis, color, [step for step in steps if step.environment == environment])
    for axis in axes[-1]:
        axis.set_xlabel("step")
    top.suptitle("One episode of Swimmer, four ways to pay for it", weight="bold")
    _draw_learning(bottom.subplots(), points)
    bottom.suptitle("PPO on InvertedPendulum, trained on each reward and judged by the dense one", weight="bold")
    figure.savefig(file)


def _draw_variant(axis: Any, color: str, steps: Sequence[Step]) -> None:
    t = np.array([step.t for step in steps])
    axis.fill_between(t, [step.dense_reward for step in steps], color=GRAY, alpha=0.6, linewidth=0, label="earned")
    axis.set_ylabel("earned per step", color="#777777")
    axis.tick_params(axis="y", colors="#777777")
    axis.set_title(steps[0].environment, fontsize=9.5, family="monospace")
    paid = axis.twinx()
    shown = [step for step in steps if step.reward_observed]
    paid.vlines([s.t for s in shown], 0, [s.paid for s in shown], color=color, linewidth=1.6)
    paid.plot([s.t for s in shown], [s.paid for s in shown], "o", color=color, markersize=4.5, clip_on=False)
    paid.set_ylabel("paid", color=color)
    paid.tick_params(axis="y", colors=color)
    _align_zeros(axis, paid)
    for one in (axis, paid):
        one.spines[["top"]].set_visible(False)
        one.set_xlim(0, len(steps) + 2)
        one.axhline(0, color="#888888", linewidth=0.6)


def _align_zeros(left: Any, right: Any) -> None:
    """Bring the zeros of two axes to the same height: the larger share below zero decides."""
    below = max(max(0.0, -axis.get_ylim()[0]) / max(axis.get_ylim()[1], 1e-9) for axis in (left, right))
    for axis in (left, right):
        top = axis.get_ylim()[1]
        axis.set_ylim(-below * top, top)


def _draw_learning(axis: Any, points: Sequence[Point]) -> None:
    for reward, color in zip(REWARDS, CURVES, strict=True):
        steps, mean, low, high = np.array(mean_curve(points, reward)).T
        axis.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
        axis.plot(steps, mean, color=color, linewidth=2, marker="o", markersize=3.5, label=reward)
    axis.set_xlabel("training steps")
    axis.set_ylabel("dense return (of 1000)")
    axis.set_ylim(0, 1040)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:.0f}k"))
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    seeds = len({point.seed for point in points})
    axis.legend(
        title=f"mean of {seeds} seed{'s' * (seeds > 1)}, band: lowest to highest", frameon=False, loc="upper left"
    )
