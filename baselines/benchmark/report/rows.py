"""Results as typed rows: which run, of what method, where, and how it went."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from bagged_envs.baselines.benchmark.result_file import digest
from bagged_envs.tasks import TASKS
from bagged_envs.variants import VARIANTS

Result = Mapping[str, Any]
SETTINGS = ("method", "redistributor", "learner", "training")
PLACE = ("id", "arguments", "seed", "steps")  # of a run; all else of a job is how it was run
MOST_TOLD = 3
RELEASED = "released"  # the key that marks rows which came with the package


@dataclass(frozen=True, order=True)
class Cell:
    """What methods are compared on: an environment, and for how long they are trained there.

    Attributes:
        label: The ID and its arguments, those of the schedule written out, and whether they learned offline.
        steps: How long.
        id: The ID.
        arguments: Those of the ID as JSON, as they were spelt.
        task: What it is made of.
        suite: The suite of that, "other" where the table of tasks does not have it.
        variant: When it pays, "other" where the table of variants does not have it.
        offline: Whether methods learn there without playing, so that steps are updates.
    """

    label: str
    steps: int
    id: str = field(compare=False)
    arguments: str = field(compare=False)
    task: str = field(compare=False)
    suite: str = field(compare=False)
    variant: str = field(compare=False)
    offline: bool = field(default=False, compare=False)

    @property
    def length(self) -> Length:
        """How long methods are trained, and in what."""
        return Length(self.steps, self.offline)


class Length(NamedTuple):
    """How long runs are: only those of one length are put together.

    Attributes:
        steps: A number.
        offline: Whether of updates, not of environment steps.

    Example:
        >>> Length(20_000, offline=True).words
        '20,000 updates'
    """

    steps: int
    offline: bool = False

    @property
    def unit(self) -> str:
        """What is counted."""
        return "updates" if self.offline else "environment steps"

    @property
    def words(self) -> str:
        """It in words."""
        return f"{self.steps:,} {'updates' if self.offline else 'steps'}"

    @property
    def name(self) -> str:
        """It as a part of a name."""
        return f"{self.steps}-offline" if self.offline else str(self.steps)


@dataclass(frozen=True)
class Run:
    """One run of a method.

    Attributes:
        method: What the report calls it.
        cell: Where.
        seed: Of everything random.
        final: Its final score, a return.
        normalized: The same on the protocol's scale; None where there is none.
        steps: Of each evaluation.
        returns: Of each evaluation.
        result: All that is known of it.
    """

    method: str
    cell: Cell
    seed: int
    final: float
    normalized: float | None
    steps: tuple[int, ...]
    returns: tuple[float, ...]
    result: Result = field(repr=False, compare=False)

    @property
    def released(self) -> bool:
        """Whether it came with the package."""
        return RELEASED in self.result


@dataclass(frozen=True)
class Redistribution:
    """How good the redistribution of one run is.

    Attributes:
        method: As of a run.
        cell: As of a run.
        seed: As of a run.
        scores: By name; None where they are not defined.
        result: All that is known of it.
    """

    method: str
    cell: Cell
    seed: int
    scores: Mapping[str, float | None]
    result: Result = field(repr=False, compare=False)


One = TypeVar("One", Run, Redistribution)


def runs_of(results: Sequence[Result]) -> list[Run]:
    """Return training results as runs, each once, in the order of methods, environments and seeds.

    Raises:
        ValueError: As for `_once`.
    """
    labels = told_apart(results)
    runs = [_run(result, label) for result, label in zip(results, labels, strict=True)]
    return _once(runs, ("rows", "final", "normalized"))


def redistributions_of(results: Sequence[Result]) -> list[Redistribution]:
    """Return results of the kind "redistribution", each once, in the order of methods, environments and seeds.

    Raises:
        ValueError: As for `_once`.
    """
    found = [
        Redistribution(label, cell_of(result), result["job"]["seed"], result["scores"], result)
        for result, label in zip(results, told_apart(results), strict=True)
    ]
    return _once(found, ("scores", "refused"))


def _once(found: Sequence[One], told: Sequence[str]) -> list[One]:
    """Return runs in order, those that are there twice once: an environment may be spelt in several ways.

    Args:
        found: Runs.
        told: What results that are the same agree in.

    Raises:
        ValueError: There are two of a method in an environment with a seed, and they differ.
    """
    kept: dict[tuple[str, Cell, int], One] = {}
    for one in sorted(found, key=lambda one: (one.method, one.cell, one.seed, one.result["key"])):
        first = kept.setdefault((one.method, one.cell, one.seed), one)
        if any(first.result.get(name) != one.result.get(name) for name in told):
            raise ValueError(
                f"folder must have one run of {one.method!r} in {one.cell.label} with seed {one.seed}, got two with "
                f"other results, whose keys are {first.result['key']} and {one.result['key']}: take one of them away."
            )
    return list(kept.values())


def _run(result: Result, label: str) -> Run:
    rows = result["rows"]
    return Run(
        label,
        cell_of(result),
        result["job"]["seed"],
        result["final"],
        result["normalized"],
        tuple(row["step"] for row in rows),
        tuple(row["return"] for row in rows),
        result,
    )


def counted(count: int, what: str) -> str:
    """Return so many of something in words.

    Example:
        >>> counted(1, "run"), counted(1200, "run")
        ('1 run', '1,200 runs')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def is_finite(result: Result) -> bool:
    """Return whether all returns of a training result are numbers that can be averaged."""
    return all(map(math.isfinite, (result["final"], *(row["return"] for row in result["rows"]))))


def cell_of(result: Result) -> Cell:
    """Return where a result was made; nothing is imported for it, whatever the ID names."""
    job, task = result["job"], result["task"]
    name = job["id"].rpartition(":")[2]
    variant = next((one for one in VARIANTS if name.startswith(f"{one}{task}-")), "other")
    suite = TASKS[task].suite if task in TASKS else "other"
    offline = result["kind"] == "offline"
    label, arguments = _label(job["id"], variant, job["arguments"], offline), json.dumps(job["arguments"])
    return Cell(label, job.get("steps") or 0, job["id"], arguments, task, suite, variant, offline)


def _label(id: str, variant: str, arguments: Mapping[str, Any], offline: bool) -> str:
    """Return an ID with its arguments, and those of its schedule that tell it from others though they are defaults."""
    defaults = VARIANTS[variant].arguments if variant in VARIANTS else {}
    schedule = {name: defaults.get(name) for name in ("bag_len", "label_fraction")}
    told = {name: value for name, value in schedule.items() if value not in (None, 1)} | dict(arguments)
    words = [*(f"{name}={_value(value)}" for name, value in sorted(told.items())), *(["offline"] if offline else [])]
    return f"{id}[{', '.join(words)}]" if words else id


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_value, value))})"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def told_apart(results: Sequence[Result]) -> list[str]:
    """Return for each result what its method is called: the name of its arm, and what differs where that is not enough.

    One name may stand for several settings, which are never put together; and a run may be there twice, made with other
    versions of packages.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for place, result in enumerate(results):
        mark = f" ({RELEASED})" if RELEASED in result else ""
        groups[f"{result['arm']['name']}{mark}"].append(place)
    labels = [""] * len(results)
    for name, places in groups.items():
        for place, label in zip(places, _variants(name, [results[place] for place in places]), strict=True):
            labels[place] = label
    return labels


def _variants(name: str, results: Sequence[Result]) -> list[str]:
    settings = [flat({key: result["job"].get(key) for key in SETTINGS}) for result in results]
    differing = _differing(settings)
    places = defaultdict(list)
    for result, own in zip(results, settings, strict=True):
        rest = {key: value for key, value in result["job"].items() if key not in (*SETTINGS, *PLACE)}
        at = (cell_of(result), result["job"]["seed"], json.dumps([own.get(path) for path in differing]))
        places[at].append(flat(rest))
    differing += sorted({path for twins in places.values() for path in _differing(twins)})
    whole = [flat(result["job"]) for result in results]
    return [_named(name, {path: one.get(path) for path in differing}) for one in whole]


def _named(name: str, differs: Mapping[str, Any]) -> str:
    if not differs:
        return name
    told = [f"{path}={json.dumps(value)}" for path, value in list(differs.items())[:MOST_TOLD]]
    more = [f"and more: {digest(differs)[:6]}"] if len(differs) > MOST_TOLD else []
    return f"{name} ({', '.join([*told, *more])})"


def _differing(flats: Sequence[Mapping[str, Any]]) -> list[str]:
    paths = sorted({path for one in flats for path in one})
    return [path for path in paths if len({json.dumps(one.get(path)) for one in flats}) > 1]


def flat(told: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings within settings by their paths.

    Example:
        >>> flat({"learner": {"discount": 0.9}, "seed": 1})
        {'learner.discount': 0.9, 'seed': 1}
    """
    found: dict[str, Any] = {}
    for name, value in told.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
