"""What the elements of an agent's observation are, in words."""

from __future__ import annotations

from typing import TypeAlias

from bagged_envs.particle.navigation import SEEN_AGENTS, SEEN_LANDMARKS, CooperativeNavigation
from bagged_envs.particle.predator_prey import CompetitivePredatorPrey, PredatorPrey
from bagged_envs.particle.triangle_area import OBSTACLES, TriangleArea

ParticleBatch: TypeAlias = CooperativeNavigation | PredatorPrey | CompetitivePredatorPrey | TriangleArea

ACTIONS = ("nothing", "push towards -x", "push towards +x", "push towards -y", "push towards +y")
ORDINALS = {2: "2nd", 3: "3rd"}
OWN = ("velocity of the agent", "position of the agent")


def layout(batch: ParticleBatch) -> tuple[str, ...]:
    """Return what each element of one agent's observation is, in their order.

    Example:
        >>> layout(TriangleArea())[2:5]
        ('position of the agent, x', 'position of the agent, y', 'offset to obstacle 1, x')
    """
    return tuple(f"{vector}, {axis}" for vector in (*OWN, *_others(batch)) for axis in "xy")


def _others(batch: ParticleBatch) -> list[str]:
    if isinstance(batch, CooperativeNavigation):
        landmarks = _offsets("landmark", SEEN_LANDMARKS, batch.num_agents)
        return landmarks + _offsets("other agent", SEEN_AGENTS, batch.num_agents - 1)
    if isinstance(batch, TriangleArea):
        obstacles = [f"offset to obstacle {number}" for number in range(1, OBSTACLES + 1)]
        return [*obstacles, "offset to the other agent further left", "offset to the other agent further right"]
    if isinstance(batch, CompetitivePredatorPrey):  # predators and prey see alike
        return _hunt(batch.setting.seen, "predator but the agent itself", "prey but the agent itself")
    return _hunt(batch.setting.seen, "other predator", "prey")


def _hunt(seen: tuple[int, int, int], predator: str, prey: str) -> list[str]:
    counts = zip(("obstacle", predator, prey), seen, strict=True)
    offsets = [meaning for what, count in counts for meaning in _offsets(what, count, count)]
    return offsets + [f"velocity of the {_nearest(rank)} {prey}" for rank in range(1, seen[-1] + 1)]


def _offsets(what: str, count: int, existing: int) -> list[str]:
    """Return the meanings of offsets to the `count` nearest, of which `existing` exist."""
    return [
        f"offset to the {_nearest(rank)} {what}" + ("" if rank <= existing else " (0: there are not so many)")
        for rank in range(1, count + 1)
    ]


def _nearest(rank: int) -> str:
    return "nearest" if rank == 1 else f"{ORDINALS.get(rank, f'{rank}th')} nearest"
