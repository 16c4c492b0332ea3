"""Hand-written factors: every task has them, and they are aspects of a step, not its reward."""

import numpy as np
import pytest

from bagged_envs.baselines.latent_rewards.bundled import TEXTS, bundled, names, task_name, there_are
from bagged_envs.baselines.latent_rewards.cage.allow_list import check_source
from bagged_envs.tasks import TASKS
from tests.baselines.latent_rewards.transitions import transitions

WITH_FACTORS = sorted([*(t.name for t in TASKS.values() if t.suite in ("mujoco", "particle")), "HiddenDoor"])
# Other sizes that a function is for.
CASES = [
    *((name, {}) for name in WITH_FACTORS),
    ("CooperativeNavigation", {"num_agents": 3}),
    ("CooperativeNavigation", {"num_agents": 15}),
    ("PredatorPrey", {"num_agents": 15}),
    ("PredatorPrey", {"num_agents": 30}),
    ("CompetitivePredatorPrey", {"team": "prey"}),
    ("HiddenDoor", {"length": 4}),
]
LARGEST_CORRELATION = 0.99


def function(name):
    space = {}
    exec(compile(bundled(name), name, "exec"), space)
    return space["evaluation_func"]


def steps_of(name, kwargs):
    return 600 if name == "HiddenDoor" else max(60, 800 // kwargs.get("num_agents", 1))


def correlation(first, second):
    return abs(np.corrcoef(first, second)[0, 1])


def test_every_task_with_a_text_has_a_function():
    assert names() == there_are(*TEXTS) == WITH_FACTORS


@pytest.mark.parametrize(
    "id",
    [
        "Reacher",
        "BaggedReacher-v0",
        "bagged_envs:EpisodicReacher-v0",
        "SparseReacher",
        "Reacher-v5",
        "gymnasium:Reacher",
    ],
)
def test_a_task_may_be_spelled_in_any_way(id):
    assert task_name(id) == "Reacher"
    assert bundled(id) == bundled("Reacher")


@pytest.mark.parametrize("id", ["CartPole-v1", "BaggedKeyDoor-v0", "BaggedSimpleSpread-v0", "Nothing-v0"])
def test_a_task_without_a_function_is_told_which_there_are(id):
    with pytest.raises(ValueError, match=f"one of the tasks Ant, .*Walker2d, got '{id}'.*function of your own"):
        bundled(id)


@pytest.mark.parametrize("name", WITH_FACTORS)
def test_a_function_says_who_wrote_it_for_what(name):
    observations, actions, _ = transitions(name, 1)
    first = bundled(name).splitlines()[0]
    assert first == (
        f"# Factors for {name}, written by hand by The bagged_envs authors, for observations of "
        f"{observations.shape[1]} elements and actions of {actions.shape[1]}; date 2026-11-22."
    )


@pytest.mark.parametrize("name", WITH_FACTORS)
def test_a_function_uses_what_programs_may_use(name):
    check_source(bundled(name))
    with pytest.raises(ValueError, match="import os"):
        check_source(bundled(name) + "import os\n")


@pytest.mark.parametrize(("name", "kwargs"), CASES)
def test_factors_are_a_few_finite_columns_that_vary(name, kwargs):
    observations, actions, _ = transitions(name, steps_of(name, kwargs), **kwargs)
    before = observations.copy(), actions.copy()
    factors = function(name)(observations, actions)
    assert 4 <= len(factors) <= 6
    for factor in factors:
        assert factor.shape == (len(observations), 1)
        assert factor.dtype == np.float64
        assert np.abs(factor).max() < 1e3  # also false where one is nan
        assert np.ptp(factor) > 1e-3
    np.testing.assert_array_equal(observations, before[0])
    np.testing.assert_array_equal(actions, before[1])


@pytest.mark.parametrize(("name", "kwargs"), CASES)
def test_a_row_depends_on_no_other(name, kwargs):
    observations, actions, _ = transitions(name, steps_of(name, kwargs), **kwargs)
    judge = function(name)
    together = np.concatenate(judge(observations, actions), axis=1)
    order = np.random.default_rng(0).permutation(len(observations))
    np.testing.assert_allclose(np.concatenate(judge(observations[order], actions[order]), axis=1), together[order])
    for row in order[:5]:
        alone = np.concatenate(judge(observations[row : row + 1], actions[row : row + 1]), axis=1)
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", WITH_FACTORS)
@pytest.mark.parametrize("fill", [0.0, 1e4, -1e4])
def test_factors_are_finite_where_no_robot_has_been(name, fill):
    observations, actions, _ = transitions(name, 1)
    observations = np.full_like(observations, fill)
    factors = np.concatenate(function(name)(observations, np.zeros_like(actions)), axis=1)
    assert np.isfinite(factors).all()


@pytest.mark.parametrize(("name", "kwargs"), CASES)
def test_neither_a_factor_nor_a_fixed_sum_of_them_is_the_reward(name, kwargs):
    observations, actions, rewards = transitions(name, steps_of(name, kwargs), **kwargs)
    factors = np.concatenate(function(name)(observations, actions), axis=1)
    design = np.concatenate([factors - factors.mean(axis=0), np.ones((len(factors), 1))], axis=1)
    best_sum = design @ np.linalg.lstsq(design, rewards, rcond=None)[0]
    assert np.ptp(rewards) > 0
    for judged in (*factors.T, best_sum):
        assert correlation(judged, rewards) < LARGEST_CORRELATION


# How much of the reward's variance a decoder can explain at least: one of all products of up to three factors, fitted
# to one half and judged on the other. The raw observation and action explain less in the same way.
ENOUGH = {"HalfCheetah": 0.8, "HumanoidStandup": 0.95, "Reacher": 0.98, "Ant": 0.85, "Swimmer": 0.95}


def products(columns):
    columns = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    count = columns.shape[1]
    first, second = np.triu_indices(count)
    pairs = columns[:, first] * columns[:, second]
    triples = [pairs[:, k] * columns[:, last] for k in range(len(first)) for last in range(second[k], count)]
    return np.column_stack([np.ones(len(columns)), columns, pairs, *triples])


@pytest.mark.parametrize(("name", "share"), ENOUGH.items())
def test_the_reward_is_nearly_determined_by_the_factors(name, share):
    observations, actions, rewards = transitions(name, 2000)
    design = products(np.concatenate(function(name)(observations, actions), axis=1))
    fitted, held_out = slice(0, None, 2), slice(1, None, 2)
    weights = np.linalg.lstsq(design[fitted], rewards[fitted], rcond=None)[0]
    error = design[held_out] @ weights - rewards[held_out]
    assert 1 - error.var() / rewards[held_out].var() > share
