"""Programs that mean harm: each wall of the cage holds them, also when those before it are gone."""

import os
import subprocess
import sys
import time

import pytest

from bagged_envs.baselines.latent_rewards.cage.allow_list import check_source
from bagged_envs.baselines.latent_rewards.cage.errors import FailedError, ProgramError
from bagged_envs.baselines.latent_rewards.cage.process import DEFAULT, CagedFunction
from bagged_envs.baselines.latent_rewards.cage.verify import verify
from tests.baselines.latent_rewards.hostile import HARMLESS, HOSTILE
from tests.baselines.latent_rewards.world import ACTIONS, OBSERVATIONS, World, needs_lock

pytestmark = needs_lock

LONGEST = 5.0  # seconds, with the limits that everyone has
KINDS = list(dict.fromkeys(one.kind for one in HOSTILE))
# What the allow-list lets through, because it computes with numbers alone: time, memory, or what comes out is wrong.
COMPUTES = (
    *("module state", "huge allocation", "doubling", "blow-up", "for without end", "grows while iterated"),
    *("big numbers", "long C call", "changed inputs", "alias of the input", "wrong output", "wrong values"),
    *("rows beside it", "cycles", "slow, but not too slow", "errors that cannot be told"),
)
TAKES_TIME = (
    *("doubling", "blow-up", "for without end", "grows while iterated", "big numbers", "long C call"),
    *("while True", "swallowed errors", "regular expression", "slow, but not too slow"),
)
# Runs each program in a fork of its own, without any wall: its number, then its text, of those in a folder.
CONTROL = """
import os, pathlib, resource, signal, sys
import numpy as np
resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.txt")):
    child = os.fork()
    if child == 0:
        signal.alarm(3)
        resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
        os.close(1)
        os.close(2)
        names = {"np": np}
        try:
            exec(file.read_text(), names)
            names["evaluation_func"](np.ones((4, 24)), np.ones((4, 6)))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch)
    yield world
    world.close()


def outcome(function, *arguments):
    try:
        return function(*arguments)
    except ProgramError as error:
        return error


def caged(world, one, names):
    """Run a program without the allow-list and return how long that took."""
    begin = time.perf_counter()
    with CagedFunction(world.filled(one.text), allow_list=False, names=names) as function:
        answer = outcome(function, OBSERVATIONS, ACTIONS)
    if isinstance(answer, FailedError):
        assert 0 < len(str(answer)) < 2000
    else:
        assert answer.dtype == OBSERVATIONS.dtype
        assert len(answer) == len(OBSERVATIONS)
        assert 1 <= answer.shape[1] <= DEFAULT.factors
    return time.perf_counter() - begin


def whole_stack(world, one, _):
    """Check and verify a program as it is done in use, and return how long that took."""
    begin = time.perf_counter()
    answer = outcome(verify, world.filled(one.text), OBSERVATIONS, ACTIONS)
    assert isinstance(answer, int if (one.kind, one.name) in HARMLESS else ProgramError), one
    return time.perf_counter() - begin


def first(kind):
    return next(one for one in HOSTILE if one.kind == kind)


def test_the_corpus_is_large():
    assert len(HOSTILE) >= 150
    assert len(KINDS) >= 70
    assert len({(one.kind, one.name) for one in HOSTILE}) == len(HOSTILE)


@pytest.mark.parametrize("one", HOSTILE, ids=[f"{one.kind}: {one.name}" for one in HOSTILE])
def test_the_allow_list_refuses_what_does_more_than_compute(one):
    answer = outcome(check_source, one.text)
    assert one.kind in COMPUTES if answer is None else str(answer).startswith("line ")


@pytest.mark.parametrize("kind", [kind for kind in COMPUTES if kind not in TAKES_TIME])
def test_the_whole_stack_holds_what_computes(world, kind):
    assert whole_stack(world, first(kind), None) < LONGEST
    assert world.effects() == []


@pytest.mark.parametrize("kind", [*[kind for kind in KINDS if kind not in TAKES_TIME][::2], "while True"])
def test_the_locked_process_holds_one_of_each_class_by_itself(world, kind):
    assert caged(world, first(kind), "all") < LONGEST
    assert world.effects() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "names"), [(whole_stack, ""), (caged, "table"), (caged, "all")], ids=["stack", "names", "process"]
)
def test_every_one_is_held(world, run, names):
    seconds, effects = {}, {}
    for one in HOSTILE:
        seconds[one.kind, one.name] = run(world, one, names)
        if world.effects():
            effects[one.kind, one.name] = world.effects()
    longest = max(seconds, key=seconds.get)
    print(f"{len(HOSTILE)} programs, {len(KINDS)} classes, {sum(seconds.values()):.0f} s in all")
    print(f"longest: {longest}, {seconds[longest]:.2f} s; effects: {effects}")
    assert effects == {}
    assert seconds[longest] < LONGEST


@pytest.mark.slow
def test_without_any_wall_they_do_harm(world, tmp_path):
    attacks = [one for one in HOSTILE if "CANARY" in one.text and "fork bomb" not in one.name]
    for number, one in enumerate(attacks):
        (tmp_path / f"{number:03}").mkdir()
        text = world.filled(one.text.replace("CANARY", str(tmp_path / f"{number:03}")))
        (tmp_path / f"{number:03}.txt").write_text(text, encoding="utf-8")
    command = [sys.executable, "-W", "ignore", "-c", CONTROL, str(tmp_path)]
    environment = {"PATH": os.environ["PATH"]}
    subprocess.run(command, env=environment, cwd=tmp_path, timeout=120, check=True, start_new_session=True)
    wrote = [one for number, one in enumerate(attacks) if any((tmp_path / f"{number:03}").iterdir())]
    print(f"{len(wrote)} of {len(attacks)} wrote")
    assert len(wrote) >= 40
