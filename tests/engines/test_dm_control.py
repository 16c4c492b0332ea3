"""Native tasks of dm_control's suite are dm_control's own to the bit, alone and in vectors."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from dm_control.rl.control import PhysicsError
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode

import bagged_envs
from bagged_envs.suites.dm_control import NATIVE, camel_case
from bagged_envs.suites.dm_control_measures import MEASURES, calm, gaussian, tolerance
from bagged_envs.testing.rollout import same
from tests.engines.playing import pair, play

TASKS = [camel_case(domain, task) for domain, tasks in NATIVE.items() for task in tasks]
each_task = pytest.mark.parametrize("task", TASKS)
MODES = list(AutoresetMode)


def alone(task, **arguments):
    """dm_control's environment and the native one."""
    return [gym.make(f"Bagged{task}-v0", engine=engine, bag_len=1, **arguments) for engine in ("dm_control", "native")]


def play_alone(task, steps, seed, **arguments):
    theirs, ours = alone(task, **arguments)
    assert type(theirs.unwrapped) is not type(ours.unwrapped)
    assert theirs.observation_space == ours.observation_space
    draw, low, high = np.random.default_rng(seed), ours.action_space.low, ours.action_space.high
    for episode in range(2):
        assert same(ours.reset(seed=seed - episode or None), theirs.reset(seed=seed - episode or None))
        for _ in range(steps):
            action = draw.uniform(low, high)
            mine, other = ours.step(action), theirs.step(action)
            assert same(mine[0], other[0])
            assert mine[1:] == other[1:]
            assert type(mine[1]) is type(other[1]) is float
    ours.close()
    theirs.close()


def test_the_table_lists_what_there_are_measures_for():
    assert [(domain, task) for domain, tasks in NATIVE.items() for task in tasks] == list(MEASURES)


@each_task
def test_a_few_steps_alone(task):
    play_alone(task, steps=12, seed=1)


@pytest.mark.slow
@each_task
def test_a_thousand_steps_and_a_reset_alone(task):
    for seed in (1, 7):
        play_alone(task, steps=1000, seed=seed, dtype="float64", max_episode_steps=-1)


@pytest.mark.parametrize("task", ["CheetahRun", "CartpoleTwoPoles"])
def test_dicts(task):
    play_alone(task, steps=3, seed=1, flatten=False)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("task", ["CartpoleBalance", "WalkerRun"])
def test_in_vectors(task, mode):
    native, theirs = pair(f"Bagged{task}-v0", 3, mode, num_threads=2, max_episode_steps=4, dtype="float64")
    assert play(native, theirs, steps=11, seed=4) >= 6


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@each_task
def test_a_thousand_steps_in_vectors(task, mode):
    native, theirs = pair(f"Bagged{task}-v0", 4, mode, num_threads=2, max_episode_steps=331)
    assert play(native, theirs, steps=1000, seed=4) >= 12


def test_gym_make_keeps_dm_controls_own_unless_asked():
    env = gym.make("BaggedCheetahRun-v0")
    assert type(env.unwrapped).__name__ == "DMControlEnv"
    asked = gym.make(gym.make("BaggedCheetahRun-v0", engine="native").spec)
    assert type(asked.unwrapped).__name__ == "NativeDMControlEnv"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: gym.make("BaggedFishSwim-v0", engine="native"), "the task of engine='native' must be one of .*fish"),
        (lambda: gym.make("BaggedCheetahRun-v0", engine="fast"), "engine must be one of 'dm_control', 'native'"),
        (lambda: native_vector(flatten=False), "flatten=False observes dicts"),
        (lambda: native_vector(engine="dm_control"), "engine with backend='native' must be one of 'native'"),
        (lambda: native_vector(domain="walker"), "domain='walker' contradicts the name CheetahRun"),
        (lambda: native_vector(dtype="int8"), "dtype must be one of 'float32', 'float64'"),
    ],
)
def test_refusals(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def native_vector(num_envs=1, **arguments):
    return bagged_envs.make_vec("BaggedCheetahRun-v0", num_envs, backend="native", **arguments)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [({"flatten": False}, "flatten=False observes dicts"), ({"engine": "dm_control"}, "engine='dm_control' was asked")],
)
def test_auto_goes_back_to_sync_and_says_why(arguments, why):
    envs = bagged_envs.make_vec("BaggedPendulumSwingup-v0", 1, **arguments)
    assert envs.metadata["backend"] == "sync"
    assert envs.metadata["backend_reason"].startswith(why)
    envs.close()


def test_a_simulation_that_runs_away_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    envs = bagged_envs.make_vec("BaggedPendulumSwingup-v0", 2, backend="native").unwrapped
    envs.reset(seed=0)
    envs._batch._envs[1]._env.physics.data.qpos[:] = np.nan
    with pytest.raises(RuntimeError, match="environment 1 could not be stepped: the simulation ran away"):
        envs.step(np.zeros((2, 1)))
    with pytest.raises(ResetNeeded):
        envs.step(np.zeros((2, 1)))
    envs.reset(seed=0)
    envs.step(np.zeros((2, 1)))
    envs.close()


def test_an_action_that_is_not_finite_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = gym.make("BaggedCheetahRun-v0", engine="native").unwrapped
    env.reset(seed=0)
    with pytest.raises(PhysicsError, match="an action was not finite: MuJoCo warned of mjWARN_BADCTRL"):
        env.step(np.full(6, np.nan))


def test_a_window_is_drawn_in_every_step():
    class Viewer:
        """Counts its pictures."""

        def __init__(self):
            self.modes = []

        def render(self, mode):
            self.modes.append(mode)

    for engine in ("native", "dm_control"):
        env = gym.make("BaggedCheetahRun-v0", engine=engine).unwrapped
        env.reset(seed=0)
        env.render_mode, env.viewer = "human", Viewer()
        for _ in range(3):
            env.step(env.action_space.sample())
        assert env.viewer.modes == ["human"] * 3


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_begin_with_a_reset(copied):
    for make in (native_vector, lambda: gym.make("BaggedCheetahRun-v0", engine="native")):
        env = make()
        env.reset(seed=1)
        twin = copied(env)
        with pytest.raises(ResetNeeded):
            twin.step(twin.action_space.sample())
        assert same(twin.reset(seed=3)[0], env.reset(seed=3)[0])
        action = env.action_space.sample()
        assert same(twin.step(action)[0], env.step(action)[0])


class TestMeasures:
    def test_literal_numbers(self):
        assert tolerance(1.0, 0.0, 2.0) == 1.0
        assert tolerance(3.0, 0.0, 2.0) == 0.0
        assert tolerance(4.0, 0.0, 2.0, margin=2.0) == pytest.approx(0.1)
        assert gaussian(0.0) == 1.0
        assert calm(np.array([0.0, 0.5, -1.0, 2.0])).tolist() == [1.0, 0.75, 0.0, 0.0]
