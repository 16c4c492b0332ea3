"""Teams whose agents die on the way, and may not do everything at all times: collected, redistributed, learned from."""

import gymnasium as gym
import numpy as np
import pytest
from pettingzoo import ParallelEnv

import bagged_envs
from bagged_envs.baselines.player import SEEDS
from bagged_envs.baselines.team_training import TeamConfig
from bagged_envs.multi_agent.joint import JointEnv
from bagged_envs.tasks import TASKS
from tests.baselines.test_team_training import after, learned, training

REST, WORK, RISK, SHOUT = range(4)
LIMIT = 7


class Mortals(ParallelEnv):
    """Three agents, who earn 1 by work, and 3 by a risk that ends them. Only every other step they may shout."""

    metadata = {"name": "mortals_v0", "render_modes": []}
    render_mode = None

    def __init__(self):
        self.possible_agents, self.agents = ["a", "b", "c"], []
        self.spaces = gym.spaces.Box(0.0, 1.0, (2,), np.float32), gym.spaces.Discrete(4)

    def observation_space(self, agent):
        return self.spaces[0]

    def action_space(self, agent):
        return self.spaces[1]

    def reset(self, seed=None, options=None):
        self.agents, self.time = list(self.possible_agents), 0
        return self.observe(), self.tell()

    def step(self, actions):
        assert set(actions) == set(self.agents)
        assert all(self.mask()[action] for action in actions.values())
        self.time += 1
        paid = {agent: (0.0, 1.0, 3.0, 0.0)[action] for agent, action in actions.items()}
        died = {agent: action == RISK for agent, action in actions.items()}
        result = self.observe(), paid, died, dict.fromkeys(self.agents, self.time == LIMIT), self.tell()
        self.agents = [agent for agent in self.agents if not died[agent] and self.time < LIMIT]
        return result

    def observe(self):
        return {agent: np.array([self.time / LIMIT, ord(agent) - 97], np.float32) / 2 for agent in self.agents}

    def mask(self):
        return np.array([1, 1, self.time > 0, self.time % 2], np.int8)

    def tell(self):
        return {agent: {"action_mask": self.mask()} for agent in self.agents}


@pytest.fixture(scope="module")
def mortals_id():
    gym.register("test/Mortals-v0", entry_point=lambda: JointEnv(Mortals()), max_episode_steps=LIMIT)
    ids = bagged_envs.register_task("test/Mortals-v0", name="Mortals", reward_info_keys=("agent_rewards",))
    yield "EpisodicMortals-v0"
    for id in (*ids, "test/Mortals-v0"):
        del gym.registry[id]
    del TASKS["Mortals"]


def run_of(name, id):
    return training(name, id=id, arguments={}, config=TeamConfig(worlds=4, rollout=60, finite_horizon=True))


@pytest.mark.parametrize("name", ["tar2-ippo", "stas-mappo", "arel-ippo"])
def test_the_dead_are_not_learned_from_and_what_may_not_be_done_has_no_chance(name, mortals_id):
    one, played = run_of(name, mortals_id), []
    batches, play = learned(one), one._worlds.play
    one._worlds.play = lambda *given: played.append(play(*given)) or played[-1]
    after(one, 200)
    assert one.fitted
    assert len(batches) == len(played) >= 3
    for batch, episodes in zip(batches, played, strict=True):
        lived = [episode.extras["alive"][:-1] for episode in episodes]
        assert min(len(steps) for steps in lived) < LIMIT  # all died
        assert len(batch.rewards) == sum(steps.sum() for steps in lived) < sum(steps.size for steps in lived)
        allowed = batch.allowed.bool()
        assert not allowed.all()
        assert allowed[batch.actions.bool()].all()
        assert batch.rewards.isfinite().all()
    one.close()


@pytest.mark.parametrize("name", ["rd-qmix", "tar2-qmix"])
def test_qmix_gives_the_dead_no_part_in_the_teams_value(name, mortals_id):
    one = run_of(name, mortals_id)
    batches = learned(one)
    after(one, 200)
    assert (one.fitted, one.updates > 0) == (True, True)
    for batch in batches:
        present = batch.present[:, :-1]
        assert not present[batch.learned].all()
        assert present[:, 0].all()
        assert batch.rewards.isfinite().all()
        done = batch.actions.bool() & present[..., None]
        assert done.any(dim=3).equal(present & batch.learned[..., None])
        assert batch.allowed[:, :-1][done].all()
    one.close()


@pytest.mark.parametrize("name", ["tar2-ippo", "rd-qmix"])
def test_a_run_to_its_end(name, mortals_id):
    one = after(run_of(name, mortals_id), 400)
    assert one.updates >= 2
    assert 0.0 < one.evaluate(4, SEEDS).mean <= 3 * (LIMIT - 2) + 3 * 3
    one.close()
