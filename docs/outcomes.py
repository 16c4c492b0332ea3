"""The tables of `redistribution.md`, `learning.md` and others, from the files in `results`; `generate.py` writes."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tables import HIDDEN, filled, table

from bagged_envs.baselines.experiments import (
    cross_play,
    curves,
    gradient_variance,
    hidden_door,
    offline_table,
    tar2_shares,
    teams,
    trace_back,
)
from bagged_envs.baselines.growing_table import read_rows
from bagged_envs.baselines.judging.ranking import BETTER, agreement
from bagged_envs.baselines.judging.redistribute import HEADINGS
from bagged_envs.baselines.judging.report import NUMBERS

DOCS = Path(__file__).parent
RESULTS = DOCS / "results"
REACHER, CHEETAH, SYMBOLIC = (RESULTS / f"redistribute_{name}.csv" for name in ("reacher", "half_cheetah", "symbolic"))
TEXTS = ("id", "recording", "fitted_on", "scored_on", "method", "version", "settings", "refused")
SHIFTED = ("absolute_error", "pearson", "bag_error")
JUDGED = {
    "BaggedHalfCheetah-v0": CHEETAH,
    "EpisodicHalfCheetah-v0": CHEETAH,
    "BaggedReacher-v0": REACHER,
    "EpisodicReacher-v0": REACHER,
    "BaggedHiddenDoor-v0": SYMBOLIC,
    "BaggedKeyDoor-v0": SYMBOLIC,
    "EpisodicPocketWatch-v0": SYMBOLIC,
}

NAVIGATION = "EpisodicCooperativeNavigation-v0[num_agents=6]"


def judged(id: str, file: Path | None = None) -> list[dict[str, Any]]:
    """The rows of an ID; labels-only scores as Identity does and is left out."""
    rows = [row for row in read_rows(file or JUDGED[id]) if row["id"] == id and row["method"] != "labels_only"]
    return [{key: value if key in TEXTS else float(value) for key, value in row.items()} for row in rows]


def own(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that are scored on bags as they were fitted on."""
    return [row for row in rows if row["scored_on"] == row["fitted_on"]]


def methods(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {name: [row for row in rows if row["method"] == name] for name in dict.fromkeys(r["method"] for r in rows)}


def figure(values: Sequence[float], deviation: bool = True) -> str:
    """The mean, and the standard deviation where values differ; two or three digits."""
    there = [value for value in values if not math.isnan(value)]
    if not there:
        return HIDDEN
    mean, spread = float(np.mean(there)), float(np.std(there, ddof=1)) if len(there) > 1 else 0.0
    if abs(mean) < 1e-6:  # what single precision leaves of 0
        return "0"
    shown = f"{mean:,.0f}" if abs(mean) >= 100 else f"{mean:.2g}" if abs(mean) < 0.1 else f"{mean:.2f}"
    if not deviation or spread < 1e-6:
        return shown
    digit = float(f"{spread:.1g}")
    return f"{shown} ± {digit:,.0f}" if digit >= 10 else f"{shown} ± {digit:g}"


def scores(id: str, file: Path | None = None) -> str:
    """Every score of every method."""
    rows = own(judged(id, file))
    shown = [name for name in HEADINGS if any(not math.isnan(row[name]) for row in rows)]
    lines = []
    for name, lots in methods(rows).items():
        refused = next((row["refused"] for row in lots if row["refused"]), "")
        if refused:
            lines.append([name, f"refused: {refused}", *[HIDDEN] * len(shown)])
            continue
        numbers = [figure([row[score] for row in lots], score != "seconds_per_update") for score in shown]
        lines.append([name, *numbers, f"{lots[0]['updates']:,.0f}"])
    return table(["method", *(HEADINGS[name] for name in shown), "updates"], lines)


def shifted(id: str) -> str:
    """Three scores on each bag length."""
    rows = judged(id)
    lengths = sorted({row["scored_on"] for row in rows}, key=lambda told: int(told.removeprefix("bag_len=")))
    columns = [(score, length) for score in SHIFTED for length in lengths]
    heading = [f"{HEADINGS[score]} on {length.removeprefix('bag_len=')}" for score, length in columns]
    lines = [
        [name, *(figure([row[score] for row in lots if row["scored_on"] == on], False) for score, on in columns)]
        for name, lots in methods(rows).items()
        if name not in ("identity", "oracle", "ircr")
    ]
    return table(["method", *heading], lines)


def ranking() -> str:
    """How well held-out bag error ranks methods, by ID and score."""
    lines = []
    for id in JUDGED:
        found = agreement(own(judged(id)))
        lines.append([id, *(f"{found[s][0]:.2f} ({found[s][1]})" if s in found else HIDDEN for s in BETTER)])
    return table(["fitted on", *(HEADINGS[score] for score in BETTER)], lines)


def beside_lare() -> str:
    """Absolute errors, published and ours, on episodic tasks."""
    published = {"Reacher": ("0.004 ± 0.003", "0.011 ± 0.002"), "HalfCheetah": ("9.6 ± 8.5", "10.7 ± 4.1")}
    lines = []
    for task, errors in published.items():
        rows = methods(own(judged(f"Episodic{task}-v0")))
        ours = [figure([row["absolute_error"] for row in rows[name]]) for name in ("rd", "rrd_unbiased", "uniform")]
        lines.append([task, errors[0], ours[0], errors[1], ours[1], ours[2]])
    whose = [f"{name}, {by}" for name in ("RD", "RRD unbiased") for by in ("published", "ours")]
    return table(["", *whose, "equal shares, ours"], lines)


PUBLISHED = {
    "CooperativeNavigation": ("0.02 (26)", "0.50 (5.6)"),
    "PredatorPrey": ("0.01 (28)", "0.12 (5.4)"),
    "HalfCheetah": ("0.22 (17)", "0.53 (4.8)"),
    "HumanoidStandup": ("0.20 (376)", "0.49 (5.6)"),
}


def task_of(id: str) -> str:
    return id.removeprefix("Episodic").removesuffix("-v0")


def lare_errors() -> str:
    """Errors and correlations of LaRe and what it is compared with, and of how many seeds."""
    rows = read_rows(RESULTS / "lare_errors.csv")
    ids, names = (list(dict.fromkeys(row[key] for row in rows)) for key in ("id", "method"))
    lines = []
    for name in names:
        line = []
        for id in ids:
            own = [row for row in rows if (row["id"], row["method"]) == (id, name)]
            for score in ("absolute_error", "pearson"):
                line.append(figure([float(row[score]) for row in own]))
            line[-2] += f" ({len(own)})"
        lines.append([name, *line])
    heading = [f"{task_of(id)}, {what}" for id in ids for what in ("error (seeds)", "Pearson")]
    return table(["method", *heading], lines)


def lare_correlations() -> str:
    """How elements of observations and factors go with the reward, beside what is published."""
    rows = read_rows(RESULTS / "lare_correlations.csv")
    lines = []
    for id in dict.fromkeys(row["id"] for row in rows):
        own = [row for row in rows if row["id"] == id]
        seen, said = PUBLISHED[task_of(id)]
        columns = [
            f"{figure([float(row[f'{what}_correlation']) for row in own])} ({own[0][what]})"
            for what in ("elements", "factors")
        ]
        lines.append([task_of(id), columns[0], seen, columns[1], said, str(len(own))])
    return table(["task", "elements, ours", "published", "factors, ours", "published", "seeds"], lines)


def hidden() -> str:
    return hidden_door.summary(RESULTS / "hidden_door.csv")


def sparse() -> str:
    """How often policies succeed at SparseHalfCheetah, and what they earn, in the last two evaluations of each run."""
    rows = read_rows(RESULTS / "sparse_half_cheetah.csv")
    lines = []
    for arguments, method in sorted({(row["arguments"], row["method"]) for row in rows}):
        own = [row for row in rows if (row["arguments"], row["method"]) == (arguments, method)]
        steps = sorted({int(row["step"]) for row in own})
        last = [row for row in own if int(row["step"]) in steps[-2:]]
        seeds = sorted({row["seed"] for row in own})
        means = [
            [np.mean([float(row[column]) for row in last if row["seed"] == seed]) for seed in seeds]
            for column in ("success_rate", "return")
        ]
        threshold = arguments.removeprefix("threshold=") or "50"
        told = [
            ", ".join(f"{value:{form}}" for value in each) for each, form in zip(means, (".2f", ".0f"), strict=True)
        ]
        lines.append([threshold, method, f"{steps[-1]:,}", *told])
    return table(["distance", "method", "steps", "success rate, per seed", "dense return, per seed"], lines)


def latent_rewards() -> str:
    made = {"errors": lare_errors, "correlations": lare_correlations, "sparse": sparse, "hidden door": hidden}
    return filled(DOCS / "latent_rewards.md", made)


def redistribution() -> str:
    made: dict[str, Callable[[], str]] = {f"scores of {id}": partial(scores, id) for id in JUDGED}
    made |= {f"shift of {id}": partial(shifted, id) for id in ("BaggedReacher-v0", "BaggedHalfCheetah-v0")}
    more = {"ranking": ranking, "beside LaRe": beside_lare, "diagnosis": diagnosis}
    return filled(DOCS / "redistribution.md", made | more)


def diagnosis() -> str:
    """What `bagged-envs diagnose` says of methods on Reacher's bags."""
    lines = [
        [row["method"], *(figure([float(row[name] or "nan")]) for name in NUMBERS), row["warnings"] or "none"]
        for row in read_rows(RESULTS / "diagnosis_reacher.csv")
    ]
    return table(["method", *NUMBERS.values(), "warnings"], lines)


def own_redistributor() -> str:
    told = partial(scores, "BaggedReacher-v0", RESULTS / "own_redistributor.csv")
    return filled(DOCS / "own_redistributor.md", {"scores of your own": told})


def learning() -> str:
    def areas(*files: str) -> str:
        return "\n".join(curves.table(curves.read([RESULTS / f"{file}.csv" for file in files])))

    made = {"episodic": partial(areas, "episodic", "reference")}
    made |= {"bag lengths": partial(areas, "bag_lengths"), "sb3": partial(areas, "sb3_bag_replay_buffer")}
    return filled(DOCS / "learning.md", made)


def rudder() -> str:
    return filled(DOCS / "rudder.md", {"delays": lambda: trace_back.summary(RESULTS / "trace_back.csv")})


def teams_page() -> str:
    def told(part: int) -> str:
        return "\n".join(teams.tell(RESULTS / "teams.csv")).split("\n\n")[part]

    made: dict[str, Callable[[], str]] = {"runs": partial(told, 0), "improvement": partial(told, 1)}
    made["frequent"] = lambda: "\n".join(curves.table(curves.read([RESULTS / "teams_frequent.csv"])))
    made["shares learned by"] = tar2_runs
    made["shares"] = lambda: tar2_shares.summary(RESULTS / "tar2_shares.csv")
    made["gradients of TriangleArea"] = lambda: gradient_variance.summary(
        RESULTS / "gradient_variance_triangle_area.csv"
    )
    made["gradients"] = lambda: gradient_variance.summary(RESULTS / "gradient_variance.csv")
    made["matches"] = matches
    return filled(DOCS / "teams.md", made)


def tar2_runs() -> str:
    """How TAR2 ends on CooperativeNavigation, by what shares it pays and how often its scores are fitted."""
    tables = {
        "softmax": ("teams.csv", "teams_frequent.csv"),
        "min_max": ("teams_tar2_min_max.csv", "teams_tar2_min_max_frequent.csv"),
        "none": (None, "teams_tar2_none_frequent.csv"),
    }
    rows = [[name, *map(_tar2_final, files)] for name, files in tables.items()]
    return table(["shares", "10 updates in 10 iterations", "20 in each"], rows)


def _tar2_final(file: str | None) -> str:
    if file is None:
        return "–"
    return f"{curves.final(curves.read([RESULTS / file])[NAVIGATION]['tar2-ippo']['0']):.0f}"


def matches() -> str:
    """Who touches whom how often in CompetitivePredatorPrey, with the matches that there are."""
    file = RESULTS / "cross_play.csv"
    return cross_play.summary(file) if file.exists() else "No matches yet."


def offline_page() -> str:
    """The tables of learning offline, with the rows that there are."""
    made: dict[str, Callable[[], str]] = {}
    for protocol in ("table", "labels", "bags"):
        for name, lines in offline_table.told(RESULTS / f"offline_{protocol}.csv", protocol).items():
            text = "\n".join(lines) if len(lines) > 2 else "No runs yet."
            made[f"offline {name}"] = partial(str, text)
    longer = read_rows(RESULTS / "offline_longer.csv")
    published = offline_table.finals(read_rows(RESULTS / "offline_published_rates.csv"))
    tables = {
        "offline rates": offline_rates(),
        "offline published rates": offline_table.scores(published, "data"),
        "offline published rates averages": offline_table.averages(published),
        "offline longer": offline_table.by_updates(longer, LONGER[:4]),
        "offline longer averages": offline_table.averages(offline_table.finals(longer)),
        "offline longer still": offline_table.by_updates(read_rows(RESULTS / "offline_100000.csv"), LONGER),
    }
    for name, lines in tables.items():
        made[name] = partial(str, "\n".join(lines) if len(lines) > 2 else "No runs yet.")
    return filled(DOCS / "offline.md", made)


def offline_rates() -> list[str]:
    """Scores after 20,000 updates with other rates, one seed: a line for each dataset, learner and rates."""
    arms = ("labels_only", "imputer", "oracle")
    found: defaultdict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for row in offline_table.finals(read_rows(RESULTS / "offline_rates.csv")):
        learner = offline_table.TOLD_LEARNERS[offline_table.learner_of(row)]
        scores = found[row["data"], learner, row["tau"], row["learning_rate"]]
        scores[offline_table.arm_of(row)] = f"{float(row['score']):.1f}"
    rows = [[*place, *(scores.get(arm, offline_table.NOTHING) for arm in arms)] for place, scores in found.items()]
    headings = ["data", "learner", "tau", "Adam's rates", *(offline_table.HEADINGS[arm] for arm in arms)]
    return table(headings, rows).splitlines()


LONGER = (5_000, 20_000, 40_000, 60_000, 80_000, 100_000)  # updates
BACKENDS = RESULTS / "backends.csv"


def backends() -> str:
    """Steps per second of every task by every backend, and the machine they come from.

    Raises:
        ValueError: The file is of other settings than the page tells.
    """
    if not BACKENDS.exists():
        return f"Not measured yet: `python -m benchmarks.backends --out docs/results/{BACKENDS.name}`."
    told = json.loads(BACKENDS.with_suffix(".machine.json").read_text())
    if told["settings"]["delayed"] or told["settings"]["rounds"] < 7:
        raise ValueError(f"{BACKENDS} must be of seven rounds or more without the delay, got {told['settings']}.")
    rows = read_rows(BACKENDS)
    tasks = dict.fromkeys((row["task"], row["num_envs"]) for row in rows)
    runs = {place: [row for row in rows if (row["task"], row["num_envs"]) == place] for place in tasks}
    races = {place: own for place, own in runs.items() if own[0]["backend"] == "sync"}
    others = [[*place, contender(row), speed(row)] for place, own in runs.items() if place not in races for row in own]
    names = list(dict.fromkeys(contender(row) for own in races.values() for row in own))
    lines = []
    for place, own in races.items():
        cells = {contender(row): speed(row) for row in own}
        lines.append([*place, *(cells.get(name, HIDDEN) for name in names)])
    machine = ", ".join(f"{name} {value}" for name, value in told["machine"].items())
    parts = [f"{machine}.", table(["task", "environments", *names], lines)]
    if others:
        parts.append(table(["", "environments", "by", "steps per second"], others))
    goals = [
        [
            row["name"],
            f"{float(row['ratio']):.2f} ({float(row['lowest']):.2f} to {float(row['highest']):.2f})",
            f"{row['goal']}{'' if row['met'] == 'True' else ', not met'}",
        ]
        for row in read_rows(BACKENDS.with_suffix(".goals.csv"))
    ]
    if goals:
        parts.append(table(["ratio", "median (rounds)", "goal"], goals))
    return "\n\n".join(parts)


def numbers(row: dict[str, str]) -> dict[str, float]:
    return {name: float(row[name]) for name in ("ratio", "lowest", "highest")}


def contender(row: dict[str, str]) -> str:
    if row["backend"] not in ("native", "envpool"):
        return row["backend"]
    return f"{row['backend']}, {row['threads']} thread{'s' if row['threads'] != '1' else ''}"


def speed(row: dict[str, str]) -> str:
    return f"{float(row['steps_per_second']):,.0f} ({float(row['over_first']):.2f})"


PAGES = {
    DOCS / "offline.md": offline_page,
    DOCS / "vector.md": lambda: filled(DOCS / "vector.md", {"backends": backends}),
    DOCS / "teams.md": teams_page,
    DOCS / "redistribution.md": redistribution,
    DOCS / "own_redistributor.md": own_redistributor,
    DOCS / "learning.md": learning,
    DOCS / "rudder.md": rudder,
    DOCS / "latent_rewards.md": latent_rewards,
}
