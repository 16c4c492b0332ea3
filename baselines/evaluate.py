"""How good a policy is: the dense return of its own best actions, whatever it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from bagged_envs.baselines.collect import ActTold
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


def evaluate_worlds(
    envs: VectorEnv[Any, Any, Any], begin: Callable[[], ActTold], episodes: int, seed: int
) -> Evaluation:
    """Play whole episodes in many worlds at once: the same as `evaluate` plays one after the other.

    Args:
        envs: A vector environment that shows its dense reward in info; it resets by itself.
        begin: Called when all worlds begin an episode; returns what acts in it: from all worlds' observations and infos
            to their actions.
        episodes: How many.
        seed: Of the first episode; the others are seeded with the numbers that follow.

    Raises:
        ValueError: Info has no `dense_reward`.
    """
    found = list[tuple[float, int, bool | None]]()
    while len(found) < positive_int("episodes", episodes):
        found += _round(envs, begin(), seed + len(found))
    returns, lengths, successes = zip(*found[:episodes], strict=True)
    return Evaluation(returns, lengths, () if None in successes else successes)


def _round(envs: VectorEnv[Any, Any, Any], act: ActTold, seed: int) -> list[Any]:
    """Return the dense return, the length and the success of one episode of each world."""
    observations, infos = envs.reset(seed=seed)  # of copy i: seed + i
    if "dense_reward" not in infos:
        raise ValueError(f"envs must show their dense reward: make {envs} with expose_reward=True.")
    returns, lengths = np.zeros(envs.num_envs), np.zeros(envs.num_envs, dtype=np.int64)
    going, successes = np.ones(envs.num_envs, dtype=np.bool_), np.zeros(envs.num_envs, dtype=np.bool_)
    while going.any():
        observations, _, terminated, truncated, infos = envs.step(act(observations, infos))
        returns[going] += infos["dense_reward"][going]
        lengths += going
        successes[going] = infos.get("is_success", successes)[going]
        going &= ~(terminated | truncated)
    judged = successes.tolist() if "is_success" in infos else [None] * envs.num_envs
    return list(zip(returns.tolist(), lengths.tolist(), judged, strict=True))
