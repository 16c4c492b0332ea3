"""EnvPool's batched engines under the vector delay: fast, and exact only to EnvPool's own dynamics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from bagged_envs.suites.row import Task
from bagged_envs.wrappers.arguments import positive_int

# EnvPool calls terms of the reward by names of its own ("reward_run", "reward_fwd"); none of them may be seen.
REWARD_TERMS = ("reward_", "x_velocity", "distance_penalty", "velocity_penalty")
INTERNAL = ("env_id", "players", "elapsed_step")


class EnvPoolVectorEnv(VectorEnv[Any, Any, Any]):
    """One of EnvPool's MuJoCo tasks with the conventions of Gymnasium's vector environments.

    Unlike EnvPool's own class: `reset(seed=...)` restarts the pool from that seed, rewards are float64, infos carry
    Gymnasium's `_key` masks, and no term of the reward stands in them. Autoreset is NEXT_STEP. Environment i of a pool
    is seeded with `seed + i`, from EnvPool's own random numbers.
    """

    def __init__(self, make: Callable[[int], Any], seed: int = 0) -> None:
        """Take a function from a seed to EnvPool's own environment."""
        self._make, self._pool = make, make(seed)
        self.num_envs: int = self._pool.num_envs
        self.metadata = dict(self._pool.metadata)
        self.single_observation_space = self._pool.single_observation_space
        self.single_action_space = self._pool.single_action_space
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, self.num_envs)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all environments; a seed makes a fresh pool.

        Raises:
            TypeError: The seed is no int.
            ValueError: There are options, which EnvPool cannot follow.
        """
        if options:
            raise ValueError(f"options must be empty with backend='envpool', got {options!r}.")
        if seed is not None:
            if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
                raise TypeError(f"seed must be an int with backend='envpool', got {seed!r}.")
            self._pool.close()
            self._pool = self._make(int(seed))
        observations, infos = self._pool.reset()
        return np.array(observations), self._infos(infos)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Make one step in every environment."""
        actions = np.asarray(actions, dtype=self.single_action_space.dtype)
        observations, rewards, terminated, truncated, infos = self._pool.step(actions)
        # EnvPool's arrays are the pool's own memory.
        return (
            np.array(observations),
            rewards.astype(np.float64),
            np.array(terminated, dtype=np.bool_),
            np.array(truncated, dtype=np.bool_),
            self._infos(infos),
        )

    def close_extras(self, **kwargs: Any) -> None:
        """Close the pool."""
        self._pool.close()

    def _infos(self, infos: dict[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for key, value in infos.items():
            if key not in INTERNAL and not key.startswith(REWARD_TERMS):
                told[key], told[f"_{key}"] = np.array(value), np.ones(self.num_envs, dtype=np.bool_)
        return told


def make_envpool(task: Task, spec: EnvSpec, num_envs: int, vector_kwargs: dict[str, Any]) -> EnvPoolVectorEnv:
    """Return EnvPool's version of a Gymnasium MuJoCo task.

    Args:
        task: The task's row.
        spec: The dense task's specification: its arguments and time limit.
        num_envs: How many environments.
        vector_kwargs: More arguments of `envpool.make_gymnasium`, such as `num_threads`; `seed` is that of the first
            reset.

    Raises:
        ValueError: EnvPool does not have the task, or an argument of it, or there is no time limit.
        gymnasium.error.DependencyNotInstalled: EnvPool is missing.
    """
    try:
        import envpool
    except ImportError as error:
        raise gym.error.DependencyNotInstalled(
            f"backend='envpool' needs EnvPool: pip install \"bagged_envs[envpool]\" ({error})"
        ) from error
    if task.suite != "mujoco" or task.base_id not in envpool.list_all_envs():
        raise ValueError(f"backend='envpool' runs Gymnasium's MuJoCo tasks only, got {task.name}: use backend='sync'.")
    arguments: dict[str, Any] = {key: value for key, value in spec.kwargs.items() if value is not None}
    seed = vector_kwargs.pop("seed", 0)
    known = set(envpool.make_spec(task.base_id).config._fields)
    unknown = sorted({*arguments, *vector_kwargs} - known)
    if unknown:
        raise ValueError(f"{unknown[0]} is no argument of EnvPool's {task.base_id}: use backend='sync'.")
    arguments |= {"max_episode_steps": positive_int("max_episode_steps", spec.max_episode_steps), "num_envs": num_envs}

    def make(seed: int) -> Any:
        return envpool.make_gymnasium(task.base_id, seed=seed, **arguments, **vector_kwargs)

    return EnvPoolVectorEnv(make, seed)
