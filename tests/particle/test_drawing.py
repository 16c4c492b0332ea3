"""Pictures show what is where."""

import numpy as np

from bagged_envs.particle import drawing
from bagged_envs.particle.navigation import CooperativeNavigation
from bagged_envs.particle.predator_prey import PredatorPrey
from bagged_envs.particle.triangle_area import TriangleArea
from tests.particle.starting import at

SPREAD_OUT = [[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]


def pixel(picture, x, y, half_width):
    """The color at a place of the world; `half_width` is that of the view, without its margin."""
    scale = 480 / (2 * 1.06 * half_width)
    return tuple(picture[int(240 - y * scale), int(240 + x * scale)].tolist())


def test_agents_obstacles_and_the_triangle_are_where_they_should_be():
    picture = at(TriangleArea(), [*SPREAD_OUT, [-1.0, -1.0], [1.0, -1.0], [1.0, 1.1]]).render(0, "rgb_array")
    for x, y in SPREAD_OUT:
        assert pixel(picture, x, y, 1.5) == drawing.AGENT
    for x, y in ([-1.0, -1.0], [1.0, -1.0], [1.0, 1.1]):
        assert pixel(picture, x, y, 1.5) == drawing.OBSTACLE
    inside, outside = pixel(picture, 0.1, 0.4, 1.5), pixel(picture, 0.1, -0.4, 1.5)
    paper, triangle = np.array(drawing.PAPER), np.array(drawing.TRIANGLE)
    np.testing.assert_allclose(inside, paper + 0.35 * (triangle - paper), atol=1.0)
    assert outside == drawing.PAPER


def test_a_triangle_is_filled_whichever_way_round_and_may_be_a_line():
    for corners in (SPREAD_OUT, SPREAD_OUT[::-1]):
        picture = at(TriangleArea(), [*corners, *([[9.0, 9.0]] * 3)]).render(0, "rgb_array")
        assert pixel(picture, 0.1, 0.4, 9.4) not in (drawing.PAPER, drawing.AGENT)
    flat = at(TriangleArea(), [[0.0, 0.0]] * 3 + [[1.0, 1.0]] * 3).render(0, "rgb_array")
    assert pixel(flat, 0.1, -0.4, 1.5) == drawing.PAPER


def test_landmarks_show_on_top_of_agents():
    landmarks = [[-1.0, 0.0], [0.6, -0.6], [0.0, 0.3]]
    picture = at(CooperativeNavigation(num_agents=3), [*SPREAD_OUT, *landmarks]).render(0, "rgb_array")
    view = 1.15  # the second agent's edge: wider than the square of the start
    assert pixel(picture, -1.0, 0.0, view) == drawing.LANDMARK
    assert pixel(picture, -0.9, 0.0, view) == drawing.AGENT
    assert pixel(picture, 0.7, -0.6, view) == drawing.PAPER
    assert pixel(picture, 0.6, -0.6, view) == drawing.LANDMARK


def test_everybody_stays_in_view_and_tiny_bodies_are_visible():
    far = np.zeros((50, 2))
    far[30], far[0] = (20.0, 0.0), (0.0, -20.0)
    picture = at(PredatorPrey(num_agents=30), far).render(0, "rgb_array")
    assert pixel(picture, 20.0, 0.0, 20.01) == drawing.PREY
    assert pixel(picture, 0.0, -20.0, 20.01) == drawing.PREDATOR
    assert ((picture == drawing.PREY).all(axis=-1)).sum() > 5


def test_edges_are_smooth():
    picture = drawing.Picture(np.zeros((1, 2)), np.ones(1), half_width=2.0)
    picture.discs(np.zeros((1, 2)), 1.0, drawing.AGENT)
    assert len(np.unique(picture.pixels().reshape(-1, 3), axis=0)) > 50
