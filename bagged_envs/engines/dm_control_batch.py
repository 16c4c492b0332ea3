"""N copies of a task of dm_control's suite, equal to N environments of dm_control's own to the bit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces.utils import flatdim
from gymnasium.utils import seeding

from bagged_envs.batch import Bools, Floats, Ints
from bagged_envs.engines.actions import accepted
from bagged_envs.engines.crew import Crew, crew_size, effort_of
from bagged_envs.engines.simulators import SimulationError
from bagged_envs.suites.dm_control_native import NativeDMControlEnv
from bagged_envs.wrappers.arguments import known

# Below it, most of a step is Python's, which threads take turns at: with two, 32 hoppers (28) lose from a tenth to a
# quarter, and 32 of cartpole's (8 to 16) a half; 32 walkers (90) gain a half.
WORTH_THREADS = 60


class DMControlBatch:
    """A `SimulatorBatch` of native environments, which share nothing and are stepped in threads.

    A copied or unpickled batch is made anew from its arguments and must be reset.
    """

    def __init__(
        self,
        domain: str,
        task: str,
        num_envs: int,
        num_threads: int | None = None,
        engine: str = "native",
        **arguments: Any,
    ) -> None:
        """Make the copies.

        Args:
            domain: dm_control's domain.
            task: Its task.
            num_envs: How many copies.
            num_threads: How many threads step them; None for as many as there are cores, if each has enough to do.
            engine: "native".
            **arguments: As `NativeDMControlEnv`, its observation flattened.

        Raises:
            TypeError: An argument has a wrong type.
            ValueError: The task has no native engine, or an argument has a value that cannot be meant.
        """
        known("engine with backend='native'", engine, ("native",))
        if not arguments.get("flatten", True):
            raise ValueError("flatten=False observes dicts, which a native vector cannot: use backend='sync'.")
        self._made_of = partial(DMControlBatch, domain, task, num_envs, num_threads, **arguments)
        first = NativeDMControlEnv(domain, task, **arguments)
        each = effort_of(first.model, first.num_steps)
        self.num_envs = num_envs
        self.num_threads = crew_size(num_threads, num_envs, each if each >= WORTH_THREADS else 0)
        self._crew = Crew(self.num_threads)
        self._envs = [first, *(NativeDMControlEnv(domain, task, **arguments) for _ in range(1, num_envs))]
        self.observation_space, self.action_space = first.observation_space, first.action_space
        modes = [mode for mode in first.metadata["render_modes"] if mode != "human"]
        self.metadata = {**first.metadata, "render_modes": modes, "num_threads": self.num_threads}
        size = flatdim(first.observation_space)
        self._observations: npt.NDArray[Any] = np.zeros((num_envs, size), dtype=first.observation_space.dtype)
        self._rewards = np.zeros(num_envs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle what it is made of: simulators cannot be."""
        return self._made_of, ()

    def generator(self, seed: int | None) -> tuple[np.random.RandomState, int]:
        """Return a copy's random numbers, of dm_control's kind, and the seed that they began with."""
        _, checked = seeding.np_random(seed)
        return np.random.RandomState(seed), checked

    def accept(self, actions: Any, active: Bools | None) -> npt.NDArray[Any]:
        """Return the actions as an array; those of copies that are not `active` may be anything."""
        return accepted(actions, (self.num_envs, *self.action_space.shape), active)

    def reset(self, slots: Ints, generators: Sequence[Any], options: Mapping[str, Any] | None = None) -> None:
        """Begin an episode in the copies `slots`, by dm_control's own code; options are ignored, as shimmy does."""
        for slot, generator in zip(slots.tolist(), generators, strict=True):
            self._envs[slot].np_random = generator
            self._observations[slot], _ = self._envs[slot].reset()

    def step(self, actions: Any, active: Bools | None = None) -> tuple[Floats, Bools]:
        """Make one step in every copy, or the `active` ones.

        Raises:
            SimulationError: A simulation ran away.
        """
        slots = range(self.num_envs) if active is None else np.flatnonzero(active).tolist()

        def work(own: Iterable[int]) -> None:
            slot = -1
            try:
                for slot in own:
                    self._observations[slot], self._rewards[slot] = self._envs[slot].moved(actions[slot])
            except Exception as error:
                raise SimulationError(f"environment {slot} could not be stepped: {error}") from error

        self._crew.run(work, slots)
        return self._rewards.copy(), np.zeros(self.num_envs, dtype=np.bool_)

    def observe(self) -> npt.NDArray[Any]:
        """Return what each copy observes now `(N, ...)`."""
        return self._observations.copy()

    def info(self) -> dict[str, npt.NDArray[Any]]:
        """Return nothing: dm_control tells nothing."""
        return {}

    def step_info(self) -> dict[str, npt.NDArray[Any]]:
        """Return nothing."""
        return {}

    def render(self, slot: int, mode: str) -> Any:
        """Return a picture of one copy."""
        env = self._envs[slot]
        env.render_mode = mode
        return env.render()

    def close(self) -> None:
        """End the threads and free the simulators; a second call does nothing."""
        self._crew.close()
        while self._envs:
            self._envs.pop().close()
