"""The physics: mpe2's to the bit, and what we add to it."""

import numpy as np
import pytest

from bagged_envs.particle.world import Bodies, World

mpe2 = pytest.importorskip("mpe2._mpe_utils.core")

WORLDS, STEPS = 200, 25
PUSHES = np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]], dtype=float)


def spread():
    return Bodies(
        radius=np.repeat([0.15, 0.05], 5),
        collides=np.repeat([True, False], 5),
        strength=np.full(5, 5.0),
        max_speed=np.full(5, np.inf),
    )


def tag():
    return Bodies(
        radius=np.array([0.075, 0.075, 0.075, 0.05, 0.2, 0.2]),
        collides=np.ones(6, dtype=bool),
        strength=np.array([3.0, 3.0, 3.0, 4.0]),
        max_speed=np.array([1.0, 1.0, 1.0, 1.3]),
    )


def two(distance=0.0, **more):
    """Two agents of radius 0.1, the second to the right of the first."""
    bodies = Bodies(np.full(2, 0.1), np.ones(2, dtype=bool), np.full(2, 5.0), np.full(2, np.inf))
    world = World(1, bodies, **more)
    world.place(np.arange(1), np.array([[[0.0, 0.0], [distance, 0.0]]]), np.zeros((1, 2, 2)))
    return world


def theirs(bodies, positions, velocities):
    agents = len(bodies.strength)
    world = mpe2.World()
    world.agents = [mpe2.Agent() for _ in range(agents)]
    world.landmarks = [mpe2.Landmark() for _ in positions[agents:]]
    for i, entity in enumerate(world.entities):
        entity.size, entity.collide = bodies.radius[i], bodies.collides[i]
        entity.state.p_pos, entity.state.p_vel = positions[i].copy(), np.zeros(2)
        if i < agents:
            entity.silent, entity.state.p_vel, entity.action.c = True, velocities[i].copy(), np.zeros(0)
            entity.max_speed = bodies.max_speed[i] if np.isfinite(bodies.max_speed[i]) else None
    return world


def states(worlds):
    positions = [[agent.state.p_pos for agent in world.agents] for world in worlds]
    velocities = [[agent.state.p_vel for agent in world.agents] for world in worlds]
    return np.array(positions), np.array(velocities)


@pytest.mark.parametrize("bodies", [spread(), tag()], ids=["spread", "tag"])
def test_positions_and_velocities_have_the_bits_of_mpe2(bodies):
    rng = np.random.default_rng(0)
    agents = len(bodies.strength)
    positions = rng.uniform(-0.6, 0.6, (WORLDS, len(bodies.radius), 2))  # crowded: contacts all the time
    velocities = rng.normal(scale=0.3, size=(WORLDS, agents, 2))
    ours = World(WORLDS, bodies, dynamics="mpe2", contact="true")
    ours.place(np.arange(WORLDS), positions, velocities)
    worlds = [theirs(bodies, *state) for state in zip(positions, velocities, strict=True)]
    contacts = 0
    for actions in rng.integers(5, size=(STEPS, WORLDS, agents)):
        contacts += int((ours.near_distances < 0.125).sum())
        ours.step(actions)
        for world, chosen in zip(worlds, actions, strict=True):
            for i, agent in enumerate(world.agents):
                agent.action.u = PUSHES[chosen[i]] * bodies.strength[i]
            world.step()
        expected_positions, expected_velocities = states(worlds)
        assert np.array_equal(ours.positions[:, :agents], expected_positions)
        assert np.array_equal(ours.velocities, expected_velocities)
    assert contacts > 400
    assert np.array_equal(ours.positions[:, agents:], positions[:, agents:])


def test_mpe2_moves_by_the_old_velocity_and_legacy_by_the_new_one():
    # 5 * 0.1 = 0.5 of velocity in the first step, 0.75 * 0.5 + 0.5 = 0.875 in the second.
    for dynamics, places in (("mpe2", [0.0, 0.05]), ("legacy", [0.05, 0.1375])):
        world = two(10.0, dynamics=dynamics)
        for velocity, place in zip([0.5, 0.875], places, strict=True):
            world.step(np.array([[2, 0]]))
            assert world.velocities[0].tolist() == [[velocity, 0.0], [0.0, 0.0]]
            np.testing.assert_allclose(world.positions[0, 0], [place, 0.0], atol=1e-15)


def test_actions_are_none_left_right_down_up():
    bodies = Bodies(np.full(5, 0.1), np.zeros(5, dtype=bool), np.full(5, 2.0), np.full(5, np.inf))
    world = World(1, bodies)
    world.step(np.arange(5)[None])
    np.testing.assert_allclose(world.velocities[0], [[0, 0], [-0.2, 0], [0.2, 0], [0, -0.2], [0, 0.2]], atol=1e-15)


def test_overlapping_bodies_push_each_other_by_a_hundred_times_their_overlap():
    world = two(0.15, dynamics="legacy")  # 0.05 deep: force 5, velocity 0.5
    world.step(np.array([[0, 0]]))
    np.testing.assert_allclose(world.velocities[0], [[-0.5, 0.0], [0.5, 0.0]], atol=1e-14)


def test_touching_bodies_push_each_other_softly():
    world = two(0.2, dynamics="legacy")  # 100 * 0.001 * log 2 * 0.1
    world.step(np.array([[0, 0]]))
    np.testing.assert_allclose(world.velocities[0, 1], [0.00693147180559945, 0.0], atol=1e-16)


@pytest.mark.parametrize("contact", ["true", "fork"])
@pytest.mark.parametrize("dynamics", ["mpe2", "legacy"])
def test_bodies_in_the_same_place_do_not_push_each_other(dynamics, contact):
    world = two(0.0, dynamics=dynamics, contact=contact)
    world.step(np.array([[0, 2]]))
    assert world.velocities[0].tolist() == [[0.0, 0.0], [0.5, 0.0]]
    assert np.isfinite(world.positions).all()


def test_a_body_in_the_place_of_a_landmark_that_does_not_collide_stays_finite():
    bodies = Bodies(np.full(2, 0.1), np.array([True, False]), np.full(1, 5.0), np.full(1, np.inf))
    world = World(1, bodies, contact="fork")
    for _ in range(3):
        world.step(np.array([[0]]))
    assert world.positions.tolist() == [[[0.0, 0.0], [0.0, 0.0]]]


def test_fork_pushes_every_pair_from_twice_the_first_radius_on():
    """Radii 0.1 and 0.3 at distance 0.35: truly 0.05 deep, by one distance of 0.2 far apart."""
    bodies = Bodies(np.array([0.1, 0.3]), np.ones(2, dtype=bool), np.full(1, 5.0), np.full(1, np.inf))
    for contact, velocity in (("true", -0.5), ("fork", 0.0)):
        world = World(1, bodies, contact=contact)
        world.place(np.arange(1), np.array([[[0.0, 0.0], [0.35, 0.0]]]), np.zeros((1, 1, 2)))
        world.step(np.array([[0]]))
        np.testing.assert_allclose(world.velocities, [[[velocity, 0.0]]], atol=1e-14)
    assert world.positions[0, 1].tolist() == [0.35, 0.0]


def test_nobody_is_faster_than_allowed_and_keeps_the_direction():
    bodies = Bodies(np.array([0.1, 0.1]), np.zeros(2, dtype=bool), np.full(2, 5.0), np.array([1.0, np.inf]))
    world = World(1, bodies)
    world.place(np.arange(1), np.zeros((1, 2, 2)), np.array([[[4.0, -3.0], [4.0, -3.0]]]))
    world.step(np.array([[0, 0]]))
    np.testing.assert_allclose(world.velocities[0], [[0.8, -0.6], [3.0, -2.25]], atol=1e-15)


def test_placing_some_worlds_measures_what_placing_all_measures():
    rng = np.random.default_rng(0)
    positions, velocities = rng.uniform(-0.5, 0.5, (4, 10, 2)), np.zeros((4, 5, 2))
    at_once, one_by_one = World(4, spread()), World(4, spread())
    at_once.place(np.arange(4), positions, velocities)
    for k in (2, 0, 3, 1):
        one_by_one.place(np.array([k]), positions[[k]], velocities[[k]])
    for name in ("offsets", "distances", "near", "near_distances"):
        assert np.array_equal(getattr(at_once, name), getattr(one_by_one, name)), name
    assert at_once.near.size > 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dynamics": "Legacy"}, r"dynamics must be one of 'mpe2', 'legacy', got 'Legacy'. Did you mean 'legacy'"),
        ({"contact": None}, r"contact must be one of 'true', 'fork', got None"),
    ],
)
def test_unknown_rules_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        World(1, spread(), **arguments)
