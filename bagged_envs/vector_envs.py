"""`make_vec`: many copies of a task in one vector environment, the delay around them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import VectorEnv

from bagged_envs.batch import Batch
from bagged_envs.entry_points import missing, refuse_another, unknown_argument
from bagged_envs.registration import (
    DELAY,
    checked_schedule,
    delay_arguments,
    dense_specification,
    is_dense,
    limit_of,
    plain,
    refuse_delay,
    rows_of,
    spec_of,
    task_of,
    warn_of_endless_bag,
)
from bagged_envs.suites.row import Task
from bagged_envs.tasks import TASKS
from bagged_envs.variants import OPTIONS
from bagged_envs.wrappers.arguments import flag, known, positive_int
from bagged_envs.wrappers.vector import DelayedReward

BACKENDS = ("auto", "native", "sync", "async", "envpool")
MAKE_ARGUMENTS = ("max_episode_steps", "disable_env_checker")  # of gym.make itself, not of what it makes
NATIVE_ARGUMENTS = ("autoreset_mode", "num_threads")
SYNC_ARGUMENTS = ("copy", "observation_mode")  # those of SyncVectorEnv that native vectors do not have


def make_vec(
    id: str | EnvSpec,
    num_envs: int = 1,
    *,
    backend: str = "auto",
    vector_kwargs: dict[str, Any] | None = None,
    **kwargs: Any,
) -> VectorEnv[Any, Any, Any]:
    """Make a vector environment of a delayed ID: the dense task in a vector, the vector delay around it.

    It agrees with `gym.make_vec(id, ...)` to the bit (but "envpool", which has dynamics of its own). The ID of a dense
    task of ours gives a vector environment without the delay.

    Args:
        id: An ID of ours, or its specification. Wrappers around its delay stay around it: each environment then has a
            delay of its own, and the vector is Gymnasium's as it is, without our `schedule`.
        num_envs: How many environments.
        backend: "native" (many copies of our own particle and symbolic tasks in one NumPy call; MuJoCo's tasks and 16
            of dm_control's in threads), "sync", "async", "envpool" (needs the extra; only tasks and time limits that
            EnvPool has), or "auto", which chooses the fastest that is exact: "native" where there is one, else "sync".
            `envs.metadata["backend"]` says which, and `envs.metadata["backend_reason"]` why; `"num_threads"` how many
            threads step MuJoCo's and dm_control's natively.
        vector_kwargs: Arguments of Gymnasium's `SyncVectorEnv` or `AsyncVectorEnv`, such as `autoreset_mode`; with
            "native" that one, and for MuJoCo's and dm_control's tasks `num_threads` (by default as many as there are
            cores, if each has enough to do); with "envpool": of `envpool.make_gymnasium`.
        **kwargs: As for `gym.make`: the schedule's arguments, the task's, `max_episode_steps`, `disable_env_checker`
            (of Gymnasium's own vectors; the others check nothing of the kind).

    Raises:
        ValueError: The backend is unknown or cannot run this task, or `num_envs` is no positive int.
        gymnasium.error.DependencyNotInstalled: A package is missing; the message names the extra.

    Example:
        >>> envs = make_vec("BaggedInvertedPendulum-v0", num_envs=2, bag_len=2)
        >>> _ = envs.reset(seed=0)
        >>> [envs.step(envs.action_space.low)[1].tolist() for _ in range(2)]
        [[0.0, 0.0], [2.0, 2.0]]
    """
    known("backend", backend, BACKENDS)
    num_envs = positive_int("num_envs", num_envs)
    if vector_kwargs is not None and not isinstance(vector_kwargs, dict):
        raise TypeError(f"vector_kwargs must be a dict, got {vector_kwargs!r} of type {type(vector_kwargs).__name__}.")
    spec = _specification(id, kwargs)
    task = task_of(spec)
    if spec.kwargs.get("face") == "tuple":
        raise ValueError("face='tuple' pays lists of rewards, which a vector environment cannot: use face='joint'.")
    chosen, reason = automatic(task, spec, vector_kwargs) if backend == "auto" else (backend, "asked for")
    if chosen in ("sync", "async") and "num_threads" in (vector_kwargs or {}):
        raise ValueError(f"num_threads has no use with backend={chosen!r} ({reason}): leave it out.")
    if is_dense(spec):
        refuse_delay(spec.id, task, kwargs)
        return _with_backend(_dense_vector(spec, task, num_envs, chosen, dict(vector_kwargs or {})), chosen, reason)
    variant, _ = rows_of(spec)
    arguments = delay_arguments(spec.kwargs)
    schedule = checked_schedule(variant, task, arguments)
    spec.kwargs = plain(spec.kwargs, schedule)
    warn_of_endless_bag(task, schedule, spec.max_episode_steps)
    if _outside(spec):
        return _with_backend(_delayed_inside(spec, num_envs, chosen, dict(vector_kwargs or {})), chosen, reason)
    envs = _dense_vector(dense_specification(spec), task, num_envs, chosen, dict(vector_kwargs or {}))
    options = {key: value for key, value in arguments.items() if key in OPTIONS}
    envs.unwrapped.spec = spec
    delayed = DelayedReward(envs, schedule, reward_info_keys=task.reward_info_keys, **options)
    return _with_backend(delayed, chosen, reason)


def _specification(id: str | EnvSpec, kwargs: Mapping[str, Any]) -> EnvSpec:
    """Return the specification that `gym.make` makes of these arguments, the delay's and the task's as its own."""
    spec = copy.deepcopy(id if isinstance(id, EnvSpec) else spec_of(id))
    spec.kwargs = plain({**spec.kwargs, **{key: value for key, value in kwargs.items() if key not in MAKE_ARGUMENTS}})
    spec.max_episode_steps = limit_of(spec, kwargs.get("max_episode_steps"))
    if kwargs.get("disable_env_checker") is not None:
        spec.disable_env_checker = flag("disable_env_checker", kwargs["disable_env_checker"])
    return spec


def automatic(task: Task, spec: EnvSpec, vector_kwargs: Mapping[str, Any] | None = None) -> tuple[str, str]:
    """Return the backend that "auto" chooses, and why in a few words."""
    for name in SYNC_ARGUMENTS:
        if name in (vector_kwargs or {}):
            return "sync", f"{name} is an argument of Gymnasium's SyncVectorEnv"
    obstacle = _obstacle(task, spec)
    if obstacle is not None:
        return "sync", obstacle
    how = "all copies in one NumPy call" if task.ours else "the simulator called directly"
    return "native", f"{how}, exact to the bit"


def _obstacle(task: Task, spec: EnvSpec) -> str | None:
    """Return why a task with these arguments cannot be native, or None if it can."""
    if task.batch is None:
        return f"{task.name} has no native engine"
    if _wrappers(spec):
        return f"the specification has wrappers: {', '.join(_wrappers(spec))}"
    if callable(spec.kwargs.get("opponents")):
        return "a callable opponents acts for one environment at a time"
    if not task.ours and spec.kwargs.get("render_mode") == "human":
        return "render_mode='human' opens a window for each environment"
    if task.suite == "dmc" and not spec.kwargs.get("flatten", True):
        return "flatten=False observes dicts"
    if task.suite == "dmc" and spec.kwargs.get("engine", "native") != "native":
        return f"engine={spec.kwargs['engine']!r} was asked for"
    return None


def _wrappers(spec: EnvSpec) -> list[str]:
    """Return the names of the specification's wrappers, the delay left out: they are for single environments."""
    return [wrapper.name for wrapper in spec.additional_wrappers if wrapper.entry_point != DELAY]


def _outside(spec: EnvSpec) -> bool:
    """Whether a specification has wrappers around the delay: they are to see what it pays."""
    places = [wrapper.entry_point for wrapper in spec.additional_wrappers]
    return DELAY in places and places[-1] != DELAY


def _delayed_inside(spec: EnvSpec, num_envs: int, backend: str, vector_kwargs: dict[str, Any]) -> Any:
    """Return a vector of environments each of which has its delay, and what is around it."""
    _refuse_wrappers(spec, backend)
    envs = gym.make_vec(copy.deepcopy(spec), num_envs, vectorization_mode=backend, vector_kwargs=vector_kwargs)
    envs.unwrapped.spec = spec  # Gymnasium's has how many there are among the task's arguments
    return envs


def _with_backend(envs: VectorEnv[Any, Any, Any], backend: str, reason: str) -> VectorEnv[Any, Any, Any]:
    envs.metadata = {**envs.metadata, "backend": backend, "backend_reason": reason}
    return envs


def _dense_vector(spec: EnvSpec, task: Task, num_envs: int, backend: str, vector_kwargs: dict[str, Any]) -> Any:
    _refuse_wrappers(spec, backend)
    if backend == "envpool":
        from bagged_envs.suites.envpool_env import make_envpool

        return make_envpool(task, spec, num_envs, vector_kwargs)
    if backend == "native":
        return _native_vector(spec, task, num_envs, vector_kwargs)
    return gym.make_vec(spec, num_envs, vectorization_mode=backend, vector_kwargs=vector_kwargs)


def _refuse_wrappers(spec: EnvSpec, backend: str) -> None:
    if backend in ("envpool", "native") and _wrappers(spec):
        raise ValueError(
            f"backend={backend!r} has no wrappers, and the specification has {', '.join(_wrappers(spec))}: use 'auto' "
            "or 'sync'."
        )


def _native_vector(spec: EnvSpec, task: Task, num_envs: int, vector_kwargs: dict[str, Any]) -> VectorEnv[Any, Any, Any]:
    if task.batch is None:
        with_batch = sorted(row.name for row in TASKS.values() if row.batch is not None)
        raise ValueError(f"backend='native' has no {task.name}, only {', '.join(with_batch)}: use 'auto' or 'sync'.")
    names = NATIVE_ARGUMENTS[: 1 if task.ours else 2]  # a NumPy call has no threads
    for name, value in vector_kwargs.items():
        known(f"with backend='native' the name of vector_kwargs={{{name!r}: {value!r}}}", name, names)
    refuse_another(task, spec.kwargs)
    arguments = dict(spec.kwargs)
    given = {"max_episode_steps": spec.max_episode_steps, "render_mode": arguments.pop("render_mode", None)}
    from bagged_envs.native import NativeVectorEnv

    if task.agents:
        from bagged_envs.multi_agent.vector import native_team

        envs: NativeVectorEnv = native_team(task, num_envs, arguments, {**given, **vector_kwargs})
    else:
        if "num_threads" in vector_kwargs:
            arguments["num_threads"] = vector_kwargs.pop("num_threads")
        envs = NativeVectorEnv(_batch(task, {**arguments, "num_envs": num_envs}), **given, **vector_kwargs)
    envs.spec = spec
    return envs


def _batch(task: Task, arguments: dict[str, Any]) -> Batch:
    try:
        create: Any = load_env_creator(str(task.batch))
        batch: Batch = create(**arguments)
    except ImportError as error:
        if task.extra is None:
            raise
        raise missing(task, error) from error
    except TypeError as error:
        raise unknown_argument(error) from error
    return batch
