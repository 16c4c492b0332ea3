"""The delay for Gymnasium vector environments, in all three autoreset modes.

The classes have the names and arguments of `bagged_envs.wrappers` and agree with them to the bit: a vector environment
under one of these pays what a vector environment of singly wrapped environments pays, with the same info.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Space
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import iterate

from bagged_envs.wrappers.arguments import flag, strings, truth
from bagged_envs.wrappers.declared import Closes, border_rule, key_error
from bagged_envs.wrappers.guard import Guard, an_environment
from bagged_envs.wrappers.ledger import Bools, Floats, RewardLedger
from bagged_envs.wrappers.observe import append_steps, extended_space
from bagged_envs.wrappers.schedule import BagLength, RewardSchedule, a_schedule, schedule_and_options
from bagged_envs.wrappers.success import Criterion

if TYPE_CHECKING:  # Gymnasium 1.2's class takes no type parameters
    _VectorWrapper: TypeAlias = VectorWrapper[Any, Any, Any, Any, Any]
else:
    _VectorWrapper = VectorWrapper


def slot_seeds(seed: Any, num_envs: int) -> list[int | None] | None:
    """Return one seed per slot as Gymnasium's vector environments do: `seed + i`, or the i-th of a sequence."""
    if seed is None:
        return None
    if isinstance(seed, (int, np.integer)):
        return [int(seed) + i for i in range(num_envs)]
    if isinstance(seed, str) or not isinstance(seed, (Sequence, np.ndarray)):
        raise TypeError(
            f"seed must be an int, a sequence of ints, or None, got {seed!r} of type {type(seed).__name__}."
        )
    for one in seed:
        if one is not None and not isinstance(one, (int, np.integer)):
            raise TypeError(f"seed must be a sequence of ints, got {one!r} of type {type(one).__name__} in it.")
    return [None if s is None else int(s) for s in seed]


def reset_mask(options: dict[str, Any] | None, num_envs: int) -> Bools | None:
    """Return a copy of the caller's `reset_mask` `(num_envs,)`, or None; the caller's dict is not changed.

    Raises:
        TypeError: The mask is no bool array.
        ValueError: The mask has another shape, or is False everywhere.
    """
    if options is None or "reset_mask" not in options:
        return None
    mask = options["reset_mask"]
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError(f"options['reset_mask'] must be a NumPy array of bools, got {mask!r}.")
    if mask.shape != (num_envs,) or not mask.any():
        raise ValueError(f"options['reset_mask'] must have shape ({num_envs},) and a True in it, got {mask!r}.")
    return mask.copy()


class VectorGuard(Guard, _VectorWrapper):
    """What all vector wrappers share: whose episode runs, and whose step is only a reset."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        VectorWrapper.__init__(self, an_environment(env, VectorEnv, "Gymnasium vector environment"))
        # The attribute first: before Gymnasium 1.3 vector environments of one class share one metadata dict.
        mode = getattr(env.unwrapped, "autoreset_mode", env.metadata.get("autoreset_mode"))
        if not isinstance(mode, AutoresetMode):
            raise ValueError(
                f"env.metadata['autoreset_mode'] must be a gymnasium.vector.AutoresetMode, got {mode!r}: the delay "
                f"has to know which steps are only resets."
            )
        self._mode = mode
        self._done: Bools = np.zeros(env.num_envs, dtype=np.bool_)

    def __del__(self) -> None:
        """Leave the environment open: before Gymnasium 1.3 a forgotten wrapper closed what others still use."""

    def _begin(self, seed: Any, options: dict[str, Any] | None) -> tuple[Any, dict[str, Any], Bools | None]:
        self._check_open()
        mask = reset_mask(options, self.num_envs)
        if mask is not None and self._needs_reset is not None and not mask.all():
            raise ResetNeeded(f"reset() with a mask that leaves environments out cannot begin: {self._needs_reset}.")
        self._begin_reset()
        observations, infos = self.env.reset(seed=seed, options=None if options is None else dict(options))
        self._done = np.zeros(self.num_envs, dtype=np.bool_) if mask is None else self._done & ~mask
        self._needs_reset = None
        return observations, dict(infos), mask

    def _active(self) -> Bools:
        """Return whose step will be a step: with NEXT_STEP, an environment that has ended is only reset."""
        if self._needs_reset is not None:
            self._raise_needs_reset()
        if self._mode is AutoresetMode.DISABLED and self._done.any():
            raise ResetNeeded(
                f"step() cannot be called: the episodes of environments {np.flatnonzero(self._done).tolist()} have "
                f"ended and autoreset is disabled. Call reset(options={{'reset_mask': ...}}) first."
            )
        if self._mode is AutoresetMode.NEXT_STEP:
            return ~self._done
        return np.ones(self.num_envs, dtype=np.bool_)

    def _tell(self, infos: dict[str, Any], told: dict[str, Any], ended: Bools) -> None:
        """Write arrays `(N,)` into infos, and the ended environments' share into `final_info` with SAME_STEP."""
        everyone = np.ones(self.num_envs, dtype=np.bool_)
        if self._mode is AutoresetMode.SAME_STEP and ended.any():
            final = infos["final_info"] = dict(infos.get("final_info", {}))
            for key, value in told.items():
                final[key], final[f"_{key}"] = np.where(ended, value, np.zeros_like(value)), ended.copy()
                value[ended] = 0
            infos.setdefault("_final_info", ended.copy())
        for key, value in told.items():
            infos[key], infos[f"_{key}"] = value, everyone.copy()


class DelayedReward(VectorGuard):
    """Pays the rewards of a vector environment late, each environment by its own bags.

    As `bagged_envs.wrappers.DelayedReward`, one slot per environment; slot i's random streams are seeded with
    `seed + i`. Rewards are float64 `(num_envs,)`. With SAME_STEP what concerns the step that ended an episode stands
    in `infos["final_info"]`, as all of Gymnasium's infos do; with NEXT_STEP the reset step counts for nothing.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        schedule: RewardSchedule,
        *,
        reward_info_keys: Sequence[str] = (),
        nonfinite: str = "raise",
        expose_reward: bool = False,
        observe_bag: bool = False,
    ) -> None:
        """Wrap a vector environment.

        Args:
            env: The vector environment whose rewards are delayed; its metadata names its autoreset mode.
            schedule: When a bag closes, what is paid for it, and whether that is shown.
            reward_info_keys: Keys of info to remove, from `final_info` too.
            nonfinite: "raise" a `NonFiniteRewardError` on a NaN or infinite reward, or let it "pass" into its bag.
            expose_reward: Keep `reward_info_keys`, add `dense_reward` to infos, and show hidden successes.
            observe_bag: Append the number of steps in the open bag to one-dimensional float Box observations.

        Raises:
            TypeError: An argument has a wrong type.
            ValueError: An argument has a value that cannot be meant.
        """
        super().__init__(env)
        self.schedule = a_schedule(schedule)
        name = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
        self.expose_reward = flag("expose_reward", expose_reward)
        self._ledger = RewardLedger(schedule, env.num_envs, nonfinite, name, show_success=expose_reward)
        self._judge = schedule.judge
        self.reward_info_keys = strings("reward_info_keys", reward_info_keys)
        self._hidden = () if expose_reward else self.reward_info_keys
        self._observe = flag("observe_bag", observe_bag)
        if self._observe:
            self.single_observation_space = extended_space(env.single_observation_space)
            self.observation_space = extended_space(env.observation_space, batched=True)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all environments, or those of `options["reset_mask"]`; their open bags are thrown away."""
        observations, infos, mask = self._begin(seed, options)
        self._ledger.reset(mask, slot_seeds(seed, self.num_envs))
        self._hide(infos)
        chosen = np.ones(self.num_envs, dtype=np.bool_) if mask is None else mask
        for key, value in self._told(np.zeros(self.num_envs)).items():
            infos[key], infos[f"_{key}"] = value * chosen, chosen.copy()
        return self._observed(observations), infos

    def step(self, actions: Any) -> tuple[Any, Floats, Bools, Bools, dict[str, Any]]:
        """Make one step in every environment; rewards are what the schedule pays, float64 `(num_envs,)`.

        Raises:
            gymnasium.error.ResetNeeded: No episode is running, or with autoreset disabled one has ended.
            NonFiniteRewardError: A dense reward is not finite, and nonfinite="raise".
        """
        active = self._active()
        observations, rewards, terminated, truncated, infos = self._step_env(actions)
        ended = active & (np.asarray(terminated) | np.asarray(truncated))
        try:
            paid = self._ledger.pay(rewards, ended, active, self._judged(observations, infos, terminated, ended))
        except BaseException:
            self._needs_reset = "the last step failed"
            raise
        self._done = ended
        infos = dict(infos)
        self._hide(infos)
        self._tell(infos, self._told(np.where(active, np.asarray(rewards, dtype=np.float64), 0.0)), ended)
        if self._observe and "final_obs" in infos:
            infos["final_obs"] = _appended_finals(infos["final_obs"])
        return self._observed(observations), paid, terminated, truncated, infos

    def _judged(
        self, observations: Any, infos: dict[str, Any], terminated: Any, ended: Bools
    ) -> Callable[[int, float], bool] | None:
        """Return the success criterion as a function of slot and dense return, or None where nothing is judged."""
        criterion = self._judge
        if criterion is None or not ended.any():
            return None
        same_step = self._mode is AutoresetMode.SAME_STEP
        finals = infos.get("final_obs")
        facts = infos.get("final_info", {}) if same_step else infos

        def judge(slot: int, total: float) -> bool:
            final = (
                finals[slot]
                if same_step and finals is not None
                else one_observation(self.env.observation_space, observations, slot)
            )
            return bool(criterion(final, one_info(facts, slot), total, bool(terminated[slot])))

        return judge

    def _hide(self, infos: dict[str, Any]) -> None:
        if self._hidden and "final_info" in infos:
            infos["final_info"] = dict(infos["final_info"])
        for place in (infos, infos.get("final_info", {})) if self._hidden else ():
            for key in self._hidden:
                place.pop(key, None)
                place.pop(f"_{key}", None)

    def _told(self, dense: Floats) -> dict[str, Any]:
        told: dict[str, Any] = {"bag_end": self._ledger.bag_end.copy(), "reward_observed": self._ledger.observed.copy()}
        if self._judge is not None:
            told["is_success"] = self._ledger.success.copy()
        if self.expose_reward:
            told["dense_reward"] = dense
        return told

    def _observed(self, observations: Any) -> Any:
        return append_steps(observations, self._ledger.count) if self._observe else observations


def one_observation(space: Space[Any], observations: Any, slot: int) -> Any:
    """Return one environment's observation out of a batch of them."""
    return observations[slot] if isinstance(observations, np.ndarray) else list(iterate(space, observations))[slot]


def one_info(infos: dict[str, Any], slot: int) -> dict[str, Any]:
    """Return one environment's info out of a vector environment's infos."""
    one: dict[str, Any] = {}
    for key, value in infos.items():
        present = infos.get(f"_{key}")
        if present is not None and present[slot]:
            one[key] = one_info(value, slot) if isinstance(value, dict) else value[slot]
    return one


def _appended_finals(finals: Any) -> Any:
    appended = np.full(len(finals), None, dtype=object)
    for slot, observation in enumerate(finals):
        if observation is not None:
            appended[slot] = append_steps(observation, 0)
    return appended


class BaggedReward(DelayedReward):
    """Pays once per bag of steps; arguments as `bagged_envs.wrappers.BaggedReward`.

    Example:
        >>> import gymnasium as gym, numpy as np
        >>> envs = BaggedReward(gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync"), bag_len=3)
        >>> _ = envs.reset(seed=0)
        >>> [envs.step(np.zeros(2, dtype=int))[1].tolist() for _ in range(3)]
        [[0.0, 0.0], [0.0, 0.0], [3.0, 3.0]]
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], bag_len: BagLength = 20, **arguments: Any) -> None:
        """Wrap a vector environment; see `bagged_envs.wrappers.BaggedReward`."""
        schedule, options = schedule_and_options({"bag_len": bag_len, **arguments})
        super().__init__(env, schedule, **options)


class EpisodicReward(DelayedReward):
    """Pays once per episode; arguments as `bagged_envs.wrappers.EpisodicReward`."""

    def __init__(self, env: VectorEnv[Any, Any, Any], **arguments: Any) -> None:
        """Wrap a vector environment; see `bagged_envs.wrappers.EpisodicReward`."""
        schedule, options = schedule_and_options(arguments, {"bag_len": None})
        super().__init__(env, schedule, **options)


class PartiallyLabeledReward(DelayedReward):
    """Shows the reward of a random fraction only; arguments as `bagged_envs.wrappers.PartiallyLabeledReward`."""

    def __init__(
        self, env: VectorEnv[Any, Any, Any], label_fraction: float = 0.01, *, bag_len: BagLength = 1, **arguments: Any
    ) -> None:
        """Wrap a vector environment; see `bagged_envs.wrappers.PartiallyLabeledReward`."""
        schedule, options = schedule_and_options({"label_fraction": label_fraction, "bag_len": bag_len, **arguments})
        super().__init__(env, schedule, **options)


class SparseReward(DelayedReward):
    """Pays 1.0 at the end of a successful episode; arguments as `bagged_envs.wrappers.SparseReward`."""

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        success: str | Criterion,
        threshold: float | None = None,
        **arguments: Any,
    ) -> None:
        """Wrap a vector environment; see `bagged_envs.wrappers.SparseReward`."""
        schedule, options = schedule_and_options(
            arguments, {"bag_len": None, "success": success, "threshold": threshold}
        )
        super().__init__(env, schedule, **options)


class DeclaredBags(VectorGuard):
    """Adds `bag_end` and `reward_observed` to a vector environment that already pays late; rewards are left alone.

    As `bagged_envs.wrappers.DeclaredBags`; a callable `closes` gets batched observations and infos and returns bools
    `(num_envs,)`.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], closes: str | Closes) -> None:
        """Wrap a vector environment that already pays late.

        Args:
            env: The vector environment.
            closes: The info key whose truth closes a bag, or a callable `(observations, infos) -> bools (num_envs,)`.
        """
        super().__init__(env)
        self.closes = border_rule(closes)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all environments, or those of `options["reset_mask"]`."""
        observations, infos, mask = self._begin(seed, options)
        chosen = np.ones(self.num_envs, dtype=np.bool_) if mask is None else mask
        for key in ("bag_end", "reward_observed"):
            infos[key], infos[f"_{key}"] = np.zeros(self.num_envs, dtype=np.bool_), chosen.copy()
        return observations, infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Make one step in every environment and say which bags it closed."""
        active = self._active()
        observations, rewards, terminated, truncated, infos = self._step_env(actions)
        ended = active & (np.asarray(terminated) | np.asarray(truncated))
        try:
            closed = active & (self._closed_bags(observations, infos, active & ~ended) | ended)
        except BaseException:
            self._needs_reset = "the last step failed"
            raise
        self._done = ended
        infos = dict(infos)
        self._tell(infos, {"bag_end": closed, "reward_observed": closed.copy()}, ended)
        return observations, rewards, terminated, truncated, infos

    def _closed_bags(self, observations: Any, infos: dict[str, Any], running: Bools) -> Bools:
        if not isinstance(self.closes, str):
            return self._bools("what closes returned", self.closes(observations, infos), running)
        said = np.asarray(infos.get(f"_{self.closes}", np.zeros(self.num_envs, dtype=np.bool_)))
        if (running & ~said).any():
            raise key_error(self.closes, infos)
        if not running.any():
            return np.zeros(self.num_envs, dtype=np.bool_)
        return self._bools(f"infos[{self.closes!r}]", infos[self.closes], running)

    def _bools(self, name: str, value: Any, asked: Bools) -> Bools:
        """Return bools `(num_envs,)`; of objects only those of the slots that are asked, elsewhere False."""
        array = np.asarray(value)
        if array.dtype.kind == "O" and array.shape == (self.num_envs,):  # Gymnasium's way with NumPy's own bools
            array = np.array([bool(asked[slot]) and truth(f"{name}[{slot}]", one) for slot, one in enumerate(array)])
        if array.shape != (self.num_envs,) or array.dtype.kind not in "biu":
            raise TypeError(f"{name} must be bools of shape ({self.num_envs},), got shape {array.shape}: {value!r}.")
        return array.astype(np.bool_)
