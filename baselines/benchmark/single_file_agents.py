"""TD3 of `single_file`, in CleanRL's manner, in a benchmark: on rewards as they are paid, or redistributed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import RecordEpisodeStatistics

from bagged_envs.baselines.benchmark.agents import redistributed
from bagged_envs.baselines.benchmark.single_file import TD3


def td3(env: gym.Env[Any, Any], seed: int, redistributor: Mapping[str, Any] | None = None, **settings: Any) -> TD3:
    """Return TD3, with `LearnedReward` where a redistributor is given: its `name`, and settings."""
    return TD3(redistributed(RecordEpisodeStatistics(env), redistributor, seed), seed, **settings)
