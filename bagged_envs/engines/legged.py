"""Ant, Humanoid and HumanoidStandup: bodies in space, with the forces of contacts in what they observe and pay.

Source: Gymnasium's v5 tasks, whose documentation gives the formulas.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bagged_envs.engines.row import Array, Facts, Judgment, Row
from bagged_envs.engines.runners import plane_facts
from bagged_envs.engines.terms import between, never, normal_start, squares, uniform_start, velocity


def _flat(values: Array) -> Array:
    return values.reshape(len(values), -1)


def _forces(now: Any, a: Any) -> Array:
    return np.asarray(np.clip(now.cfrc_ext, *a.contact_force_range))


def _ant_sees(now: Any, a: Any) -> Array:
    first = 2 if a.exclude_current_positions_from_observation else 0
    parts = [now.qpos[:, first:], now.qvel]
    if a.include_cfrc_ext_in_observation:
        parts.append(_flat(_forces(now, a)[:, 1:]))
    return np.concatenate(parts, axis=1)


def _ant_healthy(now: Any, a: Any) -> Array:
    """Healthy: everything is finite, and the torso's height within its range, bounds included."""
    low, high = a.healthy_z_range
    finite = np.isfinite(now.qpos).all(axis=1) & np.isfinite(now.qvel).all(axis=1)
    return np.asarray(finite & (low <= now.qpos[:, 2]) & (now.qpos[:, 2] <= high))


def _ant(now: Any, a: Any, actions: Array) -> Judgment:
    """Pay dx/dt * forward_reward_weight + healthy_reward - ctrl_cost_weight * |action|^2 - the cost of contacts."""
    xy_velocity = velocity(now, now.body(a.main_body)[:, :2])
    healthy = _ant_healthy(now, a)
    forward, alive = xy_velocity[:, 0] * a.forward_reward_weight, healthy * a.healthy_reward
    control = a.ctrl_cost_weight * squares(actions)
    contact = a.contact_cost_weight * squares(_forces(now, a))
    facts = {
        "x_velocity": xy_velocity[:, 0].copy(),
        "y_velocity": xy_velocity[:, 1].copy(),
        "reward_forward": forward,
        "reward_ctrl": -control,
        "reward_contact": -contact,
        "reward_survive": alive,
    }
    terminated = ~healthy if a.terminate_when_unhealthy else never(now)
    return Judgment(forward + alive - (control + contact), terminated, facts)


Ant = Row(
    name="Ant",
    model="ant.xml",
    frame_skip=5,
    camera={"distance": 4.0},
    arguments={
        "forward_reward_weight": 1,
        "ctrl_cost_weight": 0.5,
        "contact_cost_weight": 5e-4,
        "healthy_reward": 1.0,
        "main_body": 1,
        "terminate_when_unhealthy": True,
        "healthy_z_range": (0.2, 1.0),
        "contact_force_range": (-1.0, 1.0),
        "reset_noise_scale": 0.1,
        "exclude_current_positions_from_observation": True,
        "include_cfrc_ext_in_observation": True,
    },
    start=normal_start,
    observe=_ant_sees,
    judge=_ant,
    facts=plane_facts,
    position=lambda now, a: now.body(a.main_body)[:, :2].copy(),
    fields=("xpos", "cfrc_ext"),
    contacts=True,
)


def _humanoid_sees(now: Any, a: Any) -> Array:
    first = 2 if a.exclude_current_positions_from_observation else 0
    parts = [now.qpos[:, first:], now.qvel]
    # Gymnasium leaves a part out unless its argument is True itself.
    if a.include_cinert_in_observation is True:
        parts.append(_flat(now.cinert[:, 1:]))
    if a.include_cvel_in_observation is True:
        parts.append(_flat(now.cvel[:, 1:]))
    if a.include_qfrc_actuator_in_observation is True:
        parts.append(now.qfrc_actuator[:, 6:])
    if a.include_cfrc_ext_in_observation is True:
        parts.append(_flat(now.cfrc_ext[:, 1:]))
    return np.concatenate(parts, axis=1)


def _tendons(now: Any) -> Facts:
    return {"tendon_length": now.ten_length.copy(), "tendon_velocity": now.ten_velocity.copy()}


def _mass_center(now: Any, a: Any) -> Array:
    moments = np.add.reduce(now.body_mass[:, None] * now.xipos, axis=1)
    return np.asarray((moments / now.body_mass.sum())[:, 0:2])


def _humanoid(now: Any, a: Any, actions: Array) -> Judgment:
    """Pay healthy_reward + forward_reward_weight * dx/dt of the mass center - costs of control and contacts."""
    xy_velocity = velocity(now, _mass_center(now, a))
    healthy = between(a.healthy_z_range[0], now.qpos[:, 2], a.healthy_z_range[1])
    forward, alive = a.forward_reward_weight * xy_velocity[:, 0], healthy * a.healthy_reward
    control = a.ctrl_cost_weight * squares(now.ctrl)
    contact = np.clip(a.contact_cost_weight * squares(now.cfrc_ext), *a.contact_cost_range)
    facts = {
        "x_velocity": xy_velocity[:, 0].copy(),
        "y_velocity": xy_velocity[:, 1].copy(),
        "reward_survive": alive,
        "reward_forward": forward,
        "reward_ctrl": -control,
        "reward_contact": -contact,
    }
    terminated = ~healthy if a.terminate_when_unhealthy else never(now)
    return Judgment(forward + alive - (control + contact), terminated, facts)


_OBSERVED = {
    "reset_noise_scale": 1e-2,
    "exclude_current_positions_from_observation": True,
    "include_cinert_in_observation": True,
    "include_cvel_in_observation": True,
    "include_qfrc_actuator_in_observation": True,
    "include_cfrc_ext_in_observation": True,
}
_FIELDS = ("ctrl", "cinert", "cvel", "qfrc_actuator", "cfrc_ext", "ten_length", "ten_velocity")

Humanoid = Row(
    name="Humanoid",
    model="humanoid.xml",
    frame_skip=5,
    camera={"trackbodyid": 1, "distance": 4.0, "lookat": np.array((0.0, 0.0, 2.0)), "elevation": -20.0},
    arguments={
        "forward_reward_weight": 1.25,
        "ctrl_cost_weight": 0.1,
        "contact_cost_weight": 5e-7,
        "contact_cost_range": (-np.inf, 10.0),
        "healthy_reward": 5.0,
        "terminate_when_unhealthy": True,
        "healthy_z_range": (1.0, 2.0),
        **_OBSERVED,
    },
    start=uniform_start,
    observe=_humanoid_sees,
    judge=_humanoid,
    facts=lambda now, a: {**plane_facts(now, a), **_tendons(now)},
    position=_mass_center,
    fields=("xipos", *_FIELDS),
    contacts=True,
)


def _stand_up(now: Any, a: Any, actions: Array) -> Judgment:
    """Pay height / timestep - costs of control and impacts + 1."""
    up = (now.qpos[:, 2] - 0) / now.timestep
    control = a.ctrl_cost_weight * squares(now.ctrl)
    impact = np.clip(a.impact_cost_weight * squares(now.cfrc_ext), *a.impact_cost_range)
    facts = {"reward_linup": up, "reward_quadctrl": -control, "reward_impact": -impact}
    return Judgment(up - control - impact + 1, never(now), facts)


def _height(now: Any, a: Any) -> Facts:
    return {
        "x_position": now.qpos[:, 0].copy(),
        "y_position": now.qpos[:, 1].copy(),
        "z_distance_from_origin": now.qpos[:, 2] - now.init_qpos[2],
        **_tendons(now),
    }


HumanoidStandup = Row(
    name="HumanoidStandup",
    model="humanoidstandup.xml",
    frame_skip=5,
    camera={"trackbodyid": 1, "distance": 4.0, "lookat": np.array((0.0, 0.0, 0.8925)), "elevation": -20.0},
    arguments={
        "uph_cost_weight": 1,
        "ctrl_cost_weight": 0.1,
        "impact_cost_weight": 0.5e-6,
        "impact_cost_range": (-np.inf, 10.0),
        **_OBSERVED,
    },
    start=uniform_start,
    observe=_humanoid_sees,
    judge=_stand_up,
    facts=_height,
    fields=_FIELDS,
    contacts=True,
)
