"""What a redistributor says of recorded episodes: fitted to their labeled bags, asked once for every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch

from bagged_envs.baselines import layout
from bagged_envs.baselines.api import Metrics, Redistributor, StepFactors
from bagged_envs.baselines.checkpoint import packed
from bagged_envs.baselines.description import as_json
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.imputation import Held, Imputation, bags_of, held_out, impute
from bagged_envs.baselines.judging.fit import updates_of
from bagged_envs.baselines.promises import no_prediction, own_units, pays_dense
from bagged_envs.baselines.recorded import Bools, Floats, features_of, labeled_steps
from bagged_envs.baselines.redistributors import config_class, make_redistributor, pinned
from bagged_envs.baselines.redistributors.identity import Identity
from bagged_envs.baselines.settings import check_settings
from bagged_envs.baselines.standardization import Standardization, TaskFactors
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.baselines.training import number
from bagged_envs.dataset_file import versions
from bagged_envs.datasets import Dataset, DatasetError, from_minari
from bagged_envs.trajectory import Trajectory
from bagged_envs.wrappers import RewardSchedule
from bagged_envs.wrappers.arguments import a_seed

OFFLINE = 8  # the key of the streams of random numbers
FIT_STEPS = 10_000  # environment steps whose worth of updates a redistributor gets where nothing else is said


class Streams(NamedTuple):
    """Seeds of everything that is random in learning offline, one for each purpose."""

    steps: np.random.SeedSequence
    bags: np.random.SeedSequence
    held_out: np.random.SeedSequence
    evaluation: np.random.SeedSequence
    learner: np.random.SeedSequence
    redistributor: np.random.SeedSequence

    @classmethod
    def of(cls, seed: int) -> Streams:
        """Return those of a seed, which was checked."""
        # Of its own: datasets draw labels, and recipes what is played, from the children of the seed itself.
        return cls(*np.random.SeedSequence(seed, spawn_key=(OFFLINE,)).spawn(len(cls._fields)))


@dataclass(frozen=True)
class FitConfig:
    """How a redistributor is fitted to recorded episodes.

    Attributes:
        standardize: Whether observations lose their mean and are divided by their deviation, over all recorded steps.
        keep_labels: Whether a labeled bag of a single step keeps its true reward where others are predicted.
        fit_updates: Updates of the redistributor, at most; None for as many as its own schedule makes in 10,000
            environment steps, so that methods whose updates are long make fewer.
        fit_batch: Steps that one of them sees at least.
        held_out: The share of the labeled bags by which the redistributor's updates are stopped; 0.0 makes all of them.
            Not for methods whose rewards are made of the label itself: they make all of them.
        fit_check_every: After how many updates these bags are looked at.
        fit_patience: After how many such looks without an improvement the redistributor is done.
    """

    standardize: bool = True
    keep_labels: bool = True
    fit_updates: int | None = None
    fit_batch: int = 256
    held_out: float = 0.1
    fit_check_every: int = 250
    fit_patience: int = 10

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One of them is out of range.
        """
        check_settings(self)


class RecordedRewards:
    """A redistributor with the episodes that it is fitted to.

    The store holds standardized observations; programs that say factors see the task's own.

    Attributes:
        redistributor: It.
        episodes: As features, without what nobody is to see.
        standardization: What observations go through.
        store: All episodes, in order.
        steps: int64 `[T]` of each: the numbers of its steps in the store.
        imputation: How the redistributor was fitted; None before.
    """

    def __init__(
        self,
        redistributor: Redistributor,
        trajectories: Sequence[Trajectory],
        seen: Features,
        acted: Features,
        config: FitConfig,
        schedule: RewardSchedule | None = None,
    ) -> None:
        """Take the episodes in; nothing is fitted yet.

        Args:
            redistributor: Made for these features.
            trajectories: Recorded episodes; `extras["dense_rewards"]` are looked at for the Oracle only.
            seen: Of observations.
            acted: Of actions.
            config: How it is fitted.
            schedule: What paid their labels, where that is known.

        Raises:
            TypeError: One is no trajectory.
            ValueError: They are not of these spaces, have numbers that are not finite, or no closed bag; or labels of
                single steps were to stay among shares of longer bags' that are no sums.
        """
        self.redistributor, self._config, self._seen, self._acted = redistributor, config, seen, acted
        oracle = pays_dense(redistributor)
        episodes = [features_of(place, one, seen, acted, oracle) for place, one in enumerate(trajectories)]
        if not episodes:
            raise ValueError("trajectories must be at least one episode, got none: record some.")
        if not any(one.closed or one.num_bags > 1 for one in episodes):
            raise ValueError("trajectories must have a closed bag, got open ones only: record whole episodes.")
        _check_kept(redistributor, episodes, config, schedule)
        labels = sum(int(one.labeled.sum()) for one in episodes)
        if labels == 1 and self._holds_out:
            raise ValueError(f"held_out={config.held_out} needs two labeled bags, got 1: use held_out=0, or show more.")
        kind, observed = Standardization, [one.observations for one in episodes]
        self.standardization = kind.of(observed) if config.standardize else kind.none(seen.size)
        self.episodes = [replace(one, observations=self.standardization(one.observations)) for one in episodes]
        self.store = self._empty_store()
        self.steps = [self.store.add(one) for one in self.episodes]
        self.imputation: Imputation | None = None

    def check_labels(self, name: str) -> None:
        """Refuse episodes without any label.

        Raises:
            ValueError: There is none; the message names who wants some.
        """
        if not any(one.labeled.any() for one in self.episodes):
            bags = sum(one.num_bags for one in self.episodes)
            raise ValueError(f"trajectories must have labeled bags for {name}, got {bags} without: label some.")

    def _empty_store(self) -> EpisodeStore:
        capacity = sum(len(one) + 1 for one in self.episodes)
        store = EpisodeStore(capacity, self._seen.size, self._acted.size)
        factors: StepFactors | None = getattr(self.redistributor, "factors", None)
        store.keep(None if factors is None else TaskFactors(factors, self.standardization))
        return store

    @property
    def fitted(self) -> bool:
        """Whether the redistributor was fitted, and has said its rewards."""
        return self.imputation is not None

    def fit(
        self,
        bag_draws: np.random.Generator,
        held_draws: np.random.Generator,
        report: Callable[[Metrics], None] = lambda metrics: None,
    ) -> Imputation:
        """Fit the redistributor, and have it say its rewards; return how it was fitted.

        Args:
            bag_draws: What bags are drawn by.
            held_draws: What held-out bags are drawn by.
            report: Called with the metrics of each update, and at last with the error on held-out bags.

        Raises:
            FloatingPointError: A loss is not finite.
            ValueError: The redistributor refuses the bags, or too few are labeled to hold some out.
        """
        config = self._config
        most = updates_of(self.redistributor.schedule, FIT_STEPS) if config.fit_updates is None else config.fit_updates
        store, held = self._parted(held_draws)
        self.imputation = impute(
            self.redistributor, store, bag_draws, most, config.fit_batch, report, held, config.fit_check_every
        )
        if self.imputation.error is not None:
            report({"held_out_error": self.imputation.error})
        self.store.relabel_all(self.redistributor)
        return self.imputation

    @property
    def _holds_out(self) -> bool:
        learns = self.redistributor.sampling is not None and no_prediction(self.redistributor) is None
        return learns and self._config.held_out > 0.0

    def _parted(self, held_draws: np.random.Generator) -> tuple[EpisodeStore, Held | None]:
        """Return the store to fit to, in which held-out bags look unlabeled, and these bags."""
        share, sampling = self._config.held_out, self.redistributor.sampling
        if not self._holds_out or sampling is None:
            return self.store, None
        chosen = held_out(self.episodes, share, held_draws)
        store = self._empty_store()
        for one, out in zip(self.episodes, chosen, strict=True):
            store.add(replace(one, labeled=one.labeled & ~out))
        bags = bags_of(self.store, np.concatenate(chosen), sampling.history)
        return store, Held(bags, self._config.fit_patience)

    def predictions(self) -> list[Floats]:
        """Return what the redistributor says of each step, `[T]` of each episode: 0.0 in a bag that is still open.

        In the task's units, and of labeled transitions, too, what is predicted, not what is known: to be compared with
        true rewards that were never told.

        Raises:
            ValueError: It was not fitted yet.
        """
        if not self.fitted:
            raise ValueError("the redistributor must be fitted before it predicts: call fit() first.")
        if not self.store.version:  # it was loaded: what was said then is not kept
            self.store.relabel_all(self.redistributor)
        return [self.store.stored_rewards(steps)[:, 0].double().numpy() for steps in self.steps]

    def given(self) -> list[Floats]:
        """Return the rewards of each step, `[T]` of each episode, with the true ones where `keep_labels` has them stay.

        Raises:
            ValueError: It was not fitted yet.
        """
        said = self.predictions()
        if not self._config.keep_labels or own_units(self.redistributor):
            return said
        return [
            np.where(labeled_steps(episode), layout.shown_rewards(episode), rewards)
            for episode, rewards in zip(self.episodes, said, strict=True)
        ]

    def known(self) -> list[Bools]:
        """Return which steps have such a reward, bool `[T]` of each: of closed bags, or of labeled ones alone."""
        labeled = self.redistributor.only_labeled
        return [
            one.labeled[one.bag_ids] if labeled else one.bag_ids < one.num_bags - (not one.closed)
            for one in self.episodes
        ]


def _check_kept(
    redistributor: Redistributor, episodes: Sequence[Trajectory], config: FitConfig, schedule: RewardSchedule | None
) -> None:
    """Refuse labels of another scale: of a mean over twenty steps each gets a twentieth, of one over one all of it."""
    if schedule is None or schedule.pays_sums or not config.keep_labels or own_units(redistributor):
        return
    kept = [labeled_steps(one) for one in episodes]
    if any(map(np.any, kept)) and not all(map(np.all, kept)):
        raise ValueError(
            f"keep_labels=True needs labels that are sums of rewards, got {schedule}: a label of a single step would "
            "stand among shares of others that are on another scale. Use keep_labels=False."
        )


def redistributed(
    dataset: Any,
    redistributor: str = "imputer",
    *,
    config: FitConfig | None = None,
    seed: int = 0,
    dataset_id: str | None = None,
    device: torch.device | str = "cpu",
    **settings: Any,
) -> Dataset:
    """Return the same episodes with a reward for each step: what a redistributor says that was fitted to the labels.

    Any library that learns from Minari's datasets can learn from it then. The rewards are those that `OfflineTraining`
    gives its learner with the same seed and settings, before they are scaled. Steps of a bag that is still open, which
    has no label, are left out.

    Args:
        dataset: A `Dataset`, or a `MinariDataset`, with bags and labels, such as `datasets.delayed` returns.
        redistributor: One of `REDISTRIBUTORS`; "imputer" is reward imputation.
        config: How it is fitted; None for the defaults.
        seed: Of everything random, at least 0.
        dataset_id: A name for what is returned; None for the old one with "-" and the redistributor's.
        device: Where networks are fitted, "cpu" or "cuda".
        **settings: Fields of the redistributor's configuration.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: There is no such redistributor or setting; it leaves steps without a reward, or refuses the bags; no
            bag is labeled, or `dataset_id` is no name.
        DatasetError: A redistributor said the rewards of the dataset already.
        FloatingPointError: A loss is not finite.

    Example:
        >>> from bagged_envs.datasets import delayed, record
        >>> from bagged_envs.wrappers import RewardSchedule
        >>> dense = record("InvertedPendulum-v5", None, "pendulum/random-v0", steps=200, seed=0)
        >>> few = delayed(dense, RewardSchedule(bag_len=1), seed=0, exact_count=20)
        >>> every = redistributed(few, "imputer", config=FitConfig(fit_updates=50), hidden=(8,))
        >>> every.dataset_id, every.num_labels, every.redistributor["name"]
        ('pendulum/random-delayed-imputer-v0', 200, 'imputer')
    """
    source: Dataset = dataset if isinstance(dataset, Dataset) else from_minari(dataset)
    if source.redistributor is not None:
        raise DatasetError(f"{source.dataset_id}: rewards must be paid ones, and a redistributor said these already.")
    if not isinstance(config, FitConfig | None):
        raise TypeError(f"config must be a FitConfig, got {config!r} of type {type(config).__name__}.")
    config, seed = FitConfig() if config is None else config, a_seed(seed)
    streams, seen, acted = Streams.of(seed), Features(source.observation_space), Features(source.action_space)
    made = make_redistributor(redistributor, seen.size, acted.size, number(streams.redistributor), device, **settings)
    _check_says_all(made, source)
    name, version = source.dataset_id.rsplit("-", 1)
    told = {"name": redistributor, "settings": pinned(asdict(config_class(redistributor)(**settings)))}
    paid = replace(
        source,
        dataset_id=dataset_id or f"{name}-{redistributor.replace('_', '-')}-{version}",
        schedule=None,
        seed=seed,
        exact_count=None,
        source=source.dataset_id,
        redistributor=as_json(packed({**told, "fit": asdict(config)})),
        versions=versions(),
    )
    fitting = RecordedRewards(made, source.trajectories, seen, acted, config, source.schedule)
    if not pays_dense(made):
        fitting.check_labels(redistributor)
    fitted = fitting.fit(np.random.default_rng(streams.bags), np.random.default_rng(streams.held_out))
    said = zip(source.trajectories, fitting.given(), fitting.known(), strict=True)
    return replace(
        paid,
        trajectories=tuple(_paid(one, rewards, int(known.sum())) for one, rewards, known in said if known.any()),
        redistributor={**(paid.redistributor or {}), "updates": fitted.updates, "held_out_error": fitted.error},
    )


def _check_says_all(redistributor: Redistributor, dataset: Dataset) -> None:
    """Refuse what leaves steps of closed bags without a reward, or would pay nothing for them."""
    hidden = any(not one.labeled[: one.num_bags - (not one.closed)].all() for one in dataset.trajectories)
    shares = isinstance(redistributor, Identity) and not pays_dense(redistributor)  # labels out, and knows no others
    if redistributor.only_labeled or (shares and hidden):
        raise ValueError(
            f"redistributor must say a reward for each step, got {redistributor.name!r}, which has none for steps of "
            "bags without a label."
        )


def _paid(trajectory: Trajectory, rewards: Floats, steps: int) -> Trajectory:
    """Return the first steps of an episode, each with a reward of its own."""
    return Trajectory(
        trajectory.observations[: steps + 1],
        trajectory.actions[:steps],
        rewards[:steps],
        np.arange(steps),
        np.ones(steps, dtype=np.bool_),
        terminated=trajectory.terminated,  # never where a bag is open
        extras={
            name: array[: steps + (len(array) > len(trajectory))]
            for name, array in trajectory.extras.items()
            if name != "dense_rewards"  # what was hidden stays hidden
        },
    )
