"""Tabular learners: every update rule worked out by hand, what advice is equal to, and small tasks solved exactly."""

import random

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.wrappers import TimeLimit

from bagged_envs.baselines.learners.tabular import (
    ActionValues,
    LookAheadAdvice,
    LookBackAdvice,
    MonteCarlo,
    PotentialShaping,
    QLambda,
    SarsaLambda,
    StateNumbers,
    TabularConfig,
    lambda_returns,
    play,
)
from bagged_envs.envs.charge_discharge import ChargeDischarge
from bagged_envs.envs.key_door import KeyDoor
from tests.envs.models import Solution, charge_discharge, key_door

HALVES = TabularConfig(step_size=0.5, discount=0.5, trace_decay=0.5, epsilon=0.0)
LEARNERS = [QLambda, SarsaLambda, MonteCarlo]


class TestStateNumbers:
    @pytest.mark.parametrize(
        "space", [MultiDiscrete([2, 3, 4]), MultiDiscrete([3, 2], start=[-1, 5]), Discrete(5), Discrete(4, start=-2)]
    )
    def test_numbers_count_from_zero_without_gaps(self, space):
        number = StateNumbers(space)
        if isinstance(space, Discrete):
            values = [space.start + np.int64(value) for value in range(space.n)]
        else:
            values = [np.array(value) + space.start for value in np.ndindex(*space.nvec)]
        assert [number(value) for value in values] == list(range(number.size))

    @pytest.mark.parametrize("space", [Box(0, 1), MultiDiscrete([[2, 2], [2, 2]])])
    def test_other_spaces_are_refused(self, space):
        with pytest.raises(TypeError, match="Discrete"):
            StateNumbers(space)


class TestPolicy:
    def test_ties_are_broken_at_random_and_exploration_is_uniform(self):
        values = ActionValues(4, TabularConfig(epsilon=0.4), seed=0)
        values.row(0)[:] = [1.0, 2.0, 2.0, 0.0]
        greedy = [values.act(0, explore=False) for _ in range(2000)]
        assert set(greedy) == {1, 2}
        assert 0.45 < greedy.count(1) / 2000 < 0.55
        counts = np.bincount([values.act(0) for _ in range(8000)], minlength=4) / 8000
        assert counts == pytest.approx([0.1, 0.4, 0.4, 0.1], abs=0.02)

    def test_initial_values_are_optimistic_where_that_is_wanted(self):
        assert ActionValues(3, TabularConfig(initial_value=7.5)).row(99) == [7.5] * 3

    def test_the_greedy_action_of_advice(self):
        values = ActionValues(2, HALVES, advice=LookAheadAdvice(lambda state, action: 3.0 * action, 0.5))
        values.row(0)[:] = [2.0, 0.0]
        assert (values.greedy(0), values.is_greedy(0, 1), values.is_greedy(0, 0)) == (1, True, False)

    @pytest.mark.parametrize("wrong", [{"step_size": 0.0}, {"discount": 1.5}, {"epsilon": -0.1}, {"traces": "none"}])
    def test_settings_that_cannot_be_meant(self, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            TabularConfig(**wrong)


class TestQLambda:
    def test_two_steps_by_hand(self):
        learner = QLambda(2, HALVES)
        learner.values.row(1)[:] = [4.0, 8.0]
        # delta = 1 + 0.5 * 8 - 0 = 5, and Q(0, 0) = 2.5. The next action is greedy: its trace fades to 0.25.
        learner.learn(0, 0, 1.0, 1, 1, False)
        assert learner.values.row(0) == [2.5, 0.0]
        # delta = 2 - 8 = -6 at the end: Q(1, 1) = 8 - 3, and Q(0, 0) = 2.5 + 0.5 * -6 * 0.25.
        learner.learn(1, 1, 2.0, 2, 0, True)
        assert (learner.values.row(0), learner.values.row(1)) == ([1.75, 0.0], [4.0, 5.0])

    @pytest.mark.parametrize(("cut", "first"), [(True, 2.5), (False, 2.5 + 0.5 * (2 - 4) * 0.25)])
    def test_an_action_that_is_not_greedy_cuts_traces_of_watkins_s(self, cut, first):
        learner = QLambda(2, TabularConfig(0.5, 0.5, 0.5, 0.0, cut=cut))
        learner.values.row(1)[:] = [4.0, 8.0]
        learner.learn(0, 0, 1.0, 1, 0, False)
        learner.learn(1, 0, 2.0, 2, 0, True)
        assert learner.values.row(0)[0] == first
        assert learner.values.row(1) == [3.0, 8.0]

    @pytest.mark.parametrize(("traces", "trace"), [("replacing", 1.0), ("accumulating", 1.25)])
    def test_what_comes_back(self, traces, trace):
        learner = QLambda(1, TabularConfig(0.5, 0.5, 0.5, 0.0, traces=traces))
        learner.learn(0, 0, 0.0, 0, 0, False)  # nothing moves, and the trace fades to 0.25
        learner.learn(0, 0, 8.0, 1, 0, True)
        assert learner.values.row(0) == [0.5 * 8.0 * trace]

    def test_no_trace_reaches_over_an_episode_s_end(self):
        learner = QLambda(1, HALVES)
        learner.learn(0, 0, 0.0, 1, 0, False)
        learner.end()
        learner.learn(1, 0, 8.0, 2, 0, True)
        assert (learner.values.row(0), learner.values.row(1)) == ([0.0], [4.0])

    def test_truncation_does_not_stop_bootstrapping(self):
        learner = QLambda(1, HALVES)
        learner.values.row(1)[:] = [8.0]
        learner.learn(0, 0, 0.0, 1, 0, False)
        learner.end()
        assert learner.values.row(0) == [2.0]


class TestSarsaLambda:
    def test_two_steps_by_hand(self):
        learner = SarsaLambda(2, HALVES)
        learner.values.row(1)[:] = [4.0, 8.0]
        # delta = 1 + 0.5 * 4 - 0 = 3 with the action that comes, and Q(0, 0) = 1.5; nothing is cut.
        learner.learn(0, 0, 1.0, 1, 0, False)
        assert learner.values.row(0) == [1.5, 0.0]
        # delta = 2 - 4 = -2: Q(1, 0) = 4 - 1, and Q(0, 0) = 1.5 + 0.5 * -2 * 0.25.
        learner.learn(1, 0, 2.0, 2, 0, True)
        assert (learner.values.row(0), learner.values.row(1)) == ([1.25, 0.0], [3.0, 8.0])


class TestMonteCarlo:
    def test_every_visit_by_hand(self):
        learner = MonteCarlo(1, HALVES)
        for state, reward in ((0, 4.0), (1, 0.0), (0, 8.0)):
            learner.learn(state, 0, reward, 9, 0, False)
        assert learner.values.row(0) == [0.0]
        learner.end()
        # Returns from the end: 8, 4 and 6. Q(0) = 4 after its last visit, and 4 + 0.5 * (6 - 4) after its first.
        assert (learner.values.row(0), learner.values.row(1)) == ([5.0], [2.0])

    def test_an_episode_is_learned_from_once(self):
        learner = MonteCarlo(1, HALVES)
        learner.learn(0, 0, 4.0, 1, 0, True)
        learner.end()
        learner.end()
        assert learner.values.row(0) == [2.0]


class TestAdvice:
    def test_potential_shaping_by_hand(self):
        advice = PotentialShaping(lambda state: 10.0 * state, 0.5)
        assert advice.reward(None, (1, 0), (3, 1)) == 0.5 * 30 - 10
        assert advice.reward((1, 0), (3, 0), None) == -30.0
        assert advice.bias(3, 0) == 0.0

    def test_look_ahead_by_hand(self):
        advice = LookAheadAdvice(lambda state, action: 10.0 * state + action, 0.5)
        assert advice.reward(None, (1, 2), (3, 4)) == 0.5 * 34 - 12
        assert advice.reward((1, 2), (3, 4), None) == -34.0
        assert advice.bias(3, 4) == 34.0

    def test_look_back_by_hand(self):
        advice = LookBackAdvice(lambda state, action: 10.0 * state + action, 0.5)
        assert advice.reward(None, (1, 2), (3, 4)) == 12.0
        assert advice.reward((1, 2), (3, 4), (5, 6)) == 34 - 12 / 0.5
        assert advice.reward((1, 2), (3, 4), None) == -24.0
        assert advice.bias(3, 4) == 0.0

    def test_look_back_takes_back_all_it_gave(self):
        """Discounted, from any step on it adds up to what the step before was promised: no policy gains by it."""
        advice = LookBackAdvice(lambda state, action: 10.0 * state + action, 0.5)
        pairs = [(1, 0), (4, 1), (2, 1), (7, 0)]
        gains = [
            advice.reward(pairs[step - 1] if step else None, pairs[step], (0, 0) if step < 3 else None)
            for step in range(4)
        ]
        assert sum(0.5**step * gain for step, gain in enumerate(gains)) == 0.0
        assert sum(0.5**step * gain for step, gain in enumerate(gains[1:])) == -10.0 / 0.5

    @pytest.mark.parametrize("learner", [QLambda, SarsaLambda])
    def test_advice_reaches_the_update(self, learner):
        """delta = 1 + F + 0.5 Q(s', a') - Q(s, a), with the following action that the rule bootstraps from."""
        advised = learner(2, HALVES, advice=LookAheadAdvice(lambda state, action: 16.0 * state * action, 0.5))
        advised.values.row(1)[:] = [4.0, 2.0]
        advised.learn(0, 1, 1.0, 1, 0, False)
        # Q-learning takes the action greedy with advice, 1: F = 8; SARSA the one taken: F = 0.
        assert advised.values.row(0)[1] == (0.5 * (1 + 8 + 1) if learner is QLambda else 0.5 * (1 + 0 + 2))

    def test_advice_reaches_monte_carlo(self):
        learner = MonteCarlo(1, HALVES, advice=LookBackAdvice(lambda state, action: 2.0 + state, 0.5))
        learner.learn(0, 0, 0.0, 1, 0, False)
        learner.learn(1, 0, 8.0, 2, 0, True)
        learner.end()
        assert learner.values.row(1) == [0.5 * (8 - 2 / 0.5)]
        assert learner.values.row(0) == [0.5 * (2 + 0.5 * 4)]

    @pytest.mark.parametrize("learner", [QLambda, SarsaLambda])
    @pytest.mark.parametrize("kind", ["shaping", "look-ahead"])
    def test_advice_equals_first_values(self, learner, kind):
        """Wiewiora 2003: values with the potential are those of a learner that began with the potential."""
        worth = {
            (state, action): 3.0 * random.Random(9 * state + action).random()
            for state in range(6)
            for action in range(2)
        }
        if kind == "shaping":
            worth = {(state, action): worth[state, 0] for state, action in worth}
            advice = PotentialShaping(lambda state: worth[state, 0], 0.5)
        else:
            advice = LookAheadAdvice(lambda state, action: worth[state, action], 0.5)
        advised, begun = learner(2, HALVES, advice=advice), learner(2, HALVES)
        for state, action in worth:
            begun.values.row(state)[action] = worth[state, action]
        numbers = random.Random(0)
        for _ in range(200):
            state, action = numbers.randrange(5), numbers.randrange(2)
            for step in range(6):
                following, reward = numbers.randrange(5), numbers.random()
                # An action that is greedy for the one is greedy for the other; without random ties it is the same.
                chosen = begun.values.greedy(following) if numbers.random() < 0.7 else numbers.randrange(2)
                for one in (advised, begun):
                    one.learn(state, action, reward, following, chosen, step == 5)
                state, action = following, chosen
            for one in (advised, begun):
                one.end()
        for state, action in worth:
            assert advised.values.row(state)[action] + worth[state, action] == pytest.approx(
                begun.values.row(state)[action]
            )


class TestLambdaReturns:
    def test_by_hand(self):
        assert lambda_returns([1.0, 2.0, 4.0], [True, True, False], 0.5) == [3.0, 4.0, 4.0]
        assert lambda_returns([1.0, 2.0, 4.0], [False, True, False], 0.5) == [1.0, 4.0, 4.0]

    @pytest.mark.parametrize("cut", [True, False])
    def test_it_is_what_traces_do_where_no_state_comes_twice(self, cut):
        numbers, config = random.Random(1), TabularConfig(0.5, 0.9, 0.8, 0.0, cut=cut)
        learner, other = QLambda(2, config), ActionValues(2, config)
        for _ in range(50):
            actions = [numbers.randrange(2) for _ in range(8)]
            rewards = [numbers.random() for _ in range(8)]
            errors = [
                reward + (0.9 * max(other.row(step + 1)) if step < 7 else 0.0) - other.row(step)[action]
                for step, (action, reward) in enumerate(zip(actions, rewards, strict=True))
            ]
            goes_on = [not cut or other.is_greedy(step + 1, actions[(step + 1) % 8]) for step in range(8)]
            for step, (action, reward) in enumerate(zip(actions, rewards, strict=True)):
                learner.learn(step, action, reward, step + 1, actions[(step + 1) % 8], step == 7)
            learner.end()
            for step, move in enumerate(lambda_returns(errors, goes_on, 0.9 * 0.8)):
                other.row(step)[actions[step]] += 0.5 * move
            for step in range(8):
                assert learner.values.row(step) == pytest.approx(other.row(step))


class TestTasks:
    @pytest.mark.parametrize("kind", LEARNERS)
    def test_key_door_is_solved_exactly(self, kind):
        """From every start the greedy policy takes the optimal return, of key, door and treasure."""
        config = TabularConfig(step_size=0.1, discount=0.95, epsilon=0.1, initial_value=2.0)
        learner, env = kind(4, config, seed=0), TimeLimit(KeyDoor(size=3, delay=2), 60)
        env.reset(seed=0)
        for _ in range(2000):
            play(env, learner)
        best, starts = Solution(key_door(3, 2)).optimal_return(60), set()
        assert best == 8.0
        for seed in range(40):
            starts.add(tuple(env.reset(seed=seed)[0].tolist()))
            assert play(env, learner, explore=False, seed=seed) == best
        assert len(starts) == 8

    @pytest.mark.parametrize("kind", LEARNERS)
    def test_charge_discharge_is_solved_exactly(self, kind):
        config = TabularConfig(step_size=0.1, epsilon=0.1, initial_value=20.0)
        learner, env = kind(2, config, seed=0), ChargeDischarge(6)
        for _ in range(1500):
            play(env, learner)
        assert play(env, learner, explore=False) == Solution(charge_discharge(6)).optimal_return(6) == 30.0

    @pytest.mark.parametrize("kind", LEARNERS)
    def test_playing_greedily_learns_nothing(self, kind):
        learner = kind(2, TabularConfig(), seed=0)
        play(ChargeDischarge(6), learner, explore=False)
        play(ChargeDischarge(6), learner, explore=False)
        assert all(row == [0.0, 0.0] for row in learner.values.rows.values())

    def test_a_saved_table_goes_on_to_the_bit(self):
        one, other = (QLambda(2, TabularConfig(), seed=seed) for seed in (0, 1))
        for _ in range(20):
            play(ChargeDischarge(6), one)
        other.values.load_state_dict(one.values.state_dict())
        for _ in range(20):
            assert play(ChargeDischarge(6), one) == play(ChargeDischarge(6), other)
        assert one.values.rows == other.values.rows
