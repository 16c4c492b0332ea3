"""Learning from random stored episodes of a team: the off-policy half of training teams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from bagged_envs.baselines.api import Metrics, Redistributor
from bagged_envs.baselines.collect import ActTold, Info
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.learners.qmix import QMIX, Memory
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.baselines.worlds import told
from bagged_envs.trajectory import Trajectory


class TeamReplay:
    """Updates a learner with random whole episodes of a store, whose rewards are redistributed when they are drawn.

    The reward of a step is the team's: the sum of what its agents are given. Rewards that the redistributor wants
    stored are those of its last burst of updates.

    Attributes:
        steps: Environment steps so far, by which the learner explores less and less.
    """

    def __init__(
        self,
        learner: QMIX,
        redistributor: Redistributor,
        store: EpisodeStore,
        seen: Features,
        acted: Features,
        device: torch.device | str,
        generator: np.random.Generator,
    ) -> None:
        """Take what is trained, and what it is trained from.

        Args:
            learner: What is trained.
            redistributor: What gives steps their rewards.
            store: What episodes are drawn from; it keeps masks of actions from now on.
            seen: Features of what all agents observe.
            acted: Features of what all agents do.
            device: Where the learner lives.
            generator: What episodes are drawn by.
        """
        self._learner, self._redistributor, self._store = learner, redistributor, store
        self._seen, self._acted, self._device, self._generator = seen, acted, device, generator
        store.keep_masks()
        self.steps = 0

    def begin(self, explore: bool) -> ActTold:
        """Return what acts in the episodes that all worlds begin; what it remembers of them is its own."""
        memory: Memory | None = None
        epsilon = self._learner.config.epsilon_at(self.steps) if explore else 0.0

        def act(observations: Any, infos: Info) -> Any:
            nonlocal memory
            features = torch.from_numpy(self._seen.encode(observations))  # [W, A, D]
            present, allowed = told(infos, "alive"), told(infos, "action_mask")
            acted, memory = self._learner.act(features, memory, allowed, present, epsilon)
            return self._acted.decode(acted.numpy())

        return act

    def refresh(self) -> None:
        """Store the redistributor's rewards anew, where it wants them stored: it was updated."""
        if self._redistributor.stored:
            self._store.relabel_oldest(self._redistributor, self._redistributor.schedule.refresh)

    def learn(self, episodes: Sequence[Trajectory], fitted: bool = True) -> list[Metrics]:
        """Make some updates for each fresh episode, once there are enough; return the metrics of each.

        Args:
            episodes: Whole, and in the store already.
            fitted: Whether the redistributor has learned something; if not, steps have the rewards that were paid.

        Raises:
            FloatingPointError: A loss is not finite; this update changed nothing.
        """
        config, store = self._learner.config, self._store
        self.steps += sum(map(len, episodes))
        if fitted and self._redistributor.stored:
            store.relabel_new(self._redistributor)
        enough = store.num_whole_episodes >= config.batch
        found = [self._update(fitted) for _ in range(config.updates_per_episode * len(episodes) if enough else 0)]
        return [metrics for metrics in found if metrics]

    def _update(self, fitted: bool) -> Metrics:
        """Make one update; with no step to learn from, none."""
        store, redistributor = self._store, self._redistributor
        steps, there = store.sample_episodes(self._learner.config.batch, self._generator)
        rewards = store.relabel(redistributor, steps[there]).cpu() if fitted else None
        batch = store.episodes(steps, there, rewards, redistributor.only_labeled)
        return self._learner.update(batch.to(self._device)) if batch.learned.any() else {}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the generator and the number of steps; what is trained has its own."""
        return {"generator": self._generator.bit_generator.state, "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._generator.bit_generator.state, self.steps = state["generator"], state["steps"]
