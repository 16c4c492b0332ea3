"""The task's own rewards: the control arm that knows what redistribution has to guess."""

from __future__ import annotations

import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch
from bagged_envs.baselines.redistributors.identity import Identity


class Oracle(Identity):
    """Pays the dense rewards, in labeled and unlabeled bags alike.

    As with `Identity` there is nothing to learn. They add up to the label where the schedule pays sums, and to
    something else where it pays a mean, a maximum, or success: not exact.

    Attributes:
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.

    Source:
        No method: the control of every comparison.
    """

    name = "oracle"
    no_prediction = "is told the dense rewards"
    pays_dense = True
    exact = False

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
