"""How fast the particle world is: speed over that of mpe2's simple_spread, as `python -m benchmarks.particle`.

Both sides make the same number of steps in one process, alternating, with observations, rewards, info and a reset every
25 steps; ours is the raw batch, without the faces that others build on it. mpe2 shows as many neighbors as we do. A
ratio is one of steps per second, N worlds counting N steps; it is taken per pair of runs, and the median is reported.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import bagged_envs
from bagged_envs.demo.rows import write
from bagged_envs.particle.navigation import CooperativeNavigation
from benchmarks.wrappers import PAIRS, Row, at_least, paired_ratios, show

EPISODE = 25
# Twice what the finished environments shall reach with one world, so that delay and dicts may take as long again; and
# with 32 worlds a little more than the 80 that they shall reach.
GOALS = {1: {3: 8.0, 6: 24.0, 15: 80.0, 30: 160.0}, 32: {3: 110.0, 6: 110.0, 15: 110.0, 30: 110.0}}


def theirs(num_agents: int, episodes: int) -> Callable[[], float]:
    """Return a run of mpe2: seconds per step of one world."""
    from mpe2 import simple_spread_v3

    env = simple_spread_v3.parallel_env(N=num_agents, num_landmark_neighbors=6, num_agent_neighbors=5)
    env.reset(seed=0)
    actions = _actions(1, num_agents)[:, 0].tolist()
    steps = [dict(zip(env.possible_agents, chosen, strict=True)) for chosen in actions]

    def run() -> float:
        begin = time.perf_counter()
        for _ in range(episodes):
            env.reset()
            for step in steps:
                env.step(step)
        return (time.perf_counter() - begin) / (episodes * EPISODE)

    return run


def ours(num_envs: int, num_agents: int, episodes: int) -> Callable[[], float]:
    """Return a run of ours: seconds per step of one world."""
    batch = CooperativeNavigation(num_envs, num_agents)
    slots = np.arange(num_envs)
    generators = [np.random.default_rng(seed) for seed in range(num_envs)]
    steps = _actions(num_envs, num_agents)

    def run() -> float:
        begin = time.perf_counter()
        for _ in range(episodes):
            batch.reset(slots, generators)
            batch.observe(), batch.info()
            for step in steps:
                batch.step(step)
                batch.observe(), batch.info()
        return (time.perf_counter() - begin) / (episodes * EPISODE * num_envs)

    return run


def _actions(num_envs: int, num_agents: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(5, size=(EPISODE, num_envs, num_agents))


def compare(num_envs: int, num_agents: int, seconds: float, pairs: int) -> Row:
    """Compare with mpe2; each run of either side lasts about `seconds`."""
    runs = []
    for make in (lambda episodes: ours(num_envs, num_agents, episodes), lambda episodes: theirs(num_agents, episodes)):
        worlds = num_envs if not runs else 1
        one = make(1)() * EPISODE * worlds
        runs.append(make(max(1, round(seconds / one))))
    ratios = paired_ratios(*runs, pairs)
    name = f"CooperativeNavigation / mpe2 simple_spread, {num_agents} agents, {num_envs} world(s)"
    return at_least(name, ratios, GOALS[num_envs][num_agents])


def measure(seconds: float, pairs: int) -> list[Row]:
    """Measure everything."""
    return [compare(num_envs, num_agents, seconds, pairs) for num_envs, goals in GOALS.items() for num_agents in goals]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="how long one run lasts, about")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="paired runs per ratio")
    parser.add_argument("--out", type=Path, help="also write the rows to this CSV file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a goal is not met")
    chosen = parser.parse_args(arguments)
    rows = measure(chosen.seconds, chosen.pairs)
    print(f"bagged_envs {bagged_envs.__version__}, NumPy {np.__version__}, median of {chosen.pairs} paired ratios")
    for row in rows:
        print(show(row))
    if chosen.out is not None:
        write(rows, chosen.out)
    return int(chosen.strict and not all(row.met for row in rows))


if __name__ == "__main__":
    sys.exit(main())
