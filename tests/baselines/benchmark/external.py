"""What learners of other libraries log, beside our own count and the dense rewards of the same episodes."""

import math
import sys
import types
from dataclasses import dataclass, field

import gymnasium as gym

from bagged_envs.baselines.benchmark.agents import Watched, factory, train_agent


class Dense(gym.Wrapper):
    """Adds up the dense rewards of whole episodes, beneath all that a library sees."""

    def __init__(self, env):
        super().__init__(env)
        self.returns, self.rewards = [], []

    def reset(self, **arguments):
        self.rewards = []
        return self.env.reset(**arguments)

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.rewards.append(info["dense_reward"])
        if terminated or truncated:
            self.returns.append(math.fsum(self.rewards))
        return observation, reward, terminated, truncated, info


@dataclass
class Kept:
    """An agent that was trained, its environment, and its evaluations."""

    agent: object = None
    env: Watched = None
    rows: list = field(default_factory=list)

    @property
    def dense(self):
        """The dense returns of the training episodes."""
        return self.env.env.returns


def train(monkeypatch, method, settings, id, arguments, seed, steps, every, episodes=1):
    """Train as a benchmark does, and keep what it throws away."""
    kept, made = Kept(), factory(method)

    def make(env, seed, **given):
        env.env = Dense(env.env)
        kept.agent, kept.env = made(env, seed, **given), env
        return kept.agent

    spy = types.ModuleType("spy")
    spy.make = make
    monkeypatch.setitem(sys.modules, "spy", spy)
    told = {**arguments, "expose_reward": True}
    kept.rows = train_agent("spy:make", settings, id, told, seed, steps, every, episodes)
    return kept
