"""Behavior cloning: the policy does what was recorded, whatever it earned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from gymnasium import spaces
from torch import Tensor, nn

from bagged_envs.baselines.actions import BoxActions
from bagged_envs.baselines.api import Metrics, Transitions
from bagged_envs.baselines.learners import state as states
from bagged_envs.baselines.learners.tanh_mean import TanhMean
from bagged_envs.baselines.networks import generators
from bagged_envs.baselines.settings import check_settings
from bagged_envs.baselines.updates import adam, descend, finite, fitting
from bagged_envs.wrappers.arguments import positive_int


@dataclass(frozen=True)
class BCConfig:
    """Settings of behavior cloning; the defaults are CORL's.

    Attributes:
        hidden: Widths of the hidden layers.
        activation: "relu" or "tanh".
        init: How weights begin: "default" (PyTorch's), "orthogonal" or "xavier".
        learning_rate: Adam's.
        loss: Mean squared error ("mse"), or minus the log-density under a Gaussian policy ("likelihood").
        log_std_range: Where the logarithm of that policy's standard deviation is clipped.
        max_grad_norm: Where gradients are clipped, or None.
    """

    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    init: str = "default"
    learning_rate: float = 3e-4
    loss: Literal["mse", "likelihood"] = "mse"
    log_std_range: tuple[float, float] = (-5.0, 2.0)
    max_grad_norm: float | None = None

    def __post_init__(self) -> None:
        """Check what would only show much later."""
        check_settings(self)


class BC:
    """Regresses actions on observations; rewards and what came next are not looked at.

    With "mse" the policy is deterministic: it explores nothing.

    Source: no one paper; the settings are those of CORL (tinkoff-ai/CORL).

    Args:
        observation_size: Elements of a flattened observation, D.
        action_space: A bounded `Box`.
        config: The settings.
        seed: What weights and noise are drawn from.
        device: Where networks and batches are.

    Example:
        >>> learner = BC(3, spaces.Box(-2.0, 2.0, (1,)), seed=0)
        >>> batch = Transitions(torch.zeros(4, 3), torch.zeros(4, 1), torch.ones(4), torch.zeros(4, 3), torch.ones(4))
        >>> sorted(learner.update(batch))
        ['policy_loss']
    """

    def __init__(
        self,
        observation_size: int,
        action_space: spaces.Space[Any],
        config: BCConfig | None = None,
        *,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config = config = BCConfig() if config is None else config
        self.device = torch.device(device)
        self.actions = BoxActions(action_space, self.device)
        self.observation_size = positive_int("observation_size", observation_size)
        weights, self.generator = generators(seed, 2, self.device)
        sizes = (observation_size, *config.hidden, self.actions.size)
        policy = TanhMean(sizes, weights, config.activation, config.init, config.log_std_range)
        self.actor = policy.to(self.device)
        self._parameters = self.actor.trained(spread=config.loss == "likelihood")
        self.optimizer = adam(self._parameters, config.learning_rate)
        self.updates = 0

    @torch.no_grad()
    def act(self, observations: Tensor, explore: bool) -> Tensor:
        """Return actions `[N, U]` for observations `[N, D]`: a sample of a Gaussian policy, else the policy's own."""
        unit = self.actor(observations.to(self.device))  # [N, U]
        if explore and self.config.loss == "likelihood":
            unit = self.actor.sample(unit, self.generator)
        return self.actions.to_environment(unit).to(observations.device)

    def update(self, batch: Transitions) -> Metrics:
        """Move the policy towards the actions of the batch.

        Raises:
            ValueError: The batch has other shapes than the learner.
            FloatingPointError: The loss, or on the CPU its gradient, is not finite; nothing was changed.
        """
        fitting(batch, self.observation_size, self.actions.size)
        loss = self.loss(batch.observations, self.actions.to_unit(batch.actions))
        metrics = {"policy_loss": finite("The loss of BC", loss)}
        descend(self.optimizer, loss, self._parameters, self.config.max_grad_norm, "BC")
        self.updates += 1
        return metrics

    def loss(self, observations: Tensor, recorded: Tensor) -> Tensor:
        """Return how far the policy is from actions `[N, U]` in [-1, 1]: a mean over the batch."""
        means = self.actor(observations)  # [N, U]
        if self.config.loss == "mse":
            return nn.functional.mse_loss(means, recorded)
        return -self.actor.log_probs(means, recorded).mean()

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of everything that `load_state_dict` needs to go on bit for bit."""
        return states.saved(self._parts(), self.generator, self.updates)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state of the same settings.

        Weights and optimizers move between devices. Noise does not: on another kind of device it goes on as it is.
        """
        self.updates = states.load(state, self._parts(), self.generator)

    def _parts(self) -> dict[str, Any]:
        return {"actor": self.actor, "optimizer": self.optimizer}
