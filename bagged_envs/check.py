"""What `bagged-envs check` does: Gymnasium's `check_env` and `check_bagged`, over many IDs in several processes."""

from __future__ import annotations

import multiprocessing
import re
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from gymnasium.utils.env_checker import check_env
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from bagged_envs.describe import resolved_id
from bagged_envs.registration import rows_of, spec_of
from bagged_envs.testing import check_bagged
from bagged_envs.wrappers.arguments import positive_int

SHORT_EPISODE = 45
PASSED, FAILED, NOT_LOADED = "passed", "failed", "could not load"
# What check_env warns of and is as it should be: everything else that it says is a failure.
EXPECTED_WARNINGS = (
    r"The environment \(.*\) is different from the unwrapped version",  # it is, that is what the IDs are for
    r"A Box observation space (minimum|maximum) value is -?infinity",  # the tasks' own spaces
    r"For Box action spaces, we recommend using a symmetric and normalized space",  # the tasks' own spaces
)


@dataclass(frozen=True)
class Result:
    """What came of checking one ID."""

    id: str
    outcome: str
    reason: str = ""


def check_id(id: str, full: bool = False) -> Result:
    """Check one ID with both checkers.

    Args:
        id: The ID.
        full: Play episodes up to the registered time limit, not up to 45 steps.
    """
    try:
        env = _load(id, full)
    except (ImportError, RuntimeError, gym.error.DependencyNotInstalled) as error:
        return Result(id, NOT_LOADED, str(error))
    try:
        with env:
            _check(env)
    except Exception as error:  # whatever a checker raises is this ID's failure, and the others go on
        return Result(id, FAILED, f"{type(error).__name__}: {error}")
    return Result(id, PASSED)


def _load(id: str, full: bool) -> gym.Env[Any, Any]:
    env = gym.make(id, max_episode_steps=None if full else SHORT_EPISODE)
    _, task = rows_of(spec_of(id))
    if task.needs:  # whether it is there shows at the first reset
        env.reset(seed=0)
    return env


def _check(env: gym.Env[Any, Any]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # Rendering needs OpenGL, which many machines that train do not have.
        check_env(env, skip_render_check=True)
    said = [str(warning.message) for warning in caught]
    unexpected = [text for text in said if not any(re.search(known, text) for known in EXPECTED_WARNINGS)]
    if unexpected:
        raise ValueError(f"check_env warned: {' '.join(unexpected)}")
    check_bagged(env)


def check_ids(ids: Sequence[str], full: bool, workers: int, console: Console) -> int:
    """Check IDs in several processes, print what did not pass and the counts; return 1 if something failed."""
    workers = min(positive_int("workers", workers), len(ids))
    results = []
    # "spawn": the checked environments' libraries do not all survive a fork.
    with (
        ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool,
        Progress(console=console, transient=True) as progress,
    ):
        bar = progress.add_task(f"checking {len(ids)} IDs" if len(ids) > 1 else f"checking {ids[0]}", total=len(ids))
        for future in as_completed([pool.submit(check_id, id, full) for id in ids]):
            results.append(future.result())
            progress.advance(bar)
    for result in sorted(results, key=lambda result: ids.index(result.id)):
        if result.outcome != PASSED:
            console.print(
                f"{resolved_id(result.id, {})} {result.outcome}: {result.reason}", markup=False, highlight=False
            )
    counts = {outcome: sum(r.outcome == outcome for r in results) for outcome in (PASSED, FAILED, NOT_LOADED)}
    console.print(escape(", ".join(f"{count} {outcome}" for outcome, count in counts.items())), highlight=False)
    return int(counts[FAILED] > 0)
