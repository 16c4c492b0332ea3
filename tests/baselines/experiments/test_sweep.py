"""Sweeps: which runs are made, what the table has of them, and what is read in it."""

import csv
import json

import pytest

from bagged_envs import cli
from bagged_envs.baselines.experiments import curves, sweep
from tests.baselines.runs import ARGUMENTS, ID

SETTINGS = ["max_episode_steps=23", "bag_len=(2,9)", "learner.hidden=[8,8]", "training.random_steps=60"]
SETTINGS += ["training.batch_size=16", "training.evaluate_every=40", "training.evaluation_episodes=1"]


def rows_of(file):
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.long
def test_runs_are_made_once_and_their_rows_are_enough_to_go_on_from(tmp_path, capsys, monkeypatch):
    words = [ID, *SETTINGS, "--steps", "80", "--workers", "1", "--seeds", "1"]
    out = tmp_path / "table.csv"
    assert sweep.main(["identity-td3", *words, "--runs", str(tmp_path / "runs"), "--out", str(out)]) == 0
    assert "2 rows in" in capsys.readouterr().out
    first = rows_of(out)
    told = [(row["method"], row["seed"], row["step"]) for row in first]
    assert told == [("identity-td3", "0", step) for step in ("40", "80")]
    assert {row["arguments"] for row in first} == {"max_episode_steps=23 bag_len=[2, 9]"}
    # From here in this process: what has been seen of one of its own is enough.
    monkeypatch.setattr(sweep, "run", lambda words: cli.main(words[words.index("bagged_envs.cli") + 1 :]))
    elsewhere = ["--runs", str(tmp_path / "others"), "--out", str(out)]
    assert sweep.main(["uniform-td3,identity-td3", *words, *elsewhere]) == 0
    assert [path.parent.name[:7] for path in (tmp_path / "others").glob("*/run.json")] == ["uniform"]
    assert len(rows_of(out)) == 4
    assert [row for row in rows_of(out) if row["method"] == "identity-td3"] == first


@pytest.mark.slow
def test_a_run_that_fails_is_said(tmp_path, capsys):
    words = ["identity-td3", "BaggedHoper-v0", "--steps", "80", "--seeds", "1"]
    assert sweep.main([*words, "--runs", str(tmp_path), "--out", str(tmp_path / "table.csv")]) == 1
    assert "exit code 2" in capsys.readouterr().out
    assert "BaggedHoper" in next(tmp_path.glob("*.log")).read_text()


def swept(folder, *settings):
    """Sweep, but make no run, so that only what stands before and after the runs is done."""
    words = ["identity-td3", ID, *settings, "--runs", str(folder / "runs")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "commands", lambda *given: iter(()))
        return sweep.main([*words, "--out", str(folder / "table.csv")])


def test_a_table_is_for_one_choice_of_settings(tmp_path, capsys):
    assert swept(tmp_path, "bag_len=3", "training.batch_size=16", "learner.hidden=[8,8]") == 0
    assert swept(tmp_path, "learner.hidden=[8,8]", "training.batch_size=16", "bag_len=5") == 0
    for other, came in (([], "the defaults"), (["training.batch_size=7"], "training.batch_size=7")):
        with pytest.raises(SystemExit):
            swept(tmp_path, "bag_len=3", *other)
        told = " ".join(capsys.readouterr().err.split())
        assert f"is for runs with learner.hidden=[8,8] training.batch_size=16, got {came}: choose" in told
    assert not (tmp_path / "table.csv.settings.json").read_text().count("bag_len")


def test_a_table_that_does_not_tell_its_settings_is_taken_for_one(tmp_path, capsys):
    heading, row = ",".join(sweep.COLUMNS), f"identity-td3,{ID},,0,80,1.0,0.0,1,"
    (tmp_path / "table.csv").write_text(f"{heading}\n{row}\n")
    for words, told in ((["training.batch_size=7"], "training.batch_size=7"), ([], "the defaults")):
        assert swept(tmp_path, *words) == 0
        out = capsys.readouterr().out
        assert f"does not tell its settings: its runs are taken to have {told}." in out
    assert not (tmp_path / "table.csv.settings.json").exists()
    assert len(rows_of(tmp_path / "table.csv")) == 1


def made(folder, method, id, arguments, seed, returns):
    """A folder as a run leaves it."""
    folder.mkdir(parents=True)
    redistributor, learner = method.split("-")
    ran = {"method": {"redistributor": redistributor, "learner": learner}}
    (folder / "run.json").write_text(json.dumps({**ran, "id": id, "arguments": arguments, "seed": seed}))
    lines = [f"{40 * (place + 1)},{value}" for place, value in enumerate(returns)]
    (folder / "evaluations.csv").write_text("\n".join(["step,return", *lines]) + "\n")


def test_a_table_has_the_runs_that_are_named_and_no_others_of_the_folder(tmp_path):
    runs, out, settings = tmp_path / "runs", tmp_path / "table.csv", ["bag_len=5", "training.batch_size=128"]
    mine, other_bags, other_settings = (
        sweep.folder_of("rrd-td3", ID, words, 0, runs) for words in (settings, ["bag_len=7"], settings[:1])
    )
    made(mine, "rrd-td3", ID, {"bag_len": 5}, 0, [1.0, 2.0, 3.0])
    made(other_bags, "rrd-td3", ID, {"bag_len": 7}, 0, [4.0])
    made(other_settings, "rrd-td3", ID, {"bag_len": 5}, 0, [5.0])
    made(sweep.folder_of("rd-td3", ID, settings, 0, runs), "rd-td3", ID, {"bag_len": 5}, 0, [6.0])
    out.write_text(f"{','.join(sweep.COLUMNS)}\nrd-td3,{ID},bag_len=9,0,40,7.0,,,\n")
    words = ["rrd-td3", ID, *settings, "--seeds", "2", "--collect", "--runs", str(runs), "--out", str(out)]
    assert sweep.main(words) == 0
    (mine / "evaluations.csv").write_text("step,return\n40,1.0\n")  # begun anew: what the table has is more
    assert sweep.main(words) == 0
    told = [(row["method"], row["arguments"], row["step"], row["return"]) for row in rows_of(out)]
    own = [("rrd-td3", "bag_len=5", step, value) for step, value in (("40", "1.0"), ("80", "2.0"), ("120", "3.0"))]
    assert told == [("rd-td3", "bag_len=9", "40", "7.0"), *own]


def test_arguments_are_told_as_the_table_has_them():
    assert sweep.told(ARGUMENTS) == "max_episode_steps=23 bag_len=[2, 9]"
    assert sweep.told({"unlabeled_reward": float("nan")}) == sweep.told({"unlabeled_reward": "NaN"})
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
    found["X-v0[bag_len=5]"]["rrd-td3"]["1"][30] = 99.0  # of a run that has come further
    assert curves.table(found)[3] == "| X-v0[bag_len=5] | rrd-td3 | 20 | 2, 6 | 3, 7 |"
    steps, mean, low, high = curves.band(found["X-v0[bag_len=5]"]["rrd-td3"])
    assert (steps.tolist(), mean.tolist(), low.tolist(), high.tolist()) == ([10, 20], [3, 5], [1, 3], [5, 7])
    assert curves.final({step: float(step) for step in range(20)}) == pytest.approx(18.5)
    curves.plot(found, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000
