"""The table of a benchmark, made anew each time from the folders of its runs: there is no file that all write to."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from bagged_envs.baselines.benchmark.job import EVALUATED, Job
from bagged_envs.baselines.benchmark.result_file import read_failure, read_result
from bagged_envs.baselines.judging.judge import SCORES
from bagged_envs.baselines.lease import owner
from bagged_envs.whole_file import write_whole

State = Literal["done", "running", "failed", "waiting"]
RUNS, EVALUATIONS, REDISTRIBUTION = "runs.csv", "evaluations.csv", "redistribution.csv"
KEYS = ("protocol", "key", "method", "id", "arguments", "task", "seed", "steps", "device", "threads")
ORDER = ("method", "id", "arguments", "seed", "steps", "key")
ORIGIN = ("source", "trials", "revision", "versions")
COLUMNS = (*KEYS, "final", "normalized", *ORIGIN)
JUDGED_COLUMNS = (*KEYS, *SCORES, "refused", *ORIGIN)
JUDGED = "redistribution"  # the kind of runs in which a redistributor is judged
NEEDED: Mapping[str, tuple[str, ...]] = {
    "arm": ("name", "source", "trials"),
    "job": (
        "method", "redistributor", "learner", "training", "id", "arguments", "seed", "steps", "device", "threads",
        "protocol", "versions",
    ),
    "": ("key", "kind", "task", "revision"),
}  # fmt: skip
TRAINED_NEEDED, JUDGED_NEEDED = ("rows", "final", "normalized"), ("scores", "refused")

Result = Mapping[str, Any]


def state(job: Job, out: Path) -> State:
    """Return how a run stands."""
    folder = job.folder(out)
    if read_result(folder) is not None:
        return "done"
    if owner(folder) is not None:
        return "running"
    return "failed" if read_failure(folder) is not None else "waiting"


def results(out: Path) -> list[dict[str, Any]]:
    """Return what every whole run of training in a folder came to, each once, by method, environment and seed.

    A copy of a run's folder under another name does not count, nor does what `lacks` something.
    """
    return [one for one in read_results(out)[0] if one["kind"] != JUDGED]


def redistributions(out: Path) -> list[dict[str, Any]]:
    """Return the same of the runs in which a redistributor was judged."""
    return [one for one in read_results(out)[0] if one["kind"] == JUDGED]


def read_results(out: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return all whole results in a folder, each once, in order, and what must be said of those that are left out."""
    found: dict[str, dict[str, Any]] = {}
    notes = []
    for path in sorted(path for path in out.iterdir() if path.is_dir()):
        result = read_result(path)
        if result is None:
            continue
        if lacking := lacks(result):
            notes.append(f"Left out: {path.name}, whose result has no {', no '.join(lacking)}.")
        elif path.name.endswith(f"-{result['key']}"):
            found[result["key"]] = result
    return sorted(found.values(), key=lambda one: [_keys(one)[name] for name in ORDER]), notes


def lacks(result: Result) -> list[str]:
    """Return what a result has not, though tables and reports need it."""
    groups = {"": result, **{name: result.get(name) for name in NEEDED if name}}
    lacking = [
        f"{group}.{name}".lstrip(".")
        for group, names in NEEDED.items()
        for name in names
        if not isinstance(own := groups[group], Mapping) or name not in own
    ]
    needed = JUDGED_NEEDED if result.get("kind") == JUDGED else TRAINED_NEEDED
    return [*lacking, *(name for name in needed if name not in result)]


def write_tables(out: Path) -> None:
    """Write `runs.csv`, a row per run of training, and `evaluations.csv`, a row per evaluation of each.

    Where redistributors were judged there is `redistribution.csv`, too, a row for each such run. All three depend on
    nothing but the results: not on how often runs were stopped, by whom, or how long they took.

    Raises:
        OSError: One of them could not be written.
    """
    found, judged = results(out), redistributions(out)
    write_whole(out / RUNS, _lines(COLUMNS, (run_row(one).values() for one in found)))
    evaluations = (
        [*_keys(one).values(), *(_cell(row[name]) for name in EVALUATED)] for one in found for row in one["rows"]
    )
    write_whole(out / EVALUATIONS, _lines((*KEYS, *EVALUATED), evaluations))
    if judged:
        write_whole(out / REDISTRIBUTION, _lines(JUDGED_COLUMNS, (judged_row(one).values() for one in judged)))


def run_row(result: Result) -> dict[str, Any]:
    """Return the row of a run in `runs.csv`."""
    told = {"final": result["final"], "normalized": result["normalized"], **_origin(result)}
    return {**_keys(result), **{name: _cell(told[name]) for name in COLUMNS[len(KEYS) :]}}


def judged_row(result: Result) -> dict[str, Any]:
    """Return the row of a run in `redistribution.csv`."""
    told = {**result["scores"], "refused": result["refused"], **_origin(result)}
    return {**_keys(result), **{name: _cell(told[name]) for name in JUDGED_COLUMNS[len(KEYS) :]}}


def _origin(result: Result) -> dict[str, Any]:
    versions = " ".join(f"{name}={version}" for name, version in result["job"]["versions"].items() if version)
    return {**result["arm"], "revision": result["revision"], "versions": versions}


def _keys(result: Result) -> dict[str, Any]:
    job = result["job"]
    return {
        "protocol": job["protocol"],
        "key": result["key"],
        "method": result["arm"]["name"],
        "id": job["id"],
        "arguments": json.dumps(job["arguments"]),
        "task": result["task"],
        "seed": job["seed"],
        "steps": job["steps"],
        "device": job["device"],
        "threads": job["threads"],
    }


def _cell(value: Any) -> Any:
    return "" if value is None else value


def _lines(heading: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([heading, *rows])
    return text.getvalue()
