"""The only place where reward is accumulated: N slots in arrays, or one slot in plain Python floats."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bagged_envs.wrappers.arguments import known, positive_int
from bagged_envs.wrappers.schedule import RewardSchedule, a_schedule

Bools: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]

NONFINITE = ("raise", "pass")
WHOLE_EPISODE = np.iinfo(np.int64).max


class NonFiniteRewardError(ValueError):
    """A dense reward, or what a bag adds up to, is NaN or infinite."""


def as_reward(reward: object, name: str) -> float:
    """Return one dense reward as a Python float.

    Raises:
        TypeError: It is not one real number.
    """
    if isinstance(reward, np.ndarray) and reward.size == 1:
        reward = reward.item()
    if isinstance(reward, (numbers.Real, np.floating, np.integer, np.bool_)):
        return float(reward)
    raise TypeError(f"{name} paid the reward {reward!r} of type {type(reward).__name__}: it must be one real number.")


def as_rewards(rewards: object, num_slots: int, name: str) -> Floats:
    """Return a step's dense rewards as a float64 array `(num_slots,)`.

    Raises:
        TypeError: They are not real numbers.
        ValueError: Their shape is another.
    """
    array = np.asarray(rewards)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} paid rewards of dtype {array.dtype}: they must be real numbers, got {rewards!r}.")
    if array.shape != (num_slots,):
        raise ValueError(f"{name} paid rewards of shape {array.shape}: it must be ({num_slots},), got {rewards!r}.")
    return array.astype(np.float64)


class BagDraws:
    """One slot's random streams: one for lengths, one for labels, apart from the task's own.

    Each makes one draw when a bag opens (labels per episode: when the first bag of an episode opens), so that neither
    the steps in between nor the other stream can disturb it.
    """

    def __init__(self, schedule: RewardSchedule) -> None:
        """Start from fresh entropy."""
        self._low_high = schedule.bag_len if isinstance(schedule.bag_len, tuple) else None
        self._length = schedule.bag_len if isinstance(schedule.bag_len, int) else WHOLE_EPISODE
        self._fraction = schedule.label_fraction
        self._per_episode = schedule.label_unit == "episode"
        self.needed = schedule.draws_lengths or schedule.draws_labels
        self._label = True
        self.seed(None)

    def seed(self, seed: int | None) -> None:
        """Restart both streams from `seed`, or from fresh entropy."""
        if self.needed:
            lengths, labels = np.random.SeedSequence(seed).spawn(2)
            self._lengths, self._labels = np.random.default_rng(lengths), np.random.default_rng(labels)

    def open_bag(self, starts_episode: bool) -> tuple[int, bool]:
        """Draw the length and the label of the bag that opens."""
        length = self._length
        if self._low_high is not None:
            length = int(self._lengths.integers(*self._low_high, endpoint=True))
        if self._fraction < 1.0 and (starts_episode or not self._per_episode):
            self._label = bool(self._labels.random() < self._fraction)
        return length, self._label


def _square(reward: Any) -> Any:
    return reward * reward


def _larger(total: float, reward: float) -> float:
    return reward if reward > total or reward != reward else total


def _larger_of_arrays(total: Floats, reward: Floats) -> Floats:
    return np.where((reward > total) | (reward != reward), reward, total)


def _add(total: Any, reward: Any) -> Any:
    return total + reward


class SlotLedger:
    """A ledger with one slot, in plain Python floats: to the bit what `RewardLedger` does, and fast.

    After `pay`, `bag_end` says whether that step closed a bag, `observed` whether its reward is a label, `success`
    whether a successful episode ended and says so, and `count` is the number of steps in the open bag.

    Example:
        >>> ledger = SlotLedger(RewardSchedule(bag_len=2))
        >>> [ledger.pay(reward, ended) for reward, ended in [(1.0, False), (2.0, False), (4.0, True)]]
        [0.0, 3.0, 4.0]
    """

    nothing = 0.0  # the reward of a reset
    __slots__ = (
        "_before", "_check", "_draws", "_fixed", "_kind", "_labeled", "_length", "_plain", "_show_success",
        "_unlabeled", "bag_end", "count", "name", "observed", "success", "total",
    )  # fmt: skip

    def __init__(
        self,
        schedule: RewardSchedule,
        nonfinite: str = "raise",
        name: str = "the environment",
        *,
        show_success: bool = False,
    ) -> None:
        """Start with no open bag.

        Args:
            schedule: When a bag closes, what is paid, whether it is shown.
            nonfinite: "raise" on a NaN or infinite reward, or "pass" it into its own bag.
            name: What error messages call the environment.
            show_success: Let `success` tell of episodes whose label is hidden, too.
        """
        self._draws = BagDraws(a_schedule(schedule))
        self._fixed = not self._draws.needed
        self._kind = "success" if schedule.success is not None else schedule.aggregate
        self._plain = self._kind in ("sum", "mean", "square_sum", "success")
        self._check = known("nonfinite", nonfinite, NONFINITE) == "raise"
        self._unlabeled = schedule.unlabeled_reward
        self.name, self._show_success = name, show_success
        self._length, self._labeled = self._draws.open_bag(True) if self._fixed else (0, True)
        self.discard()

    def discard(self) -> None:
        """Throw the open bag away: nothing of it will ever be paid."""
        self.count, self._before, self.total = 0, 0, 0.0
        self.bag_end = self.observed = self.success = False

    def as_dense(self, reward: Any) -> float:
        """Return a dense reward as info shows it.

        Raises:
            TypeError: The reward is not one real number.
        """
        return as_reward(reward, self.name)

    def tell_nothing(self) -> None:
        """Say that a step closed no bag here, because it concerned nobody."""
        self.bag_end = self.observed = self.success = False

    def reset(self, seed: int | None = None) -> None:
        """Begin an episode: throw the open bag away, and restart the random streams if a seed is given."""
        self.discard()
        if seed is not None:
            self._draws.seed(int(seed))

    def pay(self, reward: Any, ended: bool, judge: Callable[[float], bool] | None = None) -> float:
        """Take one step's dense reward and return what is paid for that step.

        Args:
            reward: The dense reward.
            ended: Whether the episode ends with this step, which closes the bag.
            judge: For a success schedule, where `ended`: from the dense return to whether it was a success.

        Raises:
            NonFiniteRewardError: The reward, or what the bag adds up to, is not finite, and nonfinite="raise".
            TypeError: The reward is not one real number.
        """
        if type(reward) is not float:  # np.float64 is a float, and common enough for a path of its own
            reward = float(reward) if isinstance(reward, float) else as_reward(reward, self.name)
        count = self.count + 1
        if count == 1:
            if not self._fixed:
                self._length, self._labeled = self._draws.open_bag(self._before == 0)
            total = reward if self._kind != "sum_square" else reward * reward
        elif self._plain:
            total = self.total + reward
        else:
            total = _larger(self.total, reward) if self._kind == "max" else self.total + reward * reward
        if self._check and not (isfinite(total) and isfinite(reward)):
            self._refuse(reward, total, self._before + count)
        if count < self._length and not ended:
            self.count, self.total = count, total
            if self.bag_end:
                self.bag_end = self.observed = self.success = False
            return 0.0
        return self._close(total, count, ended, judge)

    def pay_episode(
        self, rewards: Sequence[float], judge: Callable[[float], bool] | None = None
    ) -> tuple[Floats, npt.NDArray[np.int64], Bools]:
        """Begin an episode, the random streams going on, and pay all of it, whose end closes the last bag.

        Args:
            rewards: The dense rewards of its T steps.
            judge: As for `pay`.

        Returns:
            What is paid for each step, float64 `[T]`; the number of each step's bag, int64 `[T]`, from 0; and of each
            bag whether its label is shown, bool.

        Raises:
            NonFiniteRewardError: As `pay`.
            TypeError: As `pay`.

        Example:
            >>> paid, bags, labeled = SlotLedger(RewardSchedule(bag_len=2)).pay_episode([1.0, 2.0, 4.0])
            >>> paid.tolist(), bags.tolist(), labeled.tolist()
            ([0.0, 3.0, 4.0], [0, 0, 1], [True, True])
        """
        self.discard()
        last, paid, closes, observed = len(rewards) - 1, [], [], []
        for step, reward in enumerate(rewards):
            paid.append(self.pay(reward, step == last, judge))
            closes.append(self.bag_end)
            observed.append(self.observed)
        ends = np.array(closes, dtype=np.bool_)
        return np.array(paid, dtype=np.float64), np.cumsum(ends) - ends, np.array(observed, dtype=np.bool_)[ends]

    def _close(self, total: float, count: int, ended: bool, judge: Callable[[float], bool] | None) -> float:
        if self._kind == "mean":
            paid = total / count
        elif self._kind == "square_sum":
            paid = total * total
        elif self._kind == "success":
            paid = float(judge(total)) if judge is not None else 0.0
        else:
            paid = total
        if self._check and not isfinite(paid):
            self._refuse(total, paid, self._before + count)
        self.count, self.total, self.bag_end, self.observed = 0, 0.0, True, self._labeled
        self.success = self._kind == "success" and paid == 1.0 and (self._labeled or self._show_success)
        self._before = 0 if ended else self._before + count
        return paid if self._labeled else self._unlabeled

    def _refuse(self, reward: float, total: float, step: int) -> None:
        raise NonFiniteRewardError(_nonfinite_message(self.name, step, reward, total))


class ListLedger:
    """A ledger for an environment that pays a list of rewards, one per agent, which all live to the episode's end.

    Each is paid its own bags, which open and close together, and are shown together.

    Example:
        >>> ledger = ListLedger(RewardSchedule(bag_len=2), 2)
        >>> [ledger.pay([1.0, 2.0], False), ledger.pay([4.0, 8.0], False)]
        [[0.0, 0.0], [5.0, 10.0]]
    """

    def __init__(
        self,
        schedule: RewardSchedule,
        num_agents: int,
        nonfinite: str = "raise",
        name: str = "the environment",
        *,
        shared: bool = False,
        show_success: bool = False,
    ) -> None:
        """Start with no open bag; arguments as for `SlotLedger`.

        A success is the team's, and pays each agent 1.0: it is judged once, by the return of the agents' summed
        rewards, or with `shared` of the first's, where every agent's reward is the team's already.
        """
        self.num_agents, self.name, self._shared = num_agents, name, shared
        self.nothing = [0.0] * num_agents
        self._as_team = schedule.success is not None
        names = [name] if self._as_team else [f"{name}, agent {i}" for i in range(num_agents)]
        self._slots = [SlotLedger(schedule, nonfinite, one, show_success=show_success) for one in names]
        self.reset(int(np.random.default_rng().integers(2**63)))  # one fresh seed: their bags are drawn alike

    def reset(self, seed: int | None = None) -> None:
        """Begin an episode: throw the open bags away, and restart the random streams if a seed is given."""
        for slot in self._slots:
            slot.reset(seed)

    def as_dense(self, rewards: Any) -> list[float]:
        """Return dense rewards as info shows them: a list of floats.

        Raises:
            TypeError: They are no list of `num_agents` real numbers.
        """
        if not isinstance(rewards, Sequence | np.ndarray) or len(rewards) != self.num_agents:
            raise TypeError(f"{self.name} must pay a list of {self.num_agents} rewards, got {rewards!r}.")
        return [as_reward(reward, f"{self.name}, agent {i},") for i, reward in enumerate(rewards)]

    def pay(self, rewards: Any, ended: bool, judge: Callable[[float], bool] | None = None) -> list[float]:
        """Take one step's dense rewards and return what is paid for that step; as `SlotLedger.pay`.

        Raises:
            NonFiniteRewardError: A reward, or what a bag adds up to, is not finite, and nonfinite="raise".
            TypeError: The rewards are no list of `num_agents` real numbers.
        """
        dense = self.as_dense(rewards)
        if self._as_team:
            total = dense[0] if self._shared else team_total(dense)
            return [self._slots[0].pay(total, ended, judge)] * self.num_agents
        return [slot.pay(reward, ended, judge) for slot, reward in zip(self._slots, dense, strict=True)]

    @property
    def bag_end(self) -> bool:
        """Whether the last step closed the bags."""
        return self._slots[0].bag_end

    @property
    def observed(self) -> bool:
        """Whether the last step's rewards are labels."""
        return self._slots[0].observed

    @property
    def success(self) -> bool:
        """Whether a successful episode ended, and says so."""
        return self._slots[0].success

    @property
    def count(self) -> int:
        """The number of steps in the open bags."""
        return self._slots[0].count


def team_total(rewards: Sequence[float]) -> float:
    """Return the left-to-right sum: not `sum`, which newer Pythons compensate, and which starts with an int."""
    total = rewards[0]
    for reward in rewards[1:]:
        total += reward
    return total


def _nonfinite_message(name: str, step: int, reward: float, total: float) -> str:
    what = f"the reward {reward!r}" if not isfinite(reward) else f"a bag that adds up to {total!r}"
    return (
        f"{name} gave {what} in step {step} of the episode. Call reset() to go on with the next episode, or pass "
        f"nonfinite='pass' to let it spoil its own bag."
    )


class RewardLedger:
    """A ledger with N slots in arrays: one slot per environment of a vector environment.

    After `pay`, the bool arrays `bag_end`, `observed` and `success` `(N,)` say of each slot what `SlotLedger` says of
    its one, and `count` `(N,)` is the number of steps in each open bag. Every call makes new arrays.

    Example:
        >>> ledger = RewardLedger(RewardSchedule(bag_len=2), 2)
        >>> ledger.pay([1.0, 5.0], ended=np.array([False, True]))
        array([0., 5.])
        >>> ledger.pay([2.0, 7.0], ended=np.array([False, False]))
        array([3., 0.])
        >>> ledger.count
        array([0, 1])
    """

    def __init__(
        self,
        schedule: RewardSchedule,
        num_slots: int,
        nonfinite: str = "raise",
        name: str = "the environment",
        *,
        show_success: bool = False,
    ) -> None:
        """Start with no open bag in any slot.

        Args:
            schedule: When a bag closes, what is paid, whether it is shown.
            num_slots: N, at least 1.
            nonfinite: "raise" on a NaN or infinite reward, or "pass" it into its own bag.
            name: What error messages call the environment.
            show_success: Let `success` tell of episodes whose label is hidden, too.
        """
        self.num_slots = num_slots = positive_int("num_slots", num_slots)
        self._schedule, self._name, self._show_success = a_schedule(schedule), name, show_success
        self._kind = "success" if schedule.success is not None else schedule.aggregate
        self._first = _square if self._kind == "sum_square" else np.positive
        self._fold = _larger_of_arrays if self._kind == "max" else _add
        self._check = known("nonfinite", nonfinite, NONFINITE) == "raise"
        self._draws = [BagDraws(schedule) for _ in range(num_slots)]
        self._length = np.full(num_slots, self._draws[0]._length, dtype=np.int64)
        self._labeled = np.ones(num_slots, dtype=np.bool_)
        self._elapsed = np.zeros(num_slots, dtype=np.int64)
        self.total = np.zeros(num_slots)
        self.count = np.zeros(num_slots, dtype=np.int64)
        self.bag_end = self.observed = self.success = np.zeros(num_slots, dtype=np.bool_)

    def reset(self, mask: Bools | None = None, seeds: Sequence[int | None] | None = None) -> None:
        """Begin an episode in the slots of `mask` `(N,)`, or in all: throw their open bags away.

        Args:
            mask: Which slots; the others go on untouched.
            seeds: A seed, or None to go on with the random streams, for each of the N slots.

        Raises:
            ValueError: The mask or the seeds are not one per slot.
        """
        chosen = np.ones(self.num_slots, dtype=np.bool_) if mask is None else self._one_per_slot("mask", mask)
        if seeds is not None and len(seeds) != self.num_slots:
            raise ValueError(f"seeds must have one entry for each of the {self.num_slots} slots, got {seeds!r}.")
        keep = ~chosen
        self.count, self._elapsed, self.total = self.count * keep, self._elapsed * keep, np.where(keep, self.total, 0.0)
        self.bag_end, self.observed, self.success = self.bag_end & keep, self.observed & keep, self.success & keep
        for draws, slot_chosen, seed in zip(self._draws, chosen, seeds or (), strict=False):
            if slot_chosen and seed is not None:
                draws.seed(int(seed))

    def pay(
        self,
        rewards: npt.ArrayLike,
        ended: Bools,
        active: Bools | None = None,
        judge: Callable[[int, float], bool] | None = None,
    ) -> Floats:
        """Take one step's dense rewards and return what is paid, float64 `(N,)`.

        Args:
            rewards: Dense rewards, `(N,)`.
            ended: Whose episode ends with this step, `(N,)`.
            active: Who made a step at all, `(N,)`; None for all. The others are paid 0.0 and nothing of them counts.
            judge: For a success schedule: from slot and dense return to whether it was a success.

        Raises:
            NonFiniteRewardError: A reward, or what a bag adds up to, is not finite, and nonfinite="raise".
            TypeError: The rewards are not real numbers.
            ValueError: The shape of the rewards, of `ended` or of `active` is not `(N,)`.
        """
        dense = as_rewards(rewards, self.num_slots, self._name)
        ended = self._one_per_slot("ended", ended)
        active = np.ones(self.num_slots, dtype=np.bool_) if active is None else self._one_per_slot("active", active)
        opening = active & (self.count == 0)
        if self._draws[0].needed:
            for slot in np.flatnonzero(opening):
                draw = self._draws[slot].open_bag(bool(self._elapsed[slot] == 0))
                self._length[slot], self._labeled[slot] = draw
        with np.errstate(over="ignore", invalid="ignore"):
            terms = self._first(dense)
            folded = np.where(opening, terms, self._fold(self.total, terms))
        self._refuse_nonfinite(dense, folded, active, self._elapsed + 1)
        self.total = np.where(active, folded, self.total)
        self.count = self.count + active
        self._elapsed = self._elapsed + active
        self.bag_end = active & ((self.count >= self._length) | ended)
        self.observed = self.bag_end & self._labeled
        paid = self._payment(judge)
        self.total = np.where(self.bag_end, 0.0, self.total)
        self.count = self.count * ~self.bag_end
        self._elapsed = self._elapsed * ~(active & ended)
        return paid

    def _one_per_slot(self, name: str, value: Any) -> Bools:
        array = np.asarray(value)
        if array.shape != (self.num_slots,) or array.dtype != np.bool_:
            raise ValueError(f"{name} must be a bool array of shape ({self.num_slots},), got {value!r}.")
        return array

    def _payment(self, judge: Callable[[int, float], bool] | None) -> Floats:
        if self._kind == "success":
            value = np.zeros(self.num_slots)
            for slot in np.flatnonzero(self.bag_end) if judge is not None else ():
                value[slot] = float(judge(int(slot), float(self.total[slot])))  # type: ignore[misc]
            self.success = (self.bag_end if self._show_success else self.observed) & (value == 1.0)
        elif self._kind == "mean":
            value = self.total / np.maximum(self.count, 1)
        elif self._kind == "square_sum":
            with np.errstate(over="ignore", invalid="ignore"):
                value = self.total * self.total
        else:
            value = self.total
        self._refuse_nonfinite(self.total, value, self.bag_end, self._elapsed)
        return np.where(self.observed, value, np.where(self.bag_end, self._schedule.unlabeled_reward, 0.0))

    def _refuse_nonfinite(self, rewards: Floats, totals: Floats, where: Bools, steps: npt.NDArray[np.int64]) -> None:
        if not self._check:
            return
        bad = where & ~(np.isfinite(totals) & np.isfinite(rewards))
        if bad.any():
            slot = int(np.argmax(bad))
            name = f"{self._name}, slot {slot},"
            raise NonFiniteRewardError(
                _nonfinite_message(name, int(steps[slot]), float(rewards[slot]), float(totals[slot]))
            )
