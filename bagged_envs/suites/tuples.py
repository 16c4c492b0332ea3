"""Environments of several agents by EPyMARL's convention, such as lbforaging: Tuple spaces, a list of rewards.

Source: EPyMARL (Papoudakis et al., 2021) and its wrapper for Gymnasium: `unwrapped.n_agents`, Tuple spaces, one reward
per agent, `done` a bool or one per agent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Space, Tuple

from bagged_envs.suites.adapted import AdaptedEnv, Turn, demand, one_each, returned

NEEDED = ("n_agents",)
REMEDY = (
    "For instance: pip install lbforaging, then import lbforaging and pass "
    "gymnasium.make('Foraging-8x8-2p-3f-v3', disable_env_checker=True)."
)


def from_tuple(env: Any, max_episode_steps: int | None = None) -> AdaptedEnv:
    """Turn a built environment of EPyMARL's Tuple convention into a PettingZoo `ParallelEnv`.

    Agents are "agent_0", "agent_1", ...; the environment's info goes to each of them. The episode ends for all of them
    together; where `done` is a list, in the step in which all have ended, so that no reward is lost (truncated, unless
    all have terminated).

    Args:
        env: A Gymnasium environment with Tuple spaces, `unwrapped.n_agents` and a list of rewards.
        max_episode_steps: Truncate after so many steps. Environments such as lbforaging have a limit of their own and
            report it as terminated; give that limit here, and an end in that step is truncated. (Nobody can tell an
            episode that was solved in its very last step from one that ran out of time: both are truncated.)

    Raises:
        TypeError: `env` does not have the convention's interface.
        ValueError: An argument has a value that cannot be meant.
    """
    core = demand(env, "a Gymnasium environment of several agents with Tuple spaces", NEEDED, REMEDY)
    return AdaptedEnv(env, TupleTeam(env, core), max_episode_steps)


class TupleTeam:
    """The convention's calls as lists in the order of the agents."""

    limit_ends_as_terminated = True

    def __init__(self, env: Any, core: Any) -> None:
        """Take the environment, and what is beneath its wrappers."""
        self.env = env
        self.name = type(core).__name__
        self.agents = [f"agent_{number}" for number in range(core.n_agents)]
        self.observation_spaces: list[Space[Any]] = self._spaces("observation_space")
        self.action_spaces: list[Space[Any]] = self._spaces("action_space")

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> Turn:
        """Begin an episode."""
        observations, info = returned(self.env.reset(seed=seed, options=options), 2, "reset", self.name)
        return self._turn(observations, info)

    def step(self, actions: list[Any]) -> Turn:
        """Make one step."""
        result = self.env.step(tuple(actions))
        observations, rewards, terminated, truncated, info = returned(result, 5, "step", self.name)
        paid = [float(reward) for reward in one_each("reward", rewards, self.agents, self.name)]
        over, cut = bool(np.all(terminated)), bool(np.all(np.logical_or(terminated, truncated)))
        return self._turn(observations, info, rewards=paid, terminated=over, truncated=cut and not over)

    def _turn(self, observations: Any, info: dict[str, Any], **more: Any) -> Turn:
        return Turn(one_each("observation", observations, self.agents, self.name), [info] * len(self.agents), **more)

    def _spaces(self, name: str) -> list[Any]:
        spaces = getattr(self.env, name)
        if not isinstance(spaces, Tuple):
            raise TypeError(f"env must have an {name} that is a Tuple of one space per agent, got {spaces!r}. {REMEDY}")
        return one_each("space", spaces, self.agents, name)
