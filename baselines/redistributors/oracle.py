"""The task's own rewards: the control arm that knows what redistribution has to guess."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule
from bagged_envs.baselines.redistributors.fitting import NO_SETTINGS, NoSettings, Sizes


class Oracle:
    """Pays the dense rewards, in labeled and unlabeled bags alike.

    They add up to the label where the schedule pays sums, and to something else where it pays a mean, a maximum, or
    success: not exact.

    Attributes:
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.

    Source:
        No method: the control of every comparison.
    """

    name = "oracle"
    context: Context = "step"
    exact = False
    stored = False
    only_labeled = False

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: NoSettings = NO_SETTINGS,
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
    ) -> None:
        """Check the sizes; the other arguments change nothing."""
        self.sampling: Sampling | None = None
        self.schedule = Schedule()
        self._sizes = Sizes.of(observation_size, action_size, agents)

    def update(self, batch: BagBatch) -> Metrics:
        """Learn nothing.

        Raises:
            ValueError: The batch has other sizes.
        """
        self._sizes.check(self.name, batch)
        return {"labeled": float(batch.labeled.sum())}

    def relabel(self, batch: BagBatch) -> Tensor:
        """Return the dense rewards, `[B, L, A]`.

        Raises:
            ValueError: The batch has other sizes, or no dense rewards.
        """
        self._sizes.check(self.name, batch)
        if batch.dense is None:
            raise ValueError(
                "oracle pays the dense rewards, and this batch has none: make the environment with expose_reward=True "
                "and store what it exposes, or take another redistributor."
            )
        return torch.where(batch.mask, batch.dense, 0.0).float().detach()

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: there is no state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load nothing."""
