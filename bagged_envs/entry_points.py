"""The entry points that specifications name: `bagged_envs.entry_points:BaggedWalker2d`, one per variant and task."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from bagged_envs.registration import EntryPoint, env_id, parts
from bagged_envs.tasks import TASKS
from bagged_envs.variants import Variant

_DENSE = Variant("Dense", "the dense reward at every step", {})


def __getattr__(name: str) -> Any:
    """Make the entry point of that name from the tables.

    Raises:
        AttributeError: There is no such task or variant.
    """
    if name.startswith("__"):
        raise AttributeError(name)
    dense = TASKS.get(name.removeprefix(_DENSE.name))
    if name.startswith(_DENSE.name) and dense is not None:
        return EntryPoint(_DENSE, dense)
    try:
        return EntryPoint(*parts(env_id(name, "")))
    except gym.error.NameNotFound as error:
        raise AttributeError(f"no variant and task are called {name!r}: {error}") from error
