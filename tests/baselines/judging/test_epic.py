"""Distances of rewards: what they do not see, what they must see, and one worked out by hand."""

import numpy as np
import pytest

from bagged_envs.baselines.judging.epic import (
    Transitions,
    epic_distance,
    pearson_distance,
    potentials,
    shaping_free_distance,
)

DISCOUNT = 0.9
ONE_HOT = np.eye(5)


def walks(steps=400, seed=0, sizes=None):
    """Random steps between 5 states by 3 actions, one-hot; or between points of 4 numbers by vectors of 2."""
    generator = np.random.default_rng(seed)
    if sizes is None:
        states, actions, following = (generator.integers(n, size=steps) for n in (5, 3, 5))
        parts = ONE_HOT[states], np.eye(3)[actions], ONE_HOT[following]
    else:
        parts = tuple(generator.normal(size=(steps, size)) for size in (4, 2, 4))
    return Transitions(*parts, terminated=generator.random(steps) < 0.1)


def reward(states, actions, following):
    return states @ np.arange(states.shape[1]) * actions[:, 0] - 2.0 * actions[:, 1] + following[:, 0] * states[:, 1]


def another(states, actions, following):
    return states[:, 2] - following[:, 0] * actions[:, 1]


def potential(states):
    return 7.0 * np.sin(states @ np.arange(1.0, 1.0 + states.shape[1])) + 3.0


def shaped(states, actions, following):
    return reward(states, actions, following) + DISCOUNT * potential(following) - potential(states)


def distance(first, second, recorded, **settings):
    return epic_distance(first, second, recorded, DISCOUNT, **settings)


@pytest.mark.parametrize("sizes", [None, "continuous"])
class TestEpic:
    def test_shaping_scale_and_shift_are_not_seen(self, sizes):
        recorded = walks(sizes=sizes)
        assert distance(reward, reward, recorded) == pytest.approx(0.0, abs=1e-7)
        assert distance(reward, shaped, recorded) == pytest.approx(0.0, abs=1e-6)
        assert distance(reward, lambda *step: 3.0 * shaped(*step) - 11.0, recorded) == pytest.approx(0.0, abs=1e-6)

    def test_a_reversed_reward_is_as_far_as_can_be(self, sizes):
        recorded = walks(sizes=sizes)
        assert distance(reward, lambda *step: -shaped(*step), recorded) == pytest.approx(1.0, abs=1e-6)

    def test_shaping_does_not_hide_another_reward(self, sizes):
        recorded = walks(sizes=sizes)
        far = distance(reward, another, recorded)
        assert 0.3 < far < 0.95
        assert distance(shaped, another, recorded) == pytest.approx(far, abs=1e-6)

    def test_a_wrong_discount_is_seen(self, sizes):
        assert epic_distance(reward, shaped, walks(sizes=sizes), 0.5) > 0.1


class TestEpicExactly:
    def test_by_hand(self):
        """Two states, two actions, everything recorded once: 8 transitions; R = 1 for (0, 0, 0), else nothing.

        m(0) = 1/4 and m(1) = 0, so C = R + discount m(s') - m(s), and the other reward, 1 for (0, 0, 1), has the same
        means. With discount 1 C(s, a, s') = R + m(s') - m(s): for s = 0: (3/4 + 1/4, -1/4) + ..., listed below.
        """
        both = np.eye(2)
        s, a, t = (index.ravel() for index in np.indices((2, 2, 2)))
        recorded = Transitions(both[s], both[a], both[t], np.zeros(8, dtype=bool))
        one = lambda states, actions, following: states[:, 0] * actions[:, 0] * following[:, 0]  # noqa: E731
        two = lambda states, actions, following: states[:, 0] * actions[:, 0] * following[:, 1]  # noqa: E731
        # Rows (s, a, s') in order 000, 001, 010, 011, 100, 101, 110, 111.
        first = np.array([1, -0.25, 0, -0.25, 0.25, 0, 0.25, 0])
        second = np.array([0, 0.75, 0, -0.25, 0.25, 0, 0.25, 0])
        centered = first - first.mean(), second - second.mean()
        rho = centered[0] @ centered[1] / np.sqrt((centered[0] ** 2).sum() * (centered[1] ** 2).sum())
        # Both add up to 1, of squares 1 + 4/16 and 9/16 + 3/16; products -3/16 + 1/16 + 2/16.
        assert rho == pytest.approx((0.0 - 1 / 8) / np.sqrt((1.25 - 1 / 8) * (0.75 - 1 / 8)))
        expected = np.sqrt((1 - rho) / 2)
        assert epic_distance(one, two, recorded, 1.0) == pytest.approx(expected, abs=1e-12)

    def test_few_states_are_enumerated_and_chance_plays_no_part(self):
        recorded = walks()
        assert distance(reward, another, recorded, seed=0) == distance(reward, another, recorded, seed=1)
        assert distance(reward, another, recorded, samples=14, seed=0) != distance(
            reward, another, recorded, samples=14, seed=1
        )

    def test_pairs_count_as_often_as_they_were_recorded(self):
        recorded = walks(40)
        often = Transitions(
            *(np.concatenate((part, part[:3].repeat(20, axis=0))) for part in (recorded.states, recorded.actions)),
            np.concatenate((recorded.following, recorded.following[:3].repeat(20, axis=0))),
            np.zeros(100, dtype=bool),
        )

        def canonical(function):
            def mean(state):
                return np.mean([function(*_pair(state, a, often.states)).mean() for a in often.actions])

            after, before = ([mean(state) for state in states] for states in (often.following, often.states))
            return function(often.states, often.actions, often.following) + DISCOUNT * np.array(after) - before

        expected = pearson_distance(canonical(reward), canonical(another))
        assert distance(reward, another, often) == pytest.approx(expected, abs=1e-9)

    def test_samples_come_near_it(self):
        recorded = walks(4000)
        exact = distance(reward, another, recorded, transitions=4000)
        assert distance(reward, another, recorded, transitions=4000, samples=14) == pytest.approx(exact, abs=0.1)
        assert distance(reward, another, recorded, transitions=2000) == pytest.approx(exact, abs=0.03)

    def test_a_reward_that_says_nothing(self):
        nothing = lambda states, actions, following: np.full(len(states), 2.5)  # noqa: E731
        assert distance(reward, nothing, walks()) == pytest.approx(np.sqrt(0.5))
        assert np.isnan(distance(nothing, reward, walks()))


def _pair(state, action, states):
    """The state with the action, followed by each of the states."""
    return np.tile(state, (len(states), 1)), np.tile(action, (len(states), 1)), states


def test_pearson_distance_by_hand():
    assert pearson_distance(np.array([0.0, 0.0, 3.0]), np.array([1.0, 4.0, 4.0])) == pytest.approx(0.5)  # rho = 1/2


class TestShapingFree:
    """Of recorded numbers alone."""

    def rewards(self, recorded, function):
        return function(recorded.states, recorded.actions, recorded.following)

    def shaping(self, recorded, of=potential):
        after = np.where(recorded.terminated, 0.0, of(recorded.following))
        return DISCOUNT * after - of(recorded.states)

    def test_any_shaping_of_few_states_is_not_seen(self):
        recorded = walks()
        true = self.rewards(recorded, reward)
        other = 2.0 * true + 5.0 * self.shaping(recorded) + 1.0
        assert shaping_free_distance(true, other, recorded, DISCOUNT) == pytest.approx(0.0, abs=1e-6)
        assert shaping_free_distance(true, -other, recorded, DISCOUNT) == pytest.approx(1.0, abs=1e-6)
        assert pearson_distance(true, other) > 0.3

    def test_of_many_states_linear_and_constant_potentials_are_not_seen(self):
        recorded = walks(3000, sizes="continuous")
        true = self.rewards(recorded, reward)
        linear = true + self.shaping(recorded, lambda states: 5.0 * states @ np.array([1.0, -2.0, 0.5, 3.0]) + 4.0)
        assert shaping_free_distance(true, linear, recorded, DISCOUNT) == pytest.approx(0.0, abs=1e-6)
        assert potentials(recorded)[0].shape == (3000, 1 + 4 + 64)

    def test_states_that_hardly_come_twice_are_not_told_apart(self):
        recorded = walks(300, sizes="continuous")
        true, other = self.rewards(recorded, reward), self.rewards(recorded, another)
        assert 0.0 < shaping_free_distance(true, other, recorded, DISCOUNT) < 1.0

    def test_shaping_is_told_from_the_reward(self):
        recorded = walks()
        true, other = self.rewards(recorded, reward), self.rewards(recorded, another)
        assert 0.3 < shaping_free_distance(true, other, recorded, DISCOUNT) < 0.95

    def test_pure_shaping_says_nothing(self):
        recorded = walks()
        true, nothing = self.rewards(recorded, reward), self.shaping(recorded)
        assert shaping_free_distance(true, nothing, recorded, DISCOUNT) == pytest.approx(np.sqrt(0.5))
        assert np.isnan(shaping_free_distance(nothing, true, recorded, DISCOUNT))
