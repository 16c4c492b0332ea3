"""The adapter of football on a stand-in of the engine; tests/suites/test_football_engine.py runs the real one."""

import random

import numpy as np
import pytest

from bagged_envs.suites.football import from_football
from bagged_envs.wrappers import parallel
from tests.suites.stand_ins import Football


def play(env, seed=0):
    env.reset(seed=seed)
    steps = []
    while env.agents:
        steps.append(env.step(dict.fromkeys(env.agents, 5)))
    return steps


def ends(env):
    """The last step's flags, which are the same for all."""
    *_, (_, _, terminated, truncated, _) = play(env)
    [flags] = set(zip(terminated.values(), truncated.values(), strict=True))
    return flags


class TestSteps:
    def test_every_player_is_paid_its_own_reward(self):
        steps = play(from_football(Football()))
        # float32, as the engine pays them.
        assert [step[1] for step in steps] == [
            {"player_0": 0.10000000149011612, "player_1": 0.0, "player_2": 0.0},
            {"player_0": 0.0, "player_1": 0.30000001192092896, "player_2": 0.0},
            {"player_0": 0.0, "player_1": 0.0, "player_2": 0.10000000149011612},
            {"player_0": 2.0, "player_1": 1.899999976158142, "player_2": 2.0},
        ]
        assert {type(reward) for step in steps for reward in step[1].values()} == {float}

    def test_one_player_alone_has_no_axis(self):
        env = from_football(Football(players=1))
        observations, _ = env.reset(seed=0)
        assert env.possible_agents == ["player_0"]
        assert observations["player_0"].shape == env.observation_space("player_0").shape == (5,)
        assert [step[1] for step in play(env)][-1] == {"player_0": 2.0}
        assert env.env.given == [5] * 4

    def test_spaces_are_gymnasiums(self):
        env = from_football(Football())
        assert str(env.observation_space("player_2")) == "Box(-inf, inf, (5,), float32)"
        assert str(env.action_space("player_2")) == "Discrete(19)"

    def test_the_adapter_adds_nothing_to_the_engines_own_episode(self):
        """The engine draws from Python's random numbers; the adapter's are those of its seed."""
        adapted, plain = from_football(Football()), Football()
        shown, _ = adapted.reset(seed=11)
        random.seed(random.Random(11).getrandbits(64))
        seen = plain.reset()
        assert np.stack(list(shown.values())).tobytes() == seen.tobytes()
        while adapted.agents:
            shown, paid, terminated, _, infos = adapted.step({"player_0": 1, "player_1": 2, "player_2": 3})
            seen, rewards, done, info = plain.step([1, 2, 3])
            assert np.stack(list(shown.values())).tobytes() == seen.tobytes()
            assert list(paid.values()) == rewards.tolist()
            assert list(infos.values()) == [info] * 3
            assert list(terminated.values()) == [done] * 3
        assert done


class TestEnds:
    def test_an_end_before_the_limit_is_terminated(self):
        assert ends(from_football(Football(), max_episode_steps=100)) == (True, False)

    def test_the_limit_truncates(self):
        assert ends(from_football(Football(ends=None), max_episode_steps=3)) == (False, True)

    def test_an_end_in_the_step_of_the_limit_is_terminated(self):
        assert ends(from_football(Football(ends=4), max_episode_steps=4)) == (True, False)

    def test_the_engines_clock_truncates(self):
        assert ends(from_football(Football(ends=None, duration=6))) == (False, True)

    def test_an_engine_that_does_not_tell_its_time_terminates(self):
        env = Football(ends=None, duration=6)
        env.unwrapped = type("Core", (), {"steps": 0, "duration": 6})()
        assert ends(from_football(env)) == (True, False)


class TestSeeds:
    def test_pythons_own_random_numbers_go_on_as_if_nothing_had_been(self):
        random.seed(3)
        expected = [random.random() for _ in range(3)]
        random.seed(3)
        env, drawn = from_football(Football()), []
        for _ in range(3):
            env.reset(seed=5)
            drawn.append(random.random())
        assert drawn == expected

    def test_they_are_put_back_when_a_reset_fails(self, monkeypatch):
        env = Football()

        def fail():
            raise OSError("no engine")

        monkeypatch.setattr(env, "reset", fail)
        before = random.getstate()
        with pytest.raises(OSError, match="no engine"):
            from_football(env).reset(seed=5)
        assert random.getstate() == before

    def test_without_a_seed_the_engine_draws_from_them(self):
        first, second = from_football(Football()), from_football(Football())
        random.seed(3)
        [observations, _] = first.reset()
        random.seed(3)
        [again, _] = second.reset()
        assert observations["player_0"].tobytes() == again["player_0"].tobytes()


class TestDelayed:
    def test_a_teams_episode(self):
        env = parallel.EpisodicReward(from_football(Football()), team_reward="sum", reward_info_keys=["score_reward"])
        steps = play(env)
        # Left to right over players, then over steps, in float64 of the engine's float32.
        total = ((0.10000000149011612 + 0.30000001192092896) + 0.10000000149011612) + (2.0 + 1.899999976158142 + 2.0)
        assert total == 6.399999991059303
        assert steps[-1][1] == dict.fromkeys(["player_0", "player_1", "player_2"], total)
        assert [set(step[1].values()) for step in steps[:-1]] == [{0.0}] * 3
        assert {key for step in steps for info in step[4].values() for key in info} == {"bag_end", "reward_observed"}

    def test_players_with_bags_of_their_own(self):
        steps = play(parallel.BaggedReward(from_football(Football(), max_episode_steps=3), 2))
        assert [step[1] for step in steps] == [
            {"player_0": 0.0, "player_1": 0.0, "player_2": 0.0},
            {"player_0": 0.10000000149011612, "player_1": 0.30000001192092896, "player_2": 0.0},
            {"player_0": 0.0, "player_1": 0.0, "player_2": 0.10000000149011612},
        ]

    def test_it_is_closed_with_the_delay(self):
        env = parallel.EpisodicReward(from_football(Football()), team_reward="sum")
        env.reset(seed=0)
        env.close()
        assert env.env.env.closed
