"""One episode of a trained policy: what each step earned, what was paid, and what the redistributor made of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch

from bagged_envs.baselines import checkpoint
from bagged_envs.baselines.benchmark.arms import Arm, is_agent
from bagged_envs.baselines.benchmark.report.rows import Cell, Run
from bagged_envs.baselines.collect import collect, element
from bagged_envs.baselines.description import as_settings
from bagged_envs.baselines.evaluate import evaluation_env
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.judging.fit import Spaces, rewards_of
from bagged_envs.baselines.methods import TEAM_LEARNERS
from bagged_envs.baselines.redistributors import make_redistributor, settings_on
from bagged_envs.baselines.runs import CHECKPOINT

Floats = npt.NDArray[np.float64]
SEED = 2**31 - 1  # of the episode: neither training nor evaluation draws it
# What a checkpoint of other versions, a task that is not installed here, or a damaged file lead to. All else is a
# mistake of ours, and must be seen.
REFUSALS = (OSError, ImportError, KeyError, RuntimeError, TypeError, ValueError, gym.error.Error)


@dataclass(frozen=True)
class Sample:
    """An episode.

    Attributes:
        method: Whose policy played it.
        cell: Where.
        seed: Of the run that the policy comes from.
        dense: What the task gave, `[T]`.
        paid: What the delayed environment paid, `[T]`; nan in steps that paid nothing.
        redistributed: What the run's redistributor gives each step, `[T]`.
        borders: The steps after which a bag ends.
    """

    method: str
    cell: Cell
    seed: int
    dense: Floats
    paid: Floats
    redistributed: Floats
    borders: tuple[int, ...]


def samples(runs: Sequence[Run], folders: Mapping[str, Path]) -> tuple[list[Sample], list[str]]:
    """Return an episode for each method in each environment, from its run with the lowest seed, and why some have none.

    Args:
        runs: What is reported.
        folders: Of the runs, by key.
    """
    first: dict[tuple[Cell, str], Run] = {}
    for run in sorted(runs, key=lambda run: (run.cell, run.method, run.seed)):
        first.setdefault((run.cell, run.method), run)
    found, missing = [], []
    for (cell, method), run in first.items():
        why = _why_not(run, folders)
        if why is None:
            try:
                found.append(sample(run, folders[run.result["key"]]))
            except REFUSALS as error:
                why = _reason(error, folders[run.result["key"]])
        if why is not None:
            missing.append(f"{method} in {cell.label}: {why}")
    return found, missing


def _why_not(run: Run, folders: Mapping[str, Path]) -> str | None:
    if is_agent(run.result["job"]["method"]):
        return "agents of other libraries leave no checkpoint"
    if ":" in run.result["job"]["method"]:
        return "its redistributor is none of ours, and nothing is imported for a report"
    if ":" in run.cell.id and run.cell.id.rpartition(":")[0] not in sys.modules:
        return "its task is none of ours, and nothing is imported for a report"
    if run.result["job"]["method"].rpartition("-")[2] in TEAM_LEARNERS:
        return "of teams none are drawn"
    if run.released:
        return "released results come without checkpoints"
    folder = folders.get(run.result["key"])
    there = folder is not None and (folder / CHECKPOINT).exists()
    return None if there else "its run has no checkpoint"


def _reason(error: Exception, folder: Path) -> str:
    """Return an error on one line, without the place of the folder: the page is for others' eyes too."""
    words = " ".join(str(error).split()).replace(str(folder), folder.name)
    return f"the checkpoint could not be played ({type(error).__name__}: {words})"


def sample(run: Run, folder: Path) -> Sample:
    """Return an episode that a run's policy plays, with the rewards of that run's redistributor.

    Args:
        run: It.
        folder: Its folder, with a checkpoint in it.

    Raises:
        Exception: One of `REFUSALS`, where the checkpoint does not fit what is installed.
    """
    job = run.result["job"]
    torch.set_num_threads(job["threads"])
    state = checkpoint.load(folder / CHECKPOINT)["training"]["parts"]
    env = evaluation_env(job["id"], job["arguments"])
    try:
        (episode,) = collect(env, _policy(job, env, state["learner"]), episodes=1, seed=SEED)
    finally:
        env.close()
    sizes = Features(env.observation_space).size, Features(env.action_space).size
    name = job["method"].partition("-")[0]
    settings = settings_on(name, as_settings(job["redistributor"]), job["id"])
    redistributor = make_redistributor(name, *sizes, **settings)
    redistributor.load_state_dict(state["redistributor"])
    ends = np.append(np.flatnonzero(np.diff(episode.bag_ids)), len(episode) - 1)
    rewards = episode.rewards.reshape(len(episode), -1).sum(axis=1)
    paid = np.full(len(episode), np.nan)
    paid[ends] = np.where(episode.labeled, rewards[ends], np.nan)
    return Sample(
        run.method,
        run.cell,
        run.seed,
        np.asarray(episode.extras["dense_rewards"]).reshape(len(episode), -1).sum(axis=1),
        paid,
        rewards_of(redistributor, [episode], Spaces(env.observation_space, env.action_space))[0],
        tuple((ends + 1).tolist()),
    )


def _policy(job: Mapping[str, Any], env: gym.Env[Any, Any], state: Mapping[str, Any]) -> Any:
    arm = Arm("sample", job["method"], "a run", 0, learner=as_settings(job["learner"]))
    observations, actions = Features(env.observation_space), Features(env.action_space)
    learner = arm.made().make_learner(observations.size, env.action_space, seed=0)
    learner.load_state_dict(state)

    def act(observation: Any) -> Any:
        seen = torch.from_numpy(observations.encode(element(env.observation_space, observation)[None]))
        return actions.decode(learner.act(seen, explore=False).numpy())[0]

    return act
