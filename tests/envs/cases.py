"""Every symbolic task with some arguments, and a batch that shows every kind of info."""

import gymnasium as gym
import numpy as np
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import TimeLimit

from bagged_envs.envs.charge_discharge import ChargeDischarge
from bagged_envs.envs.hidden_door import HiddenDoor
from bagged_envs.envs.key_door import KeyDoor
from bagged_envs.envs.pocket_watch import PocketWatch
from bagged_envs.envs.trace_back import TraceBack
from bagged_envs.native import BatchEnv, NativeVectorEnv
from bagged_envs.streams import draw_keys, uniform

TASKS = (KeyDoor, PocketWatch, HiddenDoor, TraceBack, ChargeDischarge)
CASES = [
    (KeyDoor, {}),
    (KeyDoor, {"size": 2, "delay": 3, "distractors": 2}),
    (PocketWatch, {}),
    (HiddenDoor, {}),
    (HiddenDoor, {"length": 3}),
    (TraceBack, {}),
    (TraceBack, {"delay": 5, "noise": 0.3}),
    (ChargeDischarge, {}),
    (ChargeDischarge, {"delay": 3}),
]
CASE_IDS = [f"{task.__name__}{arguments or ''}" for task, arguments in CASES]


class ProbeBatch:
    """Ends at random, takes vectors of floats, pays what it gets, and tells a fact of every kind."""

    metadata = {"render_modes": ["ansi"], "render_fps": 1}

    def __init__(self, num_envs):
        self.num_envs = num_envs
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (3,), np.float32)
        self._keys = np.zeros(num_envs, dtype=np.uint64)
        self._time = np.zeros(num_envs, dtype=np.int64)
        self._last = np.zeros((num_envs, 3), dtype=np.float32)

    def reset(self, slots, generators, options=None):
        unknown = set(options or {}) - {"time"}
        if unknown:
            raise ValueError(f"options {unknown} are unknown.")
        self._keys[slots], self._last[slots] = draw_keys(generators), 0.0
        self._time[slots] = (options or {}).get("time", 0)

    def _draw(self):
        return uniform(self._keys, self._time, 1)[:, 0]

    def step(self, actions):
        self._time = self._time + 1
        self._last = actions
        return actions.astype(np.float64).sum(axis=1), self._draw() < 0.2

    def observe(self):
        return np.stack((self._time, self._draw()), axis=1).astype(np.float32)

    def info(self):
        return {
            "time": self._time.copy(),
            "drawn": self._draw().astype(np.float32),
            "even": self._time % 2 == 0,
            "last": self._last.copy(),
            "signs": self._last > 0,
        }

    def render(self, slot, mode):
        return f"{mode} {self._time[slot]}"


class Probe(BatchEnv):
    batch = ProbeBatch
    metadata = ProbeBatch.metadata

    def __init__(self, render_mode=None):
        super().__init__(ProbeBatch(1), render_mode)


def native(task, num_envs, arguments, limit=None, mode="NextStep", render_mode=None):
    batch = task.batch(num_envs, **arguments)
    return NativeVectorEnv(batch, max_episode_steps=limit, autoreset_mode=mode, render_mode=render_mode)


def sync(task, num_envs, arguments, limit=None, mode="NextStep", render_mode=None):
    def make():
        env = task(**arguments, render_mode=render_mode)
        return env if limit is None else TimeLimit(env, limit)

    return SyncVectorEnv([make] * num_envs, autoreset_mode=mode)
