"""Networks: what they compute, how they begin, and that they leave torch's own random state alone."""

import math

import pytest
import torch

from bagged_envs.baselines.networks import MLP, Ensemble, generators


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_perceptron_by_hand():
    network = MLP((1, 2, 1), seeded())
    with torch.no_grad():
        for parameter, value in zip(
            network.parameters(), ([[1.0], [-1.0]], [[2.0, 3.0]], [0.5, 0.0], [1.0]), strict=True
        ):
            parameter.copy_(torch.tensor(value))
    # 2 relu(1 * 4 + 0.5) + 3 relu(-1 * 4) + 1, and 2 relu(-2 + 0.5) + 3 relu(2) + 1
    assert network(torch.tensor([[4.0], [-2.0]])).tolist() == [[10.0], [7.0]]


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("hidden", [(), (8,), (8, 8)])
def test_an_ensemble_is_its_members_side_by_side(activation, hidden):
    ensemble = Ensemble(3, (4, *hidden), seeded(), activation)
    generator, inputs = seeded(), torch.randn(5, 4, generator=seeded(1))
    for member in range(3):
        alone = MLP((4, *hidden, 1), generator, activation)
        torch.testing.assert_close(ensemble(inputs)[member], alone(inputs).squeeze(1))
    torch.testing.assert_close(ensemble(inputs, members=2), ensemble(inputs)[:2])


@pytest.mark.parametrize("init", ["default", "orthogonal", "xavier"])
def test_one_seed_gives_one_network_and_the_global_state_stays(init):
    before = torch.get_rng_state()
    one, two, other = (Ensemble(2, (4, 8), seeded(seed), init=init) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, one.parameters(), two.parameters()))
    assert not torch.equal(one.weights[0], other.weights[0])
    assert not torch.equal(one.weights[0][0], one.weights[0][1])


def test_how_weights_begin():
    default = MLP((16, 400, 1), seeded())
    assert default.weights[0].abs().max() <= 0.25
    assert default.weights[0].std().item() == pytest.approx(0.25 / math.sqrt(3), rel=0.03)
    assert default.biases[0].abs().max() > 0.2
    orthogonal = MLP((8, 8, 4), seeded(), init="orthogonal", last_gain=0.5)
    torch.testing.assert_close(orthogonal.weights[0] @ orthogonal.weights[0].T, torch.eye(8))
    torch.testing.assert_close(orthogonal.weights[1] @ orthogonal.weights[1].T, 0.25 * torch.eye(4))
    assert not orthogonal.biases[0].any()
    # Glorot: sqrt(6 / (in + out))
    assert MLP((2, 400, 1), seeded(), init="xavier").weights[0].abs().max().item() == pytest.approx(
        math.sqrt(6 / 402), rel=0.01
    )
    assert Ensemble(2, (2, 400), seeded(), init="xavier").weights[0].abs().max().item() == pytest.approx(
        math.sqrt(6 / 402), rel=0.01
    )


def test_generators_are_independent_and_repeatable():
    draws = [torch.rand(2, generator=generator).tolist() for generator in generators(0, 3)]
    assert draws == [torch.rand(2, generator=generator).tolist() for generator in generators(0, 3)]
    assert len({tuple(draw) for draw in draws}) == 3


def test_errors_name_what_must_hold():
    with pytest.raises(ValueError, match=r"activation must be one of 'relu', 'tanh', got 'rely'"):
        MLP((1, 1), seeded(), activation="rely")
    with pytest.raises(ValueError, match="init must be one of"):
        MLP((1, 1), seeded(), init="zeros")
    with pytest.raises(ValueError, match="a layer's width must be an int of at least 1, got 0"):
        MLP((1, 0, 1), seeded())
    with pytest.raises(ValueError, match="members"):
        Ensemble(0, (1,), seeded())
    with pytest.raises(ValueError, match="seed"):
        generators(-1, 2)
