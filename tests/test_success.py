"""Success criteria: literal numbers on both sides of each threshold, and when success is paid and told."""

import math

import gymnasium as gym
import numpy as np
import pytest

import bagged_envs
from bagged_envs.testing import ScriptedEnv, episode
from bagged_envs.wrappers import SparseReward
from bagged_envs.wrappers.success import NAMES, criterion


def reacher(distance):
    """Reacher's observation; elements 8 and 9 point from the target to the fingertip, in m."""
    return np.array([0, 0, 0, 0, 0, 0, 0, 0, distance * 0.6, distance * 0.8])


def pusher(distance):
    """Pusher's observation: the object at 17 to 19, the goal at 20 to 22, in m."""
    return np.concatenate([np.zeros(17), [0.45, -0.05, -0.3], [0.45, -0.05 + distance, -0.3]])


CASES = [
    ("distance", 50.0, (None, {"x_position": 50.0}, 0.0, False), True),
    ("distance", 50.0, (None, {"x_position": 49.999}, 1e9, True), False),
    ("height", 0.9, (None, {"z_distance_from_origin": 0.9}, 0.0, False), True),
    ("height", 0.9, (None, {"z_distance_from_origin": 0.899}, 0.0, False), False),
    ("return", 800.0, (None, {}, 800.0, False), True),
    ("return", 800.0, (None, {}, 799.9, True), False),
    ("reach_tolerance", 0.05, (reacher(0.0499), {}, 0.0, False), True),
    ("reach_tolerance", 0.05, (reacher(0.0501), {}, 0.0, False), False),
    ("push_tolerance", 0.05, (pusher(0.0499), {}, 0.0, False), True),
    ("push_tolerance", 0.05, (pusher(-0.0501), {}, 0.0, False), False),
    ("solved", 1.0, (None, {"solved": True}, 0.0, False), True),
    ("solved", 1.0, (None, {"solved": False}, 9.0, True), False),
    ("covered", 1.0, (None, {"covered": 1.0}, 0.0, False), True),
    ("covered", 1.0, (None, {"covered": 0.9}, 0.0, False), False),
    ("caught", 1.0, (None, {"agent_0": {"caught": 1.0}, "agent_1": {"caught": 1.0}}, 0.0, False), True),
    ("caught", 1.0, (None, {"agent_0": {"caught": 0.5}, "agent_1": {"caught": 0.5}}, 0.0, False), False),
    ("area", 10.0, (None, {"area": 10.0}, 0.0, False), True),
    ("area", 10.0, (None, {"area": 9.99}, 0.0, False), False),
    ("terminated", None, (None, {}, 0.0, True), True),
    ("terminated", None, (None, {}, 0.0, False), False),
]


@pytest.mark.parametrize(("name", "threshold", "facts", "success"), CASES)
def test_both_sides_of_each_threshold(name, threshold, facts, success):
    assert criterion(name, threshold)(*facts) is success


def test_every_name_is_tried():
    assert {case[0] for case in CASES} == set(NAMES)


@pytest.mark.parametrize("name", ["distance", "height", "reach_tolerance", "push_tolerance"])
def test_what_an_environment_does_not_give_is_named(name):
    with pytest.raises(
        ValueError, match=f"success='{name}' needs the .*, which this environment does not give .*'odd'"
    ):
        criterion(name, 1.0)(None, {"odd": 1}, 0.0, False)


def test_the_tolerances_are_what_the_tasks_themselves_measure():
    """The distance terms of Gymnasium's own rewards, from the same state."""
    env = gym.make("Reacher-v5")
    env.reset(seed=0)
    observation, *_, info = env.step(env.action_space.sample())
    # Reacher's reward is computed after the step: info["reward_dist"] is minus the distance.
    assert criterion("reach_tolerance", 1.0).measure(observation, {}, 0.0, False) == pytest.approx(-info["reward_dist"])
    env = gym.make("Pusher-v5")
    env.reset(seed=0)
    observation, *_, info = env.step(env.action_space.sample())
    assert criterion("push_tolerance", 1.0).measure(observation, {}, 0.0, False) == pytest.approx(-info["reward_dist"])


class TestPaying:
    @staticmethod
    def play(rewards, **arguments):
        env = SparseReward(ScriptedEnv([episode(rewards)]), "return", **arguments)
        _, info = env.reset(seed=0)
        assert info["is_success"] is False
        return [(paid, info["is_success"]) for _, paid, _, _, info in (env.step(0) for _ in rewards)]

    def test_once_at_the_end_and_nothing_before(self):
        assert self.play([1.0, 2.0, 3.0], threshold=6.0) == [(0.0, False), (0.0, False), (1.0, True)]

    def test_a_failure_pays_nothing(self):
        assert self.play([1.0, 2.0, 3.0], threshold=6.1) == [(0.0, False)] * 3

    def test_a_hidden_label_hides_the_success_too_unless_rewards_are_exposed(self):
        hidden = {"threshold": 0.0, "label_fraction": 1e-12}
        assert self.play([1.0], **hidden) == [(0.0, False)]
        assert self.play([1.0], **hidden, expose_reward=True) == [(0.0, True)]
        (paid, _), *_ = self.play([1.0], **hidden, unlabeled_reward=math.nan)
        assert math.isnan(paid)

    def test_a_callable_sees_the_tasks_own_observation_and_info_and_all_that_is_hidden(self):
        seen = []

        def judge(observation, info, dense_return, terminated):
            seen.append((observation.tolist()[:2], info, dense_return, terminated))
            return True

        env = SparseReward(
            ScriptedEnv([episode([1.0, 2.5])], leak=True), judge, observe_bag=True, reward_info_keys=["reward_forward"]
        )
        env.reset(seed=0)
        env.step(0)
        *_, info = env.step(0)
        assert seen == [([1.0, 2.0], {"step": 2, "reward_forward": 2.5}, 3.5, True)]
        assert "reward_forward" not in info


class TestIds:
    def test_half_cheetah_by_default_and_as_its_paper_says(self):
        assert bagged_envs.resolved_schedule("SparseHalfCheetah-v0").threshold == 50.0
        assert bagged_envs.resolved_schedule("SparseHalfCheetah-v0", threshold=500).threshold == 500.0

    @pytest.mark.parametrize(("threshold", "paid"), [(-10.0, 1.0), (10.0, 0.0)])
    def test_the_threshold_decides(self, threshold, paid):
        env = gym.make("SparseHalfCheetah-v0", threshold=threshold, max_episode_steps=5)
        env.reset(seed=0)
        payments = [env.step(env.action_space.sample())[1] for _ in range(5)]
        assert payments == [0.0, 0.0, 0.0, 0.0, paid]

    def test_another_criterion_can_be_chosen(self):
        env = gym.make("SparseReacher-v0", success="return", threshold=-1e6)
        env.reset(seed=0)
        assert [env.step(env.action_space.sample())[1] for _ in range(50)][-1] == 1.0

    def test_the_tasks_threshold_does_not_go_with_another_criterion(self):
        """10 m would be read as a return of 10."""
        with pytest.raises(ValueError, match="success='return' needs a threshold, got threshold=None"):
            gym.make("SparseWalker2d-v0", success="return")
        env = gym.make("SparseWalker2d-v0", success="terminated")
        assert str(env.schedule) == "success='terminated'"
        again = gym.make(env.spec, success="return", threshold=5.0)
        assert str(again.schedule) == "success='return', threshold=5.0"

    def test_a_callable_can_be_chosen(self):
        env = gym.make("SparseReacher-v0", success=lambda *facts: True, max_episode_steps=2)
        env.reset(seed=0)
        assert [env.step(env.action_space.sample())[1] for _ in range(2)] == [0.0, 1.0]

    @pytest.mark.parametrize("name", ["reach_tolerance", "push_tolerance"])
    def test_another_tasks_observation_is_no_success(self, name):
        env = gym.make("SparseHalfCheetah-v0", success=name, threshold=0.05, max_episode_steps=1)
        env.reset(seed=0)
        with pytest.raises(ValueError, match=f"success='{name}' needs the .* \\(observation of shape \\(17,\\)"):
            env.step(env.action_space.sample())

    def test_the_module_is_reachable_from_the_package(self):
        assert bagged_envs.success.criterion is criterion
