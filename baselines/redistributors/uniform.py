"""Uniform redistribution: every step of a bag gets the same."""

from __future__ import annotations

import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch, Context
from bagged_envs.baselines.redistributors.fitting import share_among_agents
from bagged_envs.baselines.redistributors.identity import Identity


def uniform_rewards(label: Tensor, length: Tensor, labeled: Tensor, mask: Tensor) -> Tensor:
    """Return `label / length` for every step, shared equally by the agents that are there: float32 `[B, L, A]`.

    Divided in float64, so that float32 rounds once. 0.0 in unlabeled bags and in padding.

    Args:
        label: `[B]`.
        length: int64 `[B]`, of the whole bag.
        labeled: bool `[B]`.
        mask: bool `[B, L, A]`.

    Example:
        >>> import torch
        >>> mask = torch.tensor([[[True], [True], [False]]])
        >>> uniform_rewards(torch.tensor([3.0]), torch.tensor([2]), torch.tensor([True]), mask).flatten().tolist()
        [1.5, 1.5, 0.0]
    """
    per_step = torch.where(labeled, label.double() / length, 0.0)  # [B]
    return share_among_agents(per_step[:, None], mask).float()


class Uniform(Identity):
    """Shares a bag's label equally over its steps, and a step's part equally over the agents that are there.

    Exact. As with `Identity` there is nothing to learn: unlabeled bags get 0.0, as they were paid. A batch may hold
    samples of steps: the label and the length of the whole bag are known.

    It is what randomized return decomposition tends to when it smooths most (see `rrd`).

    Attributes:
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.

    Source:
        The reference that published comparisons call uniform or average redistribution; no paper of its own.
    """

    name = "uniform"
    no_prediction = "shares the label out; the constant that it stands for is what gains are measured against"
    context: Context = "label"

    def relabel(self, batch: BagBatch) -> Tensor:
        """Return equal shares of the labels, `[B, L, A]`.

        Raises:
            ValueError: The batch has other sizes.
        """
        self._sizes.check(self.name, batch)
        return uniform_rewards(batch.label, batch.length, batch.labeled, batch.mask).detach()
