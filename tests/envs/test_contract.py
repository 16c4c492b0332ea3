"""What every symbolic task promises."""

import importlib
import inspect
import json
import re

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from bagged_envs.batch import Batch
from tests.envs.cases import CASE_IDS, CASES, TASKS, native
from tests.wrappers.test_laws import assert_same

every_case = pytest.mark.parametrize(("task", "arguments"), CASES, ids=CASE_IDS)
every_task = pytest.mark.parametrize("task", TASKS)
SECTIONS = ("Description", "Observation", "Action", "Reward", "Termination", "Arguments", "Source")


def made(task, arguments, **kwargs):
    """By `gym.make`, as a registered ID would be, its arguments sent through JSON."""
    spec = EnvSpec(f"{task.__name__}-v0", f"{task.__module__}:{task.__name__}", kwargs=dict(arguments))
    return gym.make(EnvSpec.from_json(spec.to_json()), **kwargs)


def played(env, seed, steps=150):
    env.action_space.seed(seed)
    returned = [env.reset(seed=seed)]
    for _ in range(steps):
        returned.append(env.step(env.action_space.sample()))
        if returned[-1][2]:
            returned.append(env.reset())
    return tuple(returned)


@every_case
def test_gymnasiums_checker_has_nothing_to_say(task, arguments):
    """Warnings are errors here; the specification lets it try every render mode."""
    check_env(made(task, arguments).unwrapped)


@every_case
def test_a_seed_makes_everything(task, arguments):
    env = made(task, arguments)
    first = played(env, 3)
    assert_same(first, played(env, 3))
    assert_same(first, played(made(task, arguments), 3))


@every_case
def test_steps_draw_nothing(task, arguments):
    env = task(**arguments)
    env.reset(seed=5)
    before = env.np_random.bit_generator.state
    for _ in range(200):
        env.step(env.action_space.sample())
    assert env.np_random.bit_generator.state == before


@every_case
def test_a_copy_is_what_it_would_be_alone(task, arguments):
    """A copy's episode depends on its own generator and actions, not on how many others there are."""
    many, few = native(task, 9, arguments, 40), native(task, 2, arguments, 40)
    many.action_space.seed(1)
    many.reset(seed=20), few.reset(seed=[22, 27])
    for _ in range(120):
        actions = many.action_space.sample()
        left, right = many.step(actions), few.step(actions[[2, 7]])
        for one, other in zip(left[:4], right[:4], strict=True):
            np.testing.assert_array_equal(one[[2, 7]], other)


@every_case
def test_ended_copies_can_be_stepped_on(task, arguments):
    """What they do does not matter, as long as they raise nothing and stay in their observation space."""
    env = task(**arguments)
    env.reset(seed=0)
    for _ in range(300):
        assert env.observation_space.contains(env.step(env.action_space.sample())[0])


@every_task
def test_each_is_described_and_has_what_a_row_needs(task):
    module = importlib.import_module(task.__module__)
    assert module.REWARD_INFO_KEYS == ()
    assert issubclass(task, gym.Env)
    assert task.metadata == {"render_modes": ["rgb_array", "ansi"], "render_fps": task.metadata["render_fps"]}
    assert re.findall(r"^    (\w+):", task.__doc__, re.MULTILINE) == [*SECTIONS, "Example"]
    names = set(inspect.signature(task).parameters)
    said = task.__doc__.split("Arguments:")[1].split("Source:")[0]
    assert names == set(re.findall(r"`(\w+)`", said))
    assert set(inspect.signature(task.batch).parameters) - {"num_envs"} == names - {"render_mode"}
    json.dumps({name: parameter.default for name, parameter in inspect.signature(task).parameters.items()})


@every_task
def test_each_is_a_batch(task):
    batch = task.batch(2)
    wanted = [name for name in vars(Batch) if not name.startswith("_")]
    assert wanted == ["reset", "step", "observe", "info", "render"]
    assert all(callable(getattr(batch, name)) for name in wanted)
    assert (batch.num_envs, batch.info()) == (2, {})
    with pytest.raises(TypeError, match="num_envs must be an int of at least 1, got 2.0"):
        task.batch(2.0)


@pytest.mark.parametrize(
    ("number", "arguments", "error", "words"),
    [
        (0, {"size": 1}, ValueError, "size must be an int from 2 to 32, got 1"),
        (0, {"size": 5.0}, TypeError, "size must be an int from 2 to 32, got 5.0 of type float"),
        (0, {"delay": 0}, ValueError, "delay must be an int from 1 to 1000, got 0"),
        (0, {"delay": True}, TypeError, "delay must be an int from 1 to 1000, got True"),
        (0, {"delay": 3, "distractors": 3}, ValueError, "distractors must be an int from 0 to 2, got 3"),
        (2, {"length": 2}, ValueError, "length must be an int from 3 to 1000, got 2"),
        (3, {"delay": 1}, ValueError, "delay must be an int from 2 to 1000, got 1"),
        (3, {"noise": -0.1}, ValueError, "noise must be at least 0 and finite, got -0.1"),
        (3, {"noise": float("nan")}, ValueError, "noise must be at least 0 and finite, got nan"),
        (3, {"noise": "loud"}, TypeError, "noise must be a number, got 'loud'"),
        (4, {"delay": 0}, ValueError, "delay must be an int from 1 to 10000, got 0"),
        *((n, {"render_mode": "rgb"}, ValueError, "Did you mean 'rgb_array'") for n in range(len(TASKS))),
    ],
)
def test_wrong_arguments_are_named(number, arguments, error, words):
    with pytest.raises(error, match=words):
        TASKS[number](**arguments)


@every_case
def test_pictures_show_what_changes(task, arguments):
    env, words = (task(**arguments, render_mode=mode) for mode in ("rgb_array", "ansi"))
    observation, _ = env.reset(seed=2)
    words.reset(seed=2)
    frames, texts, states = set(), set(), set()
    moves = np.random.default_rng(0).integers(12, size=60)
    for step in range(60):
        frames.add(env.render().tobytes()), texts.add(words.render()), states.add(tuple(observation))
        action = int(moves[step] % env.action_space.n)
        observation = env.step(action)[0]
        words.step(action)
    assert len(frames) == len(texts) == len(states) > 1
    picture = env.render()
    assert (picture.dtype, picture.ndim, picture.shape[2]) == (np.uint8, 3, 3)
    assert all(side % 32 == 0 for side in picture.shape[:2])


def test_text_pictures_literally():
    """Eaten apples, the key in hand, the lit lamp, what has come of the watch."""
    env = TASKS[0](size=2, delay=4, distractors=2, render_mode="ansi")
    env.reset(seed=3)
    frames = [env.render()] + [env.step(action) and env.render() for action in (0, 3, 2, 1, 1, 1)]
    assert frames[2] == "@.#####\n..Doo.T\n"
    assert frames[3:] == ["..#####\n@.Doo.T\n", "..#####\n.@Doo.T\n", "..#####\n..@oo.T\n", "..#####\n..D@o.T\n"]


@pytest.mark.filterwarnings("ignore:.*without a render_mode.*")
@every_task
def test_without_a_mode_there_is_no_picture(task):
    env = task()
    env.reset(seed=0)
    assert env.render() is None
