"""The benchmark of the particle world measures what it says."""

import csv

import pytest

from benchmarks import particle as benchmark

pytest.importorskip("mpe2")


def test_it_runs_and_writes_its_rows(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "FACE_GOALS", {3: 1.0})
    monkeypatch.setattr(benchmark, "NATIVE_GOALS", {3: 1e6})
    monkeypatch.setattr(benchmark, "JAXMARL_GOALS", {})
    file = tmp_path / "rows.csv"
    assert benchmark.main(["--seconds", "0.01", "--pairs", "1", "--out", str(file), "--strict"]) == 1
    with file.open(newline="") as stream:
        alone, together = csv.DictReader(stream)
    assert 1.0 < float(alone["ratio"]) < float(together["ratio"]) < 1e4
    assert (alone["met"], together["met"]) == ("True", "False")
    assert "NOT MET" in capsys.readouterr().out
