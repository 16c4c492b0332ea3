"""Diaster: the reward of a step is what it adds to the reward of the steps before it.

One network G reads a sub-trajectory and gives its reward. It is fitted so that the two parts of a bag, cut at random,
get the bag's label together. What a step adds to G of the bag's beginning is then the target of a second network
f(s, a), whose reward is what a learner sees.

Source: Lin et al., "Episodic Return Decomposition by Difference of Implicitly Assigned Sub-Trajectory Reward", AAAI
2024, arXiv:2312.10642; official code https://github.com/HxLyn3/Diaster. Where we differ:

- A bag takes the episode's place: the cut lies in the bag, G starts afresh with each bag. (One bag per episode is the
  source's case.)
- G's noise is drawn in its own training only; targets come from its mean. `noise="always"` is the official behavior.
- A burst has a fixed number of updates; the official one has as many as the longest bag has steps, twice.
- With several agents G reads each agent's steps for themselves, by shared weights, and the sum over the agents is
  fitted to the label; what remains at the end of a bag is shared out evenly. (The source knows one agent.)
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule, rounded
from bagged_envs.baselines.networks import MLP, generators
from bagged_envs.baselines.redistributors.fitting import (
    Sizes,
    check_whole,
    descend_if_finite,
    labeled_bags,
    soft_clamp,
)
from bagged_envs.baselines.redistributors.sequences import (
    Sequences,
    as_batch,
    as_sequences,
    seeded,
)
from bagged_envs.baselines.settings import check_settings
from bagged_envs.baselines.updates import adam


@dataclass(frozen=True)
class DiasterConfig:
    """Settings of Diaster; without a remark, a default is the official code's.

    Attributes:
        bags: Bags of one burst, drawn in proportion to their length.
        hidden: Width of the GRU and of both layers of the step network.
        learning_rate: Of both Adam optimizers.
        cuts: Gradient steps of G in a burst, each with a cut of its own. The official rule, as many as the longest bag
            has steps, is None: with episodes of 1,000 steps these are 1,000 passes over 64 of them, about an hour on
            one CPU thread. The default is ours, and cheap: G has seen that much less when a learner asks.
        cut_steps: At most so many steps, but at least one bag, in each of them, drawn from the burst's bags (ours);
            None for all bags (official). Bags of up to 64 steps are all used by default, of 1,000 steps four.
        step_updates: Gradient steps of f in a burst; None for the official rule. The default is ours.
        step_batch: Steps in each of them, drawn without replacement (ours; official: as many as `bags`).
        noise: When G adds its learned noise to its mean: in "training" only (ours), "always" (official, which makes
            the targets noisy too), or "never".
        return_scale: Labels are divided by this before they are fitted (official: 10, and 500 for HumanoidStandup).
        scaled_rewards: Whether a learner sees rewards on that divided axis (official), or on the label's (ours).
        every: Environment steps between two bursts.
        warm_up: Environment steps before the first one.
    """

    bags: int = 64
    hidden: int = 256
    learning_rate: float = 3e-4
    cuts: int | None = 16
    cut_steps: int | None = 4096
    step_updates: int | None = 100
    step_batch: int = 256
    noise: Literal["training", "always", "never"] = "training"
    return_scale: float = 10.0
    scaled_rewards: bool = False
    every: int = 1000
    warm_up: int = 5000

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            TypeError: A number of something is no int.
            ValueError: A setting is out of its range.
        """
        check_settings(self)

    @classmethod
    def paper(cls) -> DiasterConfig:
        """Return the official code's settings, whatever they cost."""
        return cls(cuts=None, cut_steps=None, step_updates=None, step_batch=64, noise="always", scaled_rewards=True)


class SubTrajectoryNetwork(nn.Module):
    """G: a GRU over observations and actions, and the mean and log-variance of the reward of each beginning."""

    def __init__(self, observation_size: int, action_size: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(observation_size + action_size, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 2)
        self.low = nn.Parameter(torch.tensor(-10.0))
        self.high = nn.Parameter(torch.tensor(0.5))

    def forward(self, steps: Tensor, noise: torch.Generator | None) -> Tensor:
        """Return the reward of each beginning `[S, L]` of sequences `[S, L, D + U]`, noisy if there is a generator."""
        both: Tensor = self.head(self.gru(steps)[0])
        mean, log_variance = both.unbind(dim=2)  # [S, L] each
        if noise is None:
            return mean
        drawn = torch.randn(mean.shape, generator=noise).to(mean.device)
        return mean + torch.exp(0.5 * soft_clamp(log_variance, self.low, self.high)) * drawn


def cut_prediction(head: Tensor, tail: Tensor, steps: Tensor) -> Tensor:
    """Return what G gives to sequences that are cut in two after C steps.

    A sequence with more than C steps gets G of its first C and G of the rest; a shorter one is all head.

    Args:
        head: G of each beginning of the first C steps `[S, C]`, C at least 1.
        tail: G of each beginning of what follows, started afresh `[S, L - C]`; no columns if nothing does.
        steps: int64 `[S]`: how many steps each sequence has; 0 gives 0.0.
    """
    cut = head.shape[1]
    first = head.gather(1, (steps.clamp(max=cut) - 1).clamp(min=0)[:, None]).squeeze(1)  # [S]
    first = torch.where(steps > 0, first, torch.zeros_like(first))
    if tail.shape[1] == 0:
        return first
    rest = tail.gather(1, (steps - cut - 1).clamp(min=0)[:, None]).squeeze(1)  # [S]
    return first + torch.where(steps > cut, rest, torch.zeros_like(rest))


def sub_trajectory_loss(predictions: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over bags of (sum over agents of the prediction - label)^2.

    Args:
        predictions: `[B, A]`, of `cut_prediction`.
        labels: `[B]`.
    """
    return (predictions.sum(dim=1) - labels).square().mean()


def step_targets(beginnings: Tensor, steps: Tensor, labels: Tensor, labeled: Tensor) -> Tensor:
    """Return what each step adds: d_t = g_t - g_{t-1}, g_{-1} = 0, with the last g replaced by the label.

    Their sum over the steps of a labeled bag is its label. What G misses of it goes to the last step, in equal parts to
    the last steps of the agents that have one. An unlabeled bag keeps G's own total.

    Args:
        beginnings: g, G of each beginning `[B, A, L]`; what stands behind a sequence's steps is not read.
        steps: int64 `[B, A]`: how many steps each sequence has.
        labels: `[B]`.
        labeled: bool `[B]`.

    Returns:
        float32 `[B, A, L]`, 0.0 behind the steps.
    """
    column = torch.arange(beginnings.shape[2], device=beginnings.device)
    valid = column < steps[..., None]  # [B, A, L]
    g = torch.where(valid, beginnings, torch.zeros_like(beginnings)).double()
    last = column == steps[..., None] - 1
    present = (steps > 0).sum(dim=1).clamp(min=1)
    missed = torch.where(labeled, labels.double() - (g * last).sum(dim=(1, 2)), torch.zeros_like(labels).double())
    g = g + last * (missed / present)[:, None, None]
    before = functional.pad(g, (1, 0))[..., :-1]
    return torch.where(valid, g - before, torch.zeros_like(g)).float()


def step_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over steps `[N]` of (f(s, a) - d)^2."""
    return (predictions - targets).square().mean()


class Diaster:
    """Sub-trajectory reward G, and the step reward f that follows its differences.

    A learner sees f(s, a): of the step alone, and adding up to the label in expectation only. `targets` are exact.

    Args:
        observation_size: D.
        action_size: U.
        config: Settings; `DiasterConfig.paper()` has the official ones.
        seed: Of weights, cuts, noise and batches; torch's global state is left alone.
        device: Where the networks stand.
        agents: A.

    Example:
        >>> redistributor = Diaster(observation_size=3, action_size=1, config=DiasterConfig(hidden=8))
        >>> redistributor.name, redistributor.context, redistributor.exact
        ('diaster', 'step', False)
    """

    name = "diaster"
    context: Context = "step"
    exact = False
    stored = False
    only_labeled = False

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: DiasterConfig | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
    ) -> None:
        self.config = config = config or DiasterConfig()
        self._sizes = Sizes.of(observation_size, action_size, agents)
        self.device = torch.device(device)
        self.sampling: Sampling | None = Sampling(bags=config.bags, weight="length")
        self.schedule = Schedule(every=config.every, updates=1, warm_up=config.warm_up)
        weights, self.generator = generators(seed, 2)
        with seeded(weights.initial_seed()):
            sub_trajectory = SubTrajectoryNetwork(observation_size, action_size, config.hidden)
            sizes = (observation_size + action_size, config.hidden, config.hidden, 1)
            step = MLP(sizes, torch.default_generator)  # f
        self.sub_trajectory, self.step = sub_trajectory.to(self.device), step.to(self.device)
        self.sub_trajectory_optimizer = adam(self.sub_trajectory.parameters(), config.learning_rate)
        self.step_optimizer = adam(self.step.parameters(), config.learning_rate)

    def update(self, batch: BagBatch) -> Metrics:
        """Make one burst: fit G to labeled bags, cut at random, and then f to the differences of G.

        Args:
            batch: Whole bags.

        Returns:
            `sub_trajectory_loss` and `step_loss`: the means over the burst, on the divided axis; and `labeled`, how
            many bags were. Without any, nothing changes.

        Raises:
            ValueError: Other sizes, or a bag that is not whole.
            FloatingPointError: A loss is not finite; nothing was changed.
        """
        batch = labeled_bags(self._checked(batch), self.device)
        if not batch.num_bags:
            return {"labeled": 0.0}
        before = self.state_dict()
        try:
            sequences = as_sequences(batch)
            sub_trajectory = self._fit_sub_trajectories(sequences, batch.label / self.config.return_scale)
            step = self._fit_steps(sequences, self._targets(sequences, batch))
        except FloatingPointError:
            self.load_state_dict(before)
            raise
        losses = {"loss": sub_trajectory + step, "sub_trajectory_loss": sub_trajectory, "step_loss": step}
        return {**losses, "labeled": float(batch.num_bags)}

    @torch.no_grad()
    def relabel(self, batch: BagBatch) -> Tensor:
        """Return f(s, a), float32 `[B, L, A]`, of any steps in any order, 0.0 where the mask is False."""
        self._sizes.check(self.name, batch)
        there, batch = batch.mask.device, batch.to(self.device)
        rewards = torch.zeros(batch.mask.shape, device=self.device)
        steps = torch.cat([batch.observations[batch.mask], batch.actions[batch.mask]], dim=1)  # [N, D + U]
        rewards[batch.mask] = self.step(steps).squeeze(1) * self._scale
        return rewards.to(there)

    @torch.no_grad()
    def targets(self, batch: BagBatch) -> Tensor:
        """Return the differences d_t of G over whole bags, float32 `[B, L, A]`: they add up to the label of each bag.

        Raises:
            ValueError: Other sizes, or a bag that is not whole.
        """
        batch = self._checked(batch)
        sequences = as_sequences(batch)
        targets = as_batch(self._targets(sequences, batch).double() * self._scale, sequences, batch)
        divisor = self.config.return_scale / self._scale
        return rounded(targets, replace(batch, label=batch.label / divisor))

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `load_state_dict` needs to go on bit for bit."""
        parts = {name: copy.deepcopy(part.state_dict()) for name, part in self._parts().items()}
        return {**parts, "generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        for name, part in self._parts().items():
            part.load_state_dict(copy.deepcopy(state[name]))
        self.generator.set_state(state["generator"].cpu())

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "sub_trajectory": self.sub_trajectory,
            "step": self.step,
            "sub_trajectory_optimizer": self.sub_trajectory_optimizer,
            "step_optimizer": self.step_optimizer,
        }

    @property
    def _scale(self) -> float:
        return 1.0 if self.config.scaled_rewards else self.config.return_scale

    def _checked(self, batch: BagBatch) -> BagBatch:
        self._sizes.check(self.name, batch)
        check_whole(self.name, batch)
        return batch.to(self.device)

    def _fit_sub_trajectories(self, sequences: Sequences, labels: Tensor) -> float:
        """Make the gradient steps of G; returns the mean loss."""
        inputs = _inputs(sequences)  # [S, L, D + U]
        inputs = inputs.view(-1, self._sizes.agents, *inputs.shape[1:])  # [B, A, L, D + U]
        steps = sequences.valid.sum(dim=1).view(-1, self._sizes.agents)  # [B, A]
        longest = inputs.shape[2]
        updates = self.config.cuts or longest
        total = 0.0
        for _ in range(updates):
            bags = self._bags_of_a_cut(len(inputs), longest)
            cut = 1 + int(torch.randint(longest, (), generator=self.generator))
            predictions = self._predict(inputs[bags].flatten(0, 1), steps[bags].flatten(), cut)
            loss = sub_trajectory_loss(predictions.view(-1, self._sizes.agents), labels[bags])
            total += descend_if_finite("diaster, sub-trajectories", loss, self.sub_trajectory_optimizer)["loss"]
        return total / updates

    def _bags_of_a_cut(self, bags: int, longest: int) -> Tensor:
        """Return the indices of the bags of one gradient step."""
        limit = (
            bags if self.config.cut_steps is None else max(1, self.config.cut_steps // (longest * self._sizes.agents))
        )
        if limit >= bags:
            return torch.arange(bags, device=self.device)
        return torch.randperm(bags, generator=self.generator)[:limit].to(self.device)

    def _predict(self, inputs: Tensor, steps: Tensor, cut: int) -> Tensor:
        """Return what G gives to sequences `[S, L, D + U]` cut in two after so many steps, `[S]`."""
        noise = None if self.config.noise == "never" else self.generator
        head = self.sub_trajectory(inputs[:, :cut], noise)
        tail = self.sub_trajectory(inputs[:, cut:], noise) if cut < inputs.shape[1] else head[:, :0]
        return cut_prediction(head, tail, steps)

    def _fit_steps(self, sequences: Sequences, targets: Tensor) -> float:
        """Make the gradient steps of f towards targets `[S, L]`; returns the mean loss."""
        inputs, targets = _inputs(sequences)[sequences.valid], targets[sequences.valid]  # [N, D + U], [N]
        total = 0.0
        updates = self.config.step_updates or sequences.valid.shape[1]
        for _ in range(updates):
            rows = torch.randperm(len(targets), generator=self.generator)[: self.config.step_batch].to(self.device)
            loss = step_loss(self.step(inputs[rows]).squeeze(1), targets[rows])
            total += descend_if_finite("diaster, steps", loss, self.step_optimizer)["loss"]
        return total / updates

    @torch.no_grad()
    def _targets(self, sequences: Sequences, batch: BagBatch) -> Tensor:
        """Return the targets `[S, L]` of the steps of sequences, on the divided axis."""
        noise = self.generator if self.config.noise == "always" else None
        beginnings = self.sub_trajectory(_inputs(sequences), noise)  # [S, L]
        return step_targets(
            beginnings.view(-1, self._sizes.agents, beginnings.shape[1]),
            sequences.valid.sum(dim=1).view(-1, self._sizes.agents),
            batch.label / self.config.return_scale,
            batch.labeled,
        ).flatten(0, 1)


def _inputs(sequences: Sequences) -> Tensor:
    return torch.cat([sequences.observations, sequences.actions], dim=2)
