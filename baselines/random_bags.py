"""Random bags whose rewards are linear in states and actions, samples of them, and whether rewards add up to labels."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch, Sampling

OBSERVATION, ACTION = 4, 2
WEIGHTS = torch.tensor([1.0, -2.0, 0.5, 0.0, 1.5, -1.0])


def bags_of(
    lengths: list[int],
    seed: int = 0,
    agents: int = 1,
    labeled: list[bool] | None = None,
    labels: list[float] | None = None,
) -> BagBatch:
    """Return bags whose dense rewards are linear and add up to the labels, unless other labels are given.

    Every step has an agent; of several, some are missing. Padding holds garbage.
    """
    generator = torch.Generator().manual_seed(seed)
    count, longest = len(lengths), max(lengths)
    shape = (count, longest, agents)
    length = torch.tensor(lengths)
    mask = (torch.arange(longest) < length[:, None])[..., None].expand(shape)
    if agents > 1:
        here = torch.rand(shape, generator=generator) < 0.7
        here.scatter_(2, torch.randint(agents, (count, longest, 1), generator=generator), True)
        mask = mask & here
    observations = torch.randn(*shape, OBSERVATION, generator=generator)
    actions = torch.randn(*shape, ACTION, generator=generator)
    next_observations = 0.5 * observations + torch.randn(observations.shape, generator=generator)
    dense = torch.where(mask, torch.cat((observations, actions), dim=3) @ WEIGHTS, 0.0)
    label = dense.sum(dim=(1, 2)) if labels is None else torch.tensor(labels)
    shown = torch.ones(count, dtype=torch.bool) if labeled is None else torch.tensor(labeled)
    label = torch.where(shown, label, 0.0)
    last = torch.nn.functional.one_hot(length - 1, longest).bool()[..., None] & mask
    paid = torch.where(last, (label / last.sum(dim=(1, 2)))[:, None, None], 0.0)
    batch = BagBatch(
        observations, actions, next_observations, mask.clone(), label, shown, length, mask.clone(), paid, dense
    )
    return with_padding(batch, 7.0)


def with_padding(batch: BagBatch, value: float) -> BagBatch:
    """Return the batch with another value in its padding."""
    names = ("observations", "actions", "next_observations")
    return replace(batch, **{name: torch.where(batch.mask[..., None], getattr(batch, name), value) for name in names})


def columns_of(batch: BagBatch, columns: Tensor) -> BagBatch:
    """Return a batch with other columns: `columns` is int64 `[B, K]`, all of them steps of their bag."""
    names = ["observations", "actions", "next_observations", "mask", "context", "paid", "dense"]
    names += [] if batch.factors is None else ["factors"]
    rows = torch.arange(batch.num_bags)[:, None]
    return replace(batch, **{name: getattr(batch, name)[rows, columns] for name in names})


def drawn(batch: BagBatch, sampling: Sampling | None, seed: int = 0) -> BagBatch:
    """Return all bags, with as many random steps of each as a redistributor wants."""
    if sampling is None or sampling.steps is None:
        return batch
    generator, steps = torch.Generator().manual_seed(seed), sampling.steps
    rows = [
        torch.randperm(length, generator=generator)[:steps]
        if length >= steps
        else torch.randint(length, (steps,), generator=generator)
        for length in batch.length.tolist()
    ]
    return columns_of(batch, torch.stack(rows))


def add_up(rewards: Tensor, batch: BagBatch) -> bool:
    """Return whether rewards add up to the labels of labeled bags as `Redistributor.exact` promises."""
    paid, label = rewards.double(), batch.label.double().abs()
    missed = (paid.sum(dim=(1, 2)) - batch.label.double()).abs()
    smallest = paid.abs().masked_fill(~batch.mask, torch.inf).amin(dim=(1, 2))
    allowed = torch.maximum(1e-6 * label, 6e-8 * smallest + 1e-14 * paid.abs().sum(dim=(1, 2)))
    return bool((missed <= allowed)[batch.labeled].all())
