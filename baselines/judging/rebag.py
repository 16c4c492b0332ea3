"""Recorded episodes under another schedule: the same steps in other bags, paid by the wrappers' own ledger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bagged_envs.trajectory import Trajectory
from bagged_envs.wrappers import RewardSchedule, SlotLedger

Floats = npt.NDArray[np.float64]


def rebag(trajectories: Sequence[Trajectory], schedule: RewardSchedule, seed: int = 0) -> list[Trajectory]:
    """Return the same episodes with the bags and the rewards that a schedule gives them.

    Args:
        trajectories: Whole episodes of one agent, or of one team, with extras["dense_rewards"].
        schedule: When bags close, what they pay, whether it is shown.
        seed: Of random lengths and labels, which go on from one episode to the next.

    Raises:
        ValueError: An episode is not whole, its dense rewards are not known, or the schedule pays by success, which
            cannot be told from rewards.

    Example:
        >>> dense = {"dense_rewards": np.array([1.0, 2.0, 4.0])}
        >>> one = Trajectory(np.zeros((4, 1)), np.zeros(3), np.array([1.0, 2.0, 4.0]), np.array([0, 1, 2]),
        ...     np.ones(3, dtype=bool), terminated=True, extras=dense)
        >>> (bagged,) = rebag([one], RewardSchedule(bag_len=2))
        >>> bagged.rewards.tolist(), bagged.bag_ids.tolist()
        ([0.0, 3.0, 4.0], [0, 0, 1])
    """
    if schedule.success is not None:
        raise ValueError(f"schedule must pay an aggregate of dense rewards, got success={schedule.success!r}.")
    ledger = SlotLedger(schedule)
    ledger.reset(seed)
    return [_rebagged(trajectory, ledger) for trajectory in trajectories]


def dense_rewards(trajectory: Trajectory) -> Floats:
    """Return an episode's dense rewards, `[T]`: a team's, all agents together.

    Raises:
        ValueError: It has none.
    """
    dense = trajectory.extras.get("dense_rewards")
    if dense is None:
        raise ValueError(
            "trajectories must have extras['dense_rewards'], got none: record them with expose_reward=True."
        )
    steps = len(trajectory)
    return np.asarray(dense[:steps].reshape(steps, -1).sum(axis=1), dtype=np.float64)


def _rebagged(trajectory: Trajectory, ledger: SlotLedger) -> Trajectory:
    if not trajectory.closed:
        raise ValueError("trajectories must be whole episodes, got one with an open bag: leave it out.")
    rewards, bag_ids, labeled = ledger.pay_episode(dense_rewards(trajectory).tolist())
    return Trajectory(
        observations=trajectory.observations,
        actions=trajectory.actions,
        rewards=rewards,
        bag_ids=bag_ids,
        labeled=labeled,
        terminated=trajectory.terminated,
        extras=trajectory.extras,
    )
