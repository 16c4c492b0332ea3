"""Which steps of a replay buffer belong to which bag, where every copy of an environment adds a step at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from bagged_envs.baselines.api import BagBatch
from bagged_envs.baselines.draws import Array, Bools, Ints, Queue, some_steps
from bagged_envs.wrappers.arguments import known

NAMES = ("bags", "labeled_bags", "steps", "labeled_steps")
Cells = tuple[Ints, Bools, Bools]


class ReplayBags:
    """The closed bags in a ring of rows, each of which holds one step of every copy.

    A step is named by `row * copies + copy`, a bag by its first step. Drawn are closed bags of which nothing was
    overwritten, and their steps: in each copy a stretch of the ring from the oldest such bag to the open one.

    Attributes:
        rows, copies: The ring's sizes.
        bag: int64 `[rows * copies]`: the bag of each step, -1 while it is open and once a step of it is overwritten.
        length, labeled, position: `[rows * copies]`, at a bag's first step: how many steps it has, whether its reward
            was shown, and how many steps of the episode came before it.

    Example:
        >>> bags = ReplayBags(rows=4, copies=1)
        >>> yes, no = np.array([True]), np.array([False])
        >>> [bags.add(closes, yes, no).tolist() for closes in (no, yes, no, yes)]
        [[], [0], [], [2]]
        >>> _ = bags.add(no, yes, no)  # over the first step of the first bag
        >>> bags.all("bags").tolist(), bags.all("steps").tolist(), bags.bag.tolist()
        ([2], [2, 3], [-1, -1, 2, 2])
    """

    def __init__(self, rows: int, copies: int) -> None:
        """Make an empty ring."""
        self.rows, self.copies = rows, copies
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        size = self.rows * self.copies
        self.bag: Ints = np.full(size, -1, dtype=np.int64)
        self.length: Ints = np.zeros(size, dtype=np.int64)
        self.position: Ints = np.zeros(size, dtype=np.int64)
        self.labeled: Bools = np.zeros(size, dtype=np.bool_)
        # A queue of each copy: inside a copy, bags close in the order in which they began, and are overwritten in it.
        self._queues = {name: [Queue(self.rows) for _ in range(self.copies)] for name in NAMES}
        self._row, self._full = 0, False
        self._steps: Ints = np.zeros(self.copies, dtype=np.int64)  # of the running episodes
        self._open: Ints = np.zeros(self.copies, dtype=np.int64)  # those of them in open bags

    def count(self, name: str) -> int:
        """Return how many "bags", "labeled_bags", "steps" or "labeled_steps" can be drawn."""
        return sum(len(queue) for queue in self._queues[name])

    def add(self, closes: Bools, observed: Bools, ended: Bools) -> Ints:
        """Put a step of each copy in the next row, over the oldest if the ring is full.

        Args:
            closes: bool `[copies]`: the step closes its bag.
            observed: bool `[copies]`: its reward is a label.
            ended: bool `[copies]`: it ends its episode.

        Returns:
            The bags that were closed.

        Raises:
            ValueError: An open bag has more steps than the ring has rows; nothing was changed.
        """
        if (self._open >= self.rows).any():
            raise ValueError(
                f"buffer_size must be at least {self.copies} environments times twice the longest bag, so that one "
                f"stays while the next one fills, got {self.rows * self.copies}, and a bag of more than {self.rows} "
                "steps: make it larger, or bags shorter."
            )
        if self._full:
            self._evict()
        self._steps += 1
        self._open += 1
        closed = [self._close(copy, bool(observed[copy])) for copy in np.flatnonzero(closes).tolist()]
        self._steps[ended] = 0
        self._row = (self._row + 1) % self.rows
        self._full |= self._row == 0
        return np.array(closed, dtype=np.int64)

    def abandon(self, copies: Bools) -> None:
        """Begin an episode in some copies; open bags, of those reset in mid-episode, are forgotten: they never pay."""
        self._steps[copies] = self._open[copies] = 0

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

    def draw_bags(self, count: int, weight: str, generator: np.random.Generator) -> Ints:
        """Return random labeled bags, every one alike ("bag") or by its length ("length"), with replacement."""
        if known("weight", weight, ("bag", "length")) == "bag":
            return self.draw("labeled_bags", count, generator)
        bags: Ints = self.bag[self.draw("labeled_steps", count, generator)]
        return bags

    def all(self, name: str) -> Ints:
        """Return all that `draw` may return, copy after copy, the oldest first."""
        return np.concatenate([queue.all() for queue in self._queues[name]])

    def some_steps(self, bags: Ints, count: int, generator: np.random.Generator) -> Ints:
        """Return random steps of each bag in order, without replacement where it has as many: `[B, count]`."""
        return self._move(bags[:, None], some_steps(self.length[bags], count, generator))

    def last_steps(self, bags: Ints) -> Ints:
        """Return the last step of each bag."""
        return self._move(bags, self.length[bags] - 1)

    def cells(self, bags: Ints, history: int) -> Cells:
        """Return steps `[B, L]` of whole bags, which of them are in the bag, and which may be looked at.

        In `history` columns before the bag stand earlier steps of the episode, as far as the ring still has them.
        Where nothing may be looked at stands the bag's first step.
        """
        lengths = self.length[bags, None]
        columns = np.arange(-history, lengths.max(initial=0))
        inside = (columns >= 0) & (columns < lengths)
        context = (columns < lengths) & (columns >= -self._before(bags)[:, None])
        return self._move(bags[:, None], np.where(context, columns, 0)), inside, context

    def _before(self, bags: Ints) -> Ints:
        """Return how many earlier steps of its episode each bag still has in the ring."""
        oldest = self._row if self._full else 0
        return np.minimum(self.position[bags], (bags // self.copies - oldest) % self.rows)

    def _move(self, steps: Ints, by: Ints) -> Ints:
        """Return the steps that the same copies made so many steps later."""
        moved: Ints = (steps + by * self.copies) % len(self.bag)
        return moved

    def _steps_of(self, bag: int) -> Ints:
        return self._move(np.array(bag), np.arange(self.length[bag]))

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
        """Give up the bags with a step in the row that is written next: each is its copy's oldest."""
        first = self._row * self.copies
        for copy, bag in enumerate(self.bag[first : first + self.copies].tolist()):
            if bag < 0:
                continue
            for prefix in ("", "labeled_") if self.labeled[bag] else ("",):
                self._queues[f"{prefix}bags"][copy].drop(1)
                self._queues[f"{prefix}steps"][copy].drop(int(self.length[bag]))
            self.bag[self._steps_of(bag)] = -1


def batch_of(
    bags: ReplayBags,
    chosen: Ints,
    steps: Ints,
    column: Callable[[str, Ints], Array],
    has_dense: bool,
    inside: Bools | None = None,
    context: Bools | None = None,
) -> BagBatch:
    """Return steps of some bags as a batch of one agent, 0 where `inside` and `context` are False.

    Args:
        bags: All bags.
        chosen: int64 `[B]`, the bags.
        steps: int64 `[B, L]`, steps of theirs.
        column: From a field's name and steps `[B, L]` to observations, actions or next_observations `[B, L, size]`, or
            to what was paid and dense rewards `[B, L]`, all of them float32.
        has_dense: Whether there are dense rewards.
        inside: bool `[B, L]`, as `ReplayBags.cells` returns it; None for everywhere.
        context: The same.
    """
    zero, labeled = np.float32(0), bags.labeled[chosen]
    inside = np.ones(steps.shape, dtype=np.bool_) if inside is None else inside
    context = inside if context is None else context
    columns = {
        name: np.where(context[..., None], column(name, steps), zero)
        for name in ("observations", "actions", "next_observations")
    }
    columns["paid"] = np.where(inside & labeled[:, None], column("paid", steps), zero)
    if has_dense:
        columns["dense"] = np.where(inside, column("dense", steps), zero)
    last = column("paid", bags.last_steps(chosen)[:, None])[:, 0]
    return BagBatch(
        label=torch.from_numpy(np.where(labeled, last, zero)),
        labeled=torch.from_numpy(labeled),
        length=torch.from_numpy(bags.length[chosen]),
        **{name: torch.from_numpy(array[:, :, None]) for name, array in columns.items()},
        mask=torch.from_numpy(inside[..., None]),
        context=torch.from_numpy(context[..., None]),
    )
