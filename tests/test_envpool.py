"""The "envpool" backend. EnvPool is heavy and in no extra but its own: most of these tests run only where it is."""

import importlib.util

import numpy as np
import pytest

import bagged_envs
import bagged_envs.tasks
from bagged_envs.testing.model import in_order

INSTALLED = importlib.util.find_spec("envpool") is not None
needs_envpool = pytest.mark.skipif(not INSTALLED, reason='EnvPool is not installed: pip install "bagged_envs[envpool]"')
MUJOCO = [task.name for task in bagged_envs.tasks.TASKS.values() if task.suite == "mujoco"]


def make(id, num_envs=3, **arguments):
    return bagged_envs.make_vec(id, num_envs, backend="envpool", **arguments)


def play(envs, steps, seed=4):
    """Rewards, borders and infos of so many steps of random actions."""
    envs.reset(seed=seed)
    envs.action_space.seed(0)
    return [envs.step(envs.action_space.sample()) for _ in range(steps)]


@pytest.mark.skipif(INSTALLED, reason="EnvPool is installed")
def test_without_envpool_the_error_names_the_extra():
    with pytest.raises(Exception, match="backend='envpool' needs EnvPool: pip install \"bagged_envs\\[envpool\\]\""):
        make("BaggedWalker2d-v0")


@needs_envpool
@pytest.mark.parametrize("task", MUJOCO)
def test_every_mujoco_task_pays_its_dense_rewards_bag_by_bag(task):
    envs = make(f"Bagged{task}-v0", expose_reward=True, max_episode_steps=12, bag_len=5)
    open_bags = [[] for _ in range(3)]
    closed = 0
    resets = np.zeros(3, dtype=bool)
    for _, paid, terminated, truncated, infos in play(envs, 40):
        assert paid.dtype == np.float64
        for i in np.flatnonzero(~resets):
            open_bags[i].append(float(infos["dense_reward"][i]))
            if infos["bag_end"][i]:
                assert paid[i] == in_order(open_bags[i])
                open_bags[i] = []
                closed += 1
            else:
                assert paid[i] == 0.0
        assert not infos["bag_end"][resets].any()
        resets = terminated | truncated
    assert closed >= 18
    envs.close()


@needs_envpool
@pytest.mark.parametrize("task", MUJOCO)
def test_no_term_of_the_reward_stands_in_its_infos(task):
    envs = make(f"Bagged{task}-v0")
    for *_, infos in play(envs, 3):
        assert not [key for key in infos if "reward_" in key and "observed" not in key]
        assert "x_velocity" not in infos
    envs.close()


@needs_envpool
def test_a_seed_reproduces_everything_and_another_does_not():
    envs = make("BaggedHopper-v0", bag_len=(2, 6))
    first, again, other = (np.array([step[1] for step in play(envs, 60, seed)]) for seed in (4, 4, 5))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    envs.close()


@needs_envpool
def test_sparse_is_judged_by_its_info():
    envs = make("SparseHalfCheetah-v0", max_episode_steps=10, threshold=-100.0)
    *_, (_, paid, _, truncated, infos) = play(envs, 10)
    assert truncated.all()
    assert paid.tolist() == [1.0, 1.0, 1.0]
    assert infos["is_success"].all()
    envs.close()


@needs_envpool
def test_returned_arrays_are_not_the_pools_own_memory():
    envs = make("BaggedWalker2d-v0")
    steps = play(envs, 6)
    kept = [step[0].copy() for step in steps]
    play(envs, 6, seed=9)
    assert all(np.array_equal(step[0], copy) for step, copy in zip(steps, kept, strict=True))
    envs.close()


@needs_envpool
def test_task_arguments_and_the_backends_name_arrive():
    envs = make("BaggedHalfCheetah-v0", ctrl_cost_weight=0.0, vector_kwargs={"num_threads": 1})
    assert envs.metadata["backend"] == "envpool"
    assert envs.unwrapped._pool.config["ctrl_cost_weight"] == 0.0
    assert envs.unwrapped._pool.config["num_threads"] == 1
    envs.close()


@needs_envpool
@pytest.mark.parametrize(
    ("id", "arguments", "said"),
    [
        ("BaggedCheetahRun-v0", {}, "runs Gymnasium's MuJoCo tasks only, got CheetahRun"),
        ("BaggedAnt-v0", {"nonesuch": 1}, "nonesuch is no argument of EnvPool's Ant-v5"),
        ("BaggedAnt-v0", {"max_episode_steps": -1}, "max_episode_steps must be an int of at least 1, got None"),
    ],
)
def test_what_envpool_cannot_do_is_a_clear_error(id, arguments, said):
    with pytest.raises((TypeError, ValueError), match=said):
        make(id, **arguments)


@needs_envpool
def test_options_and_odd_seeds_are_refused():
    envs = make("BaggedAnt-v0")
    with pytest.raises(ValueError, match="options must be empty"):
        envs.reset(options={"x": 1})
    with pytest.raises(TypeError, match="seed must be an int"):
        envs.reset(seed=[1, 2, 3])
    envs.close()
