"""Stable-Baselines3's replay buffer with bags: what it keeps, samples, pays, learns and refuses."""

import io
import pickle

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from gymnasium.vector import AutoresetMode
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import DQN, SAC, TD3
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import bagged_envs
from bagged_envs.baselines.api import Sampling, Schedule
from bagged_envs.baselines.collect import OpenEpisode
from bagged_envs.baselines.driving import Driver
from bagged_envs.baselines.redistributors import REDISTRIBUTORS, make_redistributor
from bagged_envs.baselines.redistributors.rrd import RRD
from bagged_envs.baselines.sb3 import BagReplayBuffer
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.testing import ScriptedEnv, episode, scripted_vector
from bagged_envs.wrappers import BaggedReward, vector
from tests.baselines.replay import ACTED, SEEN, Spy, Stream, buffer_of, feed

PENDULUM = "bagged_envs:BaggedInvertedPendulum-v0"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Recorder(gym.Wrapper):
    """Keeps the trajectories of an environment that an algorithm plays, as a collector would."""

    def __init__(self, env):
        super().__init__(env)
        self.trajectories = []

    def reset(self, **arguments):
        observation, info = self.env.reset(**arguments)
        self.episode = OpenEpisode(observation, info, ())
        return observation, info

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.episode.append(action.copy(), observation, reward, info)
        if terminated or truncated:
            self.trajectories.append(self.episode.ended(bool(terminated)))
        return observation, reward, terminated, truncated, info


def trained(model_class, id, redistributor, steps=150, n_envs=1, env_kwargs=None, vec=None, **arguments):
    """A model of SB3 that has learned for some steps with a buffer of ours."""
    settings = {"learning_starts": 60, "batch_size": 16, "seed": 0, "device": "cpu", "buffer_size": 2000}
    envs = make_vec_env(id, n_envs=n_envs, seed=0, wrapper_class=Recorder, env_kwargs=env_kwargs)
    envs = envs if vec is None else vec(envs)
    buffer = {"redistributor": redistributor} if not isinstance(redistributor, dict) else redistributor
    model = model_class(
        "MlpPolicy",
        envs,
        replay_buffer_class=BagReplayBuffer,
        replay_buffer_kwargs=buffer,
        policy_kwargs={"net_arch": [16]},
        **{**settings, **arguments},
    )
    return model.learn(steps)


def bags_by_first_observation(batches):
    """What stands in each bag of some batches, by its first observation."""
    found = {}
    for batch in batches:
        for row, length in enumerate(batch.length.tolist()):
            fields = {name: getattr(batch, name)[row] for name in ("label", "labeled", "length")}
            for name in ("observations", "actions", "next_observations", "paid", "dense"):
                fields[name] = getattr(batch, name)[row, :length, 0]
            key = fields["observations"][0].numpy().tobytes()
            assert key not in found
            found[key] = fields
    return found


def whole_bags(buffer, bags=None, history=0):
    bags = buffer.bags.all("bags") if bags is None else bags
    return buffer._batch(bags, *buffer.bags.cells(bags, history))


@pytest.fixture(scope="module")
def played():
    """Four environments that SAC plays, with bags of random length, labels for some: a buffer, and an episode store."""
    arguments = {"bag_len": (2, 5), "label_fraction": 0.6, "expose_reward": True}
    model = trained(SAC, PENDULUM, "identity", steps=400, n_envs=4, env_kwargs=arguments)
    store = EpisodeStore.for_spaces(model.observation_space, model.action_space)
    for trajectories in model.get_env().get_attr("trajectories"):
        for trajectory in trajectories:
            store.add(trajectory)
    return model.replay_buffer, store


def test_bags_and_labels_are_those_of_the_episode_store(played):
    buffer, store = played
    ours = bags_by_first_observation([whole_bags(buffer)])
    theirs = bags_by_first_observation(batch for _, batch in store.all_bags())
    running = set(ours) - set(theirs)  # the store gets an episode when it ends
    assert len(theirs) > 60
    assert set(theirs) <= set(ours)
    assert len(running) < 4 * 20
    for key, theirs_of_it in theirs.items():
        for name, expected in theirs_of_it.items():
            if name == "actions":  # scaled to [-1, 1] by SB3, and back
                torch.testing.assert_close(ours[key][name], expected, rtol=0, atol=1e-6)
            else:
                assert torch.equal(ours[key][name], expected), name
    labeled = [bag["labeled"].item() for bag in theirs.values()]
    assert 0.4 < np.mean(labeled) < 0.8
    steps = buffer.bags.bag.reshape(buffer.buffer_size, 4)
    assert len(np.unique(steps[steps >= 0])) == len(ours)


@pytest.mark.parametrize("name", sorted(REDISTRIBUTORS))
def test_every_redistributor_pays_what_it_pays_in_the_episode_store(name, played):
    buffer, store = played
    settings = {"rbt": {"width": 8}, "diaster": {"hidden": 8}, "rudder": {"units": 4}}.get(name, {})
    redistributor = make_redistributor(name, 4, 1, seed=1, **settings)
    sampling = redistributor.sampling or Sampling(bags=2)
    redistributor.update(store.sample_bags(sampling, np.random.default_rng(0), only_labeled=True))
    expected = {}
    for _, batch in store.all_bags(history=sampling.history):
        rewards = redistributor.relabel(batch)[:, sampling.history :, 0]
        for row, length in enumerate(batch.length.tolist()):
            first = batch.observations[row, sampling.history, 0]
            expected[first.numpy().tobytes()] = rewards[row, :length]
    other = pickle.loads(pickle.dumps(buffer))
    other._driver = Driver(redistributor, None, 4, 1, 0, "cpu")
    if redistributor.stored:
        other._relabel(other.bags.all("bags"))
    steps = other.bags.all("steps")
    for bag in other.bags.all("bags"):
        key = other._features("observations", np.array([[bag]]))[0, 0].tobytes()
        if key in expected:
            got = torch.from_numpy(other.rewards_of(steps[other.bags.bag[steps] == bag]))
            torch.testing.assert_close(got, expected.pop(key), rtol=1e-4, atol=1e-5)
    assert not expected
