"""Refusals that name argument and value, and are no bare KeyError, AttributeError, IndexError or AssertionError."""

import math
from fractions import Fraction

import gymnasium as gym
import numpy as np
import pytest

import bagged_envs
from bagged_envs.suites.dm_control_env import DMControlEnv
from bagged_envs.testing import ScriptedEnv, assert_sum_invariance, check_bagged, episode, scripted_vector
from bagged_envs.testing.scripted_parallel import ScriptedParallelEnv
from bagged_envs.wrappers import (
    BaggedReward,
    DeclaredBags,
    EpisodicReward,
    PartiallyLabeledReward,
    RewardLedger,
    RewardSchedule,
    SlotLedger,
    SparseReward,
    parallel,
    vector,
)
from bagged_envs.wrappers.success import Threshold, criterion
from tests.small import SCRIPT, agents, several, single

REACHER = "BaggedReacher-v0"
BARE = (KeyError, AttributeError, IndexError, AssertionError)


def step_of(env):
    """Play one step."""
    env.reset(seed=0)
    if hasattr(env, "possible_agents"):
        return env.step(dict.fromkeys(env.agents, 0))
    return env.step(np.zeros(env.num_envs, int) if hasattr(env, "num_envs") else 0)


def last_step_of(env):
    """Play the two steps of the script."""
    step_of(env)
    return env.step(np.zeros(env.num_envs, int) if hasattr(env, "num_envs") else 0)


def given(name, value, call):
    """A call that must fail with a text that has the argument's name and the value."""
    return pytest.param(call, (name, repr(value)), id=f"{name}={value!r}"[:60])


def saying(said, call):
    return pytest.param(call, said, id=" ".join(said)[:60])


def register(**arguments):
    return bagged_envs.register_task("CartPole-v1", name="NeverMade", **arguments)


WRAPPERS = ((BaggedReward, single), (vector.BaggedReward, several), (parallel.BaggedReward, agents))
CALLS = [
    # The schedule's arguments through every form of every wrapper.
    *(
        given(name, value, lambda wrap=wrap, make=make, name=name, value=value: wrap(make(), **{name: value}))
        for wrap, make in WRAPPERS
        for name, value in (
            ("bag_len", 1.5),
            ("bag_len", 10**30),
            ("bag_len", "5"),
            ("bag_len", True),
            ("bag_len", (5, 2)),
            ("bag_len", [3, 2]),
            ("aggregate", "median"),
            ("label_fraction", math.nan),
            ("label_fraction", "half"),
            ("label_unit", "steps"),
            ("unlabeled_reward", -math.inf),
            ("unlabeled_reward", 1j),
            ("nonfinite", None),
        )
    ),
    *(
        given("threshold", value, lambda wrap=wrap, make=make, value=value: wrap(make(), "return", value))
        for wrap, make in (
            (SparseReward, single),
            (vector.SparseReward, several),
            (parallel.SparseReward, agents),
        )
        for value in (math.nan, math.inf, "x", True, None)
    ),
    *(
        given("success", value, lambda wrap=wrap, make=make, value=value: wrap(make(), value, 1.0))
        for wrap, make in (
            (SparseReward, single),
            (vector.SparseReward, several),
            (parallel.SparseReward, agents),
        )
        for value in ("retrun", 5, None)
    ),
    *(
        given("label_fraction", value, lambda wrap=wrap, make=make, value=value: wrap(make(), value))
        for wrap, make in (
            (PartiallyLabeledReward, single),
            (vector.PartiallyLabeledReward, several),
            (parallel.PartiallyLabeledReward, agents),
        )
        for value in (0, 1.5, True, Fraction(3, 2))
    ),
    *(
        given("aggregate", value, lambda wrap=wrap, make=make, value=value: wrap(make(), aggregate=value))
        for wrap, make in (
            (EpisodicReward, single),
            (vector.EpisodicReward, several),
            (parallel.EpisodicReward, agents),
        )
        for value in ("sums", ["sum"])
    ),
    *(saying(("bogus",), lambda wrap=wrap, make=make: wrap(make(), 3, bogus=1)) for wrap, make in WRAPPERS),
    saying(("env", "ScriptedEnv"), lambda: vector.BaggedReward(single())),
    saying(("env", "SyncVectorEnv"), lambda: BaggedReward(several())),
    saying(("env", "SyncVectorEnv"), lambda: DeclaredBags(several(), "step")),
    given("env", 5, lambda: parallel.BaggedReward(5)),
    given("env", 5, lambda: parallel.DeclaredBags(5, "step")),
    # Borders.
    given("closes", "nope", lambda: step_of(DeclaredBags(single(), "nope"))),
    given("closes", "nope", lambda: step_of(vector.DeclaredBags(several(), "nope"))),
    given("closes", "nope", lambda: step_of(parallel.DeclaredBags(agents(), "nope"))),
    saying(("closes", "(2,)", "(3,)"), lambda: step_of(vector.DeclaredBags(several(), lambda o, i: [True] * 3))),
    saying(("closes", "(2,)", "()"), lambda: step_of(vector.DeclaredBags(several(), lambda o, i: True))),
    # Rewards.
    *(
        saying(("reward", repr(value)), lambda value=value: step_of(BaggedReward(single([episode([value, 1.0])]))))
        for value in (None, "1", 1j, [1.0, 2.0], {}, np.array([1.0, 2.0]))
    ),
    *(
        saying(
            ("reward", repr(value), "a"),
            lambda value=value: step_of(parallel.BaggedReward(agents(episode([value, 1.0])))),
        )
        for value in (None, "1", 1j)
    ),
    saying(("reward", "nan", "a"), lambda: step_of(parallel.BaggedReward(agents(episode([math.nan, 1.0]))))),
    saying(
        ("reward", "inf", "team"),
        lambda: step_of(parallel.BaggedReward(agents(episode([math.inf, 1.0])), team_reward="sum")),
    ),
    saying(
        ("reward", "inf", "slot 1"),
        lambda: step_of(vector.BaggedReward(scripted_vector([SCRIPT, [episode([-math.inf, 1.0])]]))),
    ),
    # Quantities that a criterion needs.
    saying(("success='distance'", "x_position"), lambda: last_step_of(SparseReward(single(), "distance", 1.0))),
    saying(("success='height'", "z_distance"), lambda: last_step_of(vector.SparseReward(several(), "height", 1.0))),
    # Ledgers.
    *(
        given("num_slots", value, lambda value=value: RewardLedger(RewardSchedule(), value))
        for value in (-1, True, "2")
    ),
    given("nonfinite", "warn", lambda: RewardLedger(RewardSchedule(), 2, nonfinite="warn")),
    # IDs.
    *(
        given(name, value, lambda name=name, value=value: bagged_envs.make_vec(REACHER, **{name: value}))
        for name, value in (
            ("num_envs", True),
            ("num_envs", -1),
            ("num_envs", "3"),
            ("backend", None),
            ("backend", 5),
            ("max_episode_steps", "5"),
            ("max_episode_steps", 1.5),
            ("max_episode_steps", True),
            ("max_episode_steps", -5),
            ("label_fraction", 0),
            ("expose_reward", 1),
            ("observe_bag", None),
            ("nonfinite", 3),
            ("success", "return"),
        )
    ),
    given("id", 5, lambda: bagged_envs.make_vec(5)),
    given("id", None, lambda: bagged_envs.dense(None)),
    saying(("id", "'CartPole-v1'"), lambda: bagged_envs.dense(gym.spec("CartPole-v1"))),
    saying(("id", "'CartPole-v1'"), lambda: bagged_envs.resolved_schedule("CartPole-v1")),
    *(saying((name, "bogus"), lambda name=name: bagged_envs.list_ids(**{name: "bogus"})) for name in ("suite", "tag")),
    *(
        given("variant", value, lambda value=value: bagged_envs.list_ids(variant=value))
        for value in ("", 5, [], "bagged")
    ),
    saying(("bogus", "bag_len"), lambda: bagged_envs.make_vec(REACHER, bogus=1)),
    saying(("bogus", "bag_len"), lambda: bagged_envs.dense(REACHER, bogus=1)),
    given("observe_bag", 5, lambda: bagged_envs.dense(REACHER, observe_bag=5)),
    saying(("observe_bag=True", "Dict("), lambda: gym.make("BaggedCheetahRun-v0", flatten=False, observe_bag=True)),
    saying(
        ("observe_bag=True", "Dict("),
        lambda: bagged_envs.make_vec("BaggedCheetahRun-v0", flatten=False, observe_bag=True),
    ),
    saying(("nonesuch_module",), lambda: bagged_envs.make_vec("nonesuch_module:BaggedReacher-v0")),
    *(
        given("threshold", value, lambda value=value: register(success="return", threshold=value))
        for value in ("x", math.nan)
    ),
    *(
        given("max_episode_steps", value, lambda value=value: register(max_episode_steps=value))
        for value in (1.5, -1, True)
    ),
    *(
        given("reward_info_keys", value, lambda value=value: register(reward_info_keys=value))
        for value in ([1], "abc", 5)
    ),
    *(
        given("name", value, lambda value=value: bagged_envs.register_task("CartPole-v1", name=value))
        for value in (None, "a-b", "1x", "My.Task")
    ),
    given("id", 5, lambda: bagged_envs.register_task(5, name="NeverMade")),
    *(
        given(name, value, lambda name=name, value=value: DMControlEnv("cheetah", "run", **{name: value}))
        for name, value in (
            ("flatten", 5),
            ("flatten", None),
            ("dtype", "float16"),
            ("dtype", np.float32),
            ("render_mode", 5),
            ("render_mode", "rgb"),
        )
    ),
    saying(("task", "'cheetahs-run'"), lambda: DMControlEnv("cheetahs", "run")),
    # Testing functions.
    given("env", 5, lambda: check_bagged(5)),
    saying(("make_env", "SparseReacher"), lambda: assert_sum_invariance(lambda: gym.make("SparseReacher-v0"))),
    saying(("make_env", "ScriptedEnv"), lambda: assert_sum_invariance(single)),
    given("script", None, lambda: ScriptedEnv(None)),
    given("scripts", {"a": []}, lambda: ScriptedParallelEnv({"a": []})),
    given("schedule", 5, lambda: RewardLedger(5, 2)),
    given("schedule", None, lambda: SlotLedger(None)),
    given("ended", np.zeros(3, bool), lambda: RewardLedger(RewardSchedule(), 2).pay([1.0, 2.0], np.zeros(3, bool))),
    given("mask", np.ones(3, bool), lambda: RewardLedger(RewardSchedule(), 2).reset(np.ones(3, bool))),
    given("seeds", [1], lambda: RewardLedger(RewardSchedule(bag_len=(1, 2)), 2).reset(None, [1])),
    given("vector_kwargs", 5, lambda: bagged_envs.make_vec(REACHER, vector_kwargs=5)),
    given("tags", 5, lambda: register(tags=5)),
    given("tags", "abc", lambda: register(tags="abc")),
    given("summary", 5, lambda: register(summary=5)),
    given("bag_len", 3, lambda: register(bag_len=3)),
    saying(("thing", "JSON"), lambda: register(thing=object())),
    given("base_id", REACHER, lambda: bagged_envs.register_task(REACHER, name="NeverMade")),
    given("success", None, lambda: SparseReward(single(), None)),
    given("success", None, lambda: gym.make("SparseReacher-v0", success=None, threshold=None)),
    given("success", None, lambda: bagged_envs.make_vec("SparseReacher-v0", success=None, threshold=None)),
    saying(("reach_tolerance",), lambda: last_step_of(SparseReward(single(), "reach_tolerance", 1.0))),
    saying(("push_tolerance",), lambda: last_step_of(SparseReward(single(), "push_tolerance", 1.0))),
    given("threshold", math.nan, lambda: criterion("return", math.nan)),
    given("threshold", "x", lambda: criterion("return", "x")),
    given("name", "bogus", lambda: Threshold("bogus", 1.0)(None, {}, 0.0, False)),
    given("episodes", 0, lambda: assert_sum_invariance(lambda: gym.make(REACHER), episodes=0)),
    given("episodes", 1.5, lambda: assert_sum_invariance(lambda: gym.make(REACHER), episodes=1.5)),
    given("make_env", 5, lambda: assert_sum_invariance(5)),
    given("dense", 5, lambda: check_bagged(gym.make(REACHER), 5)),
    given("script", 5, lambda: ScriptedEnv(5)),
    given("script", "abc", lambda: ScriptedEnv("abc")),
    given("script", [[1.0]], lambda: ScriptedEnv([[1.0]])),
    given("scripts", [], lambda: scripted_vector([])),
    given("scripts", 5, lambda: ScriptedParallelEnv(5)),
    given("bag_len", 3, lambda: EpisodicReward(single(), bag_len=3)),
    given("closes", "no", lambda: step_of(DeclaredBags(single(), lambda o, i: "no"))),
]


@pytest.mark.parametrize(("call", "said"), CALLS)
def test_the_error_names_argument_and_value(call, said):
    try:
        with pytest.raises((TypeError, ValueError, ImportError, gym.error.Error)) as caught:
            call()
    finally:
        forget()
    assert not isinstance(caught.value, BARE)
    for words in said:
        assert words in str(caught.value)


def forget():
    from bagged_envs.tasks import TASKS

    TASKS.pop("NeverMade", None)
    for variant in ("Bagged", "Episodic", "PartiallyLabeled", "Sparse"):
        gym.registry.pop(f"{variant}NeverMade-v0", None)


def test_a_refused_registration_leaves_nothing_behind():
    before = dict(gym.registry)
    for arguments in ({"success": "far"}, {"threshold": 1.0}, {"max_episode_steps": 0}, {"reward_info_keys": "abc"}):
        with pytest.raises((TypeError, ValueError)):
            register(**arguments)
    assert gym.registry == before


def test_a_reward_in_an_array_of_one_is_a_reward_with_and_without_exposing_it():
    script = [episode([np.array([1.0]), np.array([2.0])])]
    for expose in (False, True):
        env = BaggedReward(ScriptedEnv(script), 2, expose_reward=expose)
        env.reset()
        assert [env.step(0)[1] for _ in range(2)] == [0.0, 3.0]
