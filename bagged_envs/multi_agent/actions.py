"""Whether actions are in their spaces; in a Box, numbers of another dtype become its own, as in Gymnasium's tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Dict, Space, Tuple


def in_space(name: str, action: Any, space: Space[Any]) -> Any:
    """Return an action as its space has it: what stands for a Box as an array of the Box's dtype.

    A Box takes lists, and every dtype that casts to its own without another kind of number (float64 to float32, ints to
    floats). Its bounds are compared after the cast: a float64 0.1 is in a float32 Box that begins at 0.1.

    Args:
        name: What the action is called in errors.
        action: The action; entries of a Dict and a Tuple are treated alike.
        space: Where it must be.

    Raises:
        ValueError: It is not there; for a Box the message says whether shape, dtype or bounds are to blame.
    """
    if isinstance(space, Box):
        return _in_box(name, action, space)
    if isinstance(space, Dict) and isinstance(action, Mapping) and set(action) == set(space.spaces):
        return {key: in_space(f"{name}[{key!r}]", action[key], one) for key, one in space.spaces.items()}
    if isinstance(space, Tuple) and isinstance(action, (tuple, list)) and len(action) == len(space.spaces):
        pairs = enumerate(zip(action, space.spaces, strict=True))
        return tuple(in_space(f"{name}[{place}]", entry, one) for place, (entry, one) in pairs)
    if not space.contains(action):
        raise ValueError(f"{name} must be in {space}, got {action!r}.")
    return action


def _in_box(name: str, action: Any, box: Box) -> npt.NDArray[Any]:
    try:
        array = np.asarray(action)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} must be in {box}, got {action!r}, which is no array: {error}.") from error
    with np.errstate(over="ignore"):  # what overflows is out of bounds, and said to be
        cast = array.astype(box.dtype, copy=False) if _casts(array, box) else None
    if array.shape != box.shape:
        wrong = f"of shape {array.shape} instead of {box.shape}"
    elif cast is None:
        wrong = f"of dtype {array.dtype}, which does not cast to {box.dtype}"
    elif not _within(array, cast, box):
        wrong = f"with values from {array.min()} to {array.max()}, out of bounds"
    else:
        return cast
    raise ValueError(f"{name} must be in {box}, got {action!r} {wrong}.")


def _casts(array: npt.NDArray[Any], box: Box) -> bool:
    """Whether the kinds of numbers agree; which integers fit is a matter of bounds."""
    kinds = array.dtype.kind, np.dtype(box.dtype).kind
    return np.can_cast(array.dtype, box.dtype, "same_kind") or (kinds[0] in "iu" and kinds[1] in "iu")


def _within(array: npt.NDArray[Any], cast: npt.NDArray[Any], box: Box) -> bool:
    wrapped = cast.dtype.kind in "iu" and not np.array_equal(cast, array)
    return not wrapped and bool(np.all(cast >= box.low) and np.all(cast <= box.high))
