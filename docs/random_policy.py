"""What a random policy reaches on every task: writes `docs/random_policy.csv`, from which the page of tasks is made.

    python docs/random_policy.py

Actions are uniform over the action space (standard normal for LQR, whose forces have no bounds). Episode i has seed i,
for the task and for the actions. Tasks with several agents are played by their joint face: the first team acts at
random, and the return is the sum of its agents' rewards. Tasks whose row is there are skipped: delete the file, or a
row, to measure again.
"""

import csv
import importlib.metadata
import math
import statistics
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import bagged_envs
from bagged_envs.registration import env_id
from bagged_envs.suites.row import Task
from bagged_envs.tasks import TASKS
from bagged_envs.testing.rollout import random_actions
from bagged_envs.wrappers.success import Threshold, criterion

FILE = Path(__file__).parent / "random_policy.csv"
EPISODES = 20
SUITES = ("mujoco", "dmc", "mpe", "particle", "symbolic")
ENGINES = {"mujoco": "mujoco", "dmc": "mujoco", "mpe": "mpe2"}


@dataclass(frozen=True)
class Row:
    """One task: means and standard deviations over episodes; empty where there is nothing to measure.

    `measure` is what the success criterion compares with its threshold, `engine` the package whose version the numbers
    depend on; `reason` says why a task could not be loaded.
    """

    task: str
    episodes: int
    mean_steps: float | str
    mean_return: float | str
    sd_return: float | str
    mean_measure: float | str
    sd_measure: float | str
    success_rate: float | str
    engine: str
    reason: str = ""


def measure(task: Task, episodes: int) -> Row:
    engine = engine_of(task)
    try:
        env = bagged_envs.dense(env_id("Bagged", task.name))
        env.reset()
    except RuntimeError as error:
        return Row(task.name, 0, "", "", "", "", "", "", engine, str(error))
    played = [_episode(env, task, seed) for seed in range(episodes)]
    env.close()
    steps, returns, measures, successes = zip(*played, strict=True)
    summary = (*_spread(returns), *_spread(measures), statistics.mean(successes) if task.success else "")
    return Row(task.name, episodes, statistics.mean(steps), *map(_digits, summary), engine)


def engine_of(task: Task) -> str:
    """The package that moves the task and its version, or nothing where that is this library."""
    package = ENGINES.get(task.suite)
    return f"{package} {importlib.metadata.version(package)}" if package else ""


def _spread(values) -> tuple[float | str, float | str]:
    return ("", "") if values[0] is None else (statistics.mean(values), statistics.stdev(values))


def _digits(value: float | str) -> float | str:
    return value if isinstance(value, str) else float(f"{value:.6g}")


def _episode(env, task: Task, seed: int) -> tuple[int, float, float | None, bool]:
    rule = criterion(task.success, task.threshold) if task.success else None
    env.reset(seed=seed)
    act = random_actions(env.action_space, seed)
    rewards, over = [], False
    while not over:
        observation, reward, terminated, truncated, info = env.step(act())
        rewards.append(float(reward))
        over = terminated or truncated
    facts = (observation, info, math.fsum(rewards), terminated)
    measured = rule.measure(*facts) if isinstance(rule, Threshold) else None
    return len(rewards), facts[2], measured, rule is not None and rule(*facts)


def read() -> dict[str, Row]:
    """The rows that are there, by task."""
    if not FILE.exists():
        return {}
    with FILE.open(newline="") as stream:
        return {row["task"]: Row(**row) for row in csv.DictReader(stream)}


def write(rows: dict[str, Row]) -> None:
    with FILE.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(rows[name]) for name in TASKS if name in rows)


def main() -> None:
    rows = read()
    for task in TASKS.values():
        if task.suite in SUITES and task.name not in rows:
            rows[task.name] = measure(task, EPISODES)
            write(rows)
            print(rows[task.name], flush=True)


if __name__ == "__main__":
    sys.exit(main())
