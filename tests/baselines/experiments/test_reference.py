"""The reference is Stable-Baselines3's TD3 as ours is set, on dense rewards."""

import csv

import pytest

pytest.importorskip("stable_baselines3")

from stable_baselines3 import TD3

from bagged_envs.baselines.experiments import reference
from bagged_envs.baselines.learners.td3 import TD3Config
from bagged_envs.baselines.training import TrainingConfig

ID = "EpisodicInvertedPendulum-v0"


def test_its_settings_are_ours():
    model, ours = reference.learner(ID, seed=3, batch_size=77), TD3Config()
    assert (model.seed, model.batch_size, model.learning_starts) == (3, 77, TrainingConfig().random_steps)
    assert (model.gamma, model.tau, model.policy_delay) == (ours.discount, ours.tau, ours.policy_delay)
    assert (model.target_policy_noise, model.target_noise_clip) == (ours.target_noise, ours.target_noise_clip)
    assert (model.train_freq.frequency, model.gradient_steps) == (1, TrainingConfig().updates)
    assert model.action_noise._sigma.tolist() == pytest.approx([ours.exploration_noise])
    for optimizer in (model.actor.optimizer, model.critic.optimizer):
        assert optimizer.param_groups[0]["lr"] == ours.actor_learning_rate == ours.critic_learning_rate
    sizes = [tuple(weight.shape) for weight in model.actor.mu.parameters() if weight.ndim == 2]
    assert sizes == [(ours.hidden[0], 4), (ours.hidden[1], ours.hidden[0]), (1, ours.hidden[1])]


def test_it_is_rewarded_at_every_step():
    env = reference.learner(ID, seed=0, batch_size=8).get_env()
    env.seed(0)
    env.reset()
    assert env.step([[0.0]])[1].tolist() == [1.0]


@pytest.mark.long
def test_whole_seeds_are_left_out(tmp_path, monkeypatch, capsys):
    out = tmp_path / "reference.csv"
    words = [ID, "--steps", "5000", "--out", str(out)]
    assert reference.main([*words, "--seeds", "1"]) == 0
    with out.open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["method"], row["id"], row["seed"], row["step"]) == ("sb3-td3", ID, "0", "5000")
    assert 1.0 <= float(row["return"]) <= 1000.0
    before = out.read_text()
    monkeypatch.setattr(TD3, "learn", lambda *_, **__: pytest.fail("trained again"))
    assert reference.main([*words, "--seeds", "1"]) == 0
    assert out.read_text() == before
    with pytest.raises(SystemExit):
        reference.main([*words, "--batch-size", "64"])
    assert "is for runs with training.batch_size=256, got training.batch_size=64" in " ".join(
        capsys.readouterr().err.split()
    )
