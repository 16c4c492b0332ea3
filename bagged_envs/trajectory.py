"""One recorded episode, or the whole bags of one that is still going on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)  # arrays have no one equality
class Trajectory:
    """Consecutive steps of one episode, beginning with its first, with the bags that they lie in.

    T is the number of steps. With several agents, observations and actions have the agents as their second axis, after
    time; rewards have it where each agent is paid its own, and not where a team is paid together.

    Attributes:
        observations: `[T + 1, ...]`, the last one after the last step.
        actions: `[T, ...]`.
        rewards: float64 `[T]`, as paid to one agent or to a team, or `[T, A]`, as paid to each agent for itself.
        bag_ids: int64 `[T]`: the bag of each step, 0, 1, ... in order, each with at least one step.
        labeled: bool `[bags]`: whether the bag's reward was shown; False for an open one.
        terminated: Whether the last step ended the task itself. (Truncation does not stop bootstrapping.)
        closed: Whether the last bag is closed. An open one has no label yet, and the task has not ended in it.
        extras: Further arrays by name, such as "dense_rewards" `[T]`, whose first axis is time, of length T or T + 1.
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
            TypeError: `terminated` or `closed` is no bool, what should be an array is none, or it has a wrong dtype.
            ValueError: A shape does not fit, bags are not numbered 0, 1, ... in order, or the last bag is open although
                it has a label or the task ended.
        """
        self._check_types()
        steps = len(self.actions)
        _demand(steps > 0, "actions", "at least one step", steps)
        _demand(len(self.observations) == steps + 1, "observations", f"{steps + 1} rows", len(self.observations))
        fits = self.rewards.ndim in (1, 2) and len(self.rewards) == steps
        _demand(fits, "rewards", f"shape ({steps},) or ({steps}, agents)", self.rewards.shape)
        _demand(self.bag_ids.shape == (steps,), "bag_ids", f"shape ({steps},)", self.bag_ids.shape)
        jumps = np.diff(self.bag_ids, prepend=-1)
        in_order = jumps[0] == 1 and bool(np.isin(jumps, (0, 1)).all())
        _demand(in_order, "bag_ids", "0, 1, ... in order", self.bag_ids.tolist()[:20])
        bags = int(self.bag_ids[-1]) + 1
        _demand(self.labeled.shape == (bags,), "labeled", f"shape ({bags},)", self.labeled.shape)
        for name, array in self.extras.items():
            _demand(len(array) in (steps, steps + 1), f"extras[{name!r}]", f"{steps} or {steps + 1} rows", len(array))
        if not self.closed and (self.terminated or self.labeled[-1]):
            what = "terminated is True" if self.terminated else "labeled[-1] is True"
            raise ValueError(f"the last bag must be closed where {what}, got closed=False: an open bag has no label.")

    def _check_types(self) -> None:
        arrays = {name: getattr(self, name) for name in ("observations", "actions", "rewards", "bag_ids", "labeled")}
        for name, array in {**arrays, **{f"extras[{name!r}]": array for name, array in self.extras.items()}}.items():
            if not isinstance(array, np.ndarray) or array.ndim == 0:
                raise TypeError(f"{name} must be an array whose first axis is time, got {array!r:.60}.")
        for name, dtype in (("rewards", np.float64), ("bag_ids", np.int64), ("labeled", np.bool_)):
            if arrays[name].dtype != dtype:
                raise TypeError(f"{name} must be {np.dtype(dtype)}, got {arrays[name].dtype}.")
        for name in ("terminated", "closed"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}.")

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
