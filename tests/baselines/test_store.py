"""EpisodeStore: what goes in comes out, against a plain list of trajectories."""

import io

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import bagged_envs
from bagged_envs.baselines.api import BagBatch, Sampling, masked_sum
from bagged_envs.baselines.collect import Collector, collect
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.trajectory import Trajectory
from tests.baselines.trajectories import trajectories, trajectory

CAPACITY = 40


def rng(seed=0):
    return np.random.default_rng(seed)


def stored(*added, capacity=CAPACITY, agents=1):
    store = EpisodeStore(capacity, 2, 1, agents)
    for one in added:
        store.add(one)
    return store


class Model:
    """A list of the trajectories that a store must still hold."""

    def __init__(self, capacity=CAPACITY):
        self.capacity, self.kept = capacity, []

    def add(self, one):
        self.kept.append(one)
        while sum(len(kept) + 1 for kept in self.kept) > self.capacity + 1:
            self.kept.pop(0)

    def bags(self, only_labeled=False):
        """`(number, first step, length, labeled, label)` of all closed bags."""
        return [
            (int(one.observations.flat[0]), part.start, part.stop - part.start, bool(labeled), one.rewards[part][-1])
            for one in self.kept
            for place, (part, labeled) in enumerate(zip(one.bag_slices(), one.labeled, strict=True))
            if (place < one.num_bags - 1 or one.closed) and (labeled or not only_labeled)
        ]

    def by_number(self, number):
        return next(one for one in self.kept if one.observations.flat[0] == number)


def equal(left, right):
    """Whether two batches are equal to the bit."""
    pairs = [(value, getattr(right, name)) for name, value in vars(left).items()]
    return all((a is None and b is None) or (a.dtype == b.dtype and torch.equal(a, b)) for a, b in pairs)


def check_bag(batch, row, model, history=0, whole=True):
    """One row of a batch is a bag of the model, number by number; returns which."""
    inside = batch.mask[row, :, 0].numpy()
    seen = batch.context[row, :, 0].numpy()
    columns = np.flatnonzero(inside)
    observations = batch.observations[row, :, 0].numpy()
    numbers, steps = observations[inside].T
    one = model.by_number(numbers[0])
    (bag,) = {int(one.bag_ids[int(step)]) for step in steps}
    part = one.bag_slices()[bag]
    assert bag < one.num_bags - 1 or one.closed
    assert int(batch.length[row]) == part.stop - part.start
    assert bool(batch.labeled[row]) == one.labeled[bag]
    assert batch.label[row].item() == np.float32(one.rewards[part.stop - 1])
    if whole:
        assert columns.tolist() == list(range(history, history + part.stop - part.start))
        earlier = min(history, part.start)
        assert np.flatnonzero(seen).tolist() == list(range(history - earlier, history + part.stop - part.start))
        steps = np.arange(part.start - earlier, part.stop)
    else:
        assert inside.all()
    steps = steps.astype(int)
    np.testing.assert_array_equal(observations[seen], one.observations[steps])
    np.testing.assert_array_equal(batch.next_observations[row, :, 0].numpy()[seen], one.observations[steps + 1])
    np.testing.assert_array_equal(batch.actions[row, :, 0].numpy()[seen], one.actions[steps])
    paid = np.where(np.arange(len(one)) == part.stop - 1, one.rewards, 0.0).astype(np.float32)
    np.testing.assert_array_equal(batch.paid[row, :, 0].numpy()[seen], np.where(steps < part.start, 0, paid[steps]))
    for name in ("observations", "next_observations", "actions", "paid"):
        assert not getattr(batch, name)[row, :, 0].numpy()[~seen].any()
    return (int(numbers[0]), part.start, part.stop - part.start, bool(one.labeled[bag]), one.rewards[part.stop - 1])


def test_whole_bags_by_hand():
    store = stored(trajectory([2, 1], number=3))
    batch = store.sample_bags(Sampling(20), rng())
    assert batch.observations.shape == (20, 2, 1, 2)
    assert set(batch.length.tolist()) == {1, 2}
    row = batch.length.tolist().index(1)
    assert batch.observations[row].tolist() == [[[3, 2]], [[0, 0]]]
    assert batch.next_observations[row].tolist() == [[[3, 3]], [[0, 0]]]
    assert batch.actions[row].tolist() == [[[-2]], [[0]]]
    assert batch.mask[row].tolist() == [[True], [False]]
    assert batch.label[row].item() == np.float32(301.1)
    assert batch.paid[row].tolist() == [[np.float32(301.1)], [0]]
    assert batch.dense is None


def test_the_size_counts_transitions_and_whole_episodes_leave():
    store = stored(trajectory([3], 1), trajectory([2, 2], 2), capacity=9)
    assert (len(store), store.num_episodes, store.num_bags, store.num_labeled_bags) == (7, 2, 3, 3)
    store.add(trajectory([1], 3))
    assert (len(store), store.num_episodes, store.num_bags) == (5, 2, 3)
    store.add(trajectory([9], 4))
    assert (len(store), store.num_episodes, store.num_bags) == (9, 1, 1)


def test_too_long_an_episode_is_refused_and_nothing_is_lost():
    store = stored(trajectory([9], 1), capacity=9)
    with pytest.raises(ValueError, match="capacity=9 must hold the longest episode, got one of 10 steps"):
        store.add(trajectory([10], 2))
    assert store.sample_bags(Sampling(1), rng()).label.item() == np.float32(100.1)


@given(st.lists(trajectories(), min_size=1, max_size=8), st.integers(0, 3), st.booleans(), st.integers(0, 2**32))
def test_every_bag_is_a_slice_of_a_kept_trajectory(makers, history, only_labeled, seed):
    store, model = stored(), Model()
    for number, make in enumerate(makers, start=1):
        one = make(number)
        store.add(one)
        model.add(one)
        assert (store.num_episodes, len(store)) == (len(model.kept), sum(map(len, model.kept)))
        assert (store.num_bags, store.num_labeled_bags) == (len(model.bags()), len(model.bags(only_labeled=True)))
        expected = set(model.bags(only_labeled))
        if not expected:
            continue
        for weight in ("bag", "length"):
            batch = store.sample_bags(Sampling(12, weight=weight, history=history), rng(seed), only_labeled)
            assert batch.mask.shape[1] == history + int(batch.length.max())
            assert {check_bag(batch, row, model, history) for row in range(12)} <= expected
            batch = store.sample_bags(Sampling(12, steps=4, weight=weight), rng(seed), only_labeled)
            assert batch.mask.shape == (12, 4, 1)
            assert {check_bag(batch, row, model, whole=False) for row in range(12)} <= expected
            for row, length in enumerate(batch.length.tolist()):
                distinct = len(set(batch.observations[row, :, 0, 1].tolist()))
                assert distinct == 4 if length >= 4 else distinct <= length


@given(st.lists(trajectories(), min_size=1, max_size=8), st.booleans(), st.booleans(), st.integers(0, 2**32))
def test_every_transition_is_a_step_of_a_kept_trajectory(makers, only_labeled, include_open, seed):
    store, model = stored(), Model()
    for number, make in enumerate(makers, start=1):
        one = make(number)
        store.add(one)
        model.add(one)
    include_open &= not only_labeled
    expected = {
        (n, step): labeled for n, first, size, labeled, _ in model.bags() for step in range(first, first + size)
    }
    expected = {key for key, labeled in expected.items() if labeled or not only_labeled}
    if include_open:
        expected |= {(int(one.observations.flat[0]), step) for one in model.kept for step in range(len(one))}
    if not expected:
        with pytest.raises(ValueError, match="the store must have .* steps to draw from|must have steps to draw from"):
            store.sample_transitions(1, rng(), only_labeled, include_open)
        return
    indices, batch = store.sample_transitions(600, rng(seed), only_labeled, include_open)
    assert set(map(tuple, batch.observations.int().tolist())) == expected  # 600 draws of at most 40 steps miss none
    for row, (number, step) in enumerate(batch.observations.int().tolist()):
        one = model.by_number(number)
        assert batch.next_observations[row].tolist() == one.observations[step + 1].tolist()
        assert batch.actions[row].tolist() == one.actions[step].tolist()
        assert batch.rewards[row].item() == np.float32(one.rewards[step])
        assert batch.terminated[row].item() == float(one.terminated and step == len(one) - 1)
    again = store.transitions(indices)
    assert all(torch.equal(value, getattr(again, name)) for name, value in vars(batch).items())


@given(st.lists(trajectories(), min_size=1, max_size=8), st.integers(1, 30), st.integers(0, 3))
def test_all_bags_come_once(makers, max_steps, history):
    store, model = stored(), Model()
    for number, make in enumerate(makers, start=1):
        store.add(make(number))
        model.add(make(number))
    found = []
    for bags, batch in store.all_bags(max_steps, history):
        assert batch.num_bags == len(bags)
        assert batch.mask.shape[0] * batch.mask.shape[1] <= max_steps or len(bags) == 1
        found += [check_bag(batch, row, model, history) for row in range(len(bags))]
    assert sorted(found) == sorted(model.bags())


@given(st.lists(trajectories(open_too=False), min_size=1, max_size=8), st.integers(0, 3), st.integers(0, 2**32))
def test_the_bag_around_a_step(makers, history, seed):
    store, model = stored(), Model()
    for number, make in enumerate(makers, start=1):
        store.add(make(number))
        model.add(make(number))
    indices, steps = store.sample_transitions(20, rng(seed))
    batch, columns = store.bags_around(indices, history)
    for row, column in enumerate(columns):
        check_bag(batch, row, model, history)
        assert batch.mask[row, column, 0]
        assert torch.equal(batch.observations[row, column, 0], steps.observations[row])


class Telling:
    """Rewards that tell what was shown: 1000 times the label, plus the step, plus the bag's length / 1000."""

    name, exact, only_labeled, sampling, schedule = "telling", False, False, None, None

    def __init__(self, context="step", stored=False, sampling=None):
        self.context, self.stored, self.sampling, self.shown = context, stored, sampling, []

    def relabel(self, batch):
        self.shown.append(tuple(batch.mask.shape))
        told = 1000 * batch.label + batch.length / 1000
        return torch.where(batch.mask, told[:, None, None] + batch.observations[..., 1], torch.zeros(()))


def told(store, indices):
    steps = store.steps(indices)
    return 1000 * steps.label + steps.length / 1000 + steps.observations[:, 0, 0, 1]


@given(
    st.lists(trajectories(open_too=False), min_size=1, max_size=6),
    st.integers(0, 2),
    st.integers(1, 20),
    st.integers(0, 2**32),
)
def test_both_contexts_relabel_the_steps_that_were_drawn(makers, history, max_steps, seed):
    store = stored(*[make(number) for number, make in enumerate(makers, start=1)])
    indices, _ = store.sample_transitions(15, rng(seed))
    by_step = Telling("step")
    assert torch.equal(store.relabel(by_step, indices)[:, 0], told(store, indices))
    assert by_step.shown == [(15, 1, 1)]
    by_bag = Telling("bag", sampling=Sampling(1, history=history))
    assert torch.equal(store.relabel(by_bag, indices, max_steps)[:, 0], told(store, indices))
    batch, _ = store.bags_around(indices)
    assert sum(shape[0] for shape in by_bag.shown) == len(batch.observations[:, 0].unique(dim=0))
    assert all(shape[0] == 1 or shape[0] * shape[1] <= max_steps for shape in by_bag.shown)


def test_a_bag_is_relabeled_once_however_many_of_its_steps_were_drawn():
    store = stored(trajectory([10], 1), trajectory([10], 2))
    indices, _ = store.sample_transitions(50, rng())
    redistributor = Telling("bag")
    store.relabel(redistributor, indices)
    assert redistributor.shown == [(2, 10, 1)]


def test_stored_rewards_have_versions_and_begin_at_zero():
    store = stored(trajectory([2, 3], 1, labeled=[True, False]), trajectory([4], 2))
    indices, _ = store.sample_transitions(60, rng())
    redistributor = Telling("bag", stored=True, sampling=Sampling(1, history=2))
    with pytest.raises(
        ValueError, match="rewards of telling must be stored before they are read, got none: use relabel"
    ):
        store.relabel(redistributor, indices)
    assert not store.stored_rewards(indices).any()
    assert not store.stored_versions(indices).any()
    store.relabel_all(redistributor, max_steps=5)
    assert torch.equal(store.relabel(redistributor, indices)[:, 0], told(store, indices))
    assert set(store.stored_versions(indices)) == {1}
    store.add(trajectory([3, 2], 3, closed=False))
    store.relabel_all(redistributor)
    indices, batch = store.sample_transitions(100, rng(), include_open=True)
    new = (batch.observations[:, 0] == 3) & (batch.observations[:, 1] >= 3)
    assert new.any()
    assert not store.relabel(redistributor, indices)[new].any()  # an open bag waits
    assert torch.equal(store.relabel(redistributor, indices)[~new][:, 0], told(store, indices[~new.numpy()]))
    assert store.stored_versions(indices).tolist() == [0 if one else 2 for one in new.tolist()]


def test_a_method_that_needs_labels_sees_single_steps():
    store = stored(trajectory([10], 1), trajectory([3], 2))
    indices, _ = store.sample_transitions(50, rng())
    redistributor = Telling("label")
    assert torch.equal(store.relabel(redistributor, indices)[:, 0], told(store, indices))
    assert redistributor.shown == [(50, 1, 1)]


def test_only_what_is_new_is_relabeled():
    store = stored(trajectory([2, 3], 1))
    redistributor = Telling("bag", stored=True)
    store.relabel_all(redistributor)
    store.add(trajectory([4], 2))
    redistributor.shown.clear()
    store.relabel_new(redistributor)
    assert redistributor.shown == [(1, 4, 1)]
    indices, _ = store.sample_transitions(60, rng())
    assert torch.equal(store.relabel(redistributor, indices)[:, 0], told(store, indices))
    assert set(store.stored_versions(indices)) == {1}
    store.relabel_new(redistributor)
    assert redistributor.shown == [(1, 4, 1)]


def test_the_rewards_that_are_oldest_are_stored_anew():
    store = stored(*(trajectory([2, 3], number) for number in (1, 2, 3)))
    redistributor = Telling("bag", stored=True)
    bags = store._ring.queues["bags"].all()

    def versions():
        return store._ring.bags["version"][bags].tolist()

    store.relabel_oldest(redistributor, 1)  # all are new
    assert versions() == [1] * 6
    store.relabel_oldest(redistributor, 8)
    assert versions() == [2, 2, 2, 2, 1, 1]  # 2, 3, 2 steps, and a bag more makes it 8
    store.relabel_oldest(redistributor, 8)
    assert versions() == [3, 3, 2, 2, 3, 3]
    store.relabel_oldest(redistributor, 0)
    assert versions() == [3, 3, 2, 2, 3, 3]
    store.add(trajectory([4], 4))
    store.relabel_new(redistributor)
    assert versions() == [3, 3, 2, 2, 3, 3]
    indices, _ = store.sample_transitions(60, rng())
    assert torch.equal(store.relabel(redistributor, indices)[:, 0], told(store, indices))
    store.relabel_oldest(redistributor, None)
    assert versions() == [5] * 6


@given(st.lists(trajectories(open_too=True), min_size=1, max_size=8))
def test_adding_tells_the_numbers_of_the_steps(makers):
    store = stored(capacity=40)
    for number, make in enumerate(makers, start=1):
        steps = store.transitions(store.add(make(number)))
        assert steps.observations[:, 0].unique().tolist() == [number]
        assert steps.observations[:, 1].tolist() == list(range(len(make(number))))


def test_an_episode_in_the_place_of_another_has_rewards_of_its_own():
    store = stored(trajectory([9], 1), capacity=9)
    store.relabel_all(Telling("bag", stored=True))
    store.add(trajectory([9], 2))
    indices, _ = store.sample_transitions(9, rng())
    assert not store.stored_rewards(indices).any()
    assert not store.stored_versions(indices).any()


def test_numbers_of_steps_that_left_are_refused():
    store = stored(trajectory([9], 1), capacity=12)
    indices = np.unique(store.sample_transitions(200, rng())[0])
    store.add(trajectory([4], 2))
    kept = set(store.sample_transitions(200, rng())[0].tolist())
    assert len(set(indices.tolist()) - kept) == 8  # one row has a step again, of the new episode
    for index in set(indices.tolist()) - kept:
        for of in (store.transitions, store.steps, store.stored_rewards, store.stored_versions, store.bags_around):
            with pytest.raises(ValueError, match=rf"indices must be steps of this store, got \[{index}\]: sample them"):
                of(np.array([index]))


@pytest.mark.parametrize("index", [99, 13, -1])
def test_numbers_that_no_step_can_have_are_refused(index):
    store = stored(trajectory([9], 1), capacity=12)
    for of in (store.transitions, store.stored_rewards, lambda indices: store.relabel(Telling("step"), indices)):
        with pytest.raises(ValueError, match=rf"indices must be steps of this store, got \[{index}\]: sample them"):
            of(np.array([0, index]))


def test_open_bags_cannot_be_seen_whole():
    store = stored(trajectory([1, 5], 1, closed=False))
    assert set(store.sample_bags(Sampling(30), rng()).length.tolist()) == {1}
    indices, _ = store.sample_transitions(50, rng(), include_open=True)
    with pytest.raises(ValueError, match="indices must be steps of closed bags to see the bags whole"):
        store.bags_around(indices)
    with pytest.raises(ValueError, match="indices must be steps of closed bags"):
        store.relabel(Telling("bag"), indices)
    with pytest.raises(ValueError, match="indices must be steps of closed bags"):
        store.relabel(Telling("label"), indices)
    assert store.relabel(Telling("step"), indices).shape == (50, 1)


def test_no_more_bags_than_are_enough():
    store, random = stored(trajectory([16, 1, 1, 1, 1], 1)), rng()  # four steps on average
    assert [store.sample_bags(Sampling(8, enough=enough), random).num_bags for enough in (1, 4, 11, 99)] == [1, 1, 2, 8]
    drawn = [store.sample_bags(Sampling(8, enough=12), random).length.tolist() for _ in range(2000)]
    assert {len(lengths) for lengths in drawn} == {3}
    # Long bags weigh as much as short ones: of a mean over an update, one in five is the long one.
    assert np.mean([np.mean([length == 16 for length in lengths]) for lengths in drawn]) == pytest.approx(0.2, abs=0.02)
    unlabeled = stored(trajectory([16, 1, 1, 1, 1], 1, labeled=[False, True, True, True, True]))
    assert unlabeled.sample_bags(Sampling(8, enough=3), random, only_labeled=True).num_bags == 3


def test_weights():
    store = stored(trajectory([1, 9], 1), trajectory([10], 2))
    for weight, expected in (("bag", 1 / 3), ("length", 1 / 20)):
        lengths = store.sample_bags(Sampling(20_000, steps=1, weight=weight), rng()).length
        assert abs((lengths == 1).float().mean().item() - expected) < 0.02


def test_unlabeled_bags_show_nothing_not_even_nan():
    one = trajectory([2, 2], 1, labeled=[False, True])
    one.rewards[1] = np.nan
    store = stored(one)
    batch = store.sample_bags(Sampling(30), rng())
    assert torch.isfinite(batch.paid).all()
    assert not batch.label[~batch.labeled].any()
    assert not batch.paid[~batch.labeled].any()
    assert store.sample_bags(Sampling(30), rng(), only_labeled=True).labeled.all()
    _, steps = store.sample_transitions(30, rng(), only_labeled=True)
    assert set(steps.observations[:, 1].tolist()) == {2, 3}


def test_dense_rewards_come_along():
    store = stored(trajectory([2, 2], 1, dense=True))
    batch = store.sample_bags(Sampling(30, history=1), rng())
    second = batch.observations[:, 1, 0, 1] == 2
    assert batch.dense[second][:, :, 0].unique(dim=0).tolist() == [[0, 2.5, 3.5]]
    with pytest.raises(ValueError, match=r"all trajectories or none must have extras\['dense_rewards'\], got both"):
        store.add(trajectory([2], 2))


def test_a_team_shares_its_label_among_those_who_are_there():
    one = trajectory([2, 1], 1, agents=3, dense=True)
    alive = np.array([[True] * 3, [True, True, False], [True, False, False], [False] * 3])
    store = stored(Trajectory(**{**vars(one), "extras": {**one.extras, "alive": alive}}), agents=3)
    (_, batch) = max(store.all_bags(), key=lambda pair: pair[1].num_bags)
    long, short = batch.length.tolist().index(2), batch.length.tolist().index(1)
    assert batch.mask[long].tolist() == [[True, True, True], [True, True, False]]
    assert batch.mask[short].tolist() == [[True, False, False], [False] * 3]
    half = np.float32(100.1 / 2)
    assert batch.paid[long].tolist() == [[0, 0, 0], [half, half, 0]]
    assert batch.paid[short].tolist() == [[np.float32(101.1), 0, 0], [0, 0, 0]]
    assert batch.dense[long][1].tolist() == [0.75, 0.75, 0]
    torch.testing.assert_close(masked_sum(batch.paid, batch.mask), batch.label)
    assert batch.observations[long, 1, :, 1].tolist() == [1, 1.25, 1.5]
    indices, steps = store.sample_transitions(50, rng())
    assert steps.observations.shape == (50, 6)
    assert steps.actions.shape == (50, 3)
    assert set(steps.rewards.tolist()) == {0, float(np.float32(100.1)), float(np.float32(101.1))}
    assert store.relabel(Telling("bag"), indices).shape == (50, 3)


def test_agents_own_rewards_add_up_to_the_label():
    one = trajectory([2], 1, agents=2)
    store = stored(Trajectory(**{**vars(one), "rewards": np.array([[0.0, 0.0], [1.0, -4.0]])}), agents=2)
    batch = store.sample_bags(Sampling(1), rng())
    assert batch.label.tolist() == [-3]
    assert batch.paid[0].tolist() == [[0, 0], [1, -4]]


def test_rewards_of_one_joint_controller_add_up():
    one = trajectory([2], 1)
    store = stored(Trajectory(**{**vars(one), "rewards": np.array([[0.0, 0.0], [1.0, -4.0]])}))
    assert store.sample_bags(Sampling(1), rng()).paid[0].tolist() == [[0], [-3]]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"observations": np.zeros((4, 3))}, r"observations must have 1 x 2 features .* got shape \(4, 3\): pass the"),
        ({"actions": np.zeros((3, 2))}, r"actions must have 1 x 1 features in each of 3 rows, got shape \(3, 2\)"),
        ({"rewards": np.array([1.0, 0.0, 2.0])}, "rewards must be 0.0 before a bag's last step, got 1.0 in step 0"),
        ({"rewards": np.array([0.0, 0.0, np.nan])}, "rewards must be finite float32, got nan for bag 0: unlabel"),
        ({"rewards": np.array([0.0, 0.0, 1e39])}, "rewards must be finite float32, got 1e.39 for bag 0"),
        (
            {"extras": {"dense_rewards": np.zeros((3, 2, 2))}},
            r"dense_rewards'\] must have shape \(3,\) or \(3, 1\), got",
        ),
    ],
)
def test_a_trajectory_that_does_not_fit_is_refused(changed, message):
    store = stored(trajectory([2], 7, dense="extras" in changed))
    before = store.state_dict()
    with pytest.raises(ValueError, match=message):
        store.add(Trajectory(**{**vars(trajectory([3], 1)), **changed}))
    assert same_state(before, store.state_dict())


@pytest.mark.parametrize(
    ("alive", "message"),
    [
        (np.ones((4, 3), dtype=bool), r"extras\['alive'\] must be bool \(4, 2\), got bool \(4, 3\)"),
        (np.ones((4, 2)), r"got float64 \(4, 2\)"),
        (np.array([[1, 1], [0, 0], [1, 1], [1, 1]], dtype=bool), "got none before step 1"),
    ],
)
def test_who_is_alive_has_to_fit(alive, message):
    with pytest.raises(ValueError, match=message):
        stored(Trajectory(**{**vars(trajectory([3], 1, agents=2)), "extras": {"alive": alive}}), agents=2)


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(ValueError, match="capacity must be an int of at least 1, got 0"):
        EpisodeStore(0, 1, 1)
    with pytest.raises(ValueError, match="action_features must have size=3 and agents=1, got size=4 and agents=1"):
        EpisodeStore(9, 1, 3, action_features=Features(gym.spaces.Discrete(4)))
    store = stored()
    with pytest.raises(ValueError, match="the store must have bags to draw from, got none: add more episodes"):
        store.sample_bags(Sampling(1), rng())
    store.add(trajectory([2], 1, labeled=[False]))
    with pytest.raises(ValueError, match="must have labeled bags to draw from"):
        store.sample_bags(Sampling(1), rng(), only_labeled=True)
    with pytest.raises(ValueError, match="history=2 needs whole bags: use steps=None, not 3"):
        store.sample_bags(Sampling(1, steps=3, history=2), rng())
    with pytest.raises(ValueError, match="include_open=True needs only_labeled=False"):
        store.sample_transitions(1, rng(), only_labeled=True, include_open=True)
    with pytest.raises(ValueError, match=r"rewards must have shape \(1, 2, 1\), or more columns, got \(1, 1, 1\)"):
        store.write_rewards(np.array([0]), torch.zeros(1, 1, 1))


def test_all_bags_needs_the_store_unchanged():
    store = stored(trajectory([2, 2], 1))
    chunks = store.all_bags(max_steps=2)
    next(chunks)
    store.add(trajectory([2], 2))
    with pytest.raises(RuntimeError, match="needs the store unchanged until its last chunk"):
        next(chunks)


def same_state(left, right):
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same_state(left[key], right[key]) for key in left)
    return torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right


@given(st.lists(trajectories(), min_size=0, max_size=8), st.lists(trajectories(), max_size=4), st.integers(0, 2**32))
def test_a_loaded_store_goes_on_bit_for_bit(before, after, seed):
    store, other = stored(), stored(trajectory([5, 5], 99))
    for number, make in enumerate(before, start=1):
        store.add(make(number))
    store.relabel_all(Telling("bag", stored=True))
    buffer = io.BytesIO()
    torch.save(store.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    for number, make in enumerate([None, *after], start=50):
        for one in (store, other) if make is not None else ():
            one.add(make(number))
        assert same_state(store.state_dict(), other.state_dict())
        if store.num_bags:
            draws = [one.sample_bags(Sampling(5, weight="length", history=1), rng(seed)) for one in (store, other)]
            assert equal(*draws)
            draws = [one.sample_bags(Sampling(5, steps=2), rng(seed)) for one in (store, other)]
            assert equal(*draws)
            (left, _), (right, _) = (one.sample_transitions(9, rng(seed), include_open=True) for one in (store, other))
            np.testing.assert_array_equal(left, right)
            assert torch.equal(store.stored_rewards(left), other.stored_rewards(right))


def test_a_saved_state_is_small_and_a_copy():
    store = stored(trajectory([2], 1), capacity=100_000)
    state = store.state_dict()
    assert sum(tensor.numel() for part in ("rows", "bags") for tensor in state["ring"][part].values()) < 100
    store.add(trajectory([2], 2))
    assert len(state["ring"]["rows"]["observations"]) == 3
    with pytest.raises(ValueError, match=r"state must be of a store with .*'capacity': 40.*: make it like that"):
        stored().load_state_dict(state)


def test_draws_depend_on_the_generator_alone():
    store = stored(trajectory([2, 3, 4], 1), trajectory([5], 2))
    sampling = Sampling(6, steps=2)
    assert equal(store.sample_bags(sampling, rng(3)), store.sample_bags(sampling, rng(3)))
    batches = [store.sample_bags(sampling, rng(seed)) for seed in range(4)]
    assert not all(equal(batches[0], other) for other in batches[1:])


def test_batches_are_copies():
    store = stored(trajectory([3], 1))
    store.sample_bags(Sampling(1), rng()).observations.fill_(9)
    store.sample_transitions(3, rng())[1].observations.fill_(9)
    assert store.sample_bags(Sampling(1), rng()).observations[0, :, 0].tolist() == [[1, 0], [1, 1], [1, 2]]


REAL = {
    "BaggedInvertedPendulum-v0": (1, {"bag_len": (1, 6)}),
    "EpisodicKeyDoor-v0": (1, {}),
    "PartiallyLabeledKeyDoor-v0": (1, {"label_fraction": 0.3}),
    "BaggedTriangleArea-v0": (3, {"bag_len": 7}),
}


@pytest.mark.parametrize("in_vector", [False, True])
@pytest.mark.parametrize("task", REAL)
def test_real_episodes_come_out_as_they_went_in(task, in_vector):
    agents, arguments = REAL[task]
    arguments = {**arguments, "max_episode_steps": 20, "expose_reward": True}
    env = bagged_envs.make_vec(task, 2, **arguments) if in_vector else gym.make(task, **arguments)
    env.action_space.seed(0)
    recorded = Collector(env, seed=0).collect(lambda observation: env.action_space.sample(), episodes=6)
    env.close()
    spaces = [getattr(env, f"single_{name}_space", getattr(env, f"{name}_space")) for name in ("observation", "action")]
    store = EpisodeStore.for_spaces(*spaces, agents=agents, capacity=1000)
    for one in recorded:
        store.add(one)
    labels = [one.rewards[part][-1] for one in recorded for part in one.bag_slices()]
    sums = [one.extras["dense_rewards"][part].sum() for one in recorded for part in one.bag_slices()]
    shown = [labeled for one in recorded for labeled in one.labeled]
    batches = [batch for _, batch in store.all_bags(max_steps=50)]
    got = [row for batch in batches for row in zip(batch.label.tolist(), batch.labeled.tolist(), strict=True)]
    assert sorted(got) == sorted(
        (float(np.float32(label)), bool(one)) for label, one in zip(labels, shown, strict=True)
    )
    dense = torch.cat([masked_sum(batch.dense, batch.mask) for batch in batches])
    np.testing.assert_allclose(sorted(dense.tolist()), sorted(sums), rtol=1e-4, atol=1e-5)
    features = Features(spaces[0], agents)
    everything = np.concatenate([features.encode(one.observations[:-1]).reshape(len(one), -1) for one in recorded])
    drawn = store.sample_transitions(100, rng())[1].observations.numpy()
    assert drawn.dtype == np.float32
    assert all((everything == row).all(axis=1).any() for row in drawn)


def test_an_open_episode_is_stored_up_to_its_last_closed_bag():
    env = gym.make("BaggedTriangleArea-v0", bag_len=7, max_episode_steps=20)
    env.action_space.seed(0)
    ended, going = collect(env, lambda observation: env.action_space.sample(), steps=36, seed=0)
    store = EpisodeStore.for_spaces(env.observation_space, env.action_space, agents=3, capacity=100)
    store.add(ended)
    store.add(going)
    assert (len(store), store.num_bags) == (36, 3 + 2)
    assert isinstance(store.sample_bags(Sampling(4), rng()), BagBatch)
