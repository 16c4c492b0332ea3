"""How fast MuJoCo's tasks are played, backend beside backend: `python -m benchmarks.backends`.

Every task, by every backend: Gymnasium's SyncVectorEnv and AsyncVectorEnv, ours (`backend="native"`) and, where it is
installed, EnvPool's own interface, the last two by one and two threads. All play the same actions from the same seed,
with episodes that end and begin on the way; their runs alternate, round by round, and each round begins with another
one. A figure is the median of the rounds, a ratio that of the rounds' ratios. `--delayed` measures them as `make_vec`
returns them, the delay around them; otherwise it is left out, as it costs all of them the same.

Then one environment of dm_control's cheetah-run, native against shimmy's, and PPO of Stable-Baselines3 on 8 delayed
HalfCheetahs, in our vector against theirs.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

import bagged_envs
from bagged_envs.demo.rows import write
from bagged_envs.suites.mujoco import TASKS
from benchmarks.wrappers import PAIRS, Row, at_least, paired_ratios, tell

MUJOCO = [task.name for task in TASKS]
BACKENDS = ("sync", "async", "native", "envpool")
MOST_PROCESSES = 32  # AsyncVectorEnv has one per environment
PACKAGES = ("gymnasium", "mujoco", "numpy", "envpool", "dm-control", "stable-baselines3")
ROLLOUT = 64  # steps per environment between two of PPO's updates


class Contender(NamedTuple):
    """A backend and how many threads it gets."""

    backend: str
    threads: int = 1

    def __str__(self) -> str:
        return f"{self.backend} {self.threads}" if self.backend in ("native", "envpool") else self.backend


class Goal(NamedTuple):
    """What a ratio should reach, from so many environments on."""

    task: str
    num_envs: int
    ours: Contender
    theirs: Contender
    ratio: float


ONE, TWO, SYNC = Contender("native", 1), Contender("native", 2), Contender("sync")
GOALS = [
    Goal("Walker2d", 8, ONE, SYNC, 1.2),
    Goal("HalfCheetah", 8, ONE, SYNC, 1.4),
    *(Goal(task, 8, ONE, Contender("envpool", 1), 0.97) for task in ("Walker2d", "HalfCheetah")),
    *(Goal(task, 32, TWO, SYNC, 1.8) for task in ("Walker2d", "HalfCheetah")),
    *(Goal(task, 32, TWO, Contender("envpool", 2), 0.9) for task in ("Walker2d", "HalfCheetah")),
]
ALONE_GOAL, TRAINING_GOAL = 3.0, 1.0


@dataclasses.dataclass(frozen=True)
class Speed:
    """What one backend reached: environment steps per second, and how that compares with SyncVectorEnv."""

    task: str
    num_envs: int
    backend: str
    threads: int
    steps_per_second: float
    lowest: float
    highest: float
    over_sync: float


def contenders(backends: Sequence[str], threads: Sequence[int], num_envs: int) -> list[Contender]:
    """Return who takes part; SyncVectorEnv always does."""
    chosen = [SYNC]
    if "async" in backends and num_envs <= MOST_PROCESSES:
        chosen.append(Contender("async"))
    threaded = [name for name in ("native", "envpool") if name in backends]
    return chosen + [Contender(name, count) for name in threaded for count in threads if count <= num_envs]


def make(task: str, num_envs: int, contender: Contender, delayed: bool) -> Any:
    """Return a contender's vector environment."""
    backend, threads = contender
    kwargs = {"num_threads": threads} if backend in ("native", "envpool") else {}
    if backend == "envpool" and not delayed:
        import envpool

        return envpool.make_gymnasium(f"{task}-v5", num_envs=num_envs, seed=0, **kwargs)
    envs = bagged_envs.make_vec(f"Bagged{task}-v0", num_envs, backend=backend, vector_kwargs=kwargs)
    return envs if delayed else envs.env


def seconds(envs: Any, actions: Sequence[Any]) -> float:
    if isinstance(envs, gym.vector.VectorEnv):
        envs.reset(seed=0)
    else:  # EnvPool's own: its seed is that of its making
        envs.reset()
    begin = time.perf_counter()
    for action in actions:
        envs.step(action)
    return time.perf_counter() - begin


def race(
    task: str, num_envs: int, whom: Sequence[Contender], rounds: int, duration: float, delayed: bool
) -> dict[Contender, list[float]]:
    """Return each contender's steps per second, round by round; a run of SyncVectorEnv lasts about `duration`."""
    made = {contender: make(task, num_envs, contender, delayed) for contender in whom}
    space = gym.make(f"{task}-v5").action_space
    draw = np.random.default_rng(0)

    def actions(count: int) -> list[Any]:
        size = (count, num_envs, *space.shape)
        return list(draw.uniform(space.low, space.high, size=size).astype(np.float32))

    a_few = actions(5)
    per_step = [seconds(envs, a_few) / len(a_few) for envs in made.values()][0]  # and all are warm
    chosen = actions(max(2, round(duration / per_step)))
    found: dict[Contender, list[float]] = {contender: [] for contender in whom}
    for round_ in range(rounds):
        for place in range(len(whom)):
            contender = whom[(place + round_) % len(whom)]
            found[contender].append(len(chosen) * num_envs / seconds(made[contender], chosen))
    for envs in made.values():
        envs.close()
    return found


def speeds(task: str, num_envs: int, found: dict[Contender, list[float]]) -> list[Speed]:
    """Return a row for each contender."""
    rows = []
    for contender, rates in found.items():
        over = statistics.median(ours / theirs for ours, theirs in zip(rates, found[SYNC], strict=True))
        middle = statistics.median(rates)
        rows.append(Speed(task, num_envs, *contender, middle, min(rates), max(rates), over))
    return rows


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
    theirs = DmControlCompatibilityV0(suite.load("cheetah", "run"))
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


def machine() -> dict[str, str]:
    """Return what the figures come from."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    versions = {name: importlib.metadata.version(name) for name in PACKAGES if importlib.util.find_spec(_module(name))}
    return {
        "processor": model or platform.processor(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "bagged_envs": bagged_envs.__version__,
        **versions,
    }


def _module(package: str) -> str:
    return package.replace("-", "_")


def draw_plot(rows: Sequence[Speed], file: Path) -> None:
    """Draw how many times SyncVectorEnv's speed each backend reaches, a panel per number of environments."""
    from matplotlib.figure import Figure

    sizes, tasks = sorted({row.num_envs for row in rows}), list(dict.fromkeys(row.task for row in rows))
    figure = Figure(figsize=(10, 2.6 * len(sizes)), layout="constrained")
    panels = figure.subplots(len(sizes), 1, squeeze=False)[:, 0]
    for panel, size in zip(panels, sizes, strict=True):
        names = list(dict.fromkeys(Contender(row.backend, row.threads) for row in rows if row.num_envs == size))
        for place, name in enumerate(names):
            bars = {
                row.task: row.over_sync for row in rows if (row.num_envs, row.backend, row.threads) == (size, *name)
            }
            at = [tasks.index(task) + (place - len(names) / 2) / (len(names) + 1) for task in bars]
            panel.bar(at, list(bars.values()), 1 / (len(names) + 1), label=str(name), align="edge")
        panel.axhline(1, color="gray", linewidth=0.8)
        panel.set_xticks(range(len(tasks)), tasks, fontsize=7)
        panel.set_ylabel(f"{size} environments,\ntimes SyncVectorEnv", fontsize=8)
    panels[0].legend(ncols=8, fontsize=7)
    figure.savefig(file, dpi=120)


def show(row: Speed) -> str:
    name = str(Contender(row.backend, row.threads))
    return f"{row.task:24} {row.num_envs:4} {name:10} {row.steps_per_second:10,.0f} steps/s {row.over_sync:6.2f} x sync"


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
