"""TD3+BC: TD3 whose policy also stays near the recorded actions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from bagged_envs.baselines.learners.td3 import TD3, TD3Config, policy_loss
from bagged_envs.baselines.settings import check_settings

SMALLEST = 1e-6  # mean absolute value that the policy's loss is divided by: before that there is nothing to weigh


@dataclass(frozen=True)
class TD3BCConfig:
    """Settings of TD3+BC; the defaults are those of the authors' code.

    Attributes:
        alpha: What the values weigh beside the distance to the recorded actions; 0.0 is behavior cloning.
        hidden: Widths of the hidden layers of actor and critics.
        activation: "relu" or "tanh".
        init: How weights begin: "default" (PyTorch's), "orthogonal" or "xavier".
        actor_learning_rate: Adam's, for the actor.
        critic_learning_rate: Adam's, for the critics.
        discount: Of later rewards.
        tau: How far target networks move towards the others in one update of the policy.
        critics: How many; the target is the lowest of them.
        policy_delay: The policy and the targets are updated with every so many updates of the critics.
        target_noise: Standard deviation of the noise on the target policy's action, in [-1, 1] units.
        target_noise_clip: Bound of that noise.
        exploration_noise: Standard deviation of the noise on actions that explore, in [-1, 1] units.
        max_grad_norm: Where gradients are clipped, or None.
    """

    alpha: float = 2.5
    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    init: str = "default"
    actor_learning_rate: float = 3e-4
    critic_learning_rate: float = 3e-4
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


def near_behavior(values: Tensor, actions: Tensor, recorded: Tensor, alpha: float) -> Tensor:
    """Return -w mean Q(s, pi(s)) + mean (pi(s) - a)^2 with w = alpha / mean |Q(s, pi(s))| (equations 3 and 5).

    No gradient goes through w, whose values are of the policy's actions, as in the authors' code.

    Args:
        values: The first critic's, `[1, N]`.
        actions: The policy's, `[N, U]`.
        recorded: Those of the batch, `[N, U]`.
        alpha: What the values weigh.

    Example:
        >>> values, actions = torch.tensor([[1.0, -3.0]]), torch.tensor([[0.5], [0.0]])
        >>> near_behavior(values, actions, torch.tensor([[0.0], [0.5]]), alpha=2.0).item()
        1.25
    """
    weight = alpha / values.detach().abs().mean().clamp(min=SMALLEST)
    return weight * policy_loss(values) + nn.functional.mse_loss(actions, recorded)


def td3_bc(
    observation_size: int,
    action_space: spaces.Space[Any],
    config: TD3BCConfig | None = None,
    *,
    seed: int,
    device: torch.device | str = "cpu",
) -> TD3:
    """Return TD3 with another objective of its policy: to stay near the recorded actions.

    Source: Fujimoto and Gu 2021 (arXiv 2106.06860) and sfujim/TD3_BC. Unlike it: distances and noise are in [-1, 1]
    units, whatever the environment's are. Observations are standardized by who trains it.

    Args:
        observation_size: Elements of a flattened observation, D.
        action_space: A bounded `Box`.
        config: The settings.
        seed: What weights and noise are drawn from.
        device: Where networks and batches are.

    Raises:
        TypeError: The space is no `Box` of floats.
        ValueError: The space is not bounded.

    Example:
        >>> td3_bc(3, spaces.Box(-2.0, 2.0, (1,)), seed=0).act(torch.zeros(5, 3), explore=False).shape
        torch.Size([5, 1])
    """
    settings = asdict(TD3BCConfig() if config is None else config)
    objective = partial(near_behavior, alpha=settings.pop("alpha"))
    return TD3(observation_size, action_space, TD3Config(**settings), seed=seed, device=device, objective=objective)
