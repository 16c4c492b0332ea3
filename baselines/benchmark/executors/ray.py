"""Makes runs as tasks of a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import gymnasium as gym

from bagged_envs.baselines.benchmark.executors import Handle, Lost, Work
from bagged_envs.baselines.benchmark.executors.leash import Leashed
from bagged_envs.wrappers.arguments import positive_int

RETRIES = 10  # machines that a run may lose
CARRIED = ("MUJOCO_GL", "PYTHONPATH")  # variables that go to the nodes with a run; all others are those of the node

# Of a cluster that is begun here: nobody was asked for statistics, and runs come before what is nice to them.
NEW = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
REACHED = 5.0  # seconds to reach a cluster


@dataclass(frozen=True)
class RayHandle:
    """A task.

    Attributes:
        ray: The package.
        task: A reference to what it returns.
    """

    ray: Any
    task: Any

    def poll(self) -> int | None:
        """Return the exit code; None while the task waits or runs.

        Raises:
            Lost: It lost too many machines, or was cancelled.
        """
        if not self.ray.wait([self.task], timeout=0)[0]:
            return None
        try:
            return int(self.ray.get(self.task))
        except self.ray.exceptions.RayTaskError as error:
            raise Lost(f"Ray: {error.cause}") from error
        except self.ray.exceptions.RayError as error:
            raise Lost(f"Ray: {type(error).__name__}: {str(error).partition(chr(10))[0]}") from error


class RayTasks:
    """A task for each run, which needs as many processors as the run has threads. They stop if the runner is killed.

    A run whose node is lost is made again on another, from its last checkpoint; one that fails by itself is not.

    Args:
        workers: How many tasks at once; those for which no processor is free wait.
        address: Of a cluster. Without it, that of the environment variable RAY_ADDRESS, one that runs on this machine,
            or a new one on this machine.

    Attributes:
        room: How many tasks at once.

    Raises:
        gymnasium.error.DependencyNotInstalled: Ray is missing.
        ConnectionError: There is no cluster at that address.
    """

    def __init__(self, workers: int, address: str | None = None) -> None:
        self.room = positive_int("workers", workers)
        for name, value in NEW.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError as error:
            message = f"executor='ray' needs Ray: pip install \"bagged_envs[ray]\" ({error})"
            raise gym.error.DependencyNotInstalled(message) from error
        self._ray: Any = ray
        self._joined = not ray.is_initialized()
        if self._joined:
            _check(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        self._most = max((node["Resources"].get("CPU", 0) for node in self._ray.nodes() if node["Alive"]), default=0)

    def begin(self, works: Sequence[Work]) -> list[RayHandle]:
        """Submit tasks."""
        return [self._begun(work) for work in works]

    def _begun(self, work: Work) -> RayHandle:
        if work.cpus > self._most:
            warnings.warn(
                f"runs need {work.cpus} processors and the largest node of the Ray cluster has {self._most:g}: they "
                "wait until a larger one joins. Set fewer threads in the suite.",
                stacklevel=2,
            )
            self._most = work.cpus  # said once
        carried = {name: os.environ[name] for name in CARRIED if name in os.environ}
        needs = {"num_cpus": work.cpus, "num_gpus": work.gpus, "max_retries": RETRIES, "retry_exceptions": False}
        task = self._ray.remote(**needs)(_made)
        return RayHandle(self._ray, task.remote(replace(work, env={**carried, **work.env})))

    def terminate(self, handles: Sequence[Handle]) -> None:
        """Interrupt tasks that run, and take back those that wait."""
        for handle in cast("Sequence[RayHandle]", handles):
            self._ray.cancel(handle.task)

    def kill(self, handles: Sequence[Handle]) -> None:
        """Kill the workers of tasks; their runs notice."""
        for handle in cast("Sequence[RayHandle]", handles):
            self._ray.cancel(handle.task, force=True)

    def close(self) -> None:
        """Leave the cluster, or end it if it was begun here."""
        if self._joined:
            self._ray.shutdown()


def _check(address: str | None) -> None:
    """Check that somebody answers at an address of a host and a port; Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if not host or "/" in host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=REACHED).close()
    except OSError as error:
        raise ConnectionError(f"address must be that of a Ray cluster, got {address!r}: {error}.") from error


def _made(work: Work) -> int:
    """Make a run: what a task does, on its node."""
    return Leashed(work.words, work.env, work.folder, work.log).wait()
