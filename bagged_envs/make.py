"""Lists of IDs, dense twins, and vector environments."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from bagged_envs.entry_points import DENSE_REWARD, EntryPoint
from bagged_envs.registration import (
    DELAY_ARGUMENTS,
    ENTRY_POINTS,
    FACE,
    Delay,
    checked_schedule,
    delay_arguments,
    delay_of,
    dense_specification,
    env_id,
    is_dense,
    rows_of,
    spec_of,
    supports,
    task_arguments,
    task_of,
    warn_of_endless_bag,
)
from bagged_envs.suites.row import Task
from bagged_envs.tasks import TASKS
from bagged_envs.variants import OPTIONS, VARIANTS
from bagged_envs.wrappers import DelayedReward, RewardSchedule
from bagged_envs.wrappers.arguments import known, positive_int
from bagged_envs.wrappers.vector import DelayedReward as VectorDelayedReward

BACKENDS = ("auto", "native", "sync", "async", "envpool")
NATIVE_ARGUMENTS = ("autoreset_mode",)


def list_ids(suite: str | None = None, variant: str | None = None, tag: str | None = None) -> list[str]:
    """Return the IDs of one suite, of one variant, with one tag, or all.

    Raises:
        ValueError: There is no such suite, variant or tag; the message lists what there is.

    Example:
        >>> list_ids(suite="mujoco", variant="Sparse", tag="balance")
        ['SparseInvertedDoublePendulum-v0', 'SparseInvertedPendulum-v0']
    """
    if suite is not None:
        known("suite", suite, sorted({task.suite for task in TASKS.values()}))
    if variant is not None:
        known("variant", variant, list(VARIANTS))
    if tag is not None:
        known("tag", tag, sorted({word for task in TASKS.values() for word in task.tags}))
    return [
        env_id(v.name, task.name)
        for task in TASKS.values()
        for v in VARIANTS.values()
        if supports(task, v)
        and suite in (None, task.suite)
        and variant in (None, v.name)
        and (tag is None or tag in task.tags)
    ]


def resolved_schedule(id: str, **kwargs: Any) -> RewardSchedule:
    """Return the schedule of an ID with the given arguments of the delay, defaults filled in.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument has a value that cannot be meant, or is none of the delay.

    Example:
        >>> print(resolved_schedule("BaggedWalker2d-v0", bag_len=5))
        bag_len=5
    """
    spec = spec_of(id)
    for name, value in kwargs.items():
        if name not in DELAY_ARGUMENTS:
            known(f"the name of {name}={value!r}", name, DELAY_ARGUMENTS)
    return checked_schedule(*rows_of(spec), {**spec.kwargs, **kwargs})


class DenseReward(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Pays `info["dense_reward"]`: the twin of an environment that observes its bags, which still need counting."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        """Wrap an environment whose delay exposes the dense reward."""
        RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Make one step and pay its dense reward."""
        observation, _, terminated, truncated, info = self.env.step(action)
        return observation, float(info["dense_reward"]), terminated, truncated, info


def dense(id_or_env: str | EnvSpec | gym.Env[Any, Any], **kwargs: Any) -> gym.Env[Any, Any]:
    """Make the same task, with the same arguments, time limit and observations, without the delay.

    Wrappers around the delay are made again around the twin (`RecordVideo` is not: it writes files).

    Args:
        id_or_env: An ID of ours, its specification, or an environment with a delay of `bagged_envs.wrappers` in it.
        **kwargs: As for `gym.make`; arguments of the delay are accepted and have no effect, but for `observe_bag`.

    Raises:
        ValueError: The environment has no delay in it, no specification to make its twin from, or a wrapper that
            does not record its arguments (`gymnasium.utils.RecordConstructorArgs`).

    Example:
        >>> env = dense("EpisodicInvertedPendulum-v0")
        >>> _ = env.reset(seed=0)
        >>> float(env.step(env.action_space.low)[1])
        1.0
    """
    if isinstance(id_or_env, gym.Env):
        layer = delay_of(id_or_env)
        if layer is None:
            raise ValueError(f"id_or_env must have a delay of bagged_envs.wrappers in its stack, got {id_or_env}.")
        if not isinstance(layer, Delay):
            return _unwrapped_twin(id_or_env, layer, kwargs)
        spec = _without_videos(id_or_env.spec)
    else:
        spec = id_or_env if isinstance(id_or_env, EnvSpec) else spec_of(id_or_env)
    if spec is None:
        raise ValueError(f"id_or_env={id_or_env} has no spec: make it with gym.make, or pass its ID.")
    if kwargs.get("observe_bag", spec.kwargs.get("observe_bag", False)):
        return DenseReward(gym.make(spec, **{**kwargs, "expose_reward": True}))
    return gym.make(dense_specification(spec), **task_arguments(kwargs))


def _without_videos(spec: EnvSpec | None) -> EnvSpec | None:
    """Leave out what writes files: a twin that is made to be compared with must not overwrite them."""
    if spec is not None:
        kept = [wrapper for wrapper in spec.additional_wrappers if wrapper.name != gym.wrappers.RecordVideo.__name__]
        spec = dataclasses.replace(copy.deepcopy(spec), additional_wrappers=tuple(kept))
    return spec


def _unwrapped_twin(env: gym.Env[Any, Any], layer: DelayedReward, kwargs: dict[str, Any]) -> gym.Env[Any, Any]:
    inner, kwargs = layer.env.spec, task_arguments(kwargs)
    if inner is None:
        raise ValueError(f"id_or_env wraps {layer.env}, which has no spec to make a twin from: make it with gym.make.")
    if layer.observation_space != layer.env.observation_space:
        if env is not layer:
            raise ValueError(
                f"id_or_env observes its bags inside {env}: no twin can be made of that; make it yourself."
            )
        twin = gym.make(inner, **kwargs)
        return DenseReward(DelayedReward(twin, layer.schedule, nonfinite="pass", expose_reward=True, observe_bag=True))
    whole, place = env.spec, len(inner.additional_wrappers)
    if whole is not None:  # the delay is one of its wrappers, and those inside come first
        wrappers = whole.additional_wrappers
        inner = dataclasses.replace(copy.deepcopy(whole), additional_wrappers=wrappers[:place] + wrappers[place + 1 :])
    return gym.make(_without_videos(inner) or inner, **kwargs)


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
        id: An ID of ours, or its specification.
        num_envs: How many environments.
        backend: "native" (many copies in one NumPy call; our own particle and symbolic tasks), "sync", "async",
            "envpool" (needs the extra; only tasks and time limits that EnvPool has), or "auto", which chooses the fastest
            that is exact: "native" where there is one, else "sync". `envs.metadata["backend"]` says which.
        vector_kwargs: Arguments of Gymnasium's `SyncVectorEnv` or `AsyncVectorEnv`, such as `autoreset_mode` ("native"
            knows that one only); with "envpool": of `envpool.make_gymnasium`.
        **kwargs: As for `gym.make`: the schedule's arguments, the task's, `max_episode_steps`.

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
    spec = copy.deepcopy(id if isinstance(id, EnvSpec) else spec_of(id))
    task = task_of(spec)
    spec.kwargs = {**spec.kwargs, **{key: value for key, value in kwargs.items() if key != "max_episode_steps"}}
    spec.max_episode_steps = _limit(spec, kwargs.get("max_episode_steps"))
    if spec.kwargs.get("face") == "tuple":
        raise ValueError("face='tuple' pays lists of rewards, which a vector environment cannot: use face='joint'.")
    chosen = backend
    if backend == "auto":
        chosen = "native" if _has_native(task, spec) else "sync"
    if is_dense(spec):
        return _with_backend(_dense_vector(spec, task, num_envs, chosen, dict(vector_kwargs or {})), chosen)
    variant, _ = rows_of(spec)
    arguments = delay_arguments(spec.kwargs)
    schedule = checked_schedule(variant, task, arguments)
    warn_of_endless_bag(task, schedule, spec.max_episode_steps)
    envs = _dense_vector(dense_specification(spec), task, num_envs, chosen, dict(vector_kwargs or {}))
    options = {key: value for key, value in arguments.items() if key in OPTIONS}
    envs.unwrapped.spec = spec
    delayed = VectorDelayedReward(envs, schedule, reward_info_keys=task.reward_info_keys, **options)
    return _with_backend(delayed, chosen)


def _limit(spec: EnvSpec, limit: int | None) -> int | None:
    """Return the time limit as `gym.make` understands it: None is the registered one, and -1 is none."""
    if limit is None:
        return spec.max_episode_steps
    return None if limit == -1 else positive_int("max_episode_steps", limit)


def _with_backend(envs: VectorEnv[Any, Any, Any], backend: str) -> VectorEnv[Any, Any, Any]:
    envs.metadata = {**envs.metadata, "backend": backend}
    return envs


def _has_native(task: Task, spec: EnvSpec) -> bool:
    return task.batch is not None and not callable(spec.kwargs.get("opponents"))


def _dense_vector(spec: EnvSpec, task: Task, num_envs: int, backend: str, vector_kwargs: dict[str, Any]) -> Any:
    if backend == "envpool":
        from bagged_envs.suites.envpool_env import make_envpool

        return make_envpool(task, spec, num_envs, vector_kwargs)
    if backend == "native":
        return _native_vector(spec, task, num_envs, vector_kwargs)
    return gym.make_vec(spec, num_envs, vectorization_mode=backend, vector_kwargs=vector_kwargs)


def _native_vector(spec: EnvSpec, task: Task, num_envs: int, vector_kwargs: dict[str, Any]) -> VectorEnv[Any, Any, Any]:
    if task.batch is None:
        with_batch = sorted(row.name for row in TASKS.values() if row.batch is not None)
        raise ValueError(f"backend='native' has no {task.name}, only {', '.join(with_batch)}: use 'auto' or 'sync'.")
    for name, value in vector_kwargs.items():
        known(f"with backend='native' the name of vector_kwargs={{{name!r}: {value!r}}}", name, NATIVE_ARGUMENTS)
    arguments = dict(spec.kwargs)
    given = {"max_episode_steps": spec.max_episode_steps, "render_mode": arguments.pop("render_mode", None)}
    if task.agents:
        from bagged_envs.multi_agent.vector import native_team

        envs = native_team(task, num_envs, arguments, {**given, **vector_kwargs})
    else:
        from bagged_envs.native import NativeVectorEnv

        envs = NativeVectorEnv(load_env_creator(task.batch)(num_envs=num_envs, **arguments), **given, **vector_kwargs)
    envs.spec = spec
    return envs


def make_parallel(
    id: str | EnvSpec, *, max_episode_steps: int | None = None, render_mode: str | None = None, **kwargs: Any
) -> Any:
    """Make a task with several agents as a PettingZoo `ParallelEnv`, delayed (or dense, by the ID of a dense task).

    Args:
        id: An ID of ours whose task has several agents, or its specification.
        max_episode_steps: Another time limit than the registered one; -1 for none.
        render_mode: As for `gym.make`.
        **kwargs: As for `gym.make`: the schedule's arguments and the task's; and `team_reward`: "sum" (default; one
            bag per team, of the sum of its agents' rewards), "mean", or "per_agent" (each agent has bags of its own).

    Returns:
        A `bagged_envs.wrappers.parallel.DelayedReward`, or the undelayed environment.

    Raises:
        ValueError: The task has one agent, or an argument has a value that cannot be meant.
        gymnasium.error.DependencyNotInstalled: A package is missing; the message names the extra.

    Example:
        >>> env = make_parallel("EpisodicSimpleSpread-v0", max_episode_steps=3)
        >>> _ = env.reset(seed=0)
        >>> while env.agents:
        ...     rewards = env.step(dict.fromkeys(env.agents, 0))[1]
        ...     print([round(reward, 3) for reward in rewards.values()])
        [0.0, 0.0, 0.0]
        [0.0, 0.0, 0.0]
        [-17.573, -17.573, -17.573]
    """
    spec = copy.deepcopy(id if isinstance(id, EnvSpec) else spec_of(id))
    task = task_of(spec)
    if not task.agents:
        raise ValueError(f"id={spec.id!r} has one agent: make it with gym.make.")
    for name in ("face", "team", "opponents"):
        if kwargs.get(name, FACE[name]) != FACE[name]:
            raise ValueError(f"{name}={kwargs[name]!r} has no use here, where all teams act: it is gym.make's.")
    arguments = {**spec.kwargs, **kwargs}
    schedule = None if is_dense(spec) else checked_schedule(*rows_of(spec), delay_arguments(arguments))
    limit = _limit(spec, max_episode_steps)
    env = EntryPoint(DENSE_REWARD, task).parallel(limit, render_mode, task_arguments(arguments))
    if schedule is None:
        return env
    warn_of_endless_bag(task, schedule, limit)
    return _delayed_parallel(env, task, schedule, arguments)


def _delayed_parallel(env: Any, task: Task, schedule: RewardSchedule, arguments: dict[str, Any]) -> Any:
    from bagged_envs.multi_agent.faces import teams_of
    from bagged_envs.wrappers import parallel

    team_reward = arguments.get("team_reward")
    return parallel.DelayedReward(
        env,
        schedule,
        team_reward="sum" if team_reward is None else team_reward,
        teams=teams_of(task, env),
        reward_info_keys=task.reward_info_keys,
        **{key: value for key, value in arguments.items() if key in OPTIONS},
    )


def register_pettingzoo() -> list[str]:
    """Fill PettingZoo's registry, where this version has one, and return the IDs; calling it again changes nothing.

    `pettingzoo.make("parallel", "EpisodicSimpleSpread-v0", max_cycles=50, bag_len=5)` then works, and so does "aec".

    Raises:
        gymnasium.error.DependencyNotInstalled: PettingZoo is missing.
    """
    try:
        import pettingzoo
    except ImportError as error:
        raise gym.error.DependencyNotInstalled(f'PettingZoo: pip install "bagged_envs[marl]" ({error})') from error
    if not hasattr(pettingzoo, "register"):  # before PettingZoo 1.27
        return []
    ids = [id for id in gym.registry if _is_ours_with_agents(id)]
    from pettingzoo.env_registry import registration as theirs

    for id in ids:
        for kind, registry in (("parallel", theirs.parallel_registry), ("aec", theirs.aec_registry)):
            if id not in registry:
                point = f"bagged_envs.multi_agent.registry:{kind}"
                limit = gym.spec(id).max_episode_steps
                pettingzoo.register(kind, id, point, max_cycles=limit, kwargs={"task_id": id})
    return ids


def _is_ours_with_agents(id: str) -> bool:
    spec = gym.registry[id]
    return str(spec.entry_point).startswith(ENTRY_POINTS) and task_of(spec).agents
