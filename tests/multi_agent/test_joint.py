"""The joint controller's face, EPyMARL's, and the opponents of teams that learn alone."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Tuple

import bagged_envs
from bagged_envs.multi_agent.joint import JointEnv, TupleEnv, stacked
from bagged_envs.multi_agent.opponents import Streams
from bagged_envs.testing import assert_sum_invariance, check_bagged, episode
from bagged_envs.testing.rollout import same
from bagged_envs.testing.scripted_parallel import ScriptedParallelEnv
from bagged_envs.wrappers import RewardSchedule
from bagged_envs.wrappers.ledger import ListLedger

SCRIPTS = {
    "b": episode([1.0, 2.0, 4.0]),
    "a": episode([10.0, 20.0, 40.0, 80.0], terminated=False, truncated=True),
    "c": episode([100.0, 200.0, 400.0, 800.0]),
}
STILL = np.zeros(3, dtype=np.int64)


class Masked(ScriptedParallelEnv):
    """Agents whose infos have an action mask, in a world with a fact."""

    shared_info = ("weather",)

    def tell(self, infos):
        return {a: {"action_mask": np.array([1, self._step % 2], np.int8), "weather": self._step} for a in infos}

    def reset(self, seed=None, options=None):
        observations, infos = super().reset(seed, options)
        return observations, self.tell(infos)

    def step(self, actions):
        self.last = actions
        *result, infos = super().step(actions)
        return *result, self.tell(infos)


class TestJoint:
    def test_the_dead_are_observed_as_zeros_and_their_actions_are_left_out(self):
        parallel = Masked(SCRIPTS)
        env = JointEnv(parallel)
        observation, info = env.reset(seed=0)
        assert observation.shape == env.observation_space.shape == (3, 3)
        assert observation[:, 0].tolist() == [1.0, 2.0, 3.0]
        assert info["alive"].tolist() == [True] * 3
        rewards, alive, seen = [], [], []
        for _ in range(4):
            observation, reward, terminated, truncated, info = env.step(STILL)
            rewards.append(reward)
            alive.append(info["alive"].tolist())
            seen.append((observation[0].any(), list(parallel.last), info["agent_rewards"].tolist()))
        assert rewards == [111.0, 222.0, 444.0, 880.0]
        assert alive == [[True] * 3, [True] * 3, [False, True, True], [False, True, False]]
        # b is still observed in the step that ends it, as PettingZoo's environments do.
        assert seen[2] == (True, ["b", "a", "c"], [4.0, 40.0, 400.0])
        assert seen[3] == (False, ["a", "c"], [0.0, 80.0, 800.0])
        assert (terminated, truncated) == (False, True)

    def test_masks_and_facts_of_the_world(self):
        env = JointEnv(Masked(SCRIPTS))
        _, info = env.reset(seed=0)
        assert info["action_mask"].tolist() == [[1, 0]] * 3
        assert info["weather"] == 0
        for _ in range(4):
            info = env.step(STILL)[4]
        assert info["action_mask"].tolist() == [[0, 0], [1, 0], [1, 0]]
        assert info["weather"] == 4

    def test_masks_are_of_ones_own_agents_and_stay_when_nobody_is_left_to_have_one(self):
        class Others(Masked):
            """Opponents have another number of actions, and the last infos have no masks."""

            def tell(self, infos):
                told = super().tell(infos)
                masks = {"b": {"action_mask": np.ones(5, np.int8)}} if self._step < 4 else {}
                return {
                    a: {"weather": 0, **masks.get(a, {})} if a == "b" or self._step == 4 else told[a] for a in infos
                }

        env = JointEnv(Others(SCRIPTS), teams={"own": ["a", "c"], "others": ["b"]}, opponents="still")
        _, info = env.reset(seed=0)
        masks = [info["action_mask"].tolist(), *(env.step(STILL[:2])[4]["action_mask"].tolist() for _ in range(4))]
        assert masks == [[[1, 0]] * 2, [[1, 1]] * 2, [[1, 0]] * 2, [[1, 1]] * 2, [[0, 0]] * 2]

    def test_the_mean_is_over_those_who_are_present(self):
        env = JointEnv(ScriptedParallelEnv(SCRIPTS), team_reward="mean")
        env.reset()
        assert [env.step(STILL)[1] for _ in range(4)] == [37.0, 74.0, 148.0, 440.0]

    def test_a_team_ends_with_its_last_agent(self):
        env = JointEnv(ScriptedParallelEnv(SCRIPTS), teams={"one": ["b"], "rest": ["a", "c"]}, opponents="still")
        assert env.team == "one"
        env.reset()
        ends = [env.step(np.zeros(1, dtype=np.int64))[2:4] for _ in range(3)]
        assert ends == [(False, False), (False, False), (True, False)]

    def test_spaces_that_differ_are_a_dict(self):
        boxes = [Box(0, 1, (2,), np.float32), Box(0, 1, (3,), np.float32)]
        assert stacked(["x", "y"], boxes) == Dict({"x": boxes[0], "y": boxes[1]})
        env = gym.make("BaggedSimpleSpeakerListener-v0")
        assert env.observation_space == Dict(
            {"listener_0": Box(-np.inf, np.inf, (11,), np.float32), "speaker_0": Box(-np.inf, np.inf, (3,), np.float32)}
        )
        assert env.action_space == MultiDiscrete([3, 5])

    def test_continuous_actions_are_stacked(self):
        env = gym.make("BaggedSimpleSpread-v0", continuous_actions=True)
        assert env.action_space == Box(0.0, 1.0, (3, 5), np.float32)
        env.reset(seed=0)
        env.step(env.action_space.sample())

    @pytest.mark.parametrize("face", ["joint", "tuple"])
    @pytest.mark.parametrize("name", ["SimpleSpread", "SimpleSpeakerListener"])
    def test_continuous_actions_of_any_float_are_acted_alike(self, name, face):
        """Stacked, by agent (the listener has other actions than the speaker), and as a tuple."""
        ways = []
        for dtype in (np.float32, np.float64):
            env = gym.make(f"Bagged{name}-v0", continuous_actions=True, face=face, disable_env_checker=True)
            env.reset(seed=0)
            env.action_space.seed(0)
            ways.append([env.step(cast(env.action_space.sample(), dtype))[0] for _ in range(5)])
        assert same(*ways)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"team": "rest"}, "team must be one of 'team', got 'rest'"),
            ({"team_reward": "per_agent"}, "team_reward must be one of 'sum', 'mean', got 'per_agent'"),
            ({"opponents": "still"}, "opponents='still' has no use"),
            ({"teams": {"one": ["b"], "rest": ["a", "c"]}, "opponents": "flee"}, "opponents must be one of 'random'"),
        ],
    )
    def test_wrong_arguments(self, arguments, said):
        with pytest.raises(ValueError, match=said):
            JointEnv(ScriptedParallelEnv(SCRIPTS), **arguments)

    def test_a_list_is_an_action(self):
        env = JointEnv(ScriptedParallelEnv(SCRIPTS))
        env.reset()
        assert env.step([0, 1, 0])[1] == 111.0

    def test_a_wrong_action(self):
        env = JointEnv(ScriptedParallelEnv(SCRIPTS))
        env.reset()
        with pytest.raises(ValueError, match=r"action must be in MultiDiscrete\(\[2 2 2\]\), got array\(\[0, 0, 2\]\)"):
            env.step(np.array([0, 0, 2]))


def cast(action, dtype):
    if isinstance(action, dict):
        return {agent: one.astype(dtype) for agent, one in action.items()}
    return tuple(one.astype(dtype) for one in action) if isinstance(action, tuple) else action.astype(dtype)


class Recording(ScriptedParallelEnv):
    """Remembers what everyone did."""

    def reset(self, seed=None, options=None):
        self.acts = []
        return super().reset(seed, options)

    def step(self, actions):
        self.acts.append(dict(actions))
        return super().step(actions)


TEAMS = {"mine": ["b"], "theirs": ["a", "c"]}


class TestOpponents:
    @staticmethod
    def acts(opponents, seed, episodes=1):
        long = {agent: episode([0.0] * 40) for agent in SCRIPTS}
        parallel = Recording(long)
        env = JointEnv(parallel, teams=TEAMS, opponents=opponents)
        acts = []
        for number in range(episodes):
            env.reset(seed=seed if number == 0 else None)
            while parallel.agents:
                env.step(np.zeros(1, dtype=np.int64))
            acts.append([(act["a"], act["c"]) for act in parallel.acts])
        return acts

    def test_random_ones_follow_the_seed_and_go_on_without_one(self):
        first, second = self.acts("random", 3, episodes=2)
        assert [first, second] == self.acts("random", 3, episodes=2)
        assert first != second
        assert first != self.acts("random", 4)[0]
        assert 10 <= sum(a for a, _ in first) <= 30  # of 40 fair draws
        assert {(0, 0), (0, 1), (1, 0), (1, 1)} == set(first)

    def test_still_ones(self):
        assert set(self.acts("still", 3)[0]) == {(0, 0)}

    def test_a_callable_sees_the_living_and_a_generator_of_its_own(self):
        seen = []

        def policy(observations, generator):
            seen.append((sorted(observations), float(generator.random())))
            return dict.fromkeys(observations, 1)

        assert set(self.acts(policy, 3)[0]) == {(1, 1)}
        assert {tuple(names) for names, _ in seen} == {("a", "c")}
        draws = [draw for _, draw in seen]
        assert len(set(draws)) == 40
        seen.clear()
        self.acts(policy, 3)
        assert [draw for _, draw in seen] == draws

    def test_they_do_not_disturb_the_task(self):
        """The world's random numbers are the same whoever acts."""
        first, second = (
            JointEnv(ScriptedParallelEnv(SCRIPTS), teams=TEAMS, opponents=opponents)
            for opponents in ("random", "still")
        )
        assert np.array_equal(first.reset(seed=5)[0], second.reset(seed=5)[0])
        action = np.zeros(1, dtype=np.int64)
        assert np.array_equal(first.step(action)[0], second.step(action)[0])

    @pytest.mark.parametrize(
        ("returned", "said"),
        [
            (lambda seen: None, "opponents returned None: return a dict with an action for each of ..a., .c"),
            (lambda seen: [0, 0], r"opponents returned \[0, 0\]: return a dict"),
            (lambda seen: {"a": 0}, "opponents returned {'a': 0}: return a dict"),
            (lambda seen: {"a": 0, "c": 0, "b": 1}, "return a dict with an action for each"),
            (lambda seen: {"a": 0, "c": 7}, r"opponents' action for c must be in Discrete\(2\), got 7"),
        ],
    )
    def test_a_callable_acts_for_its_own_agents_alone(self, returned, said):
        env = JointEnv(ScriptedParallelEnv(SCRIPTS), teams=TEAMS, opponents=lambda seen, generator: returned(seen))
        env.reset()
        with pytest.raises(ValueError, match=said):
            env.step(np.zeros(1, dtype=np.int64))

    def test_their_stream_is_neither_the_tasks_nor_the_bags(self):
        def states(*sequences):
            return {str(np.random.default_rng(one).bit_generator.state["state"]) for one in sequences}

        streams = Streams(1)
        streams.seed(0, 5)
        others = states(5, *np.random.SeedSequence(5).spawn(2))
        assert len(others) == 3
        assert str(streams._generators[0].bit_generator.state["state"]) not in others

    def test_a_team_without_agents_is_named(self):
        with pytest.raises(ValueError, match="team='adversaries' has no agents here"):
            gym.make("BaggedSimpleTag-v0", num_adversaries=0)

    @pytest.mark.parametrize("opponents", [3, None])
    def test_neither_a_name_nor_callable(self, opponents):
        with pytest.raises(TypeError, match="opponents must be a name or a callable, got"):
            JointEnv(ScriptedParallelEnv(SCRIPTS), teams=TEAMS, opponents=opponents)

    def test_boxes(self):
        env = gym.make("BaggedSimpleTag-v0", continuous_actions=True, opponents="still")
        env.reset(seed=0)
        taken = []
        parallel = env.unwrapped.env
        step, parallel.step = parallel.step, lambda actions: taken.append(actions) or step(actions)
        env.step(env.action_space.sample())
        assert taken[0]["agent_0"].tolist() == [0.5] * 5
        assert env.unwrapped.env.action_space("agent_0").contains(taken[0]["agent_0"])

    @pytest.mark.parametrize("as_they_give_it", [np.asarray, np.ndarray.tolist, np.float32])
    def test_what_a_callable_gives_for_a_box_is_cast_to_its_dtype(self, as_they_give_it):
        given = np.array([0.1, 0.0, 1.0, 0.3, 0.25])
        env = gym.make(
            "BaggedSimpleTag-v0",
            continuous_actions=True,
            opponents=lambda seen, generator: dict.fromkeys(seen, as_they_give_it(given)),
        )
        env.reset(seed=0)
        taken = []
        parallel = env.unwrapped.env
        step, parallel.step = parallel.step, lambda actions: taken.append(actions) or step(actions)
        env.step(env.action_space.sample())
        assert taken[0]["agent_0"].dtype == np.float32
        assert taken[0]["agent_0"].tolist() == given.astype(np.float32).tolist()

    def test_and_refused_outside_the_box(self):
        env = gym.make(
            "BaggedSimpleTag-v0",
            continuous_actions=True,
            opponents=lambda seen, generator: dict.fromkeys(seen, np.full(5, 1.5)),
        )
        env.reset(seed=0)
        said = r"opponents' action for agent_0 must be in Box\(.*, float32\), got .* with values from 1.5 to 1.5, out"
        with pytest.raises(ValueError, match=said):
            env.step(env.action_space.sample())


class Gymma:
    """Makes the calls that EPyMARL's wrapper makes of an environment."""

    def __init__(self, key, time_limit, **kwargs):
        self._env = gym.make(key, max_episode_steps=time_limit, disable_env_checker=True, **kwargs)
        self.n_agents = self._env.unwrapped.n_agents
        self.longest_action_space = max(self._env.action_space, key=lambda x: x.n)
        self.longest_observation_space = max(self._env.observation_space, key=lambda x: x.shape)

    def reset(self, seed):
        observations, info = self._env.reset(seed=seed)
        return self._padded(observations), info

    def step(self, actions):
        observations, reward, done, truncated, info = self._env.step([int(a) for a in actions])
        assert isinstance(reward, list)
        return self._padded(observations), float(sum(reward)), bool(done), bool(truncated), info

    def _padded(self, observations):
        width = self.longest_observation_space.shape[0]
        return [np.pad(o, (0, width - len(o))) for o in observations]

    def available(self):
        n = self.longest_action_space.n
        return [[1] * space.n + [0] * (n - space.n) for space in self._env.action_space]


class TestTuple:
    def test_epymarls_calls_get_the_team_sum(self):
        gymma = Gymma("bagged_envs:EpisodicSimpleSpeakerListener-v0", 9, face="tuple")
        assert gymma.n_agents == 2
        assert gymma.available() == [[1, 1, 1, 0, 0], [1] * 5]
        observations, _ = gymma.reset(seed=3)
        assert [o.shape for o in observations] == [(11,), (11,)]
        paid, ended = [], False
        while not ended:
            _, reward, done, truncated, _ = gymma.step([1, 2])
            paid.append(reward)
            ended = done or truncated
        dense = gym.make("EpisodicSimpleSpeakerListener-v0", max_episode_steps=9, bag_len=None)
        dense = bagged_envs.dense(dense)
        dense.reset(seed=3)
        expected = sum(dense.step(np.array([1, 2]))[1] for _ in range(9))
        assert len(paid) == 9
        assert paid[:-1] == [0.0] * 8
        assert paid[-1] == pytest.approx(expected, rel=1e-12)

    def test_lists_of_each_agents_own_bags_or_of_the_teams(self):
        own = TupleEnv(ScriptedParallelEnv(SCRIPTS), team_reward="per_agent")
        team = TupleEnv(ScriptedParallelEnv(SCRIPTS), team_reward="sum")
        own.reset()
        team.reset()
        assert own.step((0, 0, 0))[1] == [1.0, 10.0, 100.0]
        assert team.step((0, 0, 0))[1] == [111.0, 111.0, 111.0]
        assert own.observation_space == Tuple([own.env.observation_space(a) for a in "bac"])
        assert own.action_space == Tuple([Discrete(2)] * 3)

    @pytest.mark.parametrize(("team_reward", "factor"), [(None, 1), ("per_agent", 1), ("sum", 3), ("mean", 1)])
    def test_registered_ids_pay_lists_of_bags(self, team_reward, factor):
        arguments = {"face": "tuple", "team_reward": team_reward, "disable_env_checker": True}
        env = gym.make("BaggedSimpleSpread-v0", bag_len=10, expose_reward=True, **arguments)
        env.reset(seed=0)
        steps = [env.step((1, 2, 3)) for _ in range(25)]
        paid = np.array([step[1] for step in steps])
        dense = np.array([step[4]["dense_reward"] for step in steps])
        assert np.flatnonzero(paid.any(axis=1)).tolist() == [9, 19, 24]
        assert [step[4]["bag_end"] for step in steps] == [i in (9, 19, 24) for i in range(25)]
        for low, high in ((0, 10), (10, 20), (20, 25)):
            assert paid[high - 1] == pytest.approx(dense[low:high].sum(axis=0), rel=1e-12)
        other = gym.make("BaggedSimpleSpread-v0", bag_len=10)
        other.reset(seed=0)
        joint = [other.step(np.array([1, 2, 3]))[1] for _ in range(25)]
        assert paid.sum(axis=1) == pytest.approx(factor * np.array(joint), rel=1e-12)

    @pytest.mark.parametrize(("team_reward", "threshold"), [(None, -2.0), ("sum", -2.0), ("mean", -2.0 / 3.0)])
    def test_a_success_is_the_teams_and_paid_to_everyone(self, team_reward, threshold):
        arguments = {"success": "return", "threshold": threshold, "max_episode_steps": 4}
        joint = gym.make("SparseTriangleArea-v0", **arguments, team_reward=team_reward if team_reward else "sum")
        env = gym.make(
            "SparseTriangleArea-v0", face="tuple", team_reward=team_reward, disable_env_checker=True, **arguments
        )
        outcomes = set()
        for seed in range(30):
            joint.reset(seed=seed)
            env.reset(seed=seed)
            for _ in range(4):
                _, expected, _, _, facts = joint.step(np.array([1, 2, 3]))
                _, paid, _, _, info = env.step((1, 2, 3))
                assert paid == [expected] * 3
                assert info["is_success"] == facts["is_success"]
            outcomes.add(expected)
        assert outcomes == {0.0, 1.0}

    def test_the_bags_of_a_list_open_and_close_together_without_a_seed_too(self):
        ledger = ListLedger(RewardSchedule(bag_len=(1, 5), label_fraction=0.5), 4)
        for _ in range(60):
            paid = ledger.pay([1.0] * 4, False)
            assert len(set(paid)) == 1

    @pytest.mark.parametrize("rewards", [0.0, [1.0], None, [1.0, "a", 2.0], "abc"])
    def test_rewards_that_are_no_list_of_numbers_are_refused(self, rewards):
        with pytest.raises(TypeError, match="the environment.* (must pay a list of 3 rewards|paid the reward)"):
            ListLedger(RewardSchedule(bag_len=2), 3).pay(rewards, False)

    @pytest.mark.parametrize("action", [(0, 0), (0, 0, 2), (0, 0, 1.5)])
    def test_a_wrong_action(self, action):
        env = TupleEnv(ScriptedParallelEnv(SCRIPTS), team_reward="per_agent")
        env.reset()
        with pytest.raises(ValueError, match=r"action must be in Tuple|action\[2\] must be in Discrete\(2\), got"):
            env.step(action)

    def test_the_laws_are_for_single_rewards(self):
        env = gym.make("BaggedTriangleArea-v0", face="tuple", disable_env_checker=True)
        for check in (check_bagged, lambda env: assert_sum_invariance(lambda: env)):
            with pytest.raises(ValueError, match="pays lists of rewards.*check it with face='joint'"):
                check(env)

    def test_a_dense_twin_that_observes_bags_pays_lists(self):
        twin = bagged_envs.dense("BaggedSimpleSpread-v0", face="tuple", observe_bag=True, disable_env_checker=True)
        twin.reset(seed=0)
        assert [type(reward) for reward in twin.step((0, 0, 0))[1]] == [float] * 3

    def test_the_open_bag_can_be_observed(self):
        env = gym.make("BaggedSimpleSpread-v0", bag_len=3, observe_bag=True, face="tuple", disable_env_checker=True)
        env.reset(seed=0)
        counts = [[o[-1] for o in env.step((0, 0, 0))[0]] for _ in range(4)]
        assert counts == [[1, 1, 1], [2, 2, 2], [0, 0, 0], [1, 1, 1]]
        stacked = gym.make("BaggedSimpleSpread-v0", bag_len=3, observe_bag=True)
        stacked.reset(seed=0)
        assert [stacked.step(STILL)[0][:, -1].tolist() for _ in range(4)] == counts
        assert stacked.observation_space.shape == (3, 19)

    def test_a_vector_environment_of_lists_is_refused(self):
        with pytest.raises(ValueError, match="face='tuple' pays lists of rewards.*use face='joint'"):
            bagged_envs.make_vec("BaggedSimpleSpread-v0", 2, face="tuple")

    def test_the_spec_goes_back_and_forth_between_faces(self):
        env = gym.make("BaggedSimpleSpread-v0", face="tuple", bag_len=2, disable_env_checker=True)
        joint = gym.make(env.spec, face="joint")
        joint.reset(seed=0)
        env.reset(seed=0)
        lists = [env.step((0, 0, 0))[1] for _ in range(4)]
        assert [joint.step(STILL)[1] for _ in range(4)] == pytest.approx([sum(paid) for paid in lists])

    def test_an_unknown_face(self):
        with pytest.raises(ValueError, match="face must be one of 'joint', 'tuple', got 'list'"):
            gym.make("BaggedSimpleSpread-v0", face="list")
