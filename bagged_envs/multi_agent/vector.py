"""Many worlds of a task with agents in one vector environment."""

from __future__ import annotations

from typing import Any

from gymnasium.envs.registration import load_env_creator

from bagged_envs.multi_agent.batch import TeamBatch
from bagged_envs.native import NativeVectorEnv
from bagged_envs.registration import FACE
from bagged_envs.suites.row import Task
from bagged_envs.wrappers.vector import reset_mask, slot_seeds


class TeamVectorEnv(NativeVectorEnv):
    """A `NativeVectorEnv` over a `TeamBatch`, whose opponents restart with the seed, too."""

    def __init__(self, batch: TeamBatch, **arguments: Any) -> None:
        """Show a batch; arguments as for `NativeVectorEnv`."""
        super().__init__(batch, **arguments)
        self._team = batch

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all worlds, or those of `options["reset_mask"]`."""
        mask = reset_mask(options, self.num_envs)
        result = super().reset(seed=seed, options=options)
        restarted = [
            (slot, one)
            for slot, one in enumerate(slot_seeds(seed, self.num_envs) or ())
            if one is not None and (mask is None or mask[slot])
        ]
        for slot, one in restarted:  # only now: a seed or an option may have been refused
            self._team.seed(slot, one)
        self._team.begin([slot for slot, _ in restarted])
        return result


def native_team(task: Task, num_envs: int, arguments: dict[str, Any], given: dict[str, Any]) -> TeamVectorEnv:
    """Return a vector environment of one team's joint controllers.

    Args:
        task: A row with `agents` and a `batch`.
        num_envs: How many worlds.
        arguments: The task's own, and those of its joint face.
        given: Arguments of `NativeVectorEnv`.
    """
    own = {key: value for key, value in arguments.items() if key not in FACE}
    face = {key: arguments.get(key, FACE[key]) for key in FACE if key != "face"}
    face["team_reward"] = "sum" if face["team_reward"] is None else face["team_reward"]
    create: Any = load_env_creator(str(task.batch))
    return TeamVectorEnv(TeamBatch(create(num_envs=num_envs, **own), **face), **given)
