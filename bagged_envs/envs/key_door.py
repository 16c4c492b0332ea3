"""KeyDoor: fetch the key, open the door, walk the corridor to the treasure."""

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

SIZE, DELAY = 5, 10  # cells
KEY_REWARD, DOOR_REWARD, TREASURE_REWARD = 1.0, 2.0, 5.0
DISTRACTION = 0.5  # reward, with either sign
MAX_EPISODE_STEPS = 100  # recommended; no optimal episode is longer than 4 * size + delay steps
REWARD_INFO_KEYS: tuple[str, ...] = ()
METADATA: dict[str, Any] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 8}

UP, RIGHT, DOWN, LEFT = range(4)
MOVES = {UP: (-1, 0), RIGHT: (0, 1), DOWN: (1, 0), LEFT: (0, -1)}
KEY_CELL = (0, 0)


@functools.lru_cache
def layout(size: int, delay: int) -> Table:
    """Return the task without distractors; a state is (row, column, has key)."""
    door, treasure = (size // 2, size), size + delay

    def move(state: State, action: int) -> tuple[State, float]:
        row, column, key = state
        if column >= size:  # at the door or beyond it: one way
            column = min(column + 1, treasure) if action == RIGHT else column
            return (row, column, key), TREASURE_REWARD if (action == RIGHT and column == treasure) else 0.0
        to = (row + MOVES[action][0], column + MOVES[action][1])
        if to == door and key:
            return (*door, key), DOOR_REWARD
        if not (0 <= to[0] < size and 0 <= to[1] < size):
            return state, 0.0
        if to == KEY_CELL and not key:
            return (*to, 1), KEY_REWARD
        return (*to, key), 0.0

    return tabulate((size, treasure + 1, 2), len(MOVES), move, lambda state: state[1] == treasure)


class KeyDoorBatch:
    """N copies of `KeyDoor`."""

    metadata = METADATA

    def __init__(self, num_envs: int, size: int = SIZE, delay: int = DELAY, distractors: int = 0) -> None:
        """Lay the house out; arguments as `KeyDoor`."""
        self.num_envs = positive_int("num_envs", num_envs)
        self._size = int_between("size", size, 2, 32)
        self._delay = int_between("delay", delay, 1, 1000)
        self._distractors = int_between("distractors", distractors, 0, self._delay - 1)
        self._table = layout(self._size, self._delay)
        self.observation_space: Space[Any] = MultiDiscrete(list(self._table.sizes))
        self.action_space: Space[Any] = Discrete(len(MOVES))
        self._state = np.full(self.num_envs, self._table.number(0, 1, 0), dtype=np.int64)
        self._worth = np.zeros((self.num_envs, self._distractors))  # of each copy's apples, from the door on

    def reset(
        self, slots: Ints, generators: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> None:
        """Put the agents into their rooms and apples into their corridors."""
        no_options(options)
        drawn = np.array([generator.random(1 + self._distractors) for generator in generators])
        start = 1 + (drawn[:, 0] * (self._size**2 - 1)).astype(np.int64)  # cell 0 is the key's
        row, column = np.divmod(start, self._size)
        self._state[slots] = np.ravel_multi_index((row, column, np.zeros_like(row)), self._table.sizes)
        self._worth[slots] = np.where(drawn[:, 1:] < 0.5, -DISTRACTION, DISTRACTION)

    def step(self, actions: Ints) -> tuple[Floats, Bools]:
        """Make one move in every copy."""
        before = self._state
        self._state, rewards, ended = self._table.step(before, actions)
        if self._distractors:
            self._eat(self._state != before, rewards)
        return rewards, ended

    def _eat(self, moved: Bools, rewards: Floats) -> None:
        apple = self._table.states[self._state, 1] - self._size - 1
        eaters = np.flatnonzero(moved & (apple >= 0) & (apple < self._distractors))
        rewards[eaters] += self._worth[eaters, apple[eaters]]

    def observe(self) -> Ints:
        """Return row, column and whether the key is carried."""
        return self._table.observe(self._state)

    def info(self) -> dict[str, Any]:
        """Return nothing: the observation says everything."""
        return {}

    def render(self, slot: int, mode: str) -> Any:
        """Draw the house."""
        row, column, key = self._table.states[self._state[slot]].tolist()
        return self._text(row, column, key) if mode == "ansi" else self._picture(row, column, key)

    def _apples_ahead(self, column: int) -> range:
        return range(max(column, self._size) + 1, self._size + 1 + self._distractors)

    def _text(self, row: int, column: int, key: int) -> str:
        rows = [["."] * self._size + ["#"] * (self._delay + 1) for _ in range(self._size)]
        middle = rows[self._size // 2]
        middle[self._size :] = ["D", *"." * (self._delay - 1), "T"]
        for apple in self._apples_ahead(column):
            middle[apple] = "o"
        rows[KEY_CELL[0]][KEY_CELL[1]] = "." if key else "K"
        rows[row][column] = "@" if key else "a"
        return drawing.text(["".join(cells) for cells in rows])

    def _picture(self, row: int, column: int, key: int) -> drawing.Picture:
        picture, middle = drawing.canvas(self._size, self._size + self._delay + 1), self._size // 2
        for inside, place in np.ndindex(self._size, self._size):
            drawing.cell(picture, inside, place)
        for place in range(self._size, self._size + self._delay + 1):
            drawing.cell(picture, middle, place)
        drawing.cell(picture, middle, self._size, drawing.GREEN if column >= self._size else drawing.RED)
        for apple in self._apples_ahead(column):
            drawing.disc(picture, middle, apple, drawing.GREEN, 0.15)
        drawing.cell(picture, middle, self._size + self._delay, drawing.GOLD)
        if not key:
            drawing.disc(picture, *KEY_CELL, drawing.GOLD, 0.2)
        drawing.disc(picture, row, column, drawing.AGENT)
        if key:
            drawing.disc(picture, row, column, drawing.GOLD, 0.16)
        return picture


class KeyDoor(BatchEnv):
    """Fetch the key, open the door, walk the corridor to the treasure.

    Description: A room of `size` by `size` cells, row 0 at the top. The key lies in cell (0, 0). The door is at
        (size // 2, size), to the right of the room's last column; behind it a corridor leads right, to the treasure
        `delay` cells from the door, at (size // 2, size + delay). The agent starts in a cell of the room other than
        the key's, each equally likely, without the key. It picks the key up by entering its cell. A move into a wall,
        or into the door without the key, changes nothing. The door shuts behind the agent: at the door and beyond it,
        only moves to the right change anything. In the first `distractors` cells of the corridor behind the door lie
        apples; each is worth +0.5 or -0.5 with equal probability, independently, and nothing shows which.
    Observation: `MultiDiscrete([size, size + delay + 1, 2])`: row, column, whether the agent has the key. It is the
        whole state. (Not a Box: an integer per part can index a table as it is, and libraries with networks encode
        MultiDiscrete one-hot by themselves.)
    Action: `Discrete(4)`: up, right, down, left.
    Reward: 1 for picking up the key, 2 for opening the door, which is moving into it with the key, 5 for reaching the
        treasure, and an apple's worth for entering its cell. The optimal expected return is 8.
    Termination: At the treasure. The recommended time limit is `MAX_EPISODE_STEPS`, 100.
    Arguments: `size` (2 to 32, default 5), `delay` (1 to 1000, default 10), `distractors` (0 to delay - 1, default 0),
        `render_mode` ("rgb_array", "ansi" or None).
    Source: Our own definition. The idea is that of RUDDER's drawing (arXiv 1806.07857) of key, door and treasure,
        for which no source gives states, actions or rewards.

    Example:
        >>> env = KeyDoor(size=3, delay=2, render_mode="ansi")
        >>> observation, _ = env.reset(seed=0)
        >>> print(env.render(), end="")
        K..###
        ...D.T
        a..###
    """

    metadata = METADATA
    batch = KeyDoorBatch

    def __init__(
        self, size: int = SIZE, delay: int = DELAY, distractors: int = 0, render_mode: str | None = None
    ) -> None:
        """Make one copy.

        Raises:
            TypeError: An argument has a wrong type.
            ValueError: An argument has a value that cannot be meant.
        """
        super().__init__(KeyDoorBatch(1, size, delay, distractors), render_mode)
