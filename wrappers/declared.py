"""Bag borders for environments that already pay late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from bagged_envs.wrappers.arguments import truth
from bagged_envs.wrappers.guard import Guard, an_environment

Closes: TypeAlias = Callable[[Any, dict[str, Any]], Any]


def border_rule(closes: object) -> Any:
    """Return `closes` if it is an info key or a callable, else raise a TypeError that names it."""
    if not (isinstance(closes, str) or callable(closes)):
        raise TypeError(
            f"closes must be an info key or a callable (observation, info) -> bool, got {closes!r} of type "
            f"{type(closes).__name__}."
        )
    return closes


def key_error(key: str, info: dict[str, Any]) -> ValueError:
    """Return the error for an info that does not say whether a bag closed."""
    return ValueError(f"closes={key!r} is not in the info of this step, which has {sorted(map(str, info))}.")


def closes_bag(rule: Any, observation: Any, info: dict[str, Any]) -> bool:
    """Ask the rule whether this step closed a bag.

    Raises:
        TypeError: What it says is neither a bool nor an int.
        ValueError: The rule is an info key and the info does not have it.
    """
    if not isinstance(rule, str):
        return truth("what closes returned", rule(observation, info))
    if rule not in info:
        raise key_error(rule, info)
    return truth(f"info[{rule!r}]", info[rule])


class DeclaredBags(Guard, gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Adds `bag_end` and `reward_observed` to an environment that already pays late; rewards are left alone.

    Everything downstream that reads bag borders then works without a dense twin. The end of an episode always closes
    the open bag, and the reward at a border is its bag's label.

    Example:
        >>> import gymnasium as gym
        >>> env = DeclaredBags(gym.make("CartPole-v1"), closes=lambda observation, info: abs(observation[2]) > 0.1)
        >>> _ = env.reset(seed=0)
        >>> [env.step(0)[4]["bag_end"] for _ in range(8)]
        [False, False, False, False, False, False, False, True]
    """

    def __init__(self, env: gym.Env[Any, Any], closes: str | Closes) -> None:
        """Wrap an environment that already pays late.

        Args:
            env: The environment.
            closes: The info key whose truth closes a bag, present in every step's info; or a callable
                `(observation, info) -> bool`.

        Raises:
            TypeError: `closes` is neither.
        """
        RecordConstructorArgs.__init__(self, closes=closes)
        gym.Wrapper.__init__(self, an_environment(env, gym.Env, "Gymnasium environment"))
        self.closes = border_rule(closes)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment; no bag is closed by it."""
        self._begin_reset()
        observation, info = self.env.reset(seed=seed, options=options)
        self._needs_reset = None
        return observation, {**info, "bag_end": False, "reward_observed": False}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Make one step and say whether it closed a bag.

        Raises:
            gymnasium.error.ResetNeeded: No episode is running.
            ValueError: `closes` is an info key and this step's info does not have it.
        """
        if self._needs_reset is not None:
            self._raise_needs_reset()
        observation, reward, terminated, truncated, info = self._step_env(action)
        if terminated or truncated:
            self._needs_reset = "the episode has ended"
        try:
            closed = bool(terminated or truncated) or closes_bag(self.closes, observation, info)
        except BaseException:
            self._needs_reset = "the last step failed"
            raise
        return observation, reward, terminated, truncated, {**info, "bag_end": closed, "reward_observed": closed}
