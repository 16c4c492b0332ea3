"""The benchmark of what redistributors cost runs; whether its goals are met is a matter of the machine."""

import csv
import functools

import pytest
import torch

from benchmarks import cadence as benchmark


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_it_measures_whatever_has_a_network():
    learning = {name for name in benchmark.names() if benchmark.made(name).sampling is not None}
    without = {*benchmark.NOTHING_TO_LEARN, *benchmark.NO_NETWORK}
    assert learning == {*benchmark.names()} == {*benchmark.REDISTRIBUTORS} - without


def test_it_runs_and_writes_its_rows(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "seconds", functools.partial(benchmark.seconds, least=0.01))
    file = tmp_path / "rows.csv"
    words = ["--only", "rrd", "rudder", "lare_rd", "--pairs", "1", "--stored", "2500", "--out", str(file)]
    assert benchmark.main(words) == 0
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["name"], row["bag_len"]) for row in rows] == [
        ("rrd", "20"), ("rudder", "20"), ("lare_rd", "20"), ("rrd", "1000"), ("rudder", "1000"), ("lare_rd", "1000")
    ]  # fmt: skip
    for row in rows:
        assert 0.0 < float(row["updates"]) < 50.0
        assert float(row["ratio"]) == pytest.approx(float(row["updates"]) + float(row["relabeling"]))
    assert capsys.readouterr().out.count("goal") == 6


def test_a_burst_s_cost_is_spread_over_the_steps_between_bursts(monkeypatch):
    costs = {"learn": 2.0, "update": 30.0, "reward": 1.0, "store_rewards": 500.0}
    monkeypatch.setattr(benchmark, "seconds", lambda call: costs[call.__name__])
    learner, store = benchmark.TD3(17, benchmark.Box(-1.0, 1.0, (6,)), seed=0), benchmark.filled(20, 1200)
    # 60 updates, and relabeling once, in 1,000 steps
    assert benchmark.Measured("rbt", store, learner).ratios() == pytest.approx((0.9, 0.75))
    assert benchmark.Measured("rrd", store, learner).ratios() == pytest.approx((15.0, 0.5))


def test_strict_fails_where_a_goal_is_missed(monkeypatch, capsys):
    missed = benchmark.Row("rd", 20, 1.0, 1.0, 2.0, 1.0, False)
    monkeypatch.setattr(benchmark, "measure", lambda chosen, pairs, stored: [missed])
    assert benchmark.main(["--strict"]) == 1
    assert "NOT MET" in capsys.readouterr().out
