"""The steps of a bag as a sequence per agent, for redistributors that read them in order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

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

    def pieces(self, longest: int) -> Sequences:
        """Return the rows cut into P pieces of equal length, at most `longest`: `[S * P, ...]`, padded at the end."""
        steps = self.valid.shape[1]
        count = math.ceil(steps / longest)
        width = math.ceil(steps / count)

        def cut(values: Tensor) -> Tensor:
            padding = [0, 0] * (values.ndim - 2) + [0, count * width - steps]
            return functional.pad(values, padding).reshape(-1, width, *values.shape[2:])

        return Sequences(**{name: cut(value) for name, value in vars(self).items()})


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


def random_pieces(batch: BagBatch, longest: int, generator: torch.Generator) -> BagBatch:
    """Return whole bags of which the longer ones are cut to a random piece of `longest` steps, labeled by its share.

    A piece may stick out of its bag at either end, and is then shorter: so every step is as likely as any other to be
    in it. Its label is the bag's in proportion to its steps, as if the bag's reward were spread evenly.
    """
    column = torch.arange(batch.mask.shape[1], device=batch.mask.device)
    inside = batch.mask.any(dim=2)  # [B, L]
    chance = torch.rand(batch.num_bags, dtype=torch.float64, generator=generator).to(batch.mask.device)
    start = inside.int().argmax(dim=1) - longest + 1 + (chance * (batch.length + longest - 1)).long()
    whole = batch.length <= longest
    before_end = (column < (start + longest)[:, None]) | whole[:, None]
    kept = inside & before_end & ((column >= start[:, None]) | whole[:, None])
    return replace(
        batch,
        mask=batch.mask & kept[..., None],
        context=batch.context & before_end[..., None],
        label=batch.label * (kept.sum(dim=1) / batch.length),
    )


def end_to_end(sequences: Sequences, steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Lay sequences end to end, in random order, into longer ones that do not tell where one of them begins.

    Each of the longer ones begins with the last steps, randomly many, of some sequence, which are only to be looked at.
    Of a sequence's history, too, randomly many of the last steps are taken, at most half of `steps`.

    Args:
        sequences: `[S, L]`, each with at most half of `steps` steps besides its history.
        steps: The most that one of the longer ones may have.
        generator: On the CPU.

    Returns:
        Which steps stand there, int64 `[Q, W]`, as row * L + column, -1 in the padding, which stands last; and which of
        them are a sequence's own, once each: bool `[Q, W]`.
    """
    rows, columns = sequences.valid.shape
    ends = sequences.valid.sum(dim=1).tolist()
    earlier = (sequences.valid & ~sequences.inside).sum(dim=1).tolist()  # the history stands first
    history, lead = torch.rand(2, rows, dtype=torch.float64, generator=generator).tolist()
    leaders = torch.randint(rows, (rows,), generator=generator).tolist()
    laid: list[list[range]] = []
    own: list[list[int]] = []
    room = 0
    for row in torch.randperm(rows, generator=generator).tolist():
        looked_at = int(history[row] * (min(earlier[row], steps // 2) + 1))
        size = ends[row] - earlier[row] + looked_at
        if ends[row] == earlier[row]:
            continue
        if size > room:
            leader, room = leaders[row], steps - size
            count = int(lead[row] * (min(ends[leader], room) + 1))
            end = leader * columns + ends[leader]
            laid.append([range(end - count, end)])
            own.append([count])
            room += size - count
        end = row * columns + ends[row]
        laid[-1].append(range(end - size, end))
        own[-1].append(looked_at)
        room -= size
    return _in_rows(laid, own, sequences.valid.device)


def _in_rows(laid: list[list[range]], own: list[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ranges as padded rows of numbers, and of each range all but the first so many numbers."""
    width = max(sum(map(len, parts)) for parts in laid)
    step, counted = torch.full((len(laid), width), -1), torch.zeros(len(laid), width, dtype=torch.bool)
    for row, (parts, firsts) in enumerate(zip(laid, own, strict=True)):
        at = 0
        for part, first in zip(parts, firsts, strict=True):
            step[row, at : at + len(part)] = torch.arange(part.start, part.stop)
            counted[row, at + first : at + len(part)] = True
            at += len(part)
    return step.to(device), counted.to(device)


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed what torch draws inside, on the CPU and on a CUDA device, and leave its global state as it was."""
    cuda = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def _rows(values: Tensor) -> Tensor:
    """Turn `[B, L, A, ...]` into `[B * A, L, ...]`."""
    return values.transpose(1, 2).flatten(0, 1)
