"""RBT: a transformer over a bag gives every step its reward, and their sum is fitted to the bag's label.

A causal trunk reads actions and observations in turn. At an observation's token it has seen the step and all before
it: there a bidirectional attention head gives the step's reward from the whole bag. At an action's token it has not yet
seen the step's observation: there it predicts the next observation, which teaches it the dynamics.

The sum over a bag does not tell where in the bag a reward belongs: attention that spreads every reward evenly over the
bag fits the labels as well as attention of each step to itself. `head="step"` has no such freedom.

Source: Tang et al., "Reinforcement Learning from Bagged Reward", TMLR 2025, arXiv:2402.03771; official code
https://github.com/Tang-Yuting/RLBR. Where we differ:

- A sequence is a bag (with its history where that is asked for), whole, from its first step on. The official windows
  of 500 stored transitions begin anywhere: they cross the borders of episodes and cut bags, whose targets then assume
  an even redistribution (or, with bags of random length, tell the model true step rewards).
- `attention="bag"`, the default, relabels as the paper says: the whole bag at once. `"causal_window"` is what the code
  does: each step by itself, from what came before it.
- The default network is small enough for a CPU; `RBTConfig.paper()` has the official sizes.
- With several agents each one's steps are a sequence of its own, read by shared weights, and the sum over the agents is
  fitted to the label. (The source knows one agent.)
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
from bagged_envs.baselines.redistributors.sequences import (
    Sequences,
    as_batch,
    as_sequences,
    check_finite,
    check_sizes,
    check_whole,
    labeled_bags,
    seeded,
    streams,
)
from bagged_envs.wrappers.arguments import positive_int


@dataclass(frozen=True)
class RBTConfig:
    """Settings of the Reward Bag Transformer; without a remark, a default is the official code's.

    Attributes:
        bags: Bags of one update (official: 64 windows of 500 steps).
        batch_steps: At most so many steps, history included, but at least one bag, of these are used, drawn anew in
            each update (ours); None for no limit. With the default an update takes about 0.1 s on one CPU thread
            while bags have 20 steps, and about 1 s with two bags of 1,000 steps: then ask for fewer `updates`.
        width: Size of a token (official: 256).
        layers: Blocks of the trunk (official: 3).
        heads: Attention heads of the trunk.
        dropout: In the trunk's embedding, attention and residuals (official: 0.1).
        max_steps: Rows of the timestep table: the most steps that a sequence, with its history, may have.
        head: The reward head: "attention" over all steps, or "step", a network with one hidden layer at each (official
            option `use_weighted_sum=False`).
        score_scale: What the head's attention scores are multiplied with: "one" (official), or "root" for
            1 / sqrt(width), with which softmax saturates later.
        attention: What a step's reward is relabeled from: its whole "bag" (paper), or a "causal_window" of the episode
            that ends with it (official code).
        window: Steps of that window.
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
        updates: Updates in a burst.
        first: Updates in the first burst.
        warm_up: Environment steps before it.
        chunk: At most so many floats, per layer and roughly, are computed with at once; at least one bag is.
    """

    bags: int = 64
    batch_steps: int | None = 2048
    width: int = 64
    layers: int = 2
    heads: int = 1
    dropout: float = 0.1
    max_steps: int = 1000
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
    updates: int = 40
    first: int = 400
    warm_up: int = 10_000
    chunk: int = 2**24

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            ValueError: A setting is out of its range.
        """
        counts = ("bags", "batch_steps", "width", "layers", "heads", "max_steps", "window", "every", "updates", "first")
        for name in (*counts, "chunk"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value!r}.")
        for name in ("first_rate", "peak_rate", "last_rate", "weight_decay", "state_weight", "warm_up", "rate_warm_up"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)!r}.")
        for name, choices in (
            ("head", ("attention", "step")),
            ("score_scale", ("one", "root")),
            ("attention", ("bag", "causal_window")),
            ("bag_loss", ("bags", "positions")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be {choices[0]!r} or {choices[1]!r}, got {getattr(self, name)!r}.")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout!r}.")
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, got {self.width} and {self.heads}.")
        if self.rate_decay <= self.rate_warm_up:
            raise ValueError(f"rate_decay must exceed rate_warm_up, got {self.rate_decay} and {self.rate_warm_up}.")
        if self.attention == "causal_window" and self.window > self.max_steps:
            raise ValueError(f"window must not exceed max_steps, got {self.window} and {self.max_steps}.")

    @classmethod
    def paper(cls) -> RBTConfig:
        """Return the official network and normalization, with relabeling as the paper describes it."""
        return cls(batch_steps=None, width=256, layers=3, max_steps=1001, bag_loss="positions")


class Block(nn.Module):
    """One layer of the trunk: normalize, attend to earlier tokens, add; normalize, transform, add."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm, self.inner_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention_in, self.attention_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))
        self.residual_dropout = nn.Dropout(dropout)

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
        self.timestep = nn.Embedding(config.max_steps, width)
        nn.init.normal_(self.timestep.weight, std=0.02)  # as GPT-2; torch's 1.0 would drown the observations
        self.token_norm, self.token_dropout = nn.LayerNorm(width), nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(width, config.heads, config.dropout) for _ in range(config.layers))
        self.last_norm = nn.LayerNorm(width)
        self.next_observation = nn.Linear(width, observation_size)
        self.attends = config.head == "attention"
        self.reward = nn.Linear(width, 2 * width + 1) if self.attends else _step_head(width)

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


def _step_head(width: int) -> nn.Module:
    hidden = max(1, width // 2)
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))


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


def bag_errors(rewards: Tensor, inside: Tensor, labels: Tensor, agents: int) -> Tensor:
    """Return (sum of a bag's rewards - label)^2 for each bag, `[B]`.

    Args:
        rewards: `[B * A, L]`.
        inside: bool `[B * A, L]`: the steps that belong to the bag.
        labels: `[B]`.
        agents: A.
    """
    sums = torch.where(inside, rewards, torch.zeros_like(rewards)).sum(dim=1)
    return (sums.view(-1, agents).sum(dim=1) - labels).square()


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
        self.observation_size = positive_int("observation_size", observation_size)
        self.action_size, self.agents = positive_int("action_size", action_size), positive_int("agents", agents)
        self.device = torch.device(device)
        self.sampling: Sampling | None = Sampling(bags=config.bags, history=config.window - 1 if self._windows else 0)
        self.schedule = Schedule(config.every, config.updates, config.warm_up, config.first)
        weights, self.generator = streams(seed)
        with seeded(weights):
            network = RewardBagTransformer(observation_size, action_size, config)
        self.network = network.to(self.device)
        self.optimizer = torch.optim.AdamW(network.parameters(), weight_decay=config.weight_decay, fused=True)
        self.updates = 0

    def update(self, batch: BagBatch) -> Metrics:
        """Make one gradient step on labeled bags.

        Args:
            batch: Whole bags, with their history if `attention` is "causal_window".

        Returns:
            `bag_loss`, `state_loss`, `learning_rate`, and `labeled`, how many bags were. Without any, nothing changes.

        Raises:
            ValueError: Other sizes, or a bag that is not whole or too long for the table.
            FloatingPointError: The loss is not finite; nothing was changed.
        """
        batch = labeled_bags(self._checked(batch))
        if not batch.num_bags:
            return {"labeled": 0.0}
        sequences = self._sequences(batch)
        drawn = self.generator.get_state()
        self.optimizer.zero_grad()
        try:
            metrics = self._backward(*self._drawn(sequences, batch.label))
        except FloatingPointError:
            self.generator.set_state(drawn)
            raise
        metrics["learning_rate"] = learning_rate(self.updates, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = metrics["learning_rate"]
        self.optimizer.step()
        self.updates += 1
        return metrics | {"labeled": float(batch.num_bags)}

    @torch.no_grad()
    def relabel(self, batch: BagBatch) -> Tensor:
        """Return the rewards of whole bags, float32 `[B, L, A]`, 0.0 where the mask is False.

        Raises:
            ValueError: Other sizes, or a bag that is not whole or too long for the table.
        """
        batch = self._checked(batch)
        self.network.eval()
        sequences = self._sequences(batch)
        rewards = torch.zeros(sequences.valid.shape, device=self.device)
        if self._windows:
            self._reward_windows(sequences, rewards)
        else:
            for rows in self._chunks(sequences, 1):
                part = sequences.select(rows)
                found, _ = self.network(part.observations, part.actions, part.valid)
                rewards[rows, : found.shape[1]] = found
        return as_batch(rewards, sequences, batch)

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
        check_sizes(batch, self.observation_size, self.action_size, self.agents)
        check_whole(batch)
        return batch.to(self.device)

    def _sequences(self, batch: BagBatch) -> Sequences:
        """Return the rows that the network reads.

        Raises:
            ValueError: The timestep table is too short for them.
        """
        sequences = as_sequences(batch, history=self._windows)
        longest = sequences.valid.shape[1]
        if longest > self.config.max_steps:
            raise ValueError(
                f"A sequence has {longest} steps, the timestep table only {self.config.max_steps} rows: "
                "raise RBTConfig.max_steps."
            )
        return sequences

    def _drawn(self, sequences: Sequences, labels: Tensor) -> tuple[Sequences, Tensor]:
        """Return as many bags, drawn at random, as an update uses."""
        bags, longest = len(labels), sequences.valid.shape[1]
        limit = self.config.batch_steps
        if limit is None or bags * self.agents * longest <= limit:
            return sequences, labels
        kept = torch.randperm(bags, generator=self.generator)[: max(1, limit // (self.agents * longest))]
        kept = kept.to(self.device)
        rows = kept[:, None] * self.agents + torch.arange(self.agents, device=self.device)
        return sequences.select(rows.flatten()), labels[kept]

    def _backward(self, sequences: Sequences, labels: Tensor) -> Metrics:
        """Fill the gradients of a batch, chunk by chunk; returns the losses."""
        self.network.train()
        bags, steps = len(labels), sequences.valid.sum()
        divisor = bags if self.config.bag_loss == "bags" else sequences.inside.sum()
        bag_loss, state_loss = labels.new_zeros(()), labels.new_zeros(())
        with seeded(int(torch.randint(2**62, (), generator=self.generator)), self.device):
            for rows in self._chunks(sequences, self.agents):
                part = sequences.select(rows)
                rewards, predicted = self.network(part.observations, part.actions, part.valid)
                label = labels[rows.view(-1, self.agents)[:, 0] // self.agents]
                bag = bag_errors(rewards, part.inside, label, self.agents).sum() / divisor
                state = next_observation_errors(predicted, part.next_observations, part.valid).sum() / steps
                torch.autograd.backward(bag + self.config.state_weight * state)
                bag_loss, state_loss = bag_loss + bag.detach(), state_loss + state.detach()
        metrics = {"bag_loss": float(bag_loss), "state_loss": float(state_loss)}
        for name, value in metrics.items():
            check_finite(f"rbt's {name.replace('_', ' ')}", value)
        return metrics

    def _reward_windows(self, sequences: Sequences, rewards: Tensor) -> None:
        """Write the reward of each step of the bags `[S, L]`, from a window of the episode that ends with it."""
        row, last = sequences.inside.nonzero(as_tuple=True)  # [N] each
        if not len(row):
            return
        first = (last - self.config.window + 1).clamp(min=0)
        width = int((last - first).max()) + 1
        offset = torch.arange(width, device=self.device)
        for part in torch.split(torch.arange(len(row), device=self.device), self._limit(width)):
            column = first[part, None] + offset  # [n, window]
            valid = column <= last[part, None]
            column = torch.where(valid, column, last[part, None])
            at = row[part, None]
            found, _ = self.network(sequences.observations[at, column], sequences.actions[at, column], valid)
            rewards[row[part], last[part]] = found.gather(1, (last - first)[part, None]).squeeze(1)

    def _chunks(self, sequences: Sequences, together: int) -> list[Tensor]:
        """Return rows that are computed at once, the shortest first, `together` of one bag never apart."""
        steps = sequences.valid.sum(dim=1).view(-1, together).amax(dim=1)  # [B]
        order = torch.argsort(steps, stable=True)
        lengths = steps[order].tolist()
        chunks, start = [], 0
        for end in range(1, len(lengths) + 1):
            if end == len(lengths) or (end - start + 1) * together > self._limit(max(1, lengths[end])):
                chunks.append(order[start:end])
                start = end
        within = torch.arange(together, device=self.device)
        return [(bags[:, None] * together + within).flatten() for bags in chunks]

    def _limit(self, steps: int) -> int:
        """Return how many sequences of so many steps are computed at once."""
        tokens = 2 * steps
        return max(1, self.config.chunk // (tokens * (tokens * self.config.heads + 16 * self.config.width)))
