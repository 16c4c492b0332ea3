"""Loading a dataset against reading its arrays with h5py alone, as `python -m benchmarks.datasets`.

Both sides read the same file from the same cache, in one process, alternating. One of them checks: every sum, every
shape, every flag, every number.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from gymnasium.spaces import Box

from bagged_envs.dataset_file import DATA
from bagged_envs.datasets import Dataset, delayed, load, save
from bagged_envs.trajectory import Trajectory
from bagged_envs.wrappers import RewardSchedule
from bagged_envs.wrappers.arguments import counted
from benchmarks.wrappers import Row, paired_ratios, tell

STEPS, EPISODE, PAIRS = 1_000_000, 1000, 5
OBSERVATION, ACTION = 17, 6  # HalfCheetah's
GOAL = 2.0


def made(steps: int) -> Dataset:
    """A dataset of episodes of `EPISODE` steps with one label in a hundred."""
    draw = np.random.default_rng(0)
    lengths = [min(EPISODE, steps - start) for start in range(0, steps, EPISODE)]
    spaces = [Box(-np.inf, np.inf, (size,), np.float32) for size in (OBSERVATION, ACTION)]
    dense = Dataset(tuple(_episode(draw, length) for length in lengths), *spaces, dataset_id="benchmark-v0")
    return delayed(dense, RewardSchedule(bag_len=1), 0, exact_count=max(1, steps // 100))


def _episode(draw: np.random.Generator, steps: int) -> Trajectory:
    return Trajectory(
        observations=draw.normal(size=(steps + 1, OBSERVATION)).astype(np.float32),
        actions=draw.normal(size=(steps, ACTION)).astype(np.float32),
        rewards=draw.normal(size=steps),
        bag_ids=np.arange(steps),
        labeled=np.ones(steps, dtype=np.bool_),
        terminated=False,
    )


def _ours(folder: Path) -> float:
    begin = time.perf_counter()
    load(folder)
    return time.perf_counter() - begin


def _theirs(folder: Path) -> float:
    begin, kept = time.perf_counter(), []
    with h5py.File(folder / DATA, "r") as stream:
        stream.visititems(lambda name, item: kept.append(item[()]) if isinstance(item, h5py.Dataset) else None)
    return time.perf_counter() - begin


def measure(steps: int, pairs: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "dataset"
        save(made(steps), place)
        ratios = [1.0 / ratio for ratio in paired_ratios(lambda: _ours(place), lambda: _theirs(place), pairs)]
    ratio = statistics.median(ratios)
    name = f"load / h5py alone, seconds, {steps:,} transitions of {OBSERVATION} and {ACTION} numbers"
    return [Row(name, ratio, min(ratios), max(ratios), f"<= {GOAL}", ratio <= GOAL)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=counted, default=STEPS, help="transitions")
    parser.add_argument("--pairs", type=counted, default=PAIRS, help="paired runs per ratio")
    parser.add_argument("--out", type=Path, help="also write the rows to this CSV file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if the goal is not met")
    chosen: Any = parser.parse_args(arguments)
    return tell(measure(chosen.steps, chosen.pairs), f"h5py {h5py.__version__}", chosen)


if __name__ == "__main__":
    sys.exit(main())
