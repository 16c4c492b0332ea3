"""What a delay costs: speed with it over speed without it, as `python -m benchmarks.wrappers`.

Both sides run in one process, alternating, with the same seed and actions; a ratio is taken per pair of runs and the
median of the pairs is reported. Absolute figures depend on the machine and the moment, ratios hardly.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import bagged_envs
from bagged_envs.demo.rows import write
from bagged_envs.wrappers.arguments import counted
from bagged_envs.wrappers.vector import BaggedReward

PAIRS = 7
SINGLE_TASKS = ("Walker2d", "HalfCheetah", "Hopper", "Reacher")
SINGLE_GOAL, VECTOR_GOAL, IMPORT_GOAL = 0.96, 0.95, 1.25
NUM_ENVS = 128


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        name: What is compared.
        ratio: The median of the paired ratios.
        lowest: The lowest of them.
        highest: The highest of them.
        goal: What the median should reach: at least, or for the import at most.
        met: Whether it does.
    """

    name: str
    ratio: float
    lowest: float
    highest: float
    goal: str
    met: bool


def paired_ratios(delayed: Callable[[], float], dense: Callable[[], float], pairs: int) -> list[float]:
    """Return dense seconds over delayed seconds, pair by pair, the order within a pair alternating."""
    delayed(), dense()  # warm up
    ratios = []
    for pair in range(pairs):
        if pair % 2:
            without, with_delay = dense(), delayed()
        else:
            with_delay, without = delayed(), dense()
        ratios.append(without / with_delay)
    return ratios


def at_least(name: str, ratios: Sequence[float], goal: float) -> Row:
    ratio = statistics.median(ratios)
    return Row(name, ratio, min(ratios), max(ratios), f">= {goal}", ratio >= goal)


def single(task: str, steps: int, pairs: int) -> Row:
    """A registered Bagged environment, with its info, against its dense `gym.make` twin."""
    with gym.make(f"Bagged{task}-v0") as env, gym.make(f"{task}-v5") as twin:
        env.action_space.seed(0)
        actions = [env.action_space.sample() for _ in range(steps)]
        ratios = paired_ratios(lambda: _seconds(env, actions), lambda: _seconds(twin, actions), pairs)
    return at_least(f"Bagged{task}-v0 / {task}-v5, steps per second", ratios, SINGLE_GOAL)


def _seconds(env: gym.Env[Any, Any], actions: Sequence[Any]) -> float:
    env.reset(seed=0)
    begin = time.perf_counter()
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return time.perf_counter() - begin


def vector(steps: int, pairs: int, num_envs: int) -> Row:
    """The vector wrapper around Gymnasium's vector of HalfCheetahs against that vector alone."""
    envs, twins = (gym.make_vec("HalfCheetah-v5", num_envs, vectorization_mode="sync") for _ in range(2))
    delayed = BaggedReward(envs, bag_len=20)
    delayed.action_space.seed(0)
    actions = [delayed.action_space.sample() for _ in range(steps)]
    ratios = paired_ratios(lambda: vector_seconds(delayed, actions), lambda: vector_seconds(twins, actions), pairs)
    delayed.close()
    twins.close()
    return at_least(f"vector BaggedReward / none, HalfCheetah-v5, {num_envs} environments", ratios, VECTOR_GOAL)


def vector_seconds(envs: Any, actions: Sequence[np.ndarray]) -> float:
    envs.reset(seed=0)
    begin = time.perf_counter()
    for action in actions:
        envs.step(action)
    return time.perf_counter() - begin


def importing(pairs: int) -> Row:
    """Seconds that `import bagged_envs` takes, in a new interpreter, over those of `import gymnasium`."""
    ours, theirs = (lambda: _import_seconds("bagged_envs")), (lambda: _import_seconds("gymnasium"))
    ratios = [1.0 / ratio for ratio in paired_ratios(ours, theirs, pairs)]
    ratio = statistics.median(ratios)
    name = "import bagged_envs / import gymnasium, seconds"
    return Row(name, ratio, min(ratios), max(ratios), f"<= {IMPORT_GOAL}", ratio <= IMPORT_GOAL)


def _import_seconds(module: str) -> float:
    code = f"import time; begin = time.perf_counter(); import {module}; print(time.perf_counter() - begin)"
    # Compiled modules are kept from the first import on, as they are for every user.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(result.stdout)


def measure(steps: int, pairs: int) -> list[Row]:
    """Measure everything; `steps` is that of one run of a single environment."""
    rows = [single(task, steps, pairs) for task in SINGLE_TASKS]
    return [*rows, vector(max(2, 4 * steps // NUM_ENVS), pairs, NUM_ENVS), importing(pairs)]


def show(row: Row) -> str:
    verdict = "met" if row.met else "NOT MET"
    return f"{row.ratio:6.3f}  ({row.lowest:.3f} to {row.highest:.3f})  goal {row.goal}: {verdict}  {row.name}"


def tell(rows: Sequence[Row], against: str, chosen: argparse.Namespace) -> int:
    """Print rows and write them where `--out` says; returns 1 where `--strict` and a goal is missed."""
    print(f"bagged_envs {bagged_envs.__version__}, {against}, median of {chosen.pairs} paired ratios")
    for row in rows:
        print(show(row))
    if chosen.out is not None:
        write(rows, chosen.out)
    return int(chosen.strict and not all(row.met for row in rows))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=counted, default=10_000, help="steps of one run of a single environment")
    parser.add_argument("--pairs", type=counted, default=PAIRS, help="paired runs per ratio")
    parser.add_argument("--out", type=Path, help="also write the rows to this CSV file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a goal is not met")
    chosen = parser.parse_args(arguments)
    rows = measure(chosen.steps, chosen.pairs)
    return tell(rows, f"gymnasium {gym.__version__}", chosen)


if __name__ == "__main__":
    sys.exit(main())
