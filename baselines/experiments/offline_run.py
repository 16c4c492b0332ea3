"""One run of learning offline: a dataset whose rewards come late or are mostly missing, a method, a seed.

    python -m bagged_envs.baselines.experiments.offline_run imputer-td3_bc datasets/hopper-medium bag_len=1 \
        --labels 0.01 --seed 0 --updates 20000 --out runs/one

The dataset is dense; words without a dot are the schedule that delays it, `--labels` the share of its bags that are
labeled, exactly, and the seed draws which. Words that begin with `redistributor.`, `learner.` or `training.` are
settings. Kept in the folder: `run.json`, a row per evaluation in `evaluations.csv`, and a checkpoint of the last one,
from which a run that was stopped goes on, to the bit.

A row has, beside the policy's return and its normalized score, how what the redistributor says agrees with the true
rewards of steps whose own was not shown: R² and the mean absolute error. Nothing that learns ever sees these.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch
from gymnasium.envs.registration import EnvSpec

from bagged_envs.baselines import checkpoint, description
from bagged_envs.baselines.checkpoint import CheckpointError
from bagged_envs.baselines.command import grouped
from bagged_envs.baselines.description import as_json
from bagged_envs.baselines.growing_table import write_rows
from bagged_envs.baselines.imputation import Agreement, agreement
from bagged_envs.baselines.lease import Taken, lease
from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.offline import OfflineTraining, offline_config
from bagged_envs.baselines.promises import pays_dense
from bagged_envs.baselines.recorded import labeled_steps
from bagged_envs.baselines.runs import CHECKPOINT, versions
from bagged_envs.baselines.scores import normalized_score, range_of
from bagged_envs.dataset_file import MANIFEST, read_json
from bagged_envs.dataset_form import demand
from bagged_envs.dataset_spec import OURS, parsed_spec
from bagged_envs.datasets import Dataset, DatasetError, delayed, dense_rewards, load
from bagged_envs.registration import dense_id, env_id, task_arguments
from bagged_envs.tasks import TASKS
from bagged_envs.trajectory import Trajectory
from bagged_envs.variants import VARIANTS
from bagged_envs.wrappers import RewardSchedule
from bagged_envs.wrappers.arguments import counted, known, positive_int

Row = dict[str, Any]
Floats = npt.NDArray[np.float64]
COLUMNS = (
    *("step", "return", "return_std", "score", "length"),
    *("r2", "error", "fit_updates", "held_out_error", "reward_scale", "seconds"),
)
# Wrappers that change nothing of the task.
HARMLESS = (
    *(":OrderEnforcing", ":PassiveEnvChecker", ":RecordEpisodeStatistics", ":Autoreset"),
    *(":RecordVideo", ":RenderCollection", ":HumanRendering"),
)


@dataclass(frozen=True)
class OfflineRun:
    """What is run: everything that the result depends on, but how long.

    Attributes:
        method: Who learns.
        data: The folder of a dense dataset.
        schedule: Of its rewards.
        labels: The share of the bags that are labeled; None for what the schedule says.
        config: Settings that belong to no method.
        seed: Of which labels there are, and of everything else that is random.
    """

    method: Method
    data: Path
    schedule: RewardSchedule
    labels: float | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what would only fail after the data was read.

        Raises:
            ValueError: The share of labels is none, the schedule's labels are no sums of rewards, or the method does
                not learn offline.
        """
        if self.labels is not None and not 0.0 < self.labels <= 1.0:
            raise ValueError(f"labels must be a share above 0 and at most 1, got {self.labels}.")
        if not self.schedule.pays_sums:
            raise ValueError(
                f"schedule must pay sums of rewards, got {self.schedule}: other labels cannot stand among true "
                "rewards, nor can what is made of them be compared with these."
            )
        offline_config(self.method.learner, self.config)

    def described(self, dataset: Dataset) -> dict[str, Any]:
        """Return all of it, as JSON carries it."""
        told = {
            "method": self.method.name,
            "settings": self.method.resolved(),
            "data": self.data.name,
            "data_seed": dataset.seed,
            "data_steps": dataset.steps,
            "data_sha256": digest(self.data),
            "schedule": str(self.schedule),
            "labels": self.labels,
            "config": vars(offline_config(self.method.learner, self.config)),
            "seed": self.seed,
            "versions": versions(task_id(dataset)),
        }
        found: dict[str, Any] = as_json(told)
        return found


def task_id(dataset: Dataset) -> str:
    """Return an ID of ours on whose task a dataset was recorded; its delay does not matter to an evaluation.

    Raises:
        DatasetError: Its `env_spec` is none.
        ValueError: It was recorded in no task of ours, or with other arguments or wrappers than the task's own.
    """
    where = f"{dataset.dataset_id}: env_spec"
    spec = {} if dataset.env_spec is None else parsed_spec(dataset.env_spec, where)
    for task in TASKS.values():
        delayed_ids = [env_id(variant, task.name) for variant in VARIANTS]
        if spec.get("id") in (dense_id(task), *delayed_ids):
            _check_own(dataset.dataset_id, spec, gym.spec(spec["id"]))
            return env_id("Bagged", task.name)
    raise ValueError(
        f"{dataset.dataset_id} must be recorded in a task of ours, such as Hopper-v5 or BaggedCheetahRun-v0 with "
        f"bag_len=1, got {spec.get('id')}."
    )


def _check_own(dataset_id: str, spec: Mapping[str, Any], own: EnvSpec) -> None:
    """Refuse a task whose arguments, wrappers or limit are not its own: policies would be evaluated on another one."""
    for name, found, wanted in (
        ("wrappers", _changing(spec, own), []),
        ("arguments", _told_apart(spec), _told_apart(json.loads(own.to_json()))),
        ("max_episode_steps", spec.get("max_episode_steps"), own.max_episode_steps),
    ):
        if found != wanted:
            raise ValueError(
                f"{dataset_id} must be recorded in {own.id} as it is, with {name} {wanted}, got {found}: policies are "
                "evaluated on the task as it is."
            )


def _told_apart(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a specification that make another task, or other observations of it."""
    kwargs = spec.get("kwargs") or {}
    kept = {name: value for name, value in task_arguments(kwargs).items() if name != "render_mode"}
    return kept | ({"observe_bag": True} if kwargs.get("observe_bag", False) else {})


def _changing(spec: Mapping[str, Any], own: EnvSpec) -> list[str]:
    """Return the names of the wrappers of a specification that change more than when rewards are paid."""
    limit = {"max_episode_steps": own.max_episode_steps}
    return [
        one["name"]
        for one in spec["additional_wrappers"]
        if one["entry_point"] not in OURS
        and not one["entry_point"].endswith(HARMLESS)
        and not (one["entry_point"].endswith(":TimeLimit") and one["kwargs"] == limit)
    ]


def digest(folder: Path) -> str:
    """Return how the SHA-256 of a dataset's manifest begins, which has those of all arrays: 16 hex digits.

    Raises:
        DatasetError: The manifest cannot be read.
    """
    told = read_json(folder / MANIFEST).get("sha256")
    demand(isinstance(told, str), str(folder / MANIFEST), "sha256", "a text", repr(told)[:60])
    return str(told)[:16]


def _reference(dataset: Dataset) -> tuple[float, float]:
    """Return the returns that are the scores 0 and 100: the dataset's own, or D4RL's of its task."""
    if dataset.reference is not None:
        return dataset.reference
    try:
        return range_of(task_id(dataset))
    except DatasetError:
        raise
    except ValueError as error:
        raise ValueError(
            f"{dataset.dataset_id} must have the returns that are the scores 0 and 100, got none: record it with "
            f"reference=(low, high), or {error}"
        ) from error


def late(run: OfflineRun, dense: Dataset) -> tuple[Trajectory, ...]:
    """Return the episodes as the method gets them: the true rewards are there for `oracle` only."""
    count = None
    if run.labels is not None:
        by_episode = run.schedule.label_unit == "episode"
        units = len(dense) if by_episode else delayed(dense, run.schedule, run.seed).num_bags
        count = max(1, round(run.labels * units))
    episodes = delayed(dense, run.schedule, run.seed, exact_count=count).trajectories
    if not run.method.pays_dense:
        return episodes
    return tuple(
        replace(one, extras={"dense_rewards": true}) for one, true in zip(episodes, dense_rewards(dense), strict=True)
    )


def train(run: OfflineRun, folder: Path, updates: int, report: Callable[[Row], None] = lambda row: None) -> list[Row]:
    """Train, or go on where the folder's checkpoint is, until so many updates were made in all; return the rows.

    Args:
        run: What is run.
        folder: Where it is kept.
        updates: Of the learner, as many as `evaluate_every` or more; those after the last evaluation are worth nothing.
        report: Called with each new row.

    Raises:
        CheckpointError: The folder's checkpoint is damaged.
        DatasetError: The dataset is damaged.
        FloatingPointError: A loss is not finite; rows and checkpoint stay.
        Taken: Another process works in the folder.
        TypeError: The learner has no use for the task's actions.
        ValueError: Another run is in the folder, or an argument is wrong; or the dataset has no scores 0 and 100.
    """
    positive_int("updates", updates)
    torch.set_num_threads(1)
    with lease(folder):
        dense = load(run.data)
        reference = _reference(dense)
        config, episodes = offline_config(run.method.learner, run.config), late(run, dense)
        if updates < config.evaluate_every:
            raise ValueError(
                f"updates must be at least evaluate_every={config.evaluate_every}, got {updates}: nothing would be "
                "kept."
            )
        training = OfflineTraining(run.method, task_id(dense), episodes, config=config, seed=run.seed)
        try:
            description.claim(folder, run.described(dense), begun=(folder / CHECKPOINT).exists())
            compare = partial(compared, episodes, dense_rewards(dense))
            return _trained(training, compare, reference, folder, updates, report)
        finally:
            training.close()


def _trained(
    training: OfflineTraining,
    compare: Callable[[OfflineTraining], Agreement | None],
    reference: tuple[float, float],
    folder: Path,
    updates: int,
    report: Callable[[Row], None],
) -> list[Row]:
    begun, rows, seconds = time.perf_counter(), list[Row](), 0.0
    if (folder / CHECKPOINT).exists():
        state = checkpoint.load(folder / CHECKPOINT)
        training.load_state_dict(state["training"])
        rows, seconds = state["rows"], state["seconds"]
        _tell(folder, rows)  # what was stopped between the checkpoint and the table
    if training.total_steps < updates and not training.fitted:
        training.fit()
    agrees = compare(training) if training.total_steps < updates else None
    while training.total_steps < updates:
        training.step()
        if training.due:
            spent = round(seconds + time.perf_counter() - begun, 1)
            rows.append(_row(training, agrees, reference, spent))
            _keep(training, folder, rows, spent)
            report(rows[-1])
    return rows


def _keep(training: OfflineTraining, folder: Path, rows: Sequence[Row], seconds: float) -> None:
    """Write the checkpoint first: the table is made of what it has."""
    checkpoint.save(folder / CHECKPOINT, {"training": training.state_dict(), "rows": list(rows), "seconds": seconds})
    _tell(folder, rows)


def _tell(folder: Path, rows: Sequence[Row]) -> None:
    write_rows(folder / "evaluations.csv", COLUMNS, rows)


def compared(episodes: Sequence[Trajectory], dense: Sequence[Floats], training: OfflineTraining) -> Agreement | None:
    """Return how what is said of steps agrees with the truth; None of a method that leaves them out, or is told it.

    Args:
        episodes: As the method got them.
        dense: The true reward of each step, `[T]` of each episode.
        training: Which has fitted its redistributor.
    """
    redistributor = training.redistributor
    hidden = [~labeled_steps(one) for one in episodes]
    if redistributor.only_labeled or pays_dense(redistributor) or not any(map(np.any, hidden)):
        return None
    return agreement(training.predictions(), dense, hidden)


def _row(training: OfflineTraining, agrees: Agreement | None, reference: tuple[float, float], seconds: float) -> Row:
    progress = training.progress()
    evaluation, fitted = progress.evaluation, training.imputation
    return {
        "step": progress.step,
        "return": evaluation.mean,
        "return_std": evaluation.std,
        "score": normalized_score(training.id, evaluation.mean, reference),
        "length": sum(evaluation.lengths) / len(evaluation.lengths),
        "r2": None if agrees is None else agrees.r2,
        "error": None if agrees is None else agrees.error,
        "fit_updates": None if fitted is None else fitted.updates,
        "held_out_error": None if fitted is None else fitted.error,
        "reward_scale": training.reward_scale,
        "seconds": seconds,
    }


def parsed(words: Sequence[str] | None = None) -> tuple[OfflineRun, argparse.Namespace]:
    """Return the run that words describe, and what else they say; wrong words end the program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method")
    parser.add_argument("data", type=Path)
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--labels", type=float, help="the share of labeled bags; all where it is not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--updates", type=counted, default=20_000)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_intermixed_args(words)
    try:
        groups = grouped(given.settings)
        method = Method.named(given.method, groups["redistributor"], groups["learner"])
        for name in groups["environment"]:
            known("A setting of the schedule", name, [field.name for field in fields(RewardSchedule)])
        schedule = RewardSchedule(**groups["environment"])
        return OfflineRun(method, given.data, schedule, given.labels, groups["training"], given.seed), given
    except (ImportError, TypeError, ValueError) as error:
        parser.error(str(error))


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    run, given = parsed(words)
    try:
        train(run, given.out, given.updates, lambda row: print(row, flush=True))
    except (CheckpointError, OSError, FloatingPointError, Taken, TypeError, ValueError) as error:
        raise SystemExit(f"offline_run: {error}") from error
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
