"""What AREL, STAS and TAR2 share: attention over the steps of a bag and over the agents of a step.

Tokens are `[B, L, A, W]`: W numbers for each step and agent. Whoever is absent is looked at by nobody but itself, so
that no row of attention is empty, and what becomes of it is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from bagged_envs.baselines.api import BagBatch
from bagged_envs.baselines.redistributors.fitting import Sizes, check_whole
from bagged_envs.baselines.redistributors.sequences import seeded


class Seen(NamedTuple):
    """Who looks at whom in N rows of T tokens.

    Attributes:
        mask: bool `[N, 1, T, T]`, query by key; None where nobody is absent.
        causal: Where there is no mask: whether each token looks at itself and those before it, or at all.
    """

    mask: Tensor | None
    causal: bool


def seen_in_time(mask: Tensor) -> Seen:
    """Return for each agent that its steps look at its own, the later at the earlier: N = B * A rows of L steps.

    Args:
        mask: bool `[B, L, A]`.
    """
    rows = mask.transpose(1, 2).flatten(0, 1)  # [B A, L], row b * A + a, as `over_time` has its tokens
    if not bool((rows[:, 1:] & ~rows[:, :-1]).any()):
        return Seen(None, causal=True)  # what is absent stands last, where nobody looks
    earlier = torch.ones(rows.shape[1], rows.shape[1], dtype=torch.bool, device=mask.device).tril()
    return Seen(_or_itself(earlier & rows[:, None, :])[:, None], causal=False)


def seen_among_agents(mask: Tensor) -> Seen:
    """Return for each step that its agents look at each other: N = B * L rows of A agents.

    Args:
        mask: bool `[B, L, A]`.
    """
    rows = mask.flatten(0, 1)  # [B L, A]
    if bool(rows.all()):
        return Seen(None, causal=False)
    return Seen(_or_itself(rows[:, None, :])[:, None], causal=False)


def _or_itself(seen: Tensor) -> Tensor:
    """Return `[..., T, T]` of `[..., T or 1, T]`, with the diagonal."""
    return seen | torch.eye(seen.shape[-1], dtype=torch.bool, device=seen.device)


class Attention(nn.Module):
    """Several heads of scaled dot-product attention, `[N, T, W]` to `[N, T, W]`.

    Args:
        width: W.
        heads: H.
        head_width: Of each head.
        bias: Whether queries, keys and values have one.
    """

    def __init__(self, width: int, heads: int, head_width: int, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.into = nn.Linear(width, 3 * heads * head_width, bias=bias)
        self.out = nn.Linear(heads * head_width, width)

    def forward(self, tokens: Tensor, seen: Seen) -> Tensor:
        """Return what each token finds in those that it looks at."""
        found = functional.scaled_dot_product_attention(
            *_heads(self.into(tokens), self.heads), attn_mask=seen.mask, is_causal=seen.causal
        )
        joined: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return joined


def _heads(projected: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values `[N, H, T, W / H]` of `[N, T, 3 W]`."""
    rows, tokens, width = projected.shape
    query, key, value = projected.view(rows, tokens, 3, heads, width // (3 * heads)).permute(2, 0, 3, 1, 4)
    return query, key, value


class Block(nn.Module):
    """Attend, add, normalize; transform, add, normalize: `[N, T, W]` to `[N, T, W]`.

    Args:
        attention: What attends.
        inner: What transforms each token.
        width: W.
        dropout: Of what is added.
    """

    def __init__(self, attention: Attention, inner: nn.Module, width: int, dropout: float) -> None:
        super().__init__()
        self.attention, self.inner = attention, inner
        self.attention_norm, self.inner_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, seen: Seen) -> Tensor:
        """Return the tokens after the block."""
        tokens = self.attention_norm(tokens + self.dropout(self.attention(tokens, seen)))
        after: Tensor = self.inner_norm(tokens + self.dropout(self.inner(tokens)))
        return after


def over_time(block: nn.Module, tokens: Tensor, seen: Seen) -> Tensor:
    """Return tokens `[B, L, A, W]` after a block in which each agent's steps look at each other."""
    bags = tokens.shape[0]
    after: Tensor = block(tokens.transpose(1, 2).flatten(0, 1), seen)
    return after.view(bags, -1, *after.shape[1:]).transpose(1, 2)


def over_agents(block: nn.Module, tokens: Tensor, seen: Seen) -> Tensor:
    """Return tokens `[B, L, A, W]` after a block in which the agents of each step look at each other."""
    after: Tensor = block(tokens.flatten(0, 1), seen)
    return after.view(tokens.shape)


class Positions(nn.Module):
    """A learned vector for each step of a bag, the first of them for its first step.

    Args:
        max_length: Steps of the longest bag.
        width: W.
    """

    def __init__(self, max_length: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(max_length, width)
        nn.init.normal_(self.table.weight, std=0.5)  # about as large as an embedded observation

    def forward(self, mask: Tensor) -> Tensor:
        """Return `[B, L, 1, W]` of a bool mask `[B, L, A]`."""
        step = mask.any(dim=2).cumsum(dim=1).sub(1).clamp(min=0)  # [B, L]
        places: Tensor = self.table(step)
        return places[:, :, None]


class CoalitionAttention(nn.Module):
    """Attention over the agents of a step, averaged over random coalitions: what an agent adds to those it joins.

    In each coalition an agent sees itself and whichever others are in it. All agents have the same projections, so
    that it does not matter who is which, nor how many there are.

    Args:
        width: W, a multiple of the heads.
        heads: H.
        dropout: Of the outcome.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, mask: Tensor, coalitions: Tensor) -> Tensor:
        """Return `[B, L, A, W]`.

        Args:
            tokens: `[B, L, A, W]`.
            mask: bool `[B, L, A]`.
            coalitions: bool `[K, A, A]`: row i of each is who agent i sees.
        """
        query, key, value = _heads(self.into(tokens.flatten(0, 1)), self.heads)  # [B L, H, A, W / H] each
        scores = query @ key.mT / math.sqrt(query.shape[3])  # [B L, H, A, A]
        weights = coalition_weights(scores, mask.flatten(0, 1), coalitions)
        found: Tensor = self.dropout(self.out((weights @ value).transpose(1, 2).flatten(2)))
        return found.view(tokens.shape)


def coalition_weights(scores: Tensor, mask: Tensor, coalitions: Tensor) -> Tensor:
    """Return the softmax of scores over each coalition's present agents, averaged over coalitions: `[N, H, A, A]`.

    Args:
        scores: `[N, H, A, A]`, query by key.
        mask: bool `[N, A]`: who is present.
        coalitions: bool `[K, A, A]`.
    """
    total = torch.zeros_like(scores)
    for coalition in coalitions:
        seen = _or_itself(coalition & mask[:, None, :])[:, None]  # [N, 1, A, A]
        total = total + scores.masked_fill(~seen, -torch.inf).softmax(dim=3)
    return total / len(coalitions)


def drawn_coalitions(blocks: int, draws: int, agents: int, generator: torch.Generator) -> Tensor:
    """Return random coalitions, in which each other agent is with probability one half: bool `[J, K, A, A]`.

    Args:
        blocks: J, each with draws of its own.
        draws: K.
        agents: A.
        generator: On the CPU.
    """
    return _or_itself(torch.rand(blocks, draws, agents, agents, generator=generator) < 0.5)


def every_coalition(agents: int) -> Tensor:
    """Return for each agent all sets of others, once each: bool `[2^(A - 1), A, A]`.

    Example:
        >>> every_coalition(2).int().tolist()
        [[[1, 0], [0, 1]], [[1, 1], [1, 1]]]
    """
    bits = torch.arange(2 ** (agents - 1))[:, None] >> torch.arange(agents - 1) & 1  # [2^(A - 1), A - 1]
    seen = torch.ones(len(bits), agents, agents, dtype=torch.bool)
    for agent in range(agents):
        seen[:, agent, [other for other in range(agents) if other != agent]] = bits.bool()
    return seen


def fixed_coalitions(blocks: int, draws: int, agents: int, seed: int) -> Tensor:
    """Return the same coalitions for the same seed, bool `[J, K, A, A]`: all of them, if there are no more than draws.

    Args:
        blocks: J.
        draws: K, at most.
        agents: A.
        seed: Of those that are drawn, where there are too many.
    """
    if agents - 1 <= math.log2(draws):
        return every_coalition(agents).expand(blocks, -1, -1, -1)
    return drawn_coalitions(blocks, draws, agents, torch.Generator().manual_seed(seed))


class DualAttention(nn.Module):
    """Layers of causal attention over time, and attention over coalitions of agents after the last or after each.

    Args:
        width: W.
        layers: Of attention over time.
        heads: Of both kinds.
        dropout: Of both kinds.
        each: Whether coalitions come after each layer and feed the next one; the features are then those of all layers.
    """

    def __init__(self, width: int, layers: int, heads: int, dropout: float, each: bool) -> None:
        super().__init__()
        self.blocks = layers if each else 1  # of attention over coalitions
        self.size = self.blocks * width  # of the features
        self.time = nn.ModuleList(
            Block(
                Attention(width, heads, width // heads),
                nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)),
                width,
                dropout,
            )
            for _ in range(layers)
        )
        self.agents = nn.ModuleList(CoalitionAttention(width, heads, dropout) for _ in range(self.blocks))

    def forward(self, tokens: Tensor, mask: Tensor, coalitions: Tensor) -> Tensor:
        """Return features `[B, L, A, size]`; those of a step depend on no later one.

        Args:
            tokens: `[B, L, A, W]`.
            mask: bool `[B, L, A]`.
            coalitions: bool `[blocks, K, A, A]`.
        """
        seen, found = seen_in_time(mask), []
        first = len(self.time) - self.blocks  # layer after which coalitions come
        for layer, block in enumerate(self.time):
            tokens = over_time(block, tokens, seen)
            if layer >= first:
                tokens = self.agents[layer - first](tokens, mask, coalitions[layer - first])
                found.append(tokens)
        return torch.cat(found, dim=3)


def where_present(values: Tensor, mask: Tensor) -> Tensor:
    """Return `[B, L, A, _]` with zeros outside the mask, whatever stands there."""
    return torch.where(mask[..., None], values, torch.zeros_like(values))


def variance_over_steps(rewards: Tensor, present: Tensor, unbiased: bool = True) -> Tensor:
    """Return the variance of each bag's rewards, `[B]`, 0.0 for one step.

    Args:
        rewards: `[B, L]`.
        present: bool `[B, L]`.
        unbiased: Whether squares are divided by T - 1 or by T.

    Example:
        >>> variance_over_steps(torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[True, True, False]])).tolist()
        [2.0]
    """
    steps = present.sum(dim=1, keepdim=True).clamp(min=1)  # [B, 1]
    mean = torch.where(present, rewards, 0.0).sum(dim=1, keepdim=True) / steps
    squares = torch.where(present, rewards - mean, 0.0).square().sum(dim=1)
    return squares / (steps[:, 0] - int(unbiased)).clamp(min=1)


def check_attention(config: Any) -> None:
    """Check the dropout of a configuration.

    Raises:
        ValueError: It is not below 1.
    """
    if not 0.0 <= config.dropout < 1.0:
        raise ValueError(f"dropout must lie in [0, 1), got {config.dropout!r}.")


def check_heads(config: Any) -> None:
    """Check that the width of a configuration can be split among its heads.

    Raises:
        ValueError: It cannot.
    """
    if config.width % config.heads:
        raise ValueError(f"width must be a multiple of heads, got {config.width} and {config.heads}.")


def check_bags(name: str, sizes: Sizes, max_length: int, batch: BagBatch) -> None:
    """Check that bags can be read: of the right sizes, whole, and no longer than there are positions.

    Raises:
        ValueError: They cannot.
    """
    sizes.check(name, batch)
    check_whole(name, batch)
    longest = int(batch.length.max()) if batch.num_bags else 0
    if longest > max_length:
        raise ValueError(
            f"{name} reads bags of at most max_length={max_length} steps, got {longest}: raise max_length."
        )


@contextmanager
def drawing(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Let dropout draw from a generator, torch's global state aside, and undo all draws where an update is refused."""
    before = generator.get_state()
    try:
        with seeded(int(torch.randint(2**62, (), generator=generator)), device):
            yield
    except FloatingPointError:
        generator.set_state(before)
        raise
