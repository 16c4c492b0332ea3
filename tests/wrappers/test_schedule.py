"""The schedule: what it accepts, what it makes of it, and what it says of itself."""

import dataclasses
import math
import pickle

import numpy as np
import pytest

from bagged_envs.wrappers import RewardSchedule
from bagged_envs.wrappers.schedule import ARGUMENTS, schedule_and_options


def test_the_defaults():
    assert dataclasses.asdict(RewardSchedule()) == {
        "bag_len": 20,
        "aggregate": "sum",
        "label_fraction": 1.0,
        "label_unit": "bag",
        "unlabeled_reward": 0.0,
        "success": None,
        "threshold": None,
    }


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (1, 1),
        (np.int64(7), 7),
        (2**53, 2**53),
        ([5, 10], (5, 10)),
        ((np.int32(3), 3), (3, 3)),
        (None, None),
    ],
)
def test_lengths_are_brought_to_plain_form(given, kept):
    schedule = RewardSchedule(bag_len=given)
    assert schedule.bag_len == kept
    assert type(schedule.bag_len) is type(kept)


def test_fractions_and_rewards_become_floats():
    schedule = RewardSchedule(label_fraction=1, unlabeled_reward=np.float32(0.5))
    assert type(schedule.label_fraction) is type(schedule.unlabeled_reward) is float
    assert math.isnan(RewardSchedule(unlabeled_reward=math.nan).unlabeled_reward)


def test_it_is_frozen_hashable_equal_by_value_and_picklable():
    schedule = RewardSchedule(bag_len=[5, 10], label_fraction=0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        schedule.bag_len = 3
    assert schedule == RewardSchedule(bag_len=(5, 10), label_fraction=0.5)
    assert len({schedule, RewardSchedule(bag_len=(5, 10), label_fraction=0.5)}) == 1
    assert pickle.loads(pickle.dumps(schedule)) == schedule


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "bag_len=20"),
        ({"bag_len": None}, "bag_len=None"),
        ({"bag_len": (5, 10), "aggregate": "mean"}, "bag_len=(5, 10), aggregate='mean'"),
        (
            {"bag_len": 1, "label_fraction": 0.01, "label_unit": "step"},
            "bag_len=1, label_fraction=0.01, label_unit='step'",
        ),
        ({"bag_len": None, "success": "distance", "threshold": 50}, "success='distance', threshold=50.0"),
    ],
)
def test_it_writes_what_differs_from_the_defaults(arguments, text):
    assert str(RewardSchedule(**arguments)) == text


@pytest.mark.parametrize(
    ("arguments", "lengths", "labels", "keeps"),
    [
        ({}, False, False, True),
        ({"bag_len": (1, 2)}, True, False, True),
        ({"bag_len": None}, False, False, True),
        ({"label_fraction": 0.5}, False, True, False),
        ({"aggregate": "mean"}, False, False, False),
        ({"bag_len": None, "success": "terminated"}, False, False, False),
    ],
)
def test_what_it_says_of_itself(arguments, lengths, labels, keeps):
    schedule = RewardSchedule(**arguments)
    assert (schedule.draws_lengths, schedule.draws_labels, schedule.keeps_return) == (lengths, labels, keeps)
    assert (schedule.judge is None) == ("success" not in arguments)


def test_arguments_are_split_from_options():
    schedule, options = schedule_and_options(
        {"bag_len": 3, "aggregate": "max", "observe_bag": True, "nonfinite": "pass"}
    )
    assert schedule == RewardSchedule(bag_len=3, aggregate="max")
    assert options == {"observe_bag": True, "nonfinite": "pass"}
    assert ARGUMENTS[0] == "bag_len"
