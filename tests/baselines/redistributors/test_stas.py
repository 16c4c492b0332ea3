"""STAS: its loss by hand, its variants, and coalitions that are random in updates only."""

import io

import pytest
import torch

from bagged_envs.baselines.random_bags import ACTION, OBSERVATION, bags_of
from bagged_envs.baselines.redistributors.stas import STAS, STASConfig, stas_loss

REWARDS = torch.tensor([[[1.0, 1.0], [2.0, 99.0]], [[-1.0, 3.0], [99.0, 99.0]]])
MASK = torch.tensor([[[True, True], [True, False]], [[True, True], [False, False]]])
LABEL = torch.tensor([7.0, 0.0])


def stas(agents=3, seed=0, **settings):
    return STAS(OBSERVATION, ACTION, STASConfig(**{"width": 8, "layers": 2} | settings), seed, agents=agents)


class TestLoss:
    def test_is_the_squared_error_of_sums_over_steps_and_agents(self):
        loss, fit = stas_loss(REWARDS, MASK, LABEL)  # 4 - 7 and 2 - 0
        assert loss.item() == fit.item() == pytest.approx((9 + 4) / 2)

    def test_with_the_variance_of_what_all_get(self):
        rewards = REWARDS + torch.tensor([[[0.0, 1.0], [2.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
        # Steps 3 and 4 of the first bag: variance 1/2 over T - 1; the second has one step.
        loss, fit = stas_loss(rewards, MASK, LABEL, variance_weight=8.0)
        assert fit.item() == pytest.approx((0 + 4) / 2)
        assert loss.item() == pytest.approx((0 + 4) / 2 + 8 * 0.5 / 2)

    def test_it_is_what_an_update_of_all_coalitions_reports(self):
        redistributor, batch = stas(1, standardize=False, variance_weight=2.0), bags_of([5, 1, 3])
        loss, _ = stas_loss(redistributor.relabel(batch), batch.mask, batch.label, 2.0)  # one agent: one coalition
        assert redistributor.update(batch)["loss"] == pytest.approx(loss.item(), rel=1e-4)


class TestCoalitions:
    def test_relabel_is_the_same_each_time_and_updates_are_not(self):
        redistributor, batch = stas(6, relabel_draws=3), bags_of([5, 1, 3], agents=6)
        assert torch.equal(redistributor.relabel(batch), redistributor.relabel(batch))
        still = stas(6, relabel_draws=3, learning_rate=0.0)
        first, second = (still.update(batch)["loss"] for _ in range(2))
        assert first != second

    def test_those_to_relabel_with_are_saved(self):
        redistributor, other = stas(6, relabel_draws=3), stas(6, seed=9, relabel_draws=3)
        batch = bags_of([5, 1, 3], agents=6)
        buffer = io.BytesIO()
        torch.save(redistributor.state_dict(), buffer)
        buffer.seek(0)
        other.load_state_dict(torch.load(buffer, weights_only=True))
        assert torch.equal(redistributor.relabel(batch), other.relabel(batch))

    def test_more_of_them_come_closer_to_all(self):
        batch = bags_of([5, 1, 3] * 4, agents=5)
        every = stas(5, relabel_draws=16).relabel(batch)
        few, many = ((stas(5, relabel_draws=draws).relabel(batch) - every).abs().mean() for draws in (1, 15))
        assert 0.0 < many < 0.5 * few

    def test_an_update_has_as_many_as_are_set(self):
        redistributor, seen = stas(variant="v2", draws=7), []
        redistributor._network.register_forward_hook(lambda module, inputs, output: seen.append(inputs[1].shape))
        redistributor.update(bags_of([2], agents=3))
        redistributor.relabel(bags_of([2], agents=3))
        assert seen == [(2, 7, 3, 3), (2, 4, 3, 3)]  # all four of three agents


def test_variants():
    first, second = (stas(variant=variant, layers=3)._network for variant in ("v1", "v2"))
    assert (len(first.attention.time), len(first.attention.agents), first.reward.in_features) == (3, 1, 8)
    assert (len(second.attention.time), len(second.attention.agents), second.reward.in_features) == (3, 3, 24)


def test_official_settings():
    config = STASConfig.paper()
    assert (config.variant, config.width, config.layers, config.heads, config.dropout) == ("v1", 128, 3, 4, 0.5)
    assert (config.draws, config.variance_weight, config.standardize) == (5, 0.0, False)
    assert (config.learning_rate, config.weight_decay, config.bags) == (5e-4, 1e-5, 256)
    assert (config.every, config.updates, config.warm_up) == (20_480, 50, 0)
