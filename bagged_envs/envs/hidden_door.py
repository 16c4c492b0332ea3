"""HiddenDoor: a lamp that looks like the reason of success, and a hidden button that is."""

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

LENGTH = 8  # cells
OPEN_REWARD, EXIT_REWARD = 1.0, 2.0
MAX_EPISODE_STEPS = 50  # recommended; an optimal episode has length + 1 steps
REWARD_INFO_KEYS: tuple[str, ...] = ()
METADATA: dict[str, Any] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 8}

LEFT, RIGHT, PRESS = range(3)


@functools.lru_cache
def layout(length: int) -> Table:
    """Return the task; a state is (cell, lamp on, door open)."""
    lamp, button, outside = length - 2, length - 1, length

    def move(state: State, action: int) -> tuple[State, float]:
        cell, lit, is_open = state
        if action == PRESS:
            opens = cell == button and not is_open
            return (cell, int(lit or cell == lamp), int(is_open or opens)), OPEN_REWARD if opens else 0.0
        if action == LEFT:
            return (max(cell - 1, 0), lit, is_open), 0.0
        if cell == button:
            return ((outside, lit, is_open), EXIT_REWARD) if is_open else (state, 0.0)
        return (cell + 1, lit, is_open), 0.0

    return tabulate((length + 1, 2, 2), 3, move, lambda state: state[0] == outside)


class HiddenDoorBatch:
    """N copies of `HiddenDoor`."""

    metadata = METADATA

    def __init__(self, num_envs: int, length: int = LENGTH) -> None:
        """Lay the hall out; arguments as `HiddenDoor`."""
        self.num_envs = positive_int("num_envs", num_envs)
        self._length = int_between("length", length, 3, 1000)
        self._table = layout(self._length)
        self.observation_space: Space[Any] = MultiDiscrete(list(self._table.sizes))
        self.action_space: Space[Any] = Discrete(3)
        self._start = self._table.number(0, 0, 0)
        self._state = np.full(self.num_envs, self._start, dtype=np.int64)

    def reset(
        self, slots: Ints, generators: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> None:
        """Put the agents at the far ends of dark, shut halls."""
        no_options(options)
        self._state[slots] = self._start

    def step(self, actions: Ints) -> tuple[Floats, Bools]:
        """Make one step in every copy."""
        self._state, rewards, ended = self._table.step(self._state, actions)
        return rewards, ended

    def observe(self) -> Ints:
        """Return the cell, whether the lamp is on, and whether the door is open."""
        return self._table.observe(self._state)

    def info(self) -> dict[str, Any]:
        """Return nothing: the observation says everything."""
        return {}

    def render(self, slot: int, mode: str) -> Any:
        """Draw the hall, the hidden button in it."""
        cell, lit, is_open = self._table.states[self._state[slot]].tolist()
        return self._text(cell, lit, is_open) if mode == "ansi" else self._picture(cell, lit, is_open)

    def _text(self, cell: int, lit: int, is_open: int) -> str:
        above, floor = " " * (self._length - 2) + ("*" if lit else "o") + "h", ["."] * self._length
        floor.append("/" if is_open else "|")
        floor[cell] = "a"
        return drawing.text([above, "".join(floor)])

    def _picture(self, cell: int, lit: int, is_open: int) -> drawing.Picture:
        picture = drawing.canvas(2, self._length + 1)
        for place in range(self._length):
            drawing.cell(picture, 1, place)
        drawing.cell(picture, 1, self._length, drawing.GREEN if is_open else drawing.RED)
        drawing.disc(picture, 0, self._length - 2, drawing.GOLD if lit else drawing.GRAY, 0.4 if lit else 0.25)
        drawing.disc(picture, 0, self._length - 1, drawing.GRAY, 0.1)
        drawing.disc(picture, 1, cell, drawing.AGENT)
        return picture


class HiddenDoor(BatchEnv):
    """A lamp that looks like the reason of success, and a hidden button that is.

    Description: A hall of `length` cells, numbered from 0 to `length` - 1 from left to right; a door at its right end
        leads outside, to cell `length`. The agent starts in cell 0; the lamp is off and the door is shut. Pressing in
        cell `length` - 2 turns the lamp on for good, which does nothing else. Pressing in cell `length` - 1 opens the
        door for good; nothing marks the place. Pressing anywhere else does nothing. A move into the wall at the left
        end or into the shut door changes nothing. Who lights the lamp has come far and is next to the button, so early
        in learning a lit lamp goes with success: of random episodes of 50 steps 38 % succeed where it was lit and 12 %
        where it was not. A good agent leaves it alone.
    Observation: `MultiDiscrete([length + 1, 2, 2])`: the cell, whether the lamp is on, whether the door is open. It is
        the whole state.
    Action: `Discrete(3)`: left, right, press.
    Reward: 1 for opening the door, 2 for leaving through it, nothing for the lamp. The optimal return is 3, in
        `length` + 1 steps. There is no randomness.
    Termination: Outside. The recommended time limit is `MAX_EPISODE_STEPS`, 50.
    Arguments: `length` (3 to 1000, default 8), `render_mode` ("rgb_array", "ansi" or None).
    Source: Our own definition. The idea, an ambiguous attribution between a light that correlates with success and a
        hidden door that causes it, is from LaRe (arXiv 2412.11120); cells, actions and rewards are ours.

    Example:
        >>> env = HiddenDoor(render_mode="ansi")
        >>> _ = env.reset()
        >>> print(env.render(), end="")
              oh
        a.......|
    """

    metadata = METADATA
    batch = HiddenDoorBatch

    def __init__(self, length: int = LENGTH, render_mode: str | None = None) -> None:
        """Make one copy.

        Raises:
            TypeError: An argument has a wrong type.
            ValueError: An argument has a value that cannot be meant.
        """
        super().__init__(HiddenDoorBatch(1, length), render_mode)
