"""On-policy learning: every step once, in the order of time, as soon as its reward can be known."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from bagged_envs.baselines.checkpoint import fingerprint
from bagged_envs.baselines.redistributors import make_redistributor
from bagged_envs.baselines.rollouts import Rollouts
from bagged_envs.baselines.store import EpisodeStore
from tests.baselines.trajectories import trajectory


class Told:
    """A learner that notes its rollouts; probabilities say which step it was, and by which policy it was judged."""

    def __init__(self):
        self.rollouts, self.judged = [], []

    def log_probs(self, observations, actions):
        self.judged.append(len(observations))
        return observations[:, 0] * 1000 + observations[:, 1] + len(self.rollouts) / 10

    def update(self, batch):
        self.rollouts.append(batch)
        return {"loss": 0.0}


def rollouts(name="uniform"):
    store = EpisodeStore.for_spaces(Box(-99, 99, (2,)), Box(-99, 99, (1,)), capacity=100)
    redistributor = make_redistributor(name, 2, 1)
    return Rollouts(Told(), redistributor, store, "cpu")


def steps(batch):
    """Which steps of which episodes a rollout has."""
    return [tuple(row) for row in batch.observations.int().tolist()]


def test_an_open_bag_waits_and_its_steps_keep_the_probabilities_they_had():
    made = rollouts()
    learner = made._learner
    made.add(trajectory([2, 1], 1, terminated=True))
    made.learn(trajectory([1, 3], 2, closed=False))
    first = learner.rollouts[0]
    assert steps(first) == [(1, 0), (1, 1), (1, 2), (2, 0)]
    assert first.rewards.tolist() == pytest.approx([50.05, 50.05, 101.1, 200.1])
    assert first.last.tolist() == [0, 0, 1, 1]
    assert first.terminated.tolist() == [0, 0, 1, 0]
    assert first.log_probs.tolist() == [1000, 1001, 1002, 2000]
    assert first.next_observations[2].tolist() == [1, 3]
    made.learn(trajectory([1, 5, 2], 2, closed=False))
    second = learner.rollouts[1]
    assert steps(second) == [(2, 1), (2, 2), (2, 3), (2, 4), (2, 5)]
    assert second.rewards.tolist() == pytest.approx([201.1 / 5] * 5)
    assert second.log_probs.tolist() == pytest.approx([2001, 2002, 2003, 2004.1, 2005.1])  # the first three are older
    assert second.last.tolist() == [0, 0, 0, 0, 1]
    made.add(trajectory([1, 5, 3], 2))
    made.learn(None)
    third = learner.rollouts[2]
    assert steps(third) == [(2, 6), (2, 7), (2, 8)]
    assert third.log_probs.tolist() == pytest.approx([2006.1, 2007.1, 2008.2])
    made.add(trajectory([1], 3))
    made.learn(None)
    assert steps(learner.rollouts[3]) == [(3, 0)]
    assert learner.rollouts[3].log_probs.tolist() == pytest.approx([3000.3])


@pytest.mark.parametrize("name", ["identity", "rrd"])
def test_a_method_of_single_steps_does_not_wait(name):
    made = rollouts(name)
    made.learn(trajectory([1, 3], 2, closed=False))
    made.add(trajectory([1, 5], 2))
    made.learn(None)
    assert [steps(batch) for batch in made._learner.rollouts] == [
        [(2, 0), (2, 1), (2, 2), (2, 3)],
        [(2, 4), (2, 5)],
    ]
    if name == "identity":
        assert torch.cat([batch.rewards for batch in made._learner.rollouts]).tolist() == pytest.approx(
            [200.1, 0, 0, 0, 0, 201.1]
        )


def test_a_bag_longer_than_a_rollout_means_no_update():
    made = rollouts()
    assert made.learn(trajectory([4], 1, closed=False)) == {}
    assert made.learn(trajectory([8], 1, closed=False)) == {}
    made.add(trajectory([9], 1))
    assert made.learn(None) == {"loss": 0.0}
    assert steps(made._learner.rollouts[0]) == [(1, step) for step in range(9)]
    assert sum(made._learner.judged) == 9  # each once, when it was new


def test_steps_kept_from_the_learner_interrupt_the_run():
    made = rollouts("labels_only")
    made.add(trajectory([2, 2, 1, 1], 1, labeled=[True, False, True, True]))
    made.learn(trajectory([1, 2], 2, closed=False))
    (batch,) = made._learner.rollouts
    assert steps(batch) == [(1, 0), (1, 1), (1, 4), (1, 5), (2, 0)]
    assert batch.last.tolist() == [0, 1, 0, 1, 1]
    assert batch.log_probs.tolist() == [1000, 1001, 1004, 1005, 2000]


def test_stored_rewards_are_made_for_the_rollout():
    made = rollouts("rudder")
    episode = trajectory([4, 3], 1)
    made.add(episode)
    made.learn(None)
    store = made._store.empty_like(10)
    indices = store.add(episode)
    store.relabel_all(made._redistributor)
    assert torch.equal(made._learner.rollouts[0].rewards, store.stored_rewards(indices)[:, 0])
    assert made._learner.rollouts[0].rewards.all()


@pytest.mark.parametrize("name", ["rrd", "rudder", "uniform"])
def test_before_the_redistributor_learned_something_steps_get_what_was_paid(name):
    made = rollouts(name)
    made.add(trajectory([2, 2], 1))
    made.learn(None, fitted=False)
    assert made._learner.rollouts[0].rewards.tolist() == pytest.approx([0, 100.1, 0, 101.1])


def test_a_saved_state_goes_on():
    one, other = rollouts(), rollouts()
    one.add(trajectory([2], 1))
    one.learn(trajectory([1, 3], 2, closed=False))
    one.add(trajectory([1, 5], 2, terminated=True))
    other.load_state_dict(one.state_dict())
    assert fingerprint(one.state_dict()) == fingerprint(other.state_dict())
    for each in (one, other):
        each._learner.rollouts = [None]
        each.learn(trajectory([1], 3))
    new, old = one._learner.rollouts[1], other._learner.rollouts[1]
    assert steps(new) == [(2, 1), (2, 2), (2, 3), (2, 4), (2, 5), (3, 0)]
    for name, value in vars(new).items():
        np.testing.assert_array_equal(value, getattr(old, name))
