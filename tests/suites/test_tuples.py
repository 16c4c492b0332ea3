"""The adapter of the Tuple convention: on a stand-in, and on lbforaging itself."""

import math

import gymnasium as gym
import lbforaging  # noqa: F401 (registers its IDs)
import numpy as np
import pytest
from pettingzoo.test import parallel_api_test

from bagged_envs.suites.tuples import from_tuple
from bagged_envs.wrappers import parallel
from tests.suites.stand_ins import Foraging


def play(env, seed=0):
    env.reset(seed=seed)
    steps = []
    while env.agents:
        steps.append(env.step(dict.fromkeys(env.agents, 2)))
    return steps


def ends(env):
    """How many steps there were, and the last one's flags, which are the same for both agents."""
    steps = play(env)
    [flags] = set(zip(steps[-1][2].values(), steps[-1][3].values(), strict=True))
    return len(steps), *flags


class TestEnds:
    def test_the_environments_own_limit_is_terminated_unless_it_is_named(self):
        assert ends(from_tuple(Foraging())) == (5, True, False)
        assert ends(from_tuple(Foraging(), max_episode_steps=6)) == (5, True, False)
        assert ends(from_tuple(Foraging(), max_episode_steps=5)) == (5, False, True)

    def test_a_shorter_limit_truncates(self):
        assert ends(from_tuple(Foraging(), max_episode_steps=4)) == (4, False, True)

    def test_a_list_of_done_ends_when_all_are(self):
        assert ends(from_tuple(Foraging(ends=[2, 4]))) == (4, True, False)
        assert ends(from_tuple(Foraging(ends=[3, 1]))) == (3, True, False)

    def test_nobody_leaves_before_and_no_reward_is_lost(self):
        steps = play(from_tuple(Foraging(ends=[2, 4])))
        assert [list(step[1].values()) for step in steps] == [[0.1, 0.0], [0.2, 0.4], [0.3, 0.0], [0.0, 0.7]]

    def test_what_the_environment_truncates_is_truncated(self):
        assert ends(from_tuple(Foraging(truncates=True))) == (5, False, True)
        assert ends(from_tuple(gym.wrappers.TimeLimit(Foraging(), 3))) == (3, False, True)

    def test_agents_that_end_in_different_ways_are_truncated(self):
        env = Foraging()
        env.step = lambda actions: (env.observe(), [0.0, 0.0], [True, False], [False, True], {})
        assert ends(from_tuple(env, max_episode_steps=3)) == (1, False, True)


class TestSteps:
    def test_rewards_infos_and_actions(self):
        env = from_tuple(Foraging())
        _, infos = env.reset(seed=0)
        assert infos == {"agent_0": {"food": 3}, "agent_1": {"food": 3}}
        _, rewards, _, _, infos = env.step({"agent_1": 4, "agent_0": 1})
        assert rewards == {"agent_0": 0.1, "agent_1": 0.0}
        assert infos == {"agent_0": {"food": 2}, "agent_1": {"food": 2}}
        infos["agent_0"]["food"] = 9
        assert infos["agent_1"] == {"food": 2}
        assert env.env.received == [(1, 4)]

    def test_the_adapter_adds_nothing_to_the_environments_own_episode(self):
        plain, adapted = Foraging(), from_tuple(gym.wrappers.OrderEnforcing(Foraging()))
        seen, _ = plain.reset(seed=11)
        shown, _ = adapted.reset(seed=11)
        while adapted.agents:
            assert [o.tobytes() for o in shown.values()] == [o.tobytes() for o in seen]
            shown, paid, terminated, _, _ = adapted.step({"agent_0": 1, "agent_1": 2})
            seen, rewards, done, _, _ = plain.step((1, 2))
            assert list(paid.values()) == rewards
            assert list(terminated.values()) == [done, done]

    def test_rewards_are_python_floats(self):
        env = Foraging()
        env.rewards = [[1, np.float32(0.5)]] * 5
        [first, *_] = play(from_tuple(env))
        assert repr(first[1]) == "{'agent_0': 1.0, 'agent_1': 0.5}"

    def test_actions_of_other_kinds_are_passed_on_as_they_are(self):
        env = Foraging()
        env.action_space = gym.spaces.Tuple([gym.spaces.Box(-1, 1, (2,), np.float64)] * 2)
        passed = []
        env.step = lambda actions: passed.append(actions) or (env.observe(), [0.0, 0.0], False, False, {})
        adapted = from_tuple(env)
        adapted.reset(seed=0)
        left, right = np.array([0.5, -0.5]), np.array([1.0, 0.0])
        adapted.step({"agent_0": left, "agent_1": right})
        assert passed[0][0] is left
        assert passed[0][1] is right
        with pytest.raises(ValueError, match=r"the action of agent_1 must be in Box.*got array\(\[3., 0.\]\)"):
            adapted.step({"agent_0": left, "agent_1": np.array([3.0, 0.0])})


class TestDelayed:
    def test_a_team_and_agents_of_their_own(self):
        steps = play(parallel.EpisodicReward(from_tuple(Foraging()), team_reward="sum"))
        # ((((0.1 + 0.0) + (0.2 + 0.4)) + 0.3) + 0.7) + (1.1 + 0.9)
        assert steps[-1][1] == {"agent_0": 3.7, "agent_1": 3.7}
        steps = play(parallel.EpisodicReward(from_tuple(Foraging())))
        assert steps[-1][1] == {"agent_0": 1.7000000000000002, "agent_1": 2.0}


class TestLbforaging:
    """The real thing. It keeps its agents in sets, so that two runs may differ: dense and paid are of the same run."""

    ID, LIMIT = "Foraging-8x8-2p-3f-v3", 50

    def make(self, max_episode_steps=LIMIT, **arguments):
        # Gymnasium's checker warns of rewards that are a list.
        return from_tuple(gym.make(self.ID, disable_env_checker=True, **arguments), max_episode_steps)

    @staticmethod
    def play(env, seed):
        """An episode of agents that load as often as they walk: they do find food."""
        draw = np.random.default_rng(seed)
        env.reset(seed=seed)
        while env.agents:
            yield env.step({agent: int(draw.choice([1, 2, 3, 4, 5, 5, 5, 5])) for agent in env.agents})

    def test_pettingzoos_own(self):
        parallel_api_test(self.make(), num_cycles=60)

    def test_agents_and_spaces(self):
        env = self.make()
        observations, infos = env.reset(seed=1)
        assert env.possible_agents == ["agent_0", "agent_1"]
        assert [o.shape for o in observations.values()] == [(15,), (15,)]
        assert env.action_space("agent_0").n == 6
        assert infos == {"agent_0": {}, "agent_1": {}}

    def test_its_limit_is_truncated_when_it_is_named(self):
        for limit, flags in ((None, (True, False)), (50, (False, True)), (51, (True, False)), (20, (False, True))):
            env = self.make(limit)
            env.reset(seed=1)
            steps = 0
            while env.agents:
                _, _, terminated, truncated, _ = env.step(dict.fromkeys(env.agents, 0))
                steps += 1
            assert steps == (20 if limit == 20 else 50)
            assert (terminated["agent_1"], truncated["agent_1"]) == flags

    @pytest.mark.parametrize("team_reward", ["sum", "per_agent"])
    def test_the_sums_paid_are_those_earned(self, team_reward):
        env = parallel.EpisodicReward(self.make(), team_reward=team_reward, expose_reward=True)
        earning = 0
        for seed in range(30):
            steps = list(self.play(env, seed))
            dense = [[info["dense_reward"] for info in step[4].values()] for step in steps]
            paid = [list(step[1].values()) for step in steps]
            assert all(rewards == [0.0, 0.0] for rewards in paid[:-1])
            assert paid[-1] == self.expected(dense, team_reward)
            # The law's bound for the team's stream: n + 1 roundings of the sum of magnitudes.
            if team_reward == "sum":
                stream = [first + second for first, second in dense]
                bound = (len(stream) + 1) * 2.0**-53 * math.fsum(stream)
                assert abs(paid[-1][0] - math.fsum(stream)) <= bound
            earning += paid[-1] != [0.0, 0.0]
        assert earning >= 10

    @staticmethod
    def expected(dense, team_reward):
        """Left to right, step by step."""
        totals, team = [0.0, 0.0], 0.0
        for first, second in dense:
            totals = [totals[0] + first, totals[1] + second]
            team += first + second
        return [team, team] if team_reward == "sum" else totals

    def test_without_delay_it_is_the_environment_itself(self):
        plain = gym.make(self.ID, disable_env_checker=True)
        adapted = self.make()
        seen, _ = plain.reset(seed=3)
        shown, _ = adapted.reset(seed=3)
        draw = np.random.default_rng(3)
        while adapted.agents:
            assert [o.tobytes() for o in shown.values()] == [o.tobytes() for o in seen]
            # Walking only: who loads first is a matter of chance, see above.
            actions = draw.integers(5, size=2).tolist()
            shown, paid, _, _, _ = adapted.step(dict(zip(adapted.agents, actions, strict=True)))
            seen, rewards, _, _, _ = plain.step(tuple(actions))
            assert list(paid.values()) == rewards
