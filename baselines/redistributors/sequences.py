"""The steps of a bag as a sequence per agent, for redistributors that read them in order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch


@dataclass(frozen=True)
class Sequences:
    """Bags as rows, one for each agent of each bag, S = B * A, their steps in order from column 0 on.

    What was padding, or an absent agent's, is 0.0 and stands behind the steps.

    Attributes:
        observations: float32 `[S, L, D]`.
        actions: float32 `[S, L, U]`.
        next_observations: float32 `[S, L, D]`.
        valid: bool `[S, L]`: a step.
        inside: bool `[S, L]`: a step of the bag itself, and not of the history before it.
        column: int64 `[S, L]`: where the batch has it.
    """

    observations: Tensor
    actions: Tensor
    next_observations: Tensor
    valid: Tensor
    inside: Tensor
    column: Tensor

    def select(self, rows: slice | Tensor) -> Sequences:
        """Return some of the rows, without the columns in which none of them has a step."""
        longest = max(1, int(self.valid[rows].sum(dim=1).max()))
        return Sequences(**{name: value[rows, :longest] for name, value in vars(self).items()})


def as_sequences(batch: BagBatch, history: bool = False) -> Sequences:
    """Return the steps of each agent in each bag, with the history before the bag or without.

    Row b * A + a is agent a's in bag b.
    """
    shown = batch.context | batch.mask if history else batch.mask
    shown, inside = _rows(shown), _rows(batch.mask)
    longest = max(1, int(shown.sum(dim=1).max()) if len(shown) else 0)
    # Stable: the steps first, in their order.
    column = torch.argsort((~shown).to(torch.uint8), dim=1, stable=True)[:, :longest]
    valid = shown.gather(1, column)

    def moved(values: Tensor) -> Tensor:
        rows = _rows(values)
        taken = rows.gather(1, column[..., None].expand(-1, -1, rows.shape[2]))  # [S, L, _]
        return torch.where(valid[..., None], taken, torch.zeros_like(taken))

    return Sequences(
        observations=moved(batch.observations),
        actions=moved(batch.actions),
        next_observations=moved(batch.next_observations),
        valid=valid,
        inside=inside.gather(1, column) & valid,
        column=column,
    )


def as_batch(values: Tensor, sequences: Sequences, batch: BagBatch) -> Tensor:
    """Return values of steps `[S, L]` where the batch has these steps, `[B, L, A]`; 0.0 outside its mask."""
    bags, steps, agents = batch.mask.shape
    rows = values.new_zeros(bags * agents, steps)
    rows.scatter_(1, sequences.column, torch.where(sequences.inside, values, torch.zeros_like(values)))
    return rows.view(bags, agents, steps).transpose(1, 2).contiguous()


def check_sizes(batch: BagBatch, observation_size: int, action_size: int, agents: int) -> None:
    """Check that a batch has the sizes that a redistributor was made for.

    Raises:
        ValueError: It has not.
    """
    for name, expected, got in (
        ("observations of size", observation_size, batch.observations.shape[3]),
        ("next observations of size", observation_size, batch.next_observations.shape[3]),
        ("actions of size", action_size, batch.actions.shape[3]),
        ("a number of agents of", agents, batch.mask.shape[2]),
    ):
        if expected != got:
            raise ValueError(f"The redistributor was made for {name} {expected}, the batch has {got}.")


def check_whole(batch: BagBatch) -> None:
    """Check that the bags of a batch are whole.

    Raises:
        ValueError: A bag is only a sample of its steps.
    """
    present = batch.mask.any(dim=2).sum(dim=1)
    if not torch.equal(present, batch.length):
        bag = int((present != batch.length).nonzero()[0])
        raise ValueError(
            f"The bags must be whole, but of the {int(batch.length[bag])} steps of bag {bag} the batch has "
            f"{int(present[bag])}: sample with Sampling.steps=None."
        )


def labeled_bags(batch: BagBatch) -> BagBatch:
    """Return the labeled bags of a batch; there may be none."""
    return batch.select(batch.labeled)


def check_finite(name: str, value: float) -> None:
    """Check that a loss is finite.

    Raises:
        FloatingPointError: It is not.
    """
    if not math.isfinite(value):
        raise FloatingPointError(f"{name} must be finite, got {value}: look for it in the batch; nothing was changed.")


def streams(seed: int) -> tuple[int, torch.Generator]:
    """Return a seed for the weights and a generator for what is drawn later, independent of each other."""
    weights, draws = (int(part.generate_state(1, np.uint64)[0]) for part in np.random.SeedSequence(seed).spawn(2))
    return weights, torch.Generator().manual_seed(draws)


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed what torch draws inside, on the CPU and on a CUDA device, and leave its global state as it was."""
    cuda = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        yield


def _rows(values: Tensor) -> Tensor:
    """Turn `[B, L, A, ...]` into `[B * A, L, ...]`."""
    return values.transpose(1, 2).flatten(0, 1)
