"""Environments that datasets name: made only where every function in the name is known.

`gymnasium.make` imports and calls whatever a specification names, `subprocess:run` as well as an environment.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from bagged_envs.dataset_form import DatasetError, demand
from bagged_envs.registration import DELAY, DENSE, ENTRY_POINTS
from bagged_envs.tasks import TASKS
from bagged_envs.variants import VARIANTS

OURS = (
    DELAY,
    "bagged_envs.make:DenseReward",
    "bagged_envs.wrappers.declared:DeclaredBags",
    *(f"bagged_envs.wrappers.single:{name}Reward" for name in ("Bagged", "Episodic", "PartiallyLabeled", "Sparse")),
)
# Those that compute, and write no files: RecordVideo is none of them.
GYMNASIUM = {
    "common": ("Autoreset", "OrderEnforcing", "PassiveEnvChecker", "RecordEpisodeStatistics", "TimeLimit"),
    "stateful_action": ("RepeatAction", "StickyAction"),
    "stateful_observation": (
        *("DelayObservation", "FrameStackObservation", "MaxAndSkipObservation", "NormalizeObservation"),
        "TimeAwareObservation",
    ),
    "stateful_reward": ("NormalizeReward",),
    "transform_action": ("ClipAction", "DiscretizeAction", "RescaleAction"),
    "transform_observation": (
        *("DiscretizeObservation", "DtypeObservation", "FilterObservation", "FlattenObservation"),
        *("GrayscaleObservation", "RescaleObservation", "ReshapeObservation", "ResizeObservation"),
    ),
    "transform_reward": ("ClipReward",),
}
WRAPPERS = (*OURS, *(f"gymnasium.wrappers.{place}:{name}" for place, names in GYMNASIUM.items() for name in names))
OLD_FIELDS = ("apply_api_compatibility", "autoreset")  # of Gymnasium before 1.0
FIELDS = tuple(field.name for field in fields(EnvSpec) if field.init)


def known_spec(told: str, where: str, allow: Collection[str] = ()) -> EnvSpec:
    """Return a specification, if all that it names is known. Nothing is imported, and nothing called.

    Args:
        told: Gymnasium's JSON of it.
        where: The file and the field that it comes from, for messages.
        allow: Further entry points that may be called, of environments and wrappers, such as "my_module:MyEnv".

    Raises:
        DatasetError: An entry point is unknown, or something else is none of a specification; nothing was run.
    """
    spec = parsed_spec(told, where)
    for name in ("entry_point", "vector_entry_point"):
        point = spec.get(name)
        fine = (name == "vector_entry_point" and point is None) or point in allow or _is_known(point)
        demand(fine, where, name, "one of bagged_envs or Gymnasium, or in allow=", _shown(point))
    wrappers = [_known_wrapper(wrapper, where, allow) for wrapper in spec["additional_wrappers"]]
    _check_values(spec, where)
    made = EnvSpec(**{**spec, "additional_wrappers": ()})
    made.additional_wrappers = tuple(wrappers)
    return made


def parsed_spec(told: str, where: str) -> dict[str, Any]:
    """Return what a specification says, whatever it names.

    Raises:
        DatasetError: It is none.
    """
    try:
        spec = json.loads(told)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{where}: it must be JSON, got {told[:60]!r} ({error}).") from error
    demand(isinstance(spec, dict), where, "the whole", "a table", _shown(spec))
    spec = {name: value for name, value in spec.items() if name not in OLD_FIELDS}
    others = sorted(spec.keys() - FIELDS)
    demand(not others, where, "the whole", f"of the fields {', '.join(FIELDS)}", others)
    spec.setdefault("additional_wrappers", [])
    spec.setdefault("kwargs", {})
    for name, kind in (("id", str), ("kwargs", dict), ("additional_wrappers", list)):
        demand(isinstance(spec.get(name), kind), where, name, f"a {kind.__name__}", _shown(spec.get(name)))
    for wrapper in spec["additional_wrappers"]:
        fits = isinstance(wrapper, Mapping) and wrapper.keys() == {"name", "entry_point", "kwargs"}
        fits = fits and all(isinstance(wrapper[name], str) for name in ("name", "entry_point"))
        demand(fits, where, "additional_wrappers", "tables of name, entry_point and kwargs", _shown(wrapper))
    return spec


def _is_known(point: object) -> bool:
    if not isinstance(point, str):
        return False
    place, _, name = point.partition(":")
    if place == ENTRY_POINTS:
        # What stands behind the @ is imported only where the task is unknown.
        task = name.partition("@")[0]
        return ":" not in name and any(task == prefix + known for prefix in (*VARIANTS, DENSE) for known in TASKS)
    registered = any(point in (spec.entry_point, spec.vector_entry_point) for spec in gym.registry.values())
    return place.startswith("gymnasium.envs.") and registered


def _known_wrapper(wrapper: Mapping[str, Any], where: str, allow: Collection[str]) -> WrapperSpec:
    name, point = "additional_wrappers", wrapper["entry_point"]
    demand(
        point in WRAPPERS or point in allow, where, f"{name}: entry_point", "a known one or in allow=", _shown(point)
    )
    demand(isinstance(wrapper["kwargs"], dict), where, f"{name}: kwargs", "a table", _shown(wrapper["kwargs"]))
    return WrapperSpec(**wrapper)


def _check_values(spec: Mapping[str, Any], where: str) -> None:
    limit = spec.get("max_episode_steps")
    plain = limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit > 0)
    demand(plain, where, "max_episode_steps", "an int of at least 1, or None", _shown(limit))
    for name in ("nondeterministic", "order_enforce", "disable_env_checker"):
        demand(isinstance(spec.get(name, False), bool), where, name, "True or False", _shown(spec.get(name)))
    # MuJoCo would read any file that this names.
    model = spec["kwargs"].get("xml_file", "")
    plain = isinstance(model, str) and not any(mark in model for mark in "/\\~") and not model.startswith(".")
    demand(plain, where, "kwargs: xml_file", "the name of one of Gymnasium's own models", _shown(model))


def _shown(value: object) -> str:
    return f"{value!r:.90}"
