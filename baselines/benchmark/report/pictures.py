"""Which figures a report has, with what they are called and what is said below them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from bagged_envs.baselines.benchmark.report import figures
from bagged_envs.baselines.benchmark.report.content import Content
from bagged_envs.baselines.benchmark.report.rows import Cell, Run
from bagged_envs.baselines.benchmark.report.samples import SEED, Sample
from bagged_envs.baselines.benchmark.report.scores import Curve, Estimate, by_method
from bagged_envs.baselines.benchmark.report.style import Look
from bagged_envs.baselines.benchmark.report.views import View
from bagged_envs.baselines.benchmark.report.words import INTERVAL, over

MOST = 60  # characters of a name in that of a file
STATISTICS = {
    "iqm": ("Interquartile mean", "interquartile mean of normalized scores", None),
    "median": ("Median", "median of normalized scores", None),
    "optimality_gap": ("Optimality gap", "optimality gap (less is better)", None),
    "improvement": ("Probability of improvement", "probability of improvement over the control", 0.5),
}


@dataclass(frozen=True)
class Picture:
    """A figure of the report.

    Attributes:
        name: Of its files, and of what is in it.
        title: What it shows, for those who cannot see it.
        heading: What stands above it on the page.
        caption: What its parts mean, and over how many runs.
        methods: In it, for a legend; none where they are named in it.
        draw: Makes it.
    """

    name: str
    title: str
    heading: str
    caption: str
    methods: tuple[str, ...]
    draw: Callable[[], Figure]


def of_view(view: View, looks: Mapping[str, Look]) -> Iterator[Picture]:
    """Yield the figures over several environments."""
    for name, (title, label, mark) in STATISTICS.items():
        estimates = {one.method: getattr(one, name) for one in view.summaries}
        if any(one.value is not None for one in estimates.values()):
            yield Picture(
                f"{name}-{view.name}",
                label,
                title,
                f"Points are estimates, bars {INTERVAL}, stratified by environment, over {_methods_over(view.runs)}."
                f"{_barless(estimates.values())}",
                (),
                lambda of=estimates, on=label, at=mark: figures.intervals(of, looks, on, at),  # type: ignore[misc]
            )
    if view.curves:
        yield Picture(
            f"efficiency-{view.name}",
            "Interquartile mean over training",
            "Over training",
            f"Interquartile mean of normalized scores at each evaluation; bands are {INTERVAL}, stratified by "
            f"environment, over {_curves_over(view.curves)}.",
            tuple(curve.method for curve in view.curves),
            lambda: figures.curves(view.curves, looks, "normalized score (IQM)", view.length.unit),
        )
    if view.profiles:
        scaled = [run for run in view.runs if run.method in view.profiles and run.normalized is not None]
        yield Picture(
            f"profiles-{view.name}",
            "Performance profiles",
            "Performance profiles",
            "The share of runs whose final score is above each value, averaged over environments; bands are pointwise "
            f"{INTERVAL}, over {_methods_over(scaled)}.",
            tuple(view.profiles),
            lambda: figures.profiles(view.profiles, looks),
        )


def of_cell(cell: Cell, content: Content, looks: Mapping[str, Look]) -> Picture:
    """Return the learning curves of an environment."""
    found = content.curves[cell]
    bands = any(curve.low is not None for curve in found)
    said = f"Bands are {INTERVAL} of that mean" if bands else "There are no bands: they need more than one run"
    single = " A line without a band is one run." if bands and any(curve.low is None for curve in found) else ""
    return Picture(
        f"curves-{place_of(cell)}",
        f"Learning curves of {cell.label}",
        "Learning curves",
        f"Mean dense return of {content.protocol.episodes} evaluation episodes, over {_curves_over(found)}. "
        f"{said}.{single}",
        tuple(curve.method for curve in found),
        lambda: figures.curves(found, looks, "return", cell.length.unit),
    )


def finals_of(cell: Cell, content: Content, looks: Mapping[str, Look]) -> Picture:
    """Return the final scores of all runs in an environment."""
    found = content.standings[cell]
    own = by_method([run for run in content.runs if run.cell == cell])
    scores = {method: [run.final for run in runs] for method, runs in own.items()}
    return Picture(
        f"finals-{place_of(cell)}",
        f"Final returns in {cell.label}",
        "Final returns",
        f"Each stroke is the final score of a run; points are means over {over([one.runs for one in found])} of each "
        f"method, bars {INTERVAL}, which one run does not have.",
        (),
        lambda: figures.finals(found, scores, looks),
    )


def of_sample(sample: Sample, looks: Mapping[str, Look]) -> Picture:
    """Return the rewards of a sample episode."""
    look = looks[sample.method]
    bags = len(sample.borders)
    return Picture(
        f"episode-{place_of(sample.cell)}-{plain(sample.method)}",
        f"Rewards of an episode of {sample.method} in {sample.cell.label}",
        sample.method,
        f"{len(sample.dense):,} steps in {bags:,} {'bag' if bags == 1 else 'bags'}, played without exploring by the "
        f"policy of the run with seed {sample.seed}; dense return {sample.dense.sum():,.6g}. The episode's own seed is "
        f"{SEED}. Dots are where something was paid, dotted lines where bags end.",
        (),
        lambda: figures.episode(sample, look),
    )


def place_of(cell: Cell) -> str:
    """Return an environment as a part of a file's name."""
    id, _, arguments = cell.label.removesuffix("]").partition("[")
    told = f"{id}-{arguments}" if arguments else id
    return f"{_safe(told, told)}-{cell.steps}"


def plain(name: str) -> str:
    """Return a method's name as a part of a file's name: names that some file system takes for the same differ.

    Example:
        >>> plain("rrd-td3"), plain("Ours!")
        ('rrd-td3', 'Ours_-19620e')
    """
    return _safe(name, name.lower())


def _safe(name: str, wanted: str) -> str:
    """Return a name of letters, digits and a few signs, with digits of its hash where that is not as it was wanted."""
    kept = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_=.,") else "_" for sign in name)[:MOST]
    return kept if kept == wanted else f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _barless(estimates: Iterable[Estimate]) -> str:
    some = any(one.value is not None and one.low is None for one in estimates)
    return " Without a bar there is one run per environment." if some else ""


def _methods_over(runs: Sequence[Run]) -> str:
    methods = sorted({run.method for run in runs})
    return f"{over([sum(run.method == method for run in runs) for method in methods])} of each method"


def _curves_over(found: Sequence[Curve]) -> str:
    return f"{over([curve.runs for curve in found])} of each method"
