"""IDs of a user's module, with wrappers and random endings; a spawned worker finds them by its name."""

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import WrapperSpec
from gymnasium.utils import RecordConstructorArgs

import bagged_envs
from bagged_envs.testing import ScriptedEnv, episode

LIMIT = 10
# No sum of these is exact, so that another order of adding shows; the limit cuts the first episode.
SCRIPT = [episode([0.1 * k + 0.07 for k in range(13)]), episode([-0.3, 0.7, 1e-3, 5.1, 0.9])]


class Doubling(gym.RewardWrapper, RecordConstructorArgs):
    """Doubles the reward."""

    def __init__(self, env):
        RecordConstructorArgs.__init__(self)
        gym.RewardWrapper.__init__(self, env)

    def reward(self, reward):
        return 2 * reward


class Dice(gym.Env):
    """Rewards, endings and infos from `np_random`: environments with different seeds differ in all of them."""

    metadata = {"render_modes": []}

    def __init__(self, ends=0.15, render_mode=None):
        self.ends, self.render_mode = ends, render_mode
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._observe(), {"luck": 0.0}

    def step(self, action):
        reward, terminated, truncated = self.np_random.random(3)
        info = {"luck": float(self.np_random.random()), "reward_forward": float(reward)}
        return self._observe(), float(reward), bool(terminated < self.ends), bool(truncated < self.ends), info

    def _observe(self):
        return self.np_random.random(2, dtype=np.float32)


def wrapped(**arguments):
    """An entry point whose outermost object is a wrapper of its own."""
    return Doubling(ScriptedEnv(**arguments))


def register():
    script = {"script": SCRIPT, "leak": True}
    doubling = (WrapperSpec("Doubling", "tests.contracts.ids:Doubling", {}),)
    scripted = "bagged_envs.testing:ScriptedEnv"
    gym.register("contracts/Scripted-v0", scripted, max_episode_steps=LIMIT, kwargs=script)
    gym.register("contracts/Wrapped-v0", "tests.contracts.ids:wrapped", max_episode_steps=LIMIT, kwargs=script)
    gym.register(
        "contracts/Additional-v0", scripted, max_episode_steps=LIMIT, kwargs=script, additional_wrappers=doubling
    )
    gym.register("contracts/Dice-v0", "tests.contracts.ids:Dice", max_episode_steps=12)
    hidden = ["reward_forward"]
    for task in ("Scripted", "Wrapped", "Additional", "Dice"):
        bagged_envs.register_task(
            f"contracts/{task}-v0",
            name=f"Contract{task}",
            success="return",
            threshold=5.0,
            reward_info_keys=hidden,
            tags=["more"],
        )


register()
