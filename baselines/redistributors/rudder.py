"""RUDDER: an LSTM predicts a bag's label from every prefix of the bag; a step's reward is what it changed.

Source: Arjona-Medina et al., RUDDER: Return Decomposition for Delayed Rewards (arXiv 1806.07857), by way of the
    authors' published code: ml-jku/rudder-demonstration-code and widmi/rudder-a-practical-tutorial.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule, project, rounded
from bagged_envs.baselines.redistributors.fitting import Sizes, check_whole, descend_if_finite, labeled_bags
from bagged_envs.baselines.settings import check_settings
from bagged_envs.baselines.updates import adam


@dataclass(frozen=True)
class RUDDERConfig:
    """Settings of `RUDDER`; "demo" and "tutorial" are the two official codes named above.

    Attributes:
        units: Cells of the LSTM (demo, tutorial: 16).
        inputs: "differences" of consecutive observations, the first one raw (demo), or "raw" observations (tutorial).
            With raw ones of a Markov task the last step can explain the whole label, and so gets all the credit.
        final_observation: Whether one more position follows a bag's last step: the observation that followed, with no
            action (demo). What changes there is the last step's doing.
        auxiliary_weight: Weight of predicting the label at every position, beside at the end (demo, tutorial: 0.5).
        correction: What becomes of the gap between label and last prediction: spread over all steps alike ("uniform",
            as in the tutorial), put onto the last step ("last"), or left ("none", as in the demo).
        label_scale: What labels are divided by before and predictions multiplied with after (demo: 10); None for the
            root mean square of the labels learned from so far (ours).
        learning_rate: Of Adam (tutorial: 1e-3; demo: 1e-2).
        weight_decay: Of Adam (tutorial: 1e-5; demo: 1e-6).
        weight_std: Standard deviation of the first weights of cell input and gate (demo: 0.1).
        gate_bias: Mean of the gate's first biases, of standard deviation 1 (demo: -3). Negative, because what the open
            gates of a long bag let in adds up.
        bags: Bags of an update (demo, tutorial: 8).
        every: Environment steps between bursts of updates (ours).
        updates: Updates of a burst (ours).
        warm_up: Environment steps before the first burst (ours).
    """

    units: int = 16
    inputs: Literal["differences", "raw"] = "differences"
    final_observation: bool = True
    auxiliary_weight: float = 0.5
    correction: Literal["none", "uniform", "last"] = "uniform"
    label_scale: float | None = None
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    weight_std: float = 0.1
    gate_bias: float = -3.0
    bags: int = 8
    every: int = 1000
    updates: int = 100
    warm_up: int = 5000

    def __post_init__(self) -> None:
        """Check values.

        Raises:
            ValueError: One of them cannot be meant.
        """
        check_settings(self)


def rudder_loss(predictions: Tensor, labels: Tensor, present: Tensor, auxiliary_weight: float) -> tuple[Tensor, Tensor]:
    """Return the loss, and its main part: the mean squared error of the last predictions.

        L = mean_i (g_i,end - R_i)^2 + w mean_i,t (g_i,t - R_i)^2

    Args:
        predictions: g, `[B, T]`.
        labels: R, `[B]`.
        present: bool `[B, T]`: positions that there are; the last of them is a bag's end.
        auxiliary_weight: w.

    Source: demo. The tutorial squares the mean error, in which errors of different bags cancel; that is not meant.
    """
    errors = torch.where(present, predictions - labels[:, None], torch.zeros_like(predictions)).square()  # [B, T]
    last = present.shape[1] - 1 - present.flip(1).int().argmax(dim=1)  # [B]
    main = errors.gather(1, last[:, None]).mean()
    return main + auxiliary_weight * errors.sum() / present.sum(), main


def differences(predictions: Tensor, present: Tensor) -> Tensor:
    """Return by how much each position changed the prediction, the first one from zero: along the second axis.

    Args:
        predictions: `[B, T, A]`.
        present: bool `[B, T, A]`: where False, there is neither a prediction nor a change; before an agent's first
            position its prediction is 0, in a gap it stays.
    """
    started = present.int().cumsum(dim=1) > 0
    held = torch.where(started, predictions, torch.zeros_like(predictions))
    changes = torch.diff(held, dim=1, prepend=torch.zeros_like(held[:, :1]))
    return torch.where(present, changes, torch.zeros_like(changes))


class _GatedSum(torch.autograd.Function):
    """c_t = c_(t-1) + a_t sigmoid(c_(t-1) U + b), with derivatives by hand: much faster than by autograd."""

    @staticmethod
    def forward(ctx: Any, candidates: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        steps, rows, units = candidates.shape
        cells, gates = candidates.new_zeros(steps + 1, rows, units), torch.empty_like(candidates)
        for before, after, gate, candidate in zip(cells[:-1], cells[1:], gates, candidates, strict=True):
            torch.sigmoid(torch.addmm(bias, before, weight), out=gate)
            torch.addcmul(before, candidate, gate, out=after)
        ctx.save_for_backward(candidates, weight, cells, gates)
        return cells[1:].clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        candidates, weight, cells, gates = ctx.saved_tensors
        slopes = candidates * gates * (1.0 - gates)
        reached, moved = torch.empty_like(candidates), torch.empty_like(candidates)  # gradients of c_t, and of the gate
        back, flowing = weight.t().contiguous(), torch.zeros_like(cells[0])
        for step in range(len(candidates) - 1, -1, -1):
            torch.add(flowing, grads[0][step], out=reached[step])
            torch.mul(reached[step], slopes[step], out=moved[step])
            flowing = torch.addmm(reached[step], moved[step], back)
        return reached * gates, cells[:-1].flatten(0, 1).t() @ moved.flatten(0, 1), moved.sum(dim=(0, 1))


def gated_sum(candidates: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the cells of an LSTM without forget and output gate: `c_t = c_(t-1) + a_t * sigmoid(c_(t-1) U + b)`.

    Args:
        candidates: a, what would be added, `[T, N, H]`.
        weight: U, `[H, H]`, from cell (row) to gate (column).
        bias: b, `[H]`.

    Returns:
        c_1 to c_T from c_0 = 0, `[T, N, H]`.

    Source: demo and tutorial: cell input sees the current input alone, input gate the recurrent output alone, and the
        output is the cell itself.
    """
    cells: Tensor = _GatedSum.apply(candidates, weight, bias)  # type: ignore[no-untyped-call]
    return cells


class PrefixLSTM(nn.Module):
    """Predicts, at every position, the label of the whole: `g_t = w . c_t + b`.

    An LSTM without forget and output gate, whose cell input is `tanh(W x_t + b)`: it counts well, and predicts the same
    as before where nothing happens.
    """

    def __init__(self, inputs: int, config: RUDDERConfig, generator: torch.Generator) -> None:
        """Draw the first weights, as the demo does."""
        super().__init__()
        units, std = config.units, config.weight_std
        self.input_weight = nn.Parameter(torch.randn(inputs, units, generator=generator) * std)
        self.input_bias = nn.Parameter(torch.randn(units, generator=generator))
        self.gate_weight = nn.Parameter(torch.randn(units, units, generator=generator) * std)
        self.gate_bias = nn.Parameter(torch.randn(units, generator=generator) + config.gate_bias)
        bound = units**-0.5
        self.output_weight = nn.Parameter(torch.empty(units).uniform_(-bound, bound, generator=generator))
        self.output_bias = nn.Parameter(torch.empty(()).uniform_(-bound, bound, generator=generator))

    def forward(self, inputs: Tensor, present: Tensor) -> Tensor:
        """Return predictions `[N, T]` for inputs `[N, T, I]`; where `present` `[N, T]` is False, the cells stay."""
        candidates = torch.tanh(inputs @ self.input_weight + self.input_bias) * present[..., None]  # [N, T, H]
        cells = gated_sum(candidates.transpose(0, 1).contiguous(), self.gate_weight, self.gate_bias)  # [T, N, H]
        return (cells @ self.output_weight + self.output_bias).t()  # [N, T]


class RUDDER:
    """Return decomposition: what a step changes in the predicted label of its bag is its reward.

    The network reads a bag from a fresh state. It learns from labels, and pays `g_t - g_(t-1)` (`g_0` for the first
    step), so that what is paid adds up to the last prediction, and with a correction to the label.

    Agents share the network's weights. Each agent's own sequence is read alone; a bag's prediction is the sum of
    theirs, over the agents that have come so far, and an agent's rewards are the differences of its own predictions.
    A step's rewards depend on the steps before it, so they are stored with the bag.

    Differences from the sources: bags take the place of episodes; the final position's change is paid with the last
    step (the demo drops it); when nothing is set, labels are scaled by their root mean square. Which bags are learned
    from, the lessons buffer, is the caller's business, and so is waiting until labels differ: of equal labels the
    network learns a constant, which is all paid at the first step.

    Example:
        >>> rudder = RUDDER(observation_size=3, action_size=2)
        >>> rudder.exact, rudder.sampling.bags
        (True, 8)

    Source: see the module; card of hyperparameters in `RUDDERConfig`.
    """

    name = "rudder"
    context: Context = "bag"
    stored = True
    only_labeled = False

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: RUDDERConfig | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
    ) -> None:
        """Make the network.

        Args:
            observation_size: D of the bags.
            action_size: U of the bags.
            config: Settings; None for the defaults.
            seed: Of the first weights.
            device: Where to learn.
            agents: A of the bags.
        """
        self.config = config or RUDDERConfig()
        self.exact = self.config.correction != "none"
        self.sampling: Sampling | None = Sampling(bags=self.config.bags)
        self.schedule = Schedule(self.config.every, self.config.updates, self.config.warm_up)
        self._sizes = Sizes.of(observation_size, action_size, agents)
        self._device = torch.device(device)
        generator = torch.Generator().manual_seed(seed)
        self.network = PrefixLSTM(observation_size + action_size, self.config, generator).to(device)
        self._optimizer = adam(self.network.parameters(), self.config.learning_rate, self.config.weight_decay)
        self._labels, self._square = 0, 0.0  # how many were learned from, and their mean square

    @property
    def label_scale(self) -> float:
        """What labels are divided by."""
        if self.config.label_scale is not None:
            return self.config.label_scale
        return math.sqrt(self._square) or 1.0

    def update(self, batch: BagBatch) -> Metrics:
        """Learn from the labeled ones of some bags.

        Returns:
            `loss`, `main` (of the last predictions alone), both of scaled labels, `gradient_norm`, `label_scale`, and
            `labeled`, how many bags were. Without any, nothing changes.

        Raises:
            ValueError: The batch has other sizes than the network, or samples of steps.
            FloatingPointError: Loss or gradient is not finite; nothing was changed.
        """
        self._sizes.check(self.name, batch)
        check_whole(self.name, batch)
        batch = labeled_bags(batch, self._device)
        if not batch.num_bags:
            return {"labeled": 0.0}
        before = self._labels, self._square
        self._count(batch.label)
        predictions, present = self._predict(batch)  # [B, T, A]
        alive = present.int().cumsum(dim=1) > 0
        total = torch.where(alive, predictions, torch.zeros_like(predictions)).sum(dim=2)  # [B, T]
        loss, main = rudder_loss(
            total, batch.label / self.label_scale, present.any(dim=2), self.config.auxiliary_weight
        )
        try:
            metrics = descend_if_finite(self.name, loss, self._optimizer)
        except FloatingPointError:
            self._labels, self._square = before
            raise
        parts = {"main": float(main.detach()), "label_scale": self.label_scale}
        return metrics | parts | {"labeled": float(batch.num_bags)}

    @torch.no_grad()
    def relabel(self, batch: BagBatch) -> Tensor:
        """Return rewards `[B, L, A]`; unlabeled bags get the differences of predictions, never corrected.

        Raises:
            ValueError: The batch has other sizes than the network, or samples of steps.
        """
        self._sizes.check(self.name, batch)
        check_whole(self.name, batch)
        there, batch = batch.mask.device, batch.to(self._device)
        predictions, present = self._predict(batch)
        changes = differences(predictions, present) * self.label_scale  # [B, T, A]
        rewards = changes[:, : batch.mask.shape[1]]
        if self.config.final_observation:
            rewards = rewards + torch.where(present[:, 1:] & ~_one_more(batch.mask)[:, 1:], changes[:, 1:], 0.0)
        rewards = torch.where(batch.mask, rewards, torch.zeros_like(rewards))
        if self.config.correction == "uniform":
            rewards = project(rewards, batch)
        elif self.config.correction == "last":
            rewards = _pay_last(rewards, batch)
        return rewards.to(there)

    def state_dict(self) -> dict[str, Any]:
        """Return weights, optimizer and label scale."""
        state = {"network": self.network.state_dict(), "optimizer": self._optimizer.state_dict()}
        return copy.deepcopy({**state, "labels": self._labels, "square": self._square})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self._labels, self._square = state["labels"], state["square"]

    def _count(self, labels: Tensor) -> None:
        self._labels += len(labels)
        self._square += (float(labels.double().square().mean()) - self._square) * len(labels) / self._labels

    def _predict(self, batch: BagBatch) -> tuple[Tensor, Tensor]:
        """Return scaled predictions and which positions there are, `[B, T, A]`; T is L, or L + 1 with the final one."""
        inputs, present = positions(batch, self.config.inputs, self.config.final_observation)
        bags, steps, agents, size = inputs.shape
        rows = inputs.transpose(1, 2).reshape(bags * agents, steps, size)
        predictions = self.network(rows, present.transpose(1, 2).reshape(bags * agents, steps))
        return predictions.reshape(bags, agents, steps).transpose(1, 2), present


def positions(batch: BagBatch, inputs: str = "differences", final_observation: bool = True) -> tuple[Tensor, Tensor]:
    """Return what the network reads, `[B, T, A, D + U]`, zeros where there is nothing, and where there is something.

    Args:
        batch: Whole bags.
        inputs: "differences" or "raw": of an observation where none is directly before it, the difference is itself.
        final_observation: Whether the observation after a bag's last step is a position of its own, without an action.

    Returns:
        The inputs and a bool mask `[B, T, A]`.
    """
    seen, actions, present = batch.observations, batch.actions, batch.mask
    if final_observation:
        mask = _one_more(batch.mask)
        present = mask | _one_more(batch.mask).roll(1, dims=1)  # the added column is False, and so comes first
        last = torch.cat([torch.zeros_like(seen[:, :1]), batch.next_observations], dim=1)
        seen = torch.where(mask[..., None], torch.cat([seen, torch.zeros_like(seen[:, :1])], dim=1), last)
        actions = torch.cat([actions, torch.zeros_like(actions[:, :1])], dim=1)
        actions = torch.where(mask[..., None], actions, torch.zeros_like(actions))
    seen = torch.where(present[..., None], seen, torch.zeros_like(seen))
    if inputs == "differences":
        seen = torch.diff(seen, dim=1, prepend=torch.zeros_like(seen[:, :1]))
    both = torch.cat([seen, actions], dim=3)
    return torch.where(present[..., None], both, torch.zeros_like(both)), present


def _one_more(mask: Tensor) -> Tensor:
    return torch.cat([mask, torch.zeros_like(mask[:, :1])], dim=1)


def _pay_last(rewards: Tensor, batch: BagBatch) -> Tensor:
    """Return rewards whose gap to the label is paid in a bag's last step, to the agents there alike."""
    there = batch.mask.any(dim=2)  # [B, L]
    last = there.shape[1] - 1 - there.flip(1).int().argmax(dim=1)  # [B]
    rows = torch.arange(batch.num_bags, device=rewards.device)
    paid = rewards.double()
    gap = torch.where(batch.labeled, batch.label.double() - paid.sum(dim=(1, 2)), torch.zeros_like(paid[:, 0, 0]))
    among = batch.mask[rows, last]  # [B, A]
    paid[rows, last] += torch.where(among, (gap / among.sum(dim=1).clamp(min=1))[:, None], 0.0)
    return rounded(paid, batch)
