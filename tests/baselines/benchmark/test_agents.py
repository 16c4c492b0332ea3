"""Agents of other libraries: counted, evaluated and kept as our own are."""

import importlib.util
import sys
import types

import gymnasium as gym
import numpy as np
import pytest

from bagged_envs.baselines.benchmark.agents import Watched, factory, named, packages, train_agent
from bagged_envs.baselines.benchmark.arms import ARMS, Arm
from bagged_envs.baselines.benchmark.job import Job
from bagged_envs.baselines.benchmark.result_file import read_result
from bagged_envs.baselines.benchmark.validate import problems, reproduce
from bagged_envs.baselines.learned_reward import LearnedReward
from bagged_envs.baselines.player import SEEDS
from bagged_envs.baselines.sb3 import BagReplayBuffer
from tests.baselines.benchmark.small import ID, PROTOCOL

HAS_SB3 = importlib.util.find_spec("stable_baselines3") is not None


class Constant:
    """Pushes one way; its best action tells how many steps it has made."""

    def __init__(self, env, seed, more=0, fewer=0):
        self.env, self.seed, self.more, self.fewer, self.asked = env, seed, more, fewer, []

    def learn(self, steps):
        self.env.reset()
        for _ in range(steps + self.more - self.fewer):
            *_, terminated, truncated, _ = self.env.step(self.env.action_space.sample())
            if terminated or truncated:
                self.env.reset()

    def act(self, observation):
        self.asked.append(self.env.steps)
        return self.env.action_space.low * 0


@pytest.fixture
def module(monkeypatch):
    made = []
    name = types.ModuleType("an_agent")
    name.make = lambda env, seed, **settings: made.append(Constant(env, seed, **settings)) or made[-1]
    name.PACKAGES = ("numpy",)
    monkeypatch.setitem(sys.modules, "an_agent", name)
    return made


def arm(**settings):
    return Arm("mine", "an_agent:make", "the tests' own", 0, learner=settings)


def job(seed=7, **settings):
    return Job(arm(**settings), ID, {"bag_len": 3}, seed, 120, PROTOCOL)


class TestTraining:
    def test_it_is_evaluated_at_every_so_many_steps(self, module):
        rows = train_agent("an_agent:make", {}, ID, {"bag_len": 3}, 7, 120, every=40, episodes=2)
        assert [row["step"] for row in rows] == [40, 80, 120]
        assert sorted(set(module[0].asked)) == [40, 80, 120]
        assert all(row["return"] > 1.0 and row["paid"] > 1.0 and row["episodes"] > 0 for row in rows)
        assert rows[0]["episodes"] < rows[2]["episodes"]

    def test_what_it_makes_beyond_is_not_counted(self, module):
        rows = train_agent("an_agent:make", {"more": 100}, ID, {"bag_len": 3}, 7, 120, every=40, episodes=2)
        assert [row["step"] for row in rows] == [40, 80, 120]

    def test_one_that_stops_early_is_no_run(self, module):
        with pytest.raises(RuntimeError, match=r"an_agent:make must make 120 steps in learn\(120\), made 119"):
            train_agent("an_agent:make", {"fewer": 1}, ID, {"bag_len": 3}, 7, 120, every=40, episodes=2)

    def test_a_seed_makes_it_the_same_and_training_s_are_not_evaluation_s(self, module):
        same = [train_agent("an_agent:make", {}, ID, {"bag_len": 3}, seed, 80, 40, 2) for seed in (7, 7, 8)]
        returns = [[(row["return"], row["paid"]) for row in rows] for rows in same]
        assert returns[0] == returns[1] != returns[2]
        assert all(0 <= one.seed < SEEDS for one in module)

    def test_what_was_paid_is_the_sum_of_dense_rewards(self):
        env = Watched(gym.make("BaggedReacher-v0", bag_len=7, expose_reward=True), 3, 50, lambda: None)
        for episode in range(3):
            env.reset()
            dense = sum(env.step(env.action_space.sample())[4]["dense_reward"] for _ in range(49))
            assert len(env.returns) == episode  # not before it is whole
            dense += env.step(env.action_space.sample())[4]["dense_reward"]
            assert env.returns[episode:] == [pytest.approx(dense, rel=1e-12)]

    def test_an_episode_that_is_cut_off_counts_for_nothing(self):
        env = Watched(gym.make("BaggedReacher-v0", bag_len=7), 3, 50, lambda: None)
        env.reset()
        for _ in range(20):
            env.step(env.action_space.sample())
        env.reset()
        paid = [env.step(env.action_space.sample())[1] for _ in range(50)]
        assert env.returns == [sum(paid)]
        assert env.steps == 70

    def test_what_was_paid_is_the_mean_since_the_last_evaluation(self, module):
        rows = train_agent("an_agent:make", {}, ID, {"bag_len": 3}, 7, 120, every=40, episodes=2)
        env, told = module[0].env, 0
        for row in rows:
            since = env.returns[told : row["episodes"]]
            assert row["paid"] == pytest.approx(sum(since) / len(since))
            told = row["episodes"]
        assert told == len(env.returns) > 5

    def test_the_first_reset_has_the_run_s_seed(self):
        seen = [Watched(gym.make(ID), seed, 50, lambda: None) for seed in (3, 3, 4)]
        first = [env.reset()[0].tolist() for env in seen]
        assert first[0] == first[1] != first[2]
        assert seen[0].reset()[0].tolist() != first[0]
        assert seen[1].reset(seed=4)[0].tolist() == first[2]


def test_an_agent_of_ones_own_is_known_by_its_code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "changing_agent.py"
    file.write_text("def make(env, seed): ...\n")
    before = packages("changing_agent:make")
    file.write_text("def make(env, seed): return 1\n")
    assert packages("changing_agent:make") != before
    assert list(before) == ["changing_agent"]
    assert "bagged_envs.baselines.benchmark.sb3_agents" not in packages(ARMS["sb3-td3"].method)


class TestJobs:
    def test_versions_that_a_module_names_are_in_the_key(self, module):
        assert packages("an_agent:make") == {"numpy": np.__version__}

    def test_a_redistributor_must_be_named(self):
        given = {"name": "rrd", "bags": 3}
        assert named(given) == ("rrd", {"bags": 3})
        assert given == {"name": "rrd", "bags": 3}
        with pytest.raises(ValueError, match=r"redistributor must have a name, such as .*, got \{'bags': 3\}"):
            named({"bags": 3})

    def test_a_run_is_kept_and_keeps_the_protocol(self, module, tmp_path):
        one = job()
        result = one.work(tmp_path)
        folder = one.folder(tmp_path)
        assert read_result(folder) == result
        assert result["job"]["versions"]["numpy"]
        assert problems(folder, PROTOCOL) == []
        assert reproduce(folder, PROTOCOL).same

    def test_settings_are_in_the_key(self, module):
        assert job().key == job().key
        assert len({job().key, job(more=1).key, job(seed=8).key}) == 3

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("nowhere_at_all:make", "'nowhere_at_all:make' needs .* there is no module 'nowhere_at_all'"),
            ("an_agent.inside:make", "there is no module 'an_agent.inside'"),
            ("an_agent:mak", "an_agent has no function 'mak'"),
            ("json:__doc__", "json has no function '__doc__'"),
        ],
    )
    def test_an_unknown_factory_is_said(self, module, name, message):
        with pytest.raises(ImportError, match=message):
            factory(name)

    @pytest.mark.parametrize("method", [":", "an_agent:", ":make"])
    def test_half_a_name_is_refused(self, method):
        with pytest.raises(ValueError, match=f"method of 'mine' must be module:function, or .*, got {method!r}"):
            Arm("mine", method, "here", 0)

    @pytest.mark.parametrize("group", ["redistributor", "training"])
    def test_an_agent_has_settings_of_its_own_only(self, group):
        with pytest.raises(
            ValueError, match=f"{group} of 'mine' must be empty for kind 'agent': name settings in learner"
        ):
            Arm("mine", "an_agent:make", "here", 0, **{group: {"bags": 3}})


@pytest.mark.skipif(not HAS_SB3, reason="needs stable-baselines3")
class TestStableBaselines3:
    def test_redistributed_rewards_are_learned_from(self):
        from bagged_envs.baselines.benchmark.sb3_agents import ppo, sac

        agent = sac(gym.make(ID), 0, {"name": "rrd", "bags": 3}, buffer_size=100)
        assert isinstance(agent.model.replay_buffer, BagReplayBuffer)
        assert agent.model.replay_buffer.redistributor.name == "rrd"
        assert agent.model.replay_buffer.redistributor.config.bags == 3
        inner = ppo(gym.make(ID), 0, {"name": "rrd"}).model.get_env().envs[0]
        assert isinstance(inner, LearnedReward)
