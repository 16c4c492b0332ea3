"""The benchmark of teams; whether its goals are met is a matter of a quiet machine, not of tests."""

import csv

import pytest
import torch

from benchmarks import teams as benchmark


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_it_runs_and_writes_its_rows(tmp_path, capsys):
    file = tmp_path / "rows.csv"
    words = ["--agents", "3", "--worlds", "2", "--rollout", "20", "--pairs", "1", "--out", str(file)]
    assert benchmark.main(words) == 0
    with file.open(newline="") as stream:
        ratios = [float(row["ratio"]) for row in csv.DictReader(stream)]
    assert len(ratios) == 4
    assert all(0.0 < share < 1.0 for share in ratios[:2])
    assert all(faster > 0.0 for faster in ratios[2:])
    assert capsys.readouterr().out.count("goal") == 4


@pytest.mark.parametrize(
    ("goal", "met", "told"), [(0.25, False, "<= 0.25"), (0.3, True, "<= 0.3"), (None, True, "none")]
)
def test_a_share_is_to_be_small(goal, met, told):
    row = benchmark.at_most("x", [0.1, 0.3, 0.5], goal)
    assert (row.ratio, row.lowest, row.highest, row.goal, row.met) == (0.3, 0.1, 0.5, told, met)
