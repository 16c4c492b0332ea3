"""What to type to have all runs of a report again: suites that name them, and the commands."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import bagged_envs
from bagged_envs.baselines.benchmark.arms import ARMS, changed_of
from bagged_envs.baselines.benchmark.report.rows import SETTINGS, Result


def suites(results: Sequence[Result], labels: Sequence[str], protocol: str, tuning: Sequence[int]) -> list[str]:
    """Return TOML files whose runs are those of some results, without any that were not there.

    Runs that are methods x environments x seeds stand in one. A method whose runs were made with several versions of
    packages, which no suite can name, stands there once.

    Args:
        results: Of training, or of judging: what a method is called is told apart within one kind only.
        labels: What the report calls the method of each.
        protocol: What a suite calls it.
        tuning: Its tuning seeds, which share no suite with others.
    """
    seeds: dict[tuple[str, str], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    arms: dict[str, Result] = {}
    for result, label in zip(results, _names(results, labels), strict=True):
        job = result["job"]
        arms.setdefault(label, result)
        how = json.dumps([job["seed"] in tuning, job["steps"], job["device"], job["threads"]])
        place = json.dumps([job["id"], job["arguments"]])
        seeds[how, label][place].add(job["seed"])
    # Methods with the same seeds in the same environments are together, and environments with the same seeds.
    alike: dict[tuple[str, tuple[int, ...], tuple[str, ...]], list[str]] = defaultdict(list)
    for (how, label), places in seeds.items():
        by_seeds: dict[tuple[int, ...], list[str]] = defaultdict(list)
        for place, own in places.items():
            by_seeds[tuple(sorted(own))].append(place)
        for own_seeds, some in by_seeds.items():
            alike[how, own_seeds, tuple(sorted(some))].append(label)
    return [_toml(how, own, places, {name: arms[name] for name in sorted(names)}, protocol)
            for (how, own, places), names in sorted(alike.items())]  # fmt: skip


def _names(results: Sequence[Result], labels: Sequence[str]) -> list[str]:
    """Return what the arm of each result is called: its label, or one name for labels with the same settings."""
    settings = [json.dumps([result["job"][name] for name in SETTINGS], sort_keys=True) for result in results]
    alike: dict[str, set[str]] = defaultdict(set)
    for own, label in zip(settings, labels, strict=True):
        alike[own].add(label)
    first = {own: result["arm"]["name"] for own, result in zip(settings, results, strict=True)}
    taken = Counter([*(first[own] for own, names in alike.items() if len(names) > 1), *set(labels)])
    names = {
        own: first[own] if len(names) > 1 and taken[first[own]] == 1 else min(names) for own, names in alike.items()
    }
    return [names[own] for own in settings]


def _toml(how: str, seeds: Sequence[int], places: Sequence[str], arms: Mapping[str, Result], protocol: str) -> str:
    _, steps, device, threads = json.loads(how)
    ours = {name for name, result in arms.items() if _is_ours(name, result)}
    names = {name: name if name in ours or name not in ARMS else f"{name}, as it was run" for name in arms}
    hashes = sorted({result["job"]["protocol"] for result in arms.values()})
    lines = [
        f"protocol = {toml(protocol)} # hash {', '.join(hashes)}",
        f"steps = {steps}",
        f"seeds = {toml(list(seeds))}",
        f"methods = {toml(list(names.values()))}",
        f"device = {toml(device)}",
        f"threads = {threads}",
    ]
    for place in places:
        id, arguments = json.loads(place)
        lines += ["", "[[environments]]", f"id = {toml(id)}", f"arguments = {toml(arguments)}"]
    for name, result in arms.items():
        if name not in ours:
            lines += ["", *_arm(names[name], result)]
    return "\n".join(lines) + "\n"


def _is_ours(name: str, result: Result) -> bool:
    arm = ARMS.get(name)
    told = {key: result["job"][key] for key in SETTINGS}
    return arm is not None and json.loads(json.dumps(arm.settings())) == told


def _arm(name: str, result: Result) -> Iterator[str]:
    job, told = result["job"], result["arm"]
    yield f"[arms.{toml(name)}]"
    yield f"method = {toml(job['method'])}"
    yield f"source = {toml(told['source'])}"
    yield f"trials = {told['trials']}"
    for group, own in changed_of(job).items():
        if own:
            yield f"{group} = {toml(own)}"


def can_be_told(result: Result) -> bool:
    """Return whether a suite can name a run: TOML has no null."""
    return not _has_none([result["job"]["arguments"], changed_of(result["job"])])


def _has_none(value: Any) -> bool:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return value is None or any(map(_has_none, parts))


def modules(results: Sequence[Result]) -> list[str]:
    """Return the modules of others that some results need: of agents, and of tasks."""
    names = {name.rpartition(":")[0] for result in results for name in (result["job"]["method"], result["job"]["id"])}
    return sorted(name for name in names if name and name.partition(".")[0] != bagged_envs.__name__)


def toml(value: Any) -> str:
    r"""Return a value as TOML has it, on one line.

    Raises:
        ValueError: It is None, which TOML cannot say.

    Example:
        >>> print(toml({"hidden": [64, 64], "na\"me": True}))
        { hidden = [64, 64], "na\"me" = true }
    """
    if value is None:
        raise ValueError("a setting must have a value to stand in TOML, got None.")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {toml(one)}" for key, one in value.items()) + " }" if value else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value) if isinstance(value, float) else json.dumps(value)  # inf and nan are TOML's own words


def _key(name: str) -> str:
    return name if name.isascii() and name.replace("_", "").replace("-", "").isalnum() else toml(name)
