"""Who turns bags and their labels into a reward per step: one file per method, and the table of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch

from bagged_envs.baselines.api import Redistributor
from bagged_envs.baselines.latent_rewards.program import Program, is_pinned_file, program_name
from bagged_envs.baselines.redistributors.arel import AREL
from bagged_envs.baselines.redistributors.constant import Constant
from bagged_envs.baselines.redistributors.diaster import Diaster
from bagged_envs.baselines.redistributors.grd import GRD
from bagged_envs.baselines.redistributors.identity import Identity, LabelsOnly
from bagged_envs.baselines.redistributors.imputer import Imputer
from bagged_envs.baselines.redistributors.ircr import IRCR
from bagged_envs.baselines.redistributors.lare import LaReRD, LaReRRDUnbiased
from bagged_envs.baselines.redistributors.lare_sign import LaReSign
from bagged_envs.baselines.redistributors.oracle import Oracle
from bagged_envs.baselines.redistributors.own import checked_name, settings_class
from bagged_envs.baselines.redistributors.rbt import RBT
from bagged_envs.baselines.redistributors.rd import RD
from bagged_envs.baselines.redistributors.reward_design import RewardDesign
from bagged_envs.baselines.redistributors.rrd import RRD, RRDUnbiased
from bagged_envs.baselines.redistributors.rudder import RUDDER
from bagged_envs.baselines.redistributors.stas import STAS
from bagged_envs.baselines.redistributors.tar2 import TAR2
from bagged_envs.baselines.redistributors.uniform import Uniform
from bagged_envs.baselines.redistributors.vib import VIB
from bagged_envs.registration import spec_of, task_of
from bagged_envs.wrappers.arguments import known

__all__ = [
    "REDISTRIBUTORS",
    "config_class",
    "make_redistributor",
    "pinned",
    "reads_factors",
    "register_redistributor",
    "settings_on",
]

# A class here takes (observation_size, action_size, config, seed, device, agents), and its `config` is annotated with a
# dataclass of settings. The tests in tests/baselines/contracts cover it by its standing here.
REDISTRIBUTORS: dict[str, type[Any]] = {
    redistributor.name: redistributor
    for redistributor in (
        Identity, LabelsOnly, Oracle, Uniform, Constant, IRCR, RD, RRD, RRDUnbiased, GRD, Diaster, RBT, RUDDER, AREL,
        STAS, TAR2, LaReRD, LaReRRDUnbiased, LaReSign, VIB, RewardDesign, Imputer,
    )
}  # fmt: skip


def config_class(name: str) -> type[Any]:
    """Return the dataclass of a redistributor's settings.

    Raises:
        ValueError: There is no redistributor of this name.
        TypeError: Its constructor does not say which.
    """
    if ":" in str(name):
        module, _, plain = name.rpartition(":")
        raise ValueError(
            f"redistributor must be a name alone here, got {name!r}: import {module}, then name {plain!r}."
        )
    known("redistributor", name, list(REDISTRIBUTORS))
    return settings_class(name, REDISTRIBUTORS[name])


def _is_defined_anew(there: type[Any], kind: type[Any]) -> bool:
    """Whether two classes are one of the user's, loaded twice: a script may be imported by its name as well."""
    modules = {there.__module__, kind.__module__} - {"__main__"}
    ours = there.__module__.startswith(f"{__package__}.")
    return not ours and len(modules) <= 1 and there.__qualname__ == kind.__qualname__


def register_redistributor(kind: type[Any]) -> None:
    """Make a class of your own known by its `name`, wherever a redistributor is named, such as in "my_rd-td3".

    It lasts as long as the program: register it again in each one, best where the class is defined. A class that is
    defined anew, as when its module is loaded again, takes its own place.

    Args:
        kind: A class with all of `api.Redistributor`. It is called with (observation_size, action_size, config, seed,
            device, agents), and annotates `config` with a dataclass of settings, each of which has a default; one that
            has none takes `NoSettings`.

    Raises:
        TypeError: An attribute is missing, or of a wrong type.
        ValueError: Another redistributor has the name, or it is no name.
        Exception: Whatever its constructor raises: one is made, with the default settings.
    """
    name = checked_name(kind)
    there = REDISTRIBUTORS.get(name, kind)
    if there is not kind and not _is_defined_anew(there, kind):
        raise ValueError(
            f"{kind.__qualname__}.name must be new, got {name!r}, which {there.__module__}.{there.__qualname__} has."
        )
    REDISTRIBUTORS[name] = kind


def reads_factors(name: str) -> bool:
    """Return whether a redistributor sees what a program says of steps, which its setting `factors` names.

    Raises:
        ValueError: There is no redistributor of this name.
    """
    return "factors" in (field.name for field in fields(config_class(name)))


def settings_on(name: str, settings: Mapping[str, Any], id: str, each_agent: bool = False) -> dict[str, Any]:
    """Return the settings of a redistributor on an ID: where it reads factors and none are named, the task's own.

    Reward design has none of its own, and neither have tasks without a hand-written program. Those of tasks with
    several agents are for one agent's observation; a joint controller, which sees all, has none.

    Args:
        name: One of `REDISTRIBUTORS`.
        settings: Of it.
        id: A registered ID.
        each_agent: Whether the agents of a team are seen one by one, not as one joint controller.

    Raises:
        ValueError: There is no redistributor of this name.

    Example:
        >>> settings_on("lare_rd", {"bags": 4}, "EpisodicHopper-v0")
        {'bags': 4, 'factors': 'Hopper'}
    """
    told = dict(settings)
    if reads_factors(name) and name != RewardDesign.name and told.get("factors") is None:
        own = None if task_of(spec_of(id)).agents and not each_agent else program_name(id)
        return told if own is None else {**told, "factors": own}
    return told


def pinned(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that also say which text a program named in them is, where one is.

    A file that they say so of already is not looked for: settings may be those of somebody else's run.

    Raises:
        OSError: Its file cannot be read.
        ValueError: There is no such program.
    """
    named = settings.get("factors")
    if named is None or is_pinned_file(named):
        return dict(settings)
    return {**settings, "factors": Program.named(named).pinned}


def make_redistributor(
    name: str,
    observation_size: int,
    action_size: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
    agents: int = 1,
    **settings: Any,
) -> Redistributor:
    """Return a redistributor by its name.

    Args:
        name: One of `REDISTRIBUTORS`.
        observation_size: D, elements of a flattened observation.
        action_size: U, elements of a flattened action.
        seed: Of the weights, and of what an update draws.
        device: Where networks live.
        agents: A.
        **settings: Fields of its configuration.

    Raises:
        ValueError: There is no such redistributor, or it has no such setting, or a value is out of range.

    Example:
        >>> make_redistributor("rrd", observation_size=3, action_size=1, bags=8).sampling
        Sampling(bags=8, steps=64, weight='length', history=0, enough=None)
    """
    config = named_settings(name, config_class(name), settings)
    redistributor: Redistributor = REDISTRIBUTORS[name](
        observation_size, action_size, config=config, seed=seed, device=device, agents=agents
    )
    return redistributor


def named_settings(name: str, kind: type[Any], settings: Mapping[str, Any]) -> Any:
    """Return a redistributor's configuration with some settings.

    Raises:
        ValueError: There is no such setting, or a value is out of range.
    """
    names = [field.name for field in fields(kind)]
    for setting in settings:
        if not names:
            raise ValueError(f"{name!r} has no settings, got {setting!r}.")
        known(f"A setting of {name!r}", setting, names)
    return kind(**settings)
