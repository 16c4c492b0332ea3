"""The figures of a report."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, ScalarFormatter, StrMethodFormatter

from bagged_envs.baselines.benchmark.report.samples import Sample
from bagged_envs.baselines.benchmark.report.scores import Curve, Estimate, Standing
from bagged_envs.baselines.benchmark.report.style import FAINT, INK, RC, Look, short
from bagged_envs.baselines.benchmark.statistics import Profile

WIDTH = 4.2  # inches: one of two columns on a laptop, and the whole width of a phone
LEGEND_ROW, LEGEND_COLUMNS, MARK_ROW = 0.19, 2, 0.12
BAND = 0.16
MOST_BORDERS = 60


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Draw in the report's style, whatever the user's settings of matplotlib are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)  # type: ignore[arg-type]
        yield


def _figure(height: float, rows: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, sharex=True, squeeze=False)[:, 0])


def for_file(figure: Figure, methods: Sequence[str], looks: Mapping[str, Look], mark: str) -> None:
    """Put a legend and a mark below a figure that stands alone, make room for them, and drop the groups of the page.

    Args:
        figure: It.
        methods: In the legend; none for no legend.
        looks: Of the methods.
        mark: What it was made under, in small letters in the lower right corner.
    """
    for artist in figure.findobj():
        artist.set_gid(None)
    rows = -(-len(methods) // LEGEND_COLUMNS)
    width, height = figure.get_size_inches()
    height += LEGEND_ROW * rows + MARK_ROW
    figure.set_size_inches(width, height)
    figure.set_layout_engine("constrained", rect=(0, MARK_ROW / height, 1, 1 - MARK_ROW / height))
    figure.text(1 - 0.04 / width, 0.03 / height, mark, ha="right", va="bottom", fontsize=5.5, color=FAINT[0])
    if methods:
        _legend(figure, methods, looks)


def _legend(figure: Figure, methods: Sequence[str], looks: Mapping[str, Look]) -> None:
    lines = [Line2D([], [], color=looks[name].color, linestyle=looks[name].dash) for name in methods]
    legend = figure.legend(
        lines,
        [str(place) for place in range(len(lines))],
        loc="outside lower center",
        ncols=LEGEND_COLUMNS,
        borderaxespad=0.5 + 72 * MARK_ROW / RC["legend.fontsize"],  # in letters: above the mark
    )
    for text, name in zip(legend.get_texts(), methods, strict=True):
        text.set_text(short(name, 34))  # afterwards: matplotlib leaves out what begins with an underscore


def intervals(estimates: Mapping[str, Estimate], looks: Mapping[str, Look], label: str, mark: float | None) -> Figure:
    """Draw an estimate for each method, with its interval.

    Args:
        estimates: By method; those that have no value are left out.
        looks: Of the methods.
        label: Of the axis.
        mark: Where a line is drawn to compare with, if anywhere.
    """
    shown = {name: (one.value, one) for name, one in estimates.items() if one.value is not None}
    figure, (axis,) = _figure(0.75 + 0.27 * len(shown))
    for row, (name, (value, one)) in enumerate(shown.items()):
        look, at = looks[name], -row
        if one.low is not None and one.high is not None:
            axis.hlines(at, one.low, one.high, color=look.color, linewidth=7, alpha=0.3, gid=look.group)
        axis.plot([value], [at], "o", color=look.color, markersize=5.5, gid=look.group)
    if mark is not None:
        axis.axvline(mark, color=FAINT[0], linewidth=1, linestyle=(0, (4, 3)))
    axis.set_yticks([-row for row in range(len(shown))], [short(name) for name in shown])
    for text in axis.get_yticklabels():
        text.set_color(INK[0])
    for text, name in zip(axis.get_yticklabels(), shown, strict=True):
        text.set_gid(looks[name].group)
    axis.set_ylim(-len(shown) + 0.4, 0.6)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.xaxis.set_major_locator(MaxNLocator(6))
    axis.set_xlabel(label)
    return figure


def curves(found: Sequence[Curve], looks: Mapping[str, Look], label: str, unit: str) -> Figure:
    """Draw scores over training, with bands.

    Args:
        found: What is drawn.
        looks: Of the methods.
        label: Of the scores.
        unit: What training is counted in.
    """
    figure, (axis,) = _figure(2.9)
    for curve in found:
        look = looks[curve.method]
        steps = curve.steps / 1000
        marker = "o" if len(steps) == 1 else ""
        if curve.low is not None and curve.high is not None:
            axis.fill_between(steps, curve.low, curve.high, color=look.color, alpha=BAND, linewidth=0, gid=look.group)
        axis.plot(steps, curve.middle, color=look.color, linestyle=look.dash, marker=marker, gid=look.group)
    axis.set(xlabel=f"{unit}, in thousands", ylabel=label)
    axis.margins(x=0.02)
    axis.xaxis.set_major_locator(MaxNLocator(6))
    _numbers(axis.yaxis)
    return figure


def _numbers(axis: Axis, ticks: int = 6) -> None:
    """Have plain numbers at an axis, large ones with commas."""
    axis.set_major_locator(MaxNLocator(ticks))
    low, high = axis.get_view_interval()
    if max(abs(low), abs(high)) >= 2000:
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    else:
        axis.set_major_formatter(ScalarFormatter(useOffset=False))


def finals(found: Sequence[Standing], scores: Mapping[str, Sequence[float]], looks: Mapping[str, Look]) -> Figure:
    """Draw the final score of each run, and the mean over runs with its interval.

    Args:
        found: Methods in one environment.
        scores: Of their runs.
        looks: Of the methods.
    """
    estimates = {one.method: one.final for one in found}
    figure = intervals(estimates, looks, "final return", None)
    (axis,) = figure.axes
    for row, method in enumerate(estimates):
        own = looks[method]
        ends = np.asarray(scores[method])
        axis.plot(ends, np.full(len(ends), -row - 0.24), "|", color=own.color, markersize=5, gid=own.group)
    _numbers(axis.xaxis, 5)
    return figure


def profiles(found: Mapping[str, Profile], looks: Mapping[str, Look]) -> Figure:
    """Draw which share of runs exceeds each score."""
    figure, (axis,) = _figure(2.9)
    for method, one in found.items():
        look = looks[method]
        if (one.low < one.high).any():
            axis.fill_between(
                one.thresholds, one.low, one.high, color=look.color, alpha=BAND, linewidth=0, step="mid", gid=look.group
            )
        axis.step(one.thresholds, one.share, color=look.color, linestyle=look.dash, where="mid", gid=look.group)
    axis.set(xlabel="normalized score", ylabel="share of runs above it", ylim=(-0.03, 1.03))
    axis.margins(x=0.01)
    return figure


def episode(sample: Sample, look: Look) -> Figure:
    """Draw the dense, the paid and the redistributed rewards of an episode over its steps."""
    figure, axes = _figure(3.6, rows=3)
    steps = np.arange(1, len(sample.dense) + 1)
    told = {"dense": sample.dense, "paid": sample.paid, "redistributed": sample.redistributed}
    for axis, (name, rewards) in zip(axes, told.items(), strict=True):
        if len(sample.borders) <= MOST_BORDERS:
            for border in sample.borders[:-1]:
                axis.axvline(border + 0.5, color=FAINT[0], linewidth=0.5, linestyle=(0, (1, 2)))
        if name == "paid":
            _stems(axis, steps, rewards)
        else:
            color = INK[0] if name == "dense" else look.color
            axis.plot(steps, rewards, color=color, linewidth=1.2, drawstyle="steps-mid", marker="o" * (len(steps) == 1))
        axis.set_ylabel(name)
        axis.update_datalim([(1.0, 0.0)])  # with 0 in sight, what hardly differs looks so
        axis.autoscale_view()
        _numbers(axis.yaxis, 3)
        axis.grid(axis="x", visible=False)
    axes[-1].set_xlabel("step of the episode")
    axes[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes[-1].margins(x=0.02)
    figure.align_ylabels(axes)
    return figure


def _stems(axis: Axes, steps: np.ndarray, rewards: np.ndarray) -> None:
    """Draw what was paid, and where."""
    there = ~np.isnan(rewards)
    axis.vlines(steps[there], 0.0, rewards[there], color=INK[0], linewidth=1)
    axis.plot(steps[there], rewards[there], "o", color=INK[0], markersize=2.5)
    axis.axhline(0.0, color=FAINT[0], linewidth=0.7)
