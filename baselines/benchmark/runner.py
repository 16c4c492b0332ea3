"""Runs a suite: has an executor make its runs until all are whole or have failed."""

from __future__ import annotations

import errno
import json
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bagged_envs.baselines.benchmark.executors import Executor
from bagged_envs.baselines.benchmark.executors.local import LocalProcesses
from bagged_envs.baselines.benchmark.form import read_counted
from bagged_envs.baselines.benchmark.job import Job
from bagged_envs.baselines.benchmark.queue import BUSY, PROGRESS, UNWRITABLE, Queue, command, threads_of
from bagged_envs.baselines.benchmark.result_file import RESULT
from bagged_envs.baselines.benchmark.results import read_results, write_tables
from bagged_envs.baselines.benchmark.suite import Suite, presets
from bagged_envs.baselines.lease import Taken, sweep_up
from bagged_envs.baselines.tensorboard import Board, both
from bagged_envs.whole_file import write_whole
from bagged_envs.wrappers.arguments import positive_int

NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
TOLD_EVERY = 1.0  # seconds
STOPPED = ": stopped; the same command goes on, and writes the tables once all is done"
SHARE = 0.02  # of the time, at most, is spent on looking how all runs stand


def commands(suite: str, chosen: Suite, out: Path, checkpoint_every: int, options: Sequence[str] = ()) -> list[str]:
    """Return a shell command for each run of a suite that is not whole yet, to be given in any folder.

    Raises:
        NotADirectoryError: `out` is no folder.
        ValueError: The folder has runs of another protocol, or a run cannot be made.
    """
    _check(out, chosen, checkpoint_every)
    suite, out = located(suite), out.absolute()
    waiting = [job for job in chosen.jobs() if read_counted(job.folder(out), job.key) is None]
    return [_line(job, command(suite, job, out, checkpoint_every, options)) for job in waiting]


def _line(job: Job, words: Sequence[str]) -> str:
    """Return a run's command with the folder and the threads that `run_suite` gives it."""
    threads = [f"{name}={value}" for name, value in threads_of(job).items()]
    return f"cd {shlex.quote(str(Path.cwd()))} && {shlex.join(['env', *threads, *words])}"


def located(suite: str) -> str:
    """Return the name of a suite of ours, or the whole path of a file."""
    return suite if suite in presets() else str(Path(suite).absolute())


def work_on_one(
    suite: str, key: str, out: Path, checkpoint_every: int, tensorboard: bool = False, method: str | None = None
) -> int:
    """Make one run of a suite; what `command` does.

    Returns:
        0 where it is whole, 1 where it failed or was interrupted, 74 where its folder takes nothing, 75 where somebody
        else works on it.

    Raises:
        ValueError: The suite has no such run.
    """
    jobs = {job.key: job for job in Suite.load(suite, method).jobs()}
    if key not in jobs:
        raise ValueError(
            f"key must be that of a run of {suite}, got {key!r}: versions of packages and the suite are in it, so it "
            "changes with them."
        )
    job, told = jobs[key], _Told(jobs[key].folder(out))
    try:
        with Board(job.folder(out)) if tensorboard else nullcontext() as board:
            job.work(out, checkpoint_every, both(told, board))
    except Taken as error:
        _say(str(error))
        return BUSY
    except KeyboardInterrupt as error:
        _say(f"stopped: {error}")
        return 1
    except OSError as error:
        _say(f"{type(error).__name__}: {error}")
        return UNWRITABLE if error.errno in NO_PLACE else 1
    except (FloatingPointError, RuntimeError, ValueError, TypeError) as error:
        _say(f"{type(error).__name__}: {error}")
        return 1
    told.forget()
    return 0


def _say(words: str) -> None:
    """Say something in the log, which may be on a disk that takes nothing: the exit code says what happened, too."""
    with suppress(OSError):
        print(words, file=sys.stderr, flush=True)


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


def run_suite(
    name: str,
    suite: Suite,
    out: Path,
    executor: Executor,
    checkpoint_every: int,
    console: Console,
    options: Sequence[str] = (),
) -> int:
    """Make all runs of a suite that are not whole yet, and write its tables.

    Where another runner works on a run, this one waits for it. SIGINT and SIGTERM stop all runs, with checkpoints.

    Args:
        name: What the suite is called, or its file.
        suite: What it says.
        out: Where the folders of the runs are.
        executor: Who makes them.
        checkpoint_every: Environment steps between two checkpoints of a run.
        console: Where progress goes.
        options: More of `bench one`, for each run.

    Returns:
        0 where all runs are whole, 1 where one failed or it was stopped.

    Raises:
        OSError: A table could not be written, or `out` is no folder.
        ValueError: The folder has runs of another protocol, a run cannot be made, here or at all, or the executor takes
            none.
    """
    if isinstance(executor, LocalProcesses) and suite.device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device must be 'cpu' where torch finds no CUDA device, got {suite.device!r}.")
    _check(out, suite, checkpoint_every)
    out.mkdir(parents=True, exist_ok=True)
    queue = Queue(located(name), suite.jobs(), out.absolute(), checkpoint_every, executor, options)
    with _stopping(queue.stop), _Display(console, queue):
        queue.serve()
    counts = queue.counts()
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    console.print(f"{told}{STOPPED if queue.stopped else ''}", highlight=False)
    for line in queue.troubles():
        console.print(line, markup=False, highlight=False, style="red")
    if not queue.stopped:
        _write(out, queue.jobs, console)
    return int(counts["done"] < len(queue.jobs))


def _write(out: Path, jobs: Sequence[Job], console: Console) -> None:
    """Write the tables of a folder, and say what of it is not in them.

    Another runner may end runs, and write the tables, between our reading and our writing: whoever writes looks again.
    """
    of, notes, seen = {job.key: job for job in jobs}, list[str](), None
    while seen != (seen := _results_there(out)):
        found, notes = read_results(out)
        write_tables(out, [of[one["key"]].retell(out, one) if one["key"] in of else one for one in found])
    for job in jobs:
        sweep_up(job.folder(out))
    for note in notes:
        console.print(note, markup=False, highlight=False)


def _results_there(out: Path) -> dict[Path, int]:
    """Return when each result in a folder was written."""
    return {path: path.stat().st_mtime_ns for path in out.glob(f"*/{RESULT}")}


def _check(out: Path, suite: Suite, checkpoint_every: int) -> None:
    """Check what is asked for before anything is begun.

    Raises:
        NotADirectoryError: `out` is no folder.
        ValueError: The folder has runs of another protocol, or a run cannot be made.
    """
    positive_int("checkpoint_every", checkpoint_every)
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"out must be a folder, got {out}: name another.")
    if out.exists():
        _check_protocol(out, suite)
    suite.check()


def _check_protocol(out: Path, suite: Suite) -> None:
    """Check that no run in a folder is of another protocol.

    Raises:
        ValueError: One is.
    """
    others = sorted({result["job"]["protocol"] for result in read_results(out)[0]} - {suite.protocol.hash})
    if others:
        raise ValueError(
            f"out must have runs of protocol {suite.protocol.hash} only, got {out} with some of {', '.join(others)}: "
            "name another folder."
        )


@contextmanager
def _stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on SIGINT, SIGTERM and SIGHUP, in the main thread; what is ignored, as nohup has it, stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    several = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    numbers = [number for number in several if signal.getsignal(number) is not signal.SIG_IGN]
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
