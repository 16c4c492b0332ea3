"""A user's task that was changed under its name is another task: nothing recorded or scored before is its."""

import copy
import functools
import importlib
import sys
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import bagged_envs
from bagged_envs.baselines.benchmark.job import Job
from bagged_envs.baselines.judging import case as case_module
from bagged_envs.baselines.judging.case import make_case
from bagged_envs.baselines.judging.recordings import RecordingConfig, recorded
from bagged_envs.baselines.runs import Run
from bagged_envs.baselines.task_digest import task_digest
from bagged_envs.registration import spec_of
from bagged_envs.tasks import TASKS
from tests.baselines.benchmark.small import PROTOCOL, arm

TINY = RecordingConfig(steps=40, episodes=2, random_steps=10, batch=4)
SOURCE = """
import gymnasium as gym

class Counting(gym.Env):
    observation_space, action_space, PAID = gym.spaces.Discrete(3), gym.spaces.Discrete(2), 1.0

    def __init__(self, render_mode=None, pace=1):
        self.pace = pace

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 1, self.PAID * self.pace, False, False, {}

class Same(gym.Wrapper):
    pass
"""


@pytest.fixture
def task(tmp_path, monkeypatch):
    """A task of a module that may be written anew: `task(text)` loads and registers it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(text=SOURCE, wrappers=(), limit=5, kwargs=None, **arguments):
        remove()
        (tmp_path / "counting_task.py").write_text(text)
        importlib.invalidate_caches()
        sys.modules.pop("counting_task", None)
        entry = "counting_task:Counting"
        gym.register("test/Counting-v0", entry, max_episode_steps=limit, additional_wrappers=wrappers, kwargs=kwargs)
        bagged_envs.register_task("test/Counting-v0", name="Counting", **arguments)
        return "BaggedCounting-v0"

    yield write
    remove()
    sys.modules.pop("counting_task", None)


def remove():
    TASKS.pop("Counting", None)
    for id in [id for id in gym.registry if "Counting" in id]:
        del gym.registry[id]


def digest(id):
    return task_digest(spec_of(id))


def test_ours_have_none():
    assert digest("BaggedKeyDoor-v0") is None
    assert digest("EpisodicReacher-v0") is None


def test_the_same_is_the_same(task):
    first = digest(task())
    assert len(first) == 8
    assert digest("EpisodicCounting-v0") == first
    assert digest(task()) == first


@pytest.mark.parametrize(
    "changed",
    [
        {"text": SOURCE.replace("1.0", "2.0")},
        {"limit": 6},
        {"kwargs": {"pace": 2}},
        {"pace": 2},
        {"max_episode_steps": 4},
        {"wrappers": (gym.envs.registration.WrapperSpec("Same", "counting_task:Same", {}),)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_was_changed_is_another(task, changed):
    first = digest(task())
    assert digest(task(**changed)) != first


def test_runs_depend_on_it(task):
    def versions(text=SOURCE):
        id = task(text)
        return [
            Job(arm(), f"counting_task:{id}", {}, 7, 120, PROTOCOL).described()["versions"],
            Run(arm().made(), id).described()["versions"],
        ]

    first = versions()
    assert [one["Counting"] for one in first] == [digest("BaggedCounting-v0")] * 2
    assert versions() == first
    assert versions(SOURCE.replace("1.0", "2.0"))[0]["Counting"] != first[0]["Counting"]


def test_what_was_typed_into_a_console_is_told_in_this_process_only():
    typed = {"gym": gym}
    exec(SOURCE.replace("class Counting", "class Typed"), typed)  # as a console does
    remove()
    gym.register("test/Counting-v0", typed["Typed"], max_episode_steps=5)
    bagged_envs.register_task("test/Counting-v0", name="Counting")
    spec = spec_of("BaggedCounting-v0")
    here, elsewhere = task_digest(spec), task_digest(spec, elsewhere=True)
    remove()
    assert here != elsewhere
    gym.register("test/Counting-v0", typed["Typed"], max_episode_steps=6)
    bagged_envs.register_task("test/Counting-v0", name="Counting")
    assert task_digest(spec_of("BaggedCounting-v0"), elsewhere=True) not in (here, elsewhere)
    remove()


def test_a_wrapper_with_other_arguments_is_another(task):
    wrapper = gym.envs.registration.WrapperSpec("Same", "counting_task:Same", {})
    first = digest(task(wrappers=(wrapper,)))
    assert digest(task(wrappers=(replace(wrapper, kwargs={"pace": 2}),))) != first
    assert digest(task(wrappers=(wrapper, wrapper))) != first


def test_a_wrapper_that_was_changed_is_another(task, tmp_path):
    wrappers = (gym.envs.registration.WrapperSpec("Same", "counting_wrapper:Same", {}),)
    (tmp_path / "counting_wrapper.py").write_text(SOURCE)
    first = digest(task(wrappers=wrappers))
    (tmp_path / "counting_wrapper.py").write_text(SOURCE + "\n# changed\n")
    assert digest(task(wrappers=wrappers)) == first  # until it is loaded anew
    del sys.modules["counting_wrapper"]
    assert digest(task(wrappers=wrappers)) != first
    del sys.modules["counting_wrapper"]


def named(place, **others):
    """A function and a class that were typed in at a place that is no file."""
    written = compile("def make(**kwargs): ...\nclass Typed: ...", place, "exec")
    found = {"__name__": "__main__", **others}
    exec(written, found)  # noqa: S102
    return found["make"], found["Typed"]


@pytest.mark.parametrize("place", ["<stdin>", "<string>", "<ipython-input-1>"])
def test_what_has_no_source_is_known_as_long_as_it_lives(task, place, monkeypatch):
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)  # as in a console
    task()
    found = []
    for creator in (*named(place), *named(place)):
        gym.registry["test/Counting-v0"].entry_point = creator
        assert digest("BaggedCounting-v0") == digest("BaggedCounting-v0")
        found.append(digest("BaggedCounting-v0"))
    assert len(set(found)) == 4


class Making:
    def __init__(self, pace):
        self.pace = pace

    def __call__(self, **kwargs): ...


@pytest.mark.parametrize(
    ("creators", "count"),
    [
        ([Making(1), Making(1)], 1),
        ([functools.partial(test_ours_have_none, pace=1), functools.partial(test_ours_have_none, pace=1)], 1),
        ([functools.partial(test_ours_have_none, pace=1), functools.partial(test_ours_have_none, pace=2)], 2),
        ([functools.partial(test_ours_have_none, 1), test_ours_have_none], 2),
    ],
)
def test_callables_are_known_by_what_they_call(task, creators, count):
    task()
    found = set()
    for creator in creators:
        gym.registry["test/Counting-v0"].entry_point = creator
        found.add(digest("BaggedCounting-v0"))
    assert len(found) == count


def test_a_task_on_a_dense_id_of_ours_stays_the_same():
    try:
        bagged_envs.register_task("KeyDoor-v0", name="Counting")
        assert digest("BaggedCounting-v0") == digest("BaggedCounting-v0")
    finally:
        remove()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({(0, 0): "wall"}, {(0, 0): "door"}),
        ({1: "wall", "a": 2}, {1: "wall", "a": 3}),
        (np.zeros(2000), np.eye(1, 2000, 1000)[0]),
        (np.zeros(3), np.zeros(3, np.float32)),
        (Making(1), Making(2)),
        ({1, 2}, {1, 3}),
    ],
)
def test_arguments_may_be_anything(task, one, other):
    first = digest(task(kwargs={"map": one}))
    assert digest(task(kwargs={"map": copy.deepcopy(one)})) == first
    assert digest(task(kwargs={"map": other})) != first


def test_recordings_and_rows_are_of_the_task_as_it_is(task, tmp_path, monkeypatch):
    monkeypatch.setattr(case_module, "REGRESSION_STEPS", 1)
    folder = tmp_path / "recordings"
    first = make_case(task(), seed=0, config=TINY, folder=folder)
    other = make_case(task(SOURCE.replace("1.0", "2.0")), seed=0, config=TINY, folder=folder)
    assert [case.fitted[0].rewards.sum() for case in (first, other)] == [5.0, 10.0]
    assert len(list(folder.iterdir())) == 2
    assert first.recording.startswith("3 x 2 episodes, 40 steps of training, task ")
    assert first.recording != other.recording
    again = recorded(task(), seed=0, config=TINY, folder=folder)
    assert again[0].extras["dense_rewards"].tolist() == [1.0] * 5
    assert len(list(folder.iterdir())) == 2
