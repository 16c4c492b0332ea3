"""Observations as offline learners see them: without their mean, and divided by their deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bagged_envs.baselines.api import StepFactors

Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]
ADDED = 1e-3  # to the deviation, as in the code of TD3+BC: so that what hardly moves is not blown up


@dataclass(frozen=True, eq=False)  # arrays have no one equality
class Standardization:
    """Takes features of observations to about zero mean and unit spread.

    Attributes:
        mean: float64 `[D]`.
        deviation: float64 `[D]`, above 0.

    Example:
        >>> seen = Standardization.of([np.array([[0.0], [4.0], [9.0]], np.float32)])  # the last one is no step's
        >>> seen.mean.tolist(), seen.deviation.tolist(), seen(np.array([[2.0]], np.float32)).tolist()
        ([2.0], [2.001], [[0.0]])
    """

    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, observations: Sequence[Floats32]) -> Standardization:
        """Return that of recorded episodes: over all steps, labeled or not; the deviation is 1e-3 more.

        Args:
            observations: Features `[T + 1, D]` of each; the last of an episode is no step's, and not counted.
        """
        steps = sum(len(one) - 1 for one in observations)
        mean = sum(one[:-1].sum(axis=0, dtype=np.float64) for one in observations) / steps
        squares = sum(np.square(one[:-1] - mean).sum(axis=0) for one in observations)
        return cls(np.asarray(mean), np.asarray(np.sqrt(squares / steps) + ADDED))

    @classmethod
    def none(cls, size: int) -> Standardization:
        """Return the one that changes nothing."""
        return cls(np.zeros(size), np.ones(size))

    def __call__(self, features: Floats32) -> Floats32:
        """Return standardized features, float32 `[..., D]`."""
        return ((features - self.mean) / self.deviation).astype(np.float32)

    def undone(self, features: Floats32) -> Floats32:
        """Return the features that were standardized, as far as float32 tells."""
        return (features * self.deviation + self.mean).astype(np.float32)


class TaskFactors:
    """Factors of steps whose observations are standardized: programs are written for those of the task.

    Attributes:
        size: F, how many.
    """

    def __init__(self, factors: StepFactors, standardization: Standardization) -> None:
        """Take what says the factors, and what is to be undone before."""
        self.size = factors.size
        self._factors, self._undone = factors, standardization.undone

    def __call__(self, observations: Floats32, actions: Floats32, next_observations: Floats32) -> Floats32:
        """Return the factors of steps of single agents, float32 `[N, F]`, as `StepFactors` has it."""
        return self._factors(self._undone(observations), actions, self._undone(next_observations))
