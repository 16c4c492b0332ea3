"""Tasks of dm_control's suite whose steps call MuJoCo directly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
from dm_control.rl.control import PhysicsError

from bagged_envs.suites.dm_control_env import DMControlEnv
from bagged_envs.suites.dm_control_measures import MEASURES
from bagged_envs.wrappers.arguments import known


class NativeDMControlEnv(DMControlEnv):
    """A `DMControlEnv` that steps without dm_control's Python, to the same bits.

    Episodes begin by dm_control's own code. A step sets the controls, calls MuJoCo as dm_control does, and reads
    observation and reward from MuJoCo's arrays. A simulation that runs away raises dm_control's `PhysicsError`.

    Attributes:
        model: MuJoCo's `MjModel`.
        num_steps: Steps of the simulator in a control step.
    """

    def __init__(self, domain: str, task: str, **arguments: Any) -> None:
        """Load the task; arguments as `DMControlEnv`.

        Raises:
            TypeError: `flatten` is no bool.
            ValueError: The task has no native engine, or an argument is unknown.
        """
        known("the task of engine='native'", f"{domain}-{task}", [f"{one}-{other}" for one, other in MEASURES])
        super().__init__(domain, task, **arguments)
        physics = self._env.physics
        model, data = physics.model.ptr, physics.data.ptr
        self.model, self.num_steps = model, round(self._env.control_timestep() / physics.timestep())
        self._advance = advance(model, data, self.num_steps)
        self._measure = MEASURES[domain, task](model, data)
        self._ctrl, self._warnings = data.ctrl, data.warning.number
        self._warned = self._warnings.tobytes()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode by dm_control's own code; a seed restarts the task's random numbers."""
        begun = super().reset(seed=seed, options=options)
        self._warned = self._warnings.tobytes()
        return begun

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Make one control step.

        Raises:
            PhysicsError: The simulation ran away.
        """
        observation, reward = self.moved(action)
        if self.render_mode == "human":
            self.viewer.render(self.render_mode)  # as shimmy does
        return observation, reward, False, False, {}

    def moved(self, action: Any) -> tuple[Any, float]:
        """Make one control step; returns the observation and the reward.

        Raises:
            PhysicsError: The simulation ran away.
        """
        np.copyto(self._ctrl, action)
        self._advance()
        warned = self._warnings.tobytes()
        if warned != self._warned:
            self._warned = warned
            kinds = [name for name, count in zip(mujoco.mjtWarning.__members__, self._warnings, strict=False) if count]
            ran = "an action was not finite" if "mjWARN_BADCTRL" in kinds else "the simulation ran away"
            raise PhysicsError(f"{ran}: MuJoCo warned of {', '.join(kinds)}. Call reset().")
        parts, reward = self._measure()
        if not self._flatten:
            return self._observation(self._env.task.get_observation(self._env.physics)), reward
        return np.concatenate(parts, dtype=self._dtype, casting="same_kind"), reward


def advance(model: Any, data: Any, num_steps: int) -> Callable[[], None]:
    """Return what makes one control step: positions and velocities are up to date before the controls act.

    So the first of the simulator's steps is only finished, and after the last one the next is begun. An integrator of
    Runge and Kutta's makes steps of its own.
    """
    whole, begin, finish = mujoco.mj_step, mujoco.mj_step1, mujoco.mj_step2
    kutta = model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4

    def step() -> None:
        if kutta:
            whole(model, data, num_steps)
        else:
            finish(model, data)
            if num_steps > 1:
                whole(model, data, num_steps - 1)
        begin(model, data)

    return step
