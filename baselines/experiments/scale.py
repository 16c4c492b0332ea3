"""Where the scale of a benchmark begins: what uniformly random actions are paid on a task.

    python -m bagged_envs.baselines.experiments.scale HalfCheetah CheetahRun --episodes 200 --out scale.csv

Writes a row per task: the mean return over so many episodes, and its standard error. Tasks that have one are left out.
Where the scale ends is what TD3 comes to on dense rewards (`sweep oracle-td3 ...`), or the most that a task can pay.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from bagged_envs.baselines.evaluate import evaluate, evaluation_env
from bagged_envs.baselines.growing_table import append_row, done
from bagged_envs.registration import env_id
from bagged_envs.tasks import TASKS
from bagged_envs.testing.rollout import random_actions
from bagged_envs.wrappers.arguments import counted, int_between, known


def random_return(task: str, episodes: int, seed: int = 0) -> tuple[float, float]:
    """Return the mean dense return of uniformly random actions, and its standard error.

    Args:
        task: Its name.
        episodes: How many; the first has the seed, each following one the next.
        seed: Of the first episode, and of the actions.
    """
    env = evaluation_env(env_id("Episodic", task), {})
    act = random_actions(env.action_space, seed)
    found = evaluate(env, lambda observation: act(), episodes, seed)
    env.close()
    return found.mean, found.std / math.sqrt(episodes - 1)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+")
    parser.add_argument("--episodes", type=counted, default=200)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(words)
    int_between("episodes", given.episodes, 2, 10**9)
    for task in given.tasks:
        known("task", task, list(TASKS))
    for task in given.tasks:
        if (task, str(given.episodes)) not in done(given.out, ("task", "episodes")):
            mean, error = random_return(task, given.episodes)
            row = {"task": task, "episodes": given.episodes, "random": f"{mean:.6g}", "standard_error": f"{error:.2g}"}
            append_row(given.out, row)
            print(row, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
