"""The benchmark measures what it says; whether its goals are met is a matter of a quiet machine, not of tests."""

import csv

import pytest

from bagged_envs.baselines.experiments import hidden_door, offline, sweep, teams
from benchmarks import backends, learners
from benchmarks import wrappers as benchmark


def test_ratios_are_dense_over_delayed_pair_by_pair():
    delayed, dense = iter([9.0, 2.0, 4.0]), iter([9.0, 1.0, 1.0])
    assert benchmark.paired_ratios(lambda: next(delayed), lambda: next(dense), pairs=2) == [0.5, 0.25]


@pytest.mark.parametrize(("ratios", "met"), [([0.9, 0.97, 0.99], True), ([0.9, 0.95, 0.99], False)])
def test_a_goal_is_met_by_the_median(ratios, met):
    row = benchmark.at_least("x", ratios, 0.96)
    assert (row.ratio, row.lowest, row.highest, row.met) == (ratios[1], 0.9, 0.99, met)


def test_it_runs_and_writes_its_rows(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "NUM_ENVS", 4)
    file = tmp_path / "rows.csv"
    assert benchmark.main(["--steps", "60", "--pairs", "1", "--out", str(file)]) == 0
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(benchmark.SINGLE_TASKS) + 2
    assert all(0.05 < float(row["ratio"]) < 20.0 for row in rows)
    assert capsys.readouterr().out.count("goal") == len(rows)


def test_strict_fails_where_a_goal_is_missed(monkeypatch, capsys):
    missed = benchmark.at_least("x", [0.5], 0.96)
    monkeypatch.setattr(benchmark, "measure", lambda steps, pairs: [missed])
    assert benchmark.main(["--strict"]) == 1
    assert "NOT MET" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (benchmark, ["--pairs", "0"]),
        (backends, ["--threads", "1", "0"]),
        (learners, ["--steps", "-3"]),
        (sweep, ["identity-td3", "EpisodicHopper-v0", "--out", "table.csv", "--workers", "two"]),
        (teams, ["--out", "table.csv", "--seeds", "0"]),
        (offline, ["table", "--out", "table.csv", "--updates", "0"]),
        (hidden_door, ["--out", "table.csv", "--seeds", "1.5"]),
    ],
)
def test_what_is_counted_is_at_least_one(program, words, capsys):
    with pytest.raises(SystemExit) as error:
        program.main(words)
    assert error.value.code == 2
    option = [word for word in words if word.startswith("--")][-1]
    assert f"argument {option}: must be an int of at least 1, got {words[-1]!r}" in capsys.readouterr().err
