"""`check_wrapper_order`: what stands on the wrong side of a delay."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium import wrappers as gymnasium_wrappers

from bagged_envs.registration import layers
from bagged_envs.wrappers import DelayedReward

FRAME_SKIPS = ("MaxAndSkipObservation", "AtariPreprocessing", "ActionRepeat", "MaxAndSkipEnv")
TWO_DELAYS = "There are two delays, and the outer one delays what the inner one pays: remove one."
NORMALIZERS = ("NormalizeReward", "TransformReward", "ClipReward", "VecNormalize")


def check_wrapper_order(env: gym.Env[Any, Any]) -> list[str]:
    """Return what is wrong with the order of an environment's wrappers, one sentence each; an empty list if nothing is.

    Found are: no delay, or two; outside the delay a `TimeLimit` (it hides the episode's end, so that the last bag is
    never paid), or a frame skip (the borders that a skipped step reports are lost); inside it a `NormalizeReward`,
    `ClipReward` or `TransformReward` (bags then add up changed rewards), or a `RecordEpisodeStatistics` (its
    `episode` info gives the return away).

    Raises:
        TypeError: `env` is a vector environment or something else.

    Example:
        >>> import gymnasium as gym
        >>> env = gym.make("bagged_envs:BaggedInvertedPendulum-v0")
        >>> check_wrapper_order(env)
        []
        >>> check_wrapper_order(gym.wrappers.TimeLimit(env, 9))[0][:47]
        'TimeLimit stands outside the delay: it cuts epi'
    """
    if not isinstance(env, gym.Env):
        raise TypeError(f"env must be a single Gymnasium environment, got {env} of type {type(env).__name__}.")
    stack = layers(env)
    delays = [place for place, layer in enumerate(stack) if isinstance(layer, DelayedReward)]
    if not delays:
        return ["There is no delay of bagged_envs.wrappers in the stack: " + describe(stack)]
    problems = [_outside(layer) for layer in stack[: delays[0]]] + [_inside(layer) for layer in stack[delays[-1] + 1 :]]
    if len(delays) > 1:
        problems.insert(0, TWO_DELAYS)
    return [problem for problem in problems if problem]


def secrets_told(env: gym.Env[Any, Any]) -> list[str]:
    """Return what tells hidden rewards in a stack though every number agrees with the dense twin's: of the above."""
    stack = layers(env)
    delays = [place for place, layer in enumerate(stack) if isinstance(layer, DelayedReward)]
    inside = stack[delays[-1] + 1 :]
    told = [_inside(layer) for layer in inside if isinstance(layer, gymnasium_wrappers.RecordEpisodeStatistics)]
    return [TWO_DELAYS, *told] if len(delays) > 1 else told


def describe(stack: list[gym.Env[Any, Any]]) -> str:
    """Return a stack's class names, outermost first."""
    return " > ".join(type(layer).__name__ for layer in stack)


def _outside(layer: gym.Env[Any, Any]) -> str:
    name = type(layer).__name__
    if isinstance(layer, gymnasium_wrappers.TimeLimit):
        return (
            f"{name} stands outside the delay: it cuts episodes without the delay's knowledge, and the last bag is "
            f"never paid. Pass max_episode_steps to gym.make, or wrap the limit first and the delay around it."
        )
    if name in FRAME_SKIPS:
        return f"{name} stands outside the delay: it drops the borders of the steps it skips. Swap them."
    return ""


def _inside(layer: gym.Env[Any, Any]) -> str:
    name = type(layer).__name__
    if name in NORMALIZERS:
        return f"{name} stands inside the delay: bags add up changed rewards. Put it outside."
    if isinstance(layer, gymnasium_wrappers.RecordEpisodeStatistics):
        return f"{name} stands inside the delay: its info['episode'] gives the return away. Put it outside."
    return ""
