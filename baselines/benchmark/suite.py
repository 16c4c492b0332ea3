"""What a benchmark runs: methods on environments with seeds, from a TOML file or one of ours."""

from __future__ import annotations

import itertools
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch

import bagged_envs
from bagged_envs.baselines.benchmark.agents import factory
from bagged_envs.baselines.benchmark.arms import ARMS, Arm
from bagged_envs.baselines.benchmark.job import Job
from bagged_envs.baselines.benchmark.protocol import Protocol, names
from bagged_envs.baselines.description import as_settings
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.team_training import team_learner
from bagged_envs.registration import delay_arguments, spec_of
from bagged_envs.wrappers.arguments import a_seed, int_between, known, positive_int, string, strings, table

FOLDER = Path(__file__).parent / "suites"
KEYS = (
    "protocol", "steps", "seeds", "first_seeds", "tuning_seeds", "methods", "environments", "arms", "device", "threads",
)  # fmt: skip
GIVEN = "its own defaults: it was named on the command line"
ARM_KEYS = ("method", "source", "trials", "redistributor", "learner", "training")
ENVIRONMENT_KEYS = ("id", "ids", "schedules", "arguments")


@dataclass(frozen=True)
class Suite:
    """Methods x environments x seeds, all for as many steps and under one protocol.

    Attributes:
        name: What it is called.
        protocol: Under what.
        arms: The methods.
        environments: IDs with their arguments.
        seeds: Of the protocol: all for tests, or all for tuning.
        steps: Environment steps of each run.
        device: Where networks live.
        threads: Of torch, in each run.
        tuning_seeds: On so many of the protocol's tuning seeds the controls are run as well, so that the best of them
            can be chosen where gains are told.
    """

    name: str
    protocol: Protocol
    arms: tuple[Arm, ...]
    environments: tuple[tuple[str, Mapping[str, Any]], ...]
    seeds: tuple[int, ...]
    steps: int
    device: str = "cpu"
    threads: int = 1
    tuning_seeds: int = 0

    def __post_init__(self) -> None:
        """Check what would only fail once it runs.

        Raises:
            ValueError: Nothing is to be run, something would be run twice, or a seed is none of the protocol's.
            gymnasium.error.Error: An ID is not registered, or has no delay.
        """
        for what in ("arms", "environments", "seeds"):
            if not getattr(self, what):
                raise ValueError(f"{what} of suite {self.name!r} must have at least one, got none.")
        positive_int("threads", self.threads)
        known("device", string("device", self.device).partition(":")[0], ("cpu", "cuda"))
        try:
            torch.device(self.device)
        except RuntimeError as error:
            raise ValueError(f"device must be cpu, cuda or such as cuda:1, got {self.device!r}.") from error
        protocol = self.protocol
        if not (set(self.seeds) <= set(protocol.test) or set(self.seeds) <= set(protocol.tuning)):
            raise ValueError(
                f"seeds must be of the protocol, all for tests ({_told(protocol.test)}) or all for tuning "
                f"({_told(protocol.tuning)}), got {_told(self.seeds)}."
            )
        if self.tuning_seeds and not self._controls:
            raise ValueError(
                f"tuning_seeds={self.tuning_seeds} needs a control among methods, such as identity-td3, got "
                f"{', '.join(arm.name for arm in self.arms)}: add one, or leave it out."
            )
        names = {job.key: job.name for job in self._jobs}
        key, count = Counter(job.key for job in self._jobs).most_common(1)[0]
        if count > 1:
            raise ValueError(f"each run must be there once, got {names[key]} {count} times: name what differs.")

    @classmethod
    def load(cls, name: str | Path, method: str | None = None) -> Suite:
        """Return a suite of ours by its name, or that of a TOML file.

        Args:
            name: Of the suite, or its file.
            method: Of an arm that is run beside its methods: one of ours by its name, or `module:function` of a factory
                of agents, or `module:<redistributor>-<learner>`.

        Raises:
            FileNotFoundError: There is no such file.
            ImportError: A method's module does not exist.
            ValueError: Something in it is missing, unknown or wrong; the message names the file.
            gymnasium.error.Error: An ID is not registered, or has no delay.
        """
        path = FOLDER / f"{name}.toml" if str(name) in presets() else Path(name)
        try:
            content = tomllib.loads(path.read_text())
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise FileNotFoundError(f"suite must be one of {', '.join(presets())} or a file, got {name}.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: {error}") from error
        try:
            suite = cls._parsed(path, content)
            if method is None:
                return suite
            return replace(suite, arms=(*suite.arms, ARMS.get(method) or Arm(method, method, GIVEN, trials=0)))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error
        except gym.error.Error as error:
            raise type(error)(f"{path}: {error}") from error

    @classmethod
    def _parsed(cls, path: Path, content: Mapping[str, Any]) -> Suite:
        for key in content:
            known("setting", key, KEYS)
        missing = [key for key in ("steps", "methods", "environments") if key not in content]
        if missing:
            raise ValueError(f"a suite must have {', '.join(missing)}.")
        protocol = _protocol(content.get("protocol", "v1"), path.parent)
        own = {name: _arm(name, told) for name, told in table("arms", content.get("arms", {})).items()}
        for name in own:
            if name in ARMS:
                raise ValueError(f"arms.{name} must have another name: there is one of ours that is called so.")
        arms = {**ARMS, **own}
        for method in strings("methods", content["methods"]):
            known("method", method, list(arms))
        environments = [pair for told in _tables(content["environments"]) for pair in _environments(told, protocol)]
        return cls(
            path.stem,
            protocol,
            tuple(arms[method] for method in content["methods"]),
            tuple(environments),
            _seeds(content, protocol),
            _steps(content["steps"], protocol),
            content.get("device", "cpu"),
            content.get("threads", 1),
            int_between("tuning_seeds", content.get("tuning_seeds", 0), 0, len(protocol.tuning)),
        )

    def check(self) -> None:
        """Make each environment once, and each method's networks for it.

        Raises:
            ValueError: A method does not fit an environment; the message names both.
            gymnasium.error.Error: An environment cannot be made.
            ImportError: A package is missing.
        """
        for id, arguments in self.environments:
            env = gym.make(id, disable_env_checker=True, **arguments)
            for arm in self.arms:
                if arm.kind == "agent":
                    factory(arm.method)
                if arm.kind not in ("training", "offline"):
                    continue
                try:
                    _make_learner(arm.made(), id, env)
                except (TypeError, ValueError) as error:
                    raise ValueError(f"{arm.name!r} must fit {id}: {error}") from error
            env.close()

    def jobs(self) -> list[Job]:
        """Return its runs, those of one seed before those of the next, and those of controls on tuning seeds."""
        return list(self._jobs)

    @cached_property
    def _jobs(self) -> tuple[Job, ...]:  # whose keys are computed once
        tuning = [seed for seed in self.protocol.tuning[: self.tuning_seeds] if seed not in self.seeds]
        some = itertools.product(self.seeds, self.environments, self.arms)
        more = itertools.product(tuning, self.environments, self._controls)
        return tuple(
            Job(arm, id, arguments, seed, self.steps, self.protocol, self.device, self.threads)
            for seed, (id, arguments), arm in itertools.chain(some, more)
        )

    @property
    def _controls(self) -> list[Arm]:
        """The arms that learn from what is paid; of agents those that are also there with a redistributor.

        Without such, an agent may be anything, and is no control of another method.
        """
        agents = {arm.method for arm in self.arms if arm.kind == "agent" and not arm.is_control}
        return [arm for arm in self.arms if arm.is_control and (arm.kind == "training" or arm.method in agents)]


def _make_learner(method: Method, id: str, env: gym.Env[Any, Any]) -> None:
    if method.team:
        team_learner(method, id, env.observation_space, env.action_space, seed=0)
    else:
        method.make_learner(Features(env.observation_space).size, env.action_space, seed=0)


def presets() -> list[str]:
    """Return the names of the suites that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def preset_arms() -> dict[str, Arm]:
    """Return the methods that suites of ours have of their own, by name."""
    told = [tomllib.loads((FOLDER / f"{name}.toml").read_text()) for name in presets()]
    return {name: _arm(name, arm) for suite in told for name, arm in suite.get("arms", {}).items()}


def _protocol(told: Any, folder: Path) -> Protocol:
    """Return one of ours, or that of a file, which is looked for beside the suite's."""
    name = string("protocol", told)
    return Protocol.load(name if name in names() or not (folder / name).exists() else folder / name)


def _arm(name: str, given: Any) -> Arm:
    told = table(f"arms.{name}", given)
    for group in ("redistributor", "learner", "training"):
        table(f"arms.{name}.{group}", told.get(group, {}))
    for key in told:
        known(f"setting of arms.{name}", key, ARM_KEYS)
    missing = [key for key in ("method", "source", "trials") if key not in told]
    if missing:
        raise ValueError(f"arms.{name} must have {', '.join(missing)}.")
    string(f"arms.{name}.method", told["method"])
    return Arm(name, **{key: as_settings(value) for key, value in told.items()})


def _tables(told: Any) -> list[Mapping[str, Any]]:
    if not isinstance(told, list) or not all(isinstance(one, Mapping) for one in told):
        raise TypeError(f"environments must be tables, [[environments]], got {told!r}.")
    return told


def _environments(told: Mapping[str, Any], protocol: Protocol) -> list[tuple[str, dict[str, Any]]]:
    for key in told:
        known("setting of environments", key, ENVIRONMENT_KEYS)
    ids = [*strings("ids", told.get("ids", ())), *([string("id", told["id"])] if "id" in told else [])]
    if not ids:
        raise ValueError(f"environments must have an id or ids, got {dict(told)}.")
    for id in ids:
        spec_of(id)  # an unknown one is refused here, with the nearest
    if "schedules" in told and not protocol.schedules:
        raise ValueError(f"schedules must be left out, got {told['schedules']}: protocol {protocol.version} has none.")
    if "schedules" in told and not told["schedules"]:
        raise ValueError(f"schedules must name some of {', '.join(protocol.schedules)}, got none: or leave them out.")
    table("arguments", told.get("arguments", {}))
    for schedule in strings("schedules", told.get("schedules", ())):
        known("schedule", schedule, list(protocol.schedules))
    arguments = [{**protocol.schedules[name], **told.get("arguments", {})} for name in told.get("schedules", [])]
    pairs = [(id, one) for id in ids for one in (arguments or [dict(told.get("arguments", {}))])]
    for id, one in pairs:
        bagged_envs.resolved_schedule(id, **delay_arguments(one))  # a wrong one is refused here, in its own words
    return pairs


def _seeds(content: Mapping[str, Any], protocol: Protocol) -> tuple[int, ...]:
    seeds = content.get("seeds", "test")
    if isinstance(seeds, str):
        chosen = protocol.seeds(seeds)
    elif isinstance(seeds, list):
        chosen = tuple(a_seed(seed, "seeds") for seed in seeds)
    else:
        raise TypeError(f"seeds must be test, tuning or a list of ints, got {seeds!r}.")
    first = content.get("first_seeds")
    if first is not None and positive_int("first_seeds", first) > len(chosen):
        raise ValueError(f"first_seeds must be at most {len(chosen)}, got {first}.")
    return chosen[:first]


def _steps(told: Any, protocol: Protocol) -> int:
    if isinstance(told, str):
        return protocol.steps[known("steps", told, list(protocol.steps))]
    return positive_int("steps", told)


def _told(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
