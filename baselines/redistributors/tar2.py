r"""TAR2: scores of steps and agents are fitted to the label, and normalized to shares of it that add up exactly.

The network is that of STAS with coalitions after each layer; the outcome of the bag, its last observation and action,
is told to every step, and a second head predicts actions, which teaches the network what tells them. What is paid is

    r_(i,t) = w^agent_(i,t) w^time_t R,    sum_t w^time_t = 1,    sum_i w^agent_(i,t) = 1 for each t,

which adds up to the label R whatever the network says. The authors claim that optimal policies stay what they are; what
is certain is the undiscounted sum over agents and steps. No share is negative: where R > 0 no step can be blamed.

Source: Kapoor et al., "TAR2: Temporal-Agent Reward Redistribution for Optimal Policy Preservation in Multi-Agent
Reinforcement Learning", arXiv:2502.04864; the authors' code
https://github.com/AdityaKapoor74/MARL_Agent_Temporal_Credit_Assignment. Where we differ:

- No variant of the code has all that the paper describes; here each part is a switch: `final_state`,
  `inverse_dynamics`, `normalization`.
- Shares are a softmax of scores ("softmax"; in the code commented out) or "min_max", as in the code but without a
  constant in the denominator, and alike where all scores are: in the code such a step's reward vanishes, and so does
  that of one agent alone. With two agents, min-max always gives one of them all of a step. Which is better depends on
  how often scores are fitted: min-max with frequent updates, softmax with the few that are the default (docs/teams.md).
- Where R < 0, scores change their sign first: the code gives the best steps most of the blame.
- Actions that are numbers, and no choices, are predicted by least squares.
- One query projection for all agents, standard blocks, coalitions without absent agents and fixed ones to relabel with:
  as in `bagged_envs.baselines.redistributors.stas`. No gradients are clipped (source: at a norm of 10), and Adam has
  its usual epsilon (source: AdamW without decay, 1e-5).
- Labels are fitted without their mean per step, and divided by its deviation; shares are made of these scores. Fewer
  updates, of fewer bags; `TAR2Config.paper()` has the source's numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule, masked_sum, rounded
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
    where_present,
)
from bagged_envs.baselines.redistributors.fitting import Sizes, team_rewards
from bagged_envs.baselines.redistributors.regression import LabelRegression
from bagged_envs.baselines.redistributors.sequences import seeded
from bagged_envs.baselines.settings import check_settings

Shares = Literal["softmax", "min_max"]


@dataclass(frozen=True)
class TAR2Config:
    """Settings of TAR2; without a remark, a default is that of the authors' code.

    Attributes:
        final_state: Whether every step is told each bag's last observation and action (paper; in the code's variant
            with normalized rewards it is commented out).
        inverse_dynamics: Whether actions are predicted too.
        inverse_dynamics_weight: Of that loss.
        normalization: What makes shares of scores: "softmax" (ours), "min_max" (code; better with frequent updates), or
            "none": scores are paid as they are, and add up to the label only where the fit is perfect.
        temperature: What scores are divided by before softmax (ours).
        width: Size of a token, and of the hidden layer of each head.
        layers: Over time, each followed by attention over coalitions.
        heads: Attention heads, of both kinds.
        dropout: Of what blocks add.
        draws: Coalitions of an update. Fewer are noisier, and leave less doubt whom to pay.
        relabel_draws: Coalitions to relabel with, or all of them if they are no more: 2^(A - 1) (ours; source: as many
            as in an update, drawn anew each time).
        standardize: Fit labels per step with their mean removed and divided by their deviation, and undo it on output
            (ours).
        learning_rate: Of Adam.
        max_length: Steps of the longest bag.
        bags: Of an update at most (ours; source: 128), ...
        batch_steps: ... but no more once they have so many steps; None for no limit.
        every: Environment steps between two bursts of updates (ours; source: 200 episodes).
        updates: In a burst (ours; source: 200).
        first: In the first burst (ours).
        warm_up: Environment steps before it (ours; source: 200 episodes).
        refresh: Stored steps that are relabeled after a burst, those relabeled longest ago; None for all (ours).
    """

    final_state: bool = True
    inverse_dynamics: bool = True
    inverse_dynamics_weight: float = 0.05
    normalization: Literal["softmax", "min_max", "none"] = "softmax"
    temperature: float = 1.0
    width: int = 64
    layers: int = 3
    heads: int = 4
    dropout: float = 0.0
    draws: int = 5
    relabel_draws: int = 8
    standardize: bool = True
    learning_rate: float = 5e-4
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
    def paper(cls) -> TAR2Config:
        """Return the authors' normalization, sizes and schedule, for episodes of 50 steps, which take much longer."""
        return cls(
            normalization="min_max", standardize=False, bags=128, batch_steps=None, every=10_000, updates=200,
            first=None, warm_up=10_000, refresh=None,
        )  # fmt: skip


class ScoreNetwork(nn.Module):
    """Scores of steps and agents, and predictions of their actions."""

    def __init__(self, observation_size: int, action_size: int, config: TAR2Config) -> None:
        super().__init__()
        width = config.width
        self.final_state = config.final_state
        self.observation = nn.Linear(observation_size, width)
        self.action = nn.Linear(action_size, width, bias=False)
        self.positions = Positions(config.max_length, width)
        self.attention = DualAttention(width, config.layers, config.heads, config.dropout, each=True)
        self.score = _head(self.attention.size + width * config.final_state, width, 1)
        self.inverse = _head(self.attention.size + width, width, action_size) if config.inverse_dynamics else None

    def forward(self, batch: BagBatch, coalitions: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return scores `[B, L, A]` and, with inverse dynamics, predicted actions `[B, L, A, U]`.

        Args:
            batch: Whole bags.
            coalitions: bool `[J, K, A, A]`, for each block of attention over agents.
        """
        mask = batch.mask
        states = self.observation(where_present(batch.observations, mask)) + self.positions(mask)
        tokens = states + self.action(where_present(batch.actions, mask))  # [B, L, A, W]
        features = self.attention(tokens, mask, coalitions)
        known = features
        if self.final_state:
            known = torch.cat((features, outcome(tokens, mask).expand_as(tokens)), dim=3)
        scores: Tensor = self.score(known).squeeze(3)
        return scores, self._actions(states, features, mask)

    def _actions(self, states: Tensor, features: Tensor, mask: Tensor) -> Tensor | None:
        """Predict each action from all agents' observations before it, and what was known of its agent one step ago."""
        if self.inverse is None:
            return None
        there = mask.sum(dim=2, keepdim=True)[..., None].clamp(min=1)
        team = where_present(states, mask).sum(dim=2, keepdim=True) / there  # [B, L, 1, W]
        before = functional.pad(where_present(features, mask)[:, :-1], (0, 0, 0, 0, 1, 0))
        predicted: Tensor = self.inverse(torch.cat((team.expand_as(states), before), dim=3))
        return predicted


def _head(inputs: int, hidden: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


def outcome(tokens: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over a bag's agents of each one's token at the last step that it was there for.

    Args:
        tokens: `[B, L, A, W]`.
        mask: bool `[B, L, A]`.

    Returns:
        `[B, 1, 1, W]`; without agents that were never there.
    """
    last = mask.shape[1] - 1 - mask.flip(1).int().argmax(dim=1)  # [B, A]
    index = last[:, None, :, None].expand(-1, -1, -1, tokens.shape[3])
    finals = where_present(tokens.gather(1, index), mask.any(dim=1, keepdim=True))  # [B, 1, A, W]
    return finals.sum(dim=2, keepdim=True) / mask.any(dim=1).sum(dim=1).clamp(min=1)[:, None, None, None]


def are_choices(actions: Tensor, mask: Tensor) -> bool:
    """Return whether actions `[B, L, A, U]` are one-hot, of at least two choices, wherever the mask is True."""
    present = actions[mask]
    binary = ((present == 0.0) | (present == 1.0)).all() & (present.sum(dim=1) == 1.0).all()
    return actions.shape[3] > 1 and bool(binary)


def action_loss(predicted: Tensor, actions: Tensor, mask: Tensor) -> Tensor:
    """Return how badly actions are predicted, the mean over present agents and steps: a scalar.

    The cross-entropy where all actions are one-hot, and else the squared error, the mean over their elements.

    Args:
        predicted: `[B, L, A, U]`: logits, or numbers.
        actions: `[B, L, A, U]`.
        mask: bool `[B, L, A]`.

    Example:
        >>> here = torch.ones(1, 1, 1, dtype=torch.bool)
        >>> action_loss(torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[0.5, 4.0]]]]), here).item()
        2.125
    """
    if are_choices(actions, mask):
        return functional.cross_entropy(predicted[mask], actions[mask])
    return (predicted[mask] - actions[mask]).square().mean()


def tar2_loss(scores: Tensor, mask: Tensor, label: Tensor, actions: Tensor | None, weight: float) -> Tensor:
    """Return TAR2's loss, mean_b (R - sum_(i,t) c_(i,t))^2 + lambda L_actions.

    Args:
        scores: `[B, L, A]`, c.
        mask: bool `[B, L, A]`.
        label: `[B]`, R.
        actions: What `action_loss` says, L_actions; None without inverse dynamics.
        weight: lambda.

    Example:
        >>> scores, mask = torch.tensor([[[0.0, 1.0], [2.0, 1.0]]]), torch.ones(1, 2, 2, dtype=torch.bool)
        >>> tar2_loss(scores, mask, torch.tensor([6.0]), torch.tensor(3.0), 0.5).item()
        5.5
    """
    error = (masked_sum(scores, mask) - label).square().mean()
    return error if actions is None else error + weight * actions


def shares(scores: Tensor, mask: Tensor, dim: int, kind: Shares, temperature: float = 1.0) -> Tensor:
    """Return shares of 1 for what is there along an axis, by its scores; zeros where nothing is.

        "softmax":  exp(c_k / temperature) / sum_j exp(c_j / temperature)
        "min_max":  (c_k - min c) / sum_j (c_j - min c), and equal shares where all scores are alike

    Args:
        scores: float64.
        mask: bool, as the scores.
        dim: The axis.
        kind: Which of the two.
        temperature: Of softmax.

    Example:
        >>> shares(torch.tensor([1.0, 2.0, 4.0]), torch.ones(3, dtype=torch.bool), 0, "min_max").tolist()
        [0.0, 0.25, 0.75]
    """
    if kind == "softmax":
        ratios = (scores / temperature).masked_fill(~mask, -torch.inf)
        # Softmax over nothing would be NaN.
        ratios = torch.where(mask.any(dim=dim, keepdim=True), ratios, 0.0).softmax(dim=dim)
        return torch.where(mask, ratios, 0.0)
    above = scores - scores.masked_fill(~mask, torch.inf).amin(dim=dim, keepdim=True)
    above = torch.where(mask, above, 0.0)
    alike = above.sum(dim=dim, keepdim=True) == 0.0
    above = torch.where(alike, mask.to(scores), above)
    return above / above.sum(dim=dim, keepdim=True).clamp(min=torch.finfo(above.dtype).tiny)


def normalized_rewards(scores: Tensor, batch: BagBatch, kind: Shares, temperature: float = 1.0) -> Tensor:
    """Return r_(i,t) = w^agent_(i,t) w^time_t R, which add up to the label of each labeled bag: float32 `[B, L, A]`.

    w^time are shares of the steps by the sums of their scores, and w^agent shares of the agents of a step, both by
    scores of opposite sign where R < 0.

    Args:
        scores: `[B, L, A]`.
        batch: Whole bags.
        kind: As `shares` has it.
        temperature: The same.
    """
    label = batch.label.double()[:, None, None]
    signed = torch.where(batch.mask, scores.double(), 0.0) * torch.where(label < 0.0, -1.0, 1.0)
    of_steps = shares(team_rewards(signed, batch.mask), batch.mask.any(dim=2), 1, kind, temperature)  # [B, L]
    of_agents = shares(signed, batch.mask, 2, kind, temperature)  # [B, L, A]
    return rounded(of_agents * of_steps[..., None] * label, batch)


class TAR2:
    """Redistributes over time and agents by shares of the label, made of scores that are fitted to it.

    The scores come from attention over steps and over coalitions of agents; their sum is fitted to the label, and so
    predicts it. Labeled bags are paid shares, which add up to the label exactly. Unlabeled bags have no label to share
    out, and are paid the scores. With `normalization="none"` all bags are, and nothing is exact.

    Attributes:
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.

    Source:
        Kapoor et al. (arXiv:2502.04864); see the module for what is ours.

    Example:
        >>> redistributor = TAR2(observation_size=3, action_size=1, agents=2, config=TAR2Config(width=8))
        >>> redistributor.name, redistributor.exact
        ('tar2', True)
    """

    name = "tar2"
    context: Context = "bag"
    stored = True
    only_labeled = False

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: TAR2Config = TAR2Config(),
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
    ) -> None:
        """Draw the network from `seed`, and what coalitions to relabel with."""
        self.config = config
        self.exact = config.normalization != "none"
        self.sampling: Sampling | None = Sampling(bags=config.bags, enough=config.batch_steps)
        self.schedule = Schedule(config.every, config.updates, config.warm_up, config.first, config.refresh)
        sizes, self._device = Sizes.of(observation_size, action_size, agents), torch.device(device)
        weights, self._generator = generators(seed, 2)
        with seeded(weights.initial_seed()):
            self._network = ScoreNetwork(observation_size, action_size, config)
        self._model = LabelRegression(
            self.name, self._network, sizes, config.learning_rate, device, standardize=config.standardize
        )
        self._coalition_seed = self._generator.initial_seed()

    def update(self, batch: BagBatch) -> Metrics:
        """Make one step of Adam on the labeled bags.

        Returns:
            `loss`, of labels as they are fitted, its part `action_loss` if there is one, `gradient_norm`, and
            `labeled`, how many bags were. Without any, nothing changes.

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

    @torch.no_grad()
    def relabel(self, batch: BagBatch) -> Tensor:
        """Return the rewards of whole bags, `[B, L, A]`, always the same for the same bags.

        Raises:
            ValueError: Other sizes, a bag that is not whole, or one that is longer than `max_length`.
        """
        check_bags(self.name, self._model.sizes, self.config.max_length, batch)
        self._network.eval()
        scores = self._scores(batch.to(self._device))
        paid = self._model.rewards(batch, lambda here: scores)
        if self.config.normalization == "none":
            return paid
        kind, temperature = self.config.normalization, self.config.temperature
        shared = normalized_rewards(scores.to(paid.device), batch, kind, temperature)
        return torch.where(batch.labeled[:, None, None], shared, paid)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the model's state, the generator's, and the seed of the coalitions to relabel with."""
        chance = {"generator": self._generator.get_state(), "coalition_seed": self._coalition_seed}
        return self._model.state_dict() | chance

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._model.load_state_dict(state)
        self._generator.set_state(state["generator"].cpu())
        self._coalition_seed = int(state["coalition_seed"])

    def _scores(self, batch: BagBatch) -> Tensor:
        blocks, agents = self._network.attention.blocks, self._model.sizes.agents
        coalitions = fixed_coalitions(blocks, self.config.relabel_draws, agents, self._coalition_seed)
        scores: Tensor = self._network(batch, coalitions.to(self._device))[0]
        return scores

    def _loss(self, batch: BagBatch, label: Tensor) -> tuple[Tensor, Metrics]:
        blocks, agents = self._network.attention.blocks, self._model.sizes.agents
        coalitions = drawn_coalitions(blocks, self.config.draws, agents, self._generator)
        scores, predicted = self._network(batch, coalitions.to(self._device))
        actions = None if predicted is None else action_loss(predicted, batch.actions, batch.mask)
        loss = tar2_loss(scores, batch.mask, label, actions, self.config.inverse_dynamics_weight)
        return loss, {} if actions is None else {"action_loss": float(actions.detach())}
