"""A function written by a language model, callable from the trainer, which runs in a caged process of its own."""

from __future__ import annotations

import hashlib
import importlib
import os
import signal
import sys
import threading
import time
import warnings
import weakref
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from bagged_envs.baselines.latent_rewards.cage import seccomp, worker
from bagged_envs.baselines.latent_rewards.cage.allow_list import check_source
from bagged_envs.baselines.latent_rewards.cage.channel import Channel, EndedError, ForgedError, SpentError
from bagged_envs.baselines.latent_rewards.cage.errors import CageError, FailedError
from bagged_envs.baselines.latent_rewards.cage.patience import Patience
from bagged_envs.baselines.latent_rewards.cage.text import normalized

Floats = npt.NDArray[np.float64]
# Numbers of inputs, and of factors, that go over the pipe at once: 8 MiB.
MOST_AT_ONCE = 2**20
WHOLE = ("memory_mib", "factors", "restarts")


@dataclass(frozen=True)
class Limits:
    """What a program may use and return.

    Attributes:
        memory_mib: Of its process, addresses included; Python and NumPy themselves take about a third of the default.
        seconds: Of a call with up to 8 MiB, by the clock on the wall; `verify` gives them to all of its calls together.
            The first start of the process does not count.
        cpu_seconds: Of such a call, on the processor; rounded up to whole seconds.
        factors: At most.
        magnitude: The largest value that `verify` accepts.
        restarts: Of its process, in a row: after an answer they are counted anew.
    """

    memory_mib: int = 768
    seconds: float = 4.0
    cpu_seconds: float = 2.0
    factors: int = 64
    magnitude: float = 1e6
    restarts: int = 3

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One of them is out of range.
        """
        for name in (field.name for field in fields(self)):
            value, least = getattr(self, name), 0 if name == "restarts" else 1 if name in WHOLE else 1e-3
            kinds = (int,) if name in WHOLE else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value < float("inf"):
                words = "a whole number" if name in WHOLE else "a number"
                raise ValueError(f"{name} must be {words} of at least {least}, got {value!r}.")


DEFAULT = Limits()


class CagedFunction:
    """A program's function, to be called like any other.

    Its process starts at the first call, serves all later ones, and ends with this object, by `close`, or with the
    trainer. If it dies it is started anew, `Limits.restarts` times in a row. Nothing of one call is left in the next.
    Calls from several threads wait for each other; a fork of the trainer starts a process of its own.

    Attributes:
        text: The program, with plain line ends.
        limits: What it may use.
        sha256: Of the text, in hex digits.

    Example:
        >>> import numpy as np
        >>> text = "def evaluation_func(observation, action): return [observation[:, :1] + action]"
        >>> with CagedFunction(text) as function:
        ...     function(np.ones((2, 3)), np.ones((2, 1)))
        array([[2.],
               [2.]])
    """

    def __init__(
        self,
        text: str,
        limits: Limits = DEFAULT,
        allow_weaker_sandbox: bool = False,
        allow_list: bool = True,
        names: str = "table",
        hash_seed: int = 0,
    ) -> None:
        """Check a program; nothing runs yet.

        Args:
            text: Python that defines `evaluation_func(observation, action)`.
            limits: What it may use.
            allow_weaker_sandbox: Go on, with a warning, where the kernel has no lock for processes.
            allow_list: Off only to test the rest of the cage: read the text before it runs.
            names: "table", or "all" only to test the rest of the cage: all of Python and NumPy.
            hash_seed: Python's, in the process.

        Raises:
            RefusedError: The text has something that is not on the allow-list.
            CageError: This platform has no lock, and that is not allowed; or it has no limits.
        """
        self.text = normalized(text)
        if allow_list:
            check_source(self.text)
        self.limits = limits
        self.sha256 = hashlib.sha256(self.text.encode("utf-8", "replace")).hexdigest()
        self._settings = (limits, allow_weaker_sandbox, allow_list, names, hash_seed)
        self._lock_it = _locked(allow_weaker_sandbox)
        self._closed = False
        self._at_end: weakref.finalize[[], CagedFunction] | None = None
        self._begin()
        _LIVING.add(self)

    def __call__(self, observations: npt.ArrayLike, actions: npt.ArrayLike, patience: Patience | None = None) -> Floats:
        """Return what the program says of rows. That values are finite is not checked.

        Args:
            observations: `[n, D]`.
            actions: `[n, U]`.
            patience: To share with other calls, instead of `Limits.seconds` for each.

        Returns:
            float64 `[n, F]`, an array of the caller's own; F is the same in every call.

        Raises:
            FailedError: The program raised, took too much, or returned what it must not.
            CageError: Its process could not be started.
            ValueError: The inputs are no such arrays, or the function is closed.
        """
        inputs = (_matrix("observations", observations), _matrix("actions", actions))
        rows = len(inputs[0])
        if rows != len(inputs[1]):
            raise ValueError(f"actions must have a row for each of the {rows} observations, got {len(inputs[1])}.")
        with self._turn:
            if not rows:  # how many columns it has, only a row can tell
                return self._ask((np.zeros((1, inputs[0].shape[1])), np.zeros((1, inputs[1].shape[1]))), patience)[:0]
            step = max(1, MOST_AT_ONCE // max(self.limits.factors, inputs[0].shape[1] + inputs[1].shape[1]))
            parts = [(inputs[0][i : i + step], inputs[1][i : i + step]) for i in range(0, rows, step)]
            return np.concatenate([self._ask(part, patience) for part in parts])

    def __enter__(self) -> CagedFunction:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[CagedFunction], tuple[Any, ...]]:
        """Copies and pickles are the text and its limits; they start a process of their own."""
        return CagedFunction, (self.text, *self._settings)

    def close(self) -> None:
        """End the process; further calls are errors. May be called twice."""
        self._closed = True
        self._drop()

    def _begin(self) -> None:
        self._turn = threading.Lock()
        self._channel: Channel | None = None
        self._deaths, self._factors, self._last = 0, 0, 0

    def _drop(self) -> None:
        """End the process, for no fault of the program."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.stop()

    def _after_fork(self) -> None:
        """Begin anew in a fork of the trainer, before any thread can call."""
        self._drop()
        self._begin()

    def _ask(self, inputs: tuple[Floats, Floats], patience: Patience | None) -> Floats:
        """Return the answer for rows that go over the pipe at once, from a new process if the old one has died."""
        patience = patience or Patience(self.limits.seconds, "a call")
        while True:
            try:
                values = self._answer(inputs, patience)
            except TimeoutError as error:
                self._kill()
                raise FailedError(f"{patience.what} took more than {patience.seconds:g} s; do less.") from error
            except (OSError, EOFError):
                self._bury()
            except SpentError:
                self._drop()
            except BaseException as error:
                self._end_after(error)
                raise
            else:
                self._deaths = 0
                return self._checked(values)

    def _answer(self, inputs: tuple[Floats, Floats], patience: Patience) -> Floats:
        limits = self.limits
        channel = self._running(patience)
        if not channel.loaded:
            channel.load(self.text, patience, limits.cpu_seconds)
        return channel.call(inputs, limits.factors, patience, limits.cpu_seconds)

    def _running(self, patience: Patience) -> Channel:
        if self._closed:
            raise ValueError("the function must be open, but it was closed: make another one.")
        if self._channel is not None:
            return self._channel
        if self._deaths > self.limits.restarts:
            raise FailedError(
                f"the program's process ended {self._deaths} times in a row, the last time {_told(self._last)}; "
                "mend the program, or raise Limits.restarts if something else ends it."
            )
        begin = time.monotonic()
        self._channel = channel = self._started()
        if self._deaths:  # else a program that dies late would have its time again and again
            patience.left -= time.monotonic() - begin
        return channel

    def _started(self) -> Channel:
        _, _, _, names, hash_seed = self._settings
        channel = Channel(self.limits.memory_mib, self.limits.factors, self._lock_it, names, hash_seed)
        if self._at_end is not None:
            self._at_end.detach()  # of one that is stopped
        self._at_end = weakref.finalize(self, channel.stop)
        return channel

    def _kill(self) -> None:
        """End the process, for a fault of the program."""
        channel, self._channel = self._channel, None
        if channel is not None:
            self._deaths, self._last = self._deaths + 1, channel.stop()

    def _bury(self) -> None:
        """End what is left of a process, and raise if the program has ended it, as far as is known; else try again."""
        channel, self._channel = self._channel, None
        if channel is None:
            return
        self._last = channel.wait()
        self._deaths += self._last != worker.NO_MEMORY  # a new process has more, or says so below
        if self._last == -signal.SIGXCPU:
            raise FailedError(f"a call took more than {self.limits.cpu_seconds:g} s of processor time; do less.")
        if self._last == worker.NO_MEMORY and channel.calls == 1:
            raise FailedError(
                f"the inputs must fit into the process's {self.limits.memory_mib} MiB, beside Python and NumPy, but do "
                "not: pass narrower rows, or raise Limits.memory_mib."
            )

    def _end_after(self, error: BaseException) -> None:
        """End the process if it cannot go on: the rest of a broken answer would be taken for the next."""
        if isinstance(error, ForgedError):
            self._kill()
        elif isinstance(error, EndedError) or not isinstance(error, FailedError):
            self._drop()

    def _checked(self, values: Floats) -> Floats:
        factors = values.shape[1]
        if self._factors not in (0, factors):
            raise FailedError(
                f"every call must return the same number of factors, got {self._factors}, then {factors}."
            )
        self._factors = factors
        return values


def _in_fork() -> None:
    for function in list(_LIVING):
        function._after_fork()


_LIVING: weakref.WeakSet[CagedFunction] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_fork)


def _locked(allow_weaker: bool) -> bool:
    """Return whether processes are locked, or raise if they cannot be and must be."""
    try:
        importlib.import_module("resource")
    except ImportError as error:
        raise CageError(
            f"programs must run in a process with limits, for which {sys.platform} has no module `resource`: use Linux "
            "or macOS."
        ) from error
    if seccomp.available():
        return True
    if not allow_weaker:
        raise CageError(
            "programs must run behind a lock of the kernel (seccomp: Linux on x86_64 or aarch64), which is not here: "
            "use such a machine, or set allow_weaker_sandbox=True to go on with limits on a separate process alone."
        )
    warnings.warn(
        "Programs run without the kernel's lock: limits on a separate process and the allow-list remain.",
        RuntimeWarning,
        stacklevel=3,
    )
    return False


def _matrix(name: str, values: npt.ArrayLike) -> Floats:
    matrix = np.ascontiguousarray(values, np.float64)
    if np.ndim(values) != 2:
        raise ValueError(f"{name} must have two dimensions, [n, size], got shape {np.shape(values)}: reshape it.")
    return matrix


def _told(code: int) -> str:
    """Return how a process ended, in words."""
    return f"by a signal ({signal.strsignal(-code)})" if code < 0 else f"by itself with code {code}"
