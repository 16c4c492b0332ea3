"""What a run leaves in its folder: a result, whose hash says that it is whole, or why it failed."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bagged_envs.whole_file import write_whole

RESULT, FAILURE = "result.json", "failure.json"


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
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, AttributeError, TypeError):
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
    except (ValueError, KeyError, TypeError):
        return f"{FAILURE} is damaged"


def digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what JSON carries, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
