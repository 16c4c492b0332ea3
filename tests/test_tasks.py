"""The table of tasks: what its rows say is true, and no info key gives a dense reward away."""

import itertools
import math

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import bagged_envs
from bagged_envs.suites import dm_control, mujoco
from bagged_envs.suites.dm_control_env import DMControlEnv
from bagged_envs.testing import check_bagged
from bagged_envs.variants import VARIANTS
from bagged_envs.wrappers.success import NAMES, Threshold, criterion

TASKS = [*mujoco.TASKS, *dm_control.TASKS]
QUICK = {"CartpoleSwingup", "CheetahRun", "FingerSpin", "HopperHop", "LqrLqr21", "PendulumSwingup", "ReacherEasy"}
EXTRA = ("bagged_envs", "reward_observed", "bag_end", "is_success", "dense_reward")


def by_name(task):
    return task.name


class TestRows:
    def test_the_names_are_unique(self):
        assert len({task.name for task in TASKS}) == len(TASKS) == 62

    def test_gymnasiums_mujoco_tasks_are_complete(self):
        pprint = {id.removesuffix("-v5") for id in gym.registry if id.endswith("-v5")}
        assert {task.name for task in mujoco.TASKS} == {name for name in pprint if f"{name}-v4" in gym.registry}

    def test_the_suite_is_complete(self):
        from dm_control import suite

        listed = {(domain, task) for domain, tasks in dm_control.DOMAINS.items() for task in tasks}
        assert listed == set(suite.ALL_TASKS)

    @pytest.mark.parametrize("task", TASKS, ids=by_name)
    def test_every_row_says_where_it_comes_from(self, task):
        assert task.summary
        assert task.source
        assert task.bibtex
        assert task.success_source
        assert task.extra in ("mujoco", "dmc")
        assert (task.base_id is None) != (task.factory is None)
        assert task.success in NAMES
        criterion(task.success, task.threshold)

    def test_published_thresholds(self):
        table = {task.name: (task.success, task.threshold) for task in TASKS}
        assert table["HalfCheetah"] == ("distance", 50.0)
        assert table["HumanoidStandup"] == ("height", 0.9)
        assert table["Reacher"] == ("reach_tolerance", 0.05)
        assert table["Pusher"] == ("push_tolerance", 0.05)
        assert table["CheetahRun"] == ("return", 800.0)
        assert table["LqrLqr62"] == ("terminated", None)
        for name in ("InvertedPendulum", "InvertedDoublePendulum"):
            assert table[name] == ("return", gym.spec(f"{name}-v5").reward_threshold)
        for name in ("Ant", "Hopper", "Humanoid", "Swimmer", "Walker2d"):
            assert table[name][0] == "distance"


class TestVariants:
    def test_defaults(self):
        schedules = {variant: str(bagged_envs.resolved_schedule(f"{variant}Walker2d-v0")) for variant in VARIANTS}
        assert schedules == {
            "Bagged": "bag_len=20",
            "Episodic": "bag_len=None",
            "PartiallyLabeled": "bag_len=1, label_fraction=0.01",
            "Sparse": "success='distance', threshold=10.0",
        }


@pytest.mark.parametrize(
    "task",
    [task if task.name in QUICK else pytest.param(task, marks=pytest.mark.slow) for task in dm_control.TASKS],
    ids=by_name,
)
@pytest.mark.parametrize("variant", ["Bagged", "Sparse"])
def test_a_task_of_the_suite_keeps_every_law(task, variant):
    try:
        env = gym.make(f"{variant}{task.name}-v0", max_episode_steps=25)
        check_bagged(env)
    except RuntimeError as error:
        assert task.needs
        pytest.skip(str(error))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("task", mujoco.TASKS, ids=by_name)
def test_a_mujoco_task_keeps_every_law(task, variant):
    check_bagged(gym.make(f"{variant}{task.name}-v0", max_episode_steps=25))


def random_steps(env, steps=200):
    """Infos of so many random steps, over as many episodes as it takes."""
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(steps):
        *_, terminated, truncated, info = env.step(env.action_space.sample())
        yield info
        if terminated or truncated:
            env.reset()


@pytest.mark.parametrize("task", mujoco.TASKS, ids=by_name)
class TestNothingLeaks:
    """What is seen without `expose_reward`, beside the dense reward that is seen with it."""

    def seen(self, task):
        id = f"Bagged{task.name}-v0"
        seen = list(random_steps(gym.make(id)))
        exposed = list(random_steps(gym.make(id, expose_reward=True)))
        dense = np.array([info["dense_reward"] for info in exposed])
        keys = [key for key in seen[0] if key not in EXTRA and np.ndim(seen[0][key]) == 0]
        values = {key: np.array([float(info[key]) for info in seen]) for key in keys}
        assert all(not isinstance(value, dict) for value in seen[0].values())
        return values, dense

    def test_no_value_and_no_sum_or_difference_of_two_is_the_dense_reward(self, task):
        values, dense = self.seen(task)
        candidates = dict(values)
        for one, other in itertools.permutations(values, 2):
            candidates[f"{one} + {other}"] = values[one] + values[other]
            candidates[f"{one} - {other}"] = values[one] - values[other]
        for name, series in candidates.items():
            assert not np.allclose(series, dense, rtol=1e-9, atol=1e-9), name

    def test_no_value_is_the_dense_reward_but_for_scale_and_offset(self, task):
        values, dense = self.seen(task)
        if np.ptp(dense) == 0.0:
            pytest.skip("the dense reward is constant: there is nothing to give away")
        for name, series in values.items():
            if np.ptp(series) > 0.0:
                correlation = np.corrcoef(series, dense)[0, 1]
                assert abs(correlation) < 0.9999, (name, correlation)

    def test_exposed_everything_is_back_and_the_dense_reward_is_the_twins(self, task):
        id = f"Bagged{task.name}-v0"
        env, twin = gym.make(id, expose_reward=True), gym.make(task.base_id)
        env.reset(seed=0)
        twin.reset(seed=0)
        env.action_space.seed(0)
        for _ in range(3):
            action = env.action_space.sample()
            *_, info = env.step(action)
            _, reward, *_, facts = twin.step(action)
            assert info["dense_reward"] == reward
            assert type(info["dense_reward"]) is float
            assert set(facts) <= set(info)
            assert set(task.reward_info_keys) <= set(facts)
            assert all(np.array_equal(info[key], facts[key]) for key in facts)

    def test_final_info_hides_them_too(self, task):
        envs = bagged_envs.make_vec(
            f"Bagged{task.name}-v0",
            2,
            max_episode_steps=3,
            vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        )
        envs.reset(seed=0)
        for _ in range(3):
            *_, infos = envs.step(envs.action_space.sample())
        assert infos["final_info"]["bag_end"].all()
        for place in (infos, infos["final_info"]):
            assert not set(task.reward_info_keys) & {key.removeprefix("_") for key in place}
        envs.close()


class TestDMControl:
    def test_it_is_dm_controls_own_episode_to_the_bit(self):
        from dm_control import suite

        env = DMControlEnv("walker", "walk", dtype="float64")
        observation, _ = env.reset(seed=7)
        raw = suite.load("walker", "walk", task_kwargs={"random": np.random.RandomState(7)})
        first = raw.reset()
        assert np.array_equal(observation, np.concatenate([np.ravel(x) for x in first.observation.values()]))
        env.action_space.seed(0)
        for _ in range(50):
            action = env.action_space.sample()
            observation, reward, terminated, truncated, info = env.step(action)
            timestep = raw.step(action)
            assert reward == timestep.reward
            assert np.array_equal(observation, np.concatenate([np.ravel(x) for x in timestep.observation.values()]))
            assert (terminated, truncated, info) == (False, False, {})

    def test_the_limit_is_gymnasiums(self):
        env = gym.make("EpisodicPendulumSwingup-v0")
        env.reset(seed=0)
        for step in range(1, 1001):
            *_, terminated, truncated, info = env.step(env.action_space.sample())
            assert not terminated
            assert truncated == info["bag_end"] == (step == 1000)

    def test_lqr_is_the_same_task_in_every_instance(self):
        envs = [DMControlEnv("lqr", "lqr_6_2") for _ in range(2)]
        observations = [env.reset(seed=3)[0] for env in envs]
        assert np.array_equal(*observations)
        action = np.full(2, 0.3)
        assert np.array_equal(*[env.step(action)[0] for env in envs])

    def test_lqr_terminates_at_rest(self):
        env = gym.make("SparseLqrLqr21-v0")
        env.reset(seed=0)
        physics = env.unwrapped._env.physics
        with physics.reset_context():
            physics.data.qpos[:] = 1e-9
        _, paid, terminated, _, info = env.step(np.zeros(1))
        assert terminated
        assert (paid, info["is_success"]) == (1.0, True)

    def test_observations_are_not_the_simulators_memory(self):
        env = DMControlEnv("cheetah", "run", flatten=False)
        observation, _ = env.reset(seed=0)
        kept = {key: value.copy() for key, value in observation.items()}
        for _ in range(20):
            env.step(env.action_space.sample())
        assert all(np.array_equal(observation[key], kept[key]) for key in kept)

    def test_attributes_of_dm_control_are_reachable_and_private_ones_are_not_invented(self):
        env = DMControlEnv("cheetah", "run")
        assert math.isclose(env.control_timestep(), 0.01)
        with pytest.raises(AttributeError):
            env._nonesuch  # noqa: B018


@pytest.mark.parametrize("task", [task for task in TASKS if task.success not in ("terminated",)], ids=by_name)
def test_thresholds_are_the_tables_and_can_be_chosen(task):
    assert bagged_envs.resolved_schedule(f"Sparse{task.name}-v0").threshold == task.threshold
    rule = bagged_envs.resolved_schedule(f"Sparse{task.name}-v0", threshold=task.threshold * 10).judge
    assert rule == Threshold(task.success, task.threshold * 10)
