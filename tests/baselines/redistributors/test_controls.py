"""Identity, LabelsOnly, Oracle, Uniform, Constant and IRCR by hand."""

from dataclasses import replace

import pytest
import torch

from bagged_envs.baselines.random_bags import ACTION, OBSERVATION, bags_of, columns_of
from bagged_envs.baselines.redistributors.constant import Constant
from bagged_envs.baselines.redistributors.identity import Identity, LabelsOnly
from bagged_envs.baselines.redistributors.ircr import IRCR, IRCRConfig, normalized_credit
from bagged_envs.baselines.redistributors.oracle import Oracle
from bagged_envs.baselines.redistributors.uniform import Uniform, uniform_rewards

SIZES = (OBSERVATION, ACTION)


class TestIdentity:
    @pytest.mark.parametrize("method", [Identity, LabelsOnly])
    def test_pays_what_was_paid(self, method):
        batch = bags_of([2, 3], labels=[5.0, 7.0], labeled=[True, False])
        assert method(*SIZES).relabel(batch).squeeze(2).tolist() == [[0.0, 5.0, 0.0], [0.0, 0.0, 0.0]]

    def test_an_unlabeled_bag_pays_nothing_whatever_was_stored(self):
        batch = bags_of([2], labels=[5.0], labeled=[False])
        batch = replace(batch, paid=torch.full((1, 2, 1), 3.0))
        assert Identity(*SIZES).relabel(batch).abs().sum() == 0.0

    def test_what_learners_see(self):
        assert not Identity(*SIZES).only_labeled
        assert LabelsOnly(*SIZES).only_labeled


class TestOracle:
    def test_pays_the_dense_rewards_of_unlabeled_bags_too(self):
        batch = bags_of([2, 3], labeled=[True, False])
        assert torch.equal(Oracle(*SIZES).relabel(batch), batch.dense)

    def test_padding_pays_nothing(self):
        batch = bags_of([2, 3])
        batch = replace(batch, dense=torch.ones(2, 3, 1))
        assert Oracle(*SIZES).relabel(batch).squeeze(2).tolist() == [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]

    def test_says_what_to_do_where_there_are_none(self):
        with pytest.raises(ValueError, match="expose_reward=True"):
            Oracle(*SIZES).relabel(replace(bags_of([2]), dense=None))


class TestUniform:
    def test_shares_over_steps_and_over_the_agents_that_are_there(self):
        mask = torch.tensor(
            [[[True, True], [True, False], [False, True]], [[True, True], [True, True], [False, False]]]
        )
        rewards = uniform_rewards(torch.tensor([6.0, -8.0]), torch.tensor([3, 2]), torch.tensor([True, True]), mask)
        assert rewards.tolist() == [[[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]], [[-2.0, -2.0], [-2.0, -2.0], [0.0, 0.0]]]

    def test_unlabeled_bags_get_nothing(self):
        batch = bags_of([2, 4], labels=[6.0, 8.0], labeled=[False, True])
        assert Uniform(*SIZES).relabel(batch).squeeze(2).tolist() == [[0.0] * 4, [2.0] * 4]

    def test_an_unlabeled_bag_gets_nothing_whatever_was_stored(self):
        mask = torch.ones(1, 2, 1, dtype=torch.bool)
        rewards = uniform_rewards(torch.tensor([6.0]), torch.tensor([2]), torch.tensor([False]), mask)
        assert rewards.abs().sum() == 0.0

    def test_a_sample_of_steps_gets_the_share_of_the_whole_bag(self):
        batch = columns_of(bags_of([6], labels=[12.0]), torch.tensor([[5, 0]]))
        assert Uniform(*SIZES).relabel(batch).flatten().tolist() == [2.0, 2.0]


class TestConstant:
    def test_every_step_gets_the_mean_label_per_step_of_labeled_bags(self):
        # Labels per step 1 and 4; a bag without a label does not count.
        batch = bags_of([2, 1, 3], labels=[2.0, 4.0, 90.0], labeled=[True, True, False])
        redistributor = Constant(*SIZES)
        assert redistributor.update(batch) == {"labeled": 2.0, "loss": 2.25, "mean": 2.5}
        rewards = redistributor.relabel(batch).squeeze(2).tolist()
        assert rewards == [[2.5, 2.5, 0.0], [2.5, 0.0, 0.0], [2.5, 2.5, 2.5]]

    def test_the_mean_is_over_all_bags_seen(self):
        redistributor = Constant(*SIZES)
        redistributor.update(bags_of([1], labels=[1.0]))
        redistributor.update(bags_of([1, 1], labels=[4.0, 7.0]))
        assert redistributor.relabel(bags_of([1])).item() == 4.0

    def test_before_any_update_nothing_is_paid(self):
        assert Constant(*SIZES).relabel(bags_of([2])).abs().sum() == 0.0

    def test_agents_share_it(self):
        batch = bags_of([3, 2], agents=3, labels=[3.0, 2.0])
        redistributor = Constant(*SIZES, agents=3)
        redistributor.update(batch)
        torch.testing.assert_close(redistributor.relabel(batch).sum(dim=2), torch.tensor([[1.0] * 3, [1.0, 1.0, 0.0]]))

    def test_a_label_that_is_not_finite_changes_nothing(self):
        redistributor = Constant(*SIZES)
        redistributor.update(bags_of([1], labels=[1.0]))
        with pytest.raises(FloatingPointError, match="constant: a label is not finite: nothing was changed"):
            redistributor.update(bags_of([1], labels=[float("inf")]))
        assert redistributor.relabel(bags_of([1])).item() == 1.0


class TestIRCR:
    # Credits 1, 3 and -1: extremes -1 and 3, mean 1.
    BATCH = bags_of([2, 2, 3], labels=[2.0, 6.0, -3.0])

    def trained(self, **settings):
        redistributor = IRCR(*SIZES, IRCRConfig(**settings))
        redistributor.update(self.BATCH)
        return redistributor

    def test_labels_per_step_between_the_extremes(self):
        rewards = self.trained().relabel(self.BATCH).squeeze(2)
        assert rewards.tolist() == [[0.5, 0.5, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]

    def test_extremes_and_mean_move_as_bags_come(self):
        redistributor = self.trained()
        metrics = redistributor.update(bags_of([1], labels=[7.0]))
        assert metrics == {"labeled": 1.0, "credit_low": -1.0, "credit_high": 7.0, "credit_mean": 2.5}
        assert redistributor.relabel(self.BATCH)[:, 0, 0].tolist() == [0.25, 0.5, 0.0]

    def test_unlabeled_bags_get_the_mean_credit(self):
        batch = bags_of([4, 2], labels=[12.0, 0.0], labeled=[True, False])
        assert self.trained().relabel(batch)[:, 0, 0].tolist() == [1.0, 0.5]

    def test_credits_that_no_update_has_seen_are_clipped(self):
        batch = bags_of([1, 1], labels=[100.0, -100.0])
        assert self.trained().relabel(batch).flatten().tolist() == [1.0, 0.0]

    def test_before_any_update_nothing_is_paid(self):
        assert IRCR(*SIZES).relabel(self.BATCH).abs().sum() == 0.0

    def test_bags_that_are_all_alike_get_nothing(self):
        batch = bags_of([1, 2], labels=[3.0, 6.0])
        redistributor = IRCR(*SIZES)
        redistributor.update(batch)
        assert redistributor.relabel(batch).tolist() == [[[0.0], [0.0]], [[0.0], [0.0]]]

    def test_the_smallest_range(self):
        assert self.trained(smallest_range=4.0).relabel(self.BATCH).abs().sum() == 0.0
        assert self.trained(smallest_range=3.9).relabel(self.BATCH).abs().sum() > 0.0
        assert normalized_credit(torch.tensor([2.0]), low=2.0, high=2.0).tolist() == [0.0]

    def test_agents_share_the_credit_of_their_step(self):
        batch = bags_of([3, 3, 2], agents=3, labels=[3.0, 9.0, -2.0])
        redistributor = IRCR(*SIZES, agents=3)
        redistributor.update(batch)
        steps = redistributor.relabel(batch).sum(dim=2)
        torch.testing.assert_close(steps, torch.tensor([[0.5] * 3, [1.0] * 3, [0.0] * 3]))

    @pytest.mark.parametrize("settings", [{"bags": 0}, {"every": 0}, {"smallest_range": -1.0}])
    def test_settings_out_of_range_are_refused(self, settings):
        with pytest.raises(ValueError, match=next(iter(settings))):
            IRCRConfig(**settings)
