"""STAS: causal attention over time, then attention over random coalitions of agents, gives each agent its rewards.

An agent's reward in a step is read from what it finds in coalitions of the others, averaged over random ones, which
stands for its Shapley value. An agent always sees itself, and another one half of the time: so the sum over agents is
told best where an agent is paid for what depends on itself.

Source: Chen et al., "STAS: Spatial-Temporal Return Decomposition for Solving Sparse Rewards Problems in Multi-agent
Reinforcement Learning", AAAI 2024, arXiv:2304.07520; official code https://github.com/zowiezhang/STAS. Where we differ:

- All agents share one query projection, and no agent has an embedding. The source has a projection for each agent, and
  embeddings dealt out anew at every pass, which fix the number of agents and make it matter who is which.
- The blocks over time are standard ones: attend, add, normalize; transform, add, normalize. The source's add the
  outcome of attention three times, and the token only once.
- Rewards are relabeled from the same coalitions each time, from all of them where they are few. The source draws them
  anew, so that its rewards are random.
- Absent agents are in no coalition, and each sequence has its own mask over time. The source mixes up the masks of bags
  and agents where lengths differ.
- Labels are fitted without their mean per step, and divided by its deviation; the source fits them as they are.
- Smaller, without dropout, and with fewer updates; `STASConfig.paper()` has the source's numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule, masked_sum
from bagged_envs.baselines.networks import generators
from bagged_envs.baselines.redistributors.attention import (
    DualAttention,
    Positions,
    check_attention,
    check_bags,
    check_heads,
    drawing,
    drawn_coalitions,
    fixed_coalitions,
    variance_over_steps,
    where_present,
)
from bagged_envs.baselines.redistributors.fitting import Sizes, team_rewards
from bagged_envs.baselines.redistributors.regression import LabelRegression
from bagged_envs.baselines.redistributors.sequences import seeded
from bagged_envs.baselines.settings import check_settings


@dataclass(frozen=True)
class STASConfig:
    """Settings of STAS; without a remark, a default is the official code's for particle tasks.

    Attributes:
        variant: "v1", in which coalitions come after the last layer, or "v2" (STAS-ML), in which they come after each
            layer and feed the next one, and the reward is read from all of them.
        width: Size of a token (official: 128).
        layers: Over time.
        heads: Attention heads, of both kinds.
        dropout: Of what blocks add (official: 0.5).
        draws: Coalitions of an update. Fewer are noisier, and leave less doubt whom to pay.
        relabel_draws: Coalitions to relabel with, or all of them if they are no more: 2^(A - 1) (ours; official: as
            many as in an update, drawn anew each time).
        variance_weight: Of the variance over steps of what all agents get together, in the loss.
        standardize: Fit labels per step with their mean removed and divided by their deviation, and undo it on output
            (ours).
        learning_rate: Of Adam.
        weight_decay: Of Adam.
        max_length: Steps of the longest bag.
        bags: Of an update at most (ours; official: 256), ...
        batch_steps: ... but no more once they have so many steps; None for no limit.
        every: Environment steps between two bursts of updates: ten iterations of 2,048.
        updates: In a burst (ours; official: 50).
        first: In the first burst (ours).
        warm_up: Environment steps before it (ours; official: none).
        refresh: Stored steps that are relabeled after a burst, those relabeled longest ago; None for all (ours).
    """

    variant: Literal["v1", "v2"] = "v1"
    width: int = 64
    layers: int = 3
    heads: int = 4
    dropout: float = 0.0
    draws: int = 5
    relabel_draws: int = 8
    variance_weight: float = 0.0
    standardize: bool = True
    learning_rate: float = 5e-4
    weight_decay: float = 1e-5
    max_length: int = 1000
    bags: int = 32
    batch_steps: int | None = 2000
    every: int = 20_480
    updates: int = 10
    first: int | None = 100
    warm_up: int = 4000
    refresh: int | None = 20_000

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            TypeError: A number of something is no int.
            ValueError: A setting is out of its range.
        """
        check_settings(self)
        check_attention(self)
        check_heads(self)

    @classmethod
    def paper(cls) -> STASConfig:
        """Return the official sizes and schedule, which take much longer."""
        return cls(
            width=128, dropout=0.5, standardize=False, bags=256, batch_steps=None, updates=50, first=None, warm_up=0,
            refresh=None,
        )  # fmt: skip


class SpatialTemporalAttention(nn.Module):
    """Rewards of steps and agents."""

    def __init__(self, observation_size: int, action_size: int, config: STASConfig) -> None:
        super().__init__()
        self.token = nn.Linear(observation_size + action_size, config.width)
        self.positions = Positions(config.max_length, config.width)
        self.attention = DualAttention(
            config.width, config.layers, config.heads, config.dropout, each=config.variant == "v2"
        )
        self.reward = nn.Linear(self.attention.size, 1)

    def forward(self, batch: BagBatch, coalitions: Tensor) -> Tensor:
        """Return the reward of each step and agent, `[B, L, A]`; it depends on no later step.

        Args:
            batch: Whole bags.
            coalitions: bool `[J, K, A, A]`, for each block of attention over agents.
        """
        inputs = where_present(torch.cat((batch.observations, batch.actions), dim=3), batch.mask)
        tokens = self.token(inputs) + self.positions(batch.mask)
        rewards: Tensor = self.reward(self.attention(tokens, batch.mask, coalitions))
        return rewards.squeeze(3)


def stas_loss(rewards: Tensor, mask: Tensor, label: Tensor, variance_weight: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return STAS's loss, and the part of it that is the squared error of the labels.

        L = mean_b (sum_(i,t) r_(i,t) - R)^2 + w mean_b Var_t(sum_i r_(i,t)), squares over T - 1

    Args:
        rewards: `[B, L, A]`, r.
        mask: bool `[B, L, A]`.
        label: `[B]`, R.
        variance_weight: w.

    Example:
        >>> rewards, mask = torch.tensor([[[0.0, 1.0], [2.0, 1.0]]]), torch.ones(1, 2, 2, dtype=torch.bool)
        >>> [part.item() for part in stas_loss(rewards, mask, torch.tensor([6.0]), 3.0)]
        [10.0, 4.0]
    """
    error = (masked_sum(rewards, mask) - label).square().mean()
    variance = variance_over_steps(team_rewards(rewards, mask), mask.any(dim=2)).mean()
    return error + variance_weight * variance, error


class STAS:
    """Redistributes over time and agents by attention over steps and over random coalitions of agents.

    The sum over steps and agents is fitted to the label, so rewards add up only where the fit is perfect; `api.project`
    makes them. Coalitions are random in updates. To relabel they are always the same ones.

    Attributes:
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.

    Source:
        Chen et al., AAAI 2024 (arXiv:2304.07520); see the module for what is ours.

    Example:
        >>> redistributor = STAS(observation_size=3, action_size=1, agents=2, config=STASConfig(width=8))
        >>> redistributor.name, redistributor.context, redistributor.stored
        ('stas', 'bag', True)
    """

    name = "stas"
    context: Context = "bag"
    exact = False
    stored = True
    only_labeled = False

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: STASConfig = STASConfig(),
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
    ) -> None:
        """Draw the network from `seed`, and what coalitions to relabel with."""
        self.config = config
        self.sampling: Sampling | None = Sampling(bags=config.bags, enough=config.batch_steps)
        self.schedule = Schedule(config.every, config.updates, config.warm_up, config.first, config.refresh)
        sizes, self._device = Sizes.of(observation_size, action_size, agents), torch.device(device)
        weights, self._generator = generators(seed, 2)
        with seeded(weights.initial_seed()):
            self._network = SpatialTemporalAttention(observation_size, action_size, config)
        self._model = LabelRegression(
            self.name, self._network, sizes, config.learning_rate, device, config.weight_decay, config.standardize
        )
        self._coalition_seed = self._generator.initial_seed()

    def update(self, batch: BagBatch) -> Metrics:
        """Make one step of Adam on the labeled bags.

        Returns:
            `loss`, its part `label_loss`, both of labels as they are fitted, `gradient_norm`, and `labeled`, how many
            bags were. Without any, nothing changes.

        Raises:
            ValueError: Other sizes, a bag that is not whole, or one that is longer than `max_length`.
            FloatingPointError: The loss or its gradient is not finite; nothing was changed.
        """
        check_bags(self.name, self._model.sizes, self.config.max_length, batch)
        if not bool(batch.labeled.any()):
            return {"labeled": 0.0}
        self._network.train()
        with drawing(self._generator, self._device):
            return self._model.fit(batch, self._loss)

    def relabel(self, batch: BagBatch) -> Tensor:
        """Return the rewards of whole bags, `[B, L, A]`, always the same for the same bags.

        Raises:
            ValueError: Other sizes, a bag that is not whole, or one that is longer than `max_length`.
        """
        check_bags(self.name, self._model.sizes, self.config.max_length, batch)
        self._network.eval()
        return self._model.rewards(batch, self._rewards)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the model's state, the generator's, and the seed of the coalitions to relabel with."""
        chance = {"generator": self._generator.get_state(), "coalition_seed": self._coalition_seed}
        return self._model.state_dict() | chance

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._model.load_state_dict(state)
        self._generator.set_state(state["generator"].cpu())
        self._coalition_seed = int(state["coalition_seed"])

    def _rewards(self, batch: BagBatch) -> Tensor:
        blocks, agents = self._network.attention.blocks, self._model.sizes.agents
        coalitions = fixed_coalitions(blocks, self.config.relabel_draws, agents, self._coalition_seed)
        rewards: Tensor = self._network(batch, coalitions.to(self._device))
        return rewards

    def _loss(self, batch: BagBatch, label: Tensor) -> tuple[Tensor, Metrics]:
        # All coalitions at once would leave no noise, and with it no reason to pay the one who acted.
        blocks, agents = self._network.attention.blocks, self._model.sizes.agents
        coalitions = drawn_coalitions(blocks, self.config.draws, agents, self._generator)
        rewards = self._network(batch, coalitions.to(self._device))
        loss, fit = stas_loss(rewards, batch.mask, label, self.config.variance_weight)
        return loss, {"label_loss": float(fit.detach())}
