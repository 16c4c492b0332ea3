"""Soft actor-critic with a learned temperature."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

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

LOSSES = {"mse": nn.functional.mse_loss, "huber": nn.functional.smooth_l1_loss}


@dataclass(frozen=True)
class SACConfig:
    """Settings of SAC; the defaults are those of Haarnoja et al. 2018 (arXiv 1812.05905), as Diaster uses them.

    What other methods change: RRD `init="xavier"` and a standard deviation of at least 0.01; RBT
    `target_entropy_per_action=-0.5` and `log_std_range=(-10.0, 2.0)`; IRCR `tau=0.001`, `init="orthogonal"`,
    `log_std_range=(-5.0, 2.0)`, `temperature=0.1`, `temperature_learning_rate=1e-4`, `critic_loss="huber"` and
    `max_grad_norm=1.0`.

    Attributes:
        hidden: Widths of the hidden layers of actor and critics.
        activation: "relu" or "tanh".
        init: How weights begin: "default" (PyTorch's), "orthogonal" or "xavier".
        actor_learning_rate: Adam's, for the actor.
        critic_learning_rate: Adam's, for the critics.
        temperature_learning_rate: Adam's, for the logarithm of the temperature.
        discount: Of later rewards.
        tau: How far target critics move towards the critics in one update.
        critics: How many; the target is the lowest of them.
        critic_loss: "mse", or "huber" with a slope of at most 1.
        temperature: What the entropy weighs at first.
        learn_temperature: Whether that is learned; False keeps it.
        target_entropy_per_action: The entropy that the temperature aims at, per element of an action.
        log_std_range: Where the logarithm of the policy's standard deviation is clipped.
        max_grad_norm: Where gradients of actor and critics are clipped, or None.
    """

    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    init: str = "default"
    actor_learning_rate: float = 3e-4
    critic_learning_rate: float = 3e-4
    temperature_learning_rate: float = 3e-4
    discount: float = 0.99
    tau: float = 0.005
    critics: int = 2
    critic_loss: Literal["mse", "huber"] = "mse"
    temperature: float = 1.0
    learn_temperature: bool = True
    target_entropy_per_action: float = -1.0
    log_std_range: tuple[float, float] = (-20.0, 2.0)
    max_grad_norm: float | None = None

    def __post_init__(self) -> None:
        """Check what would only show much later."""
        check_settings(self)


def squashed_log_probs(noise: Tensor, log_std: Tensor, before: Tensor) -> Tensor:
    """Return the log-density of tanh(mean + std noise) in (-1, 1), summed over the elements of an action: `[N]`.

    Equation 21 of Haarnoja et al. 2018 with log(1 - tanh(u)^2) written as 2 (log 2 - u - softplus(-2u)), which stays
    finite where tanh(u) rounds to one.

    Args:
        noise: Standard normal `[N, U]`.
        log_std: `[N, U]`.
        before: mean + std noise, `[N, U]`.
    """
    normal = -0.5 * noise.square() - log_std - 0.5 * math.log(2.0 * math.pi)
    return (normal - 2.0 * (math.log(2.0) - before - nn.functional.softplus(-2.0 * before))).sum(dim=1)


def soft_targets(
    rewards: Tensor, terminated: Tensor, next_values: Tensor, entropy_term: Tensor, discount: float
) -> Tensor:
    """Return r + discount (1 - terminated) (min_k Q_k(s', a') - temperature log pi(a'|s')) (equations 2 and 3).

    Args:
        rewards: `[N]`.
        terminated: `[N]`.
        next_values: `[K, N]`.
        entropy_term: temperature log pi(a'|s'), `[N]`.
        discount: Of later rewards.
    """
    return torch.addcmul(rewards, 1.0 - terminated, next_values.amin(dim=0) - entropy_term, value=discount)


def critic_loss(values: Tensor, targets: Tensor, kind: str = "mse") -> Tensor:
    """Return half the mean error of each critic `[K, N]` to the targets `[N]`, summed over them (equation 5)."""
    return LOSSES[kind](values, targets.expand_as(values)) * (0.5 * values.shape[0])


def policy_loss(values: Tensor, log_probs: Tensor, temperature: Tensor) -> Tensor:
    """Return the mean of temperature log pi(a|s) - min_k Q_k(s, a) (equation 9)."""
    return (temperature * log_probs - values.amin(dim=0)).mean()


def temperature_loss(log_temperature: Tensor, log_probs: Tensor, target_entropy: float) -> Tensor:
    """Return -log temperature (mean log pi(a|s) + target entropy): equation 18 with the logarithm, as in all code."""
    return -log_temperature * (log_probs.detach().mean() + target_entropy)


class SAC:
    """Soft actor-critic.

    Actions are in the environment's own units outside, and in [-1, 1] for the networks and for entropies.

    Source: Haarnoja et al. 2018 (arXiv 1812.05905). One update moves, in this order, critics, policy, temperature and
    targets; the policy's actions are sampled before any of it, and weighed with the temperature of before.

    Args:
        observation_size: Elements of a flattened observation, D.
        action_space: A bounded `Box`.
        config: The settings.
        seed: What weights and noise are drawn from.
        device: Where networks and batches are.

    Example:
        >>> learner = SAC(3, spaces.Box(-2.0, 2.0, (1,)), seed=0)
        >>> learner.act(torch.zeros(5, 3), explore=True).shape
        torch.Size([5, 1])
        >>> batch = Transitions(torch.zeros(4, 3), torch.zeros(4, 1), torch.ones(4), torch.zeros(4, 3), torch.ones(4))
        >>> sorted(learner.update(batch))
        ['critic_loss', 'entropy', 'policy_loss', 'temperature']
    """

    def __init__(
        self,
        observation_size: int,
        action_space: spaces.Space[Any],
        config: SACConfig | None = None,
        *,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config = config = SACConfig() if config is None else config
        self.device = torch.device(device)
        self.actions = BoxActions(action_space, self.device)
        self.observation_size = positive_int("observation_size", observation_size)
        size = self.actions.size
        self.target_entropy = config.target_entropy_per_action * size
        weights, self.generator = generators(seed, 2, self.device)
        sizes = (observation_size, *config.hidden, 2 * size)
        self.actor = MLP(sizes, weights, config.activation, config.init).to(self.device)
        sizes = (observation_size + size, *config.hidden)
        self.critics = Ensemble(config.critics, sizes, weights, config.activation, config.init).to(self.device)
        self.target_critics = copy.deepcopy(self.critics)
        self.log_temperature = torch.tensor(math.log(config.temperature), device=self.device, requires_grad=True)
        self._actor_parameters: list[Tensor] = list(self.actor.parameters())
        self._critic_parameters: list[Tensor] = list(self.critics.parameters())
        self._targets: list[Tensor] = list(self.target_critics.parameters())
        self.actor_optimizer = adam(self._actor_parameters, config.actor_learning_rate)
        self.critic_optimizer = adam(self._critic_parameters, config.critic_learning_rate)
        self.temperature_optimizer = adam([self.log_temperature], config.temperature_learning_rate)
        self.updates = 0

    @torch.no_grad()
    def act(self, observations: Tensor, explore: bool) -> Tensor:
        """Return actions `[N, U]` for observations `[N, D]`: a sample, or the mean before squashing, squashed."""
        here = observations.to(self.device)
        unit = self.sample(here)[0] if explore else self.actor(here)[:, : self.actions.size].tanh()
        return self.actions.to_environment(unit).to(observations.device)

    def sample(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Return sampled actions in [-1, 1] `[N, U]`, with gradients, and their log-densities `[N]`."""
        mean, log_std = self.actor(observations).chunk(2, dim=1)  # 2 x [N, U]
        log_std = log_std.clamp(*self.config.log_std_range)
        noise = torch.randn(mean.shape, generator=self.generator, device=self.device)
        before = torch.addcmul(mean, log_std.exp(), noise)
        return before.tanh(), squashed_log_probs(noise, log_std, before)

    def update(self, batch: Transitions) -> Metrics:
        """Update critics, policy, temperature and targets once.

        Raises:
            ValueError: The batch has other shapes than the learner.
            FloatingPointError: A loss, or on the CPU the critics' gradient, is not finite; nothing was changed.
        """
        fitting(batch, self.observation_size, self.actions.size)
        config, before = self.config, self.generator.get_state()
        seen = torch.cat((batch.observations, self.actions.to_unit(batch.actions)), dim=1)  # [N, D + U]
        temperature = self.log_temperature.detach().exp()
        loss = critic_loss(self.critics(seen), self.targets(batch, temperature), config.critic_loss)
        # Before the critics' step, so that a policy gone wrong is found while nothing has changed.
        actions, log_probs = self.sample(batch.observations)  # [N, U], [N]
        mean_log_prob = log_probs.detach().mean()
        try:
            metrics = {"critic_loss": finite("The critics' loss of SAC", loss)}
            metrics["entropy"] = -finite("The policy's mean log-density of SAC", mean_log_prob)
            descend(self.critic_optimizer, loss, self._critic_parameters, config.max_grad_norm, "SAC's critics")
        except FloatingPointError:
            self.generator.set_state(before)
            raise
        values = self.critics(torch.cat((batch.observations, actions), dim=1))  # [K, N]
        loss = policy_loss(values, log_probs, temperature)
        metrics["policy_loss"] = float(loss.detach())  # finite, as the actions and all weights are
        metrics["temperature"] = float(temperature)
        descend(self.actor_optimizer, loss, self._actor_parameters, config.max_grad_norm)
        if config.learn_temperature:
            loss = temperature_loss(self.log_temperature, mean_log_prob, self.target_entropy)
            descend(self.temperature_optimizer, loss, [self.log_temperature], None)
        follow(self._targets, self._critic_parameters, config.tau)
        self.updates += 1
        return metrics

    @torch.no_grad()
    def targets(self, batch: Transitions, temperature: Tensor) -> Tensor:
        """Return what the critics should say of each transition: `[N]`."""
        actions, log_probs = self.sample(batch.next_observations)  # [N, U], [N]
        values = self.target_critics(torch.cat((batch.next_observations, actions), dim=1))  # [K, N]
        return soft_targets(batch.rewards, batch.terminated, values, temperature * log_probs, self.config.discount)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of everything that `load_state_dict` needs to go on bit for bit."""
        told = states.saved(self._parts(), self.generator, self.updates)
        return told | {"log_temperature": self.log_temperature.detach().clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state of the same settings.

        Weights and optimizers move between devices. Noise does not: on another kind of device it goes on as it is.
        """
        self.updates = states.load(state, self._parts(), self.generator)
        with torch.no_grad():
            self.log_temperature.copy_(state["log_temperature"])

    def _parts(self) -> dict[str, Any]:
        names = ("actor", "critics", "target_critics", "actor_optimizer", "critic_optimizer", "temperature_optimizer")
        return {name: getattr(self, name) for name in names}
