"""Diaster: its equations against literal numbers, and its cuts, targets and noise."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from bagged_envs.baselines.random_bags import add_up
from bagged_envs.baselines.redistributors.diaster import (
    Diaster,
    DiasterConfig,
    cut_prediction,
    soft_clamp,
    step_loss,
    step_targets,
    sub_trajectory_loss,
)
from bagged_envs.baselines.redistributors.sequences import as_sequences
from tests.baselines.redistributors.sequence_bags import bags, correlation

TRUE = torch.tensor([True])


def diaster(agents: int = 1, seed: int = 0, **settings: Any) -> Diaster:
    return Diaster(3, 1, DiasterConfig(**{"hidden": 8, "cuts": 3, "step_updates": 4} | settings), seed, agents=agents)


class Sums(nn.Module):
    """In G's place: the sum so far of the first of the observation."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, steps: torch.Tensor, noise: torch.Generator | None) -> torch.Tensor:
        return self.factor * steps[..., 0].cumsum(dim=1)


def test_soft_clamp():
    low, high = torch.tensor(0.0), torch.tensor(0.0)
    # below = 0 - ln 2, and ln(1 + exp(-ln 2)) = ln 1.5
    assert soft_clamp(torch.zeros(1), low, high).item() == pytest.approx(math.log(1.5))
    bounds = soft_clamp(torch.tensor([-1e4, -3.0, 1e4]), torch.tensor(-10.0), torch.tensor(0.5))
    assert bounds.tolist() == pytest.approx([-10.0, -3.0, 0.5], abs=0.04)


def test_cut_prediction():
    head = torch.tensor([[1.0, 2.0]] * 5)
    tail = torch.tensor([[10.0, 20.0, 30.0]] * 5)
    # cut after two steps: sequences of 5, 3, 2, 1 and no steps
    found = cut_prediction(head, tail, torch.tensor([5, 3, 2, 1, 0]))
    assert found.tolist() == [2.0 + 30.0, 2.0 + 10.0, 2.0, 1.0, 0.0]
    assert cut_prediction(head, tail[:, :0], torch.tensor([2, 2, 2, 1, 0])).tolist() == [2.0, 2.0, 2.0, 1.0, 0.0]


def test_sub_trajectory_loss():
    # ((1 + 3) - 6)^2 = 4 and ((-1 + 2) - 1)^2 = 0
    assert sub_trajectory_loss(torch.tensor([[1.0, 3.0], [-1.0, 2.0]]), torch.tensor([6.0, 1.0])).item() == 2.0


def test_step_targets():
    g, steps = torch.tensor([[[1.0, 3.0, 2.0, 99.0]]]), torch.tensor([[3]])
    # the last g becomes 10: 1 - 0, 3 - 1, 10 - 3
    assert step_targets(g, steps, torch.tensor([10.0]), TRUE).tolist() == [[[1.0, 2.0, 7.0, 0.0]]]
    assert step_targets(g, steps, torch.tensor([math.nan]), ~TRUE).tolist() == [[[1.0, 2.0, -1.0, 0.0]]]


def test_step_targets_of_two_agents():
    # last g's 3 and 2: of the label 9 are missed 4, two for each
    g, steps = torch.tensor([[[1.0, 3.0], [2.0, 99.0]]]), torch.tensor([[2, 1]])
    assert step_targets(g, steps, torch.tensor([9.0]), TRUE).tolist() == [[[1.0, 4.0], [4.0, 0.0]]]
    # an agent that is not there shares in nothing
    alone = step_targets(g, torch.tensor([[2, 0]]), torch.tensor([9.0]), TRUE)
    assert alone.tolist() == [[[1.0, 8.0], [0.0, 0.0]]]


def test_step_loss():
    assert step_loss(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 5.0])).item() == 5.0  # (1 + 9) / 2


def test_a_model_that_adds_up_fits_every_cut_and_its_targets_are_its_steps():
    method = diaster(agents=2, return_scale=2.0)
    method.sub_trajectory = Sums()
    batch = bags([4, 2, 5], agents=2)
    sequences = as_sequences(batch)
    inputs = torch.cat([sequences.observations, sequences.actions], dim=2)
    totals = torch.where(sequences.valid, inputs[..., 0], torch.zeros(sequences.valid.shape)).sum(dim=1)
    for cut in range(1, 6):
        assert torch.allclose(method._predict(inputs, sequences.valid.sum(dim=1), cut), totals, atol=1e-6)
    batch.label[:] = 2.0 * totals.view(-1, 2).sum(dim=1)
    expected = torch.where(batch.mask, 2.0 * batch.observations[..., 0], torch.zeros(batch.mask.shape))
    assert torch.allclose(method.targets(batch), expected, atol=1e-5)


def test_a_burst_fits_the_divided_labels_by_hand():
    method = diaster(return_scale=4.0)
    method.sub_trajectory = Sums()
    method.sub_trajectory_optimizer = torch.optim.SGD(method.sub_trajectory.parameters(), lr=0.0)
    batch = bags([2, 1])
    batch.observations[..., 0] = torch.tensor([[1.0, 2.0], [5.0, 99.0]])[..., None]
    batch.label[:] = torch.tensor([20.0, 16.0])
    # However they are cut: ((1 + 2) - 20 / 4)^2 = 4 and (5 - 16 / 4)^2 = 1
    assert method.update(batch)["sub_trajectory_loss"] == 2.5


def test_every_place_is_cut_the_end_too(monkeypatch: pytest.MonkeyPatch):
    method, cuts = diaster(cuts=100, step_updates=1), []
    predict = method._predict
    monkeypatch.setattr(method, "_predict", lambda *given: (cuts.append(given[2]), predict(*given))[1])
    method.update(bags([4, 2]))
    assert len(cuts) == 100
    # A fair draw of four has each of them 25 times; fewer than 10 would be chance once in 5,000.
    assert all(cuts.count(cut) >= 10 for cut in (1, 2, 3, 4))
    assert set(cuts) == {1, 2, 3, 4}


def test_both_parts_of_a_cut_start_afresh():
    method = diaster(noise="never")
    steps = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(0))
    head, tail = method.sub_trajectory(steps[:, :2], None)[:, -1], method.sub_trajectory(steps[:, 2:], None)[:, -1]
    assert torch.allclose(method._predict(steps, torch.tensor([5]), 2), head + tail)


@pytest.mark.parametrize("agents", [1, 3])
@pytest.mark.parametrize("noise", ["training", "always", "never"])
def test_targets_add_up_to_the_label(agents: int, noise: str):
    method = diaster(agents, noise=noise)
    method.update(bags([4, 1, 9], agents=agents, history=2))
    for seed in range(20):
        batch = bags([4, 1, 9, 9], agents=agents, history=2, seed=seed)
        batch.label[3] = 1e-3
        targets = method.targets(batch)
        assert add_up(targets, batch)
        assert not targets[~batch.mask].any()
    divided = diaster(agents, noise=noise, scaled_rewards=True)
    assert add_up(divided.targets(batch), replace(batch, label=batch.label / 10.0))


def test_noise_is_drawn_where_the_setting_says():
    batch = bags([6, 6])
    always, training = diaster(noise="always"), diaster()
    assert not torch.equal(always.targets(batch), always.targets(batch))
    assert torch.equal(training.targets(batch), training.targets(batch))
    steps = torch.zeros(1, 50, 4)
    noisy = training.sub_trajectory(steps, training.generator) - training.sub_trajectory(steps, None)
    assert noisy.abs().min() > 0.0
    losses = {noise: diaster(noise=noise).update(batch)["sub_trajectory_loss"] for noise in ("training", "never")}
    assert losses["training"] != losses["never"]
    low = training.sub_trajectory.low.item()
    training.update(batch)
    assert training.sub_trajectory.low.item() != low  # the noise is learned


def test_rewards_stand_on_the_label_s_axis_unless_asked_for_the_divided_one():
    batch = bags([4, 2])
    ours, official = diaster(return_scale=10.0), diaster(return_scale=10.0, scaled_rewards=True)
    assert torch.allclose(ours.relabel(batch), 10.0 * official.relabel(batch))
    assert torch.allclose(ours.targets(batch), 10.0 * official.targets(batch))


@pytest.mark.parametrize(("settings", "cuts", "fits"), [({}, 3, 4), ({"cuts": None, "step_updates": None}, 7, 7)])
def test_a_burst_has_as_many_updates_as_is_set_or_as_the_longest_bag_has_steps(
    settings: dict[str, None], cuts: int, fits: int
):
    method = diaster(**settings)
    method.update(bags([7, 2]))
    steps = [
        next(iter(optimizer.state.values()))["step"].item()
        for optimizer in (method.sub_trajectory_optimizer, method.step_optimizer)
    ]
    assert steps == [cuts, fits]


def test_official_settings():
    paper = DiasterConfig.paper()
    assert (paper.cuts, paper.cut_steps, paper.step_updates, paper.noise) == (None, None, None, "always")
    method = Diaster(3, 1, paper)
    assert method.sampling is not None
    assert (method.sampling.bags, method.sampling.weight, method.sampling.steps) == (64, "length", None)
    assert (method.schedule.every, method.schedule.updates, method.schedule.warm_up) == (1000, 1, 5000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cuts": 0}, "cuts must be an int of at least 1, got 0"),
        ({"return_scale": 0.0}, "return_scale must be above 0, got 0.0"),
        ({"noise": "some"}, "noise must be one of 'training', 'always', 'never', got 'some'"),
        ({"warm_up": -1}, "warm_up must be at least 0, got -1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        DiasterConfig(**settings)


@pytest.mark.long
def test_it_finds_the_rewards_of_a_linear_task():
    method = diaster(hidden=32, cuts=20, step_updates=30, return_scale=1.0, learning_rate=3e-3)
    for seed in range(15):
        method.update(bags([10] * 64, seed=seed))
    held_out = bags([10] * 64, seed=1000)
    assert held_out.dense is not None
    assert correlation(method.relabel(held_out), held_out.dense) > 0.97
    assert correlation(method.targets(held_out), held_out.dense) > 0.9


def test_a_burst_that_fails_halfway_is_taken_back(monkeypatch: pytest.MonkeyPatch):
    method, batch = diaster(), bags([4, 2])
    method.update(batch)
    before, relabeled = method.targets(batch), method.relabel(batch)
    state = method.generator.get_state()
    monkeypatch.setattr(method, "_targets", lambda sequences, batch: torch.full(sequences.valid.shape, torch.nan))
    with pytest.raises(FloatingPointError, match="diaster, steps: the loss is nan"):
        method.update(batch)
    monkeypatch.undo()
    assert torch.equal(method.targets(batch), before)
    assert torch.equal(method.relabel(batch), relabeled)
    assert torch.equal(method.generator.get_state(), state)
