"""A Gymnasium environment that plays a script: known rewards, known endings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeGuard

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

Step: TypeAlias = "tuple[Any, bool, bool]"
Script: TypeAlias = "Sequence[Sequence[Step]]"


def episode(rewards: Sequence[Any], terminated: bool = True, truncated: bool = False) -> list[Step]:
    """Return an episode with these rewards whose last step ends it.

    Example:
        >>> episode([1.0, 2.0], truncated=True)
        [(1.0, False, False), (2.0, True, True)]
    """
    return [(r, terminated and last, truncated and last) for r, last in _marked(rewards)]


def _marked(rewards: Sequence[Any]) -> list[tuple[Any, bool]]:
    return [(reward, step == len(rewards) - 1) for step, reward in enumerate(rewards)]


def is_script(script: object) -> bool:
    """Whether this is a list of episodes, each a list of at least one `(reward, terminated, truncated)`."""
    return _is_list(script) and all(_is_list(steps) and all(map(_is_step, steps)) for steps in script)


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0


def _is_step(value: object) -> bool:
    return isinstance(value, Sequence) and len(value) == 3 and all(isinstance(end, bool) for end in value[1:])


class ScriptedEnv(gym.Env[npt.NDArray[np.float64], np.int64]):
    """Plays a list of episodes over and over, one step per `step`, whatever the action.

    Observation: `Box(3,)` float64: the number of the episode (from 1), the step in it (from 0), and a random number
    drawn from `np_random` at every reset and step, so that a disturbed random stream shows.

    Action: `Discrete(2)`, ignored.

    Reward: The script's.

    Termination: The script's; it may also truncate, or do both at once.

    Arguments: `script`, a list of episodes of `(reward, terminated, truncated)`; `leak`, whether info carries the
    reward under "reward_forward", as Gymnasium's MuJoCo tasks do.

    Attributes:
        calls: How often `step` was called since the environment was made.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, script: Script, leak: bool = False, render_mode: str | None = None) -> None:
        """Take the script.

        Raises:
            ValueError: There is no episode, or an empty one.
        """
        if not is_script(script):
            raise ValueError(
                f"script must be a list of episodes, each a list of at least one (reward, terminated, truncated), got "
                f"{script!r}."
            )
        self.script, self.leak, self.render_mode = [list(steps) for steps in script], leak, render_mode
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = gym.spaces.Discrete(2)
        self.calls = self._episode = self._step = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float64], dict[str, Any]]:
        """Begin the next episode; a seed begins the script anew."""
        super().reset(seed=seed)
        self._episode = 1 if seed is not None else self._episode + 1
        self._step = 0
        return self._observe(), self._info(0.0)

    def step(self, action: Any) -> tuple[npt.NDArray[np.float64], Any, bool, bool, dict[str, Any]]:
        """Play the next step; past the end of an episode, its last step again."""
        steps = self.script[(self._episode - 1) % len(self.script)]
        reward, terminated, truncated = steps[min(self._step, len(steps) - 1)]
        self._step += 1
        self.calls += 1
        return self._observe(), reward, terminated, truncated, self._info(reward)

    def _observe(self) -> npt.NDArray[np.float64]:
        return np.array([self._episode, self._step, self.np_random.random()])

    def _info(self, reward: Any) -> dict[str, Any]:
        return {"step": self._step, **({"reward_forward": reward} if self.leak else {})}


def scripted_vector(
    scripts: Sequence[Script],
    autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
    asynchronous: bool = False,
    **arguments: Any,
) -> VectorEnv[Any, Any, Any]:
    """Return a vector environment with one scripted environment per script.

    Args:
        scripts: A script per environment.
        autoreset_mode: Gymnasium's autoreset mode.
        asynchronous: Whether each environment runs in a process of its own.
        **arguments: Arguments of `SyncVectorEnv` or `AsyncVectorEnv`.

    Raises:
        ValueError: There is no script.
    """
    if not scripts:
        raise ValueError(f"scripts must have a script per environment, got {scripts!r}.")
    makers = [_Maker(script) for script in scripts]
    vector = AsyncVectorEnv if asynchronous else SyncVectorEnv
    return vector(makers, autoreset_mode=autoreset_mode, **arguments)


class _Maker:
    """Makes one scripted environment; unlike a lambda it can be sent to a process."""

    def __init__(self, script: Script) -> None:
        self.script = script

    def __call__(self) -> ScriptedEnv:
        return ScriptedEnv(self.script)
