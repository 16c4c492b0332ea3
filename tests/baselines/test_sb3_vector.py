"""Vectors of ours for Stable-Baselines3: as DummyVecEnv of the same environments, to the bit, training included."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

import bagged_envs
from bagged_envs.baselines.sb3_vector import VectorForSB3, make_vec_for_sb3
from bagged_envs.testing.rollout import same

HOPPER, CHEETAH = "BaggedHopper-v0", "BaggedHalfCheetah-v0"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def both(id, n_envs, seed, **arguments):
    theirs = DummyVecEnv([lambda: gym.make(id, **arguments) for _ in range(n_envs)])
    theirs.seed(seed)
    return make_vec_for_sb3(id, n_envs, seed, **arguments), theirs


def test_steps_ends_and_infos_are_those_of_dummy_vec_env():
    ours, theirs = both(HOPPER, 3, seed=5, bag_len=4, max_episode_steps=11, expose_reward=True)
    assert same(ours.reset(), theirs.reset())
    assert ours.reset_infos == theirs.reset_infos
    draw, ends = np.random.default_rng(0), 0
    for _ in range(30):
        actions = draw.uniform(-1, 1, size=(3, 3)).astype(np.float32)
        mine, other = ours.step(actions), theirs.step(actions)
        assert same(mine[:3], other[:3])
        np.testing.assert_equal(mine[3], other[3])
        assert ours.reset_infos == theirs.reset_infos
        ends += mine[2].sum()
    assert ends > 3
    ours.close()
    theirs.close()


def test_ppo_learns_the_same_parameters():
    settings = {"n_steps": 8, "batch_size": 16, "n_epochs": 1, "seed": 0, "device": "cpu"}
    arguments = {"policy_kwargs": {"net_arch": [8]}, **settings}
    learned = []
    for envs in both(CHEETAH, 2, seed=0, max_episode_steps=6):
        model = PPO("MlpPolicy", VecMonitor(envs), **arguments).learn(32)
        learned.append(torch.cat([value.flatten() for value in model.policy.state_dict().values()]))
        assert len(model.ep_info_buffer) >= 4
        envs.close()
    assert torch.equal(*learned)


def test_attributes_are_the_vectors():
    envs = make_vec_for_sb3(HOPPER, 2, seed=0)
    assert envs.get_attr("metadata")[0]["backend"] == "native"
    assert envs.get_attr("render_mode", indices=[1]) == [None]
    assert envs.env_is_wrapped(gym.Wrapper) == [False, False]
    envs.close()


@pytest.mark.parametrize(
    ("refused", "error", "said"),
    [
        (lambda: VectorForSB3(gym.make("CartPole-v1")), TypeError, "envs must be a Gymnasium vector environment"),
        (
            lambda: VectorForSB3(bagged_envs.make_vec("BaggedKeyDoor-v0", 2)),
            ValueError,
            "got autoreset mode AutoresetMode.NEXT_STEP: make it with",
        ),
        (lambda: make_vec_for_sb3(HOPPER).set_attr("x", 1), NotImplementedError, "x cannot be set in the copies"),
        (lambda: make_vec_for_sb3(HOPPER).env_method("f"), NotImplementedError, "f cannot be called in the copies"),
        (lambda: with_options().reset(), ValueError, "options must not be set"),
    ],
)
def test_refusals(refused, error, said):
    with pytest.raises(error, match=said):
        refused()


def with_options():
    envs = make_vec_for_sb3(HOPPER)
    envs.set_options({"x": 1})
    return envs


def test_another_autoreset_mode_is_refused():
    with pytest.raises(ValueError, match="autoreset_mode must be SAME_STEP for Stable-Baselines3, got .*DISABLED"):
        make_vec_for_sb3("BaggedInvertedPendulum-v0", 1, vector_kwargs={"autoreset_mode": AutoresetMode.DISABLED})


def test_other_vectors_of_gymnasium_work_as_well():
    kwargs = {"autoreset_mode": AutoresetMode.SAME_STEP}
    envs = VectorForSB3(gym.make_vec("CartPole-v1", 2, vectorization_mode="sync", vector_kwargs=kwargs))
    envs.reset()
    assert len(envs.step(np.zeros(2, dtype=np.int64))[3]) == 2
    envs.close()
