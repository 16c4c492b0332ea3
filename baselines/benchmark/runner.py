"""Runs a suite: each run in a process of its own, until all are whole or have failed."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bagged_envs.baselines.benchmark.job import Job
from bagged_envs.baselines.benchmark.result_file import read_failure, read_result
from bagged_envs.baselines.benchmark.results import redistributions, results, state, write_tables
from bagged_envs.baselines.benchmark.suite import Suite, presets
from bagged_envs.baselines.lease import Taken, owner
from bagged_envs.whole_file import write_whole
from bagged_envs.wrappers.arguments import positive_int

PROGRESS, LOG = "progress.json", "log.txt"
BUSY = 75  # exit code of a run that somebody else works on
PATIENCE = 10.0  # seconds that runs have for a last checkpoint
TOLD_EVERY = 1.0  # seconds
WAIT = 10.0  # seconds until a run that somebody else works on is looked at again
SHARE = 0.02  # of the time, at most, is spent on looking how all runs stand


def command(suite: str, job: Job, out: Path, checkpoint_every: int) -> list[str]:
    """Return the shell command of one run."""
    words = ["bench", "one", suite, job.key, "--out", str(out), "--checkpoint-every", str(checkpoint_every)]
    return [sys.executable, "-m", "bagged_envs.cli", *words]


def commands(suite: str, chosen: Suite, out: Path, checkpoint_every: int) -> list[str]:
    """Return a shell command for each run of a suite that is not whole yet, to be given in any folder."""
    suite, out = located(suite), out.absolute()
    waiting = [job for job in chosen.jobs() if read_result(job.folder(out)) is None]
    return [shlex.join(command(suite, job, out, checkpoint_every)) for job in waiting]


def located(suite: str) -> str:
    """Return the name of a suite of ours, or the whole path of a file."""
    return suite if suite in presets() else str(Path(suite).absolute())


def work_on_one(suite: str, key: str, out: Path, checkpoint_every: int) -> int:
    """Make one run of a suite; what `command` does.

    Returns:
        0 where it is whole, 1 where it failed or was interrupted, 75 where somebody else works on it.

    Raises:
        ValueError: The suite has no such run.
    """
    jobs = {job.key: job for job in Suite.load(suite).jobs()}
    if key not in jobs:
        raise ValueError(
            f"key must be that of a run of {suite}, got {key!r}: versions of packages and the suite are in it, so it "
            "changes with them."
        )
    job, told = jobs[key], _Told(jobs[key].folder(out))
    try:
        job.work(out, checkpoint_every, told)
    except Taken as error:
        print(error, file=sys.stderr)
        return BUSY
    except KeyboardInterrupt as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 1
    except (FloatingPointError, OSError, RuntimeError, ValueError, TypeError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    told.forget()
    return 0


class _Told:
    """Says in the folder of a run how far it is, about once a second."""

    def __init__(self, folder: Path) -> None:
        self._path, self._next = folder / PROGRESS, 0.0

    def __call__(self, step: int, row: Mapping[str, Any] | None) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + TOLD_EVERY
        write_whole(self._path, json.dumps({"step": step}))

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)


def run_suite(name: str, suite: Suite, out: Path, workers: int, checkpoint_every: int, console: Console) -> int:
    """Make all runs of a suite that are not whole yet, and write its tables.

    Where another runner works on a run, this one waits for it. SIGINT and SIGTERM stop all runs, with checkpoints.

    Args:
        name: What the suite is called, or its file.
        suite: What it says.
        out: Where the folders of the runs are.
        workers: How many at once.
        checkpoint_every: Environment steps between two checkpoints of a run.
        console: Where progress goes.

    Returns:
        0 where all runs are whole, 1 where one failed or it was stopped.

    Raises:
        OSError: A table could not be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    _check_protocol(out, suite)
    suite.check()
    queue = Queue(located(name), suite.jobs(), out.absolute(), checkpoint_every)
    with _stopping(queue.stop), _Display(console, queue):
        threads = [threading.Thread(target=queue.serve) for _ in range(positive_int("workers", workers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():  # so that signals come through
                thread.join(timeout=0.2)
    for job in queue.jobs:
        job.retell(out)
    write_tables(out)
    counts = queue.counts()
    console.print(", ".join(f"{count} {what}" for what, count in counts.items() if count), highlight=False)
    for line in queue.troubles():
        console.print(line, markup=False, highlight=False, style="red")
    return int(counts["done"] < len(queue.jobs))


def _check_protocol(out: Path, suite: Suite) -> None:
    """Check that no run in a folder is of another protocol.

    Raises:
        ValueError: One is.
    """
    found = [*results(out), *redistributions(out)]
    others = {result["job"]["protocol"] for result in found} - {suite.protocol.hash}
    if others:
        raise ValueError(
            f"out must have runs of protocol {suite.protocol.hash} only, got {out} with some of {', '.join(others)}: "
            "name another folder."
        )


class Queue:
    """The runs of a suite that are not whole, taken by workers one after the other.

    Attributes:
        jobs: All runs.
    """

    def __init__(self, suite: str, jobs: Sequence[Job], out: Path, checkpoint_every: int) -> None:
        """Look which are whole already."""
        self.jobs, self._suite, self._out, self._every = list(jobs), suite, out, checkpoint_every
        self._waiting = deque(job for job in self.jobs if read_result(job.folder(out)) is None)
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._whole: set[str] = set()
        self._ended: dict[str, str] = {}

    def serve(self) -> None:
        """Take runs and make them until none waits."""
        while not self._stopped.is_set():
            with self._lock:
                if not self._waiting:
                    return
                job = self._waiting.popleft()
            code = self._made(job)
            if code == BUSY:
                with self._lock:
                    self._waiting.append(job)
                self._stopped.wait(WAIT)
            elif code and not self._stopped.is_set():
                self._ended.setdefault(job.key, _in_words(code))

    def _made(self, job: Job) -> int:
        """Make a run in a process of its own; returns its exit code."""
        folder = job.folder(self._out)
        if read_result(folder) is not None:
            return 0
        if owner(folder) is not None:
            return BUSY
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / LOG).open("ab") as log:
                process = self._begun(job, log)
        except OSError as error:
            self._ended[job.key] = str(error)
            return 1
        code = 1 if process is None else process.wait()
        with self._lock:
            self._running.pop(job.key, None)
        return code

    def _begun(self, job: Job, log: IO[bytes]) -> subprocess.Popen[bytes] | None:
        threads = {f"{name}_NUM_THREADS": str(job.threads) for name in ("OMP", "MKL", "OPENBLAS")}
        words = command(self._suite, job, self._out, self._every)
        with self._lock:
            if self._stopped.is_set():
                return None
            # A session of its own: what the terminal sends goes to the runner alone, which passes it on.
            process = subprocess.Popen(
                words, env={**os.environ, **threads}, stdout=log, stderr=log, start_new_session=True
            )
            self._running[job.key] = process
            return process

    def troubles(self) -> list[str]:
        """Return, for each run that was begun and is not whole, why in words."""
        told = []
        for job in (job for job in self.jobs if not self._done(job)):
            folder = job.folder(self._out)
            why = read_failure(folder) or self._ended.get(job.key)
            if why is not None:
                told.append(f"{job.name} failed: {why}. See {folder / LOG}")
        return told

    def stop(self) -> None:
        """Have all runs write a checkpoint and end; those that take too long are killed."""
        self._stopped.set()
        with self._lock:
            running = list(self._running.values())
        for process in running:
            process.terminate()
        limit = time.monotonic() + PATIENCE
        while any(process.poll() is None for process in running) and time.monotonic() < limit:
            time.sleep(0.05)
        for process in running:
            process.kill()

    def counts(self) -> dict[str, int]:
        """Return how many runs stand how."""
        states = [self._state(job) for job in self.jobs]
        return {what: states.count(what) for what in ("done", "running", "failed", "waiting")}

    def _state(self, job: Job) -> str:
        if self._done(job):
            return "done"
        return "running" if job.key in self._running else state(job, self._out)

    def steps(self) -> int:
        """Return how many environment steps were made, in all runs."""
        return sum(job.steps if self._done(job) else _steps_told(job.folder(self._out)) for job in self.jobs)

    def _done(self, job: Job) -> bool:
        if job.key not in self._whole and read_result(job.folder(self._out)) is not None:
            self._whole.add(job.key)
        return job.key in self._whole


def _steps_told(folder: Path) -> int:
    try:
        return int(json.loads((folder / PROGRESS).read_text())["step"])
    except FileNotFoundError:
        return 0


def _in_words(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


@contextmanager
def _stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on SIGINT, SIGTERM and SIGHUP, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda *_: threading.Thread(target=stop).start()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


class _Display:
    """One bar for all runs: steps made, runs by state, steps per second, time left."""

    def __init__(self, console: Console, queue: Queue) -> None:
        columns = (BarColumn(), TextColumn("{task.percentage:.0f} %"), TextColumn("{task.fields[told]}"))
        self._progress = Progress(*columns, TimeRemainingColumn(), console=console)
        self._queue, self._over = queue, threading.Event()
        total = sum(job.steps for job in queue.jobs)
        self._task = self._progress.add_task("", total=total, completed=queue.steps(), told="")
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> _Display:
        self._progress.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._progress.stop()

    def _follow(self) -> None:
        pause = TOLD_EVERY
        while not self._over.wait(pause):
            begin = time.monotonic()
            counts, steps = self._queue.counts(), self._queue.steps()
            told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
            speed = self._progress.tasks[0].speed
            told += "" if speed is None else f", {speed:.0f} steps/s"
            self._progress.update(self._task, completed=steps, told=told)
            pause = max(TOLD_EVERY, (time.monotonic() - begin) / SHARE)
