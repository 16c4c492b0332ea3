"""Rounds of whole episodes: one of each world, whoever ends first."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import bagged_envs
from bagged_envs.baselines.evaluate import evaluate, evaluate_worlds, evaluation_env
from bagged_envs.baselines.player import SEEDS
from bagged_envs.baselines.worlds import Worlds
from bagged_envs.testing import ScriptedEnv, episode
from bagged_envs.wrappers.vector import EpisodicReward

SHORT, LONG = [1.0, 2.0], [10.0, 20.0, 30.0, 40.0, 50.0]


def scripted(mode):
    """Two worlds, one of which has ended twice before the other ends."""
    makers = [lambda rewards=rewards: ScriptedEnv([episode(rewards)]) for rewards in (SHORT, LONG)]
    return EpisodicReward(SyncVectorEnv(makers, autoreset_mode=mode))


def still(envs):
    """Who does nothing, in every round."""
    return lambda: lambda observations, infos: np.zeros(envs.action_space.shape, envs.action_space.dtype)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_each_world_plays_one_episode_of_a_round(mode):
    envs = scripted(mode)
    episodes = Worlds(envs, np.random.default_rng(0), ()).play(still(envs), steps=8)
    assert [one.rewards.tolist() for one in episodes] == [[0.0, 3.0], [0.0, 0.0, 0.0, 0.0, 150.0]] * 2
    assert [len(one.observations) for one in episodes] == [3, 6, 3, 6]
    assert all(one.terminated and one.closed for one in episodes)


def test_rounds_are_played_until_there_are_so_many_steps():
    envs = scripted(AutoresetMode.NEXT_STEP)
    worlds = Worlds(envs, np.random.default_rng(0), ())
    assert [len(worlds.play(still(envs), steps)) for steps in (1, 7, 8, 15)] == [2, 2, 4, 6]


def test_each_episode_has_a_seed_of_its_own_and_a_saved_state_goes_on(monkeypatch):
    envs = scripted(AutoresetMode.NEXT_STEP)
    seeds, reset = [], envs.reset
    monkeypatch.setattr(envs, "reset", lambda seed: seeds.extend(seed) or reset(seed=seed))
    worlds = Worlds(envs, np.random.default_rng(0), ())
    worlds.play(still(envs), 14)
    state = worlds.state_dict()
    worlds.play(still(envs), 7)
    assert len(set(seeds)) == 6
    assert max(seeds) < SEEDS
    other = Worlds(envs, np.random.default_rng(5), ())
    other.load_state_dict(state)
    other.play(still(envs), 7)
    assert seeds[6:] == seeds[4:6]


def test_many_worlds_evaluate_as_one_environment_does():
    arguments = {"num_agents": 3, "max_episode_steps": 7}
    with evaluation_env("BaggedCooperativeNavigation-v0", arguments) as env:
        alone = evaluate(env, lambda observation: np.array([1, 2, 3]), episodes=5, seed=9)
    envs = bagged_envs.make_vec("BaggedCooperativeNavigation-v0", 3, expose_reward=True, **arguments)
    together = evaluate_worlds(envs, lambda: lambda _, infos: np.tile([1, 2, 3], (3, 1)), episodes=5, seed=9)
    assert together == alone
    assert len(set(together.returns)) == 5


def test_successes_of_many_worlds_are_those_of_one():
    with evaluation_env("SparseTraceBack-v0", {"delay": 4}) as env:
        alone = evaluate(env, lambda observation: 0, episodes=3, seed=0)
    envs = bagged_envs.make_vec("SparseTraceBack-v0", 2, expose_reward=True, delay=4)
    assert evaluate_worlds(envs, still(envs), episodes=3, seed=0) == alone
    assert alone.successes == (True, True, True)


def test_who_acts_is_made_for_each_round_and_told_the_infos_of_every_step():
    """Of playing, and of evaluating."""
    arguments = {"num_agents": 3, "max_episode_steps": 4}
    envs = bagged_envs.make_vec("BaggedCooperativeNavigation-v0", 2, expose_reward=True, **arguments)
    rounds = []

    def begin():
        told = []
        rounds.append(told)
        return lambda _, infos: told.append(infos["alive"].shape) or np.zeros((2, 3), dtype=int)

    Worlds(envs, np.random.default_rng(0), ()).play(begin, 9)
    evaluate_worlds(envs, begin, episodes=3, seed=0)
    assert [len(told) for told in rounds] == [4] * 4
    assert {shape for told in rounds for shape in told} == {(2, 3)}


def test_worlds_that_hide_their_reward_are_refused():
    envs = bagged_envs.make_vec("BaggedKeyDoor-v0", 2)
    with pytest.raises(ValueError, match="envs must show their dense reward: make .* with expose_reward=True"):
        evaluate_worlds(envs, still(envs), episodes=1, seed=0)
