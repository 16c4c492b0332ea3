"""Fitting a redistributor to recorded bags before anything is learned from its rewards."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bagged_envs.baselines.api import BagBatch, Metrics, Redistributor, Sampling, masked_sum
from bagged_envs.baselines.judging.fit import hidden
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.trajectory import Trajectory

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Imputation:
    """How a redistributor was fitted.

    Attributes:
        updates: How many updates it has: fewer than were made, where later ones were worse on held-out bags.
        made: How many were made.
        error: Its mean squared error on held-out labels, per step of their bags; None where none were held out.
    """

    updates: int
    made: int
    error: float | None = None


@dataclass(frozen=True)
class Agreement:
    """How predicted rewards agree with true ones.

    Attributes:
        steps: Of how many steps.
        r2: The share of the true rewards' variance that is explained: 1.0 at best, 0.0 for their mean, below for worse;
            nan where they are all alike.
        error: The mean absolute error.
    """

    steps: int
    r2: float
    error: float


def agreement(said: Sequence[Floats], true: Sequence[Floats], of: Sequence[Bools]) -> Agreement:
    """Compare rewards per step, `[T]` of each episode, in the steps that are meant.

    Args:
        said: What was predicted.
        true: What it should be.
        of: bool `[T]`, which steps count: such as those whose own reward was not shown.

    Raises:
        ValueError: No step counts.

    Example:
        >>> mask = np.array([True, True, True, False])
        >>> agreement([np.array([1.0, 2.0, 6.0, 0.0])], [np.array([1.0, 3.0, 5.0, 9.0])], [mask])
        Agreement(steps=3, r2=0.75, error=0.6666666666666666)
    """
    mask = np.concatenate(of)
    one, other = (np.concatenate(rewards)[mask] for rewards in (said, true))
    if not len(one):
        raise ValueError("of must have steps to compare, got none: all rewards were shown.")
    spread, left = float(np.square(other - other.mean()).sum()), float(np.square(one - other).sum())
    return Agreement(len(one), 1.0 - left / spread if spread else math.nan, float(np.abs(one - other).mean()))


class Held:
    """Labeled bags that are not fitted to, and how well their labels are predicted.

    Attributes:
        error: Of the best redistributor so far.
        updates: How many updates that one had.
    """

    def __init__(self, batches: Sequence[BagBatch], patience: int) -> None:
        """Take the bags.

        Args:
            batches: At least one bag, all of them labeled.
            patience: After how many measurements in a row without an improvement it is over.
        """
        self._batches, self._patience, self._worse = batches, patience, 0
        self._state: Mapping[str, Any] = {}
        self.error, self.updates = math.inf, 0

    def over(self, redistributor: Redistributor, updates: int) -> bool:
        """Measure the redistributor after so many updates, and return whether to stop."""
        error = label_error(redistributor, self._batches)
        self._worse = 0 if error < self.error else self._worse + 1
        if error < self.error:
            self.error, self.updates, self._state = error, updates, redistributor.state_dict()
        return self._worse >= self._patience

    def restore(self, redistributor: Redistributor) -> None:
        """Make the redistributor the best one again.

        Raises:
            FloatingPointError: It never predicted anything finite.
        """
        if not self._state:
            raise FloatingPointError(
                f"{redistributor.name} predicts no finite labels of held-out bags: look for observations or labels "
                "that are far too large."
            )
        redistributor.load_state_dict(self._state)


def label_error(redistributor: Redistributor, batches: Sequence[BagBatch]) -> float:
    """Return the mean squared error of the labels per step that a redistributor predicts for labeled bags.

    It does not see the labels: to it the bags are unlabeled. Predictions that are not finite are an error that is not.

    Args:
        redistributor: It.
        batches: Whole labeled bags.
    """
    total, count = 0.0, 0
    for batch in batches:
        said = masked_sum(redistributor.relabel(hidden(batch)).double(), batch.mask)  # [B]
        total += ((said - batch.label) / batch.length).square().sum().item()
        count += batch.num_bags
    return total / count


def impute(
    redistributor: Redistributor,
    store: EpisodeStore,
    generator: np.random.Generator,
    most: int,
    batch_steps: int,
    report: Callable[[Metrics], None],
    held: Held | None = None,
    check_every: int = 100,
) -> Imputation:
    """Fit a redistributor to the labeled bags of a store; its own schedule, for playing, does not count.

    Args:
        redistributor: It.
        store: Recorded episodes.
        generator: What bags are drawn by.
        most: How many updates at most.
        batch_steps: See `widened`.
        report: Called with the metrics of each update.
        held: Labeled bags that the store does not show as such, by which to stop; None for all updates.
        check_every: After how many updates these are looked at.

    Raises:
        FloatingPointError: A loss is not finite, or no held-out label was ever predicted by something finite.
        ValueError: The redistributor refuses the bags.
    """
    if redistributor.sampling is None:
        return Imputation(0, 0)
    sampling = widened(redistributor.sampling, batch_steps, store)
    for made in range(1, most + 1):
        report(redistributor.update(store.sample_bags(sampling, generator, only_labeled=True)))
        looked = made % check_every == 0 or made == most
        if held is not None and looked and held.over(redistributor, made):
            break
    if held is None:
        return Imputation(made, made)
    held.restore(redistributor)
    return Imputation(held.updates, made, held.error)


def widened(sampling: Sampling, batch_steps: int, store: EpisodeStore) -> Sampling:
    """Return a sampling with more bags where those that are asked for have fewer than so many steps on average.

    Online defaults are for long bags: of single transitions, sixteen make a poor batch.

    Args:
        sampling: What a redistributor wants.
        batch_steps: How many steps an update should see at least.
        store: Where they are drawn from.
    """
    length = max(1, len(store) // store.num_bags)
    shown = length if sampling.steps is None else min(sampling.steps, length)
    return replace(sampling, bags=max(sampling.bags, math.ceil(batch_steps / shown)))


def held_out(trajectories: Sequence[Trajectory], share: float, generator: np.random.Generator) -> list[Bools]:
    """Return which bags of each trajectory are held out, bool `[bags]`: a random share of the labeled ones.

    Args:
        trajectories: Recorded episodes.
        share: Of all labeled bags; at least one is held out, and at least one is not.
        generator: What they are drawn by.

    Raises:
        ValueError: There are fewer than two.
    """
    labeled = np.concatenate([one.labeled for one in trajectories])
    places = np.flatnonzero(labeled)
    if len(places) < 2:
        raise ValueError(f"held_out={share} needs two labeled bags, got {len(places)}: use held_out=0, or show more.")
    count = min(len(places) - 1, max(1, round(share * len(places))))
    chosen = np.zeros(len(labeled), dtype=np.bool_)
    chosen[generator.choice(places, count, replace=False)] = True
    return np.split(chosen, np.cumsum([one.num_bags for one in trajectories])[:-1])


def bags_of(store: EpisodeStore, chosen: Bools, history: int) -> list[BagBatch]:
    """Return some of the closed bags of a store that has never evicted.

    Args:
        store: It.
        chosen: bool `[bags]`, of all its bags in the order in which they came, which is how such a store numbers them.
        history: As in `Sampling`.
    """
    picked = ((batch, torch.from_numpy(chosen[numbers])) for numbers, batch in store.all_bags(history=history))
    return [batch.select(rows) for batch, rows in picked if bool(rows.any())]
