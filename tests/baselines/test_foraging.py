"""Teams of other people's environments: level-based foraging, by EPyMARL's Tuple convention."""

import gymnasium as gym
import lbforaging  # noqa: F401 (registers its IDs)
import numpy as np
import pytest

import bagged_envs
from bagged_envs.baselines.team_training import TeamConfig, TeamTraining
from bagged_envs.multi_agent.joint import JointEnv
from bagged_envs.suites.tuples import from_tuple
from bagged_envs.tasks import TASKS
from tests.baselines.runs import SETTINGS
from tests.baselines.test_team_training import method

LIMIT = 50


def foraging():
    """Two players and three pieces of food, which both together can always eat."""
    env = gym.make("Foraging-5x5-2p-3f-v3", disable_env_checker=True)
    return JointEnv(from_tuple(env, max_episode_steps=LIMIT))


@pytest.fixture(scope="module")
def foraging_id():
    gym.register("test/Foraging-v0", entry_point=foraging, max_episode_steps=LIMIT)
    ids = bagged_envs.register_task("test/Foraging-v0", name="Foraging", reward_info_keys=("agent_rewards",))
    yield "EpisodicForaging-v0"
    for id in (*ids, "test/Foraging-v0"):
        del gym.registry[id]
    del TASKS["Foraging"]


@pytest.mark.long
@pytest.mark.parametrize("name", ["tar2-ippo", "stas-mappo", "rd-qmix"])
def test_a_few_thousand_steps(name, foraging_id):
    redistributor, _ = name.split("-")
    assert SETTINGS[redistributor]["warm_up"] < 1000
    # An iteration has at least 400 steps; episodes end early where all food is eaten.
    config = TeamConfig(worlds=8, rollout=400, evaluate_every=1000, evaluation_episodes=8, finite_horizon=True)
    training = TeamTraining(method(name), foraging_id, {}, config, seed=0)
    seen = list(training.run(until=2000))
    assert len(seen) == 2
    assert training.agents == 2
    assert training.updates >= 3
    assert training.fitted
    assert all(0.0 <= one.evaluation.mean <= 1.0 for one in seen)  # all food together is 1
    lengths = [len(one) for one in training._worlds.play(training._explore, 400)]
    training.close()
    assert max(lengths) <= LIMIT


def test_rewards_of_agents_are_not_seen(foraging_id):
    env = gym.make(foraging_id)
    _, info = env.reset(seed=0)
    assert "agent_rewards" not in info
    assert info["alive"].tolist() == [True, True]
    env.close()


@pytest.mark.long
def test_the_team_is_paid_all_that_its_agents_earn(foraging_id):
    training = TeamTraining("oracle-ippo", foraging_id, {}, TeamConfig(worlds=4), seed=1)
    episodes = training._worlds.play(training._explore, 2000)
    training.close()
    earned = [one.extras["agent_rewards"][1:].sum() for one in episodes]
    assert max(earned) > 0.0
    np.testing.assert_allclose([one.rewards.sum() for one in episodes], earned)
