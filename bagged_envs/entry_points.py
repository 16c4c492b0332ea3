"""The entry points that specifications name: `bagged_envs.entry_points:BaggedWalker2d`, one per variant and task."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator

from bagged_envs.registration import (
    DELAY_ARGUMENTS,
    DENSE,
    FACE,
    checked_schedule,
    dense_id,
    env_id,
    parts,
    plain,
    refuse_delay,
    task_arguments,
)
from bagged_envs.suites.row import Task
from bagged_envs.tasks import TASKS
from bagged_envs.variants import VARIANTS, Variant

DENSE_REWARD = Variant(DENSE, "the dense reward at every step", {})
# By the suite, the arguments that tell another library which task it is. A user's own task may have them for anything.
NAMING = {"dmc": ("domain", "task"), "mpe": ("scenario",)}
LIBRARY = {"mujoco": "mujoco", "dmc": "dm_control", "marl": "pettingzoo and mpe2"}


def missing(task: Task, error: ImportError) -> gym.error.DependencyNotInstalled:
    """Return the error that says which extra installs what a task needs."""
    library = LIBRARY.get(str(task.extra), task.extra)
    return gym.error.DependencyNotInstalled(
        f'{task.name} needs {library}: pip install "bagged_envs[{task.extra}]" ({error})'
    )


def unknown_argument(error: TypeError) -> TypeError:
    """Return a task's refusal of an argument, and what the delay would have taken."""
    if "unexpected" not in str(error):
        return error
    return TypeError(f"{error} (the delay's arguments are {', '.join(DELAY_ARGUMENTS)})")


def refuse_another(task: Task, kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments that name another task of another library.

    Raises:
        ValueError: There is one.
    """
    for name in NAMING.get(task.suite, ()):
        own = task.kwargs[name]
        if kwargs.get(name, own) != own:
            raise ValueError(f"{name}={kwargs[name]!r} contradicts the name {task.name}, which is {own!r}.")


class Transparent(gym.Wrapper[Any, Any, Any, Any]):
    """Hides from `gym.make` that an entry point returned a wrapper: its `spec` is the unwrapped environment's.

    `gym.make` compares wrappers that an entry point brings along with those of the specification, and raises. It asks
    for the specification as soon as it has written one, with the arguments as they were given: here is the first place
    to make them plain, and for a dense task, which has no `Delay`, the only one.
    """

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """The specification of the unwrapped environment, its arguments plain."""
        spec = self.unwrapped.spec
        if spec is not None:
            spec.kwargs = plain(spec.kwargs)
        return spec


class EntryPoint:
    """Builds the dense task of one variant and checks the delay's arguments before anything is built."""

    def __init__(self, variant: Variant, task: Task) -> None:
        """Remember the rows of the tables."""
        self.variant, self.task = variant, task

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the dense task, so that `render_mode` works as for the base ID.

        Raises:
            AttributeError: What builds the task has none, as plain functions don't.
        """
        creator, _ = self._creator()
        return creator.metadata  # type: ignore[no-any-return]

    def __call__(self, **kwargs: Any) -> gym.Env[Any, Any]:
        """Return the dense task; whatever it returns is no wrapper in the eyes of `gym.make`.

        Raises:
            TypeError: An argument has a wrong type, or the task does not know it.
            ValueError: An argument has a value that cannot be meant, or one that the variant's name excludes.
            gymnasium.error.DependencyNotInstalled: A package is missing; the message names the extra.
        """
        if self.variant is DENSE_REWARD:
            refuse_delay(dense_id(self.task), self.task, kwargs)
        checked_schedule(self.variant, self.task, kwargs)
        refuse_another(self.task, kwargs)
        creator, defaults = self._creator()
        try:
            env = creator(**{**defaults, **task_arguments(kwargs)})
        except TypeError as error:
            raise unknown_argument(error) from error
        return Transparent(env) if isinstance(env, gym.Wrapper) or self._must_be_plain(kwargs) else env

    def parallel(self, max_episode_steps: int | None, render_mode: str | None, kwargs: dict[str, Any]) -> Any:
        """Return a task with agents as a PettingZoo `ParallelEnv`, undelayed.

        Raises:
            TypeError: The task does not know an argument.
            gymnasium.error.DependencyNotInstalled: A package is missing; the message names the extra.
        """
        refuse_another(self.task, kwargs)
        creator, _ = self._creator()
        own = {key: value for key, value in kwargs.items() if key not in FACE}
        return creator.parallel(max_episode_steps, render_mode, **own)

    def _must_be_plain(self, kwargs: dict[str, Any]) -> bool:
        """Whether a specification with these arguments has to be changed, and no `Delay` does it."""
        changed = any(value is not kwargs[key] for key, value in plain(kwargs).items())
        return changed and self.variant is DENSE_REWARD

    def _creator(self) -> tuple[Any, dict[str, Any]]:
        task = self.task
        try:
            if task.agents:
                faces = importlib.import_module("bagged_envs.multi_agent.faces")
                return faces.GymFace(task), dict(task.kwargs)
            if task.factory is not None:
                return load_env_creator(task.factory), dict(task.kwargs)
            base = gym.spec(str(task.base_id))
            creator = load_env_creator(base.entry_point) if isinstance(base.entry_point, str) else base.entry_point
            return creator, {**base.kwargs, **task.kwargs}
        except ImportError as error:
            if task.extra is None:
                raise
            raise missing(task, error) from error


def __getattr__(name: str) -> Any:
    """Make the entry point of that name from the tables.

    Raises:
        AttributeError: There is no such task or variant.
    """
    if name.startswith("__"):
        raise AttributeError(name)
    name, _, module = name.partition("@")
    if module and not any(name == prefix + task for prefix in (*VARIANTS, DENSE) for task in TASKS):
        importlib.import_module(module)  # a worker that never ran the module which called register_task
    dense = TASKS.get(name.removeprefix(DENSE))
    if name.startswith(DENSE) and dense is not None:
        return EntryPoint(DENSE_REWARD, dense)
    try:
        return EntryPoint(*parts(env_id(name, "")))
    except gym.error.NameNotFound as error:
        raise AttributeError(f"no variant and task are called {name!r}: {error}") from error
