"""Do late rewards add up? A delayed Walker2d and its dense twin, same seed and actions, bag by bag."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from rich import box
from rich.markup import escape
from rich.table import Table

import bagged_envs
from bagged_envs.describe import resolved_id

SCHEDULES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("BaggedWalker2d-v0", {"bag_len": 20}),
    ("BaggedWalker2d-v0", {"bag_len": (5, 15)}),
    ("EpisodicWalker2d-v0", {}),
)


@dataclass(frozen=True)
class Row:
    """What some episodes of one schedule paid, and what the twin's dense rewards add up to.

    Attributes:
        environment: The ID with its schedule.
        episodes: How many episodes.
        steps: Steps in them.
        bags: Bags in them.
        paid: Sum of what was paid.
        dense: Sum of the dense rewards, each bag's in step order.
        difference: The largest difference, over all bags, between what was paid and the bag's dense rewards.
    """

    environment: str
    episodes: int
    steps: int
    bags: int
    paid: float
    dense: float
    difference: float


def compare(episodes: int) -> list[Row]:
    """Play every schedule beside its dense twin."""
    return [_compare(id, arguments, episodes) for id, arguments in SCHEDULES]


def _compare(id: str, arguments: dict[str, Any], episodes: int) -> Row:
    steps = 0
    paid: list[float] = []
    dense: list[float] = []
    with gym.make(id, **arguments) as env, bagged_envs.dense(id) as twin:
        env.action_space.seed(0)
        for seed in range(episodes):
            payments, sums, length = _episode(env, twin, seed)
            steps, paid, dense = steps + length, paid + payments, dense + sums
    difference = max(abs(one - other) for one, other in zip(paid, dense, strict=True))
    return Row(resolved_id(id, arguments), episodes, steps, len(paid), math.fsum(paid), math.fsum(dense), difference)


def _episode(env: gym.Env[Any, Any], twin: gym.Env[Any, Any], seed: int) -> tuple[list[float], list[float], int]:
    """Return what each bag paid, the sum of its dense rewards in step order, and the number of steps."""
    env.reset(seed=seed)
    twin.reset(seed=seed)
    paid, sums, steps, open_sum, over = [], [], 0, 0.0, False
    while not over:
        action = env.action_space.sample()
        _, payment, terminated, truncated, info = env.step(action)
        open_sum += float(twin.step(action)[1])
        over, steps = terminated or truncated, steps + 1
        if info["bag_end"]:
            paid.append(float(payment))
            sums.append(open_sum)
            open_sum = 0.0
    return paid, sums, steps


def table(rows: Sequence[Row]) -> Table:
    """Return the rows as a table for the terminal."""
    title = f"{rows[0].episodes} episodes of random actions beside the dense twin"
    shown = Table(box=box.SIMPLE_HEAD, title=title, highlight=False)
    shown.add_column("environment", no_wrap=True)
    for name in ("bags", "paid", "dense", "difference"):
        shown.add_column(name, justify="right")
    for row in rows:
        sums = (f"{row.paid:.4f}", f"{row.dense:.4f}", str(row.difference))
        shown.add_row(escape(row.environment), str(row.bags), *sums)
    return shown
