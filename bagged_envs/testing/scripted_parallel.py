"""A PettingZoo parallel environment that plays a script: known rewards, agents that die when they should."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from pettingzoo import ParallelEnv

from bagged_envs.testing.scripted import Step, is_script


def _all_end(scripts: object) -> bool:
    if not isinstance(scripts, Mapping) or not is_script(list(scripts.values())):
        return False
    return all(steps[-1][1] or steps[-1][2] for steps in scripts.values())


class ScriptedParallelEnv(ParallelEnv[Any, Any, Any]):  # type: ignore[misc]
    """Plays one list of `(reward, terminated, truncated)` per agent; an agent leaves after the step that ends it.

    Observation: per agent `Box(3,)` float64: the agent's number (from 1), the step (from 0), a random number.
    Action: `Discrete(2)`, ignored.
    """

    metadata: dict[str, Any] = {"name": "scripted_v0", "render_modes": [], "is_parallelizable": True}
    render_mode = None

    def __init__(self, scripts: Mapping[Any, Sequence[Step]]) -> None:
        """Take a script per agent; its order is that of `possible_agents`.

        Raises:
            ValueError: There is no agent, or one whose script does not end.
        """
        if not _all_end(scripts):
            raise ValueError(f"scripts must give every agent an episode that ends, got {scripts!r}.")
        self.scripts = {agent: list(steps) for agent, steps in scripts.items()}
        self.possible_agents = list(scripts)
        self.agents: list[Any] = []
        self._observations = {a: gym.spaces.Box(-np.inf, np.inf, (3,), np.float64) for a in scripts}
        self._actions = {a: gym.spaces.Discrete(2) for a in scripts}
        self._random, self._step = np.random.default_rng(), 0

    def observation_space(self, agent: Any) -> gym.Space[Any]:
        """Return the agent's observation space, the same object on every call."""
        return self._observations[agent]

    def action_space(self, agent: Any) -> gym.Space[Any]:
        """Return the agent's action space, the same object on every call."""
        return self._actions[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        """Bring every agent back to the beginning of its script."""
        if seed is not None:
            self._random = np.random.default_rng(seed)
        self.agents, self._step = list(self.possible_agents), 0
        return self._observe(self.agents), {agent: {} for agent in self.agents}

    def step(self, actions: dict[Any, Any]) -> tuple[Any, Any, Any, Any, Any]:
        """Play one step of every agent that is still there."""
        now = {agent: self.scripts[agent][self._step] for agent in self.agents}
        self._step += 1
        self.agents = [agent for agent, (_, terminated, truncated) in now.items() if not (terminated or truncated)]
        rewards, terminated, truncated = ({agent: step[part] for agent, step in now.items()} for part in range(3))
        return self._observe(now), rewards, terminated, truncated, {agent: {} for agent in now}

    def _observe(self, agents: Any) -> dict[Any, Any]:
        numbers = {agent: self.possible_agents.index(agent) + 1 for agent in agents}
        return {agent: np.array([numbers[agent], self._step, self._random.random()]) for agent in agents}
