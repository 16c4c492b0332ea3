"""The arrays in which a store keeps whole episodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from bagged_envs.baselines.draws import Array, Ints, Queue, spread


class EpisodeRing:
    """Rows of steps and rows of bags, in two rings, and what can be drawn of them.

    Attributes:
        rows: By name `[capacity + 1, ...]`: of each step the features before it, who is present, what was paid, and its
            bag's row; after an episode's last step one more row, of the observation that follows, whose bag is -1.
        bags: By name `[capacity + 1]`: of each bag its first step's row, its length, its position in the episode, its
            label, and whether that is shown and the bag is closed.
        queues: Rows of closed and of labeled bags and of their steps, of the steps of open bags, and of the first steps
            of episodes without an open bag.
        changes: How often something was added.
    """

    def __init__(self, capacity: int, observation_size: int, action_size: int, agents: int) -> None:
        """Make empty rings; `EpisodeStore` tells what the sizes are."""
        self._size = capacity + 1
        self._columns: dict[str, tuple[int, type[np.generic]]] = {
            "observations": (observation_size, np.float32),
            "actions": (action_size, np.float32),
        }
        self._agents = agents
        self._episodes: deque[tuple[int, int]] = deque()  # steps and bags of each, the oldest first
        self.changes = 0
        self._clear()

    def keep(self, name: str, width: int, kind: type[np.generic] = np.float32) -> None:
        """Have another column of rows, `[capacity + 1, A, width]`, all 0 at first; states then have it, too."""
        self._columns[name] = width, kind
        self.rows[name] = self._column(width, kind)

    def _column(self, width: int, kind: type[np.generic]) -> Array:
        return np.zeros((self._size, self._agents, width), kind)

    def _clear(self) -> None:
        size, agents = self._size, self._agents
        self.rows: dict[str, Array] = {
            **{name: self._column(*column) for name, column in self._columns.items()},
            **{name: np.zeros((size, agents), np.float32) for name in ("paid", "dense", "relabeled")},
            "present": np.zeros((size, agents), np.bool_),
            "terminated": np.zeros(size, np.float32),
            "bag": np.full(size, -1, np.int64),
        }
        self.bags: dict[str, Array] = {
            **{name: np.zeros(size, np.int64) for name in ("start", "length", "position", "version")},
            **{name: np.zeros(size, np.bool_) for name in ("labeled", "closed")},
            "label": np.zeros(size, np.float32),
        }
        names = ("bags", "labeled_bags", "steps", "labeled_steps", "open_steps", "episodes")
        self.queues = {name: Queue(size) for name in names}
        self._episodes.clear()
        self._row = self._used = 0  # the oldest episode's first row, and how many are used
        self._bag = self._used_bags = 0  # the same of the rows of bags
        self.changes += 1

    @property
    def num_episodes(self) -> int:
        """How many episodes there are."""
        return len(self._episodes)

    @property
    def longest(self) -> int:
        """How many steps the longest episode has; 0 without one."""
        return max((steps for steps, _ in self._episodes), default=0)

    @property
    def num_steps(self) -> int:
        """How many steps there are."""
        return self._used - len(self._episodes)

    def wrap(self, places: Ints) -> Ints:
        """Return rows from numbers that may be beyond the end, or before the beginning."""
        return places % self._size

    def after(self, steps: Ints) -> Ints:
        """Return the rows with what is observed after some steps."""
        return self.wrap(steps + 1)

    def add(self, columns: dict[str, Array], bag_columns: dict[str, Array], bag_ids: Ints) -> Ints:
        """Put an episode in the place of as many of the oldest as it needs the room of; return its steps' rows.

        Args:
            columns: Values of `rows` by name, `[T + 1, ...]` or `[T, ...]`; what is left out is 0.
            bag_columns: Values of `bags` by name, without "start".
            bag_ids: int64 `[T]`.
        """
        steps, bags = len(bag_ids), int(bag_ids[-1]) + 1
        while self._used + steps + 1 > self._size:
            self._evict()
        places = self.wrap(self._row + self._used + np.arange(steps + 1))
        numbers = self.wrap(self._bag + self._used_bags + np.arange(bags))
        columns = {**columns, "bag": np.append(numbers[bag_ids], -1)}
        for name, array in self.rows.items():
            values = columns.get(name, np.zeros(1))
            with np.errstate(over="ignore"):  # beyond float32 is infinity
                array[places[: len(values)]] = values
            array[places[len(values) :]] = 0  # nothing of an earlier episode is left in the last row
        for name, values in {**bag_columns, "start": places[bag_columns["position"]]}.items():
            self.bags[name][numbers] = values
        self._episodes.append((steps, bags))
        self._used, self._used_bags = self._used + steps + 1, self._used_bags + bags
        self._enqueue(numbers)
        self.changes += 1
        return places[:steps]

    def _evict(self) -> None:
        steps, bags = self._episodes.popleft()
        for queue, values in self._queued(self.wrap(self._bag + np.arange(bags))):
            queue.drop(len(values))
        self.rows["bag"][self.wrap(self._row + np.arange(steps))] = -1
        self._row, self._used = (self._row + steps + 1) % self._size, self._used - steps - 1
        self._bag, self._used_bags = (self._bag + bags) % self._size, self._used_bags - bags

    def _enqueue(self, bags: Ints) -> None:
        for queue, values in self._queued(bags):
            queue.append(values)

    def _queued(self, bags: Ints) -> Iterator[tuple[Queue, Ints]]:
        """Yield what stands in each queue because of some bags."""
        closed, labeled = self.bags["closed"][bags], self.bags["labeled"][bags]
        yield self.queues["bags"], bags[closed]
        yield self.queues["labeled_bags"], bags[labeled]
        yield self.queues["steps"], self._steps_of(bags[closed])
        yield self.queues["labeled_steps"], self._steps_of(bags[labeled])
        yield self.queues["open_steps"], self._steps_of(bags[~closed])
        yield self.queues["episodes"], self._begun_by(bags)

    def _begun_by(self, bags: Ints) -> Ints:
        """Return the first steps of the episodes that some bags make up, of those whose last bag is closed."""
        firsts = np.flatnonzero(self.bags["position"][bags] == 0)
        lasts = np.append(firsts, len(bags))[1:] - 1
        begun: Ints = self.bags["start"][bags[firsts[self.bags["closed"][bags[lasts]]]]]
        return begun

    def _steps_of(self, bags: Ints) -> Ints:
        return self.wrap(spread(self.bags["start"][bags], self.bags["length"][bags]))

    def _used_places(self) -> tuple[Ints, Ints]:
        return self.wrap(self._row + np.arange(self._used)), self.wrap(self._bag + np.arange(self._used_bags))

    def state_dict(self) -> dict[str, Any]:
        """Return copies of what is used, as tensors, and where it stands."""
        rows, bags = self._used_places()
        return {
            "places": [self._row, self._used, self._bag, self._used_bags],
            "episodes": torch.tensor(list(self._episodes), dtype=torch.int64).reshape(-1, 2),
            "rows": {name: torch.from_numpy(array[rows]) for name, array in self.rows.items()},
            "bags": {name: torch.from_numpy(array[bags]) for name, array in self.bags.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become the ring that was saved, of the same sizes."""
        self._clear()
        self._row, self._used, self._bag, self._used_bags = state["places"]
        self._episodes.extend((steps, bags) for steps, bags in state["episodes"].tolist())
        rows, bags = self._used_places()
        for name, array in self.rows.items():
            array[rows] = state["rows"][name].numpy()
        for name, array in self.bags.items():
            array[bags] = state["bags"][name].numpy()
        self._enqueue(bags)
