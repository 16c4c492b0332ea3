"""The bottleneck: its price by hand, and where it draws noise."""

import math
from dataclasses import replace

import pytest
import torch

from bagged_envs.baselines.random_bags import ACTION, OBSERVATION, bags_of, columns_of, drawn
from bagged_envs.baselines.redistributors import make_redistributor
from bagged_envs.baselines.redistributors.fitting import step_features
from bagged_envs.baselines.redistributors.rd import return_decomposition_loss
from bagged_envs.baselines.redistributors.rrd import unbiased_loss
from bagged_envs.baselines.redistributors.vib import gaussian_kl


def made(**settings):
    return make_redistributor("vib", OBSERVATION, ACTION, hidden=(8,), latent=3, **settings)


@pytest.mark.parametrize(
    ("mean", "variance", "expected"),
    [
        ([0.0, 0.0], [1.0, 1.0], 0.0),
        ([2.0, 0.0], [1.0, 1.0], 2.0),
        ([0.0], [math.e], 0.5 * (math.e - 2)),
        ([1.0, -1.0], [0.5, 2.0], 0.5 * ((1 + 0.5 + math.log(2) - 1) + (1 + 2 - math.log(2) - 1))),
    ],
)
def test_the_divergence_from_noise(mean, variance, expected):
    assert gaussian_kl(torch.tensor(mean), torch.tensor(variance).log()).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("unbiased", "loss"), [(True, unbiased_loss), (False, return_decomposition_loss)])
def test_the_loss_is_that_of_the_base_and_the_price(unbiased, loss):
    own = made(unbiased=unbiased, kl_weight=0.25, steps=3)
    batch = drawn(bags_of([6, 4], seed=2), own.sampling)  # of whole bags the two are the same
    mean, log_variance = own._network.encode(step_features(batch))
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(own._noise.initial_seed()))
    rewards = own._network.decoder(mean + noise * (0.5 * log_variance).exp())[..., 0]
    kl = gaussian_kl(mean, log_variance)[batch.mask].mean()
    expected = loss(rewards, batch.mask, batch.label, batch.length) + 0.25 * kl
    metrics = own.update(batch)
    assert metrics["loss"] == pytest.approx(expected.item())
    assert metrics["kl"] == pytest.approx(kl.item())


def test_rewards_are_those_of_the_means():
    own, batch = made(), bags_of([6, 4], seed=2)
    means, _ = own._network.encode(step_features(batch))
    expected = torch.where(batch.mask, own._network.decoder(means)[..., 0], 0.0)
    torch.testing.assert_close(own.relabel(batch), expected.detach())
    assert torch.equal(own.relabel(batch), own.relabel(batch))


def test_its_price_makes_steps_alike():
    free, dear = (made(kl_weight=weight, learning_rate=1e-2) for weight in (0.0, 10.0))
    for number in range(60):
        for one in (free, dear):
            one.update(bags_of([10] * 32, seed=number))
    batch = bags_of([10] * 32, seed=99)
    kl = [gaussian_kl(*one._network.encode(step_features(batch)))[batch.mask].mean().item() for one in (free, dear)]
    assert kl[1] < 0.05 < kl[0]


def test_one_step_of_each_bag_tells_nothing_of_a_variance():
    with pytest.raises(ValueError, match="vib needs at least 2 steps"):
        made(steps=1)
    assert made(steps=1, unbiased=False).sampling.steps == 1
    with pytest.raises(ValueError, match="vib needs at least 2 columns"):
        made().update(columns_of(bags_of([6, 4]), torch.tensor([[5], [0]])))


def test_noise_has_bounds():
    far = 1e6 * torch.randn(99, 2 * OBSERVATION + ACTION, generator=torch.Generator().manual_seed(0))
    _, log_variance = made()._network.encode(far)
    assert (log_variance.min().item(), log_variance.max().item()) == pytest.approx((-20.0, 4.0))


def test_large_states_do_not_overflow():
    own = made(learning_rate=1e-2)
    for number in range(20):
        batch = bags_of([10] * 8, seed=number)
        metrics = own.update(replace(batch, observations=1e4 * batch.observations))
        assert math.isfinite(metrics["loss"])
