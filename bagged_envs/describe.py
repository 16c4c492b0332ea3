"""What `bagged-envs list` and `describe` print."""

from __future__ import annotations

import copy
import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from rich.markup import escape
from rich.table import Table

from bagged_envs.make import resolved_schedule
from bagged_envs.registration import parts, rows_of, spec_of
from bagged_envs.suites.row import Task
from bagged_envs.vector_envs import automatic
from bagged_envs.wrappers import RewardSchedule
from bagged_envs.wrappers.success import Threshold, criterion

PACKAGES = ("bagged_envs", "gymnasium", "numpy")
PACKAGES_OF_EXTRA = {"mujoco": ("mujoco",), "dmc": ("dm-control", "shimmy", "mujoco"), "marl": ("pettingzoo", "mpe2")}


def id_table(ids: Sequence[str]) -> Table:
    """Return a table of IDs, one row each."""
    table = Table(box=None, highlight=False, caption=f"{len(ids)} IDs", caption_justify="left")
    table.add_column("ID", no_wrap=True)
    table.add_column("suite", no_wrap=True)
    table.add_column("task")
    for id in ids:
        _, task = parts(id)
        table.add_row(id, task.suite, task.summary)
    return table


def description(id: str, arguments: Mapping[str, Any]) -> Table:
    """Return a table of everything there is to know about an ID.

    Raises:
        gymnasium.error.Error: There is no such ID.
        ValueError: An argument cannot be meant.
    """
    table = Table(show_header=False, box=None, highlight=False, padding=(0, 2, 0, 0))
    for name, value in facts(id, arguments):
        table.add_row(f"[bold]{name}[/bold]", escape(value))
    return table


def resolved_id(id: str, arguments: Mapping[str, Any]) -> str:
    """Return the ID with its schedule, as logs and tables print it.

    Example:
        >>> resolved_id("BaggedWalker2d-v0", {"bag_len": 20})
        'BaggedWalker2d-v0[bag_len=20]'
    """
    return f"{spec_of(id).id}[{resolved_schedule(id, **arguments)}]"


def facts(id: str, arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and values of what there is to know about an ID."""
    spec = spec_of(id)
    variant, task = rows_of(spec)
    asked = dataclasses.replace(copy.deepcopy(spec), kwargs={**spec.kwargs, **arguments})
    return [
        ("ID", resolved_id(id, arguments)),
        ("task", f"{task.name}: {task.summary}"),
        ("pays", variant.summary),
        ("horizon", _horizon(spec, task)),
        _criterion(task, resolved_schedule(id, **arguments)),
        ("removed from info", ", ".join(task.reward_info_keys) or _nothing_removed(task)),
        *_spaces(spec.id, arguments),
        ("make_vec's backend", ": ".join(automatic(task, asked))),
        ("suite, tags", ", ".join((task.suite, *task.tags))),
        ("needs", " and ".join(filter(None, (_extra(task), task.needs)))),
        ("source", task.source),
        ("versions", _versions(task)),
    ]


def _horizon(spec: EnvSpec, task: Task) -> str:
    if spec.max_episode_steps:
        return f"{spec.max_episode_steps} steps"
    return "no time limit: the task ends by itself" if "terminates" in task.tags else "no time limit"


def _nothing_removed(task: Task) -> str:
    ours = task.suite != "registered"
    return (
        "nothing: the task's info tells no reward" if ours else "nothing: register_task was given no reward_info_keys"
    )


def success_text(task: Task, threshold: float | None = None) -> str:
    """Return a task's success criterion as a sentence's end, with another threshold if one is given."""
    if task.success is None:
        return "none, and so no Sparse variant"
    rule = criterion(task.success, task.threshold if threshold is None else threshold)
    return str(rule) if isinstance(rule, Threshold) else "the task itself ended the episode"


def _criterion(task: Task, schedule: RewardSchedule) -> tuple[str, str]:
    name = "success" if schedule.success is not None else "success, if Sparse"
    source = f" ({task.success_source})" if task.success_source else ""
    return name, success_text(task, schedule.threshold) + source


def _extra(task: Task) -> str:
    return f'pip install "bagged_envs[{task.extra}]"' if task.extra else "nothing more"


def _spaces(id: str, arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    try:
        env = gym.make(id, **arguments)
    except (ImportError, gym.error.DependencyNotInstalled, RuntimeError) as error:
        return [("cannot load here", str(error))]
    env.close()
    return [("observation", str(env.observation_space)), ("action", str(env.action_space))]


def _versions(task: Task) -> str:
    names = (*PACKAGES, *PACKAGES_OF_EXTRA.get(task.extra or "", ()))
    return ", ".join(f"{name} {_version(name)}" for name in names)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
