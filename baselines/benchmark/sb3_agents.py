"""Stable-Baselines3's PPO, SAC and TD3 in a benchmark: on rewards as they are paid, or redistributed.

Settings are those of the library but for what is given. Needs the extra `sb3`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from bagged_envs.baselines.learned_reward import LearnedReward
from bagged_envs.baselines.sb3 import BagReplayBuffer

PACKAGES = ("stable-baselines3",)


class Stable:
    """An algorithm of the library as an agent.

    Attributes:
        model: The algorithm.
    """

    def __init__(self, model: BaseAlgorithm) -> None:
        """Take it."""
        self.model = model

    def learn(self, steps: int) -> None:
        """Train; PPO makes whole rollouts."""
        self.model.learn(steps)

    def act(self, observation: Any) -> Any:
        """Return the deterministic action."""
        return self.model.predict(observation, deterministic=True)[0]


def sac(env: gym.Env[Any, Any], seed: int, redistributor: Mapping[str, Any] | None = None, **settings: Any) -> Stable:
    """Return SAC, with `BagReplayBuffer` where a redistributor is given: its `name`, and settings."""
    return Stable(SAC("MlpPolicy", env, seed=seed, device="cpu", **_buffer(redistributor), **settings))


def td3(env: gym.Env[Any, Any], seed: int, redistributor: Mapping[str, Any] | None = None, **settings: Any) -> Stable:
    """Return TD3, with `BagReplayBuffer` where a redistributor is given: its `name`, and settings."""
    return Stable(TD3("MlpPolicy", env, seed=seed, device="cpu", **_buffer(redistributor), **settings))


def ppo(env: gym.Env[Any, Any], seed: int, redistributor: Mapping[str, Any] | None = None, **settings: Any) -> Stable:
    """Return PPO, with `LearnedReward` where a redistributor is given: its `name`, and settings."""
    paid = env if redistributor is None else LearnedReward(env, *_named(redistributor), seed=seed)
    return Stable(PPO("MlpPolicy", paid, seed=seed, device="cpu", **settings))


def _buffer(redistributor: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if redistributor is None:
        return {}
    name, config = _named(redistributor)
    return {
        "replay_buffer_class": BagReplayBuffer,
        "replay_buffer_kwargs": {"redistributor": name, "config": config},
    }


def _named(redistributor: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name of a redistributor, and its settings."""
    settings = dict(redistributor)
    return settings.pop("name"), settings
