"""How fast simulated tasks are played, backend beside backend: `python -m benchmarks.backends`.

Every task of MuJoCo's, and every one of dm_control's that is native here, by every backend: Gymnasium's SyncVectorEnv
and AsyncVectorEnv (up to 32 environments), ours (`backend="native"`) and, of MuJoCo's where it is installed, EnvPool's
own interface, the last two by one and two threads. All play the same actions; each run begins
with the same seed, but for EnvPool's, whose episodes go on from run to run. Episodes end and begin on the way. Runs
alternate, and each round begins with another one. A figure is the median of the rounds, a ratio that of the rounds'
ratios. `--delayed` measures them as `make_vec` returns them, the delay around them; otherwise it is left out, as it
costs all of them the same.

Then one environment of dm_control's cheetah-run, native against shimmy's, and PPO of Stable-Baselines3 on 8 delayed
HalfCheetahs, in our vector against theirs, with all of its time: steps per second, updates included.

`--out` has a figure per row; beside it stand how goals were met (`.goals.csv`), and the machine and settings
(`.machine.json`). All are written anew after each task. `--kept` measures nothing and draws a file of figures.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from bagged_envs.demo.rows import write
from bagged_envs.suites import dm_control, mujoco
from bagged_envs.wrappers.arguments import counted
from benchmarks.racing import (
    SYNC,
    Contender,
    Speed,
    alternate,
    contenders,
    drawn,
    machine,
    race,
    read,
    show,
    speeds,
)
from benchmarks.wrappers import PAIRS, Row, at_least, tell

MUJOCO = [task.name for task in mujoco.TASKS]
DM_CONTROL = [task.name for task in dm_control.TASKS if task.batch is not None]
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
SHIMMY = Contender("shimmy")
DUMMY, SUBPROCESSES = Contender("DummyVecEnv"), Contender("SubprocVecEnv")
ALONE, TRAINING = "CheetahRun alone", "PPO on BaggedHalfCheetah"
GOALS += [
    Goal(ALONE, 1, ONE, SHIMMY, 3.0),
    *(Goal(TRAINING, 8, ours, theirs, 1.0) for ours in (ONE, TWO) for theirs in (DUMMY, SUBPROCESSES)),
]


def judged(task: str, num_envs: int, found: dict[Contender, list[float]]) -> list[Row]:
    """Return how the goals of a task and a number of environments were met."""
    rows = []
    for goal in GOALS:
        if goal.task == task and num_envs >= goal.num_envs and {goal.ours, goal.theirs} <= found.keys():
            ratios = [ours / theirs for ours, theirs in zip(found[goal.ours], found[goal.theirs], strict=True)]
            rows.append(at_least(f"{task}, {num_envs}: {goal.ours} / {goal.theirs}", ratios, goal.ratio))
    return rows


def alone(rounds: int, duration: float) -> dict[Contender, list[float]]:
    """One cheetah of dm_control's: shimmy and native, steps per second."""
    from dm_control import suite
    from shimmy.dm_control_compatibility import DmControlCompatibilityV0

    ours = gym.make("BaggedCheetahRun-v0", engine="native").unwrapped
    theirs = DmControlCompatibilityV0(suite.load("cheetah", "run", task_kwargs={"time_limit": float("inf")}))
    draw = np.random.default_rng(0)
    actions = draw.uniform(-1, 1, size=(max(2, round(duration * 25_000)), 6))
    runs = {SHIMMY: partial(_seconds_alone, theirs, actions), ONE: partial(_seconds_alone, ours, actions)}
    for run in runs.values():  # so that both are warm
        run()
    return alternate(runs, rounds, len(actions))


def _seconds_alone(env: Any, actions: Any) -> float:
    env.reset(seed=0)
    begin = time.perf_counter()
    for action in actions:
        env.step(action)
    return time.perf_counter() - begin


def training(rounds: int, rollouts: int) -> dict[Contender, list[float]]:
    """PPO on 8 delayed HalfCheetahs: in Stable-Baselines3's two vectors and in ours, steps per second of learning."""
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    from bagged_envs.baselines.sb3_vector import make_vec_for_sb3

    id, num_envs = "bagged_envs:BaggedHalfCheetah-v0", 8
    makers = [lambda: gym.make(id)] * num_envs
    vectors = {
        DUMMY: DummyVecEnv(makers),
        SUBPROCESSES: SubprocVecEnv(makers, start_method="forkserver"),
        **{ours: make_vec_for_sb3(id, num_envs, vector_kwargs={"num_threads": ours.threads}) for ours in (ONE, TWO)},
    }
    steps = rollouts * ROLLOUT * num_envs
    runs = {name: _learning(envs, steps) for name, envs in vectors.items()}
    for run in runs.values():  # so that all are warm
        run()
    found = alternate(runs, rounds, steps)
    for envs in vectors.values():
        envs.close()
    return found


def _learning(envs: Any, steps: int) -> Callable[[], float]:
    from stable_baselines3 import PPO

    model = PPO("MlpPolicy", envs, n_steps=ROLLOUT, batch_size=64, seed=0, device="cpu")

    def learn() -> float:
        begin = time.perf_counter()
        model.learn(steps)
        return time.perf_counter() - begin

    return learn


class Report:
    """What was found so far: printed, and kept where the command line says."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.chosen, self.figures, self.goals = chosen, list[Speed](), list[Row]()

    def add(self, task: str, num_envs: int, found: dict[Contender, list[float]]) -> None:
        """Take a race in."""
        new = speeds(task, num_envs, found)
        self.figures += new
        self.goals += judged(task, num_envs, found)
        print("\n".join(map(show, new)), flush=True)

    def keep(self) -> None:
        """Write the files."""
        out, chosen = self.chosen.out, self.chosen
        if out is None:
            return
        write(self.figures, out)
        if self.goals:
            write(self.goals, out.with_suffix(".goals.csv"))
        settings = {"rounds": chosen.pairs, "seconds": chosen.seconds, "delayed": chosen.delayed}
        told = {"machine": machine(), "settings": settings}
        out.with_suffix(".machine.json").write_text(json.dumps(told, indent=1) + "\n")


def play(chosen: argparse.Namespace, report: Report) -> None:
    """Play everything that was chosen."""
    for task in chosen.tasks:
        here = task in MUJOCO and importlib.util.find_spec("envpool") is not None
        backends = [name for name in chosen.backends if name != "envpool" or here]
        for num_envs in chosen.num_envs:
            whom = contenders(backends, chosen.threads, num_envs)
            report.add(task, num_envs, race(task, num_envs, whom, chosen.pairs, chosen.seconds, chosen.delayed))
        report.keep()
    if chosen.rollouts:
        report.add(ALONE, 1, alone(chosen.pairs, chosen.seconds))
        report.add(TRAINING, 8, training(chosen.pairs, chosen.rollouts))
        report.keep()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=[*MUJOCO, *DM_CONTROL], choices=[*MUJOCO, *DM_CONTROL])
    parser.add_argument("--num-envs", nargs="+", type=counted, default=[8, 32, 128])
    parser.add_argument("--threads", nargs="+", type=counted, default=[1, 2])
    parser.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long one run of SyncVectorEnv lasts, about")
    parser.add_argument("--pairs", type=counted, default=PAIRS, help="rounds")
    parser.add_argument("--delayed", action="store_true", help="with the delay around them, as make_vec returns them")
    parser.add_argument("--rollouts", type=int, default=4, help="of one run of PPO; 0 for no PPO and no dm_control")
    parser.add_argument("--out", type=Path, help="write the figures to this CSV file, goals and the machine beside it")
    parser.add_argument("--plot", type=Path, help="draw them to this file")
    parser.add_argument("--kept", type=Path, help="measure nothing: draw the figures of this CSV file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a goal is not met")
    chosen = parser.parse_args(arguments)
    if chosen.kept is not None:
        if chosen.plot is None or chosen.out is not None:
            parser.error("--kept draws what was measured: say where to with --plot, and leave --out out")
        try:
            figure = drawn(read(chosen.kept))
        except (OSError, KeyError, ValueError) as error:
            parser.error(f"--kept must be a file that --out wrote, got {chosen.kept}: {error!r}")
        figure.savefig(chosen.plot, dpi=120)
        return 0
    report = Report(chosen)
    play(chosen, report)
    if chosen.plot is not None:
        drawn(report.figures).savefig(chosen.plot, dpi=120)
    chosen.out = None  # written already
    return tell(report.goals, f"gymnasium {gym.__version__}", chosen)


if __name__ == "__main__":
    sys.exit(main())
