"""QMIX: agents with values of their own, mixed into one of the team that never falls when one of them rises."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor, nn

from bagged_envs.baselines.api import Metrics, TeamEpisodes
from bagged_envs.baselines.learners import state as states
from bagged_envs.baselines.networks import MLP, generators, initialize
from bagged_envs.baselines.settings import check_settings
from bagged_envs.baselines.updates import adam, descend, finite
from bagged_envs.wrappers.arguments import positive_int


@dataclass(frozen=True)
class QMIXConfig:
    """Settings of QMIX; the defaults are EPyMARL's, with PyMARL2's networks and the exploration of STAS's baseline.

    Attributes:
        hidden: Width of the agents' network, before, in and after its GRU.
        embed: Width of the mixer.
        hypernet: Widths of the hidden layers of the two networks that give the mixer its weights; with none they are
            linear, as in STAS's code.
        init: How weights begin: "default" (PyTorch's), "orthogonal" (STAS) or "xavier".
        learning_rate: Adam's.
        discount: Of later rewards; only 1.0 keeps what redistribution promises of returns.
        td_lambda: Between one-step (0.0) and whole-return (1.0) targets; 0.6 in PyMARL2.
        batch: Episodes of one update; there is none before so many are stored.
        updates_per_episode: Updates for each episode that was played.
        epsilon: The probability of a random action at first, for each agent by itself.
        final_epsilon: The same after `epsilon_steps`.
        epsilon_steps: Environment steps in which it goes from one to the other, in a straight line.
        target_every: Updates after which the target networks become the others.
        max_grad_norm: Where the gradient of all networks is clipped, or None.
    """

    hidden: int = 64
    embed: int = 32
    hypernet: tuple[int, ...] = (64,)
    init: str = "default"
    learning_rate: float = 5e-4
    discount: float = 0.99
    td_lambda: float = 0.0
    batch: int = 32
    updates_per_episode: int = 1
    epsilon: float = 1.0
    final_epsilon: float = 0.05
    epsilon_steps: int = 30_000
    target_every: int = 200
    max_grad_norm: float | None = 10.0

    def __post_init__(self) -> None:
        """Check what would only show much later."""
        check_settings(self)

    def epsilon_at(self, steps: int) -> float:
        """Return the probability of a random action after so many environment steps.

        Example:
            >>> [round(QMIXConfig().epsilon_at(steps), 3) for steps in (0, 15_000, 30_000, 90_000)]
            [1.0, 0.525, 0.05, 0.05]
        """
        left = max(0.0, 1.0 - steps / self.epsilon_steps)
        return self.final_epsilon + (self.epsilon - self.final_epsilon) * left


# What STAS's official code has on particle tasks. Unlike there: each agent explores by itself, evaluation does not
# explore, and the team is paid once, not once for each agent.
QMIX_STAS = QMIXConfig(hypernet=(), init="orthogonal", batch=128)
# What LaRe names for SMAC. Unlike there: the loss is not halved, a time limit does not count as an end of the task, and
# there is an update for each episode, where PyMARL2 makes one for each round of eight; targets are changed after 200
# updates, which are as many episodes here as there. Buffers are a run's own (`training.capacity`).
QMIX_PYMARL2 = QMIXConfig(learning_rate=1e-3, td_lambda=0.6, batch=128, epsilon_steps=100_000)


def best(values: Tensor, allowed: Tensor) -> Tensor:
    """Return the numbers `[...]` of the best actions, given values and what is allowed `[..., U]`.

    Where nothing is allowed, as of agents that are gone, everything is.
    """
    possible = allowed | ~allowed.any(dim=-1, keepdim=True)
    return values.masked_fill(~possible, -torch.inf).argmax(dim=-1)


def double_values(online: Tensor, target: Tensor, allowed: Tensor) -> Tensor:
    """Return the target network's values `[...]` of the online network's best actions, from `[..., U]`.

    Double Q-learning (van Hasselt et al. 2016, arXiv 1509.06461, equation 4).
    """
    return target.gather(-1, best(online, allowed)[..., None]).squeeze(-1)


def mixed(values: Tensor, first: Tensor, bias: Tensor, second: Tensor, offset: Tensor) -> Tensor:
    """Return Q_tot = ELU(q |W1| + b1) |W2| + b2: `[N]` (Rashid et al. 2018, figure 2).

    Args:
        values: q, `[N, A]`.
        first: W1, `[N, A, E]`.
        bias: b1, `[N, E]`.
        second: W2, `[N, E]`.
        offset: b2, `[N]`.
    """
    hidden = nn.functional.elu((values[:, :, None] * first.abs()).sum(dim=1) + bias)
    return (hidden * second.abs()).sum(dim=1) + offset


def lambda_targets(
    rewards: Tensor, next_values: Tensor, terminated: Tensor, learned: Tensor, discount: float, lam: float
) -> Tensor:
    """Return G_t = r_t + discount (1 - terminated_t) ((1 - lam) V_{t+1} + lam G_{t+1}), all `[B, L]`.

    With lam 0.0 that is the one-step target. Where the next step is not learned from (an episode's end, a bag without a
    label) its value stands for its target, so that a truncated step keeps the value of what was observed last.

    Args:
        rewards: Of all agents together, r.
        next_values: V of what was observed next.
        terminated: 1.0 where the task itself ended.
        learned: bool, which steps are learned from.
        discount: Of what comes later.
        lam: From 0.0 to 1.0.
    """
    kept, found = discount * (1.0 - terminated), list[Tensor]()
    goes_on = torch.cat((learned[:, 1:], torch.zeros_like(learned[:, :1])), dim=1)
    for step in reversed(range(rewards.shape[1])):
        value = next_values[:, step]
        later = torch.where(goes_on[:, step], found[-1], value) if found else value
        found.append(rewards[:, step] + kept[:, step] * ((1.0 - lam) * value + lam * later))
    return torch.stack(found[::-1], dim=1)


def masked_loss(values: Tensor, targets: Tensor, learned: Tensor) -> Tensor:
    """Return the mean squared error over the steps that are learned from, of `[B, L]` (Rashid et al. 2018, eq. 6)."""
    return nn.functional.mse_loss(values[learned], targets[learned])


class AgentNetwork(nn.Module):
    """Values of one agent's actions, given all that it has seen so far; one network for all agents.

    Linear, ReLU, GRU, Linear.
    """

    def __init__(self, inputs: int, config: QMIXConfig, actions: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = MLP((inputs, config.hidden), generator, init=config.init)
        self.cell = nn.utils.skip_init(nn.GRUCell, config.hidden, config.hidden)  # type: ignore[no-untyped-call]
        for kind in ("ih", "hh"):
            weight, bias = (getattr(self.cell, f"{part}_{kind}") for part in ("weight", "bias"))
            initialize(weight, bias, config.init, 1.0, generator)
        self.last = MLP((config.hidden, actions), generator, init=config.init)

    def forward(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return values `[T, N, U]` of inputs `[T, N, I]` in the order of time, and the memory `[N, H]` after them.

        A loop over a cell takes two thirds of the time of `nn.GRU` on the CPU.
        """
        remembered = []
        for step in torch.relu(self.first(inputs)):
            hidden = self.cell(step, hidden)
            remembered.append(hidden)
        return self.last(torch.stack(remembered)), hidden


class Mixer(nn.Module):
    """The team's value, given the agents' and a state, from which its weights are made."""

    def __init__(self, state_size: int, agents: int, config: QMIXConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.shape, embed, init = (agents, config.embed), config.embed, config.init
        self.first = MLP((state_size, *config.hypernet, agents * embed), generator, init=init)
        self.bias = MLP((state_size, embed), generator, init=init)
        self.second = MLP((state_size, *config.hypernet, embed), generator, init=init)
        self.offset = MLP((state_size, embed, 1), generator, init=init)

    def forward(self, values: Tensor, states: Tensor) -> Tensor:
        """Return the values `[N]` of the agents' `[N, A]` in states `[N, S]`."""
        first = self.first(states).unflatten(1, self.shape)
        return mixed(values, first, self.bias(states), self.second(states), self.offset(states).squeeze(1))


class Memory(NamedTuple):
    """What the agents of some worlds remember of their episodes.

    Attributes:
        hidden: `[W A, H]`.
        actions: `[W, A, U]`, the last ones.
    """

    hidden: Tensor
    actions: Tensor


class QMIX:
    """Monotonic mixing of the values of agents who act on their own observations.

    All agents share one recurrent network, which also sees the agent's last action and its number. The mixer's state is
    what all agents observe, side by side; an agent that is gone counts as a value of 0.0 there. Each agent explores by
    itself.

    Source: Rashid et al. 2018 (arXiv 1803.11485); PyMARL2 and EPyMARL for what the paper leaves open, the double
    Q-learning among it. Unlike PyMARL: only `terminated` stops bootstrapping, and padding after a truncated episode
    is no part of its targets.

    Args:
        observation_size: Elements of one agent's flattened observation, D.
        action_space: The agents' actions side by side, a `MultiDiscrete` of A equal numbers.
        config: The settings.
        seed: What weights and random actions are drawn from.
        device: Where networks and batches are.

    Example:
        >>> learner = QMIX(3, spaces.MultiDiscrete([5, 5]), seed=0)
        >>> actions, memory = learner.act(torch.zeros(4, 2, 3), epsilon=0.5)
        >>> actions, memory = learner.act(torch.ones(4, 2, 3), memory, epsilon=0.5)
        >>> actions.shape, actions.sum().item()
        (torch.Size([4, 2, 5]), 8.0)
    """

    def __init__(
        self,
        observation_size: int,
        action_space: spaces.Space[Any],
        config: QMIXConfig | None = None,
        *,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config = config = QMIXConfig() if config is None else config
        self.device = torch.device(device)
        self.observation_size = positive_int("observation_size", observation_size)
        self.agents, self.choices = team_choices(action_space)
        weights, self.generator = generators(seed, 2, self.device)
        inputs = observation_size + self.choices + self.agents
        self.agent = AgentNetwork(inputs, config, self.choices, weights).to(self.device)
        self.mixer = Mixer(self.agents * observation_size, self.agents, config, weights).to(self.device)
        self.target_agent, self.target_mixer = copy.deepcopy(self.agent), copy.deepcopy(self.mixer)
        self._parameters: list[Tensor] = [*self.agent.parameters(), *self.mixer.parameters()]
        self.optimizer = adam(self._parameters, config.learning_rate)
        self.updates = 0

    def decay(self, left: float) -> None:
        """Make what follows with a part of the learning rate, from 1.0, all of it, to 0.0.

        Raises:
            ValueError: It is outside of these.
        """
        if not 0.0 <= left <= 1.0:
            raise ValueError(f"left must be from 0 to 1, got {left}: pass the part that is left.")
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * left

    @torch.no_grad()
    def act(
        self,
        observations: Tensor,
        memory: Memory | None = None,
        allowed: Tensor | None = None,
        present: Tensor | None = None,
        epsilon: float = 0.0,
    ) -> tuple[Tensor, Memory]:
        """Return the agents' actions in some worlds, and what to remember until the next step.

        Args:
            observations: `[W, A, D]`.
            memory: What the last step returned; None where the episodes begin.
            allowed: bool `[W, A, U]`, which actions may be chosen; None for all.
            present: bool `[W, A]`, who is there; the others never explore. None for all.
            epsilon: The probability of a random action, for each agent by itself; with 0.0 nothing is drawn.

        Returns:
            One-hot actions `[W, A, U]`, and the memory.
        """
        seen = observations.to(self.device)
        worlds = len(seen)
        hidden, last = memory or (self._blank(worlds), seen.new_zeros(worlds, self.agents, self.choices))
        values, hidden = self.agent(self._inputs(seen, last).flatten(0, 1)[None], hidden)
        values = values.view(worlds, self.agents, self.choices)
        possible = torch.ones_like(values, dtype=torch.bool) if allowed is None else allowed.to(self.device)
        chosen = best(values, possible)
        if epsilon > 0.0:
            explores = self._uniform(chosen.shape) < epsilon
            explores = explores if present is None else explores & present.to(self.device)
            chosen = torch.where(explores, best(self._uniform(values.shape), possible), chosen)
        actions = nn.functional.one_hot(chosen, self.choices).float()
        return actions.to(observations.device), Memory(hidden, actions)

    def update(self, batch: TeamEpisodes) -> Metrics:
        """Update the networks, and every `target_every` times the targets.

        Raises:
            ValueError: The batch has other sizes than the learner, or no step to learn from.
            FloatingPointError: The loss, or on the CPU its gradient, is not finite; nothing was changed.
        """
        self._check(batch)
        values = self._values(self.agent, batch)  # [B, L + 1, A, U]
        chosen = (values[:, :-1] * batch.actions).sum(dim=3)
        totals = self._totals(self.mixer, chosen, batch, slice(None, -1))
        loss = masked_loss(totals, self._targets(batch, values.detach()), batch.learned)
        metrics = {"loss": finite("The loss of QMIX", loss), "value": float(totals[batch.learned].mean().detach())}
        descend(self.optimizer, loss, self._parameters, self.config.max_grad_norm, "QMIX")
        self.updates += 1
        if self.updates % self.config.target_every == 0:
            self.target_agent.load_state_dict(self.agent.state_dict())
            self.target_mixer.load_state_dict(self.mixer.state_dict())
        return metrics

    def targets(self, batch: TeamEpisodes) -> Tensor:
        """Return what the team's values should be, `[B, L]`; of padding, anything."""
        with torch.no_grad():
            return self._targets(batch, self._values(self.agent, batch))

    @torch.no_grad()
    def _targets(self, batch: TeamEpisodes, online: Tensor) -> Tensor:
        """Return the targets `[B, L]`, given the online network's values `[B, L + 1, A, U]`."""
        following = double_values(online, self._values(self.target_agent, batch), batch.allowed)[:, 1:]
        totals = self._totals(self.target_mixer, following, batch, slice(1, None))
        config, learned = self.config, batch.learned
        return lambda_targets(batch.rewards, totals, batch.terminated, learned, config.discount, config.td_lambda)

    def _values(self, network: nn.Module, batch: TeamEpisodes) -> Tensor:
        """Return the values `[B, L + 1, A, U]` of all actions after each step of each episode."""
        last = nn.functional.pad(batch.actions, (0, 0, 0, 0, 1, 0))  # [B, L + 1, A, U]
        inputs = self._inputs(batch.observations, last).transpose(0, 1).flatten(1, 2)  # [L + 1, B A, I]
        values, _ = network(inputs, self._blank(len(batch.actions)))
        return values.unflatten(1, (-1, self.agents)).transpose(0, 1)  # type: ignore[no-any-return]

    def _totals(self, mixer: nn.Module, values: Tensor, batch: TeamEpisodes, at: slice) -> Tensor:
        """Return the team's values `[B, L]`, given the agents' `[B, L, A]` at the observations of some steps."""
        there = torch.where(batch.present[:, at], values, 0.0)
        states = batch.observations[:, at].flatten(2)
        return mixer(there.flatten(0, 1), states.flatten(0, 1)).view(values.shape[:2])  # type: ignore[no-any-return]

    def _inputs(self, seen: Tensor, last: Tensor) -> Tensor:
        """Return what the network sees of each agent: `[..., A, D + U + A]`."""
        numbers = torch.eye(self.agents, device=seen.device).expand(*seen.shape[:-1], -1)
        return torch.cat((seen, last, numbers), dim=-1)

    def _blank(self, worlds: int) -> Tensor:
        return torch.zeros(worlds * self.agents, self.config.hidden, device=self.device)

    def _uniform(self, shape: torch.Size) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.device)

    def _check(self, batch: TeamEpisodes) -> None:
        came = batch.observations.shape[3], batch.actions.shape[3], batch.actions.shape[2]
        if came != (self.observation_size, self.choices, self.agents):
            raise ValueError(
                f"batch must have observations of {self.observation_size} elements, {self.choices} actions and "
                f"{self.agents} agents, got {came[0]}, {came[1]} and {came[2]}: make another learner."
            )
        if not batch.learned.any():
            raise ValueError("batch must have a step to learn from, got none: draw other episodes.")

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of everything that `load_state_dict` needs to go on bit for bit."""
        return states.saved(self._parts(), self.generator, self.updates)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state of the same settings.

        Weights and optimizers move between devices. Draws do not: on another kind of device they go on as they are.
        """
        self.updates = states.load(state, self._parts(), self.generator)

    def _parts(self) -> dict[str, Any]:
        names = ("agent", "mixer", "target_agent", "target_mixer", "optimizer")
        return {name: getattr(self, name) for name in names}


def team_choices(space: spaces.Space[Any]) -> tuple[int, int]:
    """Return how many agents act in a space, and between how many actions each of them chooses.

    Raises:
        TypeError: It is no `MultiDiscrete` of equal numbers.

    Example:
        >>> team_choices(spaces.MultiDiscrete([5, 5, 5]))
        (3, 5)
    """
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1 and len(set(space.nvec.tolist())) == 1:
        return len(space.nvec), int(space.nvec[0])
    raise TypeError(
        f"action_space must be MultiDiscrete, the same number of actions for each agent, for QMIX, got {space}: it "
        "compares all actions of an agent; use ippo or mappo for continuous ones."
    )
