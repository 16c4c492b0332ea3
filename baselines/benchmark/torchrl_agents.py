"""TorchRL's SAC in a benchmark: on rewards as they are paid, or redistributed. Needs the extra `torchrl`.

Put together from the library's parts in the way of its own example (`sota-implementations/sac`), whose settings are the
defaults.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import torch
from gymnasium.spaces import Box
from gymnasium.wrappers import RecordEpisodeStatistics
from torch import nn

from bagged_envs.baselines.benchmark.agents import redistributed

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of the library's own classes, as it is imported
    from tensordict import TensorDict, TensorDictBase
    from tensordict.nn import NormalParamExtractor, TensorDictModule
    from torchrl.collectors import Collector
    from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer, Unbounded
    from torchrl.envs import (
        Compose,
        DoubleToFloat,
        EnvBase,
        ExplorationType,
        GymWrapper,
        InitTracker,
        RewardSum,
        TransformedEnv,
        set_exploration_type,
    )
    from torchrl.envs.gym_like import BaseInfoDictReader
    from torchrl.modules import MLP, ProbabilisticActor, TanhNormal, ValueOperator
    from torchrl.objectives import SACLoss, SoftUpdate, group_optimizers

PACKAGES = ("torchrl", "tensordict")


@dataclass(frozen=True)
class Settings:
    """Of SAC.

    Attributes:
        random_steps: Steps with random actions before the first update; 25,000 in the example.
        steps_per_batch: Steps between two bursts of updates, one update per step.
        capacity: Of the replay buffer, in steps.
        batch_size: Of an update.
        hidden: Widths of the hidden layers of policy and critics.
        learning_rate: Of all networks and of the temperature.
        discount: Of rewards.
        polyak: How much of the target critics stays at an update.
    """

    random_steps: int = 1000
    steps_per_batch: int = 1000
    capacity: int = 1_000_000
    batch_size: int = 256
    hidden: tuple[int, ...] = (256, 256)
    learning_rate: float = 3e-4
    discount: float = 0.99
    polyak: float = 0.995


class PaidReturn(BaseInfoDictReader):  # type: ignore[misc]
    """Hands on what an episode was paid, which Gymnasium's statistics put into info: 0.0 until it ends."""

    @property
    def info_spec(self) -> dict[str, Any]:
        """What is added to an observation."""
        return {"paid_return": Unbounded((1,))}

    def __call__(self, info: dict[str, Any], tensordict: TensorDictBase) -> TensorDictBase:
        """Add it."""
        paid = info["episode"]["r"] if "episode" in info else 0.0
        return tensordict.set("paid_return", torch.tensor([paid], dtype=torch.float32))

    def reset(self) -> None:
        """Nothing is kept."""


class TorchRLSAC:
    """SAC of the library's parts as an agent.

    Attributes:
        actor: The policy.
        loss: The library's loss, which has the critics and the temperature.
        buffer: The replay buffer.
        returns: What the library logged of each whole episode, as it was paid, float32.
    """

    def __init__(self, env: EnvBase, settings: Settings, logged: str) -> None:
        """Make networks, loss and buffer.

        Args:
            env: What to train on.
            settings: Of SAC.
            logged: The key of an episode's return.
        """
        self.returns = list[float]()
        self._env, self._settings, self._logged = env, settings, logged
        self.actor, critic = networks(env, settings.hidden)
        self.loss = SACLoss(self.actor, critic, num_qvalue_nets=2, loss_function="l2", alpha_init=1.0)
        self.loss.make_value_estimator(gamma=settings.discount)
        self._targets = SoftUpdate(self.loss, eps=settings.polyak)
        fitted = (
            self.loss.actor_network_params.values(True, True),
            self.loss.qvalue_network_params.values(True, True),
            [self.loss.log_alpha],
        )
        optimizers = (torch.optim.Adam(parameters, settings.learning_rate) for parameters in fitted)
        self._optimizer = group_optimizers(*optimizers)
        self.buffer = TensorDictReplayBuffer(
            storage=LazyTensorStorage(settings.capacity), batch_size=settings.batch_size
        )

    def learn(self, steps: int) -> None:
        """Train; whole batches are collected."""
        batches = math.ceil(steps / self._settings.steps_per_batch)
        collector = Collector(
            self._env,
            self.actor,
            frames_per_batch=self._settings.steps_per_batch,
            total_frames=batches * self._settings.steps_per_batch,
            init_random_frames=self._settings.random_steps,
        )
        collected = 0
        for batch in collector:
            collected += batch.numel()
            self.buffer.extend(batch)
            self.returns += batch["next", self._logged][batch["next", "done"]].tolist()
            if collected >= self._settings.random_steps:
                for _ in range(batch.numel()):
                    self._update()
        collector.shutdown(close_env=False)

    def _update(self) -> None:
        losses = self.loss(self.buffer.sample())
        (losses["loss_actor"] + losses["loss_qvalue"] + losses["loss_alpha"]).backward()
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._targets.step()

    def act(self, observation: Any) -> Any:
        """Return the policy's mode."""
        seen = TensorDict({"observation": torch.as_tensor(observation, dtype=torch.float32)})
        with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
            return self.actor(seen)["action"].numpy()


def networks(env: EnvBase, hidden: tuple[int, ...]) -> tuple[ProbabilisticActor, ValueOperator]:
    """Return a policy, a Gaussian squashed into the bounds of actions, and a critic."""
    observations, spec = env.observation_spec["observation"].shape[-1], env.action_spec
    actions = spec.shape[-1]
    network = nn.Sequential(
        MLP(observations, 2 * actions, num_cells=hidden, activation_class=nn.ReLU),
        NormalParamExtractor(scale_mapping="biased_softplus_1.0", scale_lb=0.1),
    )
    actor = ProbabilisticActor(
        TensorDictModule(network, in_keys=["observation"], out_keys=["loc", "scale"]),
        in_keys=["loc", "scale"],
        spec=spec,
        distribution_class=TanhNormal,
        distribution_kwargs={"low": spec.space.low, "high": spec.space.high, "tanh_loc": False},
    )
    critic = MLP(observations + actions, 1, num_cells=hidden, activation_class=nn.ReLU)
    return actor, ValueOperator(critic, in_keys=["action", "observation"])


def sac(
    env: gym.Env[Any, Any], seed: int, redistributor: Mapping[str, Any] | None = None, **settings: Any
) -> TorchRLSAC:
    """Return SAC, with `LearnedReward` where a redistributor is given: its `name`, and settings.

    Raises:
        TypeError: Actions are not continuous, or there is no such setting.
    """
    if not isinstance(env.action_space, Box):
        raise TypeError(f"env must have a Box of actions, got {env.action_space}: take an agent with discrete actions.")
    torch.manual_seed(seed)
    if redistributor is None:
        made = TransformedEnv(GymWrapper(env), Compose(InitTracker(), DoubleToFloat(), RewardSum()))
        return TorchRLSAC(made, Settings(**settings), logged="episode_reward")
    # There the library's sums are of learned rewards: what the task paid is counted inside, and handed on.
    learned = GymWrapper(redistributed(RecordEpisodeStatistics(env), redistributor, seed))
    made = TransformedEnv(learned.set_info_dict_reader(PaidReturn()), Compose(InitTracker(), DoubleToFloat()))
    return TorchRLSAC(made, Settings(**settings), logged="paid_return")
