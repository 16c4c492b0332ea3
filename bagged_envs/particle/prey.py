"""How prey that does not learn moves, and how predators and prey steer when nobody teaches them.

Steering looks one step ahead: what would each of the five actions make of the velocity, and where would it lead.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bagged_envs.batch import Floats, Ints
from bagged_envs.particle.world import DAMPING, DIRECTIONS, NUM_ACTIONS, TIME_STEP, speeds_of

RANDOM_FRACTION = 0.1  # of its actions, "flee" takes any
NEARNESS = 0.01  # added to a squared distance, so that a predator at distance zero counts 100 and not infinitely
OUTSIDE_WEIGHT = 10.0  # of `outside`: strong enough that 30 predators do not drive the prey away for good
LARGEST_EXPONENT = 50.0
OVERLAP_WEIGHT = 10.0  # per length that the prey would stand inside an obstacle


class Sight(NamedTuple):
    """What a prey policy sees of N worlds with P predators, Q prey and M obstacles.

    Attributes:
        predators: Their positions, `(N, P, 2)`.
        prey: `(N, Q, 2)`.
        obstacles: `(N, M, 2)`.
        predator_velocities: `(N, P, 2)`.
        prey_velocities: `(N, Q, 2)`.
        step: How many steps of the episode are done, int64 `(N,)`.
        uniform: Numbers in [0, 1) of this episode and step, `(N, Q)`.
    """

    predators: Floats
    prey: Floats
    obstacles: Floats
    predator_velocities: Floats
    prey_velocities: Floats
    step: Ints
    uniform: Floats


def any_action(sight: Sight) -> Ints:
    """Take any action."""
    return (sight.uniform * NUM_ACTIONS).astype(np.int64)


def no_action(sight: Sight) -> Ints:
    """Take no action: the prey moves only when it is pushed."""
    return np.zeros(sight.uniform.shape, dtype=np.int64)


def mostly(actions: Ints, uniform: Floats) -> Ints:
    """Replace actions by random ones where `uniform` is below RANDOM_FRACTION."""
    return np.where(uniform < RANDOM_FRACTION, (uniform * (NUM_ACTIONS / RANDOM_FRACTION)).astype(np.int64), actions)


def moves(velocities: Floats, strength: float, max_speed: float) -> Floats:
    """Return how far a step would take a body for each action: velocities `(..., 2)` to `(..., 5, 2)`.

    Example:
        >>> moves(np.array([1.0, 0.0]), strength=4.0, max_speed=1.0).round(3).tolist()
        [[0.075, 0.0], [0.035, 0.0], [0.1, 0.0], [0.075, -0.04], [0.075, 0.04]]
    """
    after = (1.0 - DAMPING) * velocities[..., None, :] + DIRECTIONS * (strength * TIME_STEP)
    speeds = speeds_of(after)[..., None]
    return after * (max_speed / np.maximum(speeds, max_speed)) * TIME_STEP


def outside(positions: Floats, half_width: float) -> Floats:
    """Return how far out places are, `(...)` from `(..., 2)`: 0 well inside the square of the start, steep beyond it.

    Per axis, z = |x| / half_width: 0 below 0.9, 10 (z - 0.9) up to 1, then exp(2z - 2). It has no upper end (mpe2's
    has), so that a prey chased far out finds its way back.

    Example:
        >>> outside(np.array([[0.5, 0.95], [2.0, -0.95]]), half_width=1.0).round(3).tolist()
        [0.5, 7.889]
    """
    z = np.abs(positions) / half_width
    beyond = np.exp(np.minimum(2.0 * z - 2.0, LARGEST_EXPONENT))
    penalties: Floats = np.where(z < 1.0, np.maximum(0.0, 10.0 * (z - 0.9)), beyond)
    return penalties[..., 0] + penalties[..., 1]


def flee(
    predators: Floats, obstacles: Floats, places: Floats, steps: Floats, contact: float, half_width: float
) -> Ints:
    """Return for each prey the action whose next place is best: far from predators, in the open, not outside.

    A place costs the sum over predators of 1 / (d² + 0.01), plus 10 times `outside`, plus 10 times how deep it lies
    inside obstacles. Of equally good actions the first is taken.

    Args:
        predators: As seen from each prey, `(..., P, 2)`.
        obstacles: As seen from each prey, `(..., M, 2)`.
        places: Of the prey, `(..., 2)`.
        steps: What `moves` says, `(..., 5, 2)`.
        contact: Distance from an obstacle's center at which the prey touches it.
        half_width: Of the square of the start.

    Returns:
        int64 `(...)`.
    """
    nearness = (1.0 / (_squares_ahead(predators, steps) + NEARNESS)).sum(axis=-1)  # (..., 5)
    overlap = np.maximum(0.0, contact - np.sqrt(_squares_ahead(obstacles, steps))).sum(axis=-1)
    away = outside(places[..., None, :] + steps, half_width)
    actions: Ints = (nearness + OVERLAP_WEIGHT * overlap + OUTSIDE_WEIGHT * away).argmin(axis=-1)
    return actions


def _squares_ahead(others: Floats, steps: Floats) -> Floats:
    """Return the squared distance to each of the others `(..., K, 2)` after each step `(..., 5, 2)`: `(..., 5, K)`."""
    x, y = (others[..., None, :, axis] - steps[..., :, None, axis] for axis in (0, 1))
    squares: Floats = x * x + y * y
    return squares


def chase(prey: Floats, steps: Floats) -> Ints:
    """Return for each predator the action that leads closest to its prey, `(..., 2)` as seen from it."""
    actions: Ints = speeds_of(prey[..., None, :] - steps).argmin(axis=-1)
    return actions
