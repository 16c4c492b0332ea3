"""A dm_control suite task as a Gymnasium environment."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from dm_control import suite
from gymnasium.spaces.utils import flatdim
from gymnasium.utils import EzPickle
from shimmy.dm_control_compatibility import DmControlCompatibilityV0

from bagged_envs.wrappers.arguments import flag, known

DTYPES = ("float32", "float64")
# LQR draws its stiffnesses and dampings while it is loaded: without a fixed seed every instance is another task.
MODEL_SEED = 0


class DMControlEnv(DmControlCompatibilityV0):  # type: ignore[misc]
    """One task of dm_control's suite, with the time limit left to Gymnasium and the observation flattened.

    Description: https://arxiv.org/abs/1801.00690 describes the domains; physics, reward and random numbers are
        dm_control's, to the bit.
    Observation: With `flatten`, a one-dimensional Box: the parts of dm_control's observation one after the other, in
        its own order. Else a Dict of float64 Boxes.
    Action: A Box of float64 with dm_control's bounds.
    Reward: dm_control's, per control step, between 0 and 1 (LQR: 1 minus a cost that has no bound).
    Termination: LQR terminates when the state's norm falls below 1e-6; nothing else does. Registered IDs truncate after
        1000 steps, as dm_control's own time limits do.
    Arguments: `domain`, `task`, `flatten` (default True), `dtype` of the flattened observation ("float32" or
        "float64"), `render_mode`, `render_kwargs`.
    Source: Tassa et al. 2018; shimmy's `DmControlCompatibilityV0`. Unlike shimmy, the metadata is the instance's own,
        info is empty (the discount only repeats `terminated`), LQR's random model is always the same one, and a copy
        or unpickled environment is built anew from its arguments.
    """

    metadata: dict[str, Any]
    observation_space: gym.Space[Any]

    def __init__(
        self,
        domain: str,
        task: str,
        *,
        flatten: bool = True,
        dtype: str = "float32",
        render_mode: str | None = None,
        render_kwargs: dict[str, Any] | None = None,
    ) -> None:
        """Load the task.

        Raises:
            TypeError: `flatten` is no bool.
            ValueError: The task, the dtype or the render mode is unknown.
        """
        known("task", f"{domain}-{task}", tuple(f"{d}-{t}" for d, t in suite.ALL_TASKS))
        known("dtype", dtype, DTYPES)
        if render_mode is not None:
            known("render_mode", render_mode, self.metadata["render_modes"])
        self.metadata = dict(DmControlCompatibilityV0.metadata)
        env = suite.load(domain, task, task_kwargs={"time_limit": float("inf"), "random": MODEL_SEED})
        super().__init__(env, render_mode=render_mode, render_kwargs=render_kwargs)
        self.np_random = np.random.RandomState()
        EzPickle.__init__(
            self,
            domain,
            task,
            flatten=flatten,
            dtype=dtype,
            render_mode=render_mode,
            render_kwargs=render_kwargs,
        )
        self.metadata["render_fps"] = round(1.0 / env.control_timestep())
        self._flatten, self._dtype = flag("flatten", flatten), np.dtype(dtype)
        if flatten:
            size = flatdim(self.observation_space)
            self.observation_space = gym.spaces.Box(-np.inf, np.inf, (size,), self._dtype.type)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; a seed restarts the task's random numbers."""
        observation, _ = super().reset(seed=seed, options=options)
        return self._observation(observation), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Make one control step."""
        observation, reward, terminated, truncated, _ = super().step(action)
        return self._observation(observation), float(reward), terminated, truncated, {}

    def _observation(self, observation: dict[str, Any]) -> Any:
        if not self._flatten:
            return {key: np.array(value) for key, value in observation.items()}
        return np.concatenate([np.ravel(part) for part in observation.values()]).astype(self._dtype)

    def __getattr__(self, item: str) -> Any:
        """Look an attribute up in dm_control's environment, but nothing that copying and pickling ask for."""
        if item.startswith("_"):
            raise AttributeError(item)
        return getattr(self._env, item)
