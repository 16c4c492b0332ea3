"""Batches that have begun."""

import numpy as np

from bagged_envs.particle.navigation import CooperativeNavigation
from bagged_envs.particle.predator_prey import CompetitivePredatorPrey, PredatorPrey
from bagged_envs.particle.triangle_area import TriangleArea

MAKERS = {
    "navigation-3": lambda n, **more: CooperativeNavigation(n, 3, **more),
    "navigation-6": lambda n, **more: CooperativeNavigation(n, 6, **more),
    "navigation-30": lambda n, **more: CooperativeNavigation(n, 30, **more),
    "predator-prey-6": lambda n, **more: PredatorPrey(n, 6, **more),
    "predator-prey-15": lambda n, **more: PredatorPrey(n, 15, prey="random", **more),
    "predator-prey-30": lambda n, **more: PredatorPrey(n, 30, **more),
    "competitive": CompetitivePredatorPrey,
    "triangle-area": TriangleArea,
}


def generators(count, first=0):
    return [np.random.default_rng(first + i) for i in range(count)]


def begun(batch, options=None):
    """The batch after a reset of all its worlds from seeds 0, 1, ..."""
    batch.reset(np.arange(batch.num_envs), generators(batch.num_envs), options)
    return batch


def at(batch, positions, velocities=None):
    """The batch after a reset of all its worlds in a given state, at rest unless said."""
    options = {"positions": positions} | ({} if velocities is None else {"velocities": velocities})
    return begun(batch, options)


def random_actions(batch, steps, seed=0):
    return np.random.default_rng(seed).integers(5, size=(steps, batch.num_envs, len(batch.agents)))
