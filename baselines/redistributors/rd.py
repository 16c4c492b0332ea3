"""RD: rewards of single steps, regressed on the labels of whole bags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule
from bagged_envs.baselines.networks import MLP
from bagged_envs.baselines.redistributors.fitting import (
    Inputs,
    Sizes,
    check_whole,
    per_step,
    raw_inputs,
    team_rewards,
)
from bagged_envs.baselines.redistributors.regression import LabelRegression
from bagged_envs.baselines.settings import check_settings

Loss = Literal["mean", "sum"]


@dataclass(frozen=True)
class RDConfig:
    """Settings of RD; defaults are those of the MuJoCo baseline in thu-rllab/LaRe unless said otherwise.

    Attributes:
        hidden: Widths of the hidden layers.
        learning_rate: Of Adam.
        weight_decay: Of Adam. 1e-5 in the source's particle tasks.
        loss: Compare means per step ("mean", the source's MuJoCo code) or sums ("sum", the paper's equation and the
            source's particle tasks), which weights a bag by its length squared. They differ where lengths do.
        bags: How many bags an update draws at most. The source aims at 256 steps; ours: 16 bags, ...
        batch_steps: ... but no more once they have so many steps: with episodes of 1,000 steps one, as in the source,
            which costs as much as a learner's update. None for no limit, where time does not matter.
        warm_up: No update before so many environment steps.
        every: Update every so many environment steps, ...
        updates: ... so many times.
        standardize: Fit labels per step with their mean removed and divided by their deviation, and undo it on output.
            Ours, off as in the source. Worth trying where labels are huge. The scale moves while bags come in.
    """

    hidden: tuple[int, ...] = (256, 256)
    learning_rate: float = 3e-4
    weight_decay: float = 0.0
    loss: Loss = "mean"
    bags: int = 16
    batch_steps: int | None = 1000
    warm_up: int = 10_000
    every: int = 1
    updates: int = 1
    standardize: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One of them is out of range.
        """
        check_settings(self)


# What thu-rllab/LaRe has on particle tasks, for RD and LaRe-RD. Ours: 20 updates for each iteration of 2,050 steps,
# where it makes 50 for ten, and standardized labels. With the source's, a team falls below one without RD: see
# docs/teams.md.
PARTICLE: Mapping[str, Any] = {
    "hidden": (64, 64, 64, 64),
    "learning_rate": 5e-4,
    "weight_decay": 1e-5,
    "loss": "sum",
    "bags": 256,
    "batch_steps": None,
    "warm_up": 2000,
    "every": 2050,
    "updates": 20,
    "standardize": True,
}


def return_decomposition_loss(
    rewards: Tensor, mask: Tensor, label: Tensor, length: Tensor, loss: Loss = "mean"
) -> Tensor:
    r"""Return the squared error of the labels, averaged over bags.

    With r_t the rewards of step t, added up over its agents, and K the columns of the bag,

        "mean":  mean_i (1/K sum_k r_{i,k} - R_i / T_i)^2
        "sum":   mean_i (T_i/K sum_k r_{i,k} - R_i)^2

    RD has all T steps in the columns, K = T. With fewer, drawn at random, the first is the loss of RRD.

    Args:
        rewards: `[B, L, A]`.
        mask: bool `[B, L, A]`.
        label: `[B]`, R.
        length: `[B]`, T.
        loss: Which of the two.

    Example:
        >>> import torch
        >>> rewards, mask = torch.tensor([[[1.0], [3.0]]]), torch.ones(1, 2, 1, dtype=torch.bool)
        >>> label, length = torch.tensor([6.0]), torch.tensor([2])
        >>> return_decomposition_loss(rewards, mask, label, length).item()
        1.0
        >>> return_decomposition_loss(rewards, mask, label, length, "sum").item()
        4.0
    """
    columns = mask.any(dim=2).sum(dim=1).clamp(min=1)  # [B], K
    error = team_rewards(rewards, mask).sum(dim=1) / columns - label / length  # [B]
    if loss == "sum":
        error = length * error
    return error.square().mean()


def ridge_rewards(features: Tensor, mask: Tensor, label: Tensor, strength: float) -> Tensor:
    """Return the weights of the best rewards that are linear in given features: float64 `[F]`.

    `w = (H^T H + strength I)^(-1) H^T R`, where a row of H adds up the features of all steps and agents of a bag. The
    reward of a step is `features @ w`. What the features cannot tell apart by bags is shrunk towards zero.

    Args:
        features: `[B, L, A, F]`.
        mask: bool `[B, L, A]`.
        label: `[B]`, R.
        strength: Of the regularization; 0.0 needs bags whose sums of features span all F directions.

    Source:
        Equation of the regularized tabular estimator in the LaRe paper's appendix (arXiv:2412.11120).

    Example:
        >>> import torch
        >>> features = torch.tensor([[[[1.0, 0.0]], [[1.0, 0.0]]], [[[0.0, 1.0]], [[1.0, 0.0]]]])
        >>> ridge_rewards(features, torch.ones(2, 2, 1, dtype=torch.bool), torch.tensor([4.0, 5.0]), 0.0).tolist()
        [2.0, 3.0]
    """
    sums = torch.where(mask[..., None], features.double(), 0.0).sum(dim=(1, 2))  # [B, F]
    gram = sums.T @ sums + strength * torch.eye(sums.shape[1], dtype=sums.dtype, device=sums.device)
    weights: Tensor = torch.linalg.solve(gram, sums.T @ label.double())
    return weights


class RD:
    """Regresses a reward per step on the labels: least-squares return decomposition.

    A network sees `concat(s, a, s - s')` of one step of one agent. One network serves all agents; what it says of the
    agents of a step adds up to the step's reward. Rewards add up to the label only where the fit is perfect;
    `api.project` makes them. On bags of one step this is reward imputation by regression.

    An update needs whole bags; `relabel` takes any steps in any order. Rewards are recomputed at sampling.

    Attributes:
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.

    Source:
        Efroni, Merlis and Mannor, "Reinforcement Learning with Trajectory Feedback", AAAI 2021; as the baseline "RD" in
        the code of "Latent Reward" (arXiv:2412.11120, thu-rllab/LaRe). Ours: more bags per update, standardization.
    """

    name = "rd"
    context: Context = "step"
    exact = False
    stored = False
    only_labeled = False

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: RDConfig = RDConfig(),
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
        inputs: Inputs | None = None,
    ) -> None:
        """Draw the network from `seed`; it sees `inputs`, or what `raw_inputs` has."""
        self.config = config
        self._inputs = raw_inputs(observation_size, action_size) if inputs is None else inputs
        self.sampling: Sampling | None = Sampling(bags=config.bags, enough=config.batch_steps)
        self.schedule = Schedule(every=config.every, updates=config.updates, warm_up=config.warm_up)
        sizes = (self._inputs.size, *config.hidden, 1)
        self._model = LabelRegression(
            self.name,
            MLP(sizes, torch.Generator().manual_seed(seed)),
            Sizes.of(observation_size, action_size, agents),
            config.learning_rate,
            device,
            config.weight_decay,
            config.standardize,
        )

    def update(self, batch: BagBatch) -> Metrics:
        """Make one step of Adam on the labeled bags, which must be whole.

        Raises:
            ValueError: The batch has other sizes, or a bag is a sample of its steps.
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
        check_whole(self.name, batch)
        return return_decomposition_loss(self._rewards(batch), batch.mask, label, batch.length, self.config.loss), {}
