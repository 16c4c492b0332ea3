"""The delay sweep: its process is the environment's, and its episodes' updates are the learners'."""

import random

import gymnasium as gym
import numpy as np
import pytest

import bagged_envs  # noqa: F401 - registers the IDs
from bagged_envs.baselines.experiments import trace_back
from bagged_envs.baselines.experiments.trace_back import (
    CONFIG,
    METHODS,
    World,
    advice_of,
    learn_episode,
    main,
    plot,
    run,
    summary,
)
from bagged_envs.baselines.growing_table import append_row, quantile, read_rows
from bagged_envs.baselines.learners.tabular import LookAheadAdvice, MonteCarlo, QLambda, SarsaLambda, StateNumbers


def fresh(world):
    return [[0.0] * 4 for _ in world.table.states]


@pytest.mark.parametrize("delay", [2, 6])
def test_what_is_walked_is_the_episodic_environment(delay):
    world = World(delay, 0.0, seed=0)
    env = gym.make("bagged_envs:EpisodicTraceBack-v0", delay=delay)
    number = StateNumbers(env.observation_space)
    totals = set()
    for _ in range(300):
        episode = world.walk(fresh(world), None)
        states, rewards = [number(env.reset()[0])], []
        for action in episode.actions:
            observation, reward, terminated, truncated, _ = env.step(action)
            states.append(number(observation))
            rewards.append(reward)
        assert (terminated, truncated) == (True, False)
        assert states == episode.states
        assert rewards == [0.0] * (delay - 1) + [episode.total]
        totals.add(episode.total)
    assert totals == {0.0, 5.0, 10.0}


def test_noise_has_the_environment_s_distribution():
    def sample(make):
        return np.array([make() for _ in range(3000)])

    world = World(7, 2.0, seed=0)
    env = gym.make("bagged_envs:EpisodicTraceBack-v0", delay=7, noise=2.0)
    env.reset(seed=0)

    def walked():
        return world.walk(fresh(world), None).total

    def stepped():
        env.reset()
        return [env.step(world.random.randrange(4))[1] for _ in range(7)][-1]

    ours, theirs = sample(walked), sample(stepped)
    assert set(ours.tolist()) == set(theirs.tolist())
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.6)
    assert ours.var() == pytest.approx(theirs.var(), rel=0.15)


@pytest.mark.parametrize("method", [method for method in METHODS if not method.startswith("rudder")])
def test_an_episode_s_update_is_the_learner_s_step_by_step(method):
    world = World(6, 2.0, seed=0)
    advice = advice_of(method, world.table)
    values = fresh(world)
    bias = None
    if isinstance(advice, LookAheadAdvice):
        bias = [[advice.bias(state, action) for action in range(4)] for state in range(len(values))]
    kind = {"mc": MonteCarlo, "sarsa-lambda": SarsaLambda}.get(method, QLambda)
    learner = kind(4, CONFIG, advice=advice)
    for _ in range(300):
        episode = world.walk(values, bias)
        rewards = [random.Random(episode.actions[0]).random()] * 5 + [episode.total]
        rule = method if method in ("mc", "sarsa-lambda") else "q-lambda"
        learn_episode(rule, values, episode, rewards, advice)
        for step, reward in enumerate(rewards):
            following, over = episode.states[step + 1], step == 5
            next_action = 0 if over else episode.actions[step + 1]
            learner.learn(episode.states[step], episode.actions[step], reward, following, next_action, over)
        learner.end()
        for state in episode.states[:-1]:
            assert values[state] == pytest.approx(learner.values.row(state))
    assert len({round(value, 6) for row in values for value in row}) > 100


def test_the_mean_of_immediate_rewards():
    world = World(3, 0.0, seed=0)
    values = fresh(world)
    episode = world.walk(values, None)
    for _ in range(2):
        learn_episode("mean", values, episode, [10.0, -20.0, 0.0])
    found = [values[state][action] for state, action in zip(episode.states, episode.actions, strict=False)]
    assert found == pytest.approx([1.9, -3.8, 0.0])


class TestSolved:
    world = World(4, 0.0, seed=0)

    def values(self, first, second):
        values = fresh(self.world)
        values[self.world.start][:] = first
        values[self.world.table.number(1, 2, 1)][:] = second
        return values

    @pytest.mark.parametrize(
        ("first", "second", "wanted"),
        [
            ((1, 0, 0, 0), (1, 0, 0, 0), True),
            ((1, 0, 0, 0), (1, 1, 0, 0), False),
            ((1, 1, 0, 0), (1, 0, 0, 0), False),
            ((0, 1, 0, 0), (1, 0, 0, 0), False),
            ((0, 0, 0, 0), (0, 0, 0, 0), False),
        ],
    )
    def test_up_twice_without_ties(self, first, second, wanted):
        assert self.world.solved(self.values(first, second), None) is wanted

    def test_a_bias_counts(self):
        bias = self.values((5, 0, 0, 0), (5, 0, 0, 0))
        assert self.world.solved(self.values((0, 1, 0, 0), (0, 0, 1, 0)), bias)


@pytest.mark.long
def test_rudder_solves_a_short_one(monkeypatch):
    monkeypatch.setattr(trace_back, "SURE", 100)
    count, solved = run("rudder", 4, 0.0, seed=0, limit=2000)
    assert solved
    assert trace_back.ENOUGH_LESSONS <= count < 1500


def test_the_limit_holds():
    assert run("mc", 4, 0.0, seed=0, limit=10) == (10, False)


def test_the_command_goes_on_where_it_was(tmp_path):
    table = tmp_path / "rows.csv"
    common = ["--methods", "mc", "--delays", "4", "--noises", "0", "--out", str(table)]
    main([*common, "--seeds", "1", "--limit", "10"])
    main([*common, "--seeds", "2", "--limit", "5"])
    assert [(row["seed"], row["episodes"]) for row in read_rows(table)] == [("0", "10"), ("1", "5")]


def test_the_summary_and_the_picture(tmp_path):
    table, picture = tmp_path / "rows.csv", tmp_path / "picture.png"
    for episodes, solved, delay in ((100, 1, 6), (200, 1, 6), (900, 0, 8), (1000, 0, 8)):
        append_row(table, {"method": "mc", "noise": 2.0, "delay": delay, "episodes": episodes, "solved": solved})
    assert summary(table).splitlines() == ["| noise 2 | 6 | 8 |", "|---|---|---|", "| mc | 100 (2) | > 900 (2) |"]
    pytest.importorskip("matplotlib")
    plot(table, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("share", "wanted"), [(0.0, 1), (0.25, 1), (0.4, 2), (0.5, 2), (0.6, 3), (1.0, 4)])
def test_quantiles_are_values_that_were_there(share, wanted):
    assert quantile([3, 1, 4, 2], share) == wanted
