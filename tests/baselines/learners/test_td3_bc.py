"""TD3+BC's objective by hand, and what it has in common with TD3 and with behavior cloning."""

import dataclasses

import pytest
import torch
from gymnasium import spaces
from torch import nn

from bagged_envs.baselines.api import Transitions
from bagged_envs.baselines.learners.td3 import TD3, TD3Config
from bagged_envs.baselines.learners.td3_bc import TD3BCConfig, near_behavior, td3_bc
from tests.baselines.learners.batches import linear, near, transitions

BOX = spaces.Box(-1.0, 1.0, (1,))
TINY = TD3BCConfig(hidden=(), actor_learning_rate=0.1, critic_learning_rate=0.0, policy_delay=1)


def tiny(config=TINY):
    """Actor tanh(0), both critics s + 2a."""
    learner = td3_bc(1, BOX, config, seed=0)
    linear(learner.actor, [[0.0]], [0.0])
    linear(learner.critics, [[1.0, 2.0]] * 2, [0.0, 0.0])
    return learner


def test_the_objective():
    """Equations 3 and 5: w = 2.5 / ((1 + 3) / 2) = 1.25; -w mean Q = 1.25; mean squared distance (0.25 + 1) / 2."""
    values, actions, recorded = near([[1.0, -3.0]]), near([[0.5], [0.0]]), near([[0.0], [1.0]])
    assert near_behavior(values, actions, recorded, alpha=2.5).item() == pytest.approx(1.25 + 0.625)


def test_no_gradient_goes_through_the_weight():
    """Of values 1 and -3 with w = 1.25, each has the gradient -1.25 / 2."""
    values = near([[1.0, -3.0]]).requires_grad_()
    near_behavior(values, near([[0.0], [0.0]]), near([[0.0], [0.0]]), alpha=2.5).backward()
    assert values.grad.tolist() == [[-0.625, -0.625]]


def test_the_distance_is_a_mean_over_elements_too():
    found = near_behavior(near([[1.0]]), near([[0.5, 0.0]]), near([[0.0, 0.0]]), alpha=0.0)
    assert found.item() == pytest.approx(0.125)


def test_values_that_are_all_zero_weigh_nothing():
    assert near_behavior(near([[0.0]]), near([[0.5]]), near([[0.0]]), alpha=2.5).item() == 0.25


def test_one_update_by_hand():
    """Q(1, 0) = 1, so w = 2.5; the loss is -2.5 + (0 - 0.5)^2; its gradient by the action is -5 - 1: uphill."""
    learner = tiny()
    metrics = learner.update(Transitions(near([[1.0]]), near([[0.5]]), near([0.0]), near([[1.0]]), near([1.0])))
    assert metrics["policy_loss"] == pytest.approx(-2.25)
    torch.testing.assert_close(learner.actor.biases[0].detach(), near([0.1]))


def test_values_are_climbed_against_the_recorded_action_only_if_alpha_is_large():
    """At Q = s + 2a and s = 1 the values' gradient is 2 alpha, that of the distance to -0.5 is 1."""
    batch = Transitions(near([[1.0]]), near([[-0.5]]), near([0.0]), near([[1.0]]), near([1.0]))
    for alpha, moved in ((0.4, -0.1), (0.6, 0.1)):
        learner = tiny(dataclasses.replace(TINY, alpha=alpha))
        learner.update(batch)
        assert learner.actor.biases[0].item() == pytest.approx(moved)


def test_with_alpha_zero_the_policy_is_cloned():
    learner = td3_bc(3, spaces.Box(-1.0, 1.0, (2,)), TD3BCConfig(hidden=(8,), alpha=0.0, policy_delay=1), seed=0)
    optimizer = torch.optim.Adam(learner.actor.parameters(), lr=3e-4)
    other = {name: value.clone() for name, value in learner.actor.state_dict().items()}
    for seed in range(3):
        learner.update(transitions(seed))
    cloned = {name: value.clone() for name, value in learner.actor.state_dict().items()}
    learner.actor.load_state_dict(other)
    for seed in range(3):
        batch = transitions(seed)
        optimizer.zero_grad()
        nn.functional.mse_loss(learner.actor(batch.observations).tanh(), batch.actions).backward()
        optimizer.step()
    for name, value in learner.actor.state_dict().items():
        torch.testing.assert_close(value, cloned[name])


def test_the_critics_learn_as_those_of_td3_until_policies_differ():
    space = spaces.Box(-1.0, 1.0, (2,))
    ours, theirs = td3_bc(3, space, TD3BCConfig(hidden=(8,)), seed=0), TD3(3, space, TD3Config(hidden=(8,)), seed=0)
    for seed in range(2):
        assert ours.update(transitions(seed))["critic_loss"] == theirs.update(transitions(seed))["critic_loss"]
    assert all(map(torch.equal, ours.critics.parameters(), theirs.critics.parameters()))
    assert not all(map(torch.equal, ours.actor.parameters(), theirs.actor.parameters()))


def test_the_defaults_are_the_authors():
    config = TD3BCConfig()
    assert (config.alpha, config.tau, config.discount, config.policy_delay) == (2.5, 0.005, 0.99, 2)
    assert (config.target_noise, config.target_noise_clip, config.hidden) == (0.2, 0.5, (256, 256))
    assert config.actor_learning_rate == config.critic_learning_rate == 3e-4
