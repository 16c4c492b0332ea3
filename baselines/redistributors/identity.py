"""What was paid, unchanged: the control arms that redistribute nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule
from bagged_envs.baselines.redistributors.fitting import NO_SETTINGS, NoSettings, Sizes


class Identity:
    """Leaves the rewards as they were paid: a bag's label in its last step, 0.0 elsewhere and in unlabeled bags.

    What a learner gets without redistribution. Rewards of several agents stay as they were paid to each.

    Attributes:
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.

    Source:
        No method: the control of every comparison.
    """

    name = "identity"
    no_prediction = "pays the label as it came"
    context: Context = "step"
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
        """Return what was paid, `[B, L, A]`.

        Raises:
            ValueError: The batch has other sizes.
        """
        self._sizes.check(self.name, batch)
        return torch.where(batch.mask & batch.labeled[:, None, None], batch.paid, 0.0).detach()

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: there is no state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load nothing."""


class LabelsOnly(Identity):
    """Leaves the rewards as they were paid, and lets learners see steps of labeled bags only.

    The control that tells what the unlabeled steps are worth to a method.
    """

    name = "labels_only"
    only_labeled = True
