"""Makes runs in processes of this machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Any, cast

from bagged_envs.baselines.benchmark.executors import Handle, Work
from bagged_envs.wrappers.arguments import positive_int

Process = subprocess.Popen[bytes]


class LocalProcesses:
    """A process for each run, so many at once. They go on if the runner is killed.

    Attributes:
        room: How many at once.
    """

    def __init__(self, workers: int) -> None:
        self.room = positive_int("workers", workers)

    def begin(self, works: Sequence[Work]) -> list[Process]:
        """Start processes.

        Raises:
            OSError: One could not be started, or its log not be written.
        """
        return [_started(work) for work in works]

    def terminate(self, handles: Sequence[Handle]) -> None:
        """Send SIGTERM."""
        for process in cast("Sequence[Any]", handles):
            process.terminate()

    def kill(self, handles: Sequence[Handle]) -> None:
        """Send SIGKILL."""
        for process in cast("Sequence[Any]", handles):
            process.kill()

    def close(self) -> None:
        """There is nothing to leave."""


def _started(work: Work) -> Process:
    with work.log.open("ab") as log:
        # A session of its own: what the terminal sends goes to the runner alone, which passes it on.
        return subprocess.Popen(
            work.words,
            env={**os.environ, **work.env},
            cwd=work.folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
