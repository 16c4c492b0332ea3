"""Tables of experiments that are written row by row, so that a stopped one goes on where it was."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bagged_envs.whole_file import write_whole

Row = Mapping[str, object]


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table; none where there is no file yet."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def append_row(path: Path, row: Row) -> None:
    """Add one row to a table, as `append_rows`."""
    append_rows(path, [row])


def append_rows(path: Path, rows: Sequence[Row]) -> None:
    """Add rows that belong together to a table, with a heading where they are the first.

    Args:
        path: The table.
        rows: At least one.

    Raises:
        ValueError: The table has other columns.
    """
    columns_here = list(rows[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = path.exists() and path.stat().st_size > 0
    if begun:
        with path.open(newline="") as file:
            columns = next(csv.reader(file))
        if columns != columns_here:
            raise ValueError(f"{path} has columns {columns}, the row has {columns_here}: use another file.")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([*([] if begun else [columns_here]), *(row.values() for row in rows)])
    with path.open("a", newline="") as file:
        file.write(text.getvalue())


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a table anew, whole or not at all; what rows have beside the columns is left out."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.getvalue())


def done(path: Path, keys: Sequence[str]) -> set[tuple[str, ...]]:
    """Return what a table has rows for, by some of its columns."""
    return {tuple(row[key] for key in keys) for row in read_rows(path)}


def quantile(values: Sequence[float], share: float) -> float:
    """Return the lower quantile: the smallest value that at least this share of all is no greater than.

    A number of episodes that a limit has cut off stands at the limit, so a quantile below the limit is exact.

    Example:
        >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5)
        2.0
    """
    ordered = sorted(values)
    return ordered[max(-int(-share * len(ordered) // 1), 1) - 1]
