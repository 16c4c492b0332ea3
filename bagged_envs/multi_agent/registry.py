"""The entry points that PettingZoo's registry names."""

from __future__ import annotations

from typing import Any

from pettingzoo.utils.conversions import parallel_to_aec

from bagged_envs.make import make_parallel


def parallel(task_id: str, max_cycles: int | None = None, **kwargs: Any) -> Any:
    """Make an ID of ours as a `ParallelEnv`; PettingZoo calls the time limit `max_cycles`."""
    return make_parallel(task_id, max_episode_steps=-1 if max_cycles is None else max_cycles, **kwargs)


def aec(task_id: str, max_cycles: int | None = None, **kwargs: Any) -> Any:
    """Make an ID of ours as an `AECEnv`."""
    return parallel_to_aec(parallel(task_id, max_cycles, **kwargs))
