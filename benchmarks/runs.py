"""What a benchmark's runner costs over the training loop called directly, as `python -m benchmarks.runs`.

Two whole processes side by side, on a core each: `bagged-envs bench run` on a suite of one run, with everything that
belongs to it (checks of the suite, a process for the run, its lease, rows, checkpoints, progress, the tables), and a
script that trains the same method for as many steps, evaluates as often, and keeps nothing. What both spend before
training on imports is in both. Processor time counts, children included; the wall clock's is told, too.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from bagged_envs.baselines.benchmark.suite import Suite
from bagged_envs.wrappers.arguments import counted
from benchmarks.wrappers import at_least, tell

GOAL = 0.98
SUITE = """
protocol = "v1"
steps = {steps}
first_seeds = 1
methods = ["{method}"]
[[environments]]
id = "{id}"
"""
DIRECT = """
import sys, torch
from bagged_envs.baselines.benchmark.suite import Suite
from bagged_envs.baselines.training import Training
torch.set_num_threads(1)
job = Suite.load(sys.argv[1]).jobs()[0]
run = job.run()
for progress in Training(run.method, run.id, run.arguments, run.config, seed=run.seed).run(until=job.steps):
    pass
"""
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}


class Spent(NamedTuple):
    """Seconds of a command: of the processor, with its children's, and of the clock."""

    processor: float
    wall: float


def side_by_side(*commands: Sequence[str]) -> list[Spent]:
    """Return what commands spent that began at once."""
    begin = time.monotonic()
    environment = {**os.environ, **ONE_THREAD}
    processes = [subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL) for words in commands]
    found, of = {}, {process.pid: process for process in processes}
    try:
        while len(found) < len(processes):
            pid, status, usage = os.wait4(-1, 0)
            found[pid], of[pid].returncode = Spent(usage.ru_utime + usage.ru_stime, time.monotonic() - begin), status
            if status != 0:
                raise RuntimeError(f"it failed: {shlex.join(commands[processes.index(of[pid])])}")
    finally:
        for process in processes:
            process.kill()  # where one failed; those that ended are left alone
    return [found[process.pid] for process in processes]


def pair(suite: Path) -> tuple[Spent, Spent]:
    """Return what the runner and the loop spent."""
    with tempfile.TemporaryDirectory() as out:
        words = ["bench", "run", str(suite), "--out", out, "--workers", "1"]
        runner = [sys.executable, "-m", "bagged_envs.cli", *words]
        both = side_by_side(runner, [sys.executable, "-c", DIRECT, str(suite)])
    return both[0], both[1]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", default="identity-td3", help="the cheapest is the hardest to be fair to")
    parser.add_argument("--id", default="EpisodicHalfCheetah-v0")
    parser.add_argument("--steps", type=counted, default=150_000, help="environment steps of one run")
    parser.add_argument("--pairs", type=counted, default=3, help="paired runs")
    parser.add_argument("--out", type=Path, help="also write the row to this CSV file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if the goal is not met")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "suite.toml"
        suite.write_text(SUITE.format(steps=chosen.steps, method=chosen.method, id=chosen.id))
        Suite.load(suite)  # what is wrong is said here
        pairs = []
        for number in range(1, chosen.pairs + 1):
            runner, loop = pair(suite)
            print(f"pair {number}: by the runner {runner}, by the loop {loop}", flush=True)
            pairs.append((runner, loop))
    name = f"bench run / training loop, {chosen.method} on {chosen.id}, {chosen.steps:,} steps"
    ratios = {
        "processor": [loop.processor / runner.processor for runner, loop in pairs],
        "wall clock": [loop.wall / runner.wall for runner, loop in pairs],
    }
    rows = [at_least(f"{name}, {clock}", found, GOAL) for clock, found in ratios.items()]
    return tell(rows, f"torch {torch.__version__}", chosen)


if __name__ == "__main__":
    sys.exit(main())
