"""The adapter of football on the real engine, where it has been built: `make football`."""

import importlib.util
import math
import warnings

import numpy as np
import pytest

from bagged_envs.suites.football import from_football
from bagged_envs.wrappers import parallel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("gfootball") is None, reason="the football engine is not built here: make football"
    ),
    # The old gym speaks of its old API whenever one of its wrappers is built.
    pytest.mark.filterwarnings("ignore:.*Initializing .* in old step API:DeprecationWarning"),
]

SCENARIOS = {
    "academy_3_vs_1_with_keeper": 3,
    "academy_pass_and_shoot_with_keeper": 2,
    "academy_counterattack_easy": 4,
}
EPISODES, LIMIT = 6, 100
scenarios = pytest.mark.parametrize(("scenario", "players"), SCENARIOS.items(), ids=list(SCENARIOS))


@pytest.fixture
def build(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    # NumPy 2 has no bool8, which the old gym reads.
    monkeypatch.setattr(np, "bool8", np.bool_, raising=False)
    with warnings.catch_warnings():  # the old gym sets warning filters of its own when it is imported
        create_environment = importlib.import_module("gfootball.env").create_environment
    built = []

    def build(scenario, players, max_episode_steps=LIMIT):
        env = create_environment(
            scenario,
            representation="simple115v2",
            rewards="scoring,checkpoints",
            number_of_left_players_agent_controls=players,
            # Else drawn when the engine is built, beyond the reach of a seed.
            other_config_options={"reverse_team_processing": False},
        )
        built.append(env)
        return from_football(env, max_episode_steps)

    yield build
    for env in built:
        env.close()


SHOT, SPRINT, EAST = 12, 13, 5


def play(env, seed):
    """Episodes of players that run towards the goal, shoot, and now and then do anything else."""
    draw = np.random.default_rng(seed)
    env.reset(seed=seed)
    episodes = []
    for _ in range(EPISODES):
        steps = []
        while env.agents:
            usual = draw.choice([EAST, EAST, EAST, SPRINT, SHOT], size=len(env.agents))
            actions = np.where(draw.random(len(env.agents)) < 0.2, draw.integers(19, size=len(env.agents)), usual)
            steps.append(env.step(dict(zip(env.agents, actions, strict=True))))
        episodes.append(steps)
        env.reset()
    return episodes


def rewards(episode):
    return [list(step[1].values()) for step in episode]


def left_to_right(values):
    total, *others = values
    for value in others:
        total += value
    return total


@scenarios
class TestScenarios:
    def test_spaces(self, build, scenario, players):
        env = build(scenario, players)
        observations, _ = env.reset(seed=0)
        assert env.possible_agents == [f"player_{number}" for number in range(players)]
        assert [o.shape for o in observations.values()] == [(115,)] * players
        assert all(env.observation_space(agent).contains(o) for agent, o in observations.items())
        assert {env.action_space(agent).n for agent in env.possible_agents} == {19}

    def test_dense_and_delayed_with_the_same_actions_have_equal_sums(self, build, scenario, players, record_property):
        dense = play(build(scenario, players), 5)
        team = play(parallel.EpisodicReward(build(scenario, players), team_reward="sum", expose_reward=True), 5)
        alone = play(parallel.BaggedReward(build(scenario, players), 7), 5)
        earned = []
        for earning, together, each in zip(dense, team, alone, strict=True):
            # The engine is deterministic: these are the same episodes, so that delayed and dense can be compared.
            exposed = [[info["dense_reward"] for info in step[4].values()] for step in together]
            assert exposed == rewards(earning)
            stream = [left_to_right(step) for step in exposed]
            assert rewards(together)[-1] == [left_to_right(stream)] * players
            assert all(step == [0.0] * players for step in rewards(together)[:-1])
            bags = [earning[start : start + 7] for start in range(0, len(earning), 7)]
            expected = [[left_to_right(one) for one in zip(*rewards(bag), strict=True)] for bag in bags]
            assert rewards(each)[6::7] + ([] if len(each) % 7 == 0 else [rewards(each)[-1]]) == expected
            bound = (len(stream) + 1) * 2.0**-53 * math.fsum(map(abs, stream))
            assert abs(rewards(together)[-1][0] - math.fsum(stream)) <= bound
            earned.append(rewards(together)[-1][0])
        assert any(earned), "nobody earned anything: the actions are too poor to test with"
        record_property("team returns", earned)
        print(f"{scenario}: steps {[len(episode) for episode in dense]}, team returns {earned}")

    def test_it_ends_terminated_before_the_limit_and_truncated_at_it(self, build, scenario, players):
        for episode in play(build(scenario, players, max_episode_steps=30), 6):
            *_, (_, _, terminated, truncated, _) = episode
            cut = len(episode) == 30 and not any(terminated.values())
            assert set(truncated.values()) == {cut}
            assert set(terminated.values()) == {not cut}
            assert len(episode) <= 30

    def test_another_seed_is_another_episode(self, build, scenario, players):
        env = build(scenario, players)
        idle = []
        for seed in (1, 2, 1):
            env.reset(seed=seed)
            idle.append([env.step(dict.fromkeys(env.agents, 0))[0]["player_0"].tobytes() for _ in range(10)])
        assert idle[0] != idle[1]
        assert idle[0] == idle[2]


def test_one_player_alone(build):
    env = parallel.EpisodicReward(build("academy_empty_goal_close", 1), expose_reward=True)
    env.reset(seed=0)
    steps = []
    while env.agents:
        steps.append(env.step({"player_0": EAST}))
    assert env.possible_agents == ["player_0"]
    # Run into the empty goal: ten rings and a goal, in the engine's float32.
    total = left_to_right([step[4]["player_0"]["dense_reward"] for step in steps])
    assert steps[-1][1] == {"player_0": total}
    assert total == pytest.approx(2.0, abs=1e-6)
    assert steps[-1][2] == {"player_0": True}


def test_the_engines_own_clock_truncates(build):
    env = build("1_vs_1_easy", 1, max_episode_steps=None)
    env.reset(seed=0)
    steps = []
    while env.agents:
        steps.append(env.step({"player_0": 0}))
    assert len(steps) == 501  # a duration of 500, and the engine counts from 0
    assert steps[-1][2:4] == ({"player_0": False}, {"player_0": True})
