"""The table of redistributors, and what they share."""

import math

import pytest
import torch
from torch import nn

from bagged_envs.baselines import redistributors
from bagged_envs.baselines.redistributors import config_class, make_redistributor
from bagged_envs.baselines.redistributors.fitting import LabelScale, descend_if_finite, share_among_agents
from bagged_envs.baselines.redistributors.rrd import RRD, RRDConfig
from bagged_envs.baselines.updates import adam


class TestMaking:
    def test_by_name_with_settings(self):
        redistributor = make_redistributor("rrd", 3, 1, bags=2, steps=5)
        assert type(redistributor) is RRD
        assert redistributor.config == RRDConfig(bags=2, steps=5)

    def test_an_unknown_name_lists_the_nearest(self):
        with pytest.raises(ValueError, match="got 'unifrom'. Did you mean 'uniform'"):
            make_redistributor("unifrom", 3, 1)

    def test_an_unknown_setting_lists_the_nearest(self):
        with pytest.raises(ValueError, match="setting of 'rd'.*got 'learning_rat'. Did you mean 'learning_rate'"):
            make_redistributor("rd", 3, 1, learning_rat=1.0)

    def test_a_method_without_settings_says_so(self):
        with pytest.raises(ValueError, match="'uniform' has no settings, got 'bags'"):
            make_redistributor("uniform", 3, 1, bags=2)

    def test_a_class_that_hides_its_settings_is_found(self, monkeypatch):
        class Odd:
            def __init__(self, observation_size, action_size, config=None): ...

        monkeypatch.setitem(redistributors.REDISTRIBUTORS, "odd", Odd)
        with pytest.raises(TypeError, match="'odd' must annotate `config`"):
            config_class("odd")

    def test_settings_that_may_be_none_are_found(self, monkeypatch):
        class Optional:
            def __init__(self, observation_size: int, action_size: int, config: RRDConfig | None = None): ...

        monkeypatch.setitem(redistributors.REDISTRIBUTORS, "optional", Optional)
        assert config_class("optional") is RRDConfig


class TestDescend:
    def test_a_step_of_adam_with_its_metrics(self):
        layer = nn.Linear(1, 1, bias=False)
        layer.weight.data.fill_(3.0)
        metrics = descend_if_finite("x", (layer.weight**2).sum(), adam(layer.parameters(), 0.1))
        assert metrics == pytest.approx({"loss": 9.0, "gradient_norm": 6.0})
        assert layer.weight.item() == pytest.approx(2.9)

    def test_a_rate_of_its_own_is_set_where_the_step_is_made(self):
        layer = nn.Linear(1, 1, bias=False)
        layer.weight.data.fill_(3.0)
        optimizer = adam(layer.parameters(), 0.1)
        with pytest.raises(FloatingPointError):
            descend_if_finite("x", layer.weight.sum() * math.nan, optimizer, learning_rate=0.5)
        assert optimizer.param_groups[0]["lr"] == 0.1
        descend_if_finite("x", layer.weight.sum(), optimizer, learning_rate=0.5)
        assert optimizer.param_groups[0]["lr"] == 0.5
        assert layer.weight.item() == pytest.approx(2.5)

    @pytest.mark.parametrize("spoil", [lambda w: w * math.nan, lambda w: w * math.inf, lambda w: (w - w).sqrt()])
    def test_neither_loss_nor_gradient_may_be_infinite(self, spoil):
        layer = nn.Linear(1, 1, bias=False)
        before, optimizer = layer.weight.item(), adam(layer.parameters(), 0.1)
        with pytest.raises(FloatingPointError, match="some_method: the loss is"):
            descend_if_finite("some_method", spoil(layer.weight).sum(), optimizer)
        assert layer.weight.item() == before
        assert layer.weight.grad is None
        assert optimizer.state_dict()["state"] == {}


class TestLabelScale:
    def test_in_parts_as_at_once(self):
        # Labels per step 1, 3, -1, 5: mean 2, squares 1 + 1 + 9 + 9.
        label, length = torch.tensor([2.0, 3.0, -4.0, 5.0]), torch.tensor([2, 1, 4, 1])
        parts = LabelScale().after(label[:1], length[:1]).after(label[1:], length[1:])
        for scale in (parts, LabelScale().after(label, length)):
            assert (scale.count, scale.mean, scale.squares) == pytest.approx((4, 2.0, 20.0))
            assert scale.deviation == pytest.approx(math.sqrt(5))

    def test_nothing_seen_changes_nothing(self):
        scale, label = LabelScale(), torch.tensor([3.0])
        assert torch.equal(scale.standardize(label, torch.tensor([2])), label)
        rewards = torch.tensor([[[1.0], [2.0]]])
        assert torch.equal(scale.restore(rewards, rewards.bool()), rewards)

    def test_labels_that_are_all_alike_keep_their_deviation(self):
        assert LabelScale().after(torch.tensor([0.3, 0.3, 0.3]), torch.tensor([1, 1, 1])).deviation == 1.0

    def test_restored_rewards_add_up_to_the_label_again(self):
        scale = LabelScale(count=2, mean=3.0, squares=8.0)  # a deviation of 2
        mask = torch.tensor([[[True, True], [False, True]]])
        label, length = torch.tensor([10.0]), torch.tensor([2])
        assert scale.standardize(label, length).item() == pytest.approx((10 - 2 * 3) / 2)
        rewards = torch.tensor([[[0.5, 1.0], [9.0, 0.5]]])  # 2 in all
        restored = torch.where(mask, scale.restore(rewards, mask), 0.0)
        assert restored.tolist() == [[[2.5, 3.5], [0.0, 4.0]]]


def test_shares_of_agents():
    mask = torch.tensor([[[True, True, False], [False, False, True]]])
    assert share_among_agents(torch.tensor([[6.0, 5.0]]), mask).tolist() == [[[3.0, 3.0, 0.0], [0.0, 0.0, 5.0]]]
