"""Learners with a table of action values: Q(lambda), SARSA(lambda) and every-visit Monte Carlo, and advice for them.

For observations that are `Discrete` or `MultiDiscrete` and actions that are `Discrete`. Plain Python numbers, because a
step of a small task is cheaper than a NumPy call.

Source: Sutton & Barto, Reinforcement Learning (2nd ed., section 5.1; 1st ed., chapter 7); Ng, Harada & Russell, Policy
    invariance under reward transformations (1999); Wiewiora, Cottrell & Elkan, Principled methods for advising
    reinforcement learning agents (2003).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Discrete, MultiDiscrete, Space

Row = list[float]


class StateNumbers:
    """Numbers the values of a `Discrete` or `MultiDiscrete` space from 0, the last part counting fastest.

    Example:
        >>> numbers = StateNumbers(MultiDiscrete([2, 3]))
        >>> numbers([1, 2]), numbers.size
        (5, 6)
    """

    def __init__(self, space: Space[Any]) -> None:
        """Take a space.

        Raises:
            TypeError: It is another space, or a `MultiDiscrete` of more than one axis.
        """
        if isinstance(space, Discrete):
            sizes, start = [int(space.n)], [int(space.start)]
        elif isinstance(space, MultiDiscrete) and space.nvec.ndim == 1:
            sizes, start = space.nvec.tolist(), space.start.tolist()
        else:
            raise TypeError(f"Tables need a Discrete or flat MultiDiscrete space, got {space}.")
        strides = [int(np.prod(sizes[part + 1 :])) for part in range(len(sizes))]
        self.size = int(np.prod(sizes))
        self._strides = strides
        self._offset = sum(first * stride for first, stride in zip(start, strides, strict=True))

    def __call__(self, observation: Any) -> int:
        """Return the number of an observation."""
        if len(self._strides) == 1:
            return int(np.asarray(observation).item()) - self._offset
        parts = observation.tolist() if isinstance(observation, np.ndarray) else observation
        return int(sum(part * stride for part, stride in zip(parts, self._strides, strict=True)) - self._offset)


@dataclass(frozen=True)
class TabularConfig:
    """Settings of all learners here.

    Attributes:
        step_size: How far a value moves towards its target.
        discount: Of the future.
        trace_decay: Lambda of the eligibility traces; Monte Carlo has none.
        epsilon: Share of uniformly random actions while exploring.
        initial_value: Of every action at first; above what can be earned it is optimistic, and everything gets tried.
        traces: What a visit makes of a trace: 1 ("replacing"), or 1 more ("accumulating").
        cut: Whether Q(lambda) cuts its traces at an action that is not greedy (Watkins), or never (naive): uncut traces
            carry what exploration earned back to values that are meant for the greedy policy.
    """

    step_size: float = 0.1
    discount: float = 1.0
    trace_decay: float = 0.9
    epsilon: float = 0.1
    initial_value: float = 0.0
    traces: Literal["replacing", "accumulating"] = "replacing"
    cut: bool = True

    def __post_init__(self) -> None:
        """Check values.

        Raises:
            ValueError: One of them cannot be meant.
        """
        for name, above in (("step_size", True), ("discount", True), ("trace_decay", False), ("epsilon", False)):
            value = getattr(self, name)
            if not (0.0 < value <= 1.0 if above else 0.0 <= value <= 1.0):
                raise ValueError(f"{name} must be {'above 0' if above else '0'} to 1, got {value}.")
        if self.traces not in ("replacing", "accumulating"):
            raise ValueError(f"traces must be 'replacing' or 'accumulating', got {self.traces!r}.")


SMALLEST_TRACE = 1e-8  # smaller ones are forgotten


class Advice(Protocol):
    """What is added to rewards, and to values where the policy chooses. State numbers, and None after the end."""

    def bias(self, state: int, action: int) -> float:
        """Return what the policy adds to an action's value where it chooses the greedy one."""

    def reward(self, before: tuple[int, int] | None, now: tuple[int, int], then: tuple[int, int] | None) -> float:
        """Return what a step's reward gains.

        Args:
            before: State and action of the step before; None in the first step.
            now: State and action of this step.
            then: The state that follows, and the action whose value the learner bootstraps from; None at the end.
        """


@dataclass(frozen=True)
class PotentialShaping:
    """`gamma Phi(s') - Phi(s)`, and nothing is added to values. After the end, Phi is 0.

    Source: Ng, Harada & Russell 1999. The same as first values of Phi(s) (Wiewiora 2003), which a test holds.
    """

    potential: Callable[[int], float]
    discount: float

    def bias(self, state: int, action: int) -> float:
        """Return 0."""
        return 0.0

    def reward(self, before: tuple[int, int] | None, now: tuple[int, int], then: tuple[int, int] | None) -> float:
        """Return the discounted gain of potential."""
        return (self.discount * self.potential(then[0]) if then else 0.0) - self.potential(now[0])


@dataclass(frozen=True)
class LookAheadAdvice:
    """`gamma Phi(s', a') - Phi(s, a)`; the policy is greedy for Q + Phi. After the end, Phi is 0.

    a' is the action that the learner bootstraps from: the one taken next (SARSA), or the greedy one (Q-learning).

    Source: Wiewiora, Cottrell & Elkan 2003. The same as first values of Phi(s, a), which a test holds.
    """

    potential: Callable[[int, int], float]
    discount: float

    def bias(self, state: int, action: int) -> float:
        """Return Phi(s, a)."""
        return self.potential(state, action)

    def reward(self, before: tuple[int, int] | None, now: tuple[int, int], then: tuple[int, int] | None) -> float:
        """Return the discounted gain of potential."""
        return (self.discount * self.potential(*then) if then else 0.0) - self.potential(*now)


@dataclass(frozen=True)
class LookBackAdvice:
    """`Phi(s, a) - Phi(s_prev, a_prev) / gamma`, where Phi before the first step is 0; nothing is added to values.

    Source: Wiewiora, Cottrell & Elkan 2003. In the last step of an episode Phi(s, a) is left out (ours): it is what the
        step after the end, from a state of no potential, would take back, and without it the advice would pay
        for ending with a high potential.
    """

    potential: Callable[[int, int], float]
    discount: float

    def bias(self, state: int, action: int) -> float:
        """Return 0."""
        return 0.0

    def reward(self, before: tuple[int, int] | None, now: tuple[int, int], then: tuple[int, int] | None) -> float:
        """Return the gain of potential since the step before."""
        return (self.potential(*now) if then else 0.0) - (self.potential(*before) / self.discount if before else 0.0)


class ActionValues:
    """A table of action values and the epsilon-greedy policy of it; rows are made when first needed.

    Ties between greedy actions are broken at random.
    """

    def __init__(self, num_actions: int, config: TabularConfig, seed: int = 0, advice: Advice | None = None) -> None:
        """Begin with the initial value everywhere."""
        self.num_actions, self.config, self.advice = num_actions, config, advice
        self.rows: dict[int, Row] = {}
        self.random = random.Random(seed)

    def row(self, state: int) -> Row:
        """Return the values of a state's actions, the list itself."""
        row = self.rows.get(state)
        if row is None:
            row = self.rows[state] = [self.config.initial_value] * self.num_actions
        return row

    def preferences(self, state: int) -> Row:
        """Return what the policy is greedy for: values with the advice's bias."""
        row = self.row(state)
        if self.advice is None:
            return row
        return [value + self.advice.bias(state, action) for action, value in enumerate(row)]

    def greedy(self, state: int) -> int:
        """Return an action of the highest preference."""
        row = self.preferences(state)
        best = max(row)
        if row.count(best) == 1:
            return row.index(best)
        return self.random.choice([action for action, value in enumerate(row) if value == best])

    def is_greedy(self, state: int, action: int) -> bool:
        """Return whether no action has a higher preference."""
        row = self.preferences(state)
        return row[action] == max(row)

    def act(self, state: int, explore: bool = True) -> int:
        """Return an action: greedy, or while exploring sometimes a random one."""
        if explore and self.random.random() < self.config.epsilon:
            return self.random.randrange(self.num_actions)
        return self.greedy(state)

    def state_dict(self) -> dict[str, Any]:
        """Return values and random numbers."""
        rows = {state: list(row) for state, row in self.rows.items()}
        return {"rows": rows, "random": self.random.getstate()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, of between two episodes."""
        self.rows = {number: list(row) for number, row in state["rows"].items()}
        version, words, gauss = state["random"]
        self.random.setstate((version, tuple(words), gauss))


class TabularLearner(Protocol):
    """Improves its table step by step.

    Attributes:
        values: The table, which also acts.
    """

    values: ActionValues

    def learn(self, state: int, action: int, reward: float, following: int, next_action: int, terminated: bool) -> None:
        """Take in one step.

        Args:
            state: Number of the state.
            action: What was done.
            reward: What was paid.
            following: Number of the state that came.
            next_action: What will be done there; anything where the episode terminated.
            terminated: Whether the task itself ended; truncation does not stop bootstrapping.
        """

    def end(self) -> None:
        """End the episode, also one that was truncated."""


class _Traces:
    """Eligibility of state-action pairs, and the advised pair before the current one."""

    def __init__(self, values: ActionValues) -> None:
        self.values = values
        self.of: dict[tuple[int, int], float] = {}
        self.before: tuple[int, int] | None = None

    def spread(self, now: tuple[int, int], error: float) -> None:
        """Mark the current pair, and move every marked value by the error."""
        config, traces = self.values.config, self.of
        traces[now] = 1.0 if config.traces == "replacing" else traces.get(now, 0.0) + 1.0
        move = config.step_size * error
        for (state, action), trace in traces.items():
            self.values.row(state)[action] += move * trace
        self.before = now

    def fade(self) -> None:
        """Let a step pass."""
        decay = self.values.config.discount * self.values.config.trace_decay
        self.of = {pair: trace * decay for pair, trace in self.of.items() if trace * decay > SMALLEST_TRACE}

    def forget(self) -> None:
        """End the episode."""
        self.of, self.before = {}, None


def _advised(values: ActionValues, traces: _Traces, now: tuple[int, int], then: tuple[int, int] | None) -> float:
    return 0.0 if values.advice is None else values.advice.reward(traces.before, now, then)


class QLambda:
    """Q(lambda), Watkins's unless `cut` is False.

    ::

        delta = r + gamma Q(s', a*) - Q(s, a)   with a* greedy
        e(s, a) = 1;   Q += alpha delta e;   e *= gamma lambda, or 0 where the next action is not greedy

    Source: Sutton & Barto, 1st ed., section 7.6.
    """

    def __init__(self, num_actions: int, config: TabularConfig, seed: int = 0, advice: Advice | None = None) -> None:
        """Begin with an empty table."""
        self.values = ActionValues(num_actions, config, seed, advice)
        self._traces = _Traces(self.values)

    def learn(self, state: int, action: int, reward: float, following: int, next_action: int, terminated: bool) -> None:
        """Take in one step; see `TabularLearner`."""
        values, now = self.values, (state, action)
        error = reward - values.row(state)[action]
        if terminated:
            error += _advised(values, self._traces, now, None)
        else:
            preferences = values.preferences(following)
            best = preferences.index(max(preferences))
            error += values.config.discount * values.row(following)[best]
            error += _advised(values, self._traces, now, (following, best))
        goes_on = not values.config.cut or values.is_greedy(following, next_action)
        self._traces.spread(now, error)
        if goes_on:
            self._traces.fade()
        else:
            self._traces.of = {}

    def end(self) -> None:
        """End the episode."""
        self._traces.forget()


class SarsaLambda:
    """SARSA(lambda): `delta = r + gamma Q(s', a') - Q(s, a)` with the next action, moved along uncut traces.

    Source: Sutton & Barto, 1st ed., section 7.5.
    """

    def __init__(self, num_actions: int, config: TabularConfig, seed: int = 0, advice: Advice | None = None) -> None:
        """Begin with an empty table."""
        self.values = ActionValues(num_actions, config, seed, advice)
        self._traces = _Traces(self.values)

    def learn(self, state: int, action: int, reward: float, following: int, next_action: int, terminated: bool) -> None:
        """Take in one step; see `TabularLearner`."""
        values, now = self.values, (state, action)
        then = None if terminated else (following, next_action)
        error = reward + _advised(values, self._traces, now, then) - values.row(state)[action]
        if not terminated:
            error += values.config.discount * values.row(following)[next_action]
        self._traces.spread(now, error)
        self._traces.fade()

    def end(self) -> None:
        """End the episode."""
        self._traces.forget()


class MonteCarlo:
    """Every-visit Monte Carlo: `Q(s, a) += alpha (G_t - Q(s, a))` for each step t, when the episode has ended.

    A truncated episode's return goes no further than its last step. Visits are taken from the last to the first.

    Source: Sutton & Barto, 2nd ed., section 5.1, with a constant step size.
    """

    def __init__(self, num_actions: int, config: TabularConfig, seed: int = 0, advice: Advice | None = None) -> None:
        """Begin with an empty table."""
        self.values = ActionValues(num_actions, config, seed, advice)
        self._steps: list[tuple[int, int, float]] = []

    def learn(self, state: int, action: int, reward: float, following: int, next_action: int, terminated: bool) -> None:
        """Take in one step; see `TabularLearner`."""
        if self.values.advice is not None:
            before = self._steps[-1][:2] if self._steps else None
            then = None if terminated else (following, next_action)
            reward += self.values.advice.reward(before, (state, action), then)
        self._steps.append((state, action, reward))

    def end(self) -> None:
        """Learn from the episode."""
        config, total = self.values.config, 0.0
        for state, action, reward in reversed(self._steps):
            total = reward + config.discount * total
            row = self.values.row(state)
            row[action] += config.step_size * (total - row[action])
        self._steps = []


def play(env: gym.Env[Any, Any], learner: TabularLearner, explore: bool = True, seed: int | None = None) -> float:
    """Play one episode, learning from it while exploring, and return what it paid.

    Args:
        env: With an observation space that `StateNumbers` knows.
        learner: Who plays.
        explore: Whether to explore and learn, or to play greedily and leave the learner's table as it is.
        seed: Of the environment's reset.
    """
    number, values = StateNumbers(env.observation_space), learner.values
    state, total, over = number(env.reset(seed=seed)[0]), 0.0, False
    action = values.act(state, explore)
    while not over:
        observation, reward, terminated, truncated, _ = env.step(action)
        following, over = number(observation), terminated or truncated
        next_action = values.act(following, explore)
        if explore:
            learner.learn(state, action, float(reward), following, next_action, terminated)
        state, action, total = following, next_action, total + float(reward)
    if explore:
        learner.end()
    return total


def lambda_returns(errors: Sequence[float], goes_on: Sequence[bool], decay: float) -> list[float]:
    """Return what traces would move each step's value by, over the step size: `M_t = delta_t + decay M_(t+1)`.

    Where no state comes twice in an episode, as where the time is part of it, this is the same as `QLambda` or
    `SarsaLambda` step by step, and takes time in proportion to the episode's length, not to its square.

    Args:
        errors: delta, `[T]`.
        goes_on: Whether traces live on from step t to t + 1, `[T]`; the last one does not matter.
        decay: gamma lambda.

    Example:
        >>> lambda_returns([1.0, 2.0, 4.0], [True, False, True], 0.5)
        [2.0, 2.0, 4.0]
    """
    moves, carried = [0.0] * len(errors), 0.0
    for step in range(len(errors) - 1, -1, -1):
        carried = errors[step] + (decay * carried if goes_on[step] else 0.0)
        moves[step] = carried
    return moves
