"""The Reward Bag Transformer: its equations against literal numbers, and what a step's reward may look at."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from bagged_envs.baselines.redistributors.rbt import (
    RBT,
    RBTConfig,
    RewardBagTransformer,
    attend,
    bag_errors,
    learning_rate,
    next_observation_errors,
)
from tests.baselines.redistributors.sequence_bags import bags


def rbt(agents: int = 1, seed: int = 0, **settings: Any) -> RBT:
    return RBT(3, 1, RBTConfig(**{"width": 8, "layers": 2, "first_rate": 1e-2} | settings), seed, agents=agents)


class Read(nn.Module):
    """In the network's place: the reward is the first of the observation, the prediction the observation."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))

    def forward(
        self, observations: torch.Tensor, actions: torch.Tensor, valid: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.one * observations[..., 0], self.one * observations


def read(method: RBT) -> None:
    """Put `Read` in the network's place, to stay as it is."""
    method.network = Read()
    method.optimizer = torch.optim.AdamW(method.network.parameters())
    method.optimizer.step = lambda: None


def changed(batch: Any, column: int, field: str = "observations") -> Any:
    values = getattr(batch, field).clone()
    values[:, column] += 3.0
    return replace(batch, **{field: values})


def test_attend():
    query, key = torch.tensor([[[1.0], [0.0], [0.0]]]), torch.tensor([[[math.log(3.0)], [0.0], [50.0]]])
    value, valid = torch.tensor([[4.0, 8.0, 1e6]]), torch.tensor([[True, True, False]])
    # weights 3 : 1 and 1 : 1; the third is padding
    assert attend(query, key, value, valid, 1.0)[0, :2].tolist() == pytest.approx([5.0, 6.0])
    # twice the scores: 9 : 1
    assert attend(query, key, value, valid, 2.0)[0, :2].tolist() == pytest.approx([4.4, 6.0])


@pytest.mark.parametrize("seed", range(5))
def test_attention_gives_convex_combinations(seed: int):
    draw = torch.Generator().manual_seed(seed)
    query, key = (3.0 * torch.randn(6, 9, 4, generator=draw) for _ in range(2))
    value, valid = torch.randn(6, 9, generator=draw), torch.rand(6, 9, generator=draw) < 0.6
    valid[:, 0] = True
    found = attend(query, key, torch.where(valid, value, torch.full_like(value, 1e3)), valid, 0.5)
    low = torch.where(valid, value, torch.full_like(value, math.inf)).amin(dim=1, keepdim=True)
    high = torch.where(valid, value, torch.full_like(value, -math.inf)).amax(dim=1, keepdim=True)
    assert bool(((found >= low - 1e-5) & (found <= high + 1e-5)).all())
    assert torch.allclose(attend(query, key, torch.ones(6, 9), valid, 0.5), torch.ones(6, 9))


def test_bag_errors():
    rewards, bag = torch.tensor([1.0, 4.0, 2.0, 1.0, 2.0]), torch.tensor([0, 2, 0, 1, 2])
    # (3 - 5)^2, (1 - 1)^2 and (6 - 3)^2
    assert bag_errors(rewards, bag, torch.tensor([5.0, 1.0, 3.0])).tolist() == [4.0, 0.0, 9.0]


def test_next_observation_errors_of_steps_only():
    predicted = torch.tensor([[[1.0, 2.0], [3.0, 3.0]]])
    true = torch.tensor([[[0.0, 4.0], [math.nan, 7.0]]])
    # (1 + 4) / 2; what stands in the padding is not read
    assert next_observation_errors(predicted, true, torch.tensor([[True, False]])).tolist() == [2.5]


def test_learning_rate():
    config = RBTConfig()
    found = [learning_rate(update, config) for update in (0, 400, 800, 4400, 8000, 20_000)]
    assert found == pytest.approx([1e-4, 5.5e-4, 1e-3, 5.5e-4, 1e-4, 1e-4])


@pytest.mark.parametrize(("bag_loss", "expected"), [("bags", (4.0 + 25.0) / 2), ("positions", (4.0 + 25.0) / 3)])
def test_losses_of_a_batch(bag_loss: str, expected: float):
    batch = bags([2, 1])
    batch.observations[0, :, 0, 0], batch.observations[1, 0, 0, 0] = torch.tensor([1.0, 2.0]), 5.0
    batch.label[:] = torch.tensor([1.0, 0.0])  # (3 - 1)^2 and (5 - 0)^2
    batch.next_observations[:] = batch.observations + 2.0
    batch.next_observations[1, 1] = 1e6
    method = rbt(bag_loss=bag_loss)
    read(method)
    metrics = method.update(batch)
    assert metrics["bag_loss"] == pytest.approx(expected)
    assert metrics["state_loss"] == pytest.approx(4.0)
    assert metrics["learning_rate"] == 1e-2


def test_the_sum_over_the_agents_is_fitted():
    batch, method = bags([2, 1], agents=2), rbt(agents=2)
    read(method)
    batch.observations[..., 0] = torch.tensor([1.0, 2.0])
    batch.label[:] = torch.tensor([5.0, 3.0])  # (6 - 5)^2 and (3 - 3)^2
    assert method.update(batch)["bag_loss"] == pytest.approx(0.5)


def test_a_bag_longer_than_half_a_sequence_is_fitted_to_its_share():
    batch, method = bags([7]), rbt(sequence=6)
    read(method)
    batch.observations[..., 0] = 1.0
    batch.label[:] = 14.0  # 2 a step, where 1 is read, in a piece of one, two or three steps
    assert {round(method.update(batch)["bag_loss"], 4) for _ in range(40)} == {1.0, 4.0, 9.0}


def test_training_sequences_hold_several_bags_and_no_more_steps_than_set():
    method, shapes = rbt(sequence=10), []
    method.network.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(inputs[2].shape)))
    method.update(bags([3] * 9))
    assert shapes[0][0] <= 5
    assert 6 < shapes[0][1] <= 10


def test_tokens_are_read_action_first_and_never_from_the_future():
    network = RewardBagTransformer(3, 1, RBTConfig(width=8)).eval()
    batch = bags([6])
    observations, actions = batch.observations[:, :, 0], batch.actions[:, :, 0]
    action, observation = network.hidden(observations, actions)

    def differs(one: torch.Tensor, other: torch.Tensor) -> list[bool]:
        return ((one - other).abs().amax(dim=(0, 2)) > 1e-6).tolist()

    by_observation = changed(batch, 2).observations[:, :, 0]
    after_action, after_observation = network.hidden(by_observation, actions)
    assert differs(after_action, action) == [False, False, False, True, True, True]
    assert differs(after_observation, observation) == [False, False, True, True, True, True]
    by_action = changed(batch, 2, "actions").actions[:, :, 0]
    after_action, after_observation = network.hidden(observations, by_action)
    assert differs(after_action, action) == [False, False, True, True, True, True]
    assert differs(after_observation, observation) == [False, False, True, True, True, True]


def differing(method: RBT, one: Any, other: Any) -> list[bool]:
    return ((method.relabel(one) - method.relabel(other)).abs() > 1e-6).flatten().tolist()


def test_in_a_bag_every_step_sees_all_steps_and_no_history():
    batch = bags([4], history=2)
    method = rbt()
    assert differing(method, changed(batch, 4), batch) == [False, False, True, True, True, True]
    assert not any(differing(method, changed(batch, 1), batch))


def test_a_window_sees_its_own_past_only():
    batch = bags([5], history=3)
    method = rbt(attention="causal_window", window=3)
    # columns 3 to 7 are the bag's; a window is three steps
    assert differing(method, changed(batch, 5), batch) == [False] * 5 + [True] * 3
    assert differing(method, changed(batch, 2), batch) == [False] * 3 + [True] * 2 + [False] * 3
    assert not any(differing(method, changed(batch, 0), batch))


def test_a_window_s_reward_is_the_last_of_a_sequence_of_its_own():
    batch = bags([5], history=3)
    method = rbt(attention="causal_window", window=3)
    found = method.relabel(batch)[0, :, 0]
    for last in range(3, 8):
        steps = slice(last - 2, last + 1)
        alone, _ = method.network(
            batch.observations[:, steps, 0], batch.actions[:, steps, 0], torch.ones(1, 3, dtype=torch.bool)
        )
        assert found[last].item() == pytest.approx(alone[0, -1].item(), abs=1e-6)
    assert method.sampling is not None
    assert method.sampling.history == 2


def test_a_step_head_sees_the_past_of_the_bag_only():
    batch = bags([4])
    assert differing(rbt(head="step"), changed(batch, 2), batch) == [False, False, True, True]


def test_history_is_read_in_training_but_only_the_bag_is_summed():
    batch = bags([2, 2], history=2)
    method = rbt(attention="causal_window", window=3)
    read(method)
    batch.observations[..., 0] = 1.0
    batch.label[:] = 5.0
    assert method.update(batch)["bag_loss"] == pytest.approx(9.0)  # (2 - 5)^2


@pytest.mark.parametrize("attention", ["bag", "causal_window"])
def test_chunks_change_nothing(attention: str):
    batch = bags([5, 2, 7, 1, 7], agents=2)
    one, other = (rbt(agents=2, attention=attention, window=4, chunk=chunk) for chunk in (64, 1))
    assert torch.allclose(one.relabel(batch), other.relabel(batch), atol=1e-6)


@pytest.mark.parametrize(("attention", "sizes"), [("bag", [3, 3, 2]), ("causal_window", [3] * 7 + [1])])
def test_a_chunk_is_no_larger_than_set(attention: str, sizes: list[int]):
    method, seen = rbt(chunk=3, sequence=3, attention=attention, window=3), []
    method.network.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    method.relabel(bags([5, 5, 5, 7]))
    # pieces of seven steps: three and more, of which the shorter bags need as many; windows: one for each step
    assert seen == ([3, 3, 3, 3] if attention == "bag" else sizes)


def test_a_bag_longer_than_a_sequence_is_read_in_pieces():
    batch, method = bags([7, 3]), rbt(sequence=4)
    found = method.relabel(batch)
    first, second = batch.select(torch.tensor([0])), bags([3])
    cut = {name: getattr(first, name)[:, 4:7] for name in ("observations", "actions", "next_observations", "mask")}
    rest = replace(second, **cut)
    assert torch.allclose(found[0, 4:], method.relabel(rest)[0], atol=1e-6)
    assert differing(method, changed(first, 1), first) == [True] * 4 + [False] * 3


def test_dropout_is_on_in_updates_and_off_in_relabel():
    batch = bags([5, 3])
    method = rbt(dropout=0.5)
    assert torch.equal(method.relabel(batch), method.relabel(batch))
    method.update(batch)
    assert torch.equal(method.relabel(batch), method.relabel(batch))
    still, first, second = rbt(dropout=0.0), rbt(dropout=0.5), rbt(dropout=0.5)
    assert first.update(batch) == second.update(batch) != still.update(batch)


def test_scores_are_scaled_as_set():
    one, root = (RewardBagTransformer(3, 1, RBTConfig(width=16, score_scale=scale)) for scale in ("one", "root"))
    assert (one.score_scale, root.score_scale) == (1.0, 0.25)


def test_official_settings():
    config = RBTConfig.paper()
    method = RBT(3, 1, config)
    assert (config.width, config.layers, config.heads, config.dropout, config.score_scale) == (256, 3, 1, 0.1, "one")
    schedule = method.schedule
    assert (schedule.every, schedule.updates, schedule.warm_up, schedule.first) == (1000, 40, 10_000, 400)
    assert schedule.refresh is None
    assert (config.bags, config.batch_steps, config.sequence, config.window) == (64, None, 500, 100)
    assert config.attention_dropout == method.network.blocks[0].dropout == 0.1
    assert method.optimizer.param_groups[0]["weight_decay"] == 1e-4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": 0}, "layers must be an int of at least 1, got 0"),
        ({"refresh": 0}, "refresh must be an int of at least 1, got 0"),
        ({"sequence": 1}, "sequence must be at least 2, got 1"),
        ({"width": 9, "heads": 2}, "width must be a multiple of heads, got 9 and 2"),
        ({"attention": "all"}, "attention must be one of 'bag', 'causal_window', got 'all'"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ({"rate_decay": 800}, "rate_decay must exceed rate_warm_up, got 800 and 800"),
        ({"attention": "causal_window", "window": 9, "sequence": 8}, "window must not exceed sequence, got 9 and 8"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        RBTConfig(**settings)


def test_rates_follow_the_updates():
    method = rbt(first_rate=0.0, peak_rate=1.0, last_rate=0.0, rate_warm_up=4, rate_decay=8)
    found = [method.update(bags([2]))["learning_rate"] for _ in range(3)]
    assert found == [0.0, 0.25, 0.5]
    assert method.optimizer.param_groups[0]["lr"] == 0.5


def test_relabeling_between_updates_changes_none_of_them():
    batch = bags([5, 3])
    one, other = rbt(dropout=0.5), rbt(dropout=0.5)
    one.relabel(batch)
    assert one.update(batch) == other.update(batch)


def test_next_observations_are_predicted_before_the_observation_is_seen():
    network = RewardBagTransformer(3, 1, RBTConfig(width=8)).eval()
    batch, valid = bags([3]), torch.ones(1, 3, dtype=torch.bool)
    _, predicted = network(batch.observations[:, :, 0], batch.actions[:, :, 0], valid)
    _, after = network(changed(batch, 1).observations[:, :, 0], batch.actions[:, :, 0], valid)
    assert ((after - predicted).abs().amax(dim=(0, 2)) > 1e-6).tolist() == [False, False, True]


def test_a_step_knows_its_place_in_the_bag():
    network = RewardBagTransformer(3, 1, RBTConfig(width=8)).eval()
    steps = torch.ones(1, 3, 3), torch.ones(1, 3, 1)
    before = network.hidden(*steps)
    with torch.no_grad():
        network.timestep.weight[1] += torch.linspace(-1.0, 1.0, 8)
    for hidden, was in zip(network.hidden(*steps), before, strict=True):
        assert ((hidden - was).abs().amax(dim=(0, 2)) > 1e-6).tolist() == [False, True, True]


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.0])
def test_the_next_observation_loss_has_its_weight(weight: float):
    method, unit = rbt(state_weight=weight), rbt()
    method.update(bags([5]))
    unit.update(bags([5]))
    mine, one = method.network.next_observation.weight.grad, unit.network.next_observation.weight.grad
    assert mine is not None
    assert one is not None
    assert one.abs().sum() > 0.0
    assert torch.allclose(mine, weight * one, atol=1e-6)
