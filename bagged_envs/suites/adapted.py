"""What the adapters of already built multi-agent environments share: one PettingZoo face, its agents and time limit.

An adapter is a `Team`: it translates its environment's calls to and from lists in the order of the agents. `AdaptedEnv`
does the rest, and is the only one who knows PettingZoo.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from gymnasium.spaces import Discrete, Space
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from bagged_envs.wrappers.arguments import positive_int
from bagged_envs.wrappers.guard import Guard

CALLS = ("reset", "step", "observation_space", "action_space")


@dataclass(frozen=True)
class Turn:
    """What a reset or a step brought: one entry per possible agent, those who are gone included.

    Attributes:
        observations: What each agent sees.
        infos: What each agent is told; it gets a copy.
        rewards: What each agent is paid; empty after a reset.
        terminated: Whether the episode ended for everybody, by the task's own rule.
        truncated: Whether it was cut.
        dead: Which agents have died, in this step or before.
        masks: Which actions each agent may choose now, as int8; None where every action is always allowed.
    """

    observations: Sequence[Any]
    infos: Sequence[dict[str, Any]]
    rewards: Sequence[float] = ()
    terminated: bool = False
    truncated: bool = False
    dead: Sequence[bool] | None = None
    masks: Sequence[NDArray[np.int8]] | None = None


class Team(Protocol):
    """An environment, reduced to lists in the order of the agents."""

    name: str
    agents: list[str]
    observation_spaces: list[Space[Any]]
    action_spaces: list[Space[Any]]
    # Whether the environment has a time limit of its own and reports it as terminated.
    limit_ends_as_terminated: bool

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> Turn:
        """Begin an episode."""

    def step(self, actions: list[Any]) -> Turn:
        """Make one step; the action of an agent that is gone is None."""


class AdaptedEnv(Guard, ParallelEnv[Any, Any, Any]):  # type: ignore[misc]
    """A built multi-agent environment as a PettingZoo `ParallelEnv`; made by the `from_...` functions beside it.

    An agent leaves in the step that ends it, and is rewarded in that step and never later. `env` is the environment it
    was made from.
    """

    render_mode = None

    def __init__(self, env: Any, team: Team, max_episode_steps: int | None) -> None:
        """Give a team its PettingZoo face.

        Args:
            env: The environment itself, which is rendered and closed.
            team: Its translation.
            max_episode_steps: Truncate after so many steps; None for no limit beyond the environment's own.

        Raises:
            TypeError: `max_episode_steps` is no int.
            ValueError: It is below 1.
        """
        self.env, self.team = env, team
        self.max_episode_steps = (
            None if max_episode_steps is None else positive_int("max_episode_steps", max_episode_steps)
        )
        self.metadata = {"name": team.name, "render_modes": [], "is_parallelizable": True}
        self.possible_agents = list(team.agents)
        self.agents: list[str] = []
        # Copies: environments fill Tuple spaces with one and the same object, whose random numbers agents would share.
        self._observation_spaces = dict(zip(team.agents, map(copy.deepcopy, team.observation_spaces), strict=True))
        self._action_spaces = dict(zip(team.agents, map(copy.deepcopy, team.action_spaces), strict=True))
        self._masks: dict[str, NDArray[np.int8]] = {}
        self._steps = 0

    def observation_space(self, agent: Any) -> Space[Any]:
        """Return the agent's observation space, the same object on every call."""
        return self._observation_spaces[agent]

    def action_space(self, agent: Any) -> Space[Any]:
        """Return the agent's action space, the same object on every call."""
        return self._action_spaces[agent]

    def render(self) -> Any:
        """Render as the environment itself does."""
        return self.env.render()

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Begin an episode with every agent."""
        self._begin_reset()
        turn = self.team.reset(seed, options)
        self._needs_reset, self._steps, self.agents = None, 0, list(self.possible_agents)
        return self._present(turn.observations), self._told(turn)

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Make one step of every agent that is present.

        Raises:
            gymnasium.error.ResetNeeded: No episode is running.
            TypeError: An action is of a wrong type.
            ValueError: An action is not in its space or not allowed by the mask, an agent has none, or one has that is
                not present. The environment has not been touched then, and the episode can go on.
        """
        if self._needs_reset is not None:
            self._raise_needs_reset()
        chosen = self._chosen(actions)
        self._needs_reset = "the last step failed"
        turn = self.team.step(chosen)
        self._steps += 1
        terminated, truncated = self._ends(turn)
        told = self._present(turn.observations), self._present(turn.rewards), terminated, truncated, self._told(turn)
        self.agents = [agent for agent in self.agents if not (terminated[agent] or truncated[agent])]
        self._needs_reset = None if self.agents else "the episode of every agent has ended"
        return told

    def _present(self, entries: Sequence[Any]) -> dict[str, Any]:
        everyone = dict(zip(self.possible_agents, entries, strict=True))
        return {agent: everyone[agent] for agent in self.agents}

    def _told(self, turn: Turn) -> dict[str, dict[str, Any]]:
        told: dict[str, dict[str, Any]] = {agent: dict(info) for agent, info in self._present(turn.infos).items()}
        if turn.masks is not None:
            self._masks = self._present(turn.masks)
            for agent, mask in self._masks.items():
                told[agent]["action_mask"] = mask.copy()
        return told

    def _ends(self, turn: Turn) -> tuple[dict[str, bool], dict[str, bool]]:
        cut, over = self._steps == self.max_episode_steps, turn.terminated
        if cut and self.team.limit_ends_as_terminated:
            over = False
        dead = self._present(turn.dead) if turn.dead is not None else dict.fromkeys(self.agents, False)
        terminated = {agent: over or dead[agent] for agent in self.agents}
        return terminated, {agent: (cut or turn.truncated) and not terminated[agent] for agent in self.agents}

    def _chosen(self, actions: dict[str, Any]) -> list[Any]:
        if set(actions) != set(self.agents):
            raise ValueError(
                f"actions must have one entry for each agent that is present, {', '.join(self.agents)}, got "
                f"{', '.join(map(str, actions)) or 'none'}: step with {{agent: ... for agent in env.agents}}."
            )
        return [self._action(agent, actions[agent]) if agent in actions else None for agent in self.possible_agents]

    def _action(self, agent: str, action: Any) -> Any:
        space = self._action_spaces[agent]
        if isinstance(space, Discrete):
            action = _plain_int(agent, action)
        if not space.contains(action):
            raise ValueError(f"the action of {agent} must be in {space}, got {action!r}.")
        if agent in self._masks and not self._masks[agent][action]:
            raise ValueError(
                f"the action of {agent} must be allowed now, one of {np.flatnonzero(self._masks[agent]).tolist()}, got "
                f"{action!r}: choose by info['action_mask'] of the last reset or step."
            )
        return action


def _plain_int(agent: str, action: Any) -> int:
    try:
        return operator.index(action)
    except TypeError as error:
        came = f"got {action!r} of type {type(action).__name__}"
        raise TypeError(f"the action of {agent} must be an int, {came}.") from error


def demand(env: Any, what: str, names: Sequence[str], remedy: str) -> Any:
    """Return the environment beneath all wrappers, or raise a TypeError that says which attributes it does not have.

    Args:
        env: What was given as an environment.
        what: What it should be.
        names: The attributes that the environment beneath must have, besides what every environment has.
        remedy: How to come by a real one.
    """
    core = getattr(env, "unwrapped", env)
    missing = [name for name in CALLS if not hasattr(env, name)] + [name for name in names if not hasattr(core, name)]
    if missing:
        raise TypeError(f"env must be {what}, but {env!r} has no {', no '.join(missing)}. {remedy}")
    return core


def one_each(what: str, values: Any, agents: Sequence[str], name: str) -> list[Any]:
    """Return `values` as a list with one entry per agent, or raise a ValueError that says what came."""
    if not hasattr(values, "__len__") or np.shape(values) == () or len(values) != len(agents):
        raise ValueError(f"{name} must give one {what} for each of its {len(agents)} agents, got {values!r}.")
    return list(values)


def returned(result: Any, length: int, call: str, name: str) -> tuple[Any, ...]:
    """Return what a call of the environment returned if it is a tuple of that length, or raise a ValueError."""
    if not isinstance(result, tuple) or len(result) != length:
        came = f"{len(result)}" if isinstance(result, tuple) else f"one {type(result).__name__}"
        raise ValueError(f"{name}.{call} must return {length} values, got {came}: is it another version of its API?")
    return result
