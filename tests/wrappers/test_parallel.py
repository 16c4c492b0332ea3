"""The delay under PettingZoo: its own tests, agents that die in mid-bag, teams."""

import gymnasium as gym
import numpy as np
import pytest
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test
from pettingzoo.utils.conversions import parallel_to_aec

from bagged_envs.testing import episode
from bagged_envs.testing.scripted_parallel import ScriptedParallelEnv
from bagged_envs.wrappers import parallel

SCRIPTS = {
    "b": episode([1.0, 2.0, 4.0]),
    "a": episode([10.0, 20.0, 40.0, 80.0, 160.0], terminated=False, truncated=True),
    "c": episode([100.0, 200.0, 400.0, 800.0]),
}


def play(env, seed=0):
    """Every step's rewards and infos, each agent acting while it is there."""
    env.reset(seed=seed)
    while env.agents:
        _, paid, _, _, infos = env.step(dict.fromkeys(env.agents, 0))
        yield paid, infos


def payments(env, **arguments):
    return [paid for paid, _ in play(parallel.BaggedReward(env, **arguments))]


@pytest.mark.parametrize("team_reward", parallel.TEAM_REWARDS)
@pytest.mark.parametrize("observe_bag", [False, True])
class TestPettingZoosOwn:
    @staticmethod
    def make(**arguments):
        scripts = {f"player_{number}": script for number, script in enumerate(SCRIPTS.values())}
        return parallel.BaggedReward(ScriptedParallelEnv(scripts), 2, **arguments)

    def test_parallel_api(self, team_reward, observe_bag):
        parallel_api_test(self.make(team_reward=team_reward, observe_bag=observe_bag), num_cycles=50)

    def test_parallel_seed(self, team_reward, observe_bag):
        parallel_seed_test(lambda: self.make(team_reward=team_reward, observe_bag=observe_bag))

    # The scripted observations count steps, which have no bound.
    @pytest.mark.filterwarnings("ignore:Agent's m..imum observation space value is -?infinity:UserWarning")
    def test_the_converted_environment_passes_too(self, team_reward, observe_bag):
        env = parallel_to_aec(self.make(team_reward=team_reward, observe_bag=observe_bag))
        api_test(env, num_cycles=50)


class TestAgents:
    def test_an_agent_is_paid_its_open_bag_in_the_step_of_its_death(self):
        assert payments(ScriptedParallelEnv(SCRIPTS), bag_len=2) == [
            {"b": 0.0, "a": 0.0, "c": 0.0},
            {"b": 3.0, "a": 30.0, "c": 300.0},
            {"b": 4.0, "a": 0.0, "c": 0.0},
            {"a": 120.0, "c": 1200.0},
            {"a": 160.0},
        ]

    def test_nothing_is_paid_twice_or_after_death(self):
        for bag_len in (1, 2, 3, 4, None):
            totals = dict.fromkeys(SCRIPTS, 0.0)
            for paid in payments(ScriptedParallelEnv(SCRIPTS), bag_len=bag_len):
                totals = {agent: total + paid.get(agent, 0.0) for agent, total in totals.items()}
            assert totals == {"b": 7.0, "a": 310.0, "c": 1500.0}

    def test_each_agent_is_told_of_its_own_bag(self):
        steps = list(play(parallel.BaggedReward(ScriptedParallelEnv(SCRIPTS), 2)))
        ends = [{agent: info["bag_end"] for agent, info in infos.items()} for _, infos in steps]
        assert ends[2] == {"b": True, "a": False, "c": False}
        assert ends[4] == {"a": True}

    def test_the_next_episode_begins_with_fresh_bags(self):
        env = parallel.BaggedReward(ScriptedParallelEnv(SCRIPTS), 4)
        env.reset(seed=0)
        env.step(dict.fromkeys(env.agents, 0))
        assert [paid for paid, _ in play(env)] == payments(ScriptedParallelEnv(SCRIPTS), bag_len=4)

    def test_agents_draw_from_streams_of_their_own_in_the_order_of_possible_agents(self):
        scripts = {agent: episode([1.0] * 60) for agent in ("x", "y")}
        env = parallel.BaggedReward(ScriptedParallelEnv(scripts), (1, 9))
        borders = {
            seed: [{agent: info["bag_end"] for agent, info in infos.items()} for _, infos in play(env, seed)]
            for seed in (5, 6)
        }
        # Slot i is seeded with seed + i: the second agent of seed 5 draws what the first of seed 6 draws.
        assert [step["y"] for step in borders[5]] == [step["x"] for step in borders[6]]
        assert [step["x"] for step in borders[5]] != [step["y"] for step in borders[5]]


class TestTwoTeams:
    TEAMS = {"x": ["c", "b"], "y": ["a"]}

    def test_the_mean_is_over_the_teams_own_agents(self):
        paid = payments(ScriptedParallelEnv(SCRIPTS), bag_len=1, team_reward="mean", teams=self.TEAMS)
        assert paid == [
            {"b": 50.5, "a": 10.0, "c": 50.5},
            {"b": 101.0, "a": 20.0, "c": 101.0},
            {"b": 202.0, "a": 40.0, "c": 202.0},
            {"a": 80.0, "c": 800.0},
            {"a": 160.0},
        ]

    def test_a_team_closes_its_bag_with_its_own_last_agent(self):
        paid = payments(ScriptedParallelEnv(SCRIPTS), bag_len=None, team_reward="sum", teams=self.TEAMS)
        assert paid == [{"b": 0.0, "a": 0.0, "c": 0.0}] * 3 + [{"a": 0.0, "c": 1507.0}, {"a": 310.0}]

    @pytest.mark.parametrize(
        ("teams", "error", "said"),
        [
            ({"x": ["a", "b"]}, ValueError, "teams must name every one of .* once"),
            ({"x": ["a", "b", "c"], "y": ["a"]}, ValueError, "teams must name every one of"),
            ({"x": ["a", "b", "c"], "y": []}, ValueError, "teams must name every one of"),
            ({"x": ["a", "b", "d"]}, ValueError, "teams must name every one of"),
            ([["a", "b", "c"]], TypeError, "teams must map names to agents"),
        ],
    )
    def test_teams_that_are_none(self, teams, error, said):
        with pytest.raises(error, match=said):
            parallel.BaggedReward(ScriptedParallelEnv(SCRIPTS), team_reward="sum", teams=teams)


class TestTeams:
    def test_the_sum_is_paid_to_everyone_present_when_the_bag_closes(self):
        assert payments(ScriptedParallelEnv(SCRIPTS), bag_len=3, team_reward="sum") == [
            {"b": 0.0, "a": 0.0, "c": 0.0},
            {"b": 0.0, "a": 0.0, "c": 0.0},
            {"b": 777.0, "a": 777.0, "c": 777.0},
            {"a": 0.0, "c": 0.0},
            {"a": 1040.0},
        ]

    def test_the_mean_is_over_those_who_are_present(self):
        assert payments(ScriptedParallelEnv(SCRIPTS), bag_len=1, team_reward="mean") == [
            {"b": 37.0, "a": 37.0, "c": 37.0},
            {"b": 74.0, "a": 74.0, "c": 74.0},
            {"b": 148.0, "a": 148.0, "c": 148.0},
            {"a": 440.0, "c": 440.0},
            {"a": 160.0},
        ]

    def test_the_sum_starts_with_the_first_agents_reward_not_with_zero(self):
        scripts = {agent: episode([-0.0]) for agent in "ab"}
        [paid] = payments(ScriptedParallelEnv(scripts), bag_len=1, team_reward="sum")
        assert repr(paid) == "{'a': -0.0, 'b': -0.0}"

    def test_a_teams_bag_closes_with_its_last_agent_only(self):
        steps = list(play(parallel.EpisodicReward(ScriptedParallelEnv(SCRIPTS), team_reward="sum")))
        assert [paid for paid, _ in steps][-1] == {"a": 1817.0}
        ends = [{info["bag_end"] for info in infos.values()} for _, infos in steps]
        assert ends == [{False}] * 4 + [{True}]

    @pytest.mark.parametrize(("truncated", "paid"), [(False, 1.0), (True, 0.0)])
    def test_a_team_has_terminated_when_all_who_end_with_it_have(self, truncated, paid):
        scripts = {"a": episode([1.0]), "b": episode([1.0], terminated=not truncated, truncated=truncated)}
        env = parallel.SparseReward(ScriptedParallelEnv(scripts), "terminated", team_reward="sum")
        [(payment, _)] = play(env)
        assert payment == {"a": paid, "b": paid}

    def test_a_teams_criterion_sees_all_agents(self):
        seen = []

        def judge(observations, infos, dense_return, terminated):
            seen.append((sorted(observations), sorted(infos), dense_return, terminated))
            return True

        scripts = {"a": episode([1.0, 2.0]), "b": episode([3.0, 4.0])}
        env = parallel.SparseReward(ScriptedParallelEnv(scripts), judge, team_reward="sum")
        *_, (paid, infos) = play(env)
        assert seen == [(["a", "b"], ["a", "b"], 10.0, True)]
        assert paid == {"a": 1.0, "b": 1.0}
        assert all(info["is_success"] for info in infos.values())


class Odd(ScriptedParallelEnv):
    """Returns infos of everyone at every step, and of one who is no agent."""

    def reset(self, seed=None, options=None):
        observations, infos = super().reset(seed, options)
        return observations, {**infos, "everyone": {"x": 0}}

    def step(self, actions):
        *rest, infos = super().step(actions)
        return *rest, {**{agent: {} for agent in self.possible_agents}, **infos, "everyone": {"x": 1}}


class TestOddEnvironments:
    @pytest.mark.parametrize("team_reward", parallel.TEAM_REWARDS)
    def test_infos_of_those_who_are_not_rewarded_say_false(self, team_reward):
        steps = list(play(parallel.BaggedReward(Odd(SCRIPTS), 1, team_reward=team_reward)))
        assert steps[2][1]["b"]["bag_end"] is True
        assert steps[3][1]["b"] == {"bag_end": False, "reward_observed": False}
        assert steps[3][1]["everyone"] == {"x": 1, "bag_end": False, "reward_observed": False}

    def test_declared_bags_too(self):
        steps = list(play(parallel.DeclaredBags(Odd(SCRIPTS), lambda observation, info: True)))
        assert steps[3][1]["b"]["bag_end"] is False

    def test_a_team_goes_on_where_another_joins_in_the_step_in_which_the_present_end(self):
        class Relay(ScriptedParallelEnv):
            def step(self, actions):
                result = super().step(actions)
                if self._step == 2:
                    self.agents = ["z"]
                return result

            def reset(self, seed=None, options=None):
                result = super().reset(seed, options)
                self.agents = ["a"]
                return {"a": result[0]["a"]}, {"a": {}}

        env = parallel.EpisodicReward(
            Relay({"a": episode([1.0, 2.0]), "z": episode([9.0, 9.0, 3.0, 4.0])}), team_reward="sum"
        )
        assert [paid for paid, _ in play(env)] == [{"a": 0.0}, {"a": 0.0}, {"z": 0.0}, {"z": 10.0}]

    def test_a_reward_after_an_agents_end_is_refused(self):
        class Undead(ScriptedParallelEnv):
            def step(self, actions):
                result = super().step(actions)
                self.agents = list(self.possible_agents)
                self._step = min(self._step, 1)
                return result

        env = parallel.BaggedReward(Undead({"a": episode([1.0, 2.0]), "b": episode([1.0, 2.0, 3.0])}), 5)
        env.reset()
        env.step({"a": 0, "b": 0})
        env.step({"a": 0, "b": 0})
        with pytest.raises(ValueError, match="scripted_v0 rewarded a after its episode had ended"):
            env.step({"a": 0, "b": 0})

    def test_the_aec_interface_is_refused(self):
        with pytest.raises(ValueError, match="must be a PettingZoo ParallelEnv"):
            parallel.BaggedReward(parallel_to_aec(ScriptedParallelEnv(SCRIPTS)))


class Quitting(ScriptedParallelEnv):
    """Ends everything where nobody acts, as PettingZoo's own environments do."""

    def step(self, actions):
        if actions:
            return super().step(actions)
        self.agents = []
        return {}, {}, {}, {}, {}


class TestNobodyActs:
    @pytest.mark.parametrize("team_reward", parallel.TEAM_REWARDS)
    def test_an_episode_that_ends_unrewarded_is_refused(self, team_reward):
        env = parallel.BaggedReward(Quitting(SCRIPTS), 3, team_reward=team_reward)
        env.reset()
        with pytest.raises(ValueError, match="ended without rewarding anyone.*actions={}.*Pass an action for every"):
            env.step({})
        with pytest.raises(gym.error.ResetNeeded, match="the last step rewarded nobody"):
            env.step({})
        env.reset()
        env.step(dict.fromkeys(env.agents, 0))


class TestOptionsReachTheLedgers:
    """The ledgers of agents and of a team get what the wrapper is given."""

    @pytest.mark.parametrize("team_reward", ["per_agent", "sum"])
    def test_a_reward_that_is_not_finite_may_pass_and_spoils_its_own_bag_only(self, team_reward):
        scripts = {"a": episode([np.nan, 1.0, 2.0, 3.0]), "b": episode([1.0] * 4)}
        env = ScriptedParallelEnv(scripts)
        steps = payments(env, bag_len=2, team_reward=team_reward, nonfinite="pass")
        team = team_reward == "sum"
        assert np.isnan(steps[1]["a"])
        assert np.isnan(steps[1]["b"]) == team
        assert steps[3] == ({"a": 7.0, "b": 7.0} if team else {"a": 5.0, "b": 2.0})

    @pytest.mark.parametrize("team_reward", ["per_agent", "sum"])
    @pytest.mark.parametrize("expose_reward", [False, True])
    def test_a_hidden_success_is_told_where_rewards_are_exposed(self, team_reward, expose_reward):
        arguments = {"team_reward": team_reward, "expose_reward": expose_reward, "label_fraction": 1e-12}
        env = parallel.SparseReward(ScriptedParallelEnv({"a": episode([1.0])}), "return", 0.0, **arguments)
        [(paid, infos)] = play(env)
        assert paid == {"a": 0.0}
        assert infos["a"]["is_success"] is expose_reward

    def test_an_agents_criterion_sees_its_own_observation_and_all_of_its_info(self):
        seen = []

        def judge(observation, info, dense_return, terminated):
            seen.append((observation[:2].tolist(), info["reward_own"], dense_return, terminated))
            return True

        scripts = {"a": episode([1.0]), "b": episode([2.0, 3.0], terminated=False, truncated=True)}
        env = parallel.SparseReward(Leaking(scripts), judge, reward_info_keys=["reward_own"], observe_bag=True)
        list(play(env))
        assert seen == [([1.0, 1.0], 1.0, 1.0, True), ([2.0, 2.0], 3.0, 5.0, False)]


class Leaking(ScriptedParallelEnv):
    def step(self, actions):
        observations, rewards, terminated, truncated, infos = super().step(actions)
        return observations, rewards, terminated, truncated, {a: {"reward_own": rewards[a], "x": 1} for a in infos}


class TestInfo:
    def test_what_gives_rewards_away_is_removed_and_given_back_on_request(self):
        for expose in (False, True):
            env = parallel.BaggedReward(Leaking(SCRIPTS), 2, reward_info_keys=["reward_own"], expose_reward=expose)
            _, infos = env.reset(seed=0)
            assert all(info["bag_end"] is False for info in infos.values())
            _, _, _, _, infos = env.step(dict.fromkeys(env.agents, 0))
            assert infos["a"]["x"] == 1
            assert ("reward_own" in infos["a"]) == expose
            assert infos["a"].get("dense_reward") == (10.0 if expose else None)

    def test_the_open_bag_can_be_observed(self):
        env = parallel.BaggedReward(ScriptedParallelEnv(SCRIPTS), 2, observe_bag=True)
        observations, _ = env.reset(seed=0)
        assert env.observation_space("a") is env.observation_space("a")
        counts = [observations["a"][3]]
        while env.agents:
            observations, *_ = env.step(dict.fromkeys(env.agents, 0))
            if "a" in observations:
                assert env.observation_space("a").contains(observations["a"])
                counts.append(observations["a"][3])
        assert counts == [0, 1, 0, 1, 0, 0]

    def test_the_thin_names_are_the_single_ones(self):
        partly = parallel.PartiallyLabeledReward(ScriptedParallelEnv(SCRIPTS))
        assert str(partly.schedule) == "bag_len=1, label_fraction=0.01"
        assert str(parallel.EpisodicReward(ScriptedParallelEnv(SCRIPTS)).schedule) == "bag_len=None"


class TestDeclared:
    def test_borders_by_rule_and_by_death_and_rewards_left_alone(self):
        env = parallel.DeclaredBags(ScriptedParallelEnv(SCRIPTS), lambda observation, info: observation[1] == 2)
        steps = list(play(env))
        assert [paid for paid, _ in steps] == payments(ScriptedParallelEnv(SCRIPTS), bag_len=1)
        ends = [{agent: info["bag_end"] for agent, info in infos.items()} for _, infos in steps]
        assert ends == [
            {"b": False, "a": False, "c": False},
            {"b": True, "a": True, "c": True},
            {"b": True, "a": False, "c": False},
            {"a": False, "c": True},
            {"a": True},
        ]

    def test_by_info_key(self):
        env = parallel.DeclaredBags(Leaking(SCRIPTS), "x")
        assert all(info["bag_end"] and info["reward_observed"] for _, infos in play(env) for info in infos.values())
        with pytest.raises(ValueError, match="closes='y' is not in the info of this step, which has"):
            list(play(parallel.DeclaredBags(Leaking(SCRIPTS), "y")))


def test_rewards_that_are_no_numbers_are_refused_by_name():
    env = parallel.BaggedReward(ScriptedParallelEnv({"a": episode([None])}), team_reward="sum")
    env.reset()
    with pytest.raises(TypeError, match="scripted_v0, a, paid the reward None"):
        env.step({"a": 0})


def test_numpy_scalars_are_paid_as_floats():
    scripts = {"a": episode([np.float32(0.5), np.int64(2)])}
    assert payments(ScriptedParallelEnv(scripts), bag_len=2) == [{"a": 0.0}, {"a": 2.5}]
