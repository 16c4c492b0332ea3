"""Cases and rows: the truth scores best, a reversed truth worst, and what is not defined says so."""

import dataclasses
import math

import numpy as np
import pytest
import torch

import bagged_envs
from bagged_envs.baselines.judging import case as case_module
from bagged_envs.baselines.judging import judge as judging
from bagged_envs.baselines.judging.case import (
    make_case,
    no_function,
    regression,
    step_function,
    table_reward,
    transitions_of,
)
from bagged_envs.baselines.judging.fit import Fit
from bagged_envs.baselines.judging.judge import COLUMNS, KEYS, SCORES, judge, keys_of, label_sums, settings_digest
from bagged_envs.baselines.judging.rebag import dense_rewards
from bagged_envs.baselines.judging.recordings import RecordingConfig
from bagged_envs.baselines.redistributors import REDISTRIBUTORS, make_redistributor
from bagged_envs.baselines.redistributors.rd import RD
from bagged_envs.wrappers import RewardSchedule
from tests.baselines.judging.episodes import WEIGHTS, episodes, spaces
from tests.baselines.programs import program_of

SMALL = RecordingConfig(steps=2000, episodes=40)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return make_case("BaggedHiddenDoor-v0", {"bag_len": 10, "length": 4}, 0, SMALL, tmp_path_factory.mktemp("cache"))


def pretend(monkeypatch, change):
    """Let "oracle" pay something that is made of the truth, and be a function of (s, a, s')."""

    class Pretender(REDISTRIBUTORS["oracle"]):
        def relabel(self, batch):
            return torch.where(batch.mask, change(super().relabel(batch), batch), torch.zeros(()))

    def fit(name, store, steps, seed, after_update, change, **settings):
        return Fit(Pretender(store.observation_size, store.action_size), 0, 0.0)

    monkeypatch.setattr(judging, "fit", fit)


class TestCase:
    def test_what_it_is(self, case):
        assert case.id == "BaggedHiddenDoor-v0[length=4]"
        assert str(case.schedule) == "bag_len=10"
        assert (len(case.fitted), len(case.held_out)) == (84, 36)
        assert case.truth_error == 0.0
        assert all(np.bincount(one.bag_ids).max() <= 10 for one in case.fitted)

    def test_the_recording_says_where_nothing_was_trained(self, case, tmp_path, monkeypatch):
        assert case.recording == "3 x 40 episodes, 2000 steps of training"
        monkeypatch.setattr(case_module, "REGRESSION_STEPS", 1)
        random = make_case("BaggedSimpleSpread-v0", config=RecordingConfig(400, episodes=2), folder=tmp_path)
        assert random.recording == "3 x 2 episodes, all random: no learner fits the spaces"

    def test_success_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="pays by success"):
            make_case("SparseKeyDoor-v0", config=SMALL, folder=tmp_path)

    def test_the_true_reward_of_a_table(self, case):
        reward = table_reward(case.model, case.spaces)
        steps = transitions_of(case.held_out, case.spaces)
        true = np.concatenate([dense_rewards(one) for one in case.held_out])
        np.testing.assert_array_equal(reward(steps.states, steps.actions, steps.following), true)

    @pytest.mark.long
    def test_the_true_reward_of_other_tasks_is_a_regression(self, monkeypatch):
        monkeypatch.setattr(case_module, "REGRESSION_STEPS", 800)
        reward = regression(episodes(40, bag_len=None), spaces(), seed=0)
        steps = transitions_of(episodes(5, seed=9), spaces())
        true = steps.states @ WEIGHTS + steps.actions[:, 0]
        found = reward(steps.states, steps.actions, steps.following)
        assert np.abs(found - true).mean() < 0.2 * np.abs(true).mean()

    def test_held_out_episodes_in_other_bags(self, case):
        other = case.under(RewardSchedule(bag_len=3))
        assert other.fitted is case.fitted
        assert max(np.bincount(one.bag_ids).max() for one in other.held_out) == 3
        assert [one.observations.shape for one in other.held_out] == [one.observations.shape for one in case.held_out]

    def test_steps_of_episodes(self):
        recorded = [dataclasses.replace(one, terminated=True) for one in episodes(2, steps=6)]
        steps = transitions_of(recorded, spaces())
        assert np.flatnonzero(steps.terminated).tolist() == [5, 11]
        np.testing.assert_array_equal(steps.following[:5], steps.states[1:6])
        np.testing.assert_array_equal(steps.following[5], recorded[0].observations[6])


class TestStepFunctions:
    def test_it_is_what_the_store_says(self):
        redistributor = make_redistributor("rd", 3, 1)
        steps = transitions_of(episodes(2), spaces())
        found = step_function(redistributor)(steps.states, steps.actions, steps.following)
        store = spaces().store(episodes(2))
        wanted = [redistributor.relabel(batch)[batch.mask] for _, batch in store.all_bags()]
        np.testing.assert_allclose(np.sort(found), np.sort(torch.cat(wanted).numpy()), rtol=1e-5)

    @pytest.mark.parametrize("name", REDISTRIBUTORS)
    def test_who_is_one(self, name):
        redistributor = make_redistributor(name, 3, 1, **program_of(name))
        reason = no_function(redistributor)
        steps = {"rd", "rrd", "rrd_unbiased", "grd", "diaster", "vib", "reward_design", "constant", "imputer"}
        assert (reason is None) == (name in steps or name.startswith("lare_"))
        if reason is not None:
            with pytest.raises(ValueError, match=reason):
                step_function(redistributor)


class TestJudge:
    def test_the_truth_is_best_in_everything(self, case):
        (row,) = judge("oracle", case, 1)
        assert tuple(row) == COLUMNS
        assert row["absolute_error"] == row["bag_residual"] == row["regret"] == 0.0
        assert row["pearson"] == row["spearman"] == row["return_to_go"] == pytest.approx(1.0)
        assert row["shaping_free"] == pytest.approx(0.0, abs=1e-6)
        assert math.isnan(row["epic"])
        assert math.isnan(row["bag_error"])

    def test_a_reversed_reward_is_worst(self, case, monkeypatch):
        others = [judge(name, case, 50)[0] for name in ("identity", "uniform", "ircr", "rd")]
        pretend(monkeypatch, lambda rewards, batch: -rewards)
        (worst,) = judge("oracle", case, 1)
        assert worst["pearson"] == worst["return_to_go"] == pytest.approx(-1.0)
        assert worst["shaping_free"] == pytest.approx(1.0, abs=1e-6)
        assert worst["regret"] == pytest.approx(3.0)
        for score, sign in (("pearson", 1), ("return_to_go", 1), ("shaping_free", -1), ("regret", -1)):
            assert all(sign * row[score] >= sign * worst[score] for row in others)

    def test_shaping_changes_errors_but_neither_distance_nor_regret(self, case, monkeypatch):
        def shaped(rewards, batch):
            """The farther, the lower, and 0 outside; with the discount of the distance."""
            potential = torch.zeros(batch.observations.shape[3])
            potential[:4] = -0.2 * torch.arange(4)  # features begin with the cells, one-hot
            return rewards + 0.99 * (batch.next_observations @ potential) - batch.observations @ potential

        pretend(monkeypatch, shaped)
        (row,) = judge("oracle", case, 1)
        assert row["absolute_error"] > 0.05
        assert row["shaping_free"] == pytest.approx(0.0, abs=1e-4)
        assert row["regret"] == pytest.approx(0.0, abs=1e-9)

    def test_what_nobody_recorded_is_not_believed_to_be_free(self, case, monkeypatch):
        """Where each recorded step seems to cost 1, actions that were never tried would be the best."""
        pretend(monkeypatch, lambda rewards, batch: torch.full_like(rewards, -1.0))
        best = min((one for one in case.fitted if dense_rewards(one).sum() == 3.0), key=len)
        assert len(np.unique(best.observations[:-1], axis=0)) == len(best)  # no state twice, and so no choice
        (row,) = judge("oracle", dataclasses.replace(case, fitted=[best], held_out=[best]), 1)
        assert row["regret"] == 0.0

    def test_a_fit_is_scored_on_what_it_has_not_seen(self, case, monkeypatch):
        seen = []
        monkeypatch.setattr(judging, "rewards_of", lambda fitted, held, spaces: seen.append(held) or _true(held))
        judge("uniform", case, 1)
        assert seen == [case.held_out]

    def test_a_function_has_an_epic_distance_and_predicts_labels(self, case):
        (row,) = judge("rd", case, 300)
        assert 0.0 < row["epic"] < 0.6
        assert row["bag_error"] == pytest.approx(row["bag_residual"], rel=1e-4)
        assert row["bag_error"] < 0.6
        assert row["updates"] == 300
        assert row["seconds_per_update"] > 0.0

    def test_shifted_bags(self, case):
        rows = judge("uniform", case, 1, [case.under(RewardSchedule(bag_len=length)) for length in (1, 50)])
        assert [row["scored_on"] for row in rows] == ["bag_len=10", "bag_len=1", "bag_len=50"]
        assert {row["fitted_on"] for row in rows} == {"bag_len=10"}
        assert rows[1]["absolute_error"] == pytest.approx(0.0, abs=1e-7)  # each step has its own label
        assert rows[2]["absolute_error"] > rows[0]["absolute_error"] > 0.0
        assert math.isnan(rows[1]["regret"])

    def test_a_refusal_is_a_row_with_its_reason(self, case):
        (row,) = judge("rbt", case, 1, settings={"max_steps": 2})
        assert "max_steps" in row["refused"]
        assert all(math.isnan(row[score]) for score in SCORES)

    def test_a_refusal_to_be_fitted_is_one_of_all_bags(self, case):
        rows = judge("rbt", case, 1, [case.under(RewardSchedule(bag_len=50))], settings={"max_steps": 2})
        assert [row["scored_on"] for row in rows] == ["bag_len=10", "bag_len=50"]
        assert all("max_steps" in row["refused"] for row in rows)

    def test_without_held_out_labels_only_the_errors_of_labels_are_undefined(self, case):
        hidden = [dataclasses.replace(one, labeled=one.labeled & False) for one in case.held_out]
        (row,) = judge("rd", dataclasses.replace(case, held_out=hidden), 5)
        assert row["refused"] == ""
        assert {score for score in SCORES if math.isnan(row[score])} == {"bag_residual", "bag_error"}

    def test_a_mistake_of_ours_is_no_refusal(self, case, monkeypatch):
        def stumble(*call, **settings):
            raise TypeError("a mistake")

        monkeypatch.setattr(judging, "fit", stumble)
        with pytest.raises(TypeError, match="a mistake"):
            judge("rd", case, 1)

    def test_a_loss_that_is_not_finite_is_a_refusal_on_one_line(self, case, monkeypatch):
        def diverge(*call, **settings):
            raise FloatingPointError("the loss\n is not finite")

        monkeypatch.setattr(judging, "fit", diverge)
        assert judge("rd", case, 1)[0]["refused"] == "the loss is not finite"

    def test_a_refusal_of_shifted_bags_only(self, case, monkeypatch):
        relabel = RD.relabel

        def refuse(self, batch):
            if batch.length.max() > 10:
                raise ValueError("such long bags are not for me")
            return relabel(self, batch)

        monkeypatch.setattr(RD, "relabel", refuse)
        rows = judge("rd", case, 1, [case.under(RewardSchedule(bag_len=50))])
        assert rows[0]["refused"] == ""
        assert rows[1]["refused"] == "such long bags are not for me"

    def test_an_unknown_setting_is_a_refusal_too(self, case):
        (row,) = judge("rd", case, 1, settings={"nonesuch": 1})
        assert "nonesuch" in row["refused"]


def test_settings_have_a_digest():
    first = settings_digest("rd")
    assert settings_digest("rd", {"bags": 16}) == first  # the default
    assert len({first, settings_digest("rd", {"bags": 17}), settings_digest("rrd")}) == 3


def test_rows_are_told_apart_by_version_and_settings(case, monkeypatch):
    first, other = (keys_of("rd", case, case, 1, settings) for settings in ({}, {"bags": 17}))
    assert tuple(first) == KEYS
    assert {key for key in KEYS if first[key] != other[key]} == {"settings"}
    assert judge("rd", case, 1, settings={"bags": 17})[0].items() >= other.items()
    assert first["version"] == bagged_envs.__version__


def test_label_sums_by_hand():
    (one,) = episodes(1, steps=7, label_fraction=0.5)
    sums, labels, shown = label_sums([one], [np.arange(7.0)])
    assert sums.tolist() == [10.0, 11.0]
    assert shown.tolist() == one.labeled.tolist()
    np.testing.assert_array_equal(labels, one.rewards[[4, 6]])


def _true(trajectories):
    return [dense_rewards(one) for one in trajectories]
