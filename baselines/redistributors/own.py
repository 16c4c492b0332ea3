"""What a class must be to stand among the redistributors: found out before anything is trained with it."""

from __future__ import annotations

import importlib
import re
from dataclasses import is_dataclass
from types import ModuleType
from typing import Any, get_args, get_type_hints

from bagged_envs.baselines.api import Context, Sampling, Schedule

NAME = re.compile("[a-z][a-z0-9_]*")
METHODS = ("update", "relabel", "state_dict", "load_state_dict")
SIZES = (3, 2)  # of an observation and of an action, to make one


def imported(name: str) -> str:
    """Return a name without the `module:` before it, which is imported first: it registers its redistributors.

    Raises:
        ImportError: There is no such module.
        ValueError: What stands before the colon is no module's name.
    """
    _, colon, plain = name.rpartition(":")
    if colon:
        module_of(name)
    return plain


def module_of(name: str) -> ModuleType:
    """Import the module that stands before the colon of a name, and return it.

    Raises:
        ImportError: There is no such module.
        ValueError: What stands there is no module's name.
    """
    module = name.rpartition(":")[0]
    if not all(part.isidentifier() for part in module.split(".")):
        raise ValueError(f"What stands before the colon must be a module, such as my_module, got {name!r}.")
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # it is there, and misses another one
        raise ModuleNotFoundError(
            f"{name!r} needs its module: there is no module {error.name!r} in the current folder, nor where packages "
            "are installed.",
            name=error.name,
        ) from error


def settings_class(name: str, kind: type[Any]) -> type[Any]:
    """Return the dataclass that annotates `config` in a redistributor's constructor.

    Raises:
        TypeError: There is none.
    """
    try:
        annotation = get_type_hints(kind.__init__).get("config")
    except NameError as error:
        raise TypeError(
            f"The constructor of {name!r} has an annotation that is nowhere to be found ({error}): define it outside "
            "of functions."
        ) from error
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and is_dataclass(candidate):
            return candidate
    raise TypeError(f"The constructor of {name!r} must annotate `config` with a dataclass, got {annotation!r}.")


def checked_name(kind: Any) -> str:
    """Return the name of a class of redistributors that has all of `api.Redistributor`.

    One is made with its default settings, to look at what it says of itself; nothing is trained.

    Raises:
        TypeError: It is no class, or one of its attributes is missing or of a wrong type.
        ValueError: Its name, or its context, is none.
        Exception: Whatever its constructor raises.
    """
    if not isinstance(kind, type):
        raise TypeError(f"kind must be a class with the attributes of api.Redistributor, got {kind!r}.")
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(
            f"{kind.__qualname__}.name must be lower-case letters, digits and underscores, such as 'my_rd', "
            f"got {name!r}."
        )
    for method in METHODS:
        if not callable(getattr(kind, method, None)):
            raise TypeError(f"{kind.__qualname__} must have a method {method}: see api.Redistributor.")
    settings = settings_class(name, kind)
    try:
        config = settings()
    except TypeError as error:
        raise TypeError(f"{settings.__qualname__} must have a default for every setting: {error}.") from error
    _check_facts(kind, kind(*SIZES, config=config, seed=0, device="cpu", agents=1))
    return name


def _check_facts(kind: type[Any], made: Any) -> None:
    """Check the attributes that the training loops read."""
    if getattr(made, "context", None) not in get_args(Context):
        raise ValueError(
            f"context of {kind.__qualname__} must be one of {', '.join(map(repr, get_args(Context)))}, "
            f"got {getattr(made, 'context', None)!r}."
        )
    for attribute, types, words in (
        ("exact", bool, "a bool"),
        ("stored", bool, "a bool"),
        ("only_labeled", bool, "a bool"),
        ("sampling", (Sampling, type(None)), "a Sampling, or None where nothing is learned"),
        ("schedule", Schedule, "a Schedule"),
    ):
        value = getattr(made, attribute, ...)
        if not isinstance(value, types):
            came = "none" if value is ... else repr(value)
            raise TypeError(f"{attribute} of {kind.__qualname__} must be {words}, got {came}.")
