"""Scripted policies that need not look: for teams that do not learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bagged_envs.batch import Floats, Ints
from bagged_envs.particle.world import NUM_ACTIONS


def random(observations: npt.NDArray[Any], uniform: Floats) -> Ints:
    """Take any action, whatever is observed: `(N, K)` from uniform numbers in [0, 1) `(N, K)`."""
    return (uniform * NUM_ACTIONS).astype(np.int64)


def still(observations: npt.NDArray[Any], uniform: Floats) -> Ints:
    """Take no action, ever."""
    return np.zeros(uniform.shape, dtype=np.int64)
