"""One world of an `AgentBatch` as a PettingZoo parallel environment."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Discrete, Space
from gymnasium.utils.seeding import np_random
from pettingzoo import ParallelEnv

from bagged_envs.batch import AgentBatch
from bagged_envs.multi_agent.window import Window
from bagged_envs.wrappers.arguments import positive_int

ONLY = np.zeros(1, dtype=np.int64)


class BatchParallelEnv(ParallelEnv[str, Any, Any]):  # type: ignore[misc]
    """A PettingZoo `ParallelEnv` over a batch of one world: `reset` and `step` as there, all agents end together.

    Every agent's info has the world's facts (`shared_info` names them). `unwrapped.batch` is the batch.
    """

    def __init__(self, batch: AgentBatch, max_episode_steps: int | None = None, render_mode: str | None = None) -> None:
        """Show a batch.

        Args:
            batch: A batch of one world.
            max_episode_steps: After how many steps an episode is truncated; None for never.
            render_mode: One of the batch's `metadata["render_modes"]`, "human" for a window, or None.

        Raises:
            ValueError: The batch has several worlds, or the render mode is unknown.
            gymnasium.error.DependencyNotInstalled: pygame is missing, for "human".
        """
        if batch.num_envs != 1:
            raise ValueError(f"batch must have num_envs=1, got {batch.num_envs}: make a vector environment of it.")
        self.metadata = metadata_of(batch)
        modes = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in modes:
            raise ValueError(f"render_mode must be None or one of {modes}, got {render_mode!r}.")
        self.batch, self.render_mode = batch, render_mode
        self.max_episode_steps = (
            None if max_episode_steps is None else positive_int("max_episode_steps", max_episode_steps)
        )
        self._window = Window(batch.metadata["name"], batch.metadata["render_fps"]) if render_mode == "human" else None
        self.possible_agents = list(batch.agents)
        self.agents: list[str] = []
        self.teams = {name: list(members) for name, members in batch.teams.items()}
        self.shared_info = tuple(batch.info())
        self.observation_spaces = {agent: copy.deepcopy(batch.observation_space) for agent in self.possible_agents}
        self.action_spaces = {agent: copy.deepcopy(batch.action_space) for agent in self.possible_agents}
        self._choices = int(batch.action_space.n) if isinstance(batch.action_space, Discrete) else 0
        self._generator: np.random.Generator | None = None
        self._elapsed = 0

    def observation_space(self, agent: str) -> Space[Any]:
        """Return the agent's observation space, the same object on every call."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Space[Any]:
        """Return the agent's action space, the same object on every call."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Begin an episode; with a seed, the random numbers restart from it as in `gymnasium.Env.reset`."""
        if seed is not None or self._generator is None:
            self._generator, _ = np_random(seed)
        if options is not None and not isinstance(options, Mapping):
            raise TypeError(f"options must be a dict or None, got {options!r} of type {type(options).__name__}.")
        # PettingZoo's own API test passes an option of this name, which every environment has to bear.
        options = {key: value for key, value in (options or {}).items() if key != "options"}
        self.batch.reset(ONLY, [self._generator], options)
        self.agents, self._elapsed = list(self.possible_agents), 0
        if self._window is not None:
            self.render()
        return self._observed(), self._told()

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Make one step.

        Raises:
            gymnasium.error.ResetNeeded: No episode is running.
            ValueError: An agent's action is missing, or is none of its action space.
        """
        agents = self.agents
        if not agents:
            raise ResetNeeded("step() cannot be called: no episode is running. Call reset() first.")
        rewards, terminated = self.batch.step(self._joint(actions))
        self._elapsed += 1
        ended = bool(terminated[0])
        cut = self.max_episode_steps is not None and self._elapsed >= self.max_episode_steps
        observations, infos = self._observed(), self._told()
        paid = dict(zip(agents, rewards[0].tolist(), strict=True))
        if ended or cut:
            self.agents = []
        if self._window is not None:
            self.render()
        return observations, paid, dict.fromkeys(agents, ended), dict.fromkeys(agents, cut), infos

    def _joint(self, actions: dict[str, Any]) -> Any:
        try:
            joint = [actions[agent] for agent in self.agents]
        except KeyError as error:
            raise ValueError(
                f"actions must have one for every agent of {self.agents}, got none for {error}: {actions!r}."
            ) from None
        array = np.asarray(joint)
        if array.shape != (len(joint),) or array.dtype.kind not in "iu":
            raise ValueError(f"actions must be ints of {self.batch.action_space}, one per agent, got {actions!r}.")
        if array.min() < 0 or array.max() >= self._choices:
            raise ValueError(f"actions must be in {self.batch.action_space}, got {actions!r}.")
        return array[np.newaxis].astype(np.int64, copy=False)

    def _observed(self) -> dict[str, Any]:
        return dict(zip(self.possible_agents, self.batch.observe()[0], strict=True))

    def _told(self) -> dict[str, dict[str, Any]]:
        facts = {key: value[0].item() for key, value in self.batch.info().items()}
        return {agent: facts.copy() for agent in self.possible_agents}

    def render(self) -> Any:
        """Return a picture of the world; None without a render mode, and with "human", which shows it in a window."""
        if self._window is not None:
            self._window.show(self.batch.render(0, "rgb_array"))
            return None
        return None if self.render_mode is None else self.batch.render(0, self.render_mode)

    def state(self) -> Any:
        """Return what all agents observe together, one after the other: `(A * D,)`."""
        return self.batch.observe()[0].ravel()

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()


def metadata_of(batch: Any) -> dict[str, Any]:
    """Return the metadata of a batch (or its class) behind PettingZoo's face, which also opens windows."""
    modes = ["human", *batch.metadata["render_modes"]]
    return {**batch.metadata, "render_modes": modes, "is_parallelizable": True}
