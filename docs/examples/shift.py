"""A simulator that already pays late: one 480-minute shift at a machine, paid order by order."""

import gymnasium as gym
import numpy as np

from bagged_envs.wrappers import DeclaredBags

MINUTES = 480
LIMIT_OF_WEAR = 1.0


class ShiftEnv(gym.Env):
    """One worker, one machine, orders one after the other; money comes when an order is shipped.

    Observation: `Box(4,)` float32: the share of the shift that is over, units left of the order, wear of the machine,
        and minutes until a broken machine is repaired.
    Action: `Discrete(3)`, for the next minute: 0 rests, 1 runs slowly, 2 runs fast.
    Reward: When an order is shipped, its price minus the energy used since the last payment; at the end of the shift,
        minus the energy that is still unpaid; in every other minute 0.
    Truncation: After 480 minutes.
    """

    metadata = {"render_modes": []}
    speed = (0.0, 1.0, 2.0)
    energy = (0.0, 0.1, 0.4)
    wear = (-0.02, 0.01, 0.05)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        low, high = np.zeros(4, np.float32), np.array([1.0, 60.0, LIMIT_OF_WEAR, 30.0], np.float32)
        self.observation_space = gym.spaces.Box(low, high)
        self.action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.minute, self.worn, self.repair, self.unpaid = 0, 0.0, 0, 0.0
        self._next_order()
        return self._observe(), {"shipped": False}

    def step(self, action):
        self.minute += 1
        self._run(action)
        shipped = self.left <= 0.0
        truncated = self.minute == MINUTES
        reward = 0.0
        if shipped:
            reward += self.price
            self._next_order()
        if shipped or truncated:
            reward -= self.unpaid
            self.unpaid = 0.0
        return self._observe(), reward, False, truncated, {"shipped": shipped}

    def _run(self, action):
        if self.repair > 0:
            self.repair -= 1
            return
        self.left -= self.speed[action]
        self.unpaid += self.energy[action]
        self.worn = min(max(self.worn + self.wear[action], 0.0), LIMIT_OF_WEAR)
        if self.worn == LIMIT_OF_WEAR and self.np_random.random() < 0.2:
            self.repair, self.worn = 30, 0.0

    def _next_order(self):
        self.left = float(self.np_random.integers(20, 61))
        self.price = 0.5 * self.left

    def _observe(self):
        share = self.minute / MINUTES
        return np.array([share, max(self.left, 0.0), self.worn, self.repair], dtype=np.float32)


def make():
    """The shift with its borders declared: the simulator itself says in info when it paid."""
    return DeclaredBags(ShiftEnv(), closes="shipped")


if __name__ == "__main__":
    env = make()
    env.reset(seed=0)
    minutes, over = 0, False
    while not over:
        _, reward, _, over, info = env.step(env.action_space.sample())
        minutes += 1
        if info["bag_end"]:
            print(f"a bag of {minutes} minutes paid {reward:.2f}")
            minutes = 0
