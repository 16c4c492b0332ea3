"""Actions between [-1, 1] and the environment's own units."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from bagged_envs.baselines.actions import BoxActions


def test_bounds_and_center():
    actions = BoxActions(spaces.Box(np.array([[0.0, -4.0]]), np.array([[1.0, 2.0]]), dtype=np.float64), "cpu")
    assert actions.size == 2
    unit = torch.tensor([[-1.0, -1.0], [0.0, 0.0], [1.0, 0.5], [-3.0, 9.0]])
    assert actions.to_environment(unit).tolist() == [[0.0, -4.0], [0.5, -1.0], [1.0, 0.5], [0.0, 2.0]]
    assert actions.to_unit(torch.tensor([[0.75, 2.0]])).tolist() == [[0.5, 1.0]]


def test_actions_never_leave_the_space():
    space = spaces.Box(np.float32(0.1), np.float32(0.3), (3,))
    unit = torch.rand(1000, 3, generator=torch.Generator().manual_seed(0)).mul(2.2).sub(1.1)
    assert all(space.contains(row) for row in BoxActions(space, "cpu").to_environment(unit).numpy())


@pytest.mark.parametrize(
    ("space", "error", "match"),
    [
        (spaces.Discrete(2), TypeError, "must be a Box of floats"),
        (spaces.Box(0, 5, (2,), dtype=np.int64), TypeError, "must be a Box of floats"),
        (spaces.Box(-np.inf, 1.0, (2,)), ValueError, "must have finite bounds"),
        (spaces.Box(1.0, 1.0, (2,)), ValueError, "low < high"),
    ],
)
def test_other_spaces_are_refused(space, error, match):
    with pytest.raises(error, match=match):
        BoxActions(space, "cpu")
