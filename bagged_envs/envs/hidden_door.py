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

LENGTH = 6  # cells
OPEN_REWARD, EXIT_REWARD = 1.0, 2.0
MAX_EPISODE_STEPS = 100  # recommended; an optimal episode has 2 * length steps
REWARD_INFO_KEYS: tuple[str, ...] = ()
METADATA: dict[str, Any] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 8}

LEFT, RIGHT, PRESS = range(3)
OUTSIDE, START = 0, 1


@functools.lru_cache
def layout(length: int) -> Table:
    """Return the task; a state is (cell, lamp on, door open)."""
    lamp, button = lamp_cell(length), length

    def move(state: State, action: int) -> tuple[State, float]:
        cell, lit, is_open = state
        if action == PRESS:
            opens = cell == button and not is_open
            return (cell, int(lit or cell == lamp), int(is_open or opens)), OPEN_REWARD if opens else 0.0
        if action == RIGHT:
            return (min(cell + 1, length), lit, is_open), 0.0
        if cell == START:
            return ((OUTSIDE, lit, is_open), EXIT_REWARD) if is_open else (state, 0.0)
        return (cell - 1, lit, is_open), 0.0

    return tabulate((length + 1, 2, 2), 3, move, lambda state: state[0] == OUTSIDE)


def lamp_cell(length: int) -> int:
    """Return where the lamp's button is."""
    return length // 2 + 1


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
        self._start = self._table.number(START, 0, 0)
        self._state = np.full(self.num_envs, self._start, dtype=np.int64)

    def reset(
        self, slots: Ints, generators: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> None:
        """Put the agents next to the shut doors, in the dark."""
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
        above, floor = [" "] * (self._length + 1), ["/" if is_open else "|", *"." * self._length]
        above[lamp_cell(self._length)] = "*" if lit else "o"
        above[self._length] = "h"
        floor[cell] = "a"
        return drawing.text(["".join(above), "".join(floor)])

    def _picture(self, cell: int, lit: int, is_open: int) -> drawing.Picture:
        picture, lamp = drawing.canvas(2, self._length + 1), lamp_cell(self._length)
        for place in range(1, self._length + 1):
            drawing.cell(picture, 1, place)
        drawing.cell(picture, 1, OUTSIDE, drawing.GREEN if is_open else drawing.RED)
        drawing.disc(picture, 0, lamp, drawing.GOLD if lit else drawing.GRAY, 0.4 if lit else 0.25)
        drawing.disc(picture, 0, self._length, drawing.LINE, 0.12)
        drawing.disc(picture, 1, cell, drawing.AGENT)
        return picture


class HiddenDoor(BatchEnv):
    """A lamp that looks like the reason of success, and a hidden button that is.

    Description: A hall of `length` cells, numbered 1 to `length` from left to right, and outside, cell 0, to the left
        of cell 1. The agent starts in cell 1; the lamp is off and the door between cells 1 and 0 is shut. Pressing in
        cell length // 2 + 1 turns the lamp on for good, which does nothing else. Pressing in cell `length` opens the
        door for good; nothing marks the place. Pressing anywhere else does nothing. A move into the wall at the right
        end or into the shut door changes nothing. An agent that happens on the button has walked past the lamp, so
        early in learning a lit lamp goes with success; a good agent leaves it alone.
    Observation: `MultiDiscrete([length + 1, 2, 2])`: the cell, whether the lamp is on, whether the door is open. It is
        the whole state.
    Action: `Discrete(3)`: left, right, press.
    Reward: 1 for opening the door, 2 for leaving through it, nothing for the lamp. The optimal return is 3, in
        2 * length steps. There is no randomness.
    Termination: Outside. The recommended time limit is `MAX_EPISODE_STEPS`, 100.
    Arguments: `length` (3 to 1000, default 6), `render_mode` ("rgb_array", "ansi" or None).
    Source: Our own definition. The idea, an ambiguous attribution between a light that correlates with success and a
        hidden door that causes it, is from LaRe (arXiv 2412.11120); cells, actions and rewards are ours.

    Example:
        >>> env = HiddenDoor(render_mode="ansi")
        >>> _ = env.reset()
        >>> print(env.render(), end="")
            o h
        |a.....
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
