"""What can be drawn from a store in constant time, and which steps of a bag."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]
CHUNK = 65_536


class Queue:
    """Numbers in the order in which they came, in a ring: the oldest leave first, and a uniform draw is one look-up."""

    def __init__(self, capacity: int) -> None:
        """Make an empty queue for at most `capacity` numbers; the operating system gives memory as they come."""
        self._ring: Ints = np.zeros(capacity, dtype=np.int64)
        self._first = self._count = 0

    def __len__(self) -> int:
        """How many numbers there are."""
        return self._count

    def append(self, numbers: Ints) -> None:
        """Append numbers, of which there must be room for all."""
        self._ring[self._places(self._count + np.arange(len(numbers)))] = numbers
        self._count += len(numbers)

    def drop(self, count: int) -> None:
        """Forget the oldest `count` numbers."""
        self._first = (self._first + count) % len(self._ring)
        self._count -= count

    def at(self, places: Ints) -> Ints:
        """Return the numbers at some places, 0 for the oldest."""
        return self._ring[self._places(places)]

    def all(self) -> Ints:
        """Return all, the oldest first."""
        return self.at(np.arange(self._count))

    def _places(self, places: Ints) -> Ints:
        return (self._first + places) % len(self._ring)


def some_steps(lengths: Ints, count: int, generator: np.random.Generator) -> Ints:
    """Return random steps of bags, in order: every subset of a bag's steps is as likely as any other.

    Args:
        lengths: int64 `[B]`, the bags' lengths.
        count: K, how many of each: without replacement where a bag has as many, else with it.
        generator: Random numbers.

    Returns:
        int64 `[B, K]`, in `[0, length)`, rising in each row.
    """
    steps = _uniform(lengths[:, None], (len(lengths), count), generator)
    long = lengths >= 2 * count
    if long.all():
        return _without_repeats(steps, lengths, generator)
    short = (lengths >= count) & ~long
    steps[long] = _without_repeats(steps[long], lengths[long], generator)
    steps[short] = _of_a_shuffle(lengths[short], count, generator)
    steps.sort(axis=1)
    return steps


def _uniform(lengths: Ints, shape: tuple[int, ...], generator: np.random.Generator) -> Ints:
    # A third of the time of generator.integers with an array of bounds; the product always rounds below the length.
    return (generator.random(shape) * lengths).astype(np.int64)


def _without_repeats(steps: Ints, lengths: Ints, generator: np.random.Generator) -> Ints:
    """Draw repeated steps anew until there are none, and sort; in bags of 2K steps and more that is soon."""
    while True:
        steps.sort(axis=1)
        repeated = steps[:, 1:] == steps[:, :-1]
        if not repeated.any():
            return steps
        rows, columns = repeated.nonzero()
        steps[rows, columns + 1] = _uniform(lengths[rows], rows.shape, generator)


def _of_a_shuffle(lengths: Ints, count: int, generator: np.random.Generator) -> Ints:
    """Take the steps with the K smallest of random keys; in bags of fewer than 2K steps that is little work."""
    keys = generator.random((len(lengths), 2 * count))
    keys[np.arange(2 * count) >= lengths[:, None]] = 2.0
    return np.argpartition(keys, count - 1, axis=1)[:, :count]


def spread(starts: Ints, lengths: Ints) -> Ints:
    """Return `starts[0], starts[0] + 1, ...` for `lengths[0]` numbers, then the same of the next: `[sum(lengths)]`.

    Example:
        >>> spread(np.array([5, 0]), np.array([2, 3])).tolist()
        [5, 6, 0, 1, 2]
    """
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())


def number_of_bags(wanted: int, enough: int | None, bags: int, steps: int) -> int:
    """Return how many bags to draw: as many as are wanted, or fewer that have `enough` steps on average, at least one.

    The number does not depend on what is drawn, so that long bags come as often as short ones.

    Args:
        wanted: How many at most.
        enough: How many steps are enough; None for no bound.
        bags: How many there are to draw from.
        steps: How many steps these have.

    Example:
        >>> number_of_bags(16, 1000, bags=10, steps=500), number_of_bags(16, 1000, bags=10, steps=10_000)
        (16, 1)
    """
    if enough is None or not bags:
        return wanted
    return max(1, min(wanted, enough * bags // steps))


def until(lengths: Ints, steps: int | None) -> Bools:
    """Return which bags to take, the first ones, until these have so many steps; None for all: bool `[B]`.

    Example:
        >>> until(np.array([3, 4, 5]), 7).tolist(), until(np.array([3, 4, 5]), 8).tolist()
        ([True, True, False], [True, True, True])
    """
    if steps is None:
        return np.ones(len(lengths), dtype=np.bool_)
    enough: Bools = np.cumsum(lengths) - lengths < steps
    return enough


def chunks(widths: Ints, max_steps: int = CHUNK) -> Iterator[Ints]:
    """Yield places in `widths`, each once, so that what is padded to the widest of a chunk stays small.

    Args:
        widths: int64 `[B]`, how many columns each row needs.
        max_steps: How many columns times rows a chunk may have; a wider row comes alone. Rows of like widths come
            together.

    Example:
        >>> [chunk.tolist() for chunk in chunks(np.array([3, 1, 9, 2]), max_steps=4)]
        [[1, 3], [0], [2]]
    """
    order = np.argsort(widths, kind="stable")
    first = 0
    while first < len(order):
        candidates = widths[order[first : first + max_steps]]
        count = max(1, int((np.arange(1, len(candidates) + 1) * candidates <= max_steps).sum()))
        yield order[first : first + count]
        first += count
