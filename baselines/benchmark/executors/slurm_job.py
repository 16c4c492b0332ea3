"""What a job of SLURM does, on its node."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

from bagged_envs.baselines.benchmark.executors import Work
from bagged_envs.baselines.benchmark.executors.leash import Leashed

HELD = 600.0  # seconds that a stopped job waits for SLURM to end it


class ArrayTask:
    """A run as a job makes it; submitit pickles it, and calls `checkpoint` when the job is preempted or out of time."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __call__(self) -> int:
        """Return the run's exit code."""
        came: list[int] = []

        def stop(number: int, _: object) -> None:
            came.append(number)
            self._leashed.let_go()

        self._leashed = Leashed(self._work.words, self._work.env, self._work.folder, self._work.log)
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # who began this job may have interrupts ignored
        code = self._leashed.wait()
        if came and code:
            # SLURM ends this job, or queues it again: one that ended by itself would not be queued again.
            time.sleep(HELD)
            sys.exit("SLURM sent SIGTERM and then let the job go on.")
        return code

    def checkpoint(self) -> Any:
        """Stop the run with a checkpoint; returns what is to be queued again."""
        from submitit.helpers import DelayedSubmission

        self._leashed.end()
        return DelayedSubmission(ArrayTask(self._work))
