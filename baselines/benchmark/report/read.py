"""Results of a folder, those left out that lack what a report needs of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bagged_envs.baselines.benchmark.result_file import read_result
from bagged_envs.baselines.benchmark.results import JUDGED, ORDER

JOB = ("id", "arguments", "seed", "steps", "device", "threads", "protocol", "versions")
NEEDED: Mapping[str, tuple[str, ...]] = {
    "arm": ("name", "source", "trials"),
    "job": ("method", "redistributor", "learner", "training", *JOB),
    "": ("key", "kind", "task"),
}
TRAINED = ("rows", "final", "normalized")


def read_results(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return all whole results in a folder, each once, in order, and what must be said of those that are left out.

    A copy of a run's folder under another name does not count.
    """
    found: dict[str, dict[str, Any]] = {}
    notes = []
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        result = read_result(path)
        if result is None:
            continue
        if lacking := lacks(result):
            notes.append(f"Left out: {path.name}, whose result has no {', no '.join(lacking)}.")
        elif path.name.endswith(f"-{result['key']}"):
            found[result["key"]] = result
    return sorted(found.values(), key=_place), notes


def lacks(result: Mapping[str, Any]) -> list[str]:
    """Return what a result has not, though a report needs it."""
    groups = {"": result, **{name: result.get(name) for name in NEEDED if name}}
    lacking = [
        f"{group}.{name}".lstrip(".")
        for group, names in NEEDED.items()
        for name in names
        if not isinstance(own := groups[group], Mapping) or name not in own
    ]
    needed = ("scores",) if result.get("kind") == JUDGED else TRAINED
    return [*lacking, *(name for name in needed if name not in result)]


def _place(result: Mapping[str, Any]) -> list[Any]:
    told = {**result["job"], "method": result["arm"]["name"], "key": result["key"]}
    told["arguments"] = json.dumps(told["arguments"])
    return [told[name] for name in ORDER]
