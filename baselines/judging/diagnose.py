"""Whether redistributors can be trusted on data whose true rewards nobody knows.

A redistributor claims to know what steps are worth. Then it must be able to say what a bag that it has never seen was
paid, from the steps alone: the held-out bag error. What it is measured against is the constant reward that Uniform
stands for: the mean label per step, times the bag's length. That error is necessary, not sufficient: the sum over a bag
does not tell where in the bag a reward belongs.

Uniform, Identity and their like pay labels that they are shown, and so add up to them without knowing anything. They
predict no label, have no held-out error, and cannot be judged this way (`promises.no_prediction`). Methods that correct
their rewards by the label are judged by what they say before the correction.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from bagged_envs.baselines.judging.fit import REFUSALS, Spaces, fit, predictions, rewards_of
from bagged_envs.baselines.judging.scores import pearson
from bagged_envs.baselines.promises import no_prediction
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.trajectory import Trajectory

Floats = npt.NDArray[np.float64]
ROUNDING = 1e-12  # of a square: a constant whose errors are no more is right, but for float32
SURE = 0.95  # one-sided confidence that a method is better than the constant
STEADY = 0.5  # least correlation between the rewards of two fits
DRAWS = (
    1_000  # of a bootstrap sample, until one has a label: with one labeled episode of n, each fails in 37 % of draws
)
MEMORIZED = 4.0  # a squared error on unseen bags that is so many times that on the fitted ones


@dataclass(frozen=True)
class Diagnosis:
    """What held-out bags say of one method.

    Attributes:
        method: Its name.
        bag_error: Mean absolute error of held-out labels; nan where it predicts none, as all that follow.
        gain: 1 - (sum of squared errors) / (the same of the constant reward): 1 is perfect, 0 no better.
        margin: By how much the mean squared error per episode is below that of the constant, in standard errors.
        fitted_gain: The gain on the bags it was fitted to.
        stability: The mean correlation of the held-out rewards of fits to bootstrap samples of episodes.
        warnings: In plain words.
        rewards: Of each step of the held-out episodes; empty where it refused.
        refused: Why it could not be fitted, or "".
    """

    method: str
    bag_error: float = math.nan
    gain: float = math.nan
    margin: float = math.nan
    fitted_gain: float = math.nan
    stability: float = math.nan
    warnings: tuple[str, ...] = ()
    rewards: tuple[Floats, ...] = ()
    refused: str = ""


def diagnose(
    method: str,
    fitted: Sequence[Trajectory],
    held_out: Sequence[Trajectory],
    spaces: Spaces,
    steps: int,
    bootstraps: int = 3,
    seed: int = 0,
    after_update: Callable[[], None] = lambda: None,
    **settings: Any,
) -> Diagnosis:
    """Fit a method to some episodes and ask it for the labels of others.

    Args:
        method: A name of `REDISTRIBUTORS`.
        fitted: Episodes to fit.
        held_out: Episodes to judge by.
        spaces: Of both.
        steps: Environment steps whose worth of updates is made, in each fit.
        bootstraps: How many more fits the stability is taken of, each to as many episodes drawn with replacement; with
            fewer than two it is nan.
        seed: Of weights and of what is drawn.
        after_update: As for `fit`.
        **settings: Of the redistributor.

    Raises:
        ValueError: `fitted` or `held_out` has no labeled bag, or `bootstraps` is less than 0.
    """
    if bootstraps < 0:
        raise ValueError(f"bootstraps must be an int of at least 0, got {bootstraps!r}.")
    _check_labels("fitted", fitted)
    _check_labels("held_out", held_out)
    try:
        own = fit(method, spaces.store(fitted), steps, seed, after_update, **settings).redistributor
        rewards = tuple(rewards_of(own, held_out, spaces))
        reason = no_prediction(own)
        if reason is not None:
            return Diagnosis(method, warnings=(f"cannot be judged without the truth: it {reason}",), rewards=rewards)
        seen, unseen = spaces.store(fitted), spaces.store(held_out)
        rate = mean_label_per_step(seen)
        said, labels, lengths = predictions(own, unseen)
        gain = gains(said, labels, rate * lengths)
        fitted_said, fitted_labels, fitted_lengths = predictions(own, seen)
        fitted_gain = gains(fitted_said, fitted_labels, rate * fitted_lengths)
    except REFUSALS as error:
        return Diagnosis(method, refused=str(error))
    steady = math.nan
    failed: tuple[str, ...] = ()
    try:
        seeds = range(seed + 1, seed + 1 + bootstraps)
        refits = [_refit(method, fitted, held_out, spaces, steps, one, after_update, settings) for one in seeds]
        steady = stability(refits)
    except REFUSALS as error:
        failed = (f"could not be fitted to resampled episodes: {error}",)
    episodes = episodes_of(held_out)
    margin = margin_of(said, labels, rate * lengths, episodes)
    ratio = float(((said - labels) ** 2).mean() / max(((fitted_said - fitted_labels) ** 2).mean(), 1e-300))
    told = (*warnings(gain, margin, ratio, steady, len(np.unique(episodes))), *failed)
    bag_error = float(np.abs(said - labels).mean())
    return Diagnosis(method, bag_error, gain, margin, fitted_gain, steady, told, rewards)


def mean_label_per_step(store: EpisodeStore) -> float:
    """Return what the labels of a store's labeled bags add up to, over their steps."""
    total, steps = 0.0, 0
    for _, batch in store.all_bags():
        total += float(batch.label[batch.labeled].double().sum())
        steps += int(batch.length[batch.labeled].sum())
    return total / steps


def gains(said: Floats, labels: Floats, constant: Floats) -> float:
    """Return 1 - (sum of squared errors) / (that of the constant reward); nan where that is perfect but for rounding.

    Example:
        >>> gains(np.array([1.0, 3.0]), np.array([1.0, 4.0]), np.array([2.0, 2.0]))
        0.8
    """
    against = float(((constant - labels) ** 2).sum())
    rounding = float((ROUNDING * labels**2).sum())
    return 1.0 - float(((said - labels) ** 2).sum()) / against if against > rounding else math.nan


def margin_of(said: Floats, labels: Floats, constant: Floats, episodes: npt.NDArray[np.int64]) -> float:
    """Return how much smaller a method's squared errors are than the constant's, in standard errors over episodes.

    The bags of one episode are no independent witnesses, so an episode counts as one: the sum over its bags.

    Args:
        said: Predictions, `[bags]`.
        labels: `[bags]`.
        constant: What the constant reward says, `[bags]`.
        episodes: The episode of each bag, `[bags]`.

    Returns:
        nan with fewer than two episodes; infinite where all differ by the same.
    """
    better = (constant - labels) ** 2 - (said - labels) ** 2
    sums = np.bincount(episodes, weights=better)[np.unique(episodes)]
    if len(sums) < 2:
        return math.nan
    spread = float(sums.std(ddof=1)) / math.sqrt(len(sums))
    return float(sums.mean()) / spread if spread > 0.0 else math.copysign(math.inf, float(sums.mean()))


def episodes_of(trajectories: Sequence[Trajectory]) -> npt.NDArray[np.int64]:
    """Return the number of the episode of each labeled bag."""
    return np.repeat(np.arange(len(trajectories)), [int(one.labeled.sum()) for one in trajectories])


def stability(fits: Sequence[Sequence[Floats]]) -> float:
    """Return the mean over pairs of fits of Pearson's correlation of the rewards of all steps; nan with one fit.

    Args:
        fits: Of each fit the rewards of each episode, `[T]`.
    """
    together = [np.concatenate(rewards) for rewards in fits]
    found = [pearson(first, second) for first, second in itertools.combinations(together, 2)]
    # A fit whose rewards are all alike agrees with another one in nothing that could be used.
    return float(np.mean(np.nan_to_num(found))) if found else math.nan


def needed_margin(episodes: int) -> float:
    """Return how many standard errors over so many episodes tell with 95 % that a method is better: Student's t.

    Example:
        >>> round(needed_margin(3), 3), round(needed_margin(1000), 3)
        (2.92, 1.646)
    """
    return float(stats.t.ppf(SURE, episodes - 1)) if episodes > 1 else math.inf


def warnings(gain: float, margin: float, ratio: float, steady: float, episodes: int) -> list[str]:
    """Return what to beware of, in plain words.

    Args:
        gain: As in `Diagnosis`.
        margin: The same.
        ratio: The squared error on unseen bags by that on fitted ones.
        steady: The stability.
        episodes: How many held-out episodes have labeled bags.
    """
    said = []
    if math.isnan(gain):
        said.append("labels per step are all alike: nothing can be learned from them")
    elif math.isnan(margin):
        said.append(f"{episodes} held-out episode with labels: too few to tell whether it is better than Uniform")
    elif gain <= 0.0:
        said.append(f"no better than Uniform on unseen bags (gain {gain:.2f}): do not use")
    elif margin < needed_margin(episodes):
        said.append(f"no better than Uniform as far as {episodes} unseen episodes tell (gain {gain:.2f}): do not use")
    if not math.isnan(gain) and ratio > MEMORIZED:
        said.append(f"memorizes (squared errors {ratio:.0f} times larger on unseen bags): record more episodes")
    if steady < STEADY:
        said.append(f"fits to resampled episodes disagree (correlation {steady:.2f}): its rewards are chance")
    return said


def _check_labels(name: str, trajectories: Sequence[Trajectory]) -> None:
    if not any(one.labeled.any() for one in trajectories):
        raise ValueError(
            f"{name} must have a labeled bag, got none in {len(trajectories)} episodes: show more labels, or split the "
            "episodes by another seed."
        )


def resampled(trajectories: Sequence[Trajectory], seed: int) -> list[Trajectory]:
    """Return as many episodes, drawn with replacement; drawn anew as long as none of them has a labeled bag.

    Args:
        trajectories: One has a labeled bag at least.
        seed: Of the draws.

    Raises:
        ValueError: No draw has a label.
    """
    generator = np.random.default_rng(seed)
    for _ in range(DRAWS):
        drawn = [trajectories[place] for place in generator.integers(len(trajectories), size=len(trajectories))]
        if any(one.labeled.any() for one in drawn):
            return drawn
    raise ValueError(
        f"trajectories must have a labeled bag, got none in {DRAWS} draws of {len(trajectories)} episodes."
    )


def _refit(
    method: str,
    fitted: Sequence[Trajectory],
    held_out: Sequence[Trajectory],
    spaces: Spaces,
    steps: int,
    seed: int,
    after_update: Callable[[], None],
    settings: dict[str, Any],
) -> list[Floats]:
    found = fit(method, spaces.store(resampled(fitted, seed)), steps, seed, after_update, **settings)
    return rewards_of(found.redistributor, [_unpaid(one) for one in held_out], spaces)


def _unpaid(trajectory: Trajectory) -> Trajectory:
    """Return an episode that tells nothing of what it was paid: two fits must not agree by a label they both see."""
    shown = np.zeros_like(trajectory.labeled)
    return replace(trajectory, rewards=np.zeros_like(trajectory.rewards), labeled=shown)
