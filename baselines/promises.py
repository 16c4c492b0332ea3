"""What redistributors say of themselves beyond `api.Redistributor`, and whether their rewards are as it promises."""

from __future__ import annotations

import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch, Redistributor


def no_prediction(redistributor: object) -> str | None:
    """Return why rewards of a redistributor, or of a class of them, are no predictions of labels; None where they are.

    Where they are made of the label itself, to count them as predictions would be to praise them for repeating what
    they were told.
    """
    reason: str | None = getattr(redistributor, "no_prediction", None)
    return reason


def pays_dense(redistributor: object) -> bool:
    """Return whether a redistributor, or a class of them, is told the dense rewards."""
    return bool(getattr(redistributor, "pays_dense", False))


def own_units(redistributor: object) -> bool:
    """Return whether a redistributor, or a class of them, pays in units of its own: labels cannot stand beside them."""
    return no_prediction(redistributor) is not None or bool(getattr(redistributor, "own_units", False))


def relabeled(redistributor: Redistributor, batch: BagBatch) -> Tensor:
    """Return the rewards that a redistributor's `relabel` says, as `Redistributor` promises them: `[B, L, A]`.

    All who pay its rewards ask here, so that a broken one of a user's own is told of, not paid.

    Raises:
        TypeError: They are no float32 tensor, or one with gradients.
        ValueError: They have another shape.
        FloatingPointError: One is not finite.
    """
    rewards: object = redistributor.relabel(batch)
    told = f"relabel() of the redistributor {redistributor.name!r} must return"
    remedy = "see bagged_envs.baselines.check.check_redistributor."
    if not isinstance(rewards, Tensor) or rewards.dtype != torch.float32 or rewards.requires_grad:
        what = type(rewards).__name__
        if isinstance(rewards, Tensor):
            what = f"{rewards.dtype}{' with gradients' if rewards.requires_grad else ''}"
        raise TypeError(f"{told} a detached float32 tensor, got {what}: {remedy}")
    if rewards.shape != batch.mask.shape:
        raise ValueError(f"{told} {list(batch.mask.shape)} rewards, got {list(rewards.shape)}: {remedy}")
    if not rewards.isfinite().all():
        bad = rewards[~rewards.isfinite()]
        raise FloatingPointError(
            f"{told} finite rewards, got {bad[0].item()} among {rewards.numel()} ({len(bad)} not finite): {remedy}"
        )
    return rewards
