"""The delay once more, as simply as it can be said: what `check_bagged` and our own tests compare with."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence

from bagged_envs.wrappers import RewardSchedule


def in_order(rewards: Sequence[float]) -> float:
    """Return the float64 sum from left to right, starting with the first."""
    return functools.reduce(operator.add, rewards)


PAYMENTS: dict[str, Callable[[Sequence[float]], float]] = {
    "sum": in_order,
    "mean": lambda rewards: in_order(rewards) / len(rewards),
    "max": lambda rewards: functools.reduce(lambda best, r: r if r > best or r != r else best, rewards),
    "sum_square": lambda rewards: in_order([r * r for r in rewards]),
    "square_sum": lambda rewards: in_order(rewards) * in_order(rewards),
}


def bags(rewards: Sequence[float], bag_ends: Sequence[bool]) -> list[list[float]]:
    """Cut an episode's dense rewards at the bags' last steps; what is left over is the bag that stayed open.

    Example:
        >>> bags([1.0, 2.0, 3.0], [False, True, False])
        [[1.0, 2.0], [3.0]]
    """
    cut: list[list[float]] = [[]]
    for reward, end in zip(rewards, bag_ends, strict=True):
        cut[-1].append(float(reward))
        if end:
            cut.append([])
    return cut if cut[-1] else cut[:-1]


def borders(lengths: Sequence[int | None], steps: int) -> list[bool]:
    """Return where bags of these lengths close in an episode of so many steps; None never closes by itself.

    Example:
        >>> borders([2, 2], 3)
        [False, True, True]
    """
    ends = [False] * steps
    at = -1
    for length in lengths:
        at = steps - 1 if length is None else min(at + length, steps - 1)
        ends[at] = True
        if at == steps - 1:
            break
    ends[-1] = True
    return ends


def payments(
    schedule: RewardSchedule, rewards: Sequence[float], bag_ends: Sequence[bool], labeled: Sequence[bool], success: bool
) -> list[float]:
    """Return what each step of an episode is paid.

    Args:
        schedule: The schedule.
        rewards: The dense rewards, one per step.
        bag_ends: Whether a bag closes, one per step.
        labeled: Whether the payment is shown, one per bag.
        success: Whether the episode was a success, for schedules that pay by it.
    """
    amounts = iter(zip(bags(rewards, bag_ends), labeled, strict=True))
    return [_payment(schedule, *next(amounts), success) if end else 0.0 for end in bag_ends]


def _payment(schedule: RewardSchedule, bag: Sequence[float], labeled: bool, success: bool) -> float:
    if not labeled:
        return schedule.unlabeled_reward
    return float(success) if schedule.success is not None else PAYMENTS[schedule.aggregate](bag)
