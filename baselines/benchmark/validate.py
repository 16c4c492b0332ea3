"""Do results keep the protocol they name? And does a run come out again as it is told?

Results are anybody's: but for `reproduce`, nothing that they name is imported.
"""

from __future__ import annotations

import itertools
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym

from bagged_envs.baselines.benchmark.arms import arm_of
from bagged_envs.baselines.benchmark.form import wrong_form
from bagged_envs.baselines.benchmark.job import Job
from bagged_envs.baselines.benchmark.protocol import Protocol
from bagged_envs.baselines.benchmark.result_file import RESULT, key_of, name_of, origin_of, read_result
from bagged_envs.baselines.judging.judge import SCORES
from bagged_envs.baselines.methods import TEAM_LEARNERS
from bagged_envs.baselines.runs import PACKAGES
from bagged_envs.registration import spec_of, task_arguments, task_of
from bagged_envs.tasks import TASKS

DEVICES = ("cpu", "cuda")
# The most of what cannot be below 0 in an evaluation.
MOST = dict.fromkeys(("episodes", "return_std", "length", "learner_updates"), math.inf) | {"success_rate": 1}


def problems(folder: Path, protocol: Protocol) -> list[str]:
    """Return what is wrong with a run's result, in words; nothing where it keeps the protocol.

    Args:
        folder: Of the run.
        protocol: What it should keep.
    """
    if not (folder / RESULT).exists():
        return [f"it has no {RESULT}: it is not whole"]
    result = read_result(folder)
    if result is None:
        return [f"{RESULT} is damaged: its hash is not that of its content"]
    if wrong := wrong_form(result):
        return wrong
    of_kind = _of_scores if result["kind"] == "redistribution" else _of_rows
    return [
        *_of_job(result, protocol),
        *_of_arm(result),
        *_of_task(result),
        *_of_origin(result),
        *of_kind(result, protocol),
    ]


def misplaced(folder: Path) -> list[str]:
    """Return that a run's folder is not called as it must be to count, in words; nothing where it is.

    A copy of a run under another name counts nowhere.
    """
    result = read_result(folder)
    if result is None or wrong_form(result) or folder.name == name_of(result["job"], result["key"]):
        return []
    return [f"its folder must be called {name_of(result['job'], result['key'])}, or it is not counted"]


def _of_job(result: Mapping[str, Any], protocol: Protocol) -> Iterator[str]:
    job = result["job"]
    if result["key"] != key_of(job):
        yield f"key must be {key_of(job)}, the hash of job, got {result['key']}"
    if job["protocol"] != protocol.hash:
        yield f"protocol must be {protocol.hash}, version {protocol.version}, got {job['protocol']}"
    if job["seed"] not in (*protocol.test, *protocol.tuning):
        yield f"seed must be one of the protocol's, got {job['seed']}"
    for name in ("steps", "threads"):
        if job[name] < 1:
            yield f"job.{name} must be at least 1, got {job[name]}"
    if job["device"].partition(":")[0] not in DEVICES:
        yield f"job.device must be one of {', '.join(DEVICES)}, got {job['device']!r}"


def _of_arm(result: Mapping[str, Any]) -> Iterator[str]:
    arm = result["arm"]
    if arm["trials"] < 0:
        yield f"arm.trials must be at least 0, got {arm['trials']}"
    if not arm["source"].strip():
        yield f"arm must say where its settings come from, got {arm}"
    try:
        kind = arm_of({**result, "arm": {**arm, "source": "told above", "trials": 0}}).kind
    except (OSError, TypeError, ValueError) as error:
        yield f"job must be of a method and with settings that there are: {error}"
        return
    if result["kind"] != kind:
        yield f"kind must be {kind!r} for method {result['job']['method']!r}, got {result['kind']!r}"


def _of_origin(result: Mapping[str, Any]) -> Iterator[str]:
    versions, id = result["job"]["versions"], result["job"]["id"].rpartition(":")[2]
    for name in PACKAGES:
        if not isinstance(versions.get(name), str):
            yield f"job.versions must have that of {name}, got {versions.get(name)!r}"
    for place, part in enumerate(result["parts"]):
        for name in ("processor", "system"):
            if not isinstance(part["machine"].get(name), str):
                yield f"parts[{place}].machine must have {name}, got {part['machine']}"
    if result["environment"].get("id") != id:
        yield f"environment must be the specification of {id}, got that of {result['environment'].get('id')!r}"


def _of_scores(result: Mapping[str, Any], protocol: Protocol) -> Iterator[str]:
    scores = result["scores"]
    if not result["refused"] and scores["absolute_error"] is None:
        yield "scores must have absolute_error where the method did not refuse, got null"
    for score, value in scores.items():
        if value is not None and not math.isfinite(value):
            yield f"scores.{score} must be finite, got {value}"


def _of_rows(result: Mapping[str, Any], protocol: Protocol) -> Iterator[str]:
    whole, steps = result["job"]["steps"], [row["step"] for row in result["rows"]]
    if not _at_marks(steps, protocol.every, whole, _plays_in_teams(result["job"]["method"])):
        yield f"evaluations must be at every {protocol.every} steps up to {whole}, got {steps}"
        return
    returns = [row["return"] for row in result["rows"]]
    if not all(map(math.isfinite, returns)):
        yield "returns must be finite numbers"
        return
    for place, row in enumerate(result["rows"]):
        yield from (f"rows[{place}].{told}" for told in _of_row(row))
    if result["seconds"] < 0:
        yield f"seconds must be at least 0, got {result['seconds']}"
    if result["final"] != protocol.final(returns):
        yield f"final must be {protocol.final(returns)}, from the last evaluations, got {result['final']}"
    yield from _of_scale(result, protocol)


def _at_marks(steps: list[int], every: int, whole: int, teams: bool) -> bool:
    """Return whether evaluations were made when they were due.

    Teams learn in iterations of many steps, and are evaluated after each that reaches or passes a multiple of `every`.
    """
    marks = [step // every for step in steps]
    if teams:
        return marks[0] >= 1 and all(a < b for a, b in itertools.pairwise(marks)) and marks[-1] >= whole // every
    return len(steps) == whole // every and steps == [every * place for place in range(1, len(steps) + 1)]


def _plays_in_teams(method: str) -> bool:
    return method.rpartition(":")[2].partition("-")[2] in TEAM_LEARNERS


def _of_row(row: Mapping[str, Any]) -> Iterator[str]:
    for name, most in MOST.items():
        if row[name] is not None and not 0 <= row[name] <= most:
            yield f"{name} must be {f'between 0 and {most}' if most < math.inf else 'at least 0'}, got {row[name]}"


def _of_scale(result: Mapping[str, Any], protocol: Protocol) -> Iterator[str]:
    task = result["task"]
    known = task in protocol.references and not task_arguments(result["job"]["arguments"])
    normalized = protocol.normalized(task, result["final"]) if known else None
    if result["normalized"] != normalized:
        yield f"normalized must be {normalized}, got {result['normalized']}"


def _of_task(result: Mapping[str, Any]) -> Iterator[str]:
    id = result["job"]["id"]
    if ":" in id:  # somebody's own: nothing is imported for it, because whoever contributes rows would have us run it
        if result["task"] in TASKS:
            yield f"task must be none of ours, {result['task']}, where job.id is {id}"
        return
    try:
        spec = spec_of(id)
        task = task_of(spec).name
    except gym.error.Error as error:
        yield f"job.id must be a registered ID: {error}"
        return
    if spec.id != id:
        yield f"job.id must be {spec.id}, with its version, got {id}"
    if result["task"] != task:
        yield f"task must be {task}, got {result['task']}"


@dataclass(frozen=True)
class Reproduction:
    """How a run came out again.

    Attributes:
        same: Whether every row, or every score, is equal to the bit.
        furthest: The largest difference of a return, or of a score, over those that both have.
        differs: What of versions, commit and machine is not as it was: name, then, now.
    """

    same: bool
    furthest: float
    differs: tuple[tuple[str, str, str], ...]


def reproduce(
    folder: Path, protocol: Protocol, report: Callable[[int, Mapping[str, Any] | None], None] = lambda step, row: None
) -> Reproduction:
    """Make a run again, in a folder that is thrown away, and compare; modules that the run names are imported for it.

    Args:
        folder: Of a whole run.
        protocol: The one it was made under.
        report: As for `runs.train`.

    Raises:
        ValueError: The run is not whole, is damaged, or does not keep the protocol.
    """
    wrong = problems(folder, protocol)
    if wrong:
        raise ValueError(f"{folder} must have a result that keeps the protocol: {'; '.join(wrong)}.")
    told = json.loads((folder / RESULT).read_text())
    own = {name: told["job"][name] for name in ("id", "arguments", "seed", "steps", "device", "threads")}
    job = Job(arm_of(told), protocol=protocol, **own)
    with tempfile.TemporaryDirectory() as place:
        again = job.work(Path(place), report=report)
    then, now = ({**one["job"]["versions"], **origin_of(one)} for one in (told, again))
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    differs = tuple((name, then.get(name) or "none", now.get(name) or "none") for name in names)
    return Reproduction(*_compared(told, again), differs)


def _compared(told: Mapping[str, Any], again: Mapping[str, Any]) -> tuple[bool, float]:
    """Return whether two results are the same, and their largest difference."""
    if told["kind"] == "redistribution":
        pairs = [(told["scores"][name], again["scores"][name]) for name in SCORES]
        same = told["scores"] == again["scores"] and told["refused"] == again["refused"]
    else:
        pairs = [(a["return"], b["return"]) for a, b in zip(told["rows"], again["rows"], strict=True)]
        same = told["rows"] == again["rows"]
    return same, max((abs(a - b) for a, b in pairs if a is not None and b is not None), default=0.0)
