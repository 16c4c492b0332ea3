"""One owner per folder: who works there says so in a file that only one can make, and keeps it fresh.

The files are numbered, and the highest number owns. It is put there whole by a hard link, which fails where that number
is taken, and touched while its owner lives; an owner that leaves says so in it. The next number may be taken once the
highest was left, or is stale: its owner is a process of this machine that is gone, or it has not been touched for long
by the clock of the file system. Numbers only rise, so that of several who find one stale one gets the next. Nothing
here needs locks of the file system, which network file systems lack.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bagged_envs.whole_file import MARK, write_whole

PREFIX, SUFFIX = "lease-", ".json"
INTERVAL = 5.0  # seconds between two touches
STALE_AFTER = 120.0  # seconds without one; long, for owners that are stopped or wait for a slow disk


class Taken(RuntimeError):
    """Somebody else works in a folder."""


@contextmanager
def lease(folder: Path, interval: float = INTERVAL, stale_after: float = STALE_AFTER) -> Iterator[Callable[[], bool]]:
    """Own a folder, which is made if it is not there, until the block is left.

    Args:
        folder: What is owned.
        interval: Seconds between two touches.
        stale_after: Seconds without a touch after which an owner on another machine counts as gone.

    Yields:
        Whether the folder is still owned: another machine takes it over from an owner that was stopped for long.

    Raises:
        Taken: It has an owner who lives.
        OSError: The file cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mine = _identity()
    path = _taken(folder, mine, stale_after)
    stop, lost = threading.Event(), threading.Event()
    beat = threading.Thread(target=_touch, args=(path, stop, lost, interval, stale_after), daemon=True)
    beat.start()
    try:
        yield lambda: not lost.is_set()
    finally:
        stop.set()
        beat.join()
        if not lost.is_set():
            write_whole(path, json.dumps({**mine, "left": True}))


def owner(folder: Path, stale_after: float = STALE_AFTER) -> dict[str, Any] | None:
    """Return who works in a folder, None where nobody does."""
    path = _highest(folder)
    found = None if path is None else _read(path)
    return None if path is None or found is None or _is_over(path, found, stale_after) else found


def sweep_up(folder: Path) -> None:
    """Remove what an owner left that was killed while it wrote that it leaves, unless somebody works there now."""
    if owner(folder) is None:
        for path in folder.glob(f".{PREFIX}*{MARK}"):
            path.unlink(missing_ok=True)


def _identity() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": _host(), "pid": pid, "began": _began(pid)}


def _host() -> str:
    """Return a name of where numbers of processes mean the same: this machine since its start, or a container."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    parts = [boot.read_text()[:8] if boot.exists() else "unknown", os.readlink(space) if space.exists() else "unknown"]
    return "/".join([socket.gethostname(), *parts])


def _taken(folder: Path, mine: dict[str, Any], stale_after: float) -> Path:
    """Become the owner.

    Raises:
        Taken: There is one.
    """
    while True:
        before = _highest(folder)
        found = None if before is None else _read(before)
        if before is not None and found is None:
            continue  # it was swept up: look again
        if before is not None and found is not None and not _is_over(before, found, stale_after):
            raise Taken(f"{folder} is worked in by process {found.get('pid')} on {found.get('host')}.")
        path = folder / f"{PREFIX}{0 if before is None else _number(before) + 1}{SUFFIX}"
        if not _linked(path, mine):
            continue  # another one was faster: look again
        if _highest(folder) != path:  # of numbers that were given up long ago
            path.unlink()
            continue
        for older in _all(folder):
            if _number(older) < _number(path):
                older.unlink(missing_ok=True)
        return path


def _all(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob(f"{PREFIX}*{SUFFIX}") if _is_numbered(path)), key=_number)


def _highest(folder: Path) -> Path | None:
    there = _all(folder)
    return there[-1] if there else None


def _is_numbered(path: Path) -> bool:
    """Whether a file is called as one of ours: a name that somebody else gave one means nothing."""
    told = path.name.removeprefix(PREFIX).removesuffix(SUFFIX)
    return told.isascii() and told.isdecimal()


def _number(path: Path) -> int:
    return int(path.name.removeprefix(PREFIX).removesuffix(SUFFIX))


def _linked(path: Path, identity: dict[str, Any]) -> bool:
    """Make a file, whole at once, unless it is there."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}{MARK}")
    try:
        beside.write_text(json.dumps(identity))
        os.link(beside, path)
    except (FileExistsError, FileNotFoundError):  # the latter: an owner swept up
        return False
    finally:
        beside.unlink(missing_ok=True)
    return True


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a file says; nothing where it is damaged, None where it is gone."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _touch(path: Path, stop: threading.Event, lost: threading.Event, interval: float, stale_after: float) -> None:
    good = time.monotonic()
    while not stop.wait(interval):
        try:
            if _highest(path.parent) != path:
                lost.set()
                return
            os.utime(path)
            good = time.monotonic()
        except OSError:  # the file system may come back
            if time.monotonic() - good > stale_after:
                lost.set()
                return


def _is_over(path: Path, found: dict[str, Any], stale_after: float) -> bool:
    """Whether an owner left, or is gone."""
    if found.get("left"):
        return True
    if found.get("host") == _host() and isinstance(found.get("pid"), int) and "began" in found:
        began = _began(found["pid"])
        if began != found["began"]:
            return True
        if began != UNKNOWN:
            return False
    try:
        return _now(path.parent) - path.stat().st_mtime > stale_after
    except FileNotFoundError:
        return True


def _now(folder: Path) -> float:
    """Return the time by the clock of the file system."""
    while True:
        probe = folder / f".clock.{uuid.uuid4().hex}{MARK}"
        probe.touch()
        try:
            return probe.stat().st_mtime
        except FileNotFoundError:  # an owner swept up
            continue
        finally:
            probe.unlink(missing_ok=True)


UNKNOWN = "unknown"


def _began(pid: int) -> str | None:
    """Return when a process of this machine began, in the system's words; None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return UNKNOWN if not Path("/proc/self/stat").exists() and _lives(pid) else None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]


def _lives(pid: int) -> bool:
    """Whether a process lives, where the system has no /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
