"""Predator-prey: what is seen and paid, by hand; how scripted prey and predators move."""

import numpy as np
import pytest

from bagged_envs.particle.predator_prey import SETTINGS, CompetitivePredatorPrey, PredatorPrey
from bagged_envs.particle.prey import RANDOM_FRACTION, chase, flee, moves
from tests.particle.starting import at, begun, random_actions

# Six predators, two prey, three obstacles; nobody close enough to push, except where a test moves them.
PREDATORS = [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [4.0, 0.0], [7.0, 0.0], [11.0, 0.0]]
PREY = [[0.0, 2.0], [0.0, -3.0]]
OBSTACLES = [[-3.0, 0.0], [-1.5, 0.0], [0.0, 5.0]]
STATE = [*PREDATORS, *PREY, *OBSTACLES]
VELOCITIES = [[0.1, 0.2]] * 6 + [[0.5, 0.0], [0.0, -0.5]]


def test_a_predator_sees_obstacles_predators_prey_and_how_prey_move_nearest_first():
    observed = at(PredatorPrey(), STATE, VELOCITIES).observe()
    assert (observed.shape, observed.dtype) == ((1, 6, 28), np.float32)
    # fmt: off
    expected = [0.1, 0.2, 0, 0,  -1.5, 0, -3, 0, 0, 5,  1, 0, 2, 0, 4, 0, 7, 0, 11, 0,  0, 2, 0, -3,  0.5, 0, 0, -0.5]
    # fmt: on
    np.testing.assert_allclose(observed[0, 0], expected, atol=1e-6)
    assert observed[0, 2, 10:20].tolist() == [-1, 0, -2, 0, 2, 0, 5, 0, 9, 0]  # 2 to the left, and then to the right


@pytest.mark.parametrize(("count", "size", "prey"), [(6, 28, 2), (15, 34, 5), (30, 46, 10)])
def test_sizes_are_the_published_ones(count, size, prey):
    batch = begun(PredatorPrey(2, count))
    assert batch.observe().shape == (2, count, size)
    assert batch.observation_space.shape == (size,)
    assert batch.setting.prey == prey
    assert batch.agents[-1] == f"predator_{count - 1}"


def test_both_sides_of_the_competitive_task_see_24_numbers():
    observed = at(CompetitivePredatorPrey(), STATE, VELOCITIES).observe()
    assert (observed.shape, observed.dtype) == ((1, 8, 24), np.float32)
    # fmt: off
    first = [0.1, 0.2, 0, 0,  -1.5, 0, -3, 0, 0, 5,  1, 0, 2, 0, 4, 0, 7, 0, 11, 0,  0, 2,  0.5, 0]
    last = [0, -0.5, 0, -3,  -1.5, 3, -3, 3, 0, 8,  0, 3, 1, 3, 2, 3, 4, 3, 7, 3,  0, 5,  0.5, 0]
    # fmt: on
    np.testing.assert_allclose(observed[0, 0], first, atol=1e-6)
    np.testing.assert_allclose(observed[0, 7], last, atol=1e-6)


# mpe2's order leaves bodies at rest where they are in the first step: 0.12 touches (0.125), 0.13 does not.
TOUCHING = [
    [0.0, 0.0],
    [0.24, 0.0],
    [3.0, 0.0],
    [4.0, 0.0],
    [5.0, 0.0],
    [6.0, 0.0],
    [0.12, 0.0],
    [0.0, 0.13],
    *OBSTACLES,
]
STILL = np.zeros((1, 6), dtype=np.int64)
DISTANCES = np.array([0.12, 0.12, 2.88, 3.88, 4.88, 5.88])


def test_predators_are_paid_for_touches_and_pay_for_distance():
    batch = at(PredatorPrey(prey="static", dynamics="mpe2"), TOUCHING)
    rewards, ended = batch.step(STILL)
    np.testing.assert_allclose(rewards, [[10.0, 10.0, 0.0, 0.0, 0.0, 0.0] - 0.1 * DISTANCES], atol=1e-12)
    assert ended.tolist() == [False]


def test_shared_rewards_are_the_sum_for_everybody():
    batch = at(PredatorPrey(prey="static", dynamics="mpe2", reward="shared"), TOUCHING)
    rewards, _ = batch.step(STILL)
    np.testing.assert_allclose(rewards, [[20.0 - 1.776] * 6], atol=1e-12)


@pytest.mark.parametrize("contact", ["true", "fork"])
def test_competitive_prey_pays_for_every_predator_that_touches_it(contact):
    """By true radii, whatever the rule of contact."""
    batch = at(CompetitivePredatorPrey(dynamics="mpe2", contact=contact), TOUCHING)
    rewards, _ = batch.step(np.zeros((1, 8), dtype=np.int64))
    np.testing.assert_allclose(rewards[0, :6], [10.0, 10.0, 0.0, 0.0, 0.0, 0.0] - 0.1 * DISTANCES, atol=1e-12)
    assert repr(rewards[0, 6:].tolist()) == "[-20.0, 0.0]"


def test_captures_are_touches_now_and_caught_are_prey_touched_so_far():
    batch = at(PredatorPrey(prey="static", dynamics="mpe2"), TOUCHING)
    assert {key: value.tolist() for key, value in batch.info().items()} == {"captures": [2], "caught": [0.0]}
    batch.step(STILL)
    assert {key: value.tolist() for key, value in batch.info().items()} == {"captures": [2], "caught": [0.5]}
    for _ in range(8):  # they push each other apart
        batch.step(STILL)
    assert {key: value.tolist() for key, value in batch.info().items()} == {"captures": [0], "caught": [0.5]}
    begun(batch)
    assert batch.info()["caught"].tolist() == [0]


def test_static_prey_stays_and_random_prey_does_anything():
    batch = begun(PredatorPrey(50, prey="static"))
    start = batch._hunt.world.positions[0, 6:8].copy()
    batch.step(np.zeros((50, 6), dtype=np.int64))
    assert np.array_equal(batch._hunt.world.positions[0, 6:8], start)
    batch = begun(PredatorPrey(50, prey="random"))
    batch.step(np.zeros((50, 6), dtype=np.int64))
    changes = batch._hunt.world.velocities[:, 6:].round(6).reshape(-1, 2).tolist()
    assert {(x, y) for x, y in changes} >= {(0.0, 0.0), (-0.4, 0.0), (0.4, 0.0), (0.0, -0.4), (0.0, 0.4)}


def action_of_prey(predators, place=(0.0, 0.0), obstacles=((9.0, 9.0),)):
    """The action of a prey at rest, given where others are as seen from it."""
    steps = moves(np.zeros(2), 4.0, 1.3)
    return int(flee(np.array(predators), np.array(obstacles), np.array(place), steps, contact=0.25, half_width=1.5))


def test_prey_flees_from_predators_walls_and_obstacles():
    assert action_of_prey([[-0.5, 0.0]]) == 2
    assert action_of_prey([[0.5, 0.0]]) == 1
    assert action_of_prey([[0.0, -0.5]]) == 4
    assert action_of_prey([[0.0, 0.5], [0.1, 0.6]]) == 3
    assert action_of_prey([[9.0, 0.0]], place=(1.6, 0.0)) == 1
    assert action_of_prey([[9.0, 9.0]], place=(0.0, -1.6)) == 4
    assert action_of_prey([[-2.0, 0.0]]) == 2
    assert action_of_prey([[-2.0, 0.0]], obstacles=[[0.1, 0.0]]) == 1


def test_one_action_of_ten_of_fleeing_prey_is_random():
    """A predator to the left of each prey: it runs to the right, except by chance."""
    state = [[-0.3, 0.0], *([[9.0, 9.0]] * 4), [-0.3, 0.6], [0.0, 0.0], [0.0, 0.6], *([[9.0, -9.0]] * 3)]
    batch = at(PredatorPrey(2000), state)
    batch.step(np.zeros((2000, 6), dtype=np.int64))
    right = (batch._hunt.world.velocities[:, 6, 0] > 0.3).mean()
    assert RANDOM_FRACTION == 0.1
    assert right == pytest.approx(0.9 + 0.1 / 5, abs=0.02)


def test_predators_that_chase_go_to_the_nearest_prey():
    steps = moves(np.zeros(2), 3.0, 1.0)
    places = np.array([[-1.0, 0.1], [1.0, 0.1], [0.1, -1.0], [0.1, 1.0], [0.0, 0.0]])
    assert [int(chase(place, steps)) for place in places] == [1, 2, 3, 4, 0]


def test_competitive_policies_act_on_what_is_observed():
    batch = CompetitivePredatorPrey(3)
    state = [[-0.3, 0.0], *PREDATORS[1:], [0.0, 0.0], [0.0, 0.6], *([[9.0, -9.0]] * 3)]
    observed = at(batch, state).observe()
    never_random = np.full((3, 2), 0.5)
    assert batch.policies["flee"](observed[:, 6:], never_random)[:, 0].tolist() == [2, 2, 2]
    assert batch.policies["chase"](observed[:, :6], np.full((3, 6), 0.5)).tolist() == [[2, 1, 1, 1, 1, 1]] * 3
    for side, name in ((slice(0, 6), "chase"), (slice(6, 8), "flee")):
        numbers = np.full((3, observed[:, side].shape[1]), 0.5)
        scripted, own = (batch.policies[one](observed[:, side], numbers) for one in ("scripted", name))
        assert scripted.tolist() == own.tolist()
    assert set(batch.policies) == {"scripted", "flee", "chase", "random", "still"}


def test_simple_policies_need_uniform_numbers_alone():
    policies = PredatorPrey.policies
    assert policies["random"](np.zeros((1, 3, 28)), np.array([[0.0, 0.5, 0.99]])).tolist() == [[0, 2, 4]]
    assert policies["still"](np.zeros((1, 3, 28)), np.array([[0.0, 0.5, 0.99]])).tolist() == [[0, 0, 0]]


def test_chasing_catches_more_than_chance_and_fleeing_prey_is_harder_to_catch():
    caught = {}
    for predators in ("chase", "random"):
        for prey in ("flee", "random"):
            batch = begun(CompetitivePredatorPrey(100))
            rng = np.random.default_rng(0)
            for _ in range(25):
                observed = batch.observe()
                sides = ((predators, slice(0, 6), 6), (prey, slice(6, 8), 2))
                actions = [batch.policies[p](observed[:, who], rng.random((100, k))) for p, who, k in sides]
                batch.step(np.concatenate(actions, axis=1))
            caught[predators, prey] = batch.info()["caught"].mean()
    assert caught["chase", "random"] > caught["chase", "flee"] + 0.25
    assert caught["chase", "flee"] > caught["random", "flee"] + 0.1


def test_a_prey_function_is_shown_the_state_before_the_step():
    seen = []
    batch = at(PredatorPrey(prey=lambda sight: seen.append(sight) or np.array([[2, 0]])), STATE, VELOCITIES)
    for actions in random_actions(batch, 2):
        batch.step(actions)
    first, second = seen
    assert first.predators.tolist() == [PREDATORS]
    assert first.prey.tolist() == [PREY]
    assert first.obstacles.tolist() == [OBSTACLES]
    np.testing.assert_allclose(first.prey_velocities, [VELOCITIES[6:]])
    np.testing.assert_allclose(second.prey_velocities, [[[0.775, 0.0], [0.0, -0.375]]], atol=1e-12)
    assert [sight.step.tolist() for sight in seen] == [[0], [1]]
    assert first.uniform.tolist() != second.uniform.tolist()


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            [[0]],
            r"prey returned int64 of shape \(1, 1\): return an integer for each prey of each world, shape \(1, 2\)",
        ),
        ([[0.0, 1.0]], "prey returned float64"),
        ([[0, 5]], r"prey returned an action outside 0 to 4: \[\[0, 5\]\]"),
    ],
)
def test_a_prey_function_that_returns_no_actions_is_refused(returned, message):
    with pytest.raises(ValueError, match=message):
        begun(PredatorPrey(prey=lambda sight: returned)).step(STILL)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_agents": 7}, ValueError, "num_agents must be 6, 15 or 30 predators, got 7"),
        ({"num_agents": "6"}, TypeError, "num_agents must be an int of at least 1, got '6'"),
        ({"prey": "fly"}, ValueError, "prey must be one of 'flee', 'random', 'static', got 'fly'"),
        ({"prey": 3}, TypeError, "prey must be one of .* or a function from a Sight to actions, got 3"),
        ({"reward": "own"}, ValueError, "reward must be one of 'individual', 'shared', got 'own'"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        PredatorPrey(**arguments)


def test_everybody_starts_at_rest_in_the_square_and_obstacles_a_little_inside():
    for count, setting in SETTINGS.items():
        world = begun(PredatorPrey(60, count))._hunt.world
        movers = setting.predators + setting.prey
        assert 0.98 * setting.half_width < np.abs(world.positions[:, :movers]).max() < setting.half_width
        inner = setting.half_width - 0.1
        assert 0.95 * inner < np.abs(world.positions[:, movers:]).max() < inner
        assert not world.velocities.any()
