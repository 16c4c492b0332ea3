"""Sweeps: which runs are made, what the table has of them, and what is read in it."""

import csv

import pytest

from bagged_envs.baselines.experiments import curves, sweep
from tests.baselines.runs import ARGUMENTS, ID

SETTINGS = ["max_episode_steps=23", "bag_len=(2,9)", "learner.hidden=[8,8]", "training.random_steps=60"]
SETTINGS += ["training.batch_size=16", "training.evaluate_every=40", "training.evaluation_episodes=1"]


def rows_of(file):
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_runs_are_made_once_and_their_rows_are_enough_to_go_on_from(tmp_path, capsys):
    words = ["identity-td3,uniform-td3", ID, *SETTINGS, "--steps", "80", "--workers", "1"]
    out = tmp_path / "table.csv"
    assert sweep.main([*words, "--seeds", "1", "--runs", str(tmp_path / "runs"), "--out", str(out)]) == 0
    assert "4 rows in" in capsys.readouterr().out
    first = rows_of(out)
    assert [(row["method"], row["seed"], row["step"]) for row in first] == [
        (method, "0", step) for method in ("identity-td3", "uniform-td3") for step in ("40", "80")
    ]
    assert {row["arguments"] for row in first} == {"max_episode_steps=23 bag_len=[2, 9]"}
    elsewhere = ["--runs", str(tmp_path / "others"), "--out", str(out)]
    assert sweep.main([*words, "--seeds", "2", *elsewhere]) == 0
    assert len(list((tmp_path / "others").glob("*/run.json"))) == 2  # seed 1 only
    assert len(rows_of(out)) == 8
    assert [row for row in rows_of(out) if row["seed"] == "0"] == first


def test_a_run_that_fails_is_said(tmp_path, capsys):
    words = ["identity-td3", "BaggedHoper-v0", "--steps", "80", "--seeds", "1"]
    assert sweep.main([*words, "--runs", str(tmp_path), "--out", str(tmp_path / "table.csv")]) == 1
    assert "exit code 2" in capsys.readouterr().out
    assert "BaggedHoper" in next(tmp_path.glob("*.log")).read_text()


def test_arguments_are_told_as_the_table_has_them():
    assert sweep.told(ARGUMENTS) == "max_episode_steps=23 bag_len=[2, 9]"
    commands = sweep.commands(
        ["a-b", "c-d"], ["X-v0"], 2, 5, ["bag_len=3"], sweep.Path("r"), {("a-b", "X-v0", "bag_len=3", "1")}
    )
    assert [(words[4], words[words.index("--seed") + 1]) for words in commands] == [
        ("a-b", "0"),
        ("c-d", "0"),
        ("c-d", "1"),
    ]


TABLE = """method,id,arguments,seed,step,return
rrd-td3,X-v0,bag_len=5,0,10,1.0
rrd-td3,X-v0,bag_len=5,0,20,3.0
rrd-td3,X-v0,bag_len=5,1,10,5.0
rrd-td3,X-v0,bag_len=5,1,20,7.0
identity-td3,X-v0,bag_len=5,0,10,10.0
"""


def test_areas_ends_and_bands(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text(TABLE)
    found = curves.read([file])
    assert curves.table(found)[2:] == [
        "| X-v0[bag_len=5] | identity-td3 | 10 | 10 | 10 |",
        "| X-v0[bag_len=5] | rrd-td3 | 20 | 2, 6 | 3, 7 |",
    ]
    steps, mean, low, high = curves.band(found["X-v0[bag_len=5]"]["rrd-td3"])
    assert (steps.tolist(), mean.tolist(), low.tolist(), high.tolist()) == ([10, 20], [3, 5], [1, 3], [5, 7])
    assert curves.final({step: float(step) for step in range(20)}) == pytest.approx(18.5)
    curves.plot(found, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000
