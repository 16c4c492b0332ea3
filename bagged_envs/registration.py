"""From the tables to Gymnasium's registry: every task times every variant it supports.

`gym.make` puts its own wrappers around what an entry point returns, the time limit among them. A delay inside the entry
point would never see an episode cut by that limit. So the entry point builds the dense task and only checks the
schedule's arguments, which then stand in `env.spec.kwargs`; the delay is named in the specification's
`additional_wrappers`, stands outside the limit, and reads its arguments from there.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, WrapperSpec, load_env_creator
from gymnasium.utils import RecordConstructorArgs

from bagged_envs.suites.row import Task
from bagged_envs.tasks import TASKS
from bagged_envs.variants import OPTIONS, VARIANTS, Variant
from bagged_envs.wrappers import DelayedReward, RewardSchedule
from bagged_envs.wrappers.arguments import flag, known
from bagged_envs.wrappers.ledger import NONFINITE
from bagged_envs.wrappers.schedule import ARGUMENTS

VERSION = 0
DELAY_ARGUMENTS = (*ARGUMENTS, *OPTIONS)
LIBRARY = {"mujoco": "mujoco", "dmc": "dm_control", "marl": "pettingzoo"}


def env_id(variant: str, task: str) -> str:
    """Return the ID of a task's variant.

    Example:
        >>> env_id("Bagged", "Walker2d")
        'BaggedWalker2d-v0'
    """
    return f"{variant}{task}-v{VERSION}"


def parts(id: str) -> tuple[Variant, Task]:
    """Return the variant and the task that an ID of ours names.

    Raises:
        gymnasium.error.NameNotFound: It names none; the message lists the nearest.
    """
    name = id.rpartition(":")[2]
    for variant in VARIANTS.values():
        task = TASKS.get(name.removeprefix(variant.name).removesuffix(f"-v{VERSION}"))
        if task is not None and env_id(variant.name, task.name) == name and supports(task, variant):
            return variant, task
    try:
        known("id", name, list(ids()))
    except ValueError as error:
        raise gym.error.NameNotFound(str(error)) from None
    raise gym.error.NameNotFound(f"id={id!r} is registered by none of ours.")


def supports(task: Task, variant: Variant) -> bool:
    """Whether the task has the variant: Sparse needs a success criterion."""
    return task.success is not None or not variant.needs_criterion


def ids() -> Iterator[str]:
    """Yield every ID of ours, task by task."""
    for task in TASKS.values():
        for variant in VARIANTS.values():
            if supports(task, variant):
                yield env_id(variant.name, task.name)


def delay_arguments(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a specification that concern the delay."""
    return {key: value for key, value in kwargs.items() if key in DELAY_ARGUMENTS}


def task_arguments(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a specification that concern the task."""
    return {key: value for key, value in kwargs.items() if key not in DELAY_ARGUMENTS}


def schedule_of(kwargs: Mapping[str, Any]) -> RewardSchedule:
    """Return the schedule that a specification's arguments describe, every one of them checked.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument has a value that cannot be meant.
    """
    flag("expose_reward", kwargs.get("expose_reward", False))
    flag("observe_bag", kwargs.get("observe_bag", False))
    known("nonfinite", kwargs.get("nonfinite", "raise"), NONFINITE)
    return RewardSchedule(**{key: value for key, value in kwargs.items() if key in ARGUMENTS})


class Delay(DelayedReward, RecordConstructorArgs):
    """The delay of a registered ID: all its arguments stand in `env.spec.kwargs`, none is its own.

    They are read once, here, because an unpickled MuJoCo environment has no `spec`.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        """Read the schedule from the specification that `gym.make` left on the task.

        Raises:
            ValueError: The environment was not made by `gym.make` from an ID of ours.
        """
        RecordConstructorArgs.__init__(self)
        spec = env.unwrapped.spec
        if spec is None:
            raise ValueError(
                f"{env} has no spec to read a schedule from: use gym.make on an ID of bagged_envs, or a wrapper of "
                f"bagged_envs.wrappers, which takes its arguments directly."
            )
        kwargs = delay_arguments(spec.kwargs)
        options = {key: kwargs[key] for key in OPTIONS if key in kwargs}
        _, task = parts(spec.id)
        schedule = schedule_of(kwargs)
        DelayedReward.__init__(self, env, schedule, reward_info_keys=task.reward_info_keys, **options)
        _warn_of_endless_bag(env, task, schedule)


def _warn_of_endless_bag(env: gym.Env[Any, Any], task: Task, schedule: RewardSchedule) -> None:
    limit = env.spec.max_episode_steps if env.spec is not None else None
    if schedule.bag_len is None and limit is None and task.max_episode_steps is not None:
        gym.logger.warn(
            f"{task.name} has no time limit (max_episode_steps=-1) and is paid once per episode: unless it terminates by "
            f"itself, nothing is ever paid. Give it a limit, or make {env_id('Bagged', task.name)}."
        )


class Transparent(gym.Wrapper[Any, Any, Any, Any]):
    """Hides from `gym.make` that an entry point returned a wrapper: its `spec` is the unwrapped environment's.

    `gym.make` compares wrappers that an entry point brings along with those of the specification, and raises.
    """

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """The specification of the unwrapped environment."""
        return self.unwrapped.spec


class EntryPoint:
    """Builds the dense task of one variant and checks the delay's arguments before anything is built."""

    def __init__(self, variant: Variant, task: Task) -> None:
        """Remember the rows of the tables."""
        self.variant, self.task = variant, task

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the dense task, so that `render_mode` works as for the base ID."""
        creator, _ = self._creator()
        metadata = getattr(creator, "metadata", {})
        return metadata if isinstance(metadata, dict) else {}

    def __call__(self, **kwargs: Any) -> gym.Env[Any, Any]:
        """Return the dense task; whatever it returns is no wrapper in the eyes of `gym.make`.

        Raises:
            TypeError: An argument has a wrong type, or the task does not know it.
            ValueError: An argument has a value that cannot be meant, or one that the variant's name excludes.
            gymnasium.error.DependencyNotInstalled: A package is missing; the message names the extra.
        """
        schedule_of(kwargs)
        self._check_fixed(kwargs)
        creator, defaults = self._creator()
        try:
            env = creator(**{**defaults, **task_arguments(kwargs)})
        except TypeError as error:
            raise TypeError(f"{error} (the delay's arguments are {', '.join(DELAY_ARGUMENTS)})") from error
        return Transparent(env) if isinstance(env, gym.Wrapper) else env

    def _check_fixed(self, kwargs: Mapping[str, Any]) -> None:
        given = delay_arguments(kwargs)
        for name, other in self.variant.fixed.items():
            if given.get(name, self.variant.arguments[name]) != self.variant.arguments[name]:
                raise ValueError(
                    f"{name}={given[name]!r} contradicts the name {env_id(self.variant.name, self.task.name)}, which "
                    f"fixes {name}={self.variant.arguments[name]!r}: make {env_id(other, self.task.name)} instead."
                )
        for name in ("success", "threshold"):
            if given.get(name) is not None and not self.variant.needs_criterion:
                raise ValueError(
                    f"{name}={given[name]!r} has no use in {env_id(self.variant.name, self.task.name)}, which does "
                    f"not pay by success: make the Sparse variant instead."
                )

    def _creator(self) -> tuple[Any, dict[str, Any]]:
        task = self.task
        try:
            if task.factory is not None:
                return load_env_creator(task.factory), dict(task.kwargs)
            base = gym.spec(str(task.base_id))
            creator = load_env_creator(base.entry_point) if isinstance(base.entry_point, str) else base.entry_point
            return creator, {**base.kwargs, **task.kwargs}
        except ImportError as error:
            if task.extra is None:
                raise
            library = LIBRARY.get(task.extra, task.extra)
            raise gym.error.DependencyNotInstalled(
                f'{task.name} needs {library}: pip install "bagged_envs[{task.extra}]" ({error})'
            ) from error


def specification(variant: Variant, task: Task) -> EnvSpec:
    """Return the specification that a task's variant is registered with."""
    base = gym.spec(task.base_id) if task.base_id is not None else None
    arguments: dict[str, Any] = {**variant.arguments, **OPTIONS}
    if variant.needs_criterion:
        arguments.update(success=task.success, threshold=task.threshold)
    return EnvSpec(
        id=env_id(variant.name, task.name),
        entry_point=f"bagged_envs.entry_points:{variant.name}{task.name}",
        nondeterministic=base.nondeterministic if base else False,
        max_episode_steps=task.max_episode_steps or (base.max_episode_steps if base else None),
        order_enforce=base.order_enforce if base else True,
        disable_env_checker=base.disable_env_checker if base else False,
        kwargs={**copy.deepcopy(dict(task.kwargs)), **arguments},
        additional_wrappers=(*(base.additional_wrappers if base else ()), WrapperSpec("Delay", DELAY, {})),
    )


DELAY = f"{Delay.__module__}:{Delay.__qualname__}"


def register_rows(task: Task) -> None:
    """Register every variant of one task; what is registered already stays as it is."""
    for variant in VARIANTS.values():
        if supports(task, variant) and env_id(variant.name, task.name) not in gym.registry:
            spec = specification(variant, task)
            gym.registry[spec.id] = spec


def register_all() -> None:
    """Register every task of the table; calling it again changes nothing."""
    for task in TASKS.values():
        register_rows(task)


def register_task(
    base_id: str,
    *,
    name: str,
    success: str | None = None,
    threshold: float | None = None,
    reward_info_keys: tuple[str, ...] | list[str] = (),
    max_episode_steps: int | None = None,
    tags: tuple[str, ...] | list[str] = (),
    summary: str = "",
    source: str = "",
    **kwargs: Any,
) -> list[str]:
    """Give any Gymnasium ID the variants, and return their IDs.

    Call it when your module is imported: a spawned worker then finds the IDs as `my_module:BaggedMyTask-v0`.

    Args:
        base_id: A registered ID, `module:` in front if need be.
        name: CamelCase; the IDs are `<Variant><name>-v0`.
        success: The Sparse variant's criterion, a name in `bagged_envs.wrappers.success`; None for no Sparse variant.
        threshold: Its threshold.
        reward_info_keys: Info keys to remove because they give the dense reward away.
        max_episode_steps: Another time limit than the base ID's.
        tags: Words to find it by.
        summary: What is to be done, in one line.
        source: Paper or documentation of the task.
        **kwargs: Arguments for the base ID, JSON values.

    Raises:
        TypeError: `name` is not a string.
        ValueError: The name is taken or no identifier, the base ID cannot be delayed, or the criterion is unknown.
        gymnasium.error.Error: The base ID is not registered.

    Example:
        >>> register_task("CartPole-v1", name="CartPole", success="return", threshold=475.0)
        ['BaggedCartPole-v0', 'EpisodicCartPole-v0', 'PartiallyLabeledCartPole-v0', 'SparseCartPole-v0']
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r} of type {type(name).__name__}.")
    if not name.isidentifier() or name.startswith("_"):
        raise ValueError(f"name must be a CamelCase identifier such as 'MyTask', got {name!r}.")
    module, _, plain = base_id.rpartition(":")
    if module:
        importlib.import_module(module)
    base = gym.spec(plain)
    task = Task(
        name=name,
        suite="registered",
        summary=summary or f"{plain} with its rewards delayed",
        base_id=plain,
        kwargs=kwargs,
        max_episode_steps=max_episode_steps,
        success=success,
        threshold=threshold,
        success_source="register_task",
        reward_info_keys=tuple(reward_info_keys),
        source=source or plain,
        tags=tuple(tags),
    )
    if base.entry_point is None:
        raise ValueError(f"base_id={base_id!r} has no entry_point for a single environment and cannot be delayed.")
    if success is not None:
        RewardSchedule(bag_len=None, success=success, threshold=threshold)
    elif threshold is not None:
        raise ValueError(f"threshold={threshold!r} needs a success criterion, got success=None.")
    _check_free(task)
    TASKS[name] = task
    register_rows(task)
    return [env_id(variant.name, name) for variant in VARIANTS.values() if supports(task, variant)]


def _check_free(task: Task) -> None:
    taken = [id for id in (env_id(variant, task.name) for variant in VARIANTS) if id in gym.registry]
    if task.name in TASKS or taken:
        raise ValueError(f"name={task.name!r} is taken ({', '.join(taken)}): choose another.")


def delay_of(env: gym.Env[Any, Any]) -> DelayedReward | None:
    """Return the delay in a stack of wrappers, or None."""
    layer: Any = env
    while isinstance(layer, gym.Wrapper):
        if isinstance(layer, DelayedReward):
            return layer
        layer = layer.env
    return None


def dense_specification(spec: EnvSpec) -> EnvSpec:
    """Return the specification of the same task, arguments and limit without the delay."""
    _, task = parts(spec.id)
    twin = copy.deepcopy(spec)
    twin.additional_wrappers = tuple(w for w in twin.additional_wrappers if w.entry_point != DELAY)
    twin.kwargs = task_arguments(twin.kwargs)
    twin = dataclasses.replace(twin, id=task.base_id or f"Dense{task.name}-v{VERSION}")
    twin.entry_point = f"bagged_envs.entry_points:Dense{task.name}"
    return twin
