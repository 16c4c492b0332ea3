"""`register_task`: the variants for any Gymnasium ID, in one line."""

from __future__ import annotations

import json
import sys
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from bagged_envs.registration import (
    DELAY,
    DELAY_ARGUMENTS,
    env_id,
    is_dense,
    register_rows,
    spec_of,
    supports,
    task_of,
)
from bagged_envs.suites.row import Task
from bagged_envs.tasks import TASKS
from bagged_envs.variants import VARIANTS
from bagged_envs.wrappers import RewardSchedule
from bagged_envs.wrappers.arguments import known, positive_int, string, strings
from bagged_envs.wrappers.success import NAMES


def register_task(
    base_id: str,
    *,
    name: str,
    success: str | None = None,
    threshold: float | None = None,
    reward_info_keys: tuple[str, ...] | list[str] | None = None,
    max_episode_steps: int | None = None,
    tags: tuple[str, ...] | list[str] = (),
    summary: str = "",
    source: str = "",
    module: str | None = None,
    **kwargs: Any,
) -> list[str]:
    """Give any Gymnasium ID the variants, and return their IDs.

    Call it when your module is imported: a spawned worker then finds the IDs as `my_module:BaggedMyTask-v0`.

    Args:
        base_id: A registered ID, `module:` in front if need be.
        name: CamelCase; the IDs are `<Variant><name>-v0`.
        success: The Sparse variant's criterion, a name in `bagged_envs.wrappers.success`; None for no Sparse variant.
        threshold: Its threshold.
        reward_info_keys: Info keys to remove because they give the dense reward, or terms of it, away; None for those
            of our own task on the same base ID, if there is one.
        max_episode_steps: Another time limit than the base ID's.
        tags: Words to find it by.
        summary: What is to be done, in one line.
        source: Paper or documentation of the task.
        module: The module whose import registers the task, for processes that get a specification instead of an ID; by
            default the module that makes this call.
        **kwargs: Arguments for the base ID, JSON values; none of the names of the delay's arguments.

    Raises:
        TypeError: `name` is not a string.
        ValueError: The name is taken or no identifier, the base ID cannot be delayed, or the criterion is unknown.
        gymnasium.error.Error: The base ID is not registered.

    Example:
        >>> register_task("CartPole-v1", name="CartPole", success="return", threshold=475.0)
        ['BaggedCartPole-v0', 'EpisodicCartPole-v0', 'PartiallyLabeledCartPole-v0', 'SparseCartPole-v0']
    """
    if not string("name", name).isidentifier() or name.startswith("_"):
        raise ValueError(f"name must be a CamelCase identifier such as 'MyTask', got {name!r}.")
    base = spec_of(base_id)
    _check_base(base_id, base, kwargs)
    task = Task(
        name=name,
        suite="registered",
        summary=string("summary", summary) or f"{base.id} with its rewards delayed",
        base_id=base.id,
        kwargs=kwargs,
        max_episode_steps=None if max_episode_steps is None else positive_int("max_episode_steps", max_episode_steps),
        success=success,
        threshold=threshold,
        success_source="register_task",
        reward_info_keys=_known_keys(base)
        if reward_info_keys is None
        else strings("reward_info_keys", reward_info_keys),
        source=string("source", source) or base.id,
        tags=strings("tags", tags),
        module=_calling_module() if module is None else string("module", module),
    )
    if success is not None:
        known("success", success, NAMES)
        RewardSchedule(bag_len=None, success=success, threshold=threshold)
    elif threshold is not None:
        raise ValueError(f"threshold={threshold!r} needs a success criterion, got success=None.")
    _check_free(task)
    TASKS[name] = task
    register_rows(task)
    return [env_id(variant.name, name) for variant in VARIANTS.values() if supports(task, variant)]


def _check_base(base_id: str, base: EnvSpec, kwargs: dict[str, Any]) -> None:
    if base.entry_point is None:
        raise ValueError(f"base_id={base_id!r} has no entry_point for a single environment and cannot be delayed.")
    if any(wrapper.entry_point == DELAY for wrapper in base.additional_wrappers):
        raise ValueError(f"base_id={base_id!r} is delayed already: name the ID of its task.")
    for key, value in kwargs.items():
        if key in DELAY_ARGUMENTS:
            raise ValueError(f"{key}={value!r} is an argument of the delay: give it to gym.make, not to register_task.")
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{key} must be a JSON value to stand in a specification, got {value!r}.") from error


def _known_keys(base: EnvSpec) -> tuple[str, ...]:
    """Return what our own task on that base ID, or of that dense ID, removes from info."""
    if is_dense(base):
        return task_of(base).reward_info_keys
    return next((task.reward_info_keys for task in TASKS.values() if task.base_id == base.id), ())


def _calling_module() -> str:
    """Return the module that called `register_task`: importing it registers the task in a worker, too."""
    name = str(sys._getframe(2).f_globals.get("__name__", ""))
    return "" if name == "__main__" else name


def _check_free(task: Task) -> None:
    taken = [id for id in (env_id(variant, task.name) for variant in VARIANTS) if id in gym.registry]
    if task.name in TASKS or taken:
        raise ValueError(f"name={task.name!r} is taken ({', '.join(taken)}): choose another.")
