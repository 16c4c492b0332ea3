"""A folder has one owner at a time, and none that is gone."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from bagged_envs.baselines.benchmark import lease as module
from bagged_envs.baselines.benchmark.lease import NAME, Taken, lease, owner

HOLD = (
    "import pathlib, sys, time; from bagged_envs.baselines.benchmark.lease import lease\n"
    "with lease(pathlib.Path(sys.argv[1])): print('mine', flush=True); time.sleep(60)\n"
)


def elsewhere(folder, age):
    """A lease of another machine, touched so many seconds ago."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).write_text(json.dumps({"host": "elsewhere/1", "pid": 1, "began": "1", "token": "x"}))
    os.utime(folder / NAME, (time.time() - age,) * 2)


def test_it_is_owned_inside_the_block_only(tmp_path):
    folder = tmp_path / "run"
    with lease(folder) as held:
        assert owner(folder)["pid"] == os.getpid()
        assert held()
        with pytest.raises(Taken, match=f"run is worked in by process {os.getpid()} on "), lease(folder):
            pass
        assert owner(folder) is not None  # a loser takes nothing away
    assert owner(folder) is None
    assert os.listdir(folder) == []


def test_an_error_inside_gives_it_back(tmp_path):
    with pytest.raises(ZeroDivisionError), lease(tmp_path):
        _ = 1 / 0
    assert os.listdir(tmp_path) == []


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


def test_another_process_with_the_same_number_is_not_the_owner(tmp_path):
    identity = module._identity()
    (tmp_path / NAME).write_text(json.dumps({**identity, "began": "1"}))
    assert owner(tmp_path) is None


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


def test_an_owner_touches(tmp_path):
    with lease(tmp_path, interval=0.01):
        os.utime(tmp_path / NAME, (0, 0))
        limit = time.monotonic() + 10
        while (tmp_path / NAME).stat().st_mtime == 0 and time.monotonic() < limit:
            time.sleep(0.01)
        assert (tmp_path / NAME).stat().st_mtime > 0


@pytest.mark.parametrize("how", ["removed", "another's"])
def test_an_owner_that_lost_it_knows_and_leaves_it(tmp_path, how):
    with lease(tmp_path, interval=0.01) as held:
        (tmp_path / NAME).unlink()
        if how == "another's":
            elsewhere(tmp_path, 0)
        limit = time.monotonic() + 10
        while held() and time.monotonic() < limit:
            time.sleep(0.01)
        assert not held()
    assert (owner(tmp_path) is not None) is (how == "another's")


def test_a_fresh_one_that_was_moved_away_by_mistake_is_given_back(tmp_path, monkeypatch):
    elsewhere(tmp_path, 400)
    rename, fresh = os.rename, module._identity()

    def faster(source, target):  # between the look and the move, another one becomes the owner
        (tmp_path / NAME).unlink()
        (tmp_path / NAME).write_text(json.dumps(fresh))
        rename(source, target)

    monkeypatch.setattr(module.os, "rename", faster)
    with pytest.raises(Taken, match=f"process {fresh['pid']}"), lease(tmp_path):
        pass
    assert json.loads((tmp_path / NAME).read_text()) == fresh


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
    assert won == [folder.name for folder in folders]
    assert [os.listdir(folder) for folder in folders] == [[]] * len(folders)
