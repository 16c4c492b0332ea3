"""When `step` may be called, what a copy is, and that nothing handed out or taken in is shared."""

import copy
import pickle

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.vector import AutoresetMode

import bagged_envs
from bagged_envs.testing import ScriptedEnv, episode, scripted_vector
from bagged_envs.testing.scripted_parallel import ScriptedParallelEnv
from bagged_envs.wrappers import (
    BaggedReward,
    DeclaredBags,
    EpisodicReward,
    NonFiniteRewardError,
    PartiallyLabeledReward,
    SparseReward,
    parallel,
    vector,
)

NEXT, SAME, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
SCRIPT = [episode([0.1, 0.7, 1.3, -2.0, 0.3, 5.1]), episode([1.1, 0.2, 0.3, 0.4], terminated=False, truncated=True)]
TWO = {"a": SCRIPT[0], "b": SCRIPT[1]}


def odd_step(observation, info):
    """A rule of `DeclaredBags` that can be pickled."""
    return info["step"] % 2 == 1


def odd_steps(observations, infos):
    return infos["step"] % 2 == 1


def never(observation, info):
    return False


def base():
    return ScriptedEnv(SCRIPT, leak=True)


def several(mode):
    return scripted_vector([SCRIPT, SCRIPT[::-1]], mode)


RANDOM = {"bag_len": (1, 3), "label_fraction": 0.5}
SINGLE = {
    "bagged": lambda: BaggedReward(base(), 4, reward_info_keys=["reward_forward"]),
    "episodic": lambda: EpisodicReward(base(), observe_bag=True),
    "partially labeled": lambda: PartiallyLabeledReward(base(), **RANDOM),
    "sparse": lambda: SparseReward(base(), "return", 5.0, expose_reward=True),
    "declared": lambda: DeclaredBags(base(), odd_step),
}
VECTOR = {
    f"{kind} {mode.name}": lambda wrap=wrap, mode=mode: wrap(several(mode))
    for mode in (NEXT, SAME, DISABLED)
    for kind, wrap in (
        ("bagged vector", lambda envs: vector.BaggedReward(envs, 4, observe_bag=True)),
        ("partially labeled vector", lambda envs: vector.PartiallyLabeledReward(envs, **RANDOM)),
        ("declared vector", lambda envs: vector.DeclaredBags(envs, odd_steps)),
    )
}
AGENTS = {
    "agents": lambda: parallel.PartiallyLabeledReward(ScriptedParallelEnv(TWO), **RANDOM),
    "team": lambda: parallel.BaggedReward(ScriptedParallelEnv(TWO), 4, team_reward="sum"),
    "declared agents": lambda: parallel.DeclaredBags(ScriptedParallelEnv(TWO), never),
}
FORMS = {**SINGLE, **VECTOR, **AGENTS}
COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda env: pickle.loads(pickle.dumps(env)),
    "cloudpickle": lambda env: cloudpickle.loads(cloudpickle.dumps(env)),
}


def same(left, right):
    """Whether two results are equal to the bit, `final_obs` (an array of arrays and Nones) included."""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (tuple, list)) or (isinstance(left, np.ndarray) and left.dtype == object):
        return len(left) == len(right) and all(map(same, left, right))
    left, right = np.asarray(left), np.asarray(right)
    return left.dtype == right.dtype and np.array_equal(left, right, equal_nan=left.dtype.kind == "f")


def action_of(env):
    if hasattr(env, "possible_agents"):
        return dict.fromkeys(env.agents, 0)
    return np.zeros(env.num_envs, dtype=int) if hasattr(env, "num_envs") else 0


def step(env):
    return env.step(action_of(env))


def ended(env, result):
    """Whether only a reset can follow."""
    if hasattr(env, "possible_agents"):
        return not env.agents
    if hasattr(env, "num_envs"):
        return env.metadata["autoreset_mode"] is DISABLED and (result[2] | result[3]).any()
    return result[2] or result[3]


def roll(env, steps, seed=None):
    """Results of a reset and so many steps; whoever has ended is reset, and that is a result too."""
    results = [env.reset(seed=seed)]
    for _ in range(steps):
        results.append(step(env))
        if ended(env, results[-1]):
            results.append(env.reset())
    return results


def calls(env):
    """How often each scripted environment was stepped."""
    return [one.calls for one in env.unwrapped.envs] if hasattr(env, "num_envs") else [env.unwrapped.calls]


form = pytest.mark.parametrize("form", FORMS)
countable = pytest.mark.parametrize("form", [*SINGLE, *VECTOR])


class TestRefusals:
    @form
    def test_a_step_before_the_first_reset_is_refused(self, form):
        env = FORMS[form]()
        with pytest.raises(ResetNeeded, match=r"no episode has begun. Call reset\(\) first"):
            step(env)
        env.reset(seed=0)
        step(env)

    @form
    def test_step_and_reset_of_a_closed_one_are_refused(self, form):
        env = FORMS[form]()
        env.reset(seed=0)
        step(env)
        action = action_of(env)
        env.close()
        with pytest.raises(ClosedEnvironmentError, match=r"step\(\) was called on a closed environment"):
            env.step(action)
        with pytest.raises(ClosedEnvironmentError, match=r"reset\(\) was called on a closed environment"):
            env.reset(seed=0)

    @form
    def test_closing_before_the_first_reset_closes_too(self, form):
        env = FORMS[form]()
        env.close()
        with pytest.raises(ClosedEnvironmentError):
            env.reset()

    @pytest.mark.parametrize("form", [name for name in FORMS if "NEXT" not in name and "SAME" not in name])
    def test_a_step_after_the_end_is_refused_until_reset(self, form):
        env = FORMS[form]()
        result = env.reset(seed=0) and step(env)
        action = action_of(env)
        while not ended(env, result):
            action = action_of(env)
            result = step(env)
        with pytest.raises(ResetNeeded, match="ended"):
            env.step(action)
        env.reset()
        step(env)

    @countable
    def test_what_is_refused_never_reaches_the_environment(self, form):
        env = FORMS[form]()
        for _ in range(2):
            with pytest.raises(ResetNeeded):
                step(env)
        assert set(calls(env)) == {0}
        env.reset(seed=0)
        step(env)
        env.close()
        with pytest.raises(ClosedEnvironmentError):
            step(env)
        assert set(calls(env)) == {1}

    @form
    def test_after_a_refusal_everything_is_as_in_a_fresh_one(self, form):
        env = FORMS[form]()
        with pytest.raises(ResetNeeded):
            step(env)
        assert same(roll(env, 15, seed=2), roll(FORMS[form](), 15, seed=2))

    @form
    def test_a_reset_in_mid_bag_leaves_nothing_behind(self, form):
        env = FORMS[form]()
        roll(env, 2, seed=1)
        assert same(roll(env, 15, seed=2), roll(FORMS[form](), 15, seed=2))


class Closing:
    """Counts how often it is closed."""

    closed = 0

    def close(self, **arguments):
        self.closed += 1
        self.arguments = arguments


class ClosingEnv(Closing, ScriptedEnv):
    pass


class ClosingVector(Closing, gym.vector.VectorWrapper):
    pass


class ClosingAgents(Closing, ScriptedParallelEnv):
    pass


CLOSING = {
    "single": lambda: BaggedReward(ClosingEnv(SCRIPT)),
    "declared": lambda: DeclaredBags(ClosingEnv(SCRIPT), odd_step),
    "vector": lambda: vector.BaggedReward(ClosingVector(several(NEXT))),
    "declared vector": lambda: vector.DeclaredBags(ClosingVector(several(NEXT)), odd_steps),
    "agents": lambda: parallel.BaggedReward(ClosingAgents(TWO)),
    "declared agents": lambda: parallel.DeclaredBags(ClosingAgents(TWO), never),
}


@pytest.mark.parametrize("form", CLOSING)
def test_closing_twice_closes_the_environment_once(form):
    env = CLOSING[form]()
    env.reset(seed=0)
    inner = env.env
    env.close()
    env.close()
    assert inner.closed == 1


@pytest.mark.parametrize("form", ["vector", "declared vector"])
def test_arguments_of_close_reach_the_vector_environment(form):
    env = CLOSING[form]()
    inner = env.env
    env.close(timeout=3)
    assert inner.arguments == {"timeout": 3}


@pytest.mark.parametrize("form", CLOSING)
def test_a_forgotten_wrapper_does_not_close_what_others_still_use(form):
    env = CLOSING[form]()
    inner = env.env
    del env
    assert inner.closed == 0


class TestCopies:
    """A copy is closed until `reset`: its simulator may have restarted, and a sum carried over would be phantom."""

    @pytest.mark.parametrize("way", COPIES)
    @form
    @pytest.mark.parametrize("steps", [0, 1, 2, 3, 5])
    def test_a_copy_refuses_to_step_until_reset_and_is_then_as_a_fresh_one(self, form, way, steps):
        env = FORMS[form]()
        roll(env, steps, seed=1)
        twin = COPIES[way](env)
        with pytest.raises(ResetNeeded, match="copy or was unpickled"):
            step(twin)
        assert same(roll(twin, 15, seed=2), roll(FORMS[form](), 15, seed=2))

    @pytest.mark.parametrize("way", COPIES)
    @form
    def test_the_original_goes_on_as_if_nobody_had_copied_it(self, form, way):
        env, other = FORMS[form](), FORMS[form]()
        roll(env, 2, seed=1), roll(other, 2, seed=1)
        twin = COPIES[way](env)
        roll(twin, 7, seed=9)
        assert same([step(env), *roll(env, 12)], [step(other), *roll(other, 12)])

    @pytest.mark.parametrize("way", COPIES)
    @form
    def test_a_copy_before_the_first_reset(self, form, way):
        twin = COPIES[way](FORMS[form]())
        with pytest.raises(ResetNeeded):
            step(twin)
        assert same(roll(twin, 15, seed=2), roll(FORMS[form](), 15, seed=2))

    @pytest.mark.parametrize("way", COPIES)
    @form
    def test_a_copy_of_a_copy(self, form, way):
        env = FORMS[form]()
        roll(env, 3, seed=1)
        twin = COPIES[way](COPIES[way](env))
        with pytest.raises(ResetNeeded):
            step(twin)
        assert same(roll(twin, 15, seed=2), roll(FORMS[form](), 15, seed=2))

    @pytest.mark.parametrize("way", COPIES)
    @form
    def test_a_copy_of_a_closed_one_is_closed(self, form, way):
        env = FORMS[form]()
        env.reset(seed=0)
        env.close()
        twin = COPIES[way](env)
        with pytest.raises(ClosedEnvironmentError):
            twin.reset()

    @pytest.mark.parametrize("form", [name for name in VECTOR if "DISABLED" in name])
    def test_a_copy_cannot_begin_with_a_mask_that_leaves_slots_out(self, form):
        env = FORMS[form]()
        roll(env, 2, seed=1)
        twin = copy.deepcopy(env)
        with pytest.raises(ResetNeeded, match="mask"):
            twin.reset(options={"reset_mask": np.array([True, False])})
        twin.reset(seed=2, options={"reset_mask": np.array([True, True])})
        step(twin)

    @pytest.mark.parametrize("way", COPIES)
    @pytest.mark.parametrize("id", ["BaggedReacher-v0", "PartiallyLabeledPendulumSwingup-v0"])
    def test_of_registered_ids(self, id, way):
        arguments = {"bag_len": (2, 5), "max_episode_steps": 9}
        env = gym.make(id, **arguments)
        played(env, 4, seed=1)
        twin = COPIES[way](env)
        with pytest.raises(ResetNeeded):
            twin.step(twin.action_space.sample())
        assert same(played(twin, 15, seed=2), played(gym.make(id, **arguments), 15, seed=2))
        assert twin.schedule == env.schedule


def played(env, steps, seed):
    """Results of random actions, with a reset wherever an episode ends."""
    env.action_space.seed(seed)
    results = [env.reset(seed=seed)]
    for _ in range(steps):
        results.append(env.step(env.action_space.sample()))
        if results[-1][2] or results[-1][3]:
            results.append(env.reset())
    return results


BAD = [[(1.0, False, False), (float("nan"), False, False), (2.0, False, False), (4.0, True, False)], SCRIPT[1]]
ODD = [[(1.0, False, False), (None, False, False), (2.0, False, False), (4.0, True, False)], SCRIPT[1]]


def forgetful(observation, info):
    """A rule that fails in an episode's second step."""
    if observation[1] == 2:
        raise RuntimeError("no idea")
    return False


def forgetful_of_many(observations, infos):
    return np.array([forgetful(observation, infos) for observation in observations])


WRONG = {
    "NaN": (lambda: BaggedReward(ScriptedEnv(BAD), 3), NonFiniteRewardError),
    "NaN at the end": (lambda: BaggedReward(ScriptedEnv([[BAD[0][0], (float("nan"), True, False)]]), 3), ValueError),
    "no number": (lambda: BaggedReward(ScriptedEnv(ODD), 3), TypeError),
    "a criterion": (lambda: SparseReward(ScriptedEnv([episode([1.0, 2.0])]), "distance", 1.0), ValueError),
    "declared": (lambda: DeclaredBags(ScriptedEnv(BAD), forgetful), RuntimeError),
    "vector NaN": (lambda: vector.BaggedReward(scripted_vector([BAD, BAD]), 3), NonFiniteRewardError),
    "declared vector": (lambda: vector.DeclaredBags(scripted_vector([BAD, BAD]), forgetful_of_many), RuntimeError),
    "agents NaN": (
        lambda: parallel.BaggedReward(ScriptedParallelEnv({"a": BAD[0], "b": SCRIPT[0]}), 3),
        NonFiniteRewardError,
    ),
    "declared agents": (lambda: parallel.DeclaredBags(ScriptedParallelEnv(TWO), forgetful), RuntimeError),
}


class TestFailedSteps:
    @pytest.mark.parametrize("form", WRONG)
    def test_a_step_after_a_failed_one_is_refused_until_reset(self, form):
        make, error = WRONG[form]
        env = make()
        env.reset(seed=0)
        step(env)
        with pytest.raises(error):
            step(env)
        with pytest.raises(ResetNeeded):
            step(env)
        env.reset(seed=0)
        step(env)

    def test_the_next_episode_is_clean(self):
        env = BaggedReward(ScriptedEnv(BAD), 3)
        env.reset(seed=0)
        step(env)
        with pytest.raises(NonFiniteRewardError):
            step(env)
        env.reset()
        assert [step(env)[1] for _ in range(4)] == [0.0, 0.0, 1.1 + 0.2 + 0.3, 0.4]

    def test_a_failed_step_leaves_a_vectors_other_slots_whole_after_reset(self):
        envs = vector.BaggedReward(scripted_vector([BAD, SCRIPT]), 3)
        envs.reset(seed=0)
        step(envs)
        with pytest.raises(NonFiniteRewardError, match="slot 0"):
            step(envs)
        envs.reset()
        assert [step(envs)[1].tolist() for _ in range(3)] == [[0.0] * 2, [0.0] * 2, [1.1 + 0.2 + 0.3] * 2]

    def test_an_action_that_the_environment_refuses_is_no_step(self):
        env = BaggedReward(Picky(SCRIPT), 3)
        env.reset(seed=0)
        env.step(0)
        with pytest.raises(ValueError, match="not that"):
            env.step(1)
        assert [env.step(0)[1] for _ in range(2)] == [0.0, 0.1 + 0.7 + 1.3]


class Picky(ScriptedEnv):
    def step(self, action):
        if action == 1:
            raise ValueError("not that")
        return super().step(action)


class TestNothingIsShared:
    @form
    def test_what_was_returned_stays_as_it_was_fifty_steps_later(self, form):
        env = FORMS[form]()
        results = roll(env, 10, seed=1)
        kept = copy.deepcopy(results)
        roll(env, 50)
        assert same(results, kept)

    @form
    def test_scribbling_on_what_was_returned_changes_nothing_that_follows(self, form):
        env, other = FORMS[form](), FORMS[form]()
        scribble(env.reset(seed=1)), other.reset(seed=1)
        for _ in range(3):
            mine, theirs = step(env), step(other)
            assert same(mine, theirs)
            scribble(mine)
        assert same(roll(env, 12), roll(other, 12))

    @pytest.mark.parametrize("form", ["bagged", "episodic", "partially labeled", "sparse", "declared"])
    def test_an_environments_own_info_dict_is_left_alone(self, form):
        env = SINGLE[form]()
        keeper = Keeper(env.env)
        env.env = keeper
        roll(env, 25, seed=0)
        keeper.check(28)

    @pytest.mark.parametrize("mode", [NEXT, SAME, DISABLED])
    @pytest.mark.parametrize("kind", ["delayed", "declared"])
    def test_a_vector_environments_own_infos_are_left_alone(self, kind, mode):
        keeper = VectorKeeper(several(mode))
        if kind == "declared":
            env = vector.DeclaredBags(keeper, odd_steps)
        else:
            env = vector.SparseReward(keeper, "return", 1.0, reward_info_keys=["step"], observe_bag=True)
        roll(env, 25, seed=0)
        keeper.check(26)
        assert (mode is SAME) == any("final_info" in infos for infos, _ in keeper.infos)


class Kept:
    """Remembers every info dict it returned, and what was in it then."""

    def reset(self, **arguments):
        return self._keep(super().reset(**arguments))

    def step(self, action):
        return self._keep(super().step(action))

    def _keep(self, result):
        self.infos = [*getattr(self, "infos", []), (result[-1], copy.deepcopy(result[-1]))]
        return result

    def check(self, at_least):
        assert len(self.infos) >= at_least
        for infos, kept in self.infos:
            assert same(infos, kept)


class Keeper(Kept, gym.Wrapper):
    pass


class VectorKeeper(Kept, gym.vector.VectorWrapper):
    pass


def scribble(value):
    """Overwrite everything that can be."""
    if isinstance(value, dict):
        for part in value.values():
            scribble(part)
        value.clear()
    elif isinstance(value, (tuple, list)):
        for part in value:
            scribble(part)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        value[...] = 1


class TestOneStepIsOneStep:
    @pytest.mark.parametrize("form", SINGLE)
    def test_of_a_single_environment(self, form):
        env = SINGLE[form]()
        roll(env, 37, seed=0)
        assert calls(env) == [37]

    @pytest.mark.parametrize("form", VECTOR)
    def test_of_a_vector_environment(self, form):
        env, plain = VECTOR[form](), several(AutoresetMode[form.split()[-1]])
        roll(env, 37, seed=0), roll(plain, 37, seed=0)
        assert calls(env) == calls(plain)
        assert min(calls(env)) > 25

    def test_of_a_registered_id(self):
        env = bagged_envs.wrappers.BaggedReward(gym.wrappers.TimeLimit(base(), 3), 2)
        roll(env, 21, seed=0)
        assert calls(env) == [21]
