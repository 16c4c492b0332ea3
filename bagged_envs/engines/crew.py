"""Threads that share the copies of a batch among them."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any, TypeAlias

import mujoco

from bagged_envs.wrappers.arguments import positive_int

# Per thread, below which another one is not worth waking by default; in units of `effort_of`. With two threads, 8
# copies of Walker2d (144 each) gain a third, and 8 of HalfCheetah (45) lose; 32 of those gain a third. More than two
# threads were not measured.
SHARE = 280
Work: TypeAlias = Callable[[Iterable[int]], None]
Shares: TypeAlias = list[deque[int]]
Tasks: TypeAlias = "SimpleQueue[tuple[Work, Shares, int] | None]"
Failure: TypeAlias = tuple[int, BaseException | None]  # with whose it is
Results: TypeAlias = "SimpleQueue[Failure]"


def num_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def effort_of(model: Any, num_steps: int) -> int:
    """Return about how much work MuJoCo has with so many of its steps, by which tasks compare: 1 to 460.

    It is the degrees of freedom times the evaluations of their dynamics, of which Runge and Kutta's integrator has four
    per step.
    """
    kutta = model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4
    return int(model.nv) * num_steps * (4 if kutta else 1)


def crew_size(num_threads: int | None, num_envs: int, effort: int) -> int:
    """Return how many threads step `num_envs` copies.

    Args:
        num_threads: As many as that, but no idle ones; None for as many as there are cores, if each has enough to do.
        num_envs: How many copies.
        effort: A copy's step, as `effort_of` measures it.

    Raises:
        TypeError: `num_threads` is no int.
        ValueError: `num_threads` is below 1.

    Example:
        >>> crew_size(4, num_envs=3, effort=10), crew_size(None, num_envs=3, effort=10)
        (3, 1)
    """
    if num_threads is None:
        return max(1, min(num_cores(), num_envs, num_envs * effort // SHARE))
    return min(positive_int("num_threads", num_threads), num_envs)


def shares(slots: Sequence[int], size: int) -> Shares:
    """Return `slots` in at most `size` neighboring shares that differ by one in length; none is empty.

    Example:
        >>> [list(share) for share in shares([3, 5, 6, 7, 9], 2)]
        [[3, 5, 6], [7, 9]]
    """
    count = min(size, len(slots))
    whole, rest = divmod(len(slots), max(count, 1))
    borders = [whole * share + min(share, rest) for share in range(count + 1)]
    return [deque(slots[start:stop]) for start, stop in zip(borders, borders[1:], strict=False)]


class Crew:
    """The caller's thread and `size - 1` more, each of which works on its share and then helps the others.

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
        """Call `work` with slots, in each thread with its own, and return when all are done.

        Raises:
            BaseException: What `work` raised, after all threads are done; what was left of that share is done by others
                or not at all. Or an interrupt, or that no thread could start: then all threads have ended.
        """
        if self.size == 1 or len(slots) < 2:
            work(slots)
            return
        try:
            failures = self._shared(work, shares(slots, self.size))
        except BaseException:  # interrupted while others work, or no thread starts: what is still sent meets nobody
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

    def _shared(self, work: Work, parts: Shares) -> list[Failure]:
        if self._process != os.getpid():
            self._start()
        for member in range(1, len(parts)):
            self._tasks[member - 1].put((work, parts, member))
        failures = [_attempt(work, parts, 0)]
        return failures + [self._results.get() for _ in parts[1:]]

    def _start(self) -> None:
        self._results, self._threads = SimpleQueue(), []
        self._tasks = [SimpleQueue() for _ in range(self.size - 1)]
        self._process = os.getpid()  # from here on `close` ends what has started
        weakref.finalize(self, _dismiss, self._tasks)
        for tasks in self._tasks:
            # It knows its queues alone: a thread that waits keeps neither crew nor copies alive.
            thread = threading.Thread(
                target=_serve, args=(tasks, self._results), name="bagged_envs engine", daemon=True
            )
            thread.start()
            self._threads.append(thread)


def _dismiss(queues: Sequence[Tasks]) -> None:
    for tasks in queues:
        tasks.put(None)


def _serve(tasks: Tasks, results: Results) -> None:
    while (task := tasks.get()) is not None:
        failure = _attempt(*task)
        del task
        results.put(failure)
        del failure


def _attempt(work: Work, parts: Shares, member: int) -> Failure:
    try:
        work(_own_and_others(parts, member))
    except BaseException as failure:  # handed to the caller's thread, which raises it
        return member, failure
    return member, None


def _own_and_others(parts: Shares, member: int) -> Iterator[int]:
    """Yield what is left of a member's share, from its front, and then of the others', from their backs.

    So each thread has the same copies from step to step as long as none is late; taking from a deque is atomic.
    """
    yield from _taken(parts[member].popleft)
    for part in parts[member + 1 :] + parts[:member]:
        yield from _taken(part.pop)


def _taken(take: Callable[[], int]) -> Iterator[int]:
    while True:
        try:
            slot = take()
        except IndexError:
            return
        yield slot
