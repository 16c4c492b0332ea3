"""Triangle Area: three agents span a triangle, the larger the better, without touching the obstacles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Discrete

from bagged_envs.batch import Bools, Floats, Ints
from bagged_envs.particle import drawing, scripted
from bagged_envs.particle.starts import begin, draw_square, given_start
from bagged_envs.particle.world import NUM_ACTIONS, Bodies, World, metadata_of
from bagged_envs.wrappers.arguments import known, positive_int

REWARDS = ("individual", "shared")
# 0.1 times the area is the reward, wherever no obstacle is touched.
REWARD_INFO_KEYS = ("area",)

AGENTS, OBSTACLES = 3, 3
AGENT_RADIUS, OBSTACLE_RADIUS = 0.15, 0.4
STRENGTH = 5.0  # force of an acting agent
AGENT_HALF_WIDTH, OBSTACLE_HALF_WIDTH = 0.2, 1.5  # of the squares in which they start
TOUCH = AGENT_RADIUS + OBSTACLE_RADIUS  # distance below which an agent touches an obstacle
AREA_WEIGHT = 0.1  # reward per area
OBSERVATION_SIZE = 4 + 2 * OBSTACLES + 2 * (AGENTS - 1)
OTHERS = np.array([[1, 2], [0, 2], [0, 1]])  # of each agent


class TriangleArea:
    """Three agents spread out from the middle, around three obstacles.

    Description:
        Agents are discs of radius 0.15 and obstacles discs of radius 0.4, fixed, on an unbounded plane. A step takes
        0.1 of time. All collide softly; agents start so close together that they push each other away at once.

    Observation:
        float32 `(14,)` for each agent: its velocity, its position, the obstacles as seen from it by index, and the
        other two agents as seen from it, the one with the smaller x first (then the smaller y, then the smaller
        index).

    Action:
        0 none, 1 -x, 2 +x, 3 -y, 4 +y.

    Reward:
        "individual": 0.1 times the area of the agents' triangle, minus 1 for each obstacle that the agent touches
        (closer than 0.55). "shared": the sum of these three, to each.

    Episode:
        Never ends by itself; 25 steps are usual. Agents start at rest, uniformly in |x|, |y| < 0.2, obstacles uniformly
        in |x|, |y| < 1.5, overlapping or not. `reset(options={"positions": (6, 2), "velocities": (3, 2)})` starts from
        there, agents first; as much is drawn from the generator as without, so that what follows does not change.

    Arguments:
        num_envs: How many worlds, N.
        reward: "individual" or "shared".
        dynamics: "legacy" as published, or "mpe2".
        contact: "true" as published, or "fork".

    Info:
        "area": of the triangle, float64 `(N,)`.

    Source:
        LaRe (arXiv:2412.11120), thu-rllab/LaRe, simple_area. There every agent is paid what is "shared" here, and the
        return it prints is three times the sum of that. Ours: the area is half a cross product, because the published
        Heron's formula is NaN for some triangles whose corners lie on a line.

    Example:
        >>> batch = TriangleArea()
        >>> batch.reset(np.arange(1), [np.random.default_rng(0)])
        >>> rewards, ended = batch.step(np.array([[1, 2, 4]]))
        >>> rewards.shape, batch.observe().shape, batch.info()["area"].shape
        ((1, 3), (1, 3, 14), (1,))
    """

    metadata = metadata_of("triangle_area")
    policies = {"random": scripted.random, "still": scripted.still}

    def __init__(
        self, num_envs: int = 1, reward: str = "individual", dynamics: str = "legacy", contact: str = "true"
    ) -> None:
        self.num_envs = positive_int("num_envs", num_envs)
        self._shared = known("reward", reward, REWARDS) == "shared"
        self.agents = tuple(f"agent_{i}" for i in range(AGENTS))
        self.teams = {"agents": self.agents}
        self.observation_space = Box(-np.inf, np.inf, (OBSERVATION_SIZE,), np.float32)
        self.action_space = Discrete(NUM_ACTIONS)
        self._world = World(num_envs, _bodies(), dynamics, contact)

    def reset(
        self, slots: Ints, generators: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> None:
        """Begin an episode in the worlds `slots`."""
        given = given_start(options, self._world, len(slots))
        widths = np.repeat([AGENT_HALF_WIDTH, OBSTACLE_HALF_WIDTH], (AGENTS, OBSTACLES))[:, None]
        begin(self._world, slots, widths * draw_square(generators, AGENTS + OBSTACLES), given)

    def step(self, actions: Ints) -> tuple[Floats, Bools]:
        """Make one step in every world."""
        self._world.step(actions)
        touches = np.add.reduce(self._world.distances[:, :, AGENTS:] < TOUCH, axis=-1)
        rewards = AREA_WEIGHT * self._areas()[:, None] - touches
        if self._shared:
            rewards = np.repeat(rewards.sum(axis=-1, keepdims=True), AGENTS, axis=1)
        return rewards, np.zeros(self.num_envs, dtype=np.bool_)

    def _areas(self) -> Floats:
        """Return half the cross product of two sides, `(N,)`."""
        sides = self._world.offsets[:, 0, 1:AGENTS]
        areas: Floats = 0.5 * np.abs(sides[:, 0].real * sides[:, 1].imag - sides[:, 0].imag * sides[:, 1].real)
        return areas

    def observe(self) -> npt.NDArray[Any]:
        """Return what each agent observes, `(N, 3, 14)`."""
        world = self._world
        others = world.offsets[:, np.arange(AGENTS)[:, None], OTHERS]  # (N, 3, 2)
        observations = np.empty((self.num_envs, AGENTS, OBSERVATION_SIZE // 2), dtype=np.complex64)  # x + iy
        observations[:, :, 0] = world.velocities.view(np.complex128)[:, :, 0]
        observations[:, :, 1] = world.positions.view(np.complex128)[:, :AGENTS, 0]
        observations[:, :, 2 : 2 + OBSTACLES] = world.offsets[:, :, AGENTS:]
        observations[:, :, 2 + OBSTACLES :] = np.sort(others, axis=-1)  # complex numbers sort by x, then y
        return observations.view(np.float32)

    def info(self) -> dict[str, npt.NDArray[Any]]:
        """Return each triangle's area."""
        return {"area": self._areas()}

    def render(self, slot: int, mode: str) -> npt.NDArray[np.uint8]:
        """Return a picture of one world."""
        positions = self._world.positions[slot]
        picture = drawing.draw(mode, positions, self._world.bodies.radius, OBSTACLE_HALF_WIDTH)
        picture.discs(positions[AGENTS:], OBSTACLE_RADIUS, drawing.OBSTACLE)
        picture.triangle(positions[:AGENTS], drawing.TRIANGLE)
        picture.discs(positions[:AGENTS], AGENT_RADIUS, drawing.AGENT)
        return picture.pixels()


def _bodies() -> Bodies:
    return Bodies(
        radius=np.repeat([AGENT_RADIUS, OBSTACLE_RADIUS], (AGENTS, OBSTACLES)),
        collides=np.ones(AGENTS + OBSTACLES, dtype=np.bool_),
        strength=np.full(AGENTS, STRENGTH),
        max_speed=np.full(AGENTS, np.inf),
    )
