"""Trajectories for tests of the store, whose every number says where it comes from."""

import numpy as np
from hypothesis import strategies as st

from bagged_envs.trajectory import Trajectory


def trajectory(lengths, number=0, labeled=None, closed=True, terminated=False, agents=1, dense=False):
    """Bags of these lengths; observation `[number, step]`, action `[-step]`, label `100 * number + bag + 0.1`."""
    steps, bags = sum(lengths), len(lengths)
    labeled = np.ones(bags, dtype=bool) if labeled is None else np.array(labeled)
    labeled[-1] &= closed
    bag_ids = np.repeat(np.arange(bags), lengths)
    rewards = np.zeros(steps)
    rewards[np.cumsum(lengths) - 1] = np.where(labeled, 100.0 * number + np.arange(bags) + 0.1, 0.0)
    observations = np.stack([np.full(steps + 1, float(number)), np.arange(steps + 1.0)], axis=1)
    actions = -np.arange(float(steps))[:, None]
    if agents > 1:
        observations = np.stack([observations + 0.25 * agent for agent in range(agents)], axis=1)
        actions = np.stack([actions] * agents, axis=1)
    extras = {"dense_rewards": np.arange(float(steps)) + 0.5} if dense else {}
    return Trajectory(observations, actions, rewards, bag_ids, labeled, terminated and closed, closed, extras)


@st.composite
def trajectories(draw, max_bags=5, max_length=6, open_too=True):
    """A function from a number to a trajectory with random bags, labels and end."""
    lengths = draw(st.lists(st.integers(1, max_length), min_size=1, max_size=max_bags))
    labeled = draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)))
    closed = draw(st.booleans()) if open_too else True
    terminated = draw(st.booleans())
    return lambda number, **more: trajectory(lengths, number, list(labeled), closed, terminated, **more)
