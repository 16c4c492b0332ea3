"""RBT: a transformer over a bag gives every step its reward, and their sum is fitted to the bag's label.

A causal trunk reads actions and observations in turn. At an observation's token it has seen the step and all before
it: there a bidirectional attention head gives the step's reward from all of the sequence. At an action's token it has
not yet seen the step's observation: there it predicts the next observation, which teaches it the dynamics.

The sum over a bag does not tell where in the bag a reward belongs. A network that reads each bag alone fits the labels
as well by spreading every reward over the bag, and that is what it learns: in a task with rewards linear in features
it fits labels to 1% of their variance while its rewards correlate with the true ones by 0.4. So training sequences are
several bags laid end to end, behind a random piece of another. Where a bag begins, the network is not told: whatever it
pays one step too late or too early is then missing in some bag's sum. (0.97 in the same task, with scores scaled by
the "root".)

Source: Tang et al., "Reinforcement Learning from Bagged Reward", TMLR 2025, arXiv:2402.03771; official code
https://github.com/Tang-Yuting/RLBR. Where we differ:

- The official training sequences are 500 consecutive stored transitions that begin anywhere, and so cross the borders
  of bags and episodes too. A bag that such a window cuts is fitted to an even share of its label (or, where bags have
  random lengths, the model is told true step rewards). Ours lay bags of any episodes end to end, and fit to a share
  only where a bag is longer than half a sequence.
- `attention="bag"`, the default, relabels as the paper says: the whole bag at once. Bags longer than a sequence are
  read in pieces: the network knows no later positions. `"causal_window"` is what the code does: each step by itself,
  from what came before it.
- The official code relabels all that is stored after each burst; here so much of it that this costs no more than the
  updates.
- The table of timesteps begins with larger numbers, so that a step soon finds its own action among all others.
- The default network is small enough for a CPU; `RBTConfig.paper()` has the official sizes.
- With several agents each one's steps are read for themselves, by shared weights, and the sum over the agents is fitted
  to the label. (The source knows one agent.)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule
from bagged_envs.baselines.networks import generators
from bagged_envs.baselines.redistributors.fitting import Sizes, check_whole, descend_if_finite, labeled_bags
from bagged_envs.baselines.redistributors.sequences import (
    Sequences,
    as_batch,
    as_sequences,
    end_to_end,
    random_pieces,
    seeded,
)
from bagged_envs.baselines.settings import check_settings


@dataclass(frozen=True)
class RBTConfig:
    """Settings of the Reward Bag Transformer; without a remark, a default is the official code's.

    Attributes:
        bags: Bags that an update is drawn from (official: 64 windows).
        batch_steps: At most so many of their steps, agents counted, but at least one bag, are used, drawn anew in each
            update (ours; official: 64 windows of 500 steps, all of them); None for all.
        sequence: Steps that are read at once, at least 2 (official: 500 in training, 100 to relabel). In training, of a
            bag longer than half of it a random piece of that half is fitted to its share of the label.
        width: Size of a token (official: 256).
        layers: Blocks of the trunk (official: 3).
        heads: Attention heads of the trunk.
        dropout: In the trunk's embedding and residuals.
        attention_dropout: In the trunk's attention (official: 0.1). With any, torch takes a way of computing attention
            that makes an update on a CPU take twice as long.
        head: The reward head: "attention" over all steps, or "step", a network with one hidden layer at each (official
            option `use_weighted_sum=False`).
        score_scale: What the head's attention scores are multiplied with: "one" (official), or "root" for
            1 / sqrt(width), with which softmax saturates later.
        attention: What a step's reward is relabeled from: its whole "bag" (paper), or a "causal_window" of the episode
            that ends with it (official code).
        window: Steps of that window, at most `sequence`.
        bag_loss: The bag loss is the mean over "bags" (ours), or their sum divided by the number of "positions"
            (official), with which long bags weigh little beside the next-observation loss.
        state_weight: Weight of the next-observation loss.
        first_rate: AdamW's learning rate at the first update.
        peak_rate: The rate after `rate_warm_up` updates.
        last_rate: The rate from `rate_decay` updates on.
        rate_warm_up: Updates during which the rate rises, in a straight line.
        rate_decay: Updates after which it has fallen, along a cosine.
        weight_decay: Of AdamW, on all weights.
        every: Environment steps between two bursts of updates.
        updates: Updates in a burst (official: 40).
        first: Updates in the first burst (official: 400).
        warm_up: Environment steps before it.
        refresh: Stored steps that are relabeled after a burst, those relabeled longest ago (ours); None for all
            (official), which soon takes longer than everything else.
        chunk: At most so many sequences are relabeled at once.
    """

    bags: int = 64
    batch_steps: int | None = 1024
    sequence: int = 200
    width: int = 64
    layers: int = 2
    heads: int = 1
    dropout: float = 0.1
    attention_dropout: float = 0.0
    head: Literal["attention", "step"] = "attention"
    score_scale: Literal["one", "root"] = "one"
    attention: Literal["bag", "causal_window"] = "bag"
    window: int = 100
    bag_loss: Literal["bags", "positions"] = "bags"
    state_weight: float = 1.0
    first_rate: float = 1e-4
    peak_rate: float = 1e-3
    last_rate: float = 1e-4
    rate_warm_up: int = 800
    rate_decay: int = 8000
    weight_decay: float = 1e-4
    every: int = 1000
    updates: int = 60
    first: int = 600
    warm_up: int = 10_000
    refresh: int | None = 50_000
    chunk: int = 64

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            TypeError: A number of something is no int.
            ValueError: A setting is out of its range.
        """
        check_settings(self)
        for name in ("dropout", "attention_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)!r}.")
        if self.sequence < 2:
            raise ValueError(f"sequence must be at least 2, got {self.sequence}.")
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, got {self.width} and {self.heads}.")
        if self.rate_decay <= self.rate_warm_up:
            raise ValueError(f"rate_decay must exceed rate_warm_up, got {self.rate_decay} and {self.rate_warm_up}.")
        if self.attention == "causal_window" and self.window > self.sequence:
            raise ValueError(f"window must not exceed sequence, got {self.window} and {self.sequence}.")

    @classmethod
    def paper(cls) -> RBTConfig:
        """Return the official sizes and normalization, with relabeling as the paper describes it, whatever it costs."""
        return cls(
            batch_steps=None, sequence=500, width=256, layers=3, attention_dropout=0.1, bag_loss="positions",
            updates=40, first=400, refresh=None,
        )  # fmt: skip


class Block(nn.Module):
    """One layer of the trunk: normalize, attend to earlier tokens, add; normalize, transform, add."""

    def __init__(self, config: RBTConfig) -> None:
        super().__init__()
        width = config.width
        self.heads, self.dropout = config.heads, config.attention_dropout
        self.attention_norm, self.inner_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention_in, self.attention_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))
        self.residual_dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens `[S, 2L, W]`. Padding stands last, so causal attention never looks at it."""
        split = self.attention_in(self.attention_norm(tokens)).unflatten(2, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)  # [S, heads, 2L, W / heads] each
        dropout = self.dropout if self.training else 0.0
        attended = functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        tokens = tokens + self.residual_dropout(self.attention_out(attended.transpose(1, 2).flatten(2)))
        after: Tensor = tokens + self.residual_dropout(self.inner(self.inner_norm(tokens)))
        return after


class RewardBagTransformer(nn.Module):
    """Rewards and next observations of the steps of sequences."""

    def __init__(self, observation_size: int, action_size: int, config: RBTConfig) -> None:
        super().__init__()
        width = config.width
        self.score_scale = 1.0 if config.score_scale == "one" else width**-0.5
        self.observation, self.action = nn.Linear(observation_size, width), nn.Linear(action_size, width)
        self.timestep = nn.Embedding(config.sequence, width)
        nn.init.normal_(self.timestep.weight, std=0.5)  # about as large as an embedded observation
        self.token_norm, self.token_dropout = nn.LayerNorm(width), nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.last_norm = nn.LayerNorm(width)
        self.next_observation = nn.Linear(width, observation_size)
        self.attends = config.head == "attention"
        half = max(1, width // 2)
        step_head = nn.Sequential(nn.Linear(width, half), nn.ReLU(), nn.Linear(half, 1))
        self.reward = nn.Linear(width, 2 * width + 1) if self.attends else step_head

    def forward(self, observations: Tensor, actions: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return rewards `[S, L]` and next observations `[S, L, D]` of steps `[S, L, D]`, `[S, L, U]`, `[S, L]`."""
        at_action, at_observation = self.hidden(observations, actions)
        return self.rewards(at_observation, valid), self.next_observation(at_action)

    def hidden(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the trunk knows at each action and at each observation, `[S, L, W]` each."""
        time = self.timestep.weight[: observations.shape[1]]  # [L, W]
        pairs = torch.stack([self.action(actions) + time, self.observation(observations) + time], dim=2)
        tokens = self.token_dropout(self.token_norm(pairs.flatten(1, 2)))  # [S, 2L, W]: a_1, s_1, a_2, s_2, ...
        for block in self.blocks:
            tokens = block(tokens)
        at_action, at_observation = self.last_norm(tokens).unflatten(1, (-1, 2)).unbind(dim=2)
        return at_action, at_observation

    def rewards(self, hidden: Tensor, valid: Tensor) -> Tensor:
        """Return the rewards `[S, L]` that the head makes of what the trunk knows `[S, L, W]`."""
        found: Tensor = self.reward(hidden)  # [S, L, 2W + 1], or [S, L, 1] of a step head
        if not self.attends:
            return found.squeeze(2)
        width = hidden.shape[2]
        query, key, value = torch.split(found, [width, width, 1], dim=2)
        return attend(query, key, value.squeeze(2), valid, self.score_scale)


def attend(query: Tensor, key: Tensor, value: Tensor, valid: Tensor, scale: float) -> Tensor:
    """Return sum_j softmax_j(scale * q_t . k_j) v_j over the steps of each sequence.

    Args:
        query: `[S, L, W]`.
        key: `[S, L, W]`.
        value: `[S, L]`: each reward is a convex combination of these.
        valid: bool `[S, L]`: which steps j there are.
        scale: What the scores are multiplied with.

    Returns:
        float32 `[S, L]`; without a meaning where there is no step.
    """
    nothing = ~valid.any(dim=1, keepdim=True)
    # Where a sequence has no step at all, softmax over nothing would be NaN.
    seen = (valid | nothing)[:, None, :]  # [S, 1, L]
    return functional.scaled_dot_product_attention(query, key, value[..., None], attn_mask=seen, scale=scale).squeeze(2)


def bag_errors(rewards: Tensor, bag: Tensor, labels: Tensor) -> Tensor:
    """Return (sum of a bag's rewards - label)^2 for each bag, `[B]`.

    Args:
        rewards: `[N]`, of steps in any order.
        bag: int64 `[N]`: which bag a step belongs to.
        labels: `[B]`.
    """
    return (torch.zeros_like(labels).index_add(0, bag, rewards) - labels).square()


def next_observation_errors(predicted: Tensor, true: Tensor, valid: Tensor) -> Tensor:
    """Return the squared errors of the next observations, `[N]`, means over D, of the steps that there are.

    Args:
        predicted: `[S, L, D]`.
        true: `[S, L, D]`: of the step's own transition, and so never of another episode.
        valid: bool `[S, L]`, N of them True.
    """
    return (predicted[valid] - true[valid]).square().mean(dim=1)


def learning_rate(update: int, config: RBTConfig) -> float:
    """Return the rate of an update, the first of which is 0: first up in a straight line, then down along a cosine."""
    if update < config.rate_warm_up:
        return config.first_rate + (config.peak_rate - config.first_rate) * update / config.rate_warm_up
    done = min(1.0, (update - config.rate_warm_up) / (config.rate_decay - config.rate_warm_up))
    return config.last_rate + (config.peak_rate - config.last_rate) * 0.5 * (1.0 + math.cos(math.pi * done))


class RBT:
    """The Reward Bag Transformer: rewards of a bag's steps from all of the bag, stored with it.

    The rewards add up to the label in expectation only; `bagged_envs.baselines.api.project` makes them exact.

    Args:
        observation_size: D.
        action_size: U.
        config: Settings; `RBTConfig.paper()` has the official sizes.
        seed: Of weights and dropout; torch's global state is left alone.
        device: Where the network stands.
        agents: A.

    Example:
        >>> redistributor = RBT(observation_size=3, action_size=1, config=RBTConfig(width=8))
        >>> redistributor.name, redistributor.context, redistributor.stored
        ('rbt', 'bag', True)
    """

    name = "rbt"
    context: Context = "bag"
    exact = False
    stored = True
    only_labeled = False

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: RBTConfig | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
    ) -> None:
        self.config = config = config or RBTConfig()
        self._sizes = Sizes.of(observation_size, action_size, agents)
        self.device = torch.device(device)
        self.sampling: Sampling | None = Sampling(bags=config.bags, history=config.window - 1 if self._windows else 0)
        self.schedule = Schedule(config.every, config.updates, config.warm_up, config.first, config.refresh)
        weights, self.generator = generators(seed, 2)
        with seeded(weights.initial_seed()):
            network = RewardBagTransformer(observation_size, action_size, config)
        self.network = network.to(self.device)
        self.optimizer = torch.optim.AdamW(network.parameters(), weight_decay=config.weight_decay, fused=True)
        self.updates = 0

    def update(self, batch: BagBatch) -> Metrics:
        """Make one gradient step on labeled bags.

        Args:
            batch: Whole bags, with their history if `attention` is "causal_window".

        Returns:
            `loss`, its parts `bag_loss` and `state_loss`, `gradient_norm`, `learning_rate`, and `labeled`, how many
            bags were. Without any, nothing changes.

        Raises:
            ValueError: Other sizes, or a bag that is not whole.
            FloatingPointError: The loss or its gradient is not finite; nothing was changed.
        """
        batch = labeled_bags(self._checked(batch), self.device)
        if not batch.num_bags:
            return {"labeled": 0.0}
        drawn, rate = self.generator.get_state(), learning_rate(self.updates, self.config)
        loss, parts = self._loss(self._drawn(batch))
        try:
            metrics = descend_if_finite(self.name, loss, self.optimizer, rate)
        except FloatingPointError:
            self.generator.set_state(drawn)
            raise
        self.updates += 1
        return parts | metrics | {"learning_rate": rate, "labeled": float(batch.num_bags)}

    @torch.no_grad()
    def relabel(self, batch: BagBatch) -> Tensor:
        """Return the rewards of whole bags, float32 `[B, L, A]`, 0.0 where the mask is False.

        Raises:
            ValueError: Other sizes, or a bag that is not whole.
        """
        there, batch = batch.mask.device, self._checked(batch)
        self.network.eval()
        sequences = as_sequences(batch, history=self._windows)
        rewards = self._reward_windows(sequences) if self._windows else self._reward_bags(sequences)
        return as_batch(rewards, sequences, batch).to(there)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to go on bit for bit."""
        return {
            "network": copy.deepcopy(self.network.state_dict()),
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "updates": self.updates,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.updates = int(state["updates"])
        self.generator.set_state(state["generator"].cpu())

    @property
    def _windows(self) -> bool:
        return self.config.attention == "causal_window"

    def _checked(self, batch: BagBatch) -> BagBatch:
        self._sizes.check(self.name, batch)
        check_whole(self.name, batch)
        return batch.to(self.device)

    def _drawn(self, batch: BagBatch) -> BagBatch:
        """Return as many bags, drawn at random, as an update uses, the long ones cut."""
        longest = self.config.sequence // 2
        if self.config.batch_steps is not None:
            order = torch.randperm(batch.num_bags, generator=self.generator).to(self.device)
            steps = batch.length[order].clamp(max=longest).cumsum(dim=0) * self._sizes.agents
            batch = batch.select(order[: max(1, int((steps <= self.config.batch_steps).sum()))])
        return random_pieces(batch, longest, self.generator)

    def _loss(self, batch: BagBatch) -> tuple[Tensor, Metrics]:
        """Return the loss, and its parts."""
        rows = as_sequences(batch, history=self._windows)
        step, fitted = end_to_end(rows, self.config.sequence, self.generator)  # [S, L] each
        valid = step >= 0
        read = [part.flatten(0, 1)[step] for part in (rows.observations, rows.actions, rows.next_observations)]
        bag = step[fitted] // (rows.valid.shape[1] * self._sizes.agents)
        self.network.train()
        with seeded(int(torch.randint(2**62, (), generator=self.generator)), self.device):
            rewards, predicted = self.network(read[0], read[1], valid)
        errors = bag_errors(rewards[fitted], bag, batch.label)
        bag_loss = errors.mean() if self.config.bag_loss == "bags" else errors.sum() / fitted.sum()
        state_loss = next_observation_errors(predicted, read[2], valid).mean()
        loss = bag_loss + self.config.state_weight * state_loss
        return loss, {"bag_loss": float(bag_loss.detach()), "state_loss": float(state_loss.detach())}

    def _reward_bags(self, sequences: Sequences) -> Tensor:
        """Return rewards `[S, L]`, each from its whole sequence, or from a piece of one that is too long."""
        pieces, rewards = sequences.pieces(self.config.sequence), []
        for rows in torch.split(torch.arange(len(pieces.valid), device=self.device), self.config.chunk):
            found, _ = self.network(pieces.observations[rows], pieces.actions[rows], pieces.valid[rows])
            rewards.append(found)
        bags, longest = sequences.valid.shape
        return torch.cat(rewards).view(bags, -1)[:, :longest]

    def _reward_windows(self, sequences: Sequences) -> Tensor:
        """Return the reward of each step of the bags `[S, L]`, from a window of the episode that ends with it."""
        rewards = torch.zeros(sequences.valid.shape, device=self.device)
        row, last = sequences.inside.nonzero(as_tuple=True)  # [N] each
        first = (last - self.config.window + 1).clamp(min=0)
        offset = torch.arange(min(self.config.window, rewards.shape[1]), device=self.device)
        for part in torch.split(torch.arange(len(row), device=self.device), self.config.chunk):
            column = first[part, None] + offset  # [n, window]
            valid = column <= last[part, None]
            at, column = row[part, None], torch.where(valid, column, last[part, None])
            found, _ = self.network(sequences.observations[at, column], sequences.actions[at, column], valid)
            rewards[row[part], last[part]] = found.gather(1, (last - first)[part, None]).squeeze(1)
        return rewards
