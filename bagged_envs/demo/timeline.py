"""One episode of Swimmer, four variants of it: what is earned at each step, and what is paid when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from bagged_envs.describe import resolved_id

STEPS = 240
SEED = 3
VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("BaggedSwimmer-v0", {"bag_len": 20}),
    ("PartiallyLabeledSwimmer-v0", {"label_fraction": 0.1}),
    ("EpisodicSwimmer-v0", {}),
    ("SparseSwimmer-v0", {"threshold": 1.0}),
)


@dataclass(frozen=True)
class Step:
    """One step of one variant; `t` counts from 1."""

    environment: str
    t: int
    dense_reward: float
    paid: float
    bag_end: bool
    reward_observed: bool


def swim(t: int) -> npt.NDArray[np.float32]:
    """Return the torques, in [-1, 1], of a wave that runs down Swimmer's body and moves it forward."""
    phase = 0.28 * (t - 1) + 3.72
    return np.array([0.95 * math.sin(phase), 0.72 * math.sin(phase - 0.85)], dtype=np.float32)


def play_all() -> list[Step]:
    """Play the same episode, same seed and actions, in every variant."""
    return [step for id, arguments in VARIANTS for step in _play(id, arguments)]


def _play(id: str, arguments: dict[str, Any]) -> list[Step]:
    name = resolved_id(id, arguments)
    steps = []
    with gym.make(id, max_episode_steps=STEPS, expose_reward=True, **arguments) as env:
        env.reset(seed=SEED)
        for t in range(1, STEPS + 1):
            _, paid, _, _, info = env.step(swim(t))
            told = (info["dense_reward"], float(paid), info["bag_end"], info["reward_observed"])
            steps.append(Step(name, t, *told))
    return steps
