"""Runs kept in folders: what was run, how it went, and a checkpoint to go on from."""

from __future__ import annotations

import csv
import functools
import importlib.metadata
import io
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch

from bagged_envs.baselines import checkpoint, description
from bagged_envs.baselines.description import as_json, as_settings
from bagged_envs.baselines.learners.ppo import PPO
from bagged_envs.baselines.lease import lease
from bagged_envs.baselines.methods import LEARNERS, Method
from bagged_envs.baselines.task_digest import task_digest
from bagged_envs.baselines.team_training import TeamConfig, TeamTraining, team_config, team_settings
from bagged_envs.baselines.training import Progress, Training, TrainingConfig
from bagged_envs.registration import spec_of, task_of
from bagged_envs.whole_file import write_whole
from bagged_envs.wrappers.arguments import known, positive_int

PACKAGES = ("bagged_envs", "gymnasium", "numpy", "torch")
PACKAGES_OF = {
    "mujoco": ("mujoco",),
    "dmc": ("mujoco", "dm-control"),
    "marl": ("pettingzoo", "mpe2"),
}  # by a task's extra
COLUMNS = (
    "step",
    "episodes",
    "return",
    "return_std",
    "length",
    "success_rate",
    "paid",
    "redistribution_loss",
    "learner_updates",
    "seconds",
)
CHECKPOINT = "checkpoint.pt"
Row = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """What is run: everything that the result depends on, but how long.

    Attributes:
        method: Who learns.
        id: A registered ID with a delay.
        arguments: Of the environment.
        config: Settings that belong to no method; where agents of a team learn, a `TeamConfig` is made of them.
        seed: Of everything random.
        device: Where networks live.
        threads: Of torch: sums of another number of threads differ in the last bits.
    """

    method: Method
    id: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    config: TrainingConfig = field(default_factory=TrainingConfig)
    seed: int = 0
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        """Check what would only fail in the middle of things.

        Raises:
            TypeError: A number is no int.
            ValueError: A number is too small, or there is no such device here.
        """
        if self.method.team:
            object.__setattr__(self, "config", team_config(self.config, self.method.learner))
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}.")
        positive_int("threads", self.threads)
        known("device", self.device.partition(":")[0], ("cpu", "cuda"))
        if self.device != "cpu" and not torch.cuda.is_available():
            raise ValueError(f"device must be 'cpu' where torch finds no GPU, got {self.device!r}.")

    def described(self) -> dict[str, Any]:
        """Return all of it, all settings of the method, and the versions of the packages that it depends on.

        As JSON carries them; "NaN" for nan.
        """
        settings = self.method.resolved()
        described: dict[str, Any] = as_json({**asdict(self), "settings": settings, "versions": versions(self.id)})
        return described

    def folder(self) -> str:
        """Return a name for the folder that tells what is run, but not with which settings."""
        arguments = "".join(f"-{name}={value}" for name, value in self.arguments.items())
        kept = "".join(sign if sign.isalnum() or sign in "-_=.," else "_" for sign in arguments)
        return f"{self.method.name}-{self.id}{kept}-{self.seed}"


def config_of(method: Method, settings: Mapping[str, Any]) -> TrainingConfig:
    """Return the settings of a run of a method: a `TeamConfig`, where agents of a team learn.

    Args:
        method: It; what is not given is as its learner has it.
        settings: Fields of the configuration.

    Raises:
        TypeError: A value is of another type.
        ValueError: There is no such setting, or a value is out of range.

    Example:
        >>> config_of(Method.named("identity-ippo"), {"worlds": 8}).evaluation_episodes
        50
    """
    kind = TeamConfig if method.team else TrainingConfig
    for name in settings:
        known("A setting of training", name, [one.name for one in fields(kind)])
    return team_settings(method.learner, settings) if method.team else TrainingConfig(**settings)


def begin(run: Run) -> Training | TeamTraining:
    """Return the training of a run, nothing played yet.

    Raises:
        TypeError: The learner cannot act in the environment.
        ValueError: A setting is wrong, or the method does not fit the environment.
        gymnasium.error.Error: The ID is not registered, or has no delay.
    """
    kind = TeamTraining if run.method.team else Training
    return kind(run.method, run.id, run.arguments, run.config, seed=run.seed, device=run.device)


def reopen(folder: str | Path) -> Training | TeamTraining:
    """Return the training of a run as its last checkpoint has it: learner, redistributor, stored episodes and all.

    The folder is only read, so this also works beside a process that trains in it. To go on from there to the bit,
    call `torch.set_num_threads` with the run's `threads` first. Close what is returned.

    Args:
        folder: Where `train` keeps the run.

    Raises:
        CheckpointError: The folder's checkpoint is damaged.
        FileNotFoundError: The folder has no checkpoint, or no description.
        ValueError: Its description is damaged, of something else than such a run, or of one with other versions of
            packages, other defaults or another device than there are here.
    """
    folder = Path(folder)
    file = folder / description.FILE
    for needed in (file, folder / CHECKPOINT):
        if not needed.exists():
            raise FileNotFoundError(
                f"folder must have a run with a checkpoint, got {folder}, which has no {needed.name}."
            )
    told = description.read(folder)
    try:
        run = _run_of(told)
        described = run.described()
    except (AttributeError, KeyError, TypeError, ValueError, gym.error.Error) as error:
        raise ValueError(f"{file} does not describe a run that can be made here ({error!r}).") from error
    if name := description.difference(described, told):
        raise ValueError(f"{file} has {name}={told.get(name)}, here it is {described.get(name)}: use what made it.")
    training = begin(run)
    try:
        training.load_state_dict(checkpoint.load(folder / CHECKPOINT)["training"])
    except BaseException:
        training.close()
        raise
    return training


def _run_of(told: Mapping[str, Any]) -> Run:
    """Return the run that a description is of, as `Run.described` makes it."""
    method = Method(**as_settings(told["method"]))
    config = config_of(method, as_settings(told["config"]))
    others = {name: told[name] for name in ("id", "seed", "device", "threads")}
    return Run(method, arguments=as_settings(told["arguments"]), config=config, **others)


def versions(id: str) -> dict[str, str | None]:
    """Return the versions of the packages that results on an ID depend on, None of those that are not there.

    A task that is none of ours is told by its name, with its `task_digest` for a version.
    """
    spec = spec_of(id)
    task, users = task_of(spec), task_digest(spec, elsewhere=True)
    found = {package: version(package) for package in (*PACKAGES, *PACKAGES_OF.get(task.extra or "", ()))}
    return found if users is None else {**found, task.name: users}


@functools.cache
def version(package: str) -> str | None:
    """Return the installed version of a package, None where it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def train(
    run: Run,
    folder: Path,
    steps: int,
    checkpoint_every: int = 25_000,
    report: Callable[[int, Row | None], None] = lambda step, row: None,
    owned: bool = False,
) -> list[Row]:
    """Train, or go on where the folder's checkpoint is, until so many steps were made in all.

    In the folder stand `run.json` (what is run), `evaluations.csv` (a row per evaluation), `metrics.jsonl` (what
    updates reported, a line per evaluation), `checkpoint.pt`, and `factors.txt`, where a program says some.
    Interrupted by SIGINT or SIGTERM, it writes a checkpoint first. A run that goes on equals one that was never
    stopped, to the bit.

    Args:
        run: What is run.
        folder: Where it is kept.
        steps: Environment steps in all; at least so many, where agents of a team learn, a whole iteration at a time.
        checkpoint_every: Environment steps between two checkpoints.
        report: Called after each step, or iteration, with the number of steps so far, and the row of an evaluation.
        owned: Whether the caller has the lease of the folder already.

    Returns:
        The rows of `evaluations.csv`.

    Raises:
        CheckpointError: The folder's checkpoint is damaged.
        FloatingPointError: A loss is not finite.
        KeyboardInterrupt: It was interrupted.
        OSError: A file could not be written; the older ones are whole.
        RuntimeError: Nothing could be learned in all these steps; everything is kept.
        Taken: Another process works in the folder.
        ValueError: Another run is in the folder, or an argument is wrong.
    """
    positive_int("steps", steps)
    positive_int("checkpoint_every", checkpoint_every)
    torch.set_num_threads(run.threads)
    training = begin(run)
    try:
        with nullcontext() if owned else lease(folder):
            return _trained(training, _Diary(folder, run, training), steps, checkpoint_every, report)
    finally:
        training.close()


def _trained(
    training: Training | TeamTraining,
    diary: _Diary,
    steps: int,
    checkpoint_every: int,
    report: Callable[[int, Row | None], None],
) -> list[Row]:
    with _interrupts() as interrupted:
        while training.total_steps < steps:
            _step(diary)
            report(training.total_steps, diary.record() if training.due else None)
            if interrupted() or training.total_steps // checkpoint_every > diary.saved // checkpoint_every:
                diary.save()
            if interrupted():
                raise KeyboardInterrupt(f"stopped at step {training.total_steps}; {diary.folder} has a checkpoint")
    diary.save()
    _check_learned(training, diary.folder)
    return diary.rows


def _step(diary: _Diary) -> None:
    try:
        diary.training.step()
    except FloatingPointError as error:
        raise FloatingPointError(
            f"{error} This was at step {diary.training.total_steps} of {diary.folder}, whose checkpoint of step "
            f"{diary.saved} and rows stay as they are."
        ) from error


def _check_learned(training: Training | TeamTraining, folder: Path) -> None:
    if training.updates and not training.fitted:
        raise RuntimeError(
            f"{training.method.redistributor} was never updated in {training.total_steps} steps, and the learner "
            f"learned from rewards as they were paid: {_why_not_fitted(training)}. {folder} has what was done."
        )
    if training.updates:
        return
    store, row = training.store, LEARNERS[training.method.learner]
    on_policy = row.make is PPO
    if not store.num_episodes:
        why = "no episode has ended: train for more steps, or make episodes shorter with max_episode_steps"
    elif not store.num_labeled_bags:
        why = f"none of {store.num_bags} bags was labeled: train for more steps, or raise label_fraction"
    elif row.replays:
        batch = training.method.resolved()["learner"]["batch"]
        why = (
            f"learner.batch={batch} episodes must be stored first, and {store.num_whole_episodes} are: train for more, "
            "lower it, or raise training.capacity"
        )
    elif not on_policy and not training.fitted:
        why = _why_not_fitted(training)
    else:
        waits = "rollout" if on_policy else "random_steps"
        value = getattr(training.config, waits)
        why = f"training.{waits}={value} steps are not over: train for more, or lower it"
    raise RuntimeError(f"nothing was learned in {training.total_steps} steps: {why}. {folder} has what was done.")


def _why_not_fitted(training: Training | TeamTraining) -> str:
    schedule = training.redistributor.schedule
    if training.total_steps < schedule.warm_up:
        return f"redistributor.warm_up={schedule.warm_up} steps are not over: train for more, or lower it"
    first = math.ceil(max(schedule.warm_up, 1) / schedule.every) * schedule.every
    every = f"redistributor.every={schedule.every}"
    if training.total_steps < first:
        return f"the redistributor is updated at step {first} for the first time ({every}): train for more, or lower it"
    return f"no bag was labeled yet when the redistributor was to be updated ({every}): train for more, or lower it"


class _Diary:
    """The folder of a run that is going on."""

    def __init__(self, folder: Path, run: Run, training: Training | TeamTraining) -> None:
        self.folder, self.training = folder, training
        self.rows: list[Row] = []
        self._metrics: list[str] = []
        self._seconds, self._begun = 0.0, time.perf_counter()
        self.saved = 0
        rows = folder / "evaluations.csv"
        begun = (folder / CHECKPOINT).exists() or (rows.exists() and rows.read_text().count("\n") > 1)
        description.claim(folder, run.described(), begun)
        program = getattr(getattr(training.redistributor, "factors", None), "program", None)
        if program is not None:
            write_whole(folder / "factors.txt", program.text)
        self._checkpoint = folder / CHECKPOINT
        if self._checkpoint.exists():
            self._resume()
        write_whole(folder / "evaluations.csv", _csv_lines(COLUMNS, *(row.values() for row in self.rows)))
        write_whole(folder / "metrics.jsonl", "".join(self._metrics))

    def _resume(self) -> None:
        state = checkpoint.load(self._checkpoint)
        self.training.load_state_dict(state["training"])
        self.rows, self._metrics, self._seconds = state["rows"], state["metrics"], state["seconds"]
        self.saved = self.training.total_steps

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            FloatingPointError: The learner has numbers that are not finite; the last checkpoint stays.
        """
        state: dict[str, Any] = {"training": self.training.state_dict(), "rows": self.rows, "metrics": self._metrics}
        if (found := checkpoint.not_finite(state["training"]["parts"]["learner"])) is not None:
            raise FloatingPointError(
                f"{found} of the learner is not finite at step {self.training.total_steps}: the checkpoint of step "
                f"{self.saved} in {self.folder} stays. Look for observations, actions or rewards that are too large."
            )
        checkpoint.save(self._checkpoint, {**state, "seconds": self._spent()})
        self.saved = self.training.total_steps

    def record(self) -> Row:
        """Evaluate, and write a row of it."""
        progress = self.training.progress()
        row = evaluation_row(progress, self.training.updates, self._spent())
        self.rows.append(row)
        means = {name: mean if math.isfinite(mean) else None for name, mean in progress.means.items()}
        self._metrics.append(json.dumps({"step": progress.step, **means}, allow_nan=False) + "\n")
        for name, text in (("evaluations.csv", _csv_lines(row.values())), ("metrics.jsonl", self._metrics[-1])):
            with (self.folder / name).open("a", newline="") as file:
                file.write(text)
        return row

    def _spent(self) -> float:
        return round(self._seconds + time.perf_counter() - self._begun, 1)


def evaluation_row(progress: Progress, updates: int | None, seconds: float) -> Row:
    """Return how a run stands as a row with `COLUMNS`."""
    evaluation, means = progress.evaluation, progress.means
    return {
        "step": progress.step,
        "episodes": progress.episodes,
        "return": evaluation.mean,
        "return_std": evaluation.std,
        "length": sum(evaluation.lengths) / len(evaluation.lengths),
        "success_rate": evaluation.success_rate,
        "paid": means.get("training/paid"),
        "redistribution_loss": means.get("redistributor/loss"),
        "learner_updates": updates,
        "seconds": seconds,
    }


def _csv_lines(*rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Yield whether SIGINT or SIGTERM came; elsewhere than in the main thread they do what they always do."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, lambda n, _: came.append(n)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
