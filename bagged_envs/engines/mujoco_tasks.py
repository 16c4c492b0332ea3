"""Gymnasium's MuJoCo tasks as batches: what the table of tasks names."""

from __future__ import annotations

from functools import partial

from bagged_envs.engines import arms, legged, pendulums, runners
from bagged_envs.engines.mujoco_batch import MujocoBatch

Ant = partial(MujocoBatch, legged.Ant)
HalfCheetah = partial(MujocoBatch, runners.HalfCheetah)
Hopper = partial(MujocoBatch, runners.Hopper)
Humanoid = partial(MujocoBatch, legged.Humanoid)
HumanoidStandup = partial(MujocoBatch, legged.HumanoidStandup)
InvertedDoublePendulum = partial(MujocoBatch, pendulums.InvertedDoublePendulum)
InvertedPendulum = partial(MujocoBatch, pendulums.InvertedPendulum)
Pusher = partial(MujocoBatch, arms.Pusher)
Reacher = partial(MujocoBatch, arms.Reacher)
Swimmer = partial(MujocoBatch, runners.Swimmer)
Walker2d = partial(MujocoBatch, runners.Walker2d)
