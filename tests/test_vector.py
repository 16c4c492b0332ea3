"""`make_vec` and vector environments of real tasks: async equals sync equals a loop, to the bit."""

import random

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import bagged_envs
from bagged_envs.testing import episode, scripted_vector
from bagged_envs.wrappers import vector
from tests.wrappers.test_laws import assert_same

IDS = ("BaggedReacher-v0", "PartiallyLabeledHopper-v0", "EpisodicInvertedPendulum-v0", "SparseCartpoleSwingup-v0")


def rollout(envs, steps, seed):
    """Everything that `reset` and so many steps return; with autoreset disabled the ended are reset by mask."""
    disabled = envs.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    envs.action_space.seed(seed)
    returned = [envs.reset(seed=seed)]
    for _ in range(steps):
        returned.append(envs.step(envs.action_space.sample()))
        done = returned[-1][2] | returned[-1][3]
        if disabled and done.any():
            returned.append(envs.reset(options={"reset_mask": done}))
    envs.close()
    return tuple(returned)


def drawn(number):
    """A random configuration, always the same for a number."""
    draw = random.Random(number)
    id = draw.choice(IDS)
    arguments = {"max_episode_steps": draw.randint(3, 12), "expose_reward": draw.random() < 0.5}
    if not id.startswith(("Episodic", "Sparse")):
        arguments["bag_len"] = draw.choice([1, 2, 5, (1, 4), (2, 7), None])
        arguments["aggregate"] = draw.choice(["sum", "mean", "max"])
    arguments["label_fraction"] = draw.choice([1.0, 0.5])
    arguments["observe_bag"] = draw.random() < 0.5
    return id, draw.choice(list(AutoresetMode)), draw.randint(1, 3), arguments


@pytest.mark.parametrize(
    "number", [number if number % 4 == 0 else pytest.param(number, marks=pytest.mark.slow) for number in range(20)]
)
def test_every_way_of_making_a_vector_environment_agrees_to_the_bit(number):
    id, mode, num_envs, arguments = drawn(number)
    vector_kwargs = {"autoreset_mode": mode}
    ways = [
        gym.make_vec(id, num_envs, vectorization_mode="sync", vector_kwargs=vector_kwargs, **arguments),
        bagged_envs.make_vec(id, num_envs, vector_kwargs=vector_kwargs, **arguments),
    ]
    if number == 8:  # processes are slow to start
        ways += [
            gym.make_vec(id, num_envs, vectorization_mode="async", vector_kwargs=vector_kwargs, **arguments),
            bagged_envs.make_vec(id, num_envs, backend="async", vector_kwargs=vector_kwargs, **arguments),
            bagged_envs.make_vec(
                id, num_envs, backend="async", vector_kwargs={**vector_kwargs, "shared_memory": False}, **arguments
            ),
        ]
    first, *others = (rollout(envs, 25, number) for envs in ways)
    for other in others:
        assert_same(first, other)


def test_a_vector_environment_is_a_loop_over_single_ones():
    envs = bagged_envs.make_vec("BaggedHopper-v0", 3, bag_len=(1, 9), label_fraction=0.5)
    singles = [gym.make("BaggedHopper-v0", bag_len=(1, 9), label_fraction=0.5) for _ in range(3)]
    envs.reset(seed=6)
    for slot, env in enumerate(singles):
        env.reset(seed=6 + slot)
    resetting = np.zeros(3, dtype=bool)
    for _ in range(120):
        actions = envs.action_space.sample()
        observations, paid, terminated, truncated, infos = envs.step(actions)
        for slot, env in enumerate(singles):
            if resetting[slot]:
                observation, info = env.reset()
                assert paid[slot] == 0.0
            else:
                observation, reward, *ends, info = env.step(actions[slot])
                assert (reward, *ends) == (paid[slot], terminated[slot], truncated[slot])
            assert np.array_equal(observation, observations[slot])
            for key, value in info.items():
                assert infos[key][slot] == value
                assert infos[f"_{key}"][slot]
        resetting = terminated | truncated


class TestMakeVec:
    @pytest.mark.parametrize("id", ["BaggedHalfCheetah-v0", "BaggedCheetahRun-v0", "BaggedKeyDoor-v0"])
    def test_a_specification_with_wrappers_is_never_native(self, id):
        env = gym.make(id, bag_len=1)
        box = isinstance(env.action_space, gym.spaces.Box)
        low = np.full(env.action_space.shape, -0.5, env.action_space.dtype)
        wrapped = gym.wrappers.RescaleAction(env, low, -low) if box else gym.wrappers.TimeAwareObservation(env)
        envs = bagged_envs.make_vec(wrapped.spec, 2)
        assert (envs.metadata["backend"], envs.single_action_space) == ("sync", wrapped.action_space)
        assert envs.single_observation_space == wrapped.observation_space
        name = type(wrapped).__name__
        assert envs.metadata["backend_reason"] == f"the specification has wrappers: {name}"
        envs.close()
        for backend in ("native", "envpool"):
            with pytest.raises(
                ValueError, match=f"backend='{backend}' has no wrappers, and the specification has {name}"
            ):
                bagged_envs.make_vec(wrapped.spec, 2, backend=backend)

    @pytest.mark.parametrize("backend", ["auto", "sync", "async"])
    def test_what_stands_around_the_delay_sees_what_is_paid(self, backend):
        delayed = gym.make("BaggedInvertedPendulum-v0", bag_len=5, max_episode_steps=20)
        spec = gym.wrappers.ClipReward(delayed, 0.0, 2.0).spec
        envs = bagged_envs.make_vec(spec, 2, backend=backend)
        found = rollout(envs, 25, seed=0)
        assert {pay for _, paid, *_ in found[1:] for pay in paid} == {0.0, 2.0}
        assert_same(found, rollout(gym.make_vec(spec, 2), 25, seed=0))
        assert bagged_envs.make_vec(envs.spec, 3).num_envs == 3
        assert bagged_envs.make_vec(delayed.unwrapped.spec, 2).reset(seed=0)[0].shape == (2, 4)

    def test_statistics_around_the_delay_do_not_give_the_dense_return_away(self):
        few = gym.make("PartiallyLabeledInvertedPendulum-v0", label_fraction=0.01, max_episode_steps=3)
        envs = bagged_envs.make_vec(gym.wrappers.RecordEpisodeStatistics(few).spec, 1)
        told = [infos["episode"]["r"].tolist() for *_, infos in rollout(envs, 9, seed=0)[1:] if "episode" in infos]
        assert told
        assert {total for totals in told for total in totals} == {0.0}

    def test_seeds_are_whole_numbers(self):
        envs = bagged_envs.make_vec("BaggedReacher-v0", 2, backend="native")
        with pytest.raises(TypeError, match="seed must be a sequence of ints, got 1.9 of type float in it"):
            envs.reset(seed=[1.9, 2.9])
        envs.close()

    @pytest.mark.parametrize(("backend", "named"), [("auto", "native"), ("sync", "sync"), ("async", "async")])
    def test_metadata_names_the_backend(self, backend, named):
        envs = bagged_envs.make_vec("BaggedReacher-v0", 2, backend=backend)
        assert envs.metadata["backend"] == named
        assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
        envs.close()

    def test_it_takes_every_argument_of_make(self):
        envs = bagged_envs.make_vec(
            "bagged_envs:BaggedHalfCheetah-v0", 2, backend="sync", bag_len=4, ctrl_cost_weight=0.7, max_episode_steps=6
        )
        envs.reset(seed=0)
        ends = [envs.step(envs.action_space.sample())[4]["bag_end"].tolist() for _ in range(6)]
        assert ends == [[False] * 2] * 3 + [[True] * 2, [False] * 2, [True] * 2]
        assert envs.env.envs[0].unwrapped._ctrl_cost_weight == 0.7
        assert envs.spec.kwargs["bag_len"] == 4
        assert str(envs.schedule) == "bag_len=4"
        envs.close()

    @pytest.mark.parametrize("backend", ["auto", "native", "sync", "async"])
    @pytest.mark.parametrize("id", ["BaggedKeyDoor-v0", "KeyDoor-v0", "BaggedReacher-v0"])
    def test_gymnasiums_checker_is_left_out_as_by_make(self, id, backend):
        envs = bagged_envs.make_vec(id, 2, backend=backend, disable_env_checker=True)
        assert envs.reset(seed=0)[0].shape[0] == 2
        assert envs.spec.disable_env_checker is True
        assert "disable_env_checker" not in envs.spec.kwargs
        envs.close()
        with pytest.raises(TypeError, match="disable_env_checker must be True or False, got 'no'"):
            bagged_envs.make_vec(id, 2, backend=backend, disable_env_checker="no")

    @pytest.mark.parametrize(("disabled", "checked"), [(True, False), (False, True), (None, True)])
    def test_what_is_checked(self, disabled, checked):
        envs = bagged_envs.make_vec("BaggedReacher-v0", 1, backend="sync", disable_env_checker=disabled)
        assert ("PassiveEnvChecker" in str(envs.env.envs[0])) == checked
        envs.close()

    def test_without_a_limit(self):
        envs = bagged_envs.make_vec("BaggedHalfCheetah-v0", 1, max_episode_steps=-1)
        envs.reset(seed=0)
        for _ in range(1010):
            *_, truncated, _ = envs.step(envs.action_space.sample())
            assert not truncated.any()
        envs.close()

    def test_none_is_the_registered_limit_as_in_gymnasium(self):
        envs = bagged_envs.make_vec("EpisodicReacher-v0", 1, max_episode_steps=None)
        theirs = gym.make_vec("EpisodicReacher-v0", 1, vectorization_mode="sync", max_episode_steps=None)
        for each in (envs, theirs):
            each.reset(seed=0)
        results = [[each.step(np.zeros((1, 2)))[1][0] for _ in range(50)] for each in (envs, theirs)]
        assert results[0] == results[1]
        assert results[0][-1] < 0.0

    def test_it_takes_a_spec_and_an_id_without_a_version(self):
        spec = gym.make("BaggedReacher-v0", bag_len=7, max_episode_steps=9).spec
        envs = bagged_envs.make_vec(spec, 2)
        assert str(envs.schedule) == "bag_len=7"
        assert envs.spec.max_episode_steps == 9
        assert bagged_envs.make_vec("BaggedReacher", 1).spec.id == "BaggedReacher-v0"

    def test_an_episode_without_an_end_is_warned_of(self):
        with pytest.warns(UserWarning, match="HalfCheetah has no time limit"):
            bagged_envs.make_vec("EpisodicHalfCheetah-v0", 1, max_episode_steps=-1)

    def test_the_class_metadata_knows_no_backend(self):
        envs = bagged_envs.make_vec("BaggedReacher-v0", 1, backend="sync")
        assert "backend" not in type(envs.env.envs[0].unwrapped).metadata

    def test_the_registered_spec_stays_as_it_is(self):
        before = gym.spec("BaggedReacher-v0").to_json()
        bagged_envs.make_vec("BaggedReacher-v0", 2, bag_len=3, max_episode_steps=7).close()
        assert gym.spec("BaggedReacher-v0").to_json() == before


def test_the_autoreset_mode_is_the_environments_own_even_where_metadata_is_shared():
    """Before Gymnasium 1.3, all vector environments of one class share one metadata dict: the last one made wins."""
    envs = scripted_vector([[episode([1.0]), episode([5.0])]], AutoresetMode.NEXT_STEP)
    envs.metadata["autoreset_mode"] = AutoresetMode.SAME_STEP
    delayed = vector.BaggedReward(envs, 2)
    delayed.reset(seed=0)
    paid = [delayed.step(np.zeros(1, dtype=int))[1][0] for _ in range(3)]
    assert paid == [1.0, 0.0, 5.0]


def test_a_vector_environment_that_does_not_tell_its_autoreset_mode_is_refused():
    class Silent(gym.vector.VectorEnv):
        num_envs = 1

    with pytest.raises(ValueError, match="autoreset_mode'\\] must be a gymnasium.vector.AutoresetMode, got None"):
        vector.BaggedReward(Silent())


def test_gymnasiums_own_vector_environments_can_be_delayed():
    envs = vector.BaggedReward(gym.make_vec("CartPole-v1", 3), 4)
    envs.reset(seed=0)
    paid = [envs.step(np.zeros(3, dtype=int))[1].tolist() for _ in range(4)]
    assert paid == [[0.0] * 3] * 3 + [[4.0] * 3]
    envs.close()
