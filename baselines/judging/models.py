"""Our symbolic tasks as tables: every state, what each action does there, and what it earns in expectation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from bagged_envs.envs import charge_discharge, hidden_door, key_door, pocket_watch, trace_back
from bagged_envs.envs.table import State, Table, tabulate
from bagged_envs.registration import task_of

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FiniteModel:
    """A task whose every state is known. What an action leads to is certain; only starts are drawn.

    Attributes:
        table: What every action does in every state, and what it earns in expectation.
        starts: Numbers of the states that episodes start in, each equally likely.
        horizon: After so many steps an episode ends.
        parts: Which parts of an observation make up the state.
    """

    table: Table
    starts: Ints
    horizon: int
    parts: tuple[int, ...]

    def numbers(self, observations: npt.NDArray[Any]) -> Ints:
        """Return the numbers of the states of observations `[N, K]`."""
        states = np.asarray(observations, dtype=np.int64)[:, list(self.parts)]
        numbers: Ints = np.ravel_multi_index(tuple(states.T), self.table.sizes).astype(np.int64)
        return numbers


def finite_model(env: gym.Env[Any, Any]) -> FiniteModel | None:
    """Return the model of one of our symbolic tasks, made with any arguments; None for other tasks.

    KeyDoor's apples and TraceBack's noise are worth nothing in expectation. Of PocketWatch's observation only what
    actions can change, the brand and the time are the state: jams and flat tires come as they come, and what they cost
    stands in the sale's expected reward.

    Raises:
        ValueError: The environment has no specification.

    Example:
        >>> import bagged_envs
        >>> model = finite_model(bagged_envs.dense("BaggedHiddenDoor-v0"))
        >>> model.horizon, len(model.table.states)
        (50, 36)
    """
    spec = env.spec
    if spec is None:
        raise ValueError(f"env must have a spec, got {env}: make it from an ID.")
    task = task_of(spec)
    make = MODELS.get(task.name)
    if make is None:
        return None
    return make({**task.kwargs, **spec.kwargs}, spec.max_episode_steps)


def _key_door(arguments: Mapping[str, Any], limit: int | None) -> FiniteModel:
    size = arguments["size"]
    table = key_door.layout(size, arguments["delay"])
    rooms = [table.number(*cell, 0) for cell in np.ndindex(size, size) if cell != key_door.KEY_CELL]
    return FiniteModel(table, np.array(rooms), _limited(limit, key_door.MAX_EPISODE_STEPS), (0, 1, 2))


def _hidden_door(arguments: Mapping[str, Any], limit: int | None) -> FiniteModel:
    table = hidden_door.layout(arguments["length"])
    horizon = _limited(limit, hidden_door.MAX_EPISODE_STEPS)
    return FiniteModel(table, np.array([table.number(0, 0, 0)]), horizon, (0, 1, 2))


def _trace_back(arguments: Mapping[str, Any], limit: int | None) -> FiniteModel:
    table = trace_back.layout(arguments["delay"])
    start = table.number(trace_back.START, trace_back.START, 0)
    return FiniteModel(table, np.array([start]), _limited(limit, arguments["delay"]), (0, 1, 2))


def _charge_discharge(arguments: Mapping[str, Any], limit: int | None) -> FiniteModel:
    table = charge_discharge.layout(arguments["delay"])
    return FiniteModel(table, np.array([table.number(0, 0)]), _limited(limit, arguments["delay"]), (0, 1))


def _pocket_watch(arguments: Mapping[str, Any], limit: int | None) -> FiniteModel:
    table = _shop()
    starts = np.array([table.number(0, brand, 0) for brand in range(pocket_watch.BRANDS)])
    return FiniteModel(table, starts, _limited(limit, pocket_watch.HORIZON), (0, 3, 4))


@functools.lru_cache
def _shop() -> Table:
    """Return PocketWatch; a state is (repaired, brand, time)."""
    watch = pocket_watch
    on_the_way = watch.JAM_PROBABILITY * watch.JAM_COST + watch.TIRE_PROBABILITY * watch.TIRE_COST
    sale = watch.PRICE - watch.HORIZON * on_the_way - watch.DELIVERY_MEAN

    def move(state: State, action: int) -> tuple[State, float]:
        repaired, brand, time = state
        now = time == 0 and action == watch.REPAIR
        repaired = int(repaired or now)
        sold = time + 1 == watch.HORIZON and repaired
        earned = (-watch.REPAIR_MEAN[brand] if now else 0.0) + (sale[brand] if sold else 0.0)
        return (repaired, brand, time + 1), float(earned)

    sizes = (2, watch.BRANDS, watch.HORIZON + 1)
    return tabulate(sizes, 2, move, lambda state: state[2] == watch.HORIZON)


def _limited(limit: int | None, own: int) -> int:
    return own if limit is None else limit


MODELS: dict[str, Callable[[Mapping[str, Any], int | None], FiniteModel]] = {
    "KeyDoor": _key_door,
    "HiddenDoor": _hidden_door,
    "TraceBack": _trace_back,
    "ChargeDischarge": _charge_discharge,
    "PocketWatch": _pocket_watch,
}
