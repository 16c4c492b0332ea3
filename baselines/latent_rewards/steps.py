"""Steps of a task on which programs are tried: random ones, with the extremes that occur in them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

import bagged_envs
from bagged_envs.baselines.features import Features
from bagged_envs.multi_agent.joint import JointEnv
from bagged_envs.wrappers.arguments import positive_int

Floats = npt.NDArray[np.float64]


def agents_of(env: gym.Env[Any, Any]) -> int:
    """Return how many agents an environment's spaces put side by side, 1 where it has one."""
    base = env.unwrapped
    return base.n_agents if isinstance(base, JointEnv) else 1


def random_steps(id: str, count: int = 256, seed: int = 0, **kwargs: Any) -> tuple[Floats, Floats]:
    """Return observations `[N, D]` and actions `[N, U]` of single agents, as features, N at least `count`.

    They are those of random actions over as many episodes as it takes, the last observations of episodes included.
    After them come a row of zeros, and the lowest and the highest that occurred in each column.

    Args:
        id: An ID of ours.
        count: How many rows of random actions there are at least.
        seed: Of the episodes and actions.
        **kwargs: As for `gym.make`.
    """
    positive_int("count", count)
    env = bagged_envs.dense(id, **kwargs)
    try:
        agents = agents_of(env)
        seen, acted = _played(env, -(-count // agents), seed)
        rows = [
            np.asarray(Features(space, agents).encode(np.stack(values)), np.float64).reshape(agents * len(values), -1)
            for space, values in ((env.observation_space, seen), (env.action_space, acted))
        ]
    finally:
        env.close()
    return _with_extremes(rows[0]), _with_extremes(rows[1])


def _played(env: gym.Env[Any, Any], count: int, seed: int) -> tuple[list[Any], list[Any]]:
    """Return observations and actions; with an episode's last observation stands an action that was not taken."""
    env.action_space.seed(seed)
    seen, acted = [env.reset(seed=seed)[0]], [env.action_space.sample()]
    while len(seen) < count:
        observation, _, terminated, truncated, _ = env.step(acted[-1])
        seen.append(observation)
        acted.append(env.action_space.sample())
        if terminated or truncated:
            seen.append(env.reset()[0])
            acted.append(env.action_space.sample())
    return seen, acted


def _with_extremes(rows: Floats) -> Floats:
    return np.concatenate((rows, np.zeros((1, rows.shape[1])), rows.min(axis=0)[None], rows.max(axis=0)[None]))
