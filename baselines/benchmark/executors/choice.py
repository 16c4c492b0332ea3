"""The executors by name, and which settings are whose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bagged_envs.baselines.benchmark.executors import Executor
from bagged_envs.baselines.benchmark.executors.local import LocalProcesses
from bagged_envs.baselines.benchmark.executors.ray import RayTasks
from bagged_envs.baselines.benchmark.executors.slurm import MINUTES, SlurmArrays
from bagged_envs.wrappers.arguments import known, positive_int

SETTINGS = {"local": (), "ray": ("address",), "slurm": ("partition", "account", "time", "memory")}
SLURM_FOLDER = "slurm"  # beside the runs


def chosen(
    name: str,
    workers: int,
    out: Path,
    address: str | None = None,
    partition: str | None = None,
    account: str | None = None,
    time: int | None = None,
    memory: int | None = None,
) -> Executor:
    """Return an executor.

    Args:
        name: local, ray or slurm.
        workers: How many runs at once.
        out: The folder of all runs.
        address: Of a Ray cluster.
        partition: Of SLURM.
        account: Of SLURM.
        time: Minutes of a SLURM job.
        memory: GB of a SLURM job.

    Raises:
        ValueError: There is no such executor, or it has no such setting, or cannot be used here.
        gymnasium.error.DependencyNotInstalled: Its package is missing.
        ConnectionError: There is no Ray cluster at that address.
    """
    check(
        name, workers, {"address": address, "partition": partition, "account": account, "time": time, "memory": memory}
    )
    if name == "ray":
        return RayTasks(workers, address)
    if name == "slurm":
        return SlurmArrays(workers, out / SLURM_FOLDER, MINUTES if time is None else time, partition, account, memory)
    return LocalProcesses(workers)


def check(name: str, workers: int, given: Mapping[str, object]) -> None:
    """Check what an executor is asked for, without making it.

    Args:
        name: As for `chosen`.
        workers: As for `chosen`.
        given: Settings of executors; None where there is none.

    Raises:
        ValueError: There is no such executor, it has no such setting, or there is no worker.
    """
    known("executor", name, tuple(SETTINGS))
    positive_int("workers", workers)
    for setting, value in given.items():
        if value is not None and setting not in SETTINGS[name]:
            whose = next(executor for executor, settings in SETTINGS.items() if setting in settings)
            raise ValueError(f"{setting} must be left out with executor {name!r}, got {value!r}: it is of {whose!r}.")
