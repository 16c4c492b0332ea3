"""TD3, and DDPG as a setting of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from bagged_envs.baselines.actions import BoxActions
from bagged_envs.baselines.api import Metrics, Transitions
from bagged_envs.baselines.learners import state as states
from bagged_envs.baselines.networks import MLP, Ensemble, generators
from bagged_envs.baselines.settings import check_settings
from bagged_envs.baselines.updates import adam, descend, finite, fitting, follow
from bagged_envs.wrappers.arguments import positive_int


@dataclass(frozen=True)
class TD3Config:
    """Settings of TD3; the defaults are those of the authors' current code, as RRD, RD and LaRe use it.

    Attributes:
        hidden: Widths of the hidden layers of actor and critics.
        activation: "relu" or "tanh".
        init: How weights begin: "default" (PyTorch's), "orthogonal" or "xavier" (RRD's).
        actor_learning_rate: Adam's, for the actor.
        critic_learning_rate: Adam's, for the critics.
        critic_weight_decay: L2 regularization of the critics, in Adam.
        discount: Of later rewards.
        tau: How far target networks move towards the others in one update of the policy.
        critics: How many; the target is the lowest of them.
        policy_delay: The policy and the targets are updated with every so many updates of the critics.
        target_noise: Standard deviation of the noise on the target policy's action, in [-1, 1] units.
        target_noise_clip: Bound of that noise.
        exploration_noise: Standard deviation of the noise on actions that explore, in [-1, 1] units.
        max_grad_norm: Where gradients are clipped, or None.
    """

    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    init: str = "default"
    actor_learning_rate: float = 3e-4
    critic_learning_rate: float = 3e-4
    critic_weight_decay: float = 0.0
    discount: float = 0.99
    tau: float = 0.005
    critics: int = 2
    policy_delay: int = 2
    target_noise: float = 0.2
    target_noise_clip: float = 0.5
    exploration_noise: float = 0.1
    max_grad_norm: float | None = None

    def __post_init__(self) -> None:
        """Check what would only show much later."""
        check_settings(self)


DDPG = TD3Config(
    hidden=(400, 300),
    actor_learning_rate=1e-4,
    critic_learning_rate=1e-3,
    critic_weight_decay=1e-2,
    tau=0.001,
    critics=1,
    policy_delay=1,
    target_noise=0.0,
)
"""Lillicrap et al. 2016 (arXiv 1509.02971), section 7, with Gaussian instead of Ornstein-Uhlenbeck exploration."""


def smoothed(actions: Tensor, noise: Tensor, clip: float) -> Tensor:
    """Return the target policy's actions with clipped noise, within [-1, 1] (Fujimoto et al. 2018, equation 14)."""
    return (actions + noise.clamp(-clip, clip)).clamp_(-1.0, 1.0)


def bellman_targets(rewards: Tensor, terminated: Tensor, next_values: Tensor, discount: float) -> Tensor:
    """Return r + discount (1 - terminated) min_k Q_k(s', a'): `[N]` from next values `[K, N]` (algorithm 1)."""
    return torch.addcmul(rewards, 1.0 - terminated, next_values.amin(dim=0), value=discount)


def critic_loss(values: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error of each critic `[K, N]` to the targets `[N]`, summed over the critics."""
    return nn.functional.mse_loss(values, targets.expand_as(values)) * values.shape[0]


def policy_loss(values: Tensor) -> Tensor:
    """Return minus the mean of the first critic's values of the policy's actions (algorithm 1)."""
    return -values.mean()


Objective = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From the first critic's values `[1, N]` of the policy's actions, these actions `[N, U]`, and those of the batch
`[N, U]`, both in [-1, 1], to what the policy makes smaller."""


def climb(values: Tensor, actions: Tensor, recorded: Tensor) -> Tensor:
    """Return the loss of a policy to which only values count: the objective of TD3."""
    return policy_loss(values)


class TD3:
    """Twin delayed deep deterministic policy gradients.

    Actions are in the environment's own units outside, and in [-1, 1] for the networks.

    Source: Fujimoto, van Hoof, Meger 2018 (arXiv 1802.09477) and sfujim/TD3. With the authors' code: every critic's
    loss is averaged over the batch and the losses are summed; the policy climbs the first critic only; targets move
    when the policy does. Unlike it: noise is in [-1, 1] units, as is what the critics see of an action.

    Args:
        observation_size: Elements of a flattened observation, D.
        action_space: A bounded `Box`.
        config: The settings.
        seed: What weights and noise are drawn from.
        device: Where networks and batches are.
        objective: What the policy makes smaller; offline learners have another.

    Example:
        >>> import numpy as np
        >>> learner = TD3(3, spaces.Box(-2.0, 2.0, (1,)), seed=0)
        >>> learner.act(torch.zeros(5, 3), explore=True).shape
        torch.Size([5, 1])
        >>> batch = Transitions(torch.zeros(4, 3), torch.zeros(4, 1), torch.ones(4), torch.zeros(4, 3), torch.ones(4))
        >>> sorted(learner.update(batch)), sorted(learner.update(batch))
        (['critic_loss'], ['critic_loss', 'policy_loss'])
    """

    def __init__(
        self,
        observation_size: int,
        action_space: spaces.Space[Any],
        config: TD3Config | None = None,
        *,
        seed: int,
        device: torch.device | str = "cpu",
        objective: Objective = climb,
    ) -> None:
        self.config = config = TD3Config() if config is None else config
        self._objective = objective
        self.device = torch.device(device)
        self.actions = BoxActions(action_space, self.device)
        self.observation_size = positive_int("observation_size", observation_size)
        size = self.actions.size
        weights, self.generator = generators(seed, 2, self.device)
        sizes = (observation_size, *config.hidden, size)
        self.actor = MLP(sizes, weights, config.activation, config.init).to(self.device)
        sizes = (observation_size + size, *config.hidden)
        self.critics = Ensemble(config.critics, sizes, weights, config.activation, config.init).to(self.device)
        self.target_actor, self.target_critics = copy.deepcopy(self.actor), copy.deepcopy(self.critics)
        self._actor_parameters: list[Tensor] = list(self.actor.parameters())
        self._critic_parameters: list[Tensor] = list(self.critics.parameters())
        self._targets: list[Tensor] = [*self.target_actor.parameters(), *self.target_critics.parameters()]
        self.actor_optimizer = adam(self._actor_parameters, config.actor_learning_rate)
        self.critic_optimizer = adam(self._critic_parameters, config.critic_learning_rate, config.critic_weight_decay)
        self.updates = 0

    @torch.no_grad()
    def act(self, observations: Tensor, explore: bool) -> Tensor:
        """Return actions `[N, U]` for observations `[N, D]`: with noise, or the policy's own."""
        unit = self.actor(observations.to(self.device)).tanh_()  # [N, U]
        if explore:
            unit += self.config.exploration_noise * self._noise_like(unit)
        return self.actions.to_environment(unit).to(observations.device)

    def update(self, batch: Transitions) -> Metrics:
        """Update the critics, and every `policy_delay` times the policy and the targets.

        Raises:
            ValueError: The batch has other shapes than the learner.
            FloatingPointError: A loss, or on the CPU the critics' gradient, is not finite; nothing was changed.
        """
        fitting(batch, self.observation_size, self.actions.size)
        config, before = self.config, self.generator.get_state()
        policy_turn = (self.updates + 1) % config.policy_delay == 0
        recorded = self.actions.to_unit(batch.actions)  # [N, U]
        seen = torch.cat((batch.observations, recorded), dim=1)  # [N, D + U]
        loss = critic_loss(self.critics(seen), self.targets(batch))
        checked = loss
        if policy_turn:
            # Before the critics' step, so that a policy gone wrong is found while nothing has changed.
            actions = self.actor(batch.observations).tanh()  # [N, U]
            checked = loss + 0.0 * actions.detach().sum()
        try:
            metrics = {"critic_loss": finite("The loss of TD3", checked)}
            descend(self.critic_optimizer, loss, self._critic_parameters, config.max_grad_norm, "TD3's critics")
        except FloatingPointError:
            self.generator.set_state(before)
            raise
        if policy_turn:
            values = self.critics(torch.cat((batch.observations, actions), dim=1), members=1)  # [1, N]
            loss = self._objective(values, actions, recorded)
            metrics["policy_loss"] = float(loss.detach())  # finite, as the actions and all weights are
            descend(self.actor_optimizer, loss, self._actor_parameters, config.max_grad_norm)
            follow(self._targets, [*self._actor_parameters, *self._critic_parameters], config.tau)
        self.updates += 1
        return metrics

    @torch.no_grad()
    def targets(self, batch: Transitions) -> Tensor:
        """Return what the critics should say of each transition: `[N]`."""
        config = self.config
        actions = self.target_actor(batch.next_observations).tanh_()  # [N, U]
        if config.target_noise:
            noise = config.target_noise * self._noise_like(actions)
            actions = smoothed(actions, noise, config.target_noise_clip)
        values = self.target_critics(torch.cat((batch.next_observations, actions), dim=1))  # [K, N]
        return bellman_targets(batch.rewards, batch.terminated, values, config.discount)

    def _noise_like(self, actions: Tensor) -> Tensor:
        return torch.randn(actions.shape, generator=self.generator, device=self.device)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of everything that `load_state_dict` needs to go on bit for bit."""
        return states.saved(self._parts(), self.generator, self.updates)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state of the same settings.

        Weights and optimizers move between devices. Noise does not: on another kind of device it goes on as it is.
        """
        self.updates = states.load(state, self._parts(), self.generator)

    def _parts(self) -> dict[str, Any]:
        names = ("actor", "critics", "target_actor", "target_critics", "actor_optimizer", "critic_optimizer")
        return {name: getattr(self, name) for name in names}
