"""`observe_bag`: the number of steps in the open bag as one more element of the observation."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt


def extended_space(space: gym.Space[Any], batched: bool = False) -> gym.spaces.Box:
    """Return a float Box of shape `(n,)`, or `(N, n)` if batched, with one more element at its end, from 0 upward.

    Raises:
        ValueError: The space is another.
    """
    if not isinstance(space, gym.spaces.Box) or len(space.shape) != 1 + batched or space.low.dtype.kind != "f":
        raise ValueError(
            f"observe_bag=True needs a one-dimensional Box of floats as observation space, got {space}. "
            f"Flatten the observation beneath the delay (gymnasium.wrappers.FlattenObservation)."
        )
    low = append_steps(space.low, np.zeros(space.shape[:-1]))
    high = append_steps(space.high, np.full(space.shape[:-1], np.inf))
    return gym.spaces.Box(low, high, dtype=low.dtype.type)


def append_steps(observation: npt.NDArray[Any], steps: Any) -> npt.NDArray[Any]:
    """Return observations `[..., n]` with the steps `[...]` as one more element `[..., n + 1]`, in the same dtype."""
    column = np.asarray(steps, dtype=observation.dtype)[..., np.newaxis]
    return np.concatenate([observation, column], axis=-1)
