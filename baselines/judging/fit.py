"""A redistributor fitted to recorded bags and asked for the rewards of others: no learner, no environment."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space

from bagged_envs.baselines.api import BagBatch, Redistributor, Schedule, masked_sum
from bagged_envs.baselines.latent_rewards.cage.errors import CageError
from bagged_envs.baselines.promises import no_prediction, relabeled
from bagged_envs.baselines.redistributors import make_redistributor
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.trajectory import Trajectory
from bagged_envs.wrappers.arguments import positive_int

Floats = npt.NDArray[np.float64]
REFUSALS = (ValueError, FloatingPointError, CageError)  # all else is a mistake of ours, and must be seen
HELD_OUT = 0.3  # of all episodes
MOST_CHOICES = 100  # whole numbers that span more are quantities: as choices each value would be a feature of its own


@dataclass(frozen=True)
class Fit:
    """A fitted redistributor.

    Attributes:
        redistributor: It.
        updates: How many were made.
        seconds: How long they took, drawing bags included.
    """

    redistributor: Redistributor
    updates: int
    seconds: float

    @property
    def seconds_per_update(self) -> float:
        """The mean; nan where there was nothing to learn."""
        return self.seconds / self.updates if self.updates else float("nan")


@dataclass(frozen=True)
class Spaces:
    """What episodes were recorded with.

    Attributes:
        observations: The observation space.
        actions: The action space.
    """

    observations: Space[Any]
    actions: Space[Any]

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory]) -> Spaces:
        """Return spaces that hold what recorded arrays hold.

        Signed integers whose values in each column span at most `MOST_CHOICES` are choices, all else are numbers.
        """
        seen = np.concatenate([one.observations for one in trajectories])
        acted = np.concatenate([one.actions for one in trajectories])
        return cls(_space_of(seen), _space_of(acted))

    def told(self) -> str:
        """Return in words what observations and actions are taken for."""
        return f"Observations are taken for {_taken_for(self.observations)}, actions for {_taken_for(self.actions)}."

    def store(self, trajectories: Sequence[Trajectory]) -> EpisodeStore:
        """Return a store of trajectories, several agents as one joint controller."""
        steps = sum(len(one) + 1 for one in trajectories)
        store = EpisodeStore.for_spaces(self.observations, self.actions, capacity=max(1, steps))
        for trajectory in trajectories:
            store.add(trajectory)
        return store


def split(trajectories: Sequence[Trajectory], share: float, seed: int) -> tuple[list[Trajectory], list[Trajectory]]:
    """Return episodes to fit and episodes to hold out, at random: no bag has a neighbor on the other side.

    Args:
        trajectories: At least two.
        share: Of the episodes, to be held out; at least one episode is on each side.
        seed: Of the draw.

    Raises:
        ValueError: There are fewer than two, or the share is not between 0 and 1.
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"share must be between 0 and 1, got {share}.")
    if len(trajectories) < 2:
        raise ValueError(f"trajectories must be at least two to hold one out, got {len(trajectories)}: record more.")
    order = np.random.default_rng(seed).permutation(len(trajectories)).tolist()
    held = min(len(order) - 1, max(1, round(share * len(order))))
    return [trajectories[i] for i in sorted(order[held:])], [trajectories[i] for i in sorted(order[:held])]


def updates_of(schedule: Schedule, steps: int) -> int:
    """Return how many updates a method's own schedule makes in so many environment steps after its warm-up.

    So every method gets the training that it would have had online: one that updates in each step as many updates as
    there are steps, one that has a burst of 40 every 1,000 steps 40 for 1,000.

    One whole burst is made at least, however few the steps: without any there would be nothing to judge. A method that
    updates in bursts then gets more than its schedule gives it, and more than one that updates in each step.

    Example:
        >>> schedule = Schedule(every=1000, updates=40, first=400)
        >>> updates_of(schedule, 3000), updates_of(schedule, 20)
        (480, 400)
    """
    bursts = max(1, positive_int("steps", steps) // schedule.every)
    first = schedule.updates if schedule.first is None else schedule.first
    return first + (bursts - 1) * schedule.updates


def fit(
    name: str,
    store: EpisodeStore,
    steps: int,
    seed: int = 0,
    after_update: Callable[[], None] = lambda: None,
    change: Callable[[Redistributor], None] = lambda made: None,
    **settings: Any,
) -> Fit:
    """Make a redistributor and fit it to the labeled bags of a store, drawn as it wants them.

    Args:
        name: One of `REDISTRIBUTORS`.
        store: Recorded episodes; it keeps the factors of a redistributor that reads some.
        steps: Environment steps whose worth of updates is made, by the method's own schedule (`updates_of`).
        seed: Of weights and of what is drawn.
        after_update: Called after each update, for progress.
        change: Called with the redistributor before the first one, for controls that are no methods.
        **settings: Fields of the redistributor's configuration.

    Raises:
        ValueError: There is no such redistributor, it refuses the bags, or no bag is labeled.
        FloatingPointError: A loss was not finite.
    """
    if not store.num_labeled_bags:
        raise ValueError("the store must have labeled bags to fit to, got none: show more labels.")
    redistributor = make_redistributor(name, store.observation_size, store.action_size, seed, **settings)
    change(redistributor)
    store.keep(getattr(redistributor, "factors", None))
    if redistributor.sampling is None:
        return Fit(redistributor, 0, 0.0)
    generator, updates = np.random.default_rng(seed), updates_of(redistributor.schedule, steps)
    begin = time.perf_counter()
    for _ in range(updates):
        redistributor.update(store.sample_bags(redistributor.sampling, generator, only_labeled=True))
        after_update()
    return Fit(redistributor, updates, time.perf_counter() - begin)


def rewards_of(redistributor: Redistributor, trajectories: Sequence[Trajectory], spaces: Spaces) -> list[Floats]:
    """Return the redistributed rewards of each step of closed bags, as a learner would see them: `[T]` each.

    Raises:
        ValueError: The redistributor refuses the bags, or an episode's last bag is open.
    """
    if not all(one.closed for one in trajectories):
        raise ValueError("trajectories must be whole episodes, got one with an open bag: leave it out.")
    store = spaces.store(trajectories)
    store.relabel_all(redistributor)
    lengths = np.array([len(one) for one in trajectories])
    # An episode of T steps takes T + 1 rows of a store that has never evicted.
    starts = np.cumsum(lengths + 1) - (lengths + 1)
    places = [np.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)]
    return [store.stored_rewards(place).sum(dim=1).double().numpy() for place in places]


def predictions(redistributor: Redistributor, store: EpisodeStore) -> tuple[Floats, Floats, Floats]:
    """Return what a redistributor says the labels of bags are, from their steps alone; the labels; the bags' lengths.

    The label is hidden as that of an unlabeled bag is: what the rewards then add up to is the prediction. A method that
    projects its rewards onto labels does not see one to project onto.

    Returns:
        For the labeled bags in the order in which the store got them, `[bags]` each.

    Raises:
        ValueError: The method's rewards are made of the label (`promises.no_prediction`), or there is no labeled bag.
    """
    reason = no_prediction(redistributor)
    if reason is not None:
        raise ValueError(f"{redistributor.name} predicts no label: it {reason}.")
    if not store.num_labeled_bags:
        raise ValueError("the store must have labeled bags to predict, got none: show more labels.")
    history = 0 if redistributor.sampling is None else redistributor.sampling.history
    numbers, said, labels, lengths = [], [], [], []
    for bags, batch in store.all_bags(history=history):
        labeled = batch.select(batch.labeled)
        if labeled.num_bags:
            numbers.append(bags[batch.labeled.numpy()])
            said.append(masked_sum(relabeled(redistributor, hidden(labeled)).double(), labeled.mask).numpy())
            labels.append(labeled.label.double().numpy())
            lengths.append(labeled.length.double().numpy())
    order = np.argsort(np.concatenate(numbers))
    return np.concatenate(said)[order], np.concatenate(labels)[order], np.concatenate(lengths)[order]


def hidden(batch: BagBatch) -> BagBatch:
    """Return bags that look unlabeled: nothing tells what was paid, or what was earned."""
    nothing = {"label": batch.label.new_zeros(batch.label.shape), "paid": batch.paid.new_zeros(batch.paid.shape)}
    return replace(batch, **nothing, labeled=batch.labeled.new_zeros(batch.labeled.shape), dense=None)


def _space_of(values: npt.NDArray[Any]) -> Space[Any]:
    if values.dtype.kind == "i" and values.ndim <= 2:
        low, high = (np.atleast_1d(ends).tolist() for ends in (values.min(axis=0), values.max(axis=0)))
        counts = [last - first + 1 for first, last in zip(low, high, strict=True)]
        if max(counts) <= MOST_CHOICES:
            return Discrete(counts[0], start=low[0]) if values.ndim == 1 else MultiDiscrete(counts, start=low)
    return Box(-np.inf, np.inf, values.shape[1:], np.float32)


def _taken_for(space: Space[Any]) -> str:
    if isinstance(space, Discrete):
        return f"one choice of {space.n}"
    if isinstance(space, MultiDiscrete):
        return f"choices of {' x '.join(map(str, space.nvec))}"
    return f"numbers of shape {space.shape}"
