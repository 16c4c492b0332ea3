"""Under real libraries: Stable-Baselines3 trains and logs the dense return; a CleanRL-style loop uses gym.make_vec."""

import csv
import multiprocessing

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

import bagged_envs

ID = "BaggedReacher-v0"


class Recorder(gym.Wrapper):
    """Stands between the delay and SB3's Monitor, and adds up the dense rewards of each episode."""

    def reset(self, **arguments):
        self.returns = getattr(self, "returns", [])
        self.total = 0.0
        return self.env.reset(**arguments)

    def step(self, action):
        observation, paid, terminated, truncated, info = self.env.step(action)
        self.total += info["dense_reward"]
        if terminated or truncated:
            self.returns.append(self.total)
        return observation, paid, terminated, truncated, info


def make(id, file=None, **arguments):
    return Monitor(Recorder(gym.make(f"bagged_envs:{id}", expose_reward=True, **arguments)), file)


class Maker:
    """Makes an environment in another process; unlike a lambda it can be sent there."""

    def __init__(self, *arguments, **named):
        self.arguments, self.named = arguments, named

    def __call__(self):
        return make(*self.arguments, **self.named)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def ppo(envs):
    return PPO("MlpPolicy", envs, n_steps=64, batch_size=64, n_epochs=2, seed=0, device="cpu")


def logged_returns(file):
    with open(f"{file}.monitor.csv", newline="") as stream:
        next(stream)
        return [float(row["r"]) for row in csv.DictReader(stream)]


def assert_logged(folder, recorded, at_least):
    """Every environment's Monitor logged the dense returns, which it rounds to six decimals."""
    for i, dense in enumerate(recorded):
        logged = logged_returns(folder / str(i))
        assert len(logged) == len(dense) >= at_least
        np.testing.assert_allclose(logged, dense, rtol=0, atol=1e-6)


class TestStableBaselines3:
    @pytest.mark.parametrize("id", [ID, "EpisodicReacher-v0", "SparseReacher-v0", "PartiallyLabeledReacher-v0"])
    def test_its_checker_accepts_the_environment(self, id):
        assert sb3_check_env(gym.make(id), warn=False) is None  # it raises where it does not

    @pytest.mark.parametrize("arguments", [{"bag_len": 20}, {"bag_len": (3, 30)}, {"bag_len": None}])
    def test_in_one_process_the_logged_return_is_the_dense_return(self, tmp_path, arguments):
        envs = DummyVecEnv([Maker(ID, str(tmp_path / str(i)), **arguments) for i in range(2)])
        ppo(envs).learn(600)
        recorded = envs.get_attr("returns")
        envs.close()
        assert_logged(tmp_path, recorded, at_least=5)

    def test_on_the_joint_view_of_a_team_too(self, tmp_path):
        id = "EpisodicTriangleArea-v0"
        assert sb3_check_env(gym.make(id), warn=False) is None
        envs = DummyVecEnv([Maker(id, str(tmp_path / str(i))) for i in range(2)])
        learner = ppo(envs)
        before = [parameter.detach().clone() for parameter in learner.policy.parameters()]
        learner.learn(600)
        assert any(not torch.equal(old, new) for old, new in zip(before, learner.policy.parameters(), strict=True))
        recorded = envs.get_attr("returns")
        envs.close()
        assert_logged(tmp_path, recorded, at_least=12)  # of 25 steps each

    @pytest.mark.slow
    def test_in_a_process_of_its_own_too(self, tmp_path):
        envs = SubprocVecEnv([Maker(ID, str(tmp_path / "0"), bag_len=7)], start_method="spawn")
        ppo(envs).learn(256)
        recorded = envs.get_attr("returns")
        envs.close()
        assert_logged(tmp_path, recorded, at_least=2)
        assert multiprocessing.active_children() == []

    def test_reward_normalization_stands_outside_and_stays_finite(self):
        envs = VecNormalize(DummyVecEnv([Maker(ID), Maker("PartiallyLabeledReacher-v0")]))
        ppo(envs).learn(256)
        assert np.isfinite(envs.ret_rms.var)

    def test_evaluation_on_the_dense_twin(self):
        judge = DummyVecEnv([lambda: Monitor(bagged_envs.dense(ID))])
        callback = EvalCallback(judge, n_eval_episodes=2, eval_freq=64, verbose=0)
        ppo(DummyVecEnv([Maker(ID)])).learn(128, callback=callback)
        assert np.isfinite(callback.last_mean_reward)
        assert callback.last_mean_reward < 0.0  # Reacher pays distances and torques, all negative

    def test_success_is_where_its_logger_looks_for_it(self):
        judge = DummyVecEnv([lambda: Monitor(gym.make("SparseReacher-v0", threshold=10.0))])
        callback = EvalCallback(judge, n_eval_episodes=2, eval_freq=64, verbose=0)
        ppo(DummyVecEnv([Maker(ID)])).learn(64, callback=callback)
        assert callback._is_success_buffer == [True, True]


class Agent(torch.nn.Module):
    def __init__(self, envs):
        super().__init__()
        observations, actions = envs.single_observation_space.shape[0], envs.single_action_space.shape[0]
        self.mean = torch.nn.Sequential(
            torch.nn.Linear(observations, 32), torch.nn.Tanh(), torch.nn.Linear(32, actions)
        )
        self.log_std = torch.nn.Parameter(torch.zeros(actions))

    def forward(self, observation):
        return torch.distributions.Normal(self.mean(observation), self.log_std.exp())


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_cleanrl_style_loop_sees_every_return(mode):
    """CleanRL's shape: `gym.make_vec`, episode statistics, storage by hand, a policy gradient step."""
    torch.manual_seed(0)
    envs = gym.make_vec(f"bagged_envs:{ID}", 2, vectorization_mode=mode, expose_reward=True, bag_len=(3, 9))
    envs = gym.wrappers.vector.RecordEpisodeStatistics(envs)
    agent = Agent(envs)
    optimizer = torch.optim.Adam(agent.parameters(), lr=3e-3)
    before = [parameter.clone() for parameter in agent.parameters()]
    observation, _ = envs.reset(seed=1)
    dense, checked = np.zeros(2), 0
    for _ in range(3):
        log_probs, paid = [], []
        for _ in range(64):
            distribution = agent(torch.as_tensor(observation, dtype=torch.float32))
            action = distribution.sample()
            observation, reward, terminated, truncated, infos = envs.step(action.numpy())
            dense += infos["dense_reward"]
            log_probs.append(distribution.log_prob(action).sum(-1))
            paid.append(torch.as_tensor(reward, dtype=torch.float32))
            for i in np.flatnonzero(terminated | truncated):
                assert infos["episode"]["r"][i] == pytest.approx(dense[i], rel=1e-12)
                dense[i] = 0.0
                checked += 1
        to_come = torch.flip(torch.cumsum(torch.flip(torch.stack(paid), [0]), 0), [0])
        loss = -(torch.stack(log_probs) * (to_come - to_come.mean())).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    envs.close()
    assert checked == 6
    assert any(not torch.equal(old, new) for old, new in zip(before, agent.parameters(), strict=True))
