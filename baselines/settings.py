"""One check for the settings of all learners, redistributors and runs: types by annotation, ranges by name."""

from __future__ import annotations

import math
import types
from dataclasses import fields
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from bagged_envs.wrappers.arguments import known, positive_int

# What may be zero, one, or negative goes by name, which means the same in every configuration. All other ints are
# counts, of at least 1, and all other floats are at least 0.
MAY_BE_ZERO = {"warm_up", "random_steps", "rate_warm_up", "seed", "history"}
ABOVE_ZERO = {"tau", "clip", "max_grad_norm", "temperature", "return_scale", "label_scale", "expectile"}
AT_MOST_ONE = {"discount", "tau", "gae_lambda", "td_lambda", "epsilon", "final_epsilon", "expectile", "held_out"}
ANY_SIGN = {
    "target_entropy_per_action",
    "initial_log_std",
    "log_std_range",
    "gate_bias",
    "reward_threshold",
    "dynamics_threshold",
}


def check_settings(config: Any, of: type[Any] | None = None) -> None:
    """Check every field of a dataclass of settings, or those of the class `of`, which it inherits.

    Raises:
        TypeError: A value is of another type than its field.
        ValueError: A number is out of its range, or not finite; a word is none of the field's.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Settings:
        ...     discount: float = 0.99
        >>> check_settings(Settings(discount=99.0))
        Traceback (most recent call last):
        ValueError: discount must be at least 0 and at most 1, got 99.0.
    """
    hints = get_type_hints(type(config))
    for name in (field.name for field in fields(config if of is None else of)):
        value, hint = getattr(config, name), hints[name]
        if hint in (int, int | None) and name not in MAY_BE_ZERO and value is not None:
            positive_int(name, value)
        elif get_origin(hint) is Literal:
            known(name, value, get_args(hint))
        elif not _is(value, hint):
            came = f"got {value!r} of type {type(value).__name__}"
            raise TypeError(f"{name} must be {_words(hint)}, {came}{_remedy(name, value, hint)}.")
        for number in value if isinstance(value, tuple) else (value,):
            if not isinstance(number, (bool, str, type(None))):
                _check_range(name, number, int in (hint, *get_args(hint)) and name not in MAY_BE_ZERO)


def _is(value: Any, hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return any(_is(value, option) for option in get_args(hint))
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        if not isinstance(value, tuple):
            return False
        if parts[-1] is Ellipsis:
            return all(_is(element, parts[0]) for element in value)
        return len(value) == len(parts) and all(map(_is, value, parts))
    if hint is float:
        return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return isinstance(value, hint)


def _remedy(name: str, value: Any, hint: Any) -> str:
    """Return what to write where one element was given for several."""
    if _is((value,), hint):
        return f": write {name}=({value!r},), or {name}=[{value!r}] on the command line"
    return ""


def _words(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(map(_words, get_args(hint)))
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        return f"a tuple of {parts[0].__name__}s" if parts[-1] is Ellipsis else f"a tuple of {len(parts)} numbers"
    return {int: "an int", float: "a number", bool: "True or False", str: "a string", type(None): "None"}[hint]


def _check_range(name: str, value: Any, count: bool) -> None:
    low = -math.inf if name in ANY_SIGN else int(count)
    high = 1 if name in AT_MOST_ONE else math.inf
    strict = name in ABOVE_ZERO
    if math.isfinite(value) and low <= value <= high and not (strict and value == 0):
        return
    bounds = [f"{'above' if strict else 'at least'} {low}"] if low > -math.inf else ["finite"]
    bounds += [f"at most {high}"] if high < math.inf else []
    raise ValueError(f"{name} must be {' and '.join(bounds)}, got {value}.")
