"""What a run leaves in its folder: a result, whose hash says that it is whole, or why it failed."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bagged_envs.whole_file import write_whole

RESULT, FAILURE, PARTS, LOG = "result.json", "failure.json", "parts.json", "log.txt"
FORMAT = 1
# Of an evaluation, what is the same however often the run was stopped.
EVALUATED = ("step", "episodes", "return", "return_std", "length", "success_rate", "paid", "learner_updates")
Part = Mapping[str, Any]


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run, begun or whole."""
    return any((folder / name).exists() for name in (RESULT, FAILURE, PARTS, LOG))


class Parts:
    """Where the parts of a run were made, which may be stopped on one machine and go on, by newer code, on another.

    Attributes:
        told: For each part that differs from the one before, its `revision` and `machine`.
    """

    def __init__(self, folder: Path, goes_on: bool) -> None:
        """Read what was told until now, or forget it where the run begins anew.

        Raises:
            ValueError: What was told is damaged.
        """
        self._path = folder / PARTS
        self.told: list[Part] = self._read() if goes_on and self._path.exists() else []

    def _read(self) -> list[Part]:
        try:
            told = json.loads(self._path.read_text())
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, list) or not all(map(_is_part, told)):
            raise ValueError(
                f"{self._path} must say where the parts of this run were made, and is damaged: remove the run's folder "
                "to have it made anew."
            )
        return told

    def begin(self, part: Part) -> None:
        """Note that a part begins."""
        if not self.told or self.told[-1] != part:
            self.told.append(part)
            write_whole(self._path, json.dumps(self.told, indent=1) + "\n")


def _is_part(told: object) -> bool:
    return (
        isinstance(told, dict)
        and told.keys() == {"revision", "machine"}
        and isinstance(told["revision"], (str, type(None)))
        and isinstance(told["machine"], dict)
    )


def origin_of(result: Mapping[str, Any]) -> dict[str, str]:
    """Return where a result is from: `revision`, `processor` and `system`, those of several parts joined."""
    parts = [{"revision": part["revision"] or "", **part["machine"]} for part in result["parts"]]
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: " and ".join(dict.fromkeys(str(part.get(name, "")) for part in parts)) for name in names}


def write_result(folder: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    """Write a result with its hash, and return both."""
    content = {name: value for name, value in result.items() if name != "sha256"}
    whole = {**content, "sha256": digest(content)}
    write_whole(folder / RESULT, json.dumps(whole, indent=1) + "\n")
    return whole


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return what the run in a folder came to; None where it is not whole, or its file is damaged."""
    try:
        result = json.loads((folder / RESULT).read_text())
        told = result.pop("sha256")
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
    return {**result, "sha256": told} if told == digest(result) else None


def name_of(job: Mapping[str, Any], key: str) -> str:
    """Return what the folder of a run is called: its method, whatever the arm is called, environment, seed and key."""
    arguments = [f"{name}={value}" for name, value in job["arguments"].items()]
    told = "-".join([job["method"], job["id"], *arguments, str(job["seed"]), key])
    return "".join(sign if sign.isalnum() or sign in "-_=.," else "_" for sign in told)


def write_failure(folder: Path, error: Exception) -> None:
    """Write why a run failed, with the traceback of the exception that is being handled."""
    told = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    write_whole(folder / FAILURE, json.dumps(told, indent=1) + "\n")


def read_failure(folder: Path) -> str | None:
    """Return why the run in a folder failed the last time; None where it did not."""
    try:
        return str(json.loads((folder / FAILURE).read_text())["error"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"{FAILURE} is damaged"


def key_of(job: Mapping[str, Any]) -> str:
    """Return twelve hex digits that are others as soon as anything in a job is."""
    return digest(job)[:12]


def digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what JSON carries, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
