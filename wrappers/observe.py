"""`observe_bag`: the number of steps in the open bag as one more element of the observation."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt


def extended_space(space: gym.Space[Any], batched: bool = False) -> gym.Space[Any]:
    """Return the space with one more element, from 0 upward, at the end of its last axis.

    Args:
        space: A float Box of shape `(n,)`, of shape `(A, n)` for A agents, or a Tuple of Boxes.
        batched: Whether shapes have a leading axis of environments.

    Raises:
        ValueError: The space is another.
    """
    if isinstance(space, gym.spaces.Tuple) and not batched:
        return gym.spaces.Tuple(tuple(extended_space(part) for part in space.spaces))
    axes = len(space.shape or ()) - batched
    if not isinstance(space, gym.spaces.Box) or axes not in (1, 2) or space.low.dtype.kind != "f":
        raise ValueError(
            f"observe_bag=True needs as observation space a Box of floats with one dimension (or two: agents and their "
            f"elements), got {space}. Flatten the observation beneath the delay "
            f"(gymnasium.wrappers.FlattenObservation)."
        )
    low = append_steps(space.low, 0.0)
    high = append_steps(space.high, np.inf)
    return gym.spaces.Box(low, high, dtype=low.dtype.type)


def append_steps(observation: npt.NDArray[Any] | tuple[Any, ...], steps: Any) -> Any:
    """Return observations `[..., n]` with the steps as one more element `[..., n + 1]`, in the same dtype.

    Args:
        observation: The observations; a tuple of such gives a tuple.
        steps: A number, or `[N]` for observations whose first axis has N environments.
    """
    if isinstance(observation, tuple):
        return tuple(append_steps(part, steps) for part in observation)
    steps = np.asarray(steps, dtype=observation.dtype)
    column = steps.reshape(steps.shape + (1,) * (observation.ndim - steps.ndim))
    return np.concatenate([observation, np.broadcast_to(column, (*observation.shape[:-1], 1))], axis=-1)
