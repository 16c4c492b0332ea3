"""Playing one environment so that a stopped run goes on exactly where it was."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from bagged_envs.baselines.checkpoint import CheckpointError
from bagged_envs.baselines.collect import OpenEpisode, element, opened
from bagged_envs.trajectory import Trajectory

SEEDS = 2**30  # training draws its seeds below, evaluation above
REPLAY = "seed and actions must decide everything in the environment, and its version must be the saved run's."


class Player:
    """Plays an environment, each episode from a seed of its own, drawn from `generator`.

    So an episode that was going on when a run stopped can be played again from its seed and its actions. That takes an
    environment in which these decide everything: nothing may be carried from one episode into the next.

    Attributes:
        env: The environment.
        episode: The episode that is going on, if one is.
    """

    def __init__(self, env: gym.Env[Any, Any], generator: np.random.Generator) -> None:
        """Take an environment; `ready` resets it."""
        self.env, self._generator = env, generator
        self.episode: OpenEpisode | None = None
        self._seed = 0
        self._actions: list[npt.NDArray[Any]] = []

    def ready(self) -> npt.NDArray[Any]:
        """Return the observation to act on, as `element` keeps it; of a new episode where none is going on.

        Raises:
            ValueError: The environment's info has no borders of bags.
        """
        episode = self._begin(int(self._generator.integers(SEEDS))) if self.episode is None else self.episode
        return episode.observations[-1]

    def _begin(self, seed: int) -> OpenEpisode:
        self._seed, self._actions = seed, []
        observation, info = self.env.reset(seed=seed)
        self.episode = opened(self.env.observation_space, observation, info)
        return self.episode

    def step(self, action: Any) -> Trajectory | None:
        """Take a step; return the episode if it ended with it.

        Raises:
            ValueError: No episode is going on, or the last step did not close its bag.
        """
        if self.episode is None:
            raise ValueError("no episode is going on: call ready() first.")
        self._actions.append(np.array(action, dtype=self.env.action_space.dtype))
        kept = element(self.env.action_space, action)
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.episode.append(kept, element(self.env.observation_space, observation), reward, info)
        if not terminated and not truncated:
            return None
        ended, self.episode = self.episode.ended(bool(terminated)), None
        return ended

    def state_dict(self) -> dict[str, Any]:
        """Return the generator's state, and seed, actions and last observation of the open episode."""
        state: dict[str, Any] = {"generator": self._generator.bit_generator.state}
        if self.episode is not None:
            state["seed"], state["actions"] = self._seed, [action.copy() for action in self._actions]
            state["observation"] = self.episode.observations[-1].copy()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Play the saved run's open episode again, and go on from there.

        Raises:
            CheckpointError: It went otherwise than before.
        """
        self.episode = None
        if "seed" in state:
            episode = self._begin(state["seed"])
            for action in state["actions"]:
                if self.step(action if action.ndim else action[()]) is not None:
                    raise CheckpointError(f"the open episode ends earlier when it is played again: {REPLAY}")
            if not np.array_equal(episode.observations[-1], state["observation"], equal_nan=True):
                raise CheckpointError(f"the open episode differs when it is played again: {REPLAY}")
        self._generator.bit_generator.state = copy.deepcopy(state["generator"])
