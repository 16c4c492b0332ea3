"""Several steps as one: their rewards, where they lead, and what counts of that, by literal numbers."""

import numpy as np
import pytest
import torch

from bagged_envs.baselines.learners.td3 import bellman_targets
from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.redistributors import make_redistributor
from bagged_envs.baselines.replay import Replay
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.baselines.training import Training, TrainingConfig
from bagged_envs.trajectory import Trajectory


class Learner:
    """Keeps what it is updated with."""

    def __init__(self):
        self.batches = []

    def update(self, batch):
        self.batches.append(batch)
        return {"loss": 0.0}


def filled(terminated=True, capacity=20):
    """Two episodes of five and two steps; observation t of the first is t, of the second 100 + t; rewards are 2^t."""
    store = EpisodeStore(capacity, 1, 1)
    for first, steps, end in ((0.0, 5, terminated), (100.0, 2, False)):
        observations = first + np.arange(steps + 1.0)[:, None]
        rewards = 2.0 ** np.arange(steps)
        store.add(Trajectory(observations, np.zeros((steps, 1)), rewards, np.arange(steps), np.ones(steps, bool), end))
    return store


def drawn(store, n_step, discount=0.5, size=200):
    learner = Learner()
    oracle = make_redistributor("identity", 1, 1)
    assert Replay(learner, oracle, store, np.random.default_rng(0), size, "cpu", n_step, discount).learn()
    (batch,) = learner.batches
    rows = zip(
        batch.observations[:, 0].tolist(), batch.rewards.tolist(), batch.next_observations[:, 0].tolist(),
        batch.terminated.tolist(), strict=True,
    )  # fmt: skip
    return {seen: tuple(rest) for seen, *rest in rows}


def test_three_steps_by_hand():
    assert drawn(filled(), 3) == {
        # 1 + 2/2 + 4/4, ...: three steps, then a quarter of one step's discount
        0.0: (3.0, 3.0, 0.75),
        1.0: (6.0, 4.0, 0.75),
        2.0: (12.0, 5.0, 1.0),  # the task ends there
        3.0: (16.0, 5.0, 1.0),  # two steps are left
        4.0: (16.0, 5.0, 1.0),
        # a time limit: what follows counts, after two steps and after one
        100.0: (2.0, 102.0, 0.5),
        101.0: (2.0, 102.0, 0.0),
    }


def test_one_step_is_the_step_itself():
    found = drawn(filled(terminated=False), 1)
    assert found[0.0] == (1.0, 1.0, 0.0)
    assert found[101.0] == (2.0, 102.0, 0.0)
    assert drawn(filled(), 1)[4.0] == (16.0, 5.0, 1.0)


def test_steps_do_not_run_on_into_what_the_ring_has_next():
    store = filled(capacity=8)  # the second episode stands right behind the first, and a third evicts the first
    observations = 200.0 + np.arange(4.0)[:, None]
    store.add(Trajectory(observations, np.zeros((3, 1)), np.ones(3), np.arange(3), np.ones(3, bool), False))
    found = drawn(store, 4, discount=1.0)
    assert found == {
        100.0: (3.0, 102.0, 0.0),
        101.0: (2.0, 102.0, 0.0),
        200.0: (3.0, 203.0, 0.0),
        201.0: (2.0, 203.0, 0.0),
        202.0: (1.0, 203.0, 0.0),
    }


def test_what_leaves_steps_out_is_refused():
    with pytest.raises(ValueError, match="n_step=2 needs all steps, got 'labels_only'"):
        Replay(Learner(), make_redistributor("labels_only", 1, 1), filled(), np.random.default_rng(0), 4, "cpu", 2)


@pytest.mark.parametrize(
    "method",
    [
        Method.named("identity-td3"),
        Method.named("uniform-sac"),
        Method.named("rudder-td3", {"warm_up": 20, "every": 10, "updates": 1}),
    ],
    ids=lambda method: method.name,
)
def test_it_trains(method):
    config = TrainingConfig(random_steps=30, batch_size=8, n_step=4, evaluate_every=60, evaluation_episodes=1)
    training = Training(method, "BaggedInvertedPendulum-v0", {"bag_len": 3}, config, seed=0)
    for _ in range(60):
        training.step()
    assert training.updates == 31
    assert training._replay._discounts.tolist() == pytest.approx([1.0, 0.99, 0.99**2, 0.99**3])
    training.close()


def test_the_discount_is_the_learner_s():
    assert Method.named("identity-td3").discount == 0.99
    assert Method.named("identity-td3", learner={"discount": 0.9}).discount == 0.9


def test_the_target_of_several_steps_is_r_plus_discounted_value():
    # Through TD3's own equation: 1 + 0.5 * 2 + 0.25 * 4 + 0.125 * 10
    reward, _, terminated = drawn(filled(), 3)[0.0]
    target = bellman_targets(torch.tensor([reward]), torch.tensor([terminated]), torch.tensor([[10.0]]), 0.5)
    assert target.tolist() == [4.25]
