"""Recorded episodes in other bags are those that the delayed environment would have given."""

import gymnasium as gym
import numpy as np
import pytest

import bagged_envs  # noqa: F401
from bagged_envs.baselines.collect import Collector
from bagged_envs.baselines.judging.rebag import dense_rewards, rebag
from bagged_envs.wrappers import RewardSchedule
from tests.baselines.judging.episodes import episodes
from tests.baselines.trajectories import trajectory


@pytest.mark.parametrize(
    "arguments",
    [
        {"bag_len": 3},
        {"bag_len": (2, 5)},
        {"bag_len": 4, "label_fraction": 0.5},
        {"bag_len": 4, "label_fraction": 0.5, "label_unit": "episode"},
        {"bag_len": 3, "aggregate": "max"},
    ],
    ids=str,
)
def test_as_the_environment_delays_them(arguments):
    def played(**more):
        env = gym.make("BaggedKeyDoor-v0", max_episode_steps=13, expose_reward=True, **more)
        env.action_space.seed(1)
        return Collector(env, seed=5).collect(lambda observation: env.action_space.sample(), episodes=6)

    wanted, found = played(**arguments), rebag(played(bag_len=1), RewardSchedule(**arguments), seed=5)
    for one, other in zip(found, wanted, strict=True):
        for name in ("observations", "actions", "rewards", "bag_ids", "labeled"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert one.terminated == other.terminated


def test_what_was_paid_before_does_not_matter():
    once = episodes(3, bag_len=7)
    twice = rebag(rebag(once, RewardSchedule(bag_len=2)), RewardSchedule(bag_len=7))
    for one, other in zip(twice, once, strict=True):
        np.testing.assert_array_equal(one.rewards, other.rewards)


def test_success_cannot_be_told_from_rewards():
    with pytest.raises(ValueError, match="success='terminated'"):
        rebag(episodes(1), RewardSchedule(bag_len=None, success="terminated"))


def test_open_episodes_are_refused():
    with pytest.raises(ValueError, match="open bag"):
        rebag([trajectory([2, 2], closed=False, dense=True)], RewardSchedule())


def test_without_dense_rewards():
    with pytest.raises(ValueError, match="expose_reward=True"):
        dense_rewards(trajectory([2, 2]))
