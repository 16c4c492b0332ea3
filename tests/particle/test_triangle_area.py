"""Triangle Area: what is seen and paid, by hand."""

import numpy as np
import pytest

from bagged_envs.particle.triangle_area import TriangleArea
from tests.particle.starting import at, begun

# mpe2's order leaves bodies at rest where they are in the first step.
AGENTS = [[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]]
OBSTACLES = [[-5.0, 0.0], [0.54, 0.0], [0.3, 0.45]]  # the first agent touches two
NONE = np.zeros((1, 3), dtype=np.int64)


def start(positions=(*AGENTS, *OBSTACLES), **more):
    return at(TriangleArea(dynamics="mpe2", **more), positions)


def test_obstacles_are_seen_by_index_and_agents_by_x_and_then_y():
    observed = start().observe()
    assert (observed.shape, observed.dtype) == ((1, 3, 14), np.float32)
    expected = [
        [0, 0, 0, 0, -5, 0, 0.54, 0, 0.3, 0.45, 0, 3, 2, 0],
        [0, 0, 2, 0, -7, 0, -1.46, 0, -1.7, 0.45, -2, 0, -2, 3],
        [0, 0, 0, 3, -5, -3, 0.54, -3, 0.3, -2.55, 0, -3, 2, -3],
    ]
    np.testing.assert_allclose(observed[0], expected, atol=1e-6)


def test_the_area_counts_a_tenth_and_every_touched_obstacle_costs_one():
    rewards, ended = start().step(NONE)
    np.testing.assert_allclose(rewards, [[0.3 - 2, 0.3, 0.3]], atol=1e-12)
    assert ended.tolist() == [False]


def test_shared_rewards_are_the_sum_of_the_three():
    rewards, _ = start(reward="shared").step(NONE)
    np.testing.assert_allclose(rewards, [[0.9 - 2] * 3], atol=1e-12)


@pytest.mark.parametrize(
    ("agents", "area"),
    [(AGENTS, 3.0), (AGENTS[::-1], 3.0), ([[0, 0], [0.1, 0.1], [0.2, 0.2]], 0.0), ([[1, 1], [1, 1], [1, 1]], 0.0)],
)
def test_the_area_is_told_also_where_the_agents_stand_in_a_line(agents, area):
    assert start([*agents, *OBSTACLES]).info()["area"] == pytest.approx([area], abs=1e-15)


def test_agents_start_in_the_middle_and_obstacles_in_the_square():
    batch = begun(TriangleArea(200))
    assert 0.19 < np.abs(batch._world.positions[:, :3]).max() < 0.2
    assert 1.45 < np.abs(batch._world.positions[:, 3:]).max() < 1.5


def test_unknown_rewards_are_refused():
    with pytest.raises(ValueError, match="reward must be one of 'individual', 'shared', got 'sum'"):
        TriangleArea(reward="sum")
