"""The traps of registration, each measured once and now held: every way to make an ID pays in full."""

import copy
import functools
import json
import operator
import os
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv

import bagged_envs
from bagged_envs.registration import register_all, spec_of
from bagged_envs.tasks import TASKS
from bagged_envs.testing import check_wrapper_order
from bagged_envs.testing.rollout import random_actions, same
from bagged_envs.variants import VARIANTS
from bagged_envs.wrappers import DelayedReward
from tests.contracts.ids import LIMIT, SCRIPT, Doubling

SCRIPTED = "tests.contracts.ids:BaggedContractScripted-v0"
REACHER = "bagged_envs:BaggedReacher-v0"
TABLE_IDS = [id for suite in ("mujoco", "dmc") for id in bagged_envs.list_ids(suite=suite)]
SCHEDULE = {"bag_len", "aggregate", "label_fraction", "label_unit", "unlabeled_reward"}
OPTIONS = {"nonfinite", "expose_reward", "observe_bag"}
HALT = 60


def record(env, seed=3, episodes=2):
    """Play episodes; return one list of (reward, bag_end, terminated, truncated) per episode."""
    act, played = random_actions(env.action_space, seed), []
    for number in range(episodes):
        env.reset(seed=seed if number == 0 else None)
        played.append([])
        while not played[-1] or not (played[-1][-1][2] or played[-1][-1][3]):
            _, reward, terminated, truncated, info = env.step(act())
            played[-1].append((reward, info.get("bag_end"), terminated, truncated))
            assert len(played[-1]) <= HALT, "the episode did not end"
    env.close()
    return played


def delayed(dense, bag_len):
    """What an episode of dense rewards is paid in bags of a fixed length: left-to-right sums, the tail included."""
    steps = bag_len or len(dense)
    bags = [dense[start : start + steps] for start in range(0, len(dense), steps)]
    return [paid for bag in bags for paid in [0.0] * (len(bag) - 1) + [functools.reduce(operator.add, bag)]]


def assert_pays(env, twin, bag_len, lengths=None):
    """The environment pays its twin's rewards in bags, to the bit, and ends when the twin ends."""
    paid, dense = record(env), record(twin)
    for ours, theirs in zip(paid, dense, strict=True):
        assert [step[0] for step in ours] == delayed([float(step[0]) for step in theirs], bag_len)
        assert [step[2:] for step in ours] == [step[2:] for step in theirs]
        assert [type(step[0]) for step in ours] == [float] * len(ours)
    if lengths is not None:
        assert [len(episode) for episode in paid] == lengths


def python(code, *flags, **environment):
    """Run code in a Python of its own, warnings being errors; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *flags, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def spec_with(id, **arguments):
    env = gym.make(id, **arguments)
    env.close()
    return env.spec


WAYS = {
    "make": (lambda id: gym.make(id), 20, None),
    "bag_len": (lambda id: gym.make(id, bag_len=7), 7, None),
    "max_episode_steps": (lambda id: gym.make(id, max_episode_steps=9), 20, 9),
    "both": (lambda id: gym.make(id, bag_len=7, max_episode_steps=9), 7, 9),
    "spec": (lambda id: gym.make(spec_with(id, bag_len=7)), 7, None),
    "spec and limit": (lambda id: gym.make(spec_with(id, bag_len=7, max_episode_steps=9)), 7, 9),
    "spec, new bag_len": (lambda id: gym.make(spec_with(id, bag_len=7), bag_len=3), 3, None),
    "spec, new limit": (lambda id: gym.make(spec_with(id, bag_len=7), max_episode_steps=8), 7, 8),
    "registered spec": (lambda id: gym.make(spec_of(id), bag_len=4), 4, None),
    "JSON": (lambda id: gym.make(EnvSpec.from_json(spec_with(id, bag_len=7, max_episode_steps=9).to_json())), 7, 9),
    "JSON, new bag_len": (lambda id: gym.make(EnvSpec.from_json(spec_with(id).to_json()), bag_len=6), 6, None),
    "episodic": (lambda id: gym.make(id.replace("Bagged", "Episodic")), None, None),
    "episodic and limit": (lambda id: gym.make(id.replace("Bagged", "Episodic"), max_episode_steps=9), None, 9),
}


@pytest.mark.parametrize("id", [SCRIPTED, REACHER])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_make_an_id_pays_the_full_return_to_the_bit(way, id):
    make, bag_len, limit = WAYS[way]
    base = {SCRIPTED: "contracts/Scripted-v0", REACHER: "Reacher-v5"}[id]
    lengths = [min(limit or 50, 50)] * 2 if id == REACHER else [min(limit or LIMIT, LIMIT), 5]
    assert_pays(make(id), gym.make(base, max_episode_steps=limit), bag_len, lengths)


def test_the_json_round_trip_turns_a_pair_into_a_list_and_changes_no_bit():
    env = gym.make(REACHER, bag_len=(2, 9), label_fraction=0.5)
    again = EnvSpec.from_json(env.spec.to_json())
    assert env.spec.kwargs["bag_len"] == (2, 9)
    assert again.kwargs["bag_len"] == [2, 9]
    assert record(gym.make(again)) == record(env)


def test_the_spec_of_an_environment_compares_equal_after_json():
    for arguments in ({}, {"bag_len": 7, "max_episode_steps": 9}, {"aggregate": "mean", "observe_bag": True}):
        spec = spec_with(REACHER, **arguments)
        assert EnvSpec.from_json(spec.to_json()) == spec
        assert spec_with(spec) == spec


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("maker", ["gym", "bagged_envs"])
@pytest.mark.parametrize(
    ("id", "base"), [("tests.contracts.ids:BaggedContractDice-v0", "contracts/Dice-v0"), (REACHER, "Reacher-v5")]
)
def test_vectors_pay_the_full_return_to_the_bit(id, base, maker, mode):
    arguments = {"bag_len": 4, "max_episode_steps": 9}
    if maker == "gym":
        envs = gym.make_vec(id, num_envs=3, vectorization_mode=mode, **arguments)
    else:
        envs = bagged_envs.make_vec(id, 3, backend=mode, **arguments)
    twins = gym.make_vec(base, num_envs=3, vectorization_mode="sync", max_episode_steps=9)
    assert_vector_pays(envs, twins, 4, steps=40)


def assert_vector_pays(envs, twins, bag_len, steps):
    """Compare every whole episode of every slot (autoreset NEXT_STEP: a step after an end is only a reset)."""
    act = random_actions(envs.action_space, 0)
    episodes, fresh, checked = [[] for _ in range(envs.num_envs)], np.zeros(envs.num_envs, bool), 0
    envs.reset(seed=5), twins.reset(seed=5)
    for _ in range(steps):
        actions = act()
        _, paid, *ends, _ = envs.step(actions)
        _, dense, *others, _ = twins.step(actions)
        assert same(ends, others)
        done = ends[0] | ends[1]
        for slot in np.flatnonzero(~fresh):
            episodes[slot].append((paid[slot], dense[slot]))
            if done[slot]:
                ours, theirs = zip(*episodes[slot], strict=True)
                assert list(ours) == delayed(theirs, bag_len)
                episodes[slot], checked = [], checked + 1
        assert not paid[fresh].any()
        fresh = done
    envs.close(), twins.close()
    assert checked >= 2 * envs.num_envs


@pytest.mark.parametrize("make", [gym.make, gym.make_vec, bagged_envs.make_vec], ids=["make", "gym", "bagged_envs"])
def test_making_changes_neither_the_callers_arguments_nor_the_registered_spec(make):
    arguments = {"bag_len": [2, 5], "script": copy.deepcopy(SCRIPT)}
    if make is not gym.make:
        arguments["vector_kwargs"] = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}
    before, registered = copy.deepcopy(arguments), copy.deepcopy(spec_of(SCRIPTED))
    envs = make(SCRIPTED, **arguments)
    envs.reset(seed=0)
    envs.close()
    assert arguments == before
    assert spec_of(SCRIPTED) == registered


def test_making_from_a_spec_changes_nothing_in_it():
    spec = spec_with(SCRIPTED, bag_len=7)
    before = copy.deepcopy(spec)
    gym.make(spec, bag_len=3, max_episode_steps=4).close()
    bagged_envs.dense(spec, max_episode_steps=4).close()
    assert spec == before


def test_entry_points_are_strings_that_lead_to_callables():
    for id in TABLE_IDS:
        spec = gym.spec(id)
        points = [spec.entry_point, *(wrapper.entry_point for wrapper in spec.additional_wrappers)]
        assert all(isinstance(point, str) for point in points)
        assert all(callable(gym.envs.registration.load_env_creator(point)) for point in points)


def test_every_schedule_argument_stands_in_the_registered_arguments():
    for id in TABLE_IDS:
        success = {"success", "threshold"} if id.startswith("Sparse") else set()
        assert set(gym.spec(id).kwargs) >= SCHEDULE | OPTIONS | success
        assert set(gym.spec(id).kwargs).isdisjoint({"success", "threshold"} - success)


def test_the_delay_stands_outside_the_time_limit():
    env = gym.make(SCRIPTED)
    assert isinstance(env, DelayedReward)
    assert isinstance(env.env, gym.wrappers.TimeLimit)
    assert check_wrapper_order(env) == []


def test_a_tail_cut_by_the_limit_is_paid_and_stays_truncated():
    paid = record(gym.make(SCRIPTED, bag_len=8), episodes=1)[0]
    rewards = [reward for reward, _, _ in SCRIPT[0]]
    assert [step[0] for step in paid] == [0.0] * 7 + [sum(rewards[1:8], rewards[0]), 0.0, rewards[8] + rewards[9]]
    assert paid[-1][1:] == (True, False, True)


def test_a_limit_that_the_user_adds_outside_is_reported():
    problems = check_wrapper_order(gym.wrappers.TimeLimit(gym.make(SCRIPTED), 5))
    assert len(problems) == 1
    assert "TimeLimit stands outside the delay" in problems[0]
    assert "max_episode_steps" in problems[0]


class TestRenderMode:
    @pytest.mark.parametrize(("id", "base"), [("BaggedReacher-v0", "Reacher-v5"), ("SparseAnt-v0", "Ant-v5")])
    def test_the_metadata_is_the_base_ids(self, id, base):
        creators = [gym.envs.registration.load_env_creator(gym.spec(name).entry_point) for name in (id, base)]
        assert creators[0].metadata == creators[1].metadata

    def test_it_reaches_the_task(self):
        env = gym.make("BaggedInvertedPendulum-v0", render_mode="rgb_array")
        assert env.render_mode == env.unwrapped.render_mode == "rgb_array"
        assert env.metadata["render_modes"] == gym.make("InvertedPendulum-v5").metadata["render_modes"]

    def test_dm_controls_too(self):
        env = gym.make("BaggedPendulumSwingup-v0", render_mode="rgb_array")
        assert env.unwrapped.render_mode == "rgb_array"

    def test_a_function_as_entry_point_has_no_metadata_and_can_be_made(self):
        creator = gym.envs.registration.load_env_creator("bagged_envs.entry_points:BaggedContractWrapped")
        assert not hasattr(creator, "metadata")

    @pytest.mark.render
    def test_a_picture(self):
        if os.environ.get("MUJOCO_GL") == "disabled":
            pytest.skip("MUJOCO_GL=disabled: no OpenGL renderer")
        env = gym.make("BaggedInvertedPendulum-v0", render_mode="rgb_array")
        env.reset(seed=0)
        assert env.render().shape == (480, 480, 3)
        env.close()


class TestDMControl:
    def test_observations_are_flattened_to_float32(self):
        env = gym.make("BaggedCheetahRun-v0")
        assert env.observation_space == gym.spaces.Box(-np.inf, np.inf, (17,), np.float32)
        assert env.reset(seed=0)[0].dtype == np.float32

    def test_flatten_false_gives_dm_controls_own_parts(self):
        env, flat = (gym.make("BaggedCheetahRun-v0", flatten=flatten) for flatten in (False, True))
        parts, whole = env.reset(seed=0)[0], flat.reset(seed=0)[0]
        assert list(parts) == ["position", "velocity"]
        assert {part.dtype for part in parts.values()} == {np.dtype(np.float64)}
        assert np.array_equal(np.concatenate(list(parts.values())).astype(np.float32), whole)
        assert env.observation_space.contains(parts)

    def test_dtype_float64_changes_no_bit(self):
        env, parts = gym.make("BaggedCheetahRun-v0", dtype="float64"), gym.make("BaggedCheetahRun-v0", flatten=False)
        whole = env.reset(seed=0)[0]
        assert env.observation_space.dtype == whole.dtype == np.float64
        assert np.array_equal(whole, np.concatenate(list(parts.reset(seed=0)[0].values())))

    def test_it_pays_in_full(self):
        id, arguments = "bagged_envs:BaggedPendulumSwingup-v0", {"max_episode_steps": 9, "flatten": False}
        assert_pays(gym.make(id, bag_len=4, **arguments), bagged_envs.dense(id, **arguments), 4, [9, 9])


class TestRegisterTask:
    def test_an_entry_point_that_returns_a_wrapper_works(self):
        env = gym.make("tests.contracts.ids:BaggedContractWrapped-v0", bag_len=4)
        assert_pays(env, Doubled(gym.make("contracts/Scripted-v0")), 4, [LIMIT, 5])

    def test_and_so_do_its_spec_and_its_copy_by_json(self):
        spec = spec_with("tests.contracts.ids:BaggedContractWrapped-v0", bag_len=4)
        for again in (spec, EnvSpec.from_json(spec.to_json())):
            assert_pays(gym.make(again), Doubled(gym.make("contracts/Scripted-v0")), 4, [LIMIT, 5])

    def test_the_delay_comes_after_the_ids_own_wrappers(self):
        env = gym.make("tests.contracts.ids:BaggedContractAdditional-v0", bag_len=4)
        assert isinstance(env, DelayedReward)
        assert isinstance(env.env, Doubling)
        assert_pays(env, Doubled(gym.make("contracts/Scripted-v0")), 4, [LIMIT, 5])

    def test_and_the_dense_twin_keeps_them(self):
        env = gym.make("tests.contracts.ids:BaggedContractAdditional-v0", bag_len=4)
        assert_pays(gym.make(env.spec), bagged_envs.dense(env), 4, [LIMIT, 5])

    @pytest.mark.parametrize("name", ["ContractScripted", "Walker2d", "CheetahRun"])
    def test_a_taken_name_is_refused_and_changes_nothing(self, name):
        before = dict(gym.registry)
        with pytest.raises(ValueError, match=f"name='{name}' is taken"):
            bagged_envs.register_task("contracts/Scripted-v0", name=name)
        assert gym.registry == before

    def test_without_a_criterion_there_is_no_sparse_variant(self, forget):
        forget("Blind")
        ids = bagged_envs.register_task("contracts/Scripted-v0", name="Blind")
        assert ids == ["BaggedBlind-v0", "EpisodicBlind-v0", "PartiallyLabeledBlind-v0"]
        assert set(ids) == {id for id in gym.registry if "Blind" in id}

    def test_its_arguments_and_limit_reach_the_task(self, forget):
        forget("Short")
        bagged_envs.register_task(
            "contracts/Scripted-v0", name="Short", max_episode_steps=4, script=[[[0.3, False, False]]], leak=False
        )
        paid = record(gym.make("BaggedShort-v0", bag_len=3))
        assert [step[0] for step in paid[0]] == [0.0, 0.0, 0.3 + 0.3 + 0.3, 0.3]
        env = gym.make("BaggedShort-v0", expose_reward=True)
        env.reset(seed=0)
        assert "reward_forward" not in env.step(0)[4]

    def test_the_info_keys_are_hidden(self):
        env = gym.make("tests.contracts.ids:BaggedContractScripted-v0")
        assert set(env.reset(seed=0)[1]) == {"step", "bag_end", "reward_observed"}
        assert set(env.step(0)[4]) == {"step", "bag_end", "reward_observed"}

    def test_a_module_in_front_of_the_base_id(self, forget):
        forget("Fronted")
        bagged_envs.register_task("tests.contracts.ids:contracts/Scripted-v0", name="Fronted")
        assert_pays(gym.make("BaggedFronted-v0", bag_len=4), gym.make("contracts/Scripted-v0"), 4)

    def test_arguments_of_the_delay_are_no_arguments_of_the_task(self, forget):
        forget("Ignored")
        with pytest.raises((TypeError, ValueError), match="bag_len"):
            bagged_envs.register_task("contracts/Scripted-v0", name="Ignored", bag_len=5)


class Doubled(gym.RewardWrapper):
    def reward(self, reward):
        return 2 * reward


@pytest.fixture
def forget():
    """Remove a name from the tables and the registry after the test."""
    names = []
    yield names.append
    for name in names:
        TASKS.pop(name, None)
        for variant in VARIANTS:
            gym.registry.pop(f"{variant}{name}-v0", None)


class TestProcesses:
    @pytest.mark.parametrize("context", ["spawn", "forkserver"])
    @pytest.mark.parametrize("id", ["tests.contracts.ids:BaggedContractDice-v0", REACHER])
    def test_the_module_form_works_in_workers_that_never_imported_us(self, context, id):
        make = functools.partial(gym.make, id, bag_len=4, max_episode_steps=9)
        envs = AsyncVectorEnv([make] * 2, context=context)
        twins = gym.make_vec(id.replace("Bagged", "Episodic"), 2, max_episode_steps=9, expose_reward=True)
        assert_vector_pays(envs, DenseVector(twins), 4, steps=25)

    @pytest.mark.parametrize("maker", ["gym", "bagged_envs"])
    @pytest.mark.parametrize("id", ["tests.contracts.ids:BaggedContractDice-v0", REACHER])
    def test_make_vec_works_in_spawned_workers(self, id, maker):
        vector_kwargs = {"context": "spawn"}
        if maker == "gym":
            envs = gym.make_vec(id, 2, vectorization_mode="async", vector_kwargs=vector_kwargs, bag_len=4)
        else:
            envs = bagged_envs.make_vec(id, 2, backend="async", vector_kwargs=vector_kwargs, bag_len=4)
        envs.reset(seed=0)
        assert envs.step(envs.action_space.sample())[1].shape == (2,)
        envs.close()

    @pytest.mark.long
    def test_rollouts_do_not_depend_on_the_hash_seed(self):
        digests = {python(DIGEST, PYTHONHASHSEED=seed) for seed in "012"}
        assert len(digests) == 1
        assert len(digests.pop()) == 64

    def test_without_assertions_bad_input_raises_and_payments_are_right(self):
        told = json.loads(python(OPTIMIZED, "-O"))
        assert told["asserts"] is False
        assert told["paid"] == delayed([reward for reward, _, _ in SCRIPT[0][:LIMIT]], 4)
        assert told["raised"] == ["ValueError", "TypeError", "ValueError", "ValueError", "ValueError", "ResetNeeded"]

    def test_importing_twice_registers_once(self):
        assert python(TWICE) == "True True"

    def test_registering_again_changes_nothing(self):
        before = dict(gym.registry)
        register_all()
        assert all(gym.registry[id] is before[id] for id in before)
        assert gym.registry.keys() == before.keys()

    def test_the_module_form_in_a_process_that_never_imported_the_package(self):
        said = python(
            "import gymnasium as gym, sys\n"
            "assert 'bagged_envs' not in sys.modules\n"
            "env = gym.make('bagged_envs:BaggedWalker2d-v0', bag_len=3)\n"
            "env.reset(seed=0)\n"
            "print([env.step(env.action_space.sample())[4]['bag_end'] for _ in range(3)])"
        )
        assert said == "[False, False, True]"

    def test_importing_us_prints_nothing(self):
        assert python("import bagged_envs") == ""


DIGEST = """
import hashlib, numpy as np, gymnasium as gym
digest = hashlib.sha256()
for id in ("bagged_envs:PartiallyLabeledReacher-v0", "tests.contracts.ids:BaggedContractDice-v0"):
    env = gym.make(id, bag_len=(2, 5), label_fraction=0.5)
    env.action_space.seed(1)
    observation, info = env.reset(seed=4)
    for _ in range(60):
        observation, *rest = env.step(env.action_space.sample())
        digest.update(observation.tobytes() + repr(rest).encode())
        if rest[1] or rest[2]:
            env.reset()
print(digest.hexdigest())
"""
OPTIMIZED = """
import json, gymnasium as gym, bagged_envs
env = gym.make("tests.contracts.ids:BaggedContractScripted-v0", bag_len=4)
raised = []
def demand(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except Exception as error:
        raised.append(type(error).__name__)
demand(gym.make, "BaggedContractScripted-v0", bag_len=0)
demand(gym.make, "BaggedContractScripted-v0", bag_len=1.5)
demand(gym.make, "EpisodicContractScripted-v0", bag_len=4)
demand(bagged_envs.make_vec, "BaggedContractScripted-v0", 0)
demand(env.unwrapped.__class__, [])
env.reset(seed=0)
paid = [env.step(0)[1] for _ in range(10)]
demand(env.step, 0)
asserts = False
assert (asserts := True)
print(json.dumps({"paid": paid, "raised": raised, "asserts": asserts}))
"""
TWICE = """
import importlib, gymnasium as gym, bagged_envs
before = dict(gym.registry)
importlib.reload(bagged_envs)
import tests.contracts.ids
count = len(gym.registry)
import tests.contracts.ids
print(all(gym.registry[id] is spec for id, spec in before.items()), len(gym.registry) == count)
"""


class DenseVector(gym.vector.VectorWrapper):
    """Pays the dense rewards that an exposing delay tells."""

    def step(self, actions):
        observations, _, terminated, truncated, infos = self.env.step(actions)
        return observations, infos["dense_reward"], terminated, truncated, infos


class TestEndlessEpisodes:
    def test_one_payment_per_episode_and_no_limit_is_worth_a_warning(self):
        with pytest.warns(UserWarning, match=r"HalfCheetah has no time limit \(max_episode_steps=-1\)") as caught:
            gym.make("EpisodicHalfCheetah-v0", max_episode_steps=-1).close()
        assert "BaggedHalfCheetah-v0" in str(caught[0].message)

    def test_sparse_too(self):
        with pytest.warns(UserWarning, match="nothing is ever paid"):
            gym.make("SparseHalfCheetah-v0", max_episode_steps=-1).close()

    def test_bags_of_a_length_need_no_limit(self, recwarn):
        env = gym.make("BaggedHalfCheetah-v0", max_episode_steps=-1)
        assert env.spec.max_episode_steps is None
        env.close()
        assert not recwarn.list

    def test_a_limit_is_no_reason_to_warn(self, recwarn):
        gym.make("EpisodicHalfCheetah-v0").close()
        gym.make("EpisodicHalfCheetah-v0", max_episode_steps=5).close()
        assert not recwarn.list


class TestDense:
    def dense_of(self, form):
        id = "BaggedReacher-v0"
        return bagged_envs.dense({"id": id, "spec": gym.spec(id), "env": gym.make(id, bag_len=7)}[form])

    @pytest.mark.parametrize("form", ["id", "spec", "env"])
    def test_it_is_the_base_task(self, form):
        twin = self.dense_of(form)
        assert twin.spec.max_episode_steps == 50
        assert not any(isinstance(layer, DelayedReward) for layer in stack(twin))
        assert record(twin) == record(gym.make("Reacher-v5"))

    def test_the_module_form_of_an_id(self):
        assert record(bagged_envs.dense(REACHER)) == record(gym.make("Reacher-v5"))

    @pytest.mark.parametrize("form", ["id", "spec", "env"])
    def test_it_observes_the_bag_where_the_environment_does(self, form):
        env = gym.make("BaggedReacher-v0", bag_len=7, observe_bag=True)
        if form == "id":
            twin = bagged_envs.dense("BaggedReacher-v0", bag_len=7, observe_bag=True)
        else:
            twin = bagged_envs.dense(env.spec if form == "spec" else env)
        assert twin.observation_space == env.observation_space
        assert same(twin.reset(seed=1)[0], env.reset(seed=1)[0])
        counts = [int(twin.step(np.zeros(2, np.float32))[0][-1]) for _ in range(15)]
        assert counts == [1, 2, 3, 4, 5, 6, 0] * 2 + [1]
        assert [step[0] for step in record(twin)[0]] == [step[0] for step in record(gym.make("Reacher-v5"))[0]]

    def test_it_keeps_the_time_limit(self):
        env = gym.make("BaggedReacher-v0", max_episode_steps=9)
        for twin in (bagged_envs.dense(env), bagged_envs.dense(env.spec)):
            assert twin.spec.max_episode_steps == 9
            assert len(record(twin, episodes=1)[0]) == 9
        assert bagged_envs.dense("BaggedReacher-v0", max_episode_steps=9).spec.max_episode_steps == 9
        assert bagged_envs.dense(env, max_episode_steps=11).spec.max_episode_steps == 11

    def test_it_keeps_the_tasks_arguments(self):
        env = gym.make("BaggedHalfCheetah-v0", ctrl_cost_weight=0.5, max_episode_steps=9, bag_len=2)
        same_task = gym.make("HalfCheetah-v5", ctrl_cost_weight=0.5, max_episode_steps=9)
        other_task = gym.make("HalfCheetah-v5", max_episode_steps=9)
        rewards = record(bagged_envs.dense(env))
        assert rewards == record(same_task)
        assert rewards != record(other_task)
        assert record(bagged_envs.dense("BaggedHalfCheetah-v0", ctrl_cost_weight=0.5, max_episode_steps=9)) == rewards

    def test_arguments_of_the_delay_have_no_effect(self):
        twin = bagged_envs.dense("BaggedReacher-v0", bag_len=7, label_fraction=0.5, expose_reward=True)
        assert record(twin) == record(gym.make("Reacher-v5"))

    def test_of_a_dm_control_task(self):
        env = gym.make("SparsePendulumSwingup-v0", max_episode_steps=9, dtype="float64")
        twin = bagged_envs.dense(env)
        assert twin.observation_space == env.observation_space
        assert same(twin.reset(seed=2)[0], env.reset(seed=2)[0])

    def test_of_a_wrapper_around_a_made_environment(self):
        env = bagged_envs.wrappers.BaggedReward(gym.make("Reacher-v5", max_episode_steps=9), 4)
        assert record(bagged_envs.dense(env)) == record(gym.make("Reacher-v5", max_episode_steps=9))

    def test_of_a_wrapper_that_observes_the_bag(self):
        env = bagged_envs.wrappers.BaggedReward(gym.make("Reacher-v5", max_episode_steps=9), 4, observe_bag=True)
        twin = bagged_envs.dense(env)
        assert twin.observation_space == env.observation_space
        rewards = [[step[0] for step in episode] for episode in record(twin)]
        assert rewards == [[step[0] for step in e] for e in record(gym.make("Reacher-v5", max_episode_steps=9))]

    def test_of_a_delay_beneath_other_wrappers(self):
        env = gym.wrappers.RecordEpisodeStatistics(gym.make("BaggedReacher-v0", bag_len=7))
        assert record(bagged_envs.dense(env)) == record(gym.make("Reacher-v5"))

    @pytest.mark.parametrize("observe_bag", [False, True])
    def test_of_a_delay_beneath_wrappers_of_its_rewards(self, observe_bag):
        env = gym.make("BaggedReacher-v0", bag_len=7, observe_bag=observe_bag, max_episode_steps=9)
        twin = bagged_envs.dense(gym.wrappers.ClipReward(env, -0.25, 0.0))
        plain = gym.wrappers.ClipReward(gym.make("Reacher-v5", max_episode_steps=9), -0.25, 0.0)
        rewards = [[step[0] for step in one] for one in record(twin)]
        assert rewards == [[step[0] for step in one] for one in record(plain)]
        assert -0.25 in rewards[0]
        if observe_bag:  # a twin that still counts bags has its delay in it, and is its own twin
            again = bagged_envs.dense(twin)
            assert [[step[0] for step in one] for one in record(again)] == rewards

    def test_its_own_spec_can_be_made_again(self):
        twin = bagged_envs.dense("BaggedReacher-v0")
        assert record(gym.make(EnvSpec.from_json(twin.spec.to_json()))) == record(twin)

    def test_of_an_environment_without_a_delay_is_an_error(self):
        with pytest.raises(ValueError, match="must have a delay"):
            bagged_envs.dense(gym.make("Reacher-v5"))

    def test_of_an_environment_that_nobody_made_by_id_is_an_error(self):
        env = bagged_envs.wrappers.BaggedReward(Doubled(bagged_envs.testing.ScriptedEnv(SCRIPT)))
        with pytest.raises(ValueError, match="no spec"):
            bagged_envs.dense(env)


def stack(env):
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env
    yield env


class TestLists:
    def test_suites(self):
        assert len(bagged_envs.list_ids(suite="mujoco")) == 44
        assert len(bagged_envs.list_ids(suite="dmc")) == 204
        assert "BaggedContractScripted-v0" in bagged_envs.list_ids(suite="registered")

    def test_variants(self):
        assert len(bagged_envs.list_ids(suite="mujoco", variant="Sparse")) == 11
        assert all(id.startswith("Episodic") for id in bagged_envs.list_ids(variant="Episodic"))

    def test_tags(self):
        assert bagged_envs.list_ids(tag="balance", variant="Bagged") == [
            "BaggedInvertedDoublePendulum-v0",
            "BaggedInvertedPendulum-v0",
        ]
        assert bagged_envs.list_ids(suite="registered", tag="more", variant="Bagged") == [
            "BaggedContractScripted-v0",
            "BaggedContractWrapped-v0",
            "BaggedContractAdditional-v0",
            "BaggedContractDice-v0",
        ]

    def test_what_nothing_has_is_an_empty_list(self):
        assert bagged_envs.list_ids(suite="dmc", tag="balance") == []

    def test_everything_listed_is_registered_and_nothing_twice(self):
        ids = bagged_envs.list_ids()
        assert len(set(ids)) == len(ids)
        assert set(ids) <= set(gym.registry)


class TestResolvedSchedule:
    @pytest.mark.parametrize(
        ("id", "arguments", "text"),
        [
            ("BaggedWalker2d-v0", {}, "bag_len=20"),
            ("BaggedWalker2d-v0", {"bag_len": (3, 9)}, "bag_len=(3, 9)"),
            ("bagged_envs:EpisodicWalker2d-v0", {}, "bag_len=None"),
            ("PartiallyLabeledWalker2d-v0", {}, "bag_len=1, label_fraction=0.01"),
            ("SparseWalker2d-v0", {}, "success='distance', threshold=10.0"),
            ("SparseWalker2d-v0", {"threshold": 3}, "success='distance', threshold=3.0"),
            ("SparseLqrLqr21-v0", {}, "success='terminated'"),
        ],
    )
    def test_defaults_and_arguments(self, id, arguments, text):
        assert str(bagged_envs.resolved_schedule(id, **arguments)) == text

    @pytest.mark.parametrize("id", ["BaggedReacher-v0", "PartiallyLabeledReacher-v0", "SparseReacher-v0"])
    def test_it_is_the_schedule_of_what_gym_makes(self, id):
        assert gym.make(id, unlabeled_reward=float("-1")).schedule == bagged_envs.resolved_schedule(
            id, unlabeled_reward=-1.0
        )


class TestWhatANameFixes:
    @pytest.mark.parametrize("make", [gym.make, bagged_envs.make_vec], ids=["make", "make_vec"])
    @pytest.mark.parametrize(
        ("id", "argument", "value", "instead"),
        [
            ("EpisodicReacher-v0", "bag_len", 5, "BaggedReacher-v0"),
            ("SparseReacher-v0", "bag_len", 5, "BaggedReacher-v0"),
            ("SparseReacher-v0", "aggregate", "mean", "BaggedReacher-v0"),
            ("BaggedReacher-v0", "success", "return", "Sparse"),
            ("BaggedReacher-v0", "threshold", 5.0, "Sparse"),
            ("EpisodicReacher-v0", "success", "terminated", "Sparse"),
        ],
    )
    def test_contradictions_are_errors_that_name_the_id_to_use(self, make, id, argument, value, instead):
        with pytest.raises(ValueError, match=argument) as caught:
            make(id, **{argument: value})
        assert repr(value) in str(caught.value)
        assert instead in str(caught.value)

    def test_repeating_what_the_name_says_is_none(self):
        assert gym.make("EpisodicReacher-v0", bag_len=None).schedule.bag_len is None
        assert gym.make("SparseReacher-v0", bag_len=None, aggregate="sum").schedule.success == "reach_tolerance"

    def test_what_the_name_leaves_open_can_be_chosen(self):
        schedule = gym.make("EpisodicReacher-v0", aggregate="mean", label_fraction=0.5).schedule
        assert (schedule.aggregate, schedule.label_fraction) == ("mean", 0.5)
        assert gym.make("PartiallyLabeledReacher-v0", bag_len=3).schedule.bag_len == 3

    @pytest.mark.parametrize("id", ["EpisodicReacher-v0", "SparseReacher-v0"])
    def test_a_spec_cannot_be_overridden_either(self, id):
        with pytest.raises(ValueError, match="bag_len=5 contradicts the name"):
            gym.make(spec_with(id), bag_len=5)


class TestSparse:
    @pytest.mark.parametrize(
        "task", [task for task in TASKS.values() if task.suite in ("mujoco", "dmc")], ids=lambda t: t.name
    )
    def test_defaults_are_the_rows(self, task):
        schedule = bagged_envs.resolved_schedule(f"Sparse{task.name}-v0")
        assert (schedule.success, schedule.threshold, schedule.bag_len) == (task.success, task.threshold, None)

    def test_a_threshold_can_be_overridden(self):
        schedule = gym.make("SparseHalfCheetah-v0", threshold=500).schedule
        assert (schedule.success, schedule.threshold) == ("distance", 500.0)

    def test_a_criterion_can_be_overridden(self):
        schedule = gym.make("SparseHalfCheetah-v0", success="return", threshold=7.0).schedule
        assert (schedule.success, schedule.threshold) == ("return", 7.0)
        schedule = gym.make("SparseHalfCheetah-v0", success="terminated", threshold=None).schedule
        assert (schedule.success, schedule.threshold) == ("terminated", None)


def test_class_level_metadata_of_the_base_tasks_is_left_alone():
    ids = ("BaggedReacher-v0", "BaggedPendulumSwingup-v0", "tests.contracts.ids:BaggedContractDice-v0")
    before = {id: snapshot(id) for id in ids}
    for id in ids:
        for mode in (gym.vector.AutoresetMode.SAME_STEP, gym.vector.AutoresetMode.NEXT_STEP):
            bagged_envs.make_vec(id, 2, vector_kwargs={"autoreset_mode": mode}).close()
        gym.make(id, render_mode="rgb_array" if "tests" not in id else None).close()
    assert {id: snapshot(id) for id in ids} == before
    assert "autoreset_mode" not in before[ids[0]][0]


def snapshot(id):
    env = gym.make(id)
    env.close()
    return [copy.deepcopy(dict(kind.metadata)) for kind in type(env.unwrapped).__mro__ if hasattr(kind, "metadata")]


def test_a_delay_that_no_id_made_says_what_to_do():
    from bagged_envs.registration import Delay

    with pytest.raises(ValueError, match="no spec to read a schedule from"):
        Delay(bagged_envs.testing.ScriptedEnv(SCRIPT))


WRAPPED = {
    "bagged": lambda env: bagged_envs.wrappers.BaggedReward(env, (2, 3), label_fraction=0.5),
    "episodic": lambda env: bagged_envs.wrappers.EpisodicReward(env, aggregate="mean"),
    "partially labeled": lambda env: bagged_envs.wrappers.PartiallyLabeledReward(env, 0.5, unlabeled_reward=-1.0),
    "sparse": lambda env: bagged_envs.wrappers.SparseReward(env, "return", 3.0, expose_reward=True),
    "declared": lambda env: bagged_envs.wrappers.DeclaredBags(env, "step"),
}


@pytest.mark.parametrize("form", WRAPPED)
def test_the_spec_of_a_wrapped_environment_survives_json(form):
    env = WRAPPED[form](gym.make("contracts/Scripted-v0"))
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert type(again) is type(env)
    assert record(again, episodes=3) == record(env, episodes=3)


def test_numpy_numbers_as_arguments_survive_json():
    spec = spec_with(REACHER, bag_len=np.int64(5), label_fraction=np.float32(0.5))
    assert EnvSpec.from_json(spec.to_json()).kwargs["bag_len"] == 5


def test_delay_arguments_have_no_effect_on_the_twin_of_a_wrapped_environment():
    env = bagged_envs.wrappers.BaggedReward(gym.make("Reacher-v5"), 4)
    assert record(bagged_envs.dense(env, bag_len=5)) == record(gym.make("Reacher-v5"))


def test_a_sparse_name_pays_by_success_or_not_at_all():
    with pytest.raises(ValueError, match="success=None"):
        gym.make("SparseReacher-v0", success=None, threshold=None)


def test_a_criterion_of_another_task_is_an_error_and_no_success():
    env = gym.make("SparseHalfCheetah-v0", success="push_tolerance", threshold=0.05, max_episode_steps=3)
    env.reset(seed=0)
    env.step(env.action_space.sample()), env.step(env.action_space.sample())
    with pytest.raises(ValueError, match="push_tolerance"):
        env.step(env.action_space.sample())


def test_an_id_without_its_version_is_the_latest_everywhere():
    with pytest.warns(UserWarning, match="latest versioned environment"):
        gym.make("BaggedReacher").close()
    assert bagged_envs.make_vec("BaggedReacher").spec.id == "BaggedReacher-v0"
    assert bagged_envs.dense("BaggedReacher").spec.id == "Reacher-v5"
    assert bagged_envs.resolved_schedule("BaggedReacher").bag_len == 20


def test_an_unknown_id_is_answered_by_the_nearest_and_not_by_all():
    with pytest.raises(gym.error.NameNotFound) as caught:
        bagged_envs.dense("CartPole-v1")
    assert len(str(caught.value)) < 500
