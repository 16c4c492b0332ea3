"""AREL: attention over time and over agents gives each step of a team one reward, and their sum is fitted to the label.

Source: Xiao, Ramasubramanian and Poovendran, "Agent-Temporal Attention for Reward Redistribution in Episodic
Multi-Agent Reinforcement Learning", AAMAS 2022, arXiv:2201.04612; official code https://github.com/baicenxiao/AREL.
Where we differ:

- Every agent is paid an equal share of a step's reward, so that steps and agents together get the label. In the source
  each agent gets all of it (`broadcast=True`), and together they get A times the label.
- Labels are fitted without their mean per step, and divided by its deviation; the source fits them as they are.
- Bags may differ in length and agents may be absent: both are masked in attention, sums and variances. The source takes
  all episodes for equally long.
- Rewards are stored after each burst of updates; the source predicts them anew for every batch of a learner.
- Fewer updates, of fewer bags, to fit this library's time per step; `ARELConfig.paper()` has the source's numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule
from bagged_envs.baselines.networks import generators
from bagged_envs.baselines.redistributors.attention import (
    Attention,
    Block,
    Positions,
    check_attention,
    check_bags,
    drawing,
    over_agents,
    over_time,
    seen_among_agents,
    seen_in_time,
    variance_over_steps,
    where_present,
)
from bagged_envs.baselines.redistributors.fitting import Sizes, share_among_agents
from bagged_envs.baselines.redistributors.regression import LabelRegression
from bagged_envs.baselines.redistributors.sequences import seeded
from bagged_envs.baselines.settings import check_settings

Form = Literal["code", "paper"]


@dataclass(frozen=True)
class ARELConfig:
    """Settings of AREL; without a remark, a default is the official code's.

    Attributes:
        width: Size of a token (ours); None for that of an observation, 100 at most (official).
        layers: Pairs of a block over time and one over agents.
        heads: Attention heads, each as wide as a token.
        dropout: Of what blocks add.
        hidden: Width of the layers of the head, before and after the sum over agents.
        head: "affine", without activations (official), or "mlp", with ReLU before and after the sum, as described in
            the paper.
        sees_actions: Whether a token is of the action too (ours), and not of the next observation alone.
        variance_weight: Of the variance over steps: the larger, the more even the rewards. The loss and the variance
            are both quadratic, so the scale of the labels does not matter to it.
        form: Of the loss: see `arel_loss`.
        broadcast: Whether every agent is paid a step's whole reward (official), or an equal share of it.
        standardize: Fit labels per step with their mean removed and divided by their deviation, and undo it on output
            (ours).
        learning_rate: Of Adam: that of the reimplementation in thu-rllab/LaRe (official: 1e-4, for more updates).
        weight_decay: Of Adam.
        max_length: Steps of the longest bag.
        bags: Of an update at most (ours; official: 256), ...
        batch_steps: ... but no more once they have so many steps; None for no limit.
        every: Environment steps between two bursts of updates (ours; official: 1000 episodes).
        updates: In a burst (ours; official: 1000).
        first: In the first burst (ours).
        warm_up: Environment steps before it (ours; official: 4000 episodes).
        refresh: Stored steps that are relabeled after a burst, those relabeled longest ago; None for all (ours).
    """

    width: int | None = 64
    layers: int = 3
    heads: int = 3
    dropout: float = 0.0
    hidden: int = 50
    head: Literal["affine", "mlp"] = "affine"
    sees_actions: bool = False
    variance_weight: float = 20.0
    form: Form = "code"
    broadcast: bool = False
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

    @classmethod
    def paper(cls) -> ARELConfig:
        """Return the official sizes and schedule, for particle tasks of 25 steps, which take much longer."""
        return cls(
            width=None, broadcast=True, standardize=False, learning_rate=1e-4, bags=256, batch_steps=None,
            every=25_000, updates=1000, first=None, warm_up=100_000, refresh=None,
        )  # fmt: skip


class AgentTemporalAttention(nn.Module):
    """Rewards of steps, whoever of the agents is which."""

    def __init__(self, observation_size: int, action_size: int, config: ARELConfig) -> None:
        super().__init__()
        width = min(observation_size, 100) if config.width is None else config.width
        self.sees_actions = config.sees_actions
        self.token = nn.Linear(observation_size + action_size * config.sees_actions, width)
        self.positions = Positions(config.max_length, width)
        self.time = nn.ModuleList(_block(width, config) for _ in range(config.layers))
        self.agents = nn.ModuleList(_block(width, config) for _ in range(config.layers))
        bend = nn.ReLU if config.head == "mlp" else nn.Identity
        self.of_agent = nn.Sequential(
            nn.Linear(width, config.hidden), bend(), nn.Linear(config.hidden, config.hidden), bend()
        )
        self.of_team = nn.Linear(config.hidden, 1)

    def forward(self, batch: BagBatch) -> Tensor:
        """Return the reward of each step, `[B, L]`; it depends on no later one."""
        seen = (batch.next_observations, batch.actions) if self.sees_actions else (batch.next_observations,)
        tokens = self.token(where_present(torch.cat(seen, dim=3), batch.mask)) + self.positions(batch.mask)
        in_time, among = seen_in_time(batch.mask), seen_among_agents(batch.mask)
        for time, agents in zip(self.time, self.agents, strict=True):
            tokens = over_agents(agents, over_time(time, tokens, in_time), among)
        team = where_present(self.of_agent(tokens), batch.mask).sum(dim=2)  # [B, L, hidden]
        rewards: Tensor = self.of_team(team)
        return rewards.squeeze(2)


def _block(width: int, config: ARELConfig) -> Block:
    inner = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))
    return Block(Attention(width, config.heads, width, bias=False), inner, width, config.dropout)


def arel_loss(
    rewards: Tensor, present: Tensor, label: Tensor, variance_weight: float, form: Form = "code"
) -> tuple[Tensor, Tensor]:
    r"""Return AREL's loss, and the part of it that is the squared error of the labels.

        "code":   mean_b (sum_t r_t - R)^2 + w mean_b Var_t(r), squares over T - 1
        "paper":  mean_b 1/T (sum_t r_t - R)^2 + w mean_b Var_t(r), squares over T

    Args:
        rewards: `[B, L]`, r, of all agents together.
        present: bool `[B, L]`: which steps there are, T of them.
        label: `[B]`, R.
        variance_weight: w.
        form: Which of the two.

    Example:
        >>> rewards, present = torch.tensor([[1.0, 3.0]]), torch.ones(1, 2, dtype=torch.bool)
        >>> [part.item() for part in arel_loss(rewards, present, torch.tensor([6.0]), 20.0)]
        [44.0, 4.0]
    """
    errors = (torch.where(present, rewards, torch.zeros_like(rewards)).sum(dim=1) - label).square()  # [B]
    if form == "paper":
        errors = errors / present.sum(dim=1).clamp(min=1)
    variance = variance_over_steps(rewards, present, unbiased=form == "code")
    return errors.mean() + variance_weight * variance.mean(), errors.mean()


class AREL:
    """Redistributes over time by attention over steps and agents; all agents of a step are paid alike.

    A step's reward is made of the observations that followed it and the steps before it. It is the team's: the sum over
    steps is fitted to the label, and a penalty on the variance over steps keeps rewards even. Each present agent gets
    an equal share of it, and `broadcast=True` pays each of them all of it, as the source does: the agents' rewards then
    add up to their number times the label. Rewards add up only where the fit is perfect; `api.project` makes them.

    Attributes:
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.

    Source:
        Xiao et al., AAMAS 2022 (arXiv:2201.04612); see the module for what is ours.

    Example:
        >>> redistributor = AREL(observation_size=3, action_size=1, agents=2, config=ARELConfig(width=8))
        >>> redistributor.name, redistributor.context, redistributor.stored
        ('arel', 'bag', True)
    """

    name = "arel"
    context: Context = "bag"
    exact = False
    stored = True
    only_labeled = False

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: ARELConfig = ARELConfig(),
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
    ) -> None:
        """Draw the network from `seed`."""
        self.config = config
        self.sampling: Sampling | None = Sampling(bags=config.bags, enough=config.batch_steps)
        self.schedule = Schedule(config.every, config.updates, config.warm_up, config.first, config.refresh)
        sizes, self._device = Sizes.of(observation_size, action_size, agents), torch.device(device)
        weights, self._generator = generators(seed, 2)
        with seeded(weights.initial_seed()):
            network = AgentTemporalAttention(observation_size, action_size, config)
        self._model = LabelRegression(
            self.name, network, sizes, config.learning_rate, device, config.weight_decay, config.standardize
        )

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
        self._model.network.train()
        with drawing(self._generator, self._device):
            return self._model.fit(batch, self._loss)

    def relabel(self, batch: BagBatch) -> Tensor:
        """Return the rewards of whole bags, `[B, L, A]`.

        Raises:
            ValueError: Other sizes, a bag that is not whole, or one that is longer than `max_length`.
        """
        check_bags(self.name, self._model.sizes, self.config.max_length, batch)
        self._model.network.eval()
        shares = self._model.rewards(batch, self._shares)
        return shares * batch.mask.sum(dim=2, keepdim=True) if self.config.broadcast else shares

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the model's state, and the generator's."""
        return self._model.state_dict() | {"generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._model.load_state_dict(state)
        self._generator.set_state(state["generator"].cpu())

    def _shares(self, batch: BagBatch) -> Tensor:
        return share_among_agents(self._model.network(batch), batch.mask)

    def _loss(self, batch: BagBatch, label: Tensor) -> tuple[Tensor, Metrics]:
        rewards, present = self._model.network(batch), batch.mask.any(dim=2)  # [B, L] each
        loss, fit = arel_loss(rewards, present, label, self.config.variance_weight, self.config.form)
        return loss, {"label_loss": float(fit.detach())}
