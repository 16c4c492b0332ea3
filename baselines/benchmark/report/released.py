"""Results that come with the package, to be put beside one's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bagged_envs.baselines.benchmark.form import wrong_form
from bagged_envs.baselines.benchmark.report.rows import RELEASED
from bagged_envs.baselines.benchmark.result_file import digest

FOLDER = Path(__file__).parent.parent / "released"


def released(protocol: str, folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Return the released results of a protocol, each marked with the name of its file.

    They stand in `<hash of the protocol>/*.json`, lists of what `result.json` holds.

    Args:
        protocol: Its hash.
        folder: Where they stand.

    Raises:
        ValueError: There are none for this protocol, or one of the files was changed or is something else.
    """
    files = sorted((folder / protocol).glob("*.json"))
    if not files:
        others = sorted(path.name for path in folder.glob("*") if any(path.glob("*.json")))
        there = f"there are some for {', '.join(others)}" if others else "none are released yet"
        raise ValueError(f"with must be left out for protocol {protocol}: it has no released results, {there}.")
    return [{**result, RELEASED: file.stem} for file in files for result in _read(file, protocol)]


def _read(file: Path, protocol: str) -> list[Mapping[str, Any]]:
    results = json.loads(file.read_text())
    if not isinstance(results, list):
        raise ValueError(f"{file} must be a JSON list of results, got {type(results).__name__}.")
    for place, result in enumerate(results):
        content = {name: value for name, value in result.items() if name != "sha256"}
        if result.get("sha256") != digest(content):
            raise ValueError(f"{file} must have whole results, got one at {place} whose hash is not its content's.")
        if wrong := wrong_form(content):
            raise ValueError(f"{file} must have results as they are written now, got one at {place}: {wrong[0]}.")
        if result["job"]["protocol"] != protocol:
            raise ValueError(f"{file} must have results of protocol {protocol}, got {result['job']['protocol']}.")
    return results
