"""The ledger with literal numbers: every aggregate, borders, labels, success, masks."""

import functools
import math
import operator
import sys

import numpy as np
import pytest

from bagged_envs.wrappers import NonFiniteRewardError, RewardLedger, RewardSchedule, SlotLedger
from bagged_envs.wrappers.schedule import AGGREGATES

REWARDS = [0.5, -1.5, 4.0, 2.0, -3.0]


def scalar(rewards, end=True, nonfinite="raise", **arguments):
    """What each step is paid, its last step ending the episode or not."""
    ledger = SlotLedger(RewardSchedule(**arguments), nonfinite)
    return [ledger.pay(reward, end and step == len(rewards) - 1) for step, reward in enumerate(rewards)]


def array(rewards, end=True, nonfinite="raise", **arguments):
    ledger = RewardLedger(RewardSchedule(**arguments), 1, nonfinite)
    ends = [np.array([end and step == len(rewards) - 1]) for step in range(len(rewards))]
    return [ledger.pay([reward], ended)[0].item() for reward, ended in zip(rewards, ends, strict=True)]


@pytest.fixture(params=[scalar, array], ids=["scalar", "array"])
def pay(request):
    return request.param


@pytest.mark.parametrize(
    ("aggregate", "paid"),
    [
        ("sum", [0.0, -1.0, 0.0, 6.0, -3.0]),
        ("mean", [0.0, -0.5, 0.0, 3.0, -3.0]),
        ("max", [0.0, 0.5, 0.0, 4.0, -3.0]),
        ("sum_square", [0.0, 2.5, 0.0, 20.0, 9.0]),
        ("square_sum", [0.0, 1.0, 0.0, 36.0, 9.0]),
    ],
)
def test_every_aggregate(pay, aggregate, paid):
    assert pay(REWARDS, bag_len=2, aggregate=aggregate) == paid


@pytest.mark.parametrize(
    ("bag_len", "paid"),
    [
        (1, REWARDS),
        (3, [0.0, 0.0, 3.0, 0.0, -1.0]),
        (5, [0.0, 0.0, 0.0, 0.0, 2.0]),
        (9, [0.0, 0.0, 0.0, 0.0, 2.0]),
        (None, [0.0, 0.0, 0.0, 0.0, 2.0]),
    ],
)
def test_the_end_of_the_episode_closes_the_open_bag(pay, bag_len, paid):
    assert pay(REWARDS, bag_len=bag_len) == paid


def test_an_open_bag_is_not_paid(pay):
    assert pay(REWARDS, end=False, bag_len=3) == [0.0, 0.0, 3.0, 0.0, 0.0]


def test_the_sum_is_the_left_to_right_one_and_no_other(pay):
    """Ten times 0.1 is 0.9999999999999999 from left to right, 1.0 by fsum and by NumPy's pairwise sum."""
    rewards = [0.1] * 10
    assert pay(rewards, bag_len=10)[-1] == functools.reduce(operator.add, rewards) == 0.9999999999999999
    assert math.fsum(rewards) == 1.0


def test_the_sum_starts_with_the_first_reward_not_with_zero(pay):
    assert math.copysign(1.0, pay([-0.0], bag_len=1)[0]) == -1.0


def test_the_largest_of_negative_rewards_is_negative(pay):
    assert pay([-3.0, -1.0, -2.0], bag_len=3, aggregate="max")[-1] == -1.0


@pytest.mark.parametrize(("rewards", "paid"), [([0.0, -0.0], "0.0"), ([-0.0, 0.0], "-0.0")])
def test_of_equal_zeros_the_maximum_is_the_first(pay, rewards, paid):
    assert repr(pay(rewards, bag_len=2, aggregate="max")[-1]) == paid


@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_nan_that_passes_spoils_its_bag_wherever_it_stands(pay, aggregate, at):
    """A NaN is not larger than anything: "max" has to take it all the same, and keep it."""
    rewards = [1.0, 2.0, 4.0]
    rewards[at] = math.nan
    paid = pay(rewards + [1.0] * 3, bag_len=3, aggregate=aggregate, nonfinite="pass")
    assert math.isnan(paid[2])
    assert math.isfinite(paid[5])


@pytest.mark.parametrize(
    ("aggregate", "rewards", "step"),
    [
        ("sum", [1.0, 1e308, 1e308, 1.0], 3),
        ("mean", [1.0, -1e308, -1e308, 1.0], 3),
        ("sum_square", [1.0, 1e200, 0.0, 0.0], 2),
        ("square_sum", [1.0, 1e200, 0.0, 0.0], 4),
    ],
)
def test_an_overflow_is_refused_in_the_step_in_which_it_happens(pay, aggregate, rewards, step):
    """A square of the sum is first taken when the bag closes."""
    with pytest.raises(NonFiniteRewardError, match=f"gave a bag that adds up to -?inf in step {step} of the episode"):
        pay(rewards, bag_len=4, aggregate=aggregate)


def test_unlabeled_bags_pay_the_unlabeled_reward_at_their_end_only(pay):
    hidden = {"bag_len": 2, "label_fraction": 1e-12, "unlabeled_reward": math.nan}
    assert list(map(str, pay(REWARDS, **hidden))) == ["0.0", "nan", "0.0", "nan", "nan"]
    assert pay(REWARDS, bag_len=2, label_fraction=1e-12) == [0.0] * 5


@pytest.mark.parametrize("reward", [1, True, np.float32(1.0), np.int8(1), np.array([1.0]), np.float64(1.0)])
def test_whatever_number_is_paid_becomes_a_python_float(reward):
    paid = SlotLedger(RewardSchedule(bag_len=1)).pay(reward, False)
    assert type(paid) is float
    assert paid == 1.0


def test_float32_rewards_are_added_in_float64(pay):
    rewards = [np.float32(0.1)] * 3
    assert pay(rewards, bag_len=3)[-1] == functools.reduce(operator.add, [float(np.float32(0.1))] * 3)


def test_what_the_ledger_tells_after_each_step():
    ledger = SlotLedger(RewardSchedule(bag_len=2))
    told = []
    for ended in (False, False, False, True, False):
        ledger.pay(1.0, ended)
        told.append((ledger.bag_end, ledger.observed, ledger.count))
    assert told == [(False, False, 1), (True, True, 0), (False, False, 1), (True, True, 0), (False, False, 1)]
    ledger.reset()
    assert (ledger.bag_end, ledger.observed, ledger.count, ledger.total) == (False, False, 0, 0.0)


def test_success_is_judged_once_by_the_episodes_dense_return():
    asked = []

    def judge(total):
        asked.append(total)
        return total > 3.0

    ledger = SlotLedger(RewardSchedule(bag_len=None, success="return", threshold=3.0))
    assert [ledger.pay(2.0, ended, judge) for ended in (False, True)] == [0.0, 1.0]
    assert ledger.success
    assert [ledger.pay(1.0, ended, judge) for ended in (False, True)] == [0.0, 0.0]
    assert not ledger.success
    assert asked == [4.0, 2.0]


@pytest.mark.parametrize("show_success", [False, True])
def test_a_success_whose_label_is_hidden_is_told_on_request_only(show_success):
    schedule = RewardSchedule(bag_len=None, success="return", threshold=0.0, label_fraction=1e-12)
    one, many = SlotLedger(schedule, show_success=show_success), RewardLedger(schedule, 1, show_success=show_success)
    assert one.pay(1.0, True, lambda total: True) == 0.0
    assert many.pay([1.0], np.array([True]), None, lambda slot, total: True).tolist() == [0.0]
    assert (one.success, many.success.tolist()) == (show_success, [show_success])
    assert (one.observed, many.observed.tolist()) == (False, [False])


def test_an_error_names_the_step_of_the_episode_and_not_of_the_bag():
    ledger = SlotLedger(RewardSchedule(bag_len=2), name="Task-v0")
    for _ in range(4):
        ledger.pay(1.0, False)
    with pytest.raises(ValueError, match="Task-v0 gave the reward nan in step 5 of the episode"):
        ledger.pay(math.nan, False)


def drawn(ledger, bags):
    """The lengths and labels of so many bags."""
    lengths, labels = [], []
    while len(lengths) < bags:
        before = ledger.count
        ledger.pay(1.0, False)
        if ledger.bag_end:
            lengths.append(before + 1)
            labels.append(ledger.observed)
    return lengths, labels


def test_a_seed_spawns_one_stream_for_lengths_and_one_for_labels():
    """Saved results depend on these very numbers: one draw of each when a bag opens."""
    ledger = SlotLedger(RewardSchedule(bag_len=(2, 9), label_fraction=0.5))
    ledger.reset(seed=7)
    lengths, labels = map(np.random.default_rng, np.random.SeedSequence(7).spawn(2))
    expected = [(int(lengths.integers(2, 10)), bool(labels.random() < 0.5)) for _ in range(50)]
    assert list(zip(*drawn(ledger, 50), strict=True)) == expected


def test_an_episode_that_a_reset_cut_short_keeps_its_label_to_itself():
    schedule = RewardSchedule(bag_len=1, label_fraction=0.5, label_unit="episode")
    one, many, never = SlotLedger(schedule), RewardLedger(schedule, 1), np.zeros(1, dtype=bool)
    labels = np.random.default_rng(np.random.SeedSequence(7).spawn(2)[1])
    for episode in range(50):
        one.reset(7 if episode == 0 else None)
        many.reset(None, [7 if episode == 0 else None])
        due = bool(labels.random() < 0.5)
        for _ in range(3):
            one.pay(1.0, False)
            many.pay([1.0], never)
            assert (one.observed, many.observed.tolist()) == (due, [due])


def test_the_end_of_an_episode_begins_the_next_without_a_reset_too():
    """A label per episode is drawn anew, and errors count the steps of the new episode."""
    schedule = RewardSchedule(bag_len=2, label_fraction=0.5, label_unit="episode")
    one, many = SlotLedger(schedule), RewardLedger(schedule, 1)
    one.reset(7)
    many.reset(None, [7])
    labels = np.random.default_rng(np.random.SeedSequence(7).spawn(2)[1])
    for _ in range(20):
        due = bool(labels.random() < 0.5)
        for ended in (False, False, True):
            one.pay(1.0, ended)
            many.pay([1.0], np.array([ended]))
            assert (one.observed, many.observed.tolist()) == (due and one.bag_end, [due and one.bag_end])
    with pytest.raises(NonFiniteRewardError, match="in step 1 of the episode"):
        one.pay(math.nan, False)
    with pytest.raises(NonFiniteRewardError, match="in step 1 of the episode"):
        many.pay([math.nan], np.array([False]))


def test_a_whole_episode_takes_nothing_over_from_one_that_was_left_open():
    ledger = SlotLedger(RewardSchedule(bag_len=2))
    ledger.pay(64.0, False)
    assert ledger.pay_episode([1.0, 2.0, 4.0])[0].tolist() == [0.0, 3.0, 4.0]
    with pytest.raises(NonFiniteRewardError, match="in step 3 of the episode"):
        ledger.pay_episode([1.0, 2.0, math.nan])
    assert ledger.pay_episode([1.0, 2.0, 4.0])[0].tolist() == [0.0, 3.0, 4.0]


def test_without_a_seed_every_ledger_draws_something_else():
    """Two of 200 equal lengths each agree with probability 1000**-200."""
    schedule = RewardSchedule(bag_len=(1, 1000))
    first, second = (drawn(SlotLedger(schedule), 200)[0] for _ in range(2))
    assert first != second


class TestSlots:
    def test_slots_close_apart_and_inactive_ones_stand_still(self):
        ledger = RewardLedger(RewardSchedule(bag_len=2), 3)
        never = np.zeros(3, dtype=bool)
        assert ledger.pay([1.0, 1.0, 1.0], never).tolist() == [0.0, 0.0, 0.0]
        assert ledger.pay([2.0, 9.0, 2.0], never, np.array([True, False, True])).tolist() == [3.0, 0.0, 3.0]
        assert ledger.count.tolist() == [0, 1, 0]
        assert ledger.pay([4.0, 4.0, 4.0], np.array([True, False, False])).tolist() == [4.0, 5.0, 0.0]
        assert ledger.bag_end.tolist() == [True, True, False]

    def test_the_reward_of_an_inactive_slot_may_be_anything(self):
        """In a step that is only a reset, an engine may fill in what it likes."""
        ledger = RewardLedger(RewardSchedule(bag_len=2), 2)
        never = np.zeros(2, dtype=bool)
        ledger.pay([1.0, 1.0], never)
        assert ledger.pay([2.0, math.nan], never, np.array([True, False])).tolist() == [3.0, 0.0]
        assert ledger.pay([4.0, 4.0], never).tolist() == [0.0, 5.0]

    def test_a_masked_reset_touches_the_masked_slots_only(self):
        ledger = RewardLedger(RewardSchedule(bag_len=3), 2)
        never = np.zeros(2, dtype=bool)
        ledger.pay([1.0, 1.0], never)
        ledger.reset(np.array([True, False]))
        assert ledger.count.tolist() == [0, 1]
        ledger.pay([2.0, 2.0], never)
        assert ledger.pay([4.0, 4.0], never).tolist() == [0.0, 7.0]
        assert ledger.pay([8.0, 8.0], never).tolist() == [14.0, 0.0]

    def test_a_seed_restarts_the_streams_of_its_slot_only(self):
        schedule = RewardSchedule(bag_len=(1, 1000))
        ledger, never = RewardLedger(schedule, 2), np.zeros(2, dtype=bool)

        def lengths():
            ledger.pay([0.0, 0.0], never)
            return ledger._length.tolist()

        ledger.reset(None, [1, 2])
        first = lengths()
        ledger.reset()
        second = lengths()
        ledger.reset(None, [1, None])
        third = lengths()
        assert third[0] == first[0]
        assert third[1] not in (first[1], second[1])

    def test_one_slot_of_nan_leaves_the_others_alone(self):
        ledger = RewardLedger(RewardSchedule(bag_len=2), 2, nonfinite="pass")
        never = np.zeros(2, dtype=bool)
        ledger.pay([math.nan, 1.0], never)
        paid = ledger.pay([1.0, 1.0], never)
        assert math.isnan(paid[0])
        assert paid[1] == 2.0
        ledger.pay([1.0, 1.0], never)
        assert ledger.pay([1.0, 1.0], never).tolist() == [2.0, 2.0]


def test_a_ledger_keeps_numbers_and_no_list_of_rewards():
    ledger = SlotLedger(RewardSchedule(bag_len=None))

    def size():
        return sum(sys.getsizeof(getattr(ledger, name)) for name in ledger.__slots__)

    ledger.pay(1.5, False)
    before = size()
    for _ in range(100_000):
        ledger.pay(1.5, False)
    assert size() - before < 100
