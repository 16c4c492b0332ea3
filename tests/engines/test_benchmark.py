"""The benchmark of backends measures what it says, in tiny rounds."""

import csv
import json

import pytest

from benchmarks import backends as benchmark
from benchmarks.backends import ONE, TWO
from benchmarks.racing import SYNC, Contender


def test_figures_are_medians_of_rounds_and_of_their_ratios():
    found = {SYNC: [10.0, 20.0, 40.0], ONE: [30.0, 20.0, 60.0]}
    first, second = benchmark.speeds("Ant", 8, found)
    assert (first.steps_per_second, first.over_sync) == (20.0, 1.0)
    assert (second.backend, second.threads, second.lowest, second.highest) == ("native", 1, 20.0, 60.0)
    assert (second.steps_per_second, second.over_sync) == (30.0, 1.5)


@pytest.mark.parametrize(("rate", "met"), [(13.9, False), (14.1, True)])
def test_goals_are_judged_from_their_number_of_environments_on(rate, met):
    found = {SYNC: [10.0], ONE: [rate]}
    (row,) = benchmark.judged("HalfCheetah", 8, found)
    assert (row.name, row.met) == ("HalfCheetah, 8: native 1 / sync", met)
    assert benchmark.judged("HalfCheetah", 4, found) == []
    assert benchmark.judged("Ant", 8, found) == []


def test_who_takes_part():
    everyone = benchmark.contenders(benchmark.BACKENDS, [1, 2], 8)
    pool = [Contender("envpool", 1), Contender("envpool", 2)]
    assert everyone == [SYNC, Contender("async"), ONE, TWO, *pool]
    assert benchmark.contenders(["native", "async"], [1, 2], 64) == [SYNC, ONE, TWO]
    assert benchmark.contenders(["native"], [1, 2], 1) == [SYNC, ONE]


def test_it_runs_and_writes_figures_machine_and_plot(tmp_path, capsys):
    file, plot = tmp_path / "speeds.csv", tmp_path / "speeds.png"
    short = ["--tasks", "Reacher", "--num-envs", "2", "--backends", "native", "--seconds", "0.001", "--pairs", "2"]
    assert benchmark.main([*short, "--rollouts", "0", "--out", str(file), "--plot", str(plot)]) == 0
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["backend"], row["threads"]) for row in rows] == [("sync", "1"), ("native", "1"), ("native", "2")]
    assert all(float(row["steps_per_second"]) > 0 for row in rows)
    assert json.loads((tmp_path / "speeds.machine.json").read_text())["mujoco"].startswith("3.")
    assert plot.stat().st_size > 1000
    assert capsys.readouterr().out.count("x sync") == 3
