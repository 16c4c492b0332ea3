"""AREL: its loss by hand, what a reward is made of, and who is paid how much."""

from dataclasses import replace

import pytest
import torch

from bagged_envs.baselines.random_bags import ACTION, OBSERVATION, bags_of
from bagged_envs.baselines.redistributors.arel import AREL, ARELConfig, arel_loss

# Two bags of three steps and one; 99.0 stands in padding.
REWARDS = torch.tensor([[1.0, 2.0, 6.0], [4.0, 99.0, 99.0]])
PRESENT = torch.tensor([[True, True, True], [True, False, False]])
LABEL = torch.tensor([6.0, 5.0])


def arel(agents=3, seed=0, **settings):
    return AREL(OBSERVATION, ACTION, ARELConfig(**{"width": 8, "layers": 2} | settings), seed, agents=agents)


class TestLoss:
    def test_of_the_code(self):
        # Errors 3 and -1; variances (4 + 1 + 9) / 2 and none.
        loss, fit = arel_loss(REWARDS, PRESENT, LABEL, variance_weight=20.0)
        assert fit.item() == pytest.approx((9 + 1) / 2)
        assert loss.item() == pytest.approx((9 + 1) / 2 + 20 * 7 / 2)

    def test_of_the_paper(self):
        # Squares over the steps: 9 / 3 and 1 / 1; variance 14 / 3.
        loss, fit = arel_loss(REWARDS, PRESENT, LABEL, 3.0, "paper")
        assert fit.item() == pytest.approx((3 + 1) / 2)
        assert loss.item() == pytest.approx((3 + 1) / 2 + 3 * 14 / 3 / 2)

    def test_the_weight_of_the_variance_knows_no_scale(self):
        small, large = (arel_loss(scale * REWARDS, PRESENT, scale * LABEL, 20.0)[0].item() for scale in (1.0, 10.0))
        assert large == pytest.approx(100.0 * small)

    @pytest.mark.parametrize("form", ["code", "paper"])
    def test_it_is_what_an_update_reports(self, form):
        redistributor, batch = arel(form=form, standardize=False), bags_of([5, 1, 3], agents=3)
        rewards = redistributor.relabel(batch).sum(dim=2)
        loss, fit = arel_loss(rewards, batch.mask.any(dim=2), batch.label, 20.0, form)
        metrics = redistributor.update(batch)
        assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-4)
        assert metrics["label_loss"] == pytest.approx(fit.item(), rel=1e-4)


class TestWhatItSees:
    def moved(self, redistributor, field):
        batch = bags_of([4], agents=3)
        values = getattr(batch, field) + 1.0
        return not torch.equal(redistributor.relabel(batch), redistributor.relabel(replace(batch, **{field: values})))

    def test_next_observations_alone(self):
        fields = ("observations", "actions", "next_observations")
        assert [self.moved(arel(), field) for field in fields] == [False, False, True]
        assert [self.moved(arel(sees_actions=True), field) for field in fields] == [False, True, True]


class TestWhoIsPaid:
    @pytest.mark.parametrize("updates", [0, 3])
    def test_agents_of_a_step_are_paid_alike(self, updates):
        redistributor, batch = arel(), bags_of([5, 1, 3], agents=3)
        for _ in range(updates):
            redistributor.update(batch)
        rewards = redistributor.relabel(batch)
        there = batch.mask.sum(dim=2, keepdim=True)
        share = torch.where(batch.mask, (rewards.sum(dim=2, keepdim=True) / there.clamp(min=1)), 0.0)
        torch.testing.assert_close(rewards, share)

    def test_with_broadcast_each_gets_what_all_shared(self):
        shares, whole = arel(), arel(broadcast=True)
        batch = bags_of([5, 1, 3], agents=3)
        shares.update(batch)
        whole.update(batch)
        team = shares.relabel(batch).sum(dim=2, keepdim=True)
        torch.testing.assert_close(whole.relabel(batch), torch.where(batch.mask, team, 0.0))
        full = replace(
            batch, mask=(everyone := batch.mask.any(dim=2, keepdim=True).expand(-1, -1, 3)), context=everyone
        )
        once, thrice = (one.relabel(full).sum(dim=(1, 2)) for one in (shares, whole))
        torch.testing.assert_close(thrice, 3.0 * once)

    def test_a_large_weight_of_the_variance_makes_rewards_even(self):
        spread = {}
        for weight in (0.0, 1000.0):
            redistributor, batch = arel(agents=1, variance_weight=weight, learning_rate=3e-3), bags_of([6] * 16)
            for _ in range(60):
                redistributor.update(batch)
            spread[weight] = redistributor.relabel(batch).std(dim=1).mean().item()
        assert spread[1000.0] < 0.1 * spread[0.0]


def test_the_affine_head_is_affine_and_the_other_is_not():
    for head, affine in (("affine", True), ("mlp", False)):
        network = arel(head=head)._model.network
        one, other = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0)).unbind()
        of_sum = network.of_agent(one) + network.of_agent(other) - network.of_agent(torch.zeros(5, 8))
        assert torch.allclose(network.of_agent(one + other), of_sum, atol=1e-5) == affine


def test_official_settings():
    config = ARELConfig.paper()
    assert (config.layers, config.heads, config.hidden, config.head, config.dropout) == (3, 3, 50, "affine", 0.0)
    assert (config.variance_weight, config.form, config.broadcast, config.standardize) == (20.0, "code", True, False)
    assert (config.learning_rate, config.weight_decay, config.bags) == (1e-4, 1e-5, 256)
    assert (config.every, config.updates, config.warm_up) == (25_000, 1000, 100_000)
    for size, width in ((18, 18), (300, 100)):
        network = AREL(size, ACTION, config)._model.network
        assert network.token.out_features == width
        assert network.time[0].attention.into.out_features == 3 * 3 * width  # each head as wide as a token
