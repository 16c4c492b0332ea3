"""Learning from each stretch of steps once: the on-policy half of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bagged_envs.baselines.api import Metrics, Redistributor
from bagged_envs.baselines.draws import Ints
from bagged_envs.baselines.learners.ppo import PPO, Rollout
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.trajectory import Trajectory


@dataclass(frozen=True)
class _Stretch:
    """The steps of one episode that a rollout is made of.

    Attributes:
        trajectory: The episode as far as it is.
        begin: The first step that was in no rollout yet.
        end: After the last step whose reward can be redistributed by now.
    """

    trajectory: Trajectory
    begin: int
    end: int


class Rollouts:
    """Updates a learner with what was played since its last update, redistributed as the redistributor now is.

    A bag that is still open is carried over to the next rollout, with the probabilities of its actions when they were
    chosen, unless the redistributor needs single steps only. Steps that a redistributor keeps from learners (those of
    unlabeled bags) interrupt the run of time, as the end of an episode does.
    """

    def __init__(self, learner: PPO, redistributor: Redistributor, store: EpisodeStore, device: torch.device | str):
        """Take what is trained; `store` is only asked for its features."""
        self._learner, self._redistributor, self._store, self._device = learner, redistributor, store, device
        self._ended: list[Trajectory] = []
        self._begin = 0  # how many steps of the first episode were in a rollout already
        self._log_probs = torch.zeros(0)  # of its steps after those, as far as they were there at the last rollout

    def add(self, episode: Trajectory) -> None:
        """Take an episode that ended."""
        self._ended.append(episode)

    def learn(self, going_on: Trajectory | None, fitted: bool = True) -> Metrics:
        """Make one update, with all its epochs; with no step to learn from yet, none.

        Args:
            going_on: The episode that is going on, as far as it is.
            fitted: Whether the redistributor has learned something; if not, steps get what was paid.

        Raises:
            FloatingPointError: A loss is not finite; nothing was changed.
        """
        episodes = [*self._ended, *([] if going_on is None else [going_on])]
        stretches = [
            _Stretch(episode, self._begin if number == 0 else 0, self._until(episode))
            for number, episode in enumerate(episodes)
        ]
        rollout, waiting = self._rollout(stretches, fitted)
        metrics = self._learner.update(rollout.to(self._device)) if len(rollout.rewards) else {}
        self._ended = []
        self._begin = 0 if going_on is None else stretches[-1].end
        self._log_probs = waiting if going_on is not None else torch.zeros(0)
        return metrics

    def _until(self, episode: Trajectory) -> int:
        """Return after which step rewards cannot be redistributed yet: the last closed bag's, or the last of all."""
        if episode.closed or (self._redistributor.context == "step" and not self._redistributor.only_labeled):
            return len(episode)
        return int(np.flatnonzero(episode.bag_ids == episode.bag_ids[-1])[0])

    def _rollout(self, stretches: list[_Stretch], fitted: bool) -> tuple[Rollout, Tensor]:
        """Return what is learned from, and the log-probabilities of the last episode's steps that have to wait."""
        scratch = self._store.empty_like(sum(len(one.trajectory) + 1 for one in stretches))
        numbers, log_probs, waiting = list[Ints](), list[Tensor](), torch.zeros(0)
        for place, stretch in enumerate(stretches):
            steps = scratch.add(stretch.trajectory)
            probs = self._probabilities(scratch, steps[stretch.begin :], self._log_probs if place == 0 else None)
            chosen = np.arange(stretch.begin, stretch.end)
            if self._redistributor.only_labeled:
                chosen = chosen[stretch.trajectory.labeled[stretch.trajectory.bag_ids[chosen]]]
            numbers.append(steps[chosen])
            log_probs.append(probs[torch.from_numpy(chosen - stretch.begin)])
            waiting = probs[stretch.end - stretch.begin :]
        if self._redistributor.stored and fitted:
            scratch.relabel_all(self._redistributor)
        indices = np.concatenate(numbers)
        transitions = scratch.transitions(indices, scratch.relabel(self._redistributor, indices) if fitted else None)
        last = torch.from_numpy(np.append(np.diff(indices) != 1, True)[: len(indices)]).float()
        return Rollout(**vars(transitions), last=last, log_probs=torch.cat(log_probs)), waiting

    def _probabilities(self, scratch: EpisodeStore, steps: Ints, known: Tensor | None) -> Tensor:
        """Return log-probabilities of steps: those that are known from an earlier rollout, then the policy's own."""
        known = torch.zeros(0) if known is None else known
        new = scratch.transitions(steps[len(known) :])
        return torch.cat((known, self._learner.log_probs(new.observations, new.actions)))

    def state_dict(self) -> dict[str, Any]:
        """Return the episodes that wait, and what is known of the first one; the others have their own states."""
        ended = [dict(vars(episode), extras=dict(episode.extras)) for episode in self._ended]
        return {"ended": ended, "begin": self._begin, "log_probs": self._log_probs.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._ended = [Trajectory(**episode) for episode in state["ended"]]
        self._begin, self._log_probs = state["begin"], state["log_probs"]
