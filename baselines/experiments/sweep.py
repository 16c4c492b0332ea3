"""Methods on environments with some seeds, a process per run, and one table of how they went.

    python -m bagged_envs.baselines.experiments.sweep identity-td3,rrd-td3 EpisodicHopper-v0 --seeds 3 --steps 150000 \
        --runs runs --out docs/results/episodic.csv

Runs that were stopped go on; with `--collect` the table is only written anew, from what there is.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

COLUMNS = ("method", "id", "arguments", "seed", "step", "return", "return_std", "episodes", "success_rate")


def commands(
    methods: Sequence[str], ids: Sequence[str], seeds: int, steps: int, settings: Sequence[str], runs: Path
) -> Iterator[list[str]]:
    """Yield the command of each run, all methods and environments with one seed before those with the next."""
    name = ",".join(settings).replace("/", "_")
    for seed, id, method in itertools.product(range(seeds), ids, methods):
        folder = runs / "-".join(part for part in (method, id, name, str(seed)) if part)
        words = [method, id, *settings, "--seed", str(seed), "--steps", str(steps), "--out", str(folder)]
        yield [sys.executable, "-m", "bagged_envs.cli", "train", *words]


def run(command: Sequence[str]) -> int:
    """Run a command with one thread, its output beside its folder; return its exit code."""
    folder = Path(command[command.index("--out") + 1])
    folder.parent.mkdir(parents=True, exist_ok=True)
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    with folder.with_name(f"{folder.name}.log").open("a") as log:
        code = subprocess.run(
            command, env={**os.environ, **threads}, stdout=log, stderr=subprocess.STDOUT, check=False
        ).returncode
    print(f"{folder.name}: {'done' if code == 0 else f'exit code {code}'}", flush=True)
    return code


def collect(runs: Path, out: Path) -> int:
    """Write the evaluations of all runs in a folder into one table, and return how many rows it has."""
    rows = [row for folder in sorted(runs.iterdir()) if (folder / "run.json").exists() for row in _rows(folder)]
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def _rows(folder: Path) -> Iterator[dict[str, str]]:
    ran = json.loads((folder / "run.json").read_text())
    method = f"{ran['method']['redistributor']}-{ran['method']['learner']}"
    arguments = " ".join(f"{name}={value}" for name, value in ran["arguments"].items())
    with (folder / "evaluations.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            yield {"method": method, "id": ran["id"], "arguments": arguments, "seed": ran["seed"], **row}


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 where a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", help="names of methods, with commas between")
    parser.add_argument("ids", help="IDs, with commas between")
    parser.add_argument("settings", nargs="*", help="as bagged-envs train takes them")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=150_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--collect", action="store_true", help="run nothing")
    given = parser.parse_args(words)
    codes: list[int] = []
    if not given.collect:
        methods, ids = given.methods.split(","), given.ids.split(",")
        with ThreadPoolExecutor(given.workers) as pool:
            todo = commands(methods, ids, given.seeds, given.steps, given.settings, given.runs)
            codes = list(pool.map(run, todo))
    print(f"{collect(given.runs, given.out)} rows in {given.out}")
    return int(any(codes))


if __name__ == "__main__":
    raise SystemExit(main())
