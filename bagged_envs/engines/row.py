"""A row of the table of Gymnasium's MuJoCo tasks: what tells one task from another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Facts: TypeAlias = dict[str, Array]


class Judgment(NamedTuple):
    """What a step led to.

    Attributes:
        reward: `(N,)`.
        terminated: bool `(N,)`.
        facts: What info tells after a step and not after a reset, `(N, ...)` each.
    """

    reward: Array
    terminated: Array
    facts: Facts


def nothing(now: Any, a: Any) -> Facts:
    """Tell nothing."""
    return {}


@dataclass(frozen=True)
class Row:
    """One task, in functions of the stacked arrays `now` and the arguments `a`.

    `now` has the arrays of `fields`, each `(N, ...)`, and `init_qpos`, `init_qvel`, `timestep`, `dt` (of one step of
    the environment), `body_mass`, `body(name)` (the bodies' positions `(N, 3)`; `xpos` must be one of the fields) and
    `before`, what `position` was before the step. Arithmetic keeps Gymnasium's order of operations and its types:
    results are equal to the bit.

    Attributes:
        name: The task's, as in `<name>-v5`.
        model: The file with the model, as `xml_file` names it.
        frame_skip: Steps of the simulator in one of the environment.
        camera: The default of `default_camera_config`.
        arguments: The task's other arguments and their defaults.
        fields: The arrays of `MjData` that it needs besides `qpos` and `qvel`.
        start: `(generator, now, a)` to one copy's first `qpos` and `qvel`.
        observe: `(now, a)` to observations, a new array `(N, ...)`.
        judge: `(now, a, actions)` to what a step led to.
        facts: `(now, a)` to what info tells after a reset and after a step, new arrays.
        position: `(now, a)` to what a velocity is the difference of, a new array, or None.
        contacts: Whether `cfrc_ext` is read, which a step of MuJoCo alone does not compute.
    """

    name: str
    model: str
    frame_skip: int
    camera: Mapping[str, Any] | None
    arguments: Mapping[str, Any]
    start: Callable[[np.random.Generator, Any, Any], tuple[Array, Array]]
    observe: Callable[[Any, Any], Array]
    judge: Callable[[Any, Any, Array], Judgment]
    facts: Callable[[Any, Any], Facts] = nothing
    position: Callable[[Any, Any], Array] | None = None
    fields: tuple[str, ...] = field(default=())
    contacts: bool = False
