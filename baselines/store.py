"""Recorded episodes, from which bags and single steps are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Space
from torch import Tensor

from bagged_envs.baselines import layout
from bagged_envs.baselines.api import BagBatch, Redistributor, Sampling, StepFactors, TeamEpisodes, Transitions
from bagged_envs.baselines.draws import CHUNK, Array, Bools, Ints, chunks, number_of_bags, some_steps, until
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.promises import relabeled
from bagged_envs.baselines.ring import EpisodeRing
from bagged_envs.trajectory import Trajectory
from bagged_envs.wrappers.arguments import positive_int

Generator = np.random.Generator


class EpisodeStore:
    """A ring of whole episodes: a new one evicts as many of the oldest as it needs the room of.

    The arrays have `capacity + 1` rows; the operating system gives memory as they fill. An episode of T steps takes
    T + 1 consecutive rows: row t holds what belongs to step t and the observation before it, the last one only the
    observation after the last step. So no observation is stored twice, one episode may have `capacity` steps, and
    n shorter ones together have at most `capacity + 1 - n`.

    Steps and bags are named by numbers, which hold until the next `add`: those of steps are what
    `sample_transitions` gives, those of bags what `all_bags` gives. Only closed bags are drawn; the steps of an open
    one only by `sample_transitions` if it is asked to.

    Rewards per step `[T]` are a team's: its label is what was paid in a bag's last step, and each agent present in a
    step has an equal share of what was paid in it (`paid`, `dense`). Rewards `[T, A]` are the agents' own: the label
    is their sum. Either way the shares add up to the label. Whether an agent is present in step t says
    `extras["alive"][t]`, bool `[T + 1, A]`; without it all are.

    Example:
        >>> store = EpisodeStore(10, observation_size=1, action_size=1)
        >>> steps = store.add(Trajectory(np.zeros((3, 1)), np.zeros(2), np.array([0.0, 5.0]), np.array([0, 0]),
        ...     np.array([True]), terminated=True))
        >>> batch = store.sample_bags(Sampling(bags=1), np.random.default_rng(0))
        >>> batch.label.tolist(), batch.length.tolist(), batch.paid.flatten().tolist()
        ([5.0], [2], [0.0, 5.0])
    """

    def __init__(
        self,
        capacity: int,
        observation_size: int,
        action_size: int,
        agents: int = 1,
        *,
        observation_features: Features | None = None,
        action_features: Features | None = None,
    ) -> None:
        """Make an empty store.

        Args:
            capacity: How many transitions.
            observation_size: D, of each agent's observation.
            action_size: U, of each agent's action.
            agents: A.
            observation_features: What turns trajectories' observations into features; None if they are that already.
            action_features: The same of actions.

        Raises:
            TypeError: A number is no int.
            ValueError: A number is less than 1, or the features have other sizes.
        """
        self.capacity = positive_int("capacity", capacity)
        self.observation_size = positive_int("observation_size", observation_size)
        self.action_size = positive_int("action_size", action_size)
        self.agents = positive_int("agents", agents)
        self.observation_features, self.action_features = observation_features, action_features
        self._check_features("observation", observation_features, observation_size)
        self._check_features("action", action_features, action_size)
        self._ring = EpisodeRing(self.capacity, self.observation_size, self.action_size, self.agents)
        self._has_dense: bool | None = None
        self._factors: StepFactors | None = None
        self._masks = False
        self.version = 0

    @classmethod
    def for_spaces(
        cls, observation_space: Space[Any], action_space: Space[Any], agents: int = 1, capacity: int = 1_000_000
    ) -> EpisodeStore:
        """Return a store of the features of two spaces, to which trajectories come as environments gave them.

        Raises:
            TypeError: A space has no features of fixed size.
            ValueError: A space is not that of `agents` agents side by side.

        Example:
            >>> from gymnasium.spaces import Box, Discrete
            >>> store = EpisodeStore.for_spaces(Box(-1, 1, (3,)), Discrete(4))
            >>> store.capacity, store.observation_size, store.action_size
            (1000000, 3, 4)
        """
        seen, acted = Features(observation_space, agents), Features(action_space, agents)
        return cls(capacity, seen.size, acted.size, agents, observation_features=seen, action_features=acted)

    def empty_like(self, capacity: int) -> EpisodeStore:
        """Return an empty store of the same features and factors, and another capacity."""
        features = {"observation_features": self.observation_features, "action_features": self.action_features}
        store = EpisodeStore(capacity, self.observation_size, self.action_size, self.agents, **features)
        store.keep(self._factors)
        if self._masks:
            store.keep_masks()
        return store

    def keep(self, factors: StepFactors | None) -> None:
        """Have batches bring `factors` of their steps, computed once: now for what is stored, else when it is added.

        Args:
            factors: What computes them, such as a redistributor's attribute `factors`; None for none.
        """
        self._factors = factors
        if factors is not None:
            self._ring.keep("factors", factors.size)
            steps = np.flatnonzero(self._ring.rows["bag"] >= 0)
            seen, acted, after = (
                self._take(name, rows)
                for name, rows in (
                    ("observations", steps),
                    ("actions", steps),
                    ("observations", self._ring.after(steps)),
                )
            )
            self._ring.rows["factors"][steps] = layout.factors_of(factors, seen, acted, after)

    def keep_masks(self) -> None:
        """Keep which actions could be chosen, bool `[T + 1, A, U]` in `extras["action_mask"]`; without it all.

        Raises:
            RuntimeError: There are episodes already.
        """
        if self.num_episodes:
            raise RuntimeError(f"keep_masks() needs an empty store, got {self.num_episodes} episodes: call it before.")
        self._masks = True
        self._ring.keep("allowed", self.action_size, np.bool_)

    def __len__(self) -> int:
        """How many transitions there are, those of open bags included."""
        return self._ring.num_steps

    @property
    def num_episodes(self) -> int:
        """How many episodes there are."""
        return self._ring.num_episodes

    @property
    def num_whole_episodes(self) -> int:
        """How many episodes there are whose last bag is closed."""
        return len(self._ring.queues["episodes"])

    @property
    def num_bags(self) -> int:
        """How many closed bags there are."""
        return len(self._ring.queues["bags"])

    @property
    def num_labeled_bags(self) -> int:
        """How many labeled bags there are."""
        return len(self._ring.queues["labeled_bags"])

    def whole_episodes(self) -> Iterator[Ints]:
        """Yield the numbers of the steps of each episode whose last bag is closed, int64 `[T]`, the oldest first."""
        for first in self._ring.queues["episodes"].all():
            steps, there = self.following(np.array([first]), self._ring.longest)
            yield steps[there]

    def add(self, trajectory: Trajectory) -> Ints:
        """Store an episode; of one that goes on, add the whole later, or its steps are there twice.

        Returns:
            The numbers of its steps, int64 `[T]`.

        Raises:
            ValueError: The episode is longer than the capacity, something has another size than the store, or a step
                before a bag's last was paid. Nothing was changed.
        """
        columns = self._row_columns(trajectory)
        places = self._ring.add(columns, layout.bag_columns(trajectory), trajectory.bag_ids)
        self._has_dense = "dense" in columns
        return places

    def sample_bags(self, sampling: Sampling, generator: Generator, only_labeled: bool = False) -> BagBatch:
        """Return random closed bags, drawn with replacement; with `sampling.steps` random steps of each, in order.

        Whole bags begin in column `sampling.history`; in the columns before them stand the steps before the bag,
        the latest last, as far as the episode has them.

        Raises:
            ValueError: There is no such bag, or history is asked for with samples of steps.
        """
        bags = self._draw_bags(sampling, generator, "labeled_" if only_labeled else "")
        if sampling.steps is None:
            return self._whole(bags, sampling.history)
        if sampling.history:
            raise ValueError(f"history={sampling.history} needs whole bags: use steps=None, not {sampling.steps}.")
        columns = some_steps(self._ring.bags["length"][bags], sampling.steps, generator)
        return self._gather(bags, self._ring.wrap(self._ring.bags["start"][bags, None] + columns))

    def sample_steps(
        self, n: int, generator: Generator, only_labeled: bool = False, include_open: bool = False
    ) -> Ints:
        """Return the numbers of random steps, int64 `[n]`, drawn with replacement.

        Args:
            n: How many.
            generator: Random numbers.
            only_labeled: Only steps of labeled bags.
            include_open: Also steps of bags that are still open.

        Raises:
            ValueError: There is no such step, or both restrictions contradict each other.
        """
        if only_labeled and include_open:
            raise ValueError("include_open=True needs only_labeled=False: an open bag has no label yet.")
        return self._draw("labeled_steps" if only_labeled else "steps", n, generator, include_open)

    def sample_transitions(
        self, n: int, generator: Generator, only_labeled: bool = False, include_open: bool = False
    ) -> tuple[Ints, Transitions]:
        """Return what `sample_steps` does, and the steps with the rewards that were paid.

        Raises:
            ValueError: As `sample_steps`.
        """
        indices = self.sample_steps(n, generator, only_labeled, include_open)
        return indices, self.transitions(indices)

    def following(self, indices: Ints, count: int) -> tuple[Ints, Bools]:
        """Return some steps and those after them in their episodes: int64 `[N, count]`, and which there are.

        Raises:
            ValueError: A number is no step's.
        """
        self._check_steps(indices)
        steps = self._ring.wrap(indices[:, None] + np.arange(count))
        # After an episode's last step stands a row without a step.
        there = np.logical_and.accumulate(self._ring.rows["bag"][steps] >= 0, axis=1)
        return steps, there

    def transitions(self, indices: Ints, rewards: Tensor | None = None, until: Ints | None = None) -> Transitions:
        """Return some steps for a learner, all agents together: `[N, A * D]`, `[N, A * U]`, the sum of rewards.

        Args:
            indices: int64 `[N]`, numbers of steps.
            rewards: float32 `[N, A]`, such as `relabel` gives; None for what was paid.
            until: int64 `[N]`, the last of several steps that each transition spans; None for the step itself.

        Raises:
            ValueError: A number is no step's.
        """
        self._check_steps(indices)
        until = indices if until is None else until
        paid = torch.from_numpy(self._take("paid", indices)) if rewards is None else rewards
        seen, acted = self.agents * self.observation_size, self.agents * self.action_size
        return Transitions(
            torch.from_numpy(self._take("observations", indices).reshape(-1, seen)),
            torch.from_numpy(self._take("actions", indices).reshape(-1, acted)),
            paid[:, 0] if self.agents == 1 else paid.sum(dim=1),
            torch.from_numpy(self._take("observations", self._ring.after(until)).reshape(-1, seen)),
            torch.from_numpy(self._take("terminated", until)),
        )

    def sample_episodes(self, count: int, generator: Generator) -> tuple[Ints, Bools]:
        """Return the steps of random whole episodes, drawn without replacement.

        Returns:
            The numbers of the steps, int64 `[B, L]`, where L is the longest one's, and which there are, bool `[B, L]`.

        Raises:
            ValueError: There are not so many episodes whose last bag is closed.
        """
        begun = self._ring.queues["episodes"]
        if positive_int("count", count) > len(begun):
            raise ValueError(f"count must be at most the number of whole episodes, {len(begun)}, got {count}.")
        firsts = begun.at(generator.choice(len(begun), size=count, replace=False))
        steps, there = self.following(firsts, self._ring.longest)
        columns = int(there.sum(axis=1).max())
        return steps[:, :columns], there[:, :columns]

    def episodes(
        self, steps: Ints, there: Bools, rewards: Tensor | None = None, only_labeled: bool = False
    ) -> TeamEpisodes:
        """Return whole episodes for a learner, 0 in the padding.

        Args:
            steps: int64 `[B, L]`, as `sample_episodes` gives them.
            there: bool `[B, L]`, the same.
            rewards: float32 `[N, A]` of the steps `steps[there]`, such as `relabel` gives; None for what was paid.
            only_labeled: Whether only steps of labeled bags are learned from.

        Raises:
            ValueError: A number is no step's.
        """
        bags = self._check_steps(steps[there])
        paid = torch.from_numpy(self._take("paid", steps[there])) if rewards is None else rewards
        shared = torch.zeros(steps.shape)
        shared[torch.from_numpy(there)] = paid.sum(dim=1)
        learned = there.copy()
        learned[there] &= self._ring.bags["labeled"][bags] | (not only_labeled)
        columns = {"actions": self._padded("actions", steps, there)}
        columns |= {"terminated": self._padded("terminated", steps, there), "learned": learned}
        columns |= self._observed(steps, there)
        return TeamEpisodes(rewards=shared, **{name: torch.from_numpy(array) for name, array in columns.items()})

    def _observed(self, steps: Ints, there: Bools) -> dict[str, Array]:
        """Return what belongs to observations, `[B, L + 1, ...]`."""
        rows = np.concatenate((steps, self._ring.after(steps[:, -1:])), axis=1)
        seen = np.pad(there, ((0, 0), (1, 0)), constant_values=True)
        present = self._padded("present", rows, seen)
        allowed = np.ones((*present.shape, self.action_size), dtype=np.bool_)
        if self._masks:
            allowed = self._padded("allowed", rows, seen)
        return {"observations": self._padded("observations", rows, seen), "present": present, "allowed": allowed}

    def _padded(self, name: str, rows: Ints, there: Bools) -> Array:
        values = self._take(name, rows)
        values[~there] = 0
        return values

    def steps(self, indices: Ints) -> BagBatch:
        """Return some steps alone, `[N, 1, A, _]`, each with the label and the length of its bag.

        Raises:
            ValueError: A number is no step's.
        """
        return self._gather(self._check_steps(indices), indices[:, None])

    def bags_around(self, indices: Ints, history: int = 0) -> tuple[BagBatch, Ints]:
        """Return the whole closed bag around each of some steps, and the column `[N]` in which the step stands.

        Raises:
            ValueError: A number is no step's, or that of a step in an open bag.
        """
        bags = self._closed_bags(indices)
        return self._whole(bags, history), self._column(bags, indices) + history

    def all_bags(self, max_steps: int = CHUNK, history: int = 0) -> Iterator[tuple[Ints, BagBatch]]:
        """Yield every closed bag once, whole, in chunks: the numbers of the bags `[B]` and the bags.

        Args:
            max_steps: How many columns times rows a chunk may have; a longer bag comes alone.
            history: As in `Sampling`.

        Raises:
            RuntimeError: The store was added to before the last chunk.
        """
        return self._whole_bags(self._ring.queues["bags"].all(), max_steps, history)

    def _whole_bags(self, bags: Ints, max_steps: int, history: int) -> Iterator[tuple[Ints, BagBatch]]:
        changes = self._ring.changes
        for chunk in chunks(self._ring.bags["length"][bags] + history, max_steps):
            if self._ring.changes != changes:
                raise RuntimeError("all_bags() needs the store unchanged until its last chunk: add afterwards.")
            yield bags[chunk], self._whole(bags[chunk], history)

    def relabel(self, redistributor: Redistributor, indices: Ints, max_steps: int = CHUNK) -> Tensor:
        """Return the redistributed rewards of some steps, float32 `[N, A]`: the stored ones, or new ones.

        Each bag is shown once, however many of its steps are asked for, in chunks as `all_bags` has them.

        Raises:
            ValueError: A number is no step's, or the redistributor needs labels or whole bags and one of them is open,
                or its rewards are stored ones and none were ever stored.
        """
        if redistributor.stored:
            if not self.version:
                raise ValueError(
                    f"rewards of {redistributor.name} must be stored before they are read, got none: use relabel_all."
                )
            return self.stored_rewards(indices)
        if redistributor.context == "label":
            self._closed_bags(indices)
        if redistributor.context != "bag":
            return relabeled(redistributor, self.steps(indices))[:, 0]
        history = 0 if redistributor.sampling is None else redistributor.sampling.history
        bags, which = np.unique(self._closed_bags(indices), return_inverse=True)
        columns = self._column(bags[which], indices) + history
        rewards = torch.zeros(len(indices), self.agents)
        for chunk in chunks(self._ring.bags["length"][bags] + history, max_steps):
            rows = np.full(len(bags), -1)
            rows[chunk] = np.arange(len(chunk))
            chosen = np.flatnonzero(rows[which] >= 0)
            shown = relabeled(redistributor, self._whole(bags[chunk], history))
            rewards[chosen] = shown[rows[which[chosen]], columns[chosen]].to(rewards)
        return rewards

    def relabel_all(self, redistributor: Redistributor, max_steps: int = CHUNK) -> None:
        """Store a redistributor's rewards for every closed bag, as the next version."""
        self.relabel_oldest(redistributor, None, max_steps)

    def relabel_oldest(self, redistributor: Redistributor, steps: int | None, max_steps: int = CHUNK) -> None:
        """Store a redistributor's rewards, as the next version, for the bags that were relabeled longest ago.

        Those that never were come first, however many they are; then others, until all have so many steps. None is for
        all bags, as in `Schedule.refresh`.
        """
        versions, bags = self._ring.bags["version"], self._ring.queues["bags"].all()
        if steps is not None:
            bags = bags[np.argsort(versions[bags], kind="stable")]
            bags = bags[(versions[bags] == 0) | until(self._ring.bags["length"][bags], steps)]
        self.version += 1
        self._relabel_bags(redistributor, bags, max_steps)

    def relabel_new(self, redistributor: Redistributor, max_steps: int = CHUNK) -> None:
        """Store a redistributor's rewards for every closed bag that has none, with the current version."""
        bags = self._ring.queues["bags"].all()
        self._relabel_bags(redistributor, bags[self._ring.bags["version"][bags] == 0], max_steps)

    def _relabel_bags(self, redistributor: Redistributor, bags: Ints, max_steps: int) -> None:
        history = 0 if redistributor.sampling is None else redistributor.sampling.history
        for chunk, batch in self._whole_bags(bags, max_steps, history):
            self.write_rewards(chunk, relabeled(redistributor, batch))

    def write_rewards(self, bags: Ints, rewards: Tensor) -> None:
        """Store rewards of whole bags with the current `version`.

        Args:
            bags: int64 `[B]`, numbers of bags, each at most once.
            rewards: `[B, L, A]`, where the columns are those of `all_bags`, with history or without.

        Raises:
            ValueError: The rewards have another shape.
        """
        lengths = self._ring.bags["length"][bags]
        history = rewards.shape[1] - int(lengths.max())
        if rewards.shape != (len(bags), rewards.shape[1], self.agents) or history < 0:
            wanted = (len(bags), int(lengths.max()), self.agents)
            raise ValueError(f"rewards must have shape {wanted}, or more columns, got {tuple(rewards.shape)}.")
        rows, inside, _ = self._cells(bags, history)
        self._ring.rows["relabeled"][rows[inside]] = rewards.detach().cpu().numpy()[inside]
        self._ring.bags["version"][bags] = self.version

    def stored_rewards(self, indices: Ints) -> Tensor:
        """Return the stored rewards of some steps, float32 `[N, A]`; 0.0 where none were ever written.

        Raises:
            ValueError: A number is no step's.
        """
        self._check_steps(indices)
        return torch.from_numpy(self._take("relabeled", indices))

    def stored_versions(self, indices: Ints) -> Ints:
        """Return with which version the rewards of some steps were stored, `[N]`; 0 where they never were.

        Raises:
            ValueError: A number is no step's.
        """
        return self._ring.bags["version"][self._check_steps(indices)]

    def state_dict(self) -> dict[str, Any]:
        """Return copies of what is stored: tensors of what is used, and numbers."""
        own = {"sizes": self._sizes(), "has_dense": self._has_dense, "version": self.version}
        return {**own, "ring": self._ring.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become the store that was saved: the same draws give the same numbers, steps and bags.

        Raises:
            ValueError: The saved store has other sizes.
        """
        if state["sizes"] != self._sizes():
            raise ValueError(f"state must be of a store with {self._sizes()}, got {state['sizes']}: make it like that.")
        self._has_dense, self.version = state["has_dense"], state["version"]
        self._ring.load_state_dict(state["ring"])

    def _sizes(self) -> dict[str, int]:
        sizes = {name: getattr(self, name) for name in ("capacity", "observation_size", "action_size", "agents")}
        more = {} if self._factors is None else {"factors": self._factors.size}
        return {**sizes, **more, **({"masks": self.action_size} if self._masks else {})}

    def _check_features(self, name: str, features: Features | None, size: int) -> None:
        if features is not None and (features.size, features.agents) != (size, self.agents):
            raise ValueError(
                f"{name}_features must have size={size} and agents={self.agents}, got size={features.size} and "
                f"agents={features.agents}: EpisodeStore.for_spaces gets both right."
            )

    def _row_columns(self, trajectory: Trajectory) -> dict[str, Array]:
        steps = len(trajectory)
        if steps > self.capacity:
            raise ValueError(
                f"capacity={self.capacity} must hold the longest episode, got one of {steps} steps: raise it."
            )
        dense = trajectory.extras.get("dense_rewards")
        if self._has_dense is not None and self._has_dense != (dense is not None):
            raise ValueError(
                "all trajectories or none must have extras['dense_rewards'], got both: expose all or none."
            )
        there = layout.present(trajectory, self.agents)
        columns: dict[str, Array] = {
            "observations": layout.flat(
                "observations", trajectory.observations, self.observation_features, self.agents, self.observation_size
            ),
            "actions": layout.flat("actions", trajectory.actions, self.action_features, self.agents, self.action_size),
            "present": np.concatenate((there, layout.staying(trajectory, self.agents)[None])),
            "paid": layout.shares("rewards", layout.shown_rewards(trajectory), there),
            "terminated": np.zeros(steps),
        }
        columns["terminated"][-1] = trajectory.terminated
        if self._factors is not None:
            seen, acted = columns["observations"], columns["actions"]
            columns["factors"] = layout.factors_of(self._factors, seen[:steps], acted, seen[1:])
        if self._masks:
            columns["allowed"] = layout.allowed(trajectory, self.agents, self.action_size)
        if dense is not None:
            columns["dense"] = layout.shares("extras['dense_rewards']", dense[:steps], there)
        return columns

    def _take(self, name: str, steps: Ints) -> Array:
        return self._ring.rows[name].take(steps, axis=0)

    def _check_steps(self, indices: Ints) -> Ints:
        """Return the bags of some steps."""
        rows = self._ring.rows["bag"]
        bags: Ints = rows.take(indices, mode="clip")
        none = (bags < 0) | (indices < 0) | (indices >= len(rows))
        if none.any():
            raise ValueError(f"indices must be steps of this store, got {indices[none][:5]}: sample them anew.")
        return bags

    def _closed_bags(self, indices: Ints) -> Ints:
        bags = self._check_steps(indices)
        if not self._ring.bags["closed"][bags].all():
            raise ValueError("indices must be steps of closed bags to see the bags whole: use include_open=False.")
        return bags

    def _column(self, bags: Ints, indices: Ints) -> Ints:
        return self._ring.wrap(indices - self._ring.bags["start"][bags])

    def _draw_bags(self, sampling: Sampling, generator: Generator, prefix: str) -> Ints:
        there, steps = (len(self._ring.queues[f"{prefix}{name}"]) for name in ("bags", "steps"))
        count = number_of_bags(sampling.bags, sampling.enough, there, steps)
        if sampling.weight == "bag":
            return self._draw(f"{prefix}bags", count, generator)
        bags: Ints = self._ring.rows["bag"][self._draw(f"{prefix}steps", count, generator)]
        return bags

    def _draw(self, name: str, count: int, generator: Generator, include_open: bool = False) -> Ints:
        queue, others = self._ring.queues[name], self._ring.queues["open_steps"]
        total = len(queue) + (len(others) if include_open else 0)
        positive_int("what is drawn", count)
        if total == 0:
            raise ValueError(f"the store must have {name.replace('_', ' ')} to draw from, got none: add more episodes.")
        places = generator.integers(total, size=count)
        if not include_open:
            return queue.at(places)
        return np.where(places < len(queue), queue.at(places), others.at(places - len(queue)))

    def _whole(self, bags: Ints, history: int) -> BagBatch:
        return self._gather(bags, *self._cells(bags, history))

    def _cells(self, bags: Ints, history: int) -> tuple[Ints, Bools, Bools]:
        """Return rows `[B, L]`, which of them are steps of the bags, and which may be looked at."""
        if history < 0:
            raise ValueError(f"history must be at least 0, got {history}.")
        starts, lengths, positions = (self._ring.bags[name][bags, None] for name in ("start", "length", "position"))
        steps = np.arange(-history, lengths.max(initial=0))
        inside = (steps >= 0) & (steps < lengths)
        context = (steps < lengths) & (steps >= -positions)
        return self._ring.wrap(starts + steps), inside, context

    def _gather(self, bags: Ints, rows: Ints, inside: Bools | None = None, context: Bools | None = None) -> BagBatch:
        """Return rows `[B, L]` of bags as a batch, 0 where `inside` and `context` are False (None: nowhere)."""
        also = {"dense": self._has_dense, "factors": self._factors is not None}
        names = ("observations", "actions", "present", "paid", *(name for name, there in also.items() if there))
        columns = {name: self._take(name, rows) for name in names}
        columns["next_observations"] = self._take("observations", self._ring.after(rows))
        mask = seen = columns.pop("present")
        if inside is not None and context is not None:
            for name, array in columns.items():
                array[~(inside if name in ("paid", "dense") else context)] = 0.0
            mask, seen = mask & inside[..., None], seen & context[..., None]
        return BagBatch(
            mask=torch.from_numpy(mask),
            context=torch.from_numpy(seen),
            **{name: torch.from_numpy(self._ring.bags[name][bags]) for name in ("label", "labeled", "length")},
            **{name: torch.from_numpy(array) for name, array in columns.items()},
        )
