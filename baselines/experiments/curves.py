"""Learning curves of a table that `sweep` or `reference` wrote: areas under them, and a picture.

python -m bagged_envs.baselines.experiments.curves docs/results/episodic.csv --plot docs/results/episodic.png
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bagged_envs.baselines.growing_table import read_rows

Curve = dict[int, float]
Key = tuple[str, str]


def read(files: Sequence[Path]) -> dict[str, dict[str, dict[str, Curve]]]:
    """Return returns by environment, method, seed and step; an environment's name has its arguments."""
    curves: dict[str, dict[str, dict[str, Curve]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    for row in (row for file in files for row in read_rows(file)):
        arguments = row.get("arguments", "")
        id = f"{row['id']}[{arguments}]" if arguments else row["id"]
        curves[id][row["method"]][row["seed"]][int(row["step"])] = float(row["return"])
    return curves


def area(curve: Curve) -> float:
    """Return the mean of the evaluations: the area under the curve per step, for evenly spaced evaluations.

    Example:
        >>> area({5000: 1.0, 10000: 2.0})
        1.5
    """
    return float(np.mean(list(curve.values())))


def final(curve: Curve) -> float:
    """Return the mean of the last tenth of the evaluations, at least one."""
    values = [curve[step] for step in sorted(curve)]
    return float(np.mean(values[-max(1, round(len(values) / 10)) :]))


def table(curves: Mapping[str, Mapping[str, Mapping[str, Curve]]]) -> list[str]:
    """Return lines of a Markdown table: areas and final returns of each seed, up to the steps that all seeds have."""
    lines = ["| environment | method | steps | area under the curve, per seed | last tenth, per seed |"]
    lines.append("|---|---|---:|---|---|")
    for id, methods in curves.items():
        every = {method: _shared(seeds) for method, seeds in methods.items()}
        for method in sorted(every, key=lambda method: -float(np.mean([area(one) for one in every[method]]))):
            steps = max(every[method][0])
            told = [", ".join(f"{of(curve):.0f}" for curve in every[method]) for of in (area, final)]
            lines.append(f"| {id} | {method} | {steps:,} | {told[0]} | {told[1]} |")
    return lines


def _shared(seeds: Mapping[str, Curve]) -> list[Curve]:
    """Return the curves in the order of the seeds, each up to the last step that all have come to."""
    steps = min(max(curve) for curve in seeds.values())
    return [{step: value for step, value in seeds[seed].items() if step <= steps} for seed in sorted(seeds)]


def band(seeds: Mapping[str, Curve]) -> tuple[npt.NDArray[np.float64], ...]:
    """Return the steps that all seeds have, and the mean, the lowest and the highest return at each."""
    steps = sorted(set.intersection(*(set(curve) for curve in seeds.values())))
    returns = np.array([[curve[step] for step in steps] for curve in seeds.values()])
    return np.array(steps, dtype=np.float64), returns.mean(axis=0), returns.min(axis=0), returns.max(axis=0)


def plot(curves: Mapping[str, Mapping[str, Mapping[str, Curve]]], file: Path) -> None:
    """Draw a picture: a panel per environment, of each method the mean over seeds between the lowest and highest."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(curves), 4.2), layout="constrained")
    axes = figure.subplots(1, len(curves), squeeze=False)
    names = sorted({method for methods in curves.values() for method in methods})
    colors = {name: f"C{place}" for place, name in enumerate(names)}
    lines = {}
    for axis, (id, methods) in zip(axes[0], curves.items(), strict=True):
        for method in sorted(methods):
            steps, mean, low, high = band(methods[method])
            (lines[method],) = axis.plot(steps / 1000, mean, color=colors[method])
            axis.fill_between(steps / 1000, low, high, color=colors[method], alpha=0.15, linewidth=0)
        axis.set(title=id, xlabel="thousand steps", ylabel="dense return of the policy")
        axis.spines[["top", "right"]].set_visible(False)
    shown = [lines[name] for name in names]
    figure.legend(shown, names, loc="outside lower center", ncols=4 * len(curves), frameon=False, fontsize="small")
    figure.savefig(file, dpi=120)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, nargs="+")
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args(words)
    curves = read(given.tables)
    print("\n".join(table(curves)))
    if given.plot:
        plot(curves, given.plot)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
