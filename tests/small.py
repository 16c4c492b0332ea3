"""The smallest environment of each form, for tests that care about a call and not about an episode."""

from gymnasium.vector import AutoresetMode

from bagged_envs.testing import ScriptedEnv, episode, scripted_vector
from bagged_envs.testing.scripted_parallel import ScriptedParallelEnv

SCRIPT = [episode([1.0, 2.0])]


def single(script=None):
    return ScriptedEnv(script or SCRIPT)


def several(mode=AutoresetMode.NEXT_STEP):
    return scripted_vector([SCRIPT, SCRIPT], mode)


def agents(script=None):
    """Two agents; the script is the first one's episode."""
    return ScriptedParallelEnv({"a": script or SCRIPT[0], "b": SCRIPT[0]})
