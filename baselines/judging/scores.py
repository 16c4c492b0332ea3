"""How near redistributed rewards are to the true ones: pure functions of arrays, one per score.

Errors and correlations per step punish redistributions that are as good for learning as the truth: all the reward at
the step that caused it, or anything that differs by potential shaping. `epic` and `regret` do not.

What a correlation says where something is constant, up to 1e-6 of its size (so that float32's rounding is no signal):
nan where the true rewards are, because there is nothing to find; 0.0 where only the redistributed ones are, because
they tell no step from another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
CONSTANT = 1e-6


def absolute_error(true: Floats, redistributed: Floats) -> float:
    """Return the mean of abs(redistributed - true) over steps, `[N]` each.

    Example:
        >>> absolute_error(np.array([1.0, 2.0]), np.array([1.0, 5.0]))
        1.5
    """
    _alike(true, redistributed)
    return float(np.abs(redistributed - true).mean())


def pearson(true: Floats, redistributed: Floats) -> float:
    """Return Pearson's correlation over steps, `[N]` each; constants as the module says.

    Example:
        >>> pearson(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0]))
        1.0
    """
    known = _degenerate(true, redistributed)
    if known is not None:
        return known
    # Scaled before squares are taken, which would overflow or vanish; clipped because rounding may exceed 1.
    first, second = (_centered(values) for values in (true, redistributed))
    return float(np.clip((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()), -1.0, 1.0))


def spearman(true: Floats, redistributed: Floats) -> float:
    """Return Spearman's rank correlation over steps, `[N]` each, ties sharing their mean rank; constants likewise.

    Example:
        >>> round(spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 10.0, 5.0])), 12)
        0.5
    """
    known = _degenerate(true, redistributed)
    if known is not None:
        return known
    return pearson(stats.rankdata(true), stats.rankdata(redistributed))


def returns_to_go(rewards: Floats) -> Floats:
    """Return the sum of each step's reward and all later ones of its episode, `[T]`.

    Example:
        >>> returns_to_go(np.array([1.0, 0.0, 2.0])).tolist()
        [3.0, 2.0, 2.0]
    """
    sums: Floats = np.cumsum(rewards[::-1])[::-1]
    return sums


def return_to_go_correlation(true: Sequence[Floats], redistributed: Sequence[Floats]) -> float:
    """Return the mean over episodes of Pearson's correlation of returns-to-go within the episode.

    Episodes whose true returns-to-go are constant have nothing to say; nan if all are so. Where true rewards hardly
    change within an episode, returns-to-go fall in a straight line, and any equal shares score nearly 1.

    Args:
        true: Of each episode `[T]`.
        redistributed: The same.
    """
    pairs = zip(true, redistributed, strict=True)
    found = [pearson(returns_to_go(first), returns_to_go(second)) for first, second in pairs]
    told = [value for value in found if not np.isnan(value)]
    return float(np.mean(told)) if told else float("nan")


def bag_residual(sums: Floats, labels: Floats, labeled: npt.NDArray[np.bool_]) -> float:
    """Return the mean over labeled bags of abs(sum of redistributed rewards - label), `[bags]` each; nan without any.

    Example:
        >>> bag_residual(np.array([1.0, 9.0]), np.array([3.0, 0.0]), np.array([True, False]))
        2.0
    """
    return float(np.abs(sums - labels)[labeled].mean()) if labeled.any() else float("nan")


def is_constant(values: Floats) -> bool:
    """Return whether values are all alike, up to 1e-6 of the largest."""
    return not len(values) or bool(np.ptp(values) <= CONSTANT * np.abs(values).max())


def _centered(values: Floats) -> Floats:
    scaled = values / np.abs(values).max()
    return np.asarray(scaled - scaled.mean())


def _degenerate(true: Floats, redistributed: Floats) -> float | None:
    _alike(true, redistributed)
    if is_constant(true):
        return float("nan")
    return 0.0 if is_constant(redistributed) else None


def _alike(true: Floats, redistributed: Floats) -> None:
    if true.ndim != 1 or true.shape != redistributed.shape or not len(true):
        raise ValueError(
            f"true and redistributed must both be [N] with N of at least 1, got {true.shape} and {redistributed.shape}."
        )
    for name, values in (("true", true), ("redistributed", redistributed)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} rewards must be finite, got NaN or infinity.")
