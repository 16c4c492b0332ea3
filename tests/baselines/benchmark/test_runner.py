"""A suite is run by processes, each run once; what fails, waits or is stopped is told; kills lose nothing."""

import csv
import errno
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from bagged_envs import cli
from bagged_envs.baselines.benchmark import queue as queues
from bagged_envs.baselines.benchmark import runner
from bagged_envs.baselines.benchmark.executors import Lost, local
from bagged_envs.baselines.benchmark.executors.local import LocalProcesses
from bagged_envs.baselines.benchmark.queue import Queue
from bagged_envs.baselines.benchmark.result_file import RESULT, read_failure, read_result, write_result
from bagged_envs.baselines.benchmark.results import COLUMNS, read_results, run_row, state, write_tables
from bagged_envs.baselines.benchmark.runner import BUSY, UNWRITABLE, run_suite, work_on_one
from bagged_envs.baselines.benchmark.suite import Suite
from bagged_envs.baselines.lease import lease, owner
from tests.baselines.benchmark import kills
from tests.baselines.benchmark.small import PROTOCOL, job, results


def console():
    return Console(file=io.StringIO(), width=200)


def queue_of(some, out, workers=1):
    return Queue("mine.toml", some, out, 50, LocalProcesses(workers))


def jobs(count=3):
    return [job(seed=PROTOCOL.test[place]) for place in range(count)]


@pytest.fixture
def at_once(monkeypatch):
    """Runs are made in this process, by a function that tests may replace; whom they are asked for is kept."""
    made = []

    class Process:
        def __init__(self, words, **_):
            made.append(words[words.index("one") + 2])
            self.code = Process.work(words)

        work = staticmethod(lambda words: 0)

        def poll(self):
            return self.code

        def terminate(self):
            pass

        kill = terminate

    monkeypatch.setattr(local, "subprocess", SimpleNamespace(Popen=Process))
    return Process, made


class TestQueue:
    @pytest.mark.long
    def test_each_is_made_once_and_whole_ones_are_left_out(self, tmp_path, at_once):
        some = jobs()
        some[1].work(tmp_path)
        queue = queue_of(some, tmp_path)
        queue.serve()
        assert at_once[1] == [some[0].key, some[2].key]

    def test_one_that_somebody_else_works_on_is_come_back_to(self, tmp_path, at_once, monkeypatch):
        monkeypatch.setattr(queues, "WAIT", 0.01)
        some, codes = jobs(2), iter([BUSY, 0, BUSY, 0])
        at_once[0].work = staticmethod(lambda words: next(codes))
        queue_of(some, tmp_path).serve()
        assert at_once[1] == [some[0].key, some[1].key, some[0].key, some[0].key]

    def test_a_failed_one_is_not_tried_twice_in_one_go(self, tmp_path, at_once):
        at_once[0].work = staticmethod(lambda words: 1)
        some = jobs(2)
        queue_of(some, tmp_path).serve()
        assert at_once[1] == [some[0].key, some[1].key]

    def test_one_that_has_an_owner_needs_no_process_to_find_out(self, tmp_path, at_once, monkeypatch):
        monkeypatch.setattr(queues, "WAIT", 0.01)
        some = jobs(2)
        with lease(some[0].folder(tmp_path)):
            queue = queue_of(some, tmp_path)
            monkeypatch.setattr(queue, "_waiting", type(queue._waiting)(some))
            at_once[0].work = staticmethod(lambda words: queue._stopped.set() or 0)
            queue.serve()
        assert at_once[1] == [some[1].key]

    def test_why_a_run_ended_is_kept(self, tmp_path, at_once):
        codes = iter([-9, 3])
        at_once[0].work = staticmethod(lambda words: next(codes))
        some = jobs(3)
        some[2].folder(tmp_path).write_text("in the way")
        queue = queue_of(some, tmp_path)
        queue.serve()
        told = queue.troubles()
        assert "failed: signal SIGKILL. See" in told[0]
        assert "failed: exit code 3. See" in told[1]
        assert "log.txt" in told[1]
        assert "File exists" in told[2]

    def test_none_is_begun_once_it_was_stopped(self, tmp_path, at_once):
        queue = queue_of(jobs(), tmp_path)
        queue.stop()
        queue.serve()
        assert at_once[1] == []

    def test_how_they_stand(self, tmp_path):
        some = jobs()
        some[0].work(tmp_path)
        folder = some[1].folder(tmp_path)
        folder.mkdir()
        (folder / "failure.json").write_text('{"error": "it failed", "traceback": ""}')
        (folder / runner.PROGRESS).write_text('{"step": 30}')
        queue = queue_of(some, tmp_path)
        assert queue.counts() == {"done": 1, "running": 0, "failed": 1, "waiting": 1}
        assert queue.steps() == 120 + 30
        with lease(some[2].folder(tmp_path)):
            assert state(some[2], tmp_path) == "running"

    @pytest.mark.parametrize("told", ["", "[]", "{}", '{"step": null}', "[" * 100_000])
    def test_a_run_that_does_not_say_how_far_it_is(self, tmp_path, told):
        (one,) = jobs(1)
        one.folder(tmp_path).mkdir()
        (one.folder(tmp_path) / runner.PROGRESS).write_text(told)
        assert queue_of([one], tmp_path).steps() == 0

    def test_a_result_of_another_run_is_not_its(self, tmp_path, at_once):
        first, second = jobs(2)
        first.work(tmp_path)
        second.folder(tmp_path).mkdir()
        shutil.copy(first.folder(tmp_path) / RESULT, second.folder(tmp_path))
        queue = queue_of([first, second], tmp_path)
        assert queue.counts() == {"done": 1, "running": 0, "failed": 0, "waiting": 1}
        assert state(second, tmp_path) == "waiting"
        assert second.work(tmp_path)["job"]["seed"] == second.seed
        assert queue.counts()["done"] == 2


class Cluster:
    """Keeps what it is handed, and ends it when it is asked the third time."""

    def __init__(self, room, end=lambda: 0):
        self.room, self.handed, self.stopped, self._end = room, [], [], end
        self.most = self._now = 0

    def begin(self, works):
        self.handed.append(list(works))
        self._now += len(works)
        self.most = max(self.most, self._now)
        return [SimpleNamespace(poll=self._poll(iter([None, None]))) for _ in works]

    def _poll(self, looks):
        def poll():
            if next(looks, "over") is None:
                return None
            self._now -= 1
            return self._end()

        return poll

    def terminate(self, handles):
        self.stopped += handles

    kill = terminate


def lost():
    raise Lost("the machine is gone")


class TestHanded:
    def test_all_at_once_where_the_executor_has_a_queue(self, tmp_path):
        cluster = Cluster(None)
        Queue("mine.toml", jobs(), tmp_path, 50, cluster).serve()
        assert [len(works) for works in cluster.handed] == [3]

    def test_no_more_than_there_is_room_for(self, tmp_path):
        cluster = Cluster(2)
        Queue("mine.toml", jobs(), tmp_path, 50, cluster).serve()
        assert [len(works) for works in cluster.handed] == [1, 1, 1]
        assert cluster.most == 2

    def test_what_a_run_needs_is_told(self, tmp_path):
        cluster = Cluster(1)
        one = replace(job(), threads=3, device="cuda")
        Queue("mine.toml", [one], tmp_path, 50, cluster).serve()
        (((work,),)) = cluster.handed
        assert work.env == {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3"}
        assert (work.cpus, work.gpus, work.folder) == (3, 1, Path.cwd())
        assert work.log == one.folder(tmp_path) / "log.txt"
        assert work.words[3:6] == ["bench", "one", "mine.toml"]

    def test_one_that_leaves_no_result_says_so(self, tmp_path):
        queue = Queue("mine.toml", jobs(1), tmp_path, 50, Cluster(1))
        queue.serve()
        assert "failed: it came to its end, and left no result that counts. See" in queue.troubles()[0]

    def test_one_that_was_lost_says_why(self, tmp_path):
        queue = Queue("mine.toml", jobs(1), tmp_path, 50, Cluster(1, lost))
        queue.serve()
        assert "failed: the machine is gone. See" in queue.troubles()[0]

    def test_what_a_cluster_does_not_answer_for_is_left(self, tmp_path, monkeypatch):
        monkeypatch.setattr(queues, "PATIENCE", 0.2)
        monkeypatch.setattr(queues, "REAPED", 0.2)
        cluster = Cluster(None, lambda: None)
        queue = Queue("mine.toml", jobs(2), tmp_path, 50, cluster)
        stop = threading.Timer(0.3, queue.stop)
        stop.start()
        queue.serve()
        stop.join()
        assert len(cluster.stopped) == 4  # terminated, then killed
        assert queue.troubles() == []


def test_a_damaged_failure_is_one_without_a_reason(tmp_path):
    (tmp_path / "failure.json").write_text("{")
    assert read_failure(tmp_path) == "failure.json is damaged"


class TestOne:
    @pytest.fixture
    def suite(self, tmp_path):
        return kills.written(tmp_path, seeds=1)

    @pytest.mark.long
    def test_it_is_made(self, suite, tmp_path):
        one = Suite.load(suite).jobs()[0]
        assert work_on_one(str(suite), one.key, tmp_path / "out", 50) == 0
        assert read_result(one.folder(tmp_path / "out"))["key"] == one.key
        assert runner.PROGRESS not in os.listdir(one.folder(tmp_path / "out"))

    @pytest.mark.long
    def test_it_tells_tensorboard(self, suite, tmp_path):
        one = Suite.load(suite).jobs()[0]
        assert work_on_one(str(suite), one.key, tmp_path / "out", 50, tensorboard=True) == 0
        (file,) = (one.folder(tmp_path / "out") / "tensorboard").iterdir()
        assert file.name.startswith("events.")

    def test_it_says_how_far_it_is_about_once_a_second(self, tmp_path, monkeypatch):
        times = iter([10.0, 10.0, 10.5, 11.5, 11.5])
        monkeypatch.setattr(runner.time, "monotonic", lambda: next(times))
        told, found = runner._Told(tmp_path), []
        for step in (1, 2, 3):
            told(step, None)
            found.append(json.loads((tmp_path / runner.PROGRESS).read_text())["step"])
        assert found == [1, 1, 3]
        told.forget()
        assert os.listdir(tmp_path) == []

    def test_an_unknown_key_is_refused(self, suite, tmp_path):
        with pytest.raises(ValueError, match="key must be that of a run of .*got 'abc': versions"):
            work_on_one(str(suite), "abc", tmp_path, 50)

    def test_one_that_is_worked_on_is_busy(self, suite, tmp_path, capsys):
        one = Suite.load(suite).jobs()[0]
        with lease(one.folder(tmp_path)):
            assert work_on_one(str(suite), one.key, tmp_path, 50) == BUSY
        assert "is worked in by process" in capsys.readouterr().err

    def test_a_failure_is_told(self, suite, tmp_path, monkeypatch, capsys):
        def fails(*_, **__):
            raise FloatingPointError("the loss is nan")

        monkeypatch.setattr("bagged_envs.baselines.benchmark.job.runs.train", fails)
        one = Suite.load(suite).jobs()[0]
        assert work_on_one(str(suite), one.key, tmp_path, 50) == 1
        assert "FloatingPointError: the loss is nan" in capsys.readouterr().err
        assert read_failure(one.folder(tmp_path)) == "FloatingPointError: the loss is nan"


class TestCommands:
    @pytest.mark.long
    def test_a_dry_run_prints_what_would_be_run(self, tmp_path, capsys):
        suite = kills.written(tmp_path, seeds=1)
        first, second = Suite.load(suite).jobs()
        first.work(tmp_path / "out")
        assert cli.main(["bench", "run", str(suite), "--out", str(tmp_path / "out"), "--dry-run"]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        words = shlex.split(line)
        assert words[:3] == ["cd", str(Path.cwd()), "&&"]
        assert words[3:7] == ["env", "OMP_NUM_THREADS=1", "MKL_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1"]
        assert words[8:13] == ["-m", "bagged_envs.cli", "bench", "one", str(suite.absolute())]
        assert words[13] == second.key
        assert "--tensorboard" not in words
        options = ["--out", str(tmp_path / "out"), "--dry-run", "--tensorboard"]
        assert cli.main(["bench", "run", str(suite), *options]) == 0
        assert shlex.split(capsys.readouterr().out) == [*words, "--tensorboard"]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--workers", "0"], "workers must be an int of at least 1, got 0"),
            (["--address", "foo:1"], "address must be left out with executor 'local', got 'foo:1': it is of 'ray'"),
            (["--executor", "ray", "--partition", "x"], "partition must be left out with executor 'ray', got 'x'"),
        ],
    )
    def test_a_dry_run_takes_no_settings_of_other_executors(self, words, message, tmp_path, capsys):
        suite = kills.written(tmp_path, seeds=1)
        assert cli.main(["bench", "run", str(suite), "--out", str(tmp_path / "out"), "--dry-run", *words]) == 2
        told = capsys.readouterr()
        assert (told.out, message in told.err) == ("", True)

    @pytest.mark.parametrize("words", [["--checkpoint-every", "-3"], ["--protocol-of-others"]])
    def test_a_dry_run_refuses_what_a_run_would(self, words, tmp_path, capsys):
        suite, out = kills.written(tmp_path, seeds=1), tmp_path / "out"
        if words == ["--protocol-of-others"]:
            words = []
            jobs(1)[0].work(out)
        assert cli.main(["bench", "run", str(suite), "--out", str(out), "--dry-run", *words]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert "checkpoint_every must be" in told.err or "out must have runs of protocol" in told.err

    def test_a_file_is_no_folder(self, tmp_path, capsys):
        assert cli.main(["bench", "run", str(kills.written(tmp_path)), "--out", str(tmp_path / "suite.toml")]) == 2
        assert "out must be a folder, got" in capsys.readouterr().err

    def test_an_unknown_suite_lists_ours(self, capsys):
        assert cli.main(["bench", "run", "nothing"]) == 2
        assert "suite must be one of" in capsys.readouterr().err


class TestFolders:
    def test_runs_of_another_protocol_are_refused(self, tmp_path, at_once):
        suite = kills.written(tmp_path, seeds=1)
        jobs(1)[0].work(tmp_path / "out")
        with pytest.raises(ValueError, match=f"with some of {PROTOCOL.hash}: name another folder"):
            run_suite(str(suite), Suite.load(suite), tmp_path / "out", LocalProcesses(1), 50, console())

    def test_a_copy_of_a_run_does_not_count(self, tmp_path):
        one = jobs(1)[0]
        one.work(tmp_path)
        for name in (f"copy-{one.name}", f"{one.name}.backup"):
            shutil.copytree(one.folder(tmp_path), tmp_path / name)
        old = replace(one, arm=replace(one.arm, trials=9))  # what the backup still says
        write_result(tmp_path / f"{one.name}.backup", {**read_result(one.folder(tmp_path)), "arm": old._told()})
        assert [found["arm"]["trials"] for found in results(tmp_path)] == [0]

    @pytest.mark.long
    def test_what_is_said_of_a_method_is_what_the_suite_says_now(self, tmp_path, at_once):
        suite = kills.written(tmp_path, seeds=1)
        for one in Suite.load(suite).jobs():
            one.work(tmp_path / "out")
        (one.folder(tmp_path / "out") / ".lease-0.json.0123.unfinished").touch()  # killed while it left
        suite.write_text(suite.read_text().replace("trials = 0", "trials = 7").replace("first", "renamed"))
        suite.write_text(suite.read_text().replace("renamed_seeds", "first_seeds"))
        assert run_suite(str(suite), Suite.load(suite), tmp_path / "out", LocalProcesses(1), 50, console()) == 0
        assert at_once[1] == []
        found = results(tmp_path / "out")
        assert sorted((one["arm"]["name"], one["arm"]["trials"]) for one in found) == [("renamed", 7), ("second", 7)]
        assert all(read_result(path.parent) for path in (tmp_path / "out").glob("*/result.json"))
        assert list((tmp_path / "out").glob("*/.*")) == []


class TestTables:
    def test_rows_say_under_which_protocol(self, tmp_path):
        for one in jobs(2):
            one.work(tmp_path)
        write_tables(tmp_path, read_results(tmp_path)[0])
        with (tmp_path / "runs.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["seed"], row["protocol"], row["method"]) for row in rows] == [
            ("7", PROTOCOL.hash, "uniform-td3"),
            ("8", PROTOCOL.hash, "uniform-td3"),
        ]
        assert tuple(rows[0]) == COLUMNS
        assert json.loads(rows[0]["arguments"]) == {"bag_len": 3}
        with (tmp_path / "evaluations.csv").open(newline="") as file:
            evaluations = list(csv.DictReader(file))
        assert [(row["seed"], row["step"]) for row in evaluations] == [
            (s, t) for s in "78" for t in ("40", "80", "120")
        ]
        before = (tmp_path / "runs.csv").read_bytes()
        write_tables(tmp_path, read_results(tmp_path)[0])  # with the tables there
        assert (tmp_path / "runs.csv").read_bytes() == before
        assert float(rows[0]["final"]) == (float(evaluations[1]["return"]) + float(evaluations[2]["return"])) / 2

    def test_a_damaged_result_has_no_row(self, tmp_path):
        one = jobs(1)[0]
        row = run_row(one.work(tmp_path))
        assert row["final"] == read_result(one.folder(tmp_path))["final"]
        (one.folder(tmp_path) / "result.json").write_text("{")
        assert results(tmp_path) == []


@pytest.mark.long
def test_a_failed_run_is_told_in_the_end(tmp_path, at_once):
    suite = kills.written(tmp_path, seeds=1)
    loaded = Suite.load(suite)
    first, second = loaded.jobs()
    out = tmp_path / "out"
    first.work(out)
    (out / second.name).mkdir()
    (out / second.name / "failure.json").write_text('{"error": "FloatingPointError: nan.", "traceback": ""}')
    at_once[0].work = staticmethod(lambda words: 1)
    shown = console()
    assert run_suite(str(suite), loaded, out, LocalProcesses(2), 50, shown) == 1
    text = shown.file.getvalue()
    assert "1 done, 1 failed" in text
    assert f"{second.name} failed: FloatingPointError: nan. See" in text
    assert len(results(out)) == 1


@pytest.mark.long
def test_sigterm_stops_all_with_checkpoints_and_the_next_one_goes_on(tmp_path):
    suite, out = kills.written(tmp_path, seeds=1), tmp_path / "out"
    text = suite.read_text().replace("steps = 400", "steps = 4000000")
    suite.write_text(text)
    words = ["bench", "run", str(suite), "--out", str(out), "--workers", "1", "--checkpoint-every", "10000000"]
    process = subprocess.Popen([sys.executable, "-m", "bagged_envs.cli", *words], stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 90
    while not list(out.glob(f"*/{runner.PROGRESS}")) and time.monotonic() < limit:
        time.sleep(0.05)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 1
    assert time.monotonic() - begin < 10.0
    (folder,) = [path for path in out.iterdir() if path.is_dir()]
    assert (folder / "checkpoint.pt").exists()
    assert owner(folder) is None


def test_ctrl_c_of_a_command_is_no_traceback(tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bagged_envs.baselines.benchmark.estimate.estimate", interrupted)
    assert cli.main(["bench", "estimate", str(kills.written(tmp_path, seeds=1))]) == 130
    assert capsys.readouterr().err == "bagged-envs: stopped\n"


@pytest.mark.parametrize("ignored", [True, False])
def test_what_is_ignored_as_nohup_has_it_stops_nothing(ignored):
    stops, before = [], signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        with runner._stopping(lambda: stops.append(1)):
            os.kill(os.getpid(), signal.SIGHUP)
            limit = time.monotonic() + 10
            while not stops and not ignored and time.monotonic() < limit:
                time.sleep(0.01)
        assert stops == ([] if ignored else [1])
        assert signal.getsignal(signal.SIGHUP) == (signal.SIG_IGN if ignored else signal.SIG_DFL)
    finally:
        signal.signal(signal.SIGHUP, before)


class Full(io.StringIO):
    """A log on a disk that takes nothing."""

    def write(self, text):
        raise OSError(errno.ENOSPC, "full", "log.txt")


def test_a_full_disk_is_told_by_the_exit_code_where_the_log_is_on_it(tmp_path, monkeypatch):
    suite = kills.written(tmp_path, seeds=1)
    one = Suite.load(suite).jobs()[0]

    def work(self, *_):
        raise OSError(errno.ENOSPC, "full", "there")

    monkeypatch.setattr(type(one), "work", work)
    monkeypatch.setattr(sys, "stderr", Full())
    assert work_on_one(str(suite), one.key, tmp_path / "out", 50) == UNWRITABLE


@pytest.mark.long
def test_tables_have_what_another_runner_ended_while_they_were_written(tmp_path, at_once, monkeypatch):
    suite, out = kills.written(tmp_path, seeds=1), tmp_path / "out"
    loaded = Suite.load(suite)
    first, *others = loaded.jobs()
    first.work(out)
    real, calls = write_tables, []

    def slow(place, found):
        if not calls:  # another runner makes the other runs, and their tables, just before ours are written
            for other in others:
                other.work(place)
            real(place, read_results(place)[0])
        calls.append(len(found))
        real(place, found)

    monkeypatch.setattr(runner, "write_tables", slow)
    runner._write(out, loaded.jobs(), console())
    assert calls == [1, 2]
    assert len((out / "runs.csv").read_text().splitlines()) == 1 + 2


def test_where_one_cannot_write_no_other_is_begun(tmp_path, at_once):
    suite = kills.written(tmp_path, seeds=3)
    at_once[0].work = staticmethod(lambda words: UNWRITABLE)
    shown, out = console(), tmp_path / "out"
    assert run_suite(str(suite), Suite.load(suite), out, LocalProcesses(1), 50, shown) == 1
    assert len(at_once[1]) == 1
    told = shown.file.getvalue()
    assert "6 waiting: stopped; the same command goes on" in told
    assert "failed: its folder takes no files, because the disk is full, read-only, or another's: make room" in told
    assert at_once[1][0] in told


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, UNWRITABLE), (errno.EROFS, UNWRITABLE), (errno.EIO, 1)])
def test_a_run_says_whether_its_folder_took_nothing(number, code, tmp_path, monkeypatch, capsys):
    suite = kills.written(tmp_path, seeds=1)
    one = Suite.load(suite).jobs()[0]

    def work(self, *_):
        raise OSError(number, "no", "there")

    monkeypatch.setattr(type(one), "work", work)
    assert work_on_one(str(suite), one.key, tmp_path / "out", 50) == code
    assert "there" in capsys.readouterr().err


@pytest.mark.long
def test_a_stop_leaves_the_tables_to_the_next_command(tmp_path, at_once, monkeypatch):
    monkeypatch.setattr(queues, "PATIENCE", 0.2)  # with the run, which does not end
    monkeypatch.setattr(queues, "REAPED", 0.2)
    suite, out = kills.written(tmp_path, seeds=1), tmp_path / "out"
    for one in Suite.load(suite).jobs()[:1]:
        one.work(out)
    at_once[0].work = staticmethod(lambda words: os.kill(os.getpid(), signal.SIGTERM))
    shown = console()
    assert run_suite(str(suite), Suite.load(suite), out, LocalProcesses(1), 50, shown) == 1
    assert "1 done" in shown.file.getvalue()
    assert ": stopped; the same command goes on, and writes the tables" in shown.file.getvalue()
    assert not (out / "runs.csv").exists()


def test_a_device_that_is_not_here_is_said_at_once(tmp_path, at_once, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    suite = replace(Suite.load(kills.written(tmp_path, seeds=1)), device="cuda")
    with pytest.raises(ValueError, match="device must be 'cpu' where torch finds no CUDA device, got 'cuda'"):
        run_suite("mine.toml", suite, tmp_path / "out", LocalProcesses(1), 50, console())
    assert at_once[1] == []


@pytest.mark.long
def test_two_runners_in_one_folder_share_its_runs(tmp_path):
    suite, alone, shared = kills.written(tmp_path, seeds=2), tmp_path / "alone", tmp_path / "shared"
    assert kills.started(suite, alone).wait(timeout=300) == 0
    runners = [kills.started(suite, shared) for _ in range(2)]
    assert [one.wait(timeout=300) for one in runners] == [0, 0]
    for name in kills.TABLES:
        assert (shared / name).read_bytes() == (alone / name).read_bytes()
    leases = sorted(path.relative_to(shared) for path in shared.glob("*/lease-*.json"))
    assert len({path.parent for path in leases}) == len(leases) == 4
    # Who looks at a run while the other one ends it takes its folder once more, and finds it whole.
    assert {path.name for path in leases} <= {"lease-0.json", "lease-1.json"}


@pytest.mark.long
def test_kills_lose_nothing(tmp_path):
    """Two hundred of them: `python -m tests.baselines.benchmark.kills`."""
    found = kills.siege(tmp_path, kills=5, seeds=1)
    assert (found.kills, found.lost, found.wrong, found.left) == (5, (), (), ())
