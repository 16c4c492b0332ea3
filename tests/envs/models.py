"""The tasks' transitions once more, one state at a time, as their docstrings say them; and exact solutions by them.

Nothing here calls the environments. A state is what is observed.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.envs.cases import native


@dataclass(frozen=True)
class Model:
    """A finite task.

    Attributes:
        starts: The states that episodes start in, each equally likely.
        actions: How many actions there are.
        step: From a state and an action to outcomes `(probability, following state, reward, whether it ends)`.
    """

    starts: list
    actions: int
    step: Callable


def key_door(size=5, delay=10, distractors=0):
    """Up, right, down, left in a room; (row, column, has key)."""
    door_row = size // 2

    def step(state, action):
        row, column, key = state
        if column == size + delay:
            raise AssertionError("the episode has ended")
        if column >= size:
            if action != 1:
                return [(1.0, state, 0.0, False)]
            column += 1
            if column == size + delay:
                return [(1.0, (row, column, key), 5.0, True)]
            if column <= size + distractors:
                return [(0.5, (row, column, key), 0.5, False), (0.5, (row, column, key), -0.5, False)]
            return [(1.0, (row, column, key), 0.0, False)]
        if action == 1 and row == door_row and column == size - 1 and key == 1:
            return [(1.0, (row, size, 1), 2.0, False)]
        if action == 0:
            row = max(row - 1, 0)
        elif action == 1:
            column = min(column + 1, size - 1)
        elif action == 2:
            row = min(row + 1, size - 1)
        else:
            column = max(column - 1, 0)
        found = key == 0 and (row, column) == (0, 0)
        return [(1.0, (row, column, 1 if found else key), 1.0 if found else 0.0, False)]

    rooms = [(row, column, 0) for row in range(size) for column in range(size) if (row, column) != (0, 0)]
    return Model(rooms, 4, step)


def hidden_door(length=8):
    """Left, right, press in a hall; (cell, lamp on, door open)."""

    def step(state, action):
        cell, lamp, door = state
        if cell == length:
            raise AssertionError("the episode has ended")
        if action == 2 and cell == length - 2:
            return [(1.0, (cell, 1, door), 0.0, False)]
        if action == 2 and cell == length - 1 and door == 0:
            return [(1.0, (cell, lamp, 1), 1.0, False)]
        if action == 0 and cell > 0:
            return [(1.0, (cell - 1, lamp, door), 0.0, False)]
        if action == 1 and cell < length - 1:
            return [(1.0, (cell + 1, lamp, door), 0.0, False)]
        if action == 1 and door == 1:
            return [(1.0, (length, lamp, 1), 2.0, True)]
        return [(1.0, state, 0.0, False)]

    return Model([(0, 0, 0)], 3, step)


def trace_back(delay=20, noise=0.0):
    """Up, right, down, left on 5 by 5 cells; (row, column, time)."""

    def step(state, action):
        row, column, time = state
        row = sorted((0, row + (-1, 0, 1, 0)[action], 4))[1]
        column = sorted((0, column + (0, 1, 0, -1)[action], 4))[1]
        time += 1
        following, ended = (row, column, time), time == delay
        if time == 2:
            return [(1.0, following, (10.0, 5.0, 0.0, 0.0, 0.0)[row], ended)]
        if time > 2 and noise:
            return [(0.5, following, noise, ended), (0.5, following, -noise, ended)]
        return [(1.0, following, 0.0, ended)]

    return Model([(2, 2, 0)], 4, step)


def charge_discharge(delay=10):
    """Charge, discharge; (charged, time)."""

    def step(state, action):
        charged, time = state
        reward = 0.0 if action == 0 else (10.0 if charged else 1.0)
        return [(1.0, (1 - action, time + 1), reward, time + 1 == delay)]

    return Model([(0, 0)], 2, step)


class Solution:
    """Backward induction over the steps that are left."""

    def __init__(self, model):
        self.model = model
        self.value = functools.cache(self._value)
        self.random_value = functools.cache(self._random_value)

    def q(self, state, action, left, value=None):
        """The expected return of an action with so many steps left, this one among them."""
        value = value or self.value
        return sum(
            p * (reward + (0.0 if ended else value(following, left - 1)))
            for p, following, reward, ended in self.model.step(state, action)
        )

    def _value(self, state, left):
        return max(self.q(state, a, left) for a in range(self.model.actions)) if left else 0.0

    def _random_value(self, state, left):
        actions = range(self.model.actions)
        return sum(self.q(state, a, left, self.random_value) for a in actions) / len(actions) if left else 0.0

    def best(self, state, left):
        return max(range(self.model.actions), key=lambda a: self.q(state, a, left))

    def optimal_return(self, horizon):
        return sum(self.value(start, horizon) for start in self.model.starts) / len(self.model.starts)


def greedy_episode(env, model, horizon, seed=0):
    """Rewards of the optimal policy in the environment, and the optimal values met on the way."""
    solution = Solution(model)
    observation, _ = env.reset(seed=seed)
    rewards, values, ended, left = [], [], False, horizon
    while not ended and left:
        state = tuple(observation.tolist())
        values.append(solution.value(state, left))
        observation, reward, ended, _, _ = env.step(solution.best(state, left))
        rewards.append(reward)
        left -= 1
    return rewards, values, ended


def reachable(model):
    """Every transition that can happen: (state, action, following state, reward, whether it ends)."""
    seen, waiting, transitions = set(model.starts), list(model.starts), set()
    while waiting:
        state = waiting.pop()
        for action in range(model.actions):
            for _, following, reward, ended in model.step(state, action):
                transitions.add((state, action, following, reward, ended))
                if following not in seen and not ended:
                    seen.add(following)
                    waiting.append(following)
    return transitions


def happened(task, arguments, num_envs, steps, limit=None, seed=0):
    """Every transition of the environment that random actions made, and the states that episodes started in."""
    envs = native(task, num_envs, arguments, limit, "Disabled")
    envs.action_space.seed(seed)
    states, _ = envs.reset(seed=seed)
    transitions, starts = set(), set(map(tuple, states.tolist()))
    for _ in range(steps):
        actions = envs.action_space.sample()
        following, rewards, terminated, truncated, _ = envs.step(actions)
        rows = (states.tolist(), actions.tolist(), following.tolist(), rewards.tolist(), terminated.tolist())
        transitions |= {(tuple(s), a, tuple(f), r, t) for s, a, f, r, t in zip(*rows, strict=True)}
        states, over = following, terminated | truncated
        if over.any():
            states, _ = envs.reset(options={"reset_mask": over})
            starts |= set(map(tuple, np.asarray(states)[over].tolist()))
    return transitions, starts
