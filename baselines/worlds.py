"""Playing whole episodes in many worlds at once, so that none is open when a run stops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from bagged_envs.baselines.collect import ActTold, Info, VectorRecorder, elements
from bagged_envs.baselines.player import SEEDS
from bagged_envs.trajectory import Trajectory


class Worlds:
    """Plays rounds of a vector environment: each world one episode, from a seed of its own, drawn from `generator`.

    A round ends with its longest episode. What other worlds do after their own has ended is no part of it: so episodes
    of every length come as often as they are begun.

    Attributes:
        envs: The environment.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], generator: np.random.Generator, keep: Sequence[str]) -> None:
        """Take an environment.

        Args:
            envs: Delayed, with any autoreset mode but disabled.
            generator: What seeds are drawn from.
            keep: Keys of info that trajectories have as extras, where the reset tells them.
        """
        self.envs, self._generator, self._keep = envs, generator, keep

    def play(self, begin: Callable[[], ActTold], steps: int) -> list[Trajectory]:
        """Return the episodes of as many rounds as it takes to make so many steps.

        Args:
            begin: Called at the beginning of each round; returns what acts in it: from all worlds' observations and
                infos to their actions. So nothing that it remembers goes from one episode to another.
            steps: How many at least.

        Raises:
            ValueError: Info has no borders of bags, or an episode ended without closing its last bag.
        """
        episodes = list[Trajectory]()
        while sum(map(len, episodes)) < steps:
            episodes += self._round(begin())
        return episodes

    def _round(self, act: ActTold) -> list[Trajectory]:
        recorder = VectorRecorder(self.envs, self._keep)
        observations, infos = self.envs.reset(seed=self._generator.integers(SEEDS, size=self.envs.num_envs).tolist())
        recorder.reset(observations, infos)
        ended: dict[int, Trajectory] = {}
        while len(ended) < self.envs.num_envs:
            actions = act(observations, infos)
            acted = elements(self.envs.single_action_space, actions)
            observations, rewards, terminated, truncated, infos = self.envs.step(actions)
            for slot, episode in recorder.step(acted, observations, rewards, terminated, truncated, infos):
                if recorder.done[slot] and slot not in ended:
                    ended[slot] = episode.ended(bool(terminated[slot]))
        return [ended[slot] for slot in range(self.envs.num_envs)]

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the generator: nothing else goes on."""
        return {"generator": self._generator.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._generator.bit_generator.state = state["generator"]


def told(infos: Info, name: str) -> Tensor | None:
    """Return what the infos of all worlds say by yes and no, as a bool tensor `[W, ...]`; None if they do not.

    Example:
        >>> told({"alive": np.array([[True, False]])}, "alive"), told({}, "action_mask")
        (tensor([[ True, False]]), None)
    """
    return torch.from_numpy(np.asarray(infos[name], dtype=np.bool_)) if name in infos else None
