"""What is run, as JSON beside it: written once, compared with ever after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bagged_envs.whole_file import write_whole

FILE = "run.json"
NO_NUMBERS = {word: float(word) for word in ("NaN", "Infinity", "-Infinity")}  # as `as_json` writes them


def as_json(value: Any) -> Any:
    """Return a value as it comes back from JSON, which has no nan or infinity: they become "NaN", "Infinity"."""
    return json.loads(json.dumps(value), parse_constant=str)


def as_settings(value: Any) -> Any:
    """Return what TOML, or JSON as `as_json` has it, gives with tuples for lists, as settings have them.

    Example:
        >>> as_settings({"hidden": [64, 64], "range": [0.5, "Infinity"]})
        {'hidden': (64, 64), 'range': (0.5, inf)}
    """
    if isinstance(value, dict):
        return {key: as_settings(one) for key, one in value.items()}
    return tuple(map(as_settings, value)) if isinstance(value, list) else NO_NUMBERS.get(value, value)


def read(folder: Path) -> dict[str, Any]:
    """Return the description in a folder.

    Raises:
        ValueError: It is no JSON object.
    """
    file = folder / FILE
    try:
        described = json.loads(file.read_text(), parse_constant=str)
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} must be JSON, got something else ({error}).") from error
    if not isinstance(described, dict):
        raise ValueError(f"{file} must be a JSON object, got {described!r}.")
    return described


def difference(described: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """Return the first part that two descriptions do not agree on, None where they are the same."""
    return next((name for name in {**described, **found} if described.get(name) != found.get(name)), None)


def claim(folder: Path, described: Mapping[str, Any], begun: bool) -> None:
    """Write a description into a folder, or check that it is the one that is there.

    Args:
        folder: Of a run.
        described: What is run, as JSON has it.
        begun: Whether the folder has something to go on from; otherwise what it describes does not matter.

    Raises:
        ValueError: The folder has another run, or its description is damaged.
    """
    if not begun or not (folder / FILE).exists():
        write_whole(folder / FILE, json.dumps(described, indent=2, allow_nan=False) + "\n")
        return
    try:
        found = read(folder)
    except ValueError as error:
        raise ValueError(f"{error} Remove {folder}.") from error
    if name := difference(described, found):
        raise ValueError(
            f"{folder} has a run with {name}={found.get(name)}, this one has {described.get(name)}: choose another "
            "folder with out, or remove that one."
        )
