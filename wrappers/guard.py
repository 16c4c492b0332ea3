"""The life cycle that all delays share: when `step` may be called."""

from __future__ import annotations

from typing import Any, NoReturn

from gymnasium.error import ClosedEnvironmentError, ResetNeeded

# What may end a step in its middle. Errors that an environment raises are its own to answer for.
INTERRUPTS = (KeyboardInterrupt, SystemExit)
INTERRUPTED = "the last step was interrupted"


def an_environment(env: Any, kind: type, words: str) -> Any:
    """Return `env` if it is of the kind, else raise a TypeError that names it."""
    if not isinstance(env, kind):
        raise TypeError(f"env must be a {words}, got {env!r} of type {type(env).__name__}.")
    return env


class Guard:
    """Knows why `step` cannot be called now, if it cannot; a copy starts out unable to.

    A copied or unpickled MuJoCo environment restarts its simulator: a sum carried over would be reward that nobody
    earned.
    """

    _needs_reset: str | None = "no episode has begun"
    _closed: bool = False
    env: Any

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a copy's attributes, and require a reset."""
        self.__dict__.update(state)
        self._needs_reset = "this wrapper is a copy or was unpickled, and its simulator may have restarted"

    def close(self, **kwargs: Any) -> Any:
        """Close the environment; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._needs_reset = "the environment is closed"
            return self.env.close(**kwargs)
        return None

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedEnvironmentError("reset() was called on a closed environment: make a new one.")

    def _begin_reset(self) -> None:
        """Until the environment's reset has returned, no step may be made: it may fail halfway."""
        self._check_open()
        self._needs_reset = "the last reset failed"

    def _step_env(self, action: Any) -> Any:
        """Step the environment; after an interrupt, which may have come in the middle, a reset is required."""
        try:
            return self.env.step(action)
        except INTERRUPTS:
            self._needs_reset = INTERRUPTED
            raise

    def _raise_needs_reset(self) -> NoReturn:
        if self._closed:
            raise ClosedEnvironmentError("step() was called on a closed environment: make a new one.")
        raise ResetNeeded(f"step() cannot be called: {self._needs_reset}. Call reset() first.")
