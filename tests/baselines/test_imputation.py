"""Reward imputation is regression on labeled transitions, and when fitting stops."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from bagged_envs.baselines import random_bags
from bagged_envs.baselines.api import Sampling
from bagged_envs.baselines.imputation import Held, bags_of, held_out, impute, label_error, widened
from bagged_envs.baselines.networks import MLP
from bagged_envs.baselines.random_bags import ACTION, OBSERVATION
from bagged_envs.baselines.redistributors import make_redistributor
from bagged_envs.baselines.redistributors.imputer import Imputer, ImputerConfig
from bagged_envs.baselines.redistributors.rd import RD, RDConfig
from bagged_envs.baselines.store import EpisodeStore
from tests.baselines.trajectories import trajectory

LABELED = [True, False, True, True, False, True]


def state_action(batch):
    return torch.cat((batch.observations, batch.actions), dim=3)


def with_change(batch):
    return torch.cat((state_action(batch), batch.observations - batch.next_observations), dim=3)


@pytest.mark.parametrize(
    ("kind", "config", "seen"),
    [(RD, RDConfig, with_change), (Imputer, ImputerConfig, state_action)],
    ids=["rd", "imputer: state and action"],
)
@pytest.mark.parametrize("loss", ["mean", "sum"])
def test_rd_on_bags_of_one_step_is_regression_on_labeled_transitions(kind, config, seen, loss):
    """The same loss, the same gradient and the same weights as a network fitted by plain squared errors."""
    batch = random_bags.bags_of([1] * 6, labeled=LABELED)
    config = config(hidden=(8, 8), loss=loss, standardize=False)
    imputer = kind(OBSERVATION, ACTION, config, seed=0)
    features = seen(batch)[:, 0, 0]  # [B, F]
    network = MLP((features.shape[1], 8, 8, 1), torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    for _ in range(3):
        optimizer.zero_grad()
        found = nn.functional.mse_loss(network(features[batch.labeled]).squeeze(1), batch.label[batch.labeled])
        found.backward()
        metrics = imputer.update(batch)
        assert metrics["labeled"] == 4.0
        assert metrics["loss"] == pytest.approx(found.item(), rel=1e-5)
        norm = torch.linalg.vector_norm(torch.cat([weight.grad.flatten() for weight in network.parameters()]))
        assert metrics["gradient_norm"] == pytest.approx(norm.item(), rel=1e-4)
        optimizer.step()
    with torch.no_grad():
        expected = network(features).squeeze(1)  # unlabeled ones, too
    torch.testing.assert_close(imputer.relabel(batch).flatten(), expected, rtol=1e-4, atol=1e-5)


def test_labels_are_standardized_by_those_that_were_seen():
    """Labels of four transitions, 1, 2, 3 and 6: a mean of 3, and a deviation that squares to 3.5."""
    batch = random_bags.bags_of([1] * 6, labels=[1.0, 9.0, 2.0, 3.0, 9.0, 6.0], labeled=LABELED)
    imputer = Imputer(OBSERVATION, ACTION, ImputerConfig(hidden=(8,)), seed=0)
    network = MLP((OBSERVATION + ACTION, 8, 1), torch.Generator().manual_seed(0))
    with torch.no_grad():
        said = network(state_action(batch)[:, 0, 0]).squeeze(1)  # [6]
    scaled = (batch.label - 3.0) / 3.5**0.5
    loss = nn.functional.mse_loss(said[batch.labeled], scaled[batch.labeled])
    assert imputer.update(batch)["loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_the_error_of_labels_is_per_step_and_does_not_look_at_them():
    """Rewards of 2 everywhere, labels per step 1 and 4: (1 + 4) / 2."""
    batch = random_bags.bags_of([3, 2], labels=[3.0, 8.0])
    seen = []
    said = SimpleNamespace(relabel=lambda bags: seen.append(bags) or torch.where(bags.mask, 2.0, 0.0))
    assert label_error(said, [batch]) == pytest.approx(2.5)
    assert label_error(said, [batch.select(torch.tensor([0])), batch.select(torch.tensor([1]))]) == pytest.approx(2.5)
    assert not any(bags.labeled.any() or bags.label.any() for bags in seen)


class Pretender:
    """Its error on held-out bags is one of a list, by how many updates it had."""

    name, sampling = "pretender", Sampling(bags=1)

    def __init__(self, errors):
        self.errors, self.updates = errors, 0

    def update(self, batch):
        self.updates += 1
        return {"loss": 0.0}

    def relabel(self, batch):
        return torch.full(batch.mask.shape, self.errors[self.updates - 1] ** 0.5)

    def state_dict(self):
        return {"updates": self.updates}

    def load_state_dict(self, state):
        self.updates = state["updates"]


def fitted(errors, most, check_every=1, patience=2):
    pretender, reported = Pretender(errors), []
    store = EpisodeStore(9, 2, 1)
    store.add(trajectory([1, 1]))
    held = Held([random_bags.bags_of([1], labels=[0.0])], patience)
    generator = np.random.default_rng(0)
    return pretender, impute(pretender, store, generator, most, 1, reported.append, held, check_every), len(reported)


def test_it_stops_when_held_out_labels_are_told_no_better_and_keeps_the_best():
    pretender, found, reported = fitted([9.0, 4.0, 1.0, 2.0, 0.5, 3.0, 3.0, 0.1], most=8)
    assert (found.updates, found.made, reported) == (5, 7, 7)
    assert found.error == pytest.approx(0.5)
    assert pretender.updates == 5


def test_it_stops_after_all_updates_and_looks_once_more_then():
    _, found, _ = fitted([9.0, 4.0, 9.0, 9.0, 1.0], most=5, check_every=2)
    assert (found.updates, found.made) == (5, 5)  # looked at after 2, 4 and 5


def test_predictions_that_are_never_finite_are_an_error():
    with pytest.raises(FloatingPointError, match="pretender predicts no finite labels of held-out bags"):
        fitted([float("nan")] * 4, most=4)


def test_all_updates_are_made_where_nothing_is_held_out():
    store, imputer = EpisodeStore(9, 2, 1), make_redistributor("rd", 2, 1, hidden=(4,))
    store.add(trajectory([1, 1, 1], labeled=[True, False, True]))
    before = copy.deepcopy(imputer.state_dict())
    found = impute(imputer, store, np.random.default_rng(0), 3, 1, lambda metrics: None)
    assert (found.updates, found.made, found.error) == (3, 3, None)
    assert imputer.state_dict()["updates"] == before["updates"] + 3
    nothing = impute(make_redistributor("uniform", 2, 1), store, np.random.default_rng(0), 3, 1, lambda metrics: None)
    assert nothing.made == 0


@pytest.mark.parametrize(
    ("lengths", "sampling", "bags"),
    [
        ([1] * 8, Sampling(bags=16), 256),
        ([4] * 4, Sampling(bags=16), 64),
        ([50, 50], Sampling(bags=16), 16),
        ([4] * 4, Sampling(bags=16, steps=2), 128),
    ],
)
def test_updates_see_enough_steps(lengths, sampling, bags):
    store = EpisodeStore(200, 2, 1)
    store.add(trajectory(lengths))
    assert widened(sampling, 256, store).bags == bags


def test_held_out_bags_are_a_share_of_the_labeled_ones():
    episodes = [trajectory([1, 2, 1], labeled=[True, False, True]), trajectory([1] * 8)]
    chosen = held_out(episodes, 0.3, np.random.default_rng(0))
    assert [len(one) for one in chosen] == [3, 8]
    assert sum(one.sum() for one in chosen) == 3
    assert not chosen[0][1]
    again = held_out(episodes, 0.3, np.random.default_rng(0))
    assert all(map(np.array_equal, chosen, again))


@pytest.mark.parametrize(("share", "count"), [(1e-6, 1), (1.0, 1)])
def test_at_least_one_bag_is_on_each_side(share, count):
    (chosen,) = held_out([trajectory([1, 1])], share, np.random.default_rng(0))
    assert chosen.sum() == count


def test_bags_of_a_store_by_their_order():
    store = EpisodeStore(30, 2, 1)
    store.add(trajectory([3, 1], 1))
    store.add(trajectory([2, 4], 2, closed=False))  # the last one is open, and has a number all the same
    store.add(trajectory([1, 2], 3))
    found = bags_of(store, np.array([True, False, True, False, False, True]), history=0)
    labels = torch.cat([batch.label for batch in found]).tolist()
    assert sorted(labels) == pytest.approx([100.1, 200.1, 301.1])
