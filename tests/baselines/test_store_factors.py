"""Factors of steps in a store: computed once, brought by every batch, whenever the store was told to keep them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bagged_envs.baselines.api import Sampling
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.trajectory import Trajectory
from tests.baselines.test_store import CAPACITY, equal, rng, stored
from tests.baselines.trajectories import trajectories, trajectory


class Differences:
    """Two numbers of a step, and a list of how many steps were asked for."""

    size = 2

    def __init__(self):
        self.asked = []

    def __call__(self, observations, actions, next_observations):
        assert {array.dtype for array in (observations, actions, next_observations)} == {np.dtype(np.float32)}
        self.asked.append(len(actions))
        return np.stack((next_observations[:, 1] - observations[:, 1], 3 * actions[:, 0] + 1), axis=1)


def test_a_state_of_other_factors_is_refused():
    plain, keeping = stored(), stored()
    keeping.keep(Differences())
    with pytest.raises(ValueError, match="'factors': 2"):
        keeping.load_state_dict(plain.state_dict())
    with pytest.raises(ValueError, match="'factors': 2"):
        plain.load_state_dict(keeping.state_dict())


def expected(batch):
    moved = batch.next_observations[..., 1] - batch.observations[..., 1]
    return torch.where(batch.context[..., None], torch.stack((moved, 3 * batch.actions[..., 0] + 1), dim=3), 0.0)


@given(st.lists(trajectories(), min_size=1, max_size=8), st.integers(0, 8), st.integers(0, 3), st.integers(0, 2**32))
def test_every_batch_brings_them(makers, before, history, seed):
    added = [make(number) for number, make in enumerate(makers, start=1)]
    store, factors = stored(*added[:before]), Differences()
    there = len(store)
    store.keep(factors)
    for one in added[before:]:
        store.add(one)
    assert factors.asked == [there, *(len(one) for one in added[before:])]
    if not store.num_bags:
        return
    whole = store.sample_bags(Sampling(5, history=history), rng(seed))
    sampled = store.sample_bags(Sampling(5, steps=3), rng(seed))
    steps = store.steps(store.sample_steps(7, rng(seed)))
    for batch in (whole, sampled, steps):
        assert torch.equal(batch.factors, expected(batch))
    assert sum(factors.asked) == there + sum(map(len, added[before:]))  # batches compute nothing


def test_batches_have_none_unless_they_are_kept():
    store = stored(trajectory([2], 1))
    assert store.steps(store.sample_steps(1, rng())).factors is None
    store.keep(Differences())
    store.keep(None)
    assert store.steps(store.sample_steps(1, rng())).factors is None


def test_stores_made_alike_keep_them_too():
    store = stored(trajectory([2], 1))
    store.keep(Differences())
    other = store.empty_like(9)
    other.add(trajectory([3], 2))
    assert other.sample_bags(Sampling(1), rng()).factors.shape == (1, 3, 1, 2)


def test_agents_have_their_own():
    store = EpisodeStore(CAPACITY, 2, 1, agents=3)
    store.keep(Differences())
    observations, actions = np.arange(18.0).reshape(3, 3, 2) ** 2, np.arange(6.0).reshape(2, 3, 1)
    store.add(Trajectory(observations, actions, np.array([0.0, 1.0]), np.array([0, 0]), np.array([True]), True))
    batch = store.sample_bags(Sampling(1), rng())
    assert torch.equal(batch.factors, expected(batch))
    assert batch.factors.shape == (1, 2, 3, 2)


def test_they_are_saved_with_the_store():
    store, other, factors = stored(trajectory([2, 3], 1)), stored(), Differences()
    store.keep(Differences())
    other.keep(factors)
    other.load_state_dict(store.state_dict())
    assert equal(*(one.sample_bags(Sampling(4), rng(3)) for one in (store, other)))
    assert factors.asked == [0]


@pytest.mark.parametrize("shape", [(2,), (4, 1, 1, 2)])
def test_a_batch_refuses_others(shape):
    store = stored(trajectory([3], 1))
    batch = store.sample_bags(Sampling(1), rng())
    with pytest.raises(ValueError, match=r"factors must be \[1, 3, 1, _\]"):
        type(batch)(**{**vars(batch), "factors": torch.zeros(shape)})
