"""What native copies gain: one `NativeVectorEnv` against Gymnasium's `SyncVectorEnv` of the same task.

As `python -m benchmarks.symbolic`. Both sides run in one process, alternating, with the same seed and actions, and
return the same to the bit; a ratio is taken per pair of runs and the median of the pairs is reported.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import SyncVectorEnv, VectorEnv
from gymnasium.wrappers import TimeLimit

from bagged_envs.envs import hidden_door, key_door
from bagged_envs.envs.charge_discharge import ChargeDischarge
from bagged_envs.envs.hidden_door import HiddenDoor
from bagged_envs.envs.key_door import KeyDoor
from bagged_envs.envs.pocket_watch import PocketWatch
from bagged_envs.envs.trace_back import TraceBack
from bagged_envs.native import NativeVectorEnv
from bagged_envs.wrappers.arguments import counted
from benchmarks.wrappers import PAIRS, Row, at_least, paired_ratios, tell, vector_seconds

GOAL = 50.0
NUM_ENVS = 1024
TASKS: tuple[tuple[Any, dict[str, Any], int | None], ...] = (
    (KeyDoor, {}, key_door.MAX_EPISODE_STEPS),
    (KeyDoor, {"distractors": 9}, key_door.MAX_EPISODE_STEPS),
    (PocketWatch, {}, None),
    (HiddenDoor, {}, hidden_door.MAX_EPISODE_STEPS),
    (TraceBack, {}, None),
    (TraceBack, {"noise": 0.5}, None),
    (ChargeDischarge, {}, None),
)


def both(
    task: Any, arguments: dict[str, Any], limit: int | None, num_envs: int
) -> tuple[VectorEnv[Any, Any, Any], VectorEnv[Any, Any, Any]]:
    """Return the native vector environment and Gymnasium's."""

    def one() -> gym.Env[Any, Any]:
        env = task(**arguments)
        return env if limit is None else TimeLimit(env, limit)

    return NativeVectorEnv(task.batch(num_envs, **arguments), max_episode_steps=limit), SyncVectorEnv([one] * num_envs)


def against_sync(task: Any, arguments: dict[str, Any], limit: int | None, steps: int, pairs: int, num_envs: int) -> Row:
    """Episodes end and begin on the way, which costs a native vector environment the most."""
    native, sync = both(task, arguments, limit, num_envs)
    native.action_space.seed(0)
    actions = [native.action_space.sample() for _ in range(steps)]
    ratios = paired_ratios(seconds(native, actions), seconds(sync, actions), pairs)
    name = ", ".join([task.__name__, *(f"{key}={value}" for key, value in arguments.items())])
    return at_least(f"native / sync, {name}, {num_envs} environments", ratios, GOAL)


def seconds(envs: VectorEnv[Any, Any, Any], actions: Sequence[np.ndarray]) -> Callable[[], float]:
    return lambda: vector_seconds(envs, actions)


def measure(steps: int, pairs: int, num_envs: int) -> list[Row]:
    return [against_sync(*case, steps, pairs, num_envs) for case in TASKS]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=counted, default=120, help="steps of one run")
    parser.add_argument("--pairs", type=counted, default=PAIRS, help="paired runs per ratio")
    parser.add_argument("--num-envs", type=counted, default=NUM_ENVS, help="how many environments")
    parser.add_argument("--out", type=Path, help="also write the rows to this CSV file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a goal is not met")
    chosen = parser.parse_args(arguments)
    rows = measure(chosen.steps, chosen.pairs, chosen.num_envs)
    return tell(rows, f"gymnasium {gym.__version__}", chosen)


if __name__ == "__main__":
    sys.exit(main())
