"""What learners save, and go on from: their networks and optimizers, their draws, and how many updates they made."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch


def saved(parts: Mapping[str, Any], generator: torch.Generator, updates: int) -> dict[str, Any]:
    """Return a copy of a learner's state.

    Args:
        parts: Its networks and optimizers, by the names under which they are saved.
        generator: What draws are made from.
        updates: How many it made.
    """
    states = {name: part.state_dict() for name, part in parts.items()}
    return copy.deepcopy({**states, "generator": generator.get_state(), "updates": updates})


def load(state: Mapping[str, Any], parts: Mapping[str, Any], generator: torch.Generator) -> int:
    """Bring a learner's parts to a state that was saved, of the same settings; return how many updates it had made.

    Weights and optimizers move between devices. Draws do not: on another kind of device they go on as they are.

    Args:
        state: What `saved` returned; it is copied.
        parts: As for `saved`.
        generator: As for `saved`.

    Raises:
        KeyError: It is a state of other parts.
    """
    for name, part in parts.items():
        part.load_state_dict(copy.deepcopy(state[name]))
    if state["generator"].shape == generator.get_state().shape:
        generator.set_state(state["generator"].cpu())
    return int(state["updates"])
