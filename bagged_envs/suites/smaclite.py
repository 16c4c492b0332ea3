"""SMAClite, already built: its team as a PettingZoo parallel environment. Nothing of it is imported here.

Source: Michalski, Christianos, Albrecht, "SMAClite: A Lightweight Environment for Multi-Agent Reinforcement Learning"
(2023); the code's API as of version 2.0.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete, Space
from numpy.typing import NDArray

from bagged_envs.suites.adapted import AdaptedEnv, Turn, demand, one_each, returned
from bagged_envs.wrappers.arguments import known

SHARES = ("first", "all")
NEEDED = ("n_agents", "n_actions", "get_avail_actions")
REMEDY = (
    "SMAClite is on GitHub only: pip install git+https://github.com/uoe-agents/smaclite, then import smaclite and pass "
    "gymnasium.make('smaclite/2s3z-v0', disable_env_checker=True)."
)
NO_OP = 0


def from_smaclite(env: Any, max_episode_steps: int | None = None, share: str = "first") -> AdaptedEnv:
    """Turn a built SMAClite environment into a PettingZoo `ParallelEnv`.

    Agents are "agent_0", "agent_1", ...; every one has `Discrete(n_actions)`, and what it may choose now is in
    `info["action_mask"]` (int8, on reset and on every step); other actions are refused. An agent terminates in the step
    in which it dies, when nothing but the no-op is left to it: it is rewarded in that step, never later, and the
    environment gets the no-op for it from then on. `info["battle_won"]` is SMAClite's.

    SMAClite pays one reward for the whole team. With `share="first"` the first agent present gets it and the others
    0.0, so that the sum over agents is the team's reward to the bit: delay it with `team_reward="sum"`. With
    `share="all"` each agent present gets it: for delays per agent. Summing that pays it once per agent present; and the
    mean of n equal floats is not always that float.

    Args:
        env: What `gymnasium.make("smaclite/...")` returned, or an object of the same interface.
        max_episode_steps: Truncate after so many steps. SMAClite itself has no limit.
        share: "first" or "all".

    Raises:
        TypeError: `env` does not have SMAClite's interface.
        ValueError: An argument has a value that cannot be meant.
    """
    core = demand(env, "a built SMAClite environment", NEEDED, REMEDY)
    return AdaptedEnv(env, SMACliteTeam(env, core, known("share", share, SHARES)), max_episode_steps)


class SMACliteTeam:
    """SMAClite's calls as lists in the order of the agents."""

    name = "smaclite"
    limit_ends_as_terminated = False

    def __init__(self, env: Any, core: Any, share: str) -> None:
        """Take the environment, what is beneath its wrappers, and "first" or "all"."""
        self.env, self.core, self.share = env, core, share
        self.agents = [f"agent_{number}" for number in range(core.n_agents)]
        self.observation_spaces: list[Space[Any]] = one_each(
            "space", env.observation_space, self.agents, "observation_space"
        )
        # Not the environment's own spaces: a healer's has fewer actions than its mask.
        self.action_spaces: list[Space[Any]] = [Discrete(int(core.n_actions)) for _ in self.agents]
        self._dead = [False] * len(self.agents)

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> Turn:
        """Begin an episode."""
        observations, info = returned(self.env.reset(seed=seed, options=options), 2, "reset", self.name)
        return self._turn(observations, info)

    def step(self, actions: list[Any]) -> Turn:
        """Make one step; the dead do nothing."""
        dead = self._dead
        # A list of plain ints: SMAClite asserts that each is of type int.
        result = self.env.step([NO_OP if action is None else action for action in actions])
        observations, reward, terminated, truncated, info = returned(result, 5, "step", self.name)
        rewards = self._shared(float(reward), dead)
        return self._turn(observations, info, rewards=rewards, terminated=bool(terminated), truncated=bool(truncated))

    def _turn(self, observations: Any, info: dict[str, Any], **more: Any) -> Turn:
        masks = self._masks()
        self._dead = [_only_no_op(mask) for mask in masks]
        infos = [{"battle_won": bool(info["battle_won"])} for _ in self.agents]
        return Turn(
            one_each("observation", observations, self.agents, self.name), infos, dead=self._dead, masks=masks, **more
        )

    def _masks(self) -> list[NDArray[np.int8]]:
        available = self.core.get_avail_actions()
        return [np.asarray(mask).astype(np.int8) for mask in one_each("mask", available, self.agents, self.name)]

    def _shared(self, reward: float, dead: Sequence[bool]) -> list[float]:
        """Return each agent's reward; `dead` is who was dead before the step."""
        first = dead.index(False)
        return [reward if self.share == "all" or number == first else 0.0 for number in range(len(dead))]


def _only_no_op(mask: NDArray[np.int8]) -> bool:
    return bool(mask[NO_OP]) and int(mask.sum()) == 1
