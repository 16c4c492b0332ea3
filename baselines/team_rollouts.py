"""Learning from each step of each agent once: the on-policy half of training teams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bagged_envs.baselines import layout
from bagged_envs.baselines.api import BagBatch, Metrics, Redistributor
from bagged_envs.baselines.collect import ActTold, Info
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.learners.ppo import PPO, Rollout
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.baselines.worlds import told
from bagged_envs.trajectory import Trajectory


class TeamRollouts:
    """Updates a learner with whole episodes of a team, redistributed as the redistributor now is.

    Each agent's steps of an episode are a run of their own, with the rewards that this agent is given. Steps that a
    redistributor keeps from learners (those of unlabeled bags) interrupt a run, as the end of an episode does.
    """

    def __init__(
        self,
        learner: PPO,
        redistributor: Redistributor,
        store: EpisodeStore,
        seen: Features,
        acted: Features,
        device: torch.device | str,
        sees_all: bool,
        horizon: int | None = None,
    ) -> None:
        """Take what is trained.

        Args:
            learner: What is trained.
            redistributor: What gives agents their rewards.
            store: Only asked for its features.
            seen: Features of what all agents observe.
            acted: Features of what all agents do.
            device: Where the learner lives.
            sees_all: Whether the critic sees what all agents observe.
            horizon: Of how many steps the critic sees which share is over; None for a critic that sees no time.
        """
        self._learner, self._redistributor, self._store = learner, redistributor, store
        self._seen, self._acted, self._device = seen, acted, device
        self._sees_all, self._horizon = sees_all, horizon

    def begin(self, explore: bool) -> ActTold:
        """Return what acts in the episodes that all worlds begin: by samples, or by each agent's likeliest actions."""

        def act(observations: Any, infos: Info) -> Any:
            features = self._seen.encode(observations)  # [W, A, D]
            masks = told(infos, "action_mask")
            allowed = None if masks is None else masks.flatten(0, 1)
            acted = self._learner.act(torch.from_numpy(features.reshape(-1, features.shape[2])), explore, allowed)
            return self._acted.decode(acted.numpy().reshape(*features.shape[:2], -1))

        return act

    def refresh(self) -> None:
        """Do nothing, as nothing is stored: rewards are made anew for each update."""

    def learn(self, episodes: Sequence[Trajectory], fitted: bool = True) -> list[Metrics]:
        """Make one update, with all its epochs; with no step to learn from, none. Return the metrics of each.

        Args:
            episodes: Whole, and played with the policy as it is.
            fitted: Whether the redistributor has learned something; if not, agents get equal shares of what was paid.

        Raises:
            FloatingPointError: A loss is not finite; nothing was changed.
        """
        rollout = self.rollout(episodes, fitted)
        return [self._learner.update(rollout.to(self._device))] if len(rollout.rewards) else []

    def rollout(self, episodes: Sequence[Trajectory], fitted: bool) -> Rollout:
        """Return what is learned from."""
        scratch = self._store.empty_like(sum(len(episode) + 1 for episode in episodes))
        indices = np.concatenate([scratch.add(episode) for episode in episodes])
        if self._redistributor.stored and fitted:
            scratch.relabel_all(self._redistributor)
        steps = scratch.steps(indices)
        rewards = scratch.relabel(self._redistributor, indices) if fitted else steps.paid[:, 0]
        ends = torch.zeros(len(indices), dtype=torch.bool)
        ends[np.cumsum([len(episode) for episode in episodes]) - 1] = True
        staying = [layout.staying(episode, self._store.agents) for episode in episodes]
        chosen = torch.ones_like(ends)
        if self._redistributor.only_labeled:
            chosen = torch.from_numpy(np.concatenate([episode.labeled[episode.bag_ids] for episode in episodes]))
        judged = [self._judged(episodes, one, after) for after, one in enumerate(observed(steps))]
        stay = torch.from_numpy(np.stack(staying))
        return agents_rollout(steps, rewards.cpu(), stay, ends, chosen, judged, self._allowed(episodes))

    def _allowed(self, episodes: Sequence[Trajectory]) -> Tensor | None:
        """Return which actions could be chosen, `[N, A, U]`; None where no episode tells."""
        if not any("action_mask" in one.extras for one in episodes):
            return None
        masks = [layout.allowed(one, self._store.agents, self._acted.size)[:-1] for one in episodes]
        return torch.from_numpy(np.concatenate(masks))

    def _judged(self, episodes: Sequence[Trajectory], seen: Tensor, after: int) -> Tensor | None:
        """Return what the critic sees of some steps, `[N, A, C]`; None for what the agents observe."""
        judged = side_by_side(seen) if self._sees_all else seen
        if self._horizon is None:
            return judged if self._sees_all else None
        over = torch.cat([torch.arange(len(one)) for one in episodes]) + after
        return torch.cat((judged, (over / self._horizon)[:, None, None].expand(*judged.shape[:2], 1)), dim=2)


def observed(steps: BagBatch) -> tuple[Tensor, Tensor]:
    """Return what agents observe before and after steps `[N, 1, A, D]`: `[N, A, D]` each."""
    return steps.observations[:, 0], steps.next_observations[:, 0]


def agents_rollout(
    steps: BagBatch,
    rewards: Tensor,
    staying: Tensor,
    ends: Tensor,
    chosen: Tensor,
    judged: Sequence[Tensor | None] = (None, None),
    allowed: Tensor | None = None,
) -> Rollout:
    """Return the steps of a team as steps of its agents, one agent's after the other's, each in the order of time.

    An agent that is gone in a step has no row of it. Whose last step comes before the episode's has ended there: nobody
    pays it anything later.

    Args:
        steps: `[N, 1, A, _]`, whole episodes, one after the other.
        rewards: `[N, A]`.
        staying: bool `[E, A]`, which agents of each episode the task had not ended after its last step.
        ends: bool `[N]`, an episode's last steps.
        chosen: bool `[N]`, which steps are learned from.
        judged: What the critic sees before and after each step, `[N, A, C]`; None for what the agent observes.
        allowed: bool `[N, A, U]`, which actions could be chosen; None for all.
    """
    there = steps.mask[:, 0]  # [N, A]
    after = there.roll(-1, dims=0)
    goes_on = after & ~ends[:, None]
    after[ends] = staying
    last = ~(goes_on & chosen.roll(-1)[:, None])
    rows = by_agent(there & chosen[:, None])
    seen, following = observed(steps)
    parts = (seen, steps.actions[:, 0], rewards, following, (~after).float(), last)
    observations, actions, paid, followed, ended, lasts = (by_agent(part)[rows] for part in parts)
    more = [None if one is None else by_agent(one)[rows] for one in (*judged, allowed)]
    return Rollout(observations, actions, paid, followed, ended, lasts, None, *more)


def by_agent(values: Tensor) -> Tensor:
    """Return `[N, A, ...]` as `[A N, ...]`, one agent's steps after the other's."""
    return values.transpose(0, 1).flatten(0, 1)


def side_by_side(observations: Tensor) -> Tensor:
    """Return for each agent what all of them observe, and a one-hot of which it is: `[N, A, D]` as `[N, A, A D + A]`.

    Example:
        >>> side_by_side(torch.tensor([[[5.0], [6.0]]])).tolist()
        [[[5.0, 6.0, 1.0, 0.0], [5.0, 6.0, 0.0, 1.0]]]
    """
    steps, agents, _ = observations.shape
    everything = observations.flatten(1)[:, None].expand(-1, agents, -1)
    return torch.cat((everything, torch.eye(agents).expand(steps, -1, -1)), dim=2)
