"""When `step` and `reset` may be called, what copies may do, and that nothing is shared with the caller."""

import copy
import pickle

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.vector import AutoresetMode

import bagged_envs
from bagged_envs.testing import ScriptedEnv, episode, scripted_vector
from bagged_envs.testing.scripted_parallel import ScriptedParallelEnv
from bagged_envs.wrappers import BaggedReward, DeclaredBags, NonFiniteRewardError, parallel, vector

SCRIPT = [episode([1.0, 2.0, 4.0])]


def every_step(observation, info):
    return True


def agents(scripts=None):
    return ScriptedParallelEnv(scripts or {"a": episode([1.0, 2.0, 4.0]), "b": episode([1.0, 2.0])})


MAKERS = {
    "single": lambda: BaggedReward(ScriptedEnv(SCRIPT), 2),
    "single declared": lambda: DeclaredBags(ScriptedEnv(SCRIPT), every_step),
    "registered": lambda: gym.make("BaggedReacher-v0", max_episode_steps=3),
    "vector": lambda: vector.BaggedReward(scripted_vector([SCRIPT, SCRIPT], AutoresetMode.DISABLED), 2),
    "vector declared": lambda: vector.DeclaredBags(
        scripted_vector([SCRIPT, SCRIPT], AutoresetMode.DISABLED), lambda observations, infos: np.ones(2, dtype=bool)
    ),
    "parallel": lambda: parallel.BaggedReward(agents(), 2),
    "parallel declared": lambda: parallel.DeclaredBags(agents(), every_step),
}


def act(env):
    if hasattr(env, "possible_agents"):
        return env.step(dict.fromkeys(env.agents or env.possible_agents, 0))
    if hasattr(env, "num_envs"):
        return env.step(np.zeros(env.action_space.shape, dtype=env.action_space.dtype))
    return env.step(env.action_space.sample())


@pytest.fixture(params=MAKERS)
def env(request):
    return MAKERS[request.param]()


class TestOrderOfCalls:
    def test_step_before_reset(self, env):
        with pytest.raises(ResetNeeded, match="no episode has begun. Call reset\\(\\) first"):
            act(env)

    def test_step_after_the_end(self, env):
        env.reset()
        for _ in range(3):
            act(env)
        with pytest.raises(ResetNeeded, match="ended"):
            act(env)
        env.reset()
        act(env)

    @pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
    def test_step_after_an_interrupt(self, env, monkeypatch, interrupt):
        def interrupted(action):
            raise interrupt

        env.reset()
        act(env)
        with monkeypatch.context() as patch:
            patch.setattr(env.env, "step", interrupted)
            with pytest.raises(interrupt):
                act(env)
        with pytest.raises(ResetNeeded, match="the last step was interrupted"):
            act(env)
        env.reset()
        act(env)

    def test_step_after_an_error_of_the_environment(self, env, monkeypatch):
        def refused(action):
            raise ValueError("no such action")

        env.reset()
        act(env)
        with monkeypatch.context() as patch:
            patch.setattr(env.env, "step", refused)
            with pytest.raises(ValueError, match="no such action"):
                act(env)
        act(env)

    def test_step_after_close(self, env):
        env.reset()
        env.close()
        with pytest.raises(
            ClosedEnvironmentError, match="step\\(\\) was called on a closed environment: make a new one"
        ):
            act(env)

    def test_reset_after_close(self, env):
        env.reset()
        env.close()
        with pytest.raises(ClosedEnvironmentError, match="reset\\(\\) was called on a closed environment"):
            env.reset()

    def test_closing_twice(self, env):
        env.reset()
        env.close()
        env.close()
        with pytest.raises(ClosedEnvironmentError):
            act(env)


class Counting(ScriptedEnv):
    closed = 0

    def close(self):
        type(self).closed += 1


def test_close_reaches_the_environment_once():
    env = BaggedReward(Counting(SCRIPT))
    env.close()
    env.close()
    assert Counting.closed == 1


def test_with_autoreset_disabled_only_the_ended_must_be_reset():
    envs = vector.BaggedReward(scripted_vector([[episode([1.0])], SCRIPT], AutoresetMode.DISABLED), 3)
    envs.reset(seed=0)
    assert act(envs)[1].tolist() == [1.0, 0.0]
    with pytest.raises(ResetNeeded, match="environments \\[0\\] have ended"):
        act(envs)
    envs.reset(options={"reset_mask": np.array([True, False])})
    act(envs)
    envs.reset(options={"reset_mask": np.array([True, False])})
    assert act(envs)[1].tolist() == [1.0, 7.0]


def test_a_vector_environment_cannot_begin_with_a_part():
    envs = vector.BaggedReward(scripted_vector([SCRIPT, SCRIPT], AutoresetMode.DISABLED))
    with pytest.raises(ResetNeeded, match="mask that leaves environments out cannot begin"):
        envs.reset(options={"reset_mask": np.array([True, False])})


@pytest.mark.parametrize(
    "env",
    [
        BaggedReward(ScriptedEnv([episode([1.0, float("nan"), 1.0])]), 3),
        vector.BaggedReward(scripted_vector([[episode([1.0, float("nan"), 1.0])]]), 3),
        parallel.BaggedReward(agents({"a": episode([1.0, float("nan"), 1.0])}), 3),
    ],
    ids=["single", "vector", "parallel"],
)
def test_after_a_failed_step_an_episode_cannot_go_on(env):
    env.reset()
    act(env)
    with pytest.raises(NonFiniteRewardError):
        act(env)
    with pytest.raises(ResetNeeded, match="the last step failed"):
        act(env)
    env.reset()
    act(env)


def failing_reset(env):
    """A layer outside the simulator that refuses options after the simulator was reset."""

    def reset(**arguments):
        result = type(env).reset(env, **arguments)
        if arguments.get("options") == {"bad": True}:
            raise RuntimeError("bad options")
        return result

    env.reset = reset
    return env


@pytest.mark.parametrize(
    "env",
    [
        BaggedReward(failing_reset(ScriptedEnv(SCRIPT)), 3),
        DeclaredBags(failing_reset(ScriptedEnv(SCRIPT)), every_step),
        vector.BaggedReward(failing_reset(scripted_vector([SCRIPT])), 3),
        parallel.BaggedReward(failing_reset(agents()), 3),
    ],
    ids=["single", "declared", "vector", "parallel"],
)
def test_after_a_failed_reset_no_reward_crosses_into_the_next_episode(env):
    env.reset()
    act(env)
    with pytest.raises(RuntimeError, match="bad options"):
        env.reset(options={"bad": True})
    with pytest.raises(ResetNeeded, match="the last reset failed"):
        act(env)
    env.reset()
    act(env)


WAYS = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda env: pickle.loads(pickle.dumps(env)),
    "cloudpickle": lambda env: pickle.loads(cloudpickle.dumps(env)),
}


class TestCopies:
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("steps", [0, 1, 2, 3])
    def test_a_copy_is_closed_until_reset_and_then_like_new(self, way, steps):
        env = gym.make("BaggedReacher-v0", bag_len=(1, 3), label_fraction=0.5)
        env.reset(seed=1)
        for _ in range(steps):
            act(env)
        twin = WAYS[way](env)
        with pytest.raises(ResetNeeded, match="this wrapper is a copy or was unpickled"):
            twin.step(env.action_space.sample())
        fresh = gym.make("BaggedReacher-v0", bag_len=(1, 3), label_fraction=0.5)
        twin.reset(seed=5)
        fresh.reset(seed=5)
        for _ in range(50):
            action = env.action_space.sample()
            (_, paid, *_, told), (_, other, *_, also_told) = twin.step(action), fresh.step(action)
            assert paid == other
            assert told.keys() == also_told.keys()
            assert told["bag_end"] == also_told["bag_end"]
        act(env)  # the original goes on

    @pytest.mark.parametrize("id", ["BaggedReacher-v0", "BaggedCartpoleSwingup-v0", "SparseHopper-v0"])
    @pytest.mark.parametrize("way", WAYS)
    def test_nothing_of_an_open_bag_is_carried_over(self, id, way):
        env = gym.make(id, max_episode_steps=10)
        env.reset(seed=0)
        for _ in range(4):
            act(env)
        twin = WAYS[way](env)
        again = gym.make(id, max_episode_steps=10)
        for each in (twin, again):
            each.reset(seed=9)
            each.action_space.seed(9)
        assert [act(twin)[1] for _ in range(10)] == [act(again)[1] for _ in range(10)]

    def test_vector_and_parallel_wrappers_too(self):
        for env in (
            MAKERS["vector"](),
            MAKERS["parallel"](),
            MAKERS["vector declared"](),
            MAKERS["parallel declared"](),
        ):
            env.reset(seed=0)
            twin = copy.deepcopy(env)
            with pytest.raises(ResetNeeded, match="copy"):
                act(twin)
            twin.reset(seed=0)
            act(twin)
            act(env)


class TestNothingIsShared:
    def test_values_of_a_step_are_the_same_fifty_steps_later(self):
        for make in (
            lambda: gym.make("BaggedReacher-v0", observe_bag=True),
            lambda: bagged_envs.make_vec("BaggedReacher-v0", 3, observe_bag=True, expose_reward=True),
        ):
            env = make()
            env.reset(seed=0)
            kept = act(env)
            frozen = copy.deepcopy(kept)
            for _ in range(49):
                act(env)
            np.testing.assert_equal(kept, frozen)

    def test_changing_what_was_returned_changes_nothing(self):
        envs = [vector.BaggedReward(scripted_vector([[episode([1.0] * 9)]] * 2), 4, observe_bag=True) for _ in range(2)]
        for env in envs:
            env.reset(seed=0)
        for _ in range(8):
            results = [act(env) for env in envs]
            np.testing.assert_equal(*results)
            observations, paid, *_, infos = results[0]
            observations[:], paid[:] = 77.0, 77.0
            for value in infos.values():
                value[:] = 1

    def test_the_environments_own_info_stays_as_it_is(self):
        class Remembering(ScriptedEnv):
            def _info(self, reward):
                self.own = {"step": self._step, "reward_forward": reward}
                return self.own

        env = BaggedReward(Remembering(SCRIPT), 2, reward_info_keys=["reward_forward"])
        env.reset()
        for reward in (1.0, 2.0):
            *_, info = env.step(0)
            assert "reward_forward" not in info
            assert env.unwrapped.own.keys() == {"step", "reward_forward"}
            assert env.unwrapped.own["reward_forward"] == reward

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_the_callers_options_stay_as_they_are(self, asynchronous):
        envs = vector.BaggedReward(scripted_vector([SCRIPT, SCRIPT], AutoresetMode.DISABLED, asynchronous), 2)
        envs.reset(seed=0)
        mask = np.array([False, True])
        options = {"reset_mask": mask, "x": [1]}
        envs.reset(options=options)
        assert options.keys() == {"reset_mask", "x"}
        assert options["reset_mask"] is mask
        assert mask.tolist() == [False, True]
        envs.close()

    def test_keyword_arguments_of_make_vec_stay_as_they_are(self):
        vector_kwargs = {"autoreset_mode": AutoresetMode.SAME_STEP}
        arguments = {"bag_len": [2, 3], "vector_kwargs": vector_kwargs}
        bagged_envs.make_vec("BaggedReacher-v0", 1, **arguments).close()
        assert arguments == {"bag_len": [2, 3], "vector_kwargs": {"autoreset_mode": AutoresetMode.SAME_STEP}}

    def test_the_environment_is_stepped_once_per_step(self):
        env = BaggedReward(ScriptedEnv(SCRIPT), 2)
        for _ in range(2):
            env.reset()
            for _ in range(3):
                env.step(0)
        assert env.unwrapped.calls == 6

    def test_a_forgotten_vector_wrapper_leaves_the_environment_open(self):
        envs = scripted_vector([SCRIPT])
        vector.BaggedReward(envs).__del__()
        envs.reset(seed=0)
        assert not envs.closed
