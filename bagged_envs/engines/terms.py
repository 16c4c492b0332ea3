"""Terms that several tasks share: first states, velocities, costs, the way Gymnasium computes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from bagged_envs.engines.row import Array


def uniform_start(generator: np.random.Generator, now: Any, a: Any) -> tuple[Array, Array]:
    """Return positions and velocities with uniform noise of up to `reset_noise_scale`."""
    low, high = -a.reset_noise_scale, a.reset_noise_scale
    qpos = now.init_qpos + generator.uniform(low=low, high=high, size=now.init_qpos.size)
    return qpos, now.init_qvel + generator.uniform(low=low, high=high, size=now.init_qvel.size)


def normal_start(generator: np.random.Generator, now: Any, a: Any) -> tuple[Array, Array]:
    """Return positions with uniform and velocities with normal noise of scale `reset_noise_scale`."""
    low, high = -a.reset_noise_scale, a.reset_noise_scale
    qpos = now.init_qpos + generator.uniform(low=low, high=high, size=now.init_qpos.size)
    return qpos, now.init_qvel + a.reset_noise_scale * generator.standard_normal(now.init_qvel.size)


def x_position(now: Any, a: Any) -> Array:
    """Return the first coordinate `(N,)`."""
    return np.array(now.qpos[:, 0])


def velocity(now: Any, position: Array) -> Array:
    """Return how fast a position changed in the step."""
    return np.asarray((position - now.before) / now.dt)


def squares(values: Array) -> Array:
    """Return each copy's sum of squares, from `(N, ...)` to `(N,)`: in NumPy's own order, as of one copy alone."""
    return np.asarray(np.add.reduce(np.square(values).reshape(len(values), -1), axis=1))


def lengths(vectors: Array) -> Array:
    """Return the Euclidean norm of vectors `(N, K)`: of BLAS's dot product, as `np.linalg.norm` of one takes it."""
    return np.asarray(np.sqrt(np.vecdot(vectors, vectors)))


def between(low: float, values: Array, high: float) -> Array:
    """Return where values lie strictly between two bounds."""
    return np.asarray((low < values) & (values < high))


def never(now: Any) -> Array:
    """Return False for every copy."""
    return np.zeros(len(now.qpos), dtype=np.bool_)
