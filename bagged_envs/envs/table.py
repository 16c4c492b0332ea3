"""A small task with known states as arrays: what an action does is looked up, for all copies at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from bagged_envs.batch import Bools, Floats, Ints

State: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Table:
    """What every action does in every state.

    States are numbered as NumPy numbers the cells of an array of shape `sizes`, the last part counting fastest.

    Attributes:
        sizes: How many values each part of a state has.
        states: The parts of each state, int64 `(S, K)`.
        successors: The number of the state that follows, int64 `(S * A,)`, action counting fastest.
        rewards: What the action pays, float64 `(S * A,)`.
        ends: Whether the state ends the episode, bool `(S,)`; nothing leads out of such a state.
        num_actions: A.
    """

    sizes: State
    states: Ints
    successors: Ints
    rewards: Floats
    ends: Bools
    num_actions: int

    def number(self, *parts: int) -> int:
        """Return the number of a state."""
        return int(np.ravel_multi_index(parts, self.sizes))

    def step(self, states: Ints, actions: Ints) -> tuple[Ints, Floats, Bools]:
        """Return the numbers of the following states, the rewards, and whether the episodes end, each `(N,)`."""
        places = states * self.num_actions + actions
        following = self.successors.take(places)
        return following, self.rewards.take(places), self.ends.take(following)

    def observe(self, states: Ints) -> Ints:
        """Return the parts of the states, a new array `(N, K)`."""
        return self.states.take(states, axis=0)


def tabulate(
    sizes: State,
    num_actions: int,
    move: Callable[[State, int], tuple[State, float]],
    ends: Callable[[State], bool],
) -> Table:
    """Write a task down as a table.

    Args:
        sizes: How many values each part of a state has.
        num_actions: A.
        move: What an action does in a state: the state that follows, and the reward.
        ends: Whether a state ends the episode.

    Returns:
        The table. A state that ends the episode follows itself, for nothing, so that stepping an ended copy is safe.
    """
    states = [tuple(state) for state in np.ndindex(*sizes)]
    ended = [ends(state) for state in states]
    moves = [
        (state, 0.0) if end else move(state, action)
        for state, end in zip(states, ended, strict=True)
        for action in range(num_actions)
    ]
    successors = np.ravel_multi_index(np.array([state for state, _ in moves]).T, sizes)
    return Table(
        sizes=sizes,
        states=np.array(states, dtype=np.int64),
        successors=successors.astype(np.int64),
        rewards=np.array([reward for _, reward in moves], dtype=np.float64),
        ends=np.array(ended, dtype=np.bool_),
        num_actions=num_actions,
    )
