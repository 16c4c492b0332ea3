"""TD3 in one file: its target by literal numbers, what it stands on, and that the file goes alone."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from bagged_envs.baselines.benchmark import single_file
from bagged_envs.baselines.benchmark.single_file import TD3
from bagged_envs.baselines.benchmark.single_file_agents import td3
from bagged_envs.baselines.learned_reward import LearnedReward

ID = "BaggedInvertedPendulum-v0"  # four numbers to observe, one to act with, in [-3, 3]
SMALL = {"hidden": 8, "batch_size": 16, "buffer_size": 100, "learning_starts": 20}


def made(**changes):
    return TD3(gym.wrappers.RecordEpisodeStatistics(gym.make(ID, bag_len=3)), 0, **{**SMALL, **changes})


def fill(agent, reward, terminated):
    for _ in range(50):
        agent.buffer.add(np.zeros(4), agent.env.action_space.sample(), reward, terminated, np.zeros(4))


def constant(network, *values):
    """Make networks say the same whatever they see."""
    for body, value in zip(network, values, strict=True):
        for parameter in body.parameters():
            torch.nn.init.zeros_(parameter)
        torch.nn.init.constant_(body[-1].bias, value)


class TestUpdates:
    def test_the_target_is_the_lesser_value_where_the_episode_goes_on(self):
        agent = made(gamma=0.5)
        constant(agent.target_critics.bodies, 8.0, 4.0)
        reward, terminated = torch.tensor([[1.0], [1.0]]), torch.tensor([[0.0], [1.0]])
        assert agent.target(reward, terminated, torch.zeros(2, 4)).tolist() == [[3.0], [1.0]]  # 1 + 0.5 * 4, and 1

    def test_it_is_of_the_target_policy_with_clipped_noise_within_bounds(self):
        agent, seen = made(gamma=1.0, policy_noise=100.0, noise_clip=0.25), []
        agent.target_critics.forward = lambda observation, action: seen.append(action) or torch.zeros(len(action), 2)
        for bias in (0.0, 20.0):  # actions 0 and 3
            constant([agent.target_actor.body], bias)
            agent.target(torch.zeros(64, 1), torch.zeros(64, 1), torch.zeros(64, 4))
        middle, edge = (actions.flatten().tolist() for actions in seen)
        assert {round(action, 2) for action in middle} >= {-0.75, 0.75}  # a quarter of half the range
        assert max(map(abs, middle)) <= 0.75
        assert (min(edge), max(edge)) == (2.25, 3.0)

    @pytest.mark.parametrize(("terminated", "value"), [(True, 3.0), (False, 6.0)])
    def test_values_go_where_rewards_lead(self, terminated, value):
        agent = made(gamma=0.5, learning_rate=1e-2, tau=1.0)
        fill(agent, 3.0, terminated)
        for _ in range(300):
            agent.update(True)
        values = agent.critics(torch.zeros(1, 4), torch.zeros(1, 1))
        assert values.tolist() == [pytest.approx([value, value], abs=0.2)]

    def test_a_policy_climbs_the_first_critic(self):
        agent = made(learning_rate=1e-2)
        agent.critics.forward = lambda observation, action: (
            torch.cat([action, -action], dim=1) + agent.critics.bodies[0](torch.zeros(1, 5))
        )
        fill(agent, 0.0, True)
        for _ in range(100):
            agent.update(True)
        assert agent.act(np.zeros(4)) > 2.5

    def test_policy_and_targets_wait_for_their_turn(self):
        agent = made(tau=0.25)
        fill(agent, 3.0, True)
        networks = agent.actor, agent.target_actor, agent.target_critics, agent.critics
        before = [[parameter.clone() for parameter in network.parameters()] for network in networks]
        agent.update(False)
        now = [list(network.parameters()) for network in networks]
        same = [all(map(torch.equal, old, new)) for old, new in zip(before, now, strict=True)]
        assert same == [True, True, True, False]
        agent.update(True)
        for old, new, target in zip(
            before[3], agent.critics.parameters(), agent.target_critics.parameters(), strict=True
        ):
            torch.testing.assert_close(target, 0.75 * old + 0.25 * new)

    def test_the_buffer_keeps_the_last_steps(self):
        buffer = single_file.Buffer(3, 1, 1, seed=0)
        for step in range(5):
            buffer.add(step, 10 * step, 0.5, step == 4, step + 1)
        rows = torch.cat(buffer.sample(100), dim=1).unique(dim=0).tolist()
        assert rows == [[2, 20, 0.5, 0, 3], [3, 30, 0.5, 0, 4], [4, 40, 0.5, 1, 5]]


class TestLearning:
    def test_random_steps_first_and_then_its_own_with_noise(self):
        agent = made(learning_starts=30, exploration_noise=0.1)
        constant([agent.actor.body], 0.0)
        agent.update = lambda with_policy: None
        agent.learn(60)
        actions = agent.buffer.columns[1][:60, 0]
        assert np.abs(actions[:30]).max() > 2.0
        assert 0.2 < actions[30:].std() < 0.4  # 0.1 of 3
        assert agent.act(np.zeros(4)).tolist() == [0.0]

    def test_it_keeps_what_was_paid_and_only_falls_are_terminal(self):
        agent = TD3(gym.wrappers.RecordEpisodeStatistics(gym.make(ID, bag_len=3, max_episode_steps=4)), 0, **SMALL)
        agent.learn(60)
        observation, _, reward, terminated, following = (column[:60] for column in agent.buffer.columns)
        ends = np.any(observation[1:] != following[:-1], axis=1)  # where the next row begins anew
        assert len(agent.returns) == ends.sum() + np.any(terminated[-1]) > 10
        assert not terminated.all()
        assert terminated[:-1][ends].sum() < ends.sum()
        assert terminated[:-1][~ends].sum() == 0
        assert reward.sum() == pytest.approx(sum(agent.returns), abs=4.0)

    def test_updates_begin_after_the_random_steps_and_the_policy_takes_turns(self):
        agent, turns = made(learning_starts=20, policy_frequency=3), []
        agent.update = turns.append
        agent.learn(30)
        assert turns == [step % 3 == 0 for step in range(20, 30)]

    def test_redistributed_rewards_come_before_the_bag_ends(self):
        rewards = {}
        for name, given in {"paid": None, "learned": {"name": "rrd", "warm_up": 20, "every": 10, "updates": 1}}.items():
            env = gym.make(ID, bag_len=10, max_episode_steps=20)
            agent = td3(env, 0, given, **SMALL)
            assert isinstance(agent.env, LearnedReward) == (given is not None)
            agent.learn(60)
            rewards[name] = agent.buffer.columns[2][30:60, 0]
        assert (rewards["paid"] == 0.0).sum() > 20
        assert (rewards["learned"] != 0.0).sum() > 28

    def test_what_it_cannot_act_in(self):
        with pytest.raises(TypeError, match="env must have a Box to observe and to act, got"):
            TD3(gym.make("BaggedKeyDoor-v0"), 0)

    def test_a_setting_that_is_none(self):
        with pytest.raises(TypeError, match="hiden"):
            made(hiden=3)

    @pytest.mark.slow
    def test_it_learns_to_stay_up_longer(self):
        agent = TD3(gym.wrappers.RecordEpisodeStatistics(gym.make(ID, bag_len=1)), 0, hidden=64, batch_size=64)
        agent.learn(10_000)
        assert np.mean(agent.returns[:20]) < 10 < 35 < np.mean(agent.returns[-20:])


class TestTheFile:
    def test_it_knows_torch_and_gymnasium_only(self):
        tree = ast.parse(Path(single_file.__file__).read_text())
        named = {
            name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
        }
        assert named - sys.stdlib_module_names == {"gymnasium", "numpy", "torch"}

    @pytest.mark.slow
    def test_a_copy_of_it_runs_alone(self, tmp_path):
        copy = shutil.copy(single_file.__file__, tmp_path / "mine.py")
        command = [sys.executable, str(copy), "--steps", "120", "--learning-starts", "100"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) > 1
        assert all(line.startswith("global_step=") and "episodic_return=" in line for line in lines)
