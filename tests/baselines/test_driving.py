"""Driving a redistributor by its schedule."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from bagged_envs.baselines.api import Sampling, Schedule
from bagged_envs.baselines.driving import Cadence, Driver
from bagged_envs.baselines.random_bags import ACTION, OBSERVATION, bags_of, drawn
from bagged_envs.baselines.redistributors.rrd import RRD, RRDConfig
from tests.baselines.replay import Spy

SIZES = (OBSERVATION, ACTION)


def test_every_step_by_default():
    cadence = Cadence(Schedule())
    assert [cadence.due(steps) for steps in (1, 2, 5, 5)] == [1, 1, 3, 0]


def test_a_burst_stands_at_each_multiple_from_the_warm_up_on():
    cadence = Cadence(Schedule(every=4, updates=3, warm_up=8))
    assert [cadence.due(steps) for steps in range(1, 14)] == [0] * 7 + [3, 0, 0, 0, 3, 0]


def test_several_environments_may_jump_over_some():
    cadence = Cadence(Schedule(every=4, updates=3, warm_up=6, first=10))
    assert [cadence.due(steps) for steps in (7, 14, 21, 23, 28)] == [0, 13, 6, 0, 6]


def test_what_is_due_without_bags_is_left_out_and_the_first_is_not():
    cadence = Cadence(Schedule(every=2, updates=1, first=5))
    due = [cadence.due(2, False), cadence.due(4, False), cadence.due(5), cadence.due(6), cadence.due(8)]
    assert due == [0, 0, 0, 5, 1]


def test_a_driver_updates_and_averages():
    spy = Spy(Sampling(bags=2), Schedule(every=2, updates=2))
    driver, wanted = Driver(spy, None, *SIZES, 0, "cpu"), []
    batch = bags_of([2, 3])

    def draw(sampling):
        wanted.append(sampling)
        return batch

    assert not driver.drive(1, draw, True)
    assert (driver.updates, driver.metrics) == (0, {})
    assert driver.drive(2, draw, True)
    assert not driver.drive(4, draw, False)
    assert driver.drive(6, draw, True)
    assert driver.updates == 4
    assert driver.metrics == {"labeled": 2.0, "number": 3.5}
    assert wanted == [Sampling(bags=2)] * 4
    assert all(shown is batch for shown in spy.updated)


def test_a_metric_that_is_given_now_and_then_is_averaged_over_when_it_is():
    spy, told = Spy(Sampling(bags=2), Schedule(updates=4)), [{"a": 1.0}, {"a": 2.0, "b": 5.0}, {"b": 7.0}, {"a": 6.0}]
    spy.update = lambda batch: told.pop(0)
    driver = Driver(spy, None, *SIZES, 0, "cpu")
    driver.drive(1, lambda sampling: bags_of([2, 3]), True)
    assert driver.metrics == {"a": 3.0, "b": 6.0}


@pytest.mark.parametrize(
    ("kind", "settings", "error", "message"),
    [
        (Schedule, {"every": 0}, ValueError, "every must be an int of at least 1, got 0"),
        (Schedule, {"every": 2.5}, TypeError, "every must be an int"),
        (Schedule, {"updates": 0}, ValueError, "updates must be"),
        (Schedule, {"warm_up": -1}, ValueError, "warm_up must be at least 0"),
        (Schedule, {"first": 0}, ValueError, "first must be"),
        (Schedule, {"refresh": 0}, ValueError, "refresh must be"),
        (Sampling, {"bags": 0}, ValueError, "bags must be"),
        (Sampling, {"bags": 1, "steps": 0}, ValueError, "steps must be"),
        (Sampling, {"bags": 1, "history": -1}, ValueError, "history must be at least 0"),
        (Sampling, {"bags": 1, "enough": 0.5}, TypeError, "enough must be"),
        (Sampling, {"bags": 1, "weight": "len"}, ValueError, "weight must be one of .*got 'len'"),
    ],
)
def test_what_cannot_be_scheduled_or_drawn_is_refused(kind, settings, error, message):
    with pytest.raises(error, match=message):
        kind(**settings)


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), ("a", TypeError)])
def test_a_seed_is_named(seed, error):
    with pytest.raises(error, match="seed must be an int from 0"):
        Driver("rrd", None, *SIZES, seed, "cpu")


def test_fitted_once_updated_or_ready_or_with_nothing_to_learn():
    assert Driver(Spy(Sampling(bags=2)), None, *SIZES, 0, "cpu").fitted
    assert Driver("uniform", None, *SIZES, 0, "cpu").fitted
    driver = Driver("rrd", {"warm_up": 0, "every": 1, "updates": 1, "steps": 2}, *SIZES, 0, "cpu")
    assert not driver.fitted
    assert driver.drive(1, lambda sampling: drawn(bags_of([3, 4]), sampling), True)
    assert driver.fitted
    assert driver.metrics["labeled"] == 2.0


def test_nothing_to_learn_is_never_updated():
    driver = Driver(Spy(), None, *SIZES, 0, "cpu")
    assert not driver.drive(5, lambda sampling: bags_of([1]), True)
    assert driver.redistributor.updated == []


def test_settings_come_as_a_mapping_or_their_dataclass_and_the_seed_counts():
    made = [
        Driver("rrd", config, *SIZES, seed, "cpu").redistributor
        for config, seed in (({"bags": 7, "hidden": (4,)}, 3), (RRDConfig(bags=7, hidden=(4,)), 3), ({"bags": 7}, 4))
    ]
    assert [one.sampling.bags for one in made] == [7, 7, 7]
    rewards = [one.relabel(bags_of([3])) for one in made]
    assert torch.equal(rewards[0], rewards[1])
    assert not torch.equal(rewards[0], rewards[2])


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(ValueError, match="redistributor must be one of .* got 'rdd'.* Did you mean 'rd'"):
        Driver("rdd", None, *SIZES, 0, "cpu")
    with pytest.raises(ValueError, match="A setting of 'rrd' must be one of"):
        Driver("rrd", {"bag": 3}, *SIZES, 0, "cpu")
    with pytest.raises(TypeError, match="config must be a mapping of settings, their dataclass, or None, got 3"):
        Driver("rrd", 3, *SIZES, 0, "cpu")
    with pytest.raises(
        TypeError, match="redistributor must be a name, or an object .*: it has no name, context, stored"
    ):
        Driver(ValueError("x"), None, *SIZES, 0, "cpu")
    with pytest.raises(TypeError, match="pass an object of this class"):
        Driver(RRD, None, *SIZES, 0, "cpu")
    with pytest.raises(ValueError, match="needs a redistributor by its name, got a ready 'spy'"):
        Driver(Spy(), {"bags": 3}, *SIZES, 0, "cpu")


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
def test_it_learns_though_the_environment_is_stepped_without_gradients(without):
    driver = Driver("rrd", {"warm_up": 0, "every": 1, "updates": 1, "steps": 2}, *SIZES, 0, "cpu")
    with without():
        assert driver.drive(1, lambda sampling: drawn(bags_of([3, 4]), sampling), True)
        assert torch.is_grad_enabled() is False
    assert driver.drive(2, lambda sampling: drawn(bags_of([3, 4]), sampling), True)


def test_a_schedule_of_ones_own_has_fields_of_its_own():
    @dataclass(frozen=True)
    class Mine(Schedule):
        when: Callable[[int], bool] | None = None
        offset: int = 0

    assert Mine(every=3).offset == 0
    with pytest.raises(ValueError, match="every must be"):
        Mine(every=0)
