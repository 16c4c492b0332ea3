"""Attention over time and agents: masks, coalitions, and what AREL, STAS and TAR2 promise alike."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bagged_envs.baselines.judging.fit import hidden
from bagged_envs.baselines.random_bags import ACTION, OBSERVATION, bags_of
from bagged_envs.baselines.redistributors import make_redistributor
from bagged_envs.baselines.redistributors.attention import (
    Attention,
    Block,
    Seen,
    coalition_weights,
    drawn_coalitions,
    every_coalition,
    fixed_coalitions,
    over_agents,
    over_time,
    seen_among_agents,
    seen_in_time,
    variance_over_steps,
)
from bagged_envs.baselines.redistributors.sequences import seeded

SMALL = {"width": 8, "layers": 2}
METHODS = {
    "arel": ("arel", SMALL),
    "arel with actions": ("arel", {**SMALL, "sees_actions": True, "head": "mlp"}),
    "stas v1": ("stas", SMALL),
    "stas v2": ("stas", {**SMALL, "variant": "v2"}),
    "tar2": ("tar2", SMALL),
    "tar2 by parts": ("tar2", {**SMALL, "final_state": False, "inverse_dynamics": False, "normalization": "none"}),
}
every_method = pytest.mark.parametrize("method", METHODS)
INPUTS = ("observations", "actions", "next_observations")
SEEDS = st.integers(0, 2**31 - 1)


def made(method, agents=3, seed=0, **more):
    name, settings = METHODS[method]
    return make_redistributor(name, OBSERVATION, ACTION, seed=seed, agents=agents, **{**settings, **more})


def without(batch, agent):
    """The batch without an agent that never was there."""
    names = ("observations", "actions", "next_observations", "mask", "context", "paid", "dense")
    kept = [other for other in range(batch.mask.shape[2]) if other != agent]
    return replace(batch, **{name: getattr(batch, name)[:, :, kept] for name in names})


def absent(batch, agent):
    """The batch with an agent gone, in which every step still has another one."""
    mask = batch.mask.clone()
    mask[:, :, 0] |= mask[:, :, agent]
    mask[:, :, agent] = False
    return replace(batch, mask=mask, context=mask)


def first_steps(batch, count):
    """The batch without its later columns."""
    values = {name: value for name, value in vars(batch).items() if value is not None and value.ndim > 1}
    return replace(batch, **{name: value[:, :count] for name, value in values.items()})


def changed(batch, column):
    moved = {name: getattr(batch, name).clone() for name in ("observations", "actions", "next_observations")}
    for values in moved.values():
        values[:, column] += 3.0
    return replace(batch, **moved)


def block(seed=0):
    with seeded(seed):
        return Block(Attention(6, 2, 3), nn.Linear(6, 6), 6, 0.0)


def random_mask(seed, bags=3, steps=5, agents=3):
    return torch.rand(bags, steps, agents, generator=torch.Generator().manual_seed(seed)) < 0.6


class TestMasks:
    def test_each_sequence_has_its_own(self):
        mask = torch.zeros(2, 2, 2, dtype=torch.bool)
        mask[0, :, 0] = mask[1, 1, 1] = True  # agent 0 of the first bag stays, agent 1 of the second comes late
        seen, causal = seen_in_time(mask)
        assert not causal
        assert seen.int().tolist() == [[[[1, 0], [1, 1]]], [[[1, 0], [0, 1]]], [[[1, 0], [0, 1]]], [[[1, 0], [0, 1]]]]

    def test_where_nobody_comes_back_the_past_is_enough(self):
        mask = torch.tensor([[[True, True], [True, False]], [[True, False], [False, False]]])
        assert seen_in_time(mask) == Seen(None, causal=True)

    def test_absent_agents_are_seen_by_themselves_alone(self):
        seen, _ = seen_among_agents(torch.tensor([[[True, False], [False, False]]]))
        assert seen.int().tolist() == [[[[1, 0], [1, 1]]], [[[1, 0], [0, 1]]]]
        assert seen_among_agents(torch.ones(1, 2, 3, dtype=torch.bool)) == Seen(None, causal=False)

    @pytest.mark.law
    @given(seed=SEEDS)
    def test_each_agent_s_steps_are_read_as_if_alone(self, seed):
        mask, attend = random_mask(seed), block()
        tokens = torch.randn(*mask.shape, 6, generator=torch.Generator().manual_seed(seed + 1))
        found = over_time(attend, tokens, seen_in_time(mask))
        assert found.isfinite().all()
        for bag, agent in torch.cartesian_prod(torch.arange(3), torch.arange(3)).tolist():
            there = mask[bag, :, agent]
            alone = attend(tokens[bag, there, agent][None], Seen(None, causal=True))[0]
            torch.testing.assert_close(found[bag, there, agent], alone, rtol=1e-4, atol=1e-5)

    @pytest.mark.law
    @given(seed=SEEDS)
    def test_the_agents_of_a_step_are_read_as_if_no_others_were(self, seed):
        mask, attend = random_mask(seed), block()
        tokens = torch.randn(*mask.shape, 6, generator=torch.Generator().manual_seed(seed + 1))
        found = over_agents(attend, tokens, seen_among_agents(mask))
        assert found.isfinite().all()
        for bag, step in mask.any(dim=2).nonzero().tolist():
            there = mask[bag, step]
            alone = attend(tokens[bag, step, there][None], Seen(None, causal=False))[0]
            torch.testing.assert_close(found[bag, step, there], alone, rtol=1e-4, atol=1e-5)


class TestCoalitions:
    def test_every_one_of_three_agents(self):
        found = every_coalition(3)
        assert {tuple(row) for row in found[:, 1].int().tolist()} == {(0, 1, 0), (1, 1, 0), (0, 1, 1), (1, 1, 1)}
        assert found.shape == (4, 3, 3)
        assert every_coalition(1).tolist() == [[[True]]]

    def test_drawn_ones_hold_oneself_and_half_of_the_others(self):
        found = drawn_coalitions(2, 500, 4, torch.Generator().manual_seed(0))
        assert found.shape == (2, 500, 4, 4)
        assert found.diagonal(dim1=2, dim2=3).all()
        others = found[..., ~torch.eye(4, dtype=torch.bool)].float().mean(dim=(0, 1))
        assert others.sub(0.5).abs().max() < 0.07
        assert not torch.equal(found[0], found[1])

    def test_fixed_ones_are_all_if_these_are_few(self):
        assert torch.equal(fixed_coalitions(2, 4, 3, seed=1), every_coalition(3).expand(2, -1, -1, -1))
        some = fixed_coalitions(2, 3, 3, seed=1)
        assert some.shape == (2, 3, 3, 3)
        assert torch.equal(some, fixed_coalitions(2, 3, 3, seed=1))
        assert not torch.equal(some, fixed_coalitions(2, 3, 3, seed=2))

    def test_weights_are_means_of_softmax_over_each(self):
        scores = torch.tensor([[[[0.0, 0.0], [torch.log(torch.tensor(3.0)), 0.0]]]])
        found = coalition_weights(scores, torch.ones(1, 2, dtype=torch.bool), every_coalition(2))
        # alone (1, 0), together (1/2, 1/2); alone (0, 1), together (3/4, 1/4)
        torch.testing.assert_close(found, torch.tensor([[[[0.75, 0.25], [0.375, 0.625]]]]))

    def test_absent_agents_are_in_none(self):
        scores = torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(0))
        found = coalition_weights(scores, torch.tensor([[True, False, True]]), every_coalition(3))
        assert not found[:, :, [0, 2], 1].any()
        pair = coalition_weights(scores[..., [0, 2], :][..., [0, 2]], torch.ones(1, 2).bool(), every_coalition(2))
        torch.testing.assert_close(found[..., [0, 2], :][..., [0, 2]], pair)


def test_variance_over_steps():
    rewards = torch.tensor([[1.0, 3.0, 5.0], [2.0, 4.0, 99.0], [7.0, 99.0, 99.0]])
    present = torch.tensor([[True, True, True], [True, True, False], [True, False, False]])
    # squares (4 + 0 + 4), (1 + 1), 0
    assert variance_over_steps(rewards, present).tolist() == [4.0, 2.0, 0.0]
    assert variance_over_steps(rewards, present, unbiased=False).tolist() == pytest.approx([8 / 3, 1.0, 0.0])


@every_method
class TestTeams:
    def test_who_is_which_does_not_matter(self, method):
        redistributor, batch = made(method), bags_of([5, 1, 4], seed=3, agents=3)
        order = [2, 0, 1]
        names = ("observations", "actions", "next_observations", "mask", "context", "paid")
        turned = replace(batch, **{name: getattr(batch, name)[:, :, order] for name in names})
        expected = redistributor.relabel(batch)[:, :, order]
        torch.testing.assert_close(redistributor.relabel(turned), expected, rtol=1e-4, atol=1e-5)

    def test_an_agent_that_is_absent_might_as_well_not_exist(self, method):
        three, two = made(method, agents=3), made(method, agents=2, seed=5)
        two.load_state_dict(three.state_dict())
        batch = absent(bags_of([5, 1, 4], seed=3, agents=3), agent=1)
        found = three.relabel(batch)
        assert not found[:, :, 1].any()
        torch.testing.assert_close(found[:, :, [0, 2]], two.relabel(without(batch, 1)), rtol=1e-4, atol=1e-5)

    def test_a_bag_s_rewards_depend_on_no_other_bag(self, method):
        redistributor, batch = made(method), bags_of([5, 1, 7, 3], seed=3, agents=3)
        found = redistributor.relabel(batch)
        for bag, length in enumerate([5, 1, 7, 3]):
            alone = redistributor.relabel(first_steps(batch.select(torch.tensor([bag])), length))
            torch.testing.assert_close(alone[0], found[bag, :length], rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("agents", [1, 3])
    def test_of_one_bag_of_one_step(self, method, agents):
        redistributor, batch = made(method, agents), bags_of([1], seed=3, agents=agents)
        assert redistributor.update(batch)["labeled"] == 1.0
        assert redistributor.relabel(batch).shape == (1, 1, agents)

    def test_no_reward_depends_on_a_later_step(self, method):
        redistributor, batch = made(method), hidden(bags_of([6, 6], seed=3, agents=3))
        if getattr(redistributor.config, "final_state", False):
            pytest.skip("is told how the bag ends")
        batch = replace(batch, mask=torch.ones_like(batch.mask), context=torch.ones_like(batch.mask))
        moved = (redistributor.relabel(batch) - redistributor.relabel(changed(batch, 3))).abs().amax(dim=(0, 2))
        assert (moved > 1e-6).tolist() == [False, False, False, True, True, True]

    def test_a_step_knows_its_place_in_the_bag_wherever_that_stands(self, method):
        redistributor, batch = made(method), bags_of([3], seed=3, agents=3)
        late = {
            name: nn.functional.pad(value, [0, 0] * (value.ndim - 2) + [2, 0])
            for name, value in vars(batch).items()
            if value is not None and value.ndim > 1
        }
        expected, found = redistributor.relabel(batch), redistributor.relabel(replace(batch, **late))
        torch.testing.assert_close(found[:, 2:], expected, rtol=1e-4, atol=1e-5)
        same = replace(batch, **{n: getattr(batch, n)[:, :1].expand(-1, 3, -1, -1) for n in late if n in INPUTS})
        scores = redistributor.relabel(hidden(replace(same, mask=torch.ones_like(batch.mask))))
        assert (scores[:, 0] - scores[:, 1]).abs().max() > 1e-4

    def test_a_bag_longer_than_positions_is_refused(self, method):
        redistributor, batch = made(method, max_length=4), bags_of([4, 5], agents=3)
        for call in (redistributor.update, redistributor.relabel):
            with pytest.raises(ValueError, match=r"at most max_length=4 steps, got 5: raise max_length"):
                call(batch)
        assert redistributor.update(bags_of([4, 4], agents=3))["labeled"] == 2.0

    def test_dropout_is_on_in_updates_and_off_in_relabel(self, method):
        batch = bags_of([5, 3], agents=3)
        one, same, still = made(method, dropout=0.5), made(method, dropout=0.5), made(method)
        assert torch.equal(one.relabel(batch), still.relabel(batch))
        assert one.update(batch) == same.update(batch) != still.update(batch)
        assert torch.equal(one.relabel(batch), one.relabel(batch))

    def test_relabeling_between_updates_changes_none_of_them(self, method):
        batch = bags_of([5, 3], agents=3)
        one, other = made(method, dropout=0.5), made(method, dropout=0.5)
        one.relabel(batch)
        assert one.update(batch) == other.update(batch)

    def test_a_refused_update_draws_nothing(self, method):
        batch = bags_of([5, 3], agents=3)
        one, other = made(method, dropout=0.5), made(method, dropout=0.5)
        with pytest.raises(FloatingPointError):
            one.update(replace(batch, label=torch.tensor([torch.nan, 1.0])))
        assert one.update(batch) == other.update(batch)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("arel", {"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ("stas", {"dropout": 1.5}, r"dropout must lie in \[0, 1\), got 1.5"),
        ("stas", {"width": 9}, "width must be a multiple of heads, got 9 and 4"),
        ("tar2", {"width": 10}, "width must be a multiple of heads, got 10 and 4"),
        ("stas", {"variant": "v3"}, "variant must be one of 'v1', 'v2', got 'v3'"),
        ("tar2", {"normalization": "l1"}, "normalization must be one of 'softmax', 'min_max', 'none', got 'l1'"),
        ("tar2", {"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ("arel", {"form": "other"}, "form must be one of 'code', 'paper', got 'other'"),
    ],
)
def test_settings_out_of_range_are_refused(name, settings, message):
    with pytest.raises(ValueError, match=message):
        make_redistributor(name, 1, 1, **settings)
