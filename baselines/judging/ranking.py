"""How well the error that can be seen without the truth ranks methods as the truth would."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bagged_envs.baselines.judging.scores import spearman

# Whether more of a score is better.
BETTER = {
    "absolute_error": -1.0,
    "pearson": 1.0,
    "spearman": 1.0,
    "return_to_go": 1.0,
    "epic": -1.0,
    "shaping_free": -1.0,
    "regret": -1.0,
}


def agreement(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, int]]:
    """Return, for each score, how held-out bag error ranks methods against it: Spearman's correlation over methods.

    1 means that the method with the lower held-out error is always the better one by that score, 0 that the error says
    nothing of it, -1 that it misleads. Each method counts with its mean over seeds.

    Args:
        rows: Of one ID, as `judge` returns them; those without a held-out bag error, and refusals, do not count.

    Returns:
        The correlation and the number of methods, for each score that at least three methods have; the correlation is
        nan where all methods score alike.

    Example:
        >>> rows = [dict(method=name, bag_error=error, pearson=score) for name, error, score in
        ...     [("a", 1.0, 0.9), ("b", 2.0, 0.5), ("c", 3.0, 0.7)]]
        >>> correlation, methods = agreement(rows)["pearson"]
        >>> round(correlation, 12), methods
        (0.5, 3)
    """
    means = _means(rows)
    found = {}
    for score, sign in BETTER.items():
        pairs = [(one["bag_error"], one[score]) for one in means if score in one and "bag_error" in one]
        if len(pairs) >= 3:
            errors, values = np.array(pairs).T
            found[score] = (spearman(sign * values, -errors), len(pairs))
    return found


def _means(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Return each method's mean of every score that it has in all seeds."""
    methods: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if not row.get("refused"):
            methods.setdefault(row["method"], []).append(row)
    names = ("bag_error", *BETTER)
    return [{name: mean for name in names if not math.isnan(mean := _mean(own, name))} for own in methods.values()]


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return float(np.mean([float(row.get(name, math.nan)) for row in rows]))
