"""Threads that share the copies of a batch among them."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TypeAlias

from bagged_envs.wrappers.arguments import positive_int

Work: TypeAlias = Callable[[range], None]
Tasks: TypeAlias = "SimpleQueue[tuple[Work, range] | None]"
Failure: TypeAlias = tuple[int, BaseException | None]  # with where the share begins
Results: TypeAlias = "SimpleQueue[Failure]"


def num_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def crew_size(num_threads: int | None, num_envs: int) -> int:
    """Return how many threads step `num_envs` copies: as many as asked for, by default one per core, and no idle ones.

    Raises:
        TypeError: `num_threads` is no int.
        ValueError: `num_threads` is below 1.

    Example:
        >>> crew_size(4, num_envs=3)
        3
    """
    wanted = num_cores() if num_threads is None else positive_int("num_threads", num_threads)
    return min(wanted, num_envs)


def shares(slots: Sequence[int], size: int) -> list[range]:
    """Return places in `slots`, cut into `size` neighboring shares that differ by one at most; none is empty.

    Example:
        >>> shares([3, 5, 6, 7, 9], 2)
        [range(0, 3), range(3, 5)]
    """
    count = min(size, len(slots))
    whole, rest = divmod(len(slots), max(count, 1))
    borders = [0]
    for share in range(count):
        borders.append(borders[-1] + whole + (share < rest))
    return [range(start, stop) for start, stop in zip(borders, borders[1:], strict=False)]


class Crew:
    """The caller's thread and `size - 1` more, each of which works on one share at a time.

    The threads start with the first work and end with `close()`, when the crew is forgotten, or at the interpreter's
    exit, which waits for none of them. A child process that was forked off starts its own.
    """

    def __init__(self, size: int) -> None:
        """Take the number of threads, the caller's included; 1 starts none at all."""
        self.size = size
        self._threads: list[threading.Thread] = []
        self._tasks: list[Tasks] = []
        self._results: Results = SimpleQueue()
        self._process = 0

    def run(self, work: Work, slots: Sequence[int]) -> None:
        """Call `work` with the shares of `slots`, the first of them here, and return when all are done.

        Raises:
            BaseException: What the first share that failed raised, after all are done.
        """
        parts = shares(slots, self.size)
        if len(parts) > 1 and self._process != os.getpid():
            self._start()
        for tasks, part in zip(self._tasks, parts[1:], strict=False):
            tasks.put((work, part))
        failures = [_attempt(work, part) for part in parts[:1]]
        try:
            failures += [self._results.get() for _ in parts[1:]]
        except BaseException:  # interrupted while others work: what they still send must meet nobody
            self.close()
            raise
        for _, failure in sorted(failures, key=lambda of: of[0]):
            if failure is not None:
                raise failure

    def close(self) -> None:
        """End the threads and wait for them; a later `run` would start new ones."""
        if self._process == os.getpid():  # of threads before a fork nothing is left here
            _dismiss(self._tasks)
            for thread in self._threads:
                thread.join()
        self._threads, self._tasks, self._results, self._process = [], [], SimpleQueue(), 0

    def _start(self) -> None:
        self._results = SimpleQueue()
        self._tasks = [SimpleQueue() for _ in range(self.size - 1)]
        # They know their queues alone: a thread that waits keeps neither crew nor copies alive.
        self._threads = [
            threading.Thread(target=_serve, args=(tasks, self._results), name="bagged_envs engine", daemon=True)
            for tasks in self._tasks
        ]
        for thread in self._threads:
            thread.start()
        self._process = os.getpid()
        weakref.finalize(self, _dismiss, self._tasks)


def _dismiss(queues: Sequence[Tasks]) -> None:
    for tasks in queues:
        tasks.put(None)


def _serve(tasks: Tasks, results: Results) -> None:
    while (task := tasks.get()) is not None:
        work, part = task
        failure = _attempt(work, part)
        del task, work
        results.put(failure)
        del failure


def _attempt(work: Work, part: range) -> Failure:
    try:
        work(part)
    except BaseException as failure:  # handed to the caller's thread, which raises it
        return part.start, failure
    return part.start, None
