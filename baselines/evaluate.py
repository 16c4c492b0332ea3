"""How good a policy is: the dense return of its own best actions, whatever it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from bagged_envs.wrappers.arguments import positive_int


@dataclass(frozen=True)
class Evaluation:
    """What some episodes came to.

    Attributes:
        returns: The sum of each episode's dense rewards.
        lengths: The steps of each.
        successes: Whether each was a success; empty where the environment does not pay by success.
    """

    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    successes: tuple[bool, ...] = ()

    @property
    def mean(self) -> float:
        """The mean dense return."""
        return float(np.mean(self.returns))

    @property
    def std(self) -> float:
        """The standard deviation of the dense returns, over the episodes."""
        return float(np.std(self.returns))

    @property
    def success_rate(self) -> float | None:
        """The fraction of successes, or None where there are none to be had."""
        return float(np.mean(self.successes)) if self.successes else None


def evaluation_env(id: str, arguments: Mapping[str, Any]) -> gym.Env[Any, Any]:
    """Make the environment of an ID with the same arguments, its dense reward shown."""
    return gym.make(id, **{**arguments, "expose_reward": True})


def evaluate(env: gym.Env[Any, Any], act: Callable[[Any], Any], episodes: int, seed: int) -> Evaluation:
    """Play whole episodes.

    Args:
        env: An environment that shows its dense reward in info, as `evaluation_env` makes it.
        act: From an observation to an action.
        episodes: How many.
        seed: Of the first episode; the others are seeded with the numbers that follow.

    Raises:
        ValueError: Info has no `dense_reward`.
    """
    returns, lengths, successes = [], [], list[bool]()
    for episode in range(positive_int("episodes", episodes)):
        observation, info = env.reset(seed=seed + episode)
        if "dense_reward" not in info:
            raise ValueError(f"env must show its dense reward: make {env} with expose_reward=True.")
        total, steps, ended = 0.0, 0, False
        while not ended:
            observation, _, terminated, truncated, info = env.step(act(observation))
            total, steps, ended = total + info["dense_reward"], steps + 1, bool(terminated or truncated)
        returns.append(total)
        lengths.append(steps)
        if "is_success" in info:
            successes.append(bool(info["is_success"]))
    return Evaluation(tuple(returns), tuple(lengths), tuple(successes))
