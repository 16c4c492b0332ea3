"""Learning from random stored steps: the off-policy half of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from bagged_envs.baselines.api import Learner, Metrics, Redistributor
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
    ) -> None:
        """Take what is trained, and what it is trained from."""
        self._learner, self._redistributor, self._store = learner, redistributor, store
        self._generator, self._batch_size, self._device = generator, batch_size, device

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
        rewards = store.relabel(redistributor, indices)
        return self._learner.update(store.transitions(indices, rewards).to(self._device))

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the generator; learner, redistributor and store have their own."""
        return {"generator": self._generator.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._generator.bit_generator.state = state["generator"]
