"""Methods on environments with some seeds, a process per run, and one table of how they went.

    python -m bagged_envs.baselines.experiments.sweep identity-td3,rrd-td3 EpisodicHopper-v0 --seeds 3 --steps 150000 \
        --runs runs --out docs/results/episodic.csv

Runs that were stopped go on, and runs that the table has whole are left out, so that its rows are enough to go on from.
A table is for runs whose settings, but for the environment's, are the same: they stand beside it, in
`<out>.settings.json`, and others are refused. With `--collect` it is only written anew, from what there is of the
named runs.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bagged_envs.baselines.command import grouped
from bagged_envs.baselines.description import as_json
from bagged_envs.baselines.growing_table import read_rows, write_rows
from bagged_envs.whole_file import write_whole
from bagged_envs.wrappers.arguments import counted

Key = tuple[str, str, str, str]  # method, environment, its arguments, seed
COLUMNS = ("method", "id", "arguments", "seed", "step", "return", "return_std", "episodes", "success_rate")


def commands(
    methods: Sequence[str],
    ids: Sequence[str],
    seeds: int,
    steps: int,
    settings: Sequence[str],
    runs: Path,
    done: Collection[Key] = (),
) -> Iterator[list[str]]:
    """Yield the command of each run that is not done, those with one seed before those with the next."""
    arguments = told(grouped(settings)["environment"])
    for seed, id, method in itertools.product(range(seeds), ids, methods):
        if (method, id, arguments, str(seed)) not in done:
            yield command(method, id, settings, seed, steps, folder_of(method, id, settings, seed, runs))


def folder_of(method: str, id: str, settings: Sequence[str], seed: int, runs: Path) -> Path:
    """Return where a run is kept: its name tells everything that makes it another one."""
    name = ",".join(settings).replace("/", "_")
    return runs / "-".join(part for part in (method, id, name, str(seed)) if part)


def command(method: str, id: str, settings: Sequence[str], seed: int, steps: int, folder: Path) -> list[str]:
    """Return the command of a run."""
    words = [method, id, *settings, "--seed", str(seed), "--steps", str(steps), "--out", str(folder)]
    return [sys.executable, "-m", "bagged_envs.cli", "train", *words]


def claim(out: Path, settings: Sequence[str]) -> None:
    """Keep beside a new table with which settings, but for the environment's, its runs are made.

    A table without such a file is of unknown settings: it is used, and said to be taken for one of these.

    Raises:
        ValueError: The table is for other settings.
    """
    file, words = out.with_name(f"{out.name}.settings.json"), sorted(word for word in settings if _of_no_task(word))
    if file.exists():
        found = json.loads(file.read_text())
        if found != words:
            raise ValueError(
                f"{out} is for runs with {_listed(found)}, got {_listed(words)}: choose another --out, or remove "
                f"{file} if no run was made with them."
            )
    elif read_rows(out):
        print(f"{out} does not tell its settings: its runs are taken to have {_listed(words)}.", flush=True)
    else:
        write_whole(file, json.dumps(words) + "\n")


def _of_no_task(word: str) -> bool:
    return "." in word.partition("=")[0]


def _listed(words: Sequence[str]) -> str:
    return " ".join(words) or "the defaults"


def run(command: Sequence[str]) -> int:
    """Run a command with one thread, its output beside its folder; return its exit code."""
    folder = folder_in(command)
    folder.parent.mkdir(parents=True, exist_ok=True)
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    file = folder.with_name(f"{folder.name}.log")
    with file.open("a") as log:
        code = subprocess.run(
            command, env={**os.environ, **threads}, stdout=log, stderr=subprocess.STDOUT, check=False
        ).returncode
    print(f"{folder.name}: {'done' if code == 0 else f'exit code {code}, see {file}'}", flush=True)
    return code


def run_each(commands: Iterable[Sequence[str]], workers: int) -> Iterator[tuple[Path, int]]:
    """Run commands, so many at a time, and yield in their order each one's folder and exit code."""
    every = list(commands)
    with ThreadPoolExecutor(workers) as pool:
        yield from zip(map(folder_in, every), pool.map(run, every), strict=True)


def folder_in(command: Sequence[str]) -> Path:
    """Return the folder that a command names."""
    return Path(command[command.index("--out") + 1])


def collect(folders: Iterable[Path], out: Path) -> int:
    """Write the evaluations of runs into one table, and return how many rows it has.

    Rows of other runs stay, and so do those of a run that came further than what its folder has now.

    Args:
        folders: Of the runs; those that have not begun are passed over.
        out: The table.
    """
    runs: dict[Key, list[dict[str, str]]] = defaultdict(list)
    for row in read_rows(out):
        runs[_key(row)].append(row)
    for folder in folders:
        found = list(_rows(folder)) if (folder / "evaluations.csv").exists() else []
        if found and len(found) >= len(runs[_key(found[0])]):
            runs[_key(found[0])] = found
    rows = sorted(itertools.chain.from_iterable(runs.values()), key=_place)
    write_rows(out, COLUMNS, rows)
    return len(rows)


def _key(row: Mapping[str, str]) -> Key:
    return row["method"], row["id"], row["arguments"], row["seed"]


def _place(row: Mapping[str, str]) -> tuple[Key, int]:
    return _key(row), int(row["step"])


def told(arguments: Mapping[str, Any]) -> str:
    """Return an environment's arguments as a table has them."""
    return " ".join(f"{name}={value}" for name, value in as_json(arguments).items())


def whole(out: Path, steps: int) -> set[Key]:
    """Return which runs a table has to the end."""
    return {_key(row) for row in read_rows(out) if int(row["step"]) >= steps}


def _rows(folder: Path) -> Iterator[dict[str, str]]:
    ran = json.loads((folder / "run.json").read_text())
    method = f"{ran['method']['redistributor']}-{ran['method']['learner']}"
    arguments = told(ran["arguments"])
    with (folder / "evaluations.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            yield {
                "method": method,
                "id": ran["id"],
                "arguments": arguments,
                "seed": str(ran["seed"]),
                **row,
            }


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 where a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", help="names of methods, with commas between")
    parser.add_argument("ids", help="IDs, with commas between")
    parser.add_argument("settings", nargs="*", help="as bagged-envs train takes them")
    parser.add_argument("--seeds", type=counted, default=3)
    parser.add_argument("--steps", type=counted, default=150_000)
    parser.add_argument("--workers", type=counted, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--collect", action="store_true", help="run nothing")
    given = parser.parse_args(words)
    try:
        codes = [] if given.collect else _run_all(given)
        print(f"{collect(_folders(given), given.out)} rows in {given.out}")
    except ValueError as error:
        parser.error(str(error))
    return int(any(codes))


def _folders(given: argparse.Namespace) -> list[Path]:
    every = itertools.product(given.methods.split(","), given.ids.split(","), range(given.seeds))
    return [folder_of(method, id, given.settings, seed, given.runs) for method, id, seed in every]


def _run_all(given: argparse.Namespace) -> list[int]:
    claim(given.out, given.settings)
    methods, ids, done = given.methods.split(","), given.ids.split(","), whole(given.out, given.steps)
    every = commands(methods, ids, given.seeds, given.steps, given.settings, given.runs, done)
    return [code for _, code in run_each(every, given.workers)]


if __name__ == "__main__":
    raise SystemExit(main())
