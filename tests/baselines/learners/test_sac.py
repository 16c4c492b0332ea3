"""SAC's equations by hand, its densities against torch's, and one whole update."""

import dataclasses
import math

import pytest
import torch
from gymnasium import spaces
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from bagged_envs.baselines.api import Transitions
from bagged_envs.baselines.learners import sac
from bagged_envs.baselines.learners.sac import SAC, SACConfig
from tests.baselines.learners.batches import linear, near, transitions

TWO = spaces.Box(-1.0, 1.0, (2,))


def test_log_probs_against_torch():
    generator = torch.Generator().manual_seed(0)
    noise, mean, log_std = (torch.randn(64, 3, generator=generator, dtype=torch.float64) for _ in range(3))
    before = mean + log_std.exp() * noise
    theirs = TransformedDistribution(Normal(mean, log_std.exp()), [TanhTransform(cache_size=1)])
    transform = theirs.transforms[0]
    actions = transform(before)  # kept with what it came from, so that its inverse is exact
    torch.testing.assert_close(sac.squashed_log_probs(noise, log_std, before), theirs.log_prob(actions).sum(dim=1))


def test_log_probs_by_hand_and_far_out():
    # log N(0) = -0.5 log(2 pi); tanh'(0) = 1
    assert sac.squashed_log_probs(near([[0.0]]), near([[0.0]]), near([[0.0]])).item() == pytest.approx(-0.918939)
    # tanh(50) rounds to one: log(1 - tanh^2) = 2 (log 2 - 50)
    far = sac.squashed_log_probs(near([[0.0]]), near([[0.0]]), near([[50.0]])).item()
    assert far == pytest.approx(-0.918939 - 2 * (math.log(2) - 50))


def test_soft_targets():
    # 1 + 0.9 (min(3, 5) - 0.5), and a terminated step's reward alone
    found = sac.soft_targets(near([1.0, 2.0]), near([0.0, 1.0]), near([[3.0, 9.0], [5.0, 8.0]]), near([0.5, 7.0]), 0.9)
    torch.testing.assert_close(found, near([3.25, 2.0]))


@pytest.mark.parametrize(
    # Halves of (1 + 0) / 2 + (1 + 9) / 2; and of (0.5 + 0) / 2 + (0.5 + 2.5) / 2
    ("kind", "loss"),
    [("mse", 2.75), ("huber", 0.875)],
)
def test_critic_loss(kind, loss):
    assert sac.critic_loss(near([[1.0, 2.0], [3.0, 5.0]]), near([2.0, 2.0]), kind).item() == loss


def test_policy_loss():
    # ((0.5 * -1 - min(1, 3)) + (0.5 * -2 - min(2, 1))) / 2
    found = sac.policy_loss(near([[1.0, 2.0], [3.0, 1.0]]), near([-1.0, -2.0]), near(0.5))
    assert found.item() == -1.75


def test_temperature_loss():
    log_temperature = torch.tensor(math.log(2.0), requires_grad=True)
    loss = sac.temperature_loss(log_temperature, near([-1.0, -2.0]), -1.0)
    assert loss.item() == pytest.approx(2.5 * math.log(2.0))
    loss.backward()
    assert log_temperature.grad.item() == 2.5  # an entropy of 1.5 where -1 is wanted: down


def tiny(**settings):
    """Means 0, standard deviations 1, critics s + 2a and 3s + a."""
    config = SACConfig(hidden=(), critic_learning_rate=0.01, temperature_learning_rate=0.1, tau=0.5, **settings)
    learner = SAC(1, spaces.Box(-1.0, 1.0, (1,)), config, seed=0)
    linear(learner.actor, [[0.0], [0.0]], [0.0, 0.0])
    for critics in (learner.critics, learner.target_critics):
        linear(critics, [[1.0, 2.0], [3.0, 1.0]], [0.0, 0.0])
    return learner


def test_targets_weigh_the_entropy_with_the_temperature():
    learner = tiny(discount=0.9)
    learner.sample = lambda observations: (near([[0.5], [-0.2]]), near([-1.0, 2.0]))
    batch = Transitions(torch.zeros(2, 1), torch.zeros(2, 1), near([1.0, 1.0]), near([[1.0], [-1.0]]), torch.zeros(2))
    # 1 + 0.9 (min(2, 3.5) + 0.25), and 1 + 0.9 (min(-1.4, -3.2) - 0.5)
    torch.testing.assert_close(learner.targets(batch, near(0.25)), near([3.025, -2.33]))


def test_one_update_by_hand():
    """Adam's first step moves every weight by its learning rate against the gradient's sign."""
    learner = tiny(temperature=2.0)
    batch = Transitions(near([[1.0]]), near([[0.5]]), near([0.0]), near([[1.0]]), near([1.0]))
    metrics = learner.update(batch)
    # Critics say 2.0 and 3.5 where 0.0 is right.
    assert metrics["critic_loss"] == (4.0 + 12.25) / 2
    assert metrics["temperature"] == pytest.approx(2.0)
    torch.testing.assert_close(learner.critics.weights[0].flatten(), near([0.99, 1.99, 2.99, 0.99]))
    torch.testing.assert_close(learner.target_critics.weights[0].flatten(), near([0.995, 1.995, 2.995, 0.995]))
    # An entropy above -1 lowers the temperature.
    assert metrics["entropy"] > -1.0
    assert learner.log_temperature.item() == pytest.approx(math.log(2.0) - 0.1)


def test_samples_are_those_of_the_density():
    learner = tiny()
    actions, log_probs = learner.sample(torch.zeros(20_000, 1))
    # tanh of a standard normal: the mean of a^2 is 0.3943, and E[1/p] over (-1, 1) is the interval's length.
    assert actions.square().mean().item() == pytest.approx(0.3943, abs=0.01)
    assert (-log_probs).exp().mean().item() == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(("bias", "kept"), [(9.0, 2.0), (-90.0, -20.0), (-3.0, -3.0)])
def test_the_standard_deviation_is_clipped(bias, kept):
    learner = tiny()
    linear(learner.actor, [[0.0], [0.0]], [0.0, bias])
    drawn = torch.Generator()
    drawn.set_state(learner.generator.get_state())
    noise, log_std = torch.randn(4, 1, generator=drawn), torch.full((4, 1), kept)
    actions, log_probs = learner.sample(torch.zeros(4, 1))
    torch.testing.assert_close(actions, (log_std.exp() * noise).tanh())
    torch.testing.assert_close(log_probs, sac.squashed_log_probs(noise, log_std, log_std.exp() * noise))


def test_target_entropy():
    assert SAC(3, TWO, seed=0).target_entropy == -2.0
    assert SAC(3, TWO, SACConfig(target_entropy_per_action=-0.5), seed=0).target_entropy == -1.0


def test_a_fixed_temperature_stays():
    learner = tiny(temperature=0.2, learn_temperature=False)
    learner.update(transitions(0, size=1, actions=1))
    assert learner.update(transitions(1, size=1, actions=1))["temperature"] == pytest.approx(0.2)


def test_the_policy_update_leaves_the_critics_and_their_gradients():
    def run(rate):
        config = SACConfig(hidden=(8,), critic_learning_rate=0.0, actor_learning_rate=rate)
        learner = SAC(3, TWO, config, seed=0)
        learner.update(transitions(0))
        return learner

    moved, kept = run(0.1), run(0.0)
    fresh = SAC(3, TWO, SACConfig(hidden=(8,)), seed=0)
    assert not torch.equal(moved.actor.weights[0], kept.actor.weights[0])
    for one, other, before in zip(
        moved.critics.parameters(), kept.critics.parameters(), fresh.critics.parameters(), strict=True
    ):
        assert torch.equal(one.grad, other.grad)
        assert torch.equal(one, before)
    # Half the mean squared error's gradient alone: the policy's loss has added nothing to it.
    seen = torch.cat((transitions(0).observations, transitions(0).actions), dim=1)
    fresh_targets = SAC(3, TWO, SACConfig(hidden=(8,)), seed=0).targets(transitions(0), torch.tensor(1.0))
    sac.critic_loss(fresh.critics(seen), fresh_targets).backward()
    for one, other in zip(moved.critics.parameters(), fresh.critics.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_it_solves_a_bandit():
    config = SACConfig(hidden=(32, 32), temperature=0.1)
    config = dataclasses.replace(config, actor_learning_rate=3e-3, critic_learning_rate=3e-3)
    learner = SAC(1, spaces.Box(0.0, 2.0, (1,)), config, seed=0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        actions = 2.0 * torch.rand(64, 1, generator=generator)
        rewards = -10.0 * (actions[:, 0] - 1.6).square()
        learner.update(Transitions(torch.zeros(64, 1), actions, rewards, torch.zeros(64, 1), torch.ones(64)))
    assert learner.act(torch.zeros(1, 1), explore=False).item() == pytest.approx(1.6, abs=0.2)


def test_errors_name_what_must_hold():
    with pytest.raises(ValueError, match="critic_loss must be one of 'mse', 'huber'"):
        SACConfig(critic_loss="l1")
    with pytest.raises(ValueError, match=r"temperature must be above 0, got 0\.0"):
        SACConfig(temperature=0.0)
