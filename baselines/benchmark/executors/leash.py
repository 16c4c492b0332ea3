"""A command that does not outlive who began it: `python leash.py COMMAND...`.

Who began it holds the other end of its standard input. When that end is closed, on purpose or because its holder died,
however it died, the command gets SIGTERM, and SIGKILL if that takes it too long. Without this a run whose Ray worker is
gone would go on, unknown to all, and keep those out of its folder who were told to make it again.

As a script it imports nothing of ours, so that it begins at once.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PATIENCE = 7.0  # seconds that runs have for a last checkpoint: all is over within ten
PAUSE = 0.1  # seconds between two looks
SLACK = 2.0  # seconds for the leash itself
KILLED = 128  # plus the number of the signal: the exit code of a command that was killed, as shells have it


class Leashed:
    """The end that is held.

    Args:
        words: The command.
        env: Variables of its environment that differ from those of this process.
        folder: Its current folder.
        log: What it prints is added to this file.

    Raises:
        OSError: It cannot be begun.
    """

    def __init__(self, words: Sequence[str], env: Mapping[str, str], folder: Path, log: Path) -> None:
        with log.open("ab") as file:
            # A session of its own: clusters signal the group of processes that their worker leads.
            self._process = subprocess.Popen(
                [sys.executable, "-I", __file__, *words],
                env={**os.environ, **env},
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def wait(self) -> int:
        """Return the exit code, minus the number of a signal that killed it; KeyboardInterrupt lets go."""
        try:
            # Not by Popen.wait: an interrupt that Ray raises does not end a system call.
            while self._process.poll() is None:
                time.sleep(PAUSE)
        except KeyboardInterrupt:
            self.end()
        finally:
            self.let_go()
        code = self._process.returncode
        return KILLED - code if code > KILLED else code

    def let_go(self) -> None:
        """Have it end; returns at once."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def end(self) -> None:
        """Have it end, and wait until it has."""
        self.let_go()
        limit = time.monotonic() + PATIENCE + SLACK
        while self._process.poll() is None:
            if time.monotonic() > limit:
                self._process.kill()
            time.sleep(PAUSE)


def _main() -> int:
    # A scheduler that stops a job signals all of its processes: the command hears it without us.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    # The command is to inherit that: submitit means its own process by it.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    # Ray kills the processes that a worker of it began when the worker ends. It knows the first, which only waits.
    second = os.fork()
    if second:
        return _shell_code(os.waitstatus_to_exitcode(os.waitpid(second, 0)[1]))
    return _shell_code(_held(sys.argv[1:]))


def _held(words: Sequence[str]) -> int:
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    while process.poll() is None:
        if select.select([sys.stdin], [], [], PAUSE)[0]:
            return _ended(process)
    return process.returncode


def _ended(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    try:
        return process.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _shell_code(code: int) -> int:
    return KILLED - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(_main())
