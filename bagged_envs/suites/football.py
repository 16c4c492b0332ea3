"""Google Research Football, already built: its players as a PettingZoo parallel environment. Nothing of it is imported.

Source: Kurach et al., "Google Research Football: A Novel Reinforcement Learning Environment" (AAAI 2020); the code's
API as of gfootball 2.10.2, which is that of gym before 0.26: `reset()` returns observations only, `step` four values.
"""

from __future__ import annotations

import random
from typing import Any

from gymnasium.spaces import Box, Discrete, Space

from bagged_envs.suites.adapted import AdaptedEnv, Turn, demand, one_each, returned

REMEDY = (
    "The engine must be compiled: `make football` does it, and docs/adapters.md says how; then pass "
    "gfootball.env.create_environment('academy_3_vs_1_with_keeper', representation='simple115v2', "
    "number_of_left_players_agent_controls=3)."
)


def from_football(env: Any, max_episode_steps: int | None = None) -> AdaptedEnv:
    """Turn a built Google Research Football environment into a PettingZoo `ParallelEnv`.

    Agents are "player_0", "player_1", ..., the controlled players in the engine's order; each is paid its own reward,
    the engine's float32 as a Python float. Observations must be arrays ("raw" ones are not supported). The engine's
    `info["score_reward"]` says when a goal falls, and so gives the reward away: name it in the delay's
    `reward_info_keys`.

    An end that the engine reports is terminated, except when its own clock (`game_duration`) has run out: that and
    `max_episode_steps` are truncated.

    The engine has no `seed` method. It draws each episode's seed from Python's global `random` when it is reset, and so
    `reset(seed=...)` seeds that for the length of the call only; later resets without a seed go on from there. Two
    things are beyond its reach: an engine built with `game_engine_random_seed` plays the same episode whatever the
    seed, and which team is processed first is drawn when the engine is built, unless `reverse_team_processing` is given
    in `other_config_options`.

    Args:
        env: What `gfootball.env.create_environment(...)` returned, or an object of the same interface.
        max_episode_steps: Truncate after so many steps.

    Raises:
        TypeError: `env` does not have football's interface.
        ValueError: `max_episode_steps` is below 1.
    """
    core = demand(env, "a built Google Research Football environment", (), REMEDY)
    return AdaptedEnv(env, FootballTeam(env, core), max_episode_steps)


class FootballTeam:
    """Football's calls as lists in the order of the controlled players."""

    name = "football"
    limit_ends_as_terminated = False

    def __init__(self, env: Any, core: Any) -> None:
        """Take the environment, and what is beneath its wrappers."""
        self.env, self.core = env, core
        choices = _choices(env.action_space)
        # With one controlled player observation, action and reward have no axis for players.
        self.alone = not hasattr(env.action_space, "nvec")
        self.agents = [f"player_{number}" for number in range(len(choices))]
        self.action_spaces: list[Space[Any]] = [Discrete(number) for number in choices]
        self.observation_spaces: list[Space[Any]] = [self._box(number) for number in range(len(choices))]
        self._random: random.Random | None = None

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> Turn:
        """Begin an episode; the engine knows no options."""
        if seed is not None:
            self._random = random.Random(seed)
        if self._random is None:
            return self._turn(self.env.reset(), {})
        kept = random.getstate()
        random.seed(self._random.getrandbits(64))
        try:
            return self._turn(self.env.reset(), {})
        finally:
            random.setstate(kept)

    def step(self, actions: list[Any]) -> Turn:
        """Make one step."""
        result = self.env.step(actions[0] if self.alone else actions)
        observations, rewards, done, info = returned(result, 4, "step", self.name)
        paid = [float(reward) for reward in self._each("reward", rewards)]
        out_of_time = bool(done) and _out_of_time(self.core)
        return self._turn(
            observations, info, rewards=paid, terminated=bool(done) and not out_of_time, truncated=out_of_time
        )

    def _turn(self, observations: Any, info: dict[str, Any], **more: Any) -> Turn:
        return Turn(self._each("observation", observations), [info] * len(self.agents), **more)

    def _each(self, what: str, values: Any) -> list[Any]:
        return [values] if self.alone else one_each(what, values, self.agents, self.name)

    def _box(self, number: int) -> Space[Any]:
        """Return a player's part of the observation space; the engine's own is of the old gym's classes."""
        space = self.env.observation_space
        if not all(hasattr(space, name) for name in ("low", "high", "dtype")):
            raise TypeError(f"env must have a Box as observation_space, got {space!r}: choose another representation.")
        low, high = (space.low, space.high) if self.alone else (space.low[number], space.high[number])
        return Box(low, high, dtype=space.dtype)


def _choices(space: Any) -> list[int]:
    """Return how many actions each controlled player has."""
    if hasattr(space, "nvec"):
        return [int(number) for number in space.nvec]
    if hasattr(space, "n"):
        return [int(space.n)]
    raise TypeError(f"env must have a MultiDiscrete or a Discrete action_space, got {space!r}. {REMEDY}")


def _out_of_time(core: Any) -> bool:
    """Say whether the engine's own clock has run out, if it tells."""
    seen: Any = core.observation() if hasattr(core, "observation") else None
    return bool(seen) and bool(seen[0].get("steps_left", 1) <= 0)
