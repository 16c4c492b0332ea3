"""PettingZoo's face of every task with several agents: its own tests, ours, and PettingZoo's registry."""

import copy
import itertools

import gymnasium as gym
import numpy as np
import pettingzoo
import pytest
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, render_test
from pettingzoo.utils.conversions import parallel_to_aec

import bagged_envs
from bagged_envs import make_parallel
from bagged_envs.multi_agent.parallel import BatchParallelEnv
from bagged_envs.particle.triangle_area import TriangleArea
from bagged_envs.tasks import TASKS
from bagged_envs.testing.model import in_order
from bagged_envs.testing.rollout import same

MULTI_AGENT = [name for name, task in TASKS.items() if task.agents]
OURS = [name for name in MULTI_AGENT if TASKS[name].ours]


def rollout(env, seed, options=None, episodes=1):
    """Whole episodes of seeded random actions, as PettingZoo's seed test looks at one step only."""
    for agent in env.possible_agents:
        env.action_space(agent).seed(seed + env.possible_agents.index(agent))
    record = []
    for number in range(episodes):
        record.append(env.reset(seed=seed if number == 0 else None, options=options))
        while env.agents:
            record.append(env.step({agent: env.action_space(agent).sample() for agent in env.agents}))
    return record


# What PettingZoo's test says of spaces without bounds, of roles that differ, and of zeros that are right.
@pytest.mark.filterwarnings(
    "ignore:Agent's (minimum|maximum) observation space value is",
    "ignore:Agents have different observation space sizes",
    "ignore:Observations are different shapes",
    "ignore:Observation numpy array is all zeros",
)
@pytest.mark.parametrize("name", MULTI_AGENT)
class TestEveryTask:
    def test_pettingzoos_parallel_api(self, name):
        parallel_api_test(make_parallel(f"Bagged{name}-v0", bag_len=4), num_cycles=60)

    def test_pettingzoos_seeds(self, name):
        parallel_seed_test(lambda: make_parallel(f"Bagged{name}-v0", bag_len=(1, 4)))

    def test_pettingzoos_api_after_conversion(self, name):
        api_test(parallel_to_aec(make_parallel(f"Episodic{name}-v0", max_episode_steps=5)), num_cycles=20)

    def test_whole_episodes_follow_the_seed(self, name):
        first, again, other = (
            rollout(make_parallel(f"Bagged{name}-v0", bag_len=(1, 4)), seed, episodes=2) for seed in (3, 3, 4)
        )
        assert len(first) == 52
        assert same(first, again)
        assert not same(first, other)

    def test_the_delay_changes_rewards_and_info_only_and_pays_each_team_its_sum(self, name):
        delayed, dense = make_parallel(f"Bagged{name}-v0", bag_len=7), dense_parallel(name)
        with_delay, without = rollout(delayed, 5), rollout(dense, 5)
        assert same([step[0] for step in with_delay], [step[0] for step in without])
        assert same([step[2:4] for step in with_delay[1:]], [step[2:4] for step in without[1:]])
        for members in delayed.teams.values():
            stream = [in_order([step[1][agent] for agent in members]) for step in without[1:]]
            bags = [in_order(stream[start : start + 7]) for start in range(0, 25, 7)]
            for agent in members:
                paid = [step[1][agent] for step in with_delay[1:]]
                assert [paid[i] for i in (6, 13, 20, 24)] == bags
                assert not any(paid[i] for i in range(24) if i not in (6, 13, 20))

    def test_the_joint_view_agrees_to_the_bit(self, name):
        """The first team's rewards and observations, with the same actions of everybody."""
        parallel = make_parallel(f"Bagged{name}-v0", bag_len=4)
        team = next(iter(parallel.teams))
        members = parallel.teams[team]
        others = [agent for agent in parallel.possible_agents if agent not in members]
        arguments = {"opponents": lambda seen, generator: dict.fromkeys(seen, 1)} if others else {}
        joint = gym.make(f"Bagged{name}-v0", bag_len=4, **arguments)
        assert joint.unwrapped.agents == members
        seen, _ = parallel.reset(seed=6)
        assert same(by_agent(joint.reset(seed=6)[0], members), {agent: seen[agent] for agent in members})
        joint.action_space.seed(0)
        while parallel.agents:
            action = joint.action_space.sample()
            actions = dict(zip(members, action.tolist(), strict=True)) | dict.fromkeys(others, 1)
            seen, rewards, _, truncated, infos = parallel.step(actions)
            observation, reward, _, cut, info = joint.step(action)
            assert same(by_agent(observation, members), {agent: seen[agent] for agent in members})
            assert (reward, cut) == (rewards[members[0]], truncated[members[0]])
            assert info["bag_end"] == infos[members[0]]["bag_end"]


def by_agent(observation, agents):
    return observation if isinstance(observation, dict) else dict(zip(agents, observation, strict=True))


def dense_parallel(name):
    """The undelayed environment: by its own ID where it is ours, else from beneath the delay."""
    if TASKS[name].ours:
        return make_parallel(f"{name}-v0")
    return make_parallel(f"Bagged{name}-v0").env


# Each way of drawing once: it plays many steps.
@pytest.mark.parametrize("name", ["CooperativeNavigation", pytest.param("CollectTreasure", marks=pytest.mark.slow)])
def test_pettingzoos_render_test(name, monkeypatch):
    # "human" opens a window.
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    render_test(lambda render_mode: parallel_to_aec(make_parallel(f"Bagged{name}-v0", render_mode=render_mode)))


class TestMakeParallel:
    def test_per_agent_and_mean(self):
        dense = rollout(dense_parallel("SimpleReference"), 1)[1:]
        own = rollout(make_parallel("EpisodicSimpleReference-v0", team_reward="per_agent"), 1)[-1][1]
        assert own == {agent: in_order([step[1][agent] for step in dense]) for agent in own}
        mean = rollout(make_parallel("EpisodicSimpleReference-v0", team_reward="mean"), 1)[-1][1]
        expected = in_order([in_order(list(step[1].values())) / 2 for step in dense])
        assert mean == dict.fromkeys(mean, expected)

    def test_a_dense_id_pays_each_agent_its_own_and_refuses_the_teams(self):
        own = rollout(make_parallel("TriangleArea-v0", team_reward="per_agent"), 1)[1:]
        assert same([step[1] for step in own], [step[1] for step in rollout(make_parallel("TriangleArea-v0"), 1)[1:]])
        assert any(len(set(step[1].values())) > 1 for step in own)
        specs = {
            "TriangleArea": gym.make("TriangleArea-v0", team_reward="mean").spec,
            "SimpleSpread": bagged_envs.dense("BaggedSimpleSpread-v0", team_reward="mean").spec,
        }
        for name, spec in specs.items():
            said = f"^team_reward='mean' has no use in {spec.id}, .* its own .* take Bagged{name}-v0 with bag_len=1"
            with pytest.raises(ValueError, match=said):
                make_parallel(spec)
            make_parallel(spec, team_reward=None)
        with pytest.raises(ValueError, match="^team_reward='sum' has no use in TriangleArea-v0"):
            make_parallel("TriangleArea-v0", team_reward="sum")

    def test_and_what_it_advises_instead_pays_the_teams_at_every_step(self):
        advised = make_parallel("BaggedTriangleArea-v0", bag_len=1, team_reward="mean")
        joint = gym.make("TriangleArea-v0", team_reward="mean")
        advised.reset(seed=3)
        joint.reset(seed=3)
        for action in ([1, 2, 3], [4, 4, 1], [2, 2, 2]):
            paid = advised.step(dict(zip(advised.agents, action, strict=True)))[1]
            assert paid == dict.fromkeys(paid, joint.step(np.array(action))[1])

    def test_individual_rewards_are_exposed_on_request_only(self):
        record = rollout(make_parallel("EpisodicTriangleArea-v0", expose_reward=True), 2)
        dense = rollout(dense_parallel("TriangleArea"), 2)
        for told, paid in zip(record[1:], dense[1:], strict=True):
            assert {agent: info["dense_reward"] for agent, info in told[4].items()} == paid[1]
            assert all("area" in info for info in told[4].values())
        for step in rollout(make_parallel("EpisodicTriangleArea-v0"), 2)[1:]:
            assert all(set(info) == {"bag_end", "reward_observed"} for info in step[4].values())

    def test_time_limits(self):
        for limit, steps in ((9, 9), (40, 40), (None, 25)):
            env = make_parallel("EpisodicTriangleArea-v0", max_episode_steps=limit)
            assert len(rollout(env, 0)) - 1 == steps
        endless = make_parallel("BaggedTriangleArea-v0", max_episode_steps=-1)
        endless.reset(seed=0)
        for _ in range(60):
            endless.step(dict.fromkeys(endless.agents, 0))
        assert endless.agents

    def test_an_episode_without_an_end_is_warned_of(self):
        with pytest.warns(UserWarning, match="TriangleArea has no time limit"):
            make_parallel("EpisodicTriangleArea-v0", max_episode_steps=-1)

    def test_a_spec_of_the_same_id(self):
        spec = gym.make("BaggedCooperativeNavigation-v0", bag_len=5, num_agents=3).spec
        env = make_parallel(spec)
        assert env.schedule.bag_len == 5
        assert env.num_agents == 0
        assert len(env.possible_agents) == 3

    def test_success_of_a_team(self):
        env = make_parallel("SparseTriangleArea-v0", threshold=0.0, max_episode_steps=3)
        steps = rollout(env, 0)[1:]
        assert [list(step[1].values()) for step in steps] == [[0.0] * 3, [0.0] * 3, [1.0] * 3]
        assert all(info["is_success"] for info in steps[-1][4].values())

    @pytest.mark.parametrize(
        ("id", "arguments", "error", "said"),
        [
            ("BaggedKeyDoor-v0", {}, ValueError, "id='BaggedKeyDoor-v0' has one agent: make it with gym.make"),
            ("BaggedTriangleArea-v0", {"face": "tuple"}, ValueError, "face='tuple' has no use here"),
            ("BaggedTriangleArea-v0", {"team": "agents"}, ValueError, "team='agents' has no use here"),
            ("BaggedTriangleArea-v0", {"opponents": "still"}, ValueError, "opponents='still' has no use here"),
            ("BaggedTriangleArea-v0", {"team_reward": "max"}, ValueError, "team_reward must be one of"),
            ("BaggedTriangleArea-v0", {"bag_len": 0}, ValueError, "bag_len"),
            ("BaggedTriangleArea-v0", {"bag_length": 3}, TypeError, "bag_length"),
            (
                "BaggedTriangleArea-v0",
                {"max_episode_steps": 0},
                ValueError,
                "max_episode_steps must be an int of at le",
            ),
            ("BaggedTriangleArea-v0", {"render_mode": "ansi"}, ValueError, "render_mode must be None or one of"),
            ("EpisodicTriangleArea-v0", {"bag_len": 3}, ValueError, "bag_len=3 contradicts the name"),
            ("BaggedTriangleAria-v0", {}, gym.error.NameNotFound, "TriangleArea"),
            ("BaggedSimpleSpread-v0", {"scenario": "simple_sprad_v3"}, ValueError, "contradicts the name SimpleSpread"),
            ("BaggedSimpleSpread-v0", {"scenario": "simple_tag_v3"}, ValueError, "contradicts the name SimpleSpread"),
            ("BaggedSimpleSpread-v0", {"render_mode": "ansi"}, ValueError, "render_mode must be one of 'human'"),
            ("TriangleArea-v0", {"bag_len": 3}, TypeError, "bag_len=3 has no use in TriangleArea-v0, which is dense"),
            ("TriangleArea-v0", {"team_reward": "max"}, ValueError, "team_reward must be one of"),
            ("BaggedSimpleSpread-v0", {"max_cycles": 3}, TypeError, "max_cycles=3 is called max_episode_steps here"),
        ],
    )
    def test_refusals(self, id, arguments, error, said):
        with pytest.raises(error, match=said):
            make_parallel(id, **arguments)


class TestBatchFace:
    @pytest.fixture
    def env(self):
        env = BatchParallelEnv(TriangleArea(), max_episode_steps=3)
        env.reset(seed=0)
        return env

    @pytest.mark.parametrize(
        ("actions", "said"),
        [
            ({"agent_0": 1, "agent_1": 1}, "one for every agent of .*, got none for 'agent_2'"),
            ({"agent_0": 1, "agent_1": 1, "agent_2": 5}, r"actions must be in Discrete\(5\)"),
            ({"agent_0": 1, "agent_1": -1, "agent_2": 0}, r"actions must be in Discrete\(5\)"),
            ({"agent_0": 1, "agent_1": 1.5, "agent_2": 0}, "actions must be ints of"),
            ({"agent_0": [1], "agent_1": [1], "agent_2": [0]}, "actions must be ints of"),
        ],
    )
    def test_wrong_actions(self, env, actions, said):
        with pytest.raises(ValueError, match=said):
            env.step(actions)

    @pytest.mark.parametrize("options", [[("positions", 1)], "positions"])
    def test_options_are_a_mapping(self, env, options):
        with pytest.raises(TypeError, match="options must be a dict or None, got"):
            env.reset(options=options)

    def test_no_step_after_the_end_or_before_the_beginning(self, env):
        for _ in range(3):
            env.step(dict.fromkeys(env.agents, 0))
        for ended in (env, BatchParallelEnv(TriangleArea())):
            with pytest.raises(gym.error.ResetNeeded, match=r"Call reset\(\) first"):
                ended.step({})

    def test_several_worlds_are_refused(self):
        with pytest.raises(ValueError, match="batch must have num_envs=1, got 2"):
            BatchParallelEnv(TriangleArea(num_envs=2))

    def test_the_state_is_what_all_observe(self, env):
        observations = env.step(dict.fromkeys(env.agents, 2))[0]
        assert np.array_equal(env.state(), np.concatenate(list(observations.values())))

    def test_seeds_go_on_without_one(self, env):
        first = copy.deepcopy(env.reset(seed=1)[0])
        second = env.reset()[0]
        assert not same(first, second)
        assert same(env.reset(seed=1)[0], first)
        assert same(env.reset()[0], second)


class TestRegistry:
    def test_pettingzoo_makes_our_ids(self):
        ids = bagged_envs.register_pettingzoo()
        assert ids == bagged_envs.register_pettingzoo()
        assert {"EpisodicTriangleArea-v0", "TriangleArea-v0", "SparseSimpleSpread-v0"} <= set(ids)
        assert not {"BaggedKeyDoor-v0", "BaggedWalker2d-v0"} & set(ids)
        env = pettingzoo.make("parallel", "EpisodicTriangleArea-v0", max_cycles=7, team_reward="mean")
        steps = rollout(env, 0)[1:]
        assert len(steps) == 7
        assert [step[1]["agent_0"] != 0.0 for step in steps] == [False] * 6 + [True]
        assert len(rollout(pettingzoo.make("parallel", "TriangleArea-v0"), 0)) == 26

    def test_and_as_aec(self):
        bagged_envs.register_pettingzoo()
        env = pettingzoo.make("aec", "BaggedSimpleReference-v0", max_cycles=2, bag_len=2)
        env.reset(seed=0)
        paid = {}
        for agent in env.agent_iter():
            _, reward, terminated, truncated, _ = env.last()
            paid[agent] = paid.get(agent, 0.0) + reward
            env.step(None if terminated or truncated else 0)
        assert len(set(paid.values())) == 1
        assert paid["agent_0"] < 0.0


class TestSolved:
    def test_mpe2s_own_criterion(self):
        """`solved` is what mpe2 would end the episode by."""
        ending = make_parallel("BaggedSimpleTag-v0", terminate_on_success=True, max_episode_steps=400).env
        telling = make_parallel("BaggedSimpleTag-v0", max_episode_steps=400, expose_reward=True)
        ends = 0
        for seed in itertools.count():
            ending.reset(seed=seed)
            telling.reset(seed=seed)
            for agent in ending.possible_agents:
                ending.action_space(agent).seed(seed)
            while ending.agents:
                actions = {agent: ending.action_space(agent).sample() for agent in ending.agents}
                terminated = ending.step(actions)[2]
                infos = telling.step(actions)[4]
                assert {info["solved"] for info in infos.values()} == {any(terminated.values())}
            ends += any(terminated.values())
            if ends > 1:
                break

    @pytest.mark.parametrize(
        ("name", "told", "sparse"),
        [
            ("SimpleSpread", True, True),
            ("SimpleFormation", True, True),
            ("SimpleLine", True, True),
            ("SimpleTag", True, False),  # one team's success is the other's failure
            ("SimplePush", False, False),
        ],
    )
    def test_who_has_one(self, name, told, sparse):
        assert (f"Sparse{name}-v0" in gym.registry) == sparse
        for expose in (True, False):
            _, infos = make_parallel(f"Bagged{name}-v0", expose_reward=expose).reset(seed=0)
            assert all(("solved" in info) == (told and expose) for info in infos.values())
