"""Every setting of every configuration refuses what cannot be meant."""

import math
from dataclasses import fields, replace
from typing import get_args, get_origin, get_type_hints

import pytest

from bagged_envs.baselines.methods import LEARNERS
from bagged_envs.baselines.offline import OfflineConfig
from bagged_envs.baselines.redistributors import REDISTRIBUTORS, config_class
from bagged_envs.baselines.settings import ANY_SIGN, AT_MOST_ONE
from bagged_envs.baselines.team_training import TeamConfig
from bagged_envs.baselines.training import TrainingConfig

CONFIGS = {row.config.__class__: row.config for row in LEARNERS.values()}
CONFIGS |= {config_class(name): config_class(name)() for name in REDISTRIBUTORS}
CONFIGS[TrainingConfig] = TrainingConfig()
CONFIGS[OfflineConfig] = OfflineConfig()
CONFIGS[TeamConfig] = TeamConfig(decay_steps=9)
SETTINGS = [(config, field.name) for config in CONFIGS.values() for field in fields(config)]
each_setting = pytest.mark.parametrize(
    ("config", "name"), SETTINGS, ids=[f"{type(c).__name__}.{n}" for c, n in SETTINGS]
)


def hint_of(config, name):
    return get_type_hints(type(config))[name]


@each_setting
def test_a_value_of_another_type_is_refused_by_name(config, name):
    for value in ({"a": 1}, [64], object()):
        with pytest.raises((TypeError, ValueError), match=rf"^{name} must be .* got "):
            replace(config, **{name: value})


@each_setting
def test_numbers_out_of_range_are_refused_by_name(config, name):
    hint = hint_of(config, name)
    if hint is bool or hint is str or get_origin(hint) not in (None, tuple) and not {int, float} & {*get_args(hint)}:
        wrong = [] if str in (hint, *get_args(hint)) else ["no such word"]
    elif get_origin(hint) is tuple:
        wrong = [64, (math.nan,) * 2, ("a", "b")]
    else:
        wrong = [math.nan, math.inf, "a", *([] if name in ANY_SIGN else [-1]), *([1.5] if name in AT_MOST_ONE else [])]
        wrong += [1.5] if hint is int else []
    for value in wrong:
        with pytest.raises((TypeError, ValueError), match=rf"^{name} must be "):
            replace(config, **{name: value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("discount", 99.0, "discount must be at least 0 and at most 1, got 99.0"),
        ("exploration_noise", -1, "exploration_noise must be at least 0, got -1"),
        ("max_grad_norm", 0, "max_grad_norm must be above 0, got 0"),
        ("critic_learning_rate", -1e-4, "critic_learning_rate must be at least 0"),
        ("hidden", 64, r"of ints, got 64 of type int: write hidden=\(64,\), or hidden=\[64\] on the command line\.$"),
        ("hidden", 6.4, r"hidden must be a tuple of ints, got 6.4 of type float\.$"),
        ("hidden", (64, 0), "hidden must be at least 1, got 0"),
        ("tau", "a", "tau must be a number, got 'a' of type str"),
        ("critics", True, "critics must be an int of at least 1, got True"),
    ],
)
def test_what_is_said(name, value, message):
    with pytest.raises((TypeError, ValueError), match=message):
        replace(LEARNERS["td3"].config, **{name: value})


def test_what_may_be_zero_negative_or_none():
    assert replace(TrainingConfig(), random_steps=0).random_steps == 0
    sac = replace(LEARNERS["sac"].config, target_entropy_per_action=-2, log_std_range=(-3.0, 0.5), max_grad_norm=1)
    assert (sac.target_entropy_per_action, sac.log_std_range, sac.max_grad_norm) == (-2, (-3.0, 0.5), 1)
    td3 = replace(LEARNERS["td3"].config, target_noise=0, discount=1, max_grad_norm=None, critic_weight_decay=0.0)
    assert (td3.target_noise, td3.discount, td3.max_grad_norm, td3.critic_weight_decay) == (0, 1, None, 0.0)
    assert replace(config_class("rrd")(), warm_up=0).warm_up == 0
