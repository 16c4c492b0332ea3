"""Cooperative Navigation: what agents see and are paid, by hand and by mpe2."""

import numpy as np
import pytest

from bagged_envs.particle.navigation import CooperativeNavigation, draw_positions, far_apart, half_width
from tests.particle.starting import at, begun, generators, random_actions

AGENTS = [[0.0, 0.0], [0.2, 0.0], [0.0, 2.0]]
LANDMARKS = [[0.0, 1.9], [5.0, 0.0], [0.0, -0.5]]
NONE = np.zeros((1, 3), dtype=np.int64)
# A third of a second on: the first two, 0.1 deep in each other, have left each other with force 10, velocity 1.
AFTER = [[-0.1, 0.0], [0.3, 0.0], [0.0, 2.0]]


def three(positions=(*AGENTS, *LANDMARKS), **more):
    return at(CooperativeNavigation(num_agents=3, **more), positions)


def test_few_agents_see_each_other_and_the_landmarks_nearest_first_and_zeros():
    # fmt: off
    expected = [
        [0, 0, 0, 0,  0, -0.5, 0, 1.9, 5, 0,        0, 0, 0, 0, 0, 0,  0.2, 0, 0, 2,    0, 0, 0, 0, 0, 0],
        [0, 0, 0.2, 0,  -0.2, -0.5, -0.2, 1.9, 4.8, 0,  0, 0, 0, 0, 0, 0,  -0.2, 0, -0.2, 2,  0, 0, 0, 0, 0, 0],
        [0, 0, 0, 2,  0, -0.1, 0, -2.5, 5, -2,      0, 0, 0, 0, 0, 0,  0, -2, 0.2, -2,  0, 0, 0, 0, 0, 0],
    ]
    # fmt: on
    observed = three().observe()
    assert (observed.shape, observed.dtype) == ((1, 3, 26), np.float32)
    np.testing.assert_allclose(observed[0], expected, atol=1e-6)


def test_many_agents_see_the_nearest_six_landmarks_and_five_others_equal_ones_by_index():
    """Eight agents in a row at 0, 1, ...; landmarks below them."""
    places = np.stack([np.arange(8.0), np.zeros(8)], axis=1)
    observed = at(CooperativeNavigation(num_agents=8), [*places, *(places - [0.0, 1.0])]).observe()[0, 4]
    landmarks, others = observed[4:16].reshape(6, 2), observed[16:].reshape(5, 2)
    assert observed[:4].tolist() == [0, 0, 4, 0]
    assert landmarks.tolist() == [[0, -1], [-1, -1], [1, -1], [-2, -1], [2, -1], [-3, -1]]
    assert others.tolist() == [[-1, 0], [1, 0], [-2, 0], [2, 0], [-3, 0]]


def test_an_agent_is_paid_for_its_nearest_landmark_and_pays_for_whom_it_bumps_into():
    """0.4 apart after the step, nobody bumps; before the step the distance was 0.2."""
    batch = three()
    rewards, ended = batch.step(NONE)
    np.testing.assert_allclose(batch._world.positions[0, :3], AFTER, atol=1e-12)
    np.testing.assert_allclose(rewards, [[-np.sqrt(0.26), -np.sqrt(0.34), -0.1]], atol=1e-12)
    assert ended.tolist() == [False]


CROWD = [[0.0, 0.0], [0.25, 0.0], [0.125, 0.0]]


def test_everybody_bumped_into_costs_one():
    rewards, _ = at(
        CooperativeNavigation(num_agents=3, dynamics="mpe2"), [*CROWD, [0.0, 1.0], [0.25, 1.0], [0.125, 2.0]]
    ).step(NONE)  # in mpe2's order positions stay in the first step
    np.testing.assert_allclose(rewards, [[-1.0 - 2, -1.0 - 2, -np.sqrt(1.015625) - 2]], atol=1e-12)


def test_shared_rewards_count_landmarks_and_ordered_pairs():
    rewards, _ = at(
        CooperativeNavigation(num_agents=3, dynamics="mpe2", reward="shared"),
        [*CROWD, [0.0, 1.0], [0.25, 1.0], [0.125, 2.0]],
    ).step(NONE)
    np.testing.assert_allclose(rewards, [[-1.0 - 1.0 - 2.0 - 6.0] * 3], atol=1e-12)


def test_a_landmark_is_covered_when_its_center_is_under_an_agent():
    assert three().info()["covered"].tolist() == [1 / 3]  # the third agent is 0.1 above the first landmark
    near = [[0.0, 0.0], [3.0, 0.0], [6.0, 0.0], [0.149, 0.0], [3.0, 0.151], [6.0, 0.0]]
    assert three(near).info()["covered"].tolist() == [2 / 3]


def test_agents_and_landmarks_start_in_the_square_at_rest_and_landmarks_apart():
    for count, width in ((3, 1.0606601717798212), (6, 1.5), (10, 1.8442101591497406), (15, 2.2), (30, 3.0)):
        batch = begun(CooperativeNavigation(40, count))
        assert half_width(count) == pytest.approx(width, abs=1e-12)
        positions, velocities = batch._world.positions, batch._world.velocities
        assert 0.9 * width < np.abs(positions).max() < width
        assert not velocities.any()
        landmarks = positions[:, count:]
        gaps = np.linalg.norm(landmarks[:, :, None] - landmarks[:, None], axis=-1) + 9 * np.eye(count)
        assert 0.675 <= gaps.min() < 0.7


def test_darts_count_when_far_from_those_that_counted():
    darts = np.array([[[0.0, 0.0], [0.5, 0.0], [1.0, 0.0], [1.4, 0.0], [1.6, 0.0]], np.arange(10.0).reshape(5, 2)])
    assert far_apart(darts, 0.6).tolist() == [[True, False, True, False, True], [True] * 5]


def test_a_world_whose_first_darts_do_not_suffice_throws_on(monkeypatch):
    """With one dart for each landmark nearly all have to; their first landmarks are those that counted before."""
    monkeypatch.setattr("bagged_envs.particle.navigation.DARTS_PER_LANDMARK", 1)
    positions = draw_positions(generators(20), 15, 2.2)
    landmarks = positions[:, 15:]
    gaps = np.linalg.norm(landmarks[:, :, None] - landmarks[:, None], axis=-1) + 9 * np.eye(15)
    assert gaps.min() >= 0.675
    np.testing.assert_allclose(positions[0, :2], 2.2 * (2 * np.random.default_rng(0).random((2, 2)) - 1))


def test_observations_are_mpe2s_through_an_episode():
    simple_spread = pytest.importorskip("mpe2.simple_spread_v3")
    env = simple_spread.parallel_env(N=6, num_landmark_neighbors=6, num_agent_neighbors=5)
    env.reset(seed=3)
    world = env.unwrapped.world
    batch = at(CooperativeNavigation(dynamics="mpe2"), [entity.state.p_pos for entity in world.entities])
    for actions in random_actions(batch, 25):
        theirs, *_ = env.step(dict(zip(env.agents, actions[0].tolist(), strict=True)))
        batch.step(actions)
        assert np.array_equal(batch.observe()[0], np.array(list(theirs.values()))[:, :26])
    env.close()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_agents": 2}, ValueError, "num_agents must be from 3 to 30, got 2: choose 6, 15 or 30"),
        ({"num_agents": 31}, ValueError, "num_agents must be from 3 to 30, got 31"),
        ({"num_agents": 6.0}, TypeError, "num_agents must be an int of at least 1, got 6.0"),
        ({"num_envs": 0}, ValueError, "num_envs must be an int of at least 1, got 0"),
        ({"reward": "team"}, ValueError, "reward must be one of 'individual', 'shared', got 'team'"),
        ({"dynamics": "mpe"}, ValueError, "dynamics must be one of .* got 'mpe'. Did you mean 'mpe2'"),
        ({"contact": "forks"}, ValueError, "contact must be one of .* got 'forks'. Did you mean 'fork'"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        CooperativeNavigation(**arguments)
