"""What the tables of `offline` say: scores, averages with intervals, how well rewards were imputed, and a picture."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bagged_envs.baselines.benchmark.statistics import interval
from bagged_envs.baselines.growing_table import read_rows

Row = dict[str, str]
NOTHING = "–"
BOTH = "both"
HEADINGS = {
    "labels_only": "labels only",
    "imputer": "imputed",
    "constant": "constant",
    "oracle": "all rewards",
    "identity": "as paid",
    "uniform": "equal shares",
    "rd": "RD",
    "rrd": "RRD",
}
TOLD_LEARNERS = {"td3_bc": "TD3+BC", "iql": "IQL"}
# Averages over nine datasets, 1 % of the rewards, five seeds; of which learner is not known.
PUBLISHED = {"labels_only": 9.19, "imputer": 68.51}


def finals(rows: Sequence[Row]) -> list[Row]:
    """Return the last row of each run that has come as far as any."""
    last = max((int(row["step"]) for row in rows), default=0)
    return [row for row in rows if int(row["step"]) == last]


def arm_of(row: Row) -> str:
    """Return the redistributor of a row."""
    return row["method"].partition("-")[0]


def learner_of(row: Row) -> str:
    """Return the learner of a row."""
    return row["method"].partition("-")[2]


def grouped(rows: Sequence[Row], column: str) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return the scores of runs by learner, by a column, and by arm, in the order of the rows."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in rows:
        places = found.setdefault(learner_of(row), {}).setdefault(row[column], {})
        places.setdefault(arm_of(row), []).append(float(row["score"]))
    return found


def told(out: Path, protocol: str) -> dict[str, list[str]]:
    """Return the lines of Markdown tables by name: those that a protocol has."""
    rows = finals(read_rows(out))
    if protocol == "table":
        tables = {"scores": scores(rows, "data"), "averages": averages(rows), "imputed": imputed(rows)}
        return {**tables, "datasets": datasets(read_rows(out.with_suffix(".datasets.csv")))}
    if protocol == "bags":
        return {"bags": scores(rows, "schedule"), "bags rewards": agreement(rows, "schedule")}
    return {"labels": scores(rows, "labels")}


def scores(rows: Sequence[Row], column: str) -> list[str]:
    """Return a table of normalized scores: a line for each value of a column and learner, a column for each arm."""
    names = [name for name in HEADINGS if name in {arm_of(row) for row in rows}]
    lines = _heading([column, "learner", *(HEADINGS[name] for name in names)])
    for learner, places in grouped(rows, column).items():
        for place, arms in places.items():
            lines.append(_line([place, TOLD_LEARNERS[learner], *(figure(arms.get(name, [])) for name in names)]))
    return lines


def figure(values: Sequence[float]) -> str:
    """Return mean and standard deviation over seeds, and of how many.

    Example:
        >>> figure([41.0, 43.0]), figure([7.25]), figure([])
        ('42.0 ± 1.4 (2)', '7.2 (1)', '–')
    """
    if not values:
        return NOTHING
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{spread} ({len(values)})"


def by_updates(rows: Sequence[Row], shown: Sequence[int]) -> list[str]:
    """Return a table of normalized scores after so many updates: a line for each dataset, learner and arm.

    Runs that have not come so far are left out of a column; seeds are averaged.
    """
    lines = _heading(["data", "learner", "rewards", *(f"{updates:,} updates" for updates in shown)])
    found: dict[tuple[str, str, str], dict[int, list[float]]] = {}
    for row in rows:
        scores = found.setdefault((row["data"], learner_of(row), arm_of(row)), {})
        scores.setdefault(int(row["step"]), []).append(float(row["score"]))
    learners, arms = list(TOLD_LEARNERS), list(HEADINGS)
    for data, learner, arm in sorted(found, key=lambda one: (one[0], learners.index(one[1]), arms.index(one[2]))):
        told = (figure(found[data, learner, arm].get(one, [])) for one in shown)
        lines.append(_line([data, TOLD_LEARNERS[learner], HEADINGS[arm], *told]))
    return lines


def common(places: Mapping[str, Mapping[str, Sequence[float]]], names: Sequence[str]) -> list[str]:
    """Return the datasets that every arm has runs on: averages over others would not be of the same."""
    return [place for place, arms in places.items() if all(arms.get(name) for name in names)]


def averages(rows: Sequence[Row], names: Sequence[str] = ("labels_only", "constant", "imputer", "oracle")) -> list[str]:
    """Return a table of means over datasets with 95 % intervals, and the ratios that the method is about.

    Intervals resample the seeds of each dataset; where one has one seed there is none. Beside stands what is published.
    """
    ratios = ("imputed / labels only", "imputed / constant", "imputed / all rewards")
    lines = _heading(["", "means of", *(HEADINGS[name] for name in names), *ratios])
    for label, tasks in _averaged(rows, names).items():
        mean = {name: interval([task[name] for task in tasks], "mean") for name in names}
        several = {name: all(len(task[name]) > 1 for task in tasks) for name in names}
        bounds = {name: f" [{one.low:.1f}, {one.high:.1f}]" if several[name] else "" for name, one in mean.items()}
        cells = [f"{mean[name].estimate:.1f}{bounds[name]}" for name in names]
        shares = [ratio(mean["imputer"].estimate, mean[name].estimate) for name in names if name != "imputer"]
        lines.append(_line([label, f"{len(tasks)} {'datasets' if label != BOTH else 'of these'}", *cells, *shares]))
    known = [f"{PUBLISHED[name]:.2f}" if name in PUBLISHED else NOTHING for name in names]
    share = ratio(PUBLISHED["imputer"], PUBLISHED["labels_only"])
    return [*lines, _line(["published, on D4RL's data", "9 datasets", *known, share, NOTHING, NOTHING])]


def _averaged(rows: Sequence[Row], names: Sequence[str]) -> dict[str, list[Mapping[str, Sequence[float]]]]:
    """Return by learner, and of all together, the scores by arm of each dataset that has all arms."""
    found: dict[str, list[Mapping[str, Sequence[float]]]] = {}
    for learner, places in grouped(rows, "data").items():
        tasks = [places[place] for place in common(places, names)]
        if tasks:
            found[TOLD_LEARNERS[learner]] = [*tasks]
    if len(found) > 1:
        found[BOTH] = list(itertools.chain.from_iterable(found.values()))
    return found


def ratio(one: float, other: float) -> str:
    """Return how many times one score is another: nothing where that is not above 0.

    Example:
        >>> ratio(68.51, 9.19), ratio(1.0, -2.0)
        ('7.455', '–')
    """
    return f"{one / other:.3f}" if other > 0.0 else NOTHING


def imputed(rows: Sequence[Row]) -> list[str]:
    """Return a table of how imputed rewards agree with the true ones of unlabeled transitions, by dataset."""
    lines = _heading(["dataset", "R²", "mean absolute error", "updates", "seeds"])
    own = [row for row in rows if arm_of(row) == "imputer"]
    for place in dict.fromkeys(row["data"] for row in own):
        of_seed = {row["seed"]: row for row in own if row["data"] == place}  # learners share the imputer of a seed
        columns = ("r2", "error", "fit_updates")
        found = [[float(row[name]) for row in of_seed.values()] for name in columns]
        told = [f"{np.mean(found[0]):.3f}", f"{np.mean(found[1]):.3f}", f"{np.mean(found[2]):,.0f}"]
        lines.append(_line([place, *told, str(len(of_seed))]))
    return lines


def agreement(rows: Sequence[Row], column: str) -> list[str]:
    """Return a table of R² of the rewards that arms say: a line for each value of a column; seeds are averaged."""
    names = [name for name in HEADINGS if name in {arm_of(row) for row in rows if row["r2"]}]
    lines = _heading([column, *(HEADINGS[name] for name in names)])
    for place in dict.fromkeys(row[column] for row in rows):
        found = [[float(row["r2"]) for row in rows if row[column] == place and arm_of(row) == name] for name in names]
        lines.append(_line([place, *(f"{np.mean(one):.3f}" if one else NOTHING for one in found)]))
    return lines


def datasets(rows: Sequence[Row]) -> list[str]:
    """Return a table of what datasets came to."""
    lines = _heading(["dataset", "transitions", "episodes", "mean return", "normalized score"])
    for row in rows:
        numbers = [f"{int(row[name]):,}" for name in ("transitions", "episodes")]
        lines.append(_line([row["recipe"], *numbers, *(_number(row[name]) for name in ("return", "score"))]))
    return lines


def _number(text: str) -> str:
    return f"{float(text):,.1f}" if text else NOTHING


def _heading(names: Sequence[str]) -> list[str]:
    return [_line(names), _line(["---"] * len(names))]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def plot(out: Path, file: Path) -> None:
    """Draw a panel per learner: the scores of all runs, by what differs between them, and bars at their means."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    rows = finals(read_rows(out))
    column = next((name for name in ("data", "schedule", "labels") if len({row[name] for row in rows}) > 1), "data")
    learners = grouped(rows, column)
    names = [name for name in HEADINGS if name in {arm_of(row) for row in rows}]
    figure, axes = plt.subplots(len(learners), 1, figsize=(9.0, 3.6 * len(learners)), squeeze=False)
    for axis, (learner, places) in zip(axes[:, 0], learners.items(), strict=True):
        for number, name in enumerate(names):
            at = np.arange(len(places)) + 0.8 * (number - (len(names) - 1) / 2) / len(names)
            found = [arms.get(name, []) for arms in places.values()]
            means = [np.mean(one) if one else math.nan for one in found]
            axis.bar(at, means, width=0.7 / len(names), color=f"C{number}", alpha=0.5, label=HEADINGS[name])
            for place, one in zip(at, found, strict=True):
                axis.plot([place] * len(one), one, "o", color=f"C{number}", markersize=3)
        axis.set_title(TOLD_LEARNERS[learner], loc="left")
        axis.set_ylabel("normalized score")
        axis.set_xticks(np.arange(len(places)), [place.replace("-", "\n", 1) for place in places])
        axis.legend(frameon=False, fontsize="small", ncols=len(names), loc="lower right", bbox_to_anchor=(1.0, 1.0))
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    plt.close(figure)
