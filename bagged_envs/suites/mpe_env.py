"""mpe2's scenarios as they are, with their own success criterion in info."""

from __future__ import annotations

import copy
import importlib
import sys
from typing import Any, ClassVar

from pettingzoo.utils import BaseParallelWrapper

from bagged_envs.suites.mpe import TASKS
from bagged_envs.wrappers.arguments import known, positive_int

SCENARIOS = tuple(str(task.kwargs["scenario"]) for task in TASKS)


class MPE(BaseParallelWrapper[Any, Any, Any]):  # type: ignore[misc]
    """One scenario of mpe2 as a PettingZoo `ParallelEnv`.

    Where the scenario has a success criterion (what mpe2's `terminate_on_success` ends an episode by), every agent's
    info has `solved`: whether it holds now. Observations, actions, rewards and random numbers are mpe2's.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["human", "rgb_array"], "render_fps": 10}

    def __init__(
        self, scenario: str, max_episode_steps: int | None = 25, render_mode: str | None = None, **kwargs: Any
    ) -> None:
        """Make a scenario.

        Args:
            scenario: The name of mpe2's module, such as "simple_spread_v3".
            max_episode_steps: mpe2's `max_cycles`; None for never.
            render_mode: "human", "rgb_array" or None.
            **kwargs: The scenario's own arguments, such as `continuous_actions`.

        Raises:
            TypeError: The scenario does not know an argument.
            ValueError: The scenario is unknown.
        """
        if "max_cycles" in kwargs:
            raise TypeError(f"max_cycles={kwargs['max_cycles']!r} is called max_episode_steps here.")
        if render_mode is not None:
            known("render_mode", render_mode, self.metadata["render_modes"])
        module = importlib.import_module(f"mpe2.{known('scenario', scenario, SCENARIOS)}")
        limit = sys.maxsize if max_episode_steps is None else positive_int("max_episode_steps", max_episode_steps)
        super().__init__(module.parallel_env(max_cycles=limit, render_mode=render_mode, **kwargs))
        self.metadata = dict(self.env.metadata)  # type: ignore[misc]
        scenario_object = self.env.unwrapped.scenario
        self._judge = None
        self.shared_info: tuple[str, ...] = ()
        if hasattr(scenario_object, "terminate_on_success"):
            self._judge = copy.copy(scenario_object)
            self._judge.terminate_on_success = True
            self.shared_info = ("solved",)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        """Begin an episode."""
        observations, infos = self.env.reset(seed=seed, options=options)
        return observations, self._told(infos)

    def step(self, actions: dict[Any, Any]) -> tuple[Any, Any, Any, Any, Any]:
        """Make one step."""
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        rewards = {agent: float(reward) for agent, reward in rewards.items()}
        return observations, rewards, terminated, truncated, self._told(infos)

    def _told(self, infos: dict[Any, Any]) -> dict[Any, Any]:
        if self._judge is None:
            return infos
        # What the scenario has computed in this step stays with the scenario: look at that.
        self._judge.__dict__.update({**self.env.unwrapped.scenario.__dict__, "terminate_on_success": True})
        solved = bool(self._judge.is_terminal(self.env.unwrapped.world))
        return {agent: {**info, "solved": solved} for agent, info in infos.items()}
