"""The table of variants: named schedules, and what each of them fixes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OPTIONS: dict[str, Any] = {"nonfinite": "raise", "expose_reward": False, "observe_bag": False}


@dataclass(frozen=True)
class Variant:
    """One named schedule.

    Attributes:
        name: The prefix of its IDs.
        summary: When and what it pays, in one line.
        arguments: The schedule's arguments and their defaults, all of them overridable in `gym.make` but the fixed.
        fixed: What the name promises and no argument may change, with the variant to use instead.
        needs_criterion: Whether the task must have a success criterion.
    """

    name: str
    summary: str
    arguments: Mapping[str, Any]
    fixed: Mapping[str, str] = field(default_factory=dict)
    needs_criterion: bool = False


def _labels(fraction: float) -> dict[str, Any]:
    return {"aggregate": "sum", "label_fraction": fraction, "label_unit": "bag", "unlabeled_reward": 0.0}


VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant("Bagged", "one reward per bag of steps: the sum of the bag", {"bag_len": 20, **_labels(1.0)}),
        Variant(
            "Episodic",
            "one reward per episode, at its end: the return",
            {"bag_len": None, **_labels(1.0)},
            {"bag_len": "Bagged"},
        ),
        Variant(
            "PartiallyLabeled",
            "the reward of a random fraction of the steps; the others show 0.0",
            {"bag_len": 1, **_labels(0.01)},
        ),
        Variant(
            "Sparse",
            "1.0 at the end of a successful episode, else nothing",
            {"bag_len": None, **_labels(1.0), "success": None, "threshold": None},
            {"bag_len": "Bagged", "aggregate": "Bagged"},
            needs_criterion=True,
        ),
    )
}
