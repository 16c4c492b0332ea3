"""Behavior cloning's losses by hand."""

import math

import pytest
import torch
from gymnasium import spaces

from bagged_envs.baselines.api import Transitions
from bagged_envs.baselines.learners.bc import BC, BCConfig
from tests.baselines.learners.batches import linear, near

BOX = spaces.Box(-1.0, 1.0, (1,))
STEP = Transitions(near([[1.0]]), near([[0.5]]), near([math.nan]), near([[math.nan]]), near([0.0]))


def tiny(loss):
    learner = BC(1, BOX, BCConfig(hidden=(), learning_rate=0.1, loss=loss), seed=0)
    linear(learner.actor.network, [[0.0]], [0.0])
    return learner


def test_mean_squared_error():
    """(tanh(0) - 0.5)^2; neither the reward nor what came next is looked at."""
    learner = tiny("mse")
    assert learner.update(STEP) == {"policy_loss": 0.25}
    torch.testing.assert_close(learner.actor.network.biases[0].detach(), near([0.1]))
    assert learner.actor.log_std.item() == 0.0


def test_likelihood():
    """0.5^2 / 2 + log(2 pi) / 2 with a deviation of 1, which then shrinks."""
    learner = tiny("likelihood")
    assert learner.update(STEP)["policy_loss"] == pytest.approx(0.125 + 0.5 * math.log(2.0 * math.pi))
    assert learner.actor.log_std.item() == pytest.approx(-0.1)


def test_actions_are_cloned_in_the_environments_units():
    space = spaces.Box(2.0, 6.0, (1,))
    learner = BC(1, space, BCConfig(hidden=(8,), learning_rate=1e-2), seed=0)
    observations = torch.linspace(-1.0, 1.0, 16)[:, None]
    actions = 4.0 + observations
    batch = Transitions(observations, actions, torch.zeros(16), observations, torch.zeros(16))
    for _ in range(300):
        learner.update(batch)
    torch.testing.assert_close(learner.act(observations, explore=False), actions, atol=0.1, rtol=0.0)
