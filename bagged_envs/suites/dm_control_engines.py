"""Which implementation of a dm_control task `gym.make` makes."""

from __future__ import annotations

from typing import Any

from bagged_envs.suites.dm_control_env import DMControlEnv
from bagged_envs.suites.dm_control_native import NativeDMControlEnv
from bagged_envs.wrappers.arguments import known

ENGINES = {"dm_control": DMControlEnv, "native": NativeDMControlEnv}


class DMControl:
    """Makes a task with dm_control's own implementation, or natively with `engine="native"`; both are equal to the bit.

    Attributes:
        metadata: The environments', so that `render_mode` works.
    """

    metadata: dict[str, Any] = DMControlEnv.metadata

    def __call__(self, domain: str, task: str, *, engine: str = "dm_control", **arguments: Any) -> DMControlEnv:
        """Return the environment.

        Raises:
            ValueError: The engine is unknown, or has no such task.
        """
        return ENGINES[known("engine", engine, tuple(ENGINES))](domain, task, **arguments)


make = DMControl()
