"""Playing delayed environments and keeping what happened as trajectories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Dict, Space, Tuple
from gymnasium.spaces.utils import flatten
from gymnasium.vector import AutoresetMode, VectorEnv

from bagged_envs.baselines.borders import BORDERS, UNCLOSED, check_borders
from bagged_envs.baselines.features import Features
from bagged_envs.trajectory import Trajectory
from bagged_envs.wrappers.arguments import positive_int, strings
from bagged_envs.wrappers.vector import one_info

Array = npt.NDArray[Any]
Info = dict[str, Any]
Act: TypeAlias = Callable[[Any], Any]
ActTold: TypeAlias = Callable[[Any, Info], Any]  # with the infos of all copies
Env: TypeAlias = "gym.Env[Any, Any] | VectorEnv[Any, Any, Any]"


class Collector:
    """Plays one environment, or the copies of a vector environment, from one call of `collect` to the next.

    An episode that is still going on when a call returns goes on in the next, so that no bag is lost or split.
    Nobody else may step or reset the environment. Bags are read from `info["bag_end"]` and `info["reward_observed"]`,
    never inferred from rewards. Vector environments may have any autoreset mode; steps that only reset are none.

    Observations and actions are kept as they are, those of Dict and Tuple spaces as features (`Features.encode`).
    In `Trajectory.extras` stand "dense_rewards" `[T]` where the environment exposes them, and what `keep` names.

    Attributes:
        env: The environment.
        total_steps: How many steps were made so far, of all copies together.
        slots: The copy that each trajectory of the last call comes from.

    Example:
        >>> import gymnasium as gym, bagged_envs
        >>> collector = Collector(gym.make("BaggedInvertedPendulum-v0", bag_len=2), seed=0)
        >>> [len(one) for one in collector.collect(lambda observation: np.ones(1, np.float32), episodes=2)]
        [4, 4]
    """

    def __init__(self, env: Env, seed: int | None = None, keep: Sequence[str] = ("alive",)) -> None:
        """Take an environment; it is reset by the first `collect`.

        Args:
            env: A delayed environment, or a delayed vector environment.
            seed: For the first reset; copy i gets `seed + i`.
            keep: Keys of info, kept as `[T + 1, ...]`, from the reset's info on, where that has them.

        Raises:
            TypeError: The environment is neither of Gymnasium's kinds.
        """
        if not isinstance(env, (gym.Env, VectorEnv)):
            raise TypeError(f"env must be a Gymnasium environment or vector environment, got {env!r}.")
        self.env, self.seed, self.keep = env, seed, strings("keep", keep)
        self.total_steps = 0
        self.slots: list[int] = []
        self._player: _Single | _Vector | None = None

    def collect(self, act: Act, steps: int | None = None, episodes: int | None = None) -> list[Trajectory]:
        """Play on, and return the episodes that ended, in the order of their ends.

        Args:
            act: From an observation to an action; of a vector environment, from all copies' observations to theirs.
            steps: How many steps at least, of all copies together; one call of a vector environment makes several.
            episodes: How many episodes at least; more may end in one step of a vector environment. Those that end
                first are the short ones: for an average over episodes let each copy play as many.

        Raises:
            ValueError: Not exactly one of `steps` and `episodes` is given, info has no borders of bags, or an episode
                ended without closing its last bag.
        """
        if (steps is None) == (episodes is None):
            raise ValueError(f"collect() needs either steps or episodes, got steps={steps}, episodes={episodes}.")
        wanted = positive_int("steps", steps) if episodes is None else positive_int("episodes", episodes)
        if self._player is None:
            player = _Vector if isinstance(self.env, VectorEnv) else _Single
            self._player = player(self.env, self.seed, self.keep)
        ended: list[tuple[int, Trajectory]] = []
        made = 0
        while (made if episodes is None else len(ended)) < wanted:
            count, finished = self._player.step(act)
            made += count
            self.total_steps += count
            ended += finished
        self.slots = [slot for slot, _ in ended]
        return [trajectory for _, trajectory in ended]

    def open(self) -> list[Trajectory]:
        """Return the episodes that are going on, as far as they are, by copy; their last bags may be open."""
        if self._player is None:
            return []
        return [episode.trajectory(False) for episode in self._player.open.values() if episode.actions]


def collect(
    env: Env, act: Act, steps: int | None = None, episodes: int | None = None, seed: int | None = None
) -> list[Trajectory]:
    """Play a delayed environment from a reset on; see `Collector` for playing on.

    Args:
        env: As for `Collector`.
        act: As for `Collector.collect`.
        steps: How many steps at least; the episodes then going on come last, as far as they are.
        episodes: How many whole episodes at least.
        seed: Of the reset.

    Raises:
        ValueError: As for `Collector.collect`.
    """
    collector = Collector(env, seed)
    ended = collector.collect(act, steps, episodes)
    return ended if steps is None else ended + collector.open()


class OpenEpisode:
    """An episode that is going on.

    Attributes:
        in_bag: How many steps the bag of the last step has so far.
    """

    def __init__(self, observation: Array, told: Info, kept: Sequence[str]) -> None:
        self.observations, self.actions = [observation], list[Array]()
        self.rewards = list[Any]()
        self.told = list[Info]()
        self.kept = {name: [np.array(told[name])] for name in kept}
        self.in_bag = 0

    def append(self, action: Array, observation: Array, reward: Any, told: Info) -> None:
        """Add a step: what was done, what was seen and paid then, and the step's info.

        Raises:
            ValueError: The info lacks a key that it must have in every step.
        """
        missing = [name for name in (*BORDERS, *self.kept) if name not in told]
        if missing:
            raise ValueError(
                f"info must have {missing} in every step, as it had on reset: have the environment always tell them, "
                "or leave them out of keep."
            )
        self.in_bag = 1 if self.told and self.told[-1]["bag_end"] else self.in_bag + 1
        self.observations.append(observation)
        self.actions.append(action)
        self.rewards.append(reward)
        self.told.append({name: told[name] for name in (*BORDERS, "dense_reward") if name in told})
        for name, values in self.kept.items():
            values.append(np.array(told[name]))

    def trajectory(self, terminated: bool) -> Trajectory:
        """Return the steps so far; the last bag may be open."""
        ends = np.array([told["bag_end"] for told in self.told], dtype=np.bool_)
        observed = np.array([told["reward_observed"] for told in self.told], dtype=np.bool_)
        closed = bool(ends[-1])
        extras = {name: np.array(values) for name, values in self.kept.items()}
        if "dense_reward" in self.told[0]:
            extras["dense_rewards"] = np.array([told["dense_reward"] for told in self.told], dtype=np.float64)
        return Trajectory(
            observations=np.array(self.observations),
            actions=np.array(self.actions),
            rewards=np.array(self.rewards, dtype=np.float64),
            bag_ids=np.cumsum(ends) - ends,
            labeled=np.append(observed[ends], [] if closed else [False]).astype(np.bool_),
            terminated=terminated,
            closed=closed,
            extras=extras,
        )

    def ended(self, terminated: bool) -> Trajectory:
        """Return the whole episode.

        Raises:
            ValueError: Its last step did not close its bag.
        """
        if not self.told[-1]["bag_end"]:
            raise ValueError(UNCLOSED)
        return self.trajectory(terminated)


def opened(space: Space[Any], observation: Any, info: Info, keep: Sequence[str] = ()) -> OpenEpisode:
    """Return the episode that begins with what a reset of one environment told.

    Raises:
        ValueError: Info has no borders of bags.
    """
    check_borders(info)
    return OpenEpisode(element(space, observation), info, [name for name in keep if name in info])


class _Single:
    """One environment; it is reset when the step after an episode's end is asked for."""

    def __init__(self, env: Any, seed: int | None, keep: Sequence[str]) -> None:
        self.env, self.keep = env, keep
        self.open: dict[int, OpenEpisode] = {}
        self._reset(seed)

    def _reset(self, seed: int | None = None) -> None:
        self._observation, info = self.env.reset(seed=seed)
        self.open[0] = opened(self.env.observation_space, self._observation, info, self.keep)

    def step(self, act: Act) -> tuple[int, list[tuple[int, Trajectory]]]:
        if not self.open:
            self._reset()
        action = act(self._observation)
        kept = element(self.env.action_space, action)
        self._observation, reward, terminated, truncated, info = self.env.step(action)
        self.open[0].append(kept, element(self.env.observation_space, self._observation), reward, info)
        if not terminated and not truncated:
            return 1, []
        return 1, [(0, self.open.pop(0).ended(bool(terminated)))]


class VectorRecorder:
    """Keeps the running episodes of the copies of a vector environment that somebody else plays.

    Attributes:
        mode: The environment's autoreset mode.
        open: The running episodes by copy.
        done: bool `[copies]`, whose last step ended an episode.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], keep: Sequence[str] = ()) -> None:
        """Read from an environment's spaces and metadata what its steps look like.

        Raises:
            ValueError: Its metadata does not tell its autoreset mode.
        """
        self.keep = keep
        self._seen = env.single_observation_space
        mode = getattr(env.unwrapped, "autoreset_mode", env.metadata.get("autoreset_mode"))
        if not isinstance(mode, AutoresetMode):
            raise ValueError(f"env.metadata['autoreset_mode'] must be a gymnasium.vector.AutoresetMode, got {mode!r}.")
        self.mode = mode
        self.open: dict[int, OpenEpisode] = {}
        self.done: npt.NDArray[np.bool_] = np.zeros(env.num_envs, dtype=np.bool_)

    def reset(self, observations: Any, infos: Info, mask: npt.NDArray[np.bool_] | None = None) -> None:
        """Begin the episodes of all copies, or of some by a bool mask `[copies]`.

        Raises:
            ValueError: Info has no borders of bags.
        """
        check_borders(infos)
        chosen = np.ones_like(self.done) if mask is None else mask
        self.done = self.done & ~chosen
        self._begin(np.flatnonzero(chosen).tolist(), elements(self._seen, observations), infos)

    def step(
        self, acted: Array, observations: Any, rewards: Any, terminated: Any, truncated: Any, infos: Info
    ) -> list[tuple[int, OpenEpisode]]:
        """Return the copies that made a step, and not only a reset, with their episodes, to which it was added.

        Episodes that ended, as `done` says, are no longer `open`.

        Args:
            acted: What `elements` made of the actions before the step, which may change them.
            observations: As the environment returned them, and so the rest.
            rewards: `[copies]`.
            terminated: `[copies]`.
            truncated: `[copies]`.
            infos: With the borders of bags.
        """
        seen = elements(self._seen, observations)
        resets = self.done if self.mode is AutoresetMode.NEXT_STEP else np.zeros_like(self.done)
        self.done = ~resets & (np.asarray(terminated) | np.asarray(truncated))
        finals = self._finals(infos)
        stepped = []
        for slot in np.flatnonzero(~resets).tolist():
            last, told = finals.get(slot) or (seen[slot], _told(infos, slot, self.keep))
            self.open[slot].append(acted[slot], last, rewards[slot], told)
            stepped.append((slot, self.open.pop(slot) if self.done[slot] else self.open[slot]))
        self._begin([*np.flatnonzero(resets).tolist(), *finals], seen, infos)
        return stepped

    def _begin(self, slots: Sequence[int], seen: Array, infos: Info) -> None:
        for slot in slots:
            told = _told(infos, slot, self.keep)
            self.open[slot] = OpenEpisode(seen[slot], told, [name for name in self.keep if name in told])

    def _finals(self, infos: Info) -> dict[int, tuple[Array, Info]]:
        """Return what SAME_STEP tells of the episodes that ended: the last observation and the last info."""
        if self.mode is not AutoresetMode.SAME_STEP or not self.done.any():
            return {}
        finals = {}
        for slot in np.flatnonzero(self.done).tolist():
            last = infos["final_obs"]
            last = one_info(last, slot) if isinstance(last, dict) else last[slot]
            finals[slot] = element(self._seen, last), _told(infos["final_info"], slot, self.keep)
        return finals


class _Vector:
    """The copies of a vector environment."""

    def __init__(self, env: Any, seed: int | None, keep: Sequence[str]) -> None:
        self.env, self._recorder = env, VectorRecorder(env, keep)
        self._observations, infos = env.reset(seed=seed)
        self._recorder.reset(self._observations, infos)

    @property
    def open(self) -> dict[int, OpenEpisode]:
        return self._recorder.open

    def step(self, act: Act) -> tuple[int, list[tuple[int, Trajectory]]]:
        recorder = self._recorder
        if recorder.mode is AutoresetMode.DISABLED and recorder.done.any():
            mask = recorder.done.copy()
            self._observations, infos = self.env.reset(options={"reset_mask": mask.copy()})
            recorder.reset(self._observations, infos, mask)
        actions = act(self._observations)
        acted = elements(self.env.single_action_space, actions)
        self._observations, rewards, terminated, truncated, infos = self.env.step(actions)
        stepped = recorder.step(acted, self._observations, rewards, terminated, truncated, infos)
        ended = [(slot, episode.ended(bool(terminated[slot]))) for slot, episode in stepped if recorder.done[slot]]
        return len(stepped), ended


def _told(infos: Info, slot: int, keep: Sequence[str]) -> Info:
    """Return what matters of one copy's info."""
    names = (*BORDERS, "dense_reward", *keep)
    return {name: infos[name][slot] for name in names if name in infos and infos[f"_{name}"][slot]}


def element(space: Space[Any], value: Any) -> Array:
    """Return an observation or an action as a trajectory keeps it: a copy, that of a Dict or Tuple as features."""
    if isinstance(space, (Dict, Tuple)):
        return np.asarray(flatten(space, value), dtype=np.float32)
    return np.array(value, dtype=space.dtype)


def elements(space: Space[Any], batch: Any) -> Array:
    """Return a batch of observations or actions as trajectories keep them, as `element` does one."""
    if isinstance(space, (Dict, Tuple)):
        return Features(space).encode(batch)
    return np.array(batch, dtype=space.dtype)
