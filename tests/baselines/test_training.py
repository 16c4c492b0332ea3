"""The training loop: who learns from what and when, and that a run which is stopped goes on to the bit."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch

import bagged_envs
from bagged_envs.baselines import checkpoint
from bagged_envs.baselines.api import Schedule
from bagged_envs.baselines.checkpoint import CheckpointError, fingerprint
from bagged_envs.baselines.driving import Cadence
from bagged_envs.baselines.player import SEEDS
from bagged_envs.baselines.redistributors import REDISTRIBUTORS
from bagged_envs.baselines.training import Training, TrainingConfig
from tests.baselines.runs import ARGUMENTS, ID, SMALL, after, method, training

METHODS = [*(f"{name}-td3" for name in REDISTRIBUTORS), "rrd-sac", "identity-ddpg"]
METHODS += [f"{name}-ppo" for name in ("identity", "uniform", "rrd", "rudder")]
# One for each way in which rewards come to learners, and all of them in `make slow`.
QUICK = ("identity-td3", "rrd-td3", "rbt-td3", "rudder-td3", "lare_rd-td3", "rrd-sac", "rudder-ppo")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in METHODS]
)
def test_a_run_that_was_stopped_in_mid_episode_goes_on_to_the_bit(name, tmp_path):
    config = replace(SMALL, random_steps=95)  # updates are the most work, and a few are as good as many
    whole = after(training(name, config=config), 170)
    first = after(training(name, config=config), 111)
    checkpoint.save(tmp_path / "checkpoint.pt", first.state_dict())
    second = training(name, config=config)
    second.load_state_dict(checkpoint.load(tmp_path / "checkpoint.pt"))
    assert fingerprint(second.state_dict()) == fingerprint(first.state_dict())
    after(second, 170)
    assert fingerprint(second.state_dict()) == fingerprint(whole.state_dict())
    assert whole.updates > first.updates > 0
    assert len(first._player.episode.actions) > 0


def test_random_actions_go_on_where_they_were():
    config = replace(SMALL, random_steps=100)
    one, other = after(training(config=config), 50), training(config=config)
    other.load_state_dict(one.state_dict())
    assert fingerprint(after(one, 90).state_dict()) == fingerprint(after(other, 90).state_dict())


def test_only_the_oracle_is_shown_dense_rewards():
    for name in ("oracle-td3", "uniform-td3"):
        one = after(training(name), 60)
        assert one.store._ring.rows["dense"].any() == (name == "oracle-td3")


def test_an_observation_that_differs_when_an_episode_is_played_again_is_found():
    one = after(training(), 30)
    state = one.state_dict()
    for key in (-1, 0):  # what was seen last, and what is done first
        changed = {**state["parts"]["player"]}
        if key:
            changed["observation"] = changed["observation"] + 1e-9
        else:
            changed["actions"] = [changed["actions"][0] * 0.5, *changed["actions"][1:]]
        with pytest.raises(CheckpointError, match="differs when it is played again: seed and actions must decide"):
            training().load_state_dict({**state, "parts": {**state["parts"], "player": changed}})
    longer = {**state["parts"]["player"], "actions": [*state["parts"]["player"]["actions"]] * 9}
    with pytest.raises(CheckpointError, match="ends earlier when it is played again"):
        training().load_state_dict({**state, "parts": {**state["parts"], "player": longer}})


@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        (-1, ValueError, "seed must be an int from 0 to .* got -1"),
        (1.0, TypeError, "seed must be an int from 0 to .* got 1.0"),
    ],
)
def test_a_seed_that_is_none_is_refused_by_name(seed, error, message):
    with pytest.raises(error, match=message):
        training(seed=seed)


def test_a_capacity_below_the_horizon_is_refused_before_anything_is_played():
    message = (
        "capacity must hold the longest episode, which may have 23 steps in BaggedHopper-v0, got 22: raise training"
    )
    with pytest.raises(ValueError, match=message):
        training(config=replace(SMALL, capacity=22))
    assert training(config=replace(SMALL, capacity=23)).store.capacity == 23


def test_seeds_decide_everything():
    one, same, other = (after(training(seed=seed), 100).state_dict() for seed in (1, 1, 2))
    assert fingerprint(one) == fingerprint(same)
    assert fingerprint(one["parts"]["learner"]) != fingerprint(other["parts"]["learner"])
    assert not np.array_equal(one["parts"]["player"]["observation"], other["parts"]["player"]["observation"])


def batches(one):
    """What the learner is updated with from now on, which moves nothing."""
    seen = []
    one.learner.update = lambda batch: seen.append(batch) or {"loss": 1.0}
    return seen


def true_rewards(one, batch, of):
    """What the stored steps with these observations should be paid."""
    rows = one.store._ring.rows
    found = []
    for observation in batch.observations.numpy():
        (index,) = np.flatnonzero((rows["observations"][:, 0] == observation).all(axis=1) & (rows["bag"] >= 0))
        found.append(of(one, index))
    return torch.tensor(found)


def equal_share(one, index):
    bags, bag = one.store._ring.bags, one.store._ring.rows["bag"][index]
    return float(np.float32(np.float64(bags["label"][bag]) / bags["length"][bag]))


def dense(one, index):
    return float(one.store._ring.rows["dense"][index, 0])


def stored(one, index):
    return float(one.store._ring.rows["relabeled"][index, 0])


@pytest.mark.parametrize(("name", "of"), [("uniform", equal_share), ("oracle", dense), ("rudder", stored)])
def test_the_learner_is_paid_what_the_redistributor_says(name, of):
    one = after(training(f"{name}-td3"), 100)
    seen = batches(one)
    for _ in range(10):
        one.step()
        assert torch.equal(seen[-1].rewards, true_rewards(one, seen[-1], of))
        assert seen[-1].rewards.unique().numel() > 4
    assert len(seen) == 10
    assert {len(batch.rewards) for batch in seen} == {SMALL.batch_size}


def test_rewards_of_a_network_are_those_of_now():
    one = after(training("rrd-td3"), 100)
    seen = batches(one)
    one.step()
    indices = one.store.sample_steps(5, np.random.default_rng(0))
    assert torch.equal(
        one.store.relabel(one.redistributor, indices), one.redistributor.relabel(one.store.steps(indices))[:, 0]
    )
    assert seen[-1].rewards.unique().numel() > 4


def calls(one):
    """When the redistributor is updated from now on, which learns nothing."""
    seen = []
    one.redistributor.update = lambda batch: seen.append((one.total_steps, batch)) or {"loss": 2.0}
    return seen


def follow(one, schedule):
    one._driver._cadence = Cadence(schedule)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Schedule(every=7, updates=2, warm_up=40), [42, 42, 49, 49, 56, 56]),
        (Schedule(every=10, updates=1, warm_up=50, first=3), [50, 50, 50, 60]),
        (Schedule(every=10, updates=2, warm_up=50, first=None), [50, 50, 60, 60]),
        (Schedule(every=20, updates=1, warm_up=0), [40, 60]),  # at 20 no episode has ended
    ],
)
def test_the_redistributor_is_updated_when_its_schedule_says(schedule, expected):
    one = training("rd-td3")
    follow(one, schedule)
    seen = calls(one)
    after(one, 60)
    assert [step for step, _ in seen] == expected
    assert {batch.num_bags for _, batch in seen} == {4}


def test_stored_rewards_follow_bursts_and_new_episodes_at_once():
    one = training("rudder-td3")
    versions = []
    while one.total_steps < 150:
        one.step()
        versions.append(one.store.version)
        if one.store.version:
            steps = one.store.sample_steps(100, np.random.default_rng(one.total_steps))
            assert set(one.store.stored_versions(steps)) == {one.store.version}
    assert versions[28:31] == [0, 1, 1]
    assert versions[-1] == 5


def test_stored_rewards_are_renewed_in_turn():
    one = training("rudder-td3")
    one.redistributor.schedule = Schedule(every=100, refresh=15)
    follow(one, one.redistributor.schedule)
    after(one, 300)
    renewed = one.store.stored_versions(one.store.sample_steps(4000, np.random.default_rng(0)))
    assert set(renewed) == {1, 2, 3}


@pytest.mark.parametrize("name", ["rudder-td3", "rrd-td3"])
def test_a_learner_waits_for_the_first_updates(name):
    one = training(name, config=replace(SMALL, random_steps=0))
    follow(one, Schedule(every=50))
    after(one, 49)
    assert (one.updates, one.store.num_bags > 0) == (0, True)
    assert after(one, 50).updates == 1


def test_the_first_steps_are_random_and_nothing_is_learned_from_them_before_they_are_over():
    one = after(training(config=replace(SMALL, random_steps=80)), 79)
    assert one.updates == 0
    assert after(one, 80).updates == 1
    actions = one.store._ring.rows["actions"][:60, 0]
    assert abs(actions.mean()) < 0.15
    assert 0.5 < actions.std() < 0.65  # of a uniform one in [-1, 1] it is 0.577
    assert actions.dtype == np.float32


def test_several_updates_per_step():
    assert after(training(config=replace(SMALL, random_steps=30, updates=3)), 39).updates == 30


def test_labels_only_lets_the_learner_see_labeled_bags_only():
    config = replace(SMALL, random_steps=30)
    arguments = {"label_fraction": 0.2, "bag_len": 1}
    one = after(training("labels_only-td3", "PartiallyLabeledHopper-v0", config, arguments=arguments), 100)
    seen = batches(one)
    after(one, 120)
    labeled = one.store._ring.bags["labeled"]
    assert 0 < labeled.sum() < 60
    for batch in seen:
        assert true_rewards(one, batch, lambda one, index: float(labeled[one.store._ring.rows["bag"][index]])).all()


def test_evaluation_plays_the_dense_task_with_seeds_of_its_own():
    one = training(config=replace(SMALL, evaluation_episodes=3))
    seeds = []
    reset = one._evaluation_env.reset
    one._evaluation_env.reset = lambda seed: seeds.append(seed) or reset(seed=seed)
    drawn = []
    begin = one._player._begin
    one._player._begin = lambda seed: drawn.append(seed) or begin(seed)
    told = list(one.run(120))
    assert [progress.step for progress in told] == [40, 80, 120]
    assert seeds == list(range(seeds[0], seeds[0] + 9))
    assert min(seeds) >= SEEDS > max(drawn)
    assert max(seeds) < 2**31
    env = bagged_envs.dense("BaggedHopper-v0", max_episode_steps=23)
    total, ended = 0.0, False
    observation, _ = env.reset(seed=seeds[-1])
    while not ended:
        features = torch.as_tensor(observation, dtype=torch.float32)[None]
        observation, reward, terminated, truncated, _ = env.step(one.learner.act(features, False)[0].numpy())
        total, ended = total + reward, terminated or truncated
    assert told[-1].evaluation.returns[-1] == pytest.approx(total, rel=1e-12)


def test_progress_has_the_means_since_the_last_evaluation():
    one = training("rd-td3")
    one.redistributor.update = lambda batch: {"loss": float(one.total_steps)}
    follow(one, Schedule(every=20))
    told = list(one.run(80))
    assert told[1].means["redistributor/loss"] == 70.0
    assert set(told[1].means) == {"redistributor/loss", "training/paid", "learner/critic_loss", "learner/policy_loss"}
    paid = one.store._ring.bags["label"]
    sums = [progress.means["training/paid"] for progress in told]
    episodes = [told[0].episodes, told[1].episodes - told[0].episodes]
    assert np.dot(sums, episodes) == pytest.approx(paid.sum(), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "id"),
    [("uniform-ppo", "EpisodicKeyDoor-v0"), ("rrd-ppo", "BaggedTraceBack-v0"), ("uniform-ppo", "BaggedHiddenDoor-v0")],
)
def test_discrete_tasks_of_ppo(name, id):
    arguments = {"max_episode_steps": 23, "bag_len": None}
    if id.startswith("Bagged"):
        arguments["bag_len"] = 4
    one = after(training(name, id, arguments=arguments), 120)
    assert one.updates == 2
    assert np.isfinite(one.evaluate(2, SEEDS).mean)


def test_unbounded_or_discrete_actions_are_refused_by_their_learner():
    with pytest.raises(TypeError, match="action_space must be a Box of floats"):
        Training("rrd-td3", "BaggedKeyDoor-v0", seed=0)


@pytest.mark.parametrize(
    ("id", "message"), [("Hopper-v5", "got 'Hopper-v5'. Did you mean"), ("KeyDoor-v0", "is dense and has no schedule")]
)
def test_an_id_without_a_delay_is_refused(id, message):
    with pytest.raises((ValueError, gymnasium.error.Error), match=message):
        Training("rrd-td3", id, seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"batch_size": 0}, "batch_size must be an int"), ({"random_steps": -1}, "random_steps must be at least 0")],
)
def test_settings_that_cannot_be_meant_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**settings)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", METHODS)
def test_networks_on_a_gpu(name):
    made = Training(method(name), ID, ARGUMENTS, SMALL, seed=3, device="cuda")
    one = after(made, 100)
    assert one.updates > 0
    assert {tensor.device.type for tensor in weights(one.learner.state_dict())} == {"cuda"}


def weights(state):
    """The tensors of a state that are trained."""
    values = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else []
    found = [state] if isinstance(state, torch.Tensor) and state.is_floating_point() and state.ndim > 0 else []
    return found + [tensor for value in values for tensor in weights(value)]
