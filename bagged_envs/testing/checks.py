"""`check_bagged`: does a delayed environment keep every law, compared with its dense twin?"""

from __future__ import annotations

import copy
import logging
from typing import Any

import gymnasium as gym
from gymnasium.error import ResetNeeded

from bagged_envs.make import dense as dense_twin
from bagged_envs.registration import delay_of
from bagged_envs.testing import laws
from bagged_envs.testing.order import secrets_told
from bagged_envs.testing.rollout import Episode, constant_action, demand, play, random_actions, same
from bagged_envs.wrappers import DelayedReward, RewardSchedule

EPISODES, BAGS, MOST_EPISODES = 3, 5, 8


def check_bagged(env: gym.Env[Any, Any], dense: gym.Env[Any, Any] | None = None) -> None:
    """Check a delayed environment against its dense twin: at least three whole episodes and five bags.

    Checked are transparency (observations, terminated, truncated to the bit), borders, labels, payments to the bit
    (S1), totals (S2), info keys and their types, that no info key is the dense reward and no sum of `reward_*` keys is
    (single terms of a sum are not found), that a reset in mid-bag leaves nothing behind, that a seed reproduces
    everything, and that copies and ended episodes refuse to step.
    Half of the episodes use random actions, the others the middle of the action space.

    Args:
        env: An environment with a delay of `bagged_envs.wrappers` in its stack. It is reset and stepped, not closed.
        dense: The same environment without the delay; by default `bagged_envs.dense(env)`, closed afterwards.

    Raises:
        BaggedError: A law is broken; the text says which, what came, and what to do.
        ValueError: There is no delay, or no twin can be made: pass `dense`.

    Example:
        >>> import gymnasium as gym
        >>> check_bagged(gym.make("bagged_envs:BaggedInvertedPendulum-v0", bag_len=3))
    """
    layer = delay_of(env)
    if layer is None:
        raise ValueError(f"env must have a delay of bagged_envs.wrappers in its stack, got {env}.")
    refuse_lists(env)
    if dense is not None and not isinstance(dense, gym.Env):
        raise TypeError(f"dense must be an environment, got {dense!r} of type {type(dense).__name__}.")
    secrets = secrets_told(env)
    demand(not secrets, "Order: nothing inside the delay tells what it hides", " ".join(secrets), "Change the order.")
    twin = dense_twin(env) if dense is None else dense
    try:
        _check_episodes(env, twin, layer)
        _check_reset_in_mid_bag(env, twin, layer.schedule)
        _check_reproduces(env, twin)
        _check_copies(env)
    finally:
        if dense is None:
            twin.close()


def refuse_lists(env: gym.Env[Any, Any]) -> None:
    """Refuse an environment that pays lists of rewards.

    Raises:
        ValueError: It does.
    """
    if getattr(env.unwrapped, "face", None) == "tuple":
        raise ValueError(f"{env} pays lists of rewards, of which the laws say nothing: check it with face='joint'.")


def check_episode(episode: Episode, schedule: RewardSchedule) -> None:
    """Check every law that one recorded episode can show."""
    laws.check_info(episode, schedule)
    laws.check_payment_types(episode)
    laws.check_borders(episode, schedule)
    laws.check_labels(episode, schedule)
    laws.check_payments(episode, schedule)
    laws.check_totals(episode, schedule)


def _check_episodes(env: gym.Env[Any, Any], twin: gym.Env[Any, Any], layer: DelayedReward) -> None:
    played, closed = 0, 0
    while played < EPISODES or (closed < BAGS and played < MOST_EPISODES):
        choose = constant_action if played % 2 else random_actions
        seed = None if played == 1 else 100 + played  # without a seed, both must go on with the same random numbers
        episode = play(env, twin, choose(env.action_space, played), seed)
        check_episode(episode, layer.schedule)
        if not layer.expose_reward:
            laws.check_leaks(episode)
        played, closed = played + 1, closed + sum(episode.told("bag_end"))
    _demand_refusal("after an episode's end", env)


def _check_reset_in_mid_bag(env: gym.Env[Any, Any], twin: gym.Env[Any, Any], schedule: RewardSchedule) -> None:
    steps = next((n for n in (1, 2, 3) if _stays_open(schedule, n)), None)
    if steps is None:
        return
    play(env, twin, random_actions(env.action_space, 7), seed=7, steps=steps)
    check_episode(play(env, twin, random_actions(env.action_space, 8), seed=8), schedule)


def _stays_open(schedule: RewardSchedule, steps: int) -> bool:
    shortest = schedule.bag_len[0] if isinstance(schedule.bag_len, tuple) else schedule.bag_len
    return shortest is None or steps % shortest != 0


def _check_reproduces(env: gym.Env[Any, Any], twin: gym.Env[Any, Any]) -> None:
    first, again = (play(env, twin, random_actions(env.action_space, 9), seed=9) for _ in range(2))
    flags = ("bag_end", "reward_observed")
    demand(
        same(first.paid, again.paid) and all(first.told(key) == again.told(key) for key in flags),
        "Seeds: reset(seed=9) and the same actions give the same payments, borders and labels",
        "two different episodes",
        "Draw from streams that reset(seed=...) restarts, and from nothing else.",
    )


def _check_copies(env: gym.Env[Any, Any]) -> None:
    env.reset(seed=10)
    env.step(env.action_space.sample())
    try:
        twin = copy.deepcopy(env)
    except Exception as error:  # what cannot be copied cannot carry a sum over
        logging.getLogger(__name__).debug("%s cannot be copied: %s", env, error)
        return
    _demand_refusal("in a copy until reset()", twin)
    twin.reset(seed=10)
    twin.step(env.action_space.sample())


def _demand_refusal(when: str, env: gym.Env[Any, Any]) -> None:
    try:
        env.step(env.action_space.sample())
    except ResetNeeded:
        return
    demand(False, f"Life cycle: step() raises ResetNeeded {when}", "a step", "Keep track of whether an episode runs.")
