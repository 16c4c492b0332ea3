"""Observations without their mean and spread, and programs that do not notice."""

import numpy as np
import pytest

from bagged_envs.baselines.standardization import Standardization, TaskFactors

EPISODES = [
    np.array([[0.0, 5.0], [2.0, 5.0], [99.0, 99.0]], np.float32),
    np.array([[4.0, 5.0], [99.0, 99.0]], np.float32),
]


def test_by_hand():
    """Steps 0, 2 and 4: mean 2, deviation sqrt(8 / 3) + 0.001; what came last is no step's."""
    found = Standardization.of(EPISODES)
    np.testing.assert_allclose(found.mean, [2.0, 5.0])
    np.testing.assert_allclose(found.deviation, [np.sqrt(8.0 / 3.0) + 1e-3, 1e-3])
    seen = found(np.array([[4.0, 5.0]], np.float32))
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen, [[2.0 / (np.sqrt(8.0 / 3.0) + 1e-3), 0.0]])


def test_large_means_leave_the_spread():
    values = 1e4 + np.array([[0.0], [1.0], [2.0], [3.0], [0.0]], np.float32)
    assert Standardization.of([values]).deviation[0] == pytest.approx(np.sqrt(1.25) + 1e-3)


def test_none_changes_nothing():
    for episode in EPISODES:
        np.testing.assert_array_equal(Standardization.none(2)(episode), episode)


def test_it_is_undone():
    found = Standardization.of(EPISODES)
    for episode in EPISODES:
        np.testing.assert_allclose(found.undone(found(episode)), episode, rtol=1e-6, atol=1e-6)


def test_factors_are_of_the_tasks_own_observations():
    class Factors:
        size = 1

        def __call__(self, observations, actions, next_observations):
            return observations[:, :1] + 10 * actions + 100 * next_observations[:, :1]

    seen = Standardization.of(EPISODES)
    factors = TaskFactors(Factors(), seen)
    said = factors(seen(EPISODES[0][:2]), np.array([[1.0], [2.0]], np.float32), seen(EPISODES[0][1:]))
    assert factors.size == 1
    np.testing.assert_allclose(said, [[0.0 + 10.0 + 200.0], [2.0 + 20.0 + 9900.0]], rtol=1e-5)
