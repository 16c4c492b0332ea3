"""How an episode begins in a given state: `reset(options={"positions": ..., "velocities": ...})`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bagged_envs.batch import Floats, Ints
from bagged_envs.particle.world import World
from bagged_envs.wrappers.arguments import known

OPTIONS = ("positions", "velocities")


def given_start(options: object, world: World, count: int) -> dict[str, Floats]:
    """Return what `options` gives for the `count` worlds that start, arrays `(count, bodies or agents, 2)`.

    Args:
        options: None, or a mapping with any of "positions", of all bodies, `(E, 2)` or `(count, E, 2)`, and
            "velocities", of those that move, `(A, 2)` or `(count, A, 2)`.
        world: The worlds.
        count: How many of them start.

    Raises:
        TypeError: `options` is no mapping, or a value is not made of numbers.
        ValueError: A key is unknown, a shape is another, or a number is not finite.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise TypeError(f"options must be a mapping with any of {OPTIONS}, got {options!r}; None is an ordinary start.")
    rows = {"positions": world.num_bodies, "velocities": world.num_agents}
    names = [known("a key of options", key, OPTIONS) for key in options]
    return {name: _vectors(name, options[name], count, rows[name]) for name in names}


def draw_square(generators: Sequence[np.random.Generator], count: int) -> Floats:
    """Draw `count` places from each generator, uniform in the square |x|, |y| < 1: `(K, count, 2)`."""
    drawn = np.array([generator.random((count, 2)) for generator in generators])
    return 2.0 * drawn.reshape(len(generators), count, 2) - 1.0


def begin(world: World, worlds: Ints, drawn: Floats, given: Mapping[str, Floats]) -> None:
    """Begin an episode in some worlds: at rest where the bodies were drawn, `(K, E, 2)`, except for what is given."""
    velocities = given.get("velocities", np.zeros((len(worlds), world.num_agents, 2)))
    world.place(worlds, given.get("positions", drawn), velocities)


def _vectors(key: str, value: object, count: int, rows: int) -> Floats:
    name = f'options["{key}"]'
    shapes = f"({rows}, 2), or ({count}, {rows}, 2) for the {count} world(s) that start"
    try:
        given = np.array(value)
        vectors = given.astype(np.float64, casting="same_kind" if given.dtype.kind == "c" else "unsafe")
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers of shape {shapes}, got {value!r}.") from error
    if vectors.shape not in ((rows, 2), (count, rows, 2)):
        raise ValueError(f"{name} must have shape {shapes}: one (x, y) for each, got shape {vectors.shape}.")
    if not np.isfinite(vectors).all():
        raise ValueError(f"{name} must be finite, got {vectors[~np.isfinite(vectors)][0]}: give every body a place.")
    return np.broadcast_to(vectors, (count, rows, 2))
