"""Dense rewards of recorded episodes, and the same episodes paid late by a schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bagged_envs.dataset_file import versions
from bagged_envs.dataset_form import Dataset, DatasetError, demand, shown_at
from bagged_envs.dataset_minari import from_minari, two_returns
from bagged_envs.trajectory import Trajectory
from bagged_envs.wrappers import RewardSchedule, SlotLedger
from bagged_envs.wrappers.arguments import a_seed, int_between
from bagged_envs.wrappers.schedule import a_schedule


def delayed(
    dataset: Any,
    schedule: RewardSchedule,
    seed: int,
    *,
    exact_count: int | None = None,
    dataset_id: str | None = None,
    keep: Sequence[str] = (),
    reference: tuple[float, float] | None = None,
) -> Dataset:
    """Return the same episodes, paid by a schedule: to the bit what an environment with it would have paid.

    Nothing but the labels of the bags that are shown is taken from the rewards; those of others may even be NaN.

    Args:
        dataset: A `Dataset`, or a `MinariDataset`, with dense rewards.
        schedule: When bags close, what they pay, whether it is shown. What is not shown is 0.0.
        seed: Of random lengths and labels, which go on from one episode to the next as after `reset(seed=seed)`.
        exact_count: Instead of a chance for each label: so many units of the schedule's `label_unit` are shown, no more
            and no fewer, each set of them equally likely.
        dataset_id: A name for what is returned; None for the old one with "-delayed".
        keep: For a `MinariDataset`, the infos to keep, such as a criterion of success reads. None is kept by itself,
            because some give the reward away.
        reference: The returns that are the scores 0 and 100; None for those of `dataset`.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument has a value that cannot be meant.
        DatasetError: The rewards are late already, or were said by a redistributor, or a label is not finite.
    """
    check_storable(a_schedule(schedule), exact_count)
    a_seed(seed)
    scores = two_returns("reference", reference)
    source = dataset if isinstance(dataset, Dataset) else from_minari(dataset, keep, labels_finite=False)
    ledger = SlotLedger(schedule, "pass")
    ledger.reset(seed)
    dense = dense_rewards(source)
    paid = [_paid(one, rewards, ledger, schedule) for one, rewards in zip(source.trajectories, dense, strict=True)]
    if exact_count is not None:
        paid = _exactly(exact_count, paid, schedule, seed)
    return replace(
        source,
        trajectories=tuple(_finite(number, one) for number, one in enumerate(paid)),
        dataset_id=dataset_id or "{}-delayed-{}".format(*source.dataset_id.rsplit("-", 1)),
        schedule=schedule,
        seed=seed,
        exact_count=exact_count,
        reference=source.reference if scores is None else scores,
        source=source.dataset_id,
        versions=versions(),
    )


def dense_rewards(dataset: Any) -> list[npt.NDArray[np.float64]]:
    """Return the true reward of each step, `[T]` of each episode: what `delayed` delays.

    Of what was recorded with a delay and `expose_reward=True` these are `extras["dense_rewards"]`.

    Args:
        dataset: A `Dataset` or a `MinariDataset`.

    Raises:
        TypeError: `dataset` is none.
        DatasetError: The rewards are late, or were said by a redistributor.
    """
    dataset = dataset if isinstance(dataset, Dataset) else from_minari(dataset, labels_finite=False)
    if dataset.redistributor is not None:
        raise DatasetError(
            f"{dataset.dataset_id}: rewards must be the task's to be delayed, and a redistributor said them "
            f"({dataset.redistributor.get('name')}): delay the dataset that {dataset.source} was made of."
        )
    return [_dense(number, one, dataset.schedule) for number, one in enumerate(dataset.trajectories)]


def check_storable(schedule: RewardSchedule, exact_count: int | None) -> None:
    """Refuse a schedule that no file can hold, or that an exact number of labels contradicts."""
    if schedule.unlabeled_reward != 0.0:
        raise ValueError(
            f"schedule must have unlabeled_reward=0.0, got {schedule.unlabeled_reward}: in a dataset a missing "
            "label is 0.0, and `labeled` says that it is missing."
        )
    if schedule.success is not None and not isinstance(schedule.success, str):
        raise ValueError(
            f"schedule must pay by a named criterion, got success={schedule.success!r}: a file cannot hold it."
        )
    if exact_count is not None and schedule.draws_labels:
        raise ValueError(
            f"exact_count={exact_count} needs label_fraction=1.0, got {schedule.label_fraction}: it takes its place."
        )


def _paid(
    trajectory: Trajectory, dense: npt.NDArray[np.float64], ledger: SlotLedger, schedule: RewardSchedule
) -> Trajectory:
    """Return an episode as the ledger pays it; its end, cut or not, closes the last bag."""
    rewards, bag_ids, labeled = ledger.pay_episode(dense.tolist(), _judge(trajectory, schedule))
    return replace(
        trajectory,
        rewards=rewards,
        bag_ids=bag_ids,
        labeled=labeled,
        closed=True,
        extras={name: array for name, array in trajectory.extras.items() if name != "dense_rewards"},
    )


def _judge(trajectory: Trajectory, schedule: RewardSchedule) -> Callable[[float], bool] | None:
    judge = schedule.judge
    if judge is None:
        return None
    info = {name: array[-1] for name, array in trajectory.extras.items() if name != "dense_rewards"}
    return lambda total: bool(judge(trajectory.observations[-1], info, total, trajectory.terminated))


def _dense(number: int, trajectory: Trajectory, recorded: RewardSchedule | None) -> npt.NDArray[np.float64]:
    """Return the dense rewards of an episode that was recorded with a schedule, or with none.

    Raises:
        DatasetError: They cannot be told from what was paid.
    """
    dense = trajectory.extras.get("dense_rewards")
    if dense is not None:
        return np.asarray(dense, dtype=np.float64)
    late = trajectory.num_bags < len(trajectory) or not trajectory.labeled.all()
    late |= recorded is not None and not recorded.in_reward_units
    demand(not late, f"episode {number}", "rewards", "dense", "late ones: delay the dataset that they were made of")
    return trajectory.rewards


def _exactly(count: int, paid: Sequence[Trajectory], schedule: RewardSchedule, seed: int) -> list[Trajectory]:
    """Show so many labels, and hide the others."""
    bags = np.array([one.num_bags for one in paid])
    by_episode = schedule.label_unit == "episode"
    units = len(paid) if by_episode else int(bags.sum())
    int_between("exact_count", count, 1, units)
    labels = np.random.SeedSequence(seed).spawn(2)[1]  # as the ledger does, apart from the lengths
    shown = np.zeros(units, dtype=np.bool_)
    shown[np.random.default_rng(labels).choice(units, count, replace=False)] = True
    parts = np.split(np.repeat(shown, bags) if by_episode else shown, np.cumsum(bags)[:-1])
    return [_hidden(one, part) for one, part in zip(paid, parts, strict=True)]


def _hidden(trajectory: Trajectory, shown: npt.NDArray[np.bool_]) -> Trajectory:
    trajectory = replace(trajectory, labeled=shown)
    _, observed = shown_at(trajectory)
    return replace(trajectory, rewards=np.where(observed, trajectory.rewards, 0.0))


def _finite(number: int, trajectory: Trajectory) -> Trajectory:
    bad = np.flatnonzero(~np.isfinite(trajectory.rewards)).tolist()
    demand(not bad, f"episode {number}", "the labels", "finite", f"NaN or infinity at the steps {bad[:5]}")
    return trajectory
