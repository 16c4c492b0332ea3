"""How good a redistributor's rewards are, as a run of a benchmark: no learner, no policy, only recorded episodes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from bagged_envs.baselines.judging.case import Case, make_case
from bagged_envs.baselines.judging.fit import REFUSALS, updates_of
from bagged_envs.baselines.judging.judge import SCORES, judge
from bagged_envs.baselines.judging.recordings import RecordingConfig, recorded
from bagged_envs.baselines.lease import Taken, lease
from bagged_envs.baselines.redistributors import make_redistributor, settings_on

RECORDINGS = "recordings"  # a folder beside those of the runs, which share what is in it
PAUSE = 1.0  # seconds until it is looked whether somebody else has recorded


def scores_of(
    redistributor: str,
    settings: Mapping[str, Any],
    id: str,
    arguments: Mapping[str, Any],
    seed: int,
    steps: int,
    recording: RecordingConfig,
    out: Path,
    threads: int,
    report: Callable[[int], None],
) -> dict[str, Any]:
    """Fit a redistributor to recorded episodes and score its rewards against the true ones.

    Args:
        redistributor: One of `REDISTRIBUTORS`.
        settings: Of it.
        id: A registered ID with a delay.
        arguments: Of the environment.
        seed: Of recordings, split, weights and draws.
        steps: Environment steps whose worth of updates is made, by the method's own schedule.
        recording: How the episodes are recorded.
        out: Where the folders of the benchmark are; the recordings are kept there, too.
        threads: Of torch.
        report: Called after each update with the steps that it is worth, so far.

    Returns:
        `scores` by name, None where one is not defined; `refused`, the reason, or an empty string; and
        `seconds_per_update`, None where nothing is learned.
    """
    torch.set_num_threads(threads)
    record(id, arguments, seed, recording, out / RECORDINGS)
    case = make_case(id, arguments, seed, recording, out / RECORDINGS)
    each, made = _worth(redistributor, settings_on(redistributor, settings, id), case, steps), 0

    def after_update() -> None:
        nonlocal made
        made += 1
        report(int(made * each))

    (row,) = judge(redistributor, case, steps, after_update=after_update, settings=settings)
    scores = {name: None if math.isnan(row[name]) else float(row[name]) for name in SCORES}
    seconds = row["seconds_per_update"]
    return {
        "scores": scores,
        "refused": row["refused"],
        "seconds_per_update": None if math.isnan(seconds) else float(seconds),
    }


def _worth(redistributor: str, settings: Mapping[str, Any], case: Case, steps: int) -> float:
    """Return the steps that one update is worth; none where the redistributor is refused, and makes none."""
    store = case.spaces.store(case.fitted[:1])
    try:
        made = make_redistributor(redistributor, store.observation_size, store.action_size, **settings)
    except REFUSALS:  # which the judge tells of
        return 0.0
    return steps / updates_of(made.schedule, steps)


def record(id: str, arguments: Mapping[str, Any], seed: int, recording: RecordingConfig, folder: Path) -> None:
    """Have the episodes recorded, by one run only; the others wait for it."""
    while True:
        try:
            with lease(folder / f"{id}-{seed}"):
                recorded(id, arguments, seed, recording, folder)
            return
        except Taken:
            time.sleep(PAUSE)
