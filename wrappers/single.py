"""The delay for one Gymnasium environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from bagged_envs.wrappers.arguments import flag, strings
from bagged_envs.wrappers.guard import INTERRUPTED, INTERRUPTS, Guard, an_environment
from bagged_envs.wrappers.ledger import SlotLedger
from bagged_envs.wrappers.observe import append_steps, extended_space
from bagged_envs.wrappers.schedule import BagLength, RewardSchedule, a_schedule, schedule_and_options
from bagged_envs.wrappers.success import Criterion


class DelayedReward(Guard, gym.Wrapper[Any, Any, Any, Any]):
    """Pays the rewards of one environment late, by a `RewardSchedule`.

    Observations, terminated, truncated and the environment's random numbers are as without it. Each info, on reset and
    on every step, gets `bag_end` (this step closed a bag) and `reward_observed` (this step's reward is a label), and
    with a success schedule `is_success` (False until a successful episode ends and its label is shown).

    Info may give the dense reward away, as Gymnasium's MuJoCo tasks do: name such keys in `reward_info_keys` (IDs
    registered by `bagged_envs` know theirs). `bagged_envs.testing.check_bagged` finds a key that is the dense reward,
    or a sum of `reward_*` keys that is; single terms of a sum it cannot know.

    Put it outside `TimeLimit`: a limit outside it hides the episode's end, and the last bag is never paid
    (`bagged_envs.testing.check_wrapper_order` tells). IDs registered by `bagged_envs` have it in the right place.

    `step` raises `gymnasium.error.ResetNeeded` before `reset`, after an episode's end, and in a copy or an unpickled
    wrapper (its simulator may have restarted), until `reset` is called.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        schedule: RewardSchedule,
        *,
        reward_info_keys: Sequence[str] = (),
        nonfinite: str = "raise",
        expose_reward: bool = False,
        observe_bag: bool = False,
    ) -> None:
        """Wrap an environment.

        Args:
            env: The environment whose rewards are delayed.
            schedule: When a bag closes, what is paid for it, and whether that is shown.
            reward_info_keys: Keys of info to remove because they give the dense reward, or terms of it, away.
            nonfinite: "raise" a `NonFiniteRewardError` on a NaN or infinite reward, or let it "pass" into its bag.
            expose_reward: Keep `reward_info_keys`, add `dense_reward` to info, and show hidden successes.
            observe_bag: Append the number of steps in the open bag to a one-dimensional float Box observation.

        Raises:
            TypeError: An argument has a wrong type.
            ValueError: An argument has a value that cannot be meant.
        """
        gym.Wrapper.__init__(self, an_environment(env, gym.Env, "Gymnasium environment"))
        self.schedule = a_schedule(schedule)
        self.expose_reward = flag("expose_reward", expose_reward)
        self._ledger = self._make_ledger(nonfinite, _name(env))
        self._judge = schedule.judge
        self.reward_info_keys = strings("reward_info_keys", reward_info_keys)
        self._hidden = () if expose_reward else self.reward_info_keys
        self._observe = flag("observe_bag", observe_bag)
        if self._observe:
            self.observation_space = extended_space(env.observation_space)

    def _make_ledger(self, nonfinite: str, name: str) -> Any:
        return SlotLedger(self.schedule, nonfinite, name, show_success=self.expose_reward)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment, throw an open bag away, and with a seed restart the bags' random streams."""
        self._begin_reset()
        observation, info = self.env.reset(seed=seed, options=options)
        self._ledger.reset(seed)
        self._needs_reset = None
        return self._observed(observation), self._told(info, self._ledger.nothing)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Make one step; the reward is what the schedule pays for it, as a Python float.

        Raises:
            gymnasium.error.ResetNeeded: No episode is running.
            NonFiniteRewardError: The dense reward is not finite, and nonfinite="raise".
        """
        if self._needs_reset is not None:
            self._raise_needs_reset()
        try:  # as `_step_env`, without the time of a call
            observation, reward, terminated, truncated, info = self.env.step(action)
        except INTERRUPTS:
            self._needs_reset = INTERRUPTED
            raise
        ended = terminated or truncated
        if ended:
            self._needs_reset = "the episode has ended"
            paid = self._pay_at_end(observation, reward, terminated, info)
        else:
            try:
                paid = self._ledger.pay(reward, False)
            except BaseException:
                self._needs_reset = "the last step failed"
                raise
        told = self._told(info, reward)
        return self._observed(observation) if self._observe else observation, paid, terminated, truncated, told

    def _pay_at_end(self, observation: Any, reward: Any, terminated: bool, info: dict[str, Any]) -> Any:
        judge = self._judge
        if judge is None:
            return self._ledger.pay(reward, True)
        return self._ledger.pay(reward, True, lambda total: bool(judge(observation, info, total, bool(terminated))))

    def _told(self, info: dict[str, Any], reward: Any) -> dict[str, Any]:
        """Return a copy of info with what the delay says, and without what gives the dense reward away."""
        info = info.copy()
        for key in self._hidden:
            info.pop(key, None)
        ledger = self._ledger
        info["bag_end"] = ledger.bag_end
        info["reward_observed"] = ledger.observed
        if self._judge is not None:
            info["is_success"] = ledger.success
        if self.expose_reward:
            info["dense_reward"] = ledger.as_dense(reward)
        return info

    def _observed(self, observation: Any) -> Any:
        return append_steps(observation, self._ledger.count) if self._observe else observation


def _name(env: gym.Env[Any, Any]) -> str:
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


class BaggedReward(DelayedReward, RecordConstructorArgs):
    """Pays once per bag of steps: the float64 sum of the bag's dense rewards in step order, at the bag's last step.

    Example:
        >>> import gymnasium as gym
        >>> env = BaggedReward(gym.make("CartPole-v1"), bag_len=3)
        >>> _ = env.reset(seed=0)
        >>> [env.step(0)[1] for _ in range(3)]
        [0.0, 0.0, 3.0]
    """

    def __init__(self, env: gym.Env[Any, Any], bag_len: BagLength = 20, **arguments: Any) -> None:
        """Wrap an environment.

        Args:
            env: The environment whose rewards are delayed.
            bag_len: Steps in a bag: an int, a `(low, high)` pair to draw from, or None for the whole episode.
            **arguments: `aggregate`, `label_fraction`, `label_unit`, `unlabeled_reward` of `RewardSchedule`;
                `reward_info_keys`, `nonfinite`, `expose_reward`, `observe_bag` of `DelayedReward`.
        """
        RecordConstructorArgs.__init__(self, bag_len=bag_len, **arguments)
        schedule, options = schedule_and_options({"bag_len": bag_len, **arguments})
        DelayedReward.__init__(self, env, schedule, **options)


class EpisodicReward(DelayedReward, RecordConstructorArgs):
    """Pays once per episode, at its last step.

    Example:
        >>> import gymnasium as gym
        >>> env = EpisodicReward(gym.make("CartPole-v1", max_episode_steps=3))
        >>> _ = env.reset(seed=0)
        >>> [env.step(0)[1] for _ in range(3)]
        [0.0, 0.0, 3.0]
    """

    def __init__(self, env: gym.Env[Any, Any], **arguments: Any) -> None:
        """Wrap an environment.

        Args:
            env: The environment whose rewards are delayed.
            **arguments: As for `BaggedReward`, without `bag_len`.
        """
        RecordConstructorArgs.__init__(self, **arguments)
        schedule, options = schedule_and_options(arguments, {"bag_len": None})
        DelayedReward.__init__(self, env, schedule, **options)


class PartiallyLabeledReward(DelayedReward, RecordConstructorArgs):
    """Shows the reward of a random fraction of the steps (or bags, or episodes) only.

    Example:
        >>> import gymnasium as gym
        >>> env = PartiallyLabeledReward(gym.make("CartPole-v1"), label_fraction=0.5)
        >>> _ = env.reset(seed=0)
        >>> steps = [env.step(0) for _ in range(4)]
        >>> [(reward, info["reward_observed"]) for _, reward, _, _, info in steps]
        [(0.0, False), (1.0, True), (0.0, False), (1.0, True)]
    """

    def __init__(
        self, env: gym.Env[Any, Any], label_fraction: float = 0.01, *, bag_len: BagLength = 1, **arguments: Any
    ) -> None:
        """Wrap an environment.

        Args:
            env: The environment whose rewards are hidden.
            label_fraction: The probability, in (0, 1], that a label is shown.
            bag_len: Steps in a bag, as for `BaggedReward`.
            **arguments: As for `BaggedReward`.
        """
        RecordConstructorArgs.__init__(self, label_fraction=label_fraction, bag_len=bag_len, **arguments)
        schedule, options = schedule_and_options({"label_fraction": label_fraction, "bag_len": bag_len, **arguments})
        DelayedReward.__init__(self, env, schedule, **options)


class SparseReward(DelayedReward, RecordConstructorArgs):
    """Pays 1.0 at the end of a successful episode, and nothing else.

    Example:
        >>> import gymnasium as gym
        >>> env = SparseReward(gym.make("CartPole-v1", max_episode_steps=5), success="return", threshold=5)
        >>> _ = env.reset(seed=0)
        >>> [(step[1], step[4]["is_success"]) for step in [env.step(i % 2) for i in range(5)]][-2:]
        [(0.0, False), (1.0, True)]
    """

    def __init__(
        self, env: gym.Env[Any, Any], success: str | Criterion, threshold: float | None = None, **arguments: Any
    ) -> None:
        """Wrap an environment.

        Args:
            env: The environment whose rewards are replaced.
            success: A name in `bagged_envs.wrappers.success`, or a callable `(observation, info, dense_return,
                terminated) -> bool`, which sees the task's own observation and info.
            threshold: The number that a named criterion compares with.
            **arguments: As for `BaggedReward`, without `bag_len` and `aggregate`.
        """
        RecordConstructorArgs.__init__(self, success=success, threshold=threshold, **arguments)
        schedule, options = schedule_and_options(
            arguments, {"bag_len": None, "success": success, "threshold": threshold}
        )
        DelayedReward.__init__(self, env, schedule, **options)
