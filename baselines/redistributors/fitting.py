"""What the redistributors share and what is no method: sizes, features, networks, one safe step of descent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from bagged_envs.baselines.api import BagBatch, Metrics
from bagged_envs.wrappers.arguments import positive_int


@dataclass(frozen=True)
class NoSettings:
    """The configuration of a redistributor that has nothing to set."""


NO_SETTINGS = NoSettings()


class Sizes(NamedTuple):
    """What a redistributor was made for: elements of an observation, of an action, and agents."""

    observation: int
    action: int
    agents: int

    @classmethod
    def of(cls, observation_size: int, action_size: int, agents: int) -> Sizes:
        """Return checked sizes.

        Raises:
            ValueError: One of them is below 1.
        """
        return cls(
            positive_int("observation_size", observation_size),
            positive_int("action_size", action_size),
            positive_int("agents", agents),
        )

    def check(self, name: str, batch: BagBatch) -> None:
        """Check that a batch has these sizes.

        Raises:
            ValueError: It has others.
        """
        came = Sizes(batch.observations.shape[3], batch.actions.shape[3], batch.mask.shape[2])
        if batch.next_observations.shape[3] != came.observation:
            raise ValueError(
                f"observations and next_observations must be of one size, got {came.observation} and "
                f"{batch.next_observations.shape[3]}."
            )
        if came != self:
            raise ValueError(
                f"{name} was made for observations of {self.observation} elements, actions of {self.action} and "
                f"{self.agents} agents, got {came.observation}, {came.action} and {came.agents}."
            )


def check_whole(name: str, batch: BagBatch) -> None:
    """Check that the columns of each bag are all of its steps.

    Raises:
        ValueError: A bag is only a sample of its steps, or its context alone.
    """
    columns = batch.mask.any(dim=2).sum(dim=1)
    if torch.equal(columns, batch.length):
        return
    bag = int((columns != batch.length).nonzero()[0])
    raise ValueError(
        f"{name} needs whole bags, got {int(columns[bag])} columns of bag {bag}, which has {int(batch.length[bag])} "
        "steps: sample with Sampling.steps=None."
    )


def labeled_bags(batch: BagBatch, device: torch.device) -> BagBatch:
    """Return the labeled bags of a batch, on a device; there may be none."""
    return (batch if bool(batch.labeled.all()) else batch.select(batch.labeled)).to(device)


def step_features(batch: BagBatch) -> Tensor:
    """Return what the reward networks of RD and RRD see: `concat(s, a, s - s')`, `[B, L, A, 2 D + U]`.

    Zeros in padding, whatever stands there. The difference is the state before minus the state after.
    """
    present = batch.mask[..., None]
    features = torch.cat((batch.observations, batch.actions, batch.observations - batch.next_observations), dim=3)
    return torch.where(present, features, torch.zeros_like(features))


class Inputs(NamedTuple):
    """What a network of single steps sees.

    Attributes:
        size: How many numbers of each step and agent.
        of: Returns them, `[B, L, A, size]`, of a batch.
    """

    size: int
    of: Callable[[BagBatch], Tensor]


def raw_inputs(observation_size: int, action_size: int) -> Inputs:
    """Return `step_features` as inputs."""
    return Inputs(2 * observation_size + action_size, step_features)


def team_rewards(rewards: Tensor, mask: Tensor) -> Tensor:
    """Return what all agents of a step get together: `[B, L, A]` to `[B, L]`, without padding."""
    return torch.where(mask, rewards, torch.zeros_like(rewards)).sum(dim=2)


def share_among_agents(rewards: Tensor, mask: Tensor) -> Tensor:
    """Return each present agent's equal share of its step's reward, 0.0 in padding.

    Args:
        rewards: `[B, L]`, or `[B, 1]` where all steps of a bag get the same.
        mask: bool `[B, L, A]`.
    """
    shares = (rewards / mask.sum(dim=2).clamp(min=1))[..., None].expand(mask.shape)
    return torch.where(mask, shares, torch.zeros_like(shares))


def soft_clamp(values: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Return values held between two bounds, smoothly, so that gradients pass: high - softplus(high - x), then low."""
    below = high - functional.softplus(high - values)
    return low + functional.softplus(below - low)


def per_step(network: nn.Module, features: Tensor) -> Tensor:
    """Return a network's one output for each step and agent, `[B, L, A]`, of features `[B, L, A, D]`.

    As rows: with more axes than two, layers take a tenth longer.
    """
    rewards: Tensor = network(features.flatten(0, 2)).view(features.shape[:3])
    return rewards


def _forget_gradients(parameters: Sequence[Tensor]) -> None:
    """Do what an optimizer's `zero_grad` does, without its hooks for profilers, which take a tenth of a millisecond."""
    for parameter in parameters:
        parameter.grad = None


def descend_if_finite(
    name: str, loss: Tensor, optimizer: torch.optim.Optimizer, learning_rate: float | None = None
) -> Metrics:
    """Make one step down a loss, unless it or its gradient is not finite.

    Args:
        name: What the error calls it.
        loss: A scalar.
        optimizer: Of the parameters that the loss depends on.
        learning_rate: What its rate becomes for this step; None for the one that it has.

    Returns:
        `loss` and `gradient_norm`.

    Raises:
        FloatingPointError: It is not; no parameter was changed.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    _forget_gradients(parameters)
    loss.backward()  # type: ignore[no-untyped-call]
    # As nn.utils.get_total_norm, which groups by device and type first, and takes twice the time.
    norms = torch._foreach_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    norm = torch.linalg.vector_norm(torch.stack(norms))
    value, gradient = torch.stack((loss.detach(), norm)).tolist()
    if not (math.isfinite(value) and math.isfinite(gradient)):
        _forget_gradients(parameters)
        raise FloatingPointError(
            f"{name}: the loss is {value} and the norm of its gradient {gradient}: nothing was changed. "
            "Look for observations, actions or labels that are NaN, infinite or huge."
        )
    if learning_rate is not None:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
    optimizer.step()
    return {"loss": value, "gradient_norm": gradient}


@dataclass(frozen=True)
class LabelScale:
    """Mean and spread of the labels per step, over all labeled bags seen, repeats included.

    Attributes:
        count: How many bags.
        mean: Of label / length.
        squares: The sum of squared deviations from the mean.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation; 1.0 while all labels per step are alike."""
        deviation = math.sqrt(self.squares / max(self.count, 1))
        return deviation if deviation > 1e-6 * max(abs(self.mean), 1e-6) else 1.0

    def after(self, label: Tensor, length: Tensor) -> LabelScale:
        """Return the scale after some more bags, `[B]` each."""
        per_step = label.double() / length
        added, mean = len(per_step), per_step.mean().item()
        squares = (per_step - mean).square().sum().item()
        count, gap = self.count + added, mean - self.mean
        return LabelScale(
            count, self.mean + gap * added / count, self.squares + squares + gap * gap * self.count * added / count
        )

    def standardize(self, label: Tensor, length: Tensor) -> Tensor:
        """Return labels of steps whose rewards are shifted by the mean and divided by the deviation: `[B]`."""
        return (label - self.mean * length) / self.deviation

    def restore(self, rewards: Tensor, mask: Tensor) -> Tensor:
        """Return rewards `[B, L, A]` in the task's units; the present agents of a step share the mean equally."""
        shift = rewards.new_full(rewards.shape[:2], self.mean)
        return rewards * self.deviation + share_among_agents(shift, mask)
