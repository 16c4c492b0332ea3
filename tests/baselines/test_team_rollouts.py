"""Agents' own runs: nothing goes from one agent, or from one episode, to another."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import SyncVectorEnv
from hypothesis import given
from hypothesis import strategies as st

from bagged_envs.baselines.features import Features
from bagged_envs.baselines.learners.ppo import PPO, advantages
from bagged_envs.baselines.redistributors import make_redistributor
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.baselines.team_rollouts import TeamRollouts
from bagged_envs.baselines.worlds import Worlds
from bagged_envs.multi_agent.joint import JointEnv
from bagged_envs.testing import episode
from bagged_envs.testing.scripted_parallel import ScriptedParallelEnv
from bagged_envs.wrappers.vector import EpisodicReward
from tests.baselines.trajectories import trajectories, trajectory
from tests.baselines.two_step import worlds


class Told:
    """A learner that notes its rollouts."""

    def __init__(self):
        self.rollouts = []

    def update(self, batch):
        self.rollouts.append(batch)
        return {"loss": 0.0}


def team(name="identity", agents=2, sees_all=False, size=2, horizon=None):
    seen, acted = Box(-99, 99, (agents, size)), Box(-99, 99, (agents, 1))
    store = EpisodeStore.for_spaces(seen, acted, agents, capacity=100)
    redistributor = make_redistributor(name, size, 1, agents=agents)
    spaces = Features(seen, agents), Features(acted, agents)
    return TeamRollouts(Told(), redistributor, store, *spaces, "cpu", sees_all, horizon)


def with_alive(one, alive):
    return replace(one, extras={**one.extras, "alive": np.array(alive, dtype=bool)})


def test_advantages_never_mix_agents_or_episodes():
    first, second = trajectory([2], 1, terminated=True, agents=2), trajectory([2], 2, agents=2)
    rollout = team("oracle").rollout(
        [replace(one, extras={"dense_rewards": own}) for one, own in ((first, OWN[:2]), (second, OWN[2:]))], True
    )
    assert rollout.rewards.tolist() == [1.0, 2.0, 4.0, 8.0, 10.0, 20.0, 40.0, 80.0]  # one agent, then the other
    assert rollout.terminated.tolist() == [0.0, 1.0, 0.0, 0.0] * 2
    assert rollout.last.tolist() == [False, True, False, True] * 2
    assert rollout.observations.tolist() == [
        [1.0, 0.0], [1.0, 1.0], [2.0, 0.0], [2.0, 1.0], [1.25, 0.25], [1.25, 1.25], [2.25, 0.25], [2.25, 1.25],
    ]  # fmt: skip
    assert rollout.next_observations[:4].tolist() == [[1.0, 1.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0]]
    # Every value 1, discount and lambda one half. Deltas: r - 0.5 where the run goes on or was cut, r - 1 at its end.
    # First agent: 2 - 1, and 0.5 + 1 / 4; 8 - 0.5, and 3.5 + 7.5 / 4.
    # Second agent: 20 - 1, and 9.5 + 19 / 4; 80 - 0.5, and 39.5 + 79.5 / 4.
    ones = torch.ones(8)
    found = advantages(rollout.rewards, ones, ones, rollout.terminated, rollout.last, 0.5, 0.5)
    assert found.tolist() == [0.75, 1.0, 5.375, 7.5, 14.25, 19.0, 59.375, 79.5]


@pytest.mark.parametrize("sees_all", [False, True])
def test_a_critic_with_a_horizon_sees_the_time(sees_all):
    episodes = [trajectory([2], 1, agents=2), trajectory([3], 2, agents=2)]
    plain, timed = (team(sees_all=sees_all, horizon=horizon).rollout(episodes, True) for horizon in (None, 4))
    judged = plain.critic_observations if sees_all else plain.observations
    after = plain.next_critic_observations if sees_all else plain.next_observations
    assert torch.equal(timed.critic_observations[:, :-1], judged)
    assert torch.equal(timed.next_critic_observations[:, :-1], after)
    assert timed.critic_observations[:, -1].tolist() == [0.0, 0.25, 0.0, 0.25, 0.5] * 2
    assert timed.next_critic_observations[:, -1].tolist() == [0.25, 0.5, 0.25, 0.5, 0.75] * 2


OWN = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0], [8.0, 80.0]])


def test_uniform_gives_each_agent_present_its_share():
    whole, dying = trajectory([4], 1, agents=2), trajectory([2], 3, agents=2)
    rollout = team("uniform").rollout([whole, with_alive(dying, [[1, 1], [0, 1], [0, 0]])], True)
    # 100.1 over 4 steps and 2 agents; 300.1 over 2 steps, shared by two in the first and for one in the second.
    each, both, alone = 100.1 / 8, 300.1 / 4, 300.1 / 2
    assert rollout.rewards.tolist() == pytest.approx([each] * 4 + [both] + [each] * 4 + [both, alone])


def test_before_the_redistributor_learned_something_agents_share_what_was_paid():
    rollout = team("rrd").rollout([trajectory([2, 1], 1, agents=2)], False)
    assert rollout.rewards.tolist() == pytest.approx([0.0, 100.1 / 2, 101.1 / 2] * 2)


def test_stored_rewards_are_made_for_the_rollout():
    one = team("rudder")
    episodes = [trajectory([2, 3], 1, agents=2), trajectory([4], 2, agents=2)]
    store = one._store.empty_like(20)
    indices = np.concatenate([store.add(episode) for episode in episodes])
    store.relabel_all(one._redistributor)
    expected = store.stored_rewards(indices).T.flatten()
    assert torch.equal(one.rollout(episodes, True).rewards, expected)
    assert expected.unique().numel() > 4
    assert len(one._store) == 0


def test_an_agent_that_is_gone_has_no_steps_and_ended_where_it_was():
    one = with_alive(trajectory([4], 1, agents=2), [[1, 1], [1, 1], [1, 0], [1, 0], [0, 0]])
    rollout = team().rollout([one], True)
    assert rollout.observations[:, 1].tolist() == [0.0, 1.0, 2.0, 3.0, 0.25, 1.25]
    assert rollout.last.tolist() == [False, False, False, True, False, True]
    assert rollout.terminated.tolist() == [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]  # the episode itself was cut
    assert rollout.rewards.tolist() == pytest.approx([0.0, 0.0, 0.0, 100.1, 0.0, 0.0])


def test_who_dies_in_the_step_that_cuts_the_others_has_no_later_value():
    one = with_alive(trajectory([2], 1, agents=2), [[1, 1], [1, 1], [1, 0]])
    rollout = team().rollout([one], True)
    assert rollout.terminated.tolist() == [0.0, 0.0, 0.0, 1.0]
    assert rollout.last.tolist() == [False, True] * 2
    done = replace(one, terminated=True)
    assert team().rollout([done], True).terminated.tolist() == [0.0, 1.0] * 2


def still():
    return lambda observations, infos: np.zeros((2, 2), dtype=int)


def test_deaths_as_the_joint_face_tells_them():
    scripts = {"a": episode([1.0, 2.0]), "b": episode([10.0, 20.0, 40.0])}
    envs = EpisodicReward(SyncVectorEnv([lambda: JointEnv(ScriptedParallelEnv(scripts)) for _ in range(2)]))
    episodes = Worlds(envs, np.random.default_rng(0), ("alive",)).play(still, 1)
    rollout = team(size=3).rollout([replace(one, actions=one.actions[..., None]) for one in episodes], True)
    assert rollout.observations[:, :2].tolist() == [
        [1, 0], [1, 1], [1, 0], [1, 1], [2, 0], [2, 1], [2, 2], [2, 0], [2, 1], [2, 2],
    ]  # fmt: skip
    assert rollout.rewards.tolist() == [0.0] * 6 + [73.0] + [0.0] * 2 + [73.0]
    assert rollout.last.tolist() == [False, True] * 2 + [False, False, True] * 2
    assert rollout.terminated.tolist() == rollout.last.float().tolist()


def test_steps_kept_from_the_learner_interrupt_the_runs():
    rollout = team("labels_only").rollout([trajectory([1, 1, 2], 1, labeled=[True, False, True], agents=2)], True)
    assert rollout.observations[:, 1].tolist() == [0.0, 2.0, 3.0, 0.25, 2.25, 3.25]
    assert rollout.last.tolist() == [True, False, True] * 2
    assert not rollout.terminated.any()


def test_nothing_to_learn_from_means_no_update():
    one = team("labels_only")
    assert one.learn([trajectory([2], labeled=[False], agents=2)]) == []
    assert one.learn([trajectory([2], agents=2)]) == [{"loss": 0.0}]
    assert [len(rollout.rewards) for rollout in one._learner.rollouts] == [4]


def test_a_critic_that_sees_all_gets_all_observations_and_which_agent_it_judges():
    rollout = team(sees_all=True).rollout([trajectory([2], 7, agents=2)], True)
    assert rollout.critic_observations.tolist() == [
        [7.0, 0.0, 7.25, 0.25, 1.0, 0.0],
        [7.0, 1.0, 7.25, 1.25, 1.0, 0.0],
        [7.0, 0.0, 7.25, 0.25, 0.0, 1.0],
        [7.0, 1.0, 7.25, 1.25, 0.0, 1.0],
    ]
    assert rollout.next_critic_observations[:, 1].tolist() == [1.0, 2.0, 1.0, 2.0]
    assert team().rollout([trajectory([2], 7, agents=2)], True).critic_observations is None


@pytest.mark.law
@given(st.lists(trajectories(open_too=False), min_size=1, max_size=4), st.data(), st.sampled_from(["a", "labels_only"]))
def test_a_run_is_one_agents_consecutive_steps(made, data, name):
    episodes, living = [], 0
    for number, make in enumerate(made):
        one = make(number, agents=3)
        lives = [len(one), *data.draw(st.lists(st.integers(1, len(one)), min_size=2, max_size=2))]
        alive = np.arange(len(one) + 1)[:, None] < lives
        episodes.append(with_alive(one, alive))
        seen = one.labeled[one.bag_ids] if name == "labels_only" else np.ones(len(one), dtype=bool)
        living += alive[:-1][seen].sum()
    rollout = team("identity" if name == "a" else name, agents=3).rollout(episodes, True)
    assert len(rollout.rewards) == living
    following = ~rollout.last[:-1]
    assert torch.equal(rollout.next_observations[:-1][following], rollout.observations[1:][following])
    assert rollout.last[-1:].all()
    assert (rollout.terminated <= rollout.last).all()


@pytest.mark.parametrize("masked", [False, True])
def test_actions_that_are_not_allowed_are_never_played_and_are_none_of_the_rollout(masked):
    envs = worlds(16, masked)  # the game refuses the third action
    spaces = envs.single_observation_space, envs.single_action_space
    features = [Features(space, 2) for space in spaces]
    store = EpisodeStore.for_spaces(*spaces, 2, capacity=200)
    learner = PPO(3, Discrete(2 + masked), seed=0)
    redistributor = make_redistributor("uniform", 3, 2 + masked, agents=2)
    one = TeamRollouts(learner, redistributor, store, *features, "cpu", sees_all=False)
    episodes = Worlds(envs, np.random.default_rng(0), ("alive", "action_mask")).play(lambda: one.begin(True), 32)
    rollout = one.rollout(episodes, True)
    assert len(rollout.actions) == 64
    assert rollout.actions.sum(dim=0).bool().tolist() == ([True, True, False] if masked else [True, True])
    if masked:
        assert rollout.allowed.unique(dim=0).tolist() == [[True, True, False]]
    else:
        assert rollout.allowed is None
    assert one.learn(episodes)


def test_masks_are_of_the_step_before_the_action():
    whole = trajectory([3], 1, agents=2)
    masks = np.arange(4 * 2).reshape(4, 2, 1) % 3 > 0  # one action, as the trajectory's are
    rollout = team().rollout([replace(whole, extras={"action_mask": masks})], True)
    assert rollout.allowed[:, 0].tolist() == [*masks[:3, 0, 0], *masks[:3, 1, 0]]
