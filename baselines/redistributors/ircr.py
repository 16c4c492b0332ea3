"""IRCR: every step gets its bag's label per step, normalized to [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule
from bagged_envs.baselines.redistributors.fitting import Sizes, share_among_agents
from bagged_envs.baselines.settings import check_settings


@dataclass(frozen=True)
class IRCRConfig:
    """Settings of IRCR.

    Attributes:
        bags: How many bags one update looks at. Ours: the official code looks at all that it stores.
        every: Look every so many environment steps. Ours.
        smallest_range: Credits whose extremes are no further apart count as all alike, and get 0.0. Ours: the official
            code demands two different episodes before training starts.
    """

    bags: int = 64
    every: int = 1
    smallest_range: float = 1e-8

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One of them is out of range.
        """
        check_settings(self)


@dataclass(frozen=True)
class Credits:
    """What is known of the credits `label / length` of the labeled bags seen.

    Attributes:
        count: How many bags, repeats included.
        low: The smallest credit.
        high: The largest.
        mean: The mean.
    """

    count: int = 0
    low: float = math.inf
    high: float = -math.inf
    mean: float = 0.0

    def after(self, credit: Tensor) -> Credits:
        """Return what is known after some more bags, `[B]` with B of at least 1."""
        count = self.count + len(credit)
        mean = self.mean + (credit.mean().item() - self.mean) * len(credit) / count
        return Credits(count, min(self.low, credit.min().item()), max(self.high, credit.max().item()), mean)


def normalized_credit(credit: Tensor, low: float, high: float, smallest_range: float = 0.0) -> Tensor:
    """Return `(credit - low) / (high - low)`, within [0, 1]; 0.0 while the range is no larger than `smallest_range`.

    Example:
        >>> import torch
        >>> normalized_credit(torch.tensor([-1.0, 0.0, 3.0, 5.0]), low=-1.0, high=3.0).tolist()
        [0.0, 0.25, 1.0, 1.0]
    """
    if not high - low > smallest_range:
        return torch.zeros_like(credit)
    return ((credit - low) / (high - low)).clamp(0.0, 1.0)


class IRCR:
    """Pays each step the credit of its bag: the label per step, min-max normalized over the bags seen.

    No network; what a step is worth emerges in the critic, which sees it in many bags. Sums, scale and signs of the
    labels are not kept. The rewards of old steps drift as the extremes move, so they are recomputed.

    Several agents share the credit of their step equally. Our decisions, where the publication says nothing: a bag
    takes the place of the episode; unlabeled bags get the mean credit of the labeled ones; credits that no update has
    seen are clipped to [0, 1]; before any update all rewards are 0.0.

    Attributes:
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.
        credits: Extremes and mean of the credits seen.

    Source:
        Gangwani, Zhou and Peng, "Learning Guidance Rewards with Trajectory-space Smoothing", NeurIPS 2020
        (arXiv:2010.12718); official code tgangwani/GuidanceRewards. There the extremes are those of the episodes in
        the buffer, and half of each batch comes from the ten best episodes: that is sampling, which is not ours to do.
        Here they are those of all bags that updates have drawn.
    """

    name = "ircr"
    no_prediction = "pays the bag's own label per step, on a scale from 0 to 1"
    context: Context = "label"
    exact = False
    stored = False
    only_labeled = False

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: IRCRConfig = IRCRConfig(),
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
    ) -> None:
        """Start with no bag seen; `seed` and `device` change nothing."""
        self.config = config
        # One column of each bag is enough: an update looks at labels and lengths.
        self.sampling: Sampling | None = Sampling(bags=config.bags, steps=1)
        self.schedule = Schedule(every=config.every)
        self.credits = Credits()
        self._sizes = Sizes.of(observation_size, action_size, agents)

    def update(self, batch: BagBatch) -> Metrics:
        """Widen the extremes and move the mean by the labeled bags.

        Raises:
            ValueError: The batch has other sizes.
            FloatingPointError: A label is not finite; nothing was changed.
        """
        self._sizes.check(self.name, batch)
        batch = batch.select(batch.labeled)
        if not batch.num_bags:
            return {"labeled": 0.0}
        credit = batch.label.double() / batch.length  # [B]
        if not bool(credit.isfinite().all()):
            raise FloatingPointError(f"{self.name}: a label is not finite: nothing was changed.")
        self.credits = self.credits.after(credit)
        return {
            "labeled": float(batch.num_bags),
            "credit_low": self.credits.low,
            "credit_high": self.credits.high,
            "credit_mean": self.credits.mean,
        }

    def relabel(self, batch: BagBatch) -> Tensor:
        """Return the normalized credits, `[B, L, A]`, any steps of the bags.

        Raises:
            ValueError: The batch has other sizes.
        """
        self._sizes.check(self.name, batch)
        seen = self.credits
        credit = torch.where(batch.labeled, batch.label.double() / batch.length, seen.mean)
        reward = normalized_credit(credit, seen.low, seen.high, self.config.smallest_range)
        return share_among_agents(reward[:, None], batch.mask).float().detach()

    def state_dict(self) -> dict[str, Any]:
        """Return what is known of the credits."""
        return asdict(self.credits)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.credits = Credits(**state)
