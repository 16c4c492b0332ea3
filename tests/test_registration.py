"""Every trap between a table of tasks and `gym.make`, each with a test of its own."""

import copy
import hashlib
import json
import subprocess
import sys
from fractions import Fraction

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv

import bagged_envs
from bagged_envs import registration
from bagged_envs.describe import facts
from bagged_envs.registration import DELAY, DELAY_ARGUMENTS, delay_of
from bagged_envs.suites.mujoco import TASKS as MUJOCO
from bagged_envs.tasks import TASKS
from bagged_envs.testing import check_bagged, check_wrapper_order
from bagged_envs.testing.model import in_order
from bagged_envs.testing.rollout import same
from bagged_envs.variants import VARIANTS
from tests import scripted_ids

ID = "BaggedReacher-v0"
VECTOR_MODES = ("sync", "async")


def payments(env, seed=3):
    """What every bag of one episode paid, and its length; the actions are those of `dense_bags`."""
    env.action_space.seed(seed)
    env.reset(seed=seed)
    bags, length, over = [], 0, False
    while not over:
        _, paid, terminated, truncated, info = env.step(env.action_space.sample())
        length, over = length + 1, terminated or truncated
        if info["bag_end"]:
            bags.append((paid, length))
            length = 0
        else:
            assert paid == 0.0
    assert length == 0, "the last bag was never paid"
    return bags


def dense_bags(lengths, seed=3, **arguments):
    """The sums of Reacher's own rewards over bags of these lengths."""
    with gym.make("Reacher-v5", **arguments) as env:
        env.action_space.seed(seed)
        env.reset(seed=seed)
        return [(in_order([float(env.step(env.action_space.sample())[1]) for _ in range(n)]), n) for n in lengths]


class TestMake:
    """Reacher ends after 50 steps by its limit: what a delay inside the limit would lose."""

    def test_the_id_alone(self):
        assert payments(gym.make(ID)) == dense_bags([20, 20, 10])

    def test_bag_len(self):
        assert payments(gym.make(ID, bag_len=7)) == dense_bags([7] * 7 + [1])

    def test_max_episode_steps(self):
        assert payments(gym.make(ID, max_episode_steps=9)) == dense_bags([9])

    def test_both(self):
        assert payments(gym.make(ID, bag_len=4, max_episode_steps=9)) == dense_bags([4, 4, 1])

    def test_a_limit_beyond_the_registered_one(self):
        env = gym.make(ID, max_episode_steps=63)
        assert payments(env) == dense_bags([20, 20, 20, 3], max_episode_steps=63)

    def test_an_episodic_id_pays_the_return_at_the_limit(self):
        assert payments(gym.make("EpisodicReacher-v0")) == dense_bags([50])

    def test_the_spec_of_an_environment(self):
        env = gym.make(ID, bag_len=4, max_episode_steps=9)
        assert payments(gym.make(env.spec)) == dense_bags([4, 4, 1])

    def test_the_spec_of_an_environment_with_another_argument(self):
        env = gym.make(ID, bag_len=4, max_episode_steps=9)
        assert payments(gym.make(env.spec, bag_len=3)) == dense_bags([3, 3, 3])

    def test_the_json_of_a_spec(self):
        spec = gym.make(ID, bag_len=4, max_episode_steps=9).spec
        again = EnvSpec.from_json(spec.to_json())
        assert again == spec
        assert payments(gym.make(again)) == dense_bags([4, 4, 1])

    def test_the_json_of_a_pair_is_a_list_and_pays_the_same(self):
        env = gym.make(ID, bag_len=(3, 8))
        again = EnvSpec.from_json(env.spec.to_json())
        assert again.kwargs["bag_len"] == [3, 8]
        assert payments(gym.make(again)) == payments(env)

    @pytest.mark.parametrize("mode", VECTOR_MODES)
    def test_make_vec(self, mode):
        arguments = {"bag_len": (3, 8), "max_episode_steps": 9}
        given = copy.deepcopy(arguments)
        envs = gym.make_vec(ID, 2, vectorization_mode=mode, **given)
        assert given == arguments
        singles = [gym.make(ID, **arguments) for _ in range(2)]
        envs.action_space.seed(1)
        envs.reset(seed=5)
        for slot, env in enumerate(singles):
            env.reset(seed=5 + slot)
        total = np.zeros(2)
        for _ in range(9):
            actions = envs.action_space.sample()
            _, paid, _, truncated, infos = envs.step(actions)
            steps = [env.step(action) for env, action in zip(singles, actions, strict=True)]
            assert paid.tolist() == [step[1] for step in steps]
            assert infos["bag_end"].tolist() == [step[4]["bag_end"] for step in steps]
            total += paid
        assert truncated.all()
        assert (total < -1.0).all()
        envs.close()

    def test_every_variant_keeps_the_registered_limit_and_order(self):
        for variant in VARIANTS:
            env = gym.make(f"{variant}Reacher-v0")
            assert env.spec.max_episode_steps == 50
            assert check_wrapper_order(env) == []
            assert isinstance(env, registration.Delay)
            assert isinstance(env.env, gym.wrappers.TimeLimit)

    def test_a_limit_that_the_user_adds_outside_is_reported(self):
        (problem,) = check_wrapper_order(gym.wrappers.TimeLimit(gym.make(ID), 9))
        assert "never paid" in problem

    def test_an_episode_without_an_end_is_warned_of(self):
        with pytest.warns(UserWarning, match="EpisodicHalfCheetah|HalfCheetah has no time limit"):
            gym.make("EpisodicHalfCheetah-v0", max_episode_steps=-1)

    def test_bags_without_an_end_are_not(self):
        env = gym.make("BaggedHalfCheetah-v0", max_episode_steps=-1, bag_len=5)
        env.reset(seed=0)
        for _ in range(1005):
            *_, truncated, info = env.step(env.action_space.sample())
            assert not truncated
        assert info["bag_end"]


class TestSpecifications:
    @pytest.mark.parametrize("id", bagged_envs.list_ids())
    def test_every_argument_stands_in_the_spec_and_the_spec_survives_json(self, id):
        spec = gym.spec(id)
        variant, _ = registration.parts(id)
        assert set(variant.arguments) <= set(spec.kwargs) & set(DELAY_ARGUMENTS)
        assert {"nonfinite", "expose_reward", "observe_bag"} <= set(spec.kwargs)
        assert isinstance(spec.entry_point, str)
        assert [wrapper.entry_point for wrapper in spec.additional_wrappers][-1] == DELAY
        assert EnvSpec.from_json(spec.to_json()) == spec

    def test_the_delay_records_no_arguments(self):
        (recorded,) = gym.make(ID, bag_len=3).spec.additional_wrappers
        assert recorded.kwargs == {}

    def test_there_are_248(self):
        ids = [*bagged_envs.list_ids(suite="mujoco"), *bagged_envs.list_ids(suite="dmc")]
        assert len(ids) == len(set(ids)) == 248

    @pytest.mark.parametrize("task", MUJOCO, ids=lambda task: task.name)
    def test_render_modes_are_those_of_the_base_id(self, task):
        ours, theirs = gym.make(f"Bagged{task.name}-v0"), gym.make(task.base_id)
        assert ours.metadata == theirs.metadata
        assert ours.spec.max_episode_steps == theirs.spec.max_episode_steps == task.max_episode_steps
        assert ours.spec.nondeterministic == theirs.spec.nondeterministic

    @pytest.mark.parametrize("id", [ID, "Reacher-v5"])
    def test_an_unknown_render_mode_is_warned_of_as_for_the_base_id(self, id):
        with pytest.warns(UserWarning, match="'3d' that is not in the possible render_modes"):
            gym.make(id, render_mode="3d")

    def test_class_metadata_stays_as_it_was(self):
        classes = [type(gym.make(id).unwrapped) for id in (ID, "BaggedCheetahRun-v0")]
        before = [copy.deepcopy(cls.metadata) for cls in classes]
        envs = [gym.make(id, observe_bag=True) for id in (ID, "BaggedCheetahRun-v0")]
        for env in envs:
            env.reset()
            env.close()
        assert [cls.metadata for cls in classes] == before

    def test_arguments_of_the_task_arrive(self):
        env = gym.make("BaggedHalfCheetah-v0", ctrl_cost_weight=0.7, expose_reward=True)
        env.reset(seed=0)
        *_, info = env.step(env.action_space.high)
        assert info["reward_ctrl"] == pytest.approx(-0.7 * 6)

    def test_dm_control_observations_flat_or_not_in_either_precision(self):
        flat = gym.make("BaggedCheetahRun-v0")
        double = gym.make("BaggedCheetahRun-v0", dtype="float64")
        parts = gym.make("BaggedCheetahRun-v0", flatten=False)
        observations = [env.reset(seed=1)[0] for env in (flat, double, parts)]
        assert [observations[0].dtype, observations[1].dtype] == [np.float32, np.float64]
        joined = np.concatenate([np.ravel(part) for part in observations[2].values()])
        assert np.array_equal(observations[1], joined)
        assert np.array_equal(observations[0], joined.astype(np.float32))
        assert parts.observation_space.contains(observations[2])


@pytest.mark.parametrize("id", ["KeyDoor-v0", "TriangleArea-v0"])
def test_a_dense_id_takes_no_argument_of_the_delay_and_has_no_schedule(id):
    with pytest.raises(TypeError, match=f"bag_len=5 has no use in {id}, which is dense: take Bagged"):
        gym.make(id, bag_len=5)
    with pytest.raises(gym.error.NameNotFound, match=f"{id} is dense and has no schedule: take Bagged"):
        bagged_envs.resolved_schedule(id)


def test_a_description_without_criterion_or_limit():
    said = dict(facts("BaggedPocketWatch-v0", {}))
    assert said["success, if Sparse"] == "none, and so no Sparse variant"
    assert said["horizon"] == "no time limit: the task ends by itself"
    assert dict(facts("BaggedKeyDoor-v0", {}))["success, if Sparse"].endswith(
        "(our choice: the task's own end, which only success brings about)"
    )


@pytest.mark.parametrize(
    ("id", "numpys", "plain"),
    [
        ("KeyDoor", {"size": np.int64(4), "delay": np.int32(7)}, {"size": 4, "delay": 7}),
        ("Hopper", {"ctrl_cost_weight": np.float32(0.5)}, {"ctrl_cost_weight": 0.5}),
        ("Hopper", {"healthy_z_range": (np.float32(0.5), 2.0)}, {"healthy_z_range": [0.5, 2.0]}),
        ("CheetahRun", {"flatten": np.bool_(False)}, {"flatten": False}),
        ("CheetahRun", {"dtype": np.str_("float64")}, {"dtype": "float64"}),
        ("TriangleArea", {"dynamics": np.str_("legacy")}, {"dynamics": "legacy"}),
    ],
)
class TestNumPysNumbers:
    """They stand in the specification as plain ones, which JSON can carry, and change nothing else."""

    @staticmethod
    def kwargs(spec):
        return json.loads(spec.to_json())["kwargs"]

    def test_of_a_delayed_id(self, id, numpys, plain):
        spec = gym.make(f"Bagged{id}-v0", bag_len=(np.int64(3), np.int64(5)), **numpys).spec
        assert plain.items() <= self.kwargs(spec).items()
        assert self.kwargs(spec)["bag_len"] == [3, 5]

    def test_of_a_dense_twin(self, id, numpys, plain):
        twin = bagged_envs.dense(f"Bagged{id}-v0", **numpys)
        again = gym.make(twin.spec, **numpys)
        for env in (twin, again, bagged_envs.dense(gym.make(f"Bagged{id}-v0", **numpys))):
            assert plain.items() <= self.kwargs(env.spec).items()
            assert plain.items() <= self.kwargs(env.unwrapped.spec).items()
        restored = gym.make(EnvSpec.from_json(twin.spec.to_json()))
        assert self.kwargs(restored.spec) == self.kwargs(twin.spec)
        assert same(restored.reset(seed=1)[0], twin.reset(seed=1)[0])

    def test_of_a_vector_environment(self, id, numpys, plain):
        delayed = bagged_envs.make_vec(f"Bagged{id}-v0", 1, bag_len=np.int64(3), **numpys)
        assert {**plain, "bag_len": 3}.items() <= self.kwargs(delayed.spec).items()
        if TASKS[id].ours:
            assert plain.items() <= self.kwargs(bagged_envs.make_vec(f"{id}-v0", 1, **numpys).spec).items()


@pytest.mark.parametrize(
    ("id", "arguments", "outside"),
    [("KeyDoor-v0", {"size": 4}, []), ("BaggedKeyDoor-v0", {"size": np.int64(4)}, ["Delay"])],
)
def test_nothing_more_stands_in_the_stack_where_nothing_needs_changing_or_the_delay_does_it(id, arguments, outside):
    names = [type(layer).__name__ for layer in registration.layers(gym.make(id, **arguments))]
    assert names == [*outside, "TimeLimit", "OrderEnforcing", "PassiveEnvChecker", "KeyDoor"]


def test_only_what_has_numpys_numbers_is_made_anew():
    given = {"pair": (np.int64(3), 2.5), "deep": [[np.float32(0.5)], "a"], "kept": [1, (2, "b")]}
    plain = registration.plain(given)
    assert repr(plain) == "{'pair': (3, 2.5), 'deep': [[0.5], 'a'], 'kept': [1, (2, 'b')]}"
    assert plain["kept"] is given["kept"]
    assert type(given["pair"][0]) is np.int64


def test_other_numbers_of_a_schedule_stand_in_the_spec_as_plain_ones_too():
    arguments = {"label_fraction": Fraction(1, 2), "bag_len": [3, 5]}
    for env in (gym.make(ID, **arguments), bagged_envs.make_vec(ID, 2, **arguments)):
        assert env.spec.kwargs["label_fraction"] == json.loads(env.spec.to_json())["kwargs"]["label_fraction"] == 0.5
        assert env.spec.kwargs["bag_len"] == (3, 5)


def test_another_task_than_the_names_is_refused():
    with pytest.raises(ValueError, match="task='walk' contradicts the name WalkerRun, which is 'run'"):
        gym.make("BaggedWalkerRun-v0", task="walk")
    with pytest.raises(ValueError, match="domain='dog' contradicts the name WalkerRun, which is 'walker'"):
        gym.make("BaggedWalkerRun-v0", domain="dog")


@pytest.mark.parametrize("name", ["Hopper", "CheetahRun", "SimpleSpread", "KeyDoor", "TriangleArea", "Scripted"])
def test_a_dense_twin_that_refuses_the_delay_calls_itself_what_it_is(name):
    spec = bagged_envs.dense(f"Bagged{name}-v0").spec
    with pytest.raises(TypeError, match=f"^bag_len=5 has no use in {spec.id}, which is dense: take Bagged{name}-v0 or"):
        gym.make(spec, bag_len=5)
    if name in ("Hopper", "KeyDoor", "TriangleArea", "Scripted"):
        assert spec.id in gym.registry


def test_the_dense_twin_of_a_dense_id_is_itself():
    env = bagged_envs.dense("KeyDoor-v0", size=3, bag_len=5)
    assert env.spec.id == "KeyDoor-v0"
    assert bagged_envs.dense(env.spec).spec.id == "KeyDoor-v0"
    assert env.observation_space == gym.make("KeyDoor-v0", size=3).observation_space
    assert delay_of(env) is None


@pytest.mark.parametrize("id", ["KeyDoor-v0", "TriangleArea-v0"])
def test_a_dense_id_has_no_bags_to_observe(id):
    for wanted in (id, gym.make(id).spec):
        with pytest.raises(TypeError, match=f"observe_bag=True has no use in {id}, which is dense: take Bagged"):
            bagged_envs.dense(wanted, observe_bag=True)
    assert bagged_envs.dense(id, observe_bag=False).observation_space == gym.make(id).observation_space
    with pytest.raises(TypeError, match="observe_bag must be True or False, got 1"):
        bagged_envs.dense(id, observe_bag=1)


class TestRegisterTask:
    def test_its_arguments_may_have_any_names(self):
        own = {"task": "sweep", "domain": "home", "scenario": "calm"}
        bagged_envs.register_task("tests/Chores-v0", name="Chores", **own)
        other = {"task": "mop", "domain": "school", "scenario": "storm"}
        for env in (
            gym.make("BaggedChores-v0", **other),
            bagged_envs.dense("BaggedChores-v0", **other),
            bagged_envs.make_vec("BaggedChores-v0", **other).env.envs[0],
        ):
            assert env.unwrapped.chosen == ("mop", "school", "storm")
        assert gym.make("BaggedChores-v0").unwrapped.chosen == ("sweep", "home", "calm")

    def test_a_dense_task_of_ours_keeps_what_it_hides(self):
        bagged_envs.register_task("TriangleArea-v0", name="SameTriangle")
        env = gym.make("EpisodicSameTriangle-v0")
        assert "agent_rewards" not in env.reset(seed=0)[1]
        assert "agent_rewards" not in env.step(env.action_space.sample())[-1]
        assert TASKS["SameTriangle"].reward_info_keys == TASKS["TriangleArea"].reward_info_keys

    def test_an_entry_point_that_returns_a_wrapper(self):
        env = gym.make("BaggedWrapped-v0", bag_len=5)
        assert payments(env) == [
            (in_order(scripted_ids.REWARDS[start : start + 5][: 17 - start]), min(5, 17 - start))
            for start in range(0, 17, 5)
        ]
        assert env.reset(seed=0)[0][0] == 2.0  # the wrapper's shift of the episode's number
        check_bagged(env)

    def test_an_id_with_wrappers_of_its_own_is_delayed_after_them(self):
        env = gym.make("BaggedWithWrappers-v0", bag_len=5)
        assert isinstance(env, registration.Delay)
        assert isinstance(env.env, gym.wrappers.TimeAwareObservation)
        assert len(payments(env)) == 4
        check_bagged(env)

    def test_every_variant_exists_and_is_listed(self):
        ids = [f"{variant}Scripted-v0" for variant in VARIANTS]
        assert set(ids) <= set(bagged_envs.list_ids(suite="registered"))
        for id in ids:
            check_bagged(gym.make(id))

    @pytest.mark.parametrize("name", ["Reacher", "Scripted"])
    def test_a_taken_name_raises_and_changes_nothing(self, name):
        before = dict(gym.registry)
        with pytest.raises(ValueError, match=f"name='{name}' is taken .*Bagged{name}-v0"):
            bagged_envs.register_task("CartPole-v1", name=name)
        assert dict(gym.registry) == before

    def test_a_name_that_only_gymnasium_knows_is_taken_too(self):
        gym.register("SparseTaken-v0", "tests.scripted_ids:wrapped")
        with pytest.raises(ValueError, match="name='Taken' is taken \\(SparseTaken-v0\\)"):
            bagged_envs.register_task("CartPole-v1", name="Taken")

    def test_without_a_criterion_there_is_no_sparse_variant(self):
        ids = bagged_envs.register_task("MountainCar-v0", name="MountainCar")
        assert ids == ["BaggedMountainCar-v0", "EpisodicMountainCar-v0", "PartiallyLabeledMountainCar-v0"]
        with pytest.raises(gym.error.NameNotFound):
            gym.make("SparseMountainCar-v0")

    def test_what_our_own_task_on_that_base_id_hides_is_hidden(self):
        bagged_envs.register_task("Hopper-v5", name="PlainHopper", max_episode_steps=9)
        assert TASKS["PlainHopper"].reward_info_keys == TASKS["Hopper"].reward_info_keys != ()
        bagged_envs.register_task("Hopper-v5", name="TellingHopper", reward_info_keys=[])
        assert TASKS["TellingHopper"].reward_info_keys == ()
        assert ("removed from info", "nothing: register_task was given no reward_info_keys") in facts(
            "BaggedTellingHopper-v0", {}
        )

    def test_arguments_limit_and_hidden_keys(self):
        bagged_envs.register_task(
            "Hopper-v5",
            name="HeavyHopper",
            ctrl_cost_weight=0.5,
            max_episode_steps=11,
            reward_info_keys=["reward_forward", "reward_ctrl", "reward_survive", "x_velocity"],
            tags=["heavy"],
        )
        assert bagged_envs.list_ids(tag="heavy", variant="Bagged") == ["BaggedHeavyHopper-v0"]
        env = gym.make("BaggedHeavyHopper-v0")
        assert env.spec.max_episode_steps == 11
        assert env.unwrapped._ctrl_cost_weight == 0.5
        check_bagged(env)

    @pytest.mark.parametrize("context", ["spawn", "forkserver"])
    @pytest.mark.parametrize("make_vec", [bagged_envs.make_vec, gym.make_vec])
    def test_workers_that_get_a_specification_find_it_too(self, make_vec, context):
        """`make_vec` sends specifications, not IDs: they name the module that registered the task."""
        way = {"backend": "async"} if make_vec is bagged_envs.make_vec else {"vectorization_mode": "async"}
        vector_kwargs = {"context": context}
        envs = make_vec("tests.scripted_ids:BaggedScripted-v0", 2, vector_kwargs=vector_kwargs, bag_len=3, **way)
        envs.reset(seed=0)
        paid = [envs.step(np.zeros(2, dtype=int))[1][0] for _ in range(3)]
        assert paid == [0.0, 0.0, in_order(scripted_ids.REWARDS[:3])]
        envs.close()

    def test_a_name_that_ends_like_another_tasks_is_found_too(self):
        envs = gym.make_vec(
            "tests.scripted_ids:BaggedShortReacher-v0",
            1,
            vectorization_mode="async",
            vector_kwargs={"context": "spawn"},
        )
        envs.reset(seed=0)
        paid = [envs.step(np.zeros((1, 2)))[1][0] for _ in range(4)]
        assert paid[:3] == [0.0] * 3
        assert paid[3] < 0.0
        envs.close()

    def test_the_module_can_be_named(self):
        bagged_envs.register_task("CartPole-v1", name="Named", module="some.module")
        assert gym.spec("BaggedNamed-v0").entry_point == "bagged_envs.entry_points:BaggedNamed@some.module"

    def test_a_delayed_id_is_not_delayed_twice(self):
        with pytest.raises(ValueError, match="base_id='BaggedReacher-v0' is delayed already"):
            bagged_envs.register_task(ID, name="Twice")

    @pytest.mark.parametrize("context", ["spawn", "forkserver"])
    def test_workers_that_never_imported_it_find_it_by_its_module(self, context):
        makers = [Maker("tests.scripted_ids:BaggedScripted-v0", bag_len=(2, 6)) for _ in range(2)]
        envs = AsyncVectorEnv(makers, context=context)
        singles = [maker() for maker in makers]
        envs.reset(seed=8)
        for slot, env in enumerate(singles):
            env.reset(seed=8 + slot)
        for _ in range(17):
            _, paid, _, truncated, _ = envs.step(np.zeros(2, dtype=int))
            assert paid.tolist() == [env.step(0)[1] for env in singles]
        assert truncated.all()
        envs.close()


class Maker:
    """Makes an environment in a worker; a lambda could not be sent there."""

    def __init__(self, id, **arguments):
        self.id, self.arguments = id, arguments

    def __call__(self):
        return gym.make(self.id, **self.arguments)


class TestDense:
    def test_an_id_a_spec_and_an_environment_make_the_same_twin(self):
        env = gym.make(ID, bag_len=3, max_episode_steps=9)
        for twin in (
            bagged_envs.dense(ID, max_episode_steps=9),
            bagged_envs.dense(env.spec),
            bagged_envs.dense(env),
            bagged_envs.dense(gym.wrappers.RecordEpisodeStatistics(env)),
        ):
            assert delay_of(twin) is None
            assert twin.spec.max_episode_steps == 9
            twin.action_space.seed(3)
            twin.reset(seed=3)
            rewards = [float(twin.step(twin.action_space.sample())[1]) for _ in range(9)]
            assert rewards == [reward for reward, _ in dense_bags([1] * 9)]

    def test_arguments_of_the_task_are_kept(self):
        twin = bagged_envs.dense(gym.make("BaggedHalfCheetah-v0", ctrl_cost_weight=0.7))
        assert twin.unwrapped._ctrl_cost_weight == 0.7

    def test_with_observed_bags_the_observations_are_kept_too(self):
        env = gym.make(ID, bag_len=3, observe_bag=True)
        twin = bagged_envs.dense(env)
        assert twin.observation_space == env.observation_space
        assert same(env.reset(seed=1)[0], twin.reset(seed=1)[0])
        for _ in range(5):
            action = env.action_space.sample()
            observation, *_ = env.step(action)
            other, reward, *_, info = twin.step(action)
            assert same(observation, other)
            assert reward == info["dense_reward"] < 0.0

    def test_a_wrapped_environment_of_the_users(self):
        env = bagged_envs.wrappers.BaggedReward(gym.make("CartPole-v1"), 7)
        twin = bagged_envs.dense(env)
        twin.reset(seed=0)
        assert [twin.step(0)[1] for _ in range(3)] == [1.0, 1.0, 1.0]

    def test_the_spec_of_the_twin_survives_json(self):
        for id in (ID, "BaggedCheetahRun-v0"):
            spec = bagged_envs.dense(id).spec
            again = gym.make(EnvSpec.from_json(spec.to_json()))
            again.reset(seed=0)
            assert delay_of(again) is None

    def test_a_delay_with_a_schedule_object_has_a_twin_too(self):
        schedule = bagged_envs.RewardSchedule(bag_len=5)
        env = bagged_envs.wrappers.DelayedReward(gym.make("Pendulum-v1"), schedule, observe_bag=True)
        twin = bagged_envs.dense(env)
        assert same(env.reset(seed=2)[0], twin.reset(seed=2)[0])
        action = env.action_space.sample()
        assert same(env.step(action)[0], twin.step(action)[0])

    def test_arguments_of_the_delay_are_accepted_and_have_no_effect(self):
        env = bagged_envs.wrappers.BaggedReward(gym.make("CartPole-v1"), 7)
        assert delay_of(bagged_envs.dense(env, bag_len=5)) is None
        assert delay_of(bagged_envs.dense(ID, bag_len=5)) is None

    def test_a_wrapped_environments_twin_observes_bags_or_not_on_request(self):
        plain = bagged_envs.wrappers.BaggedReward(gym.make("Pendulum-v1"), 3)
        observing = bagged_envs.wrappers.BaggedReward(gym.make("Pendulum-v1"), 3, observe_bag=True)
        twin = bagged_envs.dense(plain, observe_bag=True)
        assert twin.observation_space == observing.observation_space
        assert same(twin.reset(seed=1)[0], observing.reset(seed=1)[0])
        for _ in range(4):
            action = observing.action_space.sample()
            observation, reward, *_ = twin.step(action)
            assert same(observation, observing.step(action)[0])
            assert reward < 0.0
        assert bagged_envs.dense(observing, observe_bag=False).observation_space == plain.observation_space
        with pytest.raises(TypeError, match="observe_bag must be True or False, got None"):
            bagged_envs.dense(plain, observe_bag=None)
        with pytest.raises(ValueError, match="observe_bag=True has the bags observed inside <TimeLimit"):
            bagged_envs.dense(gym.wrappers.TimeLimit(plain, 9), observe_bag=True)

    def test_the_twin_that_counts_bags_can_be_made_again_from_its_spec(self):
        twin = bagged_envs.dense(ID, observe_bag=True)
        again = gym.make(EnvSpec.from_json(twin.spec.to_json()))
        again.reset(seed=0)
        assert again.step(again.action_space.sample())[1] < 0.0

    @pytest.mark.parametrize(
        ("delay", "form"), [("inside gym.make", "env"), ("inside gym.make", "spec"), ("around it", "env")]
    )
    def test_a_twin_that_counts_bags_has_twins(self, delay, form):
        plain = bagged_envs.wrappers.BaggedReward(gym.make("Pendulum-v1"), 3)
        twin = bagged_envs.dense(ID if delay == "inside gym.make" else plain, observe_bag=True)
        again = twin.spec if form == "spec" else twin
        counting, other = bagged_envs.dense(again), bagged_envs.dense(again, observe_bag=False)
        assert counting.observation_space == twin.observation_space != other.observation_space
        assert str(counting).count("DenseReward") == 1
        assert "DenseReward" not in str(other)
        assert delay_of(other) is None
        for env in (counting, other):
            env.reset(seed=0)
            assert env.step(env.action_space.sample())[1] < 0.0

    def test_the_specification_inside_a_delay_observes_no_bags(self):
        with pytest.raises(ValueError, match="lacks: it is the unwrapped environment's; take env.spec, or the ID"):
            bagged_envs.dense(gym.make(ID).unwrapped.spec, observe_bag=True)


class TestLists:
    def test_an_argument_that_is_none_of_the_delay_is_refused(self):
        with pytest.raises(ValueError, match="baglen=5.*Did you mean 'bag_len'"):
            bagged_envs.resolved_schedule("BaggedWalker2d-v0", baglen=5)

    def test_an_unknown_id_is_answered_with_the_nearest_not_with_all(self):
        with pytest.raises(gym.error.NameNotFound, match="BaggedReacher-v0") as caught:
            registration.parts("BaggedReachr-v0")
        assert len(str(caught.value)) < 700

    def test_filters_combine(self):
        ids = bagged_envs.list_ids(suite="mujoco", variant="Sparse", tag="balance")
        assert ids == ["SparseInvertedDoublePendulum-v0", "SparseInvertedPendulum-v0"]

    def test_suites(self):
        assert len(bagged_envs.list_ids(suite="mujoco")) == 44
        assert len(bagged_envs.list_ids(suite="dmc")) == 204

    def test_resolved_schedules_are_printed_in_brackets(self):
        assert str(bagged_envs.resolved_schedule("BaggedWalker2d-v0", bag_len=20)) == "bag_len=20"
        assert str(bagged_envs.resolved_schedule("PartiallyLabeledAnt-v0")) == "bag_len=1, label_fraction=0.01"


def run(code, *flags, **environment):
    """Run code in a new interpreter."""
    import os

    return subprocess.run(
        [sys.executable, *flags, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


DIGEST = """
import hashlib, json
import gymnasium as gym
env = gym.make("bagged_envs:PartiallyLabeledReacher-v0", bag_len=(1, 5), label_fraction=0.5)
env.action_space.seed(0)
env.reset(seed=4)
steps = [env.step(env.action_space.sample()) for _ in range(50)]
told = [(o.tolist(), r, te, tr, i["bag_end"], i["reward_observed"]) for o, r, te, tr, i in steps]
print(hashlib.sha256(json.dumps(told).encode()).hexdigest())
"""


def test_an_id_of_the_users_with_our_entry_point_and_delay():
    ours = gym.spec(ID)
    gym.register(
        "tests/Renamed-v3",
        ours.entry_point,
        kwargs=ours.kwargs,
        max_episode_steps=9,
        additional_wrappers=ours.additional_wrappers,
    )
    env = gym.make("tests/Renamed-v3", bag_len=4)
    assert payments(env) == dense_bags([4, 4, 1])
    assert delay_of(bagged_envs.dense(env)) is None


def test_the_entry_points_metadata_is_the_base_ids():
    creator = gym.envs.registration.load_env_creator(gym.spec("BaggedAnt-v0").entry_point)
    base = gym.envs.registration.load_env_creator(gym.spec("Ant-v5").entry_point)
    assert creator.metadata == base.metadata
    assert creator.metadata["render_modes"]


def test_registering_again_leaves_what_is_registered_as_it_is():
    changed = copy.deepcopy(gym.spec(ID))
    changed.max_episode_steps = 5
    gym.registry[ID], before = changed, gym.registry[ID]
    try:
        registration.register_all()
        assert gym.registry[ID] is changed
    finally:
        gym.registry[ID] = before


class TestProcesses:
    def test_a_process_that_never_imported_the_package(self):
        code = "import gymnasium as gym; print(gym.make('bagged_envs:BaggedWalker2d-v0', bag_len=7).schedule)"
        assert run(code).stdout.strip() == "bag_len=7"

    @pytest.mark.long
    def test_hash_seeds_change_nothing(self):
        digests = {run(DIGEST, PYTHONHASHSEED=seed).stdout.strip() for seed in ("0", "1", "2")}
        assert len(digests) == 1
        assert len(digests.pop()) == len(hashlib.sha256(b"").hexdigest())

    @pytest.mark.long
    def test_without_asserts_everything_is_checked_and_paid_as_with_them(self):
        result = run(DIGEST + CHECKED, "-O")
        assert result.returncode == 0, result.stderr
        digest, *caught = result.stdout.split("\n")[:-1]
        assert digest == run(DIGEST).stdout.strip()
        assert caught == ["ValueError", "ResetNeeded", "NonFiniteRewardError", "BaggedError"]


CHECKED = """
from bagged_envs.testing import ScriptedEnv, check_bagged, episode
from bagged_envs.wrappers import BaggedReward
class Wrong(BaggedReward):
    def step(self, action):
        observation, paid, *rest = super().step(action)
        return observation, paid + 1.0, *rest
def bad():
    env = BaggedReward(ScriptedEnv([episode([float("nan")])]))
    env.reset()
    env.step(0)
for call in (
    lambda: gym.make("BaggedReacher-v0", bag_len=0),
    lambda: env.step(env.action_space.sample()),
    bad,
    lambda: check_bagged(Wrong(gym.make("Reacher-v5")), gym.make("Reacher-v5")),
):
    try:
        call()
    except Exception as error:
        print(type(error).__name__)
"""


def test_importing_twice_and_registering_again_changes_nothing():
    before = dict(gym.registry)
    registration.register_all()
    assert dict(gym.registry) == before


def test_the_registry_is_json_through_and_through():
    for id in bagged_envs.list_ids(variant="Bagged"):
        kwargs = gym.spec(id).kwargs
        assert json.loads(json.dumps(kwargs)) == kwargs
