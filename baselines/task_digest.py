"""Whether a user's task is still the one that was recorded: by its arguments, its specification and its source."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator

from bagged_envs.registration import task_of
from bagged_envs.suites.row import Task

PROCESS = uuid.uuid4().hex  # stands for a source that cannot be read: it is known as long as the process lives


def task_digest(spec: EnvSpec, elsewhere: bool = False) -> str | None:
    """Return eight hex digits of a task that `register_task` added, or None for one of ours.

    They are others where its arguments are, the specification of the ID that it is built on, with its wrappers, or the
    text of a file that defines one of their entry points, as it was when the digest was first asked for. What these
    files import is not looked at.

    Args:
        spec: Of the task, dense or delayed.
        elsewhere: Whether it is to be the same in other processes where a source cannot be read, because it was typed
            into a console: what was typed is then not part of it.

    Raises:
        gymnasium.error.Error: It is none of ours, or the ID that it is built on is no longer registered.
    """
    task = task_of(spec)
    return _digest(task, elsewhere) if task.suite == "registered" else None


def _digest(task: Task, elsewhere: bool) -> str:
    base = gym.spec(str(task.base_id))
    wrappers = base.additional_wrappers
    entry_points = (base.entry_point, *(one.entry_point for one in wrappers))
    told = [
        [task.kwargs, task.max_episode_steps, base.kwargs, base.max_episode_steps],
        [[one.name, one.entry_point, one.kwargs] for one in wrappers],
        [_creator(entry_point, elsewhere) for entry_point in entry_points],
    ]
    return hashlib.sha256(json.dumps(_plain(told)).encode()).hexdigest()[:8]


def _creator(entry_point: Any, elsewhere: bool) -> list[Any]:
    """Return what an entry point is called, and what tells its source and, of a partial function, its arguments."""
    creator, given = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point, []
    while isinstance(creator, functools.partial):
        given.append([creator.args, creator.keywords])
        creator = creator.func
    defined: Any = creator if inspect.isclass(creator) or inspect.isroutine(creator) else type(creator)
    return [entry_point if isinstance(entry_point, str) else defined.__qualname__, _source(defined, elsewhere), given]


@functools.cache  # a file that is changed while its module is loaded says nothing of what is played
def _source(defined: Any, elsewhere: bool) -> str:
    try:
        text = Path(inspect.getsourcefile(defined) or inspect.getfile(defined)).read_bytes()
    except (TypeError, OSError):  # typed into a console, or built in
        text = b"" if elsewhere else f"{PROCESS} {id(defined)}".encode()
    return hashlib.sha256(text).hexdigest()


def _plain(value: Any) -> Any:
    """Return a value as JSON that differs where it does, whatever its type."""
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if isinstance(value, Mapping):
        return sorted([repr(key), _plain(one)] for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
    return [type(value).__qualname__, _plain(vars(value)) if hasattr(value, "__dict__") else repr(value)]
