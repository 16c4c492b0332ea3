"""InvertedPendulum and InvertedDoublePendulum: carts that balance poles.

Source: Gymnasium's v5 tasks, whose documentation gives the formulas.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bagged_envs.engines.row import Array, Judgment, Row
from bagged_envs.engines.terms import normal_start, uniform_start


def _everything(now: Any, a: Any) -> Array:
    return np.concatenate((now.qpos, now.qvel), axis=1)


def _balance(now: Any, a: Any, actions: Array) -> Judgment:
    """Pay 1 while the pole's angle is at most 0.2 and everything is finite; the episode terminates otherwise."""
    finite = np.isfinite(now.qpos).all(axis=1) & np.isfinite(now.qvel).all(axis=1)
    terminated = ~finite | (np.abs(now.qpos[:, 1]) > 0.2)
    alive = (~terminated).astype(np.int64)
    return Judgment(alive, terminated, {"reward_survive": alive})


InvertedPendulum = Row(
    name="InvertedPendulum",
    model="inverted_pendulum.xml",
    frame_skip=2,
    camera={"trackbodyid": 0, "distance": 2.04},
    arguments={"reset_noise_scale": 0.01},
    start=uniform_start,
    observe=_everything,
    judge=_balance,
)


def _two_poles(now: Any, a: Any) -> Array:
    angles = now.qpos[:, 1:].copy()
    forces = np.clip(now.qfrc_constraint, -10, 10)[:, :1]
    parts = (now.qpos[:, :1], np.sin(angles), np.cos(angles), np.clip(now.qvel, -10, 10), forces)
    return np.concatenate(parts, axis=1)


def _squared(values: Array) -> Array:
    # One by one: of a number NumPy takes C's pow, which is not always what it gives for an array, a product.
    return np.array([value**2 for value in values])


def _balance_two(now: Any, a: Any, actions: Array) -> Judgment:
    """Pay healthy_reward - 0.01 x^2 - (y - 2)^2 of the tip - 1e-3 v1^2 - 5e-3 v2^2; y <= 1 terminates."""
    x, y = now.site_xpos[:, 0, 0], now.site_xpos[:, 0, 2]
    terminated = y <= 1
    distance = 0.01 * _squared(x) + _squared(y - 2)
    speed = 1e-3 * _squared(now.qvel[:, 1]) + 5e-3 * _squared(now.qvel[:, 2])
    alive = a.healthy_reward * (~terminated).astype(np.int64)
    facts = {"reward_survive": alive, "distance_penalty": -distance, "velocity_penalty": -speed}
    return Judgment(alive - distance - speed, terminated, facts)


InvertedDoublePendulum = Row(
    name="InvertedDoublePendulum",
    model="inverted_double_pendulum.xml",
    frame_skip=5,
    camera=None,
    arguments={"healthy_reward": 10.0, "reset_noise_scale": 0.1},
    start=normal_start,
    observe=_two_poles,
    judge=_balance_two,
    fields=("site_xpos", "qfrc_constraint"),
)
