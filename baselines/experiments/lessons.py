"""The lessons buffer of RUDDER's demonstration: a ring of the last episodes, as whole bags of one agent."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch

Array = npt.NDArray[np.float32]


class Lessons:
    """Episodes of equal length, the oldest of which give way.

    Attributes:
        added: How many episodes were ever added.
    """

    def __init__(self, size: int, steps: int, observation_size: int, action_size: int) -> None:
        """Begin empty.

        Args:
            size: How many episodes it holds.
            steps: T of each.
            observation_size: D.
            action_size: U.
        """
        self._observations = torch.zeros(size, steps + 1, 1, observation_size)
        self._actions = torch.zeros(size, steps, 1, action_size)
        self._labels, self._marks = torch.zeros(size), np.zeros(size)
        self._steps, self.size, self.added = steps, size, 0

    def add(self, observations: Array, actions: Array, label: float, mark: float | None = None) -> int:
        """Add an episode and return its place.

        Args:
            observations: `[T + 1, D]`.
            actions: `[T, U]`.
            label: Its return.
            mark: What `differ` looks at; None for the label.
        """
        place = self.added % self.size
        self._observations[place, :, 0] = torch.from_numpy(observations)
        self._actions[place, :, 0] = torch.from_numpy(actions)
        self._labels[place], self._marks[place] = label, label if mark is None else mark
        self.added += 1
        return place

    def differ(self) -> bool:
        """Return whether not all marks are the same: of equal returns there is nothing to learn."""
        marks = self._marks[: self.added]
        return bool((marks != marks[0]).any()) if len(marks) else False

    def bags(self, places: Tensor) -> BagBatch:
        """Return some of the episodes."""
        mask = torch.ones(len(places), self._steps, 1, dtype=torch.bool)
        observations, labels = self._observations[places], self._labels[places]
        paid = torch.zeros(mask.shape)
        paid[:, -1, 0] = labels
        return BagBatch(
            observations=observations[:, :-1],
            actions=self._actions[places],
            next_observations=observations[:, 1:],
            mask=mask,
            label=labels,
            labeled=torch.ones(len(places), dtype=torch.bool),
            length=torch.full((len(places),), self._steps),
            context=mask,
            paid=paid,
        )

    def sample(self, generator: np.random.Generator, bags: int) -> BagBatch:
        """Return episodes drawn uniformly, with replacement."""
        return self.bags(torch.from_numpy(generator.integers(min(self.added, self.size), size=bags)))
