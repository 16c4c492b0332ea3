"""Named criteria that say whether an episode was a success.

A criterion is called once, when the episode ends, with the task's own last observation, its last info, the sum of its
dense rewards and whether it terminated. Named ones carry a numeric threshold, so that `success="distance",
threshold=50.0` can stand in a specification, travel as JSON, and be overridden by `threshold=`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from bagged_envs.wrappers.arguments import known, real_number

Criterion: TypeAlias = Callable[[Any, dict[str, Any], float, bool], bool]
Rule: TypeAlias = Callable[[Any, dict[str, Any], float, bool], float]


def _distance(observation: Any, info: dict[str, Any], dense_return: float, terminated: bool) -> float:
    return float(info["x_position"])


def _height(observation: Any, info: dict[str, Any], dense_return: float, terminated: bool) -> float:
    return float(info["z_distance_from_origin"])


def _dense_return(observation: Any, info: dict[str, Any], dense_return: float, terminated: bool) -> float:
    return dense_return


def _reach_tolerance(observation: Any, info: dict[str, Any], dense_return: float, terminated: bool) -> float:
    return float(np.linalg.norm(_of_size(observation, REACHER)[8:10]))


def _push_tolerance(observation: Any, info: dict[str, Any], dense_return: float, terminated: bool) -> float:
    observation = _of_size(observation, PUSHER)
    return float(np.linalg.norm(observation[17:20] - observation[20:23]))


def _of_size(observation: Any, size: int) -> Any:
    """Refuse another task's observation: what stands in its elements is something else."""
    if np.shape(observation) != (size,):
        raise IndexError(f"the observation has shape {np.shape(observation)}, not ({size},)")
    return observation


# The sizes of Reacher-v5's and Pusher-v5's observations.
REACHER, PUSHER = 10, 23


def _fact(name: str) -> Rule:
    def measure(observation: Any, info: dict[str, Any], dense_return: float, terminated: bool) -> float:
        # A team's criterion gets its agents' infos by name, and the facts of the world are the same in all of them.
        facts = info if name in info else next(iter(info.values()), {})
        return float(facts[name])

    return measure


@dataclass(frozen=True)
class _Named:
    """What a named criterion measures, in which unit, and on which side of the threshold success lies."""

    measure: Rule
    at_least: bool
    meaning: str


NAMED: dict[str, _Named] = {
    "distance": _Named(_distance, True, "final x position of the body (info['x_position'], in m)"),
    "height": _Named(_height, True, "final height above the start (info['z_distance_from_origin'], in m)"),
    "return": _Named(_dense_return, True, "sum of the episode's dense rewards"),
    "reach_tolerance": _Named(_reach_tolerance, False, "final distance of Reacher's fingertip from the target (in m)"),
    "solved": _Named(_fact("solved"), True, "whether the task's own criterion holds at the end (info['solved'])"),
    "covered": _Named(_fact("covered"), True, "final fraction of the landmarks that are covered (info['covered'])"),
    "caught": _Named(_fact("caught"), True, "fraction of the prey that was ever caught (info['caught'])"),
    "area": _Named(_fact("area"), True, "final area of the agents' triangle (info['area'])"),
    "push_tolerance": _Named(_push_tolerance, False, "final distance of Pusher's object from the goal (in m)"),
}
TERMINATED = "terminated"
NAMES = (*NAMED, TERMINATED)


@dataclass(frozen=True)
class Threshold:
    """A named criterion with its threshold: `measure >= threshold`, or `<=` for the tolerances.

    Example:
        >>> far_enough = Threshold("distance", 50.0)
        >>> far_enough(None, {"x_position": 51.2}, 0.0, False)
        True
        >>> print(far_enough)
        final x position of the body (info['x_position'], in m) >= 50.0
    """

    name: str
    threshold: float

    def __post_init__(self) -> None:
        """Check both.

        Raises:
            TypeError: The threshold is no number.
            ValueError: The name is unknown, or the threshold is not finite.
        """
        known("name", self.name, tuple(NAMED))
        if not math.isfinite(real_number("threshold", self.threshold)):
            raise ValueError(f"threshold must be finite, got {self.threshold!r}.")

    def measure(self, observation: Any, info: dict[str, Any], dense_return: float, terminated: bool) -> float:
        """Return the quantity that is compared with the threshold.

        Raises:
            ValueError: The episode's last observation or info does not have that quantity.
        """
        try:
            return NAMED[self.name].measure(observation, info, dense_return, terminated)
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(
                f"success={self.name!r} needs the {NAMED[self.name].meaning}, which this environment does not give "
                f"(observation of shape {np.shape(observation)}, info with {sorted(map(str, info))}). Choose another "
                f"criterion or pass a callable."
            ) from error

    def __call__(self, observation: Any, info: dict[str, Any], dense_return: float, terminated: bool) -> bool:
        """Say whether the episode that ended was a success."""
        value = self.measure(observation, info, dense_return, terminated)
        return value >= self.threshold if NAMED[self.name].at_least else value <= self.threshold

    def __str__(self) -> str:
        """Write the criterion as a sentence's end."""
        return f"{NAMED[self.name].meaning} {'>=' if NAMED[self.name].at_least else '<='} {self.threshold}"


def was_terminated(observation: Any, info: dict[str, Any], dense_return: float, terminated: bool) -> bool:
    """Success is that the task itself ended the episode (not the time limit)."""
    return bool(terminated)


def criterion(success: str | Criterion, threshold: float | None = None) -> Criterion:
    """Return the criterion that `success` names, with its threshold.

    Args:
        success: One of `NAMES`, or a callable `(observation, info, dense_return, terminated) -> bool`, returned as is.
        threshold: The number a named criterion compares with; None for "terminated" and for callables.

    Raises:
        TypeError: `success` is neither a name nor callable.
        ValueError: The name is unknown, or the threshold is missing or has no use.

    Example:
        >>> criterion("return", 800.0)(None, {}, 812.5, False)
        True
    """
    if isinstance(success, str) and success in NAMED:
        if threshold is None:
            raise ValueError(f"success={success!r} needs a threshold, got threshold=None: {NAMED[success].meaning}.")
        return Threshold(success, threshold)
    if success == TERMINATED or (callable(success) and not isinstance(success, str)):
        if threshold is not None:
            raise ValueError(f"success={success!r} compares with nothing, got threshold={threshold!r}: leave it out.")
        return was_terminated if success == TERMINATED else success  # type: ignore[return-value]
    if isinstance(success, str):
        known("success", success, NAMES)
    raise TypeError(f"success must be a name or a callable, got {success!r} of type {type(success).__name__}.")
