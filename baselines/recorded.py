"""Recorded episodes as offline learners take them in: checked, as features, without what nobody is to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box

from bagged_envs.baselines import layout
from bagged_envs.baselines.features import Features
from bagged_envs.trajectory import Trajectory

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
OUTSIDE = 1e-4  # how far beyond its bounds, in [-1, 1] units, rounding may have put a recorded action
RETURN_SCALE = 1000.0  # what the range of returns becomes, as in the code of IQL


def features_of(place: int, episode: Trajectory, seen: Features, acted: Features, dense: bool) -> Trajectory:
    """Return an episode as features, its hidden rewards 0.0, and without extras but for dense rewards that are wanted.

    Rewards of several agents are added up: there is one controller.

    Args:
        place: Its number, for errors.
        episode: As it was recorded.
        seen: Of observations.
        acted: Of actions.
        dense: Whether dense rewards are kept.

    Raises:
        TypeError: It is no trajectory.
        ValueError: It is not of these spaces, has a number that is not finite, or no dense rewards to keep.
    """
    if not isinstance(episode, Trajectory):
        raise TypeError(
            f"trajectories must be Trajectory objects, as `collect` records them, got {episode!r:.60} at {place}."
        )
    observations = _encoded(f"observations of trajectory {place}", episode.observations, seen)
    actions = _encoded(f"actions of trajectory {place}", episode.actions, acted)
    _check_bounds(place, episode.actions, acted)
    rewards = layout.shown_rewards(episode)
    _check_finite(f"rewards of labeled bags of trajectory {place}", rewards, "unlabel these bags")
    rewards = rewards if rewards.ndim == 1 else rewards.sum(axis=1)
    extras = {"dense_rewards": _dense(place, episode)} if dense else {}
    return replace(episode, observations=observations, actions=actions, rewards=rewards, extras=extras)


def _encoded(name: str, array: Array, features: Features) -> npt.NDArray[np.float32]:
    try:
        encoded = features.encode(array)
    except ValueError as error:
        raise ValueError(f"{name} must be of the environment's space, got others: {error}") from error
    _check_finite(name, encoded, "leave that episode out")
    return encoded


def _check_finite(name: str, array: Array, remedy: str) -> None:
    wrong = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
    if len(wrong):
        raise ValueError(f"{name} must be finite, got {array[wrong[0]]} in row {wrong[0]}: {remedy}.")


def _check_bounds(place: int, actions: Array, acted: Features) -> None:
    space = acted.space
    if not isinstance(space, Box):
        return
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    beyond = OUTSIDE * (high - low) / 2.0
    if (actions < low - beyond).any() or (actions > high + beyond).any():
        raise ValueError(
            f"actions of trajectory {place} must be within {space}, got {actions.min()} to {actions.max()}: give them "
            "in the environment's own units."
        )


def _dense(place: int, episode: Trajectory) -> Array:
    rewards = episode.extras.get("dense_rewards")
    if rewards is None:
        raise ValueError(
            f"trajectory {place} must have extras['dense_rewards'] for oracle, got none: record it with "
            "expose_reward=True."
        )
    _check_finite(f"extras['dense_rewards'] of trajectory {place}", rewards, "leave that episode out")
    return rewards


def labeled_steps(episode: Trajectory) -> Bools:
    """Return which steps are labeled bags of their own, whose label is their true reward: bool `[T]`."""
    single = np.bincount(episode.bag_ids) == 1
    return np.asarray((single & episode.labeled)[episode.bag_ids])


def reward_scale(rewards: Sequence[Floats], given: Sequence[Bools]) -> float:
    """Return 1,000 over the range of the episodes' returns; 1.0 where all are alike, and it would say nothing.

    The return of an episode with rewards for some of its steps only is what it would be if the others had their mean;
    an episode without any does not count.

    Args:
        rewards: `[T]` of each episode.
        given: bool `[T]`, which of them a learner is given.

    Example:
        >>> every, some = np.array([True, True]), np.array([True, False])
        >>> reward_scale([np.array([1.0, 2.0]), np.array([4.0, 9.0])], [every, some])
        200.0
    """
    returns = [len(one) * one[mask].mean() for one, mask in zip(rewards, given, strict=True) if mask.any()]
    spread = float(np.ptp(returns))
    return RETURN_SCALE / spread if spread > 1e-6 * float(np.abs(returns).max()) else 1.0
