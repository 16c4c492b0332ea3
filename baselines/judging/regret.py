"""What it costs to believe a redistributed reward: the exact regret of the policy that is best for it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bagged_envs.baselines.judging.models import FiniteModel

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
TIE = 1e-6


def tabular_rewards(model: FiniteModel, states: Ints, actions: Ints, rewards: Floats) -> tuple[Floats, Bools]:
    """Return the mean reward of each state and action over recorded steps, and which were recorded: `[S, A]` each.

    A reward that depends on more, as the bag around the step or the policies that recorded it, is averaged over that.

    Args:
        model: The task.
        states: Numbers of the states, `[N]`.
        actions: `[N]`.
        rewards: `[N]`.
    """
    shape = _shape(model)
    places = states * shape[1] + actions
    counts = np.bincount(places, minlength=shape[0] * shape[1])
    sums = np.bincount(places, weights=rewards, minlength=shape[0] * shape[1])
    return (sums / np.maximum(counts, 1)).reshape(shape), (counts > 0).reshape(shape)


def best_policy(model: FiniteModel, rewards: Floats, allowed: Bools | None = None) -> Floats:
    """Return the policy of the highest undiscounted return within the horizon, by dynamic programming.

    Args:
        model: The task.
        rewards: Of each state and action, `[S, A]`.
        allowed: Which actions may be taken, `[S, A]`; None for all. In a state without any the policy acts at random,
            and expects nothing more.

    Returns:
        Probabilities `[T, S, A]` of the actions with t steps made; actions that are equally good, up to 1e-6 of the
        largest reward, are equally likely.
    """
    allowed = np.ones(rewards.shape, dtype=np.bool_) if allowed is None else allowed
    some: Bools = np.asarray(allowed.any(axis=1))
    tie = TIE * float(np.abs(rewards[allowed]).max(initial=0.0))
    policy, value = np.zeros((model.horizon, *rewards.shape)), np.zeros(len(rewards))
    for step in reversed(range(model.horizon)):
        returns = np.where(allowed, rewards + _later(model, value), -np.inf)
        best = np.where(some, returns.max(axis=1), 0.0)
        chosen = (returns >= best[:, None] - tie) | ~some[:, None]
        policy[step], value = chosen / chosen.sum(axis=1, keepdims=True), best
    return policy


def expected_return(model: FiniteModel, policy: Floats) -> float:
    """Return the true expected return of a policy `[T, S, A]`."""
    rewards, value = model.table.rewards.reshape(_shape(model)), np.zeros(_shape(model)[0])
    for step in reversed(range(model.horizon)):
        value = (policy[step] * (rewards + _later(model, value))).sum(axis=1)
    return float(value[model.starts].mean())


def regret(model: FiniteModel, rewards: Floats, allowed: Bools | None = None) -> float:
    """Return by how much the best policy for some rewards falls short of the optimal expected return, truly.

    Args:
        model: The task.
        rewards: Of each state and action, `[S, A]`.
        allowed: As for `best_policy`.
    """
    return optimal_return(model) - expected_return(model, best_policy(model, rewards, allowed))


def optimal_return(model: FiniteModel) -> float:
    """Return the highest expected return there is."""
    return expected_return(model, best_policy(model, model.table.rewards.reshape(_shape(model))))


def random_return(model: FiniteModel) -> float:
    """Return the expected return of uniformly random actions."""
    shape = _shape(model)
    return expected_return(model, np.full((model.horizon, *shape), 1.0 / shape[1]))


def _shape(model: FiniteModel) -> tuple[int, int]:
    return len(model.table.states), model.table.num_actions


def _later(model: FiniteModel, value: Floats) -> Floats:
    """Return the value of what follows each state and action, `[S, A]`; nothing follows the end."""
    following = model.table.successors.reshape(_shape(model))
    return np.where(model.table.ends[following], 0.0, value[following])
