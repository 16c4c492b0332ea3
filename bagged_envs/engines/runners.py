"""HalfCheetah, Hopper, Walker2d and Swimmer: planar bodies paid for how fast they move along x.

Source: Gymnasium's v5 tasks, whose documentation gives the formulas.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bagged_envs.engines.row import Array, Facts, Judgment, Row
from bagged_envs.engines.terms import (
    between,
    lengths,
    never,
    normal_start,
    squares,
    uniform_start,
    velocity,
    x_position,
)


def _seen_from(skipped: int) -> Any:
    """Return an observation of positions, but for the first `skipped` if they are excluded, and velocities."""

    def observe(now: Any, a: Any) -> Array:
        first = skipped if a.exclude_current_positions_from_observation else 0
        return np.concatenate((now.qpos[:, first:], now.qvel), axis=1)

    return observe


def _clipped(now: Any, a: Any) -> Array:
    first = 1 if a.exclude_current_positions_from_observation else 0
    return np.concatenate((now.qpos[:, first:], np.clip(now.qvel, -10, 10)), axis=1)


def _run(now: Any, a: Any, actions: Array) -> Judgment:
    """Pay forward_reward_weight * dx/dt - ctrl_cost_weight * |action|^2."""
    x_velocity = velocity(now, now.qpos[:, 0])
    forward = a.forward_reward_weight * x_velocity
    cost = a.ctrl_cost_weight * squares(actions)
    facts = {"x_velocity": x_velocity, "reward_forward": forward, "reward_ctrl": -cost}
    return Judgment(forward - cost, never(now), facts)


def _x(now: Any, a: Any) -> Facts:
    return {"x_position": x_position(now, a)}


HalfCheetah = Row(
    name="HalfCheetah",
    model="half_cheetah.xml",
    frame_skip=5,
    camera={"distance": 4.0},
    arguments={
        "forward_reward_weight": 1.0,
        "ctrl_cost_weight": 0.1,
        "reset_noise_scale": 0.1,
        "exclude_current_positions_from_observation": True,
    },
    start=normal_start,
    observe=_seen_from(1),
    judge=_run,
    facts=_x,
    position=x_position,
)


def _walk(now: Any, a: Any, actions: Array, healthy: Array) -> Judgment:
    """Pay healthy_reward + forward_reward_weight * dx/dt - ctrl_cost_weight * |action|^2; unhealthy ones terminate."""
    x_velocity = velocity(now, now.qpos[:, 0])
    forward = a.forward_reward_weight * x_velocity
    alive = healthy * a.healthy_reward
    cost = a.ctrl_cost_weight * squares(actions)
    terminated = ~healthy if a.terminate_when_unhealthy else never(now)
    facts = {"x_velocity": x_velocity, "reward_forward": forward, "reward_ctrl": -cost, "reward_survive": alive}
    return Judgment(forward + alive - cost, terminated, facts)


def _upright(now: Any, a: Any) -> Array:
    """Healthy: the torso's height and angle are within their ranges."""
    return between(a.healthy_z_range[0], now.qpos[:, 1], a.healthy_z_range[1]) & between(
        a.healthy_angle_range[0], now.qpos[:, 2], a.healthy_angle_range[1]
    )


def _hop(now: Any, a: Any, actions: Array) -> Judgment:
    """As `_walk`; all positions from the angle on and all velocities must be within healthy_state_range, too."""
    low, high = a.healthy_state_range
    calm = between(low, now.qpos[:, 2:], high).all(axis=1) & between(low, now.qvel, high).all(axis=1)
    return _walk(now, a, actions, calm & _upright(now, a))


def _x_and_z(now: Any, a: Any) -> Facts:
    return {**_x(now, a), "z_distance_from_origin": now.qpos[:, 1] - now.init_qpos[1]}


Hopper = Row(
    name="Hopper",
    model="hopper.xml",
    frame_skip=4,
    camera={"trackbodyid": 2, "distance": 3.0, "lookat": np.array((0.0, 0.0, 1.15)), "elevation": -20.0},
    arguments={
        "forward_reward_weight": 1.0,
        "ctrl_cost_weight": 1e-3,
        "healthy_reward": 1.0,
        "terminate_when_unhealthy": True,
        "healthy_state_range": (-100.0, 100.0),
        "healthy_z_range": (0.7, float("inf")),
        "healthy_angle_range": (-0.2, 0.2),
        "reset_noise_scale": 5e-3,
        "exclude_current_positions_from_observation": True,
    },
    start=uniform_start,
    observe=_clipped,
    judge=_hop,
    facts=_x_and_z,
    position=x_position,
)


Walker2d = Row(
    name="Walker2d",
    model="walker2d_v5.xml",
    frame_skip=4,
    camera={"trackbodyid": 2, "distance": 4.0, "lookat": np.array((0.0, 0.0, 1.15)), "elevation": -20.0},
    arguments={
        "forward_reward_weight": 1.0,
        "ctrl_cost_weight": 1e-3,
        "healthy_reward": 1.0,
        "terminate_when_unhealthy": True,
        "healthy_z_range": (0.8, 2.0),
        "healthy_angle_range": (-1.0, 1.0),
        "reset_noise_scale": 5e-3,
        "exclude_current_positions_from_observation": True,
    },
    start=uniform_start,
    observe=_clipped,
    judge=lambda now, a, actions: _walk(now, a, actions, _upright(now, a)),
    facts=_x_and_z,
    position=x_position,
)


def _swim(now: Any, a: Any, actions: Array) -> Judgment:
    """Pay as `_run`; info has the velocity along y, too."""
    xy_velocity = velocity(now, now.qpos[:, :2])
    forward = a.forward_reward_weight * xy_velocity[:, 0]
    cost = a.ctrl_cost_weight * squares(actions)
    velocities = {"x_velocity": xy_velocity[:, 0].copy(), "y_velocity": xy_velocity[:, 1].copy()}
    return Judgment(forward - cost, never(now), {**velocities, "reward_forward": forward, "reward_ctrl": -cost})


def plane_facts(now: Any, a: Any) -> Facts:
    """Tell where in the plane the body is."""
    return {
        "x_position": now.qpos[:, 0].copy(),
        "y_position": now.qpos[:, 1].copy(),
        "distance_from_origin": lengths(now.qpos[:, :2]),
    }


Swimmer = Row(
    name="Swimmer",
    model="swimmer.xml",
    frame_skip=4,
    camera=None,
    arguments={
        "forward_reward_weight": 1.0,
        "ctrl_cost_weight": 1e-4,
        "reset_noise_scale": 0.1,
        "exclude_current_positions_from_observation": True,
    },
    start=uniform_start,
    observe=_seen_from(2),
    judge=_swim,
    facts=plane_facts,
    position=lambda now, a: now.qpos[:, :2].copy(),
)
