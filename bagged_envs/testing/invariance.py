"""`assert_sum_invariance`: an environment pays all of its dense reward, whatever ends its episodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from bagged_envs.make import dense as dense_twin
from bagged_envs.registration import delay_of
from bagged_envs.testing import laws
from bagged_envs.testing.checks import check_episode, refuse_lists
from bagged_envs.testing.rollout import play, random_actions
from bagged_envs.wrappers.arguments import positive_int


def assert_sum_invariance(
    make_env: Callable[[], gym.Env[Any, Any]],
    make_dense: Callable[[], gym.Env[Any, Any]] | None = None,
    episodes: int = 10,
) -> None:
    """Assert that an environment's payments are its dense rewards, bag by bag to the bit and per episode.

    Args:
        make_env: Makes the delayed environment; its schedule must be one that keeps the return ("sum", all labeled).
        make_dense: Makes its twin without the delay; by default `bagged_envs.dense` of the environment.
        episodes: How many random episodes, each with a seed and actions of its own.

    Raises:
        BaggedError: They are not; the text says where.
        ValueError: There is no delay in the environment, or its schedule does not keep the return.

    Example:
        >>> import gymnasium as gym
        >>> assert_sum_invariance(lambda: gym.make("bagged_envs:BaggedReacher-v0", bag_len=7), episodes=2)
    """
    positive_int("episodes", episodes)
    if not callable(make_env):
        raise TypeError(f"make_env must be a callable that makes an environment, got {make_env!r}.")
    env = make_env()
    layer = delay_of(env)
    if layer is None or not layer.schedule.keeps_return:
        raise ValueError(f"make_env must make an environment whose delay keeps the return, got {env}.")
    refuse_lists(env)
    twin = dense_twin(env) if make_dense is None else make_dense()
    try:
        for seed in range(episodes):
            episode = play(env, twin, random_actions(env.action_space, seed), seed)
            check_episode(episode, layer.schedule)
            laws.check_totals(episode, layer.schedule)
    finally:
        env.close()
        twin.close()
