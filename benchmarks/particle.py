"""How fast the particle world is, as users meet it: `python -m benchmarks.particle`.

Against mpe2's simple_spread, which observes as many neighbors: one world through PettingZoo's face, and 32 worlds
through `make_vec`, both with delay, observations, rewards, infos and a new episode every 25 steps. Where jaxmarl is
installed (it wants an environment of its own), 32 worlds also against its compiled step, vectorized over 32 worlds and
called once per step. Both sides run in one process, alternating; a ratio is one of steps per second, N worlds counting
N steps; it is taken per pair of runs, and the median is reported.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import bagged_envs
from bagged_envs.wrappers.arguments import counted
from benchmarks.wrappers import PAIRS, Row, at_least, paired_ratios, tell

EPISODE, WORLDS = 25, 32
ID = "EpisodicCooperativeNavigation-v0"
FACE_GOALS = {3: 4.0, 6: 12.0, 15: 40.0, 30: 80.0}  # times mpe2, by the number of agents
NATIVE_GOALS = {3: 80.0, 6: 80.0, 15: 80.0, 30: 80.0}
JAXMARL_GOALS = {3: 0.9, 6: 0.9, 15: 0.9, 30: 0.5}
Run = Callable[[], float]


def parallel(env: Any, episodes: int) -> Run:
    """Return a run of a PettingZoo environment: seconds per step of its world."""
    agents = env.possible_agents
    steps = [dict(zip(agents, chosen, strict=True)) for chosen in _actions(EPISODE, len(agents)).tolist()]
    env.reset(seed=0)

    def run() -> float:
        begin = time.perf_counter()
        for _ in range(episodes):
            env.reset()
            for step in steps:
                env.step(step)
        return (time.perf_counter() - begin) / (episodes * EPISODE)

    return run


def mpe2(num_agents: int, episodes: int) -> Run:
    """Return a run of mpe2's simple_spread."""
    from mpe2 import simple_spread_v3

    return parallel(
        simple_spread_v3.parallel_env(N=num_agents, num_landmark_neighbors=6, num_agent_neighbors=5), episodes
    )


def face(num_agents: int, episodes: int) -> Run:
    """Return a run of PettingZoo's face of ours, delayed."""
    return parallel(bagged_envs.make_parallel(ID, num_agents=num_agents), episodes)


def native(num_agents: int, episodes: int) -> Run:
    """Return a run of our vector environment, delayed: seconds per step of one world; a reset is a call of its own."""
    envs = bagged_envs.make_vec(ID, WORLDS, backend="native", num_agents=num_agents)
    steps = _actions(EPISODE + 1, WORLDS, num_agents)
    envs.reset(seed=0)

    def run() -> float:
        begin = time.perf_counter()
        for _ in range(episodes):
            for step in steps:
                envs.step(step)
        return (time.perf_counter() - begin) / (episodes * EPISODE * WORLDS)

    return run


def jaxmarl(num_agents: int, episodes: int) -> Run:
    """Return a run of jaxmarl: one call of a compiled step of all worlds per step, which resets by itself."""
    import jax
    from jaxmarl import make

    env = make("MPE_simple_spread_v3", num_agents=num_agents, num_landmarks=num_agents)
    keys = jax.random.split(jax.random.PRNGKey(0), (EPISODE, WORLDS))
    actions = _actions(EPISODE, num_agents, WORLDS)
    steps = [dict(zip(env.agents, map(jax.numpy.asarray, chosen), strict=True)) for chosen in actions]
    _, state = jax.jit(jax.vmap(env.reset))(keys[0])
    step = jax.jit(jax.vmap(env.step))

    def run() -> float:
        nonlocal state
        begin = time.perf_counter()
        for _ in range(episodes):
            for key, chosen in zip(keys, steps, strict=True):
                observations, state, rewards, _, _ = step(key, state, chosen)
                jax.block_until_ready((observations, rewards))
        return (time.perf_counter() - begin) / (episodes * EPISODE * WORLDS)

    return run


def _actions(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(5, size=shape)


def compare(name: str, ours: Any, theirs: Any, goal: float, num_agents: int, seconds: float, pairs: int) -> Row:
    """Compare two makers of runs; each run of either side lasts about `seconds`."""
    runs = []
    for make in (ours, theirs):
        worlds = WORLDS if make in (native, jaxmarl) else 1
        make_run = make(num_agents, 1)
        make_run()  # compile, warm up
        runs.append(make(num_agents, max(1, round(seconds / (make_run() * EPISODE * worlds)))))
    return at_least(f"{name}, {num_agents} agents", paired_ratios(*runs, pairs), goal)


def measure(seconds: float, pairs: int) -> list[Row]:
    """Measure everything."""
    comparisons = [
        ("one world by PettingZoo's face / mpe2", face, mpe2, FACE_GOALS),
        (f"{WORLDS} worlds natively / mpe2", native, mpe2, NATIVE_GOALS),
    ]
    if importlib.util.find_spec("jaxmarl") is not None:
        comparisons.append((f"{WORLDS} worlds natively / jaxmarl, {WORLDS} worlds", native, jaxmarl, JAXMARL_GOALS))
    return [
        compare(name, ours, theirs, goal, num_agents, seconds, pairs)
        for name, ours, theirs, goals in comparisons
        for num_agents, goal in goals.items()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="how long one run lasts, about")
    parser.add_argument("--pairs", type=counted, default=PAIRS, help="paired runs per ratio")
    parser.add_argument("--out", type=Path, help="also write the rows to this CSV file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a goal is not met")
    chosen = parser.parse_args(arguments)
    rows = measure(chosen.seconds, chosen.pairs)
    return tell(rows, f"NumPy {np.__version__}", chosen)


if __name__ == "__main__":
    sys.exit(main())
