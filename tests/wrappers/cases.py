"""The one list of cases for all forms of the delay: schedules, scripts, and how each form plays them.

A form plays scripts under a schedule, one slot per script, and yields one recorded episode after the other, each
beside what the undelayed environment gives. The laws then look at the episodes alone, whatever the form.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from hypothesis import strategies as st

from bagged_envs.multi_agent.joint import JointEnv, TupleEnv
from bagged_envs.native import NativeVectorEnv
from bagged_envs.testing import ScriptedEnv
from bagged_envs.testing.model import in_order
from bagged_envs.testing.rollout import Episode, play, same
from bagged_envs.testing.scripted_parallel import ScriptedParallelEnv
from bagged_envs.testing.strategies import schedules, scripts
from bagged_envs.wrappers import DelayedReward, RewardSchedule, parallel, vector
from bagged_envs.wrappers.ledger import ListLedger
from bagged_envs.wrappers.vector import one_info

SLOTS = 3
TWO_TEAMS = {"odd": ["agent_1"], "even": ["agent_0", "agent_2"]}
NAN = float("nan")
CASES = [
    RewardSchedule(**arguments)
    for arguments in (
        {"bag_len": 1},
        {"bag_len": 2},
        {"bag_len": 20},
        {"bag_len": None},
        {"bag_len": (1, 4)},
        {"bag_len": (3, 3)},
        {"bag_len": 3, "aggregate": "mean"},
        {"bag_len": 3, "aggregate": "max"},
        {"bag_len": 3, "aggregate": "sum_square"},
        {"bag_len": None, "aggregate": "square_sum"},
        {"bag_len": 2, "label_fraction": 0.5},
        {"bag_len": (1, 3), "label_fraction": 0.5, "label_unit": "episode"},
        {"bag_len": 1, "label_fraction": 0.5, "label_unit": "step"},
        {"bag_len": (2, 5), "aggregate": "mean", "label_fraction": 0.5, "unlabeled_reward": NAN},
        {"bag_len": None, "success": "return", "threshold": 0.0},
        {"bag_len": None, "success": "terminated"},
        {"bag_len": None, "success": "return", "threshold": 0.0, "label_fraction": 0.5},
    )
]


def any_schedule() -> st.SearchStrategy[RewardSchedule]:
    """A case of the list, or a drawn schedule."""
    return st.sampled_from(CASES) | schedules()


def slot_scripts(rewards: st.SearchStrategy[float] | None = None) -> st.SearchStrategy[Any]:
    """One script per slot."""
    one = scripts(rewards, max_steps=9, max_episodes=3)
    return st.lists(one, min_size=SLOTS, max_size=SLOTS)


class Rescripted(ScriptedEnv):
    """Takes its script from the options of `reset`, so that one process can play one script after the other."""

    def __init__(self, slot: int) -> None:
        super().__init__([[(0.0, True, False)]])
        self.slot = slot

    def reset(self, *, seed=None, options=None):
        self.script = (options or {}).get("scripts", {self.slot: self.script})[self.slot]
        return super().reset(seed=seed)


def engine(mode: AutoresetMode, asynchronous: bool = False) -> VectorEnv:
    """A vector environment whose scripts arrive with each `reset`."""
    form = AsyncVectorEnv if asynchronous else SyncVectorEnv
    return form([lambda slot=slot: Rescripted(slot) for slot in range(SLOTS)], autoreset_mode=mode)


def play_single(schedule: RewardSchedule, scripts: Any, seed: int) -> Iterator[Episode]:
    """Every slot in an environment of its own."""
    for slot, script in enumerate(scripts):
        env, twin = DelayedReward(ScriptedEnv(script), schedule), ScriptedEnv(script)
        for number in range(len(script)):
            yield play(env, twin, lambda: 0, seed + slot if number == 0 else None)


def play_vector(envs: VectorEnv, twins: VectorEnv, scripts: Any, seed: int) -> Iterator[Episode]:
    """A delayed vector environment beside an undelayed one, its transparency checked at every step."""
    mode = twins.autoreset_mode
    left = [len(script) for script in scripts]
    options = {"scripts": scripts, "anew": True}
    (observations, infos), (others, _) = (e.reset(seed=seed, options=options) for e in (envs, twins))
    assert same(observations, others)
    open_episodes = [Episode(seed, reset_info=plain(infos, slot)) for slot in range(SLOTS)]
    resetting = np.zeros(SLOTS, dtype=bool)
    while any(left):
        observations, paid, terminated, truncated, infos = envs.step(np.zeros(SLOTS, dtype=int))
        others, dense, *ends, facts = twins.step(np.zeros(SLOTS, dtype=int))
        assert same((observations, terminated, truncated), (others, *ends))
        assert paid.dtype == np.float64
        done = terminated | truncated
        for slot in range(SLOTS):
            if resetting[slot]:
                assert paid[slot] == 0.0
                open_episodes[slot] = Episode(None, reset_info=plain(infos, slot))
                continue
            episode = open_episodes[slot]
            same_step = mode is AutoresetMode.SAME_STEP and done[slot]
            told, fact = (infos["final_info"], facts["final_info"]) if same_step else (infos, facts)
            episode.paid.append(float(paid[slot]))
            episode.dense.append(float(dense[slot]))
            episode.infos.append(plain(told, slot))
            if done[slot]:
                final = facts["final_obs"][slot] if same_step else others[slot]
                episode.final = (final, one_info(fact, slot), bool(terminated[slot]))
                if left[slot]:
                    left[slot] -= 1
                    yield episode
                open_episodes[slot] = Episode(None, reset_info=plain(infos, slot))
        resetting = done & (mode is AutoresetMode.NEXT_STEP)
        if mode is AutoresetMode.DISABLED and done.any():
            mask = {"reset_mask": done, "scripts": scripts}
            (observations, infos), (others, _) = (e.reset(options=dict(mask)) for e in (envs, twins))
            assert same(observations, others)
            for slot in np.flatnonzero(done):
                open_episodes[slot] = Episode(None, reset_info=plain(infos, slot))


def plain(infos: dict[str, Any], slot: int) -> dict[str, Any]:
    """One slot's info with Python's own bools and floats, as a single environment gives it."""
    info = {key: value for key, value in one_info(infos, slot).items() if not key.startswith("final_")}
    return {key: value.item() if hasattr(value, "item") else value for key, value in info.items()}


def play_agents(schedule: RewardSchedule, scripts: Any, seed: int) -> Iterator[Episode]:
    """Every slot is an agent with bags of its own, which leaves when its script ends."""
    episodes = {f"agent_{slot}": script[0] for slot, script in enumerate(scripts)}
    envs, twin = parallel.DelayedReward(ScriptedParallelEnv(episodes), schedule), ScriptedParallelEnv(episodes)
    observations, infos = envs.reset(seed=seed)
    assert same(observations, twin.reset(seed=seed)[0])
    recorded = {agent: Episode(seed, reset_info=infos[agent]) for agent in envs.agents}
    while envs.agents:
        actions = dict.fromkeys(envs.agents, 0)
        observations, paid, terminated, truncated, infos = envs.step(actions)
        others, dense, *ends, facts = twin.step(actions)
        assert same((observations, terminated, truncated), (others, *ends))
        assert envs.agents == twin.agents
        for agent, episode in recorded.items():
            if agent in paid:
                episode.paid.append(paid[agent])
                episode.dense.append(dense[agent])
                episode.infos.append(infos[agent])
                episode.final = (others[agent], facts[agent], terminated[agent])
    yield from recorded.values()


def by_agent(scripts: Any) -> dict[str, Any]:
    """The first episode of each script, as that of an agent."""
    return {f"agent_{slot}": script[0] for slot, script in enumerate(scripts)}


def play_team(team_reward: str, teams: Any, schedule: RewardSchedule, scripts: Any, seed: int) -> Iterator[Episode]:
    """The agents of a team share one bag of their summed or averaged rewards: one slot per team."""
    episodes = by_agent(scripts)
    envs = parallel.DelayedReward(ScriptedParallelEnv(episodes), schedule, team_reward=team_reward, teams=teams)
    twin = ScriptedParallelEnv(episodes)
    _, infos = envs.reset(seed=seed)
    twin.reset(seed=seed)
    teams = {"all": list(episodes)} if teams is None else teams
    recorded = {team: Episode(seed, reset_info=infos[members[0]]) for team, members in teams.items()}
    while envs.agents:
        actions = dict.fromkeys(envs.agents, 0)
        observations, paid, terminated, truncated, infos = envs.step(actions)
        others, dense, *ends, facts = twin.step(actions)
        assert same((observations, terminated, truncated), (others, *ends))
        assert list(paid) == list(dense)
        for team, members in teams.items():
            present = [agent for agent in episodes if agent in members and agent in paid]
            if not present:
                continue
            assert len({repr((paid[agent], sorted(infos[agent].items()))) for agent in present}) == 1
            total = dense[present[0]]
            for agent in present[1:]:
                total = total + dense[agent]
            played = recorded[team]
            played.paid.append(paid[present[0]])
            played.dense.append(total / len(present) if team_reward == "mean" else total)
            played.infos.append(infos[present[0]])
            played.final = (
                {agent: others[agent] for agent in present},
                {agent: facts[agent] for agent in present},
                all(terminated[agent] for agent in present),
            )
    yield from recorded.values()


def play_joint(schedule: RewardSchedule, scripts: Any, seed: int) -> Iterator[Episode]:
    """The team as one environment of a joint controller."""
    env, twin = (JointEnv(ScriptedParallelEnv(by_agent(scripts))) for _ in range(2))
    yield play(DelayedReward(env, schedule), twin, lambda: np.zeros(SLOTS, dtype=np.int64), seed)


class ListDelayedReward(DelayedReward):
    """What registered IDs do where the face pays a list."""

    def _make_ledger(self, nonfinite, name):
        return ListLedger(self.schedule, self.env.unwrapped.n_agents, nonfinite, name)


def play_list(schedule: RewardSchedule, scripts: Any, seed: int) -> Iterator[Episode]:
    """The team as an environment that pays a list: one slot per agent, all drawn from the seed itself."""
    agents = by_agent(scripts)
    env, twin = (TupleEnv(ScriptedParallelEnv(agents), team_reward="per_agent") for _ in range(2))
    env = ListDelayedReward(env, schedule)
    (_, info), _ = env.reset(seed=seed), twin.reset(seed=seed)
    recorded = [Episode(seed, reset_info=info) for _ in agents]
    ended = False
    while not ended:
        actions = (0,) * SLOTS
        observations, paid, *ends, info = env.step(actions)
        others, dense, *other_ends, facts = twin.step(actions)
        assert same((observations, ends), (others, other_ends))
        ended = any(ends)
        for agent, episode in enumerate(recorded):
            episode.paid.append(paid[agent])
            episode.dense.append(dense[agent])
            episode.infos.append(info)
            episode.final = (others, facts, ends[0])
    if schedule.success is None:
        yield from recorded
    else:  # the team's success, paid to each: one slot
        assert all(episode.paid == recorded[0].paid for episode in recorded)
        recorded[0].dense = [in_order(rewards) for rewards in zip(*(e.dense for e in recorded), strict=True)]
        yield recorded[0]


class ScriptedBatch:
    """Plays a script in each copy, without noticing what truncates: that is the native face's time limit."""

    metadata = {"render_modes": []}
    observation_space = Box(-np.inf, np.inf, (3,), np.float64)
    action_space = Discrete(2)

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.scripts = [[[(0.0, True, False)]]] * num_envs
        self.state = np.zeros((num_envs, 3))  # the number of the episode, the step in it, a random number

    def reset(self, slots, generators, options=None):
        for slot, generator in zip(slots, generators, strict=True):
            if options and options.get("anew"):
                self.scripts[slot] = options["scripts"][slot]
                self.state[slot, 0] = 0
            self.state[slot] = self.state[slot, 0] + 1, 0, generator.random()

    def step(self, actions):
        now = []
        for script, (number, step, _) in zip(self.scripts, self.state.astype(int), strict=True):
            steps = script[(number - 1) % len(script)]
            now.append(steps[min(step, len(steps) - 1)])
        self.state[:, 1] += 1
        rewards, terminated, truncated = zip(*now, strict=True)
        return np.array(rewards, dtype=np.float64), np.array(terminated) | np.array(truncated)

    def observe(self):
        return self.state.copy()

    def info(self):
        return {"step": self.state[:, 1].astype(np.int64)}


def bits(value: Any) -> Any:
    """What compares equal where two values are the same to the bit, NaN, types and the order of keys included."""
    if isinstance(value, dict):
        return [(key, bits(one)) for key, one in value.items()]
    if isinstance(value, (list, tuple)):
        return [bits(one) for one in value]
    if isinstance(value, np.ndarray) and value.dtype != object:
        return str(value.dtype), value.shape, value.tobytes()
    return repr(value)


class Forms:
    """How each form plays a schedule; processes are started once, and stopped by `close`."""

    def __init__(self) -> None:
        self.engines: dict[Any, VectorEnv] = {}

    def _engine(self, purpose: str, mode: AutoresetMode, asynchronous: bool = False) -> VectorEnv:
        key = purpose, mode, asynchronous
        if key not in self.engines:
            self.engines[key] = engine(mode, asynchronous)
        return self.engines[key]

    def close(self) -> None:
        """Stop the processes."""
        for envs in self.engines.values():
            envs.close()

    def play(self, form: str, schedule: RewardSchedule, scripts: Any, seed: int) -> Iterator[Episode]:
        """Play every script in the form of that name."""
        if form in PLAYERS:
            return PLAYERS[form](schedule, scripts, seed)
        kind, _, mode = form.partition(" ")
        mode = AutoresetMode[mode]
        if kind == "native":  # a time limit below the longest script: some episodes are truncated
            envs, twins = (
                NativeVectorEnv(ScriptedBatch(SLOTS), max_episode_steps=6, autoreset_mode=mode) for _ in range(2)
            )
            return play_vector(vector.DelayedReward(envs, schedule), twins, scripts, seed)
        twins = self._engine("twin", mode)
        if kind == "singles":
            envs = SyncVectorEnv(
                [lambda slot=slot: DelayedReward(Rescripted(slot), schedule) for slot in range(SLOTS)],
                autoreset_mode=mode,
            )
        else:
            envs = vector.DelayedReward(self._engine("delayed", mode, kind == "async"), schedule)
        return play_vector(envs, twins, scripts, seed)


PLAYERS: dict[str, Callable[..., Iterator[Episode]]] = {
    "single": play_single,
    "agents": play_agents,
    "team sum": lambda *arguments: play_team("sum", None, *arguments),
    "team mean": lambda *arguments: play_team("mean", None, *arguments),
    "two teams": lambda *arguments: play_team("sum", TWO_TEAMS, *arguments),
    "joint": play_joint,
    "list": play_list,
}
MODES = tuple(mode.name for mode in AutoresetMode)
FORMS = (*PLAYERS, *(f"{kind} {mode}" for kind in ("sync", "singles", "native") for mode in MODES))
ASYNC = tuple(f"async {mode}" for mode in MODES)  # a step of processes takes long
