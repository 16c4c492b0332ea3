"""One owner per folder: who works there says so in a file that only one can make, and keeps it fresh.

The file is put there whole by a hard link, which fails where there is one, and touched while its owner lives. It is
stale where its owner is a process of this machine that is gone, or where it has not been touched for long by the clock
of the file system; a stale one is moved away, and looked at again before it is thrown away, so that of two who find it
stale one becomes the owner. Nothing here needs locks of the file system, which network file systems lack.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAME = "lease.json"
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
    path, mine = folder / NAME, _identity()
    if not _make(path, mine):
        _remove_if_stale(path, stale_after)
        if not _make(path, mine):
            owner = _read(path)
            raise Taken(f"{folder} is worked in by process {owner.get('pid')} on {owner.get('host')}.")
    stop, lost = threading.Event(), threading.Event()
    beat = threading.Thread(target=_touch, args=(path, mine, stop, lost, interval), daemon=True)
    beat.start()
    try:
        yield lambda: not lost.is_set()
    finally:
        stop.set()
        beat.join()
        if _read(path) == mine:
            path.unlink(missing_ok=True)


def owner(folder: Path, stale_after: float = STALE_AFTER) -> dict[str, Any] | None:
    """Return who works in a folder, None where nobody does."""
    path = folder / NAME
    found = _read(path)
    return None if not found or _is_stale(path, found, stale_after) else found


def _identity() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": _host(), "pid": pid, "began": _began(pid), "token": uuid.uuid4().hex}


def _host() -> str:
    """Return a name of this machine since it was started."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()}/{boot.read_text()[:8] if boot.exists() else 'unknown'}"


def _make(path: Path, identity: dict[str, Any]) -> bool:
    """Make the file, whole at once, unless it is there."""
    beside = path.with_name(f".{path.name}.{identity['token']}")
    beside.write_text(json.dumps(identity))
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    finally:
        beside.unlink()
    return True


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return dict(found)


def _touch(path: Path, mine: dict[str, Any], stop: threading.Event, lost: threading.Event, interval: float) -> None:
    while not stop.wait(interval):
        try:
            if _read(path) != mine:
                break
            os.utime(path)
        except FileNotFoundError:
            break
    if not stop.is_set():
        lost.set()


def _remove_if_stale(path: Path, stale_after: float) -> None:
    found = _read(path)
    if not found or not _is_stale(path, found, stale_after):
        return
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        os.rename(path, aside)
    except FileNotFoundError:  # another one was faster
        return
    if _read(aside) != found:  # another one was faster, and this is its own, fresh one: give it back
        os.link(aside, path)
    aside.unlink()


def _is_stale(path: Path, found: dict[str, Any], stale_after: float) -> bool:
    if found["host"] == _host():
        return bool(_began(found["pid"]) != found["began"])
    try:
        return _now(path.parent) - path.stat().st_mtime > stale_after
    except FileNotFoundError:
        return True


def _now(folder: Path) -> float:
    """Return the time by the clock of the file system."""
    probe = folder / f".clock.{uuid.uuid4().hex}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _began(pid: int) -> str | None:
    """Return when a process of this machine began, in the system's words; None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None if not _lives(pid) else "unknown"
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
