"""Trajectory: what it accepts, what it says of the rest, and where its bags lie."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagged_envs.trajectory import Trajectory


def trajectory(**changed):
    """Five steps in bags of 2, 1 and 2."""
    parts = {
        "observations": np.arange(12.0).reshape(6, 2),
        "actions": np.arange(5),
        "rewards": np.array([0.0, 3.0, -1.0, 0.0, 2.0]),
        "bag_ids": np.array([0, 0, 1, 2, 2]),
        "labeled": np.array([True, False, True]),
        "terminated": True,
    }
    return Trajectory(**{**parts, **changed})


def test_sizes_and_slices():
    one = trajectory()
    assert len(one) == 5
    assert one.num_bags == 3
    assert one.bag_slices() == [slice(0, 2), slice(2, 3), slice(3, 5)]


def test_one_step_is_an_episode():
    one = trajectory(
        observations=np.zeros((2, 1)),
        actions=np.zeros(1),
        rewards=np.ones(1),
        bag_ids=np.zeros(1, dtype=np.int64),
        labeled=np.ones(1, dtype=bool),
    )
    assert (len(one), one.num_bags, one.bag_slices()) == (1, 1, [slice(0, 1)])


@given(st.lists(st.integers(1, 5), min_size=1, max_size=10))
def test_slices_are_the_bags_in_order(lengths):
    steps = sum(lengths)
    one = trajectory(
        observations=np.zeros((steps + 1, 1)),
        actions=np.zeros(steps),
        rewards=np.zeros(steps),
        bag_ids=np.repeat(np.arange(len(lengths)), lengths),
        labeled=np.ones(len(lengths), dtype=bool),
    )
    assert [part.stop - part.start for part in one.bag_slices()] == lengths
    assert [step for part in one.bag_slices() for step in range(steps)[part]] == list(range(steps))


def test_agents_and_extras_are_welcome():
    one = trajectory(rewards=np.zeros((5, 3)), extras={"dense_rewards": np.zeros(5), "alive": np.ones((6, 3))})
    assert one.rewards.shape == (5, 3)


def test_an_open_bag_is_the_last_and_has_no_label():
    one = trajectory(labeled=np.array([True, True, False]), terminated=False, closed=False)
    assert one.num_bags == 3
    with pytest.raises(ValueError, match=r"labeled\[-1\] is True, got closed=False"):
        trajectory(terminated=False, closed=False)
    with pytest.raises(ValueError, match="terminated is True, got closed=False"):
        trajectory(labeled=np.array([True, True, False]), closed=False)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"actions": np.zeros(0), "observations": np.zeros((1, 2))}, "actions must have at least one step, got 0"),
        ({"observations": np.zeros((5, 2))}, "observations must have 6 rows, got 5"),
        ({"rewards": np.zeros(4)}, r"rewards must have shape \(5,\) or \(5, agents\), got \(4,\)"),
        ({"rewards": np.zeros((5, 1, 1))}, r"rewards must have shape .*, got \(5, 1, 1\)"),
        ({"bag_ids": np.zeros((5, 1), dtype=np.int64)}, r"bag_ids must have shape \(5,\), got \(5, 1\)"),
        ({"bag_ids": np.array([1, 1, 2, 3, 3])}, r"bag_ids must have 0, 1, ... in order, got \[1, 1, 2, 3, 3\]"),
        ({"bag_ids": np.array([0, 0, 2, 2, 2])}, "bag_ids must have 0, 1, ... in order"),
        ({"bag_ids": np.array([0, 1, 0, 1, 2])}, "bag_ids must have 0, 1, ... in order"),
        ({"labeled": np.ones(2, dtype=bool)}, r"labeled must have shape \(3,\), got \(2,\)"),
        ({"extras": {"dense_rewards": np.zeros(4)}}, r"extras\['dense_rewards'\] must have 5 or 6 rows, got 4"),
    ],
)
def test_a_wrong_shape_is_named(changed, message):
    with pytest.raises(ValueError, match=message):
        trajectory(**changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rewards": np.zeros(5, dtype=np.float32)}, "rewards must be float64, got float32"),
        ({"bag_ids": np.array([0, 0, 1, 2, 2], dtype=np.uint64)}, "bag_ids must be int64, got uint64"),
        ({"labeled": np.ones(3)}, "labeled must be bool, got float64"),
        ({"labeled": [True, True, True]}, r"labeled must be an array whose first axis is time, got \[True"),
        ({"actions": 3}, "actions must be an array whose first axis is time, got 3"),
        ({"extras": {"success": True}}, r"extras\['success'\] must be an array whose first axis is time, got True"),
        ({"extras": {"success": np.array(True)}}, r"extras\['success'\] must be an array"),
        ({"terminated": np.True_}, r"terminated must be True or False, got np.True_"),
        ({"closed": 1}, "closed must be True or False, got 1"),
    ],
)
def test_a_wrong_type_is_named(changed, message):
    with pytest.raises(TypeError, match=message):
        trajectory(**changed)


def test_it_is_frozen_and_equal_to_itself_only():
    one = trajectory()
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.closed = False
    assert one == one
    assert one != trajectory()
    assert len({one, trajectory()}) == 2
