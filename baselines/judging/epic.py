"""How far apart two rewards are once potential shaping is taken out: two distances, from 0 (the same) to 1 (opposite).

`epic_distance` asks reward functions about transitions that never happened, any state with any action and any next
state. That needs functions of (s, a, s') alone. Where a reward is known only as a number per recorded step, because it
depends on the bag around the step, sample-based canonicalization is not defined, and `shaping_free_distance` says
how alike the recorded rewards are after the nearest shaping of a family of potentials is taken out of both.

Source: Gleave et al., "Quantifying Differences in Reward Functions", ICLR 2021 (arXiv:2006.13900), definitions 4.1 and
    4.4. The second distance is ours, in the spirit of the canonicalization of least norm of Skalse et al., "STARC",
    ICLR 2024 (arXiv:2309.15257).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bagged_envs.baselines.judging.scores import pearson

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
RewardFunction: TypeAlias = Callable[[Floats, Floats, Floats], Floats]  # [N, D], [N, U], [N, D] to [N]
CHUNK = 65_536
MOST_STATES = 1_000  # more distinct ones than that have no potential of their own
WAVES = 64


@dataclass(frozen=True)
class Transitions:
    """Recorded steps, as features.

    Attributes:
        states: `[N, D]`.
        actions: `[N, U]`.
        following: `[N, D]`.
        terminated: bool `[N]`.
    """

    states: Floats
    actions: Floats
    following: Floats
    terminated: Bools

    def at(self, rows: npt.NDArray[np.int64]) -> Transitions:
        """Return those in some rows."""
        return Transitions(self.states[rows], self.actions[rows], self.following[rows], self.terminated[rows])


def some_rows(total: int, count: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return that many of the numbers below `total`, without replacement, or all of them if they are fewer."""
    return np.arange(total) if total <= count else generator.choice(total, count, replace=False)


def pearson_distance(true: Floats, other: Floats) -> float:
    """Return sqrt((1 - rho) / 2) of Pearson's correlation rho; as that is nan or 0 for constants, nan or 0.71.

    Example:
        >>> pearson_distance(np.array([1.0, 2.0]), np.array([2.0, 1.0]))
        1.0
    """
    return math.sqrt((1.0 - rho) / 2.0) if not math.isnan(rho := pearson(true, other)) else math.nan


def epic_distance(
    true: RewardFunction,
    other: RewardFunction,
    recorded: Transitions,
    discount: float = 0.99,
    transitions: int = 512,
    samples: int = 256,
    seed: int = 0,
) -> float:
    """Return the EPIC distance of two reward functions, the recordings being their coverage distribution.

    The canonically shaped reward, without the term that is the same everywhere and that Pearson's distance ignores, is

        C(R)(s, a, s') = R(s, a, s') + discount m(s') - m(s),    m(x) = E[R(x, A, S')]

    with A and S' independent, each distributed as in the recordings. It is the same for all potential shapings of R.

    Args:
        true: The reward to compare with.
        other: The reward that is judged.
        recorded: Where transitions, actions and states are drawn from.
        discount: Of the shaping that is to be ignored.
        transitions: How many transitions the distance is estimated on; all recorded ones if they are fewer.
        samples: How many pairs (A, S') estimate the mean; where there are no more different ones than that, all of
            them are taken, each as often as it occurs, and the mean is exact.
        seed: Of what is drawn.
    """
    generator = np.random.default_rng(seed)
    actions, states, weights = _pairs(recorded, samples, generator)
    steps = recorded.at(some_rows(len(recorded.states), transitions, generator))
    places, which = np.unique(np.concatenate((steps.states, steps.following)), axis=0, return_inverse=True)
    before, after = which.reshape(-1)[: len(steps.states)], which.reshape(-1)[len(steps.states) :]

    def canonical(reward: RewardFunction) -> Floats:
        means = _means(reward, places, actions, states, weights)
        return reward(steps.states, steps.actions, steps.following) + discount * means[after] - means[before]

    return pearson_distance(canonical(true), canonical(other))


def _pairs(recorded: Transitions, samples: int, generator: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Return actions `[M, U]`, next states `[M, D]` and their probabilities `[M]`."""
    actions, action_counts = np.unique(recorded.actions, axis=0, return_counts=True)
    states, state_counts = np.unique(recorded.states, axis=0, return_counts=True)
    if len(actions) * len(states) <= samples:
        weights = np.outer(action_counts, state_counts).ravel() / len(recorded.actions) ** 2
        return np.repeat(actions, len(states), axis=0), np.tile(states, (len(actions), 1)), weights
    first, second = generator.integers(len(recorded.actions), size=(2, samples))
    return recorded.actions[first], recorded.states[second], np.full(samples, 1.0 / samples)


def _means(reward: RewardFunction, places: Floats, actions: Floats, states: Floats, weights: Floats) -> Floats:
    """Return m(x) of each place, `[P]`."""
    together = max(1, CHUNK // len(actions))
    means = []
    for first in range(0, len(places), together):
        here = places[first : first + together]
        rewards = reward(
            np.repeat(here, len(actions), axis=0), np.tile(actions, (len(here), 1)), np.tile(states, (len(here), 1))
        )
        means.append(rewards.reshape(len(here), -1) @ weights)
    return np.concatenate(means)


def shaping_free_distance(
    true: Floats, other: Floats, recorded: Transitions, discount: float = 0.99, seed: int = 0
) -> float:
    """Return Pearson's distance of recorded rewards from which the nearest potential shaping was taken.

    The shapings are discount Phi(s') - Phi(s), Phi(s') = 0 where the task ended, of all potentials Phi that are linear
    in some features: one per state where at most 1,000 different ones were recorded, twice each on average, and then
    shaping is ignored exactly; else a constant, the observation, and 64 random waves of it, and then other shapings
    still count.

    It can be asked of any rewards, but knows the recorded steps only: where those leave hardly a choice, shapings
    explain much of any reward, and what is left says little.

    Args:
        true: `[N]`.
        other: `[N]`.
        recorded: The steps they belong to.
        discount: Of the shaping that is to be ignored.
        seed: Of the random waves.
    """
    before, after = potentials(recorded, seed)
    shapings = discount * np.where(recorded.terminated[:, None], 0.0, after) - before  # [N, K]
    constants = np.ones((len(shapings), 1))
    return pearson_distance(*(_without(np.hstack((shapings, constants)), rewards) for rewards in (true, other)))


def potentials(recorded: Transitions, seed: int = 0) -> tuple[Floats, Floats]:
    """Return features of states and of following states, `[N, K]` each, that potentials are linear in."""
    together = np.concatenate((recorded.states, recorded.following))
    distinct, which = np.unique(together, axis=0, return_inverse=True)
    if len(distinct) <= min(MOST_STATES, len(recorded.states) // 2):
        features = np.eye(len(distinct))[which.reshape(-1)]
    else:
        deviation = together.std(axis=0)
        scaled = (together - together.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
        generator = np.random.default_rng(seed)
        waves = generator.normal(size=(scaled.shape[1], WAVES)) / math.sqrt(scaled.shape[1])
        phases = generator.uniform(0.0, 2.0 * math.pi, WAVES)
        features = np.hstack((np.ones((len(scaled), 1)), scaled, np.cos(scaled @ waves + phases)))
    return features[: len(recorded.states)], features[len(recorded.states) :]


def _without(shapings: Floats, rewards: Floats) -> Floats:
    """Return what the nearest shaping leaves of rewards; exactly 0.0 where that is rounding only."""
    weights = np.linalg.lstsq(shapings, rewards, rcond=None)[0]
    left: Floats = rewards - shapings @ weights
    return left if np.linalg.norm(left) > 1e-6 * np.linalg.norm(rewards) else np.zeros_like(left)
