"""Lists of IDs, schedules, and dense twins."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, WrapperSpec
from gymnasium.utils import RecordConstructorArgs

from bagged_envs.registration import (
    DELAY,
    DELAY_ARGUMENTS,
    Delay,
    checked_schedule,
    delay_of,
    dense_specification,
    env_id,
    is_dense,
    refuse_delay,
    rows_of,
    spec_of,
    supports,
    task_arguments,
    task_of,
)
from bagged_envs.tasks import TASKS
from bagged_envs.variants import VARIANTS
from bagged_envs.wrappers import DelayedReward, RewardSchedule
from bagged_envs.wrappers.arguments import flag, known


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

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Make one step and pay its dense reward."""
        observation, _, terminated, truncated, info = self.env.step(action)
        reward = info["dense_reward"]  # a list where the face pays one
        return observation, reward, terminated, truncated, info


PAYING = WrapperSpec(DenseReward.__name__, f"{DenseReward.__module__}:{DenseReward.__name__}", {})


def dense(id_or_env: str | EnvSpec | gym.Env[Any, Any], **kwargs: Any) -> gym.Env[Any, Any]:
    """Make the same task, with the same arguments, time limit and observations, without the delay.

    Wrappers around the delay are made again around the twin (`RecordVideo` is not: it writes files).

    Args:
        id_or_env: An ID of ours (a dense one gives itself), its specification, or an environment with a delay of
            `bagged_envs.wrappers` in it.
        **kwargs: As for `gym.make`; arguments of the delay are accepted and have no effect, but for `observe_bag`:
            whether the twin observes its bags. A dense ID has none to observe.

    Raises:
        TypeError: `observe_bag` is no bool, or True for a dense ID.
        ValueError: The environment has no delay in it, no specification to make its twin from, or a wrapper that
            does not record its arguments (`gymnasium.utils.RecordConstructorArgs`); or bags are to be observed, and
            the specification is that of the environment inside the delay.

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
        spec = _without_paying(id_or_env) if isinstance(id_or_env, EnvSpec) else spec_of(id_or_env)
    if spec is not None and is_dense(spec):
        if flag("observe_bag", kwargs.get("observe_bag", False)):
            refuse_delay(spec.id, task_of(spec), {"observe_bag": True})
        return gym.make(spec, **task_arguments(kwargs))
    if spec is None:
        raise ValueError(f"id_or_env={id_or_env} has no spec: make it with gym.make, or pass its ID.")
    if flag("observe_bag", kwargs.get("observe_bag", spec.kwargs.get("observe_bag", False))):
        return gym.make(_paying_dense(spec), **{**kwargs, "expose_reward": True})
    return gym.make(dense_specification(spec), **task_arguments(kwargs))


def _paying_dense(spec: EnvSpec) -> EnvSpec:
    """Return the specification with what pays the dense reward right around the delay, inside all other wrappers."""
    wrappers = spec.additional_wrappers
    places = [wrapper.entry_point for wrapper in wrappers]
    if DELAY not in places:
        raise ValueError(
            f"observe_bag=True needs the delay, which the specification of {spec.id} lacks: it is the unwrapped "
            "environment's; take env.spec, or the ID."
        )
    place = places.index(DELAY) + 1
    return dataclasses.replace(copy.deepcopy(spec), additional_wrappers=(*wrappers[:place], PAYING, *wrappers[place:]))


def _without_paying(spec: EnvSpec) -> EnvSpec:
    """Leave out what pays a twin's dense rewards: a twin of it is made anew."""
    kept = [wrapper for wrapper in spec.additional_wrappers if wrapper.entry_point != PAYING.entry_point]
    return dataclasses.replace(copy.deepcopy(spec), additional_wrappers=tuple(kept))


def _without_videos(spec: EnvSpec | None) -> EnvSpec | None:
    """Leave out what writes files, too: a twin that is made to be compared with must not overwrite them."""
    if spec is None:
        return None
    spec = _without_paying(spec)
    kept = [wrapper for wrapper in spec.additional_wrappers if wrapper.name != gym.wrappers.RecordVideo.__name__]
    return dataclasses.replace(spec, additional_wrappers=tuple(kept))


def _unwrapped_twin(env: gym.Env[Any, Any], layer: DelayedReward, kwargs: dict[str, Any]) -> gym.Env[Any, Any]:
    changed = layer.observation_space != layer.env.observation_space
    observed = flag("observe_bag", kwargs.get("observe_bag", changed))
    inner, kwargs = layer.env.spec, task_arguments(kwargs)
    if inner is None:
        raise ValueError(f"id_or_env wraps {layer.env}, which has no spec to make a twin from: make it with gym.make.")
    if observed:
        if (env.env if isinstance(env, DenseReward) else env) is not layer:
            raise ValueError(
                f"observe_bag=True has the bags observed inside {env}: no twin can be made of that; make it yourself."
            )
        twin = gym.make(inner, **kwargs)
        return DenseReward(DelayedReward(twin, layer.schedule, nonfinite="pass", expose_reward=True, observe_bag=True))
    whole, place = env.spec, len(inner.additional_wrappers)
    if whole is not None:  # the delay is one of its wrappers, and those inside come first
        wrappers = whole.additional_wrappers
        inner = dataclasses.replace(copy.deepcopy(whole), additional_wrappers=wrappers[:place] + wrappers[place + 1 :])
    return gym.make(_without_videos(inner) or inner, **kwargs)
