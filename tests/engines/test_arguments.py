"""The tasks' own arguments: random ones mean what they mean to Gymnasium, wrong ones are refused by name."""

import random
from pathlib import Path

import gymnasium.envs.mujoco
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import bagged_envs
from tests.engines.playing import pair, play
from tests.engines.test_exactness import MUJOCO, row_of

ASSETS = Path(gymnasium.envs.mujoco.__file__).parent / "assets"
MODES = list(AutoresetMode)


def drawn(draw, name, default):
    """A value that an argument with such a default can have."""
    if isinstance(default, bool):
        return draw.random() < 0.5
    if isinstance(default, tuple):
        low, high = (float(np.clip(bound, -100, 100)) for bound in default)
        return [low * draw.choice([0.5, 1.0]), high * draw.choice([0.5, 1.0, 2.0])]
    if name == "main_body":
        return draw.choice([1, 2, "torso"])
    return draw.choice([default, 0, 1, 0.3 * default, 2.5 * default])


def configuration(task, number):
    """Random arguments of a task, always the same for a number."""
    row, draw = row_of(task), random.Random(f"{task} {number}")
    arguments = {name: drawn(draw, name, value) for name, value in row.arguments.items() if draw.random() < 0.6}
    if draw.random() < 0.5:
        arguments["frame_skip"] = draw.choice([1, 2, 7])
    if draw.random() < 0.3:
        arguments["xml_file"] = str(ASSETS / row.model)
    return arguments, draw.choice(MODES)


def assert_agrees(task, number, num_envs, steps, limit):
    arguments, mode = configuration(task, number)
    native, theirs = pair(f"Bagged{task}-v0", num_envs, mode, max_episode_steps=limit, **arguments)
    assert native.single_observation_space == theirs.single_observation_space, arguments
    play(native, theirs, steps, seed=number)


@pytest.mark.parametrize("task", MUJOCO)
def test_random_arguments(task):
    assert_agrees(task, 0, num_envs=2, steps=8, limit=5)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 21))
@pytest.mark.parametrize("task", MUJOCO)
def test_many_random_arguments(task, number):
    assert_agrees(task, number, num_envs=3, steps=60, limit=25)


@pytest.mark.parametrize(("task", "model"), [("Walker2d", "walker2d.xml"), ("Pusher", "pusher.xml")])
def test_another_model(task, model):
    native, theirs = pair(f"Bagged{task}-v0", 2, xml_file=model)
    play(native, theirs, 5, seed=0)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"ctrl_cost": 1.0}, TypeError, "HalfCheetah got an unexpected argument ctrl_cost=1.0: it takes xml_file, .*"),
        ({"healthy_reward": 1.0}, TypeError, "unexpected argument healthy_reward.*the delay's arguments are bag_len"),
        ({"frame_skip": 0}, ValueError, "frame_skip must be an int of at least 1, got 0"),
        ({"frame_skip": 2.5}, TypeError, "frame_skip must be an int of at least 1, got 2.5"),
        ({"xml_file": "nonesuch.xml"}, OSError, "nonesuch.xml does not exist"),
        ({"camera_id": 0, "camera_name": "track"}, ValueError, "camera_id=0 and camera_name='track' exclude each"),
        ({"render_mode": "human"}, ValueError, "render_mode must be one of 'rgb_array', 'depth_array', 'rgbd_tuple'"),
        ({"vector_kwargs": {"num_threads": 0}}, ValueError, "num_threads must be an int of at least 1, got 0"),
        ({"vector_kwargs": {"num_threads": "2"}}, TypeError, "num_threads must be an int of at least 1, got '2'"),
        ({"vector_kwargs": {"threads": 2}}, ValueError, "must be one of 'autoreset_mode', 'num_threads'"),
    ],
)
def test_refusals(arguments, error, said):
    with pytest.raises(error, match=said):
        bagged_envs.make_vec("BaggedHalfCheetah-v0", 2, backend="native", **arguments)


def test_threads_are_for_simulators():
    for given in ({"num_threads": 2}, {"num_threads": 2, "copy": True}):
        id = "BaggedHopper-v0" if "copy" in given else "BaggedFishSwim-v0"
        with pytest.raises(ValueError, match=r"num_threads has no use with backend='sync' \(.*\): leave it out"):
            bagged_envs.make_vec(id, 2, vector_kwargs=given)
    with pytest.raises(ValueError, match="must be one of 'autoreset_mode', got 'num_threads'"):
        bagged_envs.make_vec("BaggedKeyDoor-v0", 2, vector_kwargs={"num_threads": 2})


@pytest.mark.parametrize(
    ("arguments", "backend", "why"),
    [
        ({}, "native", "the simulator called directly, exact to the bit"),
        ({"vector_kwargs": {"copy": True}}, "sync", "copy is an argument of Gymnasium's SyncVectorEnv"),
        ({"backend": "sync"}, "sync", "asked for"),
    ],
)
def test_the_choice_is_told_and_why(arguments, backend, why):
    envs = bagged_envs.make_vec("BaggedReacher-v0", 1, **arguments)
    assert (envs.metadata["backend"], envs.metadata["backend_reason"]) == (backend, why)
    envs.close()
