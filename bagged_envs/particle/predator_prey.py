"""Predator-prey: slow predators hunt fast prey around obstacles; the prey is scripted, or learns too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Discrete

from bagged_envs.batch import Bools, Floats, Ints
from bagged_envs.particle import drawing, scripted
from bagged_envs.particle.nearest import nearest
from bagged_envs.particle.prey import Sight, any_action, chase, flee, mostly, moves, no_action
from bagged_envs.particle.starts import begin, draw_square, given_start
from bagged_envs.particle.world import NUM_ACTIONS, Bodies, World, metadata_of
from bagged_envs.streams import draw_keys, uniform
from bagged_envs.wrappers.arguments import known, positive_int

PreyPolicy: TypeAlias = Callable[[Sight], Any]

REWARDS = ("individual", "shared")
PREY = ("flee", "random", "static")
# 10 times "captures" is a term of the reward, and "caught" tells when the first of them came.
REWARD_INFO_KEYS = ("captures", "caught")

PREDATOR_STRENGTH, PREDATOR_MAX_SPEED = 3.0, 1.0
PREY_STRENGTH, PREY_MAX_SPEED = 4.0, 1.3
CAPTURE_REWARD = 10.0  # for each touch in each step
DISTANCE_WEIGHT = 0.1  # reward per distance
OBSTACLE_INSET = 0.1  # obstacles start in a square whose half-width is smaller by this


@dataclass(frozen=True)
class Setting:
    """What is in one world, and how much of it is seen.

    Attributes:
        predators: How many.
        prey: How many.
        obstacles: How many.
        predator_radius: Of each.
        prey_radius: Of each.
        obstacle_radius: Of each.
        half_width: Of the square in which predators and prey start.
        seen: How many obstacles, other predators and (other) prey an agent sees.
    """

    predators: int
    prey: int
    obstacles: int
    predator_radius: float
    prey_radius: float
    obstacle_radius: float
    half_width: float
    seen: tuple[int, int, int]


SETTINGS = {
    6: Setting(6, 2, 3, 0.075, 0.05, 0.2, 1.5, seen=(3, 5, 2)),
    15: Setting(15, 5, 5, 0.02, 0.01, 0.1, 1.0, seen=(3, 6, 3)),
    30: Setting(30, 10, 10, 0.01, 0.005, 0.05, 1.0, seen=(5, 6, 5)),
}
COMPETITIVE = Setting(6, 2, 3, 0.075, 0.05, 0.2, 1.5, seen=(3, 5, 1))


class Hunt:
    """N worlds of predators, prey and obstacles, in this order: what both tasks below are made of.

    Args:
        num_envs: N.
        setting: P predators, Q prey, M obstacles.
        dynamics: As in `World`.
        contact: As in `World`. It says when bodies push each other; a touch always goes by true radii.
    """

    def __init__(self, num_envs: int, setting: Setting, dynamics: str, contact: str) -> None:
        self.setting = setting
        self.world = World(num_envs, _bodies(setting), dynamics, contact)
        hunters, movers = setting.predators, setting.predators + setting.prey
        self.predators, self.prey = slice(0, hunters), slice(hunters, movers)
        self.obstacles = slice(movers, movers + setting.obstacles)
        self._caught = np.zeros((num_envs, setting.prey), dtype=np.bool_)
        self._row_starts = np.arange(num_envs * movers).reshape(num_envs, movers, 1) * self.world.num_bodies
        self._world_starts = np.arange(num_envs).reshape(num_envs, 1, 1) * movers

    def reset(self, slots: Ints, generators: Sequence[np.random.Generator], options: Mapping[str, Any] | None) -> None:
        """Begin an episode in the worlds `slots`."""
        given = given_start(options, self.world, len(slots))
        count, width = self.world.num_bodies, self.setting.half_width
        widths = np.full((count, 1), width)
        widths[self.obstacles] = width - OBSTACLE_INSET
        begin(self.world, slots, widths * draw_square(generators, count), given)
        self._caught[slots] = False

    def step(self, actions: Ints) -> Bools:
        """Make one step; return which predator now touches which prey, `(N, P, Q)`."""
        self.world.step(actions)
        touches = self.touches()
        self._caught |= touches.any(axis=1)
        return touches

    def touches(self) -> Bools:
        """Return which predator touches which prey, `(N, P, Q)`."""
        return self._between() < self.setting.predator_radius + self.setting.prey_radius

    def nearest_prey(self) -> Floats:
        """Return each predator's distance to the prey nearest to it, `(N, P)`."""
        distances: Floats = self._between().min(axis=-1)
        return distances

    def _between(self) -> Floats:
        """Return the distances from predators to prey, `(N, P, Q)`."""
        return self.world.distances[:, self.predators, self.prey]

    def info(self) -> dict[str, npt.NDArray[Any]]:
        """Return the touches now, and which fraction of the prey has been touched after a step of the episode."""
        return {"captures": self.touches().sum(axis=(1, 2)), "caught": self._caught.mean(axis=-1)}

    def observe(self, who: slice) -> npt.NDArray[np.float32]:
        """Return what the movers `who` observe, `(N, K, D)`.

        Velocity, position, obstacles, predators, prey, those prey's velocities; each group nearest first.
        """
        world, movers = self.world, self.world.num_agents
        groups = zip((self.obstacles, self.predators, self.prey), self.setting.seen, strict=True)
        order = [nearest(world.distances[:, who, group], seen) + group.start for group, seen in groups]
        columns = np.concatenate(order, axis=-1)  # (N, K, all that is seen)
        velocities = world.velocities.view(np.complex128)[:, :, 0]
        parts = (  # in complex numbers, x + iy
            velocities[:, who, None],
            world.positions.view(np.complex128)[:, :movers][:, who],
            world.offsets.take(columns + self._row_starts[:, who]),
            velocities.take(order[-1] + self._world_starts),
        )
        return np.concatenate(parts, axis=-1, dtype=np.complex64, casting="same_kind").view(np.float32)

    def render(self, slot: int, mode: str) -> npt.NDArray[np.uint8]:
        """Return a picture of one world."""
        positions, setting = self.world.positions[slot], self.setting
        picture = drawing.draw(mode, positions, self.world.bodies.radius, setting.half_width)
        picture.discs(positions[self.obstacles], setting.obstacle_radius, drawing.OBSTACLE)
        picture.discs(positions[self.predators], setting.predator_radius, drawing.PREDATOR)
        picture.discs(positions[self.prey], setting.prey_radius, drawing.PREY)
        return picture.pixels()


class PredatorPrey:
    """Predators that learn hunt prey that does not.

    Description:
        Predators, prey and obstacles are discs on an unbounded plane; obstacles are fixed. A step takes 0.1 of time.
        All collide softly. Prey are faster (top speed 1.3 against 1.0) and stronger. A caught prey runs on and can be
        caught again.

        | predators | prey | obstacles | radii            | w   | seen: obstacles, predators, prey | observation |
        |-----------|------|-----------|------------------|-----|----------------------------------|-------------|
        | 6         | 2    | 3         | 0.075 0.05  0.2  | 1.5 | 3, 5, 2                          | 28          |
        | 15        | 5    | 5         | 0.02  0.01  0.1  | 1.0 | 3, 6, 3                          | 34          |
        | 30        | 10   | 10        | 0.01  0.005 0.05 | 1.0 | 5, 6, 5                          | 46          |

    Observation:
        float32 for each predator: its velocity, its position, the nearest obstacles, the nearest other predators and
        the nearest prey as seen from it, and these prey's velocities; each group nearest first and, at equal
        distances, by index.

    Action:
        0 none, 1 -x, 2 +x, 3 -y, 4 +y.

    Reward:
        "individual": minus 0.1 times the distance to the nearest prey, plus 10 for each prey that the predator touches.
        "shared": the sum of all predators' individual rewards, to each.

    Episode:
        Never ends by itself; 25 steps are usual. Predators and prey start at rest, uniformly in |x|, |y| < w, obstacles
        uniformly in |x|, |y| < w - 0.1, overlapping or not.
        `reset(options={"positions": (E, 2), "velocities": (A, 2)})` starts from there: all bodies in the order
        predators, prey, obstacles, and those of them that move; as much is drawn from the generator as without, so that
        what follows does not change.

    Arguments:
        num_envs: How many worlds, N.
        num_agents: Predators: 6, 15 or 30.
        prey: "flee" looks one step ahead and flees from all predators, obstacles and the outside (`prey.flee`), but for
            one action in ten, which is random; "random"; "static" takes no action; or a function that is given a
            `Sight` of all worlds and returns their prey's actions, integers `(N, Q)`. Prey decide on the state before
            the step.
        reward: "individual" or "shared".
        dynamics: "legacy" as published, or "mpe2".
        contact: "true": two bodies push each other from the sum of their radii on; "fork": from twice a predator's
            radius on, whatever they are, as in the published code.

    Info:
        "captures": pairs of predator and prey that touch now, int64 `(N,)`; "caught": the fraction of prey touched
        after any step of the episode, float64 `(N,)`.

    Source:
        "individual": LaRe (arXiv:2412.11120), thu-rllab/LaRe, simple_tag_n6, n15 and n30 "_noshare". "shared": STAS and
        AREL. Ours: the prey. Theirs is a trained network that cannot be shipped; returns against ours cannot be
        compared with published ones. And "true" contacts: theirs uses one distance for all, which makes obstacles
        small.

    Example:
        >>> batch = PredatorPrey(num_envs=2, num_agents=6, prey="static")
        >>> batch.reset(np.arange(2), [np.random.default_rng(seed) for seed in (0, 1)])
        >>> rewards, ended = batch.step(np.zeros((2, 6), dtype=np.int64))
        >>> rewards.shape, batch.observe().shape, batch.info()["captures"].shape
        ((2, 6), (2, 6, 28), (2,))
    """

    metadata = metadata_of("predator_prey")
    policies = {"random": scripted.random, "still": scripted.still}

    def __init__(
        self,
        num_envs: int = 1,
        num_agents: int = 6,
        prey: str | PreyPolicy = "flee",
        reward: str = "individual",
        dynamics: str = "legacy",
        contact: str = "true",
    ) -> None:
        self.num_envs = positive_int("num_envs", num_envs)
        self.setting = setting = _setting(num_agents)
        self._shared = known("reward", reward, REWARDS) == "shared"
        self._prey = self._prey_policy(prey)
        self._hunt = Hunt(num_envs, setting, dynamics, contact)
        self._keys = np.zeros(num_envs, dtype=np.uint64)
        self._step = np.zeros(num_envs, dtype=np.int64)
        self.agents = tuple(f"predator_{i}" for i in range(setting.predators))
        self.teams = {"predators": self.agents}
        self.observation_space = _observation_space(setting)
        self.action_space = Discrete(NUM_ACTIONS)

    def reset(
        self, slots: Ints, generators: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> None:
        """Begin an episode in the worlds `slots`."""
        self._hunt.reset(slots, generators, options)
        self._keys[slots], self._step[slots] = draw_keys(generators), 0

    def step(self, actions: Ints) -> tuple[Floats, Bools]:
        """Make one step in every world."""
        touches = self._hunt.step(np.concatenate([actions, self._prey(self._sight())], axis=1))
        self._step += 1
        rewards = _predator_rewards(self._hunt, touches)
        if self._shared:
            rewards = np.repeat(rewards.sum(axis=-1, keepdims=True), self.setting.predators, axis=1)
        return rewards, np.zeros(self.num_envs, dtype=np.bool_)

    def observe(self) -> npt.NDArray[Any]:
        """Return what each predator observes, `(N, P, D)`."""
        return self._hunt.observe(self._hunt.predators)

    def info(self) -> dict[str, npt.NDArray[Any]]:
        """Return what has been caught."""
        return self._hunt.info()

    def render(self, slot: int, mode: str) -> npt.NDArray[np.uint8]:
        """Return a picture of one world."""
        return self._hunt.render(slot, mode)

    def _prey_policy(self, prey: object) -> PreyPolicy:
        if callable(prey):
            return _Checked(prey, (self.num_envs, self.setting.prey))
        if not isinstance(prey, str):
            raise TypeError(f"prey must be one of {PREY} or a function from a Sight to actions, got {prey!r}.")
        return {"flee": self._flee, "random": any_action, "static": no_action}[known("prey", prey, PREY)]

    def _flee(self, sight: Sight) -> Ints:
        actions = flee(
            sight.predators[:, None] - sight.prey[:, :, None],
            sight.obstacles[:, None] - sight.prey[:, :, None],
            sight.prey,
            moves(sight.prey_velocities, PREY_STRENGTH, PREY_MAX_SPEED),
            self.setting.prey_radius + self.setting.obstacle_radius,
            self.setting.half_width,
        )
        return mostly(actions, sight.uniform)

    def _sight(self) -> Sight:
        hunt = self._hunt
        places, velocities = hunt.world.positions.copy(), hunt.world.velocities.copy()
        return Sight(
            predators=places[:, hunt.predators],
            prey=places[:, hunt.prey],
            obstacles=places[:, hunt.obstacles],
            predator_velocities=velocities[:, hunt.predators],
            prey_velocities=velocities[:, hunt.prey],
            step=self._step.copy(),
            uniform=uniform(self._keys, self._step, self.setting.prey),
        )


class CompetitivePredatorPrey:
    """6 predators hunt 2 prey, and both sides learn.

    Description:
        The world of `PredatorPrey` with 6 predators, except that the prey are agents too.

    Observation:
        float32 `(24,)` for each agent: its velocity, its position, the 3 obstacles, the 5 nearest (other) predators and
        the nearest (other) prey as seen from it, and this prey's velocity; each group nearest first and, at equal
        distances, by index.

    Action:
        0 none, 1 -x, 2 +x, 3 -y, 4 +y.

    Reward:
        A predator: minus 0.1 times the distance to the nearest prey, plus 10 for each prey that it touches. A prey:
        minus 10 for each predator that touches it. Nothing keeps prey from running away.

    Episode:
        As `PredatorPrey`.

    Arguments:
        num_envs: How many worlds, N.
        dynamics: "legacy" as published, or "mpe2".
        contact: "true" or "fork", as `PredatorPrey`.

    Info:
        "captures" and "caught", as `PredatorPrey`.

    Policies:
        "flee", for prey: as the scripted prey of `PredatorPrey`, from what a prey observes. "chase", for predators: the
        action that leads closest to the nearest prey. "scripted": prey flee, predators chase. "random" and "still".

    Source:
        LaRe (arXiv:2412.11120), thu-rllab/LaRe, hetero_tag_n6_noshare, whose runner appends a one-hot of the 8 agents
        to each observation, and delays one agent's return for both sides. Ours: teams, "predators" and "prey", and
        "true" contacts by default.

    Example:
        >>> batch = CompetitivePredatorPrey()
        >>> batch.reset(np.arange(1), [np.random.default_rng(0)])
        >>> rewards, ended = batch.step(np.zeros((1, 8), dtype=np.int64))
        >>> rewards.shape, batch.observe().shape, batch.teams["prey"]
        ((1, 8), (1, 8, 24), ('prey_0', 'prey_1'))
    """

    metadata = metadata_of("competitive_predator_prey")

    def __init__(self, num_envs: int = 1, dynamics: str = "legacy", contact: str = "true") -> None:
        self.num_envs = positive_int("num_envs", num_envs)
        self.setting = setting = COMPETITIVE
        self._hunt = Hunt(num_envs, setting, dynamics, contact)
        predators = tuple(f"predator_{i}" for i in range(setting.predators))
        prey = tuple(f"prey_{i}" for i in range(setting.prey))
        self.agents = (*predators, *prey)
        self.teams = {"predators": predators, "prey": prey}
        own = {"scripted": _scripted_by_sight, "flee": _flee_by_sight, "chase": _chase_by_sight}
        self.policies = {**own, **PredatorPrey.policies}
        self.observation_space = _observation_space(setting)
        self.action_space = Discrete(NUM_ACTIONS)

    def reset(
        self, slots: Ints, generators: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> None:
        """Begin an episode in the worlds `slots`."""
        self._hunt.reset(slots, generators, options)

    def step(self, actions: Ints) -> tuple[Floats, Bools]:
        """Make one step in every world."""
        touches = self._hunt.step(actions)
        losses = 0.0 - CAPTURE_REWARD * touches.sum(axis=1)  # not -0.0 where nobody touches
        rewards = np.concatenate([_predator_rewards(self._hunt, touches), losses], axis=1)
        return rewards, np.zeros(self.num_envs, dtype=np.bool_)

    def observe(self) -> npt.NDArray[Any]:
        """Return what each agent observes, `(N, 8, 24)`."""
        return self._hunt.observe(slice(None))

    def info(self) -> dict[str, npt.NDArray[Any]]:
        """Return what has been caught."""
        return self._hunt.info()

    def render(self, slot: int, mode: str) -> npt.NDArray[np.uint8]:
        """Return a picture of one world."""
        return self._hunt.render(slot, mode)


class _Checked:
    """A user's prey policy, whose actions are looked at before they are taken."""

    def __init__(self, policy: PreyPolicy, shape: tuple[int, int]) -> None:
        self.policy, self.shape = policy, shape

    def __call__(self, sight: Sight) -> Ints:
        given = np.asarray(self.policy(sight))
        if given.shape != self.shape or given.dtype.kind not in "iu":
            raise ValueError(
                f"prey returned {given.dtype} of shape {given.shape}: return an integer for each prey of each world, "
                f"shape {self.shape}."
            )
        if ((given < 0) | (given >= NUM_ACTIONS)).any():
            raise ValueError(f"prey returned an action outside 0 to {NUM_ACTIONS - 1}: {given.tolist()!r}.")
        return given.astype(np.int64)


def _predator_rewards(hunt: Hunt, touches: Bools) -> Floats:
    rewards: Floats = CAPTURE_REWARD * touches.sum(axis=-1) - DISTANCE_WEIGHT * hunt.nearest_prey()
    return rewards


def _seen_by_each(observations: npt.NDArray[Any]) -> tuple[Floats, ...]:
    """Take competitive observations `(..., 24)` apart: velocity, place, obstacles, predators, prey, prey's velocity."""
    obstacles, predators, prey = COMPETITIVE.seen
    vectors = np.asarray(observations, dtype=np.float64).reshape(*np.shape(observations)[:-1], -1, 2)
    ends = np.cumsum([1, 1, obstacles, predators, prey])
    velocity, place, *groups = np.split(vectors, ends, axis=-2)
    return velocity[..., 0, :], place[..., 0, :], *groups


def _flee_by_sight(observations: npt.NDArray[Any], uniform: Floats) -> Ints:
    """Flee as a prey does, from the observations `(N, K, 24)` of prey."""
    velocity, place, obstacles, predators, *_ = _seen_by_each(observations)
    contact = COMPETITIVE.prey_radius + COMPETITIVE.obstacle_radius
    steps = moves(velocity, PREY_STRENGTH, PREY_MAX_SPEED)
    return mostly(flee(predators, obstacles, place, steps, contact, COMPETITIVE.half_width), uniform)


def _chase_by_sight(observations: npt.NDArray[Any], uniform: Floats) -> Ints:
    """Run to the nearest prey, from the observations `(N, K, 24)` of predators."""
    velocity, _, _, _, prey, _ = _seen_by_each(observations)
    return chase(prey[..., 0, :], moves(velocity, PREDATOR_STRENGTH, PREDATOR_MAX_SPEED))


def _scripted_by_sight(observations: npt.NDArray[Any], uniform: Floats) -> Ints:
    """Flee or chase: the two sides differ in number."""
    as_prey = np.shape(observations)[-2] == COMPETITIVE.prey
    return (_flee_by_sight if as_prey else _chase_by_sight)(observations, uniform)


def _setting(num_agents: object) -> Setting:
    count = positive_int("num_agents", num_agents)
    if count not in SETTINGS:
        raise ValueError(
            f"num_agents must be 6, 15 or 30 predators, got {count}: sizes and sights are published for those alone."
        )
    return SETTINGS[count]


def _bodies(setting: Setting) -> Bodies:
    movers = (setting.predators, setting.prey)
    radii = (setting.predator_radius, setting.prey_radius, setting.obstacle_radius)
    return Bodies(
        radius=np.repeat(radii, (*movers, setting.obstacles)),
        collides=np.ones(sum(movers) + setting.obstacles, dtype=np.bool_),
        strength=np.repeat([PREDATOR_STRENGTH, PREY_STRENGTH], movers),
        max_speed=np.repeat([PREDATOR_MAX_SPEED, PREY_MAX_SPEED], movers),
    )


def _observation_space(setting: Setting) -> Box:
    obstacles, predators, prey = setting.seen
    return Box(-np.inf, np.inf, (2 * (2 + obstacles + predators + 2 * prey),), np.float32)
