"""Proximal policy optimization, for continuous and for discrete actions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from gymnasium import spaces
from torch import Tensor, nn

from bagged_envs.baselines.actions import BoxActions
from bagged_envs.baselines.api import Metrics, Transitions
from bagged_envs.baselines.learners import state as states
from bagged_envs.baselines.networks import MLP, generators
from bagged_envs.baselines.settings import check_settings
from bagged_envs.baselines.updates import adam, descend, finite, fitting
from bagged_envs.wrappers.arguments import positive_int

AT_BOUND = 1.0 - 1e-6
HUBER = 10.0
FORBIDDEN = -1e8  # the logit of an action that may not be chosen
METRICS = ("policy_loss", "value_loss", "entropy", "divergence")


@dataclass(frozen=True)
class PPOConfig:
    """Settings of PPO; the defaults are those of Schulman et al. 2017 (arXiv 1707.06347), table 3, and CleanRL's.

    Attributes:
        hidden: Widths of the hidden layers of policy and value network, which share nothing.
        activation: "relu" or "tanh".
        init: How weights begin: "default" (PyTorch's), "orthogonal" or "xavier".
        learning_rate: Adam's, for both networks.
        adam_eps: Adam's, as in CleanRL.
        discount: Of later rewards; only 1.0 keeps what redistribution promises of returns.
        gae_lambda: Between one-step (0.0) and whole-return (1.0) advantages.
        epochs: How often an update goes through its rollout.
        minibatch: Transitions of one step of the optimizer.
        clip: How far a probability ratio may move before its gain is cut, epsilon.
        entropy_weight: Of the policy's entropy, as a bonus.
        value_weight: Of the value loss.
        value_loss: "mse" as one half of the squared error, or "huber" with a slope of at most 10, as in IPPO's code.
        normalize_advantages: Whether to a mean of 0 and a standard deviation of 1 over the rollout.
        initial_log_std: The logarithm of a Gaussian policy's standard deviation at first, in [-1, 1] units.
        max_grad_norm: Where the gradient of both networks is clipped, or None.
    """

    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    init: str = "orthogonal"
    learning_rate: float = 3e-4
    adam_eps: float = 1e-5
    discount: float = 0.99
    gae_lambda: float = 0.95
    epochs: int = 10
    minibatch: int = 64
    clip: float = 0.2
    entropy_weight: float = 0.0
    value_weight: float = 0.5
    value_loss: Literal["mse", "huber"] = "mse"
    normalize_advantages: bool = True
    initial_log_std: float = 0.0
    max_grad_norm: float | None = 0.5

    def __post_init__(self) -> None:
        """Check what would only show much later."""
        check_settings(self)


@dataclass(frozen=True)
class Rollout(Transitions):
    """Transitions in the order of time, one run of steps after another, as many runs as there are.

    Attributes:
        last: bool `[N]`: a run's last step: of an episode, terminated or truncated, or of what was collected. Its
            `next_observations` is what really came next, never the first observation of the next episode.
        log_probs: float32 `[N]`: of the actions when they were chosen; None where the policy has not changed since.
        critic_observations: float32 `[N, C]`: what the value network sees; None where it sees the observations.
        next_critic_observations: float32 `[N, C]`, of what came next.
        allowed: bool `[N, U]`: which discrete actions could be chosen; None for all.
    """

    last: Tensor
    log_probs: Tensor | None = None
    critic_observations: Tensor | None = None
    next_critic_observations: Tensor | None = None
    allowed: Tensor | None = None


def advantages(
    rewards: Tensor, values: Tensor, next_values: Tensor, terminated: Tensor, last: Tensor, discount: float, lam: float
) -> Tensor:
    """Return generalized advantage estimates `[N]` (Schulman et al. 2016, arXiv 1506.02438, equation 16).

    delta_t = r_t + discount (1 - terminated_t) V(s_{t+1}) - V(s_t), and A_t = delta_t + discount lam A_{t+1} within a
    run. A truncated step keeps the value of its own next observation.
    """
    delta = rewards + discount * (1.0 - terminated) * next_values - values
    carry = discount * lam * (1.0 - last.to(delta.dtype))
    found, running = [], 0.0
    # In plain floats: a loop over elements of tensors takes fifty times as long.
    for step, kept in zip(reversed(delta.tolist()), reversed(carry.tolist()), strict=True):
        running = step + kept * running
        found.append(running)
    return torch.tensor(found[::-1], dtype=delta.dtype, device=delta.device)


def clipped_surrogate(log_ratio: Tensor, gains: Tensor, clip: float) -> Tensor:
    """Return -mean(min(ratio A, clip(ratio, 1 - clip, 1 + clip) A)) (Schulman et al. 2017, equation 7)."""
    ratio = log_ratio.exp()
    return -torch.minimum(ratio * gains, ratio.clamp(1.0 - clip, 1.0 + clip) * gains).mean()


def value_loss(values: Tensor, returns: Tensor, kind: str) -> Tensor:
    """Return the mean of half the squared error, or of Huber's with a slope of at most 10."""
    if kind == "huber":
        return nn.functional.huber_loss(values, returns, delta=HUBER)
    return 0.5 * nn.functional.mse_loss(values, returns)


class Choice(Protocol):
    """A distribution of actions, given a network's outputs `[N, O]`."""

    size: int
    outputs: int
    parameters: list[Tensor]

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return actions `[N, U]`."""

    def mode(self, outputs: Tensor) -> Tensor:
        """Return the likeliest actions `[N, U]`."""

    def log_probs(self, outputs: Tensor, actions: Tensor) -> Tensor:
        """Return their log-probabilities `[N]`."""

    def entropy(self, outputs: Tensor) -> Tensor:
        """Return the entropies `[N]`."""


class ClippedGaussian:
    """A Gaussian with a standard deviation of its own, clipped to a bounded box.

    What lies outside is moved to the bound, and a bound's probability is all that was moved there (Fujita and Maeda
    2018, arXiv 1802.07564): what is stored is what the environment did, and its probability is right.
    """

    def __init__(self, space: spaces.Space[Any], initial_log_std: float, device: torch.device) -> None:
        self.box = BoxActions(space, device)
        self.size = self.outputs = self.box.size
        self.log_std = torch.full((self.size,), initial_log_std, device=device, requires_grad=True)
        self.parameters: list[Tensor] = [self.log_std]

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return actions `[N, U]`."""
        noise = torch.randn(outputs.shape, generator=generator, device=outputs.device)
        return self.mode(torch.addcmul(outputs, self.log_std.exp(), noise))

    def mode(self, outputs: Tensor) -> Tensor:
        """Return the means `[N, U]`, clipped."""
        return self.box.to_environment(outputs.clamp(-1.0, 1.0))

    def log_probs(self, outputs: Tensor, actions: Tensor) -> Tensor:
        """Return log-densities inside, log-probabilities at the bounds, summed: `[N]`."""
        unit, std = self.box.to_unit(actions), self.log_std.exp()
        inside = -0.5 * ((unit - outputs) / std).square() - self.log_std - 0.5 * math.log(2.0 * math.pi)
        low, high = torch.special.log_ndtr((-1.0 - outputs) / std), torch.special.log_ndtr((outputs - 1.0) / std)
        return torch.where(unit >= AT_BOUND, high, torch.where(unit <= -AT_BOUND, low, inside)).sum(dim=1)

    def entropy(self, outputs: Tensor) -> Tensor:
        """Return the entropies before clipping: `[N]`."""
        return (self.log_std.sum() + 0.5 * self.size * math.log(2.0 * math.pi * math.e)).expand(len(outputs))


class Categorical:
    """One choice out of some, or several such; an action is one-hot, or several of them in a row."""

    def __init__(self, counts: Sequence[int]) -> None:
        self.counts = [int(count) for count in counts]
        self.size = self.outputs = sum(self.counts)
        self.parameters: list[Tensor] = []

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return actions `[N, U]`."""
        draws = [torch.multinomial(p.exp(), 1, generator=generator).squeeze(1) for p in self._parts(outputs)]
        return self._one_hot(draws)

    def mode(self, outputs: Tensor) -> Tensor:
        """Return the likeliest actions `[N, U]`."""
        return self._one_hot([part.argmax(dim=1) for part in self._parts(outputs)])

    def log_probs(self, outputs: Tensor, actions: Tensor) -> Tensor:
        """Return log-probabilities, summed over the choices: `[N]`."""
        return (torch.cat(self._parts(outputs), dim=1) * actions).sum(dim=1)

    def entropy(self, outputs: Tensor) -> Tensor:
        """Return the entropies, summed over the choices: `[N]`."""
        return -sum(((part.exp() * part).sum(dim=1) for part in self._parts(outputs)), torch.zeros(()))

    def _parts(self, outputs: Tensor) -> list[Tensor]:
        return [part.log_softmax(dim=1) for part in torch.split(outputs, self.counts, dim=1)]

    def _one_hot(self, chosen: Sequence[Tensor]) -> Tensor:
        parts = [nn.functional.one_hot(index, n) for index, n in zip(chosen, self.counts, strict=True)]
        return torch.cat(parts, dim=1).float()  # [N, U]


def choice(space: spaces.Space[Any], initial_log_std: float, device: torch.device) -> Choice:
    """Return the distribution that a policy needs for a space of actions.

    Raises:
        TypeError: The space is none of `Box`, `Discrete` and one-dimensional `MultiDiscrete`.
        ValueError: A `Box` is not bounded.
    """
    if isinstance(space, spaces.Discrete):
        return Categorical([int(space.n)])
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return Categorical(space.nvec.tolist())
    if isinstance(space, spaces.Box):
        return ClippedGaussian(space, initial_log_std, device)
    raise TypeError(f"action_space must be a bounded Box, Discrete or one-dimensional MultiDiscrete, got {space}.")


class PPO:
    """Proximal policy optimization with a clipped ratio.

    Actions are flattened as by `gymnasium.spaces.flatten`: a `Box`'s in its own units, a `Discrete`'s one-hot, a
    `MultiDiscrete`'s one-hots in a row; `gymnasium.spaces.unflatten` makes an environment's action of one.

    Source: Schulman et al. 2017 (arXiv 1707.06347); CleanRL for what the paper leaves open. Unlike CleanRL: values of
    next observations are computed, so that only `terminated` stops bootstrapping; advantages are normalized over the
    rollout, not over each minibatch; values are not clipped; Gaussian actions are clipped with the right probability.

    Args:
        observation_size: Elements of a flattened observation, D.
        action_space: A bounded `Box`, a `Discrete` or a `MultiDiscrete`.
        config: The settings.
        seed: What weights, actions and minibatches are drawn from.
        device: Where networks and batches are.
        critic_size: Elements of what the value network sees, C; None where it sees the observations.

    Example:
        >>> learner = PPO(3, spaces.Discrete(2), seed=0)
        >>> learner.act(torch.zeros(4, 3), explore=True).sum(dim=1).tolist()
        [1.0, 1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        observation_size: int,
        action_space: spaces.Space[Any],
        config: PPOConfig | None = None,
        *,
        seed: int,
        device: torch.device | str = "cpu",
        critic_size: int | None = None,
    ) -> None:
        self.config = config = PPOConfig() if config is None else config
        self.device = torch.device(device)
        self.observation_size = positive_int("observation_size", observation_size)
        self.critic_size = None if critic_size is None else positive_int("critic_size", critic_size)
        self.choice = choice(action_space, config.initial_log_std, self.device)
        weights, self.generator = generators(seed, 2, self.device)
        judged, style = self.critic_size or observation_size, (config.activation, config.init)
        sizes = (observation_size, *config.hidden, self.choice.outputs)
        self.policy = MLP(sizes, weights, *style, last_gain=0.01).to(self.device)
        self.value = MLP((judged, *config.hidden, 1), weights, *style).to(self.device)
        self._parameters: list[Tensor] = [*self.policy.parameters(), *self.choice.parameters, *self.value.parameters()]
        self.optimizer = adam(self._parameters, config.learning_rate, eps=config.adam_eps)
        self.updates = 0
        self._left = 1.0

    def decay(self, left: float) -> None:
        """Make what follows with a part of the learning rate and of the clip.

        Args:
            left: Of both, from 1.0, all of them, to 0.0.

        Raises:
            ValueError: It is outside of these.
        """
        if not 0.0 <= left <= 1.0:
            raise ValueError(f"left must be from 0 to 1, got {left}: pass the part that is left.")
        self._left = left
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * left

    @torch.no_grad()
    def act(self, observations: Tensor, explore: bool, allowed: Tensor | None = None) -> Tensor:
        """Return flattened actions `[N, U]` for observations `[N, D]`: a sample, or the likeliest.

        Args:
            observations: `[N, D]`.
            explore: Whether to sample.
            allowed: bool `[N, U]`, which discrete actions may be chosen; None for all. Where none may, any is.
        """
        outputs = self._outputs(observations.to(self.device), allowed)
        actions = self.choice.sample(outputs, self.generator) if explore else self.choice.mode(outputs)
        return actions.to(observations.device)

    @torch.no_grad()
    def log_probs(self, observations: Tensor, actions: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Return the log-probabilities `[N]` of flattened actions under the policy as it is, for `Rollout`."""
        outputs = self._outputs(observations.to(self.device), allowed)
        return self.choice.log_probs(outputs, actions.to(self.device)).to(observations.device)

    def _outputs(self, observations: Tensor, allowed: Tensor | None) -> Tensor:
        outputs: Tensor = self.policy(observations)
        return outputs if allowed is None else outputs.masked_fill(~allowed.to(outputs.device), FORBIDDEN)

    def update(self, batch: Transitions) -> Metrics:
        """Go through a rollout `epochs` times, each time in minibatches that share no step.

        Raises:
            TypeError: The batch is no `Rollout`.
            ValueError: The batch has other shapes than the learner, or a terminated step is not its run's last.
            FloatingPointError: A loss, or on the CPU a gradient, is not finite; nothing was changed.
        """
        if not isinstance(batch, Rollout):
            raise TypeError(f"PPO learns from a Rollout, in the order of time, got {type(batch).__name__}.")
        fitting(batch, self.observation_size, self.choice.size)
        if batch.last.shape != batch.rewards.shape or (batch.terminated > batch.last).any():
            raise ValueError("last must be [N] and mark every terminated step.")
        self._check_critic(batch)
        self._check_allowed(batch)
        before = self.state_dict()
        try:
            metrics = self._epochs(batch, *self.estimates(batch))
        except FloatingPointError:
            self.load_state_dict(before)
            raise
        self.updates += 1
        return metrics

    def _check_critic(self, batch: Rollout) -> None:
        wanted = None if self.critic_size is None else (len(batch.rewards), self.critic_size)
        for name in ("critic_observations", "next_critic_observations"):
            value = getattr(batch, name)
            came = None if value is None else tuple(value.shape)
            if came != wanted:
                raise ValueError(f"{name} must be {wanted} with critic_size={self.critic_size}, got {came}.")

    def _check_allowed(self, batch: Rollout) -> None:
        if batch.allowed is None:
            return
        if not isinstance(self.choice, Categorical) or batch.allowed.shape != batch.actions.shape:
            raise ValueError(
                f"allowed must be {list(batch.actions.shape)}, of discrete actions, got {list(batch.allowed.shape)}: "
                "leave it out where all are allowed."
            )
        possible = batch.allowed | ~batch.allowed.any(dim=1, keepdim=True)  # where none is allowed, any is
        if bool((batch.actions.bool() & ~possible).any()):
            raise ValueError("allowed must have every action that was chosen, got one that it has not.")

    @torch.no_grad()
    def estimates(self, batch: Rollout) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-probabilities at the time, normalized advantages, and returns: each `[N]`."""
        config = self.config
        judged, after = batch.critic_observations, batch.next_critic_observations
        values = self.value(batch.observations if judged is None else judged).squeeze(1)  # [N]
        next_values = self.value(batch.next_observations if after is None else after).squeeze(1)
        gains = advantages(
            batch.rewards, values, next_values, batch.terminated, batch.last, config.discount, config.gae_lambda
        )
        returns = gains + values
        if config.normalize_advantages:
            gains = (gains - gains.mean()) / (gains.std(correction=0) + 1e-8)
        log_probs = batch.log_probs
        if log_probs is None:
            log_probs = self.log_probs(batch.observations, batch.actions, batch.allowed)
        return log_probs, gains, returns

    def _epochs(self, batch: Rollout, log_probs: Tensor, gains: Tensor, returns: Tensor) -> Metrics:
        totals, count = torch.zeros(len(METRICS), device=self.device), 0
        judged, allowed = batch.critic_observations, batch.allowed
        for _ in range(self.config.epochs):
            order = torch.randperm(len(gains), generator=self.generator, device=self.device)
            for rows in torch.split(order, self.config.minibatch):
                loss, parts = self.loss(
                    batch.observations[rows], batch.actions[rows], log_probs[rows], gains[rows], returns[rows],
                    None if judged is None else judged[rows], None if allowed is None else allowed[rows],
                )  # fmt: skip
                finite("The loss of PPO", loss)
                descend(self.optimizer, loss, self._parameters, self.config.max_grad_norm, "PPO")
                totals += parts
                count += 1
        return dict(zip(METRICS, (totals / count).tolist(), strict=True))

    def loss(
        self,
        observations: Tensor,
        actions: Tensor,
        log_probs: Tensor,
        gains: Tensor,
        returns: Tensor,
        judged: Tensor | None = None,
        allowed: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of a minibatch (equation 9), and what METRICS names.

        Args:
            observations: `[N, D]`.
            actions: `[N, U]`.
            log_probs: `[N]`, of the actions when they were chosen.
            gains: `[N]`, advantages.
            returns: `[N]`, what values are fitted to.
            judged: `[N, C]`, what the critic sees; None for the observations.
            allowed: bool `[N, U]`, which actions could be chosen; None for all.
        """
        config, outputs = self.config, self._outputs(observations, allowed)
        log_ratio = self.choice.log_probs(outputs, actions) - log_probs
        policy = clipped_surrogate(log_ratio, gains, config.clip * self._left)
        values = self.value(observations if judged is None else judged).squeeze(1)
        value = value_loss(values, returns, config.value_loss)
        entropy = self.choice.entropy(outputs).mean()
        # How far the policy has moved: an estimate of its divergence that is never negative (Schulman 2020).
        divergence = (log_ratio.exp() - 1.0 - log_ratio).mean()
        total = policy + config.value_weight * value - config.entropy_weight * entropy
        return total, torch.stack((policy, value, entropy, divergence)).detach()

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of everything that `load_state_dict` needs to go on bit for bit."""
        choice = [parameter.detach().clone() for parameter in self.choice.parameters]
        return states.saved(self._parts(), self.generator, self.updates) | {"choice": choice, "left": self._left}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state of the same settings.

        Weights and optimizers move between devices. Draws do not: on another kind of device they go on as they are.
        """
        self.updates = states.load(state, self._parts(), self.generator)
        self._left = float(state.get("left", 1.0))
        with torch.no_grad():
            for parameter, saved in zip(self.choice.parameters, state["choice"], strict=True):
                parameter.copy_(saved)

    def _parts(self) -> dict[str, Any]:
        return {"policy": self.policy, "value": self.value, "optimizer": self.optimizer}
