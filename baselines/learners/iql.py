"""Implicit Q-learning: values of the better recorded actions, and a policy that is cloned from these."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from bagged_envs.baselines.actions import BoxActions
from bagged_envs.baselines.api import Metrics, Transitions
from bagged_envs.baselines.learners import state as states
from bagged_envs.baselines.learners.tanh_mean import TanhMean
from bagged_envs.baselines.learners.td3 import bellman_targets, critic_loss
from bagged_envs.baselines.networks import MLP, Ensemble, generators
from bagged_envs.baselines.settings import check_settings
from bagged_envs.baselines.updates import adam, descend, finite, fitting, follow
from bagged_envs.wrappers.arguments import positive_int


@dataclass(frozen=True)
class IQLConfig:
    """Settings of IQL; the defaults are those of the authors' code for MuJoCo tasks, where nothing else is said.

    Attributes:
        hidden: Widths of the hidden layers of actor, critics and value network.
        activation: "relu" or "tanh".
        init: How weights begin: "default" (PyTorch's; official: orthogonal), "orthogonal" or "xavier".
        actor_learning_rate: Adam's, for the actor, at first.
        decay_steps: Over how many updates it goes to 0, along a cosine; None keeps it.
        critic_learning_rate: Adam's, for the critics.
        value_learning_rate: Adam's, for the value network.
        discount: Of later rewards.
        tau: How far target critics move towards the critics in one update.
        critics: How many; the lowest of them counts.
        expectile: Which expectile of the recorded actions' values is learned: 0.5 is the mean, towards 1.0 the best.
        beta: What an advantage weighs in the policy, an inverse temperature: 0.0 is behavior cloning.
        max_weight: Where the weights of recorded actions are clipped.
        deterministic: Whether the policy is regressed by weighted squared errors, and has no spread.
        log_std_range: Where the logarithm of the policy's standard deviation is clipped.
        max_grad_norm: Where gradients are clipped, or None.
    """

    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    init: str = "default"
    actor_learning_rate: float = 3e-4
    decay_steps: int | None = 1_000_000
    critic_learning_rate: float = 3e-4
    value_learning_rate: float = 3e-4
    discount: float = 0.99
    tau: float = 0.005
    critics: int = 2
    expectile: float = 0.7
    beta: float = 3.0
    max_weight: float = 100.0
    deterministic: bool = False
    log_std_range: tuple[float, float] = (-5.0, 2.0)
    max_grad_norm: float | None = None

    def __post_init__(self) -> None:
        """Check what would only show much later."""
        check_settings(self)


def expectile_loss(gaps: Tensor, expectile: float) -> Tensor:
    """Return mean |expectile - 1(u < 0)| u^2 of the gaps u = Q(s, a) - V(s) `[N]` (equation 5)."""
    return (torch.where(gaps < 0.0, 1.0 - expectile, expectile) * gaps.square()).mean()


def advantage_weights(advantages: Tensor, beta: float, max_weight: float) -> Tensor:
    """Return min(exp(beta A), max_weight) `[N]`: what each recorded action weighs in the policy (equation 7)."""
    return (beta * advantages).exp().clamp(max=max_weight)


def weighted_likelihood_loss(weights: Tensor, log_probs: Tensor) -> Tensor:
    """Return minus the mean of the weighted log-densities `[N]` of the recorded actions (equation 7)."""
    return -(weights * log_probs).mean()


def weighted_regression_loss(weights: Tensor, means: Tensor, recorded: Tensor) -> Tensor:
    """Return the mean of weighted squared distances, summed over the elements of an action `[N, U]`."""
    return (weights * (means - recorded).square().sum(dim=1)).mean()


def cosine_decayed(rate: float, updates: int, steps: int | None) -> float:
    """Return a learning rate after so many updates: a half cosine from `rate` to 0 over `steps`, or `rate`.

    Example:
        >>> [round(cosine_decayed(1.0, updates, 100), 3) for updates in (0, 50, 100, 200)]
        [1.0, 0.5, 0.0, 0.0]
    """
    return rate if steps is None else 0.5 * rate * (1.0 + math.cos(math.pi * min(updates / steps, 1.0)))


class IQL:
    """Implicit Q-learning: no value of an action is ever asked for that was not recorded.

    An update moves the value network, then the policy, then the critics, then their targets, each with the value
    network as it is by then.

    Source: Kostrikov, Nair, Levine 2021 (arXiv 2110.06169) and ikostrikov/implicit_q_learning: its order, the sum of
    the critics' losses, a Gaussian policy that is not squashed, with a spread that is the same in every state. The
    scale of rewards and the standardization of observations belong to who trains it.

    Args:
        observation_size: Elements of a flattened observation, D.
        action_space: A bounded `Box`.
        config: The settings.
        seed: What weights and noise are drawn from.
        device: Where networks and batches are.

    Example:
        >>> learner = IQL(3, spaces.Box(-2.0, 2.0, (1,)), seed=0)
        >>> batch = Transitions(torch.zeros(4, 3), torch.zeros(4, 1), torch.ones(4), torch.zeros(4, 3), torch.ones(4))
        >>> sorted(learner.update(batch))
        ['critic_loss', 'policy_loss', 'value_loss']
    """

    def __init__(
        self,
        observation_size: int,
        action_space: spaces.Space[Any],
        config: IQLConfig | None = None,
        *,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config = config = IQLConfig() if config is None else config
        self.device = torch.device(device)
        self.actions = BoxActions(action_space, self.device)
        self.observation_size = positive_int("observation_size", observation_size)
        size, style = self.actions.size, (config.activation, config.init)
        weights, self.generator = generators(seed, 2, self.device)
        sizes = (observation_size, *config.hidden, size)
        self.actor = TanhMean(sizes, weights, *style, config.log_std_range).to(self.device)
        sizes = (observation_size + size, *config.hidden)
        self.critics = Ensemble(config.critics, sizes, weights, *style).to(self.device)
        self.value = MLP((observation_size, *config.hidden, 1), weights, *style).to(self.device)
        self.target_critics = copy.deepcopy(self.critics)
        self._actor_parameters = self.actor.trained(spread=not config.deterministic)
        self._critic_parameters: list[Tensor] = list(self.critics.parameters())
        self._value_parameters: list[Tensor] = list(self.value.parameters())
        self._targets: list[Tensor] = list(self.target_critics.parameters())
        self.actor_optimizer = adam(self._actor_parameters, config.actor_learning_rate)
        self.critic_optimizer = adam(self._critic_parameters, config.critic_learning_rate)
        self.value_optimizer = adam(self._value_parameters, config.value_learning_rate)
        self.updates = 0

    @torch.no_grad()
    def act(self, observations: Tensor, explore: bool) -> Tensor:
        """Return actions `[N, U]` for observations `[N, D]`: a sample, or the mean; always that if deterministic."""
        unit = self.actor(observations.to(self.device))  # [N, U]
        if explore and not self.config.deterministic:
            unit = self.actor.sample(unit, self.generator)
        return self.actions.to_environment(unit).to(observations.device)

    def update(self, batch: Transitions) -> Metrics:
        """Update values, policy, critics and targets once.

        Raises:
            ValueError: The batch has other shapes than the learner.
            FloatingPointError: A loss, or on the CPU a gradient, is not finite; nothing was changed.
        """
        fitting(batch, self.observation_size, self.actions.size)
        before = [tensor.detach().clone() for tensor in self._moved_first()]
        try:
            metrics = self._improve(batch)
        except FloatingPointError:
            self._put_back(before)
            raise
        follow(self._targets, self._critic_parameters, self.config.tau)
        self.updates += 1
        for group in self.actor_optimizer.param_groups:
            group["lr"] = cosine_decayed(self.config.actor_learning_rate, self.updates, self.config.decay_steps)
        return metrics

    def _improve(self, batch: Transitions) -> Metrics:
        """Take the three steps; the last one, the critics', may still fail when the others were taken."""
        recorded = self.actions.to_unit(batch.actions)  # [N, U]
        seen = torch.cat((batch.observations, recorded), dim=1)  # [N, D + U]
        with torch.no_grad():
            lowest = self.target_critics(seen).amin(dim=0)  # [N]
        metrics = {"value_loss": self._improve_values(batch.observations, lowest)}
        with torch.no_grad():
            advantages = lowest - self.values(batch.observations)
            next_values = self.values(batch.next_observations)[None]  # [1, N]
        metrics["policy_loss"] = self._improve_policy(batch.observations, recorded, advantages)
        targets = bellman_targets(batch.rewards, batch.terminated, next_values, self.config.discount)
        return metrics | {"critic_loss": self._improve_critics(seen, targets)}

    def values(self, observations: Tensor) -> Tensor:
        """Return what observations `[N, D]` are worth: `[N]`."""
        values: Tensor = self.value(observations)
        return values.squeeze(1)

    def _improve_values(self, observations: Tensor, lowest: Tensor) -> float:
        loss = expectile_loss(lowest - self.values(observations), self.config.expectile)
        found = finite("The values' loss of IQL", loss)
        descend(self.value_optimizer, loss, self._value_parameters, self.config.max_grad_norm, "IQL's values")
        return found

    def _improve_policy(self, observations: Tensor, recorded: Tensor, advantages: Tensor) -> float:
        config, means = self.config, self.actor(observations)
        weights = advantage_weights(advantages, config.beta, config.max_weight)
        if config.deterministic:
            loss = weighted_regression_loss(weights, means, recorded)
        else:
            loss = weighted_likelihood_loss(weights, self.actor.log_probs(means, recorded))
        found = finite("The policy's loss of IQL", loss)
        descend(self.actor_optimizer, loss, self._actor_parameters, config.max_grad_norm, "IQL's policy")
        return found

    def _improve_critics(self, seen: Tensor, targets: Tensor) -> float:
        loss = critic_loss(self.critics(seen), targets)
        found = finite("The critics' loss of IQL", loss)
        descend(self.critic_optimizer, loss, self._critic_parameters, self.config.max_grad_norm, "IQL's critics")
        return found

    def _moved_first(self) -> list[Tensor]:
        """Return what moves before the critics do: weights, and after them what Adam remembers of each."""
        parameters = [*self._value_parameters, *self._actor_parameters]
        states = (self.value_optimizer.state | self.actor_optimizer.state).get
        return [*parameters, *(tensor for one in parameters for tensor in states(one, {}).values())]

    @torch.no_grad()
    def _put_back(self, before: list[Tensor]) -> None:
        now = self._moved_first()
        for tensor, saved in zip(now, before, strict=False):  # before the first update Adam remembers nothing
            tensor.copy_(saved)
        if len(before) < len(now):
            self.value_optimizer.state.clear()
            self.actor_optimizer.state.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of everything that `load_state_dict` needs to go on bit for bit."""
        return states.saved(self._parts(), self.generator, self.updates)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state of the same settings.

        Weights and optimizers move between devices. Noise does not: on another kind of device it goes on as it is.
        """
        self.updates = states.load(state, self._parts(), self.generator)

    def _parts(self) -> dict[str, Any]:
        names = ("actor", "critics", "value", "target_critics")
        optimizers = ("actor_optimizer", "critic_optimizer", "value_optimizer")
        return {name: getattr(self, name) for name in (*names, *optimizers)}
