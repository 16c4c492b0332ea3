"""The process that runs a program: it locks itself in, and then answers questions over two pipes.

It is started as a script, without the package around it: it imports the standard library and NumPy, and loads `allowed`
and `seccomp` by their path. What it says is believed by nobody: the other end (`channel`) checks it again.
"""

from __future__ import annotations
import __future__

import builtins
import ctypes
import gc
import importlib.util
import os
import signal
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, FrameType, ModuleType, SimpleNamespace
from typing import Any

# What both ends say first: a token that an answer repeats, and four numbers. Of a question, the rows and widths of two
# arrays; of the first question, the size of a program. Of an answer, what it is, its size, and columns.
HEADER = struct.Struct("<16sQQQQ")
READY, VALUES, FAILED, ENDED = 1, 2, 3, 4  # answers; the last is a failure, too, after which this process ends
NO_MEMORY = 41  # the exit code of a process that cannot hold the question
NO_TOKEN = bytes(16)
PROGRAM = "<program>"
ENTRY = "evaluation_func"
LONGEST = 600  # characters of an error
_PARENT_DEATH = 1  # of prctl
_OPEN_FILES = 3  # the two pipes, and nothing for errors
_REAL = "biuf"  # kinds of dtypes: truth values, whole numbers, and others
_ANYWHERE = 99  # more arguments than there are
_MIB = 2**20
# By what NumPy and Python say.
_REMEDIES = {
    "read-only": "observation and action must stay as they are; work on a copy, x = observation.copy()",
    "Unable to allocate": "use fewer or smaller arrays",
    "MemoryError": "use fewer or smaller arrays",
    "RecursionError": "functions must not call themselves",
    "truth value of an array": "use np.where(condition, a, b), np.logical_and, or & and | with parentheses",
    "out of bounds": "mind the sizes of observation and action",
    "only 0-dimensional arrays": "use x.astype(np.float64)",
    "length-1 arrays": "use x.astype(np.float64)",
}


class WrongOutput(Exception):
    """The program returned what it must not."""


class Program:
    """A program, run anew in each call: it finds nothing that an earlier call kept."""

    def __init__(self, text: str, names: Callable[[], dict[str, Any]]) -> None:
        """Compile the text so that annotations are never evaluated; `names` makes what it can name."""
        flags = __future__.annotations.compiler_flag
        self._code: CodeType = compile(text, PROGRAM, "exec", flags=flags, dont_inherit=True)
        self._names = names

    def __call__(self, observation: Any, action: Any) -> Any:
        """Return what its function returns."""
        names = self._names()
        exec(self._code, names)
        return names[ENTRY](observation, action)


def main(arguments: Sequence[str]) -> None:
    """Lock this process in and serve.

    Args:
        arguments: Where NumPy is installed; the most memory in MiB; the most factors; "lock" or "no lock"; "table" for
            the names that `allowed` lists, or "all" for NumPy and Python as they are, to test the rest of the cage;
            the process that started this one.
    """
    folder, memory, factors, lock, names, parent = arguments
    try:
        sys.path.append(folder)  # last: packages may be named as modules of the standard library are
        numpy = importlib.import_module("numpy")
        sys.path.remove(folder)
        table = _names(numpy, names == "all")
        _warm_up(numpy, table)
        seccomp = _sibling("seccomp")
        _end_with(int(parent))
        _limit(int(memory) * _MIB)
        if lock == "lock":
            seccomp.lock()
        gc.collect()
        gc.freeze()  # what is here now stays: after each call only what is new is looked through
    except BaseException as error:
        _answer(NO_TOKEN, FAILED, f"{type(error).__name__}: {error}"[:LONGEST].encode("utf-8", "replace"))
        raise
    _answer(NO_TOKEN, READY)
    _serve(numpy, table, int(factors))


def _sibling(name: str) -> ModuleType:
    """Return a module beside this one, loaded by its path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError(f"{name}.py must be beside {__file__}, and is not: install the package anew.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _names(numpy: Any, everything: bool) -> Callable[[], dict[str, Any]]:
    """Return what makes the names that a program finds."""
    if everything:
        return lambda: {"__builtins__": builtins, "np": numpy}
    allowed = _sibling("allowed")
    places = allowed.FUNCTION_DTYPES
    arrays = {name: getattr(numpy, name) for name in allowed.NUMPY_TYPES | allowed.NUMPY_CONSTANTS}
    for name in allowed.NUMPY_FUNCTIONS:
        arrays[name] = _guarded(numpy, getattr(numpy, name), places.get(name, _ANYWHERE))
    _guard_methods(numpy, allowed.METHOD_DTYPES)
    algebra = {name: getattr(numpy.linalg, name) for name in allowed.LINALG}
    plain = {name: getattr(builtins, name) for name in allowed.BUILTINS}

    def made() -> dict[str, Any]:
        np = SimpleNamespace(**arrays, linalg=SimpleNamespace(**algebra))
        return {"__builtins__": {**plain, "__import__": _import_of(np)}, "np": np, "__name__": "program"}

    return made


def _guarded(numpy: Any, function: Callable[..., Any], place: int) -> Callable[..., Any]:
    """Return a function of NumPy that makes real numbers alone; `place` is where its dtype may stand."""

    def called(*arguments: Any, **settings: Any) -> Any:
        if len(arguments) > place:
            _check_dtype(numpy, arguments[place])
        if settings:
            _check_dtype(numpy, settings.get("dtype"))
            if "signature" in settings or "sig" in settings:
                raise TypeError("signature= is not allowed; do without it")
        return function(*arguments, **settings)

    return called


def _check_dtype(numpy: Any, wanted: Any) -> None:
    """Check a dtype. Those of times can read the clock, and those of objects, texts and raw memory do other harm."""
    if wanted is not None and numpy.dtype(wanted).kind not in _REAL:
        raise TypeError(f"a dtype must be of real numbers, got {wanted!r:.40}; use np.float64, np.int64 or np.bool_")


def _guard_methods(numpy: Any, places: dict[str, int]) -> None:
    """Guard methods of arrays, also for NumPy's own use.

    Python has no way to set those of a type in C, so they are written into its table.
    """
    table = gc.get_referents(numpy.ndarray.__dict__)[0]
    for name, place in places.items():
        table[name] = _guarded(numpy, table[name], 1 + place)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(numpy.ndarray))


def _import_of(np: SimpleNamespace) -> Callable[..., SimpleNamespace]:
    def imported(name: str, *_: Any) -> SimpleNamespace:
        if name != "numpy":
            raise ImportError(f"there is no {name}: use np")
        return np

    return imported


def _warm_up(numpy: Any, names: Callable[[], dict[str, Any]]) -> None:
    """Load what NumPy and Python load when they first need it: behind the lock nothing can be opened.

    NumPy's C code also imports its own modules through the `__import__` of whoever calls it first, and then keeps them;
    a program's would not give them. So whatever is allowed is called here once, well or badly. It also turns NumPy's
    warnings off, which are told to nobody.
    """
    numpy.seterr(all="ignore")
    sys.stderr = None  # nor are Python's
    allowed, x = _sibling("allowed"), numpy.eye(2)
    called = [getattr(numpy, name) for name in sorted(allowed.NUMPY_FUNCTIONS)] + [numpy.linalg.norm]
    called += [getattr(numpy.ndarray, name) for name in sorted(allowed.METHODS) if hasattr(numpy.ndarray, name)]
    for function in called:
        for count in (1, 2, 3):
            _try(function, *[x.copy() for _ in range(count)])
    _try(Program(f"def {ENTRY}(a, b):\n    return [a[9] + b]", names), x, x)
    _try(numpy.zeros, 2**50)
    _try(numpy.add, x, numpy.ones(7))
    _try(numpy.add, "a", 1)
    _try(x.sum, axis=5)
    _try(numpy.frombuffer(bytes(8)).__setitem__, 0, 1.0)


def _try(function: Callable[..., Any], *arguments: Any, **settings: Any) -> None:
    try:
        function(*arguments, **settings)
    except Exception as error:  # wanted: errors load modules, too
        _told(error)


def _end_with(parent: int) -> None:
    """End this process when the one that started it ends.

    The kernel's signal comes when the *thread* that started it ends, too: then the parent is still there, and nothing
    happens.
    """

    def look(_number: int, _frame: FrameType | None) -> None:
        if os.getppid() != parent:
            os._exit(0)

    signal.signal(signal.SIGTERM, look)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH, int(signal.SIGTERM), 0, 0, 0)
    look(0, None)


def _limit(memory: int) -> None:
    """Limit this process for good. Processor time is limited by the parent, anew for each call."""
    import resource  # not everywhere: the other end reads this file on all platforms

    most = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
    }
    for kind, limit in most.items():
        _, hard = resource.getrlimit(kind)
        lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (lower, lower))


def _serve(numpy: Any, names: Callable[[], dict[str, Any]], factors: int) -> None:
    """Take a program, and answer questions until the other end closes."""
    token, size, *_ = HEADER.unpack(_read(HEADER.size))
    program = _loaded(token, _read(size), names)
    while True:
        token, rows, columns, others, _ = HEADER.unpack(_read(HEADER.size))
        # All of the question comes before anything can fail: what stays in the pipe would be taken for the next one.
        sent = [(_read(rows * width * 8), (rows, width)) for width in (columns, others)]
        _reply(numpy, program, token, [_array(numpy, *one) for one in sent], factors)
        gc.collect()  # cycles, which would live on; the other end has its answer and does not wait for it


def _loaded(token: bytes, text: bytes, names: Callable[[], dict[str, Any]]) -> Program:
    try:
        program = Program(text.decode(), names)
    except BaseException as error:  # whatever it is, it is the program's, and is told
        _answer(token, ENDED, _told(error).encode("utf-8", "replace"))
        os._exit(0)
    _answer(token, READY)
    return program


def _reply(numpy: Any, program: Program, token: bytes, inputs: Sequence[Any], factors: int) -> None:
    """Answer one question. What a call leaves behind when memory is over, nobody knows, so that ends this process."""
    try:
        values = _stacked(numpy, program(*inputs), len(inputs[0]), factors)
        _answer(token, VALUES, values.tobytes(), values.shape[1])
    except BaseException as error:  # whatever it is, it is the program's, and must not end this process unheard
        kind = ENDED if isinstance(error, MemoryError) else FAILED
        _answer(token, kind, _told(error).encode("utf-8", "replace"))
        if kind == ENDED:
            os._exit(0)


def _array(numpy: Any, sent: bytes, shape: tuple[int, int]) -> Any:
    """Return an array that was sent. Nobody can write to it: it lies in an object of bytes."""
    return numpy.ndarray(shape, numpy.float64, sent)


def _stacked(numpy: Any, factors: Any, rows: int, most: int) -> Any:
    """Return what the program returned as one float64 array `[n, F]`."""
    if type(factors) not in (list, tuple):
        raise WrongOutput(f"the function must return a list of arrays, got {type(factors).__name__}")
    if not 1 <= len(factors) <= most:
        raise WrongOutput(f"the list must have 1 to {most} factors, got {len(factors)}")
    for number, factor in enumerate(factors, start=1):
        _check_factor(numpy, number, factor, rows)
    return numpy.concatenate([factor.astype(numpy.float64) for factor in factors], axis=1)


def _check_factor(numpy: Any, number: int, factor: Any, rows: int) -> None:
    if type(factor) is not numpy.ndarray:
        raise WrongOutput(f"factor {number} must be an array [n, 1], got {type(factor).__name__}")
    if factor.dtype.kind not in "biuf":
        raise WrongOutput(f"factor {number} must be of real numbers, got dtype {factor.dtype}: use np.float64")
    if factor.shape != (rows, 1):
        raise WrongOutput(
            f"factor {number} must have shape [n, 1] = ({rows}, 1), got {factor.shape}: use slices such as "
            "observation[:, 2:3], keepdims=True with axis=1, or x.reshape(-1, 1)"
        )


def _told(error: BaseException) -> str:
    """Return what to tell of an error: the program's line, what was said, and what to do if that is known."""
    if isinstance(error, WrongOutput):
        return f"{error}."
    line, trace = 0, error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == PROGRAM else line
        trace = trace.tb_next
    line = error.lineno or 1 if isinstance(error, SyntaxError) and not line else line
    said = _said(error)
    remedy = next((remedy for words, remedy in _REMEDIES.items() if words in said), "")
    return f"line {line}: {said}{'; ' if remedy else ''}{remedy}."


def _said(error: BaseException) -> str:
    """Return an error's name and text, or the name alone: making the text can fail, as for numbers of 5000 digits."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"[:LONGEST]
    except BaseException:
        return name


def _read(size: int) -> bytes:
    """Return so many bytes, or end: when the other end has closed, or when there is no memory for them."""
    parts = []
    try:
        while size > 0:
            part = os.read(0, min(size, _MIB))
            if not part:
                os._exit(0)
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
    except MemoryError:
        os._exit(NO_MEMORY)


def _answer(token: bytes, kind: int, payload: bytes = b"", columns: int = 0) -> None:
    left = memoryview(HEADER.pack(token, kind, len(payload), columns, 0) + payload)
    while left:
        left = left[os.write(1, left) :]


if __name__ == "__main__":
    main(sys.argv[1:])
