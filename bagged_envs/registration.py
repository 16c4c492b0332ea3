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
import numpy as np
from gymnasium.envs.registration import EnvSpec, WrapperSpec, find_highest_version, get_env_id, parse_env_id
from gymnasium.utils import RecordConstructorArgs

from bagged_envs.suites.row import Task
from bagged_envs.tasks import TASKS
from bagged_envs.variants import OPTIONS, VARIANTS, Variant
from bagged_envs.wrappers import DelayedReward, RewardSchedule
from bagged_envs.wrappers.arguments import flag, known, positive_int
from bagged_envs.wrappers.ledger import NONFINITE, ListLedger
from bagged_envs.wrappers.schedule import ARGUMENTS

VERSION = 0
PACKAGE = "bagged_envs"
ENTRY_POINTS = f"{PACKAGE}.entry_points"
DELAY_ARGUMENTS = (*ARGUMENTS, *OPTIONS)
DENSE = "Dense"
# How `gym.make` shows a task with several agents.
FACE: dict[str, Any] = {"face": "joint", "team": None, "opponents": "random", "team_reward": None}


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


def task_of(spec: EnvSpec) -> Task:
    """Return the task of a specification of ours, dense or delayed.

    Raises:
        gymnasium.error.NameNotFound: It is none of ours; the message lists the nearest.
    """
    place, _, name = str(spec.entry_point).partition(":")
    name = name.partition("@")[0].removeprefix(DENSE)
    return TASKS[name] if place == ENTRY_POINTS and name in TASKS else rows_of(spec)[1]


def is_dense(spec: EnvSpec) -> bool:
    """Whether a specification is that of a dense task of ours."""
    return str(spec.entry_point).startswith(f"{ENTRY_POINTS}:{DENSE}")


def rows_of(spec: EnvSpec) -> tuple[Variant, Task]:
    """Return the variant and the task of a specification of ours, by its entry point: a user may give it another ID.

    Raises:
        gymnasium.error.NameNotFound: It is none of ours; the message lists the nearest.
    """
    if is_dense(spec):
        raise gym.error.NameNotFound(
            f"{spec.id} is dense and has no schedule: take {env_id('Bagged', task_of(spec).name)} or another variant."
        )
    place, _, name = str(spec.entry_point).partition(":")
    return parts(env_id(name.partition("@")[0], "") if place == ENTRY_POINTS else spec.id)


def spec_of(id: str) -> EnvSpec:
    """Return the registered specification of an ID, whose `module:` is imported first if it has one.

    Raises:
        TypeError: `id` is not a string.
        gymnasium.error.Error: It is not registered; the message lists the nearest.
    """
    if not isinstance(id, str):
        raise TypeError(f"id must be a string such as 'BaggedWalker2d-v0', got {id!r} of type {type(id).__name__}.")
    module, _, plain = id.rpartition(":")
    if module:
        importlib.import_module(module)
    namespace, name, version = parse_env_id(plain)
    if version is None:  # as gym.make does, take the highest
        version = find_highest_version(namespace, name)
    return gym.spec(get_env_id(namespace, name, version))


def registered_id(id: str) -> str:
    """Return an ID as it is registered: with its version, and with `module:` before it where that is not us.

    Raises:
        TypeError: As for `spec_of`.
        gymnasium.error.Error: As for `spec_of`.

    Example:
        >>> registered_id("bagged_envs:BaggedWalker2d")
        'BaggedWalker2d-v0'
    """
    plain, module = spec_of(id).id, id.rpartition(":")[0]
    return plain if module in ("", PACKAGE) else f"{module}:{plain}"


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


def plain(kwargs: Mapping[str, Any], schedule: RewardSchedule | None = None) -> dict[str, Any]:
    """Return a specification's arguments with Python's numbers for NumPy's, which JSON cannot carry.

    Args:
        kwargs: The arguments; what needs no change is returned as it is, not copied.
        schedule: The schedule that they describe: its values, which are checked, take the place of theirs.
    """
    values = dict(kwargs)
    if schedule is not None:
        values |= {key: getattr(schedule, key) for key in ARGUMENTS if kwargs.get(key) is not None}
    return {key: _plain(value) for key, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tuple, list)) and any(_plain(one) is not one for one in value):
        numbers = [_plain(one) for one in value]
        return numbers if isinstance(value, list) else tuple(numbers)
    return value


def schedule_of(task: Task, kwargs: Mapping[str, Any]) -> RewardSchedule:
    """Return the schedule that a specification's arguments describe, every one of them checked.

    The task's own threshold goes with the task's own criterion only; another criterion needs one of its own.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument has a value that cannot be meant.
    """
    flag("expose_reward", kwargs.get("expose_reward", False))
    flag("observe_bag", kwargs.get("observe_bag", False))
    known("nonfinite", kwargs.get("nonfinite", "raise"), NONFINITE)
    arguments = {key: value for key, value in kwargs.items() if key in ARGUMENTS}
    if arguments.get("success") is not None and arguments.get("threshold") is None:
        arguments["threshold"] = task.threshold if arguments["success"] == task.success else None
    return RewardSchedule(**arguments)


def checked_schedule(variant: Variant, task: Task, kwargs: Mapping[str, Any]) -> RewardSchedule:
    """Return the schedule that the arguments of a task's variant describe.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument has a value that cannot be meant, or one that the variant's name excludes.
    """
    id = env_id(variant.name, task.name)
    for name, other in variant.fixed.items():
        if kwargs.get(name, variant.arguments[name]) != variant.arguments[name]:
            raise ValueError(
                f"{name}={kwargs[name]!r} contradicts the name {id}, which fixes {name}={variant.arguments[name]!r}: "
                f"make {env_id(other, task.name)} instead."
            )
    if variant.needs_criterion and kwargs.get("success") is None:
        raise ValueError(f"success must be a criterion for {id}, got success=None: leave it out for the task's own.")
    for name in ("success", "threshold"):
        if kwargs.get(name) is not None and not variant.needs_criterion:
            raise ValueError(
                f"{name}={kwargs[name]!r} has no use in {id}, which does not pay by success: make the Sparse variant "
                f"instead."
            )
    return schedule_of(task, kwargs)


class Delay(DelayedReward, RecordConstructorArgs):
    """The delay of a registered ID: all its arguments stand in `env.spec.kwargs`, none is its own.

    They are read once, here, because an unpickled MuJoCo environment has no `spec`. Where the task's face pays a list
    of rewards, one per agent, a list is what the delay pays.
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
        _, task = rows_of(spec)
        schedule = schedule_of(task, kwargs)
        spec.kwargs = plain(spec.kwargs, schedule)  # the spec is this environment's own
        DelayedReward.__init__(self, env, schedule, reward_info_keys=task.reward_info_keys, **options)
        warn_of_endless_bag(task, schedule, env.spec.max_episode_steps if env.spec is not None else None)

    def _make_ledger(self, nonfinite: str, name: str) -> Any:
        task = self.env.unwrapped
        if getattr(task, "face", None) != "tuple":
            return super()._make_ledger(nonfinite, name)
        shared = task.team_reward != "per_agent"
        options = {"shared": shared, "show_success": self.expose_reward}
        return ListLedger(self.schedule, task.n_agents, nonfinite, name, **options)


def dense_id(task: Task) -> str:
    """Return the ID that the specification of a task's dense twin has: the base ID's, where there is one."""
    return task.base_id or env_id("" if task.ours else DENSE, task.name)


def refuse_delay(id: str, task: Task, kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments of a delay for the ID of a dense task, which has none.

    Raises:
        TypeError: There is one.
    """
    for name in delay_arguments(kwargs):
        raise TypeError(
            f"{name}={kwargs[name]!r} has no use in {id}, which is dense: take {env_id('Bagged', task.name)} or "
            f"another variant."
        )


def limit_of(spec: EnvSpec, limit: int | None) -> int | None:
    """Return the time limit as `gym.make` understands it: None is the registered one, and -1 is none."""
    if limit is None:
        return spec.max_episode_steps
    return None if limit == -1 else positive_int("max_episode_steps", limit)


def warn_of_endless_bag(task: Task, schedule: RewardSchedule, limit: int | None) -> None:
    """Warn where an episode without a time limit is one bag."""
    if schedule.bag_len is None and limit is None and task.max_episode_steps is not None:
        gym.logger.warn(
            f"{task.name} has no time limit (max_episode_steps=-1) and is paid once per episode: unless it terminates, "
            f"nothing is ever paid. Give it a limit, or make {env_id('Bagged', task.name)}."
        )


def entry_point(prefix: str, task: Task) -> str:
    """Return the string that a specification names; what stands behind the @ is imported where the task is unknown."""
    return f"{ENTRY_POINTS}:{prefix}{task.name}" + (f"@{task.module}" if task.module else "")


def specification(variant: Variant, task: Task) -> EnvSpec:
    """Return the specification that a task's variant is registered with."""
    base = gym.spec(task.base_id) if task.base_id is not None else None
    arguments: dict[str, Any] = {**variant.arguments, **OPTIONS}
    if variant.needs_criterion:
        arguments.update(success=task.success)
    return EnvSpec(
        id=env_id(variant.name, task.name),
        entry_point=entry_point(variant.name, task),
        nondeterministic=base.nondeterministic if base else False,
        max_episode_steps=task.max_episode_steps or (base.max_episode_steps if base else None),
        order_enforce=base.order_enforce if base else True,
        disable_env_checker=base.disable_env_checker if base else False,
        kwargs={**(FACE if task.agents else {}), **copy.deepcopy(dict(task.kwargs)), **arguments},
        additional_wrappers=(*(base.additional_wrappers if base else ()), WrapperSpec("Delay", DELAY, {})),
    )


DELAY = f"{Delay.__module__}:{Delay.__qualname__}"


def own_specification(task: Task) -> EnvSpec:
    """Return the specification that a task of ours is registered with, without delay."""
    return EnvSpec(
        id=env_id("", task.name),
        entry_point=entry_point(DENSE, task),
        max_episode_steps=task.max_episode_steps,
        kwargs={**(FACE if task.agents else {}), **copy.deepcopy(dict(task.kwargs))},
    )


def register_rows(task: Task) -> None:
    """Register every variant of one task; what is registered already stays as it is."""
    if task.ours and env_id("", task.name) not in gym.registry:
        gym.registry[env_id("", task.name)] = own_specification(task)
    for variant in VARIANTS.values():
        if supports(task, variant) and env_id(variant.name, task.name) not in gym.registry:
            spec = specification(variant, task)
            gym.registry[spec.id] = spec


def register_all() -> None:
    """Register every task of the table; calling it again changes nothing."""
    for task in TASKS.values():
        register_rows(task)


def layers(env: gym.Env[Any, Any]) -> list[gym.Env[Any, Any]]:
    """Return the stack from the outermost wrapper to the unwrapped environment."""
    stack: list[gym.Env[Any, Any]] = [env]
    while isinstance(stack[-1], gym.Wrapper):
        stack.append(stack[-1].env)
    return stack


def delay_of(env: gym.Env[Any, Any]) -> DelayedReward | None:
    """Return the delay in a stack of wrappers, or None."""
    return next((layer for layer in layers(env) if isinstance(layer, DelayedReward)), None)


def dense_specification(spec: EnvSpec) -> EnvSpec:
    """Return the specification of the same task, arguments and limit without the delay."""
    _, task = rows_of(spec)
    twin = copy.deepcopy(spec)
    twin.additional_wrappers = tuple(w for w in twin.additional_wrappers if w.entry_point != DELAY)
    twin.kwargs = task_arguments(twin.kwargs)
    twin = dataclasses.replace(twin, id=dense_id(task))
    twin.entry_point = entry_point(DENSE, task)
    return twin
