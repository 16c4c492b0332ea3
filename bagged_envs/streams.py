"""Random numbers by counting: reproducible numbers for many copies at once, from one key per episode.

A generator per copy cannot be asked for numbers in one call. These are a function of a key and two counters instead
(SplitMix64's finalizer, Steele, Lea and Flood 2014, applied to each in turn), computed for all copies together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bagged_envs.batch import Floats, Ints

Keys = npt.NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def draw_keys(generators: Sequence[np.random.Generator]) -> Keys:
    """Draw one key `(K,)` from each generator."""
    return np.array([g.integers(0, 2**64, dtype=np.uint64) for g in generators], dtype=np.uint64)


def _mix(z: Keys) -> Keys:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(keys: Keys, step: Ints, width: int) -> Floats:
    """Return `width` uniform numbers in [0, 1) for each key at its step.

    Args:
        keys: `(N,)`.
        step: Non-negative int64 `(N,)`.
        width: How many numbers for each, K.

    Returns:
        float64 `(N, K)`, multiples of 2⁻⁵³.

    Example:
        >>> uniform(np.array([7, 7, 8], dtype=np.uint64), np.array([0, 1, 0]), 2).round(3).tolist()
        [[0.722, 0.65], [0.509, 0.751], [0.267, 0.53]]
    """
    steps = _mix(keys + (step.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    places = (np.arange(width, dtype=np.uint64) + np.uint64(1)) * _GOLDEN
    return (_mix(steps[:, None] + places) >> np.uint64(11)).astype(np.float64) * 2.0**-53
