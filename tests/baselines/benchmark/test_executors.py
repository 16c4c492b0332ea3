"""Commands are begun, waited for and stopped, here and on a leash; settings and missing packages are told."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import gymnasium as gym
import pytest

from bagged_envs import cli
from bagged_envs.baselines.benchmark.executors import Lost, Work, leash
from bagged_envs.baselines.benchmark.executors.choice import chosen
from bagged_envs.baselines.benchmark.executors.leash import Leashed
from bagged_envs.baselines.benchmark.executors.local import LocalProcesses
from bagged_envs.baselines.benchmark.executors.ray import RayHandle
from tests.baselines.benchmark.kills import written
from tests.baselines.benchmark.nodes import alive

SLEEPS = "import time; print('here', flush=True); time.sleep(60)"


def work(folder, code, **env):
    return Work([sys.executable, "-c", code], env, folder, folder / "log.txt")


def leashed(folder, code, **env):
    one = work(folder, code, **env)
    return Leashed(one.words, one.env, one.folder, one.log)


def waited(found, seconds=30):
    limit = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < limit, "it took too long"
        time.sleep(0.02)
    return value


def read(path):
    return path.read_text() if path.exists() else ""


class TestLocal:
    def test_commands_are_made_with_their_variables_in_their_folder(self, tmp_path):
        here = LocalProcesses(2)
        code = "import os; print(os.environ['ONE'], 'HOME' in os.environ, os.getcwd()); raise SystemExit(3)"
        first, second = here.begin([work(tmp_path, code, ONE="1"), work(tmp_path, "print('second')")])
        assert waited(lambda: first.poll() is not None and second.poll() is not None)
        assert (first.poll(), second.poll()) == (3, 0)
        assert sorted((tmp_path / "log.txt").read_text().splitlines()) == [f"1 True {tmp_path}", "second"]
        assert here.room == 2

    def test_they_are_stopped(self, tmp_path):
        here = LocalProcesses(2)
        first, second = here.begin([work(tmp_path, SLEEPS), work(tmp_path, SLEEPS)])
        here.terminate([first])
        here.kill([second])
        assert (first.wait(), second.wait()) == (-signal.SIGTERM, -signal.SIGKILL)

    def test_a_log_that_cannot_be_written_is_an_error(self, tmp_path):
        (tmp_path / "log.txt").mkdir()
        with pytest.raises(OSError, match=r"log\.txt"):
            LocalProcesses(1).begin([work(tmp_path, "")])


class TestLeash:
    @pytest.mark.parametrize(
        ("code", "expected"),
        [("", 0), ("raise SystemExit(75)", 75), ("import os; os.kill(os.getpid(), 9)", -9)],
    )
    def test_exit_codes_come_through(self, tmp_path, code, expected):
        assert leashed(tmp_path, code).wait() == expected

    def test_variables_folder_and_log(self, tmp_path):
        (tmp_path / "log.txt").write_text("before\n")
        assert leashed(tmp_path, "import os; print(os.environ['ONE'], os.getcwd())", ONE="1").wait() == 0
        assert (tmp_path / "log.txt").read_text() == f"before\n1 {tmp_path}\n"

    def test_letting_go_ends_it_in_good_order(self, tmp_path):
        code = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n" + SLEEPS
        held = leashed(tmp_path, code)
        waited(lambda: "here" in read(tmp_path / "log.txt"))
        held.end()
        assert held.wait() == 5

    def test_what_does_not_hear_is_killed(self, tmp_path, monkeypatch):
        deaf = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{SLEEPS}"
        process = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"here\n"
        process.stdout.close()
        monkeypatch.setattr(leash, "PATIENCE", 0.2)
        assert leash._ended(process) == -signal.SIGKILL

    @pytest.mark.parametrize("first_killed", [False, True])
    def test_who_holds_it_is_killed(self, tmp_path, first_killed):
        """As Ray's workers are, which take the process with them that they began, but not the next."""
        holder = f"""
import sys
from pathlib import Path
from bagged_envs.baselines.benchmark.executors.leash import Leashed
words = [sys.executable, "-c", "import os; print(os.getpid(), flush=True); {SLEEPS}"]
held = Leashed(words, {{}}, Path({str(tmp_path)!r}), Path({str(tmp_path / "log.txt")!r}))
print(held._process.pid, flush=True)
held.wait()
"""
        process = subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE)
        first = int(process.stdout.readline())
        process.stdout.close()
        waited(lambda: "here" in read(tmp_path / "log.txt"))
        command = int(read(tmp_path / "log.txt").split()[0])
        assert alive(command)
        if first_killed:
            os.kill(first, signal.SIGKILL)
        process.kill()
        process.wait()
        waited(lambda: not alive(command))

    def test_signals_that_mean_the_job_are_left_to_it(self, tmp_path):
        """A scheduler sends them to all processes: the leash stays, and the command does not hear USR2."""
        code = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n" + SLEEPS
        held = leashed(tmp_path, code)
        waited(lambda: "here" in read(tmp_path / "log.txt"))
        group = os.getpgid(held._process.pid)
        os.killpg(group, signal.SIGUSR2)
        time.sleep(0.3)
        assert held._process.poll() is None
        os.killpg(group, signal.SIGTERM)
        assert held.wait() == 5


class Gone(Exception):
    """A task's worker, as Ray tells it."""


class Raised(Gone):
    """An error in a task, as Ray tells it."""

    cause = FileNotFoundError("no such folder")


@pytest.mark.parametrize(
    ("ready", "error", "expected"),
    [(False, None, None), (True, None, 3), (True, Gone("the node died\nmore"), "Ray: Gone: the node died$")]
    + [(True, Raised(), "Ray: no such folder$")],
)
def test_what_ray_tells_of_a_task(ready, error, expected):
    def get(task):
        if error is not None:
            raise error
        return 3

    errors = SimpleNamespace(RayError=Gone, RayTaskError=Raised)
    ray = SimpleNamespace(wait=lambda tasks, timeout: (tasks if ready else [], []), get=get, exceptions=errors)
    handle = RayHandle(ray, "task")
    if isinstance(expected, str):
        with pytest.raises(Lost, match=expected):
            handle.poll()
    else:
        assert handle.poll() == expected


class TestChoice:
    def test_local_is_what_one_gets(self, tmp_path):
        assert chosen("local", 3, tmp_path).room == 3

    @pytest.mark.parametrize("workers", [0, 2.5])
    def test_workers_are_checked(self, tmp_path, workers):
        with pytest.raises((ValueError, TypeError), match="workers must be an int of at least 1"):
            chosen("local", workers, tmp_path)

    def test_another_ones_setting_is_refused(self, tmp_path):
        with pytest.raises(
            ValueError, match="partition must be left out with executor 'ray', got 'p': it is of 'slurm'"
        ):
            chosen("ray", 2, tmp_path, partition="p")
        with pytest.raises(ValueError, match="executor must be one of 'local', 'ray', 'slurm'"):
            chosen("dask", 2, tmp_path)

    @pytest.mark.parametrize(("name", "package"), [("ray", "ray"), ("slurm", "submitit")])
    def test_a_missing_package_is_named(self, tmp_path, monkeypatch, name, package):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(gym.error.DependencyNotInstalled, match=rf'pip install "bagged_envs\[{name}\]"'):
            chosen(name, 2, tmp_path)

    def test_the_command_says_so_before_anything_is_begun(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "submitit", None)
        suite = written(tmp_path, seeds=1)
        assert cli.main(["bench", "run", str(suite), "--out", str(tmp_path / "out"), "--executor", "slurm"]) == 2
        assert "bagged_envs[slurm]" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_a_cluster_that_is_not_there_is_said_at_once(self, tmp_path):
        pytest.importorskip("ray")
        with pytest.raises(
            ConnectionError, match="address must be that of a Ray cluster, got '127.0.0.1:1': .*refused"
        ):
            chosen("ray", 2, tmp_path, address="127.0.0.1:1")

    def test_slurm_needs_its_commands(self, tmp_path, monkeypatch):
        pytest.importorskip("submitit")
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ValueError, match="needs SLURM's sbatch on this machine"):
            chosen("slurm", 2, tmp_path)


def test_the_leash_imports_nothing_of_ours():
    """It begins with every run, and from its file."""
    text = Path(leash.__file__).read_text()
    assert "bagged_envs" not in text
