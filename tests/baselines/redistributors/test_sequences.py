"""Bags as sequences, and what holds for each redistributor that reads them in order."""

import copy
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from bagged_envs.baselines.redistributors.diaster import Diaster, DiasterConfig
from bagged_envs.baselines.redistributors.rbt import RBT, RBTConfig
from bagged_envs.baselines.redistributors.sequences import (
    as_batch,
    as_sequences,
    end_to_end,
    random_pieces,
    seeded,
)
from tests.baselines.redistributors.sequence_bags import bags

Make = Callable[..., Any]


def diaster(agents: int = 1, seed: int = 0, **settings: Any) -> Diaster:
    return Diaster(3, 1, DiasterConfig(**{"hidden": 8, "cuts": 3, "step_updates": 4} | settings), seed, agents=agents)


def rbt(agents: int = 1, seed: int = 0, **settings: Any) -> RBT:
    return RBT(3, 1, RBTConfig(**{"width": 8, "layers": 1, "first_rate": 1e-2} | settings), seed, agents=agents)


def rbt_windows(agents: int = 1, seed: int = 0, **settings: Any) -> RBT:
    return rbt(agents, seed, attention="causal_window", window=4, **settings)


MAKERS = [diaster, rbt, rbt_windows]
each = pytest.mark.parametrize("make", MAKERS)


def flat(state: Any, path: str = "") -> dict[str, Any]:
    if isinstance(state, dict):
        return {key: value for name in state for key, value in flat(state[name], f"{path}/{name}").items()}
    if isinstance(state, (list, tuple)):
        return flat(dict(enumerate(state)), path)
    return {path: state.clone() if isinstance(state, torch.Tensor) else state}


def same(one: Any, other: Any) -> bool:
    one, other = flat(one), flat(other)
    return one.keys() == other.keys() and all(
        torch.equal(one[key], other[key]) if isinstance(one[key], torch.Tensor) else one[key] == other[key]
        for key in one
    )


def test_steps_move_to_the_left_and_back():
    batch = bags([2, 3], history=1, agents=2)
    mask = batch.mask.clone()
    mask[1, 2, 1] = False  # agent 1 of bag 1 misses the second of three steps
    batch = replace(batch, mask=mask)
    found = as_sequences(batch)
    assert found.valid.tolist() == [[True, True, False]] * 2 + [[True, True, True], [True, True, False]]
    assert found.column[3, :2].tolist() == [1, 3]
    assert torch.equal(found.observations[3, :2], batch.observations[1, [1, 3], 1])
    assert torch.equal(found.actions[0, :2], batch.actions[0, 1:3, 0])
    assert torch.equal(found.next_observations[1, :2], batch.next_observations[0, 1:3, 1])
    assert not found.observations[~found.valid].any()
    expected = torch.where(batch.mask, batch.observations[..., 0], torch.zeros(batch.mask.shape))
    assert torch.equal(as_batch(found.observations[..., 0], found, batch), expected)


def test_history_stands_before_the_bag_and_is_not_part_of_it():
    batch = bags([2], history=2, columns=6)
    found = as_sequences(batch, history=True)
    assert found.valid.tolist() == [[True] * 4]
    assert found.inside.tolist() == [[False, False, True, True]]
    assert as_batch(torch.ones(1, 4), found, batch).flatten().tolist() == [0, 0, 1, 1, 0, 0]


def test_seeded_repeats_and_leaves_torch_alone():
    before = torch.get_rng_state()
    with seeded(3):
        one = torch.rand(2)
    with seeded(3):
        assert torch.equal(torch.rand(2), one)
    assert torch.equal(torch.get_rng_state(), before)


@each
def test_rewards_are_of_the_bag_s_shape_and_zero_outside_the_mask(make: Make):
    batch = bags([4, 2, 5], history=2, agents=2)
    batch.mask[0, 5:, 1] = False
    rewards = make(agents=2).relabel(batch)
    assert rewards.shape == batch.mask.shape
    assert rewards.dtype == torch.float32
    assert not rewards.requires_grad
    assert torch.equal(rewards != 0.0, batch.mask)


@each
def test_an_agent_that_is_never_there_gets_nothing(make: Make):
    batch = bags([4, 2], agents=2)
    batch.mask[0, :, 1] = False
    method = make(agents=2)
    assert all(value == value for value in method.update(batch).values())
    rewards = method.relabel(batch)
    assert rewards.isfinite().all()
    assert not rewards[0, :, 1].any()


@each
def test_neither_padding_nor_the_other_bags_matter(make: Make):
    method = make()
    alone, padded = bags([3]), bags([3], columns=9)
    wide = {name: getattr(padded, name).clone() for name in ("observations", "actions", "next_observations")}
    for name, values in wide.items():
        values[:, :3] = getattr(alone, name)
        values[:, 3:] = torch.nan
    padded = replace(padded, **wide, label=alone.label)
    assert torch.allclose(method.relabel(padded)[:, :3], method.relabel(alone), atol=1e-6)
    one, other = make(), make()
    one.update(alone)
    other.update(padded)
    assert torch.allclose(one.relabel(alone), other.relabel(alone), atol=1e-5)

    many = bags([5, 3, 7], seed=1)
    fields = {name: getattr(many, name).clone() for name in wide}
    for name, values in fields.items():
        values[1, :3] = getattr(alone, name)[0]
    among = method.relabel(replace(many, **fields))
    assert torch.allclose(among[1, :3], method.relabel(alone)[0], atol=1e-6)


@each
def test_a_permuted_batch_permutes_the_rewards(make: Make):
    batch, order = bags([5, 3, 7, 1], agents=2), torch.tensor([2, 0, 3, 1])
    method = make(agents=2)
    assert torch.allclose(method.relabel(batch.select(order)), method.relabel(batch)[order], atol=1e-6)


@each
def test_agents_share_their_weights(make: Make):
    batch = bags([5, 3], agents=2)
    turned = replace(
        batch,
        **{name: getattr(batch, name).flip(2) for name in ("observations", "actions", "next_observations", "mask")},
    )
    method = make(agents=2)
    assert torch.allclose(method.relabel(turned), method.relabel(batch).flip(2), atol=1e-6)


@each
def test_it_goes_on_from_a_saved_state_bit_for_bit(make: Make):
    first, second = bags([5, 3, 7]), bags([4, 4, 2], seed=1)
    method = make()
    method.update(first)
    file = io.BytesIO()
    torch.save(method.state_dict(), file)
    held = method.state_dict()
    after = method.update(second)
    file.seek(0)
    for state in (held, torch.load(file, weights_only=True)):
        resumed = make(seed=5)
        resumed.load_state_dict(state)
        assert resumed.update(second) == after
        assert torch.equal(resumed.relabel(first), method.relabel(first))
        assert same(resumed.state_dict(), method.state_dict())


@each
def test_two_may_go_on_from_one_saved_state(make: Make):
    batch = bags([5, 3, 7])
    method = make()
    method.update(batch)
    state = method.state_dict()
    one, other = make(), make()
    one.load_state_dict(state)
    other.load_state_dict(state)
    assert one.update(batch) == other.update(batch)
    assert same(one.state_dict(), other.state_dict())


@each
def test_one_seed_one_result_and_torch_s_global_state_is_left_alone(make: Make):
    batch, before = bags([5, 3, 7]), torch.get_rng_state()
    one, other, third = make(), make(), make(seed=1)
    assert one.update(batch) == other.update(batch) != third.update(batch)
    assert same(one.state_dict(), other.state_dict())
    one.relabel(batch)
    assert same(one.state_dict(), other.state_dict())
    assert torch.equal(torch.get_rng_state(), before)


@each
def test_unlabeled_bags_move_nothing(make: Make):
    batch = bags([5, 3, 7])
    batch.labeled[1] = False
    batch.label[1] = 1e6
    one, other = make(), make()
    assert one.update(batch) == other.update(batch.select(torch.tensor([0, 2])))
    assert same(one.state_dict(), other.state_dict())
    before = one.state_dict()
    assert one.update(replace(batch, labeled=torch.zeros(3, dtype=torch.bool))) == {"labeled": 0.0}
    assert same(one.state_dict(), before)


@each
@pytest.mark.parametrize("field", ["label", "observations"])
def test_a_loss_that_is_not_finite_changes_nothing(make: Make, field: str):
    method = make()
    method.update(bags([5, 3]))
    before = copy.deepcopy(method.state_dict())
    batch = bags([5, 3])
    getattr(batch, field)[0] = torch.nan
    with pytest.raises(FloatingPointError, match="nothing was changed"):
        method.update(batch)
    assert same(method.state_dict(), before)
    method.update(bags([5, 3]))


@each
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"observation_size": 4}, "observations of 3 elements, actions of 1 and 1 agents, got 4, 1 and 1"),
        ({"action_size": 2}, "got 3, 2 and 1"),
        ({"agents": 2}, "got 3, 1 and 2"),
    ],
)
def test_other_sizes_are_refused(make: Make, sizes: dict[str, int], message: str):
    for call in (make().update, make().relabel):
        with pytest.raises(ValueError, match=message):
            call(bags([5, 3], **sizes))


@each
def test_samples_of_steps_are_refused_where_order_matters(make: Make):
    batch = bags([5, 3])
    batch.mask[0, 2] = False
    with pytest.raises(ValueError, match="needs whole bags, got 4 columns of bag 0, which has 5 steps"):
        make().update(batch)
    if make is diaster:
        assert torch.equal(make().relabel(batch) != 0.0, batch.mask)
    else:
        with pytest.raises(ValueError, match="got 4 columns of bag 0"):
            make().relabel(batch)


@pytest.mark.parametrize(("limit", "steps"), [(16, {16, 17, 18, 19, 20}), (1, {8, 9, 10, 11, 12})])
def test_an_update_takes_as_many_steps_as_its_limit_allows(limit: int, steps: set[int]):
    batch = bags([4] * 8, agents=2)
    method, rows = diaster(agents=2, cut_steps=limit), []
    method.sub_trajectory.register_forward_hook(lambda module, inputs, output: rows.append(len(inputs[0])))
    method.update(batch)
    assert rows[0] == min(steps) // 4
    other, read = rbt(agents=2, batch_steps=limit), []
    other.network.register_forward_hook(lambda module, inputs, output: read.append(int(inputs[2].sum())))
    other.update(batch)
    assert read[0] in steps  # and up to four of another bag, in front


def test_a_piece_is_labeled_by_its_share_and_every_step_is_as_likely_in_one():
    batch = bags([7, 2], history=2, agents=2)
    batch.mask[0, 3, 1] = False
    counts, generator = torch.zeros(batch.mask.shape[1]), torch.Generator().manual_seed(0)
    for _ in range(900):
        found = random_pieces(batch, 3, generator)
        columns = found.mask[0].any(dim=1).nonzero().flatten()
        assert columns.diff().eq(1).all()
        assert 1 <= len(columns) <= 3
        assert torch.equal(found.mask[0, columns], batch.mask[0, columns])
        assert found.context[0].any(dim=1).nonzero().flatten().tolist() == list(range(int(columns[-1]) + 1))
        assert found.label[0].item() == pytest.approx(batch.label[0].item() * len(columns) / 7)
        assert torch.equal(found.mask[1], batch.mask[1])
        assert found.label[1] == batch.label[1]
        counts += found.mask[0].any(dim=1)
    # Three of the nine places where a piece may begin contain a step.
    assert (counts[2:9] / 900).tolist() == pytest.approx([1 / 3] * 7, abs=0.06)


@pytest.mark.parametrize("history", [0, 4])
def test_rows_laid_end_to_end(history: int):
    batch = bags([5, 2, 4, 1, 5, 3], history=history, agents=2)
    batch.mask[1, :, 1] = False
    batch = replace(batch, context=batch.context & batch.mask.any(dim=1, keepdim=True))
    rows = as_sequences(batch, history=True)
    generator, columns = torch.Generator().manual_seed(0), rows.valid.shape[1]
    leads, history_seen = set(), set()
    for _ in range(60):
        step, own = end_to_end(rows, 10, generator)
        assert step.shape[1] <= 10
        assert torch.equal((step >= 0).int().cummin(dim=1).values.bool(), step >= 0)
        assert not own[step < 0].any()
        inside = rows.inside.flatten().nonzero().flatten()
        assert torch.equal(step[own].sort().values, inside)  # each once
        assert rows.valid.flatten()[step[step >= 0]].all()
        for line, mine in zip(step.tolist(), own.tolist(), strict=True):
            leads.add(mine.index(True))
            looked_at = [place for place, counted in zip(line, mine, strict=True) if place >= 0 and not counted]
            history_seen |= {place % columns for place in looked_at if not rows.inside.flatten()[place]}
    assert len(leads) >= 5  # a sequence does not tell where its first bag begins
    assert history_seen == set(range(history))
