"""A trajectory as the rows that a store keeps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bagged_envs.baselines.api import StepFactors
from bagged_envs.baselines.draws import Array, Bools
from bagged_envs.baselines.features import Features
from bagged_envs.trajectory import Trajectory

Floats = npt.NDArray[np.float64]


def flat(name: str, array: Array, features: Features | None, agents: int, size: int) -> Array:
    """Return observations or actions as features, `[T, A, size]`.

    Raises:
        ValueError: They are not of that size.
    """
    encoded = array if features is None else features.encode(array)
    if encoded.size != len(array) * agents * size:
        remedy = "pass the spaces' features, or encode them before" if features is None else "make another store"
        raise ValueError(
            f"{name} must have {agents} x {size} features in each of {len(array)} rows, got shape {encoded.shape}: "
            f"{remedy}."
        )
    return encoded.reshape(len(array), agents, size)


def factors_of(factors: StepFactors, seen: Array, acted: Array, after: Array) -> Array:
    """Return what factors say of steps of several agents, each by itself: float32 `[T, A, F]`.

    Args:
        factors: What says it.
        seen: Features of observations, `[T, A, D]`.
        acted: Features of actions, `[T, A, U]`.
        after: Features of the observations that followed, `[T, A, D]`.
    """
    rows = (np.asarray(one, np.float32).reshape(-1, one.shape[2]) for one in (seen, acted, after))
    return factors(*rows).reshape(*seen.shape[:2], factors.size)


def present(trajectory: Trajectory, agents: int) -> Bools:
    """Return which agents are there in each step, bool `[T, A]`: those of extras["alive"] `[T + 1, A]`, or all.

    Raises:
        ValueError: "alive" has another shape, or there is a step without agents.
    """
    steps = len(trajectory)
    alive = trajectory.extras.get("alive")
    if alive is None or agents == 1:
        return np.ones((steps, agents), dtype=np.bool_)
    if alive.shape != (steps + 1, agents) or alive.dtype != np.bool_:
        came = f"{alive.dtype} {alive.shape}"
        raise ValueError(f"extras['alive'] must be bool {(steps + 1, agents)}, got {came}: leave it out if all live.")
    if not alive[:steps].any(axis=1).all():
        step = int(np.flatnonzero(~alive[:steps].any(axis=1))[0])
        raise ValueError(f"extras['alive'] must have an agent alive before each step, got none before step {step}.")
    return np.asarray(alive[:steps])


def staying(trajectory: Trajectory, agents: int) -> Bools:
    """Return which agents the task has not ended with the last step, bool `[A]`: for those of a cut episode it goes on.

    They are those of extras["alive"] after the last step; where that has none though the task did not end, those of
    the last step.
    """
    there: Bools = present(trajectory, agents)[-1]
    alive = trajectory.extras.get("alive")
    if trajectory.terminated:
        return np.zeros_like(there)
    if alive is None or agents == 1 or not alive[-1].any():
        return there
    return np.asarray(there & alive[-1])


def allowed(trajectory: Trajectory, agents: int, size: int) -> Bools:
    """Return which actions each agent may choose, bool `[T + 1, A, U]`: extras["action_mask"], or all of them.

    Raises:
        ValueError: The masks have another shape.
    """
    shape = (len(trajectory) + 1, agents, size)
    masks = trajectory.extras.get("action_mask")
    if masks is None:
        return np.ones(shape, dtype=np.bool_)
    if masks.shape != shape:
        raise ValueError(f"extras['action_mask'] must be {shape}, got {masks.shape}: leave it out if all are allowed.")
    return np.asarray(masks, dtype=np.bool_)


def bag_columns(trajectory: Trajectory) -> dict[str, Array]:
    """Return what a store keeps of each bag, `[bags]` each.

    Raises:
        ValueError: As `labels`.
    """
    closed = np.ones(trajectory.num_bags, dtype=np.bool_)
    closed[-1] = trajectory.closed
    return {
        "position": np.flatnonzero(np.diff(trajectory.bag_ids, prepend=-1)),
        "length": np.bincount(trajectory.bag_ids),
        "label": labels(trajectory),
        "labeled": trajectory.labeled,
        "closed": closed,
        "version": np.zeros(trajectory.num_bags),
    }


def labels(trajectory: Trajectory) -> Floats:
    """Return what was paid for each bag in its last step, all agents together: float64 `[bags]`, 0.0 if not shown.

    Raises:
        ValueError: A step before a bag's last was paid, or a label is not finite as a float32.
    """
    last = np.append(np.diff(trajectory.bag_ids) == 1, trajectory.closed)
    early = np.flatnonzero(trajectory.rewards.reshape(len(trajectory), -1).any(axis=1) & ~last)
    if len(early):
        raise ValueError(
            f"rewards must be 0.0 before a bag's last step, got {trajectory.rewards[early[0]]} in step {early[0]}: "
            f"bags have to end where a reward is paid."
        )
    team = trajectory.rewards if trajectory.rewards.ndim == 1 else trajectory.rewards.sum(axis=1)
    shown: Floats = np.zeros(trajectory.num_bags)
    shown[: last.sum()] = team[last]
    shown = np.where(trajectory.labeled, shown, 0.0)
    unfit = np.flatnonzero(~(np.abs(shown) <= np.finfo(np.float32).max))
    if len(unfit):
        raise ValueError(f"rewards must be finite float32, got {shown[unfit[0]]} for bag {unfit[0]}: unlabel the bag.")
    return shown


def shown_rewards(trajectory: Trajectory) -> Floats:
    """Return the rewards, `[T]` or `[T, A]`, 0.0 where they are not shown."""
    hidden = ~trajectory.labeled[trajectory.bag_ids]
    rewards = trajectory.rewards.copy()
    rewards[hidden] = 0.0
    return rewards


def shares(name: str, rewards: Floats, there: Bools) -> Floats:
    """Return rewards by agent, `[T, A]`: their own, or equal shares of the team's among those who are there.

    Args:
        name: What they are, for the error.
        rewards: `[T]`, a team's, or `[T, A]`, the agents' own (of which one joint controller gets the sum).
        there: bool `[T, A]`.

    Raises:
        ValueError: They are rewards of another number of agents.

    Example:
        >>> shares("rewards", np.array([6.0, 6.0]), np.array([[True, True], [True, False]])).tolist()
        [[3.0, 3.0], [6.0, 0.0]]
    """
    if rewards.ndim == 1:
        return np.asarray(there * (rewards / there.sum(axis=1))[:, None])
    if rewards.shape == there.shape:
        return rewards
    if there.shape[1] == 1 and rewards.ndim == 2:
        return np.asarray(rewards.sum(axis=1, keepdims=True))
    raise ValueError(f"{name} must have shape {there.shape[:1]} or {there.shape}, got {rewards.shape}.")
