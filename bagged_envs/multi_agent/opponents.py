"""Scripted policies for the teams that do not learn.

Their random numbers come from streams of their own, so that they disturb neither the task's nor the bags'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
from gymnasium.spaces import Box, Discrete, Space
from gymnasium.spaces.utils import flatdim

from bagged_envs.batch import Floats, Ints
from bagged_envs.multi_agent.actions import in_space
from bagged_envs.streams import Keys, uniform
from bagged_envs.wrappers.arguments import known

Policy: TypeAlias = Callable[[Any, Floats], Any]
Callback: TypeAlias = Callable[[dict[Any, Any], np.random.Generator], Mapping[Any, Any]]
NAMES = ("random", "still")


class Streams:
    """One stream of keys per slot, restarted from a seed: a key for each episode of the slot."""

    def __init__(self, num_slots: int) -> None:
        """Start from fresh entropy."""
        self._generators = [np.random.default_rng() for _ in range(num_slots)]
        self.keys: Keys = np.zeros(num_slots, dtype=np.uint64)
        self.step: Ints = np.zeros(num_slots, dtype=np.int64)

    def seed(self, slot: int, seed: int) -> None:
        """Restart a slot's stream: the task draws from `seed`, its bags from two children of it, this from a third."""
        self._generators[slot] = np.random.default_rng(np.random.SeedSequence(seed).spawn(3)[2])

    def begin(self, slots: Sequence[int] | Ints) -> None:
        """Draw a key for the episode that begins in each of the slots."""
        for slot in slots:
            self.keys[slot] = self._generators[slot].integers(0, 2**64, dtype=np.uint64)
            self.step[slot] = 0

    def uniform(self, width: int) -> Floats:
        """Return the numbers `(N, width)` of this step, and go on to the next."""
        numbers = uniform(self.keys, self.step, width)
        self.step = self.step + 1
        return numbers


class Opponents:
    """Chooses the actions of one environment's other agents."""

    def __init__(
        self,
        policy: str | Callback,
        agents: Sequence[Any],
        action_spaces: Sequence[Space[Any]],
        policies: Mapping[str, Policy],
    ) -> None:
        """Look the policy up.

        Args:
            policy: "random", "still" (the first action, or a Box's middle), a name in `policies`, or a callable
                `(observations, generator) -> actions` from and to dicts by agent; in a Box, its numbers are cast to the
                Box's dtype.
            agents: Whose actions to choose.
            action_spaces: Their spaces: Discrete or bounded Box.
            policies: The task's own, as in `AgentBatch.policies`.

        Raises:
            TypeError: The policy is neither a name nor callable.
            ValueError: The name is unknown, or a space is of another kind.
        """
        if not callable(policy):
            if not isinstance(policy, str):
                raise TypeError(f"opponents must be a name or a callable, got {policy!r} of {type(policy).__name__}.")
            known("opponents", policy, sorted({*NAMES, *policies}))
        for space in action_spaces:
            if not isinstance(space, (Discrete, Box)) or (isinstance(space, Box) and not space.is_bounded()):
                raise ValueError(
                    f"opponents={policy!r} cannot act in {space}: only in Discrete and bounded Box spaces."
                )
        self._policy, self.agents, self._spaces = policy, list(agents), list(action_spaces)
        self._own = policies.get(policy) if isinstance(policy, str) else None
        self._widths = [1 if isinstance(space, Discrete) else flatdim(space) for space in action_spaces]
        self._streams = Streams(1)
        self._generator = np.random.default_rng()

    def reset(self, seed: int | None) -> None:
        """Begin an episode; with a seed, the random numbers restart from it."""
        if seed is not None:
            self._streams.seed(0, int(seed))
        self._streams.begin([0])
        self._generator = np.random.default_rng(self._streams.keys[0])

    def act(self, observations: dict[Any, Any], alive: Sequence[Any]) -> dict[Any, Any]:
        """Return an action for each of the agents that are alive."""
        if callable(self._policy):
            seen = {agent: observations[agent] for agent in self.agents if agent in alive}
            return self._checked(self._policy(seen, self._generator), list(seen))
        numbers = self._streams.uniform(sum(self._widths))
        if self._own is not None:
            stacked = np.stack([observations[agent] for agent in self.agents])[np.newaxis]
            chosen: Any = self._own(stacked, numbers)[0].tolist()
        else:
            parts = np.split(numbers[0], np.cumsum(self._widths)[:-1])
            chosen = [self._choose(space, part) for space, part in zip(self._spaces, parts, strict=True)]
        return {agent: action for agent, action in zip(self.agents, chosen, strict=True) if agent in alive}

    def _checked(self, actions: Any, agents: list[Any]) -> dict[Any, Any]:
        if not isinstance(actions, Mapping) or set(actions) != set(agents):
            raise ValueError(f"opponents returned {actions!r}: return a dict with an action for each of {agents}.")
        spaces = dict(zip(self.agents, self._spaces, strict=True))
        return {agent: in_space(f"opponents' action for {agent}", actions[agent], spaces[agent]) for agent in agents}

    def _choose(self, space: Space[Any], numbers: Floats) -> Any:
        still = self._policy == "still"
        if isinstance(space, Discrete):
            return int(space.start) + (0 if still else int(numbers[0] * int(space.n)))
        box = cast(Box, space)  # __init__ has refused everything else
        numbers = np.full_like(numbers, 0.5) if still else numbers
        return (box.low + numbers.reshape(box.shape) * (box.high - box.low)).astype(box.dtype)
