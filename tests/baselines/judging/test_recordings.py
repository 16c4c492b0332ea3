"""Recordings: played once, kept by all that decides them, and never trusted when the file was changed."""

import numpy as np
import pytest

from bagged_envs.baselines.judging import recordings
from bagged_envs.baselines.judging.recordings import RecordingConfig, cache_folder, dense_env, file_name, recorded
from bagged_envs.trajectory_file import TrajectoryFileError

SMALL = RecordingConfig(steps=600, episodes=3, random_steps=100, batch=16)


TINY = RecordingConfig(steps=200, episodes=3, random_steps=40, batch=16)


def same(first, second):
    return len(first) == len(second) and all(
        np.array_equal(one.observations, other.observations) and np.array_equal(one.rewards, other.rewards)
        for one, other in zip(first, second, strict=True)
    )


def by_policy(episodes):
    """The mean return of each policy's episodes."""
    policies = [int(one.extras["policy"][0]) for one in episodes]
    assert policies == sorted(policies)
    returns = np.array([one.extras["dense_rewards"].sum() for one in episodes])
    return [returns[np.array(policies) == policy].mean() for policy in range(3)]


@pytest.fixture
def once(monkeypatch):
    """Count how often episodes are played."""
    played, record = [], recordings.record
    monkeypatch.setattr(recordings, "record", lambda *call: played.append(call) or record(*call))
    return played


def test_a_table_learns_and_each_policy_plays(tmp_path):
    config = RecordingConfig(steps=4000, episodes=20)
    random, _, trained = by_policy(recorded("BaggedHiddenDoor-v0", seed=0, config=config, folder=tmp_path))
    assert random < 1.5
    assert trained > 2.5


def test_boxes_are_learned_by_sac_which_is_updated_in_every_step_once_random_ones_are_over(tmp_path, monkeypatch):
    updates, update = [], recordings.SAC.update
    monkeypatch.setattr(recordings.SAC, "update", lambda learner, batch: updates.append(1) or update(learner, batch))
    episodes = recorded("BaggedInvertedPendulum-v0", seed=0, config=TINY, folder=tmp_path)
    assert len(updates) == 160
    assert len(episodes) >= 9
    assert len({one.actions[0].tobytes() for one in episodes}) == len(episodes)
    assert all(one.extras["policy"].shape == (len(one),) for one in episodes)


@pytest.mark.parametrize(
    ("config", "least"),
    [
        (RecordingConfig(steps=3999), 4000),
        (RecordingConfig(steps=399, random_steps=100, batch=16), 400),
        (RecordingConfig(steps=63, random_steps=1, batch=16), 64),
    ],
)
def test_policies_that_have_not_learned_are_not_recorded_as_trained(tmp_path, once, config, least):
    said = f"at least {least} for SAC .*, got {config.steps} with random_steps={config.random_steps} and"
    with pytest.raises(ValueError, match=said):
        recorded("BaggedInvertedPendulum-v0", config=config, folder=tmp_path)
    assert once == []


def test_an_older_file_of_untrained_policies_is_not_taken(tmp_path):
    config = RecordingConfig(steps=300, episodes=1, random_steps=100, batch=16)
    env = dense_env("BaggedInvertedPendulum-v0")
    (tmp_path / file_name(env, 0, config)).touch()
    with pytest.raises(ValueError, match="at least 400"):
        recorded("BaggedInvertedPendulum-v0", config=config, folder=tmp_path)


def test_as_few_steps_as_are_allowed_train_half_of_the_first_half(tmp_path, monkeypatch):
    updates, update, half_way = [], recordings.SAC.update, []
    monkeypatch.setattr(recordings.SAC, "update", lambda learner, batch: updates.append(1) or update(learner, batch))
    collect = recordings.Collector.collect
    monkeypatch.setattr(
        recordings.Collector,
        "collect",
        lambda *call, **how: (half_way.append(len(updates)) if "episodes" in how else None) or collect(*call, **how),
    )
    config = RecordingConfig(steps=160, episodes=1, random_steps=40, batch=16)
    recorded("BaggedInvertedPendulum-v0", config=config, folder=tmp_path)
    assert half_way == [0, 40, 120]


def test_episodes_longer_than_half_of_the_training_are_refused(tmp_path):
    config = RecordingConfig(steps=90, episodes=1, random_steps=1, batch=1)
    with pytest.raises(ValueError, match="steps must be more than 90: no episode had ended half way"):
        recorded("BaggedReacher-v0", config=config, folder=tmp_path)


def test_tables_learn_in_few_steps(tmp_path):
    assert recorded("BaggedKeyDoor-v0", config=RecordingConfig(steps=40, episodes=1), folder=tmp_path)


def test_without_a_learner_that_fits_all_are_random(tmp_path):
    episodes = recorded("BaggedSimpleSpread-v0", seed=0, config=SMALL, folder=tmp_path)
    assert [int(one.extras["policy"][0]) for one in episodes] == [0] * 9
    assert len({one.observations.tobytes() for one in episodes}) == 9


def test_the_second_time_comes_from_the_file(tmp_path, once):
    first = recorded("BaggedKeyDoor-v0", seed=3, config=SMALL, folder=tmp_path)
    assert same(recorded("BaggedKeyDoor-v0", seed=3, config=SMALL, folder=tmp_path), first)
    assert len(once) == 1


@pytest.mark.long
def test_the_same_seed_plays_the_same_again(tmp_path):
    for id in ("BaggedKeyDoor-v0", "BaggedInvertedPendulum-v0"):
        first = recorded(id, seed=3, config=TINY, folder=tmp_path / "a")
        assert same(recorded(id, seed=3, config=TINY, folder=tmp_path / "b"), first)
        assert not same(recorded(id, seed=4, config=TINY, folder=tmp_path / "b"), first)


def test_the_delay_does_not_matter_and_all_else_does(tmp_path, once):
    recorded("BaggedKeyDoor-v0", seed=0, config=SMALL, folder=tmp_path)
    recorded("EpisodicKeyDoor-v0", seed=0, config=SMALL, folder=tmp_path)
    recorded("BaggedKeyDoor-v0", {"bag_len": 3, "label_fraction": 0.5}, seed=0, config=SMALL, folder=tmp_path)
    assert len(once) == 1
    names = {
        file_name(dense_env("BaggedKeyDoor-v0", arguments), seed, config)
        for arguments, seed, config in [
            ({}, 0, SMALL),
            ({"size": 4}, 0, SMALL),
            ({"max_episode_steps": 9}, 0, SMALL),
            ({}, 1, SMALL),
            ({}, 0, RecordingConfig()),
        ]
    }
    assert len(names) == 5


def test_other_versions_are_other_files(monkeypatch):
    env = dense_env("BaggedKeyDoor-v0")
    before = file_name(env, 0, SMALL)
    monkeypatch.setattr(recordings, "_version", lambda name: f"{name} 99")
    assert file_name(env, 0, SMALL) != before


def test_a_changed_file_is_refused(tmp_path):
    recorded("BaggedKeyDoor-v0", seed=0, config=SMALL, folder=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(TrajectoryFileError, match=file.name):
        recorded("BaggedKeyDoor-v0", seed=0, config=SMALL, folder=tmp_path)


def test_where_files_are(monkeypatch, tmp_path):
    monkeypatch.setenv("BAGGED_ENVS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("BAGGED_ENVS_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "bagged_envs"


def test_settings_are_checked():
    with pytest.raises(ValueError, match="episodes"):
        RecordingConfig(episodes=0)
