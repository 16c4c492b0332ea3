"""Native MuJoCo tasks are Gymnasium's own to the bit: every task, every autoreset mode, restarts on the way."""

import importlib
import inspect

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import AutoresetMode

import bagged_envs
from bagged_envs.engines import terms
from bagged_envs.engines.mujoco_batch import RENDERING
from bagged_envs.tasks import TASKS
from tests.engines.playing import pair, play

MUJOCO = [name for name, task in TASKS.items() if task.suite == "mujoco"]
MODES = list(AutoresetMode)
SEEDS = range(5)
each_task = pytest.mark.parametrize("task", MUJOCO)
each_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def row_of(task):
    (row,) = load_env_creator(TASKS[task].batch).args
    return row


@each_mode
@each_task
def test_a_few_steps_and_restarts(task, mode):
    variant = {AutoresetMode.SAME_STEP: "Sparse", AutoresetMode.DISABLED: "Episodic"}.get(mode, "Bagged")
    native, theirs = pair(f"{variant}{task}-v0", 2, mode, max_episode_steps=6)
    assert play(native, theirs, steps=15, seed=3) >= 4


@pytest.mark.slow
@each_mode
@each_task
def test_a_thousand_steps_of_eight_environments(task, mode):
    for seed in SEEDS:
        # Tasks that never end by themselves end by a limit on the way.
        native, theirs = pair(f"Bagged{task}-v0", 8, mode, num_threads=1 + seed % 3, max_episode_steps=331)
        assert play(native, theirs, steps=1000, seed=100 * seed) >= 24


@pytest.mark.parametrize("variant", ["Sparse", "PartiallyLabeled", "Episodic"])
def test_under_every_delay(variant):
    for mode in MODES:
        native, theirs = pair(f"{variant}Hopper-v0", 2, mode, max_episode_steps=8, observe_bag=True)
        assert play(native, theirs, steps=20, seed=1) >= 4


def test_threads_change_nothing():
    native, theirs = pair("BaggedHopper-v0", 5, AutoresetMode.NEXT_STEP, num_threads=3, max_episode_steps=14)
    assert play(native, theirs, steps=40, seed=2) >= 10


@pytest.mark.parametrize("kind", [np.float64, np.int64, list, np.asfortranarray])
@pytest.mark.parametrize("task", ["HalfCheetah", "Pusher"])
def test_actions_of_any_type(task, kind):
    """A reward's control cost has the type of the action that it is the cost of."""
    native, theirs = pair(f"Bagged{task}-v0", 3)
    drawn = np.random.default_rng(0).uniform(-2, 2, size=(4, *native.action_space.shape))
    actions = [array.tolist() if kind is list else kind(array) for array in drawn]
    play(native, theirs, 4, 0, lambda step: actions[step])


def test_the_same_random_numbers_without_a_seed_after_one():
    native, theirs = pair("BaggedWalker2d-v0", 2)
    for envs in (native, theirs):
        envs.reset(seed=[7, 3])
    assert np.array_equal(native.reset()[0], theirs.reset()[0])
    assert native.unwrapped.np_random_seed == theirs.unwrapped.np_random_seed == (7, 3)


@each_task
def test_spaces_and_metadata(task):
    native, theirs = pair(f"Bagged{task}-v0", 2)
    assert native.single_observation_space == theirs.single_observation_space
    assert native.single_action_space == theirs.single_action_space
    assert native.action_space == theirs.action_space
    assert native.metadata["render_fps"] == theirs.metadata["render_fps"]
    assert set(theirs.metadata["render_modes"]) - set(native.metadata["render_modes"]) == {"human"}


@each_task
def test_rows_have_the_arguments_of_gymnasiums_classes(task):
    row, module = row_of(task), importlib.import_module(gym.spec(f"{task}-v5").entry_point.partition(":")[0])
    theirs = inspect.signature(getattr(module, f"{task}Env").__init__).parameters
    ours = {"xml_file": row.model, "frame_skip": row.frame_skip, "default_camera_config": row.camera, **row.arguments}
    assert ours.keys() == theirs.keys() - {"self", "kwargs"}
    for name, value in ours.items():
        default = theirs[name].default
        np.testing.assert_equal(value, None if default == {} else default)  # Gymnasium 1.2's camera of two tasks
    base = inspect.signature(gym.envs.mujoco.MujocoEnv.__init__).parameters
    assert {name: base[name].default for name in RENDERING} == RENDERING


class TestTerms:
    """Sums and norms over rows have the bits of sums and norms of one row."""

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("width", [1, 2, 6, 8, 17, 84, 200])
    def test_squares(self, width, dtype):
        rows = np.random.default_rng(0).standard_normal((33, width)).astype(dtype)
        assert terms.squares(rows).tolist() == [np.sum(np.square(row)) for row in rows]
        assert terms.squares(rows).dtype == dtype
        forces = rows.reshape(33, width, 1)
        assert terms.squares(forces).tolist() == [np.sum(np.square(force)) for force in forces]

    @pytest.mark.parametrize("width", [2, 3])
    def test_lengths(self, width):
        rows = np.random.default_rng(0).standard_normal((500, 9))[:, :width]
        assert terms.lengths(rows).tolist() == [np.linalg.norm(row) for row in rows]
        assert terms.lengths(rows).tolist() == [np.linalg.norm(row, ord=2) for row in rows]

    def test_literal_numbers(self):
        assert terms.squares(np.array([[3.0, 4.0], [0.5, 1.0]])).tolist() == [25.0, 1.25]
        assert terms.lengths(np.array([[3.0, 4.0]])).tolist() == [5.0]
        assert terms.between(0.0, np.array([0.0, 0.5, 1.0]), 1.0).tolist() == [False, True, False]


def test_a_step_pays_what_gymnasium_pays_alone():
    """Not through a vector of theirs: one environment of the base ID."""
    envs = bagged_envs.make_vec("BaggedHalfCheetah-v0", 1, backend="native", bag_len=1)
    env = gym.make("HalfCheetah-v5")
    assert np.array_equal(envs.reset(seed=5)[0][0], env.reset(seed=5)[0])
    action = np.full((1, 6), 0.5, dtype=np.float32)
    for _ in range(3):
        observations, paid, *_ = envs.step(action)
        observation, reward, *_ = env.step(action[0])
        assert np.array_equal(observations[0], observation)
        assert paid[0] == reward
