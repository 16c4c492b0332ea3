"""What feeds replay buffers in tests: streams of bags whose every number says where it comes from, and a spy."""

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete

from bagged_envs.baselines.api import Schedule
from bagged_envs.baselines.sb3 import BagReplayBuffer

SEEN, ACTED = Box(-np.inf, np.inf, (2,), np.float32), Discrete(3)


class Stream:
    """One environment that plays random bags for ever: observation `[number, steps so far]`, dense rewards random.

    Attributes:
        told: Of each step its bag, its episode, its dense reward and whether it was cut off by `reset`.
        bags: Of each closed bag its label, length and whether it is labeled, by number.
    """

    def __init__(self, number, seed, longest=4, label_fraction=1.0, end=0.3):
        self.number, self.longest, self.label_fraction, self.end = number, longest, label_fraction, end
        self.random = np.random.default_rng([seed, number])
        self.time = self.bag = self.episode = 0
        self.told, self.bags = [], {}
        self._open()

    def _open(self):
        self.left, self.dense = int(self.random.integers(1, self.longest + 1)), []
        self.ends = self.random.random() < self.end
        self.labeled = self.random.random() < self.label_fraction

    def observe(self):
        return np.array([self.number, self.time], np.float32)

    def step(self):
        """Return observation, next observation, reward, done and info of one step."""
        before = self.observe()
        dense = float(np.float32(self.random.normal()))
        self.dense.append(dense)
        self.told.append((self.bag, self.episode, dense))
        self.time += 1
        after, self.left = self.observe(), self.left - 1
        closes, reward, done = self.left == 0, 0.0, False
        if closes:
            label = float(np.float32(sum(self.dense)))
            reward, done = label if self.labeled else 0.0, self.ends
            self.bags[self.bag] = (reward, len(self.dense), self.labeled)
        info = {"bag_end": closes, "reward_observed": closes and self.labeled, "dense_reward": dense}
        if closes:
            self._next(done)
        return before, after, reward, done, info

    def reset(self):
        """Cut the running episode off."""
        self._next(True)

    def _next(self, ended):
        self.bag += 1
        if ended:
            self.episode += 1
            self.time += 1  # the next episode begins with another observation
            self.told.append(None)
        self._open()


def feed(buffer, streams, steps):
    """Add some steps of each stream."""
    for _ in range(steps):
        before, after, rewards, dones, infos = zip(*[stream.step() for stream in streams], strict=True)
        actions = np.array([int(seen[1]) % 3 for seen in before])
        buffer.add(np.stack(before), np.stack(after), actions, np.array(rewards), np.array(dones), list(infos))


def buffer_of(redistributor, rows=100, copies=1, **arguments):
    return BagReplayBuffer(
        rows * copies, SEEN, ACTED, device="cpu", n_envs=copies, redistributor=redistributor, **arguments
    )


class Spy:
    """A redistributor that keeps what it is shown; its rewards are the observations' second number."""

    name, exact, only_labeled = "spy", False, False

    def __init__(self, sampling=None, schedule=None, context="step", stored=False, only_labeled=False):
        self.sampling, self.schedule = sampling, schedule or Schedule()
        self.context, self.stored, self.only_labeled = context, stored, only_labeled
        self.updated, self.relabeled = [], []

    def update(self, batch):
        self.updated.append(batch)
        return {"labeled": float(batch.labeled.sum()), "number": float(len(self.updated))}

    def relabel(self, batch):
        self.relabeled.append(batch)
        return torch.where(batch.mask, batch.observations[..., 1] + len(self.updated) * 1000, 0.0)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass
