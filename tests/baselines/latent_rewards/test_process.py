"""The caged function: one process, started late, started again, ended in time; nobody's but the caller's."""

import contextlib
import copy
import gc
import hashlib
import os
import pickle
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bagged_envs.baselines.latent_rewards.cage import channel, process, seccomp
from bagged_envs.baselines.latent_rewards.cage.errors import CageError, FailedError, RefusedError
from bagged_envs.baselines.latent_rewards.cage.patience import Patience
from bagged_envs.baselines.latent_rewards.cage.process import CagedFunction, Limits
from tests.baselines.latent_rewards.hostile import inside
from tests.baselines.latent_rewards.world import ACTIONS, OBSERVATIONS, needs_lock, sessions

TEXT = inside("pass", "[observation[:, :1], action[:, 1:2] * 2]")
EXPECTED = np.stack([OBSERVATIONS[:, 0], ACTIONS[:, 1] * 2], axis=1)
OPEN = {"allow_list": False, "names": "all"}  # nothing is left but the locked process
# An answer to the question that is asked: what it is, its size and columns, and zeros.
ANSWER = (
    "import os, struct, sys\nt = sys._getframe(1).f_back.f_locals['token']\n"
    "os.write(1, struct.pack('<16sQQQQ', t, {}, 0) + bytes(8320))"
)
BEGIN = f"""
import os, signal, time, numpy as np
from bagged_envs.baselines.latent_rewards.cage.process import CagedFunction
function = CagedFunction({TEXT!r})
x, u = np.ones((2, 3)), np.ones((2, 2))
first = function(x, u)
pid = function._channel.process.pid
"""

pytestmark = needs_lock


def pid_of(function):
    return function._channel.process.pid


def gone(pid):
    for _ in range(500):
        if pid not in sessions():
            return True
        time.sleep(0.02)
    return False


def script(lines):
    """Run a script whose warnings are errors, and return what it prints."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", BEGIN + textwrap.dedent(lines)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.stdout.split()


def ask(function):
    return function(OBSERVATIONS, ACTIONS)


def test_one_process_serves_all_calls():
    with CagedFunction(TEXT) as function:
        assert function._channel is None
        assert np.array_equal(ask(function), EXPECTED)
        first = pid_of(function)
        answers = [function(OBSERVATIONS[:rows], ACTIONS[:rows]) for rows in (1, 5, 16)]
        assert [len(answer) for answer in answers] == [1, 5, 16]
        assert pid_of(function) == first
    assert gone(first)


def test_answers_are_arrays_of_the_callers_own():
    with CagedFunction(inside("pass")) as function:
        answer = ask(function)
        assert (answer.dtype, answer.shape) == (np.float64, (16, 1))
        answer[:] = 0.0
        assert np.array_equal(ask(function)[:, 0], OBSERVATIONS[:, 0])


def test_other_numbers_and_orders_are_taken_as_float64():
    with CagedFunction(TEXT) as function:
        answer = function(np.asfortranarray(OBSERVATIONS.astype(np.float32)), ACTIONS.astype(np.float32)[:, ::1])
    assert np.array_equal(answer, EXPECTED.astype(np.float32))


def test_numbers_that_are_not_finite_pass():
    with CagedFunction(inside("pass", "[observation[:, :1] / 0.0, action[:, :1] * np.nan]")) as function:
        answer = function(np.array([[1.0], [-1.0], [0.0]]), np.ones((3, 1)))
    assert np.array_equal(answer[:, 0], [np.inf, -np.inf, np.nan], equal_nan=True)
    assert np.isnan(answer[:, 1]).all()


def test_no_rows_have_as_many_factors_as_some():
    with CagedFunction(TEXT) as function:
        assert function(np.zeros((0, 24)), np.zeros((0, 6))).shape == (0, 2)


def test_large_batches_go_in_parts(monkeypatch):
    monkeypatch.setattr(process, "MOST_AT_ONCE", 64 * 5)
    with CagedFunction(inside("pass", "[observation[:, :1], observation[:, :1] * 0 + len(action)]")) as function:
        answer = ask(function)
    assert np.array_equal(answer[:, 0], OBSERVATIONS[:, 0])
    assert answer[:, 1].tolist() == [5.0] * 15 + [1.0]


def test_a_million_rows_fit_into_its_memory():
    with CagedFunction(inside("pass", "[np.sin(observation[:, :1] * i) for i in range(1, 9)]")) as function:
        rows = np.linspace(0, 1, 1_000_000)[:, None]
        answer = function(rows, rows)
    assert answer.shape == (1_000_000, 8)
    assert np.allclose(answer[::1000], np.sin(rows[::1000] * np.arange(1, 9)))


@pytest.mark.parametrize(
    ("observations", "actions", "words"),
    [
        (np.ones(3), np.ones((3, 1)), r"observations must have two dimensions, \[n, size\], got shape \(3,\)"),
        (np.ones((3, 1)), np.ones((3, 1, 1)), r"actions must have two dimensions, \[n, size\], got shape \(3, 1, 1\)"),
        (np.ones((3, 1)), np.ones((2, 1)), "actions must have a row for each of the 3 observations, got 2"),
    ],
)
def test_other_inputs_are_refused(observations, actions, words):
    with pytest.raises(ValueError, match=words):
        CagedFunction(TEXT)(observations, actions)


def test_the_text_is_read_before_anything_runs():
    with pytest.raises(RefusedError, match="line 1: `import os` is not allowed"):
        CagedFunction("import os\n" + TEXT)


def test_texts_with_other_line_ends_are_the_same():
    with CagedFunction(TEXT.replace("\n", "\r\n")) as function:
        assert function.sha256 == CagedFunction(TEXT).sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
        assert np.array_equal(ask(function), EXPECTED)


def test_annotations_are_not_evaluated():
    text = "X: boom() = 1\n" + TEXT.replace("observation, action", "observation: boom(), action: 1 / 0")
    with CagedFunction(text) as function:
        assert np.array_equal(ask(function), EXPECTED)


@pytest.mark.parametrize(
    ("lines", "count", "above"),
    [("seen.append(1)", "len(seen)", "seen = []\n"), ("np.e = np.e + 1", "np.e", "")],
    ids=["globals", "numpy"],
)
def test_a_call_does_not_know_of_those_before(lines, count, above):
    text = inside(lines, f"[observation[:, :1] * {count}]", above)
    with CagedFunction(text, allow_list=False) as function:
        assert np.array_equal(ask(function), ask(function))


def test_errors_tell_the_line_and_the_process_lives_on():
    text = inside("x = 1\nif len(action) == 3:\n    x = 1 / (x - 1)")
    with CagedFunction(text) as function:
        ask(function)
        first = pid_of(function)
        with pytest.raises(FailedError, match="^line 4: ZeroDivisionError: division by zero.$"):
            function(OBSERVATIONS[:3], ACTIONS[:3])
        ask(function)
        assert pid_of(function) == first


def test_the_number_of_factors_stays():
    with CagedFunction(inside("pass", "[observation[:, :1]] * len(action)")) as function:
        function(OBSERVATIONS[:2], ACTIONS[:2])
        with pytest.raises(FailedError, match="every call must return the same number of factors, got 2, then 3"):
            function(OBSERVATIONS[:3], ACTIONS[:3])


@pytest.mark.long
def test_too_much_processor_time():
    function = CagedFunction(inside("for i in range(10**9): pass"), Limits(cpu_seconds=0.1))
    with function, pytest.raises(FailedError, match="more than 0.1 s of processor time; do less"):
        ask(function)


@pytest.mark.long
def test_processor_time_is_counted_anew_for_each_call():
    text = inside("for i in range(3 * 10**6): pass")
    with CagedFunction(text, Limits(cpu_seconds=0.3)) as function:
        ask(function)
        first, begin = pid_of(function), time.process_time()
        clock = (~first << 3) | 2
        while time.clock_gettime(clock) < 1.3:
            ask(function)
        assert pid_of(function) == first
        assert time.process_time() - begin < 5.0


def test_too_much_time_on_the_wall():
    text = inside("import _thread\nx = _thread.allocate_lock()\nx.acquire()\nx.acquire()")
    with CagedFunction(text, Limits(seconds=0.3), **OPEN) as function:
        with pytest.raises(FailedError, match="a call took more than 0.3 s; do less"):
            ask(function)
        assert function._channel is None
    with CagedFunction(text, Limits(seconds=0.3, restarts=0), **OPEN) as function:
        for words in ("more than 0.3 s", r"process ended 1 times in a row, the last time by a signal \(Killed\)"):
            with pytest.raises(FailedError, match=words):
                ask(function)


def test_too_much_memory():
    function = CagedFunction(inside("x = [np.zeros(10**7) for i in range(50)]"))
    with function, pytest.raises(FailedError, match="line 2: MemoryError: .*; use fewer or smaller arrays"):
        ask(function)


def test_a_process_that_dies_is_started_again_three_times(monkeypatch):
    starts, started = [], channel._started
    monkeypatch.setattr(channel, "_started", lambda *arguments: starts.append(1) or started(*arguments))
    with CagedFunction(inside("import os\nos._exit(5)"), **OPEN) as function:
        for _ in range(2):
            with pytest.raises(
                FailedError, match="process ended 4 times in a row, the last time by itself with code 5"
            ):
                ask(function)
    assert len(starts) == 4


def test_after_an_answer_the_count_begins_anew():
    with CagedFunction(TEXT, Limits(restarts=1)) as function:
        ask(function)
        for _ in range(3):
            os.kill(pid_of(function), signal.SIGKILL)
            assert np.array_equal(ask(function), EXPECTED)


def test_an_interrupted_call_is_no_death(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with CagedFunction(TEXT, Limits(restarts=0)) as function:
        for _ in range(2):
            ask(function)
            first = pid_of(function)
            with monkeypatch.context() as patch:
                patch.setattr(Patience, "wait", interrupted)
                with pytest.raises(KeyboardInterrupt):
                    ask(function)
            assert gone(first)
        assert np.array_equal(ask(function), EXPECTED)


@pytest.mark.parametrize(
    ("loop", "seconds", "restarts"),
    [("for i in range(6 * 10**6): pass", 0.5, 99), ("pass", 0.2, 9)],
    ids=["late", "soon"],
)
def test_a_process_that_dies_has_one_calls_time_in_all(loop, seconds, restarts):
    text = inside(f"import os\n{loop}\nos._exit(5)")
    function = CagedFunction(text, Limits(seconds=seconds, restarts=restarts), **OPEN)
    with function, pytest.raises(FailedError, match=f"a call took more than {seconds} s"):
        ask(function)


@pytest.mark.long
def test_a_trainer_that_is_stopped_does_not_lose_its_patience():
    text = inside("for i in range(len(action) * 5 * 10**6): pass")
    assert script(f"""
        from bagged_envs.baselines.latent_rewards.cage.process import Limits
        function = CagedFunction({text!r}, Limits(seconds=1.5))
        function(x[:0], u[:0])
        both = function._channel.process.pid, os.getpid()
        child = os.fork()
        if child == 0:
            for number, pause in ((signal.SIGSTOP, 2.0), (signal.SIGCONT, 0.0)):
                time.sleep(0.1)
                for one in both:
                    os.kill(one, number)
                time.sleep(pause)
            os._exit(0)
        print(len(function(x, u)))
        os.waitpid(child, 0)
    """) == ["2"]


def test_memory_that_is_over_is_told_and_ends_the_process():
    text = inside("x = np.zeros(10**8 * (len(action) // 16))")
    with CagedFunction(text, Limits(restarts=0)) as function:
        function(OBSERVATIONS[:1], ACTIONS[:1])
        for _ in range(2):
            first = pid_of(function)
            with pytest.raises(FailedError, match="line 2: MemoryError: .*; use fewer or smaller arrays"):
                ask(function)
            assert gone(first)
            assert len(function(OBSERVATIONS[:1], ACTIONS[:1])) == 1


@pytest.mark.parametrize("lines", ["x = {}\nx[0] = x\nx[1] = np.ones(10**7)", "x = [np.ones(10**7)]\nx.append(x)"])
def test_cycles_do_not_live_on(lines):
    with CagedFunction(inside(lines)) as function:
        for _ in range(12):
            ask(function)


@pytest.mark.long
def test_inputs_that_do_not_fit_are_told():
    wide = np.zeros((1, 22 * 10**6))
    with CagedFunction(
        inside("pass", "[action * len(observation[0])]"), Limits(memory_mib=384, restarts=0)
    ) as function:
        with pytest.raises(
            FailedError, match="the inputs must fit into the process's 384 MiB, beside Python and NumPy"
        ):
            function(wide, np.ones((1, 1)))
        assert function(np.zeros((1, 2)), np.ones((1, 1))) == 2.0
        with pytest.raises(FailedError, match="the inputs must fit"):
            function(wide, np.ones((1, 1)))
        assert function(np.zeros((1, 3)), np.ones((1, 1))) == 3.0


@pytest.mark.parametrize(("columns", "others"), [(0, 1), (1, 0)])
def test_inputs_may_have_no_columns(columns, others):
    with CagedFunction(inside("pass", "[np.ones((len(action), 1)) * observation.shape[1]]")) as function:
        assert function(np.ones((3, columns)), np.ones((3, others))).tolist() == [[columns]] * 3


def test_an_error_without_a_text_is_told():
    with CagedFunction(inside("x = 10\nfor i in range(13): x = x * x\nx = {1: 2}[x + len(action)]")) as function:
        for _ in range(2):
            with pytest.raises(FailedError, match="^line 4: KeyError.$"):
                ask(function)
        assert function._deaths == 0


@pytest.mark.parametrize(
    "lines",
    [
        *("np.array('now', 'M8[us]')", "np.zeros(3, 'V8')", "np.array([1], dtype='O')", "np.full(3, 1, 'i4,f8')"),
        *("observation.astype('M8[us]')", "observation.sum(0, 'O')", "observation[0, 0].astype('U9')"),
        *(
            "np.add(action, action, dtype='O')",
            "np.add(action, action, signature='OO->O')",
            "np.stack([action], dtype='O')",
        ),
    ],
)
def test_behind_the_allow_list_dtypes_are_numbers_all_the_same(lines):
    function = CagedFunction(inside("x = 1\n" + lines), allow_list=False)
    words = r"^line 3: TypeError: (a dtype must be of real numbers|signature= is not allowed)"
    with function, pytest.raises(FailedError, match=words):
        ask(function)


def test_an_owners_limit_of_processor_time_stays():
    printed = script("""
        import resource
        function.close()
        resource.setrlimit(resource.RLIMIT_CPU, (600, 600))
        function = CagedFunction(function.text)
        for _ in range(2):
            function(x, u)
        print(*resource.prlimit(function._channel.process.pid, resource.RLIMIT_CPU))
    """)
    assert 1 <= int(printed[0]) <= 10
    assert printed[1] == "600"


def test_near_that_limit_processes_are_replaced(monkeypatch):
    with CagedFunction(TEXT, Limits(restarts=0)) as function:
        ask(function)
        first = pid_of(function)
        monkeypatch.setattr(channel, "_allowed", lambda pid, _: pid != first)
        assert np.array_equal(ask(function), EXPECTED)
        assert gone(first)


def test_a_limit_that_the_system_refuses_is_no_fault_of_the_program(monkeypatch):
    def refused(*_):
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(resource, "prlimit", refused)
    with (
        CagedFunction(TEXT) as function,
        pytest.raises(CageError, match="processor time must be limited, but .* refused"),
    ):
        ask(function)


@pytest.mark.long
def test_without_limits_of_processes_there_is_an_error_but_only_at_use():
    lines = f"""
        import sys
        sys.modules["resource"] = None
        import bagged_envs.baselines.redistributors
        from bagged_envs.baselines.latent_rewards.cage.process import CagedFunction
        CagedFunction({TEXT!r}, allow_weaker_sandbox=True)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(lines)], capture_output=True, text=True, check=False)
    assert "CageError: programs must run in a process with limits" in done.stderr.splitlines()[-1]


def test_a_process_that_is_killed_in_a_call_is_asked_again():
    with CagedFunction(inside("for i in range(2 * 10**7): pass")) as function:
        function(OBSERVATIONS[:0], ACTIONS[:0])
        first = pid_of(function)
        threading.Timer(0.1, os.kill, (first, signal.SIGKILL)).start()
        assert len(ask(function)) == 16
        assert pid_of(function) != first


@pytest.mark.parametrize(
    "lines",
    [
        "import os\nos.write(1, bytes(56))",
        "import os\nos.write(1, b'x' * 10**6)",
        *(ANSWER.format(said) for said in ("0, 0, 0", "3, 2**62, 0", "2, 128, 2", "2, 0, 0", "2, 8320, 65")),
    ],
)
def test_forged_answers_are_seen(lines):
    with CagedFunction(inside(lines), **OPEN) as function:
        with pytest.raises(FailedError, match="but it wrote an answer itself"):
            ask(function)
        assert function._channel is None


def test_an_answer_that_was_written_before_is_not_taken_for_the_next():
    with CagedFunction(inside(ANSWER.format("2, 128, 1").replace("8320", "128")), **OPEN) as function:
        assert not ask(function).any()  # in its own process a program may say what it likes, once
        with pytest.raises(FailedError, match="but it wrote an answer itself"):
            ask(function)


def test_texts_of_errors_are_short_and_printable():
    function = CagedFunction(inside("raise ValueError('\\x1b[2J' + 'x' * 10**6)"), **OPEN)
    with function, pytest.raises(FailedError) as caught:
        ask(function)
    assert str(caught.value).startswith("line 2: ValueError: ?[2Jxxx")
    assert len(str(caught.value)) < 1000


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_how_the_process_is_locked_in():
    with CagedFunction(TEXT) as function:
        ask(function)
        place = Path("/proc", str(pid_of(function)))
        status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
        environment = (place / "environ").read_bytes().split(b"\0")
        assert (status["Seccomp"].strip(), status["NoNewPrivs"].strip(), status["Threads"].strip()) == ("2", "1", "1")
        assert sorted(os.listdir(place / "fd")) == ["0", "1", "2"]
        assert os.readlink(place / "cwd") == "/"
        assert {one.split(b"=")[0] for one in environment if one} <= {
            *(b"OMP_NUM_THREADS", b"MKL_NUM_THREADS", b"OPENBLAS_NUM_THREADS", b"PATH", b"PYTHONHASHSEED"),
            b"LD_LIBRARY_PATH",
        }
        limits = (place / "limits").read_text()
        assert f"Max address space         {768 * 2**20}" in " ".join(limits.split("\n"))
        for kind, most in (("FSIZE", 0), ("CORE", 0), ("NPROC", 0), ("NOFILE", 3)):
            assert resource.prlimit(pid_of(function), getattr(resource, f"RLIMIT_{kind}")) == (most, most)
        assert sessions()[pid_of(function)] == pid_of(function)


def test_the_lock_refuses_by_a_list():
    lines = "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nr = c.getpid(), c.open(b'/etc/passwd', 0), c.fork()"
    with CagedFunction(inside(lines, "[observation[:, :1] * 0 + r[1], action[:, :1] * 0 + r[2]]"), **OPEN) as function:
        assert (ask(function) == -1.0).all()


def test_without_the_lock_it_must_be_allowed(monkeypatch):
    monkeypatch.setattr(seccomp, "available", lambda: False)
    with pytest.raises(CageError, match=r"behind a lock of the kernel .*allow_weaker_sandbox=True"):
        CagedFunction(TEXT)
    with pytest.warns(RuntimeWarning, match="run without the kernel's lock"):
        function = CagedFunction(TEXT, allow_weaker_sandbox=True)
    with function:
        assert np.array_equal(ask(function), EXPECTED)
        status = Path("/proc", str(pid_of(function)), "status")
        assert "Seccomp:\t0" in status.read_text()
        with pytest.warns(RuntimeWarning, match="run without"):
            assert copy.deepcopy(function).sha256 == function.sha256  # what was allowed stays so
    with pytest.warns(RuntimeWarning, match="run without"):
        function = CagedFunction(inside("open('/tmp/x')"), allow_weaker_sandbox=True, **OPEN)
    with function, pytest.raises(FailedError, match="line 2: OSError: .*Too many open files"):
        ask(function)


def test_without_the_lock_what_it_has_started_ends_with_it(monkeypatch):
    monkeypatch.setattr(seccomp, "available", lambda: False)
    text = inside("import os, time\nif os.fork() == 0:\n    time.sleep(60)")
    with pytest.warns(RuntimeWarning, match="run without"):
        function = CagedFunction(text, allow_weaker_sandbox=True, **OPEN)
    with function:
        with contextlib.suppress(FailedError):  # only root's may start another in spite of their limits
            ask(function)
        first = pid_of(function)
    assert all(gone(pid) for pid, session in sessions().items() if session == first)


def test_a_process_that_cannot_start_is_no_fault_of_the_program(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with CagedFunction(TEXT) as function, pytest.raises(CageError, match="the worker must start, but /nonexistent"):
        ask(function)


def test_nor_is_one_that_cannot_lock_itself_in(monkeypatch):
    monkeypatch.setattr(channel, "_FLAGS", ("-c", "raise SystemExit(3)"))
    with CagedFunction(TEXT) as function, pytest.raises(CageError, match="must start and lock itself in, .* with 3"):
        ask(function)


def test_closed_twice_and_asked_again():
    function = CagedFunction(TEXT)
    ask(function)
    pid = pid_of(function)
    function.close()
    function.close()
    assert gone(pid)
    with pytest.raises(ValueError, match="the function must be open"):
        ask(function)


@pytest.mark.long
def test_it_ends_with_its_object():
    function = CagedFunction(TEXT)
    ask(function)
    pid = pid_of(function)
    del function
    gc.collect()
    assert gone(pid)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["copy", "pickle"])
def test_copies_have_processes_of_their_own(again):
    with CagedFunction(TEXT, Limits(restarts=1)) as function:
        ask(function)
        with again(function) as other:
            assert other.limits == function.limits
            assert np.array_equal(ask(other), EXPECTED)
            assert pid_of(other) != pid_of(function)


def test_threads_wait_for_each_other_and_may_end():
    answers = []
    with CagedFunction(TEXT) as function:
        threads = [threading.Thread(target=lambda: answers.append(ask(function))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        first = pid_of(function)  # started by a thread that has ended
        answers.append(ask(function))
        assert pid_of(function) == first
    assert all(np.array_equal(answer, EXPECTED) for answer in answers)
    assert len(answers) == 5


def test_a_fork_has_a_process_of_its_own():
    printed = script("""
        child = os.fork()
        if child == 0:
            function(x, u)
            print(function._channel.process.pid, flush=True)
            raise SystemExit
        os.waitpid(child, 0)
        function(x, u)
        print(pid, function._channel.process.pid)
    """)
    assert printed[1] == printed[2] != printed[0]
    assert all(gone(int(pid)) for pid in printed)


def test_threads_of_a_fork_begin_anew_together():
    printed = script("""
        function._turn.acquire()  # as by a thread that asks
        child = os.fork()
        if child == 0:
            import threading
            pids = [function._channel]
            threads = [threading.Thread(target=function, args=(x, u)) for _ in range(4)]
            for one in threads:
                one.start()
            for one in threads:
                one.join()
            print(pids[0], function._channel.process.pid != pid, flush=True)
            raise SystemExit
        os.waitpid(child, 0)
        function._turn.release()
        function(x, u)
        print(pid == function._channel.process.pid)
    """)
    assert printed == ["None", "True", "True"]


def test_a_fork_that_does_not_use_it_leaves_it_alone():
    printed = script("""
        for close in (True, False):
            child = os.fork()
            if child == 0:
                if close:
                    function.close()
                raise SystemExit
            os.waitpid(child, 0)
            function(x, u)
        print(pid, function._channel.process.pid)
    """)
    assert printed[0] == printed[1]


@pytest.mark.parametrize("end", ["", "function.close()", "del function", "os._exit(0)"])
def test_no_process_and_no_warning_stays_behind(end):
    (pid,) = script(f"print(pid, flush=True)\n{end}")
    assert gone(int(pid))


@pytest.mark.long
def test_a_process_that_waits_for_ever_ends_with_the_trainer():
    text = inside("import _thread\nx = _thread.allocate_lock()\nx.acquire()\nx.acquire()")
    (pid,) = script(f"""
        import threading
        function = CagedFunction({text!r}, allow_list=False, names="all")
        threading.Thread(target=function, args=(x, u), daemon=True).start()
        while function._channel is None:
            time.sleep(0.01)
        time.sleep(0.3)
        print(function._channel.process.pid, flush=True)
        os._exit(0)
    """)
    assert gone(int(pid))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"memory_mib": 0}, "memory_mib must be a whole number of at least 1, got 0"),
        ({"seconds": 0.0}, "seconds must be a number of at least 0.001, got 0.0"),
        ({"factors": 2.5}, "factors must be a whole number of at least 1, got 2.5"),
        ({"restarts": -1}, "restarts must be a whole number of at least 0, got -1"),
        ({"magnitude": float("nan")}, "magnitude must be a number of at least 0.001, got nan"),
    ],
)
def test_limits_are_checked(setting, words):
    with pytest.raises(ValueError, match=words):
        Limits(**setting)


def test_limits_that_everyone_has():
    assert Limits() == Limits(memory_mib=768, seconds=4.0, cpu_seconds=2.0, factors=64, magnitude=1e6, restarts=3)
