"""The table of a benchmark, made anew each time from the folders of its runs: there is no file that all write to."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from bagged_envs.baselines.benchmark.form import read_counted, wrong_form
from bagged_envs.baselines.benchmark.job import Job
from bagged_envs.baselines.benchmark.result_file import EVALUATED, name_of, origin_of, read_failure, read_result
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
Result = Mapping[str, Any]
_Row = TypeVar("_Row", bound=Result)


def state(job: Job, out: Path) -> State:
    """Return how a run stands."""
    folder = job.folder(out)
    if read_counted(folder, job.key) is not None:
        return "done"
    if owner(folder) is not None:
        return "running"
    return "failed" if read_failure(folder) is not None else "waiting"


def read_results(out: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return all whole results in a folder, in order, and what must be said of those that are left out.

    A folder that is not called as its run is, such as a copy, counts nowhere: nothing is there twice.
    """
    found, notes = [], []
    for path in sorted(path for path in out.iterdir() if path.is_dir()):
        result = read_result(path)
        if result is None:
            continue
        if wrong := wrong_form(result):
            more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            notes.append(f"Left out: {path.name}, in whose result {wrong[0]}{more}.")
        elif path.name != (name := name_of(result["job"], result["key"])):
            notes.append(f"Left out: {path.name}, which must be called {name} to count.")
        else:
            found.append(result)
    return sorted(found, key=lambda one: [_keys(one)[name] for name in ORDER]), notes


def trained(found: Iterable[_Row]) -> list[_Row]:
    """Return those of some results that are of training."""
    return [one for one in found if one["kind"] != JUDGED]


def judged(found: Iterable[_Row]) -> list[_Row]:
    """Return those of some results that are of redistributors that were judged."""
    return [one for one in found if one["kind"] == JUDGED]


def write_tables(out: Path, found: Sequence[Result]) -> None:
    """Write `runs.csv`, a row per run of training, and `evaluations.csv`, a row per evaluation of each.

    Where redistributors were judged there is `redistribution.csv`, too, a row for each such run. All three depend on
    nothing but the results: not on how often runs were stopped, by whom, or how long they took.

    Args:
        out: The folder.
        found: All results in it.

    Raises:
        OSError: One of them could not be written.
    """
    write_whole(out / RUNS, _lines(COLUMNS, (run_row(one).values() for one in trained(found))))
    evaluations = (
        [*_keys(one).values(), *(_cell(row[name]) for name in EVALUATED)]
        for one in trained(found)
        for row in one["rows"]
    )
    write_whole(out / EVALUATIONS, _lines((*KEYS, *EVALUATED), evaluations))
    if rows := [judged_row(one).values() for one in judged(found)]:
        write_whole(out / REDISTRIBUTION, _lines(JUDGED_COLUMNS, rows))


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
    arm = {name: result["arm"][name] for name in ("source", "trials")}
    return {**arm, "revision": origin_of(result)["revision"], "versions": versions}


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
