"""Threads that share work: who does what, what becomes of errors, and that none of them stays."""

import gc
import os
import subprocess
import sys
import threading
import weakref
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bagged_envs
from bagged_envs.engines import crew as module
from bagged_envs.engines.crew import Crew, crew_size, num_cores, shares


@given(st.lists(st.integers(), max_size=20), st.integers(1, 9))
def test_shares_are_neighbors_and_complete_and_fair(slots, size):
    parts = shares(slots, size)
    assert [slot for part in parts for slot in part] == slots
    assert len(parts) == min(size, len(slots))
    lengths = [len(part) for part in parts]
    assert not lengths or max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(
    ("asked", "num_envs", "effort", "size"),
    [
        (2, 8, 1, 2),
        (8, 3, 1, 3),
        (2, 2, 0, 2),
        (None, 6, 80, 1),
        (None, 7, 80, 2),
        (None, 11, 80, 3),
        (None, 2, 2000, 2),
        (None, 10**6, 1, 16),
        (None, 10**6, 0, 1),
        (None, 1, 10**6, 1),
    ],
)
def test_sizes(asked, num_envs, effort, size, monkeypatch):
    monkeypatch.setattr(module, "num_cores", lambda: 16)
    assert crew_size(asked, num_envs, effort) == size


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 6}, raising=False)
    assert num_cores() == 3


@pytest.mark.parametrize(
    ("id", "num_envs", "threads"),
    [  # measured with two threads: which gain and which lose by the second
        ("BaggedWalker2d-v0", 8, 2),
        ("BaggedHalfCheetah-v0", 8, 1),
        ("BaggedHalfCheetah-v0", 32, 2),
        ("BaggedInvertedPendulum-v0", 32, 1),
        ("BaggedWalkerRun-v0", 8, 2),
        ("BaggedHopperHop-v0", 32, 1),
        ("BaggedCartpoleBalance-v0", 32, 1),
    ],
)
def test_another_thread_is_a_default_only_where_it_pays(id, num_envs, threads, monkeypatch):
    monkeypatch.setattr(module, "num_cores", lambda: 2)
    envs = bagged_envs.make_vec(id, num_envs)
    assert envs.metadata["num_threads"] == envs.unwrapped._batch.num_threads == threads
    envs.close()


@pytest.mark.parametrize(("asked", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError)])
def test_odd_sizes_are_refused(asked, error):
    with pytest.raises(error, match="num_threads must be an int of at least 1"):
        crew_size(asked, 2, 1)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_all_is_done_once_when_it_returns(size, engine_threads):
    crew, done, workers = Crew(size), [], set()

    def work(slots):
        workers.add(threading.get_ident())
        done.extend(slots)

    for _ in range(20):
        done.clear()
        crew.run(work, range(5))
        assert sorted(done) == list(range(5))
    assert len(engine_threads()) == size - 1
    assert threading.get_ident() in workers
    crew.close()
    assert engine_threads() == []


def test_who_is_done_helps_the_others():
    crew, done = Crew(2), {}
    began, helped = threading.Event(), threading.Event()

    def work(slots):
        mine = done.setdefault(threading.get_ident(), [])
        for slot in slots:
            mine.append(slot)
            if slot == 0:  # the first thread's first
                began.wait(10)
            if slot == 4:  # the second one's
                began.set()
                helped.wait(10)
            if slot == 5:  # the last that is left
                helped.set()

    crew.run(work, range(8))
    crew.close()
    mine = done.pop(threading.get_ident())
    assert (mine, *done.values()) == ([0, 1, 2, 3, 7, 6, 5], [4])


def test_a_failure_is_raised_after_all_are_done(engine_threads):
    crew, done = Crew(3), []

    def work(slots):
        for slot in slots:
            if slot == 1:
                raise ValueError(f"slot {slot}")
            done.append(slot)

    for _ in range(3):
        done.clear()
        with pytest.raises(ValueError, match="slot 1"):
            crew.run(work, range(3))
        assert sorted(done) == [0, 2]
    crew.close()
    assert engine_threads() == []


class Interrupting(SimpleQueue):
    """A queue at which the caller is interrupted once."""

    def __init__(self, moments):
        self.moments = moments

    def get(self):
        if threading.current_thread() is threading.main_thread() and self.moments:
            self.moments.pop()
            raise KeyboardInterrupt
        return super().get()

    def put(self, value):
        super().put(value)
        if threading.current_thread() is threading.main_thread() and self.moments and value is not None:
            self.moments.pop()
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["_tasks", "_results"])
def test_after_an_interrupt_what_others_were_doing_disturbs_no_later_work(name, engine_threads, monkeypatch):
    crew, done, gate = Crew(3), [], threading.Event()

    def work(slots):
        for slot in slots:
            if threading.current_thread() is not threading.main_thread():
                gate.wait(10)
            done.append(slot)

    moments = []
    monkeypatch.setattr(module, "SimpleQueue", lambda: Interrupting(moments))
    gate.set()
    crew.run(work, range(3))
    gate.clear()
    moments.append(1)
    if name == "_results":  # the caller has shared the work, and waits
        for tasks in crew._tasks:
            tasks.moments = []
    threading.Timer(0.2, gate.set).start()
    with pytest.raises(KeyboardInterrupt):
        crew.run(work, range(3))
    assert engine_threads() == []
    for _ in range(3):
        done.clear()
        crew.run(work, range(12))
        assert sorted(done) == list(range(12))
    crew.close()


def test_threads_that_could_start_end_where_another_could_not(engine_threads, monkeypatch):
    start, started = threading.Thread.start, []

    def second_fails(thread):
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    crew = Crew(3)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", second_fails)
        with pytest.raises(RuntimeError, match="can't start"):
            crew.run(list, range(3))
    assert engine_threads() == []
    done = []
    crew.run(done.extend, range(3))
    assert sorted(done) == [0, 1, 2]
    crew.close()


def test_a_closed_crew_is_closed_again_without_complaint_and_can_begin_anew(engine_threads):
    crew, done = Crew(2), []
    crew.close()
    crew.run(done.extend, range(4))
    crew.close()
    crew.close()
    assert sorted(done) == [0, 1, 2, 3]
    assert engine_threads() == []


def test_a_forgotten_crew_leaves_no_thread(engine_threads):
    crew = Crew(3)
    crew.run(list, range(3))
    threads = engine_threads()
    assert len(threads) == 2
    del crew
    gc.collect()
    for thread in threads:
        thread.join(timeout=10)
    assert engine_threads() == []


def test_threads_keep_nothing_alive():
    class Thing:
        def work(self, slots):
            """Do nothing."""

    crew, thing = Crew(2), Thing()
    crew.run(thing.work, range(2))
    seen = weakref.ref(thing)
    del thing
    assert seen() is None
    crew.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_starts_threads_of_its_own():
    """In a process of its own: forking beside threads of other tests warns."""
    code = """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from bagged_envs.engines.crew import Crew
crew, done = Crew(2), []
crew.run(done.extend, range(4))
child = os.fork()
if child == 0:
    crew.run(done.extend, range(4))
    crew.close()
    os._exit(0 if len(done) == 8 else 1)
_, status = os.waitpid(child, 0)
crew.run(done.extend, range(4))
assert status == 0 and len(done) == 8, (status, done)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_an_open_crew_does_not_hold_up_the_interpreters_exit():
    code = "from bagged_envs.engines.crew import Crew; c = Crew(3); c.run(lambda slots: print(*slots), range(3))"
    result = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(result.stdout.split()) == ["0", "1", "2"]
