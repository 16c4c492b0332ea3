"""Whole episodes of a store: what is drawn is what was added, of every schedule of bags."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bagged_envs.baselines.store import EpisodeStore
from tests.baselines.test_store import CAPACITY, Model, rng
from tests.baselines.trajectories import trajectories, trajectory

AGENTS = 2


def masked_store(*added):
    store = EpisodeStore(CAPACITY, 2, 1, AGENTS)
    store.keep_masks()
    for one in added:
        store.add(one)
    return store


def dressed(one, seed):
    """The episode with deaths and masks."""
    steps, draw = len(one) + 1, rng(seed)
    alive = np.ones((steps, AGENTS), dtype=bool)
    alive[:, 1] = np.arange(steps) < draw.integers(1, steps + 1)
    return replace(
        one, extras={"alive": alive, "action_mask": draw.integers(2, size=(steps, AGENTS, 1), dtype=np.int8)}
    )


def padded(array, rows):
    return np.pad(array, ((0, rows - len(array)), *((0, 0),) * (array.ndim - 1)))


def check(batch, row, one, only_labeled):
    """Whether a row is an episode, and padding."""
    steps, columns = len(one), batch.learned.shape[1]
    shown, alive = one.labeled[one.bag_ids], one.extras["alive"].copy()
    alive[-1] &= not one.terminated
    expected = {
        "observations": padded(one.observations, columns + 1),
        "actions": padded(one.actions, columns),
        "allowed": padded(one.extras["action_mask"], columns + 1),
        "present": padded(alive, columns + 1),
        "rewards": padded(np.where(shown, one.rewards, 0.0), columns),
        "learned": padded(shown if only_labeled else np.ones(steps, dtype=bool), columns),
        "terminated": padded(np.append(np.zeros(steps - 1), one.terminated), columns),
    }
    for name, array in expected.items():
        found = getattr(batch, name)[row].numpy()
        np.testing.assert_allclose(found, array.astype(found.dtype), rtol=1e-6, err_msg=name)


@given(st.lists(trajectories(), min_size=1, max_size=9), st.integers(0, 2**32), st.booleans(), st.booleans())
def test_drawn_episodes_are_those_that_were_added(makers, seed, only_labeled, saved):
    store, model = masked_store(), Model()
    for number, make in enumerate(makers, start=1):
        one = dressed(make(number, agents=AGENTS), number)
        store.add(one)
        model.add(one)
    if saved:
        other = masked_store()
        other.load_state_dict(store.state_dict())
        store = other
    whole = [one for one in model.kept if one.closed]
    assert store.num_whole_episodes == len(whole)
    begun = list(store.whole_episodes())
    assert [len(steps) for steps in begun] == [len(one) for one in whole]
    for steps, one in zip(begun, whole, strict=True):
        seen = store.transitions(steps).observations.numpy().reshape(len(one), AGENTS, -1)
        np.testing.assert_array_equal(seen, one.observations[:-1])
    if not whole:
        return
    count = 1 + seed % len(whole)
    steps, there = store.sample_episodes(count, rng(seed))
    batch = store.episodes(steps, there, only_labeled=only_labeled)
    numbers = batch.observations[:, 0, 0, 0].tolist()
    assert len(set(numbers)) == count == len(numbers)  # none comes twice
    assert there.sum(axis=1).max() == there.shape[1]
    for row, number in enumerate(numbers):
        check(batch, row, model.by_number(number), only_labeled)


def test_every_whole_episode_is_as_likely():
    store = masked_store(*(trajectory([2, 1], number, agents=AGENTS) for number in range(1, 5)))
    store.add(trajectory([3], 5, closed=False, agents=AGENTS))
    draws, found = rng(0), []
    for _ in range(800):
        steps, there = store.sample_episodes(1, draws)
        found += store.episodes(steps, there).observations[:, 0, 0, 0].tolist()
    numbers, counts = np.unique(found, return_counts=True)
    assert numbers.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert counts.tolist() == pytest.approx([200] * 4, abs=50)


def test_given_rewards_are_added_up_over_agents():
    store = masked_store(trajectory([2], 1, agents=AGENTS), trajectory([1, 2], 2, agents=AGENTS))
    steps, there = store.sample_episodes(2, rng())
    given_rewards = torch.arange(10.0).view(5, 2)
    found = store.episodes(steps, there, given_rewards).rewards
    assert found[torch.from_numpy(there)].tolist() == [1.0, 5.0, 9.0, 13.0, 17.0]
    assert found[torch.from_numpy(~there)].tolist() == [0.0]


def test_without_masks_everything_is_allowed():
    store = EpisodeStore(CAPACITY, 2, 1, AGENTS)
    store.add(dressed(trajectory([2], 1, agents=AGENTS), 0))
    assert store.episodes(*store.sample_episodes(1, rng())).allowed.all()
    assert masked_store(trajectory([2], 1, agents=AGENTS))._ring.rows["allowed"].dtype == bool


def test_what_is_refused():
    one = trajectory([2], 1, agents=AGENTS)
    store = masked_store(one)
    with pytest.raises(ValueError, match="count must be at most the number of whole episodes, 1, got 2"):
        store.sample_episodes(2, rng())
    with pytest.raises(RuntimeError, match="keep_masks.. needs an empty store, got 1 episodes: call it before"):
        store.keep_masks()
    wrong = replace(one, extras={"action_mask": np.ones((3, 2, 4))})
    with pytest.raises(ValueError, match=r"extras\['action_mask'\] must be \(3, 2, 1\), got \(3, 2, 4\): leave it out"):
        store.add(wrong)
    plain = EpisodeStore(CAPACITY, 2, 1, AGENTS)
    with pytest.raises(ValueError, match="'masks': 1"):
        store.load_state_dict(plain.state_dict())
    assert store.empty_like(9)._masks
