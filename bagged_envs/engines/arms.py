"""Reacher and Pusher: arms paid for small distances.

Source: Gymnasium's v5 tasks, whose documentation gives the formulas.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bagged_envs.engines.row import Array, Judgment, Row
from bagged_envs.engines.terms import lengths, never, squares

RADIUS = 0.2  # Reacher's target lies within
CLEAR = 0.17  # Pusher's object begins farther away from the goal


def _reacher_start(generator: np.random.Generator, now: Any, a: Any) -> tuple[Array, Array]:
    qpos = generator.uniform(low=-0.1, high=0.1, size=now.init_qpos.size) + now.init_qpos
    while True:
        target = generator.uniform(low=-RADIUS, high=RADIUS, size=2)
        if np.linalg.norm(target) < RADIUS:
            break
    qpos[-2:] = target
    qvel = now.init_qvel + generator.uniform(low=-0.005, high=0.005, size=now.init_qvel.size)
    qvel[-2:] = 0
    return qpos, qvel


def _to_target(now: Any) -> Array:
    return np.asarray(now.body("fingertip") - now.body("target"))


def _reacher_sees(now: Any, a: Any) -> Array:
    angles = now.qpos[:, :2].copy()
    parts = (np.cos(angles), np.sin(angles), now.qpos[:, 2:], now.qvel[:, :2], _to_target(now)[:, :2])
    return np.concatenate(parts, axis=1)


def _reach(now: Any, a: Any, actions: Array) -> Judgment:
    """Pay - reward_dist_weight * distance - reward_control_weight * |action|^2."""
    far = -lengths(_to_target(now)) * a.reward_dist_weight
    effort = -squares(actions) * a.reward_control_weight
    return Judgment(far + effort, never(now), {"reward_dist": far, "reward_ctrl": effort})


Reacher = Row(
    name="Reacher",
    model="reacher.xml",
    frame_skip=2,
    camera={"trackbodyid": 0},
    arguments={"reward_dist_weight": 1, "reward_control_weight": 1},
    start=_reacher_start,
    observe=_reacher_sees,
    judge=_reach,
    fields=("xpos",),
)


def _pusher_start(generator: np.random.Generator, now: Any, a: Any) -> tuple[Array, Array]:
    qpos = now.init_qpos.copy()
    while True:
        place = np.concatenate(
            [generator.uniform(low=-0.3, high=0, size=1), generator.uniform(low=-0.2, high=0.2, size=1)]
        )
        if np.linalg.norm(place) > CLEAR:
            break
    qpos[-4:-2], qpos[-2:] = place, 0
    qvel = now.init_qvel + generator.uniform(low=-0.005, high=0.005, size=now.init_qvel.size)
    qvel[-4:] = 0
    return qpos, qvel


def _pusher_sees(now: Any, a: Any) -> Array:
    bodies = [now.body(name) for name in ("tips_arm", "object", "goal")]
    return np.concatenate([now.qpos[:, :7], now.qvel[:, :7], *bodies], axis=1)


def _push(now: Any, a: Any, actions: Array) -> Judgment:
    """Pay - weighted distances of the object from the goal and from the arm - reward_control_weight * |action|^2."""
    near = -lengths(now.body("object") - now.body("tips_arm")) * a.reward_near_weight
    far = -lengths(now.body("object") - now.body("goal")) * a.reward_dist_weight
    effort = -squares(actions) * a.reward_control_weight
    facts = {"reward_dist": far, "reward_ctrl": effort, "reward_near": near}
    return Judgment(far + effort + near, never(now), facts)


Pusher = Row(
    name="Pusher",
    model="pusher_v5.xml",
    frame_skip=5,
    camera={"trackbodyid": -1, "distance": 4.0},
    arguments={"reward_near_weight": 0.5, "reward_dist_weight": 1, "reward_control_weight": 0.1},
    start=_pusher_start,
    observe=_pusher_sees,
    judge=_push,
    fields=("xpos",),
)
