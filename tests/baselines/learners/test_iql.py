"""IQL's equations by hand, the order of its update, and its learning rate."""

import dataclasses
import math

import pytest
import torch
from gymnasium import spaces

from bagged_envs.baselines.api import Transitions
from bagged_envs.baselines.learners import iql
from bagged_envs.baselines.learners.iql import IQL, IQLConfig
from bagged_envs.baselines.learners.tanh_mean import gaussian_log_probs
from tests.baselines.learners.batches import linear, near, transitions

BOX = spaces.Box(-1.0, 1.0, (1,))
TINY = IQLConfig(
    hidden=(), actor_learning_rate=0.1, critic_learning_rate=0.01, value_learning_rate=0.1, tau=0.5, beta=0.5,
    discount=0.9, decay_steps=None,
)  # fmt: skip
STEP = Transitions(near([[1.0]]), near([[0.5]]), near([0.0]), near([[2.0]]), near([0.0]))


def tiny(**changed):
    """Mean tanh(0), values 0, critics s + 2a and 3s + a."""
    learner = IQL(1, BOX, dataclasses.replace(TINY, **changed), seed=0)
    linear(learner.actor.network, [[0.0]], [0.0])
    linear(learner.value, [[0.0]], [0.0])
    for critics in (learner.critics, learner.target_critics):
        linear(critics, [[1.0, 2.0], [3.0, 1.0]], [0.0, 0.0])
    return learner


def test_expectile_loss():
    """Equation 5: (0.7 * 4 + 0.3 * 1) / 2."""
    assert iql.expectile_loss(near([2.0, -1.0]), 0.7).item() == pytest.approx(1.55)


def test_an_expectile_of_one_half_is_half_the_squared_error():
    assert iql.expectile_loss(near([2.0, -1.0]), 0.5).item() == pytest.approx(1.25)


def test_advantage_weights():
    """Equation 7: exp(3 * 0), exp(3 * -1), and exp(3 * 2) = 403 cut to 100."""
    found = iql.advantage_weights(near([0.0, -1.0, 2.0, 1e9]), 3.0, 100.0)
    torch.testing.assert_close(found, near([1.0, 0.049787068, 100.0, 100.0]))


def test_log_probs_of_a_gaussian_that_is_not_squashed():
    """z = (0.5 - 0) / 1 and (0 - 1) / 2: -0.125 - 0.9189 and -0.125 - log 2 - 0.9189."""
    found = gaussian_log_probs(near([[0.5, 0.0]]), near([[0.0, 1.0]]), near([0.0, math.log(2.0)]))
    assert found.item() == pytest.approx(-0.25 - math.log(2.0) - math.log(2.0 * math.pi))


def test_policy_losses():
    """(2 * 1 + 4 * 3) / 2 with the sign of likelihoods; (2 * (1 + 4) + 4 * 0) / 2 of squared distances."""
    weights = near([2.0, 4.0])
    assert iql.weighted_likelihood_loss(weights, near([1.0, 3.0])).item() == -7.0
    means, recorded = near([[1.0, 2.0], [5.0, 5.0]]), near([[0.0, 0.0], [5.0, 5.0]])
    assert iql.weighted_regression_loss(weights, means, recorded).item() == 5.0


def test_one_update_by_hand_in_the_order_of_the_authors_code():
    """Values first; the policy and the critics see the new ones; then targets.

    Target critics say 2 and 3.5, the values 0: u = 2, and Adam's first step takes values to 0.1 s + 0.1. By these the
    advantage is 2 - 0.2 and the critics' target 0.9 * 0.3; by the old ones they would be 2 and 0.
    """
    learner = tiny()
    metrics = learner.update(STEP)
    assert metrics["value_loss"] == pytest.approx(0.7 * 4.0)
    torch.testing.assert_close(learner.value.weights[0].detach(), near([[0.1]]))
    assert metrics["policy_loss"] == pytest.approx(math.exp(0.5 * 1.8) * (0.125 + 0.5 * math.log(2.0 * math.pi)))
    assert metrics["critic_loss"] == pytest.approx((2.0 - 0.27) ** 2 + (3.5 - 0.27) ** 2)
    torch.testing.assert_close(learner.actor.network.biases[0].detach(), near([0.1]))
    assert learner.actor.log_std.item() == pytest.approx(-0.1)  # closer to 0.5 than one deviation
    torch.testing.assert_close(learner.critics.weights[0].detach().flatten(), near([0.99, 1.99, 2.99, 0.99]))
    torch.testing.assert_close(learner.target_critics.weights[0].flatten(), near([0.995, 1.995, 2.995, 0.995]))


def test_a_terminated_step_has_no_value_after_it():
    metrics = tiny().update(dataclasses.replace(STEP, terminated=near([1.0]), rewards=near([1.0])))
    assert metrics["critic_loss"] == pytest.approx(1.0 + 2.5**2)


def test_a_deterministic_policy_is_regressed_and_its_spread_stays():
    learner = tiny(deterministic=True)
    metrics = learner.update(STEP)
    assert metrics["policy_loss"] == pytest.approx(math.exp(0.9) * 0.25)
    assert learner.actor.log_std.item() == 0.0
    assert learner.actor.network.biases[0].item() == pytest.approx(0.1)


def test_the_spread_is_clipped():
    learner = tiny(log_std_range=(-0.05, 2.0))
    learner.update(STEP)
    assert learner.actor.log_std.item() == pytest.approx(-0.05)


def test_targets_are_where_values_come_from():
    """What the critics themselves say of recorded actions does not matter to values and policy."""
    learner = tiny()
    linear(learner.critics, [[0.0, 0.0], [0.0, 0.0]], [9.0, 9.0])
    metrics = learner.update(STEP)
    assert metrics["value_loss"] == pytest.approx(2.8)
    assert metrics["critic_loss"] == pytest.approx(2 * 8.73**2)


def test_the_policys_learning_rate_is_a_half_cosine():
    learner, rates = tiny(decay_steps=4), []
    for seed in range(5):
        rates.append(learner.actor_optimizer.param_groups[0]["lr"])
        learner.update(transitions(seed, size=1, actions=1))
    assert rates == pytest.approx([0.1, 0.05 * (1 + math.sqrt(0.5)), 0.05, 0.05 * (1 - math.sqrt(0.5)), 0.0])
    assert learner.critic_optimizer.param_groups[0]["lr"] == 0.01


def test_without_decay_it_stays():
    learner = tiny()
    learner.update(STEP)
    assert learner.actor_optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.long
def test_it_finds_the_better_of_recorded_actions():
    """Of actions -0.5 and 0.5, the second pays: the cloned mean is 0.0, the weighted one is near it."""
    config = IQLConfig(hidden=(16,), beta=10.0, decay_steps=None, deterministic=True)
    config = dataclasses.replace(config, **{f"{name}_learning_rate": 1e-2 for name in ("actor", "critic", "value")})
    learner, actions = IQL(1, BOX, config, seed=0), near([[-0.5], [0.5]] * 16)
    batch = Transitions(torch.zeros(32, 1), actions, actions[:, 0], torch.zeros(32, 1), torch.ones(32))
    for _ in range(600):
        learner.update(batch)
    assert learner.act(torch.zeros(1, 1), explore=False).item() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("wrong", [0.0, 1.5])
def test_an_expectile_is_between_zero_and_one(wrong):
    with pytest.raises(ValueError, match="expectile must be above 0 and at most 1"):
        IQLConfig(expectile=wrong)
