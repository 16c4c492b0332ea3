"""Environments that pay a redistributor's rewards at once, for learners that keep no replay buffer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Space
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from bagged_envs.baselines.api import BagBatch, Metrics, Redistributor
from bagged_envs.baselines.collect import OpenEpisode, VectorRecorder, element, elements, opened
from bagged_envs.baselines.draws import Array
from bagged_envs.baselines.driving import Driver
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.promises import relabeled
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.trajectory import Trajectory
from bagged_envs.wrappers.guard import Guard, an_environment
from bagged_envs.wrappers.vector import VectorGuard

DELAYED = "delayed_reward"


class RewardModel:
    """What both wrappers share: a redistributor, the episodes it learns from, and what it pays for a step.

    Attributes:
        store: The episodes that ended.
        driver: Updates the redistributor.
        num_steps: How many steps were made, of all copies together.
    """

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        redistributor: str | Redistributor,
        config: Mapping[str, Any] | object | None,
        seed: int,
        capacity: int,
        device: torch.device | str,
    ) -> None:
        """Make an empty store and the redistributor; arguments as for `LearnedReward`."""
        self.store = EpisodeStore.for_spaces(observation_space, action_space, capacity=capacity)
        self._seen, self._acted = Features(observation_space), Features(action_space)
        self.driver = Driver(redistributor, config, self._seen.size, self._acted.size, seed, device)
        self.store.keep(getattr(self.driver.redistributor, "factors", None))
        self._generator = np.random.default_rng(seed)
        self.num_steps = 0
        model = self.driver.redistributor
        if model.context != "step" or model.only_labeled:
            why = "leaves steps out" if model.context == "step" else f"must see a step's {model.context} first"
            raise ValueError(
                f"redistributor must pay a step by itself, got {model.name!r}, which {why}: use it in a replay buffer, "
                f"such as bagged_envs.baselines.sb3.BagReplayBuffer."
            )

    def pay(self, episodes: Sequence[OpenEpisode]) -> Array:
        """Return what is paid for the last steps of some episodes, float64 `[N]`: before the first update what was."""
        if not self.driver.fitted:
            return np.array([episode.rewards[-1] for episode in episodes], dtype=np.float64)
        return relabeled(self.driver.redistributor, self._last_steps(episodes))[:, 0, 0].double().cpu().numpy()

    def learn(self, steps: int, ended: Sequence[Trajectory]) -> None:
        """Store the episodes that ended, count steps, and make the updates that are due.

        Raises:
            FloatingPointError: A loss was not finite.
            ValueError: An episode does not fit the store, or a reward came before its bag's end.
        """
        for trajectory in ended:
            self.store.add(trajectory)
        self.num_steps += steps
        self.driver.drive(
            self.num_steps,
            lambda sampling: self.store.sample_bags(sampling, self._generator, only_labeled=True),
            self.store.num_labeled_bags > 0,
        )

    def _last_steps(self, episodes: Sequence[OpenEpisode]) -> BagBatch:
        """Return the last step of each episode alone, `[N, 1, 1, _]`, with its bag's label if it closed the bag."""
        last = [episode.told[-1] for episode in episodes]
        labeled = np.array([told["bag_end"] and told["reward_observed"] for told in last], dtype=np.bool_)
        rewards = np.array([episode.rewards[-1] for episode in episodes], dtype=np.float32)
        paid = torch.from_numpy(np.where(labeled, rewards, np.float32(0)))
        here = torch.ones(len(last), 1, 1, dtype=torch.bool)
        dense = None
        if all("dense_reward" in told for told in last):
            dense = torch.tensor([float(told["dense_reward"]) for told in last])[:, None, None]
        return BagBatch(
            observations=_alone(self._seen, [episode.observations[-2] for episode in episodes]),
            actions=_alone(self._acted, [episode.actions[-1] for episode in episodes]),
            next_observations=_alone(self._seen, [episode.observations[-1] for episode in episodes]),
            mask=here,
            label=paid,
            labeled=torch.from_numpy(labeled),
            length=torch.tensor([episode.in_bag for episode in episodes]),
            context=here,
            paid=paid[:, None, None],
            dense=dense,
        )


def _alone(features: Features, values: list[Array]) -> torch.Tensor:
    """Return elements of a space as features of single steps, `[N, 1, 1, size]`."""
    return torch.from_numpy(features.encode(np.stack(values)))[:, None, None]


class LearnedReward(Guard, gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Pays each step what a redistributor gives it now, in place of the delayed reward.

    For learners that use a reward once, when it is paid, such as PPO. `info["delayed_reward"]` is what the environment
    itself paid (0.0 on reset); `bag_end` and `reward_observed` still speak of that. Episodes are kept in a store as
    they end, and the redistributor is updated in `step`, by its `schedule` in steps, from labeled bags drawn from
    there. Until the first update the delayed reward is paid; a ready redistributor is taken as fitted.

    What adds up rewards outside of this wrapper adds up learned ones: put `RecordEpisodeStatistics` and SB3's `Monitor`
    inside (as SB3's `make_vec_env` does with a `wrapper_class`) to have the returns of the task, and evaluate on
    `bagged_envs.dense(id)`. For the same reason nothing that reads bags, such as another redistributor, may stand
    outside.

    An episode that is reset before its end is thrown away. A copy or an unpickled wrapper has its own model and store,
    and needs `reset` before `step`. Several copies of the wrapper learn each for itself: `VecLearnedReward` has one
    model for all copies of a vector environment.

    Example:
        >>> import gymnasium as gym, bagged_envs
        >>> env = gym.make("BaggedInvertedPendulum-v0", bag_len=2, expose_reward=True)
        >>> env = LearnedReward(env, "oracle")
        >>> _ = env.reset(seed=0)
        >>> steps = [env.step(env.action_space.low * 0) for _ in range(4)]
        >>> [(reward, info["delayed_reward"]) for _, reward, _, _, info in steps]
        [(1.0, 0.0), (1.0, 2.0), (1.0, 0.0), (1.0, 2.0)]
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        redistributor: str | Redistributor,
        config: Mapping[str, Any] | object | None = None,
        *,
        seed: int = 0,
        capacity: int = 1_000_000,
        device: torch.device | str = "cpu",
    ) -> None:
        """Wrap a delayed environment.

        Args:
            env: The environment, with a delay in it.
            redistributor: A name in `bagged_envs.baselines.redistributors.REDISTRIBUTORS`, or a ready redistributor,
                that sees steps alone ("step" is its `context`).
            config: Settings of one that comes by its name: a mapping, or its dataclass.
            seed: Of the redistributor and of the draws from the store.
            capacity: How many steps the store holds.
            device: Where a redistributor made here has its networks.

        Raises:
            TypeError: `env` is no environment, a space has no features, or the redistributor is none.
            ValueError: The redistributor must see labels or whole bags, or there is no such name or setting.
        """
        settings = {"config": config, "seed": seed, "capacity": capacity, "device": device}
        RecordConstructorArgs.__init__(self, redistributor=redistributor, _disable_deepcopy=True, **settings)
        gym.Wrapper.__init__(self, an_environment(env, gym.Env, "Gymnasium environment"))
        self._model = RewardModel(
            env.observation_space, env.action_space, redistributor, config, seed, capacity, device
        )
        self._episode: OpenEpisode | None = None

    @property
    def redistributor(self) -> Redistributor:
        """Who says what a step is worth."""
        return self._model.driver.redistributor

    @property
    def metrics(self) -> Metrics:
        """What the redistributor's last burst of updates returned, means over the burst; empty before the first."""
        return self._model.driver.metrics

    @property
    def updates(self) -> int:
        """How many updates of the redistributor were made."""
        return self._model.driver.updates

    @property
    def store(self) -> EpisodeStore:
        """The episodes that ended, with what the environment paid."""
        return self._model.store

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment.

        Raises:
            ValueError: Info has no borders of bags.
        """
        self._begin_reset()
        observation, info = self.env.reset(seed=seed, options=options)
        self._episode = opened(self.env.observation_space, observation, info)
        self._needs_reset = None
        return observation, {**info, DELAYED: 0.0}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Make one step; the reward is what the redistributor gives it, as a Python float.

        Raises:
            gymnasium.error.ResetNeeded: No episode is running.
            FloatingPointError: A loss of the redistributor was not finite.
            ValueError: An episode ended without closing its bag, or rewards came before their bag's end.
        """
        episode = self._episode
        if self._needs_reset is not None or episode is None:
            self._raise_needs_reset()
        acted = element(self.env.action_space, action)
        self._needs_reset = "the last step failed"
        observation, reward, terminated, truncated, info = self.env.step(action)
        episode.append(acted, element(self.env.observation_space, observation), reward, info)
        learned = float(self._model.pay([episode])[0])
        ended = terminated or truncated
        self._model.learn(1, [episode.ended(bool(terminated))] if ended else [])
        self._needs_reset = "the episode has ended" if ended else None
        return observation, learned, terminated, truncated, {**info, DELAYED: float(reward)}


class VecLearnedReward(VectorGuard):
    """Pays each step of a vector environment what one redistributor, shared by all copies, gives it now.

    As `LearnedReward`, in every autoreset mode. `infos["delayed_reward"]` is float64 `(num_envs,)`; with SAME_STEP that
    of an episode's last step stands in `infos["final_info"]`, as all of Gymnasium's infos do. The schedule counts the
    steps of all copies together, without those that only reset.

    Example:
        >>> import numpy as np, bagged_envs
        >>> envs = bagged_envs.make_vec("BaggedKeyDoor-v0", num_envs=2, bag_len=5, max_episode_steps=20)
        >>> envs = VecLearnedReward(envs, "rrd", {"warm_up": 40, "every": 40, "updates": 1, "bags": 8}, seed=0)
        >>> _ = envs.reset(seed=0)
        >>> for _ in range(100):
        ...     observations, rewards, _, _, infos = envs.step(np.array([0, 1]))
        >>> envs.updates, rewards.shape, infos["delayed_reward"].shape
        (4, (2,), (2,))
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        redistributor: str | Redistributor,
        config: Mapping[str, Any] | object | None = None,
        *,
        seed: int = 0,
        capacity: int = 1_000_000,
        device: torch.device | str = "cpu",
    ) -> None:
        """Wrap a delayed vector environment; arguments and errors as for `LearnedReward`."""
        super().__init__(env)
        spaces = env.single_observation_space, env.single_action_space
        self._model = RewardModel(*spaces, redistributor, config, seed, capacity, device)
        self._recorder = VectorRecorder(env)

    @property
    def redistributor(self) -> Redistributor:
        """Who says what a step is worth."""
        return self._model.driver.redistributor

    @property
    def metrics(self) -> Metrics:
        """What the redistributor's last burst of updates returned, means over the burst; empty before the first."""
        return self._model.driver.metrics

    @property
    def updates(self) -> int:
        """How many updates of the redistributor were made."""
        return self._model.driver.updates

    @property
    def store(self) -> EpisodeStore:
        """The episodes that ended, with what the environment paid."""
        return self._model.store

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all environments, or those of `options["reset_mask"]`."""
        observations, infos, mask = self._begin(seed, options)
        self._recorder.reset(observations, infos, mask)
        chosen = np.ones(self.num_envs, dtype=np.bool_) if mask is None else mask
        infos[DELAYED], infos[f"_{DELAYED}"] = np.zeros(self.num_envs), chosen.copy()
        return observations, infos

    def step(self, actions: Any) -> tuple[Any, Array, Any, Any, dict[str, Any]]:
        """Make one step in every environment; rewards are what the redistributor gives them, float64 `(num_envs,)`.

        Raises:
            gymnasium.error.ResetNeeded: No episode is running, or with autoreset disabled one has ended.
            FloatingPointError: A loss of the redistributor was not finite.
            ValueError: An episode ended without closing its bag, or rewards came before their bag's end.
        """
        self._active()
        acted = elements(self.env.single_action_space, actions)
        self._needs_reset = "the last step failed"
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        stepped = self._recorder.step(acted, observations, rewards, terminated, truncated, infos)
        self._done = self._recorder.done
        learned, delayed = np.zeros(self.num_envs), np.zeros(self.num_envs)
        if stepped:
            slots = [slot for slot, _ in stepped]
            learned[slots] = self._model.pay([episode for _, episode in stepped])
            delayed[slots] = np.asarray(rewards, dtype=np.float64)[slots]
        ended = [episode.ended(bool(terminated[slot])) for slot, episode in stepped if self._done[slot]]
        self._model.learn(len(stepped), ended)
        infos = dict(infos)
        self._tell(infos, {DELAYED: delayed}, self._done)
        self._needs_reset = None
        return observations, learned, terminated, truncated, infos
