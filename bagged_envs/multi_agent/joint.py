"""One team of a PettingZoo parallel environment as a single Gymnasium environment, for one joint controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Space, Tuple

from bagged_envs.multi_agent.actions import in_space
from bagged_envs.multi_agent.opponents import Callback, Opponents
from bagged_envs.wrappers.arguments import known
from bagged_envs.wrappers.ledger import team_total

FACES = ("joint", "tuple")
TEAM_REWARDS = ("sum", "mean", "per_agent")


class JointEnv(gym.Env[Any, Any]):
    """The joint controller's face of one team: all its agents observed, and acted for, at once.

    Observation:
        The agents' observations stacked, Box `(A, ...)`, where their spaces agree, else a Dict by agent. An agent whose
        episode has ended is observed as zeros.

    Action:
        MultiDiscrete `(A,)` where all are Discrete, Box `(A, ...)` where all are the same Box, else a Dict by agent. In
        a Box, float64 numbers and lists are cast to its dtype.
        Actions of agents whose episode has ended have no effect.

    Reward:
        The left-to-right sum, or the mean, of the rewards of the team's agents present in the step.

    Termination:
        The episode ends with the team's last agent: terminated if all who end with it are, truncated if one of them is.

    Info:
        `agent_rewards` float64 `(A,)`, `alive` bool `(A,)`, whom the task has not ended, the world's facts that the
        environment names in `shared_info`, and `action_mask` `(A, n)` where the agents' infos have one (zeros for those
        who have ended).
    """

    face = "joint"

    def __init__(
        self,
        env: Any,
        *,
        team: str | None = None,
        teams: Mapping[str, Sequence[Any]] | None = None,
        opponents: str | Callback = "random",
        team_reward: str = "sum",
    ) -> None:
        """Show one team.

        Args:
            env: A PettingZoo `ParallelEnv` with `possible_agents`.
            team: The team's name; None for the first.
            teams: The agents of each team by its name; None for one team of all.
            opponents: How the other teams act: "random", "still", one of the task's own policies, or a callable
                `(observations, generator) -> actions` from and to dicts by agent.
            team_reward: "sum" or "mean".

        Raises:
            TypeError: `opponents` is neither a name nor callable.
            ValueError: `team`, `opponents` or `team_reward` is unknown.
        """
        self.env, self.render_mode = env, env.render_mode
        self.metadata = {**gym.Env.metadata, **env.metadata}
        teams = teams or {"team": list(env.possible_agents)}
        self.team = next(iter(teams)) if team is None else known("team", team, list(teams))
        self.agents = list(teams[self.team])
        if not self.agents:
            raise ValueError(f"team={self.team!r} has no agents here: name another of {list(teams)}.")
        self.team_reward = known("team_reward", team_reward, self._rewards_known())
        others = [agent for agent in env.possible_agents if agent not in self.agents]
        spaces = [env.action_space(agent) for agent in others]
        policies = getattr(getattr(env, "batch", None), "policies", {})
        self._opponents = Opponents(opponents, others, spaces, policies) if others else None
        if self._opponents is None and opponents != "random":
            raise ValueError(f"opponents={opponents!r} has no use: {self.agents} are all agents there are.")
        self.n_agents = len(self.agents)
        self._shared = tuple(getattr(env, "shared_info", ()))
        self._observations: dict[Any, Any] = {}
        self._no_action: Any = None  # a mask of zeros, where agents have masks
        self._agent_spaces = [env.observation_space(agent) for agent in self.agents]
        self._action_spaces = [env.action_space(agent) for agent in self.agents]
        self.observation_space, self.action_space = self._spaces()

    def _rewards_known(self) -> tuple[str, ...]:
        return ("sum", "mean")

    def _spaces(self) -> tuple[Space[Any], Space[Any]]:
        return stacked(self.agents, self._agent_spaces), stacked_actions(self.agents, self._action_spaces)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; the seed goes to the environment, and a child of it to the opponents."""
        super().reset(seed=seed)
        self._observations, infos = self.env.reset(seed=seed, options=options)
        if self._opponents is not None:
            self._opponents.reset(seed)
        return self._observed(), self._told({}, infos, self.env.agents)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Make one step of all agents.

        Raises:
            ValueError: The action is none of the action space.
        """
        alive = self.env.agents
        chosen = zip(self.agents, self._split(action), strict=True)
        actions = {agent: one for agent, one in chosen if agent in alive}
        if self._opponents is not None:
            actions |= self._opponents.act(self._observations, alive)
        self._observations, rewards, terminated, truncated, infos = self.env.step(actions)
        present = [agent for agent in self.agents if agent in rewards]
        left = self.env.agents
        ended = not any(agent in left for agent in self.agents)
        done = ended and all(terminated[agent] for agent in present)
        cut = ended and any(truncated[agent] for agent in present)
        # A limit within the environment cuts those who live, as one around it does.
        alive = [agent for agent in present if not terminated[agent]] if ended else left
        return self._observed(), self._pay(rewards, present), done, cut, self._told(rewards, infos, alive)

    def _split(self, action: Any) -> Any:
        action = in_space("action", action, self.action_space)
        if isinstance(self.action_space, Dict):
            return [action[str(agent)] for agent in self.agents]
        return np.asarray(action).tolist() if isinstance(self.action_space, MultiDiscrete) else action

    def _pay(self, rewards: dict[Any, Any], present: list[Any]) -> Any:
        total = team_total([float(rewards[agent]) for agent in present])
        return total / len(present) if self.team_reward == "mean" else total

    def _observed(self) -> Any:
        seen = self._observations
        each = [
            seen[agent] if agent in seen else zeros(space)
            for agent, space in zip(self.agents, self._agent_spaces, strict=True)
        ]
        if isinstance(self.observation_space, Dict):
            return {str(agent): one for agent, one in zip(self.agents, each, strict=True)}
        return tuple(each) if isinstance(self.observation_space, Tuple) else np.array(each)

    def _told(self, rewards: dict[Any, Any], infos: dict[Any, Any], alive: Sequence[Any]) -> dict[str, Any]:
        told: dict[str, Any] = {
            "agent_rewards": np.array([rewards.get(agent, 0.0) for agent in self.agents], dtype=np.float64),
            "alive": np.array([agent in alive for agent in self.agents]),
        }
        anyone: dict[str, Any] = next(iter(infos.values()), {})
        told |= {key: anyone[key] for key in self._shared}
        masks = {agent: infos[agent]["action_mask"] for agent in self.agents if "action_mask" in infos.get(agent, {})}
        if masks:
            self._no_action = np.zeros_like(next(iter(masks.values())))
        if self._no_action is not None:  # of those who are gone, too, when nobody is left to have one
            told["action_mask"] = np.stack([masks.get(agent, self._no_action) for agent in self.agents])
        return told

    def render(self) -> Any:
        """Return what the environment renders."""
        return self.env.render()

    def close(self) -> None:
        """Close the environment."""
        self.env.close()


class TupleEnv(JointEnv):
    """EPyMARL's face of one team: Tuple spaces, a list of rewards, `unwrapped.n_agents`.

    As `JointEnv`, but observations and actions are tuples with an entry per agent, and rewards a list of floats: each
    agent's own with `team_reward="per_agent"`, or for each the team's. EPyMARL adds the list up: with "per_agent" it
    gets the team's sum, with "sum" A times that.
    """

    face = "tuple"

    def _rewards_known(self) -> tuple[str, ...]:
        return TEAM_REWARDS

    def _spaces(self) -> tuple[Space[Any], Space[Any]]:
        return Tuple(tuple(self._agent_spaces)), Tuple(tuple(self._action_spaces))

    def _split(self, action: Any) -> Any:
        return in_space("action", tuple(action), self.action_space)

    def _pay(self, rewards: dict[Any, Any], present: list[Any]) -> list[float]:
        if self.team_reward == "per_agent":
            return [float(rewards.get(agent, 0.0)) for agent in self.agents]
        return [float(super()._pay(rewards, present))] * self.n_agents


def stacked(agents: Sequence[Any], spaces: Sequence[Space[Any]]) -> Space[Any]:
    """Return the space of all agents' observations at once."""
    first = spaces[0]
    if isinstance(first, Box) and all(space == first for space in spaces):
        low, high = (np.stack([bound] * len(spaces)) for bound in (first.low, first.high))
        return Box(low, high, dtype=first.low.dtype.type)
    return Dict({str(agent): space for agent, space in zip(agents, spaces, strict=True)})


def stacked_actions(agents: Sequence[Any], spaces: Sequence[Space[Any]]) -> Space[Any]:
    """Return the space of all agents' actions at once."""
    if all(isinstance(space, Discrete) and space.start == 0 for space in spaces):
        return MultiDiscrete([int(space.n) for space in spaces])  # type: ignore[attr-defined]
    return stacked(agents, spaces)


def zeros(space: Space[Any]) -> Any:
    """Return the observation of one who is gone."""
    if not isinstance(space, Box):
        raise TypeError(f"an agent that observes {space} ended before its team: only Box observations can be zeros.")
    return np.zeros(space.shape, dtype=space.dtype)
