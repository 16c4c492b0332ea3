"""Where the scale of a benchmark begins."""

import pytest

from bagged_envs.baselines.benchmark.protocol import Protocol
from bagged_envs.baselines.experiments.scale import main, random_return
from bagged_envs.baselines.growing_table import read_rows


@pytest.mark.parametrize("task", ["KeyDoor", "PocketWatch", "HiddenDoor", "TraceBack", "ChargeDischarge"])
def test_it_agrees_with_what_is_known_exactly(task):
    mean, error = random_return(task, episodes=300)
    assert abs(mean - Protocol.load("v1").references[task].random) < 4 * error


def test_a_table_that_goes_on(tmp_path, capsys):
    out = tmp_path / "scale.csv"
    assert main(["KeyDoor", "--episodes", "5", "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["KeyDoor", "InvertedPendulum", "--episodes", "5", "--out", str(out)]) == 0
    assert "KeyDoor" not in capsys.readouterr().out
    rows = read_rows(out)
    assert [row["task"] for row in rows] == ["KeyDoor", "InvertedPendulum"]
    assert float(rows[1]["random"]) == pytest.approx(random_return("InvertedPendulum", 5)[0], rel=1e-5)


@pytest.mark.parametrize(
    ("words", "message"), [(["Hoper"], "Did you mean 'Hopper'"), (["Hopper", "--episodes", "1"], "episodes must be")]
)
def test_what_is_wrong_is_said_before_anything_is_played(tmp_path, words, message):
    with pytest.raises(ValueError, match=message):
        main([*words, "--out", str(tmp_path / "scale.csv")])
    assert not (tmp_path / "scale.csv").exists()
