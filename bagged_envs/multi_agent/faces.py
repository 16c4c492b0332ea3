"""From a row of the table to the faces of its task: PettingZoo's, the joint controller's, EPyMARL's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gymnasium.envs.registration import load_env_creator

from bagged_envs.multi_agent.joint import FACES, JointEnv, TupleEnv
from bagged_envs.multi_agent.parallel import BatchParallelEnv, metadata_of
from bagged_envs.registration import FACE
from bagged_envs.suites.row import Task
from bagged_envs.wrappers.arguments import known


def creator_of(task: Task) -> Any:
    """Return what builds a task with agents: its batch's class, or its factory.

    Raises:
        ImportError: A package is missing.
    """
    return load_env_creator(str(task.batch or task.factory))


def dense_parallel(
    task: Task, max_episode_steps: int | None = None, render_mode: str | None = None, **kwargs: Any
) -> Any:
    """Return a task with agents as a PettingZoo `ParallelEnv`, undelayed.

    Args:
        task: A row with `agents`.
        max_episode_steps: After how many steps an episode is truncated; None for never.
        render_mode: "rgb_array", or None.
        **kwargs: The task's own arguments.
    """
    arguments = {**{key: value for key, value in task.kwargs.items() if key not in FACE}, **kwargs}
    if task.batch is None:
        return creator_of(task)(max_episode_steps=max_episode_steps, render_mode=render_mode, **arguments)
    return BatchParallelEnv(creator_of(task)(num_envs=1, **arguments), max_episode_steps, render_mode)


def teams_of(task: Task, env: Any) -> dict[str, Sequence[Any]]:
    """Return the agents of each team of an environment."""
    if not task.teams:
        return getattr(env, "teams", None) or {"team": list(env.possible_agents)}
    agents = env.possible_agents
    return {team: [agent for agent in agents if agent.startswith(names)] for team, names in task.teams.items()}


class GymFace:
    """Builds the Gymnasium face of a task with agents; the time limit is `gym.make`'s."""

    def __init__(self, task: Task) -> None:
        """Remember the row, and import what it needs."""
        creator = creator_of(task)
        self.task, self.metadata = task, creator.metadata if task.batch is None else metadata_of(creator)

    def parallel(self, max_episode_steps: int | None, render_mode: str | None, **kwargs: Any) -> Any:
        """Return PettingZoo's face of the task."""
        return dense_parallel(self.task, max_episode_steps, render_mode, **kwargs)

    def __call__(
        self,
        *,
        face: str = "joint",
        team: str | None = None,
        opponents: Any = "random",
        team_reward: str | None = None,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> JointEnv:
        """Return one team's face of the task.

        Args:
            face: "joint", or "tuple" for EPyMARL's convention.
            team: The team; None for the first.
            opponents: How the other teams act; see `JointEnv`.
            team_reward: "sum", "mean", or with face="tuple" also "per_agent"; None for "sum", or "per_agent" with
                face="tuple".
            render_mode: "rgb_array", or None.
            **kwargs: The task's own arguments.

        Raises:
            ValueError: An argument has a value that cannot be meant.
        """
        known("face", face, FACES)
        env = dense_parallel(self.task, None, render_mode, **kwargs)
        form, default = (TupleEnv, "per_agent") if face == "tuple" else (JointEnv, "sum")
        reward = default if team_reward is None else team_reward
        return form(env, team=team, teams=teams_of(self.task, env), opponents=opponents, team_reward=reward)
