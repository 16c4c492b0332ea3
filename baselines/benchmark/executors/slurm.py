"""Makes runs as jobs of SLURM, through submitit."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import gymnasium as gym

from bagged_envs.baselines.benchmark.executors import Handle, Lost, Work
from bagged_envs.baselines.benchmark.executors.slurm_job import ArrayTask
from bagged_envs.wrappers.arguments import positive_int

MINUTES = 240  # of a job, until it is queued again
REQUEUES = 100  # times that a run may be out of time
NOTICE = 30  # seconds before its time is over that a job is told; SLURM may do so up to a minute earlier
LARGEST = 1000  # jobs in an array: SLURM's own default allows one more
LOOK = 10.0  # seconds between two looks at all jobs
STOPPING = 1.0  # the same, once jobs were asked to end
GONE = 60.0  # seconds that a job has left SLURM's queue until it counts as lost: shared file systems show files late
# Why SLURM takes a job and then never begins it.
NEVER = (
    "AssocMaxWallDurationPerJobLimit",
    "BadConstraints",
    "PartitionTimeLimit",
    "QOSMaxWallDurationPerJobLimit",
)


@dataclass
class SlurmHandle:
    """A job.

    Attributes:
        job: As submitit has it.
        arrays: Who looks after it.
        code: The exit code of its run.
        lost: Why there is none and will be none.
        missed: Since when, in seconds of a steady clock, SLURM does not list the job.
    """

    job: Any
    arrays: SlurmArrays = field(repr=False)
    code: int | None = None
    lost: str | None = None
    missed: float | None = None

    def poll(self) -> int | None:
        """Return the exit code; None while the job waits or runs.

        Raises:
            Lost: SLURM ended the job and does not queue it again, or there is no way to make the run there.
        """
        self.arrays.look()
        if self.lost is not None:
            raise Lost(self.lost)
        return self.code

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.code is not None or self.lost is not None

    def read(self) -> None:
        """Take note of what the job left, if it ended by itself."""
        if not self.job.paths.result_pickle.exists():
            return
        error = self.job.exception()
        if error is None:
            self.code = self.job.result()
        else:
            told = [line for line in str(error).splitlines() if line.strip(" -")]
            why = next((line for line in reversed(told) if "Error" in line), told[0])
            self.lost = f"SLURM job {self.job.job_id}: {why}"

    def compare(self, listed: Mapping[str, str], now: float, patience: float) -> None:
        """Take note of whether SLURM lists the job, with the reason why it waits."""
        number = self.job.job_id
        if listed.get(number) in NEVER:
            self.lost = f"SLURM never begins job {number}: {listed[number]}. Choose other settings, such as --time"
        self.missed = None if number in listed else self.missed or now
        if self.missed is not None and now - self.missed >= patience:
            self.lost = f"SLURM job {number} ended without telling how, see {self.job.paths.stdout}"


class SlurmArrays:
    """A job for each run, in arrays; they go on if the runner is killed.

    A job that is preempted or out of time stops with a checkpoint, is queued again and goes on from there.

    Args:
        workers: How many jobs run at once.
        folder: Where submitit keeps what it needs; all nodes must see it.
        minutes: Of a job.
        partition: Where they run; without it, where SLURM has them run.
        account: Who pays for them.
        memory: In GB, of each; without it, what SLURM gives.

    Attributes:
        room: None: SLURM has a queue of its own.

    Raises:
        gymnasium.error.DependencyNotInstalled: submitit is missing.
        ValueError: There is no SLURM here.
    """

    room = None

    def __init__(
        self,
        workers: int,
        folder: Path,
        minutes: int = MINUTES,
        partition: str | None = None,
        account: str | None = None,
        memory: int | None = None,
    ) -> None:
        try:
            import submitit
        except ImportError as error:
            message = f"executor='slurm' needs submitit: pip install \"bagged_envs[slurm]\" ({error})"
            raise gym.error.DependencyNotInstalled(message) from error
        if shutil.which("sbatch") is None:
            raise ValueError(
                "executor='slurm' needs SLURM's sbatch on this machine: give the command where jobs are submitted."
            )
        self._submitit = submitit
        self._folder = folder.absolute()
        self._settings: dict[str, Any] = {
            "job_name": "bagged-envs",
            "time": positive_int("time", minutes),
            "array_parallelism": positive_int("workers", workers),
            "signal_delay_s": NOTICE,
            "stderr_to_stdout": True,
            "additional_parameters": {"requeue": True},
            **({} if partition is None else {"partition": partition}),
            **({} if account is None else {"account": account}),
            **({} if memory is None else {"mem": f"{positive_int('memory', memory)}GB"}),
        }
        self._handles: list[SlurmHandle] = []
        self._next, self._stopping = 0.0, False

    def begin(self, works: Sequence[Work]) -> list[SlurmHandle]:
        """Submit jobs.

        Raises:
            ValueError: SLURM does not take them.
        """
        made: dict[int, SlurmHandle] = {}
        for portion in _arrays(works):
            jobs = self._submitted([works[place] for place in portion])
            handles = [SlurmHandle(job, self) for job in jobs]
            made |= dict(zip(portion, handles, strict=True))
            self._handles += handles
        return [made[place] for place in range(len(works))]

    def _submitted(self, works: Sequence[Work]) -> list[Any]:
        executor = self._submitit.SlurmExecutor(self._folder, max_num_timeout=REQUEUES)
        executor.update_parameters(**self._settings, **_needs(works[0]), **self._dependency())
        try:
            with executor.batch():
                return [executor.submit(ArrayTask(work)) for work in works]
        except self._submitit.core.utils.FailedJobError as error:
            raise ValueError(f"SLURM takes no jobs: {' '.join(str(error).split())}") from error

    def _dependency(self) -> dict[str, str]:
        """Return after which jobs the next array begins: more than `workers` of several arrays would run at once."""
        before = sorted({_array(handle) for handle in self._handles if not handle.ended})
        return {"dependency": "afterany:" + ":".join(before)} if before else {}

    def look(self) -> None:
        """Take note of jobs that ended, unless that was done just now."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (STOPPING if self._stopping else LOOK)
        for handle in (there := self._open()):
            handle.read()
        listed = _listed()
        if listed is None:
            return
        left = [handle for handle in there if not handle.ended]
        for handle in left:
            handle.compare(listed, now, 0.0 if self._stopping else GONE)
        if held := [handle for handle in left if listed.get(handle.job.job_id) in NEVER]:
            self.kill(held)

    def _open(self) -> list[SlurmHandle]:
        return [handle for handle in self._handles if not handle.ended]

    def terminate(self, handles: Sequence[Handle]) -> None:
        """Take back jobs that wait, and interrupt those that run: they write a checkpoint."""
        self._next, self._stopping = 0.0, True
        ids = sorted({_array(handle) for handle in cast("Sequence[SlurmHandle]", handles)})
        if ids:
            _cancel("--state=PENDING", *ids)
            _cancel("--signal=INT", *ids)

    def kill(self, handles: Sequence[Handle]) -> None:
        """Cancel jobs."""
        ids = [handle.job.job_id for handle in cast("Sequence[SlurmHandle]", handles)]
        if ids:
            _cancel(*ids)

    def close(self) -> None:
        """There is nothing to leave."""


def _arrays(works: Sequence[Work]) -> Iterator[list[int]]:
    """Yield, for each array, the places of its works: all of an array need the same."""

    def need(place: int) -> tuple[int, int]:
        return works[place].cpus, works[place].gpus

    for _, group in groupby(sorted(range(len(works)), key=need), key=need):
        places = list(group)
        for begin in range(0, len(places), LARGEST):
            yield places[begin : begin + LARGEST]


def _needs(work: Work) -> dict[str, Any]:
    # Told to srun as well: since SLURM 22.05 it takes no number of processors from the job.
    needs = {"cpus_per_task": work.cpus, "srun_args": [f"--cpus-per-task={work.cpus}"]}
    return needs | ({"gpus_per_node": work.gpus} if work.gpus else {})


def _array(handle: SlurmHandle) -> str:
    return str(handle.job.job_id).partition("_")[0]


def _listed() -> dict[str, str] | None:
    """Return the user's jobs that wait, with the reason, or run; None where SLURM does not answer, as on a restart.

    By squeue: sacct knows more, but not every cluster has it.
    """
    words = ["squeue", "--noheader", "--array", "--format=%i %r", f"--user={getpass.getuser()}"]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        return None
    return {number: reason for number, _, reason in (line.partition(" ") for line in found.stdout.splitlines())}


def _cancel(*words: str) -> None:
    """Run scancel; jobs that ended meanwhile are no error.

    Raises:
        OSError: It failed.
    """
    found = subprocess.run(["scancel", "--quiet", *words], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise OSError(f"scancel {' '.join(words)} failed: {found.stderr.strip()}")
