"""`make_parallel`: PettingZoo's face of tasks with several agents, and PettingZoo's registry."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from bagged_envs.entry_points import DENSE_REWARD, EntryPoint
from bagged_envs.registration import (
    ENTRY_POINTS,
    FACE,
    checked_schedule,
    delay_arguments,
    env_id,
    is_dense,
    limit_of,
    refuse_delay,
    rows_of,
    spec_of,
    task_arguments,
    task_of,
    warn_of_endless_bag,
)
from bagged_envs.suites.row import Task
from bagged_envs.variants import OPTIONS
from bagged_envs.wrappers import RewardSchedule
from bagged_envs.wrappers.arguments import known

TEAM_REWARDS = ("sum", "mean", "per_agent")


def make_parallel(
    id: str | EnvSpec, *, max_episode_steps: int | None = None, render_mode: str | None = None, **kwargs: Any
) -> Any:
    """Make a task with several agents as a PettingZoo `ParallelEnv`, delayed (or dense, by the ID of a dense task).

    Args:
        id: An ID of ours whose task has several agents, or its specification.
        max_episode_steps: Another time limit than the registered one; -1 for none.
        render_mode: As for `gym.make`.
        **kwargs: As for `gym.make`: the schedule's arguments and the task's; and `team_reward`: "sum" (default; one
            bag per team, of the sum of its agents' rewards), "mean", or "per_agent" (each agent has bags of its own).
            The ID of a dense task pays each agent its own reward and takes "per_agent" only.

    Returns:
        A `bagged_envs.wrappers.parallel.DelayedReward`, or the undelayed environment.

    Raises:
        ValueError: The task has one agent, or an argument has a value that cannot be meant.
        gymnasium.error.DependencyNotInstalled: A package is missing; the message names the extra.

    Example:
        >>> env = make_parallel("EpisodicSimpleSpread-v0", max_episode_steps=3)
        >>> _ = env.reset(seed=0)
        >>> while env.agents:
        ...     rewards = env.step(dict.fromkeys(env.agents, 0))[1]
        ...     print([round(reward, 3) for reward in rewards.values()])
        [0.0, 0.0, 0.0]
        [0.0, 0.0, 0.0]
        [-7.814, -7.814, -7.814]
    """
    spec = copy.deepcopy(id if isinstance(id, EnvSpec) else spec_of(id))
    task = task_of(spec)
    if not task.agents:
        raise ValueError(f"id={spec.id!r} has one agent: make it with gym.make.")
    for name in ("face", "team", "opponents"):
        if kwargs.get(name, FACE[name]) != FACE[name]:
            raise ValueError(f"{name}={kwargs[name]!r} has no use here, where all teams act: it is gym.make's.")
    if kwargs.get("team_reward") is not None:
        known("team_reward", kwargs["team_reward"], TEAM_REWARDS)
    arguments = {**spec.kwargs, **kwargs}
    if is_dense(spec):
        refuse_delay(spec.id, task, kwargs)
        _refuse_team_reward(spec.id, task, arguments.get("team_reward"))
    schedule = None if is_dense(spec) else checked_schedule(*rows_of(spec), delay_arguments(arguments))
    limit = limit_of(spec, max_episode_steps)
    env = EntryPoint(DENSE_REWARD, task).parallel(limit, render_mode, task_arguments(arguments))
    if schedule is None:
        return env
    warn_of_endless_bag(task, schedule, limit)
    return _delayed_parallel(env, task, schedule, arguments)


def _refuse_team_reward(id: str, task: Task, team_reward: str | None) -> None:
    """Refuse what a dense task, which pays each agent its own reward as PettingZoo's do, would not do."""
    if team_reward not in (None, "per_agent"):
        raise ValueError(
            f"team_reward={team_reward!r} has no use in {id}, which is dense and pays each agent its own reward here: "
            f"give team_reward=None, or for the team's at every step take {env_id('Bagged', task.name)} with bag_len=1."
        )


def _delayed_parallel(env: Any, task: Task, schedule: RewardSchedule, arguments: dict[str, Any]) -> Any:
    from bagged_envs.multi_agent.faces import teams_of
    from bagged_envs.wrappers import parallel

    team_reward = arguments.get("team_reward")
    return parallel.DelayedReward(
        env,
        schedule,
        team_reward="sum" if team_reward is None else team_reward,
        teams=teams_of(task, env),
        reward_info_keys=task.reward_info_keys,
        **{key: value for key, value in arguments.items() if key in OPTIONS},
    )


def register_pettingzoo() -> list[str]:
    """Fill PettingZoo's registry, where this version has one, and return the IDs; calling it again changes nothing.

    `pettingzoo.make("parallel", "EpisodicSimpleSpread-v0", max_cycles=50, bag_len=5)` then works, and so does "aec".

    Raises:
        gymnasium.error.DependencyNotInstalled: PettingZoo is missing.
    """
    try:
        import pettingzoo
    except ImportError as error:
        raise gym.error.DependencyNotInstalled(f'PettingZoo: pip install "bagged_envs[marl]" ({error})') from error
    if not hasattr(pettingzoo, "register"):  # before PettingZoo 1.27
        return []
    ids = [id for id in gym.registry if _is_ours_with_agents(id)]
    from pettingzoo.env_registry import registration as theirs

    for id in ids:
        for kind, registry in (("parallel", theirs.parallel_registry), ("aec", theirs.aec_registry)):
            if id not in registry:
                point = f"{__name__}:pettingzoo_{kind}"
                limit = gym.spec(id).max_episode_steps
                pettingzoo.register(kind, id, point, max_cycles=limit, kwargs={"task_id": id})
    return ids


def _is_ours_with_agents(id: str) -> bool:
    spec = gym.registry[id]
    return str(spec.entry_point).startswith(ENTRY_POINTS) and task_of(spec).agents


def pettingzoo_parallel(task_id: str, max_cycles: int | None = None, **kwargs: Any) -> Any:
    """Make an ID of ours for PettingZoo's registry, which calls the limit `max_cycles` and leaves it out for none."""
    return make_parallel(task_id, max_episode_steps=-1 if max_cycles is None else max_cycles, **kwargs)


def pettingzoo_aec(task_id: str, max_cycles: int | None = None, **kwargs: Any) -> Any:
    """Make an ID of ours as an `AECEnv`."""
    from pettingzoo.utils.conversions import parallel_to_aec

    return parallel_to_aec(pettingzoo_parallel(task_id, max_cycles, **kwargs))
