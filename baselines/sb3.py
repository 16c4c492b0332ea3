"""Redistributed rewards inside Stable-Baselines3's off-policy algorithms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Space, Tuple
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor

from bagged_envs.baselines.api import BagBatch, Metrics, Redistributor
from bagged_envs.baselines.cadence import Cadence
from bagged_envs.baselines.draws import Array, Bools, Ints, chunks, some_steps
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.redistributors import make_redistributor
from bagged_envs.baselines.replay_bags import ReplayBags
from bagged_envs.wrappers.vector import one_info


class BagReplayBuffer(ReplayBuffer):
    """A `ReplayBuffer` that keeps the bags of its steps, and pays redistributed rewards for those it samples.

    Sampled are steps of closed bags that are in the buffer whole, each as likely as any other, of all environments.
    """

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
        config: Mapping[str, Any] | Any = None,
        seed: int | None = None,
    ) -> None:
        if optimize_memory_usage:
            raise ValueError("optimize_memory_usage must be False: redistributors see what follows a bag's last step.")
        if isinstance(observation_space, (Dict, Tuple)):
            raise TypeError(f"observation_space must not be composed, got {observation_space}.")
        super().__init__(
            buffer_size, observation_space, action_space, device, n_envs, False, handle_timeout_termination
        )
        seed = int(np.random.randint(2**31)) if seed is None else seed
        self._seen, self._acted = Features(observation_space), Features(action_space)
        if isinstance(redistributor, str):
            redistributor = make_redistributor(
                redistributor, self._seen.size, self._acted.size, seed=seed, device=self.device, **_settings(config)
            )
        self.redistributor = redistributor
        self.generator = np.random.default_rng(seed)
        self.bags = ReplayBags(self.buffer_size, n_envs)
        self.dense: Array | None = None
        self.relabeled = np.zeros(self.buffer_size * n_envs, dtype=np.float32)
        self.metrics: Metrics = {}
        self.num_steps = self.num_updates = 0
        self._cadence = Cadence(redistributor.schedule)
        self._running = np.zeros(n_envs, dtype=np.bool_)

    def add(
        self, obs: Array, next_obs: Array, action: Array, reward: Array, done: Array, infos: Sequence[dict[str, Any]]
    ) -> None:
        told, finals = _told(infos, self.n_envs)
        ended = np.asarray(done, dtype=np.bool_) | finals
        closes = np.array([info["bag_end"] for info in told], dtype=np.bool_)
        observed = np.array([info["reward_observed"] for info in told], dtype=np.bool_)
        self.bags.abandon(self._interrupted(obs))
        closed = self.bags.add(closes, observed, ended)
        if "dense_reward" in told[0]:
            if self.dense is None:
                self.dense = np.zeros((self.buffer_size, self.n_envs), dtype=np.float32)
            self.dense[self.pos] = [info["dense_reward"] for info in told]
        super().add(obs, next_obs, action, reward, done, told)
        self._running = ~ended
        self.num_steps += self.n_envs
        if self.redistributor.stored and len(closed):
            self._relabel(closed)
        self._update()

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        only = "labeled_" if self.redistributor.only_labeled else ""
        steps = self.bags.draw(f"{only}steps", batch_size, self.generator)
        rewards = self.rewards_of(steps)
        data = (
            self._normalize_obs(self._take("observations", steps), env),
            self._take("actions", steps),
            self._normalize_obs(self._take("next_observations", steps), env),
            (self._take("dones", steps) * (1 - self._take("timeouts", steps)))[:, None],
            rewards[:, None],
        )
        return ReplayBufferSamples(*map(self.to_torch, data))

    def rewards_of(self, steps: Ints) -> Array:
        """Return the redistributed rewards of some steps, float32 `[N]`."""
        if self.redistributor.context == "step" and not self.redistributor.stored:
            batch = self._batch(self.bags.bag[steps], steps[:, None])
            return self.redistributor.relabel(batch)[:, 0, 0].cpu().numpy()
        if not self.redistributor.stored:
            self._relabel(np.unique(self.bags.bag[steps]))
        return self.relabeled[steps]

    def _update(self) -> None:
        sampling = self.redistributor.sampling
        due = self._cadence.due(self.num_steps, self.bags.count("labeled_bags") > 0)
        if sampling is None or not due:
            return
        for _ in range(due):
            self.metrics = self.redistributor.update(self._sampled_bags())
        self.num_updates += due
        if self.redistributor.stored:
            self._relabel(self.bags.all("bags"))

    def _sampled_bags(self) -> BagBatch:
        sampling = self.redistributor.sampling
        if sampling.weight == "length":
            bags = self.bags.bag[self.bags.draw("labeled_steps", sampling.bags, self.generator)]
        else:
            bags = self.bags.draw("labeled_bags", sampling.bags, self.generator)
        if sampling.steps is None:
            return self._batch(bags, *self._cells(bags, sampling.history))
        columns = some_steps(self.bags.length[bags], sampling.steps, self.generator)
        return self._batch(bags, self.bags.move(bags[:, None], columns))

    def _relabel(self, bags: Ints) -> None:
        """Write the redistributed rewards of whole bags."""
        history = 0 if self.redistributor.sampling is None else self.redistributor.sampling.history
        for chunk in chunks(self.bags.length[bags] + history):
            steps, inside, context = self._cells(bags[chunk], history)
            rewards = self.redistributor.relabel(self._batch(bags[chunk], steps, inside, context))
            self.relabeled[steps[inside]] = rewards[..., 0].cpu().numpy()[inside]

    def _cells(self, bags: Ints, history: int) -> tuple[Ints, Bools, Bools]:
        """Return steps `[B, L]`, which of them are in the bags, and which may be looked at."""
        lengths = self.bags.length[bags, None]
        columns = np.arange(-history, lengths.max(initial=0))
        inside = (columns >= 0) & (columns < lengths)
        context = (columns < lengths) & (columns >= -self.bags.history(bags)[:, None])
        return self.bags.move(bags[:, None], np.where(context, columns, 0)), inside, context

    def _batch(self, bags: Ints, steps: Ints, inside: Bools | None = None, context: Bools | None = None) -> BagBatch:
        """Return steps `[B, L]` of bags as a batch, 0 where `inside` and `context` are False (None: nowhere)."""
        everywhere = np.ones(steps.shape, dtype=np.bool_)
        inside, context = everywhere if inside is None else inside, everywhere if context is None else context
        ends = self._take("rewards", self.bags.move(bags, self.bags.length[bags] - 1))
        labeled = self.bags.labeled[bags]
        columns = {
            "observations": self._features(self._seen, "observations", steps) * context[..., None, None],
            "actions": self._features(self._acted, "actions", steps) * context[..., None, None],
            "next_observations": self._features(self._seen, "next_observations", steps) * context[..., None, None],
            "paid": np.where(inside & labeled[:, None], self._take("rewards", steps), 0)[..., None],
        }
        if self.dense is not None:
            columns["dense"] = np.where(inside, self._take("dense", steps), 0)[..., None]
        return BagBatch(
            mask=torch.from_numpy(inside[..., None]),
            context=torch.from_numpy(context[..., None]),
            label=torch.from_numpy(np.where(labeled, ends, 0)),
            labeled=torch.from_numpy(labeled),
            length=torch.from_numpy(self.bags.length[bags]),
            **{name: torch.from_numpy(array) for name, array in columns.items()},
        )

    def _features(self, features: Features, name: str, steps: Ints) -> Array:
        taken = self._take(name, steps.ravel())
        if name == "actions" and isinstance(self.action_space, Box):
            space = self.action_space
            taken = space.low + (taken.reshape(-1, *space.shape) + 1) * (0.5 * (space.high - space.low))
        flat = features.encode(taken.reshape(-1, *features.space.shape))
        return flat.reshape(*steps.shape, 1, features.size)

    def _take(self, name: str, steps: Ints) -> Array:
        array = getattr(self, name)
        return array.reshape(-1, *array.shape[2:])[steps]

    def _interrupted(self, obs: Array) -> Bools:
        """Return which environments were reset in mid-episode: what they see is not what they saw last."""
        last = self.next_observations[self.pos - 1]
        now = np.asarray(obs, dtype=last.dtype).reshape(last.shape)
        same = (now == last) | ((now != now) & (last != last))
        return self._running & ~same.reshape(self.n_envs, -1).all(axis=1)


def _settings(config: Any) -> dict[str, Any]:
    if config is None:
        return {}
    if is_dataclass(config):
        return {field.name: getattr(config, field.name) for field in fields(config)}
    return dict(config)


def _told(infos: Any, copies: int) -> tuple[list[dict[str, Any]], Bools]:
    """Return each environment's info of this step, and whose came as the final one of an episode."""
    told = [one_info(infos, copy) for copy in range(copies)] if isinstance(infos, dict) else list(infos)
    finals = np.array(["final_info" in info for info in told], dtype=np.bool_)
    return [info.get("final_info", info) for info in told], finals
