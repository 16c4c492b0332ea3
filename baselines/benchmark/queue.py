"""The runs of a suite that wait, run and have ended, and who makes them."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from bagged_envs.baselines.benchmark.executors import Executor, Handle, Lost, Work
from bagged_envs.baselines.benchmark.executors.leash import PATIENCE
from bagged_envs.baselines.benchmark.form import read_counted
from bagged_envs.baselines.benchmark.job import Job
from bagged_envs.baselines.benchmark.result_file import LOG, read_failure
from bagged_envs.baselines.benchmark.results import state
from bagged_envs.baselines.lease import owner

PROGRESS = "progress.json"
UNWRITABLE = 74  # exit code of a run whose folder takes nothing
FULL = "its folder takes no files, because the disk is full, read-only, or another's: make room, or name another --out"
BUSY = 75  # exit code of a run that somebody else works on
WAIT = 10.0  # seconds until a run that somebody else works on is looked at again
PAUSE = 0.1  # seconds between two looks at all that run
REAPED = 1.0  # seconds until what was killed is gone


def command(suite: str, job: Job, out: Path, checkpoint_every: int, options: Sequence[str] = ()) -> list[str]:
    """Return the shell command of one run, with more options of `bench one`."""
    words = ["bench", "one", suite, job.key, "--out", str(out), "--checkpoint-every", str(checkpoint_every)]
    return [sys.executable, "-m", "bagged_envs.cli", *words, *options]


def threads_of(job: Job) -> dict[str, str]:
    """Return the variables that libraries take their number of threads from."""
    return {f"{name}_NUM_THREADS": str(job.threads) for name in ("OMP", "MKL", "OPENBLAS")}


class Queue:
    """The runs of a suite that are not whole, handed to an executor as it has room.

    Attributes:
        jobs: All runs.
    """

    def __init__(
        self,
        suite: str,
        jobs: Sequence[Job],
        out: Path,
        checkpoint_every: int,
        executor: Executor,
        options: Sequence[str] = (),
    ) -> None:
        """Look which are whole already."""
        self.jobs, self._suite, self._out, self._every = list(jobs), suite, out, checkpoint_every
        self._options = options
        self._executor = executor
        self._whole = {job.key for job in self.jobs if read_counted(job.folder(out), job.key) is not None}
        self._waiting = deque(job for job in self.jobs if job.key not in self._whole)
        self._later: deque[tuple[float, Job]] = deque()
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._running: dict[str, tuple[Job, Handle]] = {}
        self._ended: dict[str, str] = {}

    @property
    def stopped(self) -> bool:
        """Whether no more runs were begun than until then."""
        return self._stopped.is_set()

    def serve(self) -> None:
        """Have runs made until none waits or runs.

        Raises:
            ValueError: The executor can make none of them.
        """
        while self._running or ((self._waiting or self._later) and not self._stopped.is_set()):
            self._begin()
            self._gather()
            time.sleep(PAUSE)

    def _begin(self) -> None:
        with self._lock:
            if self._stopped.is_set():
                return
            due = self._due()
            # One by one, so that one that cannot be begun says so for itself; all together where that is the point.
            together = self._executor.room is None and due
            for portion in [due] if together else [[job] for job in due]:
                self._begin_some(portion)

    def _due(self) -> list[Job]:
        """Take as many runs as there is room for, those left out that are whole by now or that somebody works on."""
        while self._later and self._later[0][0] <= time.monotonic():
            self._waiting.append(self._later.popleft()[1])
        room, due = self._executor.room, list[Job]()
        while self._waiting and (room is None or len(self._running) + len(due) < room):
            job = self._waiting.popleft()
            folder = job.folder(self._out)
            if read_counted(folder, job.key) is not None:
                continue
            if owner(folder) is None:
                due.append(job)
            else:
                self._put_off(job)
        return due

    def _put_off(self, job: Job) -> None:
        self._later.append((time.monotonic() + WAIT, job))

    def _begin_some(self, jobs: Sequence[Job]) -> None:
        try:
            for job in jobs:
                job.folder(self._out).mkdir(parents=True, exist_ok=True)
            handles = self._executor.begin([self._work(job) for job in jobs])
        except OSError as error:
            self._ended |= {job.key: str(error) for job in jobs}
        else:
            self._running |= {job.key: (job, handle) for job, handle in zip(jobs, handles, strict=True)}

    def _work(self, job: Job) -> Work:
        folder = job.folder(self._out)
        words = command(self._suite, job, self._out, self._every, self._options)
        gpus = int(job.device.startswith("cuda"))
        return Work(words, threads_of(job), Path.cwd(), folder / LOG, job.threads, gpus)

    def _gather(self) -> None:
        """Take note of runs that ended."""
        for job, handle in list(self._running.values()):
            try:
                code, why = handle.poll(), None
            except Lost as error:
                code, why = 1, str(error)
            if code is None:
                continue
            with self._lock:
                self._running.pop(job.key, None)
            if code == BUSY:
                self._put_off(job)
            elif code == UNWRITABLE:  # nor would others be
                self._ended[job.key] = FULL
                self._stopped.set()
            elif not self._stopped.is_set():  # one that is whole tells no trouble
                self._ended[job.key] = why or _in_words(code)

    def troubles(self) -> list[str]:
        """Return, for each run that was begun and is not whole, why in words."""
        told = []
        for job in (job for job in self.jobs if not self._done(job)):
            folder = job.folder(self._out)
            why = read_failure(folder) or self._ended.get(job.key)
            if why is not None:
                told.append(f"{job.name} failed: {why.rstrip('.')}. See {folder / LOG}")
        return told

    def stop(self) -> None:
        """Have all runs write a checkpoint and end; those that take too long are killed."""
        self._stopped.set()
        try:
            self._executor.terminate(self._handles())
            self._wait(PATIENCE)
            self._executor.kill(self._handles())
            self._wait(REAPED)
        finally:
            with self._lock:
                self._running.clear()  # a cluster may not answer for them

    def _handles(self) -> list[Handle]:
        with self._lock:
            return [handle for _, handle in self._running.values()]

    def _wait(self, seconds: float) -> None:
        limit = time.monotonic() + seconds
        while self._running and time.monotonic() < limit:
            time.sleep(PAUSE / 2)

    def counts(self) -> dict[str, int]:
        """Return how many runs stand how."""
        states = ["done" if self._done(job) else state(job, self._out) for job in self.jobs]
        return {what: states.count(what) for what in ("done", "running", "failed", "waiting")}

    def steps(self) -> int:
        """Return how many environment steps were made, in all runs."""
        return sum(job.steps if self._done(job) else _steps_told(job.folder(self._out)) for job in self.jobs)

    def _done(self, job: Job) -> bool:
        if job.key not in self._whole and read_counted(job.folder(self._out), job.key) is not None:
            self._whole.add(job.key)
        return job.key in self._whole


def _steps_told(folder: Path) -> int:
    """Return how far a run says that it is, which is for display only: 0 where it says nothing that can be read."""
    try:
        return int(json.loads((folder / PROGRESS).read_text())["step"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        return 0


def _in_words(code: int) -> str:
    if code == 0:
        return "it came to its end, and left no result that counts"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
