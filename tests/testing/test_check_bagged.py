"""check_bagged and assert_sum_invariance pass what is right, and find every planted fault by the law it breaks."""

import math

import gymnasium as gym
import numpy as np
import pytest

import bagged_envs
from bagged_envs import registration
from bagged_envs.testing import BaggedError, ScriptedEnv, assert_sum_invariance, check_bagged, episode
from bagged_envs.testing.rollout import same
from bagged_envs.wrappers import BaggedReward, RewardSchedule, SparseReward

TASK = "Reacher-v5"
LEAKS = ("reward_dist", "reward_ctrl")


class Right(BaggedReward):
    """No fault: what the others spoil in one place."""

    def __init__(self, env, **arguments):
        super().__init__(env, **{"bag_len": 7, "reward_info_keys": LEAKS, **arguments})


class ChangedStep(Right):
    """A fault in what `step` returns: `change(result)` gives the spoiled one."""

    def step(self, action):
        return self.change(*super().step(action))


class TailLost(ChangedStep):
    def change(self, observation, paid, terminated, truncated, info):
        if truncated:
            paid, info = 0.0, {**info, "bag_end": False, "reward_observed": False}
        return observation, paid, terminated, truncated, info


class TailUnpaidButDeclared(ChangedStep):
    def change(self, observation, paid, terminated, truncated, info):
        return observation, 0.0 if truncated else paid, terminated, truncated, info


class Float32Payment(ChangedStep):
    def change(self, observation, paid, *rest):
        return observation, float(np.float32(paid)), *rest


class NumpyPayment(ChangedStep):
    def change(self, observation, paid, *rest):
        return observation, np.float64(paid), *rest


class NoisyPayment(ChangedStep):
    def change(self, observation, paid, *rest):
        return observation, paid * (1 + 1e-12), *rest


class NumpyBorder(ChangedStep):
    def change(self, *result):
        return *result[:4], {**result[4], "bag_end": np.bool_(result[4]["bag_end"])}


class BorderFromReward(ChangedStep):
    def change(self, observation, paid, terminated, truncated, info):
        info = {**info, "bag_end": paid < -0.5, "reward_observed": paid < -0.5}
        return observation, paid, terminated, truncated, info


class LabelInMidBag(ChangedStep):
    def change(self, *result):
        return *result[:4], {**result[4], "reward_observed": True}


class HiddenLabel(ChangedStep):
    def change(self, *result):
        return *result[:4], {**result[4], "reward_observed": False}


class ChangedObservation(ChangedStep):
    def change(self, observation, *rest):
        return observation.astype(np.float32).astype(np.float64), *rest


class TruncationCalledTermination(ChangedStep):
    def change(self, observation, paid, terminated, truncated, info):
        return observation, paid, truncated, False, info


class DenseInInfo(ChangedStep):
    def change(self, *result):
        return *result[:4], {**result[4], "secret": self.env.unwrapped.spied}


class Leak(ChangedStep):
    """Writes `tell(self, dense reward)` into info."""

    key = "told"

    def reset(self, **arguments):
        self.previous, self.total = 0.0, 0.0
        return super().reset(**arguments)

    def change(self, *result):
        dense = self.env.unwrapped.spied
        self.total += dense
        info = {**result[4], self.key: self.tell(dense)}
        self.previous = dense
        return *result[:4], info


class SingleInInfo(Leak):
    tell = staticmethod(np.float32)


class RoundedInInfo(Leak):
    tell = staticmethod(lambda dense: round(dense, 6))


class ArrayInInfo(Leak):
    tell = staticmethod(lambda dense: np.array([dense]))


class ListInInfo(Leak):
    tell = staticmethod(lambda dense: [dense])


class MinusInInfo(Leak):
    tell = staticmethod(lambda dense: -dense)


class ReturnInInfo(Leak):
    def tell(self, dense):
        return self.total


class PreviousInInfo(Leak):
    def tell(self, dense):
        return self.previous


class AlmostAlwaysInInfo(Leak):
    tell = staticmethod(float)

    def change(self, *result):
        changed = super().change(*result)
        return changed if not result[3] else result


class NestedInInfo(Leak):
    tell = staticmethod(lambda dense: {"deep": dense})


class TermsInInfo(Right):
    def __init__(self, env):
        super().__init__(env, reward_info_keys=())


class MissingOnReset(Right):
    def reset(self, **arguments):
        observation, info = super().reset(**arguments)
        del info["bag_end"]
        return observation, info


class TrueOnReset(Right):
    def reset(self, **arguments):
        observation, info = super().reset(**arguments)
        return observation, {**info, "bag_end": True}


class CarriesOverReset(Right):
    def reset(self, **arguments):
        total, count = self._ledger.total, self._ledger.count
        result = super().reset(**arguments)
        self._ledger.total, self._ledger.count = total, count
        return result


class CarriesSumOverReset(Right):
    def reset(self, **arguments):
        total = self._ledger.total
        result = super().reset(**arguments)
        self._carried = total
        return result

    def step(self, action):
        observation, paid, terminated, truncated, info = super().step(action)
        carried, self._carried = (self._carried, 0.0) if info["bag_end"] else (0.0, self._carried)
        return observation, paid + carried, terminated, truncated, info


class DisturbedRandomNumbers(Right):
    def reset(self, **arguments):
        result = super().reset(**arguments)
        self.env.unwrapped.np_random.random()
        return result


class OneStepLate(Right):
    """Pays, and closes, one step after the schedule says so."""

    def reset(self, **arguments):
        self._late = (0.0, False)
        return super().reset(**arguments)

    def step(self, action):
        observation, paid, terminated, truncated, info = super().step(action)
        (now, end), self._late = self._late, (paid, info["bag_end"])
        if truncated:
            now, end = now + paid, True
        return observation, now, terminated, truncated, {**info, "bag_end": end, "reward_observed": end}


class OtherSum(Right):
    """Adds with `add(list of rewards)` instead of from left to right."""

    def reset(self, **arguments):
        self._rewards = []
        return super().reset(**arguments)

    def step(self, action):
        observation, paid, terminated, truncated, info = super().step(action)
        self._rewards.append(self.env.unwrapped.spied)
        if info["bag_end"]:
            paid, self._rewards = float(self.add(self._rewards)), []
        return observation, paid, terminated, truncated, info


class Fsum(OtherSum):
    add = staticmethod(math.fsum)


class PairwiseSum(OtherSum):
    def __init__(self, env):
        super().__init__(env, bag_len=50)

    add = staticmethod(np.sum)


class SumIsMax(OtherSum):
    add = staticmethod(max)


class StepsAfterTheEnd(Right):
    def step(self, action):
        self._needs_reset = None
        return super().step(action)


class CopyGoesOn(Right):
    def __setstate__(self, state):
        self.__dict__.update(state)


class UnseededLengths(Right):
    def __init__(self, env):
        super().__init__(env, bag_len=(2, 9))

    def reset(self, *, seed=None, options=None):
        result = super().reset(seed=seed, options=options)
        self._ledger._draws.seed(None)
        return result


class UnseededLabels(Right):
    def __init__(self, env):
        super().__init__(env, label_fraction=0.5, bag_len=3)

    def reset(self, *, seed=None, options=None):
        result = super().reset(seed=seed, options=options)
        self._ledger._draws.seed(None)
        return result


class UnlabeledButPaid(Right):
    def __init__(self, env):
        super().__init__(env, label_fraction=0.5, bag_len=3)
        self._ledger._unlabeled = -0.25


class LabelsPerBagNotEpisode(Right):
    def __init__(self, env):
        super().__init__(env, label_fraction=0.5, bag_len=3)
        self.schedule = RewardSchedule(bag_len=3, label_fraction=0.5, label_unit="episode")


class TooLongBags(Right):
    def __init__(self, env):
        super().__init__(env, bag_len=8)
        self.schedule = RewardSchedule(bag_len=7)


class TooLongRandomBags(Right):
    def __init__(self, env):
        super().__init__(env, bag_len=(2, 9))
        self.schedule = RewardSchedule(bag_len=(2, 5))


class EarlySuccess(SparseReward):
    def __init__(self, env):
        super().__init__(env, "reach_tolerance", 10.0, reward_info_keys=LEAKS)

    def step(self, action):
        *rest, info = super().step(action)
        return *rest, {**info, "is_success": True}


class WrongSideOfTheThreshold(SparseReward):
    def __init__(self, env):
        super().__init__(env, "reach_tolerance", 10.0, reward_info_keys=LEAKS)
        self._judge = lambda *facts: not self.schedule.judge(*facts)


FAULTS = [
    (TailLost, "Borders: the end of an episode"),
    (TailUnpaidButDeclared, "S1"),
    (Float32Payment, "S1"),
    (NumpyPayment, "Python float"),
    (NoisyPayment, "S1"),
    (NumpyBorder, "Info: 'bag_end' is a bool"),
    (BorderFromReward, "Borders"),
    (LabelInMidBag, "Labels"),
    (HiddenLabel, "Labels"),
    (ChangedObservation, "Transparency"),
    (TruncationCalledTermination, "Transparency"),
    (DenseInInfo, "info\\['secret'\\] is the dense reward"),
    (SingleInInfo, "info\\['told'\\] is the dense reward"),
    (RoundedInInfo, "info\\['told'\\] is the dense reward"),
    (ArrayInInfo, "info\\['told'\\] is the dense reward"),
    (ListInInfo, "info\\['told'\\] is the dense reward"),
    (MinusInInfo, "info\\['told'\\] is minus the dense reward"),
    (ReturnInInfo, "info\\['told'\\] is the return so far"),
    (PreviousInInfo, "info\\['told'\\] is the previous dense reward"),
    (AlmostAlwaysInInfo, "info\\['told'\\] is the dense reward in all 49 steps that have it"),
    (NestedInInfo, "info\\['told'\\]\\['deep'\\] is the dense reward"),
    (TermsInInfo, "the sum of info\\['reward_\\*'\\] is the dense reward"),
    (MissingOnReset, "Info: 'bag_end' is a bool in every info, that of reset included"),
    (TrueOnReset, "False on reset"),
    (CarriesOverReset, "Borders"),
    (CarriesSumOverReset, "S1"),
    (DisturbedRandomNumbers, "Transparency"),
    (OneStepLate, "Borders"),
    (Fsum, "S1"),
    (PairwiseSum, "S1"),
    (SumIsMax, "S1"),
    (StepsAfterTheEnd, "Life cycle: .* after an episode's end"),
    (CopyGoesOn, "Life cycle: .* in a copy"),
    (UnseededLengths, "Seeds"),
    (UnseededLabels, "Seeds"),
    (UnlabeledButPaid, "S1"),
    (LabelsPerBagNotEpisode, "Labels"),
    (TooLongBags, "Borders"),
    (TooLongRandomBags, "Borders"),
    (EarlySuccess, "is_success is False until"),
    (WrongSideOfTheThreshold, "S1"),
]


@pytest.mark.parametrize(
    "value", ["abc", np.array("abc"), None, True, [1, 2], np.zeros((2, 2)), float("nan"), {"x": {}}]
)
def test_what_else_stands_in_info_is_no_leak(value):
    class Harmless(Leak):
        def tell(self, dense):
            return value

    with gym.make(TASK) as twin:
        check_bagged(delayed(Harmless), twin)


def test_a_reward_in_info_is_found_even_where_it_is_constant():
    class Told(Right):
        def step(self, action):
            *rest, info = super().step(action)
            return *rest, {**info, "env_reward": 1.0}

    with gym.make("CartPole-v1") as twin, pytest.raises(BaggedError, match="info\\['env_reward'\\].* is constant"):
        check_bagged(Told(gym.make("CartPole-v1")), twin)


class Spied(gym.Wrapper):
    """Lets a planted fault read the dense reward."""

    def step(self, action):
        result = self.env.step(action)
        self.unwrapped.spied = float(result[1])
        return result


def delayed(wrapper: type) -> gym.Env:
    return wrapper(Spied(gym.make(TASK)))


def test_what_is_right_passes():
    with gym.make(TASK) as twin:
        check_bagged(delayed(Right), twin)


@pytest.mark.parametrize(("fault", "law"), FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_fault_is_found_by_the_law_that_it_breaks(fault, law):
    with gym.make(TASK) as twin, pytest.raises(BaggedError, match=law):
        check_bagged(delayed(fault), twin)


def test_a_time_limit_outside_the_delay_is_found():
    env = gym.wrappers.TimeLimit(BaggedReward(gym.make(TASK), 7, reward_info_keys=LEAKS), 40)
    with gym.make(TASK, max_episode_steps=40) as twin, pytest.raises(BaggedError, match="TimeLimit outside"):
        check_bagged(env, twin)


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda env: Right(gym.wrappers.RecordEpisodeStatistics(env)), "gives the return away"),
        (lambda env: Right(Right(env)), "There are two delays"),
    ],
    ids=["statistics inside", "two delays"],
)
def test_what_tells_hidden_rewards_though_all_numbers_agree_is_found(wrap, said):
    with gym.make(TASK) as twin, pytest.raises(BaggedError, match=f"Order: .*{said}"):
        check_bagged(wrap(gym.make(TASK)), twin)


@pytest.mark.parametrize("make", [lambda: gym.make("BaggedReacher-v0"), lambda: Right(gym.make(TASK))])
def test_wrappers_around_the_delay_are_made_again_around_the_twin(make):
    env = gym.wrappers.FrameStackObservation(gym.wrappers.ClipAction(make()), 2)
    check_bagged(env)
    twin = bagged_envs.dense(env)
    assert twin.observation_space == env.observation_space
    assert twin.action_space == env.action_space
    assert registration.delay_of(twin) is None
    assert len(registration.layers(twin)) == len(registration.layers(env)) - 1


def test_a_wrapper_that_cannot_be_made_again_is_named():
    class Forgetful(gym.Wrapper):
        pass

    with pytest.raises(ValueError, match="Forgetful wrapper does not inherit from"):
        check_bagged(Forgetful(gym.make("BaggedReacher-v0")))


class RecordVideo(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """Named as Gymnasium's, which needs moviepy."""

    def __init__(self, env):
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)


@pytest.mark.parametrize("make", [lambda: gym.make("BaggedReacher-v0"), lambda: Right(gym.make(TASK))])
def test_a_twin_writes_no_videos(make):
    twin = bagged_envs.dense(RecordVideo(gym.wrappers.ClipAction(make())))
    assert [type(layer).__name__ for layer in registration.layers(twin)][0] == "ClipAction"


def test_an_environment_that_never_ends_is_found(monkeypatch):
    monkeypatch.setattr("bagged_envs.testing.rollout.LONGEST_EPISODE", 300)
    env = gym.make("BaggedHalfCheetah-v0", max_episode_steps=-1)
    with pytest.raises(BaggedError, match="An episode must end"):
        check_bagged(env)


def test_without_a_delay_there_is_nothing_to_check():
    with gym.make(TASK) as env, pytest.raises(ValueError, match="must have a delay of bagged_envs.wrappers"):
        check_bagged(env)


def test_assert_sum_invariance_finds_a_lost_tail():
    assert_sum_invariance(lambda: delayed(Right), lambda: gym.make(TASK), episodes=2)
    with pytest.raises(BaggedError, match="Borders"):
        assert_sum_invariance(lambda: delayed(TailLost), lambda: gym.make(TASK), episodes=2)


def test_assert_sum_invariance_refuses_a_schedule_that_does_not_keep_the_return():
    with pytest.raises(ValueError, match="keeps the return"):
        assert_sum_invariance(lambda: gym.make("BaggedReacher-v0", aggregate="max"))


class TestWrapperOrder:
    @staticmethod
    def problems(env):
        return bagged_envs.testing.check_wrapper_order(env)

    @pytest.fixture
    def scripted(self):
        return ScriptedEnv([episode([1.0, 2.0, 3.0])])

    def test_a_vector_environment_is_refused(self):
        with pytest.raises(TypeError, match="env must be a single Gymnasium environment, got .*VectorEnv"):
            self.problems(bagged_envs.make_vec("BaggedReacher-v0", 1))

    def test_registered_ids_are_in_order(self):
        assert self.problems(gym.make("BaggedReacher-v0")) == []

    def test_statistics_and_normalization_outside_are_in_order(self, scripted):
        env = gym.wrappers.NormalizeReward(gym.wrappers.RecordEpisodeStatistics(BaggedReward(scripted)))
        assert self.problems(env) == []

    @pytest.mark.parametrize(
        ("wrap", "said"),
        [
            (lambda env: gym.wrappers.TimeLimit(BaggedReward(env), 2), "TimeLimit stands outside the delay"),
            (lambda env: BaggedReward(gym.wrappers.NormalizeReward(env)), "NormalizeReward stands inside"),
            (lambda env: BaggedReward(gym.wrappers.ClipReward(env, 0, 1)), "ClipReward stands inside"),
            (lambda env: BaggedReward(gym.wrappers.RecordEpisodeStatistics(env)), "gives the return away"),
            (lambda env: BaggedReward(BaggedReward(env)), "There are two delays"),
            (lambda env: env, "There is no delay"),
            (lambda env: gym.wrappers.MaxAndSkipObservation(BaggedReward(env), 2), "drops the borders"),
        ],
    )
    def test_each_wrong_order_is_named(self, scripted, wrap, said):
        (problem,) = self.problems(wrap(scripted))
        assert said in problem


def test_equality_to_the_bit_knows_dtypes_nans_and_nesting():
    assert same(np.array([np.nan, 1.0]), np.array([np.nan, 1.0]))
    assert not same(np.float32(1.0), np.float64(1.0))
    assert same({"a": (1, np.zeros(2))}, {"a": (1, np.zeros(2))})
    assert not same({"a": 1}, {"b": 1})
    assert not same((1, 2), (1, 2, 3))
