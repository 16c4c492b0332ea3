"""Learning offline from few labels: a fixed protocol, a process per run, and one table of how the runs went.

    bagged-envs dataset make halfcheetah-medium  # and so on: `--data` names their folder
    python -m bagged_envs.baselines.experiments.offline table --data datasets --runs runs \
        --out docs/results/offline_table.csv
    python -m bagged_envs.baselines.experiments.offline table --out docs/results/offline_table.csv --tell

Protocols: `table` compares the labeled transitions alone, imputed rewards, one constant reward and all true rewards, on
nine datasets of whose rewards 1 % are shown, with TD3+BC and IQL; `labels` is one dataset with 0.1 to 5 %, and `bags`
the same dataset with bags of 20 steps and with whole episodes as bags, through redistributors, both with TD3+BC.

Runs that were stopped go on, and those that the table has whole are left out. `--tell` prints the table in Markdown.
The score of a run is its last one. A table is for one protocol and number of updates: they stand beside it, in
`<out>.settings.json`. What datasets came to is written beside it, too, in `<out>.datasets.csv`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bagged_envs.baselines.experiments import offline_run, offline_table, sweep
from bagged_envs.baselines.experiments.offline_run import digest
from bagged_envs.baselines.growing_table import read_rows, write_rows
from bagged_envs.baselines.recipes import RECIPES, recipe_file
from bagged_envs.wrappers.arguments import counted, known

ARMS = ("labels_only", "imputer", "oracle", "constant")
LEARNERS = ("td3_bc", "iql")
ONE = "halfcheetah-medium-replay"  # of policies of all kinds, so that it matters which actions were good
KEYS = ("data", "schedule", "labels", "method", "seed")
COLUMNS = (*KEYS, *offline_run.COLUMNS, "data_sha256")
OF_DATASETS = ("recipe", "seed", "medium", "expert", "transitions", "episodes", "return", "score")
STEPS, BAGS, EPISODES = "bag_len=1", "bag_len=20", "bag_len=None"


@dataclass(frozen=True)
class Cell:
    """What is run with each seed.

    Attributes:
        data: One of `RECIPES`.
        schedule: Of the rewards, as a word of `offline_run`.
        labels: The share of bags that are labeled.
        method: Who learns.
    """

    data: str
    schedule: str
    labels: float
    method: str

    def key(self, seed: int) -> tuple[str, ...]:
        """Return what tells a run from the others of a table: its values of `KEYS`."""
        return self.data, self.schedule, str(self.labels), self.method, str(seed)


PROTOCOLS: dict[str, tuple[Cell, ...]] = {
    "table": tuple(
        Cell(data, STEPS, 0.01, f"{arm}-{learner}") for learner in LEARNERS for data in RECIPES for arm in ARMS
    ),
    "labels": (
        *(Cell(ONE, STEPS, share, f"{arm}-td3_bc") for arm in ARMS[:2] for share in (0.001, 0.005, 0.01, 0.05)),
        *(Cell(ONE, STEPS, 0.01, f"{arm}-td3_bc") for arm in ARMS[2:]),
    ),
    "bags": tuple(
        Cell(ONE, schedule, 1.0, f"{name}-td3_bc")
        for name in ("identity", "uniform", "rd", "rrd")
        for schedule in (BAGS, EPISODES)
    ),
}
# Published rates are for a million updates. With fifty times fewer, values and policy do not come to their level; with
# these they do: chosen on one dataset, with a seed that is in no table.
RATES: dict[str, dict[str, float]] = {
    "published": {},
    "faster": {"tau": 0.02, "actor_learning_rate": 1e-3, "critic_learning_rate": 1e-3, "value_learning_rate": 1e-3},
}


@dataclass(frozen=True)
class Preset:
    """How much is run, on the data as they were made.

    Attributes:
        updates: Of each run.
        seeds: How many.
        rates: One of `RATES`.
    """

    updates: int
    seeds: int
    rates: str = "published"


PRESETS = {"laptop": Preset(20_000, 3, "faster"), "longer": Preset(60_000, 1), "full": Preset(1_000_000, 5)}
EVERY = 5000  # updates between two evaluations, or a quarter of a shorter run


def commands(cells: Sequence[Cell], data: Path, runs: Path, preset: Preset, out: Path) -> Iterator[list[str]]:
    """Yield the command of each run that is not in the table: those with one seed before those with the next."""
    done = whole(out, preset.updates)
    for seed in range(preset.seeds):
        for cell in cells:
            if cell.key(seed) not in done:
                yield command(cell, seed, data, folder_of(cell, seed, runs, preset), preset)


def folder_of(cell: Cell, seed: int, runs: Path, preset: Preset) -> Path:
    """Return where a run is kept; protocols that have the same run share it."""
    rates = [] if preset.rates == "published" else [preset.rates]
    return runs / "-".join((*cell.key(seed), str(preset.updates), *rates))


def command(cell: Cell, seed: int, data: Path, folder: Path, preset: Preset) -> list[str]:
    """Return the command of a run."""
    updates = preset.updates
    words = [cell.method, str(data / cell.data), cell.schedule, *_settings(cell.method, preset)]
    words += ["--labels", str(cell.labels), "--seed", str(seed), "--updates", str(updates), "--out", str(folder)]
    return [sys.executable, "-m", offline_run.__name__, *words]


def _settings(method: str, preset: Preset) -> list[str]:
    learner: dict[str, float] = dict(RATES[preset.rates])
    if method.endswith("-iql"):
        learner["decay_steps"] = preset.updates  # to 0 at the end, as published
    else:
        learner.pop("value_learning_rate", None)  # of IQL's third network
    told = [f"learner.{name}={value}" for name, value in learner.items()]
    return [f"training.evaluate_every={_cadence(preset.updates)}", *told]


def _cadence(updates: int) -> int:
    """Return how many updates lie between two evaluations."""
    return min(max(1, updates // 4), EVERY)


def whole(out: Path, updates: int) -> set[tuple[str, ...]]:
    """Return which runs a table has to the end, which is the last evaluation."""
    last = updates - updates % _cadence(updates)
    return {tuple(row[key] for key in KEYS) for row in read_rows(out) if int(row["step"]) >= last}


def collect(folder: Path, out: Path) -> int:
    """Write the evaluations of a run that has come to its end into a table, and return how many rows it has.

    Rows of other runs stay.
    """
    new = _rows(folder / "evaluations.csv")
    here = {tuple(row[key] for key in KEYS) for row in new}
    kept = [row for row in read_rows(out) if tuple(row[key] for key in KEYS) not in here]
    rows = sorted((*kept, *new), key=lambda row: (*(row[key] for key in KEYS), int(row["step"])))
    write_rows(out, COLUMNS, rows)
    return len(rows)


def _rows(file: Path) -> list[dict[str, str]]:
    ran = json.loads(file.with_name("run.json").read_text())
    told = {"data": ran["data"], "schedule": ran["schedule"], "labels": str(ran["labels"]), "method": ran["method"]}
    told |= {"seed": str(ran["seed"]), "data_sha256": ran["data_sha256"]}
    return [{**told, **row} for row in read_rows(file)]


def datasets_file(out: Path) -> Path:
    """Return the file beside a table that says what its datasets came to."""
    return out.with_suffix(".datasets.csv")


def check_data(cells: Sequence[Cell], data: Path) -> None:
    """Check that the datasets are there.

    Raises:
        FileNotFoundError: One is not.
    """
    for name in dict.fromkeys(cell.data for cell in cells):
        if not (data / name).is_dir():
            raise FileNotFoundError(f"{data / name} must be a dataset: bagged-envs dataset make {name} --out {data}")


def check_same_data(cells: Sequence[Cell], data: Path, out: Path) -> None:
    """Check that the rows of a table are of the datasets as they are now.

    Raises:
        DatasetError: A dataset's manifest cannot be read.
        ValueError: Some are of another dataset of the same name.
    """
    digests = {name: digest(data / name) for name in dict.fromkeys(cell.data for cell in cells)}
    for row in read_rows(out):
        now = digests.get(row["data"], row["data_sha256"])
        if row["data_sha256"] != now:
            raise ValueError(
                f"{out} has runs on a {row['data']} with SHA-256 {row['data_sha256']}, that in {data} has {now}: "
                "choose another --out, or bring back the dataset."
            )


def tell_datasets(cells: Sequence[Cell], data: Path, out: Path) -> None:
    """Write what the datasets came to, as their recipes' files say; of others the rows stay."""
    names = list(dict.fromkeys(cell.data for cell in cells))
    files = [recipe_file(data / name) for name in names]
    found = {row["recipe"]: row for row in read_rows(datasets_file(out))}
    found |= {told["recipe"]: told for told in (json.loads(file.read_text()) for file in files if file.exists())}
    write_rows(datasets_file(out), OF_DATASETS, [found[name] for name in names if name in found])


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 where a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol", choices=list(PROTOCOLS))
    parser.add_argument("--data", type=Path, default=Path("datasets"))
    parser.add_argument("--only", help="names of datasets, with commas between; all of the protocol otherwise")
    parser.add_argument("--preset", choices=list(PRESETS), default="laptop")
    parser.add_argument("--updates", type=counted, help="of each run, instead of the preset's")
    parser.add_argument("--seeds", type=counted, help="how many, instead of the preset's")
    parser.add_argument("--rates", choices=list(RATES), help="of the learners' networks, instead of the preset's")
    parser.add_argument("--workers", type=counted, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tell", action="store_true", help="run nothing, print what the table says")
    parser.add_argument("--plot", type=Path, help="run nothing, draw the table")
    given = parser.parse_args(words)
    if given.tell or given.plot:
        if not read_rows(given.out):
            parser.error(f"--out must be a table with rows, got {given.out}, which has none.")
        print("\n\n".join("\n".join(lines) for lines in offline_table.told(given.out, given.protocol).values()))
        if given.plot:
            offline_table.plot(given.out, given.plot)
        return 0
    try:
        return _run_all(given)
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))


def _run_all(given: argparse.Namespace) -> int:
    told = {name: getattr(given, name) for name in ("updates", "seeds", "rates")}
    preset = replace(PRESETS[given.preset], **{name: value for name, value in told.items() if value is not None})
    every = list(dict.fromkeys(cell.data for cell in PROTOCOLS[given.protocol]))
    only = every if given.only is None else [known("--only", name, every) for name in given.only.split(",")]
    cells = [cell for cell in PROTOCOLS[given.protocol] if cell.data in only]
    check_data(cells, given.data)
    claimed = {"name": given.protocol, "updates": preset.updates, "rates": preset.rates}
    sweep.claim(given.out, [f"protocol.{name}={value}" for name, value in claimed.items()])
    check_same_data(cells, given.data, given.out)
    tell_datasets(PROTOCOLS[given.protocol], given.data, given.out)
    failed = 0
    made = commands(cells, given.data, given.runs, preset, given.out)
    for folder, code in sweep.run_each(made, given.workers):
        failed += code != 0
        if code == 0:
            print(f"{collect(folder, given.out)} rows in {given.out}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
