"""TraceBack: only the first two of many steps matter."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete, MultiDiscrete, Space

from bagged_envs.batch import Bools, Floats, Ints
from bagged_envs.envs import drawing
from bagged_envs.envs.table import State, Table, tabulate
from bagged_envs.native import BatchEnv, no_options
from bagged_envs.streams import draw_keys, uniform
from bagged_envs.wrappers.arguments import int_between, positive_int, real_number

DELAY = 20  # steps
SIZE = 5  # cells
MATTERING = 2  # steps
PRIZES = {2: 10.0, 1: 5.0}  # for so many rows climbed
REWARD_INFO_KEYS: tuple[str, ...] = ()
METADATA: dict[str, Any] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 8}

UP, RIGHT, DOWN, LEFT = range(4)
MOVES = {UP: (-1, 0), RIGHT: (0, 1), DOWN: (1, 0), LEFT: (0, -1)}
START = SIZE // 2


@functools.lru_cache
def layout(delay: int) -> Table:
    """Return the task without noise; a state is (row, column, time)."""

    def move(state: State, action: int) -> tuple[State, float]:
        row = min(max(state[0] + MOVES[action][0], 0), SIZE - 1)
        column = min(max(state[1] + MOVES[action][1], 0), SIZE - 1)
        time = state[2] + 1
        return (row, column, time), PRIZES.get(START - row, 0.0) if time == MATTERING else 0.0

    return tabulate((SIZE, SIZE, delay + 1), len(MOVES), move, lambda state: state[2] == delay)


class TraceBackBatch:
    """N copies of `TraceBack`."""

    metadata = METADATA

    def __init__(self, num_envs: int, delay: int = DELAY, noise: float = 0.0) -> None:
        """Take the length of an episode; arguments as `TraceBack`."""
        self.num_envs = positive_int("num_envs", num_envs)
        self._delay = int_between("delay", delay, MATTERING, 1000)
        self._noise = real_number("noise", noise)
        if not 0.0 <= self._noise < math.inf:
            raise ValueError(f"noise must be at least 0 and finite, got {noise!r}.")
        self._table = layout(self._delay)
        self.observation_space: Space[Any] = MultiDiscrete(list(self._table.sizes))
        self.action_space: Space[Any] = Discrete(len(MOVES))
        self._start = self._table.number(START, START, 0)
        self._state = np.full(self.num_envs, self._start, dtype=np.int64)
        self._keys = np.zeros(self.num_envs, dtype=np.uint64)

    def reset(
        self, slots: Ints, generators: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> None:
        """Put the agents into the middle."""
        no_options(options)
        self._state[slots] = self._start
        if self._noise:
            self._keys[slots] = draw_keys(generators)

    def step(self, actions: Ints) -> tuple[Floats, Bools]:
        """Make one move in every copy."""
        self._state, rewards, ended = self._table.step(self._state, actions)
        if self._noise:
            time = self._table.states[self._state, 2]
            signs = np.where(uniform(self._keys, time, 1)[:, 0] < 0.5, -1.0, 1.0)
            rewards += np.where(time > MATTERING, signs * self._noise, 0.0)
        return rewards, ended

    def observe(self) -> Ints:
        """Return row, column and time."""
        return self._table.observe(self._state)

    def info(self) -> dict[str, Any]:
        """Return nothing: the observation says everything."""
        return {}

    def render(self, slot: int, mode: str) -> Any:
        """Draw the field and the time."""
        row, column, time = self._table.states[self._state[slot]].tolist()
        if mode == "ansi":
            rows = [["."] * SIZE for _ in range(SIZE)]
            rows[row][column] = "a"
            return drawing.text(["".join(cells) for cells in rows] + [f"{time}/{self._delay}"])
        picture = drawing.canvas(SIZE + 1, SIZE)
        for across, along in np.ndindex(SIZE, SIZE):
            wins = time < MATTERING and START - across in PRIZES
            drawing.cell(picture, across, along, drawing.GOLD if wins else drawing.FLOOR)
        drawing.disc(picture, row, column, drawing.AGENT)
        drawing.bar(picture, SIZE, time / self._delay, drawing.AGENT)
        return picture


class TraceBack(BatchEnv):
    """Only the first two of many steps matter.

    Description: A field of 5 by 5 cells, row 0 at the top; the agent starts in the middle, at (2, 2). A move into the
        border changes nothing. Where the agent stands after its second step decides what it wins; after that it walks
        on until `delay` steps are made, to no effect, and where it ends says little about how it began.
    Observation: `MultiDiscrete([5, 5, delay + 1])`: row, column, number of steps made. It is the whole state.
    Action: `Discrete(4)`: up, right, down, left.
    Reward: For the second step, 10 if it leads to row 0 (up twice), 5 if it leads to row 1 (up once, and once left or
        right), else 0. From the third step on, +`noise` or -`noise` with equal probability, independently of
        everything. The optimal expected return is 10; that of uniformly random actions is 1.875.
    Termination: After `delay` steps; no time limit is needed.
    Arguments: `delay`, the episode's length in steps (2 to 1000, default 20), `noise` (at least 0, default 0),
        `render_mode` ("rgb_array", "ansi" or None).
    Source: Our own definition, inspired by the name of RUDDER's task III (arXiv 1806.07857) and not a
        replication: the prize is paid when it is won, and paying it at the end is left to the Episodic variant.

    Example:
        >>> env = TraceBack(delay=3)
        >>> _ = env.reset()
        >>> [env.step(action)[1] for action in (0, 1, 2)]
        [0.0, 5.0, 0.0]
    """

    metadata = METADATA
    batch = TraceBackBatch

    def __init__(self, delay: int = DELAY, noise: float = 0.0, render_mode: str | None = None) -> None:
        """Make one copy.

        Raises:
            TypeError: An argument has a wrong type.
            ValueError: An argument has a value that cannot be meant.
        """
        super().__init__(TraceBackBatch(1, delay, noise), render_mode)
