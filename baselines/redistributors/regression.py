"""What RD, RRD and GRD share: a network that gives steps rewards, fitted to the labels of their bags by descent."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from bagged_envs.baselines.api import BagBatch, Metrics
from bagged_envs.baselines.redistributors.fitting import LabelScale, Sizes, descend_if_finite, labeled_bags
from bagged_envs.baselines.updates import adam


class LabelRegression:
    """A network, its optimizer, and the scale of the labels that it is fitted to.

    Attributes:
        network: What is fitted.
        sizes: Of the batches that may come.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        sizes: Sizes,
        learning_rate: float,
        device: torch.device | str,
        weight_decay: float = 0.0,
        standardize: bool = False,
    ) -> None:
        """Move the network to its device.

        Args:
            name: Of the redistributor, for its errors.
            network: What is fitted.
            sizes: Of the batches that may come.
            learning_rate: Of Adam.
            device: Where the network lives.
            weight_decay: Of Adam.
            standardize: Whether labels are fitted without their mean per step, and divided by its deviation.
        """
        self.network, self.sizes = network.to(device), sizes
        self._name, self._device, self._standardize = name, torch.device(device), standardize
        self._optimizer = adam(self.network.parameters(), learning_rate, weight_decay)
        self._scale = LabelScale()
        self._updates = 0

    def fit(self, batch: BagBatch, loss: Callable[[BagBatch, Tensor], tuple[Tensor, Metrics]]) -> Metrics:
        """Make one step of Adam on the labeled bags of a batch; without any, nothing changes.

        Args:
            batch: Bags.
            loss: Returns the loss of labeled bags on the device, given what to fit instead of their labels, `[B]`, and
                what else to report of it.

        Raises:
            ValueError: The batch has other sizes.
            FloatingPointError: The loss or its gradient is not finite; nothing was changed.
        """
        self.sizes.check(self._name, batch)
        batch = labeled_bags(batch, self._device)
        if not batch.num_bags:
            return {"labeled": 0.0}
        scale, label = self._scale, batch.label
        if self._standardize:
            scale = scale.after(label, batch.length)
            label = scale.standardize(label, batch.length)
        total, parts = loss(batch, label)
        metrics = descend_if_finite(self._name, total, self._optimizer)
        self._scale = scale
        self._updates += 1
        return parts | metrics | {"labeled": float(batch.num_bags)}

    @torch.no_grad()
    def rewards(self, batch: BagBatch, reward: Callable[[BagBatch], Tensor]) -> Tensor:
        """Return rewards `[B, L, A]` in the task's units, where the batch came from; 0.0 outside its mask.

        Args:
            batch: Any steps.
            reward: Returns what the network says of a batch on the device, `[B, L, A]`.

        Raises:
            ValueError: The batch has other sizes.
        """
        self.sizes.check(self._name, batch)
        here = batch.to(self._device)
        rewards = reward(here)
        if self._standardize:
            rewards = self._scale.restore(rewards, here.mask)
        return torch.where(here.mask, rewards, 0.0).to(batch.mask.device)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the weights, the optimizer's state, the scale of the labels and the number of updates."""
        state = {"network": self.network.state_dict(), "optimizer": self._optimizer.state_dict()}
        return copy.deepcopy(state) | {"scale": asdict(self._scale), "updates": self._updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self._scale, self._updates = LabelScale(**state["scale"]), int(state["updates"])
