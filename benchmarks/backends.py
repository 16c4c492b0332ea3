"""How fast MuJoCo's tasks are played, backend beside backend: `python -m benchmarks.backends`.

Every task, by every backend: Gymnasium's SyncVectorEnv and AsyncVectorEnv, ours (`backend="native"`) and, where it is
installed, EnvPool's own interface, the last two by one and two threads. All play the same actions; each run begins
with the same seed, but for EnvPool's, whose episodes go on from run to run. Episodes end and begin on the way. Runs
alternate, and each round begins with another one. A figure is the median of the rounds, a ratio that of the rounds'
ratios. `--delayed` measures them as `make_vec` returns them, the delay around them; otherwise it is left out, as it
costs all of them the same.

Then one environment of dm_control's cheetah-run, native against shimmy's, and PPO of Stable-Baselines3 on 8 delayed
HalfCheetahs, in our vector against theirs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from bagged_envs.demo.rows import write
from bagged_envs.suites.mujoco import TASKS
from benchmarks.racing import SYNC, Contender, Speed, contenders, draw_plot, machine, race, show, speeds
from benchmarks.wrappers import PAIRS, Row, at_least, paired_ratios, tell

MUJOCO = [task.name for task in TASKS]
BACKENDS = ("sync", "async", "native", "envpool")
ROLLOUT = 64  # steps per environment between two of PPO's updates


class Goal(NamedTuple):
    """What a ratio should reach, from so many environments on."""

    task: str
    num_envs: int
    ours: Contender
    theirs: Contender
    ratio: float


ONE, TWO = Contender("native", 1), Contender("native", 2)
GOALS = [
    Goal("Walker2d", 8, ONE, SYNC, 1.2),
    Goal("HalfCheetah", 8, ONE, SYNC, 1.4),
    *(Goal(task, 8, ONE, Contender("envpool", 1), 0.97) for task in ("Walker2d", "HalfCheetah")),
    *(Goal(task, 32, TWO, SYNC, 1.8) for task in ("Walker2d", "HalfCheetah")),
    *(Goal(task, 32, TWO, Contender("envpool", 2), 0.9) for task in ("Walker2d", "HalfCheetah")),
]
ALONE_GOAL, TRAINING_GOAL = 3.0, 1.0


def judged(task: str, num_envs: int, found: dict[Contender, list[float]]) -> list[Row]:
    """Return how the goals of a task and a number of environments were met."""
    rows = []
    for goal in GOALS:
        if goal.task == task and num_envs >= goal.num_envs and {goal.ours, goal.theirs} <= found.keys():
            ratios = [ours / theirs for ours, theirs in zip(found[goal.ours], found[goal.theirs], strict=True)]
            rows.append(at_least(f"{task}, {num_envs}: {goal.ours} / {goal.theirs}", ratios, goal.ratio))
    return rows


def alone(pairs: int, duration: float) -> Row:
    """One cheetah of dm_control's: native over shimmy, steps per second."""
    from dm_control import suite
    from shimmy.dm_control_compatibility import DmControlCompatibilityV0

    ours = gym.make("BaggedCheetahRun-v0", engine="native").unwrapped
    theirs = DmControlCompatibilityV0(suite.load("cheetah", "run", task_kwargs={"time_limit": float("inf")}))
    draw = np.random.default_rng(0)
    actions = draw.uniform(-1, 1, size=(max(2, round(duration * 25_000)), 6))

    def run(env: Any) -> Callable[[], float]:
        return lambda: _seconds_alone(env, actions)

    return at_least("cheetah-run alone: native / shimmy", paired_ratios(run(ours), run(theirs), pairs), ALONE_GOAL)


def _seconds_alone(env: Any, actions: Any) -> float:
    env.reset(seed=0)
    begin = time.perf_counter()
    for action in actions:
        env.step(action)
    return time.perf_counter() - begin


def training(pairs: int, rollouts: int) -> list[Row]:
    """PPO on 8 delayed HalfCheetahs: in our vector over Stable-Baselines3's two."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    from bagged_envs.baselines.sb3_vector import make_vec_for_sb3

    id, num_envs = "bagged_envs:BaggedHalfCheetah-v0", 8
    makers = [lambda: gym.make(id)] * num_envs
    vectors = {
        "ours": make_vec_for_sb3(id, num_envs),
        "DummyVecEnv": DummyVecEnv(makers),
        "SubprocVecEnv": SubprocVecEnv(makers, start_method="forkserver"),
    }

    def run(name: str) -> Callable[[], float]:
        model = PPO("MlpPolicy", vectors[name], n_steps=ROLLOUT, batch_size=64, seed=0, device="cpu")

        def learn() -> float:
            begin = time.perf_counter()
            model.learn(rollouts * ROLLOUT * num_envs)
            return time.perf_counter() - begin

        return learn

    names = list(vectors)[1:]
    found = {name: paired_ratios(run("ours"), run(name), pairs) for name in names}
    for envs in vectors.values():
        envs.close()
    return [at_least(f"PPO, 8 HalfCheetahs: ours / {name}", found[name], TRAINING_GOAL) for name in names]


def played(chosen: argparse.Namespace) -> tuple[list[Speed], list[Row]]:
    """Play everything that was chosen; returns the figures and how the goals were met."""
    backends = [name for name in chosen.backends if name != "envpool" or importlib.util.find_spec("envpool")]
    rows: list[Speed] = []
    goals: list[Row] = []
    for task in chosen.tasks:
        for num_envs in chosen.num_envs:
            whom = contenders(backends, chosen.threads, num_envs)
            found = race(task, num_envs, whom, chosen.pairs, chosen.seconds, chosen.delayed)
            rows += speeds(task, num_envs, found)
            print("\n".join(show(row) for row in rows[-len(whom) :]), flush=True)
            goals += judged(task, num_envs, found)
    return rows, goals


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=MUJOCO, choices=MUJOCO)
    parser.add_argument("--num-envs", nargs="+", type=int, default=[8, 32, 128])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long one run of SyncVectorEnv lasts, about")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="rounds")
    parser.add_argument("--delayed", action="store_true", help="with the delay around them, as make_vec returns them")
    parser.add_argument("--rollouts", type=int, default=4, help="of one run of PPO; 0 for no PPO and no dm_control")
    parser.add_argument(
        "--out", type=Path, help="write the figures to this CSV file, and the machine's to one beside it"
    )
    parser.add_argument("--plot", type=Path, help="draw them to this file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a goal is not met")
    chosen = parser.parse_args(arguments)
    rows, goals = played(chosen)
    if chosen.rollouts:
        goals += [alone(chosen.pairs, chosen.seconds), *training(chosen.pairs, chosen.rollouts)]
    if chosen.out is not None:
        write(rows, chosen.out)
        chosen.out.with_suffix(".machine.json").write_text(json.dumps(machine(), indent=1) + "\n")
    if chosen.plot is not None:
        draw_plot(rows, chosen.plot)
    chosen.out = None  # the rows of goals are told, the file has the figures
    return tell(goals, f"gymnasium {gym.__version__}", chosen)


if __name__ == "__main__":
    sys.exit(main())
