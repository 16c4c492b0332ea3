"""Where the runs of a benchmark are made: in processes of this machine, by Ray, or by SLURM.

All of them make the same shell commands on one shared file system. What a run came to, how far it is, who owns its
folder and why it failed is told there, whoever makes it; an executor only begins, stops and waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Work:
    """A command to be made somewhere.

    Attributes:
        words: The command.
        env: Variables of its environment that differ from those where it is made.
        folder: Its current folder.
        log: What it prints is added to this file.
        cpus: How many processors it keeps busy.
        gpus: How many GPUs it needs.
    """

    words: Sequence[str]
    env: Mapping[str, str]
    folder: Path
    log: Path
    cpus: int = 1
    gpus: int = 0


class Lost(RuntimeError):
    """A command that was begun came to no exit code, by no fault of its own."""


class Handle(Protocol):
    """A command that was begun."""

    def poll(self) -> int | None:
        """Return its exit code, minus the number of a signal that killed it; None while it waits or runs.

        Raises:
            Lost: There will be none.
        """


class Executor(Protocol):
    """Makes commands somewhere."""

    @property
    def room(self) -> int | None:
        """How many it takes at once; None where it has a queue of its own, and so takes all."""

    def begin(self, works: Sequence[Work]) -> Sequence[Handle]:
        """Begin some commands; returns at once.

        Raises:
            OSError: They cannot be begun.
            ValueError: They never could be, with these settings.
        """

    def terminate(self, handles: Sequence[Handle]) -> None:
        """Have commands that this began end in good order, by SIGTERM or SIGINT; returns at once."""

    def kill(self, handles: Sequence[Handle]) -> None:
        """Have commands that this began end at once."""

    def close(self) -> None:
        """Leave what was joined."""
