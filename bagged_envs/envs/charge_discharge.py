"""ChargeDischarge: give up a small reward now for a large one later."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete, MultiDiscrete, Space

from bagged_envs.batch import Bools, Floats, Ints
from bagged_envs.envs import drawing
from bagged_envs.envs.table import State, Table, tabulate
from bagged_envs.native import BatchEnv, no_options
from bagged_envs.wrappers.arguments import int_between, positive_int

DELAY = 10  # steps
EMPTY_REWARD, FULL_REWARD = 1.0, 10.0
REWARD_INFO_KEYS: tuple[str, ...] = ()
METADATA: dict[str, Any] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 4}

CHARGE, DISCHARGE = range(2)


@functools.lru_cache
def layout(delay: int) -> Table:
    """Return the task; a state is (charged, time)."""

    def move(state: State, action: int) -> tuple[State, float]:
        charged, time = state
        if action == CHARGE:
            return (1, time + 1), 0.0
        return (0, time + 1), FULL_REWARD if charged else EMPTY_REWARD

    return tabulate((2, delay + 1), 2, move, lambda state: state[1] == delay)


class ChargeDischargeBatch:
    """N copies of `ChargeDischarge`."""

    metadata = METADATA

    def __init__(self, num_envs: int, delay: int = DELAY) -> None:
        """Take the length of an episode; arguments as `ChargeDischarge`."""
        self.num_envs = positive_int("num_envs", num_envs)
        self._delay = int_between("delay", delay, 1, 10_000)
        self._table = layout(self._delay)
        self.observation_space: Space[Any] = MultiDiscrete(list(self._table.sizes))
        self.action_space: Space[Any] = Discrete(2)
        self._start = self._table.number(0, 0)
        self._state = np.full(self.num_envs, self._start, dtype=np.int64)

    def reset(
        self, slots: Ints, generators: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> None:
        """Begin discharged."""
        no_options(options)
        self._state[slots] = self._start

    def step(self, actions: Ints) -> tuple[Floats, Bools]:
        """Charge or discharge every copy."""
        self._state, rewards, ended = self._table.step(self._state, actions)
        return rewards, ended

    def observe(self) -> Ints:
        """Return whether it is charged, and the time."""
        return self._table.observe(self._state)

    def info(self) -> dict[str, Any]:
        """Return nothing: the observation says everything."""
        return {}

    def render(self, slot: int, mode: str) -> Any:
        """Draw the battery and the time."""
        charged, time = self._table.states[self._state[slot]].tolist()
        if mode == "ansi":
            return drawing.text([f"[{'#' if charged else ' '}] {time}/{self._delay}"])
        picture = drawing.canvas(3, 4)
        for row, column in np.ndindex(2, 2):
            drawing.cell(picture, row, 1 + column, drawing.GREEN if charged else drawing.FLOOR)
        drawing.disc(picture, 0.5, 3, drawing.GRAY, 0.25)
        drawing.bar(picture, 2, time / self._delay, drawing.AGENT)
        return picture


class ChargeDischarge(BatchEnv):
    """Give up a small reward now for a large one later.

    Description: Something is charged or discharged; it starts discharged. Charging leaves it charged, discharging
        leaves it discharged. Each takes one step.
    Observation: `MultiDiscrete([2, delay + 1])`: whether it is charged, and the number of steps made. It is the whole
        state.
    Action: `Discrete(2)`: charge, discharge.
    Reward: 10 for discharging what is charged, 1 for discharging what is discharged, 0 for charging; each paid when
        earned. The optimal return is 5 * delay for an even delay, by charging and discharging in turn, and
        5 * (delay - 1) + 1 for an odd one. There is no randomness.
    Termination: After `delay` steps; no time limit is needed.
    Arguments: `delay`, the episode's length in steps (1 to 10000, default 10), `render_mode` ("rgb_array", "ansi" or
        None).
    Source: Our own definition, inspired by the task of the same name in early versions of RUDDER (arXiv 1806.07857)
        and not a replication: rewards are paid when earned here, and paying them at the end, `delay` steps after
        the first action, is left to the Episodic variant, which delays the 1s as well as the 10s.

    Example:
        >>> env = ChargeDischarge()
        >>> _ = env.reset()
        >>> [env.step(action)[1] for action in (1, 0, 1)]
        [1.0, 0.0, 10.0]
    """

    metadata = METADATA
    batch = ChargeDischargeBatch

    def __init__(self, delay: int = DELAY, render_mode: str | None = None) -> None:
        """Make one copy.

        Raises:
            TypeError: An argument has a wrong type.
            ValueError: An argument has a value that cannot be meant.
        """
        super().__init__(ChargeDischargeBatch(1, delay), render_mode)
