"""Names of methods, and what their parts are made of."""

import pytest
from gymnasium.spaces import Box

from bagged_envs.baselines.learners.sac import SAC
from bagged_envs.baselines.learners.td3 import DDPG, TD3
from bagged_envs.baselines.methods import LEARNERS, Method

ACTIONS = Box(-1, 1, (2,))


def test_a_name_has_two_parts():
    method = Method.named("rrd_unbiased-sac", {"bags": 2}, {"tau": 0.5})
    assert (method.redistributor, method.learner, method.name) == ("rrd_unbiased", "sac", "rrd_unbiased-sac")
    learner = method.make_learner(3, ACTIONS, seed=0)
    assert isinstance(learner, SAC)
    assert (learner.config.tau, learner.config.discount) == (0.5, 0.99)


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_has_a_discount_and_one_that_looks_at_no_reward_has_1(learner):
    assert Method.named(f"rd-{learner}").discount == (1.0 if learner == "bc" else 0.99)
    if learner != "bc":
        assert Method.named(f"rd-{learner}", learner={"discount": 0.5}).discount == 0.5


def test_ddpg_is_td3_with_other_settings():
    learner = Method.named("identity-ddpg").make_learner(3, ACTIONS, seed=0)
    assert isinstance(learner, TD3)
    assert learner.config == DDPG


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rrd", "method must be <redistributor>-<learner>, such as rrd-td3, got 'rrd'"),
        ("rdr-td3", "redistributor must be one of .* got 'rdr'. Did you mean"),
        ("rrd-td4", "learner must be one of 'td3', 'ddpg', .*'ippo', 'mappo', 'qmix', got 'td4'. Did you mean 'td3'"),
    ],
)
def test_unknown_names_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        Method.named(name)


@pytest.mark.parametrize("learner", LEARNERS)
def test_unknown_settings_of_a_learner_are_refused(learner):
    with pytest.raises(ValueError, match=f"A setting of '{learner}' must be one of .* got 'discont'"):
        Method.named(f"rrd-{learner}", None, {"discont": 1.0}).make_learner(3, ACTIONS, seed=0)
