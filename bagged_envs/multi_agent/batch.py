"""One team of an `AgentBatch` as a `Batch`: what the joint controllers of many worlds see and are paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from gymnasium.spaces import Discrete

from bagged_envs.batch import AgentBatch, Bools, Floats, Ints
from bagged_envs.multi_agent.joint import stacked, stacked_actions
from bagged_envs.multi_agent.opponents import NAMES, Streams
from bagged_envs.wrappers.arguments import known


class TeamBatch:
    """N worlds, each as `JointEnv` shows it, to the bit."""

    def __init__(
        self,
        batch: AgentBatch,
        *,
        team: str | None = None,
        opponents: str = "random",
        team_reward: str = "sum",
    ) -> None:
        """Show one team; arguments as for `JointEnv`, but `opponents` must be a name.

        Raises:
            ValueError: `team`, `opponents` or `team_reward` is unknown.
        """
        teams = batch.teams
        self.team = next(iter(teams)) if team is None else known("team", team, list(teams))
        members = [agent in teams[self.team] for agent in batch.agents]
        self._own, self._others = np.flatnonzero(members), np.flatnonzero(np.logical_not(members))
        self._team_reward = known("team_reward", team_reward, ("sum", "mean"))
        if callable(opponents):
            raise ValueError("opponents must be a name with backend='native', got a callable: use backend='sync'.")
        known("opponents", opponents, sorted({*NAMES, *batch.policies}))
        if not self._others.size and opponents != "random":
            raise ValueError(f"opponents={opponents!r} has no use: {list(batch.agents)} are all agents there are.")
        self._batch, self._opponents = batch, opponents
        agents, spaces = teams[self.team], len(self._own)
        self.num_envs, self.metadata = batch.num_envs, batch.metadata
        self.observation_space = stacked(agents, [batch.observation_space] * spaces)
        self.action_space = stacked_actions(agents, [batch.action_space] * spaces)
        self._streams = Streams(batch.num_envs)
        self._rewards = np.zeros((batch.num_envs, spaces))
        self._alive: Bools = np.ones(batch.num_envs, dtype=np.bool_)
        self._seen: Any = None

    def seed(self, slot: int, seed: int) -> None:
        """Restart the opponents' random numbers in one world, as `JointEnv.reset(seed=...)` does."""
        self._streams.seed(slot, seed)

    def begin(self, slots: Sequence[int]) -> None:
        """Draw the opponents' numbers of the episodes that have just begun in some worlds anew."""
        self._streams.begin(slots)

    def reset(
        self, slots: Ints, generators: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> None:
        """Begin an episode in the worlds `slots`."""
        self._batch.reset(slots, generators, options)
        self._rewards[slots] = 0.0
        self._alive[slots] = True
        if self._others.size:
            self._streams.begin(slots)
            self._seen = self._batch.observe()

    def step(self, actions: Ints) -> tuple[Floats, Bools]:
        """Make one step in every world: the team's actions `(N, A)`, and the opponents'."""
        if not self._others.size:
            rewards, terminated = self._batch.step(actions)
            self._rewards = rewards
        else:
            joint = np.empty((self.num_envs, len(self._own) + len(self._others)), dtype=np.int64)
            joint[:, self._own], joint[:, self._others] = actions, self._act()
            rewards, terminated = self._batch.step(joint)
            self._rewards = rewards[:, self._own]
            self._seen = self._batch.observe()
        self._alive = ~terminated
        total = np.add.accumulate(self._rewards, axis=1)[:, -1]  # in the order of the agents, as `reduce` is not
        return total / len(self._own) if self._team_reward == "mean" else total, terminated

    def _act(self) -> Ints:
        numbers = self._streams.uniform(len(self._others))
        policy = self._batch.policies.get(self._opponents)
        if policy is not None:
            chosen: Ints = policy(self._seen[:, self._others], numbers)
            return chosen
        choices = int(cast(Discrete, self._batch.action_space).n)  # as AgentBatch promises
        return (numbers * choices * (self._opponents == "random")).astype(np.int64)

    def observe(self) -> Any:
        """Return what the team's agents observe, a new array `(N, A, ...)`."""
        if not self._others.size:
            return self._batch.observe()
        return self._seen[:, self._own]

    def info(self) -> dict[str, Any]:
        """Return what `JointEnv` tells."""
        alive = np.repeat(self._alive[:, np.newaxis], len(self._own), axis=1)
        return {"agent_rewards": self._rewards.copy(), "alive": alive, **self._batch.info()}

    def render(self, slot: int, mode: str) -> Any:
        """Return a picture of one world."""
        return self._batch.render(slot, mode)
