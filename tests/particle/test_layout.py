"""What the elements of observations are said to be, and what moves them."""

import numpy as np
import pytest

from bagged_envs.particle.layout import ACTIONS, layout
from bagged_envs.particle.world import DIRECTIONS
from tests.particle.starting import MAKERS, at

SMALL = 1e-3


@pytest.mark.parametrize("maker", MAKERS)
def test_every_element_has_one_meaning(maker):
    batch = MAKERS[maker](1)
    meanings = layout(batch)
    assert (len(meanings),) == batch.observation_space.shape
    assert len(set(meanings)) == len(meanings)


def test_there_is_a_name_for_every_action():
    assert len(ACTIONS) == len(DIRECTIONS)
    named = {"-x": [-1, 0], "+x": [1, 0], "-y": [0, -1], "+y": [0, 1]}
    for name, direction in zip(ACTIONS[1:], DIRECTIONS[1:].tolist(), strict=True):
        assert named[name.rpartition(" ")[2]] == direction


def somewhere(batch, seed=0):
    """Positions of all bodies and velocities of those that move, all distances different."""
    world = batch._hunt.world if hasattr(batch, "_hunt") else batch._world
    generator = np.random.default_rng(seed)
    return generator.uniform(-2, 2, (world.num_bodies, 2)), generator.uniform(-1, 1, (world.num_agents, 2))


def changed(batch, positions, velocities, moved_positions, moved_velocities, who=0):
    """The meanings of the elements that differ between two states, as agent `who` sees them."""
    before = at(batch, positions, velocities).observe()[0, who]
    after = at(batch, moved_positions, moved_velocities).observe()[0, who]
    return {layout(batch)[k] for k in np.flatnonzero(np.abs(after - before) > SMALL / 10)}


def moved(array, row, axis):
    array = array.copy()
    array[row, axis] += SMALL
    return array


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("maker", MAKERS)
def test_own_velocity_is_two_elements_and_own_position_all_offsets(maker, axis):
    batch, name = MAKERS[maker](1), "xy"[axis]
    positions, velocities = somewhere(batch)
    assert changed(batch, positions, velocities, positions, moved(velocities, 0, axis)) == {
        f"velocity of the agent, {name}"
    }
    shifted = changed(batch, positions, velocities, moved(positions, 0, axis), velocities)
    existing = {one for one in layout(batch) if one.endswith(f", {name}") and "there are not so many" not in one}
    assert shifted == {one for one in existing if not one.startswith("velocity")}


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    ("maker", "what", "first", "last"),
    [
        ("navigation-3", "landmark", 3, 6),
        ("navigation-6", "landmark", 6, 12),
        ("navigation-6", "other agent", 1, 6),
        ("predator-prey-6", "obstacle", 8, 11),
        ("predator-prey-15", "other predator", 1, 15),
        ("predator-prey-30", "prey", 30, 40),
        ("competitive", "predator but the agent itself", 1, 6),
    ],
)
def test_a_body_is_the_element_that_is_named_after_its_rank(maker, what, first, last, rank):
    batch = MAKERS[maker](1)
    positions, velocities = somewhere(batch)
    order = np.argsort(np.linalg.norm(positions[first:last] - positions[0], axis=1))
    row, ordinal = first + order[rank - 1], {1: "nearest", 2: "2nd nearest", 3: "3rd nearest"}[rank]
    assert changed(batch, positions, velocities, moved(positions, row, 1), velocities) == {
        f"offset to the {ordinal} {what}, y"
    }
    if what == "prey":
        assert changed(batch, positions, velocities, positions, moved(velocities, row, 0)) == {
            f"velocity of the {ordinal} prey, x"
        }


def test_the_triangle_s_obstacles_come_by_index_and_its_corners_from_left_to_right():
    batch = MAKERS["triangle-area"](1)
    positions, velocities = somewhere(batch)
    for row in (3, 4, 5):
        assert changed(batch, positions, velocities, moved(positions, row, 0), velocities) == {
            f"offset to obstacle {row - 2}, x"
        }
    left, right = (1, 2) if positions[1, 0] < positions[2, 0] else (2, 1)
    for row, side in ((left, "left"), (right, "right")):
        assert changed(batch, positions, velocities, moved(positions, row, 1), velocities) == {
            f"offset to the other agent further {side}, y"
        }
