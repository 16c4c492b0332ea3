"""Continuous actions as learners see them: every bounded box is [-1, 1] to them."""

from __future__ import annotations

import math

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor


class BoxActions:
    """Translates between [-1, 1] and the environment's own units, flattened.

    Args:
        space: A `Box` with finite bounds and float elements.
        device: Where the tensors are.

    Raises:
        TypeError: The space is no `Box`, or one of integers.
        ValueError: A bound is not finite, or leaves nothing to choose.

    Example:
        >>> actions = BoxActions(spaces.Box(np.array([0.0, -2.0]), np.array([1.0, 2.0]), dtype=np.float64), "cpu")
        >>> actions.to_environment(torch.tensor([[-1.0, 0.5]]))
        tensor([[0., 1.]])
        >>> actions.to_unit(torch.tensor([[0.0, 1.0]]))
        tensor([[-1.0000,  0.5000]])
    """

    def __init__(self, space: spaces.Space[np.ndarray], device: torch.device | str) -> None:
        if not isinstance(space, spaces.Box) or not np.issubdtype(space.dtype, np.floating):
            raise TypeError(
                f"action_space must be a Box of floats for this learner, got {space}: discrete actions are learned "
                "online, with ppo, and teams' with ippo or qmix."
            )
        if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
            raise ValueError(
                f"action_space must have finite bounds, got {space}. "
                "Wrap the environment in gymnasium.wrappers.RescaleAction, or declare bounds of its actions."
            )
        if not (space.low < space.high).all():
            raise ValueError(f"action_space must have low < high in every element, got {space}.")
        self.size = math.prod(space.shape)
        low, high = space.low.reshape(-1).astype(np.float64), space.high.reshape(-1).astype(np.float64)
        self.low, self.high = _tensor(low, device), _tensor(high, device)
        self.center, self.half = _tensor((low + high) / 2, device), _tensor((high - low) / 2, device)
        self._is_unit = bool((low == -1.0).all() and (high == 1.0).all())

    def to_environment(self, unit: Tensor) -> Tensor:
        """Return actions in the environment's units, never outside its bounds."""
        if self._is_unit:
            return unit.clamp(-1.0, 1.0)
        return torch.addcmul(self.center, self.half, unit).clamp(self.low, self.high)

    def to_unit(self, actions: Tensor) -> Tensor:
        """Return actions of the environment in [-1, 1]."""
        return actions if self._is_unit else (actions - self.center) / self.half


def _tensor(values: np.ndarray, device: torch.device | str) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32, device=device)
