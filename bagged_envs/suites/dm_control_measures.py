"""What tasks of dm_control's suite observe and pay, read directly from MuJoCo's arrays.

Each function takes an `MjModel` and an `MjData`, looks up where everything stands, once, and returns a function that
measures the current state: the parts of the observation, in dm_control's order, and the reward. Arithmetic keeps
dm_control's order of operations, so that both are equal to the bit.

Source: dm_control's suite (Tassa et al. 2018, arXiv 1801.00690), release 1.0.50.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Measured: TypeAlias = tuple[tuple[npt.NDArray[Any], ...], float]
Measure: TypeAlias = Callable[[], Measured]
Fall: TypeAlias = Callable[[Any], Any]

XX, XZ, ZZ = 0, 2, 8  # places in a body's rotation matrix
INFINITE = float("inf")
_SCALE = np.sqrt(-2 * np.log(0.1))  # with it the Gaussian falls to 0.1 at the margin


def gaussian(far: Any) -> Any:
    """Return 1 at 0, 0.1 at 1."""
    return np.exp(-0.5 * (far * _SCALE) ** 2)


def linear(far: Any, at_margin: float) -> Any:
    """Return 1 at 0, `at_margin` at 1, and 0 where that line would be negative."""
    scaled = far * (1 - at_margin)
    return 1 - scaled if abs(scaled) < 1 else 0.0


def tolerance(x: Any, low: float, high: float, margin: float = 0.0, fall: Fall = gaussian) -> float:
    """Return 1 within the bounds, and outside what `fall` makes of the distance in margins; 0 without a margin.

    Example:
        >>> tolerance(4.0, 5.0, INFINITE, 2.0, partial(linear, at_margin=0.0))
        0.5
    """
    if low <= x <= high:
        return 1.0
    return float(fall((low - x if x < low else x - high) / margin)) if margin else 0.0


def calm(control: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return 1 for no control, falling as a parabola to 0 at 1."""
    size = np.abs(control)
    return np.where(size < 1, 1 - size**2, 0.0)


def cheetah(model: Any, data: Any) -> Measure:
    """Run: 1 from 10 m/s on, falling linearly to 0 at rest."""
    qpos, qvel = data.qpos[1:], data.qvel
    speed = _sensor(model, data, "torso_subtreelinvel")
    fall = partial(linear, at_margin=0)
    return lambda: ((qpos, qvel), tolerance(speed[0], 10, INFINITE, 10, fall))


def walker(model: Any, data: Any, move_speed: float) -> Measure:
    """Stand upright, and move at a speed."""
    torso, speed = model.body("torso").id, _sensor(model, data, "torso_subtreelinvel")
    turns, height, qvel = data.xmat[1:, XX : XZ + 1 : XZ], data.xpos[torso, 2:], data.qvel
    upward, fall = data.xmat[torso, ZZ:], partial(linear, at_margin=0.5)

    def measure() -> Measured:
        standing = tolerance(height[0], 1.2, INFINITE, 1.2 / 2)
        reward = (3 * standing + (1 + upward[0]) / 2) / 4
        if move_speed:
            moving = tolerance(speed[0], move_speed, INFINITE, move_speed / 2, fall)
            reward = reward * (5 * moving + 1) / 6
        return (turns.ravel(), height, qvel), float(reward)

    return measure


def cartpole(model: Any, data: Any) -> Measure:
    """Poles upright, cart in the middle, little control, slow hinges."""
    cart, poles, qvel, ctrl = data.qpos[:1], data.xmat[2:, ZZ : XZ - 1 : XZ - ZZ], data.qvel, data.ctrl
    upward, spin, count = data.xmat[2:, ZZ], data.qvel[1:], model.nbody - 2

    def measure() -> Measured:
        upright = np.add.reduce((upward + 1) / 2) / count
        centered = (1 + tolerance(cart[0], 0.0, 0.0, 2)) / 2
        control = (4 + calm(ctrl)[0]) / 5
        slow = (1 + gaussian(np.abs(spin) / 5).min()) / 2
        return (cart, poles.ravel(), qvel), float(upright * control * slow * centered)

    return measure


def cartpole_sparse(model: Any, data: Any) -> Measure:
    """1 where all poles are upright and the cart is in the middle, else 0."""
    cart, poles, qvel = data.qpos[:1], data.xmat[2:, ZZ : XZ - 1 : XZ - ZZ], data.qvel
    upward = data.xmat[2:, ZZ]

    def measure() -> Measured:
        upright = float(((upward >= 0.995) & (upward <= 1)).all())
        return (cart, poles.ravel(), qvel), tolerance(cart[0], -0.25, 0.25) * upright

    return measure


def pendulum(model: Any, data: Any) -> Measure:
    """1 within 8 degrees of upright, else 0."""
    pole, qvel = data.xmat[model.body("pole").id], data.qvel
    turn, bound = pole[ZZ : XZ - 1 : XZ - ZZ], np.cos(np.deg2rad(8))
    return lambda: ((turn, qvel), tolerance(turn[0], bound, 1))


def acrobot(model: Any, data: Any, margin: float) -> Measure:
    """The tip near the target."""
    arms = [model.body(name).id for name in ("upper_arm", "lower_arm")]
    target, tip = (data.site_xpos[model.site(name).id] for name in ("target", "tip"))
    xmat, qvel, radius = data.xmat, data.qvel, model.site("target").size[0]

    def measure() -> Measured:
        reward = tolerance(np.linalg.norm(target - tip), 0, radius, margin)
        return (xmat[arms, XZ], xmat[arms, ZZ], qvel), reward

    return measure


def ball_in_cup(model: Any, data: Any) -> Measure:
    """1 where the ball is in the cup, else 0."""
    target, ball = data.site_xpos[model.site("target").id, ::2], data.xpos[model.body("ball").id, ::2]
    room = model.site("target").size[::2] - model.geom("ball").size[0]
    qpos, qvel = data.qpos, data.qvel
    return lambda: ((qpos, qvel), float((np.abs(target - ball) < room).all()))


def hopper(model: Any, data: Any, hopping: bool) -> Measure:
    """Stand, and hop at 2 m/s or use little control."""
    torso, foot = (data.xipos[model.body(name).id] for name in ("torso", "foot"))
    speed, ctrl, sensors = _sensor(model, data, "torso_subtreelinvel"), data.ctrl, data.sensordata
    feet = [model.sensor(name).adr[0] for name in ("touch_toe", "touch_heel")]
    qpos, qvel, fall = data.qpos[1:], data.qvel, partial(linear, at_margin=0.5)

    def measure() -> Measured:
        reward = tolerance(speed[0], 2, INFINITE, 2 / 2, fall) if hopping else (calm(ctrl).mean() + 4) / 5
        standing = tolerance(torso[2] - foot[2], 0.6, 2)
        return (qpos, qvel, np.log1p(sensors[feet])), float(standing * reward)

    return measure


def _sensor(model: Any, data: Any, name: str) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = data.sensordata[model.sensor(name).adr[0] :]
    return values


MEASURES: dict[tuple[str, str], Callable[[Any, Any], Measure]] = {
    ("acrobot", "swingup"): partial(acrobot, margin=1),
    ("acrobot", "swingup_sparse"): partial(acrobot, margin=0),
    ("ball_in_cup", "catch"): ball_in_cup,
    ("cartpole", "balance"): cartpole,
    ("cartpole", "balance_sparse"): cartpole_sparse,
    ("cartpole", "swingup"): cartpole,
    ("cartpole", "swingup_sparse"): cartpole_sparse,
    ("cartpole", "two_poles"): cartpole,
    ("cartpole", "three_poles"): cartpole,
    ("cheetah", "run"): cheetah,
    ("hopper", "stand"): partial(hopper, hopping=False),
    ("hopper", "hop"): partial(hopper, hopping=True),
    ("pendulum", "swingup"): pendulum,
    ("walker", "stand"): partial(walker, move_speed=0),
    ("walker", "walk"): partial(walker, move_speed=1),
    ("walker", "run"): partial(walker, move_speed=8),
}
