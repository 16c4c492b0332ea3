"""What holds for every adapter, on stand-ins: PettingZoo's own tests, whole seeded episodes, life cycle, refusals."""

import copy

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from pettingzoo.test import parallel_api_test, parallel_seed_test

from bagged_envs.suites.football import from_football
from bagged_envs.suites.smaclite import from_smaclite
from bagged_envs.suites.tuples import from_tuple
from bagged_envs.wrappers import parallel
from tests.suites.stand_ins import Football, Foraging, Legal, OldSpace, SMAClite

MAKERS = {
    "smaclite": lambda **arguments: from_smaclite(SMAClite(), **arguments),
    "smaclite to all": lambda **arguments: from_smaclite(SMAClite(), share="all", **arguments),
    "football": lambda **arguments: from_football(Football(), **arguments),
    "football, one player": lambda **arguments: from_football(Football(players=1), **arguments),
    "tuple": lambda **arguments: from_tuple(Foraging(), **arguments),
    "tuple, done a list": lambda **arguments: from_tuple(Foraging(ends=[2, 4]), **arguments),
}
every = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def legal(env):
    return Legal(env) if env.metadata["name"] == "smaclite" else env


def play(env, seed, episodes=2):
    """Whole episodes of sampled actions, the second without a seed of its own."""
    env = legal(env)
    for number, agent in enumerate(env.possible_agents):
        env.action_space(agent).seed(seed + number)
    steps = []
    for episode in range(episodes):
        steps.append(env.reset(seed=seed if episode == 0 else None))
        while env.agents:
            steps.append(env.step({agent: env.action_space(agent).sample() for agent in env.agents}))
    return steps


@every
class TestEveryAdapter:
    # Football's observations have no bounds, and so cannot be checked against them.
    def test_pettingzoos_own(self, make):
        parallel_api_test(legal(make()), num_cycles=50)
        parallel_api_test(legal(make(max_episode_steps=3)), num_cycles=50)
        parallel_seed_test(lambda: legal(make()))

    @pytest.mark.parametrize("team_reward", parallel.TEAM_REWARDS)
    def test_pettingzoos_own_with_a_delay(self, make, team_reward):
        parallel_api_test(parallel.BaggedReward(legal(make()), 2, team_reward=team_reward), num_cycles=50)

    def test_equal_seeds_give_equal_episodes_and_others_do_not(self, make):
        first, again, other = play(make(), 7), play(make(), 7), play(make(), 8)
        assert len(first) >= 8
        assert data_equivalence(first, again, exact=True)
        assert not data_equivalence(first[0], other[0])

    def test_a_second_episode_is_another_than_the_first(self, make):
        env = make()
        [(first, _), (second, _)] = env.reset(seed=7), env.reset()
        assert not data_equivalence(first, second)

    def test_observations_are_in_their_spaces(self, make):
        env = make()
        for observations, *_ in play(env, 3):
            assert all(env.observation_space(agent).contains(o) for agent, o in observations.items())

    def test_agents_sample_from_spaces_of_their_own(self, make):
        env = make()
        spaces = [env.action_space(agent) for agent in env.possible_agents]
        assert len({id(space) for space in spaces}) == len(env.possible_agents)
        assert [env.action_space(agent) for agent in env.possible_agents] == spaces
        assert all(isinstance(space, gym.spaces.Discrete) for space in spaces)

    def test_a_limit_truncates_and_ends_the_episode(self, make):
        steps = play(make(max_episode_steps=3), 1, episodes=1)
        assert len(steps) == 4
        assert set(steps[-1][3].values()) == {True}
        assert set(steps[-1][2].values()) == {False}
        assert not any(flag for step in steps[1:-1] for flag in step[3].values())

    def test_no_step_before_reset_or_after_the_end(self, make):
        env = make(max_episode_steps=1)
        with pytest.raises(ResetNeeded, match="no episode has begun"):
            env.step({})
        play(env, 1, episodes=1)
        with pytest.raises(ResetNeeded, match="the episode of every agent has ended"):
            env.step({})
        assert len(play(env, 1, episodes=1)) == 2

    def test_a_copy_must_be_reset(self, make):
        env = make()
        env.reset(seed=0)
        twin = copy.deepcopy(env)
        with pytest.raises(ResetNeeded, match="copy"):
            twin.step(dict.fromkeys(twin.agents, 1))
        env.step(dict.fromkeys(env.agents, 1))

    def test_it_is_closed_once_and_then_stays_closed(self, make):
        env = make()
        env.reset(seed=0)
        env.close()
        env.close()
        with pytest.raises(ClosedEnvironmentError):
            env.step(dict.fromkeys(env.agents, 1))

    def test_a_failed_step_wants_a_reset(self, make, monkeypatch):
        env = make()
        env.reset(seed=0)

        def fail(_):
            raise OSError("the simulator is gone")

        with monkeypatch.context() as patch:
            patch.setattr(env.env, "step", fail)
            with pytest.raises(OSError, match="gone"):
                env.step(dict.fromkeys(env.agents, 1))
        with pytest.raises(ResetNeeded, match="the last step failed"):
            env.step(dict.fromkeys(env.agents, 1))

    @pytest.mark.parametrize("action", [np.int64(2), np.uint8(2), np.array(2), 2])
    def test_the_environment_is_given_plain_ints(self, make, action):
        env = make()
        env.reset(seed=0)
        env.step(dict.fromkeys(env.agents, action))
        [received] = env.env.received
        assert {type(number) for number in received} == {int}
        assert set(received) == {2}

    @pytest.mark.parametrize(
        ("action", "error", "said"),
        [
            (1.0, TypeError, "must be an int, got 1.0 of type float"),
            (None, TypeError, "must be an int, got None of type NoneType"),
            ([1], TypeError, "must be an int, got [1] of type list"),
            (19, ValueError, "got 19"),
            (-1, ValueError, "got -1"),
        ],
    )
    def test_a_wrong_action_is_refused_and_the_episode_goes_on(self, make, action, error, said):
        env = make()
        env.reset(seed=0)
        agent = env.possible_agents[0]
        with pytest.raises(error) as caught:
            env.step({**dict.fromkeys(env.agents, 1), agent: action})
        assert said in str(caught.value)
        assert f"the action of {agent}" in str(caught.value)
        assert env.env.received == []
        env.step(dict.fromkeys(env.agents, 1))

    def test_every_agent_that_is_present_must_act_and_nobody_else(self, make):
        env = make()
        env.reset(seed=0)
        with pytest.raises(ValueError, match=r"actions must .* one entry for each agent.*_0.*got none"):
            env.step({})
        with pytest.raises(ValueError, match="actions must .*got .*, nobody"):
            env.step({**dict.fromkeys(env.agents, 1), "nobody": 1})

    @pytest.mark.parametrize(
        ("value", "error"), [(0, ValueError), (-3, ValueError), (2.5, TypeError), ("9", TypeError)]
    )
    def test_a_limit_that_is_none_is_refused(self, make, value, error):
        with pytest.raises(error, match=f"max_episode_steps.*{value!r}"):
            make(max_episode_steps=value)


class Without:
    """An environment that lacks one attribute, as a version of another API would."""

    def __init__(self, env, missing):
        self._env, self._missing = env, missing

    @property
    def unwrapped(self):
        return Without(getattr(self._env, "unwrapped", self._env), self._missing)

    def __getattr__(self, name):
        if name == self._missing:
            raise AttributeError(name)
        return getattr(self._env, name)


class TestRefusals:
    @pytest.mark.parametrize(
        ("adapt", "env", "missing", "remedy"),
        [
            *(
                (from_smaclite, SMAClite(), name, "pip install git+https://github.com/uoe-agents/smaclite")
                for name in ("reset", "step", "observation_space", "n_agents", "n_actions", "get_avail_actions")
            ),
            *(
                (from_football, Football(), name, "make football")
                for name in ("reset", "step", "observation_space", "action_space")
            ),
            *(
                (from_tuple, Foraging(), name, "pip install lbforaging")
                for name in ("reset", "step", "observation_space", "action_space", "n_agents")
            ),
        ],
    )
    def test_what_is_missing_is_named_with_the_way_to_the_real_thing(self, adapt, env, missing, remedy):
        with pytest.raises(TypeError) as caught:
            adapt(Without(env, missing))
        assert f"has no {missing}." in str(caught.value)
        assert remedy in str(caught.value)

    @pytest.mark.parametrize("adapt", [from_smaclite, from_football, from_tuple])
    @pytest.mark.parametrize("env", [None, "smaclite/2s3z-v0", 5])
    def test_what_is_no_environment_at_all(self, adapt, env):
        with pytest.raises(TypeError, match="has no reset, no step, no observation_space, no action_space") as caught:
            adapt(env)
        assert repr(env) in str(caught.value)

    def test_a_space_that_is_no_tuple(self):
        env = Foraging()
        env.action_space = gym.spaces.MultiDiscrete([6, 6])
        with pytest.raises(TypeError, match=r"action_space that is a Tuple .*MultiDiscrete\(\[6 6\]\)"):
            from_tuple(env)

    def test_fewer_spaces_than_agents(self):
        env = Foraging()
        env.n_agents = 3
        with pytest.raises(ValueError, match="one space for each of its 3 agents"):
            from_tuple(env)

    @pytest.mark.parametrize("rewards", [1.5, np.float64(1.5), [1.0], [1.0, 2.0, 3.0]])
    def test_rewards_that_are_not_one_per_agent(self, rewards):
        env = Foraging()
        env.rewards = [rewards]
        adapted = from_tuple(env)
        adapted.reset(seed=0)
        with pytest.raises(ValueError, match="Foraging must give one reward for each of its 2 agents, got"):
            adapted.step(dict.fromkeys(adapted.agents, 1))

    def test_raw_football_observations(self):
        env = Football()
        env.observation_space = OldSpace()
        with pytest.raises(TypeError, match="choose another representation"):
            from_football(env)

    def test_football_without_choices(self):
        env = Football()
        env.action_space = OldSpace(low=0.0, high=1.0)
        with pytest.raises(TypeError, match="MultiDiscrete or a Discrete action_space"):
            from_football(env)

    @pytest.mark.parametrize(
        ("adapt", "env", "said"),
        [
            (from_smaclite, SMAClite(), r"smaclite.step must return 5 values, got 4"),
            (from_football, Football(), r"football.step must return 4 values, got 3"),
            (from_tuple, Foraging(), r"Foraging.step must return 5 values, got 4"),
        ],
    )
    def test_a_step_of_another_api(self, adapt, env, said):
        adapted = adapt(env)
        adapted.reset(seed=0)
        step = env.step
        env.step = lambda actions: step(actions)[:-1]
        with pytest.raises(ValueError, match=said):
            adapted.step(dict.fromkeys(adapted.agents, 1))

    @pytest.mark.parametrize(("adapt", "env"), [(from_smaclite, SMAClite()), (from_tuple, Foraging())])
    def test_a_reset_of_the_old_gym(self, adapt, env):
        adapted = adapt(env)
        env.reset = lambda seed, options: [0]
        with pytest.raises(ValueError, match="reset must return 2 values, got one list: is it another version"):
            adapted.reset(seed=0)
        with pytest.raises(ResetNeeded, match="the last reset failed"):
            adapted.step({})
