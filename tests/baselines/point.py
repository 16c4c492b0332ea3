"""A point on a line that should be at 0.6, and recorded episodes of random steps."""

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box

import bagged_envs
from bagged_envs.baselines.collect import collect
from bagged_envs.tasks import TASKS

NAME, HORIZON = "OfflinePoint", 10
ID = f"PartiallyLabeled{NAME}-v0"


class Point(gym.Env):
    """Moves by a third of its action; pays minus the distance to 0.6 after the step. Only the time limit ends it."""

    observation_space = Box(-1.0, 1.0, (1,), np.float32)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-1.0, 1.0)
        return np.array([self.place], np.float32), {}

    def step(self, action):
        self.place = float(np.clip(self.place + action[0] / 3.0, -1.0, 1.0))
        return np.array([self.place], np.float32), -abs(self.place - 0.6), False, False, {}


def register():
    """Register the task; returns what undoes it."""
    base = f"tests/{NAME}-v0"
    gym.register(base, entry_point=Point, max_episode_steps=HORIZON)
    ids = [base, *bagged_envs.register_task(base, name=NAME)]

    def undo():
        for id in ids:
            del gym.registry[id]
        del TASKS[NAME]

    return undo


def recorded(episodes=40, seed=0, id=ID, **arguments):
    """Episodes of uniformly random actions, with the dense rewards that most methods must not see."""
    env = gym.make(id, expose_reward=True, **arguments)
    random = np.random.default_rng(seed)
    found = collect(env, lambda _: random.uniform(-1.0, 1.0, 1).astype(np.float32), episodes=episodes, seed=seed)
    env.close()
    return found
