"""Teams that learn: to the bit, with rewards of their own, and better than at first."""

import json
import subprocess
import sys
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch

import bagged_envs
from bagged_envs import cli
from bagged_envs.baselines import checkpoint
from bagged_envs.baselines.api import Schedule
from bagged_envs.baselines.checkpoint import fingerprint
from bagged_envs.baselines.driving import Cadence
from bagged_envs.baselines.learners.ippo import IPPO_PAPER
from bagged_envs.baselines.methods import LEARNERS, TEAM_LEARNERS, Method
from bagged_envs.baselines.player import SEEDS
from bagged_envs.baselines.redistributors import REDISTRIBUTORS
from bagged_envs.baselines.runs import Run, train
from bagged_envs.baselines.team_training import TeamConfig, TeamTraining, team_config
from bagged_envs.baselines.training import Training, TrainingConfig
from bagged_envs.multi_agent.joint import JointEnv
from bagged_envs.tasks import TASKS
from tests.baselines.runs import SETTINGS, TEAM
from tests.baselines.two_step import TwoStep

ID = "EpisodicCooperativeNavigation-v0"
ARGUMENTS = {"num_agents": 3, "max_episode_steps": 9}
SMALL = TeamConfig(worlds=2, rollout=30, evaluate_every=50, evaluation_episodes=3, capacity=200)  # 36 steps at a time


def method(name="rrd-ippo", **learner):
    """The method of a name, with small sizes."""
    redistributor, acting = name.split("-")
    return Method.named(name, SETTINGS.get(redistributor, {}), {**TEAM[acting], **learner})


def training(name="rrd-ippo", id=ID, config=SMALL, seed=3, arguments=None, **learner):
    """A run that has not begun."""
    return TeamTraining(method(name, **learner), id, ARGUMENTS if arguments is None else arguments, config, seed=seed)


def after(one, steps):
    """The run after at least so many steps."""
    for _ in one.run(steps):
        pass
    return one


def learned(one):
    """What the learner is updated with from now on, which moves nothing."""
    seen = []
    one.learner.update = lambda batch: seen.append(batch) or {"loss": 1.0}
    return seen


@pytest.mark.parametrize("name", ["rrd-ippo", "rudder-mappo", "oracle-ippo", "rrd-qmix", "rudder-qmix"])
def test_a_run_that_was_stopped_goes_on_to_the_bit(name, tmp_path):
    whole = after(training(name), 144)
    checkpoint.save(tmp_path / "half.pt", after(training(name), 72).state_dict())
    resumed = training(name)
    resumed.load_state_dict(checkpoint.load(tmp_path / "half.pt"))
    assert not resumed.due
    after(resumed, 144)
    assert fingerprint(resumed.state_dict()) == fingerprint(whole.state_dict())
    updates = 16 if name.endswith("qmix") else 4  # one for each episode, or for each iteration
    assert (whole.total_steps, whole.episodes, whole.updates) == (144, 16, updates)
    assert resumed.evaluate(3, SEEDS) == whole.evaluate(3, SEEDS)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "learner"),
    [
        pytest.param("uniform-mappo", {"hidden": "[8]"}, marks=pytest.mark.slow),
        ("rd-qmix", {"hidden": "8", "hypernet": "[]", "batch": "4"}),
    ],
)
def test_a_run_of_the_command_goes_on_to_the_bit(name, learner, tmp_path):
    settings = {
        f"training.{name}": getattr(SMALL, name) for name in ("worlds", "rollout", "evaluate_every", "capacity")
    }
    settings |= {"training.evaluation_episodes": 3, **ARGUMENTS}
    settings |= {f"learner.{setting}": value for setting, value in learner.items()}
    if name == "rd-qmix":
        settings |= {f"redistributor.{key}": value for key, value in {"warm_up": 8, "every": 8, "bags": 2}.items()}
    words = [name, ID, *(f"{name}={value}" for name, value in settings.items()), "--seed", "1"]
    for folder, steps in (("whole", "144"), ("parts", "40"), ("parts", "144")):
        more = ["--steps", steps, "--checkpoint-every", "50", "--out", str(tmp_path / folder)]
        if (folder, steps) == ("parts", "144"):  # in another process
            command = [sys.executable, "-m", "bagged_envs.cli", "train", *words, *more]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        else:
            assert cli.main(["train", *words, *more]) == 0
    whole, parts = (checkpoint.load(tmp_path / name / "checkpoint.pt") for name in ("whole", "parts"))
    assert fingerprint(whole["training"]) == fingerprint(parts["training"])
    assert [row["step"] for row in whole["rows"]] == [row["step"] for row in parts["rows"]] == [72, 108]
    assert [row["return"] for row in whole["rows"]] == [row["return"] for row in parts["rows"]]
    assert json.loads((tmp_path / "whole" / "run.json").read_text())["config"]["worlds"] == 2


def test_checkpoints_and_evaluations_come_when_their_step_is_passed(tmp_path):
    steps, saved = [], []

    def report(step, row):
        steps.append((step, row is not None))
        file = tmp_path / "checkpoint.pt"
        saved.append(checkpoint.load(file)["training"]["counts"]["total_steps"] if file.exists() else 0)

    run = Run(method("uniform-ippo"), ID, ARGUMENTS, SMALL)
    rows = train(run, tmp_path, 170, checkpoint_every=100, report=report)
    assert steps == [(36, False), (72, True), (108, True), (144, False), (180, True)]
    assert saved == [0, 0, 0, 108, 108]
    assert [row["step"] for row in rows] == [72, 108, 180]
    assert checkpoint.load(tmp_path / "checkpoint.pt")["training"]["counts"]["total_steps"] == 180


def test_seeds_decide_everything():
    one, same, other = (after(training(seed=seed), 72) for seed in (1, 1, 2))
    assert fingerprint(one.state_dict()) == fingerprint(same.state_dict())
    assert fingerprint(one.learner.state_dict()) != fingerprint(other.learner.state_dict())


def test_agents_get_equal_parts_of_the_episodes_reward_from_uniform():
    one = training("uniform-ippo")
    seen = learned(one)
    one.step()
    labels = one.store._ring.bags["label"][one.store._ring.queues["bags"].all()]
    shares = np.repeat(labels / (9 * 3), 9)  # nine steps and three agents
    assert len(labels) == 4
    assert seen[0].rewards.tolist() == pytest.approx(np.tile(shares, 3).tolist(), rel=1e-6)
    assert seen[0].observations.shape == (4 * 9 * 3, 26)


def test_the_oracle_gives_agents_their_own_rewards():
    one = training("oracle-ippo")
    seen, told, play = learned(one), [], one._worlds.play
    one._worlds.play = lambda *given: told.extend(play(*given)) or told
    one.step()
    own = np.concatenate([episode.extras["agent_rewards"][1:] for episode in told])  # [N, A]
    assert seen[0].rewards.tolist() == pytest.approx(own.T.flatten().tolist(), rel=1e-6)
    assert not np.allclose(own[:, 0], own[:, 1])
    paid = sum(episode.rewards.sum() for episode in told)
    assert own.sum() == pytest.approx(paid)
    assert one._means.take()["training/paid"] == pytest.approx(paid / 4)


def test_the_oracle_gives_shares_of_the_mean_where_that_is_what_is_paid():
    one = training("oracle-ippo", arguments={**ARGUMENTS, "team_reward": "mean"})
    seen, told, play = learned(one), [], one._worlds.play
    one._worlds.play = lambda *given: told.extend(play(*given)) or told
    one.step()
    assert sum(seen[0].rewards.tolist()) == pytest.approx(
        sum(float(episode.rewards.sum()) for episode in told), rel=1e-5
    )


def test_only_the_oracle_is_shown_dense_rewards():
    one = training("uniform-ippo")
    (episode, *_) = one._worlds.play(one._explore, 1)
    assert set(episode.extras) == {"alive"}


def test_the_redistributor_is_updated_as_often_as_its_schedule_says_for_so_many_steps():
    one, seen = training("rd-ippo"), []
    one._driver._cadence = Cadence(Schedule(every=10, updates=2, warm_up=40))
    one.redistributor.update = lambda batch: seen.append((one.total_steps, batch.mask.shape[2])) or {"loss": 2.0}
    batches = learned(one)
    paid = [one.fitted]
    for _ in range(3):
        one.step()
        paid.append(one.fitted)
    assert seen == [(72, 3)] * 8 + [(108, 3)] * 6  # at 40, 50, 60 and 70; at 80, 90 and 100
    assert paid == [False, False, True, True]
    assert np.count_nonzero(batches[0].rewards) == 4 * 3  # as paid, in the last steps
    assert np.count_nonzero(batches[1].rewards) == 4 * 3 * 9


def test_rewards_of_the_fresh_episodes_are_those_of_now():
    one = after(training("rd-ippo"), 72)
    seen = learned(one)
    one.step()
    fresh = np.flatnonzero(one.store._ring.rows["bag"] >= 0)[-36:]
    expected = one.redistributor.relabel(one.store.steps(fresh))[:, 0]
    assert torch.equal(seen[0].rewards, expected.T.flatten())
    assert expected.unique().numel() > 50


def test_qmix_plays_one_round_at_a_time_unless_it_is_told_otherwise():
    default = Run(method("uniform-qmix"), ID, ARGUMENTS, TrainingConfig(evaluate_every=7)).config
    assert (default.worlds, default.rollout, default.evaluate_every) == (8, 1, 7)
    assert Run(method("uniform-qmix"), ID, ARGUMENTS, TeamConfig(worlds=5)).config == TeamConfig(worlds=5)
    one = training("uniform-qmix", config=None)
    one.step()
    assert (one.episodes, one.total_steps) == (8, 72)


@pytest.mark.parametrize("name", REDISTRIBUTORS)
def test_every_redistributor_gives_qmix_the_teams_rewards(name):
    """Once it is fitted, those of labeled bags add up to the label where the redistributor promises that."""
    one, seen = training(f"{name}-qmix"), []
    update = one.learner.update
    one.learner.update = lambda batch: seen.append(batch) or update(batch)
    after(one, 72)
    assert (one.updates, one.fitted) == (8, True)
    found, labels = seen[-1].rewards.sum(dim=1), one.store._ring.bags["label"][one.store._ring.queues["bags"].all()]
    assert found.isfinite().all()
    if one.redistributor.exact:
        assert all(np.isclose(labels, total, rtol=1e-5, atol=1e-4).any() for total in found.numpy())


def test_the_oracle_gives_qmix_the_sum_of_the_agents_own_rewards():
    one = training("oracle-qmix")
    seen, told, play = learned(one), [], one._worlds.play
    one._worlds.play = lambda *given: told.extend(play(*given)) or told
    one.step()
    own = {tuple(episode.extras["agent_rewards"][1:].sum(axis=1).round(3)) for episode in told}
    assert {tuple(row.numpy().astype(float).round(3)) for row in seen[0].rewards} <= own
    assert len(own) == 4


def test_qmix_explores_less_with_every_step_and_not_at_all_when_evaluated():
    one, epsilons = training("uniform-qmix"), []
    act = one.learner.act
    one.learner.act = lambda *given: epsilons.append(round(given[-1], 4)) or act(*given)
    after(one, 72)
    assert sorted(set(epsilons), reverse=True) == [1.0, 0.829, 0.0]  # 36 of 200 steps, and evaluation
    assert one.evaluate(3, SEEDS) == one.evaluate(3, SEEDS)


def test_qmix_is_not_updated_before_there_are_enough_episodes(tmp_path):
    one = training("uniform-qmix", batch=9)
    updates = []
    for _ in range(3):
        one.step()
        updates.append(one.updates)
    assert updates == [0, 0, 4]
    message = "learner.batch=9 episodes must be stored first, and 4 are: train for more, lower it, or raise"
    with pytest.raises(RuntimeError, match=f"nothing was learned in 36 steps: {message} training.capacity"):
        train(Run(method("uniform-qmix", batch=9), ID, ARGUMENTS, SMALL), tmp_path, 30)


def test_the_learning_rate_of_qmix_goes_to_zero():
    one, rates = training("uniform-qmix", config=replace(SMALL, decay_steps=72)), []
    for _ in range(3):
        one.step()
        rates.append(one.learner.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([5e-4, 2.5e-4, 0.0])


@pytest.mark.parametrize("name", REDISTRIBUTORS)
def test_every_redistributor_gives_agents_rewards(name):
    one, seen = training(f"{name}-ippo"), []
    update = one.learner.update
    one.learner.update = lambda batch: seen.append(batch) or update(batch)
    after(one, 72)
    assert (one.updates, one.fitted) == (2, True)
    assert [len(batch.rewards) for batch in seen] == [36 * 3] * 2
    assert seen[1].rewards.isfinite().all()
    assert seen[1].rewards.any()


def test_a_redistributor_of_factors_has_the_tasks_own_for_each_agent():
    one = after(training("lare_rd-ippo"), 72)
    assert one.redistributor.factors.program.origin == "CooperativeNavigation"
    assert one.store._ring.rows["factors"].shape[1:] == (3, one.redistributor.factors.size)


def test_evaluation_plays_the_dense_task_with_seeds_of_its_own():
    one, seeds, drawn = training("uniform-ippo"), [], []
    reset, begin = one._evaluation_envs.reset, one._worlds.envs.reset
    one._evaluation_envs.reset = lambda seed: seeds.append(seed) or reset(seed=seed)
    one._worlds.envs.reset = lambda seed: drawn.extend(seed) or begin(seed=seed)
    told = list(one.run(180))
    assert [progress.step for progress in told] == [72, 108, 180]
    assert [len(progress.evaluation.returns) for progress in told] == [3, 3, 3]
    begun = np.array(seeds).reshape(3, 2)  # two worlds, so two rounds for three episodes
    assert np.diff(begun, axis=0).tolist() == [[3, 3], [3, 3]]
    assert begun.min() >= SEEDS > max(drawn)
    assert begun.max() + 2 < 2**31
    assert len(set(drawn)) == len(drawn) == 20


def test_evaluation_takes_the_likeliest_actions():
    one = training("uniform-ippo")
    assert one.evaluate(3, SEEDS) == one.evaluate(3, SEEDS)
    observations, _ = one._worlds.envs.reset(seed=0)
    outputs = one.learner.policy(torch.from_numpy(observations.reshape(-1, 26)))
    act = one._practice.begin(explore=False)
    assert act(observations, {}).tolist() == outputs.argmax(dim=1).reshape(2, 3).tolist()


def test_the_critic_of_mappo_sees_all_agents():
    one = training("uniform-mappo")
    seen = learned(one)
    one.step()
    assert one.learner.critic_size == 3 * 26 + 3
    assert seen[0].critic_observations.shape == (4 * 9 * 3, 3 * 26 + 3)
    assert seen[0].critic_observations[:36, :26].equal(seen[0].observations[:36])


FINITE = replace(SMALL, finite_horizon=True)


@pytest.mark.parametrize(("name", "agents_seen"), [("uniform-ippo", 1), ("uniform-mappo", 3)])
def test_with_a_finite_horizon_nothing_is_valued_after_the_limit_and_critics_see_the_time(name, agents_seen):
    one, plain = training(name, config=FINITE), training(name)
    seen, endless = learned(one), learned(plain)
    one.step()
    plain.step()
    (timed,), (untimed,) = seen, endless
    assert torch.equal(timed.terminated, timed.last.float())
    assert not untimed.terminated.any()
    size = timed.observations.shape[1] * agents_seen + (agents_seen if agents_seen > 1 else 0)
    assert timed.critic_observations.shape[1] == one.learner.critic_size == size + 1
    assert timed.critic_observations[:9, -1].tolist() == pytest.approx([step / 9 for step in range(9)])
    assert timed.next_critic_observations[8, -1].item() == 1.0


def test_with_a_finite_horizon_qmix_values_nothing_after_the_limit():
    batches = []
    for config in (FINITE, SMALL):
        one = training("uniform-qmix", config=config)
        batches.append(learned(one))
        after(one, 108)
    finite, endless = (found[0] for found in batches)
    assert finite.terminated.sum(dim=1).tolist() == [1.0] * len(finite.terminated)
    assert not endless.terminated.any()


@pytest.fixture
def endless_id():
    """A team's ID without a time limit."""
    gym.register("test/Endless-v0", entry_point=lambda: JointEnv(TwoStep()))
    ids = bagged_envs.register_task("test/Endless-v0", name="Endless", reward_info_keys=("agent_rewards",))
    yield "EpisodicEndless-v0"
    for id in (*ids, "test/Endless-v0"):
        del gym.registry[id]
    del TASKS["Endless"]


@pytest.mark.parametrize("name", ["uniform-ippo", "uniform-qmix"])
def test_a_finite_horizon_needs_a_limit(name, endless_id):
    training(name, id=endless_id, arguments={}).close()
    with pytest.raises(ValueError, match="finite_horizon=True needs a time limit, and EpisodicEndless-v0 has none"):
        training(name, id=endless_id, arguments={}, config=FINITE)


@pytest.mark.parametrize("name", TEAM_LEARNERS)
def test_an_unused_setting_is_refused(name):
    for setting in ("batch_size", "random_steps", "updates"):
        with pytest.raises(ValueError, match=f"{setting}=7 .* use .*learner"):
            training(f"uniform-{name}", config=replace(SMALL, **{setting: 7}))


def test_learning_rate_and_clip_go_to_zero():
    one, rates = training("uniform-ippo", config=replace(SMALL, decay_steps=100)), []
    update = one.learner.update
    one.learner.update = lambda batch: rates.append(one.learner.optimizer.param_groups[0]["lr"]) or update(batch)
    after(one, 144)
    assert rates == pytest.approx([3e-4, 3e-4 * 0.64, 3e-4 * 0.28, 0.0])


def test_continuous_actions():
    arguments = {"max_episode_steps": 5, "continuous_actions": True}
    one = training("uniform-ippo", "EpisodicSimpleSpread-v0", arguments=arguments)
    one.step()
    assert one.learner.choice.size == 5
    assert one.updates == 1


def test_settings_of_a_single_run_get_a_teams_own():
    run = Run(method("uniform-ippo"), ID, ARGUMENTS, TrainingConfig(rollout=30))
    assert run.config == TeamConfig(rollout=30)
    assert team_config(TrainingConfig(), "ippo") == team_config(None, "mappo") == TeamConfig()
    assert Run(Method("uniform", "ppo"), ID, ARGUMENTS).config == TrainingConfig()
    assert TEAM_LEARNERS == ("ippo", "mappo", "qmix")
    assert (LEARNERS["ippo"].config.entropy_weight, IPPO_PAPER.discount, IPPO_PAPER.clip) == (0.01, 1.0, 0.5)


@pytest.mark.parametrize(
    ("name", "id", "arguments", "message"),
    [
        ("uniform-ippo", "EpisodicHopper-v0", {}, "ippo trains the agents of a team, and EpisodicHopper-v0 has one"),
        ("uniform-mappo", "EpisodicSimpleSpeakerListener-v0", {}, "mappo needs several agents with equal spaces, got"),
        ("uniform-ippo", "EpisodicSimpleTag-v0", {"team": "agents"}, "ippo needs several agents .*: name another team"),
        ("uniform-qmix", "EpisodicHopper-v0", {}, "qmix trains the agents of a team, and EpisodicHopper-v0 has one"),
        ("uniform-qmix", "EpisodicSimpleSpeakerListener-v0", {}, "qmix needs several agents with equal spaces, got"),
        ("uniform-ippo", ID, {"max_episode_steps": 300}, "capacity must hold the longest episode, which may have 300"),
    ],
)
def test_what_is_no_team_is_refused(name, id, arguments, message):
    with pytest.raises(ValueError, match=message):
        training(name, id, arguments=arguments)


@pytest.mark.parametrize(
    ("id", "arguments", "longest"),
    [
        (ID, {"num_agents": 3, "max_episode_steps": 9}, 9),
        ("BaggedCooperativeNavigation-v0", {"max_episode_steps": 9, "bag_len": (2, 7)}, 7),
    ],
)
def test_bags_that_are_too_long_to_be_read_are_refused_before_any_is_played(id, arguments, longest):
    def of(most):
        return Method.named("stas-ippo", {**SETTINGS["stas"], "max_length": most}, TEAM["ippo"])

    message = f"max_length must be the steps of the longest bag, {longest} in {id}, got {longest - 1}: raise it"
    with pytest.raises(ValueError, match=message):
        TeamTraining(of(longest - 1), id, arguments, SMALL, seed=0)
    TeamTraining(of(longest), id, arguments, SMALL, seed=0).close()


def test_a_learner_of_single_controllers_is_refused():
    with pytest.raises(ValueError, match="the learner of a team must be one of 'ippo', 'mappo', 'qmix', got 'ppo'"):
        TeamTraining("uniform-ppo", ID, ARGUMENTS, SMALL, seed=0)


def test_qmix_refuses_continuous_actions():
    arguments = {"max_episode_steps": 5, "continuous_actions": True}
    with pytest.raises(TypeError, match="action_space must be MultiDiscrete, .* use ippo or mappo for continuous ones"):
        training("uniform-qmix", "EpisodicSimpleSpread-v0", arguments=arguments)


@pytest.mark.parametrize("name", ["uniform-ippo", "uniform-qmix"])
def test_several_steps_as_one_are_refused(name):
    with pytest.raises(ValueError, match="n_step=3 is for one controller's off-policy learner: use n_step=1 with"):
        Run(method(name), ID, ARGUMENTS, TeamConfig(n_step=3))


def test_training_of_one_controller_refuses_learners_of_teams():
    with pytest.raises(ValueError, match="ippo trains the agents of a team: use TeamTraining, or name ppo"):
        Training("uniform-ippo", ID, seed=0)


def test_a_run_without_a_labeled_bag_says_so(tmp_path):
    arguments = {**ARGUMENTS, "label_fraction": 1e-9}
    run = Run(method("labels_only-ippo"), "PartiallyLabeledCooperativeNavigation-v0", arguments, SMALL)
    with pytest.raises(RuntimeError, match="nothing was learned in 36 steps: none of 36 bags was labeled"):
        train(run, tmp_path, 30)


def test_a_setting_of_teams_is_none_of_a_single_controllers(capsys):
    assert cli.main(["train", "uniform-td3", "EpisodicHopper-v0", "training.worlds=4"]) != 0
    assert "A setting of training must be one of" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.parametrize("name", ["oracle-ippo", pytest.param("oracle-mappo", marks=pytest.mark.slow)])
def test_agents_learn_to_come_nearer_and_not_to_bump(name):
    config = TeamConfig(worlds=64, rollout=1600, evaluate_every=10**9)
    fast = Method.named(name, None, {"learning_rate": 1e-3})
    one = TeamTraining(fast, ID, {"num_agents": 3}, config, seed=0)
    paid = []
    for _ in range(6):
        one.step()
        paid.append(one._means.take()["training/paid"])
    assert paid[-1] > paid[0] + 10  # with deviations of about 2


@pytest.mark.slow
def test_qmix_learns_to_come_nearer_and_not_to_bump():
    fast = Method.named("oracle-qmix", None, {"learning_rate": 1e-3, "epsilon_steps": 6000})
    one = TeamTraining(fast, ID, {"num_agents": 3}, seed=0)
    (before, *_, after) = [progress.evaluation.mean for progress in one.run(15_000)]
    assert after > before + 10


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["uniform-ippo", "rrd-mappo", "rudder-ippo", "rrd-qmix", "rudder-qmix"])
def test_networks_on_a_gpu(name):
    one = after(TeamTraining(method(name), ID, ARGUMENTS, SMALL, seed=3, device="cuda"), 108)
    assert one.updates == (12 if name.endswith("qmix") else 3)
    assert {parameter.device.type for group in one.learner.optimizer.param_groups for parameter in group["params"]} == {
        "cuda"
    }
