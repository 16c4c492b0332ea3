"""Which steps of a replay buffer belong to which bag, where every copy of the environment adds a step at a time."""

from __future__ import annotations

import numpy as np

from bagged_envs.baselines.draws import Bools, Ints, Queue

NAMES = ("bags", "labeled_bags", "steps", "labeled_steps")


class ReplayBags:
    """The closed bags of a ring of rows, a row holding one step of each of N copies of an environment.

    Steps are named by `row * N + copy`; a bag by its first step. What is drawn are steps of closed bags of which
    nothing has been overwritten: in each copy a part of the ring between the oldest such bag and the open one.

    Attributes:
        bag: int64 `[rows * N]`: the bag of each step, -1 while the bag is open and once a step of it is overwritten.
        length, labeled, position: `[rows * N]`, at a bag's first step: how many steps it has, whether its reward was
            shown, how many steps of the episode came before it.
    """

    def __init__(self, rows: int, copies: int) -> None:
        """Make an empty ring."""
        self.rows, self.copies = rows, copies
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        size = self.rows * self.copies
        self.bag: Ints = np.full(size, -1, dtype=np.int64)
        self.length, self.position = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
        self.labeled: Bools = np.zeros(size, dtype=np.bool_)
        self._queues = {name: [Queue(self.rows) for _ in range(self.copies)] for name in NAMES}
        self._row, self._wrapped = 0, False
        self._steps: Ints = np.zeros(self.copies, dtype=np.int64)  # of the running episode
        self._open: Ints = np.zeros(self.copies, dtype=np.int64)  # how many of them are in the open bag

    def count(self, name: str) -> int:
        """Return how many "bags", "labeled_bags", "steps" or "labeled_steps" can be drawn."""
        return sum(len(queue) for queue in self._queues[name])

    def add(self, closes: Bools, observed: Bools, ended: Bools) -> Ints:
        """Add a step of each copy in the next row, over the oldest if the ring is full.

        Args:
            closes: bool `[N]`, whether the step closes its bag.
            observed: bool `[N]`, whether its reward is a label.
            ended: bool `[N]`, whether it ends its episode.

        Returns:
            The bags that were closed.

        Raises:
            ValueError: An open bag has more steps than the ring has rows.
        """
        if (self._open >= self.rows).any():
            raise ValueError(
                f"buffer_size must hold the longest bag of each of {self.copies} environments, got one of more than "
                f"{self.rows} steps, and room for {self.rows} per environment: make it larger, or bags shorter."
            )
        if self._wrapped:
            self._evict()
        self._steps += 1
        self._open += 1
        closed = [self._close(copy, bool(observed[copy])) for copy in np.flatnonzero(closes).tolist()]
        self._steps[ended] = 0
        self._row = (self._row + 1) % self.rows
        self._wrapped |= self._row == 0
        return np.array(closed, dtype=np.int64)

    def abandon(self, copies: Bools) -> None:
        """Forget the open bags of some copies, which were reset in mid-episode: nobody will learn what they pay."""
        self._steps[copies] = self._open[copies] = 0

    def move(self, steps: Ints, by: Ints | int) -> Ints:
        """Return the steps that the same copies made so many steps later, or earlier where it is negative."""
        return (steps + by * self.copies) % len(self.bag)

    def draw(self, name: str, count: int, generator: np.random.Generator) -> Ints:
        """Return random "bags", "labeled_bags", "steps" or "labeled_steps" of all copies, with replacement: `[count]`.

        Raises:
            ValueError: There is none.
        """
        queues = self._queues[name]
        ends = np.cumsum([len(queue) for queue in queues])
        if not ends[-1]:
            raise ValueError(f"there must be {name.replace('_', ' ')} to draw from, got none: add more steps.")
        places = generator.integers(ends[-1], size=count)
        copies = np.searchsorted(ends, places, side="right")
        drawn = np.empty(count, dtype=np.int64)
        for copy in np.unique(copies).tolist():
            chosen = copies == copy
            drawn[chosen] = queues[copy].at(places[chosen] - (ends[copy] - len(queues[copy])))
        return drawn

    def all(self, name: str) -> Ints:
        """Return all that `draw` may return, copy after copy, the oldest first."""
        return np.concatenate([queue.all() for queue in self._queues[name]])

    def history(self, bags: Ints) -> Ints:
        """Return how many earlier steps of the episode each bag still has in the ring."""
        oldest = self._row if self._wrapped else 0
        return np.minimum(self.position[bags], (bags // self.copies - oldest) % self.rows)

    def _close(self, copy: int, labeled: bool) -> int:
        length = int(self._open[copy])
        bag = ((self._row - length + 1) % self.rows) * self.copies + copy
        self.length[bag], self.labeled[bag], self.position[bag] = length, labeled, self._steps[copy] - length
        steps = self._steps_of(bag)
        self.bag[steps] = bag
        for prefix in ("", "labeled_") if labeled else ("",):
            self._queues[f"{prefix}bags"][copy].append(np.array([bag]))
            self._queues[f"{prefix}steps"][copy].append(steps)
        self._open[copy] = 0
        return bag

    def _evict(self) -> None:
        """Give up the bags that lie in the row which is written next: each its copy's oldest."""
        first = self._row * self.copies
        for copy, bag in enumerate(self.bag[first : first + self.copies].tolist()):
            if bag < 0:
                continue
            for prefix in ("", "labeled_") if self.labeled[bag] else ("",):
                self._queues[f"{prefix}bags"][copy].drop(1)
                self._queues[f"{prefix}steps"][copy].drop(int(self.length[bag]))
            self.bag[self._steps_of(bag)] = -1

    def _steps_of(self, bag: int) -> Ints:
        return self.move(np.full(self.length[bag], bag), np.arange(self.length[bag]))
