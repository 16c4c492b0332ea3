"""Checks of arguments: what must hold, what came, what to do."""

from __future__ import annotations

import argparse
import difflib
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MOST_SHOWN = 12


def known(name: str, value: object, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`, else raise a ValueError that lists the nearest of them."""
    if isinstance(value, str) and value in choices:
        return value
    near = difflib.get_close_matches(str(value), choices, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    shown = ", ".join(map(repr, choices[:MOST_SHOWN])) + (", ..." if len(choices) > MOST_SHOWN else "")
    raise ValueError(f"{name} must be one of {shown}, got {value!r}.{hint}")


def positive_int(name: str, value: object) -> int:
    """Return `value` as an int if it is one of at least 1, else raise an error that names it."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int of at least 1, got {value!r} of type {type(value).__name__}.")
    if value < 1:
        raise ValueError(f"{name} must be an int of at least 1, got {value!r}.")
    return int(value)


def counted(text: str) -> int:
    """Return the int of at least 1 that a word of a command line is, as argparse's `type`, whose error says so."""
    try:
        return positive_int("it", int(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an int of at least 1, got {text!r}") from None


def int_between(name: str, value: object, low: int, high: int) -> int:
    """Return `value` as an int if it is one from `low` to `high`, else raise an error that names it."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int from {low} to {high}, got {value!r} of type {type(value).__name__}.")
    if not low <= value <= high:
        raise ValueError(f"{name} must be an int from {low} to {high}, got {value!r}.")
    return int(value)


def a_seed(seed: object, name: str = "seed") -> int:
    """Return a seed as an int: from 0 to what Torch takes on every device, 2**63 - 1.

    Raises:
        TypeError: It is no int.
        ValueError: It is out of range.
    """
    return int_between(name, seed, 0, 2**63 - 1)


def flag(name: str, value: object) -> bool:
    """Return `value` if it is a bool, else raise a TypeError that names it."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r} of type {type(value).__name__}.")
    return bool(value)


def truth(name: str, value: object) -> bool:
    """Return whether `value` is True or not 0, or raise a TypeError that names it if it is no bool and no int."""
    if not isinstance(value, (bool, int, np.bool_, np.integer)):
        raise TypeError(f"{name} must be True or False, got {value!r} of type {type(value).__name__}.")
    return bool(value)


def strings(name: str, value: object) -> tuple[str, ...]:
    """Return `value` as a tuple of strings, or raise a TypeError that names the argument."""
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(word, str) for word in value):
        raise TypeError(f"{name} must be a sequence of strings, got {value!r} of type {type(value).__name__}.")
    return tuple(value)


def string(name: str, value: object) -> str:
    """Return `value` if it is a string, else raise a TypeError that names it."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {value!r} of type {type(value).__name__}.")
    return value


def table(name: str, value: object) -> Mapping[str, Any]:
    """Return a mapping of settings by name, or raise a TypeError naming the argument."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise TypeError(f"{name} must be a table, name = value, got {value!r} of type {type(value).__name__}.")
    return value


def real_number(name: str, value: object) -> float:
    """Return `value` as a float if it is a real number, else raise a TypeError that names it."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, np.floating)):
        raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}.")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"{name} must be a number that a float can hold, got {value!r:.60}.") from error
