"""The finite tasks against models written from their docstrings, solved exactly by backward induction."""

import pytest

from bagged_envs.envs import hidden_door as hidden_door_module
from bagged_envs.envs import key_door as key_door_module
from bagged_envs.envs.charge_discharge import ChargeDischarge
from bagged_envs.envs.hidden_door import HiddenDoor
from bagged_envs.envs.key_door import KeyDoor
from bagged_envs.envs.trace_back import TraceBack
from tests.envs.cases import native
from tests.envs.models import (
    Solution,
    charge_discharge,
    greedy_episode,
    happened,
    hidden_door,
    key_door,
    reachable,
    trace_back,
)

# Small enough for random actions to try everything; the last column counts all that can happen.
SMALL = [
    (KeyDoor, key_door, {"size": 3, "delay": 2, "distractors": 1}, 60, 77),
    (KeyDoor, key_door, {"size": 2, "delay": 1}, 60, 32),
    (HiddenDoor, hidden_door, {"length": 4}, 60, 48),
    (HiddenDoor, hidden_door, {"length": 3}, 60, 36),
    (TraceBack, trace_back, {"delay": 6}, None, 320),
    (TraceBack, trace_back, {"delay": 4, "noise": 0.25}, None, 220),
    (ChargeDischarge, charge_discharge, {"delay": 5}, None, 18),
]
DEFAULT = [(KeyDoor, key_door), (HiddenDoor, hidden_door), (TraceBack, trace_back), (ChargeDischarge, charge_discharge)]


@pytest.mark.parametrize(("task", "model", "arguments", "limit", "count"), SMALL)
def test_what_happens_is_what_can_happen(task, model, arguments, limit, count):
    """Every transition of the model with its reward and ending, and no other; every start, and no other."""
    transitions, starts = happened(task, arguments, 256, 400, limit)
    wanted = reachable(model(**arguments))
    assert transitions == wanted
    assert len(wanted) == count
    assert starts == set(model(**arguments).starts)


@pytest.mark.parametrize(("task", "model"), DEFAULT)
def test_nothing_else_happens_with_the_default_arguments(task, model):
    transitions, starts = happened(task, {}, 256, 200, 100, seed=1)
    assert transitions <= reachable(model())
    assert starts == set(model().starts)


def on_the_way(task, model, horizon, seed=0):
    """The rewards other than 0, the optimal values before each and at the end, and how many steps it took."""
    rewards, values, ended = greedy_episode(task, model, horizon, seed)
    assert ended
    assert sum(rewards) == values[0]
    steps = [value for value, following in zip(values, [*values[1:], 0.0], strict=True) if value != following]
    return [reward for reward in rewards if reward], [*steps, 0.0], len(rewards)


class TestKeyDoor:
    def test_the_optimal_return(self):
        assert Solution(key_door()).optimal_return(key_door_module.MAX_EPISODE_STEPS) == 8.0
        assert Solution(key_door(distractors=9)).optimal_return(100) == 8.0
        # From the farthest of 24 cells: 8 moves to the key, 7 through the door, 10 to the treasure.
        assert Solution(key_door()).optimal_return(25) == 8.0
        assert Solution(key_door()).optimal_return(24) == pytest.approx((23 * 8 + 3) / 24, abs=1e-12)

    @pytest.mark.parametrize("arguments", [{"size": 3, "delay": 40}, {"size": 8, "delay": 1}])
    def test_the_recommended_limit_is_enough(self, arguments):
        horizon = 4 * arguments["size"] + arguments["delay"]
        assert Solution(key_door(**arguments)).optimal_return(horizon) == 8.0

    def test_the_values_steps_are_at_key_door_and_treasure(self):
        for seed in range(5):
            assert on_the_way(KeyDoor(), key_door(), 40, seed)[:2] == ([1.0, 2.0, 5.0], [8.0, 7.0, 5.0, 0.0])

    def test_the_values_of_random_actions(self):
        """In a delayed variant these, with what was earned and not yet paid, are what a good predictor jumps by."""
        value = Solution(key_door()).random_value
        before_key, with_key = value((0, 1, 0), 100), value((0, 0, 1), 99)
        assert before_key == pytest.approx(2.137537577508201, abs=1e-12)
        assert 1.0 + with_key - before_key == pytest.approx(0.9502584, abs=1e-7)
        before_door, behind_door = value((2, 4, 1), 100), value((2, 5, 1), 99)
        assert 2.0 + behind_door - before_door == pytest.approx(2.8420658, abs=1e-7)

    def test_an_apple_is_good_or_bad_as_often_and_once_and_for_all(self):
        envs = native(KeyDoor, 4096, {"size": 2, "delay": 3, "distractors": 2}, mode="Disabled")
        _ = envs.reset(seed=0)
        paid = []
        for actions in key_then_treasure(envs):
            paid.append(envs.step(actions)[1])
        first, second = paid[-3], paid[-2]
        assert {*first.tolist(), *second.tolist()} == {0.5, -0.5}
        assert abs(first.mean()) < 4 * 0.5 / 64
        assert abs((first * second).mean()) < 4 * 0.25 / 64
        assert paid[-1].tolist() == [5.0] * 4096


def key_then_treasure(envs):
    """Actions that lead every copy of a room of 2 by 2 to the treasure, step by step."""
    for action in (0, 3, 2, 1, 1, 1, 1, 1):  # up, left: at the key; down, right, and on
        yield [action] * envs.num_envs


class TestHiddenDoor:
    def test_the_optimal_return(self):
        solution = Solution(hidden_door())
        assert [solution.optimal_return(horizon) for horizon in (7, 8, 9, 50)] == [0.0, 1.0, 3.0, 3.0]
        assert hidden_door_module.MAX_EPISODE_STEPS == 50

    def test_the_values_steps_are_at_button_and_exit(self):
        assert on_the_way(HiddenDoor(), hidden_door(), 9) == ([1.0, 2.0], [3.0, 2.0, 0.0], 9)

    def test_the_lamp_is_worth_nothing(self):
        """With time to spare it changes nothing; without, it costs the exit."""
        solution = Solution(hidden_door())
        assert solution.q((6, 0, 0), 2, 4) == solution.value((6, 0, 0), 4) == 3.0
        assert (solution.q((6, 0, 0), 2, 3), solution.value((6, 0, 0), 3)) == (1.0, 3.0)
        assert all(solution.value((cell, 0, 0), 20) == solution.value((cell, 1, 0), 20) for cell in range(8))

    def test_among_random_episodes_it_goes_with_success(self):
        """The 38 % and 12 % of the docstring, by summing over all random episodes of 50 steps."""
        lit, dark = random_success(hidden_door(), 50)
        assert (lit, dark) == (pytest.approx(0.376315, abs=1e-6), pytest.approx(0.123016, abs=1e-6))


def random_success(model, horizon):
    """The probability that an episode of random actions has ended by itself, given that the lamp is lit, or dark."""
    running, ended = {model.starts[0]: 1.0}, {}
    for _ in range(horizon):
        following = {}
        for state, probability in running.items():
            for action in range(model.actions):
                ((_, state_after, _, ends),) = model.step(state, action)
                place = ended if ends else following
                place[state_after] = place.get(state_after, 0.0) + probability / model.actions
        running = following
    shares = []
    for lamp in (1, 0):
        success = sum(p for state, p in ended.items() if state[1] == lamp)
        shares.append(success / (success + sum(p for state, p in running.items() if state[1] == lamp)))
    return shares


class TestTraceBack:
    def test_the_optimal_and_the_random_return(self):
        solution = Solution(trace_back())
        assert (solution.optimal_return(20), solution.random_value((2, 2, 0), 20)) == (10.0, 1.875)
        assert Solution(trace_back(noise=0.5)).optimal_return(20) == 10.0

    def test_the_values_steps_are_in_the_first_two_steps(self):
        solution = Solution(trace_back())
        assert [solution.q((2, 2, 0), action, 20) for action in range(4)] == [10.0, 5.0, 0.0, 5.0]
        assert [solution.q((1, 2, 1), action, 19) for action in range(4)] == [10.0, 5.0, 0.0, 5.0]
        assert [solution.q((2, 3, 1), action, 19) for action in range(4)] == [5.0, 0.0, 0.0, 0.0]
        assert on_the_way(TraceBack(), trace_back(), 20) == ([10.0], [10.0, 0.0], 20)

    def test_noise_is_fair_and_independent(self):
        envs = native(TraceBack, 4096, {"delay": 6, "noise": 0.25})
        envs.reset(seed=0)
        paid = [envs.step([0] * 4096)[1] for _ in range(6)]
        assert [rewards.tolist() for rewards in paid[:2]] == [[0.0] * 4096, [10.0] * 4096]
        for step in range(2, 6):
            assert set(paid[step].tolist()) == {0.25, -0.25}
            assert abs(paid[step].mean()) < 4 * 0.25 / 64
            assert step == 2 or abs((paid[step] * paid[step - 1]).mean()) < 4 * 0.0625 / 64


class TestChargeDischarge:
    def test_the_optimal_returns(self):
        returns = {delay: Solution(charge_discharge(delay)).optimal_return(delay) for delay in (1, 2, 3, 4, 9, 10, 13)}
        assert returns == {1: 1.0, 2: 10.0, 3: 11.0, 4: 20.0, 9: 41.0, 10: 50.0, 13: 61.0}

    def test_the_values_steps(self):
        solution = Solution(charge_discharge())
        assert [solution.q((0, 0), action, 10) for action in (0, 1)] == [50.0, 42.0]
        assert [solution.q((1, 1), action, 9) for action in (0, 1)] == [41.0, 50.0]

    def test_the_optimal_policy_attains_it(self):
        assert on_the_way(ChargeDischarge(), charge_discharge(), 10) == (
            [10.0] * 5,
            [50.0, 40.0, 30.0, 20.0, 10.0, 0.0],
            10,
        )
