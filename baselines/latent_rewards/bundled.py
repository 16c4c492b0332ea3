"""Factors that were written by hand: the text of a program for every task that has one."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

import gymnasium as gym

from bagged_envs.registration import spec_of, task_of
from bagged_envs.tasks import TASKS

FUNCTIONS, TEXTS = ("functions", ".txt"), ("texts", ".toml")
HERE = files("bagged_envs.baselines.latent_rewards")


def names() -> list[str]:
    """Return the tasks with a function, sorted.

    Example:
        >>> "Reacher" in names()
        True
    """
    return there_are(*FUNCTIONS)


def bundled(id: str) -> str:
    """Return the source of a task's function, written by hand.

    Args:
        id: A task's name, an ID of ours of any variant, or the Gymnasium ID that the task is built on.

    Raises:
        TypeError: `id` is not a string.
        ValueError: There is no function for it.

    Example:
        >>> bundled("BaggedReacher-v0") == bundled("Reacher") == bundled("Reacher-v5")
        True
    """
    return read(*FUNCTIONS, id, "write a function of your own and give the path of its file")


def there_are(folder: str, suffix: str) -> list[str]:
    """Return the tasks with a file in a folder of this package, sorted."""
    found = (file.name for file in _folder(folder).iterdir())
    return sorted(name.removesuffix(suffix) for name in found if name.endswith(suffix))


def read(folder: str, suffix: str, id: str, remedy: str) -> str:
    """Return the text of a task's file in a folder of this package.

    Raises:
        TypeError: `id` is not a string.
        ValueError: There is none; the message lists what there is and ends in the remedy.
    """
    known = there_are(folder, suffix)
    name = task_name(id)
    if name not in known:
        raise ValueError(f"id must name one of the tasks {', '.join(known)}, got {id!r}: for another task {remedy}.")
    return _folder(folder).joinpath(name + suffix).read_text(encoding="utf-8")


def task_name(id: str) -> str | None:
    """Return the name of the task that an ID means, whichever variant; None for one that is none of ours.

    Raises:
        TypeError: `id` is not a string.

    Example:
        >>> task_name("EpisodicAnt-v0"), task_name("Ant-v5"), task_name("Blackjack-v1")
        ('Ant', 'Ant', None)
    """
    if id in TASKS:
        return id
    try:
        spec = spec_of(id)
        # Of several tasks on one base, such as a user's own, the first is ours.
        based_on = {task.base_id: task.name for task in reversed(TASKS.values()) if task.base_id is not None}
        return based_on.get(spec.id) or task_of(spec).name
    except gym.error.Error:  # not registered, or not by us: both are none of ours
        return None


def _folder(name: str) -> Traversable:
    return HERE.joinpath(name)
