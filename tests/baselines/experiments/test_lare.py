"""LaRe's tables: what they measure, the shuffled control, and that a stopped command goes on."""

import numpy as np
import pytest
import torch

from bagged_envs.baselines.experiments import lare
from bagged_envs.baselines.growing_table import read_rows
from bagged_envs.baselines.judging import case
from bagged_envs.baselines.judging.recordings import RecordingConfig
from bagged_envs.baselines.latent_rewards.factors import ProgramFactors
from bagged_envs.baselines.latent_rewards.program import Program

SMALL = RecordingConfig(steps=200, episodes=2, random_steps=50, batch=16)
ID = "EpisodicReacher-v0"


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setenv("BAGGED_ENVS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(lare, "RECORDING", SMALL)
    monkeypatch.setattr(case, "REGRESSION_STEPS", 20)
    monkeypatch.setattr(lare, "RECORDED", (ID,))
    monkeypatch.setattr(lare, "PLAYED", ("EpisodicCooperativeNavigation-v0",))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    lare._case.cache_clear()


class TestCorrelation:
    def test_by_hand(self):
        rewards = np.array([1.0, 2.0, 3.0, 4.0])
        columns = np.array([[2.0, 0.0, 7.0], [4.0, 1.0, 7.0], [6.0, 1.0, 7.0], [8.0, 0.0, 7.0]])
        assert lare.mean_correlation(columns, rewards) == pytest.approx(1 / 3)  # 1, 0, and a constant
        assert lare.mean_correlation(-columns[:, :1], rewards) == pytest.approx(1.0)

    def test_it_is_pearsons(self):
        rng = np.random.default_rng(0)
        columns, rewards = rng.normal(size=(50, 3)) + 1e4, rng.normal(size=50)
        expected = np.abs([np.corrcoef(column, rewards)[0, 1] for column in columns.T]).mean()
        assert lare.mean_correlation(columns, rewards) == pytest.approx(expected)

    def test_a_team_is_one_step_per_agent_with_its_own_reward(self):
        row = lare.correlations("EpisodicCooperativeNavigation-v0", 0, SMALL, steps=40)
        assert (row["steps"], row["elements"], row["factors"]) == (240, 26, 5)
        assert 0.0 < row["elements_correlation"] < row["factors_correlation"] < 1.0

    def test_a_task_without_a_program_is_refused(self):
        with pytest.raises(ValueError, match="got 'EpisodicSimpleSpread-v0'"):
            lare.correlations("EpisodicSimpleSpread-v0", 0, SMALL, steps=5)


def test_the_control_sees_the_same_factors_in_another_order():
    factors = ProgramFactors(Program.named("Reacher"), 10, 2)
    rng = np.random.default_rng(0)
    seen, done = rng.normal(size=(20, 10)).astype(np.float32), rng.normal(size=(20, 2)).astype(np.float32)
    said, shuffled = factors(seen, done, seen), lare.Shuffled(factors, seed=0)(seen, done, seen)
    assert not np.array_equal(said, shuffled)
    assert sorted(map(tuple, said.tolist())) == sorted(map(tuple, shuffled.tolist()))


@pytest.mark.slow
def test_both_tables_and_going_on(tmp_path, capsys):
    words = ["--seeds", "1", "--updates", "150", "--ids", ID, "--out", str(tmp_path)]
    assert lare.main([*words, "--methods", "uniform,lare_rd"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert lare.main([*words, "--methods", "uniform,lare_rd,lare_rd shuffled"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"lare_errors.csv {ID} lare_rd shuffled 0"]
    errors = {row["method"]: row for row in read_rows(tmp_path / "lare_errors.csv")}
    assert list(errors) == ["uniform", "lare_rd", "lare_rd shuffled"]
    # Both saw the same labels; only one of them in the right steps.
    assert float(errors["lare_rd"]["pearson"]) > 0.3 + float(errors["lare_rd shuffled"]["pearson"])
    told = read_rows(tmp_path / "lare_correlations.csv")
    assert [row["id"] for row in told] == [ID, "EpisodicCooperativeNavigation-v0"]


def test_a_refusal_is_a_row():
    row = lare.error_row("EpisodicPocketWatch-v0", "lare_rd", 0, 5, SMALL)
    assert row["refused"].startswith("lare_rd needs factors")
    assert np.isnan(row["absolute_error"])
