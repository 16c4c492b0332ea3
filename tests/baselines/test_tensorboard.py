"""What TensorBoard reads of a run."""

import sys

import gymnasium as gym
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bagged_envs.baselines.growing_table import read_rows
from bagged_envs.baselines.tensorboard import FOLDER, Board
from bagged_envs.cli import main

WORDS = (
    "train", "uniform-td3", "BaggedInvertedPendulum-v0", "bag_len=3", "training.random_steps=30",
    "training.batch_size=8", "learner.hidden=[8,8]", "training.evaluate_every=40", "training.evaluation_episodes=2",
    "--checkpoint-every", "40",
)  # fmt: skip


def scalars(folder, name):
    read = EventAccumulator(str(folder / FOLDER))
    read.Reload()
    return [(event.step, event.value) for event in read.Scalars(name)]


def test_a_run_tells_what_its_table_says(tmp_path):
    assert main([*WORDS, "--steps", "80", "--out", str(tmp_path), "--tensorboard"]) == 0
    rows = read_rows(tmp_path / "evaluations.csv")
    expected = [(int(row["step"]), pytest.approx(float(row["return"]), rel=1e-6)) for row in rows]
    assert scalars(tmp_path, "evaluation/return") == expected
    assert len(expected) == 2


def test_without_the_option_nothing_is_written(tmp_path):
    assert main([*WORDS, "--steps", "40", "--out", str(tmp_path)]) == 0
    assert not (tmp_path / FOLDER).exists()


def test_steps_that_are_made_again_are_told_once(tmp_path):
    for told in ((10, 20, 30), (20, 30, 40)):  # stopped, and gone on from step 10
        with Board(tmp_path) as report:
            for step in told:
                report(step, {"step": step, "return": float(step), "success_rate": None})
                report(step + 1, None)
    assert scalars(tmp_path, "evaluation/return") == [(step, float(step)) for step in (10, 20, 30, 40)]
    with pytest.raises(KeyError):
        scalars(tmp_path, "evaluation/success_rate")


def test_a_missing_package_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(gym.error.DependencyNotInstalled, match=r"bagged_envs\[tensorboard\]"):
        Board(tmp_path)
