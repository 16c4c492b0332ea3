"""What a result must have, and of which type, before anything else is asked of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from bagged_envs.baselines.benchmark.result_file import EVALUATED, FORMAT, key_of, read_result
from bagged_envs.baselines.judging.judge import SCORES

Kinds = Mapping[str, tuple[type, ...]]
KEYS: Kinds = {
    "format": (int,), "key": (str,), "arm": (dict,), "job": (dict,), "task": (str,), "environment": (dict,),
    "parts": (list,),
}  # fmt: skip
TRAINED: Kinds = {
    "rows": (list,), "final": (float,), "normalized": (float, type(None)), "seconds": (float, int),
}  # fmt: skip
JUDGED: Kinds = {"scores": (dict,), "refused": (str,), "seconds_per_update": (float, type(None))}
KINDS: Mapping[str, Kinds] = {"training": TRAINED, "agent": TRAINED, "redistribution": JUDGED, "offline": TRAINED}
JOB: Kinds = {
    "method": (str,), "redistributor": (dict,), "learner": (dict,), "training": (dict,), "id": (str,),
    "arguments": (dict,), "seed": (int,), "steps": (int,), "device": (str,), "threads": (int,), "protocol": (str,),
    "versions": (dict,),
}  # fmt: skip
ARM: Kinds = {"name": (str,), "source": (str,), "trials": (int,)}
NUMBER = (int, float)
SCORE = (float, type(None))
ROW: Kinds = {name: (*NUMBER, type(None)) for name in EVALUATED} | {"step": (int,), "return": (float,)}
PART: Kinds = {"revision": (str, type(None)), "machine": (dict,)}
HASH = "sha256"


def read_counted(folder: Path, key: str) -> dict[str, Any] | None:
    """Return the result in the folder of a run that counts: whole, of the form that this version writes, and its own.

    Args:
        folder: Of the run.
        key: Of the run.
    """
    result = read_result(folder)
    if result is None or wrong_form(result):
        return None
    return result if result["key"] == key == key_of(result["job"]) else None


def wrong_form(result: Mapping[str, Any]) -> list[str]:
    """Return what of a result is missing, too much, or of another type, in words; nothing where all is right."""
    return list(_of_form(result))


def _of_form(result: Mapping[str, Any]) -> Iterator[str]:
    kind = result.get("kind")
    of_kind = KINDS.get(kind, {}) if isinstance(kind, str) else {}
    yield from _of_kinds("", result, {**KEYS, **of_kind}, more={*result} if not of_kind else {"kind", HASH})
    if not of_kind:
        yield f"kind must be one of {', '.join(KINDS)}, got {'nothing' if kind is None else repr(kind)}"
    if kind == "redistribution" and isinstance(scores := result.get("scores"), Mapping):
        yield from _of_kinds("scores.", scores, dict.fromkeys([*SCORES, *scores], SCORE))
    job = result.get("job")
    yield from _of_kinds("job.", job, JOB)
    if isinstance(job, Mapping):
        yield from _of_words("job.versions", job.get("versions"))
    yield from _of_kinds("arm.", result.get("arm"), ARM)
    yield from _of_list("parts", result.get("parts"), PART)
    for place, part in enumerate(result["parts"] if isinstance(result.get("parts"), list) else []):
        yield from _of_words(f"parts[{place}].machine", part.get("machine") if isinstance(part, Mapping) else None)
    if result.get("parts") == []:
        yield "parts must say where the run was made, got none"
    rows = result.get("rows")
    if rows == [] and kind != "redistribution":
        yield "rows must have an evaluation, got none"
    yield from _of_list("rows", rows, ROW)
    if result.get("format") != FORMAT:
        yield f"format must be {FORMAT}, got {result.get('format')!r}"
    try:
        json.dumps(result, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        yield f"all text must be Unicode that UTF-8 can say, got {error.object[error.start : error.end]!a}"


def _of_list(name: str, told: object, kinds: Kinds) -> Iterator[str]:
    for place, one in enumerate(told if isinstance(told, list) else []):
        if isinstance(one, Mapping):
            yield from _of_kinds(f"{name}[{place}].", one, kinds)
        else:
            yield f"{name}[{place}] must be a table, got {one!r}"


def _of_words(name: str, told: object) -> Iterator[str]:
    """Yield what of a table is no text: versions and machines are nothing else."""
    for key, value in told.items() if isinstance(told, Mapping) else ():
        if not isinstance(value, (str, type(None))):
            yield f"{name}.{key} must be of type str or null, got {value!r}"


def _of_kinds(prefix: str, told: object, kinds: Kinds, more: Set[str] = frozenset()) -> Iterator[str]:
    """Yield what of a table is missing, of another type, or neither of these kinds nor one of some more names."""
    if not isinstance(told, Mapping):
        return  # which was said already
    for name, kind in kinds.items():
        value = told.get(name, ...)
        if not isinstance(value, kind) or isinstance(value, bool):
            words = " or ".join("null" if one is type(None) else one.__name__ for one in kind)
            yield f"{prefix}{name} must be of type {words}, got {'nothing' if value is ... else repr(value)}"
    for name in sorted(set(told) - set(kinds) - more):
        yield f"{prefix}{name} must not be there: known are {', '.join(kinds)}"
