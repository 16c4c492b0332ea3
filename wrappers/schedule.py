"""When a bag closes, what is paid for it, and whether that payment is shown."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np

from bagged_envs.wrappers.arguments import known, real_number
from bagged_envs.wrappers.success import NAMES, Criterion, criterion

AGGREGATES = ("sum", "mean", "max", "sum_square", "square_sum")
LABEL_UNITS = ("bag", "episode", "step")
LONGEST_BAG = 2**53

BagLength: TypeAlias = "int | tuple[int, int] | None"


def whole_number(name: str, value: object) -> int:
    """Return `value` as an int if it is a whole number of steps, else raise an error that names it."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(
            f"{name} must be a positive int, a (low, high) pair of them, or None for one bag per episode, "
            f"got {value!r} of type {type(value).__name__}."
        )
    steps = int(value)
    if not 1 <= steps <= LONGEST_BAG:
        raise ValueError(f"{name} must lie between 1 and 2**53 steps, got {value!r}.")
    return steps


def _bag_length(value: object) -> BagLength:
    if value is None:
        return None
    if not isinstance(value, (tuple, list)):
        return whole_number("bag_len", value)
    if len(value) != 2:
        raise ValueError(f"bag_len as a pair must be (low, high), got {value!r} with {len(value)} elements.")
    low, high = whole_number("bag_len[0]", value[0]), whole_number("bag_len[1]", value[1])
    if low > high:
        raise ValueError(f"bag_len as a pair must be (low, high) with low <= high, got {value!r}.")
    return low, high


@dataclass(frozen=True)
class RewardSchedule:
    """When a bag closes, what is paid for it, and whether that payment is shown.

    The end of an episode always closes the open bag, whatever its length: a bag closed by a time limit is a normal
    labeled bag.

    Attributes:
        bag_len: Steps in a bag: an int; a pair `(low, high)`, from which each bag's length is drawn uniformly, both
            ends included; or None for one bag per episode.
        aggregate: What a bag pays. "sum" is the float64 left-to-right sum of its rewards in step order; "mean" that
            sum divided by the bag's length; "max" the largest reward; "sum_square" the sum of the squared rewards;
            "square_sum" the square of the sum. Only "sum" keeps the episode's return.
        label_fraction: The probability, in (0, 1], that a payment is shown.
        label_unit: What one draw decides: each "bag", each whole "episode", or each "step" (needs `bag_len=1`).
        unlabeled_reward: What the closing step of an unlabeled bag pays instead: 0.0, or `nan` for those who want
            every use of a missing label to show.
        success: None, or a criterion evaluated when the episode ends: the name of one of
            `bagged_envs.wrappers.success`, or a callable `(observation, info, dense_return, terminated) -> bool`. The
            episode then pays 1.0 or 0.0 (needs `bag_len=None`).
        threshold: The number that a named criterion compares with.

    Raises:
        TypeError: An argument has a type that cannot be meant.
        ValueError: An argument has a value that cannot be meant, or two of them contradict each other.

    Example:
        >>> RewardSchedule(bag_len=[5, 10]).bag_len
        (5, 10)
        >>> str(RewardSchedule(bag_len=20, label_fraction=0.5))
        'bag_len=20, label_fraction=0.5'
    """

    bag_len: BagLength = 20
    aggregate: str = "sum"
    label_fraction: float = 1.0
    label_unit: str = "bag"
    unlabeled_reward: float = 0.0
    success: str | Criterion | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        """Validate every argument, and bring lists and NumPy numbers to their plain form."""
        settle = object.__setattr__
        settle(self, "bag_len", _bag_length(self.bag_len))
        known("aggregate", self.aggregate, AGGREGATES)
        known("label_unit", self.label_unit, LABEL_UNITS)
        fraction = real_number("label_fraction", self.label_fraction)
        if not 0.0 < fraction <= 1.0:
            raise ValueError(f"label_fraction must lie in (0, 1], got {self.label_fraction!r}.")
        settle(self, "label_fraction", fraction)
        settle(self, "unlabeled_reward", real_number("unlabeled_reward", self.unlabeled_reward))
        if math.isinf(self.unlabeled_reward):
            raise ValueError(f"unlabeled_reward must be finite or nan, got {self.unlabeled_reward!r}.")
        if self.label_unit == "step" and self.bag_len != 1:
            raise ValueError(f"label_unit='step' needs bag_len=1, got bag_len={self.bag_len!r}.")
        self._check_success()

    def _check_success(self) -> None:
        if self.threshold is not None:
            threshold = real_number("threshold", self.threshold)
            if not math.isfinite(threshold):
                raise ValueError(f"threshold must be finite, got {self.threshold!r}.")
            object.__setattr__(self, "threshold", threshold)
        if self.success is None:
            if self.threshold is not None:
                raise ValueError(f"threshold={self.threshold!r} needs a success criterion, got success=None.")
            return
        criterion(self.success, self.threshold)
        if self.bag_len is not None:
            raise ValueError(f"a success pays once per episode and needs bag_len=None, got bag_len={self.bag_len!r}.")
        if self.aggregate != "sum":
            raise ValueError(f"a success is paid instead of an aggregate, got aggregate={self.aggregate!r}.")

    @property
    def judge(self) -> Callable[[Any, dict[str, Any], float, bool], bool] | None:
        """The criterion that decides an episode's payment, or None where an aggregate is paid."""
        return None if self.success is None else criterion(self.success, self.threshold)

    @property
    def draws_lengths(self) -> bool:
        """Whether a bag's length is random."""
        return isinstance(self.bag_len, tuple)

    @property
    def draws_labels(self) -> bool:
        """Whether some payments are hidden."""
        return self.label_fraction < 1.0

    @property
    def keeps_return(self) -> bool:
        """Whether an episode's payments add up to its dense return."""
        return self.aggregate == "sum" and self.success is None and not self.draws_labels

    @property
    def in_reward_units(self) -> bool:
        """Whether what is paid has the unit of rewards, which squares and successes have not."""
        return self.success is None and self.aggregate not in ("sum_square", "square_sum")

    @property
    def pays_sums(self) -> bool:
        """Whether what is paid is the sum of a bag's rewards, as a mean or a largest one of a single step is, too."""
        of_one = self.in_reward_units and self.bag_len in (1, (1, 1))
        return self.success is None and (self.aggregate == "sum" or of_one)

    def __str__(self) -> str:
        """Write what differs from the defaults; `bag_len` always, unless a success is paid."""
        shown = [f for f in fields(self) if getattr(self, f.name) != f.default]
        if self.success is None and fields(self)[0] not in shown:
            shown.insert(0, fields(self)[0])
        parts = [f"{f.name}={getattr(self, f.name)!r}" for f in shown if not (self.success and f.name == "bag_len")]
        return ", ".join(parts)


ARGUMENTS = tuple(field.name for field in fields(RewardSchedule))


def a_schedule(schedule: object) -> RewardSchedule:
    """Return `schedule` if it is one, else raise a TypeError that names it."""
    if not isinstance(schedule, RewardSchedule):
        raise TypeError(f"schedule must be a RewardSchedule, got {schedule!r} of type {type(schedule).__name__}.")
    return schedule


def schedule_and_options(
    arguments: Mapping[str, Any], fixed: Mapping[str, Any] | None = None
) -> tuple[RewardSchedule, dict[str, Any]]:
    """Split the arguments of a wrapper into its schedule and its other options.

    Args:
        arguments: What the caller gave.
        fixed: What the wrapper's name fixes, and the caller cannot give.

    Raises:
        TypeError: An argument is fixed, or has a wrong type.
        ValueError: An argument has a value that cannot be meant; or success=None is fixed.

    Example:
        >>> schedule_and_options({"bag_len": 5, "observe_bag": True})[1]
        {'observe_bag': True}
    """
    fixed = {} if fixed is None else fixed
    for name in fixed.keys() & arguments.keys():
        raise TypeError(f"{name}={arguments[name]!r} cannot be given here: this wrapper's {name} is {fixed[name]!r}.")
    if fixed.get("success", ()) is None:
        raise ValueError(f"success must be a name of {NAMES} or a callable for a Sparse reward, got success=None.")
    arguments = {**arguments, **fixed}
    schedule = RewardSchedule(**{key: value for key, value in arguments.items() if key in ARGUMENTS})
    return schedule, {key: value for key, value in arguments.items() if key not in ARGUMENTS}
