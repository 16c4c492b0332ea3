"""The benchmark of backends measures what it says, in tiny rounds."""

import csv
import importlib
import json
import re
from pathlib import Path

import pytest

from bagged_envs.demo.rows import write
from benchmarks import backends as benchmark
from benchmarks import racing
from benchmarks.backends import ONE, TWO
from benchmarks.racing import SYNC, Contender


def test_figures_are_medians_of_rounds_and_of_their_ratios():
    found = {SYNC: [10.0, 20.0, 40.0], ONE: [30.0, 20.0, 60.0]}
    first, second = benchmark.speeds("Ant", 8, found)
    assert (first.steps_per_second, first.over_first) == (20.0, 1.0)
    assert (second.backend, second.threads, second.lowest, second.highest) == ("native", 1, 20.0, 60.0)
    assert (second.steps_per_second, second.over_first) == (30.0, 1.5)


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


def test_rounds_begin_with_another_one_each():
    order = []
    runs = {name: lambda name=name: order.append(name.backend) or 2.0 for name in (SYNC, ONE, Contender("envpool"))}
    assert benchmark.alternate(runs, 4, 10) == dict.fromkeys(runs, [5.0] * 4)
    a, b, c = "sync", "native", "envpool"
    assert order == [a, b, c, b, c, a, c, a, b, a, b, c]


SHORT = ["--num-envs", "2", "--backends", "native", "--seconds", "0.001"]


def test_it_runs_and_writes_figures_machine_and_plot(tmp_path, capsys):
    file, plot = tmp_path / "speeds.csv", tmp_path / "speeds.png"
    short = ["--tasks", "Reacher", "PendulumSwingup", *SHORT, "--pairs", "2", "--delayed"]
    assert benchmark.main([*short, "--rollouts", "0", "--out", str(file), "--plot", str(plot)]) == 0
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    each = [("sync", "1"), ("native", "1"), ("native", "2")]
    assert [(row["backend"], row["threads"]) for row in rows] == each * 2
    assert all(float(row["steps_per_second"]) > 0 for row in rows)
    told = json.loads((tmp_path / "speeds.machine.json").read_text())
    assert told["machine"]["mujoco"].startswith("3.")
    assert told["settings"] == {"rounds": 2, "seconds": 0.001, "delayed": True}
    assert plot.stat().st_size > 1000
    read = racing.read(file)
    assert [{name: str(value) for name, value in vars(row).items()} for row in read] == rows
    assert all(type(row.num_envs) is int and type(row.over_first) is float for row in read)
    drawn, again = plot.read_bytes(), tmp_path / "again.png"
    assert benchmark.main(["--kept", str(file), "--plot", str(again)]) == 0
    assert again.read_bytes() == drawn
    goals = tmp_path / "speeds.goals.csv"
    goals.write_text("name,ratio\nx,1\n")
    printed = capsys.readouterr().out
    for words, said in (
        ([file], "say where to with --plot"),
        ([file, "--plot", again, "--out", goals], "leave --out out"),
        ([goals, "--plot", again], "must be a file that --out wrote, got"),
        ([tmp_path / "none.csv", "--plot", again], "No such file"),
    ):
        with pytest.raises(SystemExit):
            benchmark.main(["--kept", *map(str, words)])
        assert said in " ".join(capsys.readouterr().err.split())
    with pytest.raises(ValueError, match="no race with SyncVectorEnv"):
        racing.drawn([])
    assert len(re.findall(r"[\d.]+ x$", printed, re.MULTILINE)) == 6


def test_what_is_drawn_are_ratios_to_sync_by_task_and_size():
    found = {SYNC: [10.0], ONE: [15.0], TWO: [30.0]}
    rows = [*racing.speeds("Ant", 8, found), *racing.speeds("Hopper", 8, {SYNC: [4.0], ONE: [2.0]})]
    rows += [*racing.speeds("Ant", 32, {SYNC: [8.0], TWO: [2.0]}), *racing.speeds("alone", 1, {ONE: [9.0]})]
    small, large = racing.drawn(rows).axes
    assert [panel.get_title() for panel in (small, large)] == ["8 environments", "32 environments"]
    assert [label.get_text() for label in small.get_yticklabels()] == ["Ant", "Hopper"]
    points = [
        {line.get_label(): list(map(tuple, line.get_xydata())) for line in panel.lines} for panel in (small, large)
    ]
    assert points == [
        {"sync": [(1, 0), (1, 1)], "native 1": [(1.5, 0), (0.5, 1)], "native 2": [(3, 0)]},
        {"sync": [(1, 0)], "native 1": [], "native 2": [(0.25, 0)]},
    ]


@pytest.fixture
def outcomes(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "docs")
    module = importlib.import_module("outcomes")
    monkeypatch.setattr(module, "BACKENDS", tmp_path / "speeds.csv")
    return module


def kept(file, **settings):
    """Two figures and two goals, as the benchmark keeps them."""
    found = {SYNC: [10.0, 10.0], ONE: [15.0, 16.0], TWO: [20.0, 16.0]}
    write(racing.speeds("HalfCheetah", 32, found), file)
    write(benchmark.judged("HalfCheetah", 32, found), file.with_suffix(".goals.csv"))
    told = {"machine": {"cores": "3"}, "settings": {"rounds": 7, "delayed": False, **settings}}
    file.with_suffix(".machine.json").write_text(json.dumps(told))


def test_the_page_says_which_goals_were_missed(outcomes):
    assert outcomes.backends().startswith("Not measured yet")
    kept(outcomes.BACKENDS)
    page = outcomes.backends()
    assert page.startswith("cores 3.")
    assert "| HalfCheetah | 32 | 10 (1.00) | 16 (1.55) | 18 (1.80) |" in page
    assert "| HalfCheetah, 32: native 1 / sync | 1.55 (1.50 to 1.60) | >= 1.4 |" in page
    assert "| HalfCheetah, 32: native 2 / sync | 1.80 (1.60 to 2.00) | >= 1.8 |" in page
    goals = outcomes.BACKENDS.with_suffix(".goals.csv")
    goals.write_text(goals.read_text().replace("True", "False", 1))
    assert outcomes.backends().count(">= 1.4, not met |") == 1


@pytest.mark.parametrize("settings", [{"rounds": 6}, {"delayed": True}])
def test_the_page_has_no_figures_of_other_settings(outcomes, settings):
    kept(outcomes.BACKENDS, **settings)
    with pytest.raises(ValueError, match="must be of seven rounds or more without the delay"):
        outcomes.backends()


@pytest.mark.long
def test_learning_and_one_cheetah_are_measured_too_and_the_page_shows_all(tmp_path, outcomes):
    file, plot = tmp_path / "speeds.csv", tmp_path / "speeds.png"
    words = ["--tasks", "HalfCheetah", *SHORT, "--num-envs", "8", "--pairs", "7", "--rollouts", "1"]
    assert benchmark.main([*words, "--out", str(file), "--plot", str(plot)]) == 0
    page = outcomes.backends()
    assert "| task | environments | sync | native, 1 thread | native, 2 threads |" in page
    for line in (
        "| HalfCheetah | 8 |",
        "| CheetahRun alone | 1 | shimmy |",
        "| PPO on BaggedHalfCheetah | 8 | native, 2 threads |",
    ):
        assert page.count(line) == 1
    for goal in ("HalfCheetah, 8: native 1 / sync", "PPO on BaggedHalfCheetah, 8: native 1 / SubprocVecEnv"):
        assert f"| {goal} |" in page
    told = file.with_suffix(".machine.json")
    told.write_text(told.read_text().replace("false", "true"))
    with pytest.raises(ValueError, match="must be of seven rounds or more without the delay"):
        outcomes.backends()
