"""Offline training: recorded episodes, their rewards redistributed once, and a learner that never plays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Space

import bagged_envs
from bagged_envs.baselines.checkpoint import CheckpointError, fingerprint
from bagged_envs.baselines.collect import element
from bagged_envs.baselines.evaluate import Evaluation, evaluate, evaluation_env
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.imputation import Imputation
from bagged_envs.baselines.learners.bc import BC
from bagged_envs.baselines.methods import LEARNERS, OFFLINE_LEARNERS, Method
from bagged_envs.baselines.player import SEEDS
from bagged_envs.baselines.promises import pays_dense
from bagged_envs.baselines.recorded import Floats, reward_scale
from bagged_envs.baselines.recorded_rewards import FitConfig, RecordedRewards, Streams
from bagged_envs.baselines.redistributors import make_redistributor, settings_on
from bagged_envs.baselines.standardization import Standardization
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.baselines.training import Means, Progress, number
from bagged_envs.datasets import Dataset, from_minari
from bagged_envs.trajectory import Trajectory
from bagged_envs.wrappers import RewardSchedule
from bagged_envs.wrappers.arguments import a_seed, known


@dataclass(frozen=True)
class OfflineConfig(FitConfig):
    """Settings of an offline run that belong to no method: those of `FitConfig`, and of what follows the fit.

    Attributes:
        batch_size: Transitions of one update of the learner.
        scale_rewards: Whether the learner's rewards are divided by the range of the episodes' returns, and multiplied
            by 1,000. Returns are of the rewards that the learner is given, never of hidden ones.
        evaluate_every: Updates of the learner between two evaluations.
        evaluation_episodes: Episodes of one evaluation.
    """

    batch_size: int = 256
    scale_rewards: bool = False
    evaluate_every: int = 5000
    evaluation_episodes: int = 10


def offline_config(learner: str, settings: Mapping[str, Any] | None = None) -> OfflineConfig:
    """Return the settings of an offline run: the learner's own where nothing else is asked for.

    Args:
        learner: One of `OFFLINE_LEARNERS`.
        settings: Fields of the configuration.

    Raises:
        TypeError: A value is of another type.
        ValueError: There is no such learner or setting, or a value is out of range.

    Example:
        >>> offline_config("iql").scale_rewards, offline_config("td3_bc").scale_rewards
        (True, False)
    """
    known("an offline learner", learner, OFFLINE_LEARNERS)
    told = dict(settings or {})
    for name in told:
        known("A setting of offline training", name, [one.name for one in fields(OfflineConfig)])
    return OfflineConfig(**{**LEARNERS[learner].training, **told})


def _episodes(recorded: Any, action_space: Space[Any]) -> tuple[Sequence[Trajectory], RewardSchedule | None]:
    """Return the episodes of what was recorded, and the schedule that paid them where that is known."""
    if not isinstance(recorded, Dataset) and not hasattr(recorded, "storage"):
        several = hasattr(recorded, "__iter__") or hasattr(recorded, "__getitem__")
        if isinstance(recorded, (str, Path)) or not several:
            raise TypeError(
                "trajectories must be Trajectory objects, a Dataset or a MinariDataset, "
                f"got {recorded!r:.60}: bagged_envs.datasets.load reads a folder."
            )
        return tuple(recorded), None
    dataset = recorded if isinstance(recorded, Dataset) else from_minari(recorded)
    if not _same_actions(dataset.action_space, action_space):
        raise ValueError(
            f"{dataset.dataset_id} must have actions of the environment's space, {action_space}, got "
            f"{dataset.action_space}: the same numbers would be other actions."
        )
    return dataset.trajectories, dataset.schedule


def _same_actions(one: Space[Any], other: Space[Any]) -> bool:
    """Whether the same numbers are the same actions in two spaces: floats may be of another size."""
    if isinstance(one, Box) and isinstance(other, Box):
        bounds = zip((one.low, one.high), (other.low, other.high), strict=True)
        return one.shape == other.shape and all(np.allclose(left, right) for left, right in bounds)
    return one == other


class OfflineTraining:
    """One run: a method on recorded episodes with a seed.

    First the redistributor is fitted to the labeled bags, and says a reward for each step of a closed bag, once; then
    the learner is updated with random ones of these steps, or of those in labeled bags alone (`labels_only`). On bags
    of one step `imputer` is reward imputation as it was published, and `rd` the same with more inputs: regression of
    the rewards of labeled transitions. Where only some steps have a reward, `constant` and `oracle` are what it lies
    between.

    The store holds standardized observations; programs that say factors see the task's own. A time limit ends no task:
    an episode's last transition is bootstrapped unless the episode terminated. Evaluation plays the ID, acts without
    exploring, and sums dense rewards. Everything random comes from `seed`, through a stream for each purpose.

    Attributes:
        method, id, arguments, config, seed: What the run is.
        total_steps: Updates of the learner so far.
        learner, redistributor: What is trained.
        reward_scale: What the learner's rewards are multiplied by, once there are some.

    Example:
        >>> import gymnasium as gym
        >>> from bagged_envs.baselines.collect import collect
        >>> env = gym.make("PartiallyLabeledInvertedPendulum-v0", label_fraction=0.5)
        >>> recorded = collect(env, lambda observation: env.action_space.sample(), episodes=4, seed=0)
        >>> config = OfflineConfig(fit_updates=5, evaluate_every=10, evaluation_episodes=2)
        >>> training = OfflineTraining("rd-td3_bc", env.spec.id, recorded, config=config, seed=0)
        >>> [(progress.step, len(progress.evaluation.returns)) for progress in training.run(until=20)]
        [(10, 2), (20, 2)]
    """

    def __init__(
        self,
        method: Method | str,
        id: str,
        trajectories: Sequence[Trajectory] | Any,
        arguments: Mapping[str, Any] | None = None,
        config: OfflineConfig | None = None,
        *,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        """Take the episodes in; nothing is learned yet.

        Args:
            method: A method or its name, such as "rd-td3_bc".
            id: A registered ID with a delay, of one controller: what the policy is evaluated on.
            trajectories: Recorded episodes, with the bags and labels to learn from, or a `Dataset` or `MinariDataset`
                that has them. `extras["dense_rewards"]` are for `oracle`; other methods never see them.
            arguments: Of the environment.
            config: Settings of the run; None for `offline_config`'s.
            seed: Of everything random, at least 0.
            device: Where networks live, "cpu" or "cuda".

        Raises:
            TypeError: The learner cannot act in the environment, these are no trajectories, or the seed is no int.
            DatasetError: A dataset of Minari's is damaged.
            ValueError: There is no such method, or one of its settings is wrong; the episodes are not the
                environment's, have numbers that are not finite, or nothing that the method could learn from.
            gymnasium.error.Error: The ID is not registered, or has no delay.
        """
        self.method = Method.named(method) if isinstance(method, str) else method
        name = self.method.learner
        if not self.method.offline:
            raise ValueError(
                f"{name} learns while it plays: use Training, or name one of {', '.join(OFFLINE_LEARNERS)}."
            )
        self.id, self.arguments, self.seed = id, dict(arguments or {}), a_seed(seed)
        self.config = offline_config(name) if config is None else config
        bagged_envs.resolved_schedule(id)  # an ID without a delay is refused here, in words that say so
        streams = Streams.of(self.seed)
        self._draws, self._bag_draws, self._held_draws = (np.random.default_rng(stream) for stream in streams[:3])
        self._evaluation_seed = SEEDS + int(np.random.default_rng(streams.evaluation).integers(SEEDS // 2))
        self._device = torch.device(device)
        self._evaluation_env = env = evaluation_env(id, self.arguments)
        self._seen, self._acted = Features(env.observation_space), Features(env.action_space)
        self.learner = self.method.make_learner(self._seen.size, env.action_space, number(streams.learner), device)
        sizes, settings = (self._seen.size, self._acted.size), self.method.redistributor_settings
        self.redistributor = make_redistributor(
            self.method.redistributor, *sizes, number(streams.redistributor), device,
            **settings_on(self.method.redistributor, settings, id),
        )  # fmt: skip
        episodes, schedule = _episodes(trajectories, env.action_space)
        self._recorded = RecordedRewards(self.redistributor, episodes, self._seen, self._acted, self.config, schedule)
        self._check_labels()
        self._rewards = torch.zeros(self.store.capacity + 1)  # by the numbers of steps
        self._data = fingerprint([vars(one) for one in self._recorded.episodes])
        self.total_steps = 0
        self.reward_scale = 1.0
        self._means = Means()

    def _check_labels(self) -> None:
        """Refuse episodes without labels where these would teach the method something."""
        needless = pays_dense(self.redistributor) or (
            isinstance(self.learner, BC) and self.redistributor.sampling is None and not self.redistributor.only_labeled
        )
        if not needless:
            self._recorded.check_labels(self.method.name)

    @property
    def episodes(self) -> int:
        """How many were recorded."""
        return len(self._recorded.episodes)

    @property
    def store(self) -> EpisodeStore:
        """What is learned from."""
        return self._recorded.store

    @property
    def standardization(self) -> Standardization:
        """What observations go through, in training and in evaluation."""
        return self._recorded.standardization

    @property
    def imputation(self) -> Imputation | None:
        """How the redistributor was fitted; None before."""
        return self._recorded.imputation

    @property
    def updates(self) -> int:
        """How often the learner was updated."""
        return self.total_steps

    @property
    def fitted(self) -> bool:
        """Whether the redistributor was fitted, and has said its rewards."""
        return self._recorded.fitted

    def run(self, until: int) -> Iterator[Progress]:
        """Train until so many updates were made in all, and yield how the run stands after each evaluation."""
        while self.total_steps < until:
            self.step()
            if self.due:
                yield self.progress()

    @property
    def due(self) -> bool:
        """Whether an evaluation is due now."""
        return self.total_steps % self.config.evaluate_every == 0

    def step(self) -> None:
        """Make one update of the learner; before the first one, fit the redistributor.

        Raises:
            FloatingPointError: A loss is not finite.
            ValueError: The redistributor refuses the bags.
        """
        if not self.fitted:
            self.fit()
        places = self.store.sample_steps(self.config.batch_size, self._draws, self.redistributor.only_labeled)
        batch = self.store.transitions(places, self._rewards[torch.from_numpy(places)][:, None])
        self._means.add("learner", self.learner.update(batch.to(self._device)))
        self.total_steps += 1

    def fit(self) -> None:
        """Fit the redistributor, and have it say the rewards that the learner will see.

        Raises:
            FloatingPointError: A loss is not finite.
            ValueError: The redistributor refuses the bags, or too few are labeled to hold some out.
        """
        self._recorded.fit(self._bag_draws, self._held_draws, lambda metrics: self._means.add("redistributor", metrics))
        given = self._recorded.given()
        self.reward_scale = reward_scale(given, self._recorded.known()) if self.config.scale_rewards else 1.0
        for steps, rewards in zip(self._recorded.steps, given, strict=True):
            self._rewards[torch.from_numpy(steps)] = torch.from_numpy(self.reward_scale * rewards).float()

    def rewards(self) -> list[Floats]:
        """Return what the learner is given for each step of each episode, `[T]`: 0.0 in a bag that is still open."""
        return [self._rewards[torch.from_numpy(steps)].double().numpy() for steps in self._recorded.steps]

    def predictions(self) -> list[Floats]:
        """Return what the redistributor says of each step, `[T]` of each episode: 0.0 in a bag that is still open.

        In the task's units, and of labeled transitions, too, what is predicted, not what is known: to be compared with
        true rewards that the run was never told.

        Raises:
            ValueError: It was not fitted yet.
        """
        return self._recorded.predictions()

    def progress(self) -> Progress:
        """Evaluate the policy, and say how the run stands: its steps are updates of the learner."""
        done = self.total_steps // self.config.evaluate_every * self.config.evaluation_episodes
        evaluation = self.evaluate(self.config.evaluation_episodes, self._evaluation_seed + done)
        return Progress(self.total_steps, self.episodes, evaluation, self._means.take())

    def evaluate(self, episodes: int, seed: int) -> Evaluation:
        """Play some episodes with the policy as it is, without exploring."""
        return evaluate(self._evaluation_env, self.act, episodes, seed)

    def act(self, observation: Any) -> Any:
        """Return the policy's own action for an observation as the environment gives it."""
        kept = element(self._evaluation_env.observation_space, observation)
        features = torch.from_numpy(self.standardization(self._seen.encode(kept[None])))
        return self._acted.decode(self.learner.act(features, explore=False).numpy())[0]

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to go on bit for bit, beside the episodes themselves."""
        generators = self._generators()
        fitted = None if self.imputation is None else vars(self.imputation)
        return {
            "parts": {"learner": self.learner.state_dict(), "redistributor": self.redistributor.state_dict()},
            "draws": {name: generator.bit_generator.state for name, generator in generators.items()},
            "counts": {"total_steps": self.total_steps},
            "reward_scale": self.reward_scale,
            "means": self._means.sums,
            "imputation": fitted,
            "rewards": self._rewards.clone(),
            "standardization": vars(self.standardization),
            "data": self._data,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the saved state of a run of the same method, settings, seed and episodes.

        Raises:
            CheckpointError: The saved run had other episodes.
        """
        if state["data"] != self._data:
            raise CheckpointError("the saved run must have had these trajectories, and it had others: pass those.")
        self.learner.load_state_dict(state["parts"]["learner"])
        self.redistributor.load_state_dict(state["parts"]["redistributor"])
        for name, generator in self._generators().items():
            generator.bit_generator.state = state["draws"][name]
        self.total_steps = state["counts"]["total_steps"]
        self.reward_scale = state["reward_scale"]
        self._means.sums = {name: list(sums) for name, sums in state["means"].items()}
        self._recorded.imputation = None if state["imputation"] is None else Imputation(**state["imputation"])
        self._rewards = state["rewards"].clone()

    def _generators(self) -> dict[str, np.random.Generator]:
        return {"steps": self._draws, "bags": self._bag_draws, "held_out": self._held_draws}

    def close(self) -> None:
        """Close the environment."""
        self._evaluation_env.close()
