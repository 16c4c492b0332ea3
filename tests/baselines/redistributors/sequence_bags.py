"""Bags for the tests of redistributors that read them in order."""

from collections.abc import Sequence

import torch

from bagged_envs.baselines.api import BagBatch


def bags(
    lengths: Sequence[int],
    observation_size: int = 3,
    action_size: int = 1,
    agents: int = 1,
    history: int = 0,
    seed: int = 0,
    columns: int | None = None,
) -> BagBatch:
    """Bags of i.i.d. normal features whose dense reward is the first of an observation minus half the second."""
    draw = torch.Generator().manual_seed(seed)
    columns = columns or history + max(lengths)
    shape = (len(lengths), columns, agents)
    observations = torch.randn(*shape, observation_size, generator=draw)
    following = torch.randn(*shape, observation_size, generator=draw)
    following[:, :-1] = observations[:, 1:]
    actions = torch.randn(*shape, action_size, generator=draw)
    length = torch.tensor(lengths)
    column = torch.arange(columns)[None, :, None].expand(shape)
    context = column < history + length[:, None, None]
    mask = context & (column >= history)
    dense = torch.where(mask, observations[..., 0] - 0.5 * observations[..., 1], torch.zeros(shape))
    label = dense.sum(dim=(1, 2))
    paid = torch.zeros(shape)
    paid[torch.arange(len(lengths)), history + length - 1, 0] = label
    return BagBatch(
        observations, actions, following, mask, label, torch.ones(len(lengths), dtype=torch.bool), length, context,
        paid, dense,
    )  # fmt: skip


def correlation(one: torch.Tensor, other: torch.Tensor) -> float:
    """Pearson's."""
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])
