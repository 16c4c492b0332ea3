"""The particle world: discs on a plane that push themselves and each other, many worlds stepped together.

Units are the world's own: lengths and times without a name, every mass 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bagged_envs.batch import Bools, Floats, Ints
from bagged_envs.wrappers.arguments import known, positive_int

Points: TypeAlias = npt.NDArray[np.complex128]

DYNAMICS = ("mpe2", "legacy")
CONTACTS = ("true", "fork")
NUM_ACTIONS = 5

TIME_STEP = 0.1  # time that one step takes
DAMPING = 0.25  # fraction of the velocity that a step takes away
CONTACT_FORCE = 100.0  # force per length that two discs overlap
CONTACT_MARGIN = 1e-3  # length over which a contact softens
# A contact ends here: beyond 745.2 margins the soft overlap is 0.0 in float64, not just small.
CONTACT_REACH = 0.75
# Stands in for a distance of zero, whose direction nobody knows: the force is then zero instead of NaN.
NO_DISTANCE = 1e-150
DIRECTIONS = np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]], dtype=np.float64)  # none, -x, +x, -y, +y


@dataclass(frozen=True)
class Bodies:
    """The E bodies of one world: A agents, who move, then landmarks or obstacles, which stay.

    Attributes:
        radius: `(E,)`.
        collides: Whether a body is pushed by, and pushes, others that collide; `(E,)`.
        strength: Each agent's force when it acts; `(A,)`.
        max_speed: Each agent's; infinite where there is none; `(A,)`.
    """

    radius: Floats
    collides: Bools
    strength: Floats
    max_speed: Floats


class World:
    """N copies of one world: positions, velocities, distances, and the step that moves them.

    Args:
        num_worlds: N.
        bodies: What stands and moves in each.
        dynamics: "mpe2" moves an agent by its old velocity and then changes the velocity, as mpe2 and pettingzoo from
            1.23 on; "legacy" changes the velocity first, as the particle worlds before did.
        contact: "true" lets two bodies push each other from the sum of their radii on; "fork" from twice the first
            agent's radius on, whatever the two bodies are, as the vectorized cores of AREL, STAS and LaRe do.

    Attributes:
        positions: float64 `(N, E, 2)`, agents first.
        velocities: float64 `(N, A, 2)`.
        offsets: From each agent to each body, as complex numbers x + iy; `(N, A, E)`.
        distances: Of those; infinite from an agent to itself.
        near: Flat indices into `distances`, ascending, of the pairs close enough to push each other.
        near_distances: Theirs.

    Two bodies at distance zero do not push each other. With "true" a step has the bits of mpe2's, sums included: the
    agent's own force first, then the others' by ascending index. With "fork" the others' are summed first and the
    agent's own is added last, as there.

    Source:
        Lowe et al. 2017 (arXiv:1706.02275) and Mordatch and Abbeel 2018 (arXiv:1703.04908); mpe2 1.1.1. Ours differ at
        distance zero only, where theirs divide by zero.

    Example:
        >>> bodies = Bodies(np.array([0.15]), np.array([True]), np.array([5.0]), np.array([np.inf]))
        >>> world = World(1, bodies, dynamics="legacy")
        >>> world.step(np.array([[2]]))
        >>> world.velocities.tolist(), world.positions.round(6).tolist()
        ([[[0.5, 0.0]]], [[[0.05, 0.0]]])
    """

    def __init__(self, num_worlds: int, bodies: Bodies, dynamics: str = "mpe2", contact: str = "true") -> None:
        self.num_worlds = positive_int("num_envs", num_worlds)
        self.bodies = bodies
        self._moves_first = known("dynamics", dynamics, DYNAMICS) == "mpe2"
        self._sums_contacts_first = known("contact", contact, CONTACTS) == "fork"
        self.num_agents, self.num_bodies = agents, count = len(bodies.strength), len(bodies.radius)

        self.positions = np.zeros((num_worlds, count, 2))
        self.velocities = np.zeros((num_worlds, agents, 2))
        self.offsets: Points = np.zeros((num_worlds, agents, count), dtype=np.complex128)
        self.distances = np.zeros((num_worlds, agents, count))
        self._squares = np.zeros((num_worlds, agents, count, 2))

        contacts = _contact_distances(bodies, agents, contact)  # (A, E)
        self._reach = contacts + CONTACT_REACH
        self._contacts = np.broadcast_to(contacts, self.distances.shape).ravel()
        pushes: Points = (DIRECTIONS * bodies.strength[:, None, None]).view(np.complex128)  # (A, 5, 1)
        self._pushes = pushes.ravel()
        self._first_push = np.arange(agents) * NUM_ACTIONS
        self._max_speed = bodies.max_speed if np.isfinite(bodies.max_speed).any() else None
        self._share_memory()
        self._measure()

    def _share_memory(self) -> None:
        """Look at our arrays in other shapes."""
        self._points: Points = self.positions.view(np.complex128)[:, :, 0]  # (N, E)
        self._own = self.distances.reshape(self.num_worlds, -1)[:, :: self.num_bodies + 1]  # (N, A): to itself

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_points", "_own")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Become a copy, whose views are views of its own arrays."""
        self.__dict__.update(state)
        self._share_memory()

    def place(self, worlds: Ints, positions: Floats, velocities: Floats) -> None:
        """Put the bodies of some worlds somewhere.

        Args:
            worlds: Their indices, `(K,)`.
            positions: `(K, E, 2)`.
            velocities: `(K, A, 2)`.
        """
        self.positions[worlds], self.velocities[worlds] = positions, velocities
        if len(worlds) == self.num_worlds:
            self._measure()
        else:
            self._measure_some(worlds)

    def step(self, actions: Ints) -> None:
        """Let TIME_STEP pass.

        Args:
            actions: One of 0 none, 1 -x, 2 +x, 3 -y, 4 +y for each agent, `(N, A)`.
        """
        force = self._forces(self._pushes.take(actions + self._first_push))
        positions, velocities = self.positions[:, : self.num_agents], self.velocities
        if self._moves_first:
            positions += velocities * TIME_STEP
        velocities *= 1.0 - DAMPING
        force *= TIME_STEP
        velocities += force
        if self._max_speed is not None:
            self._limit(velocities, self._max_speed)
        if not self._moves_first:
            positions += velocities * TIME_STEP
        self._measure()

    def _forces(self, pushes: Points) -> Floats:
        """Return the force on each agent, `(N, A, 2)`, given its own push, complex `(N, A)`.

        The indices of `near` ascend, and `np.add.at` adds in their order: by ascending index of the other body.
        """
        if self.near.size:
            total = np.zeros_like(pushes) if self._sums_contacts_first else pushes
            np.add.at(total.reshape(-1), self.near // self.num_bodies, self._contact_forces())
            if self._sums_contacts_first:
                pushes += total
        return pushes.view(np.float64).reshape(self.velocities.shape)

    def _contact_forces(self) -> Points:
        """Return what each pair of `near` does to its first body: away from the second, by the depth they overlap.

        The depth is soft: CONTACT_MARGIN * log(1 + exp(overlap / CONTACT_MARGIN)).
        """
        distances = np.maximum(self.near_distances, NO_DISTANCE)
        depths = np.logaddexp(0.0, (distances - self._contacts.take(self.near)) / -CONTACT_MARGIN)
        depths *= CONTACT_MARGIN
        forces: Points = self.offsets.take(self.near)
        parts = forces.view(np.float64).reshape(-1, 2)
        parts *= -CONTACT_FORCE
        parts /= distances[:, None]
        parts *= depths[:, None]
        return forces

    @staticmethod
    def _limit(velocities: Floats, max_speed: Floats) -> None:
        speeds = speeds_of(velocities)
        fast = np.nonzero(speeds > max_speed)
        if fast[0].size:
            velocities[fast] = velocities[fast] / speeds[fast][:, None] * max_speed[fast[1], None]

    def _measure(self) -> None:
        """Compute `offsets`, `distances` and `near` from `positions`."""
        np.subtract(self._points[:, None, :], self._points[:, : self.num_agents, None], out=self.offsets)
        parts = self.offsets.view(np.float64).reshape(self._squares.shape)
        np.multiply(parts, parts, out=self._squares)
        np.add(self._squares[..., 0], self._squares[..., 1], out=self.distances)
        np.sqrt(self.distances, out=self.distances)
        self._own[...] = np.inf
        self._find_near()

    def _measure_some(self, worlds: Ints) -> None:
        """Do as `_measure`, for the worlds `worlds` alone: their numbers are the same."""
        points = self._points[worlds]
        offsets = points[:, None, :] - points[:, : self.num_agents, None]
        self.offsets[worlds] = offsets
        self.distances[worlds] = speeds_of(offsets.view(np.float64).reshape(*offsets.shape, 2))
        self._own[...] = np.inf
        self._find_near()

    def _find_near(self) -> None:
        self.near = (self.distances < self._reach).ravel().nonzero()[0]
        self.near_distances = self.distances.take(self.near)


def metadata_of(name: str) -> dict[str, Any]:
    """Return what PettingZoo calls the metadata of a task on this world."""
    return {"name": name, "render_modes": ["rgb_array"], "render_fps": round(1 / TIME_STEP)}


def speeds_of(vectors: Floats) -> Floats:
    """Return the lengths of vectors `(..., 2)`, rounded as a square root of a sum of squares (`np.hypot` is not)."""
    squares = vectors * vectors
    lengths: Floats = np.sqrt(squares[..., 0] + squares[..., 1])
    return lengths


def _contact_distances(bodies: Bodies, agents: int, contact: str) -> Floats:
    """Return from which distance on each agent and each body push each other, `(A, E)`: -inf where they never do."""
    if contact == "fork":
        distances = np.full((agents, len(bodies.radius)), 2.0 * bodies.radius[0])
    else:
        distances = bodies.radius[:agents, None] + bodies.radius
    both = bodies.collides[:agents, None] & bodies.collides
    return np.where(both, distances, -np.inf)
