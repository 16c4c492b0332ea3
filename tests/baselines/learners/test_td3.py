"""TD3's equations by hand, and one whole update."""

import dataclasses

import pytest
import torch
from gymnasium import spaces

from bagged_envs.baselines.api import Transitions
from bagged_envs.baselines.learners import td3
from bagged_envs.baselines.learners.td3 import DDPG, TD3, TD3Config
from tests.baselines.learners.batches import linear, near, transitions

BOX = spaces.Box(-1.0, 1.0, (1,))
TINY = TD3Config(hidden=(), actor_learning_rate=0.1, critic_learning_rate=0.01, tau=0.5, policy_delay=2)


def tiny(config=TINY):
    """Actor tanh(0), critics s + 2a and 3s + a, one element each."""
    learner = TD3(1, BOX, config, seed=0)
    for actor in (learner.actor, learner.target_actor):
        linear(actor, [[0.0]], [0.0])
    for critics in (learner.critics, learner.target_critics):
        linear(critics, [[1.0, 2.0], [3.0, 1.0]][: config.critics], [0.0, 0.0][: config.critics])
    return learner


def test_noise_is_clipped_and_so_is_the_action():
    # 0.5 + 0.25, -0.9 - 0.25 = -1.15, 0.9 + 0.2 = 1.1, and 0.1 - 0.2
    found = td3.smoothed(near([[0.5, -0.9], [0.9, 0.1]]), near([[1.0, -0.3], [0.2, -0.2]]), 0.25)
    torch.testing.assert_close(found, near([[0.75, -1.0], [1.0, -0.1]]))


def test_bellman_targets():
    # 1 + 0.9 min(3, 5), and a terminated step's reward alone
    found = td3.bellman_targets(near([1.0, 2.0]), near([0.0, 1.0]), near([[3.0, 9.0], [5.0, 8.0]]), 0.9)
    torch.testing.assert_close(found, near([3.7, 2.0]))


def test_critic_loss():
    # (1 + 0) / 2 + (1 + 9) / 2
    assert td3.critic_loss(near([[1.0, 2.0], [3.0, 5.0]]), near([2.0, 2.0])).item() == 5.5


def test_policy_loss():
    assert td3.policy_loss(near([[1.0, 2.0]])).item() == -1.5


def test_targets_take_the_lowest_target_critic_at_the_noisy_target_action():
    learner = tiny(dataclasses.replace(TINY, target_noise=2.0, target_noise_clip=0.5, discount=0.9))
    learner._noise_like = lambda actions: near([[1.0], [-0.1], [1.0]])
    linear(learner.critics, [[0.0, 0.0], [0.0, 0.0]], [0.0, 0.0])  # not asked
    batch = Transitions(
        torch.zeros(3, 1), torch.zeros(3, 1), near([1.0, 1.0, 1.0]), near([[1.0], [-1.0], [1.0]]), near([0.0, 0.0, 1.0])
    )
    # a' = 0.5: min(1 + 1, 3 + 0.5) = 2; a' = -0.2: min(-1 - 0.4, -3 - 0.2) = -3.2
    torch.testing.assert_close(learner.targets(batch), near([2.8, -1.88, 1.0]))


def test_one_update_by_hand():
    """Adam's first step moves every weight by its learning rate against the gradient's sign."""
    learner = tiny()
    batch = Transitions(near([[1.0]]), near([[0.5]]), near([0.0]), near([[1.0]]), near([1.0]))
    # Critics say 2.0 and 3.5 where 0.0 is right.
    assert learner.update(batch) == {"critic_loss": 4.0 + 12.25}
    torch.testing.assert_close(learner.critics.weights[0].flatten(), near([0.99, 1.99, 2.99, 0.99]))
    torch.testing.assert_close(learner.critics.biases[0].flatten(), near([-0.01, -0.01]))
    assert learner.actor.weights[0].item() == 0.0
    assert learner.target_critics.weights[0].flatten().tolist() == [1.0, 2.0, 3.0, 1.0]
    metrics = learner.update(batch)
    # The second update moves the policy: Q1(1, tanh 0) after the critics' step, and uphill as dQ1/da > 0.
    first = learner.critics.weights[0][0, 0, 0] + learner.critics.biases[0][0, 0, 0]
    assert metrics["policy_loss"] == pytest.approx(-first.item())
    torch.testing.assert_close(learner.actor.weights[0].flatten(), near([0.1]))
    torch.testing.assert_close(learner.target_actor.weights[0].flatten(), near([0.05]))
    halfway = (near([1.0, 2.0, 3.0, 1.0]) + learner.critics.weights[0].detach().flatten()) / 2
    torch.testing.assert_close(learner.target_critics.weights[0].detach().flatten(), halfway)


def test_the_policy_climbs_the_first_critic_only():
    learner = tiny(dataclasses.replace(TINY, policy_delay=1, critic_learning_rate=0.0))
    linear(learner.critics, [[0.0, 1.0], [0.0, -5.0]], [0.0, 0.0])
    learner.update(transitions(0, size=1, actions=1))
    assert learner.actor.biases[0].item() == pytest.approx(0.1)


def test_the_policy_update_leaves_the_critics_and_their_gradients():
    learner = TD3(3, spaces.Box(-1.0, 1.0, (2,)), TD3Config(hidden=(8,), critic_learning_rate=0.0), seed=0)
    learner.update(transitions(0))
    learner.update(transitions(1))
    gradients = [parameter.grad.clone() for parameter in learner.critics.parameters()]
    weights = [parameter.detach().clone() for parameter in learner.critics.parameters()]
    other = TD3(
        3, spaces.Box(-1.0, 1.0, (2,)), TD3Config(hidden=(8,), critic_learning_rate=0.0, policy_delay=9), seed=0
    )
    other.update(transitions(0))
    other.update(transitions(1))
    assert all(map(torch.equal, gradients, (parameter.grad for parameter in other.critics.parameters())))
    assert all(map(torch.equal, weights, other.critics.parameters()))
    assert not any(parameter.grad is not None for parameter in learner._targets)


def test_actions_of_the_environment_reach_the_critics_in_unit_scale():
    narrow = TD3(1, spaces.Box(2.0, 3.0, (1,)), TINY, seed=0)
    unit = TD3(1, BOX, TINY, seed=0)
    batch = transitions(0, size=1, actions=1)
    moved = dataclasses.replace(batch, actions=2.5 + 0.5 * batch.actions)
    assert narrow.update(moved)["critic_loss"] == pytest.approx(unit.update(batch)["critic_loss"], rel=1e-5)
    assert narrow.act(torch.ones(1, 1), explore=False).item() == pytest.approx(
        2.5 + 0.5 * unit.act(torch.ones(1, 1), explore=False).item()
    )


def test_ddpg_is_a_setting():
    assert (DDPG.critics, DDPG.policy_delay, DDPG.target_noise) == (1, 1, 0.0)
    learner = tiny(dataclasses.replace(DDPG, hidden=(), discount=0.9))
    before = learner.generator.get_state()
    metrics = learner.update(Transitions(near([[1.0]]), near([[0.5]]), near([1.0]), near([[2.0]]), near([0.0])))
    # Q(1, 0.5) = 2 against 1 + 0.9 Q'(2, 0) = 2.8; no noise is drawn.
    assert metrics["critic_loss"] == pytest.approx(0.64)
    assert "policy_loss" in metrics
    assert torch.equal(before, learner.generator.get_state())


def test_it_solves_a_bandit():
    space = spaces.Box(0.0, 2.0, (1,))
    learner = TD3(1, space, TD3Config(hidden=(32, 32), actor_learning_rate=1e-3, critic_learning_rate=3e-3), seed=0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(500):
        actions = 2.0 * torch.rand(64, 1, generator=generator)
        rewards = -(actions[:, 0] - 1.6).square()
        learner.update(Transitions(torch.zeros(64, 1), actions, rewards, torch.zeros(64, 1), torch.ones(64)))
    assert learner.act(torch.zeros(1, 1), explore=False).item() == pytest.approx(1.6, abs=0.15)


def test_a_delay_of_zero_is_refused():
    with pytest.raises(ValueError, match="policy_delay"):
        TD3Config(policy_delay=0)
