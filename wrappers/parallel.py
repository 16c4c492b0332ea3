"""The delay for PettingZoo parallel environments: a bag per agent, or one bag for the team."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Space
from pettingzoo import AECEnv
from pettingzoo.utils import BaseParallelWrapper

from bagged_envs.wrappers.arguments import flag, known, strings
from bagged_envs.wrappers.declared import Closes, border_rule, closes_bag
from bagged_envs.wrappers.guard import Guard
from bagged_envs.wrappers.ledger import SlotLedger, as_reward, team_total
from bagged_envs.wrappers.observe import append_steps, extended_space
from bagged_envs.wrappers.schedule import BagLength, RewardSchedule, a_schedule, schedule_and_options
from bagged_envs.wrappers.success import Criterion

TEAM_REWARDS = ("per_agent", "sum", "mean")
TEAM = "team"


class _ParallelGuard(Guard, BaseParallelWrapper[Any, Any, Any]):  # type: ignore[misc]
    """What both parallel wrappers share: the life cycle, and which agents there can be."""

    def __init__(self, env: Any) -> None:
        BaseParallelWrapper.__init__(self, env)
        if isinstance(env, AECEnv) or not getattr(env, "possible_agents", None):
            raise ValueError(
                f"env must be a PettingZoo ParallelEnv with possible_agents, got {env!r}: they fix the slots' order."
            )
        self.name = str(getattr(env, "metadata", {}).get("name", type(env.unwrapped).__name__))

    def _begin(self, seed: int | None, options: dict[str, Any] | None) -> tuple[dict[Any, Any], dict[Any, Any]]:
        self._begin_reset()
        observations, infos = self.env.reset(seed=seed, options=options)
        self._needs_reset = None
        return observations, infos

    def _advance(self, actions: dict[Any, Any]) -> tuple[Any, Any, Any, Any, Any]:
        if self._needs_reset is not None:
            self._raise_needs_reset()
        result: tuple[Any, Any, Any, Any, Any] = self._step_env(actions)
        if not self.env.agents:
            self._needs_reset = "the episode of every agent has ended"
        return result


class DelayedReward(_ParallelGuard):
    """Pays the rewards of a PettingZoo parallel environment late.

    With `team_reward="per_agent"` each agent has bags of its own (slot i, the i-th of `possible_agents`, is seeded with
    `seed + i`): its open bag closes, and pays, in the step in which it terminates or is truncated. With "sum" or
    "mean" a team has one bag: of the sum, left to right in the order of `possible_agents`, or the mean of the
    rewards of its agents present in a step; it closes by schedule or when its last agent ends, and pays the same
    amount to every one of its agents present in that step. Without `teams` all agents are one team; slot i is the i-th
    team. Each agent's info gets `bag_end` and `reward_observed`, and with a success schedule `is_success`. A team's
    criterion gets dicts of its agents' observations and infos.
    """

    def __init__(
        self,
        env: Any,
        schedule: RewardSchedule,
        *,
        team_reward: str = "per_agent",
        teams: Mapping[str, Sequence[Any]] | None = None,
        reward_info_keys: Sequence[str] = (),
        nonfinite: str = "raise",
        expose_reward: bool = False,
        observe_bag: bool = False,
    ) -> None:
        """Wrap a parallel environment.

        Args:
            env: A PettingZoo `ParallelEnv` with `possible_agents`.
            schedule: When a bag closes, what is paid for it, and whether that is shown.
            team_reward: "per_agent", "sum" or "mean".
            teams: The agents of each team by its name, every one of `possible_agents` in one; None for one team.
            reward_info_keys: Keys to remove from every agent's info.
            nonfinite: "raise" a `NonFiniteRewardError` on a NaN or infinite reward, or let it "pass" into its bag.
            expose_reward: Keep `reward_info_keys`, add the agent's own `dense_reward` to its info, and show hidden
                successes.
            observe_bag: Append the number of steps in the open bag to one-dimensional float Box observations.

        Raises:
            TypeError: An argument has a wrong type.
            ValueError: An argument has a value that cannot be meant.
        """
        super().__init__(env)
        self.schedule = a_schedule(schedule)
        self.team_reward = known("team_reward", team_reward, TEAM_REWARDS)
        self.expose_reward = flag("expose_reward", expose_reward)
        self._agents: list[Any] = list(env.possible_agents)
        self.teams = _teams(teams, self._agents)
        slots = self._agents if team_reward == "per_agent" else list(self.teams)
        self._ledgers = {
            slot: SlotLedger(schedule, nonfinite, f"{self.name}, {slot}", show_success=expose_reward) for slot in slots
        }
        self._ledger_of = self._ledgers
        if team_reward != "per_agent":
            self._ledger_of = {agent: self._ledgers[team] for team, members in self.teams.items() for agent in members}
        self._gone: set[Any] = set()
        self._judge = schedule.judge
        self.reward_info_keys = strings("reward_info_keys", reward_info_keys)
        self._hidden = () if expose_reward else self.reward_info_keys
        self._observe = flag("observe_bag", observe_bag)
        self._spaces: dict[Any, Space[Any]] = {}
        if self._observe:
            self._spaces = {agent: extended_space(env.observation_space(agent)) for agent in self._agents}
            self.observation_spaces = self._spaces

    def observation_space(self, agent: Any) -> Space[Any]:
        """Return the agent's observation space, the same object on every call."""
        return self._spaces[agent] if self._observe else self.env.observation_space(agent)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Reset the environment and throw all open bags away; slot i's random streams restart from `seed + i`."""
        observations, infos = self._begin(seed, options)
        self._gone.clear()
        for slot, ledger in enumerate(self._ledgers.values()):
            ledger.reset(None if seed is None else int(seed) + slot)
        told = {
            agent: self._told(agent, info, 0.0) if agent in self._agents else self._told_nothing(info)
            for agent, info in infos.items()
        }
        return self._observed(observations), told

    def step(
        self, actions: dict[Any, Any]
    ) -> tuple[dict[Any, Any], dict[Any, float], dict[Any, bool], dict[Any, bool], dict[Any, Any]]:
        """Make one step; rewards are what the schedule pays, as Python floats.

        Raises:
            gymnasium.error.ResetNeeded: No agent's episode is running.
            NonFiniteRewardError: A dense reward is not finite, and nonfinite="raise".
        """
        observations, rewards, terminated, truncated, infos = self._advance(actions)
        if not rewards and not self.env.agents:
            self._needs_reset = "the last step rewarded nobody"
            raise ValueError(
                f"{self.name} ended without rewarding anyone, and the open bags cannot be paid: step() was called with "
                f"actions={actions!r}. Pass an action for every agent of env.agents, and end agents by terminated or "
                f"truncated."
            )
        pay = self._pay_agents if self.team_reward == "per_agent" else self._pay_teams
        try:
            paid = pay(observations, rewards, terminated, truncated, infos)
        except BaseException:
            self._needs_reset = "the last step failed"
            raise
        told = {
            agent: self._told(agent, info, rewards[agent]) if agent in rewards else self._told_nothing(info)
            for agent, info in infos.items()
        }
        return self._observed(observations), paid, terminated, truncated, told

    def _pay_agents(self, observations: Any, rewards: Any, terminated: Any, truncated: Any, infos: Any) -> Any:
        paid: dict[Any, float] = {}
        for agent, reward in rewards.items():
            self._demand_alive(agent)
            ended = bool(terminated[agent] or truncated[agent])
            judge = None
            if ended and self._judge is not None:
                judge = _bound(self._judge, observations[agent], infos[agent], bool(terminated[agent]))
            paid[agent] = self._ledgers[agent].pay(reward, ended, judge)
            if ended:
                self._gone.add(agent)
        return paid

    def _demand_alive(self, agent: Any) -> None:
        if agent in self._gone:
            raise ValueError(
                f"{self.name} rewarded {agent} after its episode had ended: by PettingZoo's API an agent leaves in the "
                f"step that ends it."
            )

    def _pay_teams(self, observations: Any, rewards: Any, terminated: Any, truncated: Any, infos: Any) -> Any:
        paid: dict[Any, float] = {}
        left = self.env.agents
        for team, members in self.teams.items():
            present = [agent for agent in members if agent in rewards]
            if not present:
                self._ledgers[team].tell_nothing()
                continue
            # Another agent may join in the step in which the present ones end: the team goes on.
            ended = all(terminated[agent] or truncated[agent] for agent in present)
            ended = ended and not any(agent in left for agent in members)
            judge = None
            if ended and self._judge is not None:
                seen, facts = ({a: told[a] for a in members if a in told} for told in (observations, infos))
                judge = _bound(self._judge, seen, facts, all(terminated[agent] for agent in present))
            paid |= dict.fromkeys(present, self._ledgers[team].pay(self._team_reward(rewards, present), ended, judge))
        return {agent: paid[agent] for agent in rewards}

    def _team_reward(self, rewards: dict[Any, Any], present: list[Any]) -> float:
        total = team_total([as_reward(rewards[agent], f"{self.name}, {agent},") for agent in present])
        return total / len(present) if self.team_reward == "mean" else total

    def _told(self, agent: Any, info: dict[str, Any], reward: Any) -> dict[str, Any]:
        told = {key: value for key, value in info.items() if key not in self._hidden}
        ledger = self._ledger_of[agent]
        told["bag_end"], told["reward_observed"] = ledger.bag_end, ledger.observed
        if self._judge is not None:
            told["is_success"] = ledger.success
        if self.expose_reward:
            told["dense_reward"] = ledger.as_dense(reward)
        return told

    def _told_nothing(self, info: dict[str, Any]) -> dict[str, Any]:
        """Return the info of one who is not rewarded in this step: an agent that is gone, or no agent at all."""
        told = {key: value for key, value in info.items() if key not in self._hidden}
        success = {} if self._judge is None else {"is_success": False}
        return {**told, "bag_end": False, "reward_observed": False, **success}

    def _observed(self, observations: dict[Any, Any]) -> dict[Any, Any]:
        if not self._observe:
            return observations
        return {agent: append_steps(np.asarray(o), self._ledger_of[agent].count) for agent, o in observations.items()}


def _bound(criterion: Criterion, observation: Any, info: Any, terminated: bool) -> Callable[[float], bool]:
    return lambda total: bool(criterion(observation, info, total, terminated))


def _teams(teams: Mapping[str, Sequence[Any]] | None, agents: list[Any]) -> dict[str, list[Any]]:
    """Return each team's agents in the order of `possible_agents`.

    Raises:
        TypeError: `teams` is no mapping.
        ValueError: An agent is in no team or in two, or a team has none or an unknown one.
    """
    if teams is None:
        return {TEAM: agents}
    if not isinstance(teams, Mapping):
        raise TypeError(f"teams must map names to agents, got {teams!r} of type {type(teams).__name__}.")
    members = [agent for team in teams.values() for agent in team]
    if sorted(map(str, members)) != sorted(map(str, agents)) or not all(teams.values()):
        raise ValueError(f"teams must name every one of {agents} once and no one else, got {dict(teams)!r}.")
    return {name: [agent for agent in agents if agent in team] for name, team in teams.items()}


class BaggedReward(DelayedReward):
    """Pays once per bag of steps; arguments as `bagged_envs.wrappers.BaggedReward`, and `team_reward`."""

    def __init__(self, env: Any, bag_len: BagLength = 20, **arguments: Any) -> None:
        """Wrap a parallel environment; see `bagged_envs.wrappers.BaggedReward`."""
        schedule, options = schedule_and_options({"bag_len": bag_len, **arguments})
        super().__init__(env, schedule, **options)


class EpisodicReward(DelayedReward):
    """Pays once per episode; arguments as `bagged_envs.wrappers.EpisodicReward`, and `team_reward`."""

    def __init__(self, env: Any, **arguments: Any) -> None:
        """Wrap a parallel environment; see `bagged_envs.wrappers.EpisodicReward`."""
        schedule, options = schedule_and_options(arguments, {"bag_len": None})
        super().__init__(env, schedule, **options)


class PartiallyLabeledReward(DelayedReward):
    """Shows a random fraction of the rewards; arguments as `bagged_envs.wrappers.PartiallyLabeledReward`."""

    def __init__(self, env: Any, label_fraction: float = 0.01, *, bag_len: BagLength = 1, **arguments: Any) -> None:
        """Wrap a parallel environment; see `bagged_envs.wrappers.PartiallyLabeledReward`."""
        schedule, options = schedule_and_options({"label_fraction": label_fraction, "bag_len": bag_len, **arguments})
        super().__init__(env, schedule, **options)


class SparseReward(DelayedReward):
    """Pays 1.0 at the end of a successful episode; arguments as `bagged_envs.wrappers.SparseReward`."""

    def __init__(self, env: Any, success: str | Criterion, threshold: float | None = None, **arguments: Any) -> None:
        """Wrap a parallel environment; see `bagged_envs.wrappers.SparseReward`."""
        schedule, options = schedule_and_options(
            arguments, {"bag_len": None, "success": success, "threshold": threshold}
        )
        super().__init__(env, schedule, **options)


class DeclaredBags(_ParallelGuard):
    """Adds `bag_end` and `reward_observed` to every agent's info where rewards already come late.

    As `bagged_envs.wrappers.DeclaredBags`, agent by agent: a bag closes by the rule or when the agent ends.
    """

    def __init__(self, env: Any, closes: str | Closes) -> None:
        """Wrap a parallel environment that already pays late.

        Args:
            env: A PettingZoo `ParallelEnv` with `possible_agents`.
            closes: The key in an agent's info whose truth closes its bag, or a callable `(observation, info) -> bool`.
        """
        super().__init__(env)
        self.closes = border_rule(closes)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Reset the environment; no bag is closed by it."""
        observations, infos = self._begin(seed, options)
        return observations, {a: {**info, "bag_end": False, "reward_observed": False} for a, info in infos.items()}

    def step(
        self, actions: dict[Any, Any]
    ) -> tuple[dict[Any, Any], dict[Any, Any], dict[Any, bool], dict[Any, bool], dict[Any, Any]]:
        """Make one step and say whose bags it closed."""
        observations, rewards, terminated, truncated, infos = self._advance(actions)
        told = {}
        try:
            for agent, info in infos.items():
                ended = bool(terminated.get(agent, False) or truncated.get(agent, False))
                closed = agent in rewards and (ended or closes_bag(self.closes, observations[agent], info))
                told[agent] = {**info, "bag_end": closed, "reward_observed": closed}
        except BaseException:
            self._needs_reset = "the last step failed"
            raise
        return observations, rewards, terminated, truncated, told
