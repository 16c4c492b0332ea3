"""What a suite will take: each method and each environment is measured for a moment, and all runs are counted up.

A method is measured on the suite's first environment, when everything in it learns. On another environment it is taken
to cost the same but for the environment's own steps. Evaluations are taken to play episodes of full length, so that the
estimate is rather too high where episodes end early.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import gymnasium as gym
import torch
from gymnasium.spaces import Box
from rich.table import Table

from bagged_envs.baselines.benchmark.arms import ARMS
from bagged_envs.baselines.benchmark.job import Job
from bagged_envs.baselines.benchmark.probe import Cost, agent_cost, judging_cost, offline_cost, stepping, training_cost
from bagged_envs.baselines.benchmark.suite import Suite
from bagged_envs.baselines.judging.recordings import POLICIES, dense_env
from bagged_envs.baselines.training import TrainingConfig
from bagged_envs.wrappers.arguments import positive_int, real_number

MEASURE = {
    "training": training_cost,
    "agent": agent_cost,
    "redistribution": judging_cost,
    "offline": offline_cost,
}
LONGEST = 1_000  # steps of an episode of an environment without a time limit
ROW = 300  # bytes of an evaluation, in all files together
RECORDING = "(recording)"  # no runs of the suite: what its judged runs share
RECORDER, RECORDER_SECONDS = ARMS["identity-sac"], 1.0

Place = tuple[str, str]  # an ID and its arguments


@dataclass(frozen=True)
class Share:
    """What the runs of one method on one environment take.

    Attributes:
        method: What tables call it.
        id: Of the environment.
        arguments: Of the environment, as text.
        runs: How many; 0 for what runs share.
        seconds: Of one worker, together.
        bytes: On disk, together.
    """

    method: str
    id: str
    arguments: str
    runs: int
    seconds: float
    bytes: float


def check(seconds: float, workers: int) -> None:
    """Check what is asked for before anything is measured.

    Raises:
        ValueError: There is no time, or no worker.
    """
    positive_int("workers", workers)
    if not 0.0 < real_number("seconds", seconds) < math.inf:
        raise ValueError(f"seconds must be above 0, got {seconds}.")


def estimate(suite: Suite, seconds: float = 60.0, report: Callable[[str], None] = lambda name: None) -> list[Share]:
    """Return what the runs of a suite take on this machine, as it is while this is measured.

    Args:
        suite: Which.
        seconds: How long to measure, about: methods that learn in rare bursts take as long as they need.
        report: Called with the name of what is measured next.

    Raises:
        ValueError: A method cannot learn on the suite's first environment, or there is no time.
    """
    check(seconds, 1)
    torch.set_num_threads(suite.threads)
    jobs, steps = suite.jobs(), dict[Place, float]()
    for job in jobs:
        if _place(job) not in steps:
            report(job.id)
            steps[_place(job)] = stepping(job)
    shares: list[Share] = []
    for arm in suite.arms:
        report(arm.name)
        own = [job for job in jobs if job.arm is arm]
        cost = MEASURE[arm.kind](own[0], seconds / len(suite.arms))
        shares += [_share(own, place, cost, steps) for place in steps]
    return [*shares, *_recordings(jobs, steps, report)]


def _place(job: Job) -> Place:
    return job.id, str(dict(job.arguments))


def _share(own: list[Job], place: Place, cost: Cost, steps: Mapping[Place, float]) -> Share:
    """Return what a method takes on an environment, when it was measured on that of its first run."""
    runs = [job for job in own if _place(job) == place]
    here, there = steps[place], steps[_place(own[0])]
    learning, acting = (max(here, took - there + here) if took else 0.0 for took in (cost.learning, cost.acting))
    moved = replace(cost, learning=learning, acting=acting)
    job, count = runs[0], len(runs)
    return Share(job.arm.name, *place, count, count * _seconds(job, moved, here), count * _bytes(job, moved))


def _seconds(job: Job, cost: Cost, stepping: float) -> float:
    """Return the seconds of one run."""
    idle = min(cost.idle, job.steps)
    evaluated = job.steps // job.protocol.every * job.protocol.episodes * _longest(job)
    return idle * stepping + (job.steps - idle) * cost.learning + evaluated * cost.acting


def _longest(job: Job) -> int:
    return gym.spec(job.id).max_episode_steps or LONGEST


def _bytes(job: Job, cost: Cost) -> float:
    """Return the bytes of one run."""
    kept = min(job.steps, _capacity(job))
    return cost.fixed + kept * max(0.0, cost.slope) + job.steps // job.protocol.every * ROW


def _capacity(job: Job) -> int:
    return job.arm.config().capacity if job.arm.kind == "training" else TrainingConfig().capacity


def _recordings(jobs: list[Job], steps: Mapping[Place, float], report: Callable[[str], None]) -> Iterator[Share]:
    """Yield what it takes to record episodes, to be judged on or to be learned from: once for each task and seed."""
    judged: dict[Place, list[Job]] = {}
    for job in jobs:
        if job.arm.kind in ("redistribution", "offline"):
            judged.setdefault(_place(job), []).append(job)
    learning = None
    for place, some in judged.items():
        job, seeds = some[0], len({one.seed for one in some})
        config, own = job.protocol.recording, steps[place]
        env = dense_env(job.id, job.arguments)
        learns = isinstance(env.action_space, Box)  # tables cost nothing beside
        env.close()
        if learns and learning is None:
            report("recording")
            learning = training_cost(replace(job, arm=RECORDER), RECORDER_SECONDS).learning - own
        trained = config.steps * (own + (learning or 0.0) * learns)
        played = len(POLICIES) * config.episodes * _longest(job) * own
        yield Share(RECORDING, *place, 0, seeds * (trained + played), 0.0)


def table(shares: list[Share], workers: int) -> Table:
    """Return a table with a row per method, and all together.

    Args:
        shares: What `estimate` returned.
        workers: Runs at once, for the time that will pass.

    Raises:
        ValueError: There is no worker.
    """
    check(1.0, workers)
    made = Table()
    for heading in ("method", "runs", "core-hours", "hours per run", "disk"):
        made.add_column(heading, justify="left" if heading == "method" else "right")
    for method in dict.fromkeys(share.method for share in shares):
        made.add_row(method, *_cells([share for share in shares if share.method == method]))
    made.add_section()
    made.add_row("together", *_cells(shares))
    hours = sum(share.seconds for share in shares) / 3600
    made.caption = (
        f"About {hours / workers:,.1f} hours with {workers} workers on as many idle cores, if all episodes of "
        "evaluations are as long as they can be."
    )
    return made


def _cells(shares: list[Share]) -> tuple[str, ...]:
    runs, hours = sum(share.runs for share in shares), sum(share.seconds for share in shares) / 3600
    size = sum(share.bytes for share in shares)
    disk = f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"
    each = f"{hours / runs:,.3f}" if runs else ""
    return f"{runs:,}" if runs else "", f"{hours:,.2f}", each, disk
