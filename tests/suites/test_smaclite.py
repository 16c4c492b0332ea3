"""The adapter of SMAClite: deaths in mid-episode, masks, how the team's one reward is shared, delays on top."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from bagged_envs.suites.smaclite import from_smaclite
from bagged_envs.wrappers import parallel
from tests.suites.stand_ins import SMAClite


def play(env, seed=0, action=1):
    """Every step of an episode in which all who are present do the same."""
    env.reset(seed=seed)
    steps = []
    while env.agents:
        steps.append(env.step(dict.fromkeys(env.agents, action)))
    return steps


def rewards(env):
    return [step[1] for step in play(env)]


class TestDeaths:
    def test_an_agent_terminates_in_the_step_of_its_death(self):
        steps = play(from_smaclite(SMAClite()))
        assert [step[2] for step in steps] == [
            {"agent_0": False, "agent_1": False, "agent_2": False},
            {"agent_0": False, "agent_1": True, "agent_2": False},
            {"agent_0": False, "agent_2": False},
            {"agent_0": True, "agent_2": False},
            {"agent_2": True},
        ]
        assert not any(flag for step in steps for flag in step[3].values())

    def test_the_dead_are_fed_the_no_op(self):
        env = SMAClite()
        play(from_smaclite(env), action=3)
        assert env.received == [[3, 3, 3], [3, 3, 3], [3, 0, 3], [3, 0, 3], [0, 0, 3]]

    def test_a_lost_battle_ends_with_the_last_ally(self):
        env = SMAClite(rewards=(0.5, 0.25, 0.125), deaths={0: 1, 1: 3, 2: 3}, won=False)
        steps = play(from_smaclite(env))
        assert [list(step[1]) for step in steps] == [
            ["agent_0", "agent_1", "agent_2"],
            ["agent_1", "agent_2"],
            ["agent_1", "agent_2"],
        ]
        assert steps[-1][2] == {"agent_1": True, "agent_2": True}
        assert [info["battle_won"] for info in steps[-1][4].values()] == [False, False]

    def test_whoever_may_do_more_than_nothing_is_alive(self):
        env = SMAClite(deaths={})
        env.get_avail_actions = lambda: [np.array([1, 1, 0, 0, 0, 0, 0, 0])] * 3
        assert [len(step[1]) for step in play(from_smaclite(env))] == [3, 3, 3, 3, 3]

    def test_a_new_episode_brings_everybody_back(self):
        env = from_smaclite(SMAClite())
        assert rewards(env) == rewards(env)
        env.reset()
        assert env.agents == ["agent_0", "agent_1", "agent_2"]

    def test_a_death_in_the_step_of_the_limit_is_terminated_and_the_others_are_truncated(self):
        *_, (_, _, terminated, truncated, _) = play(from_smaclite(SMAClite(), max_episode_steps=2))
        assert terminated == {"agent_0": False, "agent_1": True, "agent_2": False}
        assert truncated == {"agent_0": True, "agent_1": False, "agent_2": True}

    def test_a_battle_decided_in_the_step_of_the_limit_is_terminated(self):
        *_, (_, _, terminated, truncated, _) = play(from_smaclite(SMAClite(), max_episode_steps=5))
        assert (terminated, truncated) == ({"agent_2": True}, {"agent_2": False})

    def test_a_limit_around_the_environment_itself_truncates(self):
        steps = play(from_smaclite(gym.wrappers.TimeLimit(SMAClite(deaths={}), 3)))
        assert len(steps) == 3
        assert set(steps[-1][2].values()) == {False}
        assert set(steps[-1][3].values()) == {True}

    def test_battle_won_is_told_when_it_is(self):
        env = from_smaclite(SMAClite())
        _, infos = env.reset()
        assert [info["battle_won"] for info in infos.values()] == [False, False, False]
        told = [[info["battle_won"] for info in step[4].values()] for step in play(env)]
        assert told == [[False] * 3, [False] * 3, [False] * 2, [False] * 2, [True]]


class TestMasks:
    def test_they_are_told_on_reset_and_on_every_step(self):
        env = from_smaclite(SMAClite())
        _, infos = env.reset(seed=0)
        told = [infos, *(step[4] for step in play(env))]
        assert {info["action_mask"].dtype for infos in told for info in infos.values()} == {np.dtype(np.int8)}
        assert told[0]["agent_2"]["action_mask"].tolist() == [0, 1, 1, 1, 1, 1, 0, 0]
        assert told[1]["agent_2"]["action_mask"].tolist() == [0, 1, 1, 1, 1, 1, 1, 0]
        assert told[2]["agent_1"]["action_mask"].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]

    def test_they_fit_the_space_even_of_a_healer_with_fewer_actions(self):
        env = from_smaclite(SMAClite())
        _, infos = env.reset(seed=0)
        assert env.env.action_space[2].n == 7
        assert env.action_space("agent_2").n == 8
        assert env.action_space("agent_2").sample(infos["agent_2"]["action_mask"]) in range(1, 6)

    @pytest.mark.parametrize("action", [0, 6, 7])
    def test_what_they_forbid_is_refused_and_the_episode_goes_on(self, action):
        env = from_smaclite(SMAClite())
        env.reset(seed=0)
        with pytest.raises(ValueError, match=rf"agent_1 must be allowed now, one of \[1, 2, 3, 4, 5\], got {action}:"):
            env.step({"agent_0": 1, "agent_1": action, "agent_2": 1})
        env.step({"agent_0": 1, "agent_1": 2, "agent_2": 1})
        assert env.env.received == [[1, 2, 1]]

    def test_the_mask_of_the_last_step_counts(self):
        env = from_smaclite(SMAClite())
        env.reset(seed=0)
        env.step(dict.fromkeys(env.agents, 1))
        env.step(dict.fromkeys(env.agents, 6))
        with pytest.raises(ValueError, match="agent_0 must be allowed now"):
            env.step(dict.fromkeys(env.agents, 6))

    def test_whoever_changes_a_mask_changes_only_his_own(self):
        env = from_smaclite(SMAClite())
        _, infos = env.reset(seed=0)
        infos["agent_0"]["action_mask"][:] = 1
        with pytest.raises(ValueError, match="agent_0 must be allowed now"):
            env.step({"agent_0": 7, "agent_1": 1, "agent_2": 1})

    def test_true_is_the_action_one(self):
        env = from_smaclite(SMAClite())
        env.reset(seed=0)
        env.step(dict.fromkeys(env.agents, True))
        assert [type(action) for action in env.env.received[0]] == [int, int, int]


class TestShares:
    def test_the_first_agent_present_gets_it(self):
        assert rewards(from_smaclite(SMAClite())) == [
            {"agent_0": 0.1, "agent_1": 0.0, "agent_2": 0.0},
            {"agent_0": 0.2, "agent_1": 0.0, "agent_2": 0.0},
            {"agent_0": 0.3, "agent_2": 0.0},
            {"agent_0": 0.7, "agent_2": 0.0},
            {"agent_2": 1.1},
        ]

    def test_or_every_agent_present_does(self):
        assert rewards(from_smaclite(SMAClite(), share="all")) == [
            {"agent_0": 0.1, "agent_1": 0.1, "agent_2": 0.1},
            {"agent_0": 0.2, "agent_1": 0.2, "agent_2": 0.2},
            {"agent_0": 0.3, "agent_2": 0.3},
            {"agent_0": 0.7, "agent_2": 0.7},
            {"agent_2": 1.1},
        ]

    def test_rewards_are_python_floats(self):
        env = from_smaclite(SMAClite(rewards=(np.float64(0.5), 1)))
        assert {type(reward) for paid in rewards(env) for reward in paid.values()} == {float}

    def test_another_share_is_refused(self):
        with pytest.raises(ValueError, match="share must be one of 'first', 'all', got 'al'"):
            from_smaclite(SMAClite(), share="al")


class TestDelayed:
    def test_a_teams_episode_pays_the_sum_to_the_bit(self):
        paid = rewards(parallel.EpisodicReward(from_smaclite(SMAClite()), team_reward="sum"))
        # ((((0.1 + 0.2) + 0.3) + 0.7) + 1.1)
        assert [list(step.values()) for step in paid] == [
            [0.0] * 3,
            [0.0] * 3,
            [0.0] * 2,
            [0.0] * 2,
            [2.4000000000000004],
        ]

    def test_a_teams_bags(self):
        paid = rewards(parallel.BaggedReward(from_smaclite(SMAClite()), 3, team_reward="sum"))
        assert paid[2] == {"agent_0": 0.6000000000000001, "agent_2": 0.6000000000000001}
        assert paid[4] == {"agent_2": 1.8}

    def test_agents_are_paid_their_open_bags_when_they_die(self):
        assert rewards(parallel.BaggedReward(from_smaclite(SMAClite(), share="all"), 3)) == [
            {"agent_0": 0.0, "agent_1": 0.0, "agent_2": 0.0},
            {"agent_0": 0.0, "agent_1": 0.30000000000000004, "agent_2": 0.0},
            {"agent_0": 0.6000000000000001, "agent_2": 0.6000000000000001},
            {"agent_0": 0.7, "agent_2": 0.0},
            {"agent_2": 1.8},
        ]

    def test_a_truncated_episode_loses_nothing(self):
        env = parallel.EpisodicReward(from_smaclite(SMAClite(), max_episode_steps=3), team_reward="sum")
        assert rewards(env)[-1] == {"agent_0": 0.6000000000000001, "agent_2": 0.6000000000000001}

    def test_the_mean_of_what_all_get_is_not_always_the_teams_reward(self):
        """Why "first" is the default: ten times 0.1 is 0.9999999999999999."""
        ten = type("Ten", (SMAClite,), {"n_agents": 10})(rewards=(0.1,), deaths={})
        ten.observation_space = gym.spaces.Tuple([gym.spaces.Box(-1, 1, (4,), np.float32)] * 10)
        ten.get_avail_actions = lambda: [np.array([0, 1, 1, 1, 1, 1, 0, 0])] * 10
        ten.observe = lambda: (np.zeros(4, np.float32),) * 10
        mean = parallel.EpisodicReward(from_smaclite(ten, share="all"), team_reward="mean")
        assert rewards(mean)[0]["agent_0"] == 0.09999999999999999
        summed = parallel.EpisodicReward(from_smaclite(ten), team_reward="sum")
        assert rewards(summed)[0]["agent_0"] == 0.1


class TestWholeEpisodes:
    def test_the_adapter_adds_nothing_to_the_environments_own_episode(self):
        """The same actions, given to the environment by hand, as the adapter gives them."""
        actions = [[1, 2, 3], [6, 1, 6], [2, 0, 5], [4, 0, 6], [0, 0, 1]]
        plain, adapted = SMAClite(), from_smaclite(gym.wrappers.OrderEnforcing(SMAClite()))
        seen, _ = plain.reset(seed=11)
        shown, _ = adapted.reset(seed=11)
        assert all((shown[f"agent_{n}"] == seen[n]).all() for n in range(3))
        for step in actions:
            seen, reward, _, _, _ = plain.step(step)
            present = {agent: step[int(agent[-1])] for agent in adapted.agents}
            shown, paid, _, _, _ = adapted.step(present)
            assert sum(paid.values()) == reward
            for agent, observation in shown.items():
                assert observation.tobytes() == seen[int(agent[-1])].tobytes()
        assert adapted.agents == []


def test_nothing_of_smaclite_or_football_is_imported():
    from bagged_envs.suites import adapted, football, smaclite, tuples

    for module in (adapted, football, smaclite, tuples):
        lines = Path(module.__file__).read_text().splitlines()
        imported = [line for line in lines if line.startswith(("import ", "from "))]
        assert len(imported) >= 4
        assert not any(
            name in line.split(".")[0] for line in imported for name in ("smaclite", "gfootball", "lbforaging")
        )
