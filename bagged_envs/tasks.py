"""The table of tasks: one row says all that registration, documents and tests need to know of a task."""

from __future__ import annotations

from bagged_envs.suites import dm_control, mpe, mujoco, particle, symbolic
from bagged_envs.suites.row import Task

TASKS: dict[str, Task] = {
    task.name: task for task in (*mujoco.TASKS, *dm_control.TASKS, *mpe.TASKS, *particle.TASKS, *symbolic.TASKS)
}
