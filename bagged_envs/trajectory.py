"""One recorded episode, or the whole bags of one that is still going on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Trajectory:
    """Consecutive steps of one episode, beginning with its first, with the bags that they lie in.

    T is the number of steps. With several agents, observations, actions and rewards have the agents as their second
    axis, after time.

    Attributes:
        observations: `[T + 1, ...]`, the last one after the last step.
        actions: `[T, ...]`.
        rewards: float64 `[T]`, or `[T, A]`: as paid.
        bag_ids: int64 `[T]`: the bag of each step, 0, 1, ... in order, each with at least one step.
        labeled: bool `[bags]`: whether the bag's reward was shown. The last bag may be open: `closed` says.
        terminated: Whether the last step ended the task itself. (Truncation does not stop bootstrapping.)
        closed: Whether the last bag is closed. An open one has no label yet.
        extras: Further arrays by name, such as "dense_rewards" `[T]`; whose first axis is time, of length T or T + 1.
    """

    observations: Array
    actions: Array
    rewards: npt.NDArray[np.float64]
    bag_ids: npt.NDArray[np.int64]
    labeled: npt.NDArray[np.bool_]
    terminated: bool
    closed: bool = True
    extras: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that everything fits together.

        Raises:
            TypeError: `terminated` or `closed` is no bool, or an array has a wrong dtype.
            ValueError: A shape does not fit, or bags are not numbered 0, 1, ... in order.
        """
        steps = len(self.actions)
        _demand(steps > 0, "actions", "at least one step", steps)
        _demand(len(self.observations) == steps + 1, "observations", f"{steps + 1} rows", len(self.observations))
        _demand(len(self.rewards) == steps, "rewards", f"{steps} rows", len(self.rewards))
        _demand(self.bag_ids.shape == (steps,), "bag_ids", f"shape ({steps},)", self.bag_ids.shape)
        jumps = np.diff(self.bag_ids, prepend=-1)
        in_order = jumps[0] == 1 and bool(np.isin(jumps, (0, 1)).all())
        _demand(in_order, "bag_ids", "0, 1, ... in order", self.bag_ids.tolist()[:20])
        bags = int(self.bag_ids[-1]) + 1
        _demand(self.labeled.shape == (bags,), "labeled", f"shape ({bags},)", self.labeled.shape)
        for name, dtype in (("rewards", np.float64), ("bag_ids", np.int64), ("labeled", np.bool_)):
            if getattr(self, name).dtype != dtype:
                raise TypeError(f"{name} must be {np.dtype(dtype)}, got {getattr(self, name).dtype}.")
        for name in ("terminated", "closed"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}.")
        for name, array in self.extras.items():
            _demand(len(array) in (steps, steps + 1), f"extras[{name!r}]", f"{steps} or {steps + 1} rows", len(array))

    def __len__(self) -> int:
        """Return T."""
        return len(self.actions)

    @property
    def num_bags(self) -> int:
        """The number of bags, an open one included."""
        return len(self.labeled)

    def bag_slices(self) -> list[slice]:
        """Return the steps of each bag."""
        starts = np.flatnonzero(np.diff(self.bag_ids, prepend=-1))
        return [slice(int(a), int(b)) for a, b in zip(starts, [*starts[1:], len(self)], strict=True)]


def _demand(holds: bool, name: str, what: str, came: object) -> None:
    if not holds:
        raise ValueError(f"{name} must have {what}, got {came}.")
