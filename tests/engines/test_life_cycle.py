"""Errors that name the environment, closing, copies, pictures."""

import copy
import gc
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.vector import AutoresetMode

import bagged_envs
from bagged_envs.engines.simulators import SimulationError
from tests.engines.playing import pair

ID = "BaggedInvertedPendulum-v0"


def made(num_envs=3, mode=AutoresetMode.NEXT_STEP, num_threads=2, **arguments):
    kwargs = {"autoreset_mode": mode, "num_threads": num_threads}
    envs = bagged_envs.make_vec(ID, num_envs, backend="native", vector_kwargs=kwargs, **arguments)
    envs.reset(seed=0)
    return envs


def still(envs):
    return np.zeros(envs.action_space.shape, dtype=np.float32)


class TestActions:
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_what_is_not_finite_is_refused_by_index_and_changes_nothing(self, bad):
        envs, other = made(), made()
        actions = still(envs)
        actions[2] = bad
        for _ in range(2):
            with pytest.raises(ValueError, match=r"actions must be finite, got \[.*\] for environment 2: nothing was"):
                envs.env.step(actions)
        assert np.array_equal(envs.env.step(still(envs))[0], other.env.step(still(envs))[0])
        envs.close()
        other.close()

    def test_that_of_an_environment_which_is_only_reset_may_be_anything(self):
        native, theirs = pair(ID, 2, max_episode_steps=2)
        for envs in (native, theirs):
            envs.reset(seed=0)
            envs.step(still(envs))
            assert envs.step(still(envs))[3].all()
        actions = np.full_like(still(native), np.nan)
        assert np.array_equal(native.step(actions)[0], theirs.step(actions)[0])

    @pytest.mark.parametrize(
        ("actions", "error", "said"),
        [
            (np.zeros((2, 1)), ValueError, r"shape \(3, 1\), one row per environment, got shape \(2, 1\)"),
            (np.zeros(3), ValueError, r"must have shape \(3, 1\)"),
            ([[0.0], [0.0], [0.0, 1.0]], ValueError, "rows of different lengths"),
            (np.array([["a"], ["b"], ["c"]]), TypeError, "actions must be real numbers, got an array of <U1"),
            (np.zeros((3, 1), dtype=bool), TypeError, "actions must be real numbers, got an array of bool"),
            (None, TypeError, "actions must be real numbers"),
        ],
    )
    def test_wrong_ones_are_refused(self, actions, error, said):
        envs = made()
        with pytest.raises(error, match=said):
            envs.env.step(actions)
        envs.close()


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_a_failing_environment_is_named_and_the_others_need_a_reset(num_threads, engine_threads):
    envs = made(num_threads=num_threads)
    simulators = envs.unwrapped._batch._simulators
    advance = simulators._advance

    def fail(data):
        if data is simulators.data[1]:
            raise RuntimeError("no memory.")
        advance(data)

    simulators._advance = fail
    with pytest.raises(SimulationError, match="environment 1 could not be stepped: no memory"):
        envs.unwrapped.step(still(envs))
    simulators._advance = advance
    with pytest.raises(ResetNeeded, match="no episode has begun"):
        envs.unwrapped.step(still(envs))
    envs.unwrapped.reset(seed=0)
    envs.unwrapped.step(still(envs))
    envs.close()
    assert engine_threads() == []


def test_a_simulation_that_runs_away_is_begun_anew_as_in_gymnasium(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warning there, unless dm_control has it logged
    native, theirs = pair(ID, 2, reset_noise_scale=1e12, nonfinite="pass")
    for envs in (native, theirs):
        envs.reset(seed=0)
    for _ in range(3):
        ours, other = native.step(still(native)), theirs.step(still(native))
        assert np.array_equal(ours[0], other[0], equal_nan=True)
        assert ours[2].tolist() == other[2].tolist()
    bad = [sum(data.warning.number) for data in native.unwrapped._batch._simulators.data]
    assert bad == [sum(env.unwrapped.data.warning.number) for env in theirs.unwrapped.envs]
    assert all(bad)
    native.close()
    theirs.close()


class TestClosing:
    def test_no_thread_is_left(self, engine_threads):
        envs = made()
        envs.step(still(envs))
        assert len(engine_threads()) == 1
        envs.close()
        assert engine_threads() == []
        envs.close()

    def test_one_thread_starts_none(self, engine_threads):
        envs = made(num_threads=1)
        envs.step(still(envs))
        assert engine_threads() == []
        envs.close()

    def test_a_shallow_copy_is_a_deep_one(self):
        envs = bagged_envs.make_vec("BaggedHopper-v0", 2).env
        other = copy.copy(envs)
        envs.close()
        other.reset(seed=0)
        other.step(other.action_space.sample())
        other.close()

    def test_a_closed_one_says_so(self):
        envs = made().unwrapped
        envs.close()
        with pytest.raises(ClosedEnvironmentError, match="step\\(\\) was called on a closed environment"):
            envs.step(still(envs))
        with pytest.raises(ClosedEnvironmentError, match="reset\\(\\) was called on a closed environment"):
            envs.reset()

    def test_a_forgotten_one_leaves_no_thread(self, engine_threads):
        envs = made()
        envs.step(still(envs))
        threads = engine_threads()
        del envs
        gc.collect()
        for thread in threads:
            thread.join(timeout=10)
        assert engine_threads() == []


def advances(envs):
    return envs._batch if envs._simulators is None else envs._simulators, "step"


def tells(envs):
    return envs._batch, "observe"


@pytest.mark.parametrize("part", [advances, tells])
@pytest.mark.parametrize("id", [ID, "BaggedCheetahRun-v0", "BaggedKeyDoor-v0", "BaggedCooperativeNavigation-v0"])
def test_an_interrupt_in_any_part_of_a_step_leaves_none_half_made(id, part, monkeypatch):
    envs = bagged_envs.make_vec(id, 2, backend="native").env.unwrapped
    envs.action_space.seed(0)
    actions = envs.action_space.sample()
    envs.reset(seed=0)
    first = envs.step(actions)
    with monkeypatch.context() as patch:
        patch.setattr(*part(envs), interrupted)
        with pytest.raises(KeyboardInterrupt):
            envs.step(actions)
    with pytest.raises(ResetNeeded, match="Call reset"):
        envs.step(actions)
    envs.reset(seed=0)
    again = envs.step(actions)
    assert all(np.array_equal(one, other) for one, other in zip(first[:4], again[:4], strict=True))
    envs.close()


def interrupted(*arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda envs: pickle.loads(pickle.dumps(envs))])
def test_a_copy_begins_with_a_reset_and_is_its_own(copied):
    envs = made().unwrapped
    twin = copied(envs)
    with pytest.raises(ResetNeeded, match="Call reset"):
        twin.step(still(envs))
    assert np.array_equal(twin.reset(seed=4)[0], envs.reset(seed=4)[0])
    envs.step(still(envs) + 1)
    assert np.array_equal(twin.step(still(envs))[0], made_step(envs))
    envs.close()
    twin.close()


@pytest.mark.parametrize("task", ["HalfCheetah", "Ant"])
def test_every_task_can_be_pickled(task):
    envs = bagged_envs.make_vec(f"Bagged{task}-v0", 2, frame_skip=3, vector_kwargs={"num_threads": 2})
    twin = pickle.loads(pickle.dumps(envs))
    assert np.array_equal(twin.reset(seed=4)[0], envs.reset(seed=4)[0])
    actions = np.zeros(envs.action_space.shape)
    assert np.array_equal(twin.step(actions)[0], envs.step(actions)[0])
    assert twin.unwrapped._batch.num_threads == 2
    envs.close()
    twin.close()


def made_step(envs):
    """The same step from the same start, in a new environment."""
    other = made().unwrapped
    other.reset(seed=4)
    return other.step(still(envs))[0]


@pytest.mark.render
def test_pictures_are_gymnasiums():
    sizes = {"width": 64, "height": 48}
    envs = made(2, render_mode="rgb_array", **sizes)
    env = gym.make("InvertedPendulum-v5", render_mode="rgb_array", **sizes)
    env.reset(seed=1)
    pictures = envs.render()
    assert pictures[1].shape == (48, 64, 3)
    assert np.array_equal(pictures[1], env.render())
    assert np.array_equal(envs.unwrapped.render_one(1), pictures[1])
    assert not np.array_equal(envs.unwrapped.render_one(0), pictures[1])
    with pytest.raises(ValueError, match="number must be an int from 0 to 1, got 2"):
        envs.unwrapped.render_one(2)
    envs.close()
    env.close()
