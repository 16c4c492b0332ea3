"""Cooperative Navigation: as many agents as landmarks, each landmark wants an agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Discrete

from bagged_envs.batch import Bools, Floats, Ints
from bagged_envs.particle import drawing, scripted
from bagged_envs.particle.nearest import nearest
from bagged_envs.particle.starts import begin, draw_square, given_start
from bagged_envs.particle.world import NUM_ACTIONS, Bodies, World, metadata_of
from bagged_envs.wrappers.arguments import known, positive_int

REWARDS = ("individual", "shared")
# It says how many landmarks have an agent, and so bounds the distance terms of the reward.
REWARD_INFO_KEYS = ("covered",)

FEWEST, MOST = 3, 30  # agents
AGENT_RADIUS = 0.15
LANDMARK_RADIUS = 0.05  # only drawn: landmarks push nobody
STRENGTH = 5.0  # force of an acting agent
COLLISION = 2 * AGENT_RADIUS  # distance below which two agents are punished
LANDMARK_SPACING = 0.675  # least distance between two landmarks
# A landmark counts as covered when its center is under an agent. Landmarks are so far apart that no agent covers two.
COVER_DISTANCE = AGENT_RADIUS
# The square in which all start has the half-widths 1.5, 2.2, 3.0 for 6, 15, 30 agents. Its area is linear in between,
# and has the density of 6 agents below.
PUBLISHED_AGENTS, PUBLISHED_HALF_WIDTHS = (6, 15, 30), (1.5, 2.2, 3.0)
SEEN_LANDMARKS, SEEN_AGENTS = 6, 5
OBSERVATION_SIZE = 4 + 2 * SEEN_LANDMARKS + 2 * SEEN_AGENTS
DARTS_PER_LANDMARK = 3  # thrown at once; a world for which they do not suffice throws as many again


class CooperativeNavigation:
    """A agents spread over A landmarks without bumping into each other.

    Description:
        Agents are discs of radius 0.15 on an unbounded plane. A step takes 0.1 of time. They collide softly; landmarks
        are places and stop nobody.

    Observation:
        float32 `(26,)` for each agent: its velocity, its position, the 6 nearest landmarks and then the 5 nearest other
        agents as seen from it, each group nearest first and, at equal distances, by index. Zeros where there are fewer.

    Action:
        0 none, 1 -x, 2 +x, 3 -y, 4 +y.

    Reward:
        "individual": minus the agent's distance to its nearest landmark, minus 1 for each other agent closer than 0.3.
        "shared", the same for all: minus every landmark's distance to its nearest agent, minus 1 for each agent of each
        pair closer than 0.3.

    Episode:
        Never ends by itself; 25 steps are usual. Agents start at rest, uniformly in the square |x|, |y| < w; landmarks
        uniformly there under the condition that no two are closer than 0.675. w is 1.5, 2.2, 3.0 for 6, 15, 30 agents.
        `reset(options={"positions": (2A, 2), "velocities": (A, 2)})` starts from there, agents first; as much is drawn
        from the generator as without, so that what follows does not change.

    Arguments:
        num_envs: How many worlds, N.
        num_agents: A, 3 to 30.
        reward: "individual" or "shared".
        dynamics: "legacy" as published, or "mpe2".
        contact: "true" or "fork". All agents are equally large: the two differ in the last bits only.

    Info:
        "covered": the fraction of landmarks whose center is under an agent (closer than 0.15), float64 `(N,)`.

    Source:
        "individual": LaRe (arXiv:2412.11120), thu-rllab/LaRe, simple_spread_n6, n15 and n30 "_noshare". "shared":
        AREL and STAS, simple_spread n3, n15, n30 (their n6 differs). Ours: the number of agents is free, with a square
        whose area is linear in it between these three, and has the density of 6 agents below; AREL and STAS choose
        neighbors by a wrong distance for 15 and 30; landmarks are thrown one by one and not chosen from a full
        Poisson-disc sample, and follow the seed, which theirs do not.

    Example:
        >>> batch = CooperativeNavigation(num_envs=2, num_agents=3)
        >>> batch.reset(np.arange(2), [np.random.default_rng(seed) for seed in (0, 1)])
        >>> rewards, ended = batch.step(np.zeros((2, 3), dtype=np.int64))
        >>> rewards.shape, batch.observe().shape, batch.info()["covered"].shape
        ((2, 3), (2, 3, 26), (2,))
    """

    metadata = metadata_of("cooperative_navigation")
    policies = {"random": scripted.random, "still": scripted.still}

    def __init__(
        self,
        num_envs: int = 1,
        num_agents: int = 6,
        reward: str = "individual",
        dynamics: str = "legacy",
        contact: str = "true",
    ) -> None:
        self.num_envs = positive_int("num_envs", num_envs)
        self.num_agents = count = _number_of_agents(num_agents)
        self._shared = known("reward", reward, REWARDS) == "shared"
        self.half_width = half_width(count)
        self.agents = tuple(f"agent_{i}" for i in range(count))
        self.teams = {"agents": self.agents}
        self.observation_space = Box(-np.inf, np.inf, (OBSERVATION_SIZE,), np.float32)
        self.action_space = Discrete(NUM_ACTIONS)
        self._world = World(num_envs, _bodies(count), dynamics, contact)
        self._never = np.zeros(num_envs, dtype=np.bool_)
        # Distances have two rows for each agent, of the others and of the landmarks. We show landmarks first.
        self._group_starts = np.arange(num_envs * count * 2).reshape(num_envs, count, 2, 1)[:, :, ::-1] * count
        self._landmark_starts = self._group_starts[:, :, 0, 0]

    def reset(
        self, slots: Ints, generators: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> None:
        """Begin an episode in the worlds `slots`."""
        given = given_start(options, self._world, len(slots))
        begin(self._world, slots, draw_positions(generators, self.num_agents, self.half_width), given)

    def step(self, actions: Ints) -> tuple[Floats, Bools]:
        """Make one step in every world."""
        self._world.step(actions)
        return self._shared_rewards() if self._shared else self._individual_rewards(), self._never.copy()

    def _individual_rewards(self) -> Floats:
        closest = self._world.distances[:, :, self.num_agents :].argmin(axis=-1)
        closest += self._landmark_starts
        rewards: Floats = self._world.distances.take(closest)
        return -rewards - self._collisions()

    def _shared_rewards(self) -> Floats:
        uncovered = self._world.distances[:, :, self.num_agents :].min(axis=1).sum(axis=-1)
        rewards = -uncovered - self._collisions().sum(axis=-1)
        return np.repeat(rewards[:, None], self.num_agents, axis=1)

    def _collisions(self) -> Ints:
        """Return how many others each agent bumps into, `(N, A)`."""
        world = self._world
        bumps = world.near[world.near_distances < COLLISION]
        return np.bincount(bumps // world.num_bodies, minlength=self.num_envs * self.num_agents).reshape(
            self.num_envs, -1
        )

    def observe(self) -> npt.NDArray[Any]:
        """Return what each agent observes, `(N, A, 26)`."""
        world, count = self._world, self.num_agents
        groups = world.distances.reshape(self.num_envs, count, 2, count)
        order = nearest(groups, min(count, SEEN_LANDMARKS))[:, :, ::-1] + self._group_starts
        seen = world.offsets.take(order)  # (N, A, 2, up to 6), landmarks and then agents
        # In complex numbers, x + iy. Few agents see themselves last, at offset 0: padding as it should be.
        observations = np.zeros((self.num_envs, count, OBSERVATION_SIZE // 2), dtype=np.complex64)
        observations[:, :, 0] = world.velocities.view(np.complex128)[:, :, 0]
        observations[:, :, 1] = world.positions.view(np.complex128)[:, :count, 0]
        if count >= SEEN_LANDMARKS:
            observations[:, :, 2:] = seen.reshape(self.num_envs, count, -1)[:, :, :-1]
        else:
            observations[:, :, 2 : 2 + count] = seen[:, :, 0]
            observations[:, :, 2 + SEEN_LANDMARKS : 2 + SEEN_LANDMARKS + count] = seen[:, :, 1]
        return observations.view(np.float32)

    def info(self) -> dict[str, npt.NDArray[Any]]:
        """Return the fraction of landmarks covered in each world."""
        covered = np.logical_or.reduce(self._world.distances[:, :, self.num_agents :] < COVER_DISTANCE, axis=1)
        return {"covered": np.add.reduce(covered, axis=-1, dtype=np.float64) / self.num_agents}

    def render(self, slot: int, mode: str) -> npt.NDArray[np.uint8]:
        """Return a picture of one world."""
        positions, count = self._world.positions[slot], self.num_agents
        picture = drawing.draw(mode, positions, self._world.bodies.radius, self.half_width)
        picture.rings(positions[count:], COVER_DISTANCE, drawing.OBSTACLE)
        picture.discs(positions[:count], AGENT_RADIUS, drawing.AGENT)
        picture.discs(positions[count:], LANDMARK_RADIUS, drawing.LANDMARK)
        return picture.pixels()


def half_width(num_agents: int) -> float:
    """Return w, the half-width of the square in which everything starts.

    Example:
        >>> [round(half_width(count), 3) for count in (3, 6, 10, 15, 30)]
        [1.061, 1.5, 1.844, 2.2, 3.0]
    """
    if num_agents in PUBLISHED_AGENTS:
        return PUBLISHED_HALF_WIDTHS[PUBLISHED_AGENTS.index(num_agents)]
    areas = [0.0, *(width**2 for width in PUBLISHED_HALF_WIDTHS)]
    return float(np.sqrt(np.interp(num_agents, (0, *PUBLISHED_AGENTS), areas)))


def draw_positions(generators: Sequence[np.random.Generator], count: int, width: float) -> Floats:
    """Draw `count` agents and as many landmarks from each generator: `(K, 2 * count, 2)`, agents first.

    Landmarks are darts thrown one after the other: a dart counts if it is far enough from those that counted before.
    """
    rows = count + count * DARTS_PER_LANDMARK
    drawn = width * draw_square(generators, rows)
    counts = far_apart(drawn[:, count:], LANDMARK_SPACING)
    chosen = np.argsort(~counts, axis=1, kind="stable")[:, :count] + count
    positions = np.empty((len(drawn), 2 * count, 2))
    positions[:, :count] = drawn[:, :count]
    positions[:, count:] = drawn[np.arange(len(drawn))[:, None], chosen]
    for k in np.flatnonzero(counts.sum(axis=1) < count).tolist():
        positions[k, count:] = _throw_on(drawn[k, count:], generators[k], count, width)
    return positions


def _throw_on(darts: Floats, generator: np.random.Generator, count: int, width: float) -> Floats:
    """Throw until `count` darts count, `darts` being the first of them; return those that do."""
    while True:
        more = width * draw_square([generator], count * DARTS_PER_LANDMARK)[0]
        darts = np.concatenate([darts, more])
        counts = far_apart(darts[None], LANDMARK_SPACING)[0]
        if counts.sum() >= count:
            landmarks: Floats = darts[counts][:count]
            return landmarks


def far_apart(darts: Floats, spacing: float) -> Bools:
    """Return which darts count: those at least `spacing` away from all earlier ones that count.

    Args:
        darts: `(K, C, 2)`, in the order they were thrown.
        spacing: The least distance.

    Returns:
        `(K, C)`.

    Example:
        >>> far_apart(np.array([[[0.0, 0.0], [0.5, 0.0], [1.2, 0.0], [0.9, 0.0]]]), 0.6).tolist()
        [[True, False, True, False]]
    """
    x, y = np.ascontiguousarray(darts.T)  # (C, K) each
    close = (x[:, None] - x) ** 2 + (y[:, None] - y) ** 2 < spacing**2  # (C, C, K)
    close[np.diag_indices(len(x))] = False
    out = np.zeros(x.shape, dtype=np.bool_)
    for row, excluded in zip(close, out, strict=True):
        out |= row > excluded  # close to this dart, if this one is not out itself
    return np.ascontiguousarray(~out.T)


def _number_of_agents(value: object) -> int:
    count = positive_int("num_agents", value)
    if not FEWEST <= count <= MOST:
        raise ValueError(f"num_agents must be from {FEWEST} to {MOST}, got {count}: choose 6, 15 or 30, as published.")
    return count


def _bodies(count: int) -> Bodies:
    return Bodies(
        radius=np.repeat([AGENT_RADIUS, LANDMARK_RADIUS], count),
        collides=np.repeat([True, False], count),
        strength=np.full(count, STRENGTH),
        max_speed=np.full(count, np.inf),
    )
