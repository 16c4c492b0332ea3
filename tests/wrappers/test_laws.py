"""The laws of the delay as properties, over every form from the one list of cases in `tests/wrappers/cases.py`."""

import math

import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from bagged_envs.testing import ScriptedEnv, check_episode, episode, scripted_vector
from bagged_envs.testing.model import PAYMENTS, in_order
from bagged_envs.testing.scripted_parallel import ScriptedParallelEnv
from bagged_envs.testing.strategies import arbitrary, dyadic, reward_streams, schedules
from bagged_envs.wrappers import (
    BaggedReward,
    DelayedReward,
    NonFiniteRewardError,
    RewardLedger,
    RewardSchedule,
    SlotLedger,
    parallel,
    vector,
)
from tests.wrappers.cases import (
    ASYNC,
    CASES,
    FORMS,
    MODES,
    SLOTS,
    Forms,
    Rescripted,
    any_schedule,
    bits,
    engine,
    slot_scripts,
)

pytestmark = pytest.mark.law

seeds = st.integers(0, 2**31)
few = settings(max_examples=settings.default.max_examples // 3)


@pytest.fixture(scope="module")
def forms():
    forms = Forms()
    yield forms
    forms.close()


def transparency_borders_labels_and_info(forms, form, schedule, scripts, seed):
    """Payments to the bit, the bound, observations and endings; what `check_episode` and the players demand."""
    episodes = list(forms.play(form, schedule, scripts, seed))
    for played in episodes:
        check_episode(played, schedule)
    assert len(episodes) == expected_episodes(form, scripts, schedule)


def dyadic_totals_are_equal(forms, form, schedule, scripts, seed):
    for played in forms.play(form, schedule, scripts, seed):
        if form == "team mean":  # a third of a dyadic number is none
            continue
        assert sum(played.paid) == sum(played.dense)


def a_seed_reproduces_payments_and_labels(forms, form, schedule, scripts, seed):
    first, again = (list(forms.play(form, schedule, scripts, seed)) for _ in range(2))
    assert [bits((e.paid, e.infos)) for e in first] == [bits((e.paid, e.infos)) for e in again]


def vectors_agree_with_singles_to_the_bit(forms, form, schedule, scripts, seed):
    def by_slot(form):
        played = forms.play(form, schedule, scripts, seed)
        return sorted(repr(bits((e.paid, e.dense, e.infos, e.reset_info))) for e in played)

    assert by_slot(form) == by_slot("single")


anything = given(schedule=any_schedule(), scripts=slot_scripts(), seed=seeds)
dyadic_sums = given(schedule=schedules(("sum",), partially_labeled=False), scripts=slot_scripts(dyadic()), seed=seeds)


@pytest.mark.parametrize("form", FORMS)
class TestEveryForm:
    @anything
    def test_s1_s2_transparency_borders_labels_and_info(self, forms, form, schedule, scripts, seed):
        transparency_borders_labels_and_info(forms, form, schedule, scripts, seed)

    @dyadic_sums
    def test_s3_dyadic_totals_are_equal(self, forms, form, schedule, scripts, seed):
        dyadic_totals_are_equal(forms, form, schedule, scripts, seed)

    @anything
    def test_a_seed_reproduces_payments_and_labels(self, forms, form, schedule, scripts, seed):
        a_seed_reproduces_payments_and_labels(forms, form, schedule, scripts, seed)


@pytest.mark.long
@pytest.mark.parametrize("form", ASYNC)
class TestProcesses:
    """The same where every step waits for processes: fewer examples, as what pays is that of the vector forms above."""

    @few
    @anything
    def test_s1_s2_transparency_borders_labels_and_info(self, forms, form, schedule, scripts, seed):
        transparency_borders_labels_and_info(forms, form, schedule, scripts, seed)

    @few
    @dyadic_sums
    def test_s3_dyadic_totals_are_equal(self, forms, form, schedule, scripts, seed):
        dyadic_totals_are_equal(forms, form, schedule, scripts, seed)

    @few
    @anything
    def test_a_seed_reproduces_payments_and_labels(self, forms, form, schedule, scripts, seed):
        a_seed_reproduces_payments_and_labels(forms, form, schedule, scripts, seed)

    @few
    @anything
    def test_they_agree_with_single_environments_to_the_bit(self, forms, form, schedule, scripts, seed):
        vectors_agree_with_singles_to_the_bit(forms, form, schedule, scripts, seed)


def expected_episodes(form, scripts, schedule):
    lists = SLOTS if schedule.success is None else 1
    alone = {"team sum": 1, "team mean": 1, "joint": 1, "two teams": 2, "agents": SLOTS, "list": lists}
    return alone[form] if form in alone else sum(len(script) for script in scripts)


@pytest.mark.parametrize("form", [f"{kind} {mode}" for kind in ("sync", "singles") for mode in MODES])
@anything
def test_vector_forms_agree_with_single_environments_to_the_bit(forms, form, schedule, scripts, seed):
    vectors_agree_with_singles_to_the_bit(forms, form, schedule, scripts, seed)


@given(schedule=any_schedule(), scripts=slot_scripts(), seed=seeds)
def test_a_joint_controller_is_paid_what_its_team_is_to_the_bit(forms, schedule, scripts, seed):
    (joint,), (team,) = (list(forms.play(form, schedule, scripts, seed)) for form in ("joint", "team sum"))
    assert repr((joint.paid, joint.dense)) == repr((team.paid, team.dense))
    flags = ("bag_end", "reward_observed", "is_success")
    assert [joint.told(flag) for flag in flags] == [team.told(flag) for flag in flags]


@given(schedule=any_schedule(), scripts=slot_scripts(), seed=seeds)
def test_agents_agree_with_single_environments_to_the_bit(forms, schedule, scripts, seed):
    """Slot i of every form is seeded with seed + i; agents only play the first episode of a script."""

    def first_episodes(form):
        return [
            repr((e.paid, e.dense, ours(e))) for e in forms.play(form, schedule, scripts, seed) if e.seed is not None
        ]

    def ours(played):
        return [(info["bag_end"], info["reward_observed"], info.get("is_success")) for info in played.infos]

    assert first_episodes("agents") == first_episodes("single")


@pytest.mark.parametrize("mode", MODES)
@given(schedule=any_schedule(), scripts=slot_scripts(), seed=seeds, data=st.data())
def test_a_vector_delay_returns_what_a_vector_of_delays_returns(forms, mode, schedule, scripts, seed, data):
    """Everything that `step` and `reset` return, infos and their masks included, with resets in mid-bag."""
    options = {
        "observe_bag": data.draw(st.booleans()),
        "expose_reward": data.draw(st.booleans()),
        "reward_info_keys": ("step",),
    }
    mode = AutoresetMode[mode]
    inside = SyncVectorEnv(
        [lambda slot=slot: DelayedReward(Rescripted(slot), schedule, **options) for slot in range(SLOTS)],
        autoreset_mode=mode,
    )
    outside = vector.DelayedReward(engine(mode), schedule, **options)
    assert inside.observation_space == outside.observation_space
    assert inside.single_observation_space == outside.single_observation_space
    begin = {"scripts": scripts}
    assert_same(inside.reset(seed=seed, options=begin), outside.reset(seed=seed, options=begin))
    done = np.zeros(SLOTS, dtype=bool)
    for resets in data.draw(st.lists(st.sets(st.integers(0, SLOTS - 1)) | st.none(), min_size=1, max_size=25)):
        mask = np.isin(np.arange(SLOTS), list(resets or ())) | (done & (mode is AutoresetMode.DISABLED))
        if mask.any():
            again = data.draw(st.none() | st.integers(0, 9))
            assert_same(*(e.reset(seed=again, options={"reset_mask": mask.copy(), **begin}) for e in (inside, outside)))
        results = [e.step(np.zeros(SLOTS, dtype=int)) for e in (inside, outside)]
        assert_same(*results)
        done = results[0][2] | results[0][3]


def assert_same(left, right):
    """Equal to the bit, dtypes, keys and masks included."""
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    elif isinstance(left, np.ndarray) and left.dtype == object:
        assert_same(tuple(left), tuple(right))
    else:
        assert type(left) is type(right)
        assert getattr(left, "dtype", None) == getattr(right, "dtype", None)
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "schedule", [CASES[16], *(pytest.param(CASES[k], marks=pytest.mark.slow) for k in (4, 10, 11))], ids=str
)
def test_delays_inside_processes_agree_too(mode, schedule):
    """As above with a process per environment, which is slow to start: a few cases, one script."""
    mode = AutoresetMode[mode]
    rewards = np.random.default_rng(0).normal(size=(SLOTS, 3, 7)).tolist()
    scripts = [[episode(stream[: slot + 3]) for stream in slot_rewards] for slot, slot_rewards in enumerate(rewards)]
    makers = [lambda slot=slot: DelayedReward(Rescripted(slot), schedule) for slot in range(SLOTS)]
    inside, outside = AsyncVectorEnv(makers, autoreset_mode=mode), vector.DelayedReward(engine(mode), schedule)
    assert_same(*(e.reset(seed=5, options={"scripts": scripts}) for e in (inside, outside)))
    for _ in range(20):
        results = [e.step(np.zeros(SLOTS, dtype=int)) for e in (inside, outside)]
        assert_same(*results)
        done = results[0][2] | results[0][3]
        if mode is AutoresetMode.DISABLED and done.any():
            assert_same(*(e.reset(options={"reset_mask": done.copy(), "scripts": scripts}) for e in (inside, outside)))
    inside.close()


@pytest.mark.parametrize("mode", MODES)
@given(scripts=slot_scripts(), seed=seeds)
def test_a_criterion_sees_the_episodes_own_end_in_every_mode(forms, mode, scripts, seed):
    """With SAME_STEP the next episode's observation and info stand where the last ones of this one stood."""

    def asked(form):
        seen = []

        def judge(observation, info, dense_return, terminated):
            seen.append((observation.tolist(), int(info["step"]), dense_return, terminated))
            return True

        for _ in forms.play(form, RewardSchedule(bag_len=None, success=judge), scripts, seed):
            pass
        return seen

    # A vector environment plays until its slowest slot is done: it is asked about more episodes.
    several = asked(f"sync {mode}")
    assert all(facts in several for facts in asked("single"))


def test_a_criterion_sees_the_observation_without_the_count():
    shapes = []
    schedule = RewardSchedule(
        bag_len=None, success=lambda observation, *facts: shapes.append(observation.shape) or True
    )
    script = episode([1.0])
    played = [
        (DelayedReward(ScriptedEnv([script]), schedule, observe_bag=True), 0),
        (parallel.DelayedReward(ScriptedParallelEnv({"a": script}), schedule, observe_bag=True), {"a": 0}),
    ]
    for mode in AutoresetMode:
        envs = vector.DelayedReward(scripted_vector([[script]], mode), schedule, observe_bag=True)
        played.append((envs, np.zeros(1, dtype=int)))
    for env, action in played:
        env.reset()
        env.step(action)
    assert shapes == [(3,)] * len(played)


@given(
    schedule=any_schedule(),
    steps=st.lists(st.tuples(arbitrary(), st.booleans(), st.booleans()), min_size=1, max_size=40),
    seed=seeds,
)
def test_the_scalar_ledger_is_the_array_ledger_with_one_slot(schedule, steps, seed):
    scalar, array = SlotLedger(schedule), RewardLedger(schedule, 1)
    scalar.reset(seed)
    array.reset(None, [seed])
    for reward, ended, success in steps:
        judge = (lambda total, success=success: success) if schedule.success is not None else None
        judges = (lambda slot, total, success=success: success) if judge is not None else None
        paid = scalar.pay(reward, ended, judge)
        assert_same(array.pay(np.array([reward]), np.array([ended]), None, judges), np.array([paid]))
        told = (scalar.bag_end, scalar.observed, scalar.success, scalar.count)
        assert told == (array.bag_end[0], array.observed[0], array.success[0], array.count[0])


@given(schedule=schedules(partially_labeled=False), rewards=reward_streams(), cut=st.integers(0, 60))
def test_a_reset_in_mid_bag_leaves_nothing_behind(schedule, rewards, cut):
    """The episode after it pays as if it were the first."""
    cut = min(cut, len(rewards) - 1)
    script = [episode(rewards)]
    fresh, used = (DelayedReward(ScriptedEnv(script), schedule) for _ in range(2))
    used.reset(seed=1)
    for _ in range(cut):
        used.step(0)
    fresh.reset(seed=2)
    used.reset(seed=2)
    for _ in rewards:
        (_, one, *_, told), (_, other, *_, also_told) = fresh.step(0), used.step(0)
        assert (repr(one), told["bag_end"]) == (repr(other), also_told["bag_end"])


@pytest.mark.parametrize("reward", [np.float32(0.5), np.int64(2), True])
def test_an_exposed_reward_is_a_float_on_reset_and_on_every_step(reward):
    env = BaggedReward(ScriptedEnv([episode([reward] * 2)]), 2, expose_reward=True)
    agents = parallel.BaggedReward(ScriptedParallelEnv({"a": episode([reward] * 2)}), 2, expose_reward=True)
    infos = [env.reset()[1], agents.reset()[1]["a"]]
    infos += [info for _ in range(2) for info in (env.step(0)[4], agents.step({"a": 0})[4]["a"])]
    assert {type(info["dense_reward"]) for info in infos} == {float}
    assert [info["dense_reward"] for info in infos] == [0.0] * 2 + [float(reward)] * 4


class TestNonFinite:
    """S4."""

    BAD = st.sampled_from([math.nan, math.inf, -math.inf])

    @given(schedule=schedules(), rewards=reward_streams(max_size=12), bad=BAD, data=st.data())
    def test_it_raises_and_names_environment_step_and_value(self, schedule, rewards, bad, data):
        at = data.draw(st.integers(0, len(rewards) - 1))
        rewards[at] = bad
        env = DelayedReward(ScriptedEnv([episode(rewards)]), schedule)
        env.reset(seed=0)
        for _ in range(at):
            env.step(0)
        with pytest.raises(NonFiniteRewardError, match=rf"ScriptedEnv gave the reward {bad!r} in step {at + 1} of"):
            env.step(0)

    @pytest.mark.parametrize(
        ("aggregate", "rewards"), [("sum", [1e308, 1e308]), ("sum_square", [1e200, 0.0]), ("square_sum", [1e200, 0.0])]
    )
    def test_the_overflow_of_a_finite_sum_counts_too(self, aggregate, rewards):
        env = BaggedReward(ScriptedEnv([episode(rewards)]), bag_len=2, aggregate=aggregate)
        env.reset()
        with pytest.raises(NonFiniteRewardError, match="a bag that adds up to inf in step"):
            [env.step(0) for _ in rewards]

    @given(rewards=st.lists(arbitrary(), min_size=9, max_size=9), bad=BAD, at=st.integers(0, 8))
    def test_passed_it_spoils_its_own_bag_only(self, rewards, bad, at):
        spoiled = [bad if step == at else reward for step, reward in enumerate(rewards)]
        paid, clean = (self.payments(stream) for stream in (spoiled, rewards))
        for bag in range(3):
            if bag == at // 3:
                assert not math.isfinite(paid[bag])
            else:
                assert paid[bag] == clean[bag]

    @staticmethod
    def payments(rewards):
        env = BaggedReward(ScriptedEnv([episode(rewards)]), bag_len=3, nonfinite="pass")
        env.reset()
        return [step[1] for step in [env.step(0) for _ in rewards] if step[4]["bag_end"]]

    def test_vector_and_parallel_name_their_slot(self):
        envs = BaggedReward_vector([[1.0, 1.0], [1.0, math.nan]])
        envs.step(np.zeros(2, dtype=int))
        with pytest.raises(NonFiniteRewardError, match=r"SyncVectorEnv, slot 1, gave the reward nan in step 2"):
            envs.step(np.zeros(2, dtype=int))
        agents = parallel.BaggedReward(
            ScriptedParallelEnv({"a": episode([1.0, 1.0]), "b": episode([1.0, math.inf])}), 2
        )
        agents.reset()
        agents.step({"a": 0, "b": 0})
        with pytest.raises(NonFiniteRewardError, match="scripted_v0, b gave the reward inf in step 2"):
            agents.step({"a": 0, "b": 0})

    @given(rewards=st.lists(arbitrary(), min_size=6, max_size=6), bad=BAD)
    def test_a_slot_spoils_no_other(self, rewards, bad):
        envs = BaggedReward_vector([[bad] + rewards[1:], rewards], nonfinite="pass")
        paid = [envs.step(np.zeros(2, dtype=int))[1] for _ in range(6)]
        assert paid[2][1] == in_order(rewards[:3])
        assert not math.isfinite(paid[2][0])
        assert paid[5][0] == paid[5][1] == in_order(rewards[3:])


def BaggedReward_vector(streams, **arguments):
    envs = vector.BaggedReward(scripted_vector([[episode(stream)] for stream in streams]), 3, **arguments)
    envs.reset(seed=0)
    return envs


class TestRandomness:
    """The streams of bag lengths and labels, with fixed seeds: these tests cannot fail by chance."""

    @staticmethod
    def bags(steps, **arguments):
        ledger = SlotLedger(RewardSchedule(**arguments))
        ledger.reset(seed=11)
        lengths, labels, length = [], [], 0
        for _ in range(steps):
            ledger.pay(1.0, False)
            length += 1
            if ledger.bag_end:
                lengths.append(length)
                labels.append(ledger.observed)
                length = 0
        return lengths, labels

    def test_lengths_are_uniform_with_both_ends(self):
        lengths, _ = self.bags(60_000, bag_len=(2, 6))
        counts = np.bincount(lengths)[2:]
        assert len(counts) == 5
        expected = len(lengths) / 5
        assert (abs(counts - expected) < 4 * math.sqrt(expected)).all()

    @pytest.mark.parametrize("fraction", [0.01, 0.5, 0.9])
    def test_labels_are_as_frequent_as_promised(self, fraction):
        _, labels = self.bags(20_000, bag_len=1, label_fraction=fraction)
        assert abs(sum(labels) - 20_000 * fraction) < 4 * math.sqrt(20_000 * fraction * (1 - fraction))

    def test_labels_per_episode_are_as_frequent_as_promised_and_hold_for_all_its_bags(self):
        env = BaggedReward(ScriptedEnv([episode([1.0] * 4)]), 2, label_fraction=0.3, label_unit="episode")
        shown = []
        for number in range(3_000):
            env.reset(seed=5 if number == 0 else None)
            shown.append([step[4]["reward_observed"] for step in [env.step(0) for _ in range(4)]])
        assert all(labels in ([False] * 4, [False, True, False, True]) for labels in shown)
        labeled = sum(labels[1] for labels in shown)
        assert abs(labeled - 900) < 4 * math.sqrt(3_000 * 0.3 * 0.7)

    def test_lengths_do_not_depend_on_labels_nor_labels_on_lengths(self):
        lengths, _ = self.bags(500, bag_len=(1, 9))
        with_labels, labels = self.bags(500, bag_len=(1, 9), label_fraction=0.5)
        _, fixed = self.bags(500, bag_len=3, label_fraction=0.5)
        assert with_labels == lengths
        assert fixed[: len(labels)] == labels[: len(fixed)]

    @given(schedule=any_schedule(), seed=seeds, rewards=reward_streams(max_size=15), others=reward_streams(max_size=15))
    def test_borders_and_labels_do_not_depend_on_the_rewards(self, schedule, seed, rewards, others):
        steps = min(len(rewards), len(others))

        def told(stream):
            env = DelayedReward(ScriptedEnv([episode(stream[:steps])]), schedule)
            env.reset(seed=seed)
            infos = [env.step(0)[4] for _ in range(steps)]
            return [(info["bag_end"], info["reward_observed"]) for info in infos]

        assert told(rewards) == told(others)

    @pytest.mark.parametrize("mode", MODES)
    def test_slots_take_the_seeds_of_a_list_and_go_on_where_it_says_none(self, mode):
        schedule = RewardSchedule(bag_len=(1, 9), label_fraction=0.5)
        scripts = [[episode([1.0] * 40)]] * SLOTS
        mode = AutoresetMode[mode]
        envs = vector.DelayedReward(scripted_vector(scripts, mode), schedule)
        singles = [DelayedReward(ScriptedEnv(script), schedule) for script in scripts]
        for seeds in ([3, 4, 5], [70, None, 6]):
            envs.reset(seed=seeds)
            for env, seed in zip(singles, seeds, strict=True):
                env.reset(seed=seed)
            for _ in range(30):
                infos = envs.step(np.zeros(SLOTS, dtype=int))[4]
                told = [env.step(0)[4] for env in singles]
                for key in ("bag_end", "reward_observed"):
                    assert infos[key].tolist() == [info[key] for info in told]

    def test_slots_draw_from_streams_of_their_own(self):
        streams = [[1.0] * 200] * 3
        envs = vector.BaggedReward(scripted_vector([[episode(s)] for s in streams]), (1, 9), label_fraction=0.5)
        envs.reset(seed=0)
        ends = np.array([envs.step(np.zeros(3, dtype=int))[4]["bag_end"] for _ in range(100)])
        assert len({tuple(column) for column in ends.T}) == 3

    def test_a_reset_without_a_seed_goes_on_with_the_streams(self):
        env = BaggedReward(ScriptedEnv([episode([1.0] * 30)]), (1, 9))

        def borders(seed):
            env.reset(seed=seed)
            return [env.step(0)[4]["bag_end"] for _ in range(30)]

        first, second, again, also = borders(3), borders(None), borders(3), borders(None)
        assert first == again
        assert second == also
        assert first != second


class TestOrder:
    def test_addition_is_from_left_to_right(self):
        """1e16 + 1.0 - 1e16 is 0.0 from left to right, 1.0 in exact arithmetic."""
        rewards = [1e16, 1.0, -1e16]
        env = BaggedReward(ScriptedEnv([episode(rewards)]), 3)
        env.reset()
        assert [env.step(0)[1] for _ in rewards] == [0.0, 0.0, 0.0]
        assert math.fsum(rewards) == 1.0
        envs = BaggedReward_vector([rewards, rewards[::-1]])
        assert [envs.step(np.zeros(2, dtype=int))[1].tolist() for _ in rewards][-1] == [0.0, 0.0]

    def test_a_team_is_summed_in_the_order_of_possible_agents(self):
        rewards = {"b": 1e16, "a": 1.0, "c": -1e16}
        env = ScriptedParallelEnv({agent: episode([reward]) for agent, reward in rewards.items()})
        team = parallel.BaggedReward(env, 1, team_reward="sum")
        team.reset()
        assert team.step(dict.fromkeys(rewards, 0))[1] == {"b": 0.0, "a": 0.0, "c": 0.0}
        other = ScriptedParallelEnv({agent: episode([rewards[agent]]) for agent in ("b", "c", "a")})
        team = parallel.BaggedReward(other, 1, team_reward="sum")
        team.reset()
        assert team.step(dict.fromkeys(rewards, 0))[1] == {"b": 1.0, "c": 1.0, "a": 1.0}

    @pytest.mark.parametrize("aggregate", PAYMENTS)
    def test_a_bag_of_a_million_steps_keeps_the_bound_and_no_list(self, aggregate):
        ledger = SlotLedger(RewardSchedule(bag_len=None, aggregate=aggregate))
        rewards = np.random.default_rng(0).normal(1.0, 3.0, 10**6 if aggregate == "sum" else 1000).tolist()
        for reward in rewards[:-1]:
            assert ledger.pay(reward, False) == 0.0
        paid = ledger.pay(rewards[-1], True)
        assert paid == PAYMENTS[aggregate](rewards)
        if aggregate == "sum":
            bound = (len(rewards) + 1) * 2.0**-53 * math.fsum(map(abs, rewards))
            assert 0.0 < abs(paid - math.fsum(rewards)) <= bound
