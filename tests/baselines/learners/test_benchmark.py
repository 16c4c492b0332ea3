"""The learners' benchmark runs; whether its goals are met is a matter of a quiet machine, not of tests."""

import csv
import importlib.util

import pytest

from benchmarks import learners as benchmark

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("stable_baselines3") is None, reason="needs stable-baselines3"),
    pytest.mark.filterwarnings("ignore"),
]


def test_it_runs_and_writes_its_rows(tmp_path, capsys):
    file = tmp_path / "rows.csv"
    assert benchmark.main(["--steps", "2", "--pairs", "1", "--stored", "50", "--out", str(file)]) == 0
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 5
    assert all(0.05 < float(row["ratio"]) < 20.0 for row in rows)
    assert capsys.readouterr().out.count("goal") == len(rows)
