"""For users: does a delayed environment keep its laws?

`bagged_envs.testing.strategies` (needs hypothesis) has strategies for property tests, and
`bagged_envs.testing.scripted_parallel` (needs pettingzoo) a parallel environment that plays a script.
"""

from bagged_envs.testing.checks import check_bagged, check_episode
from bagged_envs.testing.invariance import assert_sum_invariance
from bagged_envs.testing.order import check_wrapper_order
from bagged_envs.testing.rollout import BaggedError
from bagged_envs.testing.scripted import ScriptedEnv, episode, scripted_vector

__all__ = [
    "BaggedError",
    "ScriptedEnv",
    "assert_sum_invariance",
    "check_bagged",
    "check_episode",
    "check_wrapper_order",
    "episode",
    "scripted_vector",
]
