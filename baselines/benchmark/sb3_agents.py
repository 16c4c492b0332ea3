"""Stable-Baselines3's PPO, SAC and TD3 in a benchmark: on rewards as they are paid, or redistributed.

Settings are those of the library but for what is given. Needs the extra `sb3`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.monitor import Monitor

from bagged_envs.baselines.benchmark.agents import named, redistributed
from bagged_envs.baselines.sb3 import BagReplayBuffer

PACKAGES = ("stable-baselines3",)


class Stable:
    """An algorithm of the library as an agent.

    Attributes:
        model: The algorithm.
    """

    def __init__(self, model: BaseAlgorithm, monitor: Monitor) -> None:
        """Take an algorithm, and the monitor that its environment is in."""
        self.model, self._monitor = model, monitor

    @property
    def returns(self) -> list[float]:
        """What the library's monitor logged of each whole episode, as it was paid."""
        return self._monitor.get_episode_rewards()

    def learn(self, steps: int) -> None:
        """Train; PPO makes whole rollouts."""
        self.model.learn(steps)

    def act(self, observation: Any) -> Any:
        """Return the deterministic action."""
        return self.model.predict(observation, deterministic=True)[0]


def sac(env: gym.Env[Any, Any], seed: int, redistributor: Mapping[str, Any] | None = None, **settings: Any) -> Stable:
    """Return SAC, with `BagReplayBuffer` where a redistributor is given: its `name`, and settings."""
    monitor = Monitor(env)
    model = SAC("MlpPolicy", monitor, seed=seed, device="cpu", **_buffer(redistributor), **settings)
    return Stable(model, monitor)


def td3(env: gym.Env[Any, Any], seed: int, redistributor: Mapping[str, Any] | None = None, **settings: Any) -> Stable:
    """Return TD3, with `BagReplayBuffer` where a redistributor is given: its `name`, and settings."""
    monitor = Monitor(env)
    model = TD3("MlpPolicy", monitor, seed=seed, device="cpu", **_buffer(redistributor), **settings)
    return Stable(model, monitor)


def ppo(env: gym.Env[Any, Any], seed: int, redistributor: Mapping[str, Any] | None = None, **settings: Any) -> Stable:
    """Return PPO, with `LearnedReward` where a redistributor is given: its `name`, and settings."""
    monitor = Monitor(env)
    model = PPO("MlpPolicy", redistributed(monitor, redistributor, seed), seed=seed, device="cpu", **settings)
    return Stable(model, monitor)


def _buffer(redistributor: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if redistributor is None:
        return {}
    name, config = named(redistributor)
    return {
        "replay_buffer_class": BagReplayBuffer,
        "replay_buffer_kwargs": {"redistributor": name, "config": config},
    }
