"""Online training: the loop that closes from policy to environment to rewards to policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box

import bagged_envs
from bagged_envs.baselines import layout
from bagged_envs.baselines.api import BagBatch, Metrics, Redistributor, Sampling
from bagged_envs.baselines.collect import element
from bagged_envs.baselines.driving import Driver
from bagged_envs.baselines.evaluate import Evaluation, evaluate, evaluation_env
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.learners.ppo import PPO
from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.player import SEEDS, Player
from bagged_envs.baselines.redistributors import settings_on
from bagged_envs.baselines.replay import Replay
from bagged_envs.baselines.rollouts import Rollouts
from bagged_envs.baselines.settings import check_settings
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.registration import delay_arguments
from bagged_envs.trajectory import Trajectory
from bagged_envs.wrappers.arguments import a_seed


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a run that belong to no method.

    Attributes:
        random_steps: How many random actions are taken first, before an off-policy learner acts and learns.
        batch_size: Transitions of one update of an off-policy learner.
        updates: Updates of an off-policy learner per environment step.
        n_step: Steps that an off-policy learner takes as one: their rewards are discounted and added up before its
            value of what follows. Above 1 it looks further, and learns of what other policies did in these steps.
        capacity: Transitions that are kept; the oldest episodes make room.
        rollout: Environment steps between two updates of an on-policy learner.
        evaluate_every: Environment steps between two evaluations.
        evaluation_episodes: Episodes of one evaluation.
    """

    random_steps: int = 10_000
    batch_size: int = 256
    updates: int = 1
    n_step: int = 1
    capacity: int = 1_000_000
    rollout: int = 2048
    evaluate_every: int = 5000
    evaluation_episodes: int = 10

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One of them is too small.
        """
        check_settings(self)


class Means:
    """Means of metrics by name, each over the updates that gave it."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = {}

    def add(self, prefix: str, metrics: Metrics) -> None:
        """Count some metrics in."""
        for name, value in metrics.items():
            total, count = self.sums.get(f"{prefix}/{name}", (0.0, 0))
            self.sums[f"{prefix}/{name}"] = [total + value, count + 1]

    def take(self) -> dict[str, float]:
        """Return the means, and begin anew."""
        means = {name: total / count for name, (total, count) in sorted(self.sums.items())}
        self.sums = {}
        return means


@dataclass(frozen=True)
class Progress:
    """How a run stands, at an evaluation.

    Attributes:
        step: Environment steps so far.
        episodes: Episodes that ended so far.
        evaluation: How good the policy is.
        means: Of what updates reported since the last evaluation, such as "redistributor/loss", and of "paid", the sum
            of rewards that each training episode was shown to be paid.
    """

    step: int
    episodes: int
    evaluation: Evaluation
    means: Mapping[str, float]


class Training:
    """One run: a method on an environment with a seed.

    Everything random comes from `seed`, through a stream for each purpose. Rewards are redistributed when steps are
    drawn, or stored after each burst of updates where the redistributor wants that (off-policy learners), or once per
    rollout (on-policy ones). Until the redistributor was updated for the first time, an off-policy learner waits, and
    an on-policy one gets what was paid. An episode is stored when it ends. Evaluation plays the same ID and arguments
    with seeds that training never draws, acts without exploring, and sums the dense rewards.

    Attributes:
        method, id, arguments, config, seed: What the run is.
        total_steps: Environment steps so far.
        episodes: Episodes that ended so far.
        updates: How often the learner was updated.
        learner, redistributor, store: What is trained.

    Example:
        >>> training = Training("uniform-td3", "BaggedInvertedPendulum-v0", {"bag_len": 3}, seed=1,
        ...     config=TrainingConfig(random_steps=20, evaluate_every=30, evaluation_episodes=2))
        >>> [(progress.step, len(progress.evaluation.returns)) for progress in training.run(until=60)]
        [(30, 2), (60, 2)]
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
            method: A method or its name, such as "rrd-td3".
            id: A registered ID with a delay, of one controller.
            arguments: Of the environment, such as `bag_len`.
            config: Settings of the run.
            seed: Of everything random, at least 0.
            device: Where networks live, "cpu" or "cuda".

        Raises:
            TypeError: The learner cannot act in the environment, or the seed is no int.
            ValueError: There is no such method, or one of its settings is wrong, or does not go with the others, or the
                seed is negative, or an episode may be longer than the capacity.
            gymnasium.error.Error: The ID is not registered, or has no delay.
        """
        self.method = Method.named(method) if isinstance(method, str) else method
        if self.method.team:
            raise ValueError(f"{self.method.learner} trains the agents of a team: use TeamTraining, or name ppo.")
        if self.method.offline:
            raise ValueError(f"{self.method.learner} learns from recorded episodes: use OfflineTraining, or name td3.")
        self.id, self.arguments, self.seed = id, dict(arguments or {}), a_seed(seed)
        self.config = TrainingConfig() if config is None else config
        bagged_envs.resolved_schedule(id)  # an ID without a delay is refused here, in words that say so
        *streams, evaluation, learner, redistributor = np.random.SeedSequence(seed).spawn(7)
        episodes, self._draws, self._bag_draws, replay = (np.random.default_rng(stream) for stream in streams)
        shown = {"expose_reward": True} if self.method.pays_dense else {}
        env = gym.make(id, disable_env_checker=True, **{**self.arguments, **shown})
        check_capacity(self.config, id, env.spec)
        self._player = Player(env, episodes)
        self._evaluation_seed = SEEDS + int(np.random.default_rng(evaluation).integers(SEEDS // 2))
        self._evaluation_env = evaluation_env(id, self.arguments)
        self._seen, self._acted = Features(env.observation_space), Features(env.action_space)
        self.learner = self.method.make_learner(self._seen.size, env.action_space, number(learner), device)
        self._driver = Driver(
            self.method.redistributor,
            settings_on(self.method.redistributor, self.method.redistributor_settings, id),
            self._seen.size,
            self._acted.size,
            number(redistributor),
            device,
        )
        self.redistributor = self._driver.redistributor
        check_longest_bag(self.redistributor, id, self.arguments, env.spec)
        self.store = EpisodeStore.for_spaces(env.observation_space, env.action_space, capacity=self.config.capacity)
        self.store.keep(getattr(self.redistributor, "factors", None))
        self._replay = Replay(
            self.learner,
            self.redistributor,
            self.store,
            replay,
            self.config.batch_size,
            device,
            self.config.n_step,
            self.method.discount,
        )
        self._rollouts: Rollouts | None = None
        if isinstance(self.learner, PPO):
            if self.config.n_step > 1:
                raise ValueError(f"n_step={self.config.n_step} needs an off-policy learner: use n_step=1 with PPO.")
            self._rollouts = Rollouts(self.learner, self.redistributor, self.store, device)
        self.total_steps = self.episodes = self.updates = 0
        self._means = Means()

    def run(self, until: int) -> Iterator[Progress]:
        """Train until so many steps were made in all, and yield how the run stands after each evaluation."""
        while self.total_steps < until:
            self.step()
            if self.due:
                yield self.progress()

    @property
    def due(self) -> bool:
        """Whether an evaluation is due now."""
        return self.total_steps % self.config.evaluate_every == 0

    def step(self) -> None:
        """Make one environment step, and the updates that are due after it.

        Raises:
            FloatingPointError: A loss is not finite.
        """
        ended = self._player.step(self._action(self._player.ready()))
        self.total_steps += 1
        if ended is not None:
            self._end(ended)
        self._fit()
        self._improve()

    @property
    def fitted(self) -> bool:
        """Whether the redistributor was updated, or has nothing to learn: an off-policy learner waits for it."""
        return self._driver.fitted

    def _action(self, observation: Any) -> Any:
        space = self._player.env.action_space
        if self.total_steps < self.config.random_steps and not self._rollouts and isinstance(space, Box):
            return self._draws.uniform(space.low, space.high).astype(space.dtype).clip(space.low, space.high)
        return self._act(observation, explore=True)

    def _act(self, observation: Any, explore: bool) -> Any:
        features = torch.from_numpy(self._seen.encode(observation[None]))
        return self._acted.decode(self.learner.act(features, explore).numpy())[0]

    def _end(self, episode: Trajectory) -> None:
        self.episodes += 1
        self._means.add("training", {"paid": float(layout.shown_rewards(episode).sum())})
        self.store.add(episode)
        if self.redistributor.stored and self.store.version:
            self.store.relabel_new(self.redistributor)
        if self._rollouts is not None:
            self._rollouts.add(episode)

    def _fit(self) -> None:
        """Update the redistributor, where that is due and there are labels."""
        labels = self.store.num_labeled_bags > 0
        if self._driver.drive(self.total_steps, self._bags, labels):
            self._means.add("redistributor", self._driver.metrics)
            if self.redistributor.stored:
                self.store.relabel_oldest(self.redistributor, self.redistributor.schedule.refresh)

    def _bags(self, sampling: Sampling) -> BagBatch:
        return self.store.sample_bags(sampling, self._bag_draws, only_labeled=True)

    def _improve(self) -> None:
        """Update the learner, where that is due."""
        if self._rollouts is not None:
            if self.total_steps % self.config.rollout == 0:
                going_on = self._player.episode
                so_far = None if going_on is None else going_on.trajectory(False)
                self._improved(self._rollouts.learn(so_far, self._driver.fitted))
        elif self.total_steps >= self.config.random_steps and self._driver.fitted and self._replay.ready():
            for _ in range(self.config.updates):
                self._improved(self._replay.learn())

    def _improved(self, metrics: Metrics) -> None:
        self.updates += bool(metrics)
        self._means.add("learner", metrics)

    def progress(self) -> Progress:
        """Evaluate the policy, and say how the run stands."""
        done = self.total_steps // self.config.evaluate_every * self.config.evaluation_episodes
        evaluation = self.evaluate(self.config.evaluation_episodes, self._evaluation_seed + done)
        return Progress(self.total_steps, self.episodes, evaluation, self._means.take())

    def evaluate(self, episodes: int, seed: int) -> Evaluation:
        """Play some episodes with the policy as it is, without exploring."""

        def act(observation: Any) -> Any:
            return self._act(element(self._evaluation_env.observation_space, observation), explore=False)

        return evaluate(self._evaluation_env, act, episodes, seed)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to go on bit for bit."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        draws = {name: generator.bit_generator.state for name, generator in self._generators().items()}
        counts = {name: getattr(self, name) for name in COUNTS}
        return {"parts": parts, "draws": draws, "counts": counts, "means": self._means.sums}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the saved state of a run of the same method, environment, settings and seed.

        Raises:
            CheckpointError: The episode that was going on went otherwise when it was played again.
        """
        for name, part in self._parts().items():
            part.load_state_dict(state["parts"][name])
        for name, generator in self._generators().items():
            generator.bit_generator.state = state["draws"][name]
        for name in COUNTS:
            setattr(self, name, state["counts"][name])
        self._means.sums = {name: list(sums) for name, sums in state["means"].items()}

    def _parts(self) -> dict[str, Any]:
        parts = {"learner": self.learner, "redistributor": self.redistributor, "store": self.store}
        practice = self._replay if self._rollouts is None else self._rollouts
        return {**parts, "driver": self._driver, "player": self._player, "practice": practice}

    def _generators(self) -> dict[str, np.random.Generator]:
        return {"actions": self._draws, "bags": self._bag_draws}

    def close(self) -> None:
        """Close the environments."""
        self._player.env.close()
        self._evaluation_env.close()


COUNTS = ("total_steps", "episodes", "updates")


def check_capacity(config: TrainingConfig, id: str, spec: EnvSpec | None) -> None:
    """Check that the longest episode can be stored.

    Raises:
        ValueError: It cannot.
    """
    horizon = None if spec is None else spec.max_episode_steps
    if horizon is not None and config.capacity < horizon:
        raise ValueError(
            f"capacity must hold the longest episode, which may have {horizon} steps in {id}, got {config.capacity}: "
            "raise training.capacity, or lower max_episode_steps."
        )


def check_longest_bag(
    redistributor: Redistributor, id: str, arguments: Mapping[str, Any], spec: EnvSpec | None
) -> None:
    """Check that the redistributor can read the longest bag that may come, before any is played.

    Raises:
        ValueError: It cannot.
    """
    most = getattr(getattr(redistributor, "config", None), "max_length", None)
    length = bagged_envs.resolved_schedule(id, **delay_arguments(arguments)).bag_len
    horizon = None if spec is None else spec.max_episode_steps
    known = [steps for steps in (length[1] if isinstance(length, tuple) else length, horizon) if steps is not None]
    if most is not None and known and min(known) > most:
        raise ValueError(
            f"redistributor.max_length must be the steps of the longest bag, {min(known)} in {id}, got {most}: raise "
            "it, or lower bag_len."
        )


def number(stream: np.random.SeedSequence) -> int:
    """Return a seed for what wants one as an int."""
    return int(stream.generate_state(1)[0])
