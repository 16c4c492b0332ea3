"""Environments of the interfaces of SMAClite, football and the Tuple convention, as strict as the real ones."""

import random

import gymnasium as gym
import numpy as np
from pettingzoo.utils import BaseParallelWrapper

STOP = 1


class SMAClite(gym.Env):
    """Two fighters and a healer against two enemies; who dies in which step is given, and what the team is paid.

    Like the real one it takes nothing but a list of plain ints, wants 0 from the dead and from nobody else, and may not
    be stepped after the end. The healer's own action space is smaller than its mask.
    """

    n_agents, n_enemies, n_actions, obs_size = 3, 2, 8, 4

    def __init__(self, rewards=(0.1, 0.2, 0.3, 0.7, 1.1), deaths=None, won=True):
        self.rewards, self.won = rewards, won
        self.deaths = {1: 2, 0: 4} if deaths is None else deaths
        self.action_space = gym.spaces.Tuple([gym.spaces.Discrete(n) for n in (8, 8, 7)])
        self.observation_space = gym.spaces.Tuple([gym.spaces.Box(-1, 1, (4,), np.float32)] * 3)
        self.received, self.steps = [], None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.observe(), {"battle_won": False}

    def step(self, actions):
        assert len(actions) == self.n_agents
        assert all(type(action) is int for action in actions)
        if self.steps is None or self.steps == len(self.rewards):
            raise RuntimeError("the battle is over")
        for agent, (action, mask) in enumerate(zip(actions, self.get_avail_actions(), strict=True)):
            if not self.alive(agent):
                assert action == 0
            elif not mask[action]:
                raise ValueError(f"agent {agent} cannot do {action}")
        self.received.append(actions)
        self.steps += 1
        over = self.steps == len(self.rewards)
        return self.observe(), self.rewards[self.steps - 1], over, False, {"battle_won": over and self.won}

    def alive(self, agent):
        return self.steps < self.deaths.get(agent, 1000)

    def get_avail_actions(self):
        """The living may stop and move, and attack the first enemy in odd steps only."""
        living = np.array([0.0, 1.0, 1.0, 1.0, 1.0, 1.0, self.steps % 2, 0.0])
        return [living.copy() if self.alive(agent) else np.eye(8)[0] for agent in range(3)]

    def observe(self):
        seen = (np.array([self.steps / 100, self.np_random.random(), agent, 1]) / 10 for agent in range(3))
        return tuple(
            o.astype(np.float32) if self.alive(a) else np.zeros(4, dtype=np.float32) for a, o in enumerate(seen)
        )


class Legal(BaseParallelWrapper):
    """Plays "stop" for sampled actions that the mask does not allow: PettingZoo's tests sample from the space alone."""

    def reset(self, seed=None, options=None):
        observations, self.infos = self.env.reset(seed=seed, options=options)
        return observations, self.infos

    def step(self, actions):
        legal = {agent: a if self.infos[agent]["action_mask"][a] else STOP for agent, a in actions.items()}
        observations, rewards, terminated, truncated, self.infos = self.env.step(legal)
        return observations, rewards, terminated, truncated, self.infos


class OldSpace:
    """A space of the old gym: attributes, and no class of Gymnasium's."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class FootballEngine:
    """What stands beneath football's wrappers: it has no spaces, and shows raw observations with a clock."""

    def __init__(self, duration):
        self.duration, self.steps = duration, 0

    def observation(self):
        return [{"steps_left": self.duration - self.steps}]


class Football:
    """The old gym API: `reset` returns observations only, `step` four values; one player alone has no leading axis."""

    rewards = ([0.1, 0.0, 0.0], [0.0, 0.3, 0.0], [0.0, 0.0, 0.1], [2.0, 1.9, 2.0])

    def __init__(self, players=3, ends=4, duration=400):
        self.players, self.ends = players, ends
        self.unwrapped = FootballEngine(duration)
        shape = (players, 5) if players > 1 else (5,)
        low, high = np.full(shape, -np.inf, np.float32), np.full(shape, np.inf, np.float32)
        self.observation_space = OldSpace(low=low, high=high, shape=shape, dtype=np.dtype(np.float32))
        self.action_space = OldSpace(nvec=np.full(players, 19)) if players > 1 else OldSpace(n=19)
        self.given, self.received, self.over, self.closed = [], [], True, False

    def reset(self):
        self.random = np.random.default_rng(random.randint(0, 2_000_000_000))
        self.over, self.unwrapped.steps = False, 0
        return self.shaped(self.observe())

    def step(self, action):
        assert not self.over, "Cant call step() once episode finished (call reset() instead)"
        self.given.append(action)
        action = action.tolist() if isinstance(action, np.ndarray) else action
        action = action if isinstance(action, list) else [action]
        assert len(action) == self.players
        self.received.append(action)
        self.unwrapped.steps += 1
        self.over = self.unwrapped.steps in (self.ends, self.unwrapped.duration)
        rewards = np.array(self.rewards[(self.unwrapped.steps - 1) % 4][: self.players], dtype=np.float32)
        return self.shaped(self.observe()), self.shaped(rewards), self.over, {"score_reward": int(self.over)}

    def observe(self):
        return self.random.random((self.players, 5), dtype=np.float32)

    def shaped(self, array):
        return array if self.players > 1 else array[0]

    def close(self):
        self.closed = True


class Foraging(gym.Env):
    """The Tuple convention: a list of rewards, one info for all, its own limit of five steps reported as terminated.

    `ends`: the step in which each agent's task is done, for environments whose `done` is a list; None: a bool for all.
    """

    n_agents = 2
    rewards = ([0.1, 0.0], [0.2, 0.4], [0.3, 0.0], [0.0, 0.7], [1.1, 0.9])

    def __init__(self, ends=None, truncates=False):
        self.ends, self.truncates = ends, truncates
        self.action_space = gym.spaces.Tuple([gym.spaces.Discrete(6)] * 2)
        self.observation_space = gym.spaces.Tuple([gym.spaces.Box(0, 1, (3,), np.float64)] * 2)
        self.received = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.observe(), {"food": 3}

    def step(self, actions):
        assert all(type(action) is int for action in actions)
        self.received.append(actions)
        self.steps += 1
        over = self.steps == 5 if self.ends is None else [self.steps >= end for end in self.ends]
        ended = (False, over) if self.truncates else (over, False)
        return self.observe(), self.rewards[self.steps - 1], *ended, {"food": 3 - self.steps}

    def observe(self):
        return tuple(self.np_random.random(3) for _ in range(2))
