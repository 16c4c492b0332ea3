"""Reward imputation: rewards of labeled transitions, regressed on observation and action."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch
from bagged_envs.baselines.redistributors.fitting import Inputs
from bagged_envs.baselines.redistributors.rd import RD, RDConfig


@dataclass(frozen=True)
class ImputerConfig(RDConfig):
    """Settings of the imputer: those of RD, and what is better where each bag is a step.

    The paper says that the network has two layers. Ours, as far as that can be read otherwise or nothing is known: two
    hidden layers (`hidden=(256,)` is the other reading), their width, Adam's rate, and batches.

    Attributes:
        bags: As in `RDConfig`; more, for bags of one step.
        standardize: As in `RDConfig`, and on.
    """

    bags: int = 256
    standardize: bool = True


def state_action(batch: BagBatch) -> Tensor:
    """Return `concat(s, a)`, `[B, L, A, D + U]`; zeros in padding, whatever stands there."""
    features = torch.cat((batch.observations, batch.actions), dim=3)
    return torch.where(batch.mask[..., None], features, torch.zeros_like(features))


class Imputer(RD):
    """Regresses a reward per step on the labels as RD does, but does not see where the step led.

    A network sees `concat(s, a)`. On bags of one step, some of them labeled, this is reward imputation as it was
    published: mean squared error on the labeled transitions, a reward for all others. Longer bags it takes as RD does.
    Rewards that depend on the next observation alone it can only guess; `rd` sees that.

    Attributes:
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.

    Source:
        Romeo and Bagdanov, "Offline Reinforcement Learning with Imputed Rewards", 2024 (arXiv:2407.10839).
    """

    name = "imputer"

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: ImputerConfig = ImputerConfig(),
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
    ) -> None:
        """Draw the network from `seed`."""
        inputs = Inputs(observation_size + action_size, state_action)
        super().__init__(observation_size, action_size, config, seed, device, agents, inputs)
