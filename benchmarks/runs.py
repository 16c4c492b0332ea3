"""What a benchmark's runner costs over the training loop called directly, as `python -m benchmarks.runs`.

Two whole processes alternate, and their processor time counts, children included: `bagged-envs bench run` on a suite of
one run, with everything that belongs to it (checks of the suite, a process for the run, its lease, rows, checkpoints,
progress, the tables), and a script that trains the same method for as many steps, evaluates as often, and keeps
nothing. What both spend before training on imports is in both.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from bagged_envs.baselines.benchmark.suite import Suite
from benchmarks.wrappers import at_least, paired_ratios, tell

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


def spent(words: Sequence[str], folder: Path) -> float:
    """Return the processor seconds of a command, with those of its children."""
    before = os.times()
    subprocess.run(words, check=True, cwd=folder, env={**os.environ, **ONE_THREAD}, stdout=subprocess.DEVNULL)
    after = os.times()
    return (after.children_user - before.children_user) + (after.children_system - before.children_system)


def by_runner(suite: Path) -> float:
    with tempfile.TemporaryDirectory() as out:
        words = ["bench", "run", str(suite), "--out", out, "--workers", "1"]
        return spent([sys.executable, "-m", "bagged_envs.cli", *words], suite.parent)


def directly(suite: Path) -> float:
    return spent([sys.executable, "-c", DIRECT, str(suite)], suite.parent)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", default="identity-td3", help="the cheapest is the hardest to be fair to")
    parser.add_argument("--id", default="EpisodicHalfCheetah-v0")
    parser.add_argument("--steps", type=int, default=150_000, help="environment steps of one run")
    parser.add_argument("--pairs", type=int, default=2, help="paired runs")
    parser.add_argument("--out", type=Path, help="also write the row to this CSV file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if the goal is not met")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "suite.toml"
        suite.write_text(SUITE.format(steps=chosen.steps, method=chosen.method, id=chosen.id))
        Suite.load(suite)  # what is wrong is said here
        ratios = paired_ratios(lambda: by_runner(suite), lambda: directly(suite), chosen.pairs)
    name = f"bench run / training loop, {chosen.method} on {chosen.id}, {chosen.steps:,} steps"
    return tell([at_least(name, ratios, GOAL)], f"torch {torch.__version__}", chosen)


if __name__ == "__main__":
    sys.exit(main())
