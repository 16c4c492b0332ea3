"""Rewards of a redistributor that breaks its promises are never paid, whoever asks for them."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from bagged_envs.baselines.api import Sampling, Schedule
from bagged_envs.baselines.judging.case import step_function
from bagged_envs.baselines.judging.fit import predictions
from bagged_envs.baselines.learned_reward import LearnedReward
from bagged_envs.baselines.promises import relabeled
from bagged_envs.baselines.random_bags import bags_of
from bagged_envs.baselines.store import EpisodeStore
from tests.baselines.replay import Spy, Stream, buffer_of, feed
from tests.baselines.trajectories import trajectory

BROKEN = {
    "nan": (lambda rewards: rewards * float("nan"), FloatingPointError, "must return finite rewards, got nan"),
    "inf": (lambda rewards: rewards / 0, FloatingPointError, "must return finite rewards, got"),
    "float64": (lambda rewards: rewards.double(), TypeError, "a detached float32 tensor, got torch.float64"),
    "gradients": (
        lambda rewards: rewards + torch.zeros(1, requires_grad=True),
        TypeError,
        "a detached float32 tensor, got torch.float32 with gradients",
    ),
    "numpy": (lambda rewards: rewards.numpy(), TypeError, "a detached float32 tensor, got ndarray"),
    "narrow": (lambda rewards: rewards[:, :1, :1].sum(dim=1, keepdim=True)[:, :, 0], ValueError, r"\d\] rewards, got"),
    "wide": (lambda rewards: torch.cat((rewards, rewards), dim=2), ValueError, r"\d\] rewards, got"),
    "one": (lambda rewards: rewards[:1, :1].sum()[None, None, None, None], ValueError, r"rewards, got \[1, 1, 1, 1\]"),
}


class Broken(Spy):
    """A spy whose rewards are changed."""

    name = "broken"

    def __init__(self, change, **arguments):
        super().__init__(Sampling(bags=2), Schedule(every=3), **arguments)
        self.change = change

    def relabel(self, batch):
        return self.change(super().relabel(batch) + 1.0)


def stored(redistributor, relabel):
    store = EpisodeStore(20, 2, 1)
    store.add(trajectory([2, 3]))
    return relabel(store, redistributor)


def in_a_buffer(redistributor):
    buffer, stream = buffer_of(redistributor), Stream(0, 1)
    feed(buffer, [stream], 30)
    return buffer.sample(4)


def online(redistributor):
    env = LearnedReward(gym.make("BaggedInvertedPendulum-v0", bag_len=3), redistributor)
    env.reset(seed=0)
    for _ in range(60):
        if any(env.step(np.zeros(1, np.float32))[2:4]):
            env.reset()
    env.close()


ASKING = {
    "a step of the store": ({}, lambda one: stored(one, lambda store, who: store.relabel(who, np.arange(2)))),
    "a bag of the store": (
        {"context": "bag"},
        lambda one: stored(one, lambda store, who: store.relabel(who, np.arange(2))),
    ),
    "all of the store": ({"stored": True}, lambda one: stored(one, lambda store, who: store.relabel_all(who))),
    "predictions": ({}, lambda one: stored(one, lambda store, who: predictions(who, store))),
    "a function of steps": ({}, lambda one: step_function(one)(np.zeros((3, 2)), np.zeros((3, 1)), np.zeros((3, 2)))),
    "a step of a buffer": ({}, in_a_buffer),
    "a bag of a buffer": ({"context": "bag"}, in_a_buffer),
    "a buffer that stores": ({"context": "bag", "stored": True}, in_a_buffer),
    "an environment": ({}, online),
}


@pytest.mark.parametrize("asking", ASKING)
@pytest.mark.parametrize("broken", BROKEN)
def test_who_asks_is_told(broken, asking):
    (change, error, message), (arguments, ask) = BROKEN[broken], ASKING[asking]
    ask(Broken(lambda rewards: rewards, **arguments))
    with pytest.raises(error, match=message):
        ask(Broken(change, **arguments))


def test_the_rewards_are_as_they_came():
    batch, spy = bags_of([2, 3]), Spy()
    assert torch.equal(relabeled(spy, batch), spy.relabel(batch))


def test_the_message_names_who_and_what_and_the_remedy():
    with pytest.raises(
        FloatingPointError,
        match=r"relabel\(\) of the redistributor 'broken' must return finite rewards, got inf among 6 "
        r"\(1 not finite\): "
        "see bagged_envs.baselines.check.check_redistributor.",
    ):
        relabeled(Broken(lambda rewards: rewards.index_fill(0, torch.tensor(0), np.inf)[:, :1]), bags_of([1] * 6))
