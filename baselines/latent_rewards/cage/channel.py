"""The trainer's end of a worker: starts it, asks it, believes nothing that it says, and ends it."""

from __future__ import annotations

import math
import os
import resource
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from bagged_envs.baselines.latent_rewards.cage import worker
from bagged_envs.baselines.latent_rewards.cage.errors import CageError, FailedError

Floats = npt.NDArray[np.float64]
STARTING = 60.0  # seconds that a start may take: file systems of clusters are slow
MOST_TEXT = 4096  # bytes of an error
FORGED = "the program must return its factors and nothing else, but it wrote an answer itself."
_MIB = 2**20
# As -I does, but for PYTHONHASHSEED: the environment has nothing else that Python reads.
_FLAGS = ("-P", "-s", "-S", "-B")
# Where the interpreter itself may need it to find its libraries.
_KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class ForgedError(FailedError):
    """An answer is not what the worker says: the program wrote into its pipe, and what follows cannot be believed."""


class Channel:
    """A worker that runs, and two pipes to it.

    Attributes:
        loaded: It has the program.
        process: The worker's.
    """

    def __init__(self, memory_mib: int, factors: int, lock: bool, names: str, hash_seed: int) -> None:
        """Start a worker and wait until it is locked in.

        Raises:
            CageError: It did not start.
        """
        self.loaded = False
        self._owner = os.getpid()
        site = str(Path(np.__file__).parents[1])
        settings = (site, str(memory_mib), str(factors), "lock" if lock else "no lock", names, str(self._owner))
        try:
            self.process = _started([sys.executable, *_FLAGS, worker.__file__, *settings], hash_seed)
        except OSError as error:
            raise CageError(f"the worker must start, but {sys.executable} did not: {error}.") from error
        self._to, self._from = _pipes(self.process)
        self._wait_until_ready()

    def load(self, text: str, seconds: float, cpu_seconds: float) -> None:
        """Give the worker a program.

        Raises:
            FailedError: It is no Python.
            ForgedError: The answer is wrong.
            TimeoutError: It takes longer.
            OSError, EOFError: The worker is gone.
        """
        encoded = text.encode("utf-8", "replace")
        self._ask(worker.LOAD, (len(encoded), 0, 0), encoded, worker.READY, seconds, cpu_seconds)
        self.loaded = True

    def call(self, inputs: tuple[Floats, Floats], factors: int, seconds: float, cpu_seconds: float) -> Floats:
        """Return what the program says of rows: float64 `[n, F]`.

        Args:
            inputs: Observations and actions, float64 `[n, D]` and `[n, U]`, contiguous.
            factors: The most that are believed.
            seconds: Of patience.
            cpu_seconds: Of processor time for the worker.

        Raises:
            FailedError: The program failed.
            ForgedError: The answer is wrong.
            TimeoutError: It takes longer.
            OSError, EOFError: The worker is gone.
        """
        rows = len(inputs[0])
        sizes = (rows, inputs[0].shape[1], inputs[1].shape[1])
        payload = b"".join(one.tobytes() for one in inputs)
        end = time.monotonic() + seconds
        size, columns = self._ask(worker.CALL, sizes, payload, worker.VALUES, seconds, cpu_seconds)
        if not 1 <= columns <= factors or size != rows * columns * 8:
            raise ForgedError(FORGED)
        return np.frombuffer(self._receive(size, end), np.float64).reshape(rows, columns).copy()

    def stop(self) -> int:
        """Kill the worker if it runs, close the pipes, and return its exit code; in a fork, only let go of it."""
        if self._owner != os.getpid():
            return self._let_go()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self._close()
        return self.process.wait()

    def wait(self) -> int:
        """Return the exit code of a worker that is gone, or is killed now, because its pipes are broken."""
        try:
            self.process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return self.stop()
        return self.stop()

    def _let_go(self) -> int:
        """Leave the worker to the process that started it, of which this one is a fork."""
        self._close()
        self.process.returncode = 0  # else Python would wait for what is no child of this process, and warn
        return 0

    def _close(self) -> None:
        self._to.close()
        self._from.close()

    def _wait_until_ready(self) -> None:
        try:
            self._hear(worker.NO_TOKEN, worker.READY, time.monotonic() + STARTING)
        except BaseException as error:
            code = self.stop()
            if not isinstance(error, (FailedError, OSError, EOFError)):
                raise
            said = f"{error}" or type(error).__name__
            raise CageError(f"the worker must start and lock itself in, but ended with {code}: {said}") from error

    def _ask(
        self, kind: int, sizes: Sequence[int], payload: bytes, wanted: int, seconds: float, cpu_seconds: float
    ) -> tuple[int, int]:
        token, end = secrets.token_bytes(16), time.monotonic() + seconds
        self._allow_time(cpu_seconds)
        self._send(worker.HEADER.pack(token, kind, *sizes) + payload, end)
        return self._hear(token, wanted, end)

    def _allow_time(self, seconds: float) -> None:
        """Let the worker have so much more processor time, in whole seconds; then the kernel kills it."""
        if sys.platform == "linux":
            used = time.clock_gettime((~self.process.pid << 3) | 2)  # the clock of another process, by its number
            most = math.ceil(used + seconds)
            resource.prlimit(self.process.pid, resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))

    def _hear(self, token: bytes, wanted: int, end: float) -> tuple[int, int]:
        """Return the two sizes of an answer's head, or raise what it says that failed."""
        said, kind, size, columns, _ = worker.HEADER.unpack(self._receive(worker.HEADER.size, end))
        if said == token and kind == worker.FAILED and size <= MOST_TEXT:
            raise FailedError(_shown(self._receive(size, end)))
        if said != token or kind != wanted:
            raise ForgedError(FORGED)
        return size, columns

    def _send(self, data: bytes, end: float) -> None:
        left, pipe = memoryview(data), self._to.fileno()
        while left:
            _wait_for(pipe, select.POLLOUT, end)
            left = left[os.write(pipe, left) :]

    def _receive(self, size: int, end: float) -> bytes:
        parts, pipe = [], self._from.fileno()
        while size > 0:
            _wait_for(pipe, select.POLLIN, end)
            parts.append(os.read(pipe, min(size, _MIB)))
            if not parts[-1]:
                raise EOFError("it closed its pipe")
            size -= len(parts[-1])
        return b"".join(parts)


def _started(command: Sequence[str], hash_seed: int) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    environment |= {"PATH": "/nonexistent", "PYTHONHASHSEED": str(hash_seed)}
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=environment,
        start_new_session=True,
        bufsize=0,
    )


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    for pipe in (process.stdin, process.stdout):
        os.set_blocking(pipe.fileno(), False)
    return process.stdin, process.stdout


def _wait_for(pipe: int, event: int, end: float) -> None:
    poll = select.poll()
    poll.register(pipe, event)
    left = end - time.monotonic()
    if left <= 0 or not poll.poll(left * 1000):
        raise TimeoutError("it did not answer in time")


def _shown(text: bytes) -> str:
    """Return a text of the worker as one that is safe to print."""
    shown = text.decode("utf-8", "replace")
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in shown)
