"""What a result must have, and of which type, before anything else is asked of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bagged_envs.baselines.benchmark.result_file import EVALUATED, FORMAT, read_result
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
SCORE: Kinds = {name: (float, type(None)) for name in SCORES}
ROW: Kinds = {name: (*NUMBER, type(None)) for name in EVALUATED} | {"step": (int,), "return": (float,)}


PART: Kinds = {"revision": (str, type(None)), "machine": (dict,)}


def read_counted(folder: Path) -> dict[str, Any] | None:
    """Return the result in a folder that counts: whole, and of the form that this version writes."""
    result = read_result(folder)
    return None if result is None or wrong_form(result) else result


def wrong_form(result: Mapping[str, Any]) -> list[str]:
    """Return what of a result is missing or of another type, in words; nothing where all is there."""
    return list(_of_form(result))


def _of_form(result: Mapping[str, Any]) -> Iterator[str]:
    yield from _of_kinds("", result, KEYS)
    kind = result.get("kind")
    if kind not in KINDS:
        yield f"kind must be one of {', '.join(KINDS)}, got {'nothing' if kind is None else repr(kind)}"
    yield from _of_kinds("", result, KINDS.get(str(kind), {}))
    if kind == "redistribution":
        yield from _of_kinds("scores.", result.get("scores"), SCORE)
    yield from _of_kinds("job.", result.get("job"), JOB)
    yield from _of_kinds("arm.", result.get("arm"), ARM)
    yield from _of_list("parts", result.get("parts"), PART)
    if result.get("parts") == []:
        yield "parts must say where the run was made, got none"
    rows = result.get("rows")
    if rows == [] and kind != "redistribution":
        yield "rows must have an evaluation, got none"
    yield from _of_list("rows", rows, ROW)
    if result.get("format") != FORMAT:
        yield f"format must be {FORMAT}, got {result.get('format')!r}"


def _of_list(name: str, told: object, kinds: Kinds) -> Iterator[str]:
    for place, one in enumerate(told if isinstance(told, list) else []):
        if isinstance(one, Mapping):
            yield from _of_kinds(f"{name}[{place}].", one, kinds)
        else:
            yield f"{name}[{place}] must be a table, got {one!r}"


def _of_kinds(prefix: str, told: object, kinds: Kinds) -> Iterator[str]:
    if not isinstance(told, Mapping):
        return  # which was said already
    for name, kind in kinds.items():
        value = told.get(name, ...)
        if not isinstance(value, kind) or isinstance(value, bool):
            words = " or ".join("null" if one is type(None) else one.__name__ for one in kind)
            yield f"{prefix}{name} must be of type {words}, got {'nothing' if value is ... else repr(value)}"
