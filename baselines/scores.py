"""Scores between a random policy's 0 and an expert's 100, as D4RL has them."""

from __future__ import annotations

from bagged_envs.registration import spec_of, task_of
from bagged_envs.wrappers.arguments import known

# The returns of a random policy and of an expert, by task: infos.py of Farama-Foundation/D4RL.
RANGES: dict[str, tuple[float, float]] = {
    "Ant": (-325.6, 3879.7),
    "HalfCheetah": (-280.178953, 12135.0),
    "Hopper": (-20.272305, 3234.3),
    "Walker2d": (1.629008, 4592.3),
}


def normalized_score(id: str, dense_return: float, reference: tuple[float, float] | None = None) -> float:
    """Return 100 (G - random) / (expert - random), where G is a mean undiscounted dense return.

    The two returns were measured in 2020 with MuJoCo's tasks of that time. Gymnasium's v5, which ours are made of, has
    other rewards and endings here and there: on these the score is a convention, which sets tasks side by side, and is
    not to be read as a part of what an expert reaches. Compare it with scores on v5 only.

    Args:
        id: A registered ID, with a delay or without.
        dense_return: G.
        reference: The returns that are the scores 0 and 100; None for D4RL's, of the tasks in `RANGES`.

    Raises:
        ValueError: There is no reference, and D4RL has no such task.
        gymnasium.error.Error: The ID is not registered.

    Example:
        >>> round(normalized_score("PartiallyLabeledHopper-v0", 3234.3), 6)
        100.0
    """
    low, high = range_of(id) if reference is None else reference
    return 100.0 * (dense_return - low) / (high - low)


def range_of(id: str) -> tuple[float, float]:
    """Return the returns of a random policy and of an expert, as D4RL has them.

    Raises:
        ValueError: D4RL has no such task.
        gymnasium.error.Error: The ID is not registered.
    """
    return RANGES[known("a task with a normalized score", task_of(spec_of(id)).name, list(RANGES))]
