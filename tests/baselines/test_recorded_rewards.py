"""Datasets whose rewards a redistributor said: what is in them, what goes with them, what is refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import Box

from bagged_envs.baselines.checkpoint import fingerprint
from bagged_envs.baselines.offline import OfflineConfig, OfflineTraining
from bagged_envs.baselines.recorded import labeled_steps
from bagged_envs.baselines.recorded_rewards import FitConfig, RecordedRewards, redistributed
from bagged_envs.datasets import DatasetError, delayed, load, local_path, minari_dataset, record, save, trajectories
from bagged_envs.wrappers import RewardSchedule
from tests.test_datasets import reseal

ID = "BaggedInvertedPendulum-v0"
FIT = FitConfig(fit_updates=30, fit_batch=16, fit_check_every=10)
STEPS = RewardSchedule(bag_len=1)


@pytest.fixture(scope="module")
def dense():
    return record("Hopper-v5", None, "hopper/random-v0", steps=150, seed=0)


@pytest.fixture(scope="module")
def few(dense):
    return delayed(dense, STEPS, seed=1, exact_count=30)


@pytest.fixture(scope="module")
def every(few):
    return redistributed(few, config=FIT, seed=5, hidden=(8,))


def test_each_step_has_the_reward_that_offline_training_gives_its_learner(few, every):
    config = OfflineConfig(**vars(FIT))
    training = OfflineTraining("imputer-bc", "BaggedHopper-v0", few.trajectories, config=config, seed=5)
    training.close()
    other = redistributed(few, config=FIT, seed=5)
    training.fit()
    for rewards, one in zip(training.rewards(), other.trajectories, strict=True):
        assert np.array_equal(rewards, one.rewards.astype(np.float32))


def test_labeled_steps_keep_theirs_and_nothing_else_changes(dense, few, every):
    assert every.num_labels == every.num_bags == every.steps == 150
    assert every.schedule is every.exact_count is None
    changed = 0
    for true, late, said in zip(dense.trajectories, few.trajectories, every.trajectories, strict=True):
        assert said.observations is late.observations or np.array_equal(said.observations, late.observations)
        assert np.array_equal(said.actions, late.actions)
        assert said.terminated == late.terminated
        shown = labeled_steps(late)
        assert np.array_equal(said.rewards[shown], true.rewards[shown])
        changed += int((said.rewards[~shown] != late.rewards[~shown]).sum())
    assert changed == 120


def test_who_said_them_stands_with_them_and_stays(few, every, tmp_path):
    assert every.source == few.dataset_id == "hopper/random-delayed-v0"
    assert every.dataset_id == "hopper/random-delayed-imputer-v0"
    told = every.redistributor
    assert (told["name"], told["settings"]["hidden"], told["fit"]["fit_updates"]) == ("imputer", [8], 30)
    assert 0 < told["updates"] <= 30
    assert told["held_out_error"] > 0
    save(every, tmp_path / "every")
    again = load(tmp_path / "every")
    assert (again.redistributor, again.seed, again.source, again.schedule) == (told, 5, every.source, None)
    for one, other in zip(every.trajectories, again.trajectories, strict=True):
        assert one.rewards.tobytes() == other.rewards.tobytes()
    save(few, tmp_path / "few")
    assert "redistributor" not in (tmp_path / "few" / "manifest.json").read_text()
    assert load(tmp_path / "few").redistributor is None


def test_minari_reads_them_as_any_others(every, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    save(every, local_path(every.dataset_id))
    found = minari_dataset(every.dataset_id)
    rewards = [episode.rewards for episode in found.iterate_episodes()]
    assert [one.tolist() for one in rewards] == [one.rewards.tolist() for one in every.trajectories]
    assert all(one.labeled.all() for one in trajectories(found))


def test_they_are_not_delayed_as_if_they_were_the_tasks(every):
    with pytest.raises(
        DatasetError,
        match=r"a redistributor said them \(imputer\): delay the dataset that hopper/random-delayed-v0 was",
    ):
        delayed(every, STEPS, seed=0)
    with pytest.raises(DatasetError, match="a redistributor said these already"):
        redistributed(every, "rd")


def test_of_minaris_datasets_as_of_ours(few, every, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    save(few, local_path(few.dataset_id))
    again = redistributed(minari_dataset(few.dataset_id), config=FIT, seed=np.int64(5), hidden=(np.int64(8),))
    assert again.redistributor == every.redistributor
    for one, other in zip(again.trajectories, every.trajectories, strict=True):
        assert np.array_equal(one.rewards, other.rewards)
    save(again, tmp_path / "again")


def test_offline_training_takes_datasets_themselves(few, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    save(few, local_path(few.dataset_id))
    config = OfflineConfig(**vars(FIT))
    states = []
    for given in (few.trajectories, few, minari_dataset(few.dataset_id)):
        training = OfflineTraining("imputer-bc", "BaggedHopper-v0", given, config=config, seed=5)
        training.close()
        states.append(fingerprint(training.state_dict()))
    assert states[0] == states[1] == states[2]
    for wrong, message in (
        (3, "trajectories must be Trajectory objects, a Dataset or a MinariDataset, got 3: bagged_envs.datasets.load"),
        ("datasets/hopper", "trajectories must be Trajectory objects, a Dataset .*, got 'datasets/hopper'"),
        (Path("datasets/hopper"), "trajectories must be Trajectory objects, a Dataset .*, got PosixPath"),
        ([few] * 40, "trajectories must be Trajectory objects.*got Dataset.{20,60} at 0"),
        ([few.trajectories[0], 3], "trajectories must be Trajectory objects.*got 3 at 1"),
    ):
        with pytest.raises(TypeError, match=message):
            OfflineTraining("imputer-bc", "BaggedHopper-v0", wrong, seed=5)


def test_any_sequence_of_trajectories_will_do(few):
    class Lazy:
        def __len__(self):
            return len(few.trajectories)

        def __getitem__(self, index):
            return few.trajectories[index]

    states = []
    for given in (few.trajectories, iter(few.trajectories), dict(enumerate(few.trajectories)).values(), Lazy()):
        training = OfflineTraining("imputer-bc", "BaggedHopper-v0", given, config=OfflineConfig(**vars(FIT)), seed=5)
        training.close()
        states.append(fingerprint(training.state_dict()))
    assert len(set(states)) == 1


def test_longer_bags_of_labels(dense):
    bagged = delayed(dense, RewardSchedule(bag_len=5), seed=0)
    said = redistributed(bagged, "uniform", seed=0)
    for one, other in zip(bagged.trajectories, said.trajectories, strict=True):
        for steps in one.bag_slices():
            assert other.rewards[steps].sum() == pytest.approx(one.rewards[steps].sum())
            assert np.ptp(other.rewards[steps]) == 0.0


@pytest.mark.parametrize("aggregate", ["mean", "max", "sum_square"])
def test_labels_of_single_steps_stand_among_sums_only(aggregate, dense):
    late = delayed(dense, RewardSchedule(bag_len=(1, 4), aggregate=aggregate), seed=0)
    config = dataclasses.replace(FIT, keep_labels=False)
    for call in (
        lambda config: redistributed(late, "rd", config=config, hidden=(8,)),
        lambda config: OfflineTraining("rd-bc", "BaggedHopper-v0", late, config=OfflineConfig(**vars(config)), seed=0),
    ):
        with pytest.raises(ValueError, match=f"keep_labels=True needs labels that are sums .*aggregate='{aggregate}'"):
            call(FIT)
        call(config)
    redistributed(late, "uniform")  # keeps none
    for one in (1, (1, 1)):
        single = delayed(dense, RewardSchedule(bag_len=one, aggregate=aggregate), seed=0)
        assert redistributed(single, "rd", config=FIT, hidden=(8,)).num_labels == single.steps


def test_actions_of_another_space_are_refused(few):
    other = dataclasses.replace(few, action_space=Box(0.0, 1.0, (3,), np.float32))
    with pytest.raises(ValueError, match=r"hopper/random-delayed-v0 must have actions of the environment's space, Box"):
        OfflineTraining("imputer-bc", "BaggedHopper-v0", other, seed=5)
    doubles = dataclasses.replace(few, action_space=Box(-1.0, 1.0, (3,), np.float64))
    OfflineTraining("imputer-bc", "BaggedHopper-v0", doubles, config=OfflineConfig(**vars(FIT)), seed=5).close()


def test_bounds_of_whole_numbers_do_not_overflow(few):
    bounds = Box(-128, 127, (3,), np.int8)
    ends = (np.full((len(one), 3), -128, np.int8) for one in few.trajectories)
    moved = tuple(dataclasses.replace(one, actions=a) for one, a in zip(few.trajectories, ends, strict=True))
    least = dataclasses.replace(few, action_space=bounds, trajectories=moved)
    assert redistributed(least, "imputer", config=FIT, hidden=(8,)).num_labels == 150


def counted(one):
    return dataclasses.replace(
        one, extras={**one.extras, "times": np.arange(len(one) + 1), "actions_again": one.actions}
    )


class TestOpenBags:
    @pytest.fixture
    def cut(self):
        """Episodes in bags of 6, the last of which is cut after 8 steps: its second bag is open."""
        found = record(ID, None, "pendulum/late-v0", episodes=3, seed=3, bag_len=6, expose_reward=True)
        found = dataclasses.replace(found, trajectories=tuple(map(counted, found.trajectories)))
        last = found.trajectories[-1]
        assert len(last) >= 8
        open_ended = dataclasses.replace(
            last, observations=last.observations[:9], actions=last.actions[:8], rewards=last.rewards[:8],
            bag_ids=last.bag_ids[:8], labeled=np.array([True, False]), terminated=False, closed=False,
            extras={name: array[: 8 + (len(array) > len(last))] for name, array in last.extras.items()},
        )  # fmt: skip
        return dataclasses.replace(found, trajectories=(*found.trajectories[:-1], open_ended))

    def test_their_steps_are_left_out(self, cut):
        said = redistributed(cut, "uniform")
        last = said.trajectories[-1]
        assert (len(last), len(last.observations), last.terminated, last.closed) == (6, 7, False, True)
        assert {name: len(array) for name, array in last.extras.items()} == {"actions_again": 6, "times": 7}
        assert "dense_rewards" in cut.trajectories[-1].extras  # which is not handed on
        assert all(one.terminated for one in said.trajectories[:-1])

    def test_an_episode_of_nothing_else_is_left_out(self, cut):
        last = cut.trajectories[-1]
        short = dataclasses.replace(
            last, observations=last.observations[:4], actions=last.actions[:3], rewards=last.rewards[:3],
            bag_ids=last.bag_ids[:3], labeled=np.array([False]), extras={},
        )  # fmt: skip
        said = redistributed(dataclasses.replace(cut, trajectories=(*cut.trajectories[:-1], short)), "uniform")
        assert len(said) == len(cut) - 1


class TestRefused:
    def test_a_redistributor_that_leaves_steps_out(self, few):
        with pytest.raises(ValueError, match="must say a reward for each step, got 'labels_only'"):
            redistributed(few, "labels_only")

    @pytest.mark.parametrize("name", ["uniform", "identity"])
    def test_shares_of_labels_that_nobody_knows(self, few, name):
        with pytest.raises(ValueError, match=f"got '{name}', which has none for steps of bags without a label"):
            redistributed(few, name)

    def test_one_label_that_would_be_held_out(self, dense):
        one = delayed(dense, STEPS, seed=0, exact_count=1)
        with pytest.raises(ValueError, match="held_out=0.1 needs two labeled bags, got 1: use held_out=0"):
            redistributed(one, config=FIT)
        redistributed(one, config=dataclasses.replace(FIT, held_out=0.0))

    def test_what_is_wrong_is_said_before_anything_is_fitted(self, few, monkeypatch):
        monkeypatch.setattr(RecordedRewards, "fit", None)
        for arguments, error, message in (
            ({"dataset_id": "no name"}, ValueError, "dataset_id must be a name"),
            (
                {"config": {"fit_updates": 3}},
                TypeError,
                "config must be a FitConfig, got {'fit_updates': 3} of type dict",
            ),
        ):
            with pytest.raises(error, match=message):
                redistributed(few, **arguments)
        with pytest.raises(TypeError, match="MinariDataset"):
            redistributed(few.trajectories)

    def test_no_labels(self, dense):
        none = delayed(dense, RewardSchedule(bag_len=1, label_fraction=1e-9), seed=0)
        with pytest.raises(ValueError, match="must have labeled bags for rd, got 150 without"):
            redistributed(none, "rd")

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"redistributor": "rdd"}, ValueError, "got 'rdd'"),
            ({"hiden": (8,)}, ValueError, "setting of 'imputer'.*'hiden'"),
            ({"seed": -1}, ValueError, "seed must be"),
            ({"seed": "x"}, TypeError, "seed must be"),
            ({"redistributor": "oracle"}, ValueError, "must have extras\\['dense_rewards'\\] for oracle"),
        ],
    )
    def test_wrong_arguments(self, few, arguments, error, message):
        with pytest.raises(error, match=message):
            redistributed(few, **arguments)

    def test_another_text_in_the_file(self, every, tmp_path):
        save(every, tmp_path / "x")
        reseal(tmp_path / "x", lambda content: content.update(redistributor="me"))
        with pytest.raises(DatasetError, match="redistributor must be a dict, got 'me'"):
            load(tmp_path / "x")
