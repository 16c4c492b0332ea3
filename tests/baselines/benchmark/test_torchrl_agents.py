"""TorchRL's SAC as an agent: what it collects, when it learns, and what it logs."""

import gymnasium as gym
import numpy as np
import pytest
import torch

pytest.importorskip("torchrl")

from bagged_envs.baselines.benchmark.torchrl_agents import sac

ID = "BaggedInvertedPendulum-v0"
SMALL = {"hidden": (8, 8), "batch_size": 16, "capacity": 200, "random_steps": 40, "steps_per_batch": 20}
RRD = {"name": "rrd", "warm_up": 20, "every": 10, "updates": 1}

pytestmark = pytest.mark.filterwarnings("ignore")


def made(redistributor=None, **changes):
    env = gym.make(ID, disable_env_checker=True, bag_len=10, max_episode_steps=25)
    return sac(env, 0, redistributor, **{**SMALL, **changes})


def test_it_makes_whole_batches_and_logs_every_episode():
    agent = made()
    agent.learn(50)
    assert len(agent.buffer) == 60
    collected = agent.buffer[:]
    ends = collected["next", "done"].flatten()
    assert len(agent.returns) == ends.sum() > 1
    assert sum(agent.returns) == pytest.approx(collected["next", "reward"][: ends.nonzero()[-1] + 1].sum().item())


def test_a_time_limit_is_no_terminal_state():
    agent = sac(gym.make("BaggedReacher-v0", max_episode_steps=4), 0, **SMALL)  # it never terminates
    agent.learn(40)
    collected = agent.buffer[:]["next"]
    assert collected["truncated"].flatten().tolist() == [False, False, False, True] * 10
    assert collected["done"].tolist() == collected["truncated"].tolist()
    assert not collected["terminated"].any()


def test_it_learns_from_the_random_steps_on_once_per_step():
    agent, counted = made(), []
    update = agent._update
    agent._update = lambda: counted.append(len(agent.buffer)) or update()
    before = [parameter.clone() for parameter in agent.loss.parameters()]
    agent.learn(80)
    assert counted == [40] * 20 + [60] * 20 + [80] * 20
    moved = [not torch.equal(old, new) for old, new in zip(before, agent.loss.parameters(), strict=True)]
    assert len(moved) > 10
    assert all(moved)  # policy, critics and temperature


def test_targets_follow_the_critics():
    agent = made(polyak=0.75, steps_per_batch=40)
    agent.learn(40)
    (old,) = [agent.loss.target_qvalue_network_params.flatten_keys().clone()]
    agent._update()
    new = agent.loss.qvalue_network_params.flatten_keys()
    for name, target in agent.loss.target_qvalue_network_params.flatten_keys().items():
        torch.testing.assert_close(target, 0.75 * old[name] + 0.25 * new[name].detach())


def test_its_best_action_is_one_and_within_bounds():
    agent = made()
    agent.learn(60)
    observations = np.random.default_rng(0).normal(size=(20, 4)) * 10
    actions = [[agent.act(observation).tolist() for observation in observations] for _ in range(2)]
    assert actions[0] == actions[1]
    assert np.unique(actions[0]).size > 5
    assert np.abs(actions[0]).max() <= 3.0


@pytest.mark.long
def test_redistributed_rewards_come_before_the_bag_ends():
    rewards = {}
    for name, given in {"paid": None, "learned": RRD}.items():
        agent = made(given)
        agent.learn(60)
        rewards[name] = agent.buffer[30:]["next", "reward"]
    assert (rewards["paid"] == 0.0).sum() > 20
    assert (rewards["learned"] != 0.0).sum() > 28


def test_doubles_are_taken_as_floats():
    env = gym.make("BaggedCheetahRun-v0", disable_env_checker=True, max_episode_steps=30)
    assert env.action_space.dtype == np.float64
    agent = sac(env, 0, **SMALL)
    agent.learn(60)
    assert len(agent.returns) == 2
    assert agent.act(env.observation_space.sample()).dtype == np.float32


def test_discrete_actions_are_refused():
    with pytest.raises(TypeError, match=r"env must have a Box of actions, got Discrete\(\d+\): take an agent with"):
        sac(gym.make("BaggedKeyDoor-v0"), 0)


def test_a_setting_that_is_none():
    with pytest.raises(TypeError, match="hiden"):
        made(hiden=3)


def test_settings_reach_what_they_are_of():
    agent = made(discount=0.5, learning_rate=0.125)
    assert agent.loss.value_estimator.gamma.item() == 0.5
    groups = agent._optimizer.param_groups
    assert {group["lr"] for group in groups} == {0.125}
    assert sum(len(group["params"]) for group in groups) == len(list(agent.loss.parameters()))
    assert (agent.buffer.batch_size, agent.buffer.storage.max_size) == (16, 200)
