"""Redistributed rewards inside Stable-Baselines3's off-policy algorithms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Space
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from bagged_envs.baselines.api import BagBatch, Metrics, Redistributor, Sampling
from bagged_envs.baselines.borders import borders, infos_of_step
from bagged_envs.baselines.draws import Array, Bools, Ints, chunks, number_of_bags, until
from bagged_envs.baselines.driving import Driver
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.promises import relabeled
from bagged_envs.baselines.replay_bags import ReplayBags, batch_of


class BagReplayBuffer(ReplayBuffer):
    """A replay buffer of Stable-Baselines3 that pays redistributed rewards for the steps it samples.

    It reads the bags of each environment from `info["bag_end"]` and `info["reward_observed"]`. Sampled are steps of
    closed bags that are in the buffer whole (of labeled ones, where the redistributor says so), each as likely as any
    other; steps of an open bag wait until it closes. Rewards are made when steps are sampled, by the redistributor as
    it is then, which sees the steps alone, with their bags' labels, or the whole bags around them. One that stores its
    rewards, as RBT and RUDDER do, gives a bag's when it closes, and after each burst of updates those of all bags, or
    of the longest ago renewed ones (`Schedule.refresh`).
    Until the first update learners get what was paid; a ready redistributor is taken as fitted.

    The redistributor is updated in `add`, by its `schedule` in steps of all environments together, from labeled bags
    drawn as its `sampling` says. Many begin late (`RRDConfig.warm_up` is 10,000 steps): pass the algorithm a
    `learning_starts` of as many. It must also be later than the first bag's end, or sampling raises: for an Episodic ID
    the longest episode times the number of environments.

    The redistributor sees observations before `VecNormalize`, and actions in the environment's own units (algorithms
    store those of a Box scaled to [-1, 1]; what adds steps itself must do the same). `VecNormalize` must have
    `norm_reward=False`: what it knows is the scale of delayed rewards. Evaluate on `bagged_envs.dense(id)`.

    An environment that is reset in mid-episode, as `learn` does it when called again, loses its open bag: that is seen
    by an observation that is not the one before. Only where both are equal in every number is it not seen.

    `save_replay_buffer` saves redistributor, bags and random numbers too, and a loaded buffer goes on identically.

    Args:
        buffer_size: How many steps, of all environments together.
        observation_space: Box, Discrete, MultiDiscrete or MultiBinary.
        action_space: The same.
        device: Where samples go, and where a redistributor made here has its networks.
        n_envs: How many environments.
        optimize_memory_usage: Must be False: redistributors look at what follows a bag's last step.
        handle_timeout_termination: Whether the end of an episode by its time limit does not stop bootstrapping.
        redistributor: A name in `bagged_envs.baselines.redistributors.REDISTRIBUTORS`, or a ready redistributor.
        config: Settings of one that comes by its name: a mapping, or its dataclass.
        seed: Of the redistributor and of all draws; None takes it from NumPy's global random numbers, which the
            algorithm's `seed` has seeded.

    Attributes:
        redistributor: The redistributor.
        metrics: Of its last burst of updates, means over the burst.
        updates: How many updates were made.
        num_steps: How many steps were added, of all environments together.
        bags: The bags.

    Raises:
        TypeError: A space is composed of others or has no features, or the redistributor is none.
        ValueError: `optimize_memory_usage`, or a name or setting that there is not.

    Example:
        >>> from stable_baselines3 import SAC
        >>> rrd = {"redistributor": "rrd", "config": {"warm_up": 40, "bags": 2}}
        >>> arguments = {"replay_buffer_class": BagReplayBuffer, "replay_buffer_kwargs": rrd, "learning_starts": 40}
        >>> model = SAC("MlpPolicy", "bagged_envs:BaggedInvertedPendulum-v0", seed=0, **arguments).learn(101)
        >>> model.replay_buffer.updates, sorted(model.replay_buffer.metrics)
        (100, ['gradient_norm', 'labeled', 'loss'])
    """

    # Whether a bag, or a labeled one, ever closed: of buffers that were saved without telling, none is known.
    _had_bags = _had_labels = False

    def __init__(
        self,
        buffer_size: int,
        observation_space: Space[Any],
        action_space: Space[Any],
        device: torch.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        *,
        redistributor: str | Redistributor,
        config: Mapping[str, Any] | object | None = None,
        seed: int | None = None,
    ) -> None:
        if optimize_memory_usage:
            raise ValueError(
                "optimize_memory_usage must be False, got True: it overwrites what follows an episode's last step, "
                "which redistributors look at. Make buffer_size smaller instead."
            )
        for name, space in (("observation_space", observation_space), ("action_space", action_space)):
            _check_space(name, space)
        super().__init__(
            buffer_size,
            observation_space,
            action_space,
            device,
            n_envs,
            handle_timeout_termination=handle_timeout_termination,
        )
        seed = int(np.random.randint(2**31)) if seed is None else seed
        self._seen, self._acted = Features(observation_space), Features(action_space)
        self._driver = Driver(redistributor, config, self._seen.size, self._acted.size, seed, self.device)
        self._generator = np.random.default_rng(seed)
        self.bags = ReplayBags(self.buffer_size, n_envs)
        self.num_steps = 0
        self._forget()

    def _forget(self) -> None:
        self._had_bags = self._had_labels = False
        self.dense: Array | None = None
        self.relabeled: Array = np.zeros((self.buffer_size, self.n_envs), dtype=np.float32)
        self._relabeled_after = np.zeros(self.buffer_size * self.n_envs, dtype=np.int64)  # of a bag: how many updates

    @property
    def redistributor(self) -> Redistributor:
        """Who says what a step is worth."""
        return self._driver.redistributor

    @property
    def metrics(self) -> Metrics:
        """What the redistributor's last burst of updates returned, means over the burst; empty before the first."""
        return self._driver.metrics

    @property
    def updates(self) -> int:
        """How many updates of the redistributor were made."""
        return self._driver.updates

    def reset(self) -> None:
        """Forget all steps; redistributor and schedule go on."""
        super().reset()
        self.bags.clear()
        self._forget()

    def add(
        self,
        obs: Array,
        next_obs: Array,
        action: Array,
        reward: Array,
        done: Array,
        infos: Sequence[dict[str, Any]] | dict[str, Any],
    ) -> None:
        """Add a step of every environment, and update the redistributor if its schedule says so.

        Args:
            obs: `[n_envs, ...]`, before `VecNormalize`.
            next_obs: The same after the step, at an episode's end its last observation and not the next one's first.
            action: As algorithms store them, those of a Box scaled to [-1, 1].
            reward: `[n_envs]`, as paid.
            done: `[n_envs]`, whether the episode ended.
            infos: Of each environment; of an episode's last step, what `final_info` has if it is there. Infos of a
                Gymnasium vector environment will do, with autoreset mode SAME_STEP; `done` is then `terminated`.

        Raises:
            ValueError: Info has no borders of bags, a reward came before its bag's end or is not finite, an episode
                ended without closing its bag, or a bag is longer than the buffer.
        """
        told, finals = infos_of_step(infos, self.n_envs)
        ended = np.asarray(done, dtype=np.bool_) | finals
        with np.errstate(over="ignore"):  # beyond float32 is infinity, which is refused
            reward = np.asarray(reward, dtype=np.float32)
        closes, observed = borders(told, reward, ended)
        self._keep_dense(told)
        self.bags.abandon(self._jumped(obs))
        closed = self.bags.add(closes, observed, ended)
        self._had_bags |= len(closed) > 0
        self._had_labels |= bool(self.bags.labeled[closed].any())
        super().add(obs, next_obs, action, reward, done, told)
        self.num_steps += self.n_envs
        updated = self._driver.drive(self.num_steps, self._drawn, self.bags.count("labeled_bags") > 0)
        if self.redistributor.stored and self._driver.fitted:
            self._relabeled_after[closed] = 0  # another bag may have had its number
            self._relabel(self._outdated() if updated else closed)

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """Return random steps of closed bags with redistributed rewards.

        Args:
            batch_size: How many, drawn with replacement.
            env: What normalizes observations, or None.

        Raises:
            ValueError: No bag (or none that is labeled, where only those are wanted) has closed yet, or `env`
                normalizes rewards.
        """
        if env is not None and env.norm_reward:
            raise ValueError(
                "VecNormalize must have norm_reward=False around a BagReplayBuffer, got True: its scale is that of the "
                "delayed rewards, not of the redistributed ones that are sampled."
            )
        steps = self._draw_steps(batch_size)
        data = (
            self._normalize_obs(self._take("observations", steps), env),
            self._take("actions", steps),
            self._normalize_obs(self._take("next_observations", steps), env),
            (self._take("dones", steps) * (1 - self._take("timeouts", steps)))[:, None],
            self.rewards_of(steps)[:, None],
        )
        return ReplayBufferSamples(*map(self.to_torch, data))

    def rewards_of(self, steps: Ints) -> Array:
        """Return what is paid now for some steps of closed bags, as `ReplayBags` names them: float32 `[N]`."""
        if not self._driver.fitted:
            return np.where(self.bags.labeled[self.bags.bag[steps]], self._take("rewards", steps), np.float32(0))
        if self.redistributor.stored:
            return self._take("relabeled", steps)
        if self.redistributor.context != "bag":
            rewards = relabeled(self.redistributor, self._batch(self.bags.bag[steps], steps[:, None]))
            return rewards[:, 0, 0].cpu().numpy()
        self._relabel(np.unique(self.bags.bag[steps]))
        return self._take("relabeled", steps)

    def _draw_steps(self, count: int) -> Ints:
        name = "labeled_steps" if self.redistributor.only_labeled else "steps"
        if not self.bags.count(name):
            what = "labeled bag" if self.redistributor.only_labeled else "bag"
            if self._had_labels if self.redistributor.only_labeled else self._had_bags:
                raise ValueError(
                    f"buffer_size must be so large that a closed {what} stays in the buffer until the next one closes, "
                    f"got {self.buffer_size * self.n_envs}, and none after {self.num_steps} steps of {self.n_envs} "
                    f"environments: make it {self.n_envs} times twice the longest bag or more, and more where labels "
                    "are rare."
                )
            raise ValueError(
                f"learning_starts must be later than the end of the first {what}, got none closed after "
                f"{self.num_steps} steps of {self.n_envs} environments: pass the algorithm a learning_starts of at "
                f"least {self.n_envs} times the longest bag (an Episodic ID's are whole episodes). A saved "
                "model has no steps: load_replay_buffer brings them back."
            )
        return self.bags.draw(name, count, self._generator)

    def _drawn(self, sampling: Sampling) -> BagBatch:
        there, steps = self.bags.count("labeled_bags"), self.bags.count("labeled_steps")
        count = number_of_bags(sampling.bags, sampling.enough, there, steps)
        bags = self.bags.draw_bags(count, sampling.weight, self._generator)
        if sampling.steps is None:
            return self._batch(bags, *self.bags.cells(bags, sampling.history))
        return self._batch(bags, self.bags.some_steps(bags, sampling.steps, self._generator))

    def _outdated(self) -> Ints:
        """Return the bags to relabel after a burst of updates, those that never were before those of long ago."""
        bags = self.bags.all("bags")
        bags = bags[np.argsort(self._relabeled_after[bags], kind="stable")]
        never: Bools = self._relabeled_after[bags] == 0
        chosen: Ints = bags[never | until(self.bags.length[bags], self.redistributor.schedule.refresh)]
        return chosen

    def _relabel(self, bags: Ints) -> None:
        """Store what the redistributor says of whole bags."""
        self._relabeled_after[bags] = self.updates
        history = 0 if self.redistributor.sampling is None else self.redistributor.sampling.history
        for chunk in chunks(self.bags.length[bags] + history):
            steps, inside, context = self.bags.cells(bags[chunk], history)
            rewards = relabeled(self.redistributor, self._batch(bags[chunk], steps, inside, context))
            self.relabeled.reshape(-1)[steps[inside]] = rewards[..., 0].cpu().numpy()[inside]

    def _batch(self, bags: Ints, steps: Ints, inside: Bools | None = None, context: Bools | None = None) -> BagBatch:
        return batch_of(self.bags, bags, steps, self._column, self.dense is not None, inside, context)

    def _column(self, name: str, steps: Ints) -> Array:
        """Return a column of a batch: features `[B, L, size]`, or rewards `[B, L]`."""
        if name == "paid":
            return self._take("rewards", steps)
        if name == "dense":
            return self._take("dense", steps)
        return self._features(name, steps)

    def _features(self, name: str, steps: Ints) -> Array:
        """Return observations or actions as features, float32 `[B, L, size]`."""
        features = self._acted if name == "actions" else self._seen
        taken = self._take(name, steps.ravel()).reshape(-1, *(features.space.shape or ()))
        if name == "actions" and isinstance(features.space, Box):
            taken = features.space.low + (taken + 1) * (0.5 * (features.space.high - features.space.low))
        return features.encode(taken).reshape(*steps.shape, features.size)

    def _take(self, name: str, steps: Ints) -> Array:
        array = getattr(self, name)
        taken: Array = array.reshape(-1, *array.shape[2:])[steps]
        return taken

    def _keep_dense(self, told: Sequence[dict[str, Any]]) -> None:
        if self.dense is None and not self.size() and "dense_reward" in told[0]:
            self.dense = np.zeros((self.buffer_size, self.n_envs), dtype=np.float32)
        if self.dense is None:
            return
        if not all("dense_reward" in info for info in told):
            raise ValueError(
                "info must have dense_reward in every step, as in the first one: expose it always or never."
            )
        self.dense[self.pos] = [info["dense_reward"] for info in told]

    def _jumped(self, obs: Array) -> Bools:
        """Return where an observation is not the one that followed the last step; an episode begins there."""
        last = self.next_observations[self.pos - 1]
        now = np.asarray(obs, dtype=last.dtype).reshape(last.shape)
        same = (now == last) | ((now != now) & (last != last))
        jumped: Bools = ~same.reshape(self.n_envs, -1).all(axis=1)
        return jumped


def _check_space(name: str, space: Space[Any]) -> None:
    if not isinstance(space, (Box, Discrete, MultiDiscrete, MultiBinary)):
        raise TypeError(
            f"{name} must be Box, Discrete, MultiDiscrete or MultiBinary for a BagReplayBuffer, got {space}: wrap the "
            f"environment in gymnasium.wrappers.FlattenObservation where observations are composed."
        )
    if name == "action_space" and isinstance(space, Box) and not space.is_bounded():
        raise ValueError(f"action_space must have finite bounds, got {space}: wrap the environment in RescaleAction.")
