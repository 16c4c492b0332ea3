"""The trainer's end of a worker: starts it, asks it, believes nothing that it says, and ends it."""

from __future__ import annotations

import math
import os
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
from bagged_envs.baselines.latent_rewards.cage.patience import Patience

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


class EndedError(FailedError):
    """The program failed in a way after which its worker has ended itself."""


class SpentError(Exception):
    """The worker is near the most processor time that this machine's owner grants a process; a new one has it all."""


class Channel:
    """A worker that runs, and two pipes to it.

    Attributes:
        calls: How often it was asked.
        loaded: It has the program.
        process: The worker's.
    """

    def __init__(self, memory_mib: int, factors: int, lock: bool, names: str, hash_seed: int) -> None:
        """Start a worker and wait until it is locked in.

        Raises:
            CageError: It did not start.
        """
        self.calls, self.loaded = 0, False
        self._owner = os.getpid()
        site = str(Path(np.__file__).parents[1])
        settings = (site, str(memory_mib), str(factors), "lock" if lock else "no lock", names, str(self._owner))
        try:
            self.process = _started([sys.executable, *_FLAGS, worker.__file__, *settings], hash_seed)
        except OSError as error:
            raise CageError(f"the worker must start, but {sys.executable} did not: {error}.") from error
        self._to, self._from = _pipes(self.process)
        self._wait_until_ready()

    def load(self, text: str, patience: Patience, cpu_seconds: float) -> None:
        """Give the worker a program, once.

        Raises:
            EndedError: It is no Python.
            ForgedError: The answer is wrong.
            TimeoutError: It takes longer.
            CageError: Its processor time cannot be limited.
            OSError, EOFError: The worker is gone.
        """
        encoded = text.encode("utf-8", "replace")
        self._ask((len(encoded), 0, 0), encoded, worker.READY, patience, cpu_seconds)
        self.loaded = True

    def call(self, inputs: tuple[Floats, Floats], factors: int, patience: Patience, cpu_seconds: float) -> Floats:
        """Return what the program says of rows: float64 `[n, F]`.

        Args:
            inputs: Observations and actions, float64 `[n, D]` and `[n, U]`, contiguous.
            factors: The most that are believed.
            patience: For the answer.
            cpu_seconds: Of processor time for the worker.

        Raises:
            FailedError: The program failed.
            EndedError: And the worker has ended.
            ForgedError: The answer is wrong.
            SpentError: The worker was not asked, and must be replaced.
            TimeoutError: It takes longer.
            CageError: Its processor time cannot be limited.
            OSError, EOFError: The worker is gone.
        """
        rows = len(inputs[0])
        sizes = (rows, inputs[0].shape[1], inputs[1].shape[1])
        payload = b"".join(one.tobytes() for one in inputs)
        size, columns = self._ask(sizes, payload, worker.VALUES, patience, cpu_seconds)
        if not 1 <= columns <= factors or size != rows * columns * 8:
            raise ForgedError(FORGED)
        return np.frombuffer(self._receive(size, patience), np.float64).reshape(rows, columns).copy()

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
            self._hear(worker.NO_TOKEN, worker.READY, Patience(STARTING, "a start"))
        except BaseException as error:
            code = self.stop()
            if not isinstance(error, (FailedError, OSError, EOFError)):
                raise
            said = f"{error}" or type(error).__name__
            raise CageError(f"the worker must start and lock itself in, but ended with {code}: {said}") from error

    def _ask(
        self, sizes: Sequence[int], payload: bytes, wanted: int, patience: Patience, cpu_seconds: float
    ) -> tuple[int, int]:
        token = secrets.token_bytes(16)
        if sys.platform == "linux":
            self._allow_time(cpu_seconds)
        self.calls += self.loaded
        self._send(worker.HEADER.pack(token, *sizes, 0) + payload, patience)
        return self._hear(token, wanted, patience)

    def _allow_time(self, seconds: float) -> None:
        """Let the worker have so much more processor time, in whole seconds; then the kernel kills it."""
        try:
            enough = _allowed(self.process.pid, seconds)
        except OSError as error:
            if self._has_ended():
                raise EOFError("it has ended") from error
            raise CageError(f"the worker's processor time must be limited, but the system refused: {error}.") from error
        if self.calls and not enough:
            raise SpentError

    def _has_ended(self) -> bool:
        try:
            self.process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _hear(self, token: bytes, wanted: int, patience: Patience) -> tuple[int, int]:
        """Return the two sizes of an answer's head, or raise what it says that failed."""
        said, kind, size, columns, _ = worker.HEADER.unpack(self._receive(worker.HEADER.size, patience))
        if said == token and kind in (worker.FAILED, worker.ENDED) and size <= MOST_TEXT:
            failed = EndedError if kind == worker.ENDED else FailedError
            raise failed(_shown(self._receive(size, patience)))
        if said != token or kind != wanted:
            raise ForgedError(FORGED)
        return size, columns

    def _send(self, data: bytes, patience: Patience) -> None:
        left, pipe = memoryview(data), self._to.fileno()
        while left:
            patience.wait(pipe, select.POLLOUT)
            left = left[os.write(pipe, left) :]

    def _receive(self, size: int, patience: Patience) -> bytes:
        parts, pipe = [], self._from.fileno()
        while size > 0:
            patience.wait(pipe, select.POLLIN)
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
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process must be started with pipes: pass stdin=PIPE and stdout=PIPE.")
    for pipe in (process.stdin, process.stdout):
        os.set_blocking(pipe.fileno(), False)
    return process.stdin, process.stdout


def _allowed(pid: int, seconds: float) -> bool:
    """Let a process have more processor time; return whether its owner's limit, which stays, leaves as much."""
    import resource  # not everywhere: this file is read on all platforms

    used = time.clock_gettime((~pid << 3) | 2)  # the clock of another process, by its number
    _, hard = resource.prlimit(pid, resource.RLIMIT_CPU)
    most = math.ceil(used + seconds)
    bounded = hard != resource.RLIM_INFINITY and most > hard
    resource.prlimit(pid, resource.RLIMIT_CPU, (hard if bounded else most, hard))
    return not bounded


def _shown(text: bytes) -> str:
    """Return a text of the worker as one that is safe to print."""
    shown = text.decode("utf-8", "replace")
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in shown)
