"""Uniform redistribution: every step of a bag gets the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule
from bagged_envs.baselines.redistributors.fitting import NO_SETTINGS, NoSettings, Sizes, share_among_agents


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


class Uniform:
    """Shares a bag's label equally over its steps, and a step's part equally over the agents that are there.

    Exact. There is nothing to learn: unlabeled bags get 0.0, as they were paid. A batch may hold samples of steps: the
    label and the length of the whole bag are known.

    It is what randomized return decomposition tends to when it smooths most (see `rrd`).

    Attributes:
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.

    Source:
        The reference that published comparisons call uniform or average redistribution; no paper of its own.
    """

    name = "uniform"
    context: Context = "label"
    exact = True
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
        """Return equal shares of the labels, `[B, L, A]`.

        Raises:
            ValueError: The batch has other sizes.
        """
        self._sizes.check(self.name, batch)
        return uniform_rewards(batch.label, batch.length, batch.labeled, batch.mask).detach()

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: there is no state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load nothing."""
