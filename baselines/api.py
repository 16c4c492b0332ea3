"""What passes between environments, redistributors and learners.

    collect -> Trajectory -> EpisodeStore -> BagBatch -> Redistributor.update
                                  -> relabel -> Transitions -> Learner.update -> policy

Axes: B bags, L steps of a bag (padded), A agents (1 for one), D elements of a flattened observation, U of a flattened
action (one-hot where it is discrete), N transitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bagged_envs.baselines.settings import check_settings

Floats32 = npt.NDArray[np.float32]
Metrics = dict[str, float]
Context = Literal["step", "label", "bag"]


@dataclass(frozen=True)
class BagBatch:
    """Some bags, padded to the longest, or a sample of the steps of each.

    Attributes:
        observations: float32 `[B, L, A, D]`.
        actions: float32 `[B, L, A, U]`.
        next_observations: float32 `[B, L, A, D]`.
        mask: bool `[B, L, A]`: a step of the bag, of an agent that is there. Everything else is padding.
        label: float32 `[B]`: what was paid for the bag, 0.0 where that is not shown.
        labeled: bool `[B]`: whether it is.
        length: int64 `[B]`: how many steps the bag has, of which the columns may be a sample.
        context: bool `[B, L, A]`: what may be looked at: the mask, and with `Sampling.history` earlier steps of the
            episode, which stand in the columns before the bag's.
        paid: float32 `[B, L, A]`: what was paid in each step: the label in a bag's last step, else 0.0.
        dense: float32 `[B, L, A]`, the task's own rewards where they are known: for the Oracle and for scores, and
            for nothing else.
        factors: float32 `[B, L, A, F]`, what `StepFactors` says of each step, where a store keeps them.
    """

    observations: Tensor
    actions: Tensor
    next_observations: Tensor
    mask: Tensor
    label: Tensor
    labeled: Tensor
    length: Tensor
    context: Tensor
    paid: Tensor
    dense: Tensor | None = None
    factors: Tensor | None = None

    def __post_init__(self) -> None:
        """Check shapes and types.

        Raises:
            TypeError: A mask or `labeled` is no bool tensor.
            ValueError: A shape does not fit the others.
        """
        bags, steps, agents = self.mask.shape
        for name in ("observations", "actions", "next_observations", "factors"):
            value = getattr(self, name)
            if value is not None and (value.shape[:3] != (bags, steps, agents) or value.ndim != 4):
                raise ValueError(f"{name} must be [{bags}, {steps}, {agents}, _], got {tuple(value.shape)}.")
        for name in ("mask", "context", "labeled"):
            if getattr(self, name).dtype != torch.bool:
                raise TypeError(f"{name} must be a bool tensor, got {getattr(self, name).dtype}.")
        for name, shape in (
            ("label", (bags,)),
            ("labeled", (bags,)),
            ("length", (bags,)),
            ("context", self.mask.shape),
        ):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be {tuple(shape)}, got {tuple(getattr(self, name).shape)}.")
        for name in ("paid", "dense"):
            value = getattr(self, name)
            if value is not None and value.shape != self.mask.shape:
                raise ValueError(f"{name} must be {tuple(self.mask.shape)}, got {tuple(value.shape)}.")

    @property
    def num_bags(self) -> int:
        """B."""
        return int(self.mask.shape[0])

    def to(self, device: torch.device | str) -> BagBatch:
        """Return the batch on a device: itself, if it is there."""
        if self.mask.device == torch.device(device):
            return self
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return BagBatch(**moved)

    def select(self, rows: Tensor) -> BagBatch:
        """Return some of the bags, by index or by a bool mask `[B]`."""
        return BagBatch(**{name: value[rows] for name, value in vars(self).items() if isinstance(value, Tensor)})


@dataclass(frozen=True)
class Transitions:
    """Single steps for a learner; it knows nothing of bags.

    Attributes:
        observations: float32 `[N, D]`.
        actions: float32 `[N, U]`.
        rewards: float32 `[N]`, redistributed.
        next_observations: float32 `[N, D]`.
        terminated: float32 `[N]`: 1.0 where the task itself ended; truncation does not stop bootstrapping. What lies
            between is a share of later rewards that does not count: of several steps taken as one, 1 - discount^(n - 1)
            where the task goes on.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminated: Tensor

    def to(self, device: torch.device | str) -> Self:
        """Return the transitions on a device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **moved)


@dataclass(frozen=True)
class TeamEpisodes:
    """Whole episodes of a team for a learner, padded to the longest, L; it knows nothing of bags.

    Attributes:
        observations: float32 `[B, L + 1, A, D]`, with what was observed after the last step.
        actions: float32 `[B, L, A, U]`.
        allowed: bool `[B, L + 1, A, U]`: which actions could be chosen.
        present: bool `[B, L + 1, A]`: who is there in each step; with the last observation, whom the task did not end.
        rewards: float32 `[B, L]`, redistributed, of all agents together.
        terminated: float32 `[B, L]`: 1.0 where the task itself ended; truncation does not stop bootstrapping.
        learned: bool `[B, L]`: which steps are learned from: never padding.
    """

    observations: Tensor
    actions: Tensor
    allowed: Tensor
    present: Tensor
    rewards: Tensor
    terminated: Tensor
    learned: Tensor

    def __post_init__(self) -> None:
        """Check shapes, so that nothing is broadcast by mistake.

        Raises:
            ValueError: A shape does not fit the others.
        """
        (episodes, steps), agents, size = self.learned.shape, self.present.shape[2], self.actions.shape[3]
        for name, shape in (
            ("observations", (episodes, steps + 1, agents, self.observations.shape[3])),
            ("actions", (episodes, steps, agents, size)),
            ("allowed", (episodes, steps + 1, agents, size)),
            ("present", (episodes, steps + 1, agents)),
            ("rewards", (episodes, steps)),
            ("terminated", (episodes, steps)),
        ):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be {list(shape)}, got {list(getattr(self, name).shape)}.")

    def to(self, device: torch.device | str) -> TeamEpisodes:
        """Return the episodes on a device."""
        return TeamEpisodes(**{name: value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Sampling:
    """Which bags a redistributor wants for one update.

    Attributes:
        bags: How many, B.
        steps: How many random steps of each, without replacement where the bag is long enough and with it where it is
            not; None for whole bags.
        weight: Every bag alike ("bag"), or in proportion to its length ("length").
        history: How many earlier steps of the episode to put before each bag, for `BagBatch.context`.
        enough: Fewer bags, but at least one, where so many would have more steps than this on average; None for no
            bound.
    """

    bags: int
    steps: int | None = None
    weight: Literal["bag", "length"] = "bag"
    history: int = 0
    enough: int | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            TypeError: One is no int.
            ValueError: One is out of range, or there is no such weight.
        """
        check_settings(self, Sampling)


@dataclass(frozen=True)
class Schedule:
    """When a redistributor is updated, in environment steps.

    Attributes:
        every: Every so many steps, ...
        updates: ... so many updates.
        warm_up: Not before so many steps.
        first: How many updates the first time; None for `updates`.
        refresh: How many stored steps are relabeled after a burst, where rewards are stored; None for all. See
            `EpisodeStore.relabel_oldest`.
    """

    every: int = 1
    updates: int = 1
    warm_up: int = 0
    first: int | None = None
    refresh: int | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            TypeError: One is no int.
            ValueError: One is out of range.
        """
        check_settings(self, Schedule)


class StepFactors(Protocol):
    """Says a few numbers of a step, always the same of the same step: computed once, when the step is stored.

    A redistributor that reads them has one as its attribute `factors`, and computes them itself where a batch comes
    without.

    Attributes:
        size: F, how many.
    """

    size: int

    def __call__(self, observations: Floats32, actions: Floats32, next_observations: Floats32) -> Floats32:
        """Return the factors of steps of single agents, float32 `[N, F]`.

        Args:
            observations: float32 `[N, D]`.
            actions: float32 `[N, U]`.
            next_observations: float32 `[N, D]`.
        """


class Redistributor(Protocol):
    """Turns bags and their labels into a reward per step and agent.

    Attributes:
        name: As in method names, such as "rrd".
        context: What `relabel` must see of a step: the "step" alone, its bag's "label" and length as well, which are
            known once the bag is closed, or all steps of the "bag".
        exact: Whether the relabeled rewards of a labeled bag add up to its label, within 1e-6 of it. Where each of them
            is more than 16 times the label they cancel, and float32 cannot: within 6e-8 of the smallest one.
        stored: Whether rewards are stored with the bags by the training loop when a burst of updates ends (True), or
            recomputed whenever steps are sampled (False).
        only_labeled: Whether learners are to see steps of labeled bags only.
        sampling: What `update` wants; None where there is nothing to learn.
        schedule: When `update` is called.

    A class may say more of itself, which its subclasses inherit, in attributes called as the functions of
    `bagged_envs.baselines.promises` that tell it.
    """

    name: str
    context: Context
    exact: bool
    stored: bool
    only_labeled: bool
    sampling: Sampling | None
    schedule: Schedule

    def update(self, batch: BagBatch) -> Metrics:
        """Learn from some closed bags; unlabeled ones move nothing.

        Returns:
            Losses by name, and how many bags were "labeled": where that is 0.0, nothing was changed.

        Raises:
            ValueError: The batch has other sizes than the redistributor.
            FloatingPointError: The loss is not finite; nothing was changed.
        """

    def relabel(self, batch: BagBatch) -> Tensor:
        """Return rewards, float32 `[B, L, A]`, detached, 0.0 where the mask is False.

        The canonical total over a labeled bag is its label. Unless the context is "bag", a bag may have any steps in
        any order.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to go on bit for bit."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""


class Learner(Protocol):
    """Improves a policy from transitions."""

    def act(self, observations: Tensor, explore: bool) -> Tensor:
        """Return actions `[N, U]` in the environment's own units for observations `[N, D]`: a sample, or the mode."""

    def update(self, batch: Transitions) -> Metrics:
        """Make one update; returns losses by name."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to go on bit for bit."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""


def masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Return the sums over steps and agents of `[B, L, A]` where the mask is True: `[B]`."""
    return torch.where(mask, values, torch.zeros_like(values)).sum(dim=(1, 2))


def project(rewards: Tensor, batch: BagBatch) -> Tensor:
    """Return rewards that add up to the label of each labeled whole bag, moved by the same amount in each step.

    The nearest such rewards in the least-squares sense; safe for labels of any sign. Unlabeled bags stay as they are.

    Args:
        rewards: `[B, L, A]`.
        batch: The bags, whole.

    Raises:
        ValueError: A bag is only a sample of its steps.

    Example:
        >>> import torch
        >>> ones = torch.ones(1, 2, 1)
        >>> batch = BagBatch(*[ones[..., None]] * 3, ones.bool(), torch.tensor([5.0]), torch.tensor([True]),
        ...     torch.tensor([2]), ones.bool(), ones)
        >>> project(torch.tensor([[[1.0], [2.0]]]), batch).flatten().tolist()
        [2.0, 3.0]
    """
    present = batch.mask.any(dim=2).sum(dim=1)
    if not torch.equal(present, batch.length):
        raise ValueError("project() needs whole bags, got samples of their steps.")
    rewards = torch.where(batch.mask, rewards, torch.zeros_like(rewards)).double()
    counts = batch.mask.sum(dim=(1, 2)).clamp(min=1)
    gap = torch.where(batch.labeled, batch.label.double() - rewards.sum(dim=(1, 2)), torch.zeros_like(counts).double())
    return rounded(rewards + (gap / counts)[:, None, None], batch)


def rounded(rewards: Tensor, batch: BagBatch) -> Tensor:
    """Return rewards that add up to the label of each labeled bag as float32, as far as they can still do so then.

    What rounding left is put on the smallest reward of the bag, which has the finest last digit.

    Args:
        rewards: float64 `[B, L, A]`; those outside the mask become 0.0.
        batch: The bags.
    """
    paid = torch.where(batch.mask, rewards, torch.zeros_like(rewards)).float().double().flatten(1)  # [B, L A]
    mask = batch.mask.flatten(1)
    left = torch.where(batch.labeled & mask.any(dim=1), batch.label.double() - paid.sum(dim=1), 0.0)  # [B]
    smallest = paid.abs().masked_fill(~mask, torch.inf).argmin(dim=1, keepdim=True)  # [B, 1]
    return paid.scatter_add(1, smallest, left[:, None]).view(batch.mask.shape).float()
