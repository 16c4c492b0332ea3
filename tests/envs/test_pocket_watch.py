"""PocketWatch against sums over everything that can happen, and seeded samples within standard errors."""

import math

import numpy as np
import pytest

from bagged_envs.envs.pocket_watch import HORIZON, LEAVE, REPAIR, PocketWatch
from tests.envs.cases import native

COPIES = 8192
ERRORS = 4.0  # standard errors: what is checked is about fifty numbers, always of the same seed


def binomial(count, trials, probability):
    return math.comb(trials, count) * probability**count * (1 - probability) ** (trials - count)


def worth_of_repair(brand):
    """The expected return of repairing, summed over all numbers of jams and flat tires; normals have their means."""
    price, repair, delivery = (18, 28, 31, 59)[brand], (1, 4, 5, 24.5)[brand], (0.5, 2.5, 4.5, 18)[brand]
    way = sum(
        binomial(jams, 50, 0.1) * binomial(tires, 50, 0.05) * (0.1 * jams + 7 * tires)
        for jams in range(51)
        for tires in range(51)
    )
    return -repair + price - way - delivery


def test_the_exact_solution():
    worth = [worth_of_repair(brand) for brand in range(4)]
    assert worth == pytest.approx([-1.5, 3.5, 3.5, -1.5], abs=1e-9)
    assert [REPAIR if value > 0 else LEAVE for value in worth] == [LEAVE, REPAIR, REPAIR, LEAVE]
    assert sum(max(value, 0.0) for value in worth) / 4 == pytest.approx(1.75, abs=1e-9)
    # What a step of the value is: the first action's, and nothing expected after it but what jams and tires tell.
    assert sum(worth) / 4 == pytest.approx(1.0, abs=1e-9)


@pytest.fixture(scope="module")
def shops():
    """One episode of many copies, all of them repairing: observations (T + 1, N, 5) and rewards (T, N)."""
    envs = native(PocketWatch, COPIES, {})
    observations, rewards = [envs.reset(seed=0)[0]], []
    for time in range(HORIZON):
        # What is done after the first step does not matter: do anything.
        actions = np.full(COPIES, REPAIR) if time == 0 else (np.arange(COPIES) + time) % 2
        observation, reward, terminated, truncated, infos = envs.step(actions)
        observations.append(observation)
        rewards.append(reward)
        assert terminated.tolist() == [time == 49] * COPIES
        assert (truncated.any(), infos) == (False, {})
    return np.array(observations), np.array(rewards)


def near(sample, mean, std):
    """Whether a sample's mean and standard deviation are those of a normal, within standard errors."""
    size = len(sample)
    assert abs(sample.mean() - mean) < ERRORS * std / math.sqrt(size)
    assert abs(sample.std() - std) < ERRORS * std / math.sqrt(2 * size)


def test_the_process(shops):
    observations, rewards = shops
    repaired, jams, tires, brand, time = (observations[..., part] for part in range(5))
    assert (repaired[0].any(), repaired[1:].all()) == (False, True)
    assert (jams[0].any(), tires[0].any()) == (False, False)
    assert (time == np.arange(51)[:, None]).all()
    assert (brand == brand[0]).all()
    for count, probability in ((jams, 0.1), (tires, 0.05)):
        happened = np.diff(count, axis=0)
        assert set(happened.ravel().tolist()) == {0, 1}
        error = math.sqrt(probability * (1 - probability) / COPIES)
        assert (np.abs(happened.mean(axis=1) - probability) < 4.5 * error).all()  # of 50 steps each
        # Steps are independent: a final count varies as a binomial does.
        assert count[-1].var() == pytest.approx(50 * probability * (1 - probability), rel=0.08)
    together = (np.diff(jams, axis=0) * np.diff(tires, axis=0)).mean()
    assert abs(together - 0.1 * 0.05) < ERRORS * math.sqrt(0.005 / (50 * COPIES))
    assert not rewards[1:-1].any()


def test_the_rewards(shops):
    observations, rewards = shops
    _, jams, tires, brand, _ = observations[-1].T
    for which, (price, repair, spread, delivery) in enumerate(
        [(18, 1, 2, 0.5), (28, 4, 2, 2.5), (31, 5, 2, 4.5), (59, 24.5, 1, 18)]
    ):
        mine = brand == which
        assert abs(mine.mean() - 0.25) < ERRORS * math.sqrt(0.25 * 0.75 / COPIES)
        repairs, deliveries = -rewards[0, mine], (price - (0.1 * jams + 7 * tires) - rewards[-1])[mine]
        near(repairs, repair, spread)
        near(deliveries, delivery, 1.5)
        assert abs(np.corrcoef(repairs, deliveries)[0, 1]) < ERRORS / math.sqrt(mine.sum())
        returns = rewards.sum(axis=0)[mine]
        assert abs(returns.mean() - worth_of_repair(which)) < ERRORS * returns.std() / math.sqrt(mine.sum())


def test_the_optimal_policy_attains_the_optimal_return():
    envs = native(PocketWatch, COPIES, {})
    observations, _ = envs.reset(seed=1)
    actions = np.array([1, 0, 0, 1])[observations[:, 3]]
    total = np.zeros(COPIES)
    for _ in range(HORIZON):
        total += envs.step(actions)[1]
    error = total.std() / math.sqrt(COPIES)
    assert 0.05 < error < 0.15
    assert abs(total.mean() - 1.75) < ERRORS * error


def test_what_is_left_alone_pays_nothing_whatever_comes_later():
    env = PocketWatch()
    env.reset(seed=0)
    rewards = [env.step(LEAVE)[1]] + [env.step(REPAIR)[1] for _ in range(49)]
    assert rewards == [0.0] * 50


def test_the_way_does_not_depend_on_the_decision():
    ways = []
    for first in (REPAIR, LEAVE):
        env = PocketWatch()
        env.reset(seed=7)
        ways.append([env.step(first)[0][1:].tolist() for _ in range(HORIZON)])
    assert ways[0] == ways[1]
