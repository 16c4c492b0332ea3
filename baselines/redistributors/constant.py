"""The mean label per step for every step: the control that tells how much rewards matter at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule
from bagged_envs.baselines.redistributors.fitting import LabelScale, Sizes, share_among_agents
from bagged_envs.baselines.settings import check_settings


@dataclass(frozen=True)
class ConstantConfig:
    """Settings of the constant.

    Attributes:
        bags: How many bags one update looks at.
        every: Look every so many environment steps.
    """

    bags: int = 64
    every: int = 1

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One of them is out of range.
        """
        check_settings(self)


class Constant:
    """Pays every step of every bag the same: the mean label per step of the labeled bags that it has seen.

    What a learner does with it, it does without knowing one step from another: it clones, or tries to go on for as
    long, or as short, as it can. Before any update all rewards are 0.0.

    Attributes:
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.
        scale: The mean and the spread of the labels per step so far.

    Source:
        No method: the control of methods that guess the rewards of unlabeled steps.
    """

    name = "constant"
    no_prediction = "pays every step the same, which is what gains are measured against"
    context: Context = "step"
    exact = False
    stored = False
    only_labeled = False

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: ConstantConfig = ConstantConfig(),
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
    ) -> None:
        """Start with no bag seen; `seed` and `device` change nothing."""
        self.config = config
        # One column of each bag is enough: an update looks at labels and lengths.
        self.sampling: Sampling | None = Sampling(bags=config.bags, steps=1)
        self.schedule = Schedule(every=config.every)
        self.scale = LabelScale()
        self._sizes = Sizes.of(observation_size, action_size, agents)

    def update(self, batch: BagBatch) -> Metrics:
        """Move the mean by the labeled bags; the loss is the squared error of the new one on them, per step.

        Raises:
            ValueError: The batch has other sizes.
            FloatingPointError: A label is not finite; nothing was changed.
        """
        self._sizes.check(self.name, batch)
        batch = batch.select(batch.labeled)
        if not batch.num_bags:
            return {"labeled": 0.0}
        if not bool(batch.label.isfinite().all()):
            raise FloatingPointError(f"{self.name}: a label is not finite: nothing was changed.")
        self.scale = self.scale.after(batch.label, batch.length)
        error = batch.label.double() / batch.length - self.scale.mean  # [B]
        return {"labeled": float(batch.num_bags), "loss": error.square().mean().item(), "mean": self.scale.mean}

    def relabel(self, batch: BagBatch) -> Tensor:
        """Return the mean, `[B, L, A]`, in equal shares of the agents that are there.

        Raises:
            ValueError: The batch has other sizes.
        """
        self._sizes.check(self.name, batch)
        mean = torch.full((batch.num_bags, 1), self.scale.mean, dtype=torch.float64, device=batch.mask.device)
        return share_among_agents(mean, batch.mask).float()

    def state_dict(self) -> dict[str, Any]:
        """Return what is known of the labels."""
        return asdict(self.scale)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.scale = LabelScale(**state)
