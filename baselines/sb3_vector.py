"""Vector environments of ours for Stable-Baselines3's algorithms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv

import bagged_envs
from bagged_envs.wrappers.vector import one_info

FINALS = ("final_obs", "final_info", "_final_obs", "_final_info")


class VectorForSB3(VecEnv):
    """A Gymnasium vector environment as Stable-Baselines3's `VecEnv`.

    Of our IDs it returns what `DummyVecEnv` of single environments returns, to the bit: float32 rewards, infos with
    `terminal_observation` and `TimeLimit.truncated`, the next episode's first observation in the step that ends one.
    Put `VecMonitor` around it for the returns that algorithms log.

    Copies in a native vector are no environments of their own: their methods cannot be called, and attributes are
    those of the vector.

    Example:
        >>> from stable_baselines3 import PPO
        >>> envs = make_vec_for_sb3("BaggedInvertedPendulum-v0", 4, seed=0)
        >>> model = PPO("MlpPolicy", envs, n_steps=8, batch_size=16, device="cpu").learn(32)
        >>> envs.close()
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """Take the vector environment.

        Raises:
            TypeError: It is no Gymnasium vector environment.
            ValueError: Its autoreset mode is not SAME_STEP, which is that of Stable-Baselines3.
        """
        if not isinstance(envs, VectorEnv):
            raise TypeError(f"envs must be a Gymnasium vector environment, got {envs!r} of type {type(envs).__name__}.")
        mode = envs.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise ValueError(
                f"envs must reset in the step that ends an episode, got autoreset mode {mode}: make it with "
                f"vector_kwargs={{'autoreset_mode': gymnasium.vector.AutoresetMode.SAME_STEP}}."
            )
        self.envs = envs
        self._actions: Any = None
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)
        self.metadata = envs.metadata

    def reset(self) -> Any:
        """Reset all environments, with the seeds given to `seed`, and return the observations.

        Raises:
            ValueError: Options were set, which differ by environment.
        """
        if any(self._options):
            raise ValueError(f"options must not be set for a vector environment, got {self._options!r}.")
        seeds: Any = list(self._seeds) if any(seed is not None for seed in self._seeds) else None
        observations, infos = self.envs.reset(seed=seeds)
        self.reset_infos = [_plain(one_info(infos, slot)) for slot in range(self.num_envs)]
        self._reset_seeds()
        return observations

    def step_async(self, actions: Any) -> None:
        """Remember the actions."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, Any, Any, list[dict[str, Any]]]:
        """Make the step."""
        observations, rewards, terminated, truncated, infos = self.envs.step(self._actions)
        done = terminated | truncated
        told = [_plain(one_info(infos, slot)) for slot in range(self.num_envs)]
        for slot in np.flatnonzero(done).tolist():
            self.reset_infos[slot] = {key: told[slot][key] for key in told[slot] if key not in FINALS}
            told[slot] = _plain(one_info(infos.get("final_info", {}), slot))
            told[slot]["terminal_observation"] = infos["final_obs"][slot]
        for info, cut in zip(told, (truncated & ~terminated).tolist(), strict=True):
            info["TimeLimit.truncated"] = cut
        return observations, rewards.astype(np.float32), done, told

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()

    def get_images(self) -> Sequence[Any]:
        """Return a picture of every environment."""
        pictures: Any = self.envs.render()
        return list(pictures)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return the vector environment's attribute, once per environment."""
        return [getattr(self.envs, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: there are no environments to have attributes."""
        raise NotImplementedError(f"{attr_name} cannot be set in the copies of a vector: use DummyVecEnv for that.")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Refuse: there are no environments to have methods."""
        raise NotImplementedError(
            f"{method_name} cannot be called in the copies of a vector: use DummyVecEnv for that."
        )

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Any = None) -> list[bool]:
        """Return False: there are no environments to be wrapped one by one."""
        return [False] * len(list(self._get_indices(indices)))


def make_vec_for_sb3(
    id: str, n_envs: int = 1, seed: int | None = None, *, vector_kwargs: dict[str, Any] | None = None, **kwargs: Any
) -> VectorForSB3:
    """Make a vector environment of an ID of ours for Stable-Baselines3.

    Args:
        id: An ID of ours.
        n_envs: How many environments.
        seed: Environment i is seeded with `seed + i`; None takes one from NumPy's global generator, as
            Stable-Baselines3's own vectors do.
        vector_kwargs: As for `bagged_envs.make_vec`, such as `num_threads`.
        **kwargs: As for `bagged_envs.make_vec`.

    Raises:
        ValueError: Another autoreset mode than SAME_STEP is asked for, or as `bagged_envs.make_vec`.
    """
    asked = AutoresetMode((vector_kwargs or {}).get("autoreset_mode", AutoresetMode.SAME_STEP))
    if asked is not AutoresetMode.SAME_STEP:
        raise ValueError(f"autoreset_mode must be SAME_STEP for Stable-Baselines3, got {asked}: leave it out.")
    settings = {**(vector_kwargs or {}), "autoreset_mode": AutoresetMode.SAME_STEP}
    envs = VectorForSB3(bagged_envs.make_vec(id, n_envs, vector_kwargs=settings, **kwargs))
    envs.seed(seed)
    return envs


def _plain(info: dict[str, Any]) -> dict[str, Any]:
    """Return info with Python's numbers where it has single ones, as single environments have them."""
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in info.items()}
