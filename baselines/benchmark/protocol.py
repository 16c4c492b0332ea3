"""The protocol of a benchmark: a versioned file that says what is run, how it is scored, and on which scale.

Two results can be compared where nothing but the method differs. What else could differ stands in one file,
`protocols/v1.toml`, with the returns that scores are normalized by beside it; its hash is on every row.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from bagged_envs.baselines.judging.recordings import RecordingConfig
from bagged_envs.wrappers import RewardSchedule
from bagged_envs.wrappers.arguments import a_seed, known, positive_int, real_number, string, table

FOLDER = Path(__file__).parent / "protocols"
SECTIONS = {
    "evaluation": ("every", "episodes", "final_share"),
    "seeds": ("tuning", "test"),
    "steps": None,
    "schedules": None,
    "recording": tuple(one.name for one in fields(RecordingConfig)),
}
COLUMNS = ("task", "random", "oracle", "source")
SCHEDULE = tuple(one.name for one in fields(RewardSchedule))


@dataclass(frozen=True)
class Reference:
    """What a task's scores are normalized by: 0 is a random policy, 1 what dense rewards lead to.

    Attributes:
        random: The mean return of uniformly random actions.
        oracle: That of a policy trained on the dense rewards, or of the best policy where that is known.
        source: Where both come from.
    """

    random: float
    oracle: float
    source: str

    def __post_init__(self) -> None:
        """Check the scale.

        Raises:
            ValueError: Its ends are the same, or not finite.
        """
        if not (math.isfinite(self.random) and math.isfinite(self.oracle)) or self.random == self.oracle:
            raise ValueError(f"random and oracle must be different and finite, got {self.random} and {self.oracle}.")


@dataclass(frozen=True)
class Protocol:
    """Everything that two results have in common.

    Attributes:
        version: Its name.
        every: Environment steps between two evaluations.
        episodes: Episodes of each.
        final_share: The final score is the mean over this share of all evaluations, the last ones, rounded
            up.
        tuning: Seeds on which settings are chosen.
        test: Seeds that are reported; none of them is a tuning seed.
        steps: How long runs are, by name.
        schedules: Arguments of the delay, by name.
        references: What scores are normalized by, by task.
        recording: How the episodes are recorded that redistributors are judged on.

    Example:
        >>> protocol = Protocol.load("v1")
        >>> protocol.every, protocol.final([0.0, 1.0, 5.0, 3.0])
        (5000, 3.0)
    """

    version: str
    every: int
    episodes: int
    final_share: float
    tuning: tuple[int, ...]
    test: tuple[int, ...]
    steps: Mapping[str, int]
    schedules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    references: Mapping[str, Reference] = field(default_factory=dict)
    recording: RecordingConfig = field(default_factory=RecordingConfig)

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            TypeError: A number is no int.
            ValueError: One of them makes no sense, or a seed is both for tuning and for tests.
        """
        string("version", self.version)
        positive_int("evaluation.every", self.every)
        positive_int("evaluation.episodes", self.episodes)
        real_number("evaluation.final_share", self.final_share)
        if not 0.0 < self.final_share <= 1.0:
            raise ValueError(f"evaluation.final_share must lie in (0, 1], got {self.final_share!r}.")
        if not self.test:
            raise ValueError("seeds.test must have seeds, got none.")
        for name, seeds in (("seeds.tuning", self.tuning), ("seeds.test", self.test)):
            twice = sorted(seed for seed, count in Counter(seeds).items() if count > 1)
            if twice:
                raise ValueError(f"{name} must have each seed once, got {twice} twice.")
        both = sorted(set(self.tuning) & set(self.test))
        if both:
            raise ValueError(f"seeds.test must have none of seeds.tuning, got {both} in both: take others.")
        for name, steps in self.steps.items():
            positive_int(f"steps.{name}", steps)

    @classmethod
    def load(cls, name: str | Path = "v1") -> Protocol:
        """Return a protocol of ours by its name, or one of a file of the same form.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: Something in it is missing, unknown or wrong; the message names the file.
        """
        path = FOLDER / f"{name}.toml" if str(name) in names() else Path(name)
        try:
            return cls._parsed(tomllib.loads(path.read_text()), path.with_suffix(".csv"))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"protocol must be one of {', '.join(names())} or a file, got {name}.") from error
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def _parsed(cls, content: Mapping[str, Any], references: Path) -> Protocol:
        for section in content:
            known("section", section, ["version", *SECTIONS])
        missing = [section for section in ("version", *SECTIONS) if section not in content]
        for section, settings in SECTIONS.items():
            there = table(section, content.get(section, {}))
            for name in there if settings else ():
                known(f"setting of [{section}]", name, list(settings or ()))
            missing += [f"{section}.{name}" for name in settings or () if name not in there]
        if missing:
            raise ValueError(f"a protocol must have {', '.join(missing)}.")
        for name, schedule in content["schedules"].items():
            for argument in table(f"schedules.{name}", schedule):
                known(f"argument of schedules.{name}", argument, SCHEDULE)
        return cls(
            content["version"],
            tuning=_seeds("seeds.tuning", content["seeds"]["tuning"]),
            test=_seeds("seeds.test", content["seeds"]["test"]),
            **content["evaluation"],
            steps=content["steps"],
            schedules=content["schedules"],
            references=_references(references) if references.exists() else {},
            recording=RecordingConfig(**content["recording"]),
        )

    @cached_property
    def hash(self) -> str:
        """Twelve hex digits that are others as soon as anything in it is."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]

    def seeds(self, which: str) -> tuple[int, ...]:
        """Return the seeds called "test" or "tuning".

        Raises:
            ValueError: It is neither.
        """
        return self.test if known("seeds", which, ("test", "tuning")) == "test" else self.tuning

    def final(self, returns: Sequence[float]) -> float:
        """Return the final score of a run: the mean of its last evaluations, never the best of them.

        Args:
            returns: Of all evaluations of the run, in their order.

        Raises:
            ValueError: There is none.
        """
        if not len(returns):
            raise ValueError("returns must have at least one evaluation, got none.")
        last = returns[-max(1, math.ceil(self.final_share * len(returns) - 1e-9)) :]  # 0.1 * 30 is a little more than 3
        try:
            return float(math.fsum(last) / len(last))
        except OverflowError:  # of numbers that are finite, and whose sum is not
            return float(math.fsum(value / len(last) for value in last))

    def normalized(self, task: str, score: float) -> float:
        """Return a score between those of a random policy (0) and of dense rewards (1); it may lie outside.

        Raises:
            ValueError: The protocol has no reference for the task.
        """
        if task not in self.references:
            known("task", task, list(self.references))
        of = self.references[task]
        return (score - of.random) / (of.oracle - of.random)


def names() -> list[str]:
    """Return the names of the protocols that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def _references(path: Path) -> dict[str, Reference]:
    with path.open(newline="") as file:
        heading, *rows = list(csv.reader(file)) or [[]]
    if tuple(heading) != COLUMNS:
        raise ValueError(f"{path} must have columns {', '.join(COLUMNS)}, got {', '.join(heading) or 'none'}.")
    found: dict[str, Reference] = {}
    for line, row in enumerate(rows, 2):
        try:
            task, random, oracle, source = row
            if task in found:
                raise ValueError(f"{task} stands there twice")
            found[task] = Reference(float(random), float(oracle), source)
        except ValueError as error:
            raise ValueError(
                f"{path}, line {line}, must be a task, two numbers and a source, got {row}: {error}."
            ) from error
    return found


def _seeds(name: str, told: Any) -> tuple[int, ...]:
    if not isinstance(told, list):
        raise TypeError(f"{name} must be a list of ints, got {told!r}.")
    return tuple(a_seed(seed, name) for seed in told)


def same_protocol(hashes: Sequence[str]) -> str:
    """Return the one protocol of some rows.

    Raises:
        ValueError: They are of different ones, or there are none.
    """
    different = sorted(set(hashes))
    if len(different) != 1:
        told = ", ".join(different) or "none"
        raise ValueError(f"rows must be of one protocol, got {told}: results under different rules stay apart.")
    return different[0]
