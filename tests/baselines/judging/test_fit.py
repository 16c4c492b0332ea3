"""Fitting, and asking for rewards and labels: nothing that is to be predicted may be seen."""

import dataclasses

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from bagged_envs.baselines.api import Schedule
from bagged_envs.baselines.judging.fit import (
    Spaces,
    fit,
    hidden,
    predictions,
    rewards_of,
    split,
    updates_of,
)
from bagged_envs.baselines.judging.rebag import dense_rewards
from bagged_envs.baselines.promises import no_prediction, own_units, pays_dense
from bagged_envs.baselines.redistributors import REDISTRIBUTORS
from tests.baselines.judging.episodes import episodes, spaces
from tests.baselines.programs import program_of

SMALL = {
    "diaster": {"hidden": 8, "cuts": 1, "step_updates": 1},
    **dict.fromkeys(("rbt", "arel", "stas", "tar2"), {"width": 8, "layers": 1, "first": 3, "updates": 3}),
    "grd": {"hidden": (8,), "mixtures": 2},
}
PREDICTING = [name for name in REDISTRIBUTORS if no_prediction(REDISTRIBUTORS[name]) is None]
MADE_OF_LABELS = ("identity", "labels_only", "oracle", "uniform", "constant", "ircr")


def small_fit(name, trajectories, steps=3):
    return fit(name, spaces().store(trajectories), steps, **program_of(name), **SMALL.get(name, {}))


class TestUpdates:
    @pytest.mark.parametrize(
        ("schedule", "steps", "wanted"),
        [
            (Schedule(), 7, 7),
            (Schedule(every=100, updates=100), 250, 200),
            (Schedule(every=1000, updates=40, first=400), 3500, 480),
            (Schedule(every=1000, updates=40), 10, 40),
        ],
    )
    def test_by_the_own_schedule(self, schedule, steps, wanted):
        assert updates_of(schedule, steps) == wanted

    def test_so_many_are_made_and_timed(self):
        calls = []
        fitted = fit("rd", spaces().store(episodes(4)), 5, after_update=lambda: calls.append(1))
        assert fitted.updates == len(calls) == 5
        assert fitted.seconds_per_update == fitted.seconds / 5 > 0.0

    def test_where_there_is_nothing_to_learn(self):
        fitted = small_fit("uniform", episodes(4))
        assert fitted.updates == 0
        assert np.isnan(fitted.seconds_per_update)

    def test_without_labels(self):
        with pytest.raises(ValueError, match="labeled bags to fit to"):
            small_fit("rd", [dataclasses.replace(one, labeled=one.labeled & False) for one in episodes(2)])

    def test_unlabeled_bags_teach_nothing(self):
        """Whatever their steps are."""
        shown = episodes(6)
        noise = [
            dataclasses.replace(one, observations=one.observations + 99, labeled=one.labeled & False) for one in shown
        ]
        first, second = small_fit("rd", shown), small_fit("rd", [*shown, *noise])
        one, other = (rewards_of(fitted.redistributor, shown, spaces()) for fitted in (first, second))
        np.testing.assert_allclose(np.concatenate(one), np.concatenate(other), atol=1e-6)


class TestSplit:
    def test_every_episode_is_on_one_side(self):
        recorded = episodes(10)
        fitted, held_out = split(recorded, 0.3, seed=0)
        assert (len(fitted), len(held_out)) == (7, 3)
        assert {id(one) for one in [*fitted, *held_out]} == {id(one) for one in recorded}

    def test_by_the_seed(self):
        recorded = episodes(10)
        sides = [[id(one) for one in split(recorded, 0.3, seed)[1]] for seed in (0, 0, 1)]
        assert sides[0] == sides[1] != sides[2]

    @pytest.mark.parametrize(("count", "share"), [(2, 0.01), (2, 0.99), (5, 0.99)])
    def test_no_side_is_empty(self, count, share):
        assert all(split(episodes(count), share, 0))

    def test_one_episode_is_too_few(self):
        with pytest.raises(ValueError, match="at least two"):
            split(episodes(1), 0.3, 0)

    def test_the_share(self):
        with pytest.raises(ValueError, match="between 0 and 1"):
            split(episodes(4), 1.0, 0)


class TestRewards:
    def test_of_each_step_of_each_episode_in_order(self):
        recorded = [*episodes(3, steps=7), *episodes(2, steps=12, seed=1)]
        rewards = rewards_of(small_fit("oracle", recorded).redistributor, recorded, spaces())
        for one, own in zip(recorded, rewards, strict=True):
            np.testing.assert_allclose(own, dense_rewards(one), rtol=1e-6)

    @pytest.mark.parametrize("name", ["uniform", "rudder"])
    def test_labels_are_seen_as_a_learner_sees_them(self, name):
        recorded = episodes(4)
        rewards = rewards_of(small_fit(name, recorded).redistributor, recorded, spaces())
        for one, own in zip(recorded, rewards, strict=True):
            labels = one.rewards[np.flatnonzero(np.diff(one.bag_ids, append=99))]
            np.testing.assert_allclose(np.bincount(one.bag_ids, weights=own), labels, atol=1e-5)

    def test_open_episodes_are_refused(self):
        recorded = episodes(2)
        left = [dataclasses.replace(recorded[0], closed=False, labeled=np.array([True, True, True, False]))]
        with pytest.raises(ValueError, match="open bag"):
            rewards_of(small_fit("uniform", recorded).redistributor, left, spaces())


class TestPredictions:
    @pytest.mark.parametrize("name", PREDICTING)
    def test_the_label_is_not_seen(self, name):
        """Other labels on the same steps: the same predictions, and the other labels beside them."""
        recorded, store = episodes(5), spaces().store
        redistributor = small_fit(name, recorded).redistributor
        bribed = [dataclasses.replace(one, rewards=1000.0 * (one.rewards != 0.0)) for one in recorded]
        said, labels, lengths = predictions(redistributor, store(recorded))
        said_again, other_labels, _ = predictions(redistributor, store(bribed))
        np.testing.assert_array_equal(said, said_again)
        assert (other_labels == 1000.0).all()
        assert np.abs(labels).max() < 100.0
        assert (lengths == 5.0).all()

    @pytest.mark.parametrize("name", PREDICTING)
    def test_they_are_the_sums_of_the_rewards_where_labels_do_not_enter(self, name):
        recorded = episodes(5)
        redistributor = small_fit(name, recorded).redistributor
        unlabeled = [
            dataclasses.replace(one, labeled=one.labeled & False, rewards=0.0 * one.rewards) for one in recorded
        ]
        rewards = rewards_of(redistributor, unlabeled, spaces())
        wanted = [np.bincount(one.bag_ids, weights=own) for one, own in zip(recorded, rewards, strict=True)]
        said, _, _ = predictions(redistributor, spaces().store(recorded))
        np.testing.assert_allclose(said, np.concatenate(wanted), atol=1e-5)

    def test_labels_come_in_the_order_of_the_store(self):
        recorded = [*episodes(2, steps=7), *episodes(2, steps=12, seed=1)]
        _, labels, lengths = predictions(small_fit("rd", recorded).redistributor, spaces().store(recorded))
        wanted = np.concatenate([one.rewards[np.diff(one.bag_ids, append=99) > 0] for one in recorded])
        np.testing.assert_allclose(labels, wanted, rtol=1e-6)
        assert lengths.tolist() == [5, 2, 5, 2, 5, 5, 2, 5, 5, 2]

    @pytest.mark.parametrize("name", MADE_OF_LABELS)
    def test_what_is_made_of_the_label_is_refused(self, name):
        recorded = episodes(3)
        with pytest.raises(ValueError, match=f"{name} predicts no label"):
            predictions(small_fit(name, recorded).redistributor, spaces().store(recorded))

    def test_who_says_so(self):
        kinds = REDISTRIBUTORS.items()
        assert tuple(name for name, kind in kinds if no_prediction(kind) is not None) == MADE_OF_LABELS
        assert [name for name, kind in kinds if pays_dense(kind)] == ["oracle"]
        assert {name for name, kind in kinds if own_units(kind)} == {*MADE_OF_LABELS, "reward_design", "lare_sign"}
        assert no_prediction(object()) is None

    def test_hidden_bags_tell_nothing(self):
        (_, batch), *_ = spaces().store(episodes(2)).all_bags()
        seen = hidden(batch)
        assert not seen.labeled.any()
        assert not seen.label.any()
        assert not seen.paid.any()
        assert seen.dense is None
        assert torch.equal(seen.observations, batch.observations)


class TestSpaces:
    def test_of_arrays(self):
        found = Spaces.of(episodes(2))
        assert isinstance(found.observations, Box)
        assert found.observations.shape == (3,)
        assert found.actions.shape == (1,)

    def test_whole_numbers_are_choices(self):
        (one,) = episodes(1, steps=4)
        seen = np.array([[0, 5], [1, 5], [2, 7], [0, 5], [1, 6]])
        found = Spaces.of([dataclasses.replace(one, observations=seen, actions=np.array([3, 4, 3, 3]))])
        assert found.observations == MultiDiscrete([3, 3], start=[0, 5])
        assert found.actions == Discrete(2, start=3)

    def test_whole_numbers_of_a_wide_range_are_numbers(self):
        (one,) = episodes(1, steps=4)

        def of(highest, lowest=0):
            seen = np.array([[0, lowest], [1, highest], [0, lowest], [1, lowest], [0, lowest]])
            return Spaces.of([dataclasses.replace(one, observations=seen, actions=seen[:-1, 1])])

        assert of(99).observations == MultiDiscrete([2, 100])
        assert of(99).actions == Discrete(100)
        for found in (of(100), of(50, -50), of(2**62, -(2**62) - 1)):
            assert isinstance(found.observations, Box)
            assert found.observations.shape == (2,)
            assert isinstance(found.actions, Box)
        wide = np.array([[0, -(2**62)], [0, 2**62]] * 2 + [[0, 5]])
        assert of(100).store([dataclasses.replace(one, observations=wide, actions=wide[:-1, 1])]).observation_size == 2

    def test_what_was_assumed_is_told(self):
        (one,) = episodes(1, steps=4)
        seen = np.array([[0, 5], [1, 5], [2, 7], [0, 5], [1, 6]])
        choices = dataclasses.replace(one, observations=seen, actions=np.array([3, 4, 3, 3]))
        assert Spaces.of([choices]).told() == (
            "Observations are taken for choices of 3 x 3, actions for one choice of 2."
        )
        assert Spaces.of([one]).told() == (
            "Observations are taken for numbers of shape (3,), actions for numbers of shape (1,)."
        )

    def test_pictures_are_numbers(self):
        (one,) = episodes(1, steps=4)
        seen = np.zeros((5, 2, 2), dtype=np.uint8)
        assert isinstance(Spaces.of([dataclasses.replace(one, observations=seen)]).observations, Box)
