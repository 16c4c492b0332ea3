"""Learning from random stored steps: the off-policy half of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bagged_envs.baselines.api import Learner, Metrics, Redistributor, Transitions
from bagged_envs.baselines.draws import Ints
from bagged_envs.baselines.store import EpisodeStore


class Replay:
    """Updates a learner with random steps of a store, whose rewards are redistributed when they are drawn.

    Rewards that the redistributor wants stored are those of its last burst of updates.
    """

    def __init__(
        self,
        learner: Learner,
        redistributor: Redistributor,
        store: EpisodeStore,
        generator: np.random.Generator,
        batch_size: int,
        device: torch.device | str,
        n_step: int = 1,
        discount: float = 1.0,
    ) -> None:
        """Take what is trained, and what it is trained from.

        Args:
            learner: What is trained.
            redistributor: What gives steps their rewards.
            store: What steps are drawn from.
            generator: What they are drawn by.
            batch_size: How many.
            device: Where the learner lives.
            n_step: How many steps are taken as one: their rewards, discounted and added up, and then the learner's
                value of where they lead.
            discount: The learner's, for these.

        Raises:
            ValueError: Several steps are taken as one, but the redistributor leaves steps out.
        """
        if n_step > 1 and redistributor.only_labeled:
            raise ValueError(
                f"n_step={n_step} needs all steps, got {redistributor.name!r}, which leaves some out: use n_step=1."
            )
        self._learner, self._redistributor, self._store = learner, redistributor, store
        self._generator, self._batch_size, self._device = generator, batch_size, device
        self._discounts = discount ** torch.arange(n_step)  # [n]

    def ready(self) -> bool:
        """Return whether there is something to learn from: a closed bag, or a labeled one where only those count."""
        store = self._store
        return (store.num_labeled_bags if self._redistributor.only_labeled else store.num_bags) > 0

    def learn(self) -> Metrics:
        """Make one update.

        Raises:
            FloatingPointError: A loss is not finite; nothing was changed.
        """
        store, redistributor = self._store, self._redistributor
        indices = store.sample_steps(self._batch_size, self._generator, redistributor.only_labeled)
        if len(self._discounts) == 1:
            batch = store.transitions(indices, store.relabel(redistributor, indices))
        else:
            batch = self._several(indices)
        return self._learner.update(batch.to(self._device))

    def _several(self, indices: Ints) -> Transitions:
        """Return transitions over some steps each, fewer where an episode ends before."""
        steps, there = self._store.following(indices, len(self._discounts))  # [N, n]
        rewards = torch.zeros(*steps.shape, self._store.agents)
        rewards[torch.from_numpy(there)] = self._store.relabel(self._redistributor, steps[there])
        last = there.sum(axis=1) - 1
        sums = (rewards * self._discounts[:, None]).sum(dim=1)  # [N, A]
        batch = self._store.transitions(indices, sums, until=steps[np.arange(len(steps)), last])
        left = self._discounts[torch.from_numpy(last)]  # of what comes after, but for one step's discount
        return replace(batch, terminated=1.0 - (1.0 - batch.terminated) * left)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the generator; learner, redistributor and store have their own."""
        return {"generator": self._generator.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._generator.bit_generator.state = state["generator"]
