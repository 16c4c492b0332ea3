"""Playing a delayed environment and its dense twin side by side."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np

Act: TypeAlias = Callable[[], Any]
LONGEST_EPISODE = 100_000
HUGE = 1e9


class BaggedError(AssertionError):
    """A delayed environment broke a law; the text says which, what came, and what to do."""


def demand(holds: object, law: str, came: str, remedy: str) -> None:
    """Raise a BaggedError unless the law holds."""
    if not holds:
        raise BaggedError(f"{law}. Came: {came}. {remedy}")


@dataclass
class Episode:
    """What one episode of the delayed environment and of its twin gave, one entry per step."""

    seed: int | None
    paid: list[Any] = field(default_factory=list)
    dense: list[float] = field(default_factory=list)
    infos: list[dict[str, Any]] = field(default_factory=list)
    reset_info: dict[str, Any] = field(default_factory=dict)
    final: tuple[Any, dict[str, Any], bool] = (None, {}, False)

    def told(self, key: str) -> list[Any]:
        """Return one info key, step by step."""
        return [info.get(key) for info in self.infos]


def same(left: Any, right: Any) -> bool:
    """Whether two observations are equal to the bit (NaN equals NaN)."""
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, (tuple, list)):
        return len(left) == len(right) and all(same(one, other) for one, other in zip(left, right, strict=True))
    left, right = np.asarray(left), np.asarray(right)
    if left.dtype == np.object_ and left.ndim and right.dtype == np.object_:  # a vector environment's final_obs
        return left.shape == right.shape and same(left.tolist(), right.tolist())
    return left.dtype == right.dtype and np.array_equal(left, right, equal_nan=left.dtype.kind in "fc")


def random_actions(space: gym.Space[Any], seed: int) -> Act:
    """Return random actions, uniform (standard normal where a Box has no bounds), from random numbers of their own."""
    space = _without_huge_bounds(copy.deepcopy(space))
    space.seed(seed)
    return space.sample


def _without_huge_bounds(space: gym.Space[Any]) -> gym.Space[Any]:
    """Read bounds of 1e9 and more as none: dm_control writes 1e10 so, and no simulator survives such forces."""
    if not isinstance(space, gym.spaces.Box) or space.dtype.kind != "f":
        return space
    low, high = np.where(space.low <= -HUGE, -np.inf, space.low), np.where(space.high >= HUGE, np.inf, space.high)
    return gym.spaces.Box(low.astype(space.dtype), high.astype(space.dtype), dtype=space.dtype.type)


def constant_action(space: gym.Space[Any], seed: int) -> Act:
    """Return the middle of a Box (0 where it has no bounds), and one random action of other spaces, for ever."""
    action = random_actions(space, seed)()
    if isinstance(space, gym.spaces.Box):
        bounded = np.isfinite(space.low) & np.isfinite(space.high)
        with np.errstate(invalid="ignore", over="ignore"):
            action = np.where(bounded, (space.low + space.high) / 2, 0).astype(space.low.dtype)
    return lambda: copy.deepcopy(action)


def play(
    env: gym.Env[Any, Any], twin: gym.Env[Any, Any], act: Act, seed: int | None, steps: int | None = None
) -> Episode:
    """Play one episode, or its first steps, in both, and demand that the delay is transparent.

    Raises:
        BaggedError: An observation, terminated or truncated differs, or the episode does not end.
    """
    episode = Episode(seed)
    observation, episode.reset_info = env.reset(seed=seed)
    other, _ = twin.reset(seed=seed)
    _demand_same("the observation of reset", observation, other)
    for step in range(LONGEST_EPISODE if steps is None else steps):
        action = act()
        observation, paid, terminated, truncated, info = env.step(action)
        other, dense, *ends, facts = twin.step(copy.deepcopy(action))
        _demand_same(f"the observation of step {step + 1}", observation, other)
        _demand_same(f"(terminated, truncated) of step {step + 1}", (terminated, truncated), tuple(ends))
        episode.paid.append(paid)
        episode.dense.append(float(dense))
        episode.infos.append(info)
        if terminated or truncated:
            episode.final = (other, facts, bool(terminated))
            return episode
    demand(
        steps is not None,
        "An episode must end",
        f"{LONGEST_EPISODE} steps without an end",
        "Give the environment a time limit (max_episode_steps).",
    )
    return episode


def _demand_same(what: str, delayed: Any, dense: Any) -> None:
    if same(delayed, dense):
        return  # before the words are made: those of an observation take longer than a step
    demand(
        False,
        "Transparency: a delay changes rewards and info only",
        f"{what} is {delayed!r} with the delay and {dense!r} without it",
        "Pass the environment's own values through, and draw nothing from its random numbers.",
    )
