"""Environments that pay a redistributor's rewards at once."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.spaces import Box, Dict, Discrete, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor

import bagged_envs
from bagged_envs.baselines.api import Sampling, Schedule
from bagged_envs.baselines.collect import collect
from bagged_envs.baselines.learned_reward import LearnedReward, VecLearnedReward
from bagged_envs.baselines.redistributors import REDISTRIBUTORS, make_redistributor
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.testing import ScriptedEnv, episode, scripted_vector
from bagged_envs.wrappers import BaggedReward, PartiallyLabeledReward, vector
from tests.baselines.programs import program_of
from tests.baselines.replay import Spy
from tests.small import agents, several, single

MODES = list(AutoresetMode)
SCRIPTS = [
    [episode([1.0, 2.0, 3.0]), episode([5.0] * 7, terminated=False, truncated=True)],
    [episode([-1.0] * 4), episode([2.0], terminated=False, truncated=True)],
    [episode([0.5] * 6)],
]
FITS = {"warm_up": 20, "every": 10, "updates": 2, "bags": 3, "steps": 2, "hidden": (8,)}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def delayed(script=SCRIPTS[0], **arguments):
    return BaggedReward(ScriptedEnv(script), **{"bag_len": 2, "expose_reward": True, **arguments})


def vector_of(mode=AutoresetMode.NEXT_STEP, scripts=SCRIPTS, **arguments):
    envs = scripted_vector(scripts, mode)
    return vector.BaggedReward(envs, **{"bag_len": 2, "expose_reward": True, **arguments})


def play(env, steps, seed=0, action=0):
    """Rewards, delayed rewards and ends of some steps."""
    played = []
    env.reset(seed=seed)
    for _ in range(steps):
        _, reward, terminated, truncated, info = env.step(action)
        played.append((reward, info["delayed_reward"], terminated or truncated))
        if terminated or truncated:
            env.reset()
    return played


def play_all(envs, steps, seed=0, act=lambda: np.zeros(3, int)):
    """The same of every copy of a vector environment, reset steps left out: a list per copy."""
    played = [[] for _ in range(envs.num_envs)]
    envs.reset(seed=seed)
    mode, done = envs.metadata["autoreset_mode"], np.zeros(envs.num_envs, bool)
    while min(map(len, played)) < steps:
        if mode is AutoresetMode.DISABLED and done.any():
            _, infos = envs.reset(options={"reset_mask": done.copy()})
            assert infos["delayed_reward"].tolist() == [0.0] * envs.num_envs
            assert infos["_delayed_reward"].tolist() == done.tolist()
        resets = done if mode is AutoresetMode.NEXT_STEP else np.zeros_like(done)
        _, rewards, terminated, truncated, infos = envs.step(act())
        assert rewards.dtype == np.float64
        done = ~resets & (terminated | truncated)
        for slot in range(envs.num_envs):
            place = infos["final_info"] if mode is AutoresetMode.SAME_STEP and done[slot] else infos
            if resets[slot]:
                assert (rewards[slot], infos["delayed_reward"][slot]) == (0.0, 0.0)
            else:
                played[slot].append((rewards[slot], place["delayed_reward"][slot], bool(done[slot])))
            if place is not infos:
                assert infos["delayed_reward"][slot] == 0.0
    return [slot[:steps] for slot in played]


class TestOne:
    def test_the_oracle_pays_the_dense_reward_and_tells_the_delayed_one(self):
        played = play(LearnedReward(delayed(), "oracle"), 12)
        rewards, told, ends = zip(*played, strict=True)
        assert rewards == (1, 2, 3, 5, 5, 5, 5, 5, 5, 5, 1, 2)
        assert told == (0, 3, 3, 0, 10, 0, 10, 0, 10, 5, 0, 3)
        assert [type(reward) for reward in rewards] == [float] * 12
        assert [type(reward) for reward in told] == [float] * 12
        assert sum(ends) == 2

    def test_the_identity_pays_the_delayed_one(self):
        env = PartiallyLabeledReward(ScriptedEnv(SCRIPTS[0]), label_fraction=0.5, bag_len=2)
        played = play(LearnedReward(env, "identity"), 60)
        assert all(paid == told for paid, told, _ in played)
        assert 5 < sum(paid != 0 for paid, _, _ in played) < 30

    def test_nothing_else_is_changed(self):
        left, right = LearnedReward(delayed(), "oracle"), delayed()
        for one in (left, right):
            one.action_space.seed(0)
        first, told = left.reset(seed=3)
        assert told.pop("delayed_reward") == 0.0
        other, expected = right.reset(seed=3)
        np.testing.assert_array_equal(first, other)
        assert told == expected
        for _ in range(3):
            seen, _, *ends, info = left.step(0)
            expected = right.step(0)
            assert info.pop("delayed_reward") == expected[1]
            np.testing.assert_array_equal(seen, expected[0])
            assert [*ends, info] == list(expected[2:])

    def test_a_step_comes_alone_with_what_is_known_of_its_bag(self):
        spy = Spy()
        rewards = [reward for reward, _, _ in play(LearnedReward(delayed(bag_len=3), spy), 7)]
        assert rewards == [0, 1, 2, 0, 1, 2, 3]  # the second number of an observation is the step
        fields = ("length", "labeled", "label")
        told = [tuple(getattr(batch, name).item() for name in fields) for batch in spy.relabeled]
        assert told == [
            (1, False, 0),
            (2, False, 0),
            (3, True, 6),
            (1, False, 0),
            (2, False, 0),
            (3, True, 15),
            (1, False, 0),
        ]
        for batch, after in zip(spy.relabeled, [1, 2, 3, 1, 2, 3, 4], strict=True):
            assert batch.mask.shape == (1, 1, 1)
            assert batch.next_observations[0, 0, 0, 1] == after
            assert batch.actions.flatten().tolist() == [1, 0]
            assert batch.paid.item() == batch.label.item()

    def test_the_redistributor_learns_by_its_schedule_from_episodes_that_ended(self):
        spy = Spy(Sampling(bags=2), Schedule(every=4, updates=3, warm_up=6))
        env = LearnedReward(delayed(), spy)
        updates = []
        env.reset(seed=0)
        for _ in range(20):
            *_, terminated, truncated, _ = env.step(0)
            updates.append(env.updates)
            if terminated or truncated:
                env.reset()
        assert updates == [0] * 7 + [3] * 4 + [6] * 4 + [9] * 4 + [12]
        assert env.metrics == {"labeled": 2.0, "number": 11.0}
        (alone,) = collect(delayed(), lambda observation: 0, episodes=1, seed=0)
        first = spy.updated[0]
        assert {tuple(row) for row in first.observations[:, 0, 0, 1:2].tolist()} <= {(0.0,), (2.0,)}
        assert set(first.label.tolist()) <= set(alone.rewards[alone.rewards != 0].tolist())

    def test_it_learns_from_labeled_bags_alone(self):
        spy = Spy(Sampling(bags=4), Schedule(every=5))
        play(LearnedReward(delayed(label_fraction=0.4), spy), 60)
        assert len(spy.updated) > 5
        assert all(batch.labeled.all() for batch in spy.updated)

    def test_the_store_has_what_a_collector_gets(self):
        env = LearnedReward(delayed(), "oracle", capacity=50)
        play(env, 22)
        store = EpisodeStore.for_spaces(env.observation_space, env.action_space, capacity=50)
        for trajectory in collect(delayed(), lambda observation: 0, episodes=4, seed=0):
            store.add(trajectory)
        ours, theirs = env.store.state_dict(), store.state_dict()
        for name, rows in theirs["ring"]["rows"].items():
            assert torch.equal(ours["ring"]["rows"][name], rows), name
        for name, rows in theirs["ring"]["bags"].items():
            assert torch.equal(ours["ring"]["bags"][name], rows), name
        assert ours["sizes"] == theirs["sizes"]

    def test_an_episode_that_is_cut_off_is_thrown_away(self):
        env = LearnedReward(delayed(), "oracle")
        env.reset(seed=0)
        env.step(0)
        play(env, 3)
        assert len(env.store) == 3

    def test_until_the_first_update_the_delayed_reward_is_paid(self):
        env = LearnedReward(delayed(), "rrd", FITS)
        played = play(env, 40)
        assert env.updates == 2 * 3
        assert all(paid == told for paid, told, _ in played[:20])
        assert all(paid != told for paid, told, _ in played[20:])
        ready = make_redistributor("rrd", 3, 2, **FITS)
        assert play(LearnedReward(delayed(), ready), 1)[0][0] != 0.0

    def test_what_is_paid_is_what_the_redistributor_says_now(self):
        env = LearnedReward(delayed(), "rrd", FITS)
        play(env, 30)
        seen, _ = env.reset()
        before = copy.deepcopy(env.redistributor)
        after, reward, *_ = env.step(1)
        alone = EpisodeStore.for_spaces(env.observation_space, env.action_space)
        (one,) = collect(delayed([episode([1.0])]), lambda observation: 1, episodes=1)
        one.observations[:] = [seen, after]
        alone.add(one)
        indices = np.array([0])
        assert reward == pytest.approx(before.relabel(alone.steps(indices)).item(), rel=1e-6)

    @pytest.mark.parametrize("name", ["rd", "rrd", "rrd_unbiased", "grd", "diaster"])
    def test_every_method_of_steps_learns(self, name):
        settings = {"diaster": {"hidden": 16, "every": 10, "warm_up": 10}, "rd": {"every": 10, "warm_up": 10}}
        config = settings.get(name, {"every": 10, "warm_up": 10, "updates": 1, "steps": 2})
        env = LearnedReward(delayed(), name, {**config, "bags": 3})
        played = play(env, 40)
        assert env.updates > 0
        assert len({paid for paid, _, _ in played[-9:]}) == 9

    def test_a_seed_makes_everything_the_same(self):
        made = [play(LearnedReward(delayed(), "rrd", FITS, seed=seed), 50) for seed in (4, 4, 5)]
        assert made[0] == made[1]
        assert made[0] != made[2]

    def test_statistics_inside_are_the_tasks_own(self):
        inside = gym.wrappers.RecordEpisodeStatistics(delayed())
        env = LearnedReward(inside, Spy())
        env.reset(seed=0)
        for _ in range(3):
            *_, info = env.step(0)
        assert info["episode"]["r"] == 6.0

    def test_its_arguments_are_recorded(self):
        base = gym.make("BaggedInvertedPendulum-v0", bag_len=3, expose_reward=True)
        env = LearnedReward(base, "oracle", seed=3)
        again = gym.make(env.spec)
        assert isinstance(again, LearnedReward)
        assert again.redistributor.name == "oracle"
        assert env.spec.to_json() == again.spec.to_json()


class TestLife:
    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
    def test_a_copy_needs_a_reset_and_then_goes_on_as_the_original(self, copied):
        env = LearnedReward(delayed(), "rrd", FITS)
        play(env, 33)
        env.reset(seed=1)
        env.step(0)
        other = copied(env)
        with pytest.raises(ResetNeeded, match="is a copy or was unpickled"):
            other.step(0)
        assert play(env, 40) == play(other, 40)
        assert other.redistributor is not env.redistributor
        assert env.updates == other.updates > 0

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
    def test_a_copy_of_a_vector_too(self, copied):
        envs = VecLearnedReward(vector_of(), "rrd", FITS)
        play_all(envs, 20)
        other = copied(envs)
        with pytest.raises(ResetNeeded, match="is a copy or was unpickled"):
            other.step(np.zeros(3, int))
        with pytest.raises(ResetNeeded, match="mask that leaves environments out"):
            other.reset(options={"reset_mask": np.array([True, False, False])})
        assert play_all(envs, 20) == play_all(other, 20)

    def test_steps_before_a_reset_and_after_an_end_or_a_close(self):
        env = LearnedReward(delayed(), "oracle")
        with pytest.raises(ResetNeeded, match="no episode has begun"):
            env.step(0)
        env.reset(seed=0)
        for _ in range(3):
            env.step(0)
        with pytest.raises(ResetNeeded, match="the episode has ended"):
            env.step(0)
        env.close()
        with pytest.raises(ClosedEnvironmentError):
            env.reset()

    def test_environments_that_do_not_watch_over_their_episodes(self):
        class Telling(gym.Wrapper):
            def reset(self, **arguments):
                return self.env.reset(**arguments)[0], {"bag_end": False, "reward_observed": False}

            def step(self, action):
                observation, _, *ends, _ = self.env.step(action)
                return observation, float(any(ends)), *ends, {"bag_end": any(ends), "reward_observed": any(ends)}

        env = LearnedReward(Telling(single()), "identity")
        with pytest.raises(ResetNeeded, match="no episode has begun"):
            env.step(0)
        env.reset(seed=0)
        assert [env.step(0)[1] for _ in range(2)] == [0.0, 1.0]
        with pytest.raises(ResetNeeded, match="the episode has ended"):
            env.step(0)
        assert len(env.store) == 2

    def test_a_failed_update_needs_a_reset(self):
        class Failing(Spy):
            def update(self, batch):
                raise FloatingPointError("spy: the loss is nan")

        env = LearnedReward(delayed(), Failing(Sampling(bags=1), Schedule(every=3)))
        env.reset(seed=0)
        env.step(0)
        env.step(0)
        with pytest.raises(FloatingPointError, match="the loss is nan"):
            env.step(0)
        with pytest.raises(ResetNeeded, match="the last step failed"):
            env.step(0)
        assert len(env.store) == 3
        env.reset()
        env.step(0)

    def test_disabled_copies_that_ended_cannot_step(self):
        envs = VecLearnedReward(vector_of(AutoresetMode.DISABLED), "oracle")
        envs.reset(seed=0)
        for _ in range(3):
            envs.step(np.zeros(3, int))
        with pytest.raises(ResetNeeded, match=r"episodes of environments \[0\] have ended"):
            envs.step(np.zeros(3, int))


class TestVector:
    @pytest.mark.parametrize("mode", MODES)
    def test_every_mode_pays_what_single_environments_do(self, mode):
        played = play_all(VecLearnedReward(vector_of(mode), "oracle"), 25)
        for slot, script in enumerate(SCRIPTS):
            assert played[slot] == play(LearnedReward(delayed(script), "oracle"), 25, seed=slot)

    @pytest.mark.parametrize("mode", MODES)
    def test_steps_come_with_their_own_observations(self, mode):
        spy = Spy()
        played = play_all(VecLearnedReward(vector_of(mode), spy), 12)
        for slot, script in enumerate(SCRIPTS):
            alone = Spy()
            assert played[slot] == play(LearnedReward(delayed(script), alone), 12, seed=slot)
        following = [batch.next_observations[..., 1] - batch.observations[..., 1] for batch in spy.relabeled]
        assert all((one == 1).all() for one in following)

    @pytest.mark.parametrize("mode", MODES)
    def test_one_model_learns_from_all_copies_by_their_steps_together(self, mode):
        envs = VecLearnedReward(vector_of(mode), "rrd", FITS)
        played = play_all(envs, 30)
        assert envs.store.num_episodes > 10
        made = envs._model.num_steps
        assert envs.updates == 2 * (made // 10 - 1)
        assert made >= 90
        assert np.isfinite(envs.metrics["loss"])
        assert all(paid != told for slot in played for paid, told, _ in slot[-9:])
        assert played == play_all(VecLearnedReward(vector_of(mode), "rrd", FITS), 30)

    def test_a_masked_reset_throws_away_the_masked_ones_only(self):
        envs = VecLearnedReward(vector_of(AutoresetMode.DISABLED), "oracle")
        envs.reset(seed=0)
        for _ in range(2):
            envs.step(np.zeros(3, int))
        envs.reset(options={"reset_mask": np.array([True, False, False])})
        for _ in range(2):
            envs.step(np.zeros(3, int))
        assert len(envs.store) == 4  # the second copy's episode

    @pytest.mark.parametrize("mode", MODES)
    def test_a_reset_after_an_end_begins_episodes_of_all(self, mode):
        envs = VecLearnedReward(vector_of(mode), "oracle")
        for _ in range(2):
            envs.reset(seed=0)
            paid = [envs.step(np.zeros(3, int))[1].tolist() for _ in range(3)]
            assert paid == [[1.0, -1.0, 0.5], [2.0, -1.0, 0.5], [3.0, -1.0, 0.5]]
        assert len(envs.store) == 6

    def test_the_metadata_of_a_vector_must_tell_its_mode(self):
        envs = vector_of()
        envs.unwrapped.__dict__.pop("autoreset_mode", None)
        envs.metadata = {}
        with pytest.raises(ValueError, match="autoreset_mode'] must be a gymnasium.vector.AutoresetMode, got None"):
            VecLearnedReward(envs, "oracle")

    @pytest.mark.parametrize("id", ["BaggedKeyDoor-v0", "BaggedInvertedPendulum-v0", "BaggedTriangleArea-v0"])
    def test_real_tasks(self, id):
        envs = bagged_envs.make_vec(id, 3, bag_len=(2, 5), max_episode_steps=12)
        envs = VecLearnedReward(envs, "rrd", FITS)
        envs.action_space.seed(0)
        played = play_all(envs, 40, act=envs.action_space.sample)
        assert envs.updates > 10
        assert all(paid != told for slot in played for paid, told, _ in slot[-5:])
        envs.close()


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


def test_composed_spaces_are_features():
    spies = Spy(), Spy()
    play(LearnedReward(BaggedReward(Composed(), bag_len=2), spies[0]), 4, action=(1, np.array([0.5], np.float32)))
    envs = vector.BaggedReward(SyncVectorEnv([Composed], autoreset_mode=AutoresetMode.SAME_STEP), bag_len=2)
    play_all(VecLearnedReward(envs, spies[1]), 4, act=lambda: (np.array([1]), np.full((1, 1), 0.5, np.float32)))
    for left, right in zip(spies[0].relabeled, spies[1].relabeled, strict=True):
        for name in ("observations", "actions", "next_observations", "label", "length", "paid"):
            assert torch.equal(getattr(left, name), getattr(right, name))
    third = spies[0].relabeled[2]
    assert third.observations.flatten().tolist() == [0, 0, 1, 0, 0, 2, 2]
    assert third.next_observations.flatten().tolist() == [0, 0, 0, 1, 0, 3, 3]
    assert third.actions.flatten().tolist() == [0, 1, 0.5]


class TestRefusals:
    @pytest.mark.parametrize("name", sorted(REDISTRIBUTORS))
    def test_what_must_see_a_bag_or_leaves_steps_out(self, name):
        made = REDISTRIBUTORS[name]
        for wrapper, env in ((LearnedReward, delayed()), (VecLearnedReward, vector_of())):
            if made.context == "step" and not made.only_labeled:
                config = program_of(name) or None
                assert wrapper(env, name, config=config).redistributor.name == name
                continue
            with pytest.raises(
                ValueError,
                match=f"got '{name}', which (leaves steps out|must see a step's (label|bag) first): .*BagReplayBuffer",
            ):
                wrapper(env, name)

    @pytest.mark.parametrize(("wrapper", "env"), [(LearnedReward, single()), (VecLearnedReward, several())])
    def test_environments_without_bags(self, wrapper, env):
        with pytest.raises(ValueError, match="got no bag_end and no reward_observed: make an ID with a delay"):
            wrapper(env, "identity").reset(seed=0)

    @pytest.mark.parametrize("wrapper", [LearnedReward, VecLearnedReward])
    def test_other_kinds_of_environments(self, wrapper):
        with pytest.raises(TypeError, match="env must be a Gymnasium"):
            wrapper(agents(), "identity")

    def test_a_limit_outside_the_delay(self):
        env = LearnedReward(gym.wrappers.TimeLimit(delayed([episode([1.0] * 9)]), 3), "oracle")
        with pytest.raises(
            ValueError, match="must be True in an episode's last step, got False: put the delay outside"
        ):
            play(env, 3)

    def test_a_redistributor_of_other_sizes(self):
        env = LearnedReward(delayed(), make_redistributor("rrd", 7, 2))
        with pytest.raises(ValueError, match="rrd was made for observations of 7 elements"):
            play(env, 1)


def test_ppo_of_stable_baselines3_trains_with_it():
    config = {**FITS, "warm_up": 64, "every": 64}
    arguments = {"wrapper_class": LearnedReward, "wrapper_kwargs": {"redistributor": "rrd", "config": config}}
    trained = []
    for _ in range(2):
        envs = make_vec_env("bagged_envs:BaggedInvertedPendulum-v0", n_envs=1, seed=0, **arguments)
        model = PPO("MlpPolicy", envs, n_steps=64, batch_size=32, n_epochs=2, seed=0, device="cpu")
        before = [parameter.clone() for parameter in model.policy.parameters()]
        model.learn(256)
        (env,) = envs.envs
        assert isinstance(env, LearnedReward)
        assert env.updates == 8
        assert len(env.store) > 200
        assert isinstance(env.env, Monitor)
        returns = env.env.get_episode_rewards()
        lengths = env.env.get_episode_lengths()
        assert len(returns) > 10
        assert all(length - 1 <= total <= length for total, length in zip(returns, lengths, strict=True))
        assert any(not torch.equal(*pair) for pair in zip(before, model.policy.parameters(), strict=True))
        trained.append(model)
        envs.close()
    for left, right in zip(*(model.policy.parameters() for model in trained), strict=True):
        assert torch.equal(left, right)
