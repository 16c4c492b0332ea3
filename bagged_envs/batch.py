"""What our own tasks are written as: many copies of a task, stepped together in arrays.

A task is written once, for N copies at a time. One copy behind `gym.Env` or PettingZoo's `ParallelEnv`, and N copies
behind `gymnasium.vector.VectorEnv`, are faces of the same arrays, and so agree to the bit.

Copies never look at each other, and only `reset` draws random numbers from their generators: what happens later in an
episode is drawn at its start, or from a key drawn at its start (`bagged_envs.streams`). So a copy's episode depends on
its generator and its actions alone, and a step whose result is thrown away disturbs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Space

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]


class Batch(Protocol):
    """N copies of a task with one reward each.

    Attributes:
        num_envs: N.
        observation_space: Of one copy.
        action_space: Of one copy.
        metadata: `render_modes` and `render_fps`, as Gymnasium's.
    """

    num_envs: int
    observation_space: Space[Any]
    action_space: Space[Any]
    metadata: dict[str, Any]

    def reset(
        self, slots: Ints, generators: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> None:
        """Begin an episode in the copies `slots`; the k-th draws from `generators[k]`, as much as it would alone.

        Args:
            slots: Indices of the copies, ascending.
            generators: One for each of them.
            options: What `reset(options=...)` was called with; None or {} for an ordinary start.

        Raises:
            TypeError: An option has a wrong type.
            ValueError: An option is unknown, or has a value that cannot be meant.
        """

    def step(self, actions: Any) -> tuple[Floats, Bools]:
        """Make one step in every copy.

        Args:
            actions: `(N, ...)`, one of the action space for each copy, already known to be valid.

        Returns:
            The rewards, float64 `(N,)`, and whether the task itself ended the episode, bool `(N,)`. What a copy does
            whose episode has ended does not matter, as long as it raises nothing.
        """

    def observe(self) -> npt.NDArray[Any]:
        """Return what each copy observes now: a new array `(N, ...)` of the observation space's dtype."""

    def info(self) -> dict[str, npt.NDArray[Any]]:
        """Return facts of the current state, new arrays `(N, ...)`: the same keys after a reset and after a step."""

    def render(self, slot: int, mode: str) -> Any:
        """Return a picture of one copy: uint8 `(height, width, 3)` for "rgb_array", text for "ansi"."""


@runtime_checkable
class SimulatorBatch(Batch, Protocol):
    """A `Batch` of another library's simulators, which agrees with that library's own environments to the bit.

    So it judges actions as they do, draws from their kind of random numbers, and has infos like theirs. A step costs
    much and may fail: copies that are only reset are not stepped.
    """

    def generator(self, seed: int | None) -> tuple[Any, int]:
        """Return a copy's random numbers, and the seed that they began with."""

    def accept(self, actions: Any, active: Bools | None) -> npt.NDArray[Any]:
        """Return actions as `step` takes them.

        Args:
            actions: What the caller gave.
            active: Whose actions are used, bool `(N,)`; None for everyone's.

        Raises:
            TypeError: They are of a wrong type.
            ValueError: They cannot be meant.
        """

    def step(self, actions: Any, active: Bools | None = None) -> tuple[Floats, Bools]:
        """Make one step in every copy, or in the `active` ones; what is returned of others does not matter."""

    def step_info(self) -> dict[str, npt.NDArray[Any]]:
        """Return facts of the last step that no reset has, new arrays `(N, ...)`."""

    def close(self) -> None:
        """Free what it holds."""


class AgentBatch(Protocol):
    """N worlds with A learning agents each, all of whom have the same spaces.

    Attributes:
        num_envs: N.
        agents: The A agents' names, in order.
        teams: The agents of each team, by its name; together they are `agents`, in order.
        observation_space: Of one agent.
        action_space: Of one agent.
        metadata: `name`, `render_modes` and `render_fps`, as PettingZoo's.
        policies: Scripted policies by name, for teams that do not learn: from their observations `(N, K, ...)` and
            uniform numbers in [0, 1) `(N, K)` to actions `(N, K)`.
    """

    num_envs: int
    agents: tuple[str, ...]
    teams: Mapping[str, tuple[str, ...]]
    observation_space: Space[Any]
    action_space: Space[Any]
    metadata: dict[str, Any]
    policies: Mapping[str, Any]

    def reset(
        self, slots: Ints, generators: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> None:
        """Begin an episode in the worlds `slots`; as `Batch.reset`."""

    def step(self, actions: Ints) -> tuple[Floats, Bools]:
        """Make one step in every world.

        Args:
            actions: int64 `(N, A)`, already known to be valid.

        Returns:
            The agents' rewards, float64 `(N, A)`, and whether the task itself ended the episode, bool `(N,)`.
        """

    def observe(self) -> npt.NDArray[Any]:
        """Return what each agent observes now: a new array `(N, A, ...)` of the observation space's dtype."""

    def info(self) -> dict[str, npt.NDArray[Any]]:
        """Return facts of the worlds' current states, new arrays `(N, ...)`; as `Batch.info`."""

    def render(self, slot: int, mode: str) -> Any:
        """Return a picture of one world; as `Batch.render`."""
