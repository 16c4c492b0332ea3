"""Both faces of a batch: the vector environment is Gymnasium's vector of the single ones, to the bit."""

import copy
import pickle
import random

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode

from bagged_envs.envs.charge_discharge import ChargeDischarge, ChargeDischargeBatch
from bagged_envs.envs.key_door import KeyDoor, KeyDoorBatch
from bagged_envs.envs.trace_back import TraceBack
from bagged_envs.native import BatchEnv, NativeVectorEnv
from bagged_envs.wrappers.vector import BaggedReward, SparseReward
from tests.envs.cases import CASE_IDS, CASES, Probe, ProbeBatch, native, sync
from tests.wrappers.test_laws import assert_same

MODES = [mode.value for mode in AutoresetMode]


def rollout(envs, number, steps=70):
    """All that `reset` and `step` return, with seeds of every form, resets in mid-episode and masks drawn at random."""
    draw = random.Random(number)
    space, size = copy.deepcopy(envs.action_space), envs.num_envs
    space.seed(number)
    returned = [envs.reset(seed=draw.choice([number, [number + 7 * slot for slot in range(size)]]))]
    ended = np.zeros(size, dtype=bool)
    for _ in range(steps):
        mask = np.array([draw.random() < 0.3 for _ in range(size)])
        seed = draw.choice([None, number, [None if draw.random() < 0.5 else slot for slot in range(size)]])
        if envs.metadata["autoreset_mode"] is AutoresetMode.DISABLED and ended.any():
            returned.append(envs.reset(seed=seed, options={"reset_mask": mask | ended}))
        elif draw.random() < 0.15:
            whole = mask if mask.any() else ~mask
            returned.append(envs.reset(seed=seed, options=draw.choice([None, {}, {"reset_mask": whole}])))
        returned.append(envs.step(space.sample()))
        ended = returned[-1][2] | returned[-1][3]
    return tuple(returned)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("task", "arguments"), [*CASES, (Probe, {})], ids=[*CASE_IDS, "Probe"])
def test_it_agrees_with_gymnasiums_vector_to_the_bit(task, arguments, mode):
    for number in range(4):
        draw = random.Random(number)
        limit, size = draw.choice([None, 1, 2, 7, 13]), draw.randint(1, 4)
        ours, theirs = (make(task, size, arguments, limit, mode) for make in (native, sync))
        assert (ours.observation_space, ours.action_space) == (theirs.observation_space, theirs.action_space)
        assert ours.single_observation_space == theirs.single_observation_space
        assert ours.metadata == theirs.metadata
        returned = rollout(ours, number)
        assert_same(returned, rollout(theirs, number))
        assert all(space_holds(ours, step[0]) for step in returned)
        assert ours.np_random_seed == theirs.np_random_seed
        assert [g.bit_generator.state for g in ours.np_random] == [g.bit_generator.state for g in theirs.np_random]


def space_holds(envs, observations):
    return observations in envs.observation_space


def test_episodes_that_end_both_ways_are_part_of_that():
    """Otherwise the test above would say little."""
    steps = [step for step in rollout(native(Probe, 4, {}, 7, "SameStep"), 1) if len(step) == 5]
    assert any(step[2].any() and not step[2].all() for step in steps)
    assert any(step[3].any() for step in steps)
    final = next(step[4] for step in steps if step[2].any())
    assert set(final) >= {"final_obs", "_final_obs", "final_info", "_final_info", "time", "_time"}
    assert final["final_info"]["last"].shape == (4, 3)
    assert final["even"].dtype == final["final_info"]["_even"].dtype == bool


@pytest.mark.parametrize("mode", MODES)
def test_delays_around_it_agree_too(mode):
    for wrap in (lambda e: BaggedReward(e, bag_len=3, expose_reward=True), lambda e: SparseReward(e, "terminated")):
        ours, theirs = (wrap(make(KeyDoor, 3, {"size": 2, "delay": 1}, 9, mode)) for make in (native, sync))
        assert_same(rollout(ours, 5), rollout(theirs, 5))


class TestOneCopy:
    def test_literal_steps(self):
        env = ChargeDischarge(delay=2)
        observation, info = env.reset(seed=0)
        assert observation.tolist() == [0, 0]
        assert (observation.dtype, info) == (np.int64, {})
        observation, *rest = env.step(0)
        assert (observation.tolist(), rest) == ([1, 1], [0.0, False, False, {}])
        observation, *rest = env.step(np.int64(1))
        assert (observation.tolist(), rest) == ([0, 2], [10.0, True, False, {}])
        assert [type(value) for value in rest] == [float, bool, bool, dict]

    def test_info_is_of_scalars(self):
        env = Probe()
        env.reset(seed=0)
        info = env.step(np.array([0.5, -0.5, 1.0], dtype=np.float32))[4]
        assert (info["time"], info["even"]) == (1, False)
        assert [type(info[key]) for key in ("time", "drawn", "even")] == [np.int64, np.float32, bool]
        assert (info["last"].tolist(), info["signs"].tolist()) == ([0.5, -0.5, 1.0], [True, False, True])

    @pytest.mark.parametrize("action", [2, -1, 0.0, None, "0", [0], np.array([0])])
    def test_a_wrong_action_is_named(self, action):
        env = ChargeDischarge()
        env.reset()
        with pytest.raises(ValueError, match=r"action must be in Discrete\(2\), got "):
            env.step(action)

    def test_a_step_needs_a_reset(self):
        with pytest.raises(ResetNeeded, match=r"Call reset\(\) first"):
            ChargeDischarge().step(0)

    def test_several_copies_are_refused(self):
        with pytest.raises(ValueError, match="batch must have num_envs=1, got 2"):
            BatchEnv(ChargeDischargeBatch(2))

    def test_observations_stay_as_they_were(self):
        env = TraceBack()
        first, _ = env.reset(seed=0)
        env.step(0)
        assert first.tolist() == [2, 2, 0]

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
    def test_a_copy_goes_on_alone(self, copied):
        env = TraceBack(noise=0.5)
        env.reset(seed=4)
        env.step(0)
        other = copied(env)
        ahead = [env.step(1)[1] for _ in range(10)]
        assert ahead == [other.step(1)[1] for _ in range(10)]
        assert sorted(set(ahead)) == [-0.5, 0.5, 5.0]


class TestSeveralCopies:
    def envs(self, mode="NextStep", limit=None, size=3):
        return native(ChargeDischarge, size, {"delay": 3}, limit, mode)

    def test_literal_steps(self):
        envs = self.envs(limit=2)
        observations, infos = envs.reset(seed=0)
        assert (observations.tolist(), infos) == ([[0, 0]] * 3, {})
        observations, rewards, terminated, truncated, infos = envs.step([0, 1, 0])
        assert (observations.tolist(), rewards.tolist()) == ([[1, 1], [0, 1], [1, 1]], [0.0, 1.0, 0.0])
        observations, rewards, terminated, truncated, infos = envs.step([1, 1, 0])
        assert rewards.tolist() == [10.0, 1.0, 0.0]
        assert (terminated.tolist(), truncated.tolist()) == ([False] * 3, [True] * 3)
        observations, rewards, terminated, truncated, infos = envs.step([1, 1, 1])
        assert (observations.tolist(), rewards.tolist(), truncated.any()) == ([[0, 0]] * 3, [0.0] * 3, False)

    def test_the_callers_options_are_left_alone(self):
        envs, options = self.envs(), {"reset_mask": np.array([True, False, True])}
        envs.reset(seed=0)
        envs.step([1, 1, 1])
        mask = options["reset_mask"]
        observations, _ = envs.reset(options=options)
        assert observations[:, 1].tolist() == [0, 1, 0]
        assert list(options) == ["reset_mask"]
        assert options["reset_mask"] is mask
        assert mask.tolist() == [True, False, True]

    def test_options_reach_the_task(self):
        envs = native(Probe, 2, {})
        mask = np.array([True, True])
        assert envs.reset(seed=0, options={"time": 5, "reset_mask": mask})[1]["time"].tolist() == [5, 5]
        with pytest.raises(ValueError, match=r"options \{'tame'\} are unknown"):
            envs.reset(options={"tame": 5})
        with pytest.raises(ValueError, match=r"options must be None or empty, got \{'brand': 1\}"):
            self.envs().reset(options={"brand": 1})

    def test_what_is_returned_is_the_callers_own(self):
        """Writing into it changes nothing that comes later."""
        ours, theirs = (make(Probe, 3, {}, 5, "SameStep") for make in (native, sync))
        actions = np.full((3, 3), 0.5, dtype=np.float32)
        ours.reset(seed=1)[0][:] = 99.0
        theirs.reset(seed=1)
        for _ in range(20):
            returned = ours.step(actions)
            assert_same(returned, theirs.step(actions))
            for array in (*returned[:4], returned[4]["last"], returned[4]["_last"]):
                array[:] = 1

    @pytest.mark.parametrize(
        "actions", [[0, 1], [0, 1, 2], [0, -1, 0], np.zeros(3), 0, None, "abc", np.zeros((3, 1), dtype=int)]
    )
    def test_wrong_actions_are_named(self, actions):
        envs = self.envs()
        envs.reset(seed=0)
        with pytest.raises(ValueError, match=r"actions must be 3 of Discrete\(2\), an array of shape \(3,\)"):
            envs.step(actions)

    def test_actions_of_any_integer_type_will_do(self):
        envs = self.envs()
        for kind in (np.int8, np.uint8, np.int32, np.int64):
            envs.reset(seed=0)
            assert envs.step(np.array([0, 1, 1], dtype=kind))[1].tolist() == [0.0, 1.0, 1.0]

    def test_when_a_step_needs_a_reset(self):
        envs = self.envs("Disabled")
        with pytest.raises(ResetNeeded, match="no episode has begun"):
            envs.step([0, 0, 0])
        with pytest.raises(ResetNeeded, match="cannot begin"):
            envs.reset(options={"reset_mask": np.array([True, False, False])})
        envs.reset(options={"reset_mask": np.array([True, True, True])})
        envs.step([0, 0, 0])
        envs.reset(options={"reset_mask": np.array([False, True, False])})
        envs.step([0, 0, 0])
        assert envs.step([0, 0, 0])[2].tolist() == [True, False, True]
        with pytest.raises(ResetNeeded, match=r"environments \[0, 2\] have ended"):
            envs.step([0, 0, 0])

    @pytest.mark.parametrize("seed", [[1, 2], [1, 2, 3, 4], []])
    def test_there_is_a_seed_for_each(self, seed):
        with pytest.raises(ValueError, match="seed must be an int or 3 seeds, got "):
            self.envs().reset(seed=seed)

    def test_a_seed_is_one_seed_per_copy(self):
        starts = [KeyDoor().reset(seed=seed)[0].tolist() for seed in (11, 12, 13, 14)]
        assert len(set(map(tuple, starts))) > 1
        envs = native(KeyDoor, 4, {})
        assert envs.reset(seed=11)[0].tolist() == starts
        assert envs.reset(seed=np.int64(11))[0].tolist() == starts
        assert envs.reset(seed=[14, 13, 12, 11])[0].tolist() == starts[::-1]
        assert envs.np_random_seed == (14, 13, 12, 11)

    def test_a_refused_seed_changes_nothing(self):
        envs = native(KeyDoor, 2, {})
        envs.reset(seed=1)
        with pytest.raises(gym.error.Error):
            envs.reset(seed=[5, -1])
        assert envs.np_random_seed == (1, 2)

    def test_without_a_seed_copies_differ(self):
        envs = native(KeyDoor, 8, {})
        envs.reset()
        assert len(set(envs.np_random_seed)) == 8

    def test_metadata_is_its_own(self):
        one, other = (native(KeyDoor, 1, {}, mode=mode) for mode in ("SameStep", "Disabled"))
        assert one.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
        assert other.metadata["autoreset_mode"] is AutoresetMode.DISABLED
        assert "autoreset_mode" not in KeyDoor.metadata
        env = KeyDoor()
        env.metadata["autoreset_mode"] = AutoresetMode.DISABLED  # as SyncVectorEnv did before Gymnasium 1.3
        assert "autoreset_mode" not in KeyDoor().metadata

    def test_it_can_be_given_a_specification(self):
        envs = self.envs()
        assert repr(envs) == "NativeVectorEnv(num_envs=3)"
        envs.spec = gym.envs.registration.EnvSpec("ChargeDischarge-v0", entry_point="x:y")
        assert repr(envs) == "NativeVectorEnv(ChargeDischarge-v0, num_envs=3)"

    @pytest.mark.parametrize(
        ("arguments", "error", "words"),
        [
            ({"max_episode_steps": 0}, ValueError, "max_episode_steps must be an int of at least 1, got 0"),
            ({"max_episode_steps": 2.0}, TypeError, "max_episode_steps must be an int of at least 1, got 2.0"),
            ({"autoreset_mode": "Sometimes"}, ValueError, "Sometimes"),
            ({"render_mode": "human"}, ValueError, "render_mode must be one of 'rgb_array', 'ansi', got 'human'"),
        ],
    )
    def test_wrong_arguments_are_named(self, arguments, error, words):
        with pytest.raises(error, match=words):
            NativeVectorEnv(KeyDoorBatch(2), **arguments)

    def test_render_gives_a_picture_of_each(self):
        ours, theirs = (make(KeyDoor, 3, {}, render_mode="rgb_array") for make in (native, sync))
        ours.reset(seed=0), theirs.reset(seed=0)
        assert_same(ours.render(), theirs.render())
        envs = NativeVectorEnv(ProbeBatch(2), render_mode="ansi")
        envs.reset(seed=0)
        assert envs.render() == ("ansi 0", "ansi 0")
        with pytest.warns(UserWarning, match="without a render_mode"):
            assert self.envs(size=1).render() == (None,)
