"""The benchmark of whole training runs; whether its goals are met is a matter of a quiet machine, not of tests."""

import csv

import pytest
import torch

from benchmarks import training as benchmark

ID = "EpisodicInvertedPendulum-v0"


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_it_runs_and_writes_its_rows(tmp_path, capsys):
    file = tmp_path / "rows.csv"
    words = ["--id", ID, "--methods", "uniform-td3", "rrd-td3", "--steps", "3", "--pairs", "1", "--warm-up", "110"]
    assert benchmark.main([*words, "--out", str(file)]) == 0
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"].split(" ")[0] for row in rows] == ["uniform-td3", "rrd-td3"]
    assert all(0.005 < float(row["ratio"]) < 20.0 for row in rows)
    assert capsys.readouterr().out.count("goal") == 2


def test_another_redistributor_may_be_the_measure(capsys):
    words = ["--id", ID, "--methods", "lare_rd-td3", "--over", "rd", "--steps", "3", "--pairs", "1", "--warm-up", "110"]
    assert benchmark.main(words) == 0
    told = capsys.readouterr().out
    assert "lare_rd-td3 / rd-td3" in told
    assert "0.9" in told


@pytest.mark.parametrize("name", ["rrd-td3", "rbt-td3", "ircr-td3", "uniform-td3"])
def test_all_updates_have_begun_when_it_is_measured(name, monkeypatch):
    short = {"rbt-td3": {"first": 1, "updates": 1, "every": 10}, "rrd-td3": {"updates": 1}}.get(name, {})
    method = benchmark.Method
    monkeypatch.setattr(benchmark, "Method", lambda kind, learner, settings: method(kind, learner, settings | short))
    training = benchmark.begun(name, ID, 130)
    assert training.total_steps == 130
    updates = training.updates
    benchmark.steps(training, 5)
    assert training.updates == updates + 5
    if name in ("rrd-td3", "rbt-td3"):
        assert training.state_dict()["parts"]["driver"]["updates"] > 0
    training.close()


def test_strict_fails_where_a_goal_is_missed(monkeypatch, capsys):
    missed = benchmark.Row("rrd-td3", 0.5, 0.4, 0.6, ">= 0.75", False)
    monkeypatch.setattr(benchmark, "measure", lambda *_: [missed])
    assert benchmark.main(["--strict"]) == 1
    assert "NOT MET" in capsys.readouterr().out
