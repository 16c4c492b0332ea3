"""Diagnoses of data whose truth the test knows, and their numbers by hand."""

import dataclasses
import math

import numpy as np
import pytest

from bagged_envs.baselines.judging import diagnose as diagnosing
from bagged_envs.baselines.judging.diagnose import (
    diagnose,
    episodes_of,
    gains,
    margin_of,
    mean_label_per_step,
    needed_margin,
    resampled,
    stability,
    warnings,
)
from tests.baselines.judging.episodes import episodes, spaces

FAST = {"hidden": (32,), "learning_rate": 3e-3}


def unlabeled(trajectory):
    return dataclasses.replace(trajectory, labeled=trajectory.labeled & False)


def array(*values):
    return np.array(values, dtype=np.float64)


class TestByHand:
    def test_gain(self):
        # Squared errors 1 + 4 against 9 + 1.
        assert gains(array(1, 2), array(0, 4), array(3, 5)) == pytest.approx(1 - 5 / 10)
        assert gains(array(3, 5), array(0, 4), array(3, 5)) == 0.0
        assert gains(array(9, 4), array(0, 4), array(3, 5)) < 0.0
        assert math.isnan(gains(array(1), array(2), array(2)))
        labels = array(*[0.30000000000000004] * 10)  # a constant that float32 cannot hold
        assert math.isnan(gains(array(*[0.25] * 10), labels, labels.astype("float32").astype("float64")))

    def test_margin(self):
        # By episode the errors shrink by (9 - 1) + (1 - 4) = 5, and by 4 - 0 = 4, and by 0 - 9 = -9.
        said, labels, constant = array(1, 2, 5, 8), array(0, 4, 5, 5), array(3, 5, 3, 5)
        found = margin_of(said, labels, constant, np.array([0, 0, 1, 2]))
        assert found == pytest.approx(0.0 / 1.0)
        found = margin_of(said[:3], labels[:3], constant[:3], np.array([0, 0, 1]))
        assert found == pytest.approx(4.5 / (np.std([5, 4], ddof=1) / np.sqrt(2)))

    def test_margin_of_few_or_equal_episodes(self):
        assert math.isnan(margin_of(array(1, 1), array(1, 1), array(0, 0), np.array([3, 3])))
        assert margin_of(array(1, 1), array(1, 1), array(0, 0), np.array([3, 5])) == math.inf
        assert margin_of(array(0, 0), array(1, 1), array(1, 1), np.array([0, 1])) == -math.inf

    def test_stability(self):
        fits = [[array(0, 0), array(3)], [array(1, 4), array(4)], [array(0, 0), array(-3)]]
        # Pairs correlate by 1/2, -1 and -1/2.
        assert stability(fits) == pytest.approx(-1 / 3)
        assert stability([[array(0, 1)], [array(5, 5)]]) == 0.0
        assert stability([[array(5, 5)], [array(0, 1)]]) == 0.0
        assert math.isnan(stability([[array(0, 1)]]))

    def test_the_constant_reward(self):
        recorded = episodes(3, steps=7, label_fraction=0.5)
        labels = sum(one.rewards.sum() for one in recorded)
        steps = sum(np.bincount(one.bag_ids)[one.labeled].sum() for one in recorded)
        assert mean_label_per_step(spaces().store(recorded)) == pytest.approx(labels / steps, rel=1e-6)

    def test_the_episode_of_each_labeled_bag(self):
        recorded = episodes(5, steps=10, label_fraction=0.5)
        assert np.bincount(episodes_of(recorded), minlength=5).tolist() == [one.labeled.sum() for one in recorded]


class TestWarnings:
    def test_none_where_all_is_well(self):
        assert warnings(0.8, 5.0, 1.2, 0.9, 20) == []
        assert warnings(0.8, 2.0, 1.2, 0.9, 20) == []

    def test_few_episodes_need_a_larger_margin(self):
        # Of a table of Student's t, one-sided 95 %.
        wanted = {2: 6.314, 3: 2.920, 6: 2.015, 11: 1.812, 31: 1.697}
        assert {n: round(needed_margin(n), 3) for n in wanted} == wanted
        assert needed_margin(1) == math.inf

    @pytest.mark.parametrize(
        ("case", "words"),
        [
            ((0.1, 1.0, 1.0, 0.9, 20), "as far as 20 unseen episodes tell (gain 0.10): do not use"),
            ((0.1, 2.0, 1.0, 0.9, 3), "as far as 3 unseen episodes tell (gain 0.10): do not use"),
            ((0.0, math.inf, 1.0, 0.9, 20), "no better than Uniform on unseen bags (gain 0.00): do not use"),
            ((-0.5, -3.0, 1.0, 0.9, 20), "no better than Uniform on unseen bags (gain -0.50): do not use"),
            ((0.8, math.nan, 1.0, 0.9, 1), "1 held-out episode with labels: too few to tell"),
            ((math.nan, math.nan, 1.0, 0.9, 20), "labels per step are all alike"),
            ((0.8, 5.0, 9.0, 0.9, 20), "memorizes (squared errors 9 times larger on unseen bags)"),
            ((0.8, 5.0, 1.0, 0.2, 20), "disagree (correlation 0.20): its rewards are chance"),
        ],
    )
    def test_each(self, case, words):
        (said,) = warnings(*case)
        assert words in said


class TestBootstrap:
    def test_as_many_with_replacement_by_the_seed(self):
        recorded = episodes(20)
        first, again, other = ([id(one) for one in resampled(recorded, seed)] for seed in (0, 0, 1))
        assert first == again != other
        assert len(first) == 20 > len(set(first))

    def test_without_any_label_it_ends(self):
        with pytest.raises(ValueError, match="got none in 1000 draws of 2 episodes"):
            resampled([unlabeled(one) for one in episodes(2)], 0)


class TestDiagnose:
    def run(self, method, noise=0.0, steps=400, **settings):
        fitted, held_out = episodes(40, noise=noise), episodes(15, noise=noise, seed=1)
        return diagnose(method, fitted, held_out, spaces(), steps, bootstraps=2, **settings)

    @pytest.mark.long
    def test_rewards_that_can_be_known(self):
        found = self.run("rd", **FAST)
        assert found.gain > 0.9
        assert found.margin > 3.0
        assert found.stability > 0.9
        assert found.bag_error < 1.5
        assert found.warnings == ()
        assert [len(one) for one in found.rewards] == [20] * 15

    @pytest.mark.parametrize("correction", ["uniform", "last", "none"])
    def test_fits_do_not_agree_by_the_label_that_both_are_shown(self, correction):
        found = self.run("rudder", noise=1.0, steps=20, correction=correction)
        assert found.stability < 0.5
        assert any("its rewards are chance" in warning for warning in found.warnings)

    @pytest.mark.long
    def test_rewards_that_are_chance(self):
        found = self.run("rd", noise=1.0, **FAST)
        assert found.gain < 0.0
        assert "no better than Uniform on unseen bags" in found.warnings[0]
        assert "do not use" in found.warnings[0]
        assert found.stability < 0.5
        assert found.fitted_gain > found.gain

    def test_what_is_exact_by_construction_is_not_praised_for_it(self):
        """RUDDER's rewards add up to every label; before the correction they know nothing here."""
        found = self.run("rudder", noise=1.0, steps=1)
        assert found.gain < 0.2
        assert "do not use" in found.warnings[0]

    @pytest.mark.parametrize("method", ["uniform", "identity", "ircr"])
    def test_who_predicts_nothing_says_so(self, method):
        found = self.run(method, steps=5)
        assert math.isnan(found.gain)
        assert math.isnan(found.bag_error)
        assert "cannot be judged without the truth" in found.warnings[0]
        assert len(found.rewards) == 15

    def test_few_labels_leave_gain_and_error(self):
        """One episode of five has labels: of three bootstrap samples one has none of them at first."""
        fitted = [one if place == 3 else unlabeled(one) for place, one in enumerate(episodes(5))]
        first = [np.random.default_rng(seed).integers(5, size=5) for seed in (1, 2, 3, 4)]
        assert not all((drawn == 3).any() for drawn in first)
        found = diagnose("rd", fitted, episodes(5, seed=1), spaces(), 5, bootstraps=4)
        assert found.refused == ""
        assert all(math.isfinite(value) for value in (found.gain, found.bag_error, found.stability))

    def test_a_refit_that_fails_leaves_gain_and_error(self, monkeypatch):
        fit, calls = diagnosing.fit, []

        def fail_later(*call, **settings):
            calls.append(call)
            if len(calls) > 1:
                raise FloatingPointError("the loss is not finite")
            return fit(*call, **settings)

        monkeypatch.setattr(diagnosing, "fit", fail_later)
        found = self.run("rd", steps=5)
        assert found.refused == ""
        assert math.isfinite(found.gain)
        assert math.isnan(found.stability)
        assert found.warnings[-1] == "could not be fitted to resampled episodes: the loss is not finite"

    @pytest.mark.parametrize("method", ["rd", "uniform"])
    @pytest.mark.parametrize("side", ["fitted", "held_out"])
    def test_both_sides_need_a_label_before_anything_is_fitted(self, side, method, monkeypatch):
        monkeypatch.setattr(diagnosing, "fit", None)
        parts = {"fitted": episodes(4), "held_out": episodes(3, seed=1)}
        parts[side] = [unlabeled(one) for one in parts[side]]
        with pytest.raises(
            ValueError, match=f"{side} must have a labeled bag, got none in {len(parts[side])} episodes"
        ):
            diagnose(method, **parts, spaces=spaces(), steps=5)

    def test_a_mistake_of_ours_is_no_refusal(self, monkeypatch):
        monkeypatch.setattr(diagnosing, "predictions", None)
        with pytest.raises(TypeError):
            self.run("rd", steps=1)

    def test_bootstraps_below_none(self):
        with pytest.raises(ValueError, match="bootstraps must be an int of at least 0, got -1"):
            diagnose("uniform", episodes(4), episodes(3), spaces(), 5, bootstraps=-1)

    def test_episodes_without_labels_are_no_witnesses(self):
        held_out = [episodes(1, seed=1)[0], *(unlabeled(one) for one in episodes(9, seed=2))]
        found = diagnose("rd", episodes(10), held_out, spaces(), 5, bootstraps=0)
        assert found.warnings[0].startswith("1 held-out episode with labels: too few to tell")

    def test_a_refusal_has_its_reason(self):
        found = self.run("rbt", max_steps=3)
        assert "max_steps" in found.refused
        assert found.rewards == ()

    def test_labels_that_are_all_alike(self):
        fitted, held_out = (episodes(6, seed=seed, aggregate="square_sum") for seed in (0, 1))
        for one in (*fitted, *held_out):
            one.rewards[np.diff(one.bag_ids, append=99) > 0] = 2.0
        found = diagnose("rd", fitted, held_out, spaces(), 50, bootstraps=0, **FAST)
        assert math.isnan(found.gain)
        assert found.warnings == ("labels per step are all alike: nothing can be learned from them",)
