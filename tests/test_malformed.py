"""Malformed input: the error is a TypeError, a ValueError or Gymnasium's own, and names the argument and the value."""

import copy
import math
import re
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import bagged_envs
from bagged_envs.suites.dm_control_env import DMControlEnv
from bagged_envs.testing import ScriptedEnv, check_bagged
from bagged_envs.testing.scripted_parallel import ScriptedParallelEnv
from bagged_envs.wrappers import (
    BaggedReward,
    DeclaredBags,
    DelayedReward,
    EpisodicReward,
    PartiallyLabeledReward,
    RewardLedger,
    RewardSchedule,
    SlotLedger,
    SparseReward,
    parallel,
    vector,
)
from bagged_envs.wrappers.success import criterion
from tests.small import agents, several, single

NAN = math.nan


@dataclass
class Call:
    """A call that must fail; its text must contain every one of `said`."""

    function: Any
    arguments: dict[str, Any]
    said: tuple[str, ...]
    positional: tuple[Any, ...] = field(default=())

    def __str__(self) -> str:
        name = getattr(self.function, "__qualname__", str(self.function))
        given = ", ".join(map(str, [*self.positional, *self.arguments.items()]))
        return re.sub(r" at 0x\w+", "", f"{name}({given})")[:90]  # an address would differ between test workers


def naming(function, positional=(), **arguments):
    """A call whose error must name its last argument and that argument's value."""
    name, value = list(arguments.items())[-1]
    return Call(function, arguments, (name, repr(value)), positional)


def schedule(**arguments):
    return RewardSchedule(**arguments)


def make(id, **arguments):
    return gym.make(id, **arguments)


def step(rewards, wrapper=BaggedReward, **arguments):
    """Play one step that is paid `rewards`."""
    env = wrapper(ScriptedEnv([[(rewards, False, False), (1.0, True, False)]]), **arguments)
    env.reset()
    return env.step(0)


def pay(rewards):
    return RewardLedger(RewardSchedule(), 2, name="the environment").pay(rewards, np.zeros(2, dtype=bool))


def reset_with(mask):
    envs = vector.BaggedReward(several(AutoresetMode.DISABLED))
    envs.reset()
    return envs.reset(options={"reset_mask": mask})


def observe(space):
    env = single()
    env.observation_space = space
    return BaggedReward(env, observe_bag=True)


BAG_LENGTHS = [0, -1, 1.5, True, NAN, "5", 10**30, (5, 2), (0, 3), (1, 2.5), (1, 2, 3), (1,), [], {}, b"5", "20"]
SCHEDULES = [
    *(naming(schedule, bag_len=value) for value in BAG_LENGTHS if not isinstance(value, tuple | list)),
    *(
        Call(schedule, {"bag_len": value}, ("bag_len", said))
        for value, said in [((5, 2), "(5, 2)"), ((0, 3), "0"), ((1, 2.5), "2.5"), ((1, 2, 3), "(1, 2, 3)"), ([], "[]")]
    ),
    naming(schedule, bag_len=np.float64(3.0)),
    naming(schedule, bag_len=np.bool_(True)),
    *(naming(schedule, aggregate=value) for value in ("summ", "", None, 3, ("sum",))),
    *(naming(schedule, label_fraction=value) for value in (0, 0.0, 1.5, -0.1, NAN, math.inf, "half", True, None)),
    *(naming(schedule, label_unit=value) for value in ("bags", "", None, 1)),
    Call(schedule, {"label_unit": "step"}, ("label_unit='step'", "bag_len=20")),
    *(naming(schedule, unlabeled_reward=value) for value in (math.inf, -math.inf, "0", None, True)),
    *(naming(schedule, bag_len=None, success=value) for value in ("distances", 5, "")),
    Call(schedule, {"bag_len": None, "success": "distance"}, ("success='distance'", "threshold=None")),
    Call(schedule, {"bag_len": None, "success": "terminated", "threshold": 1}, ("success='terminated'", "threshold=1")),
    *(
        naming(schedule, bag_len=None, success="distance", threshold=value)
        for value in ("far", NAN, math.inf, True, [1.0])
    ),
    Call(schedule, {"bag_len": 3, "success": "terminated"}, ("bag_len=3",)),
    Call(schedule, {"bag_len": None, "aggregate": "mean", "success": "terminated"}, ("aggregate='mean'",)),
    Call(schedule, {"threshold": 5.0}, ("threshold=5.0", "success=None")),
    Call(schedule, {"nonesuch": 1}, ("nonesuch",)),
    Call(criterion, {"success": lambda *facts: True, "threshold": 3.0}, ("threshold=3.0",)),
]

OPTIONS = [
    *(
        naming(wrapper, (make_env(),), **{argument: value})
        for wrapper, make_env in (
            (BaggedReward, single),
            (vector.BaggedReward, several),
            (parallel.BaggedReward, agents),
        )
        for argument, value in (
            ("bag_len", 0),
            ("nonfinite", "ignore"),
            ("expose_reward", "yes"),
            ("observe_bag", 1),
            ("reward_info_keys", "reward_forward"),
            ("reward_info_keys", 5),
            ("reward_info_keys", [1]),
        )
    ),
    *(
        Call(wrapper, {"schedule": 20}, ("schedule", "20"), (make_env(),))
        for wrapper, make_env in (
            (DelayedReward, single),
            (vector.DelayedReward, several),
            (parallel.DelayedReward, agents),
        )
    ),
    naming(EpisodicReward, (single(),), aggregate="total"),
    naming(PartiallyLabeledReward, (single(),), label_fraction=2),
    naming(SparseReward, (single(),), success="height", threshold="high"),
    naming(parallel.BaggedReward, (agents(),), team_reward="max"),
    Call(parallel.BaggedReward, {}, ("possible_agents", "ScriptedEnv"), (single(),)),
    *(
        naming(wrapper, (make_env(),), closes=value)
        for wrapper, make_env in (
            (DeclaredBags, single),
            (vector.DeclaredBags, several),
            (parallel.DeclaredBags, agents),
        )
        for value in (5, None)
    ),
    *(
        Call(observe, {"space": space}, ("observe_bag=True", str(space)))
        for space in (
            gym.spaces.Discrete(3),
            gym.spaces.Box(0, 255, (4,), np.uint8),
            gym.spaces.Box(0, 1, (2, 2, 2), np.float32),
            gym.spaces.Dict({"x": gym.spaces.Discrete(2)}),
        )
    ),
]

REWARDS = [
    *(Call(step, {"rewards": value}, (repr(value), "reward")) for value in (None, "1", 1j, [1.0, 2.0])),
    Call(step, {"rewards": np.array([1.0, 2.0])}, ("array([1., 2.])",)),
    *(Call(step, {"rewards": value}, ("reward", repr(value), "step 1", "ScriptedEnv")) for value in (NAN, math.inf)),
    *(Call(pay, {"rewards": value}, ("rewards", str(value)[:5])) for value in ([1.0], [[1.0, 2.0]], 3.0, ["a", "b"])),
    Call(pay, {"rewards": [None, 1.0]}, ("rewards", "None")),
    Call(pay, {"rewards": [1j, 1.0]}, ("rewards", "complex")),
    *(Call(reset_with, {"mask": value}, ("reset_mask", repr(value))) for value in ([True, False], None, 1)),
    *(
        Call(reset_with, {"mask": np.array(value)}, ("reset_mask", repr(np.array(value))))
        for value in ([1, 0], [True], [False, False], [[True, False]])
    ),
    naming(RewardLedger, (RewardSchedule(),), num_slots=0),
    naming(RewardLedger, (RewardSchedule(),), num_slots=1.5),
    naming(SlotLedger, (RewardSchedule(),), nonfinite="warn"),
]

IDS = [
    *(naming(make, ("BaggedReacher-v0",), bag_len=value) for value in (0, 2.5, "5", True)),
    *(naming(make, ("PartiallyLabeledReacher-v0",), label_fraction=value) for value in (0.0, 7)),
    naming(make, ("BaggedReacher-v0",), nonfinite="warn"),
    naming(make, ("BaggedReacher-v0",), expose_reward="yes"),
    naming(make, ("BaggedReacher-v0",), observe_bag=1),
    naming(make, ("EpisodicReacher-v0",), bag_len=5),
    naming(make, ("SparseReacher-v0",), bag_len=5),
    naming(make, ("SparseReacher-v0",), threshold="near"),
    naming(make, ("SparseReacher-v0",), success="near"),
    naming(make, ("BaggedReacher-v0",), success="terminated"),
    naming(make, ("BaggedReacher-v0",), threshold=3.0),
    Call(make, {"nonesuch": 1}, ("nonesuch",), ("BaggedReacher-v0",)),
    Call(make, {}, ("BaggedReachr", "BaggedReacher"), ("BaggedReachr-v0",)),
    Call(make, {}, ("SparseReacher", "v7"), ("SparseReacher-v7",)),
    naming(make, ("BaggedCheetahRun-v0",), dtype="int8"),
    naming(make, ("BaggedCheetahRun-v0",), flatten="yes"),
    naming(DMControlEnv, ("cheetah", "run"), render_mode="3d"),
    Call(DMControlEnv, {"domain": "cheetah", "task": "fly"}, ("task", "'cheetah-fly'")),
    naming(bagged_envs.make_vec, ("BaggedReacher-v0",), num_envs=0),
    naming(bagged_envs.make_vec, ("BaggedReacher-v0",), num_envs=2.0),
    naming(bagged_envs.make_vec, ("BaggedReacher-v0",), backend="threads"),
    naming(bagged_envs.make_vec, ("BaggedReacher-v0",), bag_len=0),
    naming(bagged_envs.make_vec, ("BaggedReacher-v0",), max_episode_steps=0),
    naming(bagged_envs.make_vec, ("EpisodicReacher-v0",), bag_len=7),
    Call(bagged_envs.make_vec, {"id": "BaggedReachr-v0"}, ("BaggedReachr",)),
    Call(bagged_envs.make_vec, {"id": "CartPole-v1"}, ("CartPole-v1",)),
    *(naming(bagged_envs.list_ids, **{name: "nonesuch"}) for name in ("suite", "variant", "tag")),
    Call(bagged_envs.dense, {"id_or_env": "CartPole-v1"}, ("CartPole-v1",)),
    Call(bagged_envs.dense, {"id_or_env": single()}, ("id_or_env", "ScriptedEnv")),
    Call(bagged_envs.dense, {"id_or_env": BaggedReward(single())}, ("id_or_env", "spec")),
    Call(bagged_envs.dense, {"id_or_env": 5}, ("id", "5")),
    Call(bagged_envs.resolved_schedule, {"id": 5}, ("id", "5")),
    naming(bagged_envs.resolved_schedule, ("BaggedReacher-v0",), bag_len=-3),
    *(naming(bagged_envs.register_task, ("CartPole-v1",), name=value) for value in ("", "my task", "_X", 5, "Reacher")),
    naming(bagged_envs.register_task, ("CartPole-v1",), name="Pole", success="far"),
    naming(bagged_envs.register_task, ("CartPole-v1",), name="Pole", threshold=3.0),
    Call(bagged_envs.register_task, {"name": "Pole", "success": "return"}, ("threshold",), ("CartPole-v1",)),
    Call(bagged_envs.register_task, {"name": "Pole"}, ("CartPoleX",), ("CartPoleX-v1",)),
    naming(bagged_envs.register_task, ("CartPole-v1",), name="Pole", reward_info_keys="reward"),
    naming(bagged_envs.register_task, ("CartPole-v1",), name="Pole", max_episode_steps=0),
    Call(ScriptedEnv, {"script": []}, ("script", "[]")),
    Call(ScriptedEnv, {"script": [[]]}, ("script", "[[]]")),
    Call(ScriptedParallelEnv, {"scripts": {}}, ("scripts", "{}")),
    Call(ScriptedParallelEnv, {"scripts": {"a": [(1.0, False, False)]}}, ("scripts", "'a'")),
    Call(check_bagged, {"env": single()}, ("env", "ScriptedEnv")),
]
CALLS = [*SCHEDULES, *OPTIONS, *REWARDS, *IDS]


def test_there_are_more_than_a_hundred():
    assert len({str(call) for call in CALLS}) >= 130


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_the_error_names_argument_and_value(call):
    arguments = copy.deepcopy(call.arguments) if not call.positional else call.arguments
    with pytest.raises((TypeError, ValueError, gym.error.Error)) as caught:
        call.function(*call.positional, **arguments)
    for said in call.said:
        assert said in str(caught.value)
