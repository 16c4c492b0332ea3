"""Gymnasium environments whose rewards arrive late: bagged, episodic, partially labeled or fully sparse.

Importing this package registers its IDs, for example:

    env = gym.make("bagged_envs:BaggedWalker2d-v0", bag_len=20)
"""

from bagged_envs.make import dense, list_ids, resolved_schedule
from bagged_envs.parallel_envs import make_parallel, register_pettingzoo
from bagged_envs.registration import register_all
from bagged_envs.user_tasks import register_task
from bagged_envs.vector_envs import make_vec
from bagged_envs.wrappers import RewardSchedule, success

__version__ = "0.1.0"

__all__ = [
    "RewardSchedule",
    "dense",
    "list_ids",
    "make_parallel",
    "make_vec",
    "register_pettingzoo",
    "register_task",
    "resolved_schedule",
    "success",
]

register_all()
