"""Whether a user's task is still the one that was recorded: by its arguments, its specification and its source."""

from __future__ import annotations

import hashlib
import inspect
import json
import uuid
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator

from bagged_envs.registration import task_of
from bagged_envs.suites.row import Task

PROCESS = uuid.uuid4().hex  # stands for a source that cannot be read: it is known as long as the process lives


def task_digest(spec: EnvSpec) -> str | None:
    """Return eight hex digits of a task that `register_task` added, or None for one of ours.

    They are others where its arguments are, the specification of the ID that it is built on, with its wrappers, or the
    text of a file that defines that environment or one of the wrappers. What these import is not looked at.

    Args:
        spec: Of the task, dense or delayed.

    Raises:
        gymnasium.error.Error: It is none of ours, or the ID that it is built on is no longer registered.
    """
    task = task_of(spec)
    return _digest(task) if task.suite == "registered" else None


def _digest(task: Task) -> str:
    base = gym.spec(str(task.base_id))
    wrappers = base.additional_wrappers
    told = [
        [dict(task.kwargs), task.max_episode_steps],
        [base.kwargs, base.max_episode_steps],
        [[one.name, one.entry_point, one.kwargs] for one in wrappers],
        [_source(creator) for creator in (base.entry_point, *(one.entry_point for one in wrappers))],
    ]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=repr).encode()).hexdigest()[:8]


def _source(entry_point: Any) -> str:
    creator = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    try:
        file = inspect.getsourcefile(creator)
    except TypeError:  # it is no class and no function, or was typed into a console
        file = None
    text = f"{PROCESS} {id(creator)}".encode() if file is None else Path(file).read_bytes()
    return f"{entry_point if isinstance(entry_point, str) else creator.__class__} {hashlib.sha256(text).hexdigest()}"
