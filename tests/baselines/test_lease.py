"""A folder has one owner at a time, and none that is gone."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from bagged_envs.baselines import lease as module
from bagged_envs.baselines.lease import Taken, lease, owner, sweep_up

FIRST = "lease-0.json"
HOLD = (
    "import pathlib, sys, time; from bagged_envs.baselines.lease import lease\n"
    "with lease(pathlib.Path(sys.argv[1])): print('mine', flush=True); time.sleep(60)\n"
)


def elsewhere(folder, age):
    """A lease of another machine, touched so many seconds ago."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FIRST).write_text(json.dumps({"host": "elsewhere/1", "pid": 1, "began": "1"}))
    os.utime(folder / FIRST, (time.time() - age,) * 2)


def test_it_is_owned_inside_the_block_only(tmp_path):
    folder = tmp_path / "run"
    with lease(folder) as held:
        assert owner(folder)["pid"] == os.getpid()
        assert held()
        with pytest.raises(Taken, match=f"run is worked in by process {os.getpid()} on "), lease(folder):
            pass
        assert owner(folder) is not None  # a loser takes nothing away
    assert owner(folder) is None
    assert os.listdir(folder) == [FIRST]
    with lease(folder):
        assert os.listdir(folder) == ["lease-1.json"]


def test_an_error_inside_gives_it_back(tmp_path):
    with pytest.raises(ZeroDivisionError), lease(tmp_path):
        _ = 1 / 0
    assert owner(tmp_path) is None


def test_a_killed_owner_is_gone_at_once(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "mine\n"
    with pytest.raises(Taken, match=f"process {holder.pid}"), lease(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now: gone, with a number
    assert owner(tmp_path) is None
    with lease(tmp_path):
        assert owner(tmp_path)["pid"] == os.getpid()
    holder.wait()
    holder.stdout.close()


def test_what_a_killed_owner_left_unfinished_is_swept_up_once_nobody_works_there(tmp_path):
    left, other = tmp_path / f".{FIRST}.0123.unfinished", tmp_path / ".result.json.0123.unfinished"
    with lease(tmp_path):
        left.touch(), other.touch()
        sweep_up(tmp_path)
        assert left.exists()
    sweep_up(tmp_path)
    assert not left.exists()
    assert other.exists()  # its writer need not own the folder


def test_another_process_with_the_same_number_is_not_the_owner(tmp_path):
    identity = module._identity()
    (tmp_path / FIRST).write_text(json.dumps(identity))
    assert owner(tmp_path) == identity
    (tmp_path / FIRST).write_text(json.dumps({**identity, "began": "1"}))
    assert owner(tmp_path) is None


def test_numbers_of_processes_mean_nothing_in_another_container(tmp_path, monkeypatch):
    (tmp_path / FIRST).write_text(json.dumps({**module._identity(), "pid": 2**22 + 1}))
    assert owner(tmp_path) is None
    monkeypatch.setattr(module, "_host", lambda: "here/1/pid:[2]")
    assert owner(tmp_path) is not None  # whether it lives is told by its touches


def test_a_file_without_a_number_is_none_of_ours(tmp_path):
    for name in ("lease-x.json", "lease-.json", "lease--1.json", "lease-².json", "lease-\u0663.json"):
        (tmp_path / name).write_text("{}")
    assert owner(tmp_path) is None
    with lease(tmp_path):
        assert owner(tmp_path)["pid"] == os.getpid()
    assert (tmp_path / "lease-x.json").exists()


@pytest.mark.parametrize("own", [{"pid": 1}, {"began": "1"}, {"pid": "1", "began": "1"}])
def test_an_owner_here_that_says_too_little_is_told_by_its_touches(tmp_path, own):
    (tmp_path / FIRST).write_text(json.dumps({"host": module._host(), **own}))
    assert owner(tmp_path) is not None
    os.utime(tmp_path / FIRST, (time.time() - 400,) * 2)
    assert owner(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_a_damaged_file_is_stale_once_it_is_old(tmp_path, content):
    (tmp_path / FIRST).write_text(content)
    with pytest.raises(Taken), lease(tmp_path):
        pass
    os.utime(tmp_path / FIRST, (time.time() - 400,) * 2)
    with lease(tmp_path):
        assert owner(tmp_path)["pid"] == os.getpid()


@pytest.mark.parametrize(("age", "taken"), [(60, True), (400, False)])
def test_an_owner_elsewhere_lives_while_it_touches(tmp_path, age, taken):
    elsewhere(tmp_path, age)
    assert (owner(tmp_path) is not None) is taken
    if taken:
        with pytest.raises(Taken, match="process 1 on elsewhere"), lease(tmp_path):
            pass
    else:
        with lease(tmp_path):
            assert owner(tmp_path)["pid"] == os.getpid()


def until(condition):
    limit = time.monotonic() + 20
    while not condition() and time.monotonic() < limit:
        time.sleep(0.01)
    assert condition()


def test_an_owner_touches(tmp_path):
    with lease(tmp_path, interval=0.01):
        os.utime(tmp_path / FIRST, (0, 0))
        until(lambda: (tmp_path / FIRST).stat().st_mtime > 0)
        assert time.time() - (tmp_path / FIRST).stat().st_mtime < 60.0


@pytest.mark.parametrize("how", ["removed", "another's"])
def test_an_owner_that_lost_it_knows_and_leaves_it(tmp_path, how):
    with lease(tmp_path, interval=0.01) as held:
        if how == "removed":
            (tmp_path / FIRST).unlink()
        else:
            (tmp_path / "lease-1.json").write_text(json.dumps(module._identity()))
        until(lambda: not held())
    assert (owner(tmp_path) is not None) is (how == "another's")


def test_an_owner_whose_file_system_is_gone_for_long_lost_it(tmp_path, monkeypatch):
    broken = []

    def fails(path):
        if broken:
            raise OSError(116, "Stale file handle")
        return touch(path)

    touch = os.utime
    monkeypatch.setattr(module.os, "utime", fails)
    with lease(tmp_path, interval=0.01, stale_after=0.3) as held:
        broken.append(True)
        time.sleep(0.1)
        assert held()  # it may come back
        until(lambda: not held())


def test_of_three_who_find_it_stale_one_gets_it(tmp_path, monkeypatch):
    """The first takes over between the second's look and its move; the third comes after."""
    elsewhere(tmp_path, 400)
    linked, first = module._linked, module._identity()

    def slower(path, identity):
        if path.name == "lease-1.json" and not path.exists():
            path.write_text(json.dumps(first))  # the first was faster
        return linked(path, identity)

    monkeypatch.setattr(module, "_linked", slower)
    for _ in range(2):
        with pytest.raises(Taken, match=f"process {first['pid']}"), lease(tmp_path):
            pass
    assert json.loads((tmp_path / "lease-1.json").read_text()) == first
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []


def test_a_number_that_was_swept_up_is_not_taken_again(tmp_path, monkeypatch):
    """Who looked long ago may find a low number free; a higher one owns."""
    (tmp_path / "lease-5.json").write_text(json.dumps(module._identity()))
    looks = iter([None])
    highest = module._highest
    monkeypatch.setattr(module, "_highest", lambda folder: next(looks, highest(folder)))
    with pytest.raises(Taken), lease(tmp_path):
        pass
    assert os.listdir(tmp_path) == ["lease-5.json"]


def contend(folders, barrier, wins):
    for folder in folders:
        barrier.wait()
        try:
            with lease(folder):
                wins.put(folder.name)
                barrier.wait()  # until all have tried
        except Taken:
            barrier.wait()


@pytest.mark.parametrize("stale", [False, True])
def test_of_those_who_come_at_once_one_wins(tmp_path, stale):
    context = multiprocessing.get_context("spawn")
    folders, barrier, wins = [tmp_path / str(trial) for trial in range(20)], context.Barrier(3), context.Queue()
    for folder in folders:
        folder.mkdir()
        if stale:
            elsewhere(folder, 400)
    workers = [context.Process(target=contend, args=(folders, barrier, wins)) for _ in range(3)]
    for worker in workers:
        worker.start()
    won = [wins.get(timeout=60) for _ in folders]
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert wins.empty()
    assert sorted(won) == sorted(folder.name for folder in folders)
    assert [owner(folder) for folder in folders] == [None] * len(folders)
    assert [len(os.listdir(folder)) for folder in folders] == [1] * len(folders)
