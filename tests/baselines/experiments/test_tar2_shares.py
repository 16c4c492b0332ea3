"""Scores of one model, paid in different ways: by numbers, and of a run in a folder."""

import math
from dataclasses import replace

import pytest
import torch

from bagged_envs.baselines.experiments import gradient_variance
from bagged_envs.baselines.experiments import tar2_shares as experiment
from bagged_envs.baselines.growing_table import read_rows
from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.redistributors.tar2 import TAR2, TAR2Config
from bagged_envs.baselines.runs import Run, config_of, train
from tests.baselines.bags import random_batch

SMALL = {"width": 8, "layers": 1, "heads": 1, "warm_up": 0, "every": 50, "updates": 1, "first": None}


def small_run(folder, method="tar2-ippo", agents=6, **settings):
    named = Method.named(method, SMALL | settings if "tar2" in method else {}, {"hidden": (8,)})
    config = config_of(named, {"worlds": 4, "rollout": 200, "evaluate_every": 200, "evaluation_episodes": 2})
    train(Run(named, gradient_variance.ID, {"num_agents": agents}, config), folder, 200)
    return folder


def test_on_how_many_a_whole_falls():
    shares = torch.tensor([[[2.0, 2.0], [0.0, 4.0]], [[-1.0, -1.0], [0.0, 0.0]]])  # 4, 4; -2, 0
    assert experiment.spread(shares.sum(dim=2), 1) == pytest.approx((2 + 1) / 2)
    assert experiment.spread(shares, 2) == pytest.approx((2 + 1 + 2) / 3)  # of nothing there are no shares
    assert math.isnan(experiment.spread(torch.tensor([[3.0, -1.0]]), 1))
    rounded = torch.tensor([[2.0, 2.0], [3e-7, -1e-7]])  # a step that gets nothing, but for rounding
    assert experiment.spread(rounded, 1) == 2


def test_one_model_is_paid_in_each_way():
    batch = random_batch(0, agents=3, ragged=False)
    sizes = batch.observations.shape[3], batch.actions.shape[3]
    made = TAR2(*sizes, config=TAR2Config(width=8, layers=1, heads=1), agents=3, seed=1)
    for _ in range(3):
        made.update(batch)
    paid = dict(experiment.payments(made, [batch]))
    assert list(paid) == [*experiment.PAYMENTS, experiment.EQUAL]
    torch.testing.assert_close(paid["softmax / 1.0"], made.relabel(batch))
    for kind in ("min_max", "none"):
        alike = TAR2(*sizes, config=replace(made.config, normalization=kind), agents=3, seed=1)
        for _ in range(3):
            alike.update(batch)
        torch.testing.assert_close(paid[kind], alike.relabel(batch))
    for name, rewards in paid.items():
        if name != "none":
            torch.testing.assert_close(rewards.sum(dim=(1, 2)), batch.label, msg=name)
    assert (paid["none"].sum(dim=(1, 2)) - batch.label).abs().min() > 1e-3
    spreads = [experiment.spread(paid[f"softmax / {heat}"].sum(dim=2), 1) for heat in (0.5, 1.0, 2.0, 4.0, 8.0)]
    assert spreads == sorted(spreads)


@pytest.mark.long
def test_a_run_in_a_folder_gives_a_column(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(experiment, "EPISODES", 82)
    monkeypatch.setattr(experiment, "TRUTH_EPISODES", 82)
    out = tmp_path / "table.csv"
    folders = [small_run(tmp_path / "one"), small_run(tmp_path / "other", normalization="none")]
    assert experiment.main([*map(str, folders), "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "| paid by | one, learned by softmax / 1.0, step 200, seed 0 | other, learned by none, step 200, seed 0 |"
    )
    assert len(lines) == 2 + len(experiment.PAYMENTS) + 2
    rows = read_rows(out)
    assert [row["paid_by"] for row in rows] == [*experiment.PAYMENTS, experiment.EQUAL] * 2
    assert {row["step"] for row in rows} == {"200"}
    equal = rows[len(experiment.PAYMENTS)]
    assert (float(equal["steps"]), float(equal["agents"])) == pytest.approx((25, 6), rel=1e-4)
    assert f"| equal shares | {float(equal['cosine']):.2f} (25 steps) |" in lines[-2]
    written = out.read_bytes()
    monkeypatch.setattr(experiment, "recorded", None)  # nothing is measured twice
    assert experiment.main([str(folders[0]), "--out", str(out)]) == 0
    assert out.read_bytes() == written


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"agents": 3}, "with {'num_agents': 6}, got one on EpisodicCooperativeNavigation-v0 with {'num_agents': 3}"),
        ({"method": "identity-ippo"}, "must be a run of tar2-ippo, got identity-ippo"),
        ({"method": "tar2-mappo"}, "must be a run of tar2-ippo, got tar2-mappo"),
        (None, "which has no run.json"),
    ],
)
def test_other_runs_are_refused(tmp_path, settings, message, capsys):
    folder = tmp_path if settings is None else small_run(tmp_path / "run", **settings)
    with pytest.raises(SystemExit):
        experiment.main([str(folder), "--out", str(tmp_path / "table.csv")])
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "table.csv").exists()
