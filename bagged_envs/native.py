"""The two faces of a `Batch`: one copy as a Gymnasium environment, N copies as a vector environment.

Both show the same arrays, so N single environments in Gymnasium's `SyncVectorEnv` and one `NativeVectorEnv` agree to
the bit; the second makes one step of all copies in one call.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from bagged_envs.batch import Batch, Bools, SimulatorBatch
from bagged_envs.wrappers.arguments import int_between, known, positive_int
from bagged_envs.wrappers.vector import reset_mask, slot_seeds

T = TypeVar("T")

NO_LIMIT = np.iinfo(np.int64).max


def no_options(options: Mapping[str, Any] | None) -> None:
    """Refuse options, for a task whose `reset` knows none.

    Raises:
        ValueError: There are some.
    """
    if options:
        raise ValueError(f"options must be None or empty, got {dict(options)!r}: this task's reset takes none.")


class BatchEnv(gym.Env[Any, Any]):
    """One copy of a task as a Gymnasium environment; `np_random` is the copy's generator.

    It never truncates: `gymnasium.wrappers.TimeLimit` does.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, batch: Batch, render_mode: str | None = None) -> None:
        """Take a batch of one copy.

        Raises:
            ValueError: The batch has several copies, or the render mode is unknown.
        """
        if batch.num_envs != 1:
            raise ValueError(f"batch must have num_envs=1, got {batch.num_envs}: NativeVectorEnv shows several copies.")
        self.metadata = dict(batch.metadata)  # its own: before Gymnasium 1.3 SyncVectorEnv writes into it
        self.render_mode = _render_mode(batch, render_mode)
        self.observation_space, self.action_space = batch.observation_space, batch.action_space
        self._batch = batch
        self._slots = np.zeros(1, dtype=np.int64)
        self._begun = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; a seed begins the generator anew."""
        super().reset(seed=seed)
        self._batch.reset(self._slots, [self.np_random], options)
        self._begun = True
        return self._batch.observe()[0], self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Make one step.

        Raises:
            ValueError: The action is not in the action space.
            gymnasium.error.ResetNeeded: No episode has begun.
        """
        if not self._begun:
            raise ResetNeeded("step() cannot be called: no episode has begun. Call reset() first.")
        if not self.action_space.contains(action):
            raise ValueError(f"action must be in {self.action_space}, got {action!r} of type {type(action).__name__}.")
        rewards, terminated = self._batch.step(np.array([action], dtype=self.action_space.dtype))
        return self._batch.observe()[0], float(rewards[0]), bool(terminated[0]), False, self._info()

    def render(self) -> Any:
        """Return a picture of the current state, in the render mode."""
        return _picture(self._batch, 0, self.render_mode)

    def _info(self) -> dict[str, Any]:
        return {key: _fact(values[0]) for key, values in self._batch.info().items()}


class NativeVectorEnv(VectorEnv[Any, Any, Any]):
    """N copies of a task as a Gymnasium vector environment.

    It agrees to the bit, infos included, with `SyncVectorEnv` of `TimeLimit(BatchEnv(...), max_episode_steps)` in the
    same autoreset mode, given the same seeds and actions. Unlike it, it leaves the caller's `options` alone, refuses
    actions outside the action space whoever's they are (with NEXT_STEP also those of copies that are only reset), and
    raises `ResetNeeded` where a step or a reset with a mask comes before the first whole reset, or with autoreset
    disabled a step after an episode's end.

    Of a `SimulatorBatch` the environment is the other library's, and the batch judges the actions.
    """

    def __init__(
        self,
        batch: Batch,
        *,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        """Take a batch.

        Args:
            batch: The copies.
            max_episode_steps: The step at which an episode is truncated; None for no limit.
            autoreset_mode: When a copy whose episode has ended is reset.
            render_mode: One of the batch's `metadata["render_modes"]`, or None.

        Raises:
            TypeError: `max_episode_steps` is no int.
            ValueError: An argument has a value that cannot be meant.
        """
        limit = NO_LIMIT if max_episode_steps is None else positive_int("max_episode_steps", max_episode_steps)
        self.num_envs = batch.num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**batch.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = _render_mode(batch, render_mode)
        self.single_observation_space, self.single_action_space = batch.observation_space, batch.action_space
        self.observation_space = batch_space(batch.observation_space, self.num_envs)
        self.action_space = batch_space(batch.action_space, self.num_envs)
        self._batch, self._limit = batch, limit
        self._simulators = batch if isinstance(batch, SimulatorBatch) else None
        self._stepped = np.zeros(self.num_envs, dtype=np.bool_)
        self._everyone = np.ones(self.num_envs, dtype=np.bool_)
        self._generators: list[np.random.Generator | None] = [None] * self.num_envs
        self._seeds: list[int] = [-1] * self.num_envs
        self._elapsed = np.zeros(self.num_envs, dtype=np.int64)
        self._mark(np.zeros(self.num_envs, dtype=np.bool_))
        self._begun = False

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """Each copy's generator, as `SyncVectorEnv` gives them."""
        return tuple(self._generator(slot) for slot in range(self.num_envs))

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed that each copy's generator began with."""
        return tuple(self._seeds[slot] for slot, _ in enumerate(self.np_random))

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all copies, or those of `options["reset_mask"]`.

        Args:
            seed: An int, of which copy i gets `seed + i`; a sequence of one int or None per copy; or None, with which
                the generators go on.
            options: What the task's reset knows, and `reset_mask`, bool `(N,)`; never changed.

        Raises:
            TypeError: `reset_mask` is no bool array.
            ValueError: There are too many or too few seeds, `reset_mask` has another shape or no True, or the task
                knows no such option.
            gymnasium.error.ResetNeeded: A mask leaves copies out that have not begun.
            gymnasium.error.ClosedEnvironmentError: It is closed.
        """
        self._demand_open("reset")
        if options is not None and not isinstance(options, Mapping):
            raise TypeError(f"options must be a dict or None, got {options!r} of type {type(options).__name__}.")
        mask = reset_mask(options, self.num_envs)
        if mask is None:
            mask = np.ones(self.num_envs, dtype=np.bool_)
        elif not self._begun and not mask.all():
            raise ResetNeeded("reset() with a mask that leaves environments out cannot begin: call reset() first.")
        rest = None if options is None else {key: value for key, value in options.items() if key != "reset_mask"}
        before = self._generators.copy(), self._seeds.copy()
        if seed is not None:
            self._seed(seed, mask)
        try:
            self._begin(mask, rest)
        except Exception:  # an option was refused: nothing has happened
            self._generators, self._seeds = before
            raise
        self._begun = True
        self._mark(self._ended & ~mask)
        return self._batch.observe(), self._infos(mask)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Make one step in every copy; with NEXT_STEP, only reset those whose episode has ended.

        Raises:
            ValueError: The actions are not in the action space.
            gymnasium.error.ResetNeeded: No episode has begun, or with autoreset disabled one has ended.
            gymnasium.error.ClosedEnvironmentError: It is closed.
            RuntimeError: A simulator could not make its step; the message names the environment.
        """
        rewards, terminated = self._advanced(actions)
        self._stepped.fill(True)
        self._elapsed += 1
        return self._all_or_none(self._led_to, rewards, terminated)

    def _led_to(self, rewards: Any, terminated: Bools) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        truncated = self._elapsed >= self._limit
        if self._some_ended and self.autoreset_mode is AutoresetMode.NEXT_STEP:
            stepped = ~self._ended
            rewards, terminated, truncated = np.where(stepped, rewards, 0.0), terminated & stepped, truncated & stepped
            self._begin(self._ended)
        self._mark(terminated | truncated)
        infos: dict[str, Any] = {}
        if self._some_ended and self.autoreset_mode is AutoresetMode.SAME_STEP:
            infos = self._finals(self._ended)
            self._begin(self._ended)
        infos.update(self._infos())
        return self._batch.observe(), rewards, terminated, truncated, infos

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a copy's attributes; simulators are not copied but made anew, and begin with a reset."""
        self.__dict__.update(state)
        if self._simulators is not None:
            self._begun = False

    def close_extras(self, **kwargs: Any) -> None:
        """Free what the batch holds."""
        if self._simulators is not None:
            self._simulators.close()

    def __copy__(self) -> NativeVectorEnv:
        """Return a deep copy: two vectors of the same copies would disturb each other."""
        return copy.deepcopy(self)

    def render(self) -> tuple[Any, ...]:
        """Return a picture of every copy's current state, in the render mode.

        Raises:
            gymnasium.error.ClosedEnvironmentError: It is closed.
        """
        self._demand_open("render")
        return tuple(_picture(self._batch, slot, self.render_mode) for slot in range(self.num_envs))

    def render_one(self, number: int) -> Any:
        """Return a picture of one copy's current state, in the render mode; `envs.unwrapped` has this method.

        Args:
            number: Which copy, from 0.

        Raises:
            ValueError: There is no such copy.
            gymnasium.error.ClosedEnvironmentError: It is closed.
        """
        self._demand_open("render_one")
        return _picture(self._batch, int_between("number", number, 0, self.num_envs - 1), self.render_mode)

    def _advanced(self, actions: Any) -> tuple[Any, Bools]:
        self._demand_running()
        if self._simulators is None:
            return self._all_or_none(self._batch.step, self._checked(actions))
        reset_only = self._some_ended and self.autoreset_mode is AutoresetMode.NEXT_STEP
        active = ~self._ended if reset_only else None
        accepted = self._simulators.accept(actions, active)
        return self._all_or_none(self._simulators.step, accepted, active)

    def _all_or_none(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do a part of a step; where it is interrupted or fails, some copies have made it and others have not."""
        try:
            return work(*arguments)
        except BaseException:
            self._begun = False
            raise

    def _mark(self, ended: Bools) -> None:
        self._ended, self._some_ended = ended, np.count_nonzero(ended) > 0

    def _demand_open(self, call: str) -> None:
        if self.closed:
            raise ClosedEnvironmentError(f"{call}() was called on a closed environment: make a new one.")

    def _demand_running(self) -> None:
        self._demand_open("step")
        if not self._begun:
            raise ResetNeeded("step() cannot be called: no episode has begun. Call reset() first.")
        if self._some_ended and self.autoreset_mode is AutoresetMode.DISABLED:
            raise ResetNeeded(
                f"step() cannot be called: the episodes of environments {np.flatnonzero(self._ended).tolist()} have "
                f"ended and autoreset is disabled. Call reset(options={{'reset_mask': ...}}) first."
            )

    def _checked(self, actions: Any) -> Any:
        if not self.action_space.contains(actions):
            raise ValueError(
                f"actions must be {self.num_envs} of {self.single_action_space}, an array of shape "
                f"{self.action_space.shape} and of a type that casts to {self.action_space.dtype}, got {actions!r}."
            )
        return np.array(actions, dtype=self.action_space.dtype)  # a copy: the batch may keep it and write into it

    def _seed(self, seed: Any, mask: Bools) -> None:
        seeds = slot_seeds(seed, self.num_envs) or []
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed must be an int or {self.num_envs} seeds, got {len(seeds)}: {seed!r}.")
        # All are made before any is kept: one may be refused.
        made = [(slot, *self._numbers(s)) for slot, s in enumerate(seeds) if s is not None and mask[slot]]
        for slot, generator, begun_with in made:
            self._generators[slot], self._seeds[slot] = generator, begun_with

    def _numbers(self, seed: int | None) -> tuple[Any, int]:
        return seeding.np_random(seed) if self._simulators is None else self._simulators.generator(seed)

    def _generator(self, slot: int) -> np.random.Generator:
        generator = self._generators[slot]
        if generator is None:
            generator, self._seeds[slot] = self._numbers(None)
            self._generators[slot] = generator
        return generator

    def _begin(self, mask: Bools, options: Mapping[str, Any] | None = None) -> None:
        slots = np.flatnonzero(mask)
        generators = [self._generator(slot) for slot in slots.tolist()]
        try:
            self._batch.reset(slots, generators, options)
        except BaseException:
            self._begun = self._begun and self._simulators is None  # a batch of ours refuses before it does anything
            raise
        self._elapsed[slots] = 0
        self._stepped[slots] = False

    def _infos(self, mask: Bools | None = None) -> dict[str, Any]:
        """Return the copies' facts with Gymnasium's masks; zeros where the mask is False."""
        infos = _masked(self._batch.info(), self._everyone if mask is None else mask)
        if self._simulators is not None:
            stepped = self._stepped if mask is None else mask & self._stepped
            if np.count_nonzero(stepped):  # as Gymnasium, which leaves out keys that nobody has
                infos.update(_masked(self._simulators.step_info(), stepped))
        return infos

    def _finals(self, ended: Bools) -> dict[str, Any]:
        """Return what SAME_STEP tells of the episodes that ended, whose copies already show the next."""
        observations = np.full(self.num_envs, None, dtype=object)
        slots = np.flatnonzero(ended)
        for slot, observation in zip(slots.tolist(), self._batch.observe()[slots], strict=True):
            observations[slot] = observation
        return {
            "final_obs": observations,
            "_final_obs": ended.copy(),
            "final_info": self._infos(ended),
            "_final_info": ended.copy(),
        }


def _fact(value: Any) -> Any:
    # Of NumPy's bools SyncVectorEnv would make an array of objects, of Python's it makes one of bools.
    return bool(value) if isinstance(value, np.bool_) else value


def _masked(facts: Mapping[str, Any], mask: Bools) -> dict[str, Any]:
    everyone, infos = np.count_nonzero(mask) == len(mask), {}
    for key, value in facts.items():
        infos[key], infos[f"_{key}"] = value if everyone else _only(mask, value), mask.copy()
    return infos


def _only(mask: Bools, value: Any) -> Any:
    kept = np.zeros_like(value)
    kept[mask] = value[mask]
    return kept


def _render_mode(batch: Batch, mode: str | None) -> str | None:
    modes: Sequence[str] = batch.metadata["render_modes"]
    return None if mode is None else known("render_mode", mode, modes)


def _picture(batch: Batch, slot: int, mode: str | None) -> Any:
    if mode is None:
        gym.logger.warn(f"render() shows nothing without a render_mode: make it with one of {batch.metadata}.")
        return None
    return batch.render(slot, mode)
