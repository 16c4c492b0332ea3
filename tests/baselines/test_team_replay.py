"""Learning from stored episodes of a team: with rewards of now, of all agents together, of steps that count."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, MultiDiscrete

from bagged_envs.baselines.api import Schedule
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.learners.qmix import QMIX, QMIXConfig
from bagged_envs.baselines.redistributors import make_redistributor
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.baselines.team_replay import TeamReplay
from bagged_envs.baselines.worlds import Worlds
from tests.baselines.trajectories import trajectory
from tests.baselines.two_step import BEST, worlds

SMALL = QMIXConfig(hidden=8, embed=4, hypernet=(), batch=2)


def team(name="identity", seen=None, acted=None, config=SMALL, **settings):
    """A replay of two agents, and its store."""
    seen, acted = seen or Box(-999, 999, (2, 2)), acted or MultiDiscrete([3, 3])
    features = Features(seen, 2), Features(acted, 2)
    store = EpisodeStore.for_spaces(seen, acted, 2, capacity=2000)
    redistributor = make_redistributor(name, features[0].size, features[1].size, agents=2, **settings)
    learner = QMIX(features[0].size, acted, config, seed=0)
    return TeamReplay(learner, redistributor, store, *features, "cpu", np.random.default_rng(0)), store


def whole(lengths, number, **more):
    """An episode of two agents, whose actions are those of three choices."""
    one = trajectory(lengths, number, agents=2, **more)
    return replace(one, actions=np.zeros((len(one), 2), dtype=np.int64) + number % 3)


def learned(one):
    """What the learner is updated with, which moves nothing."""
    batches = []
    one._learner.update = lambda batch: batches.append(batch) or {"loss": 1.0}
    return batches


def added(store, *episodes):
    for episode in episodes:
        store.add(episode)
    return list(episodes)


def of_number(batch, number):
    """The row of an episode in a batch."""
    (row,) = [row for row in range(len(batch.rewards)) if batch.observations[row, 0, 0, 0] == number]
    return row


def test_an_update_for_each_episode_once_there_are_enough():
    one, store = team()
    batches = learned(one)
    assert one.learn(added(store, whole([2], 1))) == []
    assert one.learn(added(store, whole([2], 2), whole([3], 3), whole([1], 4))) == [{"loss": 1.0}] * 3
    assert [len(batch.rewards) for batch in batches] == [2] * 3
    assert one.steps == 8
    assert len({batch.observations[:, 0, 0, 0].sum().item() for batch in batches}) > 1
    many, store = team(config=replace(SMALL, updates_per_episode=3))
    assert len(many.learn(added(store, whole([2], 1), whole([2], 2)))) == 6


def test_the_teams_reward_is_the_sum_of_what_its_agents_are_given():
    one, store = team("uniform")
    batches = learned(one)
    dying = whole([2], 3)
    dying = replace(dying, extras={"alive": np.array([[1, 1], [1, 0], [0, 0]], dtype=bool)})
    one.learn(added(store, whole([2, 3], 1), dying))
    row, other = (of_number(batches[0], number) for number in (1, 3))
    assert batches[0].rewards[row].tolist() == pytest.approx([100.1 / 2] * 2 + [101.1 / 3] * 3)
    assert batches[0].rewards[other].tolist() == pytest.approx([300.1 / 2] * 2 + [0.0] * 3)
    assert batches[0].present[other].tolist() == [[True, True], [True, False], [True, False], *[[False, False]] * 3]
    assert batches[0].learned[other].tolist() == [True] * 2 + [False] * 3


def test_before_the_redistributor_learned_something_steps_have_what_was_paid():
    one, store = team("rudder")
    batches = learned(one)
    one.learn(added(store, whole([1, 2], 1), whole([3], 2)), fitted=False)
    assert batches[0].rewards[of_number(batches[0], 1)].tolist() == pytest.approx([100.1, 0.0, 101.1])
    assert store.version == 0


def test_rewards_are_those_of_now():
    one, store = team("rd", hidden=(8,), bags=4)
    batches = learned(one)
    episodes = added(store, whole([2], 1), whole([2], 2))
    one.learn(episodes)
    one._redistributor.update(store.sample_bags(one._redistributor.sampling, np.random.default_rng(0)))
    one.learn(episodes)
    before, after = (batch.rewards[of_number(batch, 1)] for batch in (batches[0], batches[-1]))
    expected = store.relabel(one._redistributor, store.sample_steps(1, np.random.default_rng(0)))
    assert not torch.equal(before, after)
    assert any(torch.allclose(expected.sum(), reward) for reward in batches[-1].rewards.flatten())


def test_stored_rewards_are_renewed_after_updates_and_made_for_new_episodes():
    one, store = team("rudder", units=4)
    one._redistributor.schedule = Schedule(refresh=2)
    batches = learned(one)
    episodes = added(store, whole([2], 1), whole([2], 2))
    one.refresh()
    assert (store.version, len(one.learn(episodes))) == (1, 2)
    (third,) = added(store, whole([2], 3))
    one.learn([third])
    steps = np.arange(9)[store._ring.rows["bag"][:9] >= 0]
    assert store.stored_versions(steps).tolist() == [1] * 6
    one.refresh()  # which is for two steps at least, of those that were relabeled longest ago
    assert sorted(store.stored_versions(steps).tolist()) == [1] * 4 + [2] * 2
    found = batches[0].rewards[of_number(batches[0], 2)]
    assert torch.equal(found, store.stored_rewards(steps[2:4]).sum(dim=1))


def test_steps_without_a_label_are_kept_from_the_learner_where_the_redistributor_says_so():
    for name, expected in (("labels_only", [True, False, False, True]), ("identity", [True] * 4)):
        one, store = team(name)
        batches = learned(one)
        one.learn(added(store, whole([1, 2, 1], 1, labeled=[True, False, True]), whole([4], 2, labeled=[False])))
        assert batches[0].learned[of_number(batches[0], 1)].tolist() == expected
    one, store = team("labels_only")
    assert one.learn(added(store, *(whole([2], number, labeled=[False]) for number in (1, 2)))) == []


def test_a_time_limit_is_no_end_of_the_task():
    one, store = team()
    batches = learned(one)
    one.learn(added(store, whole([3], 1), whole([2], 2, terminated=True)))
    assert batches[0].terminated[of_number(batches[0], 1)].tolist() == [0.0] * 3
    assert batches[0].terminated[of_number(batches[0], 2)].tolist() == [0.0, 1.0, 0.0]
    last = batches[0].observations[of_number(batches[0], 1), -1]
    assert last.tolist() == [[1.0, 3.0], [1.25, 3.25]]
    assert batches[0].present[of_number(batches[0], 1), -1].all()


def test_a_saved_state_goes_on():
    one, store = team()
    episodes = added(store, *(whole([2], number) for number in range(1, 9)))
    one.learn(episodes)
    other, _ = team()
    other._store = store
    other.load_state_dict(one.state_dict())
    first, second = learned(one), learned(other)
    for replay in (one, other):
        replay.learn(episodes)
    assert one.steps == other.steps == 32
    assert all(torch.equal(a.observations, b.observations) for a, b in zip(first, second, strict=True))


def game(masked, config, seed=0):
    """The two-step game: what plays it, and what learns from it."""
    envs = worlds(4, masked)
    spaces = envs.single_observation_space, envs.single_action_space
    one, store = team("identity", *spaces, config)
    return Worlds(envs, np.random.default_rng(seed), ("alive", "action_mask")), one, store


@pytest.mark.parametrize("masked", [False, True])
def test_actions_that_are_not_allowed_are_never_played_and_their_masks_are_stored(masked):
    players, one, store = game(masked, SMALL)  # explores always; the game refuses the third action
    episodes = added(store, *players.play(lambda: one.begin(explore=True), 40))
    batches = learned(one)
    one.learn(episodes)
    assert {tuple(row) for row in np.concatenate([episode.actions for episode in episodes]).tolist()} == {
        (0, 0), (0, 1), (1, 0), (1, 1),
    }  # fmt: skip
    expected = [True, True, False] if masked else [True, True]
    assert batches[0].allowed.flatten(0, 2).unique(dim=0).tolist() == [expected]
    assert batches[0].actions.shape == (2, 2, 2, 2 + masked)
    assert batches[0].terminated.tolist() == [[0.0, 1.0]] * 2


def test_the_learner_is_told_who_is_there_and_how_much_to_explore_and_remembers_one_round():
    players, one, _ = game(False, SMALL)
    seen = []
    one._learner.act = lambda features, memory, allowed, present, epsilon: (
        seen.append((memory, allowed, present, epsilon)) or (torch.eye(2)[None].expand(4, -1, -1), len(seen))
    )
    one.steps = 15_000
    players.play(lambda: one.begin(explore=True), 9)  # two rounds
    assert [memory for memory, *_ in seen] == [None, 1, None, 3]  # what is remembered begins anew with every round
    assert [allowed for _, allowed, _, _ in seen] == [None] * 4
    assert all(present.all() for _, _, present, _ in seen)
    assert [epsilon for *_, epsilon in seen] == pytest.approx([0.525] * 4)
    players.play(lambda: one.begin(explore=False), 1)
    assert seen[-1][-1] == 0.0


@pytest.mark.long
def test_qmix_finds_the_best_joint_actions_of_the_two_step_game():
    """Sums of agents' values are content with the other matrix, which pays 7 (Rashid et al. 2018, section 5)."""
    config = QMIXConfig(hidden=16, embed=8, hypernet=(), learning_rate=5e-3, final_epsilon=1.0, target_every=50)
    players, one, store = game(True, config)
    while one._learner.updates < 600:
        one.learn(added(store, *players.play(lambda: one.begin(explore=True), 32)))
    episodes = players.play(lambda: one.begin(explore=False), 1)
    assert [episode.rewards.sum() for episode in episodes] == [BEST] * 4
