"""What the elements of observations and actions mean, as an environment's own metadata tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from gymnasium.spaces import MultiDiscrete, Space

from bagged_envs.baselines.features import Features
from bagged_envs.particle.layout import ACTIONS, layout

# MuJoCo's numbers of joint types, and of the transmission from an actuator to a joint.
FREE, BALL, SLIDE = range(3)
TO_JOINT = 0


@dataclass(frozen=True)
class Part:
    """Neighboring elements.

    Attributes:
        meaning: Theirs.
        count: How many they are.
    """

    meaning: str
    count: int = 1


def listed(parts: Sequence[Part], note: str = "") -> str:
    """Return how many elements there are, and a line for each part: its indices and its meaning.

    Example:
        >>> print(listed([Part("height"), Part("orientation", 4)], "Angles are in radians."))
        5 dimensions. Angles are in radians.
        0: height
        1-4: orientation
    """
    lines, first = [], 0
    for part in parts:
        last = first + part.count - 1
        lines.append(f"{first}: {part.meaning}" if part.count == 1 else f"{first}-{last}: {part.meaning}")
        first += part.count
    return "\n".join([f"{first} dimensions. {note}".rstrip(), *lines])


def observation_parts(env: gym.Env[Any, Any], meanings: Sequence[str] = ()) -> list[Part]:
    """Return what one agent observes.

    Args:
        env: The environment.
        meanings: Of the elements of a Box, or of the numbers of a MultiDiscrete, for an environment that has no
            metadata to tell them.

    Raises:
        ValueError: These are more or fewer than the observation has.
    """
    inner: Any = env.unwrapped
    if hasattr(inner, "observation_structure"):
        parts = mujoco_observation(inner.model, inner.observation_structure)
    elif (batch := _batch(inner)) is not None:
        parts = [Part(meaning) for meaning in layout(batch)]
    else:
        parts = _space_parts(env.observation_space, meanings)
    return _checked("observation", parts, env.observation_space, _agents(inner))


def action_parts(env: gym.Env[Any, Any], meanings: Sequence[str] = ()) -> list[Part]:
    """Return what one agent does; arguments and errors as for `observation_parts`.

    Raises:
        ValueError: The meanings are more or fewer than the action has.
    """
    inner: Any = env.unwrapped
    if hasattr(inner, "model"):
        parts = [Part(_actuator(inner.model, index)) for index in range(inner.model.nu)]
    else:
        choices = ACTIONS if _batch(inner) is not None else meanings
        parts = [Part(f"1 if the agent chooses this, else 0: {choice}") for choice in choices]
    return _checked("action", parts, env.action_space, _agents(inner))


def mujoco_observation(model: Any, structure: Mapping[str, int]) -> list[Part]:
    """Return the parts of a Gymnasium MuJoCo observation, given its `observation_structure`."""
    joints = [model.joint(index) for index in range(model.njnt)]
    positions = [part for joint in joints for part in _positions(model, joint)]
    velocities = [part for joint in joints for part in _velocities(model, joint)]
    blocks = {
        "qpos": positions[structure.get("skipped_qpos", 0) :],  # single elements: the position of the trunk
        "qvel": velocities,
        "cinert": _of_bodies(model, "inertia (6), mass times offset from the middle x, y, z, mass", 10),
        "cvel": _of_bodies(model, "angular velocity x, y, z, velocity x, y, z", 6),
        "qfrc_actuator": [Part(f"force of motors on joint {joint.name}") for joint in joints[1:]],  # not of the trunk
        "cfrc_ext": _of_bodies(model, "torque x, y, z and force x, y, z of contacts", 6),
    }
    return [part for name, block in blocks.items() if structure.get(name) for part in block]


def _positions(model: Any, joint: Any) -> list[Part]:
    body = _body(model, int(model.jnt_bodyid[joint.id]))
    place = [Part(f"position of {body}, {axis}") for axis in "xyz"]
    turn = [Part(f"orientation of {body} as a quaternion, {name}") for name in "wxyz"]
    special = {FREE: place + turn, BALL: turn}
    return special.get(int(model.jnt_type[joint.id]), [Part(_moved(model, joint, "position", "angle"))])


def _velocities(model: Any, joint: Any) -> list[Part]:
    body = _body(model, int(model.jnt_bodyid[joint.id]))
    motion = [Part(f"velocity of {body}, {axis}") for axis in "xyz"]
    spin = [Part(f"angular velocity of {body} about its own {axis}") for axis in "xyz"]
    special = {FREE: motion + spin, BALL: spin}
    return special.get(int(model.jnt_type[joint.id]), [Part(_moved(model, joint, "velocity", "angular velocity"))])


def _moved(model: Any, joint: Any, along: str, about: str) -> str:
    slides = int(model.jnt_type[joint.id]) == SLIDE
    what = f"{along} along" if slides else f"{about} about"
    axis = _direction(model.jnt_axis[joint.id].tolist())
    return f"joint {joint.name}: {what} {axis} of {_body(model, int(model.jnt_bodyid[joint.id]))}"


def _direction(axis: Sequence[float]) -> str:
    for name, number in zip("xyz", axis, strict=True):
        if abs(number) == 1.0:
            return f"+{name}" if number > 0 else f"-{name}"
    return "(" + ", ".join(f"{number:.2f}" for number in axis) + ")"


def _body(model: Any, index: int) -> str:
    name = model.body(index).name
    return f"the {name}" if name else f"the link after {_body(model, int(model.body_parentid[index]))}"


def _of_bodies(model: Any, meaning: str, count: int) -> list[Part]:
    """Return a part for each body but the world."""
    return [Part(f"{_body(model, index)}: {meaning}", count) for index in range(1, model.nbody)]


def _actuator(model: Any, index: int) -> str:
    low, high = model.actuator_ctrlrange[index].tolist()
    moves = f"joint {model.joint(int(model.actuator_trnid[index, 0])).name}"
    if int(model.actuator_trntype[index]) != TO_JOINT:
        moves = f"actuator {model.actuator(index).name}"
    return f"motor of {moves}, from {low:g} to {high:g}"


def _space_parts(space: Space[Any], meanings: Sequence[str]) -> list[Part]:
    if not isinstance(space, MultiDiscrete):
        return [Part(meaning) for meaning in meanings]
    if len(meanings) != len(space.nvec):
        raise ValueError(f"meanings must be {len(space.nvec)}, one for each number of {space}, got {len(meanings)}.")
    told = "one element for each in this order, 1 for the one that holds and 0 for the others"
    return [Part(f"{what}: {told}", int(n)) for what, n in zip(meanings, space.nvec, strict=True)]


def _checked(name: str, parts: list[Part], space: Space[Any], agents: int) -> list[Part]:
    size, count = Features(space, agents).size, sum(part.count for part in parts)
    if count != size:
        raise ValueError(
            f"the task's text must tell of {size} elements of the {name}, got {count}: the environment has another "
            f"{name} than its task; give a TaskText of your own."
        )
    return parts


def _agents(inner: Any) -> int:
    return int(getattr(inner, "n_agents", 1))


def _batch(inner: Any) -> Any:
    """Return the particle world behind an environment of several agents, or None."""
    return getattr(getattr(inner, "env", None), "batch", None) if hasattr(inner, "n_agents") else None
