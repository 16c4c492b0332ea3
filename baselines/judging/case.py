"""What redistributors are judged on: recorded episodes of a task under a schedule, and its true reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bagged_envs
from bagged_envs.baselines.api import BagBatch, Redistributor
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.judging.epic import Floats, RewardFunction, Transitions
from bagged_envs.baselines.judging.fit import HELD_OUT, Spaces, fit, rewards_of, split
from bagged_envs.baselines.judging.models import FiniteModel, finite_model
from bagged_envs.baselines.judging.rebag import dense_rewards, rebag
from bagged_envs.baselines.judging.recordings import RECORDING, RecordingConfig, dense_env, is_trained, recorded
from bagged_envs.baselines.promises import no_prediction, relabeled
from bagged_envs.baselines.task_digest import task_digest
from bagged_envs.registration import delay_arguments, spec_of, task_arguments
from bagged_envs.trajectory import Trajectory
from bagged_envs.wrappers import RewardSchedule

REGRESSION_STEPS = 3_000


@dataclass(frozen=True)
class Case:
    """Episodes to fit and episodes to score, of one task under one schedule.

    Attributes:
        registered: The ID.
        id: The ID, with arguments of the task where there are any.
        schedule: Resolved.
        seed: Of recordings, split and labels.
        recording: How the episodes were recorded.
        fitted: The episodes that redistributors learn from.
        held_out: The episodes that they are scored on.
        spaces: Of the task.
        model: Of a symbolic task; None of others.
        truth: The true reward as a function of (s, a, s').
        truth_error: The mean absolute error of that function per held-out step: 0.0 where it is known.
    """

    registered: str
    id: str
    schedule: RewardSchedule
    seed: int
    recording: str
    fitted: list[Trajectory]
    held_out: list[Trajectory]
    spaces: Spaces
    model: FiniteModel | None
    truth: RewardFunction
    truth_error: float

    def under(self, schedule: RewardSchedule) -> Case:
        """Return the same with the held-out episodes in other bags."""
        return replace(self, schedule=schedule, held_out=rebag(self.held_out, schedule, self.seed))


def make_case(
    id: str,
    arguments: Mapping[str, Any] | None = None,
    seed: int = 0,
    config: RecordingConfig = RECORDING,
    folder: Path | None = None,
) -> Case:
    """Record episodes, or take them from their file, and put them into the bags of an ID.

    Args:
        id: An ID of ours, with a delay.
        arguments: As for `gym.make`.
        seed: Of recordings, split and labels.
        config: How episodes are recorded.
        folder: As for `recorded`.

    Raises:
        ValueError: The ID pays by success: that is no aggregate of dense rewards to be found again; or there are too
            few steps to train for.
        gymnasium.error.Error: The ID is not registered or has no delay, or an extra is missing.
    """
    arguments = dict(arguments or {})
    schedule = bagged_envs.resolved_schedule(id, **delay_arguments({**spec_of(id).kwargs, **arguments}))
    if schedule.success is not None:
        raise ValueError(f"id={id!r} pays by success, which its dense rewards do not add up to: take another variant.")
    env = dense_env(id, arguments)
    spaces, model = Spaces(env.observation_space, env.action_space), finite_model(env)
    training = f"{config.steps} steps of training" if is_trained(env) else "all random: no learner fits the spaces"
    users = task_digest(spec_of(id))
    env.close()
    fitted, held_out = split(rebag(recorded(id, arguments, seed, config, folder), schedule, seed), HELD_OUT, seed)
    truth = table_reward(model, spaces) if model is not None else regression(fitted, spaces, seed)
    error = 0.0 if model is not None else _error(truth, held_out, spaces)
    told = ", ".join(f"{key}={value!r}" for key, value in task_arguments(arguments).items())
    named = f"{id}[{told}]" if told else id
    recording = f"3 x {config.episodes} episodes, {training}{'' if users is None else f', task {users}'}"
    return Case(id, named, schedule, seed, recording, fitted, held_out, spaces, model, truth, error)


def table_reward(model: FiniteModel, spaces: Spaces) -> RewardFunction:
    """Return a symbolic task's expected reward of a state and an action, as a function of features."""
    seen, acted = Features(spaces.observations), Features(spaces.actions)
    rewards = model.table.rewards.reshape(len(model.table.states), -1)

    def reward(states: Floats, actions: Floats, following: Floats) -> Floats:
        chosen: Floats = rewards[model.numbers(seen.decode(states)), actions_taken(acted.decode(actions), spaces)]
        return chosen

    return reward


def actions_taken(actions: Any, spaces: Spaces) -> Any:
    """Return discrete actions as numbers from 0."""
    return np.asarray(actions) - int(getattr(spaces.actions, "start", 0))


def regression(trajectories: Sequence[Trajectory], spaces: Spaces, seed: int) -> RewardFunction:
    """Return a network's reward of (s, a, s'), fitted to dense rewards: return decomposition of bags of one step."""
    store = spaces.store(rebag(trajectories, RewardSchedule(bag_len=1)))
    return step_function(fit("rd", store, REGRESSION_STEPS, seed, bags=256, standardize=True).redistributor)


def step_function(redistributor: Redistributor) -> RewardFunction:
    """Return a redistributor's reward as a function of (s, a, s').

    Raises:
        ValueError: It is none: `no_function` says why.
    """
    reason = no_function(redistributor)
    if reason is not None:
        raise ValueError(f"{redistributor.name} is no function of (s, a, s'): {reason}.")

    def reward(states: Floats, actions: Floats, following: Floats) -> Floats:
        before, done, after = (
            torch.as_tensor(part, dtype=torch.float32)[:, None, None] for part in (states, actions, following)
        )
        there, nothing = torch.ones(len(states), 1, 1, dtype=torch.bool), torch.zeros(len(states))
        length, paid = torch.ones(len(states), dtype=torch.int64), nothing[:, None, None]
        batch = BagBatch(before, done, after, there, nothing, nothing.bool(), length, there, paid)
        rewards: Floats = relabeled(redistributor, batch)[:, 0, 0].double().numpy()
        return rewards

    return reward


def no_function(redistributor: Redistributor) -> str | None:
    """Return why a redistributor's reward is no function of (s, a, s') alone; None where it is one."""
    if redistributor.sampling is None and no_prediction(redistributor) is not None:
        return "its rewards are what was paid or earned"
    return None if redistributor.context == "step" else "its rewards depend on the bag around the step"


def transitions_of(trajectories: Sequence[Trajectory], spaces: Spaces) -> Transitions:
    """Return all steps of some episodes, as features."""
    seen, acted = Features(spaces.observations), Features(spaces.actions)
    observations = [seen.encode(one.observations) for one in trajectories]
    terminated = [np.append(np.zeros(len(one) - 1, dtype=np.bool_), one.terminated) for one in trajectories]
    return Transitions(
        np.concatenate([one[:-1] for one in observations]).astype(np.float64),
        np.concatenate([acted.encode(one.actions) for one in trajectories]).astype(np.float64),
        np.concatenate([one[1:] for one in observations]).astype(np.float64),
        np.concatenate(terminated),
    )


def all_rewards(redistributor: Redistributor, case: Case) -> tuple[list[Trajectory], list[Floats]]:
    """Return all episodes of a case, fitted and held out, and their redistributed rewards."""
    both = [*case.fitted, *case.held_out]
    return both, rewards_of(redistributor, both, case.spaces)


def _error(truth: RewardFunction, trajectories: Sequence[Trajectory], spaces: Spaces) -> float:
    steps = transitions_of(trajectories, spaces)
    true = np.concatenate([dense_rewards(one) for one in trajectories])
    return float(np.abs(truth(steps.states, steps.actions, steps.following) - true).mean())
