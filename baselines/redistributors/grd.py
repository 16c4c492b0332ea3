"""GRD: return decomposition through learned causal masks of what moves the reward and the state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule
from bagged_envs.baselines.networks import MLP
from bagged_envs.baselines.redistributors.fitting import Sizes
from bagged_envs.baselines.redistributors.rd import return_decomposition_loss
from bagged_envs.baselines.redistributors.regression import LabelRegression
from bagged_envs.baselines.settings import check_settings

Start = Literal["on", "random"]
SMALLEST_DEVIATION = 1e-3

# The weights of the sparsity terms that the official code's README gives for MuJoCo tasks: settings of GRD.
PUBLISHED_SPARSITY: dict[str, dict[str, float]] = {
    task: dict(
        zip(("state_reward", "action_reward", "state_state", "state_self", "action_state"), weights, strict=True)
    )
    for task, weights in {
        "Ant": (1e-5, 1e-9, 1e-7, 1e-8, 1e-8),
        "HalfCheetah": (1e-5, 1e-5, 1e-5, 1e-6, 1e-5),
        "Walker2d": (1e-5, 1e-5, 1e-6, 1e-6, 1e-7),
        "Humanoid": (1e-5, 1e-8, 1e-5, 1e-7, 1e-8),
        "Reacher": (5e-7, 1e-8, 1e-8, 1e-8, 1e-8),
        "Swimmer": (1e-7, 1e-9, 1e-9, 0.0, 1e-9),
        "Hopper": (1e-6, 1e-6, 1e-6, 1e-7, 1e-6),
        "HumanoidStandup": (1e-5, 1e-4, 1e-6, 1e-7, 1e-7),
    }.items()
}


@dataclass(frozen=True)
class GRDConfig:
    """Settings of GRD; defaults are those of the official code for HalfCheetah unless said otherwise.

    Attributes:
        hidden: Widths of the hidden layers, of the reward network and of the dynamics network.
        mixtures: How many Gaussians describe the next value of an element of the state.
        learning_rate: Of Adam, which serves both networks and the masks.
        bags: How many bags an update draws: 256 steps in all, 64 of each.
        steps: How many random steps of each bag.
        dynamics_pairs: From so many random pairs of a step and an element of its next state an update learns the
            dynamics; None for all of them (official), which takes several times as long as everything else where
            states have many elements. Ours: so many that rewards and dynamics take about as long as a learner's update.
        temperature: Of the Gumbel-softmax that draws masks. The lower, the rarer and larger are the masks' gradients.
        start: Masks begin with all edges "on" (logits +1 and -1; a flag of the official code) or "random" (its
            default, Xavier-uniform logits). Ours: "on", because a random start can freeze with half the edges off.
        state_reward: Weight of switching off edges from elements of the state to the reward.
        action_reward: ... from elements of the action to the reward.
        state_state: ... from elements of the state to other elements of the next state.
        state_self: ... from elements of the state to themselves in the next state.
        action_state: ... from elements of the action to elements of the next state.
        reward_threshold: The two terms about the reward count only while its loss is no larger; None for always.
        dynamics_threshold: The other three count only while the loss of the dynamics is no larger; None for always.
        warm_up: No update before so many environment steps.
        every: Update every so many environment steps, ...
        updates: ... so many times.
        standardize: Fit labels per step with their mean removed and divided by their deviation, and undo it on output.
            Ours, off as in the original.
    """

    hidden: tuple[int, ...] = (256, 256)
    mixtures: int = 3
    learning_rate: float = 3e-4
    bags: int = 4
    steps: int = 64
    dynamics_pairs: int | None = 128
    temperature: float = 0.01
    start: Start = "on"
    state_reward: float = 1e-5
    action_reward: float = 1e-5
    state_state: float = 1e-5
    state_self: float = 1e-6
    action_state: float = 1e-5
    reward_threshold: float | None = 1e-4
    dynamics_threshold: float | None = 0.5
    warm_up: int = 10_000
    every: int = 100
    updates: int = 100
    standardize: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One of them is out of range.
        """
        check_settings(self)


class Masks(NamedTuple):
    """Which edges are on: 1.0 or 0.0. As logits, each has two more: for "on" and for "off".

    Attributes:
        state_reward: `[D]`.
        action_reward: `[U]`.
        state_state: `[D, D]`, from an element (row) to an element of the next state (column).
        action_state: `[U, D]`, likewise.
    """

    state_reward: Tensor
    action_reward: Tensor
    state_state: Tensor
    action_state: Tensor


def hard_mask(logits: Tensor) -> Tensor:
    """Return where "on" is likelier than "off": `[..., 2]` to `[...]`."""
    return (logits[..., 0] > logits[..., 1]).to(logits.dtype)


def sampled_mask(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """Return a mask drawn by Gumbel-softmax, hard going forward and soft in its gradient.

    Args:
        logits: `[..., 2]`.
        noise: Gumbel-distributed, `[..., 2]`.
        temperature: Of the softmax that stands in for the gradient.
    """
    soft = ((logits + noise) / temperature).softmax(dim=-1)[..., 0]
    return hard_mask(logits + noise) + (soft - soft.detach())


def off_entropy(logits: Tensor) -> Tensor:
    """Return the cross-entropy of the edges with "off", averaged; 0.0 where there are none.

    Example:
        >>> import math, torch
        >>> round(off_entropy(torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])).item(), 6)  # (log 4 + log 2) / 2
        1.039721
    """
    return -logits.log_softmax(dim=-1)[..., 1].sum() / max(logits[..., 1].numel(), 1)


def sparsity(logits: Masks, config: GRDConfig) -> tuple[Tensor, Tensor]:
    """Return the weighted sparsity terms: those of the reward's edges, and those of the dynamics'."""
    diagonal = torch.eye(len(logits.state_state), dtype=torch.bool, device=logits.state_state.device)
    reward = config.state_reward * off_entropy(logits.state_reward)
    reward = reward + config.action_reward * off_entropy(logits.action_reward)
    dynamics = config.state_state * off_entropy(logits.state_state[~diagonal])
    dynamics = dynamics + config.state_self * off_entropy(logits.state_state[diagonal])
    return reward, dynamics + config.action_state * off_entropy(logits.action_state)


def mixture_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return minus the mean log-likelihood of targets under mixtures of Gaussians.

    Args:
        outputs: `[..., 3 G]`: logits of the weights, means, and what softplus makes deviations of (at least 0.001).
        targets: `[...]`.
    """
    weights, means, deviations = outputs.chunk(3, dim=-1)  # [..., G] each
    deviations = functional.softplus(deviations) + SMALLEST_DEVIATION
    squares = ((targets[..., None] - means) / deviations).square()
    log_density = -0.5 * squares - deviations.log() - 0.5 * math.log(2 * math.pi)
    return -(weights.log_softmax(dim=-1) + log_density).logsumexp(dim=-1).mean()


def reward_inputs(states: Tensor, actions: Tensor, masks: Masks) -> Tensor:
    """Return what the reward network sees: `[..., D]` and `[..., U]` to `[..., D + U]`."""
    return torch.cat((states * masks.state_reward, actions * masks.action_reward), dim=-1)


def dynamics_inputs(states: Tensor, actions: Tensor, masks: Masks, element: Tensor) -> Tensor:
    """Return what the dynamics network sees to predict one element of each next state: `[N, D + U]`.

    Args:
        states: `[N, D]`.
        actions: `[N, U]`.
        masks: Of which column j of the last two is for element j of the next state.
        element: int64 `[N]`, j.
    """
    return torch.cat((states * masks.state_state.T[element], actions * masks.action_state.T[element]), dim=-1)


def ancestors(state_reward: Tensor, state_state: Tensor) -> Tensor:
    """Return which elements of the state reach the reward, directly or through later states: bool `[D]`.

    Args:
        state_reward: `[D]`, nonzero where an edge leads to the reward.
        state_state: `[D, D]`, nonzero where an edge leads from the row's element to the column's.

    Example:
        >>> import torch
        >>> chain = torch.tensor([[0, 1, 0], [0, 0, 0], [0, 1, 1]])
        >>> ancestors(torch.tensor([0, 1, 0]), chain).tolist()  # 0 -> 1 -> reward, 2 -> 1
        [True, True, True]
        >>> ancestors(torch.tensor([1, 0, 0]), chain).tolist()
        [True, False, False]
    """
    reached, edges = state_reward.bool(), state_state.bool()
    for _ in range(len(reached)):
        reached = reached | (edges & reached).any(dim=1)
    return reached


class CausalModel(nn.Module):
    """The logits of the masks, the reward network, and one dynamics network for all elements of the next state."""

    def __init__(self, observation_size: int, action_size: int, config: GRDConfig, generator: torch.Generator) -> None:
        """Draw weights and, with `start="random"`, logits from the generator."""
        super().__init__()
        inputs = observation_size + action_size
        self.reward = MLP((inputs, *config.hidden, 1), generator, init="xavier")
        self.dynamics = MLP((inputs, *config.hidden, 3 * config.mixtures), generator, init="xavier")
        shapes = ((observation_size,), (action_size,), (observation_size,) * 2, (action_size, observation_size))
        self.logits = nn.ParameterList([self._first_logits(shape, config.start, generator) for shape in shapes])

    @property
    def mask_logits(self) -> Masks:
        """The logits by name, `[..., 2]` each."""
        return Masks(*self.logits)

    @staticmethod
    def _first_logits(shape: tuple[int, ...], start: Start, generator: torch.Generator) -> nn.Parameter:
        if start == "on":
            return nn.Parameter(torch.tensor([1.0, -1.0]).repeat(*shape, 1))
        return nn.Parameter(nn.init.xavier_uniform_(torch.empty(*shape, 2), generator=generator))


class GRD:
    """Regresses a reward per step on the labels, through the elements of state and action that cause it.

    The reward network sees `concat(s, a)` with masks on both, without the next state: a reward of a change that the
    state does not show cannot be represented. A mixture of Gaussians with masks of its own learns the dynamics, one
    element of the next state at a time, and sparsity terms switch edges off. Several agents share networks and masks;
    what the model says of the agents of a step adds up to the step's reward. Dynamics, too, are learned from labeled
    bags only.

    Attributes:
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.

    Source:
        Zhang et al., "Interpretable Reward Redistribution in Reinforcement Learning: A Causal Approach", NeurIPS 2023
        (arXiv:2305.18427); the author's code ReedZyd/grd_neurips. Where we differ: deviations are a softplus (there a
        raw output, which may be negative); `compact_state_mask` is what the paper states (there one number for all
        elements comes out); masks start on; the dynamics learn from the steps of the bags drawn, as many as there in
        a batch of their own, and of each of them from some elements only; sparsity terms are means over edges.
    """

    name = "grd"
    context: Context = "step"
    exact = False
    stored = False
    only_labeled = False

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: GRDConfig = GRDConfig(),
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
    ) -> None:
        """Draw networks from `seed`; the noise of the masks goes on from there."""
        self.config = config
        self.sampling: Sampling | None = Sampling(bags=config.bags, steps=config.steps, weight="length")
        self.schedule = Schedule(every=config.every, updates=config.updates, warm_up=config.warm_up)
        # On the CPU, as the weights: one seed draws the same masks wherever the networks live.
        self._generator = torch.Generator().manual_seed(seed)
        self._causes = CausalModel(observation_size, action_size, config, self._generator)
        sizes = Sizes.of(observation_size, action_size, agents)
        self._model = LabelRegression(
            self.name, self._causes, sizes, config.learning_rate, device, standardize=config.standardize
        )

    @property
    def masks(self) -> Masks:
        """The edges that are on, without noise."""
        return Masks(*(hard_mask(logits.detach()) for logits in self._causes.mask_logits))

    @property
    def compact_state_mask(self) -> Tensor:
        """Which elements of the state a policy needs: those that reach the reward, bool `[D]`."""
        masks = self.masks
        return ancestors(masks.state_reward, masks.state_state)

    def update(self, batch: BagBatch) -> Metrics:
        """Make one step of Adam on the labeled bags, samples of their steps or whole.

        Raises:
            ValueError: The batch has other sizes.
            FloatingPointError: The loss or its gradient is not finite; nothing was changed.
        """
        before = self._generator.get_state()
        try:
            metrics = self._model.fit(batch, self._loss)
        except FloatingPointError:
            self._generator.set_state(before)
            raise
        if not metrics["labeled"]:
            return metrics
        masks = self.masks
        edges = {name: getattr(masks, name).mean().item() for name in ("state_reward", "action_reward")}
        return metrics | {f"{name}_edges": share for name, share in edges.items()}

    def relabel(self, batch: BagBatch) -> Tensor:
        """Return the reward network's rewards under masks without noise, `[B, L, A]`.

        Raises:
            ValueError: The batch has other sizes.
        """
        return self._model.rewards(batch, lambda here: self._rewards(here, self.masks))

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the weights, optimizer, scale of the labels, generator and number of updates."""
        return self._model.state_dict() | {"generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._model.load_state_dict(state)
        self._generator.set_state(state["generator"].cpu())

    def _rewards(self, batch: BagBatch, masks: Masks) -> Tensor:
        inputs = reward_inputs(batch.observations, batch.actions, masks)  # [B, L, A, D + U]
        rewards: Tensor = self._causes.reward(torch.where(batch.mask[..., None], inputs, 0.0)).squeeze(3)
        return rewards

    def _loss(self, batch: BagBatch, label: Tensor) -> tuple[Tensor, Metrics]:
        logits, config = self._causes.mask_logits, self.config
        masks = Masks(*(sampled_mask(one, self._gumbel(one), config.temperature) for one in logits))
        reward = return_decomposition_loss(self._rewards(batch, masks), batch.mask, label, batch.length)
        step, element = (part.to(batch.mask.device) for part in self._pairs(int(batch.mask.sum())))
        states, actions, after = (
            part[batch.mask][step] for part in (batch.observations, batch.actions, batch.next_observations)
        )
        outputs = self._causes.dynamics(dynamics_inputs(states, actions, masks, element))  # [N, 3 G]
        dynamics = mixture_loss(outputs, after.gather(1, element[:, None])[:, 0])
        reward_edges, dynamics_edges = sparsity(logits, config)
        loss = reward + _while_below(reward, config.reward_threshold) * reward_edges
        loss = loss + dynamics + _while_below(dynamics, config.dynamics_threshold) * dynamics_edges
        return loss, {"reward_loss": reward.item(), "dynamics_loss": dynamics.item()}

    def _pairs(self, steps: int) -> tuple[Tensor, Tensor]:
        """Return steps and elements of the next state, as many as an update learns from: int64 `[N]` each."""
        limit, elements = self.config.dynamics_pairs, self._model.sizes.observation
        if limit is None or limit >= steps * elements:
            pair = torch.arange(steps * elements)
        else:
            pair = torch.randint(steps * elements, (limit,), generator=self._generator)
        return pair // elements, pair % elements

    def _gumbel(self, logits: Tensor) -> Tensor:
        exponential = torch.empty(logits.shape).exponential_(generator=self._generator)
        return -exponential.clamp(min=torch.finfo(exponential.dtype).tiny).log().to(logits.device)


def _while_below(loss: Tensor, threshold: float | None) -> Tensor:
    return torch.ones_like(loss) if threshold is None else (loss.detach() <= threshold).to(loss.dtype)
