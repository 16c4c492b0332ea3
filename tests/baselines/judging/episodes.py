"""Recorded episodes for tests, whose rewards are linear in what is seen and done."""

import numpy as np

from bagged_envs.baselines.judging.fit import Spaces
from bagged_envs.baselines.judging.rebag import rebag
from bagged_envs.trajectory import Trajectory
from bagged_envs.wrappers import RewardSchedule

WEIGHTS = np.array([1.0, -2.0, 0.5])


def episodes(count=40, steps=20, seed=0, noise=0.0, **schedule):
    """Episodes of three random numbers seen and one done; `noise=1.0` makes all of the reward chance."""
    generator = np.random.default_rng(seed)
    recorded = []
    for _ in range(count):
        seen = generator.normal(size=(steps + 1, 3)).astype(np.float32)
        done = generator.normal(size=(steps, 1)).astype(np.float32)
        true = seen[:-1] @ WEIGHTS + done[:, 0]
        dense = (1.0 - noise) * true + noise * generator.normal(size=steps)
        recorded.append(
            Trajectory(
                observations=seen,
                actions=done,
                rewards=dense.astype(np.float64),
                bag_ids=np.arange(steps),
                labeled=np.ones(steps, dtype=bool),
                terminated=False,
                extras={"dense_rewards": dense.astype(np.float64)},
            )
        )
    return rebag(recorded, RewardSchedule(**{"bag_len": 5, **schedule}), seed)


def spaces():
    return Spaces.of(episodes(2))
