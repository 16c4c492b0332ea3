"""Vector environments pay and tell what a loop over single environments does, to the bit, in every form."""

import copy
import functools
import random

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

import bagged_envs
from bagged_envs.testing import ScriptedEnv, scripted_vector
from bagged_envs.wrappers import BaggedReward, DelayedReward, RewardSchedule, vector
from bagged_envs.wrappers.vector import one_info
from tests.contracts.test_life_cycle import same

NEXT, SAME, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
MODES = (NEXT, SAME, DISABLED)
STEPS = 30
SLOTS = 3
AGGREGATES = ("sum", "mean", "max", "sum_square", "square_sum")


def configuration(number):
    """A schedule, options and a script per slot, always the same for a number."""
    draw = random.Random(number)
    schedule = {"label_fraction": draw.choice([1.0, 0.5]), "label_unit": draw.choice(["bag", "episode"])}
    if number % 5 == 0:
        schedule |= {"bag_len": None, "success": "return", "threshold": 1.0}
    else:
        schedule |= {"bag_len": draw.choice([1, 3, None, (1, 4)]), "aggregate": draw.choice(AGGREGATES)}
    options = {"expose_reward": draw.random() < 0.3, "observe_bag": draw.random() < 0.5}
    scripts = [[an_episode(draw) for _ in range(draw.randint(1, 3))] for _ in range(SLOTS)]
    return RewardSchedule(**schedule), {**options, "reward_info_keys": ["reward_forward"]}, scripts


def an_episode(draw):
    end = draw.choice([(True, False), (False, True), (True, True)])
    rewards = [draw.gauss(0.5, 1.0) for _ in range(draw.randint(1, 7))]
    return [(reward, *(end if left == 0 else (False, False))) for left, reward in enumerate(reversed(rewards))][::-1]


def loop(makers, mode, steps, seed, act):
    """Play single environments one by one as Gymnasium's autoreset modes prescribe.

    Returns per call and slot: (observation, info) of a reset, or (observation, reward, terminated, truncated, info,
    final) of a step, `final` being (observation, info) of the episode that SAME_STEP ended.
    """
    envs = [make() for make in makers]
    results = [[env.reset(seed=seed + slot) for slot, env in enumerate(envs)]]
    done = [False] * len(envs)
    for _ in range(steps):
        actions, row = act(), []
        for slot, env in enumerate(envs):
            if done[slot] and mode is NEXT:
                observation, info = env.reset()
                row.append((observation, 0.0, False, False, info, None))
            else:
                observation, reward, terminated, truncated, info = env.step(actions[slot])
                final = None
                if mode is SAME and (terminated or truncated):
                    final = observation, info
                    observation, info = env.reset()
                row.append((observation, reward, terminated, truncated, info, final))
            done[slot] = row[-1][2] or row[-1][3]
        results.append(row)
        if mode is DISABLED and any(done):
            results.append([env.reset() if ended else None for ended, env in zip(done, envs, strict=True)])
            done = [False] * len(envs)
    return results


def unstacked(envs, mode, steps, seed, act):
    """The same of a vector environment, with what it returns taken apart; it is closed."""
    results = [unstacked_reset(envs.reset(seed=seed), np.ones(envs.num_envs, bool))]
    for _ in range(steps):
        observations, rewards, terminated, truncated, infos = envs.step(act())
        done = terminated | truncated
        assert rewards.dtype == np.float64
        row = []
        for slot in range(envs.num_envs):
            final = None
            if mode is SAME and done[slot]:
                final = infos["final_obs"][slot], plain(infos["final_info"], slot)
            info = {k: v for k, v in plain(infos, slot).items() if k not in ("final_obs", "final_info")}
            row.append((observations[slot], rewards[slot], terminated[slot], truncated[slot], info, final))
        results.append(row)
        if mode is DISABLED and done.any():
            results.append(unstacked_reset(envs.reset(options={"reset_mask": done}), done))
    envs.close()
    return results


def unstacked_reset(result, mask):
    observations, infos = result
    return [(observations[slot], plain(infos, slot)) if mask[slot] else None for slot in range(len(mask))]


def plain(infos, slot):
    """One slot's info with Python's own numbers, as a single environment gives it."""
    return {
        key: value.item() if np.ndim(value) == 0 and hasattr(value, "item") else value
        for key, value in one_info(infos, slot).items()
    }


def assert_equal_rows(ours, theirs):
    assert len(ours) == len(theirs)
    for call, (mine, expected) in enumerate(zip(ours, theirs, strict=True)):
        for slot, (one, other) in enumerate(zip(mine, expected, strict=True)):
            assert same_slot(one, other), (call, slot, one, other)


def same_slot(one, other):
    if one is None or other is None:
        return one is other
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_slot(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same_slot, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return one == other or (one != one and other != other)


def zeros():
    return np.zeros(SLOTS, dtype=int)


def scripted(script):
    return ScriptedEnv(script, leak=True)


@pytest.mark.parametrize(
    "number", [number if number % 9 < 3 else pytest.param(number, marks=pytest.mark.slow) for number in range(40)]
)
def test_sync_async_wrapped_outside_and_inside_equal_a_loop_over_singles(number):
    mode, shared = MODES[number % 3], number % 2 == 0
    schedule, options, scripts = configuration(number)
    dense = [functools.partial(scripted, script) for script in scripts]
    delayed = [functools.partial(single, script, schedule, options) for script in scripts]
    expected = loop(delayed, mode, STEPS, 7, zeros)
    made = [
        vector.DelayedReward(SyncVectorEnv(dense, autoreset_mode=mode), schedule, **options),
        SyncVectorEnv(delayed, autoreset_mode=mode),
    ]
    if number < 6:  # processes are slow to start: each mode, with shared memory and without
        made += [
            vector.DelayedReward(AsyncVectorEnv(dense, shared_memory=shared, autoreset_mode=mode), schedule, **options),
            AsyncVectorEnv(delayed, shared_memory=not shared, autoreset_mode=mode),
        ]
    for envs in made:
        assert_equal_rows(unstacked(envs, mode, STEPS, 7, zeros), expected)


def single(script, schedule, options):
    return DelayedReward(scripted(script), schedule, **options)


@pytest.mark.parametrize("number", range(40))
def test_infos_are_those_of_a_vector_of_wrapped_environments_key_by_key_and_mask_by_mask(number):
    mode = MODES[number % 3]
    schedule, options, scripts = configuration(number)
    outside = vector.DelayedReward(
        SyncVectorEnv([functools.partial(scripted, s) for s in scripts], autoreset_mode=mode), schedule, **options
    )
    inside = SyncVectorEnv([functools.partial(single, s, schedule, options) for s in scripts], autoreset_mode=mode)
    assert outside.observation_space == inside.observation_space
    assert outside.single_observation_space == inside.single_observation_space
    results = [outside.reset(seed=3), inside.reset(seed=3)]
    for _ in range(STEPS):
        assert same(*results)
        done = results[0][2] | results[0][3] if len(results[0]) == 5 else np.zeros(SLOTS, bool)
        if mode is DISABLED and done.any():
            results = [envs.reset(options={"reset_mask": done}) for envs in (outside, inside)]
        else:
            results = [envs.step(zeros()) for envs in (outside, inside)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("variant", "backend"),
    [("Bagged", "sync"), pytest.param("Bagged", "async", marks=pytest.mark.slow), ("Sparse", "sync")],
)
def test_a_real_task_equals_a_loop(variant, backend, mode):
    id, arguments = f"{variant}Reacher-v0", {"max_episode_steps": 6, "label_fraction": 0.5, "observe_bag": True}
    if variant == "Bagged":
        arguments["bag_len"] = (1, 4)
    kwargs = {"autoreset_mode": mode}
    envs = bagged_envs.make_vec(id, SLOTS, backend=backend, vector_kwargs=kwargs, **arguments)
    gyms = gym.make_vec(id, SLOTS, vectorization_mode=backend, vector_kwargs=kwargs, **arguments)
    makers = [functools.partial(gym.make, id, **arguments)] * SLOTS
    expected = loop(makers, mode, 20, 4, actions(envs))
    assert_equal_rows(unstacked(envs, mode, 20, 4, actions(envs)), expected)
    assert_equal_rows(unstacked(gyms, mode, 20, 4, actions(gyms)), expected)


def actions(envs):
    space = copy.deepcopy(envs.action_space)
    space.seed(1)
    return space.sample


class TestMakeVec:
    @pytest.mark.parametrize("mode", MODES)
    def test_all_backends_agree_and_say_which_they_are(self, mode):
        kwargs = {"autoreset_mode": mode}
        made = {
            backend: bagged_envs.make_vec(
                "BaggedReacher-v0", 2, backend=backend, max_episode_steps=5, vector_kwargs=kwargs
            )
            for backend in ("auto", "sync", "async")
        }
        assert {name: envs.metadata["backend"] for name, envs in made.items()} == {
            "auto": "native",
            "sync": "sync",
            "async": "async",
        }
        assert all(envs.metadata["autoreset_mode"] is mode for envs in made.values())
        rows = [unstacked(envs, mode, 14, 4, actions(envs)) for envs in made.values()]
        assert_equal_rows(rows[0], rows[1])
        assert_equal_rows(rows[0], rows[2])

    def test_seeds_may_be_a_list(self):
        envs = bagged_envs.make_vec("BaggedReacher-v0", 2, bag_len=(1, 4), label_fraction=0.5)
        singles = [gym.make("BaggedReacher-v0", bag_len=(1, 4), label_fraction=0.5) for _ in range(2)]
        envs.reset(seed=[11, 5])
        for env, seed in zip(singles, [11, 5], strict=True):
            env.reset(seed=seed)
        act = actions(envs)
        for _ in range(40):
            chosen = act()
            paid = envs.step(chosen)[1]
            assert paid.tolist() == [env.step(action)[1] for env, action in zip(singles, chosen, strict=True)]

    def test_metadata_of_the_class_is_left_alone(self):
        before = copy.deepcopy(SyncVectorEnv.metadata)
        bagged_envs.make_vec("BaggedReacher-v0", 2).close()
        assert SyncVectorEnv.metadata == before
        assert "backend" not in before  # an earlier test of this process would have left it there

    def test_the_spec_says_what_was_made(self):
        envs = bagged_envs.make_vec("BaggedReacher-v0", 2, bag_len=3, max_episode_steps=9)
        assert envs.spec.id == "BaggedReacher-v0"
        assert (envs.spec.kwargs["bag_len"], envs.spec.max_episode_steps) == (3, 9)

    def test_without_a_limit_the_warning_is_that_of_make(self):
        with pytest.warns(UserWarning, match="HalfCheetah has no time limit"):
            bagged_envs.make_vec("EpisodicHalfCheetah-v0", 2, max_episode_steps=-1).close()


SCRIPT = [[(0.1, False, False), (0.7, False, False), (1.3, False, False), (2.9, False, False), (5.3, True, False)]]
SHORT = [[(0.3, False, False), (0.9, True, False)]]


class TestMaskedResets:
    def vectors(self):
        envs = scripted_vector([SCRIPT, SHORT, SCRIPT], DISABLED)
        return envs, vector.BaggedReward(envs, 4, observe_bag=True)

    def test_the_others_bags_go_on(self):
        _, envs = self.vectors()
        envs.reset(seed=0)
        envs.step(zeros()), envs.step(zeros())
        mask = np.array([False, True, False])
        observations, infos = envs.reset(options={"reset_mask": mask})
        assert observations[1, -1] == 0
        assert infos["_bag_end"].tolist() == infos["_reward_observed"].tolist() == mask.tolist()
        results = [envs.step(zeros()) for _ in range(2)]
        assert [result[0][:, -1].tolist() for result in results] == [[3, 1, 3], [0, 0, 0]]
        assert [result[1].tolist() for result in results] == [[0.0] * 3, [0.1 + 0.7 + 1.3 + 2.9, 0.3 + 0.9, 5.0]]

    def test_a_reset_of_a_running_slot_throws_its_bag_away_only(self):
        _, envs = self.vectors()
        envs.reset(seed=0)
        envs.step(zeros())
        envs.reset(options={"reset_mask": np.array([True, False, False])})
        envs.step(zeros())
        envs.reset(options={"reset_mask": np.array([False, True, False])})
        assert envs.step(zeros())[1].tolist() == [0.0, 0.0, 0.0]
        assert envs.step(zeros())[1].tolist() == [0.0, 0.3 + 0.9, 0.1 + 0.7 + 1.3 + 2.9]

    @pytest.mark.parametrize("asynchronous", [False, True])
    @pytest.mark.parametrize(
        "wrap", [lambda envs: vector.BaggedReward(envs, 4), lambda envs: vector.DeclaredBags(envs, "step")]
    )
    def test_the_callers_options_are_untouched(self, wrap, asynchronous):
        envs = wrap(scripted_vector([SCRIPT, SHORT, SCRIPT], DISABLED, asynchronous))
        envs.reset(seed=0)
        envs.step(zeros()), envs.step(zeros())
        mask = np.array([False, True, False])
        options = {"reset_mask": mask, "other": [1, 2]}
        envs.reset(options=options)
        assert options.keys() == {"reset_mask", "other"}
        assert options["reset_mask"] is mask
        assert mask.tolist() == [False, True, False]
        assert options["other"] == [1, 2]
        envs.close()

    def test_a_seed_restarts_the_streams_of_the_masked_slots_only(self):
        schedule = RewardSchedule(bag_len=(1, 4), label_fraction=0.5)
        draws = {}
        for mask in ([True, False, False], [True, True, True]):
            envs = vector.DelayedReward(scripted_vector([LONG] * 3, DISABLED), schedule)
            envs.reset(seed=1)
            first = [envs.step(zeros())[1].tolist() for _ in range(20)]
            envs.reset(seed=1, options={"reset_mask": np.array(mask)})
            draws[tuple(mask)] = first, [envs.step(zeros())[1].tolist() for _ in range(20)]
        first, again = draws[True, False, False]
        assert [row[0] for row in again] == [row[0] for row in first]
        assert [row[1] for row in again] != [row[1] for row in first]
        first, again = draws[True, True, True]
        assert again == first


LONG = [[(0.1 * step, step == 59, False) for step in range(60)]]


def test_observed_bags_in_a_vector_are_counted_slot_by_slot():
    envs = vector.BaggedReward(scripted_vector([SCRIPT, SHORT, SCRIPT], NEXT), 3, observe_bag=True)
    observations, _ = envs.reset(seed=0)
    counts = [observations[:, -1].astype(int).tolist()]
    counts += [envs.step(zeros())[0][:, -1].astype(int).tolist() for _ in range(6)]
    assert counts == [[0, 0, 0], [1, 1, 1], [2, 0, 2], [0, 0, 0], [1, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert envs.observation_space.shape == (3, 4)
    assert envs.single_observation_space.shape == (4,)


def test_single_wrappers_in_a_vector_accept_the_same_script_for_ever():
    envs = SyncVectorEnv([lambda: BaggedReward(ScriptedEnv(SHORT), 2)] * 2)
    envs.reset(seed=0)
    assert [envs.step(np.zeros(2, int))[1].tolist() for _ in range(5)] == [
        [0.0] * 2,
        [1.2] * 2,
        [0.0] * 2,
        [0.0] * 2,
        [1.2] * 2,
    ]
