"""The native backend agrees with Gymnasium's vector environments of the same IDs, to the bit, in every mode."""

import copy

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import bagged_envs
from bagged_envs.tasks import TASKS
from bagged_envs.testing.rollout import same

NATIVE = [task for task in TASKS.values() if task.batch is not None and task.ours]
SLOTS, STEPS, LIMIT = 3, 40, 11
SCHEDULES = {
    "Bagged": {"bag_len": (2, 5), "label_fraction": 0.5, "expose_reward": True},
    "Episodic": {},
    "PartiallyLabeled": {"label_fraction": 0.5, "unlabeled_reward": -7.0},
    "Sparse": {},
}


def pair(id, mode, **arguments):
    """The native vector environment, and Gymnasium's own of the same ID."""
    given = {"max_episode_steps": LIMIT, **arguments}
    native = bagged_envs.make_vec(id, SLOTS, backend="native", vector_kwargs={"autoreset_mode": mode}, **given)
    theirs = gym.make_vec(id, SLOTS, "sync", vector_kwargs={"autoreset_mode": mode}, **given)
    return native, theirs


def assert_agree(native, theirs, mode, seed=3):
    one, other = native.reset(seed=seed), theirs.reset(seed=seed)
    assert same(one, other)
    native.action_space.seed(seed)
    ends = 0
    for step in range(STEPS):
        actions = native.action_space.sample()
        one, other = native.step(actions), theirs.step(copy.deepcopy(actions))
        for mine, expected in zip(one, other, strict=True):
            assert same(mine, expected), (step, mine, expected)
        ended = one[2] | one[3]
        ends += ended.sum()
        if mode is AutoresetMode.DISABLED and ended.any():
            # Gymnasium 1.4 takes the mask out of the caller's options.
            one, other = (envs.reset(options={"reset_mask": ended.copy()}) for envs in (native, theirs))
            assert same(one, other)
    assert ends >= SLOTS
    native.close()
    theirs.close()


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize("task", NATIVE, ids=lambda task: task.name)
class TestEveryTask:
    def test_without_delay(self, task, mode):
        assert_agree(*pair(f"{task.name}-v0", mode), mode)

    def test_with_every_variant(self, task, mode):
        for variant, arguments in SCHEDULES.items():
            if f"{variant}{task.name}-v0" in gym.registry:
                assert_agree(*delayed_pair(f"{variant}{task.name}-v0", mode, arguments), mode)


def delayed_pair(id, mode, arguments):
    native, theirs = pair(id, mode, **arguments)
    # A vector of delayed environments draws its bags as the delayed vector does: slot i from seed + i.
    assert native.metadata["backend"] == "native"
    return native, theirs


AGENTS = [task for task in NATIVE if task.agents]


@pytest.mark.parametrize("task", AGENTS, ids=lambda task: task.name)
def test_arguments_of_the_task_and_of_its_face_arrive(task):
    arguments = {"team_reward": "mean", "dynamics": "mpe2", "contact": "fork"}
    assert_agree(*pair(f"Bagged{task.name}-v0", AutoresetMode.NEXT_STEP, **arguments), AutoresetMode.NEXT_STEP)


@pytest.mark.parametrize("num_agents", [3, 10, 30])
def test_any_number_of_agents(num_agents):
    """From eight on, NumPy's own sums are not from left to right."""
    mode = AutoresetMode.NEXT_STEP
    assert_agree(*pair("BaggedCooperativeNavigation-v0", mode, num_agents=num_agents, bag_len=4), mode)


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize("opponents", ["random", "scripted", "still"])
@pytest.mark.parametrize("team", ["predators", "prey"])
def test_either_team_against_scripted_opponents(team, opponents, mode):
    id = "EpisodicCompetitivePredatorPrey-v0"
    assert_agree(*pair(id, mode, team=team, opponents=opponents), mode)


def test_opponents_follow_the_seeds_of_masked_resets():
    native, theirs = pair("CompetitivePredatorPrey-v0", AutoresetMode.DISABLED, opponents="random")
    for envs in (native, theirs):
        envs.reset(seed=[5, 6, 7])
    mask = np.array([True, False, True])
    seeds = [8, None, 9]
    one, other = (envs.reset(seed=seeds, options={"reset_mask": mask.copy()}) for envs in (native, theirs))
    assert same(one, other)
    for _ in range(5):
        actions = native.action_space.sample()
        assert same(native.step(actions)[0], theirs.step(actions)[0])


def test_opponents_of_worlds_outside_the_mask_go_on():
    native, theirs = pair("CompetitivePredatorPrey-v0", AutoresetMode.DISABLED, opponents="random")
    for envs in (native, theirs):
        envs.reset(seed=5)
        envs.reset(seed=9, options={"reset_mask": np.array([False, True, False])})
    for _ in range(LIMIT - 1):
        actions = native.action_space.sample()
        assert same(native.step(actions)[0], theirs.step(actions)[0])
    ended = {"reset_mask": np.array([True, True, True])}
    one, other = (envs.reset(options=copy.deepcopy(ended)) for envs in (native, theirs))
    assert same(one, other)
    actions = native.action_space.sample()
    assert same(native.step(actions)[0], theirs.step(actions)[0])


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"seed": [1, 2]}, ValueError, "seed must be an int or 3 seeds, got 2"),
        ({"seed": "a"}, TypeError, "seed must be an int, a sequence of ints, or None, got 'a'"),
        ({"seed": 7, "options": {"bad": 1}}, ValueError, "a key of options must be one of"),
        ({"seed": 7, "options": [("positions", 1)]}, TypeError, "options must be a dict or None"),
    ],
)
def test_a_refused_reset_changes_nothing(arguments, error, said):
    id = "CompetitivePredatorPrey-v0"
    asked, other = (bagged_envs.make_vec(id, SLOTS, opponents="random") for _ in range(2))
    for envs in (asked, other):
        envs.reset(seed=3)
    with pytest.raises(error, match=said):
        asked.reset(**arguments)
    for _ in range(30):
        actions = asked.action_space.sample()
        assert same(asked.step(actions)[0], other.step(actions)[0])


class TestBackends:
    def test_auto_takes_it_where_it_is_and_says_so(self):
        assert bagged_envs.make_vec("BaggedKeyDoor-v0", 2).metadata["backend"] == "native"
        assert bagged_envs.make_vec("KeyDoor-v0", 2).metadata["backend"] == "native"
        assert bagged_envs.make_vec("BaggedReacher-v0", 2).metadata["backend"] == "native"
        assert bagged_envs.make_vec("BaggedSimpleSpread-v0", 2).metadata["backend"] == "sync"

    def test_a_callable_opponent_is_for_single_environments(self):
        arguments = {"opponents": lambda seen, generator: dict.fromkeys(seen, 0)}
        envs = bagged_envs.make_vec("BaggedCompetitivePredatorPrey-v0", 2, **arguments)
        assert envs.metadata["backend"] == "sync"
        with pytest.raises(ValueError, match="opponents must be a name with backend='native'.*backend='sync'"):
            bagged_envs.make_vec("BaggedCompetitivePredatorPrey-v0", 2, backend="native", **arguments)

    @pytest.mark.parametrize(
        ("id", "arguments", "said"),
        [
            ("BaggedFishSwim-v0", {}, "backend='native' has no FishSwim, only .*KeyDoor.*use 'auto' or 'sync'"),
            ("KeyDoor-v0", {"bag_len": 3}, "has no use in KeyDoor-v0, which is dense: take BaggedKeyDoor-v0"),
            ("BaggedKeyDoor-v0", {"vector_kwargs": {"shared_memory": True}}, "must be one of 'autoreset_mode'"),
            ("BaggedTriangleArea-v0", {"opponents": "still"}, "opponents='still' has no use"),
            ("BaggedTriangleArea-v0", {"team": "prey"}, "team must be one of 'agents', got 'prey'"),
            ("BaggedTriangleArea-v0", {"team_reward": "per_agent"}, "team_reward must be one of 'sum', 'mean'"),
            ("BaggedTriangleArea-v0", {"face": "tuple"}, "face='tuple' pays lists of rewards"),
            ("BaggedTriangleArea-v0", {"render_mode": "ansi"}, "render_mode must be one of 'rgb_array', got 'ansi'"),
        ],
    )
    def test_refusals(self, id, arguments, said):
        with pytest.raises((ValueError, TypeError), match=said):
            bagged_envs.make_vec(id, 2, backend="native", **arguments)

    def test_pictures_of_every_world(self):
        envs = bagged_envs.make_vec("BaggedTriangleArea-v0", 2, render_mode="rgb_array")
        envs.reset(seed=0)
        first, second = envs.render()
        assert first.shape == second.shape == (480, 480, 3)
        assert not np.array_equal(first, second)
