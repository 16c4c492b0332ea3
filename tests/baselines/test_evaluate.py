"""Evaluation sums the dense rewards of whole episodes."""

import gymnasium as gym
import pytest

from bagged_envs.baselines.evaluate import Evaluation, evaluate, evaluation_env


def test_returns_are_dense_whatever_is_paid():
    with evaluation_env("EpisodicKeyDoor-v0", {"size": 3, "delay": 1}) as env:
        plan = iter([0] * 2 + [3] * 2)
        found = evaluate(env, lambda observation: next(plan, 2), episodes=1, seed=3)
    assert found.lengths == (100,)
    with evaluation_env("SparseTraceBack-v0", {"delay": 4}) as env:
        evaluation = evaluate(env, lambda observation: 0, episodes=3, seed=0)
    assert evaluation == Evaluation((10.0,) * 3, (4,) * 3, (True,) * 3)
    assert (evaluation.mean, evaluation.success_rate) == (10.0, 1.0)


def test_without_success_there_is_no_rate():
    with evaluation_env("BaggedChargeDischarge-v0", {"delay": 4, "bag_len": 3}) as env:
        evaluation = evaluate(env, lambda observation: 1, episodes=2, seed=0)
    assert evaluation == Evaluation((4.0, 4.0), (4, 4))
    assert evaluation.success_rate is None


def test_episodes_follow_the_seed_and_differ():
    with evaluation_env("BaggedPocketWatch-v0", {}) as env:
        first, again, other = (evaluate(env, lambda observation: 0, 5, seed).returns for seed in (0, 0, 100))
    assert first == again
    assert len(set(first)) == 5
    assert not set(first) & set(other)


def test_an_environment_that_hides_its_reward_is_refused():
    with gym.make("BaggedKeyDoor-v0") as env, pytest.raises(ValueError, match="make .* with expose_reward=True"):
        evaluate(env, lambda observation: 0, episodes=1, seed=0)


@pytest.mark.parametrize("episodes", [0, -1])
def test_at_least_one_episode(episodes):
    with (
        evaluation_env("BaggedKeyDoor-v0", {}) as env,
        pytest.raises(ValueError, match="episodes must be an int of at"),
    ):
        evaluate(env, lambda observation: 0, episodes, 0)
