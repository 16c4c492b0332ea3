"""Regret on tasks that are solved by other code, and of rewards whose regret is known."""

import numpy as np
import pytest

import bagged_envs
from bagged_envs.baselines.judging.models import finite_model
from bagged_envs.baselines.judging.regret import (
    best_policy,
    expected_return,
    optimal_return,
    random_return,
    regret,
    tabular_rewards,
)
from tests.envs import models as written
from tests.envs.models import Solution

CASES = {
    "KeyDoor": (written.key_door, {}, 100),
    "HiddenDoor": (written.hidden_door, {"length": 5}, 50),
    "TraceBack": (written.trace_back, {"delay": 6, "noise": 0.5}, 6),
    "ChargeDischarge": (written.charge_discharge, {"delay": 7}, 7),
}


def model_of(task, **arguments):
    return finite_model(bagged_envs.dense(f"Bagged{task}-v0", **arguments))


def true_rewards(model):
    return model.table.rewards.reshape(len(model.table.states), -1).copy()


def shaping(model, seed=0, size=1.0):
    """Phi(s') - Phi(s) of random potentials in [0, size], 0 where an episode ends."""
    potential = np.random.default_rng(seed).uniform(0.0, size, len(model.table.states))
    potential[model.table.ends] = 0.0
    following = model.table.successors.reshape(len(potential), -1)
    return potential[following] - potential[:, None]


class TestModels:
    @pytest.mark.parametrize("task", CASES)
    def test_optimal_and_random_returns_are_those_of_other_code(self, task):
        make, arguments, horizon = CASES[task]
        solution, model = Solution(make(**arguments)), model_of(task, **arguments)
        assert model.horizon == horizon
        assert optimal_return(model) == pytest.approx(solution.optimal_return(horizon), abs=1e-12)
        starts = solution.model.starts
        expected = sum(solution.random_value(start, horizon) for start in starts) / len(starts)
        assert random_return(model) == pytest.approx(expected, abs=1e-12)

    def test_the_shop(self):
        """By brand repairing is worth -1.5, 3.5, 3.5 and -1.5."""
        model = model_of("PocketWatch")
        assert optimal_return(model) == pytest.approx(7.0 / 4)
        assert random_return(model) == pytest.approx(4.0 / 8)

    def test_the_shop_pays_what_the_task_pays(self):
        envs = bagged_envs.make_vec("BaggedPocketWatch-v0", num_envs=4000, bag_len=1)
        model, totals = model_of("PocketWatch"), np.zeros(4000)
        observations, _ = envs.reset(seed=0)
        states, wanted = model.numbers(observations), np.zeros(4000)
        for _ in range(50):
            states, rewards, _ = model.table.step(states, np.zeros(4000, dtype=np.int64))
            wanted += rewards
            observations, paid, *_ = envs.step(np.zeros(4000, dtype=np.int64))
            totals += paid
        assert (totals - wanted).mean() == pytest.approx(0.0, abs=4 * (totals - wanted).std() / np.sqrt(4000))
        assert np.ptp(wanted) > 4

    def test_a_time_limit_shortens_the_horizon(self):
        assert optimal_return(model_of("HiddenDoor", max_episode_steps=8)) == 1.0

    def test_states_are_numbered_as_observed(self):
        model = model_of("PocketWatch")
        numbers = model.numbers(np.array([[1, 7, 9, 2, 30]]))
        assert model.table.states[numbers[0]].tolist() == [1, 2, 30]

    def test_other_tasks_have_none(self):
        assert finite_model(bagged_envs.dense("BaggedInvertedPendulum-v0")) is None


@pytest.mark.parametrize("task", CASES)
class TestRegret:
    def test_the_truth_and_its_multiples_have_none(self, task):
        model = model_of(task)
        for scale in (1.0, 0.01, 100.0):
            assert regret(model, scale * true_rewards(model)) == pytest.approx(0.0, abs=1e-12)

    def test_potential_shaping_has_none(self, task):
        model = model_of(task)
        for seed in range(5):
            assert regret(model, true_rewards(model) + shaping(model, seed)) == pytest.approx(0.0, abs=1e-9)

    def test_a_reversed_reward_is_worst(self, task):
        model = model_of(task)
        worst = regret(model, -true_rewards(model))
        generator = np.random.default_rng(0)
        others = [generator.normal(size=true_rewards(model).shape) for _ in range(10)]
        assert worst == pytest.approx(optimal_return(model), abs=1e-9)  # it never earns anything
        assert all(regret(model, other) <= worst + 1e-9 for other in [*others, np.zeros_like(others[0])])

    def test_without_any_reward_every_action_is_as_good(self, task):
        model = model_of(task)
        nothing = np.zeros_like(true_rewards(model))
        assert regret(model, nothing) == pytest.approx(optimal_return(model) - random_return(model), abs=1e-12)


class TestByHand:
    def test_greed_for_the_next_reward(self):
        """With two steps: 1 + 1 for discharging twice, against 0 + 10; believing that charging costs 9.5."""
        model = model_of("ChargeDischarge", delay=2)
        rewards = true_rewards(model)
        rewards[:, 0] -= 9.5
        assert regret(model, rewards) == pytest.approx(10.0 - 2.0)

    def test_nothing_is_earned_after_the_end(self):
        """Where every step seems worth 5 more, nobody leaves by the open door before the last step."""
        model = model_of("HiddenDoor", length=3)
        policy = best_policy(model, true_rewards(model) + 5.0)
        leaves = policy[:, model.table.number(2, 0, 1), 1]
        assert leaves.tolist() == [0.0] * 49 + [1.0]

    def test_the_policy_knows_the_time(self):
        model = model_of("HiddenDoor", length=3)
        rewards = np.zeros_like(true_rewards(model))
        policy = best_policy(model, rewards)
        assert policy.shape == (50, 16, 3)
        assert policy.sum(axis=2) == pytest.approx(1.0)

    def test_what_was_not_recorded_is_not_done(self):
        model = model_of("ChargeDischarge", delay=4)
        rewards, allowed = true_rewards(model), np.ones((10, 2), dtype=bool)
        allowed[:, 0] = False  # never charged
        assert regret(model, rewards, allowed) == pytest.approx(20.0 - 4.0)

    def test_where_nothing_was_recorded_actions_are_random(self):
        model = model_of("ChargeDischarge", delay=2)
        allowed = np.zeros((6, 2), dtype=bool)
        policy = best_policy(model, true_rewards(model), allowed)
        assert (policy == 0.5).all()
        assert expected_return(model, policy) == pytest.approx(0.5 * 1.0 + 0.25 * 10.0 + 0.25 * 1.0)

    def test_means_over_recorded_steps(self):
        model = model_of("ChargeDischarge", delay=2)
        states, actions = np.array([0, 0, 0, 4]), np.array([1, 1, 0, 1])
        rewards, recorded = tabular_rewards(model, states, actions, np.array([1.0, 4.0, -1.0, 7.0]))
        assert rewards[0].tolist() == [-1.0, 2.5]
        assert rewards[4].tolist() == [0.0, 7.0]
        assert recorded.sum() == 3
