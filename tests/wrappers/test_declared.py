"""DeclaredBags: borders from an info key or a callable, rewards left alone."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode

from bagged_envs.testing import ScriptedEnv, episode, scripted_vector
from bagged_envs.wrappers import DeclaredBags, vector

REWARDS = [0.0, 0.0, 6.0, 0.0, -1.0]


class Telling(ScriptedEnv):
    """Says in info that a bag closed, in every third step."""

    def _info(self, reward):
        return {"paid": self._step % 3 == 0 and self._step > 0}


def third(observation, info):
    return observation[1] % 3 == 0


def told(env):
    env.reset(seed=0)
    return [(step[1], step[4]["bag_end"], step[4]["reward_observed"]) for step in [env.step(0) for _ in REWARDS]]


EXPECTED = [(0.0, False, False), (0.0, False, False), (6.0, True, True), (0.0, False, False), (-1.0, True, True)]


@pytest.mark.parametrize(("env", "closes"), [(Telling, "paid"), (ScriptedEnv, third)])
def test_borders_are_declared_and_the_end_of_an_episode_is_one(env, closes):
    assert told(DeclaredBags(env([episode(REWARDS)]), closes)) == EXPECTED


def test_rewards_pass_through_as_they_are():
    odd = object()
    env = DeclaredBags(ScriptedEnv([episode([odd])]), third)
    _, info = env.reset()
    assert (info["bag_end"], info["reward_observed"]) == (False, False)
    assert env.step(0)[1] is odd


def test_a_key_that_is_missing_is_named():
    env = DeclaredBags(ScriptedEnv([episode(REWARDS)]), "paid")
    env.reset()
    with pytest.raises(ValueError, match="closes='paid' is not in the info of this step, which has \\['step'\\]"):
        env.step(0)
    with pytest.raises(gym.error.ResetNeeded, match="the last step failed"):
        env.step(0)


def test_with_a_key_its_spec_survives_json():
    env = DeclaredBags(gym.make("CartPole-v1"), "paid")
    again = EnvSpec.from_json(env.spec.to_json())
    assert again.additional_wrappers[-1].kwargs == {"closes": "paid"}


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("closes", ["step", third])
def test_vector_environments_agree_with_single_ones(mode, closes):
    """Two slots of different lengths; the key "step" is true in every step but at reset."""
    scripts = [[episode(REWARDS)], [episode(REWARDS[:4], terminated=False, truncated=True)]]
    rule = closes if isinstance(closes, str) else (lambda observations, infos: observations[:, 1] % 3 == 0)
    envs = vector.DeclaredBags(scripted_vector(scripts, mode), rule)
    singles = [DeclaredBags(ScriptedEnv(script), closes) for script in scripts]
    _, infos = envs.reset(seed=0)
    assert infos["bag_end"].tolist() == [False, False]
    for slot, env in enumerate(singles):
        env.reset(seed=slot)
    resetting = np.zeros(2, dtype=bool)
    for _ in range(12):
        _, rewards, terminated, truncated, infos = envs.step(np.zeros(2, dtype=int))
        done = terminated | truncated
        for slot, env in enumerate(singles):
            if resetting[slot] and mode is AutoresetMode.NEXT_STEP:
                env.reset()
                assert not infos["bag_end"][slot]
                continue
            _, reward, *_, info = env.step(0)
            same_step = done[slot] and mode is AutoresetMode.SAME_STEP
            place = infos["final_info"] if same_step else infos
            assert rewards[slot] == reward
            for key in ("bag_end", "reward_observed"):
                assert place[key][slot] == info[key]
            if done[slot] and mode is not AutoresetMode.NEXT_STEP:
                env.reset()
        if mode is AutoresetMode.DISABLED and done.any():
            envs.reset(options={"reset_mask": done})
        resetting = done


def test_a_vector_key_that_is_missing_is_named_and_the_episode_cannot_go_on():
    envs = vector.DeclaredBags(scripted_vector([[episode(REWARDS)]]), "paid")
    envs.reset(seed=0)
    with pytest.raises(ValueError, match="closes='paid' is not in the info"):
        envs.step(np.zeros(1, dtype=int))
    with pytest.raises(gym.error.ResetNeeded, match="the last step failed"):
        envs.step(np.zeros(1, dtype=int))


class _NumPys(gym.Wrapper):
    """Says "paid" with NumPy's bools, of which Gymnasium's vectors make an array of objects."""

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, {**info, "paid": self.word(observation[1] % 2 == 0)}

    word = np.bool_


def test_a_vector_takes_the_bools_that_a_single_one_takes():
    envs = gym.vector.SyncVectorEnv([lambda: _NumPys(ScriptedEnv([episode(REWARDS)]))] * 2)
    envs, single = vector.DeclaredBags(envs, "paid"), DeclaredBags(_NumPys(ScriptedEnv([episode(REWARDS)])), "paid")
    envs.reset(seed=0)
    single.reset(seed=0)
    wanted = [single.step(0)[-1]["bag_end"] for _ in REWARDS]
    assert [envs.step(np.zeros(2, dtype=int))[-1]["bag_end"].tolist() for _ in REWARDS] == [[end] * 2 for end in wanted]
    assert len(set(wanted)) == 2


def test_a_vector_key_that_is_no_bool_is_named(monkeypatch):
    monkeypatch.setattr(_NumPys, "word", staticmethod(lambda paid: "yes"))
    envs = vector.DeclaredBags(gym.vector.SyncVectorEnv([lambda: _NumPys(ScriptedEnv([episode(REWARDS)]))]), "paid")
    envs.reset(seed=0)
    with pytest.raises(TypeError, match=r"infos\['paid'\]\[0\] must be True or False, got 'yes' of type str"):
        envs.step(np.zeros(1, dtype=int))


def test_a_slot_that_is_reset_says_nothing():
    lengths = [2, len(REWARDS)]  # when the first is reset, the second goes on
    envs = vector.DeclaredBags(
        gym.vector.SyncVectorEnv([lambda n=n: _NumPys(ScriptedEnv([episode(REWARDS[:n])] * 2)) for n in lengths]),
        "paid",
    )
    envs.reset(seed=0)
    steps = [envs.step(np.zeros(2, dtype=int))[-1] for _ in range(3)]
    assert steps[2]["paid"].dtype == object
    assert steps[2]["paid"][0] is None
    assert not steps[2]["bag_end"][0]


def test_a_vector_key_that_is_none_while_an_episode_runs_is_named(monkeypatch):
    monkeypatch.setattr(_NumPys, "word", staticmethod(lambda paid: None))
    envs = vector.DeclaredBags(gym.vector.SyncVectorEnv([lambda: _NumPys(ScriptedEnv([episode(REWARDS)]))] * 2), "paid")
    envs.reset(seed=0)
    with pytest.raises(TypeError, match=r"infos\['paid'\]\[0\] must be True or False, got None of type NoneType"):
        envs.step(np.zeros(2, dtype=int))


@pytest.mark.parametrize("mode", list(gym.vector.AutoresetMode)[:2])
def test_a_rule_is_asked_of_running_slots_only_as_a_key_is(mode):
    """Infos of NumPy's bools have None where no episode runs."""
    lengths = [2, len(REWARDS)]

    def said(closes):
        made = [lambda n=n: _NumPys(ScriptedEnv([episode(REWARDS[:n])] * 3)) for n in lengths]
        envs = vector.DeclaredBags(gym.vector.SyncVectorEnv(made, autoreset_mode=mode), closes)
        envs.reset(seed=0)
        return [envs.step(np.zeros(2, dtype=int))[-1]["bag_end"].tolist() for _ in range(4)]

    assert said(lambda observations, infos: infos["paid"]) == said("paid")


def test_a_vector_rule_that_returns_objects_answers_for_every_running_slot():
    answer = np.array([np.True_, None], dtype=object)
    envs = vector.DeclaredBags(scripted_vector([[episode(REWARDS)]] * 2), lambda observations, infos: answer)
    envs.reset(seed=0)
    with pytest.raises(TypeError, match=r"what closes returned\[1\] must be True or False, got None"):
        envs.step(np.zeros(2, dtype=int))


def test_a_vector_rule_must_return_one_bool_per_environment():
    envs = vector.DeclaredBags(scripted_vector([[episode(REWARDS)]] * 2), lambda observations, infos: True)
    envs.reset(seed=0)
    with pytest.raises(TypeError, match="what closes returned must be bools of shape \\(2,\\), got shape \\(\\)"):
        envs.step(np.zeros(2, dtype=int))
