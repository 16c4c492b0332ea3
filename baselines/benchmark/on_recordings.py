"""Learning offline as a run of a benchmark: from the recorded episodes on which redistributors are judged, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import bagged_envs
from bagged_envs.baselines.benchmark.quality import RECORDINGS, record
from bagged_envs.baselines.judging.rebag import rebag
from bagged_envs.baselines.judging.recordings import RecordingConfig, recorded
from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.offline import OfflineConfig, OfflineTraining
from bagged_envs.baselines.runs import Row, evaluation_row
from bagged_envs.registration import delay_arguments, spec_of
from bagged_envs.trajectory import Trajectory


def train_on_recordings(
    method: Method,
    config: OfflineConfig,
    id: str,
    arguments: Mapping[str, Any],
    seed: int,
    updates: int,
    recording: RecordingConfig,
    out: Path,
    threads: int,
    report: Callable[[int, Mapping[str, Any] | None], None],
) -> list[Row]:
    """Train on episodes that are paid as an ID pays; the policy is evaluated in it.

    Args:
        method: Who learns.
        config: Settings of the run.
        id: A registered ID with a delay.
        arguments: Of the environment.
        seed: Of recordings, labels, weights and draws.
        updates: Of the learner.
        recording: How the episodes are recorded.
        out: Where the folders of the benchmark are; the recordings are kept there, too.
        threads: Of torch.
        report: Called after each update with how many there were, and the row of an evaluation.

    Returns:
        The rows of all evaluations, whose steps are updates.

    Raises:
        FloatingPointError: A loss is not finite.
        ValueError: The episodes have nothing that the method could learn from.
    """
    torch.set_num_threads(threads)
    record(id, arguments, seed, recording, out / RECORDINGS)
    begin, rows = time.perf_counter(), list[Row]()
    episodes = paid_as(id, arguments, recorded(id, arguments, seed, recording, out / RECORDINGS), seed)
    training = OfflineTraining(method, id, episodes, arguments, config, seed=seed)
    while training.total_steps < updates:
        training.step()
        if training.due:
            seconds = round(time.perf_counter() - begin, 1)
            rows.append(evaluation_row(training.progress(), training.updates, seconds))
        report(training.total_steps, rows[-1] if training.due else None)
    training.close()
    return rows


def paid_as(id: str, arguments: Mapping[str, Any], episodes: list[Trajectory], seed: int) -> list[Trajectory]:
    """Return recorded episodes with the bags and the labels that an ID with some arguments gives them."""
    told = {**spec_of(id).kwargs, **arguments}
    return rebag(episodes, bagged_envs.resolved_schedule(id, **delay_arguments(told)), seed)
