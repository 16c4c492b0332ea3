"""The two-step game of Rashid et al. 2018 (arXiv 1803.11485, section 5): the first agent's choice chooses a matrix."""

import gymnasium as gym
import numpy as np
from gymnasium.vector import SyncVectorEnv
from pettingzoo import ParallelEnv

from bagged_envs.multi_agent.joint import JointEnv
from bagged_envs.wrappers.vector import EpisodicReward

SAFE, RISKY = ((7.0, 7.0), (7.0, 7.0)), ((0.0, 1.0), (1.0, 8.0))
BEST = 8.0


class TwoStep(ParallelEnv):
    """Two agents, who see the state one-hot. With `masked`, each has a third action that is never allowed."""

    metadata = {"name": "two_step_v0", "render_modes": []}
    render_mode = None

    def __init__(self, masked=False):
        self.possible_agents, self.agents, self.masked = ["first", "second"], [], masked
        self.spaces = gym.spaces.Box(0.0, 1.0, (3,), np.float32), gym.spaces.Discrete(2 + masked)

    def observation_space(self, agent):
        return self.spaces[0]

    def action_space(self, agent):
        return self.spaces[1]

    def reset(self, seed=None, options=None):
        self.agents, self.state = list(self.possible_agents), 0
        return self.observe(), self.tell()

    def step(self, actions):
        assert set(actions) == set(self.agents)
        assert all(action < 2 for action in actions.values())
        over, first, second = self.state > 0, actions["first"], actions["second"]
        paid = (SAFE, RISKY)[self.state - 1][first][second] if over else 0.0
        self.state = self.state if over else 1 + first
        result = self.observe(), {"first": paid, "second": 0.0}, *(dict.fromkeys(self.agents, x) for x in (over, False))
        told = self.tell()
        self.agents = [] if over else self.agents
        return *result, told

    def observe(self):
        return {agent: np.eye(3, dtype=np.float32)[self.state] for agent in self.agents}

    def tell(self):
        more = {"action_mask": np.array([1, 1, 0], np.int8)} if self.masked else {}
        return {agent: dict(more) for agent in self.agents}


def worlds(count, masked=False):
    """Some worlds of the game, paid at the end."""
    return EpisodicReward(SyncVectorEnv([lambda: JointEnv(TwoStep(masked)) for _ in range(count)]))
