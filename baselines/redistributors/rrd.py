"""RRD: return decomposition from random steps of each bag, biased and unbiased."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule
from bagged_envs.baselines.networks import MLP
from bagged_envs.baselines.redistributors.fitting import Inputs, Sizes, per_step, raw_inputs, team_rewards
from bagged_envs.baselines.redistributors.rd import return_decomposition_loss
from bagged_envs.baselines.redistributors.regression import LabelRegression
from bagged_envs.baselines.settings import check_settings


@dataclass(frozen=True)
class RRDConfig:
    """Settings of both forms of RRD; defaults are those of the official code for MuJoCo unless said otherwise.

    Attributes:
        hidden: Widths of the hidden layers.
        learning_rate: Of Adam.
        bags: M, how many bags an update draws: 256 steps in all, 64 of each.
        steps: K, how many random steps of each bag. Fewer smooth more in the biased form. At least 2 in the unbiased.
        warm_up: No update before so many environment steps.
        every: Update every so many environment steps, ...
        updates: ... so many times.
        standardize: Fit labels per step with their mean removed and divided by their deviation, and undo it on output.
            Ours, off as in the original.
    """

    hidden: tuple[int, ...] = (256, 256)
    learning_rate: float = 3e-4
    bags: int = 4
    steps: int = 64
    warm_up: int = 10_000
    every: int = 100
    updates: int = 100
    standardize: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One of them is out of range.
        """
        check_settings(self)


def sample_variance(rewards: Tensor, mask: Tensor) -> Tensor:
    """Return the variance of the steps' rewards over the K columns of each bag, `v = sum (r - m)^2 / (K - 1)`: `[B]`.

    Args:
        rewards: `[B, L, A]`; those of a step add up over agents.
        mask: bool `[B, L, A]`.

    Returns:
        0.0 where K is 1.
    """
    team, present = team_rewards(rewards, mask), mask.any(dim=2)  # [B, L]
    columns = present.sum(dim=1, keepdim=True)  # [B, 1], K
    deviations = torch.where(present, team - team.sum(dim=1, keepdim=True) / columns.clamp(min=1), 0.0)
    return deviations.square().sum(dim=1) / (columns[:, 0] - 1).clamp(min=1)


def correction(columns: Tensor, length: Tensor) -> Tensor:
    """Return `c`, by how much `v / K` counts as the variance of the mean of K columns of a bag of T steps: `[B]`.

    `1 - K/T` where K <= T: columns drawn without replacement; 1 where K > T: with replacement; 0 where T = 1.

    Example:
        >>> import torch
        >>> correction(torch.tensor([3, 4, 4, 4]), torch.tensor([4, 4, 2, 1])).tolist()
        [0.25, 0.0, 1.0, 0.0]
    """
    without_replacement = torch.where(columns <= length, 1 - columns / length, 1.0)
    return torch.where(length > 1, without_replacement, 0.0)


def unbiased_loss(rewards: Tensor, mask: Tensor, label: Tensor, length: Tensor) -> Tensor:
    """Return an unbiased estimate of RD's loss over whole bags, from K random columns of each.

        mean_i ((m_i - R_i / T_i)^2 - c_i v_i / K)

    with m the mean of the columns, v their variance and c the correction. It may be negative. Gradients flow through
    both terms.

    Args:
        rewards: `[B, L, A]`.
        mask: bool `[B, L, A]`.
        label: `[B]`, R.
        length: `[B]`, T.
    """
    columns = mask.any(dim=2).sum(dim=1)  # [B], K
    bias = correction(columns, length) * sample_variance(rewards, mask) / columns.clamp(min=1)
    return return_decomposition_loss(rewards, mask, label, length) - bias.mean()


def check_columns(name: str, batch: BagBatch) -> None:
    """Check that there are enough columns of each bag for a variance.

    Raises:
        ValueError: There is one of a longer bag.
    """
    columns = batch.mask.any(dim=2).sum(dim=1)
    if bool(((columns < 2) & (batch.length > 1)).any()):
        raise ValueError(f"{name} needs at least 2 columns of each bag of more than one step.")


class RRD:
    """Regresses a reward per step on the labels, through K random steps of each bag.

    With K = T this is RD, whose loss it shares. With fewer the biased form penalizes how much the rewards of a bag
    differ, the more the fewer: a bridge from RD to Uniform. Network, agents and exactness are as in `rd`.

    Attributes:
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.

    Source:
        Ren, Guo, Zhou and Peng, "Learning Long-Term Reward Redistribution via Randomized Return Decomposition", ICLR
        2022 (arXiv:2111.13485); official code Stilwell-Git/Randomized-Return-Decomposition. Ours: a bag takes the
        place of the episode, standardization.
    """

    name = "rrd"
    context: Context = "step"
    exact = False
    stored = False
    only_labeled = False

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: RRDConfig = RRDConfig(),
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
        inputs: Inputs | None = None,
    ) -> None:
        """Draw the network from `seed`; it sees `inputs`, or what `raw_inputs` has."""
        self.config = config
        self._inputs = raw_inputs(observation_size, action_size) if inputs is None else inputs
        self.sampling: Sampling | None = Sampling(bags=config.bags, steps=config.steps, weight="length")
        self.schedule = Schedule(every=config.every, updates=config.updates, warm_up=config.warm_up)
        sizes = (self._inputs.size, *config.hidden, 1)
        self._model = LabelRegression(
            self.name,
            MLP(sizes, torch.Generator().manual_seed(seed), init="xavier"),
            Sizes.of(observation_size, action_size, agents),
            config.learning_rate,
            device,
            standardize=config.standardize,
        )

    def update(self, batch: BagBatch) -> Metrics:
        """Make one step of Adam on the labeled bags, samples of their steps or whole.

        Raises:
            ValueError: The batch has other sizes.
            FloatingPointError: The loss or its gradient is not finite; nothing was changed.
        """
        return self._model.fit(batch, self._loss)

    def relabel(self, batch: BagBatch) -> Tensor:
        """Return the network's rewards, `[B, L, A]`.

        Raises:
            ValueError: The batch has other sizes.
        """
        return self._model.rewards(batch, self._rewards)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the weights, the optimizer's state, the scale of the labels and the number of updates."""
        return self._model.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._model.load_state_dict(state)

    def _rewards(self, batch: BagBatch) -> Tensor:
        return per_step(self._model.network, self._inputs.of(batch))  # [B, L, A]

    def _loss(self, batch: BagBatch, label: Tensor) -> tuple[Tensor, Metrics]:
        return return_decomposition_loss(self._rewards(batch), batch.mask, label, batch.length), {}


class RRDUnbiased(RRD):
    """RRD whose loss is an unbiased estimate of RD's: what the sampling of steps adds is taken off again.

    With few bags per update the correction can win over the fit: then the loss is strongly negative and the rewards
    explode. Draw more bags.
    """

    name = "rrd_unbiased"

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: RRDConfig = RRDConfig(),
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
        inputs: Inputs | None = None,
    ) -> None:
        """Draw the network from `seed`; it sees `inputs`, or what `raw_inputs` has.

        Raises:
            ValueError: `config.steps` is 1: one step tells nothing of a variance.
        """
        if config.steps < 2:
            raise ValueError(f"{self.name} needs at least 2 steps of each bag, got steps={config.steps}.")
        super().__init__(observation_size, action_size, config, seed, device, agents, inputs)

    def _loss(self, batch: BagBatch, label: Tensor) -> tuple[Tensor, Metrics]:
        check_columns(self.name, batch)
        return unbiased_loss(self._rewards(batch), batch.mask, label, batch.length), {}
