"""The noise of policy gradients: by numbers, by autograd, and on real episodes."""

import math

import pytest
import torch
from gymnasium.spaces import Discrete

from bagged_envs.baselines.experiments import gradient_variance as experiment
from bagged_envs.baselines.growing_table import read_rows
from bagged_envs.baselines.learners.ppo import PPO


def test_variance_its_ratio_and_cosine():
    gradients = torch.tensor([[3.0, 0.0], [1.0, 2.0], [2.0, 4.0]])  # mean (2, 2); deviations (1, -2), (-1, 0), (0, 2)
    found = experiment.noise(gradients, torch.tensor([1.0, 0.0]), batch=2)
    assert found.variance == pytest.approx(10 / 2)
    assert found.along == pytest.approx(2)
    assert found.error == pytest.approx(1 / math.sqrt(3))
    assert found.ratio == pytest.approx(5 / 4)  # the mean is three and a half of its errors
    assert experiment.noise(gradients, torch.tensor([-1.0, 0.0]), batch=2).ratio == math.inf
    assert found.cosine == pytest.approx(2 / math.sqrt(5))  # of (2, 1) alone: the third is in no batch


def test_a_gradient_is_of_its_own_episode_and_the_mean_is_taken_off():
    learner = PPO(3, Discrete(2), seed=0)
    generator = torch.Generator().manual_seed(0)
    seen = torch.randn(2, 4, 3, 3, generator=generator)  # two episodes, four steps, three agents
    acted = torch.nn.functional.one_hot(torch.randint(2, (2, 4, 3), generator=generator), 2).float()
    returns = torch.randn(2, 4, 3, generator=generator)
    found = experiment.gradients(learner, seen, acted, returns)
    gains = returns - returns.mean(dim=(0, 2), keepdim=True)
    for episode in range(2):
        log_policy = learner.policy(seen[episode]).log_softmax(dim=2)
        total = ((log_policy * acted[episode]).sum(dim=2) * gains[episode]).sum()
        parts = torch.autograd.grad(total, list(learner.policy.parameters()))
        torch.testing.assert_close(found[episode], torch.cat([part.flatten() for part in parts]))
    other = experiment.gradients(learner, seen, acted, returns + 7.0)
    torch.testing.assert_close(other, found, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def played():
    learner = experiment.trained(0, seed=0)
    return learner, experiment.recorded(learner, 410, seed=0)


def test_episodes_have_each_agent_s_dense_rewards(played):
    _, store = played
    assert store.num_episodes == 410
    (_, batch), *more = store.all_bags()
    assert not more
    assert batch.mask.shape == (410, experiment.HORIZON, 6)
    torch.testing.assert_close(batch.dense.sum(dim=(1, 2)), batch.label)
    assert batch.dense.std(dim=2).min() > 0


@pytest.mark.long
def test_equal_shares_of_the_return_are_noisier_than_own_rewards(played):
    learner, store = played
    direction, _ = experiment.truth(learner, experiment.recorded(learner, 410, seed=1))
    late, own = (
        experiment.measured(name, learner, store, store, direction, 0) for name in ("identity-ippo", "oracle-ippo")
    )
    assert math.inf > late.variance / late.along**2 > 2 * own.ratio
    assert own.cosine > late.cosine


def test_the_truth_is_of_what_all_agents_earn(played):
    learner, store = played
    direction, certainty = experiment.truth(learner, store)
    ((_, batch),) = store.all_bags()
    returns = experiment.to_go(batch.dense.sum(dim=2)[..., None].repeat(1, 1, 6))
    each = experiment.gradients(learner, batch.observations, batch.actions, returns)
    torch.testing.assert_close(direction, each.mean(dim=0))
    halves = each[:205].mean(dim=0), each[205:].mean(dim=0)
    assert certainty == pytest.approx(torch.nn.functional.cosine_similarity(*halves, dim=0).item(), abs=1e-5)
    assert certainty > 0.5


@pytest.mark.long
def test_no_episode_serves_two_purposes(monkeypatch, tmp_path):
    seeds, made = [], experiment.recorded
    monkeypatch.setattr(experiment, "EPISODES", 82)
    monkeypatch.setattr(experiment, "TRUTH_EPISODES", 123)
    monkeypatch.setattr(experiment, "recorded", lambda *given: seeds.append(given[1:3]) or made(*given))
    experiment.run(tmp_path / "table.csv", 2, {"random": 0}, ["uniform-ippo"])
    assert [count for count, _ in seeds] == [82, 82, 123] * 2
    assert len({seed for _, seed in seeds}) == 6


def test_where_no_signal_is_told_from_noise_there_is_no_ratio():
    assert experiment.Noise(100.0, 2.0, 0.9, 0.1).ratio == 25.0
    assert experiment.Noise(100.0, 2.0, 1.1, 0.1).ratio == math.inf
    assert experiment.Noise(100.0, -2.0, 0.1, -0.1).ratio == math.inf


@pytest.mark.slow
def test_rows_are_made_once_told_and_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(experiment, "EPISODES", 82)
    monkeypatch.setattr(experiment, "TRUTH_EPISODES", 82)
    out, picture = tmp_path / "table.csv", tmp_path / "picture.png"
    for methods in (["uniform-ippo"], ["uniform-ippo", "identity-ippo"]):
        experiment.run(out, 1, {"random": 0}, methods)
    assert [row["method"] for row in read_rows(out)] == ["uniform-ippo", "identity-ippo"]
    assert experiment.main(["--out", str(out), "--plot", str(picture)]) == 0
    assert "| random | uniform-ippo | 1 |" in capsys.readouterr().out
    assert picture.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.long
def test_another_task_has_a_table_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(experiment, "EPISODES", 82)
    monkeypatch.setattr(experiment, "TRUTH_EPISODES", 82)
    monkeypatch.setattr(experiment, "POLICIES", {"random": 0})
    tasks, made = [], experiment.recorded
    monkeypatch.setattr(experiment, "recorded", lambda *given: tasks.append(made(*given)) or tasks[-1])
    out = str(tmp_path / "table.csv")
    words = ["--out", out, "--seeds", "1", "--methods", "uniform-ippo", "identity-ippo"]
    assert experiment.main([*words, "--id", "EpisodicTriangleArea-v0"]) == 0
    assert {store.agents for store in tasks} == {3}
    assert [row["method"] for row in read_rows(tmp_path / "table.csv")] == ["uniform-ippo", "identity-ippo"]
    with pytest.raises(SystemExit):
        experiment.main(words)
    assert "is for runs with gradients.id=EpisodicTriangleArea-v0" in " ".join(capsys.readouterr().err.split())
