"""A user's module that registers a task of its own: importable in spawned workers as `tests.scripted_ids:<ID>`."""

import gymnasium as gym

import bagged_envs
from bagged_envs.testing import ScriptedEnv, episode

REWARDS = [0.1 * step - 0.3 for step in range(1, 24)]


class Shifted(gym.ObservationWrapper):
    """An observation wrapper, as an entry point may return one."""

    def observation(self, observation):
        return observation + 1.0


def wrapped(**arguments):
    """An entry point that returns a wrapper."""
    return Shifted(ScriptedEnv(**arguments))


class Chores(ScriptedEnv):
    """A task of the user's with arguments that other libraries' suites give another meaning."""

    def __init__(self, task="sweep", domain="home", scenario="calm", **arguments):
        super().__init__(**arguments)
        self.chosen = (task, domain, scenario)


SCRIPT = {"script": [episode(REWARDS), episode(REWARDS[::-1], terminated=False, truncated=True)]}
if "tests/Scripted-v0" not in gym.registry:
    gym.register("tests/Scripted-v0", ScriptedEnv, kwargs=SCRIPT, max_episode_steps=17)
    gym.register("tests/Chores-v0", Chores, kwargs=SCRIPT, max_episode_steps=17)
    gym.register("tests/Wrapped-v0", "tests.scripted_ids:wrapped", kwargs=SCRIPT, max_episode_steps=17)
    gym.register(
        "tests/WithWrappers-v0",
        ScriptedEnv,
        kwargs=SCRIPT,
        max_episode_steps=17,
        additional_wrappers=(gym.wrappers.TimeAwareObservation.wrapper_spec(),),
    )
    # A name that ends like another task's, which must not be taken for it.
    bagged_envs.register_task("Reacher-v5", name="ShortReacher", max_episode_steps=4)
    for name in ("Scripted", "Wrapped", "WithWrappers"):
        bagged_envs.register_task(f"tests/{name}-v0", name=name, success="return", threshold=1.0)
