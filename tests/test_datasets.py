"""Datasets: recorded, delayed, kept, read again to the bit; no label leaks; damaged and hostile files run nothing."""

import hashlib
import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from hypothesis import given
from hypothesis import strategies as st

from bagged_envs.datasets import (
    Dataset,
    DatasetError,
    delayed,
    dense_rewards,
    environment,
    load,
    local_path,
    minari_dataset,
    record,
    save,
    trajectories,
)
from bagged_envs.testing import ScriptedEnv
from bagged_envs.testing.strategies import schedules, scripts
from bagged_envs.trajectory import Trajectory
from bagged_envs.wrappers import DelayedReward, RewardSchedule
from benchmarks import datasets as benchmark

FIELDS = ("observations", "actions", "rewards", "bag_ids", "labeled")
SPEC = gym.spec("CartPole-v1").to_json()
BAGS = RewardSchedule(bag_len=(2, 4), label_fraction=0.5)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Minari's own folder, and no other."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path


def episode(rewards, number=0, terminated=True):
    steps = len(rewards)
    return Trajectory(
        observations=np.random.default_rng(number).normal(size=(steps + 1, 3)).astype(np.float32),
        actions=np.arange(steps) % 3,
        rewards=np.array(rewards, dtype=np.float64),
        bag_ids=np.arange(steps),
        labeled=np.ones(steps, dtype=bool),
        terminated=terminated,
    )


def dense(streams=None, **fields):
    streams = streams or [np.random.default_rng(number).normal(size=3 + 4 * number) for number in range(5)]
    episodes = tuple(episode(rewards, number, number % 2 == 0) for number, rewards in enumerate(streams))
    about = {"env_spec": SPEC, "seed": 7, "reference": (-1.0, 12.5), **fields}
    return Dataset(episodes, Box(-np.inf, np.inf, (3,), np.float32), Discrete(3), "some/dense-v0", **about)


@pytest.fixture
def folder(place):
    save(delayed(dense(), BAGS, seed=3), place / "bags")
    return place / "bags"


def assert_same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for name in FIELDS:
            assert getattr(a, name).dtype == getattr(b, name).dtype
            assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name
        assert (a.terminated, a.closed, a.extras.keys()) == (b.terminated, b.closed, b.extras.keys())
        for name in a.extras:
            assert a.extras[name].tobytes() == b.extras[name].tobytes()


def played(script, schedule, seed):
    """What an environment pays for a script, episode by episode: rewards, borders, labels."""
    env, paid = DelayedReward(ScriptedEnv(script), schedule), []
    for number in range(len(script)):
        env.reset(seed=seed if number == 0 else None)
        steps = [env.step(0) for _ in script[number]]
        told = [(step[4]["bag_end"], step[4]["reward_observed"]) for step in steps]
        paid.append(([step[1] for step in steps], *zip(*told, strict=True)))
    return paid


class TestDelay:
    @pytest.mark.law
    @given(scripts(), schedules(), st.integers(0, 2**32))
    def test_it_pays_to_the_bit_what_an_environment_pays(self, script, schedule, seed):
        schedule = replace(schedule, unlabeled_reward=0.0)
        found = delayed(dense([[step[0] for step in steps] for steps in script]), schedule, seed).trajectories
        for one, (rewards, ends, observed) in zip(found, played(script, schedule, seed), strict=True):
            assert one.rewards.tobytes() == np.array(rewards).tobytes()
            assert one.bag_ids.tolist() == (np.cumsum(ends) - ends).tolist()
            assert one.labeled.tolist() == np.array(observed)[np.array(ends)].tolist()

    def test_by_hand(self):
        bagged = delayed(dense([[1.0, 2.0, 4.0], [8.0]]), RewardSchedule(bag_len=2), 0)
        assert [one.rewards.tolist() for one in bagged.trajectories] == [[0.0, 3.0, 4.0], [8.0]]
        assert (bagged.steps, bagged.num_bags, bagged.num_labels) == (4, 3, 3)
        assert (bagged.dataset_id, bagged.source) == ("some/dense-delayed-v0", "some/dense-v0")

    def test_labels_are_those_of_the_seed(self):
        one, again, other = (delayed(dense(), BAGS, seed).trajectories for seed in (1, 1, 2))
        assert_same(one, again)
        assert [one.labeled.tolist() for one in one] != [one.labeled.tolist() for one in other]

    @pytest.mark.parametrize("unit", ["bag", "episode"])
    @pytest.mark.parametrize("count", [1, 3, 5])
    def test_exact_counts_are_exact(self, unit, count):
        schedule = RewardSchedule(bag_len=3, label_unit=unit)
        whole, some = delayed(dense(), schedule, 4), delayed(dense(), schedule, 4, exact_count=count)
        shown = [one.labeled for one in some.trajectories]
        assert (sum(labels.any() for labels in shown) if unit == "episode" else some.num_labels) == count
        assert all(labels.all() or not labels.any() for labels in shown) or unit == "bag"
        for one, other in zip(some.trajectories, whole.trajectories, strict=True):
            labeled = np.isin(one.bag_ids, np.flatnonzero(one.labeled))
            assert one.rewards[labeled].tobytes() == other.rewards[labeled].tobytes()
            assert not one.rewards[~labeled].any()

    def test_one_percent_of_the_transitions(self):
        steps = RewardSchedule(bag_len=1)
        few = delayed(dense([np.arange(1.0, 501.0)] * 2), steps, 0, exact_count=10)
        assert (few.num_labels, few.num_bags, few.exact_count) == (10, 1000, 10)
        assert sum(np.count_nonzero(one.rewards) for one in few.trajectories) == 10

    def test_every_set_of_labels_is_equally_likely(self):
        source, steps = dense([[1.0, 1.0], [1.0, 1.0]]), RewardSchedule(bag_len=1)
        drawn = Counter(
            tuple(np.concatenate([one.labeled for one in delayed(source, steps, seed, exact_count=2).trajectories]))
            for seed in range(300)
        )
        assert len(drawn) == 6
        assert sum((count - 50) ** 2 / 50 for count in drawn.values()) < 20.5  # chi square, 5 degrees, p = 0.001

    @pytest.mark.parametrize("exact", [None, 4])
    def test_rewards_that_are_not_shown_change_nothing(self, exact, place):
        schedule = RewardSchedule(bag_len=1) if exact else RewardSchedule(bag_len=3, label_fraction=0.4)
        clean = delayed(dense(), schedule, 5, exact_count=exact)
        assert 0 < clean.num_labels < clean.num_bags
        poisoned = []
        for one, labels in zip(dense().trajectories, clean.trajectories, strict=True):
            shown = labels.labeled[labels.bag_ids]
            poisoned.append(replace(one, rewards=np.where(shown, one.rewards, np.nan)))
        found = delayed(replace(dense(), trajectories=tuple(poisoned)), schedule, 5, exact_count=exact)
        assert_same(found.trajectories, clean.trajectories)
        save(found, place / "poisoned")
        save(clean, place / "clean")
        assert_same(load(place / "poisoned").trajectories, load(place / "clean").trajectories)
        assert (place / "poisoned" / "main_data.hdf5").read_bytes() == (place / "clean" / "main_data.hdf5").read_bytes()

    def test_a_label_must_be_finite(self):
        with pytest.raises(DatasetError, match=r"episode 1: the labels must be finite.* \[2\]"):
            delayed(dense([[1.0], [1.0, float("nan"), 1.0]]), RewardSchedule(bag_len=3), 0)

    @pytest.mark.parametrize(
        ("success", "threshold", "wanted"), [("return", 5.0, [0.0, 1.0]), ("terminated", None, [1.0, 0.0])]
    )
    def test_successes(self, success, threshold, wanted):
        schedule = RewardSchedule(bag_len=None, success=success, threshold=threshold)
        paid = delayed(dense([[1.0, 2.0], [4.0, 8.0]]), schedule, 0).trajectories
        assert [one.rewards[-1] for one in paid] == wanted

    def test_late_rewards_are_not_delayed_again(self):
        with pytest.raises(DatasetError, match="rewards must be dense"):
            delayed(delayed(dense(), BAGS, 0), BAGS, 0)

    @pytest.mark.parametrize("aggregate", ["sum_square", "square_sum"])
    def test_squares_are_not_taken_for_rewards(self, aggregate):
        squares = delayed(dense(), RewardSchedule(bag_len=1, aggregate=aggregate), 0)
        with pytest.raises(DatasetError, match="rewards must be dense"):
            delayed(squares, BAGS, 0)

    def test_a_success_is_not_taken_for_a_reward(self):
        solved = RewardSchedule(bag_len=None, success="return", threshold=2.5)
        once = delayed(dense([[2.0], [3.0]]), solved, 0)
        with pytest.raises(DatasetError, match="rewards must be dense"):
            delayed(once, BAGS, 0)

    def test_bags_of_one_step_are_dense(self):
        same = delayed(dense(), RewardSchedule(bag_len=1), 0)
        assert_same(delayed(same, BAGS, 3).trajectories, delayed(dense(), BAGS, 3).trajectories)

    @pytest.mark.parametrize(
        ("schedule", "arguments", "message"),
        [
            (RewardSchedule(unlabeled_reward=float("nan")), {}, r"unlabeled_reward=0\.0"),
            (RewardSchedule(bag_len=None, success=lambda *told: True), {}, "named criterion"),
            (RewardSchedule(bag_len=1, label_fraction=0.5), {"exact_count": 3}, r"label_fraction=1\.0"),
            (RewardSchedule(bag_len=None), {"exact_count": 6}, "exact_count must be an int from 1 to 5"),
            (RewardSchedule(), {"dataset_id": "../elsewhere-v0"}, "dataset_id must be a name"),
            (RewardSchedule(), {"reference": (2.0, 1.0)}, "the lower one first"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, schedule, arguments, message):
        with pytest.raises(ValueError, match=message):
            delayed(dense(), schedule, 0, **arguments)


class TestFiles:
    def test_everything_comes_back_to_the_bit(self, folder):
        wanted, found = delayed(dense(), BAGS, seed=3), load(folder)
        assert_same(found.trajectories, wanted.trajectories)
        about = ("observation_space", "action_space", "dataset_id", "env_spec", "schedule", "seed", "exact_count")
        for name in (*about, "reference", "source", "versions"):
            assert getattr(found, name) == getattr(wanted, name), name
        assert found.versions["gymnasium"] == gym.__version__

    @pytest.mark.parametrize(
        ("space", "values"),
        [
            (Box(0, 255, (2, 2), np.uint8), np.full((3, 2, 2), 200, dtype=np.uint8)),
            (Box(-1, 1, (0,), np.float64), np.zeros((3, 0))),
            (Discrete(3, start=-1), np.array([-1, 0, 1])),
            (MultiDiscrete([2, 5]), np.array([[1, 4], [0, 0], [1, 1]])),
            (MultiBinary(2), np.array([[0, 1], [1, 1], [0, 0]], dtype=np.int8)),
        ],
    )
    def test_every_space_and_open_bags_and_extras(self, place, space, values):
        extras = {"alive": np.array([True, False, True]), "speed": np.array([[0.5], [2.0]], dtype=np.float32)}
        bags = {"bag_ids": np.array([0, 1]), "labeled": np.array([True, False]), "terminated": False, "closed": False}
        one = replace(episode([1.0, 0.0]), observations=values, actions=values[1:], extras=extras, **bags)
        save(Dataset((one,), space, space, "odd-v1"), place / "odd")
        found = load(place / "odd")
        assert_same(found.trajectories, [one])
        assert (found.observation_space, found.action_space) == (space, space)

    def test_minari_reads_them_too(self):
        bagged = delayed(dense(), BAGS, seed=3)
        save(bagged, local_path(bagged.dataset_id))
        found = minari_dataset("some/dense-delayed-v0")
        assert (found.total_steps, found.total_episodes) == (bagged.steps, len(bagged))
        for one, data in zip(bagged.trajectories, found, strict=True):
            np.testing.assert_array_equal(data.rewards, one.rewards)
            np.testing.assert_array_equal(data.observations, one.observations)
            assert data.infos["reward_observed"].sum() == one.labeled.sum()
        assert found.storage.metadata["ref_max_score"] == 12.5
        assert found.storage.metadata["bagged_envs"]["schedule"]["label_fraction"] == 0.5
        assert_same(trajectories(found), bagged.trajectories)
        assert_same(trajectories(found.filter_episodes(lambda data: data.id == 2)), bagged.trajectories[2:3])

    def test_nothing_is_written_over(self, folder):
        with pytest.raises(FileExistsError, match="never written over"):
            save(dense(), folder)
        assert load(folder).num_bags == delayed(dense(), BAGS, seed=3).num_bags

    def test_what_cannot_be_written_leaves_nothing(self, place):
        leaking = replace(dense().trajectories[0], labeled=np.array([True, False, True]))
        with pytest.raises(DatasetError, match=r"trajectories\[0\]: rewards must be 0\.0 where reward_observed"):
            save(replace(dense(), trajectories=(leaking,)), place / "above" / "new")
        assert list((place / "above").iterdir()) == []

    def test_episodes_must_be_alike(self, place):
        other = replace(dense().trajectories[1], extras={"speed": np.zeros(7)})
        with pytest.raises(DatasetError, match=r"trajectories\[1\]: arrays must be alike"):
            save(replace(dense(), trajectories=(dense().trajectories[0], other)), place / "new")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"observations": np.full((4, 3), np.nan, np.float32)}, "observations must be finite"),
            ({"observations": np.zeros((4, 3), np.int64)}, "observations must be of a type"),
            ({"observations": np.zeros((4, 2), np.float32)}, "observations must be of shape"),
            ({"actions": np.array([0, 3, 0])}, "actions must be in Discrete"),
            ({"rewards": np.array([0.0, np.inf, 0.0])}, "rewards must be finite"),
            ({"extras": {"bag_end": np.zeros(3)}}, "extras must have names"),
            ({"extras": {"a/b": np.zeros(3)}}, "extras must have names"),
            ({"extras": {"note": np.array(["a", "b", "c"])}}, "of a type in"),
        ],
    )
    def test_arrays_are_checked_before_they_are_written(self, place, change, message):
        with pytest.raises(ValueError, match=message):
            save(replace(dense(), trajectories=(replace(dense().trajectories[0], **change),)), place / "new")

    def test_none_and_spaces_without_arrays_are_refused(self):
        with pytest.raises(ValueError, match="at least one"):
            replace(dense(), trajectories=())
        with pytest.raises(ValueError, match="flatten it"):
            replace(dense(), observation_space=Dict({"a": Discrete(2)}))


def reseal(folder, change, file="manifest.json"):
    """Change what a folder says of itself, as somebody would who knows how its sums are made."""
    manifest = json.loads((folder / "manifest.json").read_text())
    if file == "metadata.json":
        metadata = json.loads((folder / file).read_text())
        change(metadata)
        (folder / file).write_text(json.dumps(metadata))
        manifest["content"]["metadata_sha256"] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    else:
        change(manifest["content"])
    canonical = json.dumps(manifest["content"], sort_keys=True).encode()
    (folder / "manifest.json").write_text(json.dumps({**manifest, "sha256": hashlib.sha256(canonical).hexdigest()}))


def put(*path, value):
    def change(table):
        for key in path[:-1]:
            table = table[key]
        table[path[-1]] = value

    return change


def damage_by(number, content):
    """Return a file with bits flipped, or cut, at random places."""
    draw, changed = random.Random(number), bytearray(content)
    if number % 4 == 0:
        return bytes(changed[: draw.randrange(len(changed))])
    for _ in range(draw.choice([1, 1, 8])):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def assert_seen_or_harmless(folder, wanted, numbers):
    """Each damage is an error that names the file, or leaves all that is read as it was."""
    messages = []
    for number in numbers:
        file = folder / ("main_data.hdf5", "main_data.hdf5", "manifest.json", "metadata.json")[number // 4 % 4]
        whole = file.read_bytes()
        file.write_bytes(damage_by(number, whole))
        try:
            assert_same(load(folder).trajectories, wanted)
        except DatasetError as error:
            messages.append(str(error))
        file.write_bytes(whole)
    assert [message for message in messages if str(folder) not in message] == []
    return len(messages)


class TestDamage:
    def test_cut_files_and_flipped_bits(self, folder):
        assert assert_seen_or_harmless(folder, load(folder).trajectories, range(64)) > 30

    @pytest.mark.slow
    def test_many_cut_files_and_flipped_bits(self, folder):
        assert assert_seen_or_harmless(folder, load(folder).trajectories, range(64, 1064)) > 500

    def test_a_changed_number_names_episode_and_array(self, folder):
        manifest = json.loads((folder / "manifest.json").read_text())["content"]
        names = [row["name"] for row in manifest["arrays"]]
        content = (folder / "main_data.hdf5").read_bytes()
        for name, place in zip(names, manifest["episodes"][2]["places"], strict=True):
            changed = bytearray(content)
            changed[place] ^= 1
            (folder / "main_data.hdf5").write_bytes(changed)
            with pytest.raises(DatasetError, match=rf"main_data\.hdf5, episode 2: {name} must be of the SHA-256"):
                load(folder)

    @pytest.mark.parametrize("name", ["main_data.hdf5", "manifest.json", "metadata.json"])
    def test_a_missing_file_is_named(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(DatasetError, match=f"{name}: it is missing"):
            load(folder)

    def test_a_folder_in_the_place_of_a_file(self, folder):
        (folder / "manifest.json").unlink()
        (folder / "manifest.json").mkdir()
        with pytest.raises(DatasetError, match=r"manifest\.json: it cannot be read"):
            load(folder)

    def test_no_folder(self, place):
        with pytest.raises(FileNotFoundError, match="no such dataset"):
            load(place / "nonesuch")

    def test_another_format_names_both_versions(self, folder):
        reseal(folder, put("format", value="bagged_envs dataset 9"))
        with pytest.raises(DatasetError, match=r"dataset 1.*dataset 9.*written by .*'minari'.*this is .*'minari'"):
            load(folder)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (put("episodes", 0, "places", 0, value=-8), r"episodes\[0\] must be steps and 7 places"),
            (put("episodes", 0, "places", 0, value=True), r"episodes\[0\] must be steps and 7 places"),
            (put("episodes", 0, "places", 0, value=2**62), "episode_0/observations must be in the file"),
            (put("episodes", 0, "places", value=[]), r"episodes\[0\] must be steps and 7 places"),
            (put("episodes", 0, "steps", value=0), r"episodes\[0\] must be steps"),
            (put("episodes", 0, "steps", value=10**8), "episode_0/observations must be in the file"),
            (put("episodes", 0, "steps", value=10**30), r"episodes\[0\] must be steps"),
            (put("episodes", 0, "steps", value="3"), "steps must be a int"),
            (put("episodes", 0, "sha256", value=[]), r"episodes\[0\]: sha256 must be 7"),
            (put("episodes", 0, value=None), r"episodes\[0\] must be a table"),
            (put("episodes", value=[]), "trajectories must be at least one"),
            (lambda content: content["episodes"].extend(content["episodes"] * 400), "its size must be at least"),
            (put("arrays", 0, "dtype", value="|O8"), "arrays: observations must be a type of ours"),
            (put("arrays", 0, "shape", value=[-1]), "arrays: observations must be a type of ours"),
            (put("arrays", 0, "shape", value=[2**40, 2**40]), "arrays: observations must be a type of ours"),
            (put("arrays", 0, "shape", value=[0, *[2**31 - 1] * 3]), "arrays: observations must be a type of ours"),
            (put("arrays", 0, "more", value=2), "arrays: observations must be a type of ours"),
            (put("arrays", 0, "name", value="actions"), "arrays must be of different names"),
            (put("arrays", 0, value=3), "arrays must be tables"),
            (put("arrays", 2, "dtype", value="<i8"), "rewards must be one float64 a step"),
            (put("schedule", value={"bag_len": 0}), "schedule must be one: bag_len"),
            (put("schedule", value={"run": "this"}), "schedule must be one"),
            (put("schedule", value={"label_fraction": 10**400}), "schedule must be one: label_fraction must be"),
            (put("seed", value="7"), "seed must be a int"),
            (put("reference", value=[3.0, 1.0]), "reference must be two finite returns"),
            (put("reference", value=["a"]), "reference must be two numbers"),
            (put("reference", value=[0, 10**400]), "reference must be two numbers"),
            (put("versions", value=None), "versions must be a dict"),
            (lambda content: content.pop("arrays"), "arrays must be a list"),
        ],
    )
    def test_a_wrong_manifest_with_right_sums(self, folder, change, message):
        reseal(folder, change)
        with pytest.raises(DatasetError, match=message):
            load(folder)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (put("observation_space", value='{"type": "Text"}'), "observation_space must be a Box"),
            (put("action_space", value='{"type": "Discrete", "n": -1, "start": 0}'), "action_space must be a Box"),
            (put("action_space", value='{"type": "Discrete", "n": 2, "start": 0}'), "actions must be in Discrete"),
            (put("action_space", value="[" * 100_000), "action_space must be a Box"),
            (put("dataset_id", value="../../x-v0"), "dataset_id must be a name"),
            (put("env_spec", value=5), "env_spec must be a str"),
        ],
    )
    def test_wrong_metadata_with_right_sums(self, folder, change, message):
        reseal(folder, change, "metadata.json")
        with pytest.raises(DatasetError, match=message):
            load(folder)

    def test_flags_of_other_bytes_with_right_sums(self, folder):
        content = json.loads((folder / "manifest.json").read_text())["content"]
        column = [row["name"] for row in content["arrays"]].index("infos/bag_end")
        place, size = content["episodes"][0]["places"][column], content["episodes"][0]["steps"] + 1
        changed = bytearray((folder / "main_data.hdf5").read_bytes())
        changed[place] = 2
        (folder / "main_data.hdf5").write_bytes(changed)
        reseal(
            folder,
            put("episodes", 0, "sha256", column, value=hashlib.sha256(changed[place : place + size]).hexdigest()),
        )
        with pytest.raises(DatasetError, match="infos/bag_end must be True or False"):
            load(folder)


def random_policy(seed):
    draw = np.random.default_rng(seed)
    return lambda observation: draw.integers(2)


class TestRecording:
    @pytest.mark.parametrize(
        ("id", "twin", "schedule"),
        [
            ("BaggedKeyDoor-v0", "KeyDoor-v0", RewardSchedule(bag_len=(2, 5), label_fraction=0.5)),
            ("BaggedInvertedPendulum-v0", "InvertedPendulum-v5", RewardSchedule(bag_len=3)),
        ],
    )
    def test_recording_delayed_is_delaying_what_was_recorded(self, id, twin, schedule):
        arguments = {"bag_len": schedule.bag_len, "label_fraction": schedule.label_fraction}
        late = record(id, None, "some/late-v0", episodes=4, seed=11, **arguments)
        early = record(twin, None, "some/early-v0", episodes=4, seed=11)
        assert (late.schedule, late.seed, early.schedule) == (schedule, 11, None)
        assert late.num_bags < early.num_bags == early.num_labels == early.steps
        assert_same(late.trajectories, delayed(early, schedule, 11).trajectories)

    def test_it_is_what_playing_gives(self, place):
        found = record("CartPole-v1", random_policy(2), "cart/random-v0", steps=60, seed=5)
        env, act = gym.make("CartPole-v1"), random_policy(2)
        observation, _ = env.reset(seed=5)
        for one in found.trajectories:
            np.testing.assert_array_equal(one.observations[0], observation)
            for step in range(len(one)):
                action = act(observation)
                observation, reward, terminated, truncated, _ = env.step(action)
                assert (one.actions[step], one.rewards[step]) == (action, reward)
                np.testing.assert_array_equal(one.observations[step + 1], observation)
            observation = env.reset()[0] if terminated or truncated else observation
        assert found.steps == 60
        assert [one.terminated for one in found.trajectories] == [True] * (len(found) - 1) + [False]
        assert environment(found).spec.id == "CartPole-v1"
        save(found, place / "found")
        assert_same(load(place / "found").trajectories, found.trajectories)

    def test_a_cut_episode_has_an_open_bag(self):
        (one,) = record("EpisodicKeyDoor-v0", None, "some/cut-v0", steps=2).trajectories
        assert (one.closed, one.rewards.tolist(), one.labeled.tolist()) == (False, [0.0, 0.0], [False])

    def test_infos_that_are_kept_serve_a_criterion(self):
        arguments = {"steps": None, "episodes": 1, "max_episode_steps": 5}
        early = record("HalfCheetah-v5", None, "some/cheetah-v0", keep=["x_position"], **arguments)
        late = record("SparseHalfCheetah-v0", None, "some/sparse-v0", threshold=-100.0, **arguments)
        schedule = RewardSchedule(bag_len=None, success="distance", threshold=-100.0)
        assert late.schedule == schedule
        found = delayed(early, schedule, 0).trajectories[0]
        assert found.rewards.tolist() == late.trajectories[0].rewards.tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]

    def test_exposed_rewards_can_be_delayed_again(self):
        late = record("BaggedKeyDoor-v0", None, "some/late-v0", episodes=2, expose_reward=True)
        early = record("KeyDoor-v0", None, "some/early-v0", episodes=2)
        assert late.trajectories[1].extras["dense_rewards"].tolist() == early.trajectories[1].rewards.tolist()
        assert_same(delayed(late, BAGS, 3).trajectories, delayed(early, BAGS, 3).trajectories)

    def test_what_is_not_shown_is_zero_whatever_the_environment_pays_for_it(self, place):
        arguments = {"steps": 20, "label_fraction": 0.5, "unlabeled_reward": float("nan")}
        found = record("PartiallyLabeledKeyDoor-v0", None, "some/few-v0", seed=1, **arguments)
        assert 0 < found.num_labels < 20
        assert all(np.isfinite(one.rewards).all() for one in found.trajectories)
        save(found, place / "few")
        assert load(place / "few").schedule == RewardSchedule(bag_len=1, label_fraction=0.5)

    def test_a_missing_extra_is_named(self, place, monkeypatch):
        monkeypatch.setitem(sys.modules, "minari", None)
        for call in (
            lambda: save(dense(), place / "new"),
            lambda: record("CartPole-v1", None, "cart-v0", steps=1),
            lambda: minari_dataset("cart-v0"),
        ):
            with pytest.raises(gym.error.DependencyNotInstalled, match=r"bagged_envs\[datasets\]"):
                call()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "either steps or episodes"),
            ({"steps": 1, "episodes": 1}, "either steps or episodes"),
            ({"steps": 1, "dataset_id": "no version"}, "dataset_id must be a name"),
            ({"steps": 1, "seed": -1}, "seed must be an int from 0"),
            ({"steps": 1, "reference": (3, 1)}, "reference must be two finite returns, the lower one first"),
            ({"steps": 1, "reference": (0, float("inf"))}, "reference must be two finite returns"),
            ({"steps": 1, "policy": lambda observation: 7}, "policy must return actions in Discrete"),
            ({"steps": 1, "policy": lambda observation: 0.7}, "policy must return actions in Discrete"),
            ({"steps": 1, "keep": ["nonesuch"]}, "keep must name keys that info has"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            record(**{"id": "CartPole-v1", "policy": None, "dataset_id": "cart-v0", **arguments})

    @pytest.mark.parametrize("reference", [5, (1, 2, 3), "ab", (0.0, "1"), (None, 1.0)])
    def test_a_reference_is_looked_at_before_anything_is_played(self, reference):
        def never(observation):
            raise AssertionError("played")

        with pytest.raises(TypeError, match="reference must be"):
            record("CartPole-v1", never, "cart-v0", steps=1, reference=reference)
        with pytest.raises(TypeError, match="reference must be"):
            delayed(dense(), BAGS, 0, reference=reference)

    def test_an_id_that_no_file_can_name_is_refused(self):
        gym.register("ByItsClass-v0", entry_point=type(gym.make("CartPole-v1").unwrapped))
        try:
            with pytest.raises(ValueError, match="id='ByItsClass-v0' must be registered with entry points that a file"):
                record("ByItsClass-v0", None, "cart-v0", steps=1)
        finally:
            del gym.registry["ByItsClass-v0"]

    def test_arguments_that_no_file_can_hold_are_left_out_with_the_specification(self):
        with pytest.warns(UserWarning, match="JSON"):
            found = record(
                "InvertedPendulum-v5", None, "some/arguments-v0", steps=6, reset_noise_scale=np.float32(0.01)
            )
        assert (found.steps, found.env_spec) == (6, None)

    def test_true_rewards_are_the_exposed_ones(self):
        told = {"id": "BaggedInvertedPendulum-v0", "policy": None, "steps": 30, "bag_len": 4}
        late = record(dataset_id="some/late-v0", **told)
        with pytest.raises(DatasetError, match="rewards must be dense"):
            dense_rewards(late)
        exposed = record(dataset_id="some/exposed-v0", expose_reward=True, **told)
        for rewards, one in zip(dense_rewards(exposed), exposed.trajectories, strict=True):
            assert rewards.tolist() == one.extras["dense_rewards"].tolist() != one.rewards.tolist()
        assert [one.tolist() for one in dense_rewards(dense())] == [
            one.rewards.tolist() for one in dense().trajectories
        ]

    def test_actions_can_be_keys_of_tables(self):
        assert len(record("FrozenLake-v1", None, "lake/random-v0", steps=20, seed=0).trajectories[0].actions) > 1


@pytest.fixture
def foreign():
    """A dataset that Minari made, without us."""
    import minari
    from minari.data_collector import EpisodeBuffer

    buffers = [
        EpisodeBuffer(
            id=number,
            observations=list(one.observations),
            actions=list(one.actions),
            rewards=list(one.rewards),
            terminations=[False] * (len(one) - 1) + [one.terminated],
            truncations=[False] * (len(one) - 1) + [not one.terminated],
            infos={"reward_forward": list(np.arange(len(one) + 1.0))},
        )
        for number, one in enumerate(dense().trajectories)
    ]
    spaces = {"observation_space": dense().observation_space, "action_space": dense().action_space}
    about = {"algorithm_name": "a", "author": "b", "author_email": "c", "code_permalink": "d", "description": "e"}
    spec = gym.spec("CartPole-v1")
    minari.create_dataset_from_buffers("some/foreign-v0", buffers, env=spec, eval_env=spec, **spaces, **about)
    return local_path("some/foreign-v0")


def rewrite(folder, **changes):
    metadata = json.loads((folder / "metadata.json").read_text())
    changed = {**metadata, **changes}
    (folder / "metadata.json").write_text(
        json.dumps({key: value for key, value in changed.items() if value is not None})
    )


def change_hdf5(folder, change):
    import h5py

    with h5py.File(folder / "main_data.hdf5", "r+") as stream:
        change(stream)


def replaced(name, value):
    def change(stream):
        del stream[name]
        if value is not None:
            stream[name] = value

    return change


class TestMinari:
    def test_by_name(self, foreign):
        found = minari_dataset("some/foreign-v0")
        wanted = [replace(one, extras={"dense_rewards": one.rewards}) for one in dense().trajectories]
        assert_same(trajectories(found), wanted)
        assert_same(delayed(found, BAGS, 3).trajectories, delayed(dense(), BAGS, 3).trajectories)
        kept = delayed(found, BAGS, 3, keep=["reward_forward"])
        assert kept.trajectories[1].extras["reward_forward"].tolist() == np.arange(8.0).tolist()
        assert environment(found).spec.id == "CartPole-v1"

    def test_what_is_not_here_is_downloaded_on_request_and_checked(self, foreign, monkeypatch):
        import minari

        folder, fetched = local_path("some/foreign-v0"), []
        aside = folder.with_name("aside")
        folder.rename(aside)

        def download(dataset_id):
            fetched.append(dataset_id)
            shutil.copytree(aside, folder)

        monkeypatch.setattr(minari, "download_dataset", download)
        with pytest.raises(FileNotFoundError):
            minari_dataset("some/foreign-v0")
        for _ in range(2):
            found = minari_dataset("some/foreign-v0", download=True)
            assert found.total_episodes == len(dense().trajectories)
        assert fetched == ["some/foreign-v0"]
        change_hdf5(aside, replaced("episode_1/rewards", np.full(7, np.nan)))
        shutil.rmtree(folder)
        with pytest.raises(ValueError, match="rewards must be finite"):
            trajectories(minari_dataset("some/foreign-v0", download=True))

    @pytest.mark.parametrize("name", ["some/nonesuch-v0", "../elsewhere-v0", "no version"])
    def test_a_name_that_is_not_here(self, name):
        with pytest.raises((FileNotFoundError, ValueError), match=r"not found locally|must be a name"):
            minari_dataset(name)

    def test_rewards_that_are_not_shown_are_not_read(self, foreign):
        steps = len(dense().trajectories[0])
        shown = np.array([False, False, True, False])

        def poison(stream):
            for number in range(1, 5):
                del stream[f"episode_{number}"]
            infos = stream["episode_0/infos"]
            infos["bag_end"], infos["reward_observed"] = np.array([False, False, True, True]), shown
            stream["episode_0/rewards"][...] = [np.nan, 2.0, np.nan]

        change_hdf5(foreign, poison)
        rewrite(foreign, total_episodes=1, total_steps=steps)
        (one,) = trajectories(minari_dataset("some/foreign-v0"))
        assert (one.rewards.tolist(), one.bag_ids.tolist()) == ([0.0, 2.0, 0.0], [0, 0, 1])
        assert one.labeled.tolist() == [True, False]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (replaced("episode_1/rewards", None), r"main_data\.hdf5, after episode 0: .*rewards"),
            (replaced("episode_1/rewards", np.zeros(6)), r"episode 1: .* must be"),
            (replaced("episode_1/rewards", np.zeros((7, 2))), "episode 1: rewards must be one number a step"),
            (replaced("episode_1/rewards", np.full(7, np.nan)), "episode 1: rewards must be finite"),
            (replaced("episode_1/actions", np.full(7, 9)), "episode 1: actions must be in Discrete"),
            (
                replaced("episode_1/observations", np.zeros((8, 4), np.float32)),
                "episode 1: observations must be of shape",
            ),
            (replaced("episode_1/terminations", np.full(7, True)), "episode 1: terminations must be False before"),
            (replaced("episode_1/truncations", np.full(7, False)), "episode 1: truncations must be True at the last"),
            (replaced("episode_2", None), r"metadata\.json: total_episodes must be 4, as in main_data\.hdf5, got 5"),
        ],
    )
    def test_arrays_are_checked(self, foreign, change, message):
        change_hdf5(foreign, change)
        with pytest.raises(DatasetError, match=message):
            trajectories(minari_dataset("some/foreign-v0"))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"total_episodes": 10**12}, r"total_episodes must be 5, as in main_data\.hdf5, got 1000000000000"),
            ({"total_episodes": None}, "total_episodes must be an int of at least 1, got None"),
            ({"total_episodes": "5"}, "total_episodes must be an int of at least 1, got '5'"),
            ({"total_steps": True}, "total_steps must be an int of at least 1, got True"),
            ({"author": -1}, "author must be a text, or several, got -1"),
            ({"author_email": ["a", 3]}, "author_email must be a text, or several"),
            ({"env_spec": "x"}, "env_spec: it must be JSON"),
            ({"env_spec": []}, "env_spec must be a text"),
            ({"env_spec": "3"}, "env_spec: the whole must be a table"),
            ({"data_format": "parchment"}, "Minari cannot read it .*parchment"),
            ({"ref_min_score": "x", "ref_max_score": 1.0}, "ref_min_score and ref_max_score must be a number"),
            ({"ref_min_score": 0, "ref_max_score": 10**400}, "ref_max_score must be a number that a float can hold"),
            ({"ref_min_score": 2.0, "ref_max_score": 1.0}, "ref_max_score must be two finite returns, the lower one"),
        ],
    )
    def test_metadata_are_checked(self, foreign, change, message):
        rewrite(foreign, **change)
        with pytest.raises(DatasetError, match=message):
            trajectories(minari_dataset("some/foreign-v0"))

    def test_what_minari_lacks_is_no_damage(self, foreign, monkeypatch):
        import minari

        def without(dataset_id):
            raise ImportError("pyarrow is not installed.")

        monkeypatch.setattr(minari, "load_dataset", without)
        with pytest.raises(ImportError, match="pyarrow"):
            minari_dataset("some/foreign-v0")

    def test_another_version_of_minari_may_be_why(self, foreign):
        rewrite(foreign, minari_version="0.3.1")
        with pytest.raises(DatasetError, match="cut or changed, or of another version of Minari"):
            minari_dataset("some/foreign-v0")

    def test_a_specification_without_arguments_has_none(self, foreign):
        spec = json.loads(gym.spec("CartPole-v1").to_json())
        del spec["kwargs"]
        rewrite(foreign, env_spec=json.dumps(spec))
        assert len(trajectories(minari_dataset("some/foreign-v0"))) == 5

    def test_links_to_other_files_and_bombs_are_refused(self, foreign, place):
        import h5py

        (place / "secret").write_bytes(bytes(8 * 7))
        outside = h5py.ExternalLink(str(place / "secret"), "/x")
        for change, message in (
            (
                lambda s: s.create_dataset("out", (7,), "f8", external=[(str(place / "secret"), 0, 56)]),
                "/out must be in",
            ),
            (replaced("out", outside), "/out must be in this file, got ExternalLink"),
            (replaced("out", None), None),
            (lambda s: s.create_dataset("bomb", (10**6, 10**6), "f8"), "/bomb must be of at most 0 bytes"),
        ):
            change_hdf5(foreign, change)
            if message is not None:
                with pytest.raises(DatasetError, match=message):
                    minari_dataset("some/foreign-v0")

    def test_a_manifest_of_ours_makes_no_difference(self, place):
        (place / "secret").write_bytes(bytes(8 * 7))
        folder = local_path("some/dense-v0")
        save(dense(), folder)
        minari_dataset("some/dense-v0")
        change_hdf5(folder, lambda s: s.create_dataset("out", (7,), "f8", external=[(str(place / "secret"), 0, 56)]))
        with pytest.raises(DatasetError, match="/out must be in"):
            minari_dataset("some/dense-v0")

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
    def test_a_cut_file(self, foreign, share):
        content = (foreign / "main_data.hdf5").read_bytes()
        (foreign / "main_data.hdf5").write_bytes(content[: int(share * len(content))])
        with pytest.raises(DatasetError, match=r"main_data\.hdf5: it cannot be read as HDF5"):
            minari_dataset("some/foreign-v0")

    @pytest.mark.slow
    def test_flipped_bits_are_errors_of_ours_and_never_crash(self, foreign):
        code = "from tests.test_datasets import read_damaged; import sys; read_damaged(sys.argv[1], 300)"
        root = Path(__file__).resolve().parent.parent
        done = subprocess.run([sys.executable, "-c", code, str(foreign)], cwd=root, capture_output=True, timeout=900)
        assert done.returncode == 0, done.stderr.decode()[-2000:]


def read_damaged(folder, count):
    """Read a foreign file with flipped bits, many times; anything but a `DatasetError` ends the process."""
    file = Path(folder) / "main_data.hdf5"
    whole, messages = file.read_bytes(), []
    for number in range(count):
        file.write_bytes(damage_by(number, whole))
        try:
            trajectories(minari_dataset("some/foreign-v0"))
        except DatasetError as error:
            messages.append(str(error))
    assert len(messages) > count // 4
    assert [message for message in messages if str(folder) not in message] == []


def spec(**changes):
    return json.dumps({**json.loads(SPEC), **changes})


def wrapper(entry_point, **kwargs):
    return {"additional_wrappers": [{"name": "Any", "entry_point": entry_point, "kwargs": kwargs}]}


class TestHostileSpecs:
    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"entry_point": "subprocess:run"}, "entry_point"),
            ({"entry_point": "subprocess:run", "id": "BaggedReacher-v0"}, "entry_point"),
            ({"entry_point": "bagged_envs.entry_points:BaggedNone@subprocess"}, "entry_point"),
            ({"entry_point": "bagged_envs.entry_points:importlib"}, "entry_point"),
            ({"entry_point": "bagged_envs.entry_points:BaggedHopper@antigravity:x"}, "entry_point"),
            ({"entry_point": "gymnasium.envs.registration:importlib"}, "entry_point"),
            ({"entry_point": None}, "entry_point"),
            ({"entry_point": ["subprocess:run"]}, "entry_point"),
            ({"vector_entry_point": "subprocess:run"}, "vector_entry_point"),
            (wrapper("subprocess:run"), "additional_wrappers: entry_point"),
            (wrapper("gymnasium.wrappers.rendering:RecordVideo", video_folder="x"), "additional_wrappers: entry_point"),
            ({"additional_wrappers": ["subprocess:run"]}, "additional_wrappers"),
            ({"additional_wrappers": None}, "additional_wrappers"),
            ({"kwargs": []}, "kwargs"),
            ({"kwargs": {"xml_file": "/etc/hostname"}}, "kwargs: xml_file"),
            ({"kwargs": {"xml_file": "../../model.xml"}}, "kwargs: xml_file"),
            ({"max_episode_steps": "5"}, "max_episode_steps"),
            ({"disable_env_checker": "run"}, "disable_env_checker"),
            ({"another": 1}, "the whole"),
            ({"id": 3}, "id"),
        ],
    )
    def test_nothing_runs(self, place, change, field):
        touched = place / "touched"
        kwargs = {"args": ["touch", str(touched)]} if "kwargs" not in change else change["kwargs"]
        save(dense(env_spec=spec(**{"kwargs": kwargs, **change})), place / "hostile")
        found = load(place / "hostile")
        with pytest.raises(DatasetError, match=f"some/dense-v0: env_spec: {field} must be"):
            environment(found)
        assert not touched.exists()

    def test_that_gymnasium_itself_would_run_it(self, place):
        """Otherwise the test above would show nothing."""
        touched = place / "touched"
        made = gym.envs.registration.EnvSpec.from_json(
            spec(entry_point="subprocess:run", kwargs={"args": ["touch", str(touched)]})
        )
        with pytest.raises(TypeError):
            gym.make(made)
        assert touched.exists()

    def test_a_file_without_spaces_runs_nothing(self, foreign, place):
        touched = place / "touched"
        hostile = spec(entry_point="subprocess:run", kwargs={"args": ["touch", str(touched)]})
        rewrite(foreign, observation_space=None, env_spec=hostile)
        with pytest.raises(DatasetError, match=r"metadata\.json: observation_space must be there"):
            minari_dataset("some/foreign-v0")
        assert not touched.exists()

    def test_a_foreign_file_is_named(self, foreign):
        rewrite(foreign, env_spec=spec(entry_point="subprocess:run"))
        with pytest.raises(DatasetError, match=r"metadata\.json: env_spec: entry_point must be .*'subprocess:run'"):
            environment(minari_dataset("some/foreign-v0"))

    @pytest.mark.parametrize("told", ["{", "[" * 100_000, "3"])
    def test_no_specification(self, told):
        with pytest.raises(DatasetError, match="env_spec"):
            environment(dense(env_spec=told))

    def test_none_at_all(self):
        with pytest.raises(ValueError, match="got none"):
            environment(dense(env_spec=None))

    @pytest.mark.parametrize("id", ["BaggedHalfCheetah-v0", "HalfCheetah-v5", "CartPole-v1", "KeyDoor-v0"])
    def test_known_ones_are_made_again(self, id):
        with gym.make(id) as env, environment(dense(env_spec=env.spec.to_json())) as found:
            assert found.spec == env.spec

    def test_known_wrappers_are_made_again(self):
        with gym.wrappers.ClipAction(gym.make("InvertedPendulum-v5")) as env:
            assert environment(dense(env_spec=env.spec.to_json())).spec == env.spec

    def test_more_can_be_allowed(self):
        told = spec(entry_point="tests.scripted_ids:Chores", kwargs={"script": [[[1.0, True, False]]]})
        with pytest.raises(DatasetError, match="entry_point"):
            environment(dense(env_spec=told))
        made = environment(dense(env_spec=told), allow=["tests.scripted_ids:Chores"], disable_env_checker=True)
        assert type(made.unwrapped).__name__ == "Chores"

    def test_other_versions_are_said(self):
        with pytest.warns(UserWarning, match=rf"recorded with gymnasium 0\.0, and {gym.__version__}"):
            environment(dense(versions={"gymnasium": "0.0"}))


class TestBenchmark:
    def test_it_measures_both(self, tmp_path, capsys):
        assert benchmark.main(["--steps", "300", "--pairs", "1", "--out", str(tmp_path / "rows.csv")]) == 0
        assert "load / h5py" in capsys.readouterr().out
        assert (tmp_path / "rows.csv").read_text().count("\n") == 2


def test_it_can_be_moved(folder, place):
    shutil.move(folder, place / "moved")
    assert load(place / "moved").steps == dense().steps
