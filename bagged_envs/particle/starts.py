"""How an episode begins in a given state: `reset(options={"positions": ..., "velocities": ...})`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bagged_envs.batch import Floats, Ints
from bagged_envs.particle.world import World
from bagged_envs.wrappers.arguments import known

OPTIONS = ("positions", "velocities")


def begin(world: World, worlds: Ints, positions: Floats, options: Mapping[str, Any] | None) -> None:
    """Begin an episode in some worlds: everything at rest where it was drawn, except for what `options` gives.

    Args:
        world: The worlds.
        worlds: Indices of those that begin, `(K,)`.
        positions: Where their bodies were drawn, `(K, E, 2)`.
        options: None, or a mapping with any of "positions", of all bodies, `(E, 2)` or `(K, E, 2)`, and "velocities",
            of those that move, `(A, 2)` or `(K, A, 2)`.
    """
    velocities = np.zeros((len(worlds), world.num_agents, 2))
    if options:
        given = given_start(options, len(worlds), world.num_bodies, world.num_agents)
        positions, velocities = given.get("positions", positions), given.get("velocities", velocities)
    world.place(worlds, positions, velocities)


def given_start(options: object, count: int, bodies: int, agents: int) -> dict[str, Floats]:
    """Return what `options` gives, float64 `(count, bodies or agents, 2)` each.

    Raises:
        TypeError: `options` is no mapping, or a value is not made of numbers.
        ValueError: A key is unknown, a shape is another, or a number is not finite.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise TypeError(f"options must be a mapping with any of {OPTIONS}, got {options!r}; leave it out for an ordinary start.")
    rows = {"positions": bodies, "velocities": agents}
    return {known("options: each key", key, OPTIONS): _vectors(key, value, count, rows[key]) for key, value in options.items()}


def _vectors(key: str, value: object, count: int, rows: int) -> Floats:
    name = f'options["{key}"]'
    shapes = f"({rows}, 2), or ({count}, {rows}, 2) for the {count} world(s) that start"
    try:
        vectors = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers of shape {shapes}, got {value!r}.") from error
    if vectors.shape not in ((rows, 2), (count, rows, 2)):
        raise ValueError(f"{name} must have shape {shapes}: one (x, y) for each, got shape {vectors.shape}.")
    if not np.isfinite(vectors).all():
        raise ValueError(f"{name} must be finite, got {vectors[~np.isfinite(vectors)][0]}: give every body a place.")
    return np.broadcast_to(vectors, (count, rows, 2))
