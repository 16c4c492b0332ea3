"""Reading from infos where bags end and which of their rewards are labels; nothing is inferred from rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bagged_envs.baselines.draws import Array, Bools
from bagged_envs.wrappers.vector import one_info

Info = dict[str, Any]
BORDERS = ("bag_end", "reward_observed")
UNCLOSED = "info['bag_end'] must be True in an episode's last step, got False: put the delay outside TimeLimit."


def check_borders(info: Mapping[str, Any]) -> None:
    """Check that info tells of bags.

    Raises:
        ValueError: It does not.
    """
    missing = [name for name in BORDERS if name not in info]
    if missing:
        raise ValueError(
            f"info must have {' and '.join(BORDERS)}, got no {' and no '.join(missing)}: make an ID with a delay, or "
            f"wrap the environment in a delay of bagged_envs.wrappers, or in DeclaredBags if it already pays late."
        )


def infos_of_step(infos: Any, copies: int) -> tuple[list[Info], Bools]:
    """Return what each copy's info says of the step just made, and whose came as the final info of an episode.

    Args:
        infos: One info per copy, or the infos of a Gymnasium vector environment; either may have `final_info`.
        copies: How many copies.
    """
    told = [one_info(infos, copy) for copy in range(copies)] if isinstance(infos, dict) else list(infos)
    finals = np.array(["final_info" in info for info in told], dtype=np.bool_)
    return [info.get("final_info", info) for info in told], finals


def borders(infos: Sequence[Info], rewards: Array, ended: Bools) -> tuple[Bools, Bools]:
    """Return which copies' steps closed bags, and which of those are labeled: bool `[copies]` each.

    Args:
        infos: Of the step.
        rewards: float32 `[copies]`, as paid.
        ended: bool `[copies]`, whose episode ended.

    Raises:
        ValueError: Info tells of no bags, an episode ended without closing its bag, a reward was paid before its bag's
            last step, or a label is not finite.
    """
    for info in infos:
        check_borders(info)
    closes = np.array([info["bag_end"] for info in infos], dtype=np.bool_)
    labeled = closes & np.array([info["reward_observed"] for info in infos], dtype=np.bool_)
    if (ended & ~closes).any():
        raise ValueError(UNCLOSED)
    early = (rewards != 0) & ~closes
    if early.any():
        raise ValueError(
            f"reward must be 0.0 before a bag's last step, got {rewards[early][0]}: bags have to end where a reward is "
            f"paid, and what changes rewards cannot stand outside the delay."
        )
    unfit = labeled & ~np.isfinite(rewards)
    if unfit.any():
        raise ValueError(f"reward must be a finite float32 where it is a label, got {rewards[unfit][0]}: unlabel it.")
    return closes, labeled
