"""Online training of a team: each agent acts on its own observation, and learns from rewards of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space

import bagged_envs
from bagged_envs.baselines import layout
from bagged_envs.baselines.api import BagBatch, Sampling
from bagged_envs.baselines.collect import ActTold
from bagged_envs.baselines.driving import Driver
from bagged_envs.baselines.evaluate import Evaluation, evaluate_worlds
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.learners.ppo import PPO
from bagged_envs.baselines.learners.qmix import QMIX
from bagged_envs.baselines.methods import LEARNERS, TEAM_LEARNERS, Method
from bagged_envs.baselines.player import SEEDS
from bagged_envs.baselines.redistributors import settings_on
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.baselines.team_replay import TeamReplay
from bagged_envs.baselines.team_rollouts import TeamRollouts
from bagged_envs.baselines.training import (
    COUNTS,
    Means,
    Progress,
    TrainingConfig,
    check_capacity,
    check_longest_bag,
    number,
)
from bagged_envs.baselines.worlds import Worlds
from bagged_envs.registration import spec_of, task_of
from bagged_envs.trajectory import Trajectory
from bagged_envs.wrappers.arguments import a_seed, known


@dataclass(frozen=True)
class TeamConfig(TrainingConfig):
    """Settings of a run of a team that belong to no method.

    Those of `TrainingConfig` that off-policy learners have are of no use here: random_steps, batch_size, updates,
    n_step. Steps are those of the environment, in which all agents act. QMIX has other defaults on the command line and
    where no `TeamConfig` is given: `worlds=8` and `rollout=1`, which is one round of episodes.

    Attributes:
        capacity: As there; fewer by default, because each step has all agents' observations.
        evaluation_episodes: As there; more by default, because they are played at once.
        rollout: Environment steps of an iteration, at least: whole rounds of episodes are played.
        worlds: How many worlds are played at once, of the environment and of its dense twin.
        finite_horizon: Whether the time limit is a part of the task, after which there is nothing to value, as
            published work on particle tasks has it. Critics of PPO then see the time, too: values that do not know it
            pay agents for looking as if little were left. With a discount of 1 it is needed: values that go on beyond
            a limit have no bound. False: only the end of the task itself ends what is valued.
        decay_steps: Environment steps over which the learning rate, and PPO's clip, go to 0, in a straight line; None
            leaves them as they are.
    """

    capacity: int = 100_000
    evaluation_episodes: int = 50
    worlds: int = 32
    finite_horizon: bool = False
    decay_steps: int | None = None


class TeamTraining:
    """One run: a method on the agents of a team with a seed.

    The agents share one policy. A step of the run is an iteration: all worlds play rounds of whole episodes until at
    least `rollout` environment steps were made; the redistributor is updated as often as its schedule has it for so
    many steps; and the learner is updated. PPO is updated once with the fresh episodes, in which each agent has the
    rewards that the redistributor gives this agent; QMIX once for each fresh episode with stored ones, in which the
    team has the sum of them. Until the redistributor was updated for the first time they are equal shares of what was
    paid. No episode is ever open between two iterations.

    Everything random comes from `seed`, through a stream for each purpose. Evaluation plays the same ID and arguments
    with seeds that training never draws, and sums the team's dense rewards. It takes each agent's likeliest or best
    action, as for all learners here; published results of IPPO are often of sampled ones.

    Attributes:
        method, id, arguments, config, seed: What the run is.
        agents: How many act, A.
        total_steps: Environment steps so far.
        episodes: Episodes that ended so far.
        updates: How often the learner was updated.
        learner, redistributor, store: What is trained.

    Example:
        >>> training = TeamTraining("uniform-ippo", "EpisodicCooperativeNavigation-v0", {"num_agents": 3}, seed=1,
        ...     config=TeamConfig(worlds=4, rollout=150, evaluate_every=200, evaluation_episodes=2))
        >>> [(progress.step, progress.episodes) for progress in training.run(until=400)]
        [(200, 8), (400, 16)]
    """

    def __init__(
        self,
        method: Method | str,
        id: str,
        arguments: Mapping[str, Any] | None = None,
        config: TrainingConfig | None = None,
        *,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        """Make everything; nothing is played yet.

        Args:
            method: A method or its name, such as "rrd-ippo".
            id: A registered ID with a delay, of a team of agents with equal spaces.
            arguments: Of the environment, such as `num_agents`.
            config: Settings of the run; those of a single controller's get the defaults of what a team has besides, and
                None is for the learner's.
            seed: Of everything random, at least 0.
            device: Where networks live, "cpu" or "cuda".

        Raises:
            TypeError: The learner cannot act in the environment, or the seed is no int.
            ValueError: There is no such method, or its learner is none of teams, or one of its settings is wrong, or
                the ID has one agent or agents that differ, or the seed is negative, or an episode may be longer than
                the capacity, or several steps are to be taken as one.
            gymnasium.error.Error: The ID is not registered, or has no delay.
        """
        self.method = Method.named(method) if isinstance(method, str) else method
        known("the learner of a team", self.method.learner, TEAM_LEARNERS)
        self.id, self.arguments, self.seed = id, dict(arguments or {}), a_seed(seed)
        self.config = team_config(config, self.method.learner)
        bagged_envs.resolved_schedule(id)  # an ID without a delay is refused here, in words that say so
        if not is_team(id, self.arguments):
            raise ValueError(f"{self.method.learner} trains the agents of a team, and {id} has one: use ppo.")
        *streams, evaluation, learner, redistributor, replay = np.random.SeedSequence(seed).spawn(6)
        played, self._bag_draws = (np.random.default_rng(stream) for stream in streams)
        self._evaluation_seed = SEEDS + int(np.random.default_rng(evaluation).integers(SEEDS // 2))
        self._open(played)
        self._make(number(learner), number(redistributor), device)
        self._practice = self._practiced(np.random.default_rng(replay), device)
        self.total_steps = self.episodes = self.updates = self._before = 0
        self._means = Means()

    def _open(self, seeds: np.random.Generator) -> None:
        """Make the environments."""
        config, exposed = self.config, {**self.arguments, "expose_reward": True}
        oracle = self.method.pays_dense
        envs = bagged_envs.make_vec(self.id, config.worlds, **(exposed if oracle else self.arguments))
        check_capacity(config, self.id, envs.spec)
        kept = ("alive", "action_mask", *(("agent_rewards",) if oracle else ()))
        self._worlds = Worlds(envs, seeds, kept)
        at_once = min(config.worlds, config.evaluation_episodes)
        self._evaluation_envs = bagged_envs.make_vec(self.id, at_once, **exposed)

    def _make(self, learner_seed: int, redistributor_seed: int, device: torch.device | str) -> None:
        """Make what is trained."""
        seen, acted = self._worlds.envs.single_observation_space, self._worlds.envs.single_action_space
        timed = self.config.finite_horizon
        self.agents, self.learner = team_learner(self.method, self.id, seen, acted, learner_seed, device, timed)
        self._seen, self._acted = Features(seen, self.agents), Features(acted, self.agents)
        name, settings = self.method.redistributor, self.method.redistributor_settings
        self._driver = Driver(
            name,
            settings_on(name, settings, self.id, each_agent=True),
            self._seen.size,
            self._acted.size,
            redistributor_seed,
            device,
            self.agents,
        )
        self.redistributor = self._driver.redistributor
        check_longest_bag(self.redistributor, self.id, self.arguments, self._worlds.envs.spec)
        self.store = EpisodeStore.for_spaces(seen, acted, self.agents, self.config.capacity)
        self.store.keep(getattr(self.redistributor, "factors", None))

    def _practiced(self, generator: np.random.Generator, device: torch.device | str) -> TeamRollouts | TeamReplay:
        """Return how the learner acts and learns."""
        parts, spaces = (self.redistributor, self.store), (self._seen, self._acted)
        horizon = self._horizon() if self.config.finite_horizon else None
        if isinstance(self.learner, QMIX):
            return TeamReplay(self.learner, *parts, *spaces, device, generator)
        return TeamRollouts(self.learner, *parts, *spaces, device, LEARNERS[self.method.learner].sees_all, horizon)

    def _horizon(self) -> int:
        """Return the time limit.

        Raises:
            ValueError: There is none.
        """
        spec = self._worlds.envs.spec
        if spec is None or spec.max_episode_steps is None:
            raise ValueError(f"finite_horizon=True needs a time limit, and {self.id} has none: give max_episode_steps.")
        return spec.max_episode_steps

    def run(self, until: int) -> Iterator[Progress]:
        """Train until at least so many environment steps were made in all, and yield how the run stands when due."""
        while self.total_steps < until:
            self.step()
            if self.due:
                yield self.progress()

    @property
    def due(self) -> bool:
        """Whether an evaluation is due now: the last iteration reached or passed a multiple of `evaluate_every`."""
        return self.total_steps // self.config.evaluate_every > self._before // self.config.evaluate_every

    @property
    def fitted(self) -> bool:
        """Whether the redistributor was updated, or has nothing to learn."""
        return self._driver.fitted

    def step(self) -> None:
        """Make one iteration: play, update the redistributor, update the learner.

        Raises:
            FloatingPointError: A loss is not finite.
        """
        self._before = self.total_steps
        episodes = [
            own_rewards(one, self.arguments.get("team_reward") == "mean")
            for one in self._worlds.play(self._explore, self.config.rollout)
        ]
        if self.config.finite_horizon:
            episodes = [replace(episode, terminated=True) for episode in episodes]
        for episode in episodes:
            self.store.add(episode)
            self._means.add("training", {"paid": float(layout.shown_rewards(episode).sum())})
        self.episodes += len(episodes)
        self.total_steps += sum(map(len, episodes))
        if self._driver.drive(self.total_steps, self._bags, self.store.num_labeled_bags > 0):
            self._means.add("redistributor", self._driver.metrics)
            self._practice.refresh()
        self._improve(episodes)

    def _improve(self, episodes: list[Trajectory]) -> None:
        if self.config.decay_steps is not None:
            self.learner.decay(max(0.0, 1.0 - self._before / self.config.decay_steps))
        for metrics in self._practice.learn(episodes, self._driver.fitted):
            self.updates += 1
            self._means.add("learner", metrics)

    def _bags(self, sampling: Sampling) -> BagBatch:
        return self.store.sample_bags(sampling, self._bag_draws, only_labeled=True)

    def _explore(self) -> ActTold:
        return self._practice.begin(explore=True)

    def progress(self) -> Progress:
        """Evaluate the policy, and say how the run stands."""
        done = self.total_steps // self.config.evaluate_every * self.config.evaluation_episodes
        evaluation = self.evaluate(self.config.evaluation_episodes, self._evaluation_seed + done)
        return Progress(self.total_steps, self.episodes, evaluation, self._means.take())

    def evaluate(self, episodes: int, seed: int) -> Evaluation:
        """Play some episodes with the policy as it is, each agent taking its likeliest or best action."""
        return evaluate_worlds(self._evaluation_envs, lambda: self._practice.begin(explore=False), episodes, seed)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to go on bit for bit."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        counts = {name: getattr(self, name) for name in COUNTS}
        draws = {"bags": self._bag_draws.bit_generator.state}
        return {"parts": parts, "draws": draws, "counts": counts, "means": self._means.sums}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the saved state of a run of the same method, environment, settings and seed."""
        for name, part in self._parts().items():
            part.load_state_dict(state["parts"][name])
        self._bag_draws.bit_generator.state = state["draws"]["bags"]
        for name in COUNTS:
            setattr(self, name, state["counts"][name])
        self._before = self.total_steps
        self._means.sums = {name: list(sums) for name, sums in state["means"].items()}

    def _parts(self) -> dict[str, Any]:
        parts = {"learner": self.learner, "redistributor": self.redistributor, "store": self.store}
        more = {"practice": self._practice} if isinstance(self._practice, TeamReplay) else {}
        return {**parts, "driver": self._driver, "worlds": self._worlds, **more}

    def close(self) -> None:
        """Close the environments."""
        self._worlds.envs.close()
        self._evaluation_envs.close()


def is_team(id: str, arguments: Mapping[str, Any]) -> bool:
    """Return whether several agents act in an ID: in a task of ours, or in what somebody registered as a `JointEnv`.

    Raises:
        gymnasium.error.Error: The ID is not registered.
    """
    if task_of(spec_of(id)).agents:
        return True
    env = gym.make(id, disable_env_checker=True, **arguments)
    several: bool = getattr(env.unwrapped, "n_agents", 1) > 1
    env.close()
    return several


def team_config(config: TrainingConfig | None, learner: str) -> TeamConfig:
    """Return settings of a team: a single controller's get the defaults of what a team has besides.

    Raises:
        ValueError: They take several steps as one, or have a setting that is of use to single controllers only.
    """
    plain = TrainingConfig()
    if config is None:
        return team_settings(learner, {})
    if config.n_step > 1:
        raise ValueError(f"n_step={config.n_step} is for one controller's off-policy learner: use n_step=1 with teams.")
    for name in ("batch_size", "random_steps", "updates"):
        value, instead = getattr(config, name), "batch" if LEARNERS[learner].replays else "minibatch"
        if value != getattr(plain, name):
            raise ValueError(
                f"{name}={value} is of no use to a team: leave it out, and use learner.{instead} for how much one step "
                f"of {learner} sees."
            )
    if isinstance(config, TeamConfig):
        return config
    own = {name: value for name, value in vars(config).items() if value != getattr(plain, name)}
    return team_settings(learner, own)


def team_settings(learner: str, settings: Mapping[str, Any]) -> TeamConfig:
    """Return settings of a team, where what is not given is as the learner has it.

    Example:
        >>> team_settings("qmix", {"worlds": 4}).rollout, team_settings("ippo", {}).rollout
        (1, 2048)
    """
    return TeamConfig(**{**LEARNERS[learner].training, **settings})


def team_learner(
    method: Method,
    id: str,
    seen: Space[Any],
    acted: Space[Any],
    seed: int,
    device: torch.device | str = "cpu",
    timed: bool = False,
) -> tuple[int, PPO | QMIX]:
    """Return how many agents act at once, and the learner that all of them share.

    Args:
        method: Whose learner.
        id: For its errors.
        seen: What all agents observe.
        acted: What all agents do.
        seed: Of everything random in the learner.
        device: Where its networks live.
        timed: Whether a critic of PPO sees the time.

    Raises:
        TypeError: The learner cannot act so.
        ValueError: There is one agent, or their spaces differ, or a setting of the learner is wrong.
    """
    agents, space = agents_of(method.learner, id, seen, acted)
    row, size = LEARNERS[method.learner], Features(seen, agents).size
    judged = (agents * (size + 1) if row.sees_all else size) + timed
    critic_size = judged if (row.sees_all or timed) and not row.replays else None
    learner = method.make_learner(size, acted if row.replays else space, seed, device, critic_size)
    return agents, cast(PPO | QMIX, learner)  # as all of TEAM_LEARNERS are


def agents_of(learner: str, id: str, seen: Space[Any], acted: Space[Any]) -> tuple[int, Space[Any]]:
    """Return how many agents act at once, and the space of one agent's actions.

    Raises:
        ValueError: There is only one, or their spaces differ.
    """
    space = one_of(acted)
    agents = acted.shape[0] if acted.shape else 0
    if space is None or not isinstance(seen, Box) or seen.shape[:1] != (agents,) or agents < 2:
        raise ValueError(
            f"{learner} needs several agents with equal spaces, got observations {seen} and actions {acted} of {id}: "
            "name another team, or use ppo, which controls all of them at once."
        )
    return agents, space


def one_of(acted: Space[Any]) -> Space[Any] | None:
    """Return the space of one agent's actions, of a space of some agents side by side; None if they differ.

    Example:
        >>> one_of(MultiDiscrete([5, 5])), one_of(MultiDiscrete([3, 5]))
        (Discrete(5), None)
    """
    if isinstance(acted, MultiDiscrete) and acted.nvec.ndim == 1 and len(set(acted.nvec.tolist())) == 1:
        return Discrete(int(acted.nvec[0]))
    if isinstance(acted, Box) and acted.shape and all((bound == bound[0]).all() for bound in (acted.low, acted.high)):
        return Box(acted.low[0], acted.high[0], dtype=acted.low.dtype.type)
    return None


def own_rewards(episode: Trajectory, mean: bool = False) -> Trajectory:
    """Return an episode whose dense rewards are each agent's own, where it was told what they are.

    Args:
        episode: It.
        mean: Whether the team is paid the mean of its agents' rewards: then each has its share of that.
    """
    if "agent_rewards" not in episode.extras:
        return episode
    extras = dict(episode.extras)
    own = extras.pop("agent_rewards")[1:]  # the first row is the reset's
    there = extras["alive"][:-1].sum(axis=1, keepdims=True)
    extras["dense_rewards"] = own / there if mean else own
    return replace(episode, extras=extras)
