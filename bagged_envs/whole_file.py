"""Files that are whole or as they were: written beside, flushed to the disk, renamed."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

MARK = ".unfinished"


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of an older one, of the same name, once it is whole on the disk.

    Where writing fails, the older one stays and nothing is left beside it. A process that is killed leaves a file
    beside that `remove_unfinished` finds. Folders above are made.

    Raises:
        OSError: It could not be written; the message names the file, what was wrong and what stays.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}{MARK}")
    ours = {None, *map(str, (beside, path, *path.parents))}
    written = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("xb") as stream, _removed_if_it_fails(beside):
            yield stream
            written = stream.tell()
            stream.flush()
            os.fsync(stream.fileno())
            os.replace(beside, path)
        _sync(path.parent)
    except OSError as error:
        if error.filename not in ours:
            raise
        size = f" ({written:,} bytes)" if written else ""
        raise OSError(
            error.errno,
            f"could not be written{size}: {error.strerror}; what was there before is whole. Make room, or name another "
            "place, and start again",
            str(path),
        ) from error


@contextmanager
def _removed_if_it_fails(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file as `whole_file` does; text as UTF-8, line ends as they are.

    Raises:
        OSError: As for `whole_file`.
    """
    with whole_file(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


def remove_unfinished(folder: Path) -> list[str]:
    """Remove what killed processes left in a folder that nobody else writes to, and return the names."""
    left = sorted(folder.glob(f".*{MARK}"))
    for path in left:
        path.unlink(missing_ok=True)
    return [path.name for path in left]


def _sync(folder: Path) -> None:
    """Have a rename on the disk, where the file system can: some know no such thing of a folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # it may be written to, but not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
