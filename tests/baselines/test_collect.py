"""Collecting: bags by info, every form of environment alike, nothing lost between calls."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import bagged_envs
from bagged_envs.baselines.collect import Collector, collect
from bagged_envs.baselines.features import Features
from bagged_envs.testing import ScriptedEnv, episode, scripted_vector
from bagged_envs.wrappers import BaggedReward, DeclaredBags, PartiallyLabeledReward, vector
from tests.small import agents, several, single

MODES = list(AutoresetMode)


def still(observation):
    return 0


def all_still(observations):
    return np.zeros(len(observations), dtype=np.int64)


def same(left, right):
    for name in ("observations", "actions", "rewards", "bag_ids", "labeled"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
        assert getattr(left, name).dtype == getattr(right, name).dtype
    assert (left.terminated, left.closed, left.extras.keys()) == (right.terminated, right.closed, right.extras.keys())
    for name, array in left.extras.items():
        np.testing.assert_array_equal(array, right.extras[name])
        assert array.dtype == right.extras[name].dtype
    return True


def all_same(left, right):
    return len(left) == len(right) and all(same(*pair) for pair in zip(left, right, strict=True))


def by_slot(collector, trajectories, slots):
    """The trajectories of each copy."""
    return [[one for one, its in zip(trajectories, collector.slots, strict=True) if its == i] for i in range(slots)]


SCRIPT = [episode([1.0, 0.0, -1.0, 0.0, 4.0]), episode([2.0], terminated=False, truncated=True)]


def test_one_environment_by_hand():
    env = BaggedReward(ScriptedEnv(SCRIPT), bag_len=2, expose_reward=True)
    first, second = collect(env, still, episodes=2, seed=0)
    assert first.observations[:, 1].tolist() == [0, 1, 2, 3, 4, 5]
    assert first.observations.dtype == np.float64
    assert first.actions.tolist() == [0] * 5
    assert first.rewards.tolist() == [0, 1, 0, -1, 4]
    assert first.bag_ids.tolist() == [0, 0, 1, 1, 2]
    assert first.labeled.tolist() == [True] * 3
    assert (first.terminated, first.closed) == (True, True)
    assert first.extras["dense_rewards"].tolist() == [1, 0, -1, 0, 4]
    assert (second.terminated, second.closed, len(second)) == (False, True, 1)
    assert second.observations[:, :2].tolist() == [[2, 0], [2, 1]]


def test_a_bag_that_pays_nothing_is_a_bag():
    (one,) = collect(BaggedReward(ScriptedEnv([episode([1.0, -1.0, 0.0, 0.0, 5.0])]), bag_len=2), still, episodes=1)
    assert one.rewards.tolist() == [0, 0, 0, 0, 5]
    assert one.bag_ids.tolist() == [0, 0, 1, 1, 2]
    assert one.labeled.all()
    assert not one.extras


def test_hidden_labels_are_told_by_info():
    env = PartiallyLabeledReward(ScriptedEnv([episode([1.0] * 200)]), label_fraction=0.3, bag_len=2)
    (one,) = collect(env, still, episodes=1, seed=0)
    assert 10 < one.labeled.sum() < 60
    np.testing.assert_array_equal(one.rewards[1::2], np.where(one.labeled, 2.0, 0.0))


def test_declared_bags_of_an_environment_that_pays_late():
    env = DeclaredBags(ScriptedEnv([episode([0.0, 0.0, 6.0, 0.0, -1.0])]), closes=lambda o, info: info["step"] == 3)
    (one,) = collect(env, still, episodes=1)
    assert one.bag_ids.tolist() == [0, 0, 0, 1, 1]
    assert one.rewards.tolist() == [0, 0, 6, 0, -1]


def test_steps_return_what_is_still_open():
    env = BaggedReward(ScriptedEnv([episode([1.0, 1.0, 1.0])]), bag_len=2)
    ended, going = collect(env, still, steps=4)
    assert (len(ended), ended.terminated, ended.closed) == (3, True, True)
    assert (len(going), going.terminated, going.closed, going.labeled.tolist()) == (1, False, False, [False])
    (closed,) = collect(env, still, steps=2)
    assert (len(closed), closed.terminated, closed.closed, closed.labeled.tolist()) == (2, False, True, [True])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("calls", [1, 2, 3, 5, 40])
def test_calls_carry_open_episodes_over(mode, calls):
    def make():
        scripts = [SCRIPT, [episode([1.0] * 7)], [episode([3.0] * 2), episode([1.0] * 4)]]
        return vector.BaggedReward(scripted_vector(scripts, mode), bag_len=2, expose_reward=True)

    whole = Collector(make(), seed=5)
    pieces = Collector(make(), seed=5)
    expected = whole.collect(all_still, steps=120)
    got, slots = [], []
    while pieces.total_steps < whole.total_steps:
        got += pieces.collect(all_still, steps=120 // calls)
        slots += pieces.slots
    while whole.total_steps < pieces.total_steps:
        expected += whole.collect(all_still, steps=1)
    assert all_same(got, expected)
    assert all_same(pieces.open(), whole.open())
    assert sum(map(len, got + pieces.open())) == pieces.total_steps
    assert set(slots) == {0, 1, 2}


@pytest.mark.parametrize("mode", MODES)
def test_a_vector_gives_each_copys_trajectories(mode):
    scripts = [SCRIPT, [episode([1.0] * 7)], [episode([3.0] * 2), episode([1.0] * 4, terminated=False, truncated=True)]]
    envs = vector.BaggedReward(scripted_vector(scripts, mode), bag_len=2, expose_reward=True)
    collector = Collector(envs, seed=5, keep=("step",))
    ours = by_slot(collector, collector.collect(all_still, steps=120), 3)
    for slot, script in enumerate(scripts):
        env = BaggedReward(ScriptedEnv(script), bag_len=2, expose_reward=True)
        one = Collector(env, seed=5 + slot, keep=("step",))
        assert len(ours[slot]) > 3
        assert all_same(ours[slot], one.collect(still, episodes=len(ours[slot])))
        assert ours[slot][0].extras["step"].tolist() == list(range(len(ours[slot][0]) + 1))


def swinging(observations):
    """A policy of observations alone; some poles fall soon, some late."""
    return np.clip(observations[..., 1:2] * 60.0 + observations[..., 3:4] * 2.0, -3, 3).astype(np.float32)


def wandering(observations):
    return (observations.sum(axis=-1) * 7 + observations[..., 1]) % 4


def gathering(observations):
    return (np.abs(observations[..., :4]).sum(axis=-1) * 10).astype(np.int64) % 5


TASKS = {
    "BaggedInvertedPendulum-v0": (swinging, {"bag_len": (2, 5), "max_episode_steps": 40}, "sync"),
    "PartiallyLabeledKeyDoor-v0": (wandering, {"bag_len": 3, "label_fraction": 0.5, "max_episode_steps": 25}, "native"),
    "BaggedTriangleArea-v0": (gathering, {"bag_len": (2, 5), "max_episode_steps": 12}, "native"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("task", TASKS)
def test_real_tasks_alike_alone_and_together(task, mode):
    act, arguments, fastest = TASKS[task]
    arguments = {**arguments, "expose_reward": True}
    vectors = []
    for backend in {"sync", fastest}:
        made = bagged_envs.make_vec(task, 3, backend=backend, vector_kwargs={"autoreset_mode": mode}, **arguments)
        collector = Collector(made, seed=11)
        vectors.append(by_slot(collector, collector.collect(act, steps=250), 3))
        made.close()
    for slot in range(3):
        env = gym.make(task, **arguments)
        alone = collect(env, act, episodes=len(vectors[0][slot]), seed=11 + slot)
        env.close()
        assert len(alone) >= 2
        assert all(all_same(together[slot], alone) for together in vectors)
        assert alone[0].extras["dense_rewards"].shape == (len(alone[0]),)
        assert ("alive" in alone[0].extras) == ("Triangle" in task)


def test_each_label_is_the_sum_of_its_bag():
    env = gym.make("BaggedInvertedPendulum-v0", bag_len=4, max_episode_steps=30, expose_reward=True)
    for one in collect(env, swinging, episodes=5, seed=3):
        for part in one.bag_slices():
            assert one.rewards[part].tolist()[:-1] == [0.0] * (part.stop - part.start - 1)
            assert one.rewards[part][-1] == sum(one.extras["dense_rewards"][part].tolist())


class Composed(gym.Env):
    """Dict observations and Tuple actions; three steps."""

    observation_space = Dict({"n": Discrete(5), "x": Box(-9, 9, (2,))})
    action_space = Tuple((Discrete(2), Box(-1, 1, (1,))))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self.seen(), {}

    def step(self, action):
        self.count += 1
        return self.seen(), float(action[0]), self.count == 3, False, {}

    def seen(self):
        return {"n": np.int64(self.count), "x": np.full(2, self.count, np.float32)}


def test_composed_spaces_are_kept_as_features():
    env = BaggedReward(Composed(), bag_len=2)
    (one,) = collect(env, lambda observation: (1, np.array([0.5], np.float32)), episodes=1)
    assert one.observations[1].tolist() == [0, 1, 0, 0, 0, 1, 1]
    assert one.observations.shape == (4, Features(Composed.observation_space).size)
    assert one.actions.tolist() == [[0, 1, 0.5]] * 3


@pytest.mark.parametrize("mode", MODES)
def test_composed_spaces_in_a_vector(mode):
    envs = vector.BaggedReward(SyncVectorEnv([Composed] * 2, autoreset_mode=mode), bag_len=2)
    act = (np.array([1, 1]), np.full((2, 1), 0.5, np.float32))
    got = Collector(envs).collect(lambda observations: act, episodes=4)
    (alone,) = collect(BaggedReward(Composed(), bag_len=2), lambda o: (1, np.array([0.5], np.float32)), episodes=1)
    assert all_same(got, [alone] * 4)


def test_observations_are_copied():
    class Reusing(ScriptedEnv):
        buffer = np.zeros(3)

        def _observe(self):
            self.buffer[:] = super()._observe()
            return self.buffer

    (one,) = collect(BaggedReward(Reusing([episode([1.0] * 3)])), still, episodes=1)
    assert one.observations[:, 1].tolist() == [0, 1, 2, 3]


def test_what_cannot_be_meant_is_refused():
    env = BaggedReward(single(), bag_len=2)
    with pytest.raises(ValueError, match="either steps or episodes, got steps=None, episodes=None"):
        collect(env, still)
    with pytest.raises(ValueError, match="either steps or episodes, got steps=1, episodes=1"):
        collect(env, still, steps=1, episodes=1)
    with pytest.raises(ValueError, match="steps must be an int of at least 1, got 0"):
        collect(env, still, steps=0)
    with pytest.raises(TypeError, match="env must be a Gymnasium environment or vector environment"):
        collect(agents(), still, steps=1)


@pytest.mark.parametrize(("env", "act"), [(single(), still), (several(), all_still)])
def test_an_environment_without_borders_is_refused(env, act):
    with pytest.raises(ValueError, match="got no bag_end and no reward_observed: make an ID with a delay, or wrap"):
        collect(env, act, episodes=1)


def test_a_limit_outside_the_delay_is_found():
    env = gym.wrappers.TimeLimit(BaggedReward(ScriptedEnv([episode([1.0] * 9)]), bag_len=2), max_episode_steps=3)
    with pytest.raises(ValueError, match="must be True in an episode's last step, got False: put the delay outside"):
        collect(env, still, episodes=1)


def test_what_is_kept_must_stay():
    class Forgetful(ScriptedEnv):
        def _info(self, reward):
            return {"hint": 1} if self._step == 0 else {}

    with pytest.raises(ValueError, match=r"info must have \['hint'\] in every step"):
        Collector(BaggedReward(Forgetful([episode([1.0] * 3)])), keep=["hint"]).collect(still, episodes=1)
