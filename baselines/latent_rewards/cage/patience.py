"""How long the trainer waits for a worker."""

from __future__ import annotations

import select
import time

_STEP = 0.2  # seconds


class Patience:
    """Seconds of waiting, for one call or for several together.

    They are counted in short steps, so that a trainer that was stopped (by Ctrl-Z or a scheduler) does not lose them,
    and when they are over the pipe is looked at once more.

    Attributes:
        left: Seconds.
        seconds: That there were in all.
        what: What takes them, for a message.
    """

    def __init__(self, seconds: float, what: str) -> None:
        """Begin with so many seconds."""
        self.left = self.seconds = seconds
        self.what = what

    def wait(self, pipe: int, event: int) -> None:
        """Wait until there is an event of a pipe.

        Raises:
            TimeoutError: There was none in time.
        """
        poll = select.poll()
        poll.register(pipe, event)
        while self.left > 0:
            step, begin = min(self.left, _STEP), time.monotonic()
            ready = poll.poll(step * 1000)
            self.left -= min(step, time.monotonic() - begin) if ready else step
            if ready:
                return
        if not poll.poll(0):
            raise TimeoutError("it did not answer in time")
