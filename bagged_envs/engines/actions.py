"""What an engine takes for actions: any finite numbers, as the simulator clips what is out of range."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bagged_envs.batch import Bools

NUMBERS = "fiu"


def accepted(actions: Any, shape: tuple[int, ...], active: Bools | None = None) -> npt.NDArray[Any]:
    """Return actions as a contiguous array of their own type.

    Args:
        actions: `(N, K)`.
        shape: What `(N, K)` must be.
        active: Whose actions are used, bool `(N,)`; None for everyone's.

    Raises:
        TypeError: They are no real numbers.
        ValueError: They have another shape, or one that is used is not finite; the message names the environment.
    """
    try:
        array = np.ascontiguousarray(actions)
    except ValueError as error:
        raise ValueError(f"actions must have shape {shape}, got rows of different lengths: {actions!r}.") from error
    if array.dtype.kind not in NUMBERS:
        raise TypeError(f"actions must be real numbers, got an array of {array.dtype}: {actions!r}.")
    if array.shape != shape:
        raise ValueError(f"actions must have shape {shape}, one row per environment, got shape {array.shape}.")
    if not np.isfinite(array).all():
        _refuse(array, active)
    return array


def _refuse(actions: npt.NDArray[Any], active: Bools | None) -> None:
    bad = ~np.isfinite(actions).all(axis=1)
    if active is not None:
        bad &= active
    for slot in np.flatnonzero(bad).tolist():
        raise ValueError(f"actions must be finite, got {actions[slot]} for environment {slot}: nothing was stepped.")
