"""LaRe: return decomposition over a few factors of each step, which a program says, in place of the step itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch, Metrics
from bagged_envs.baselines.latent_rewards.factors import ProgramFactors
from bagged_envs.baselines.redistributors.factor_inputs import FactorInputs, program_factors
from bagged_envs.baselines.redistributors.fitting import share_among_agents, team_rewards
from bagged_envs.baselines.redistributors.rd import RD, RDConfig
from bagged_envs.baselines.redistributors.rrd import RRDConfig, RRDUnbiased


@dataclass(frozen=True)
class LaReRDConfig(RDConfig):
    """Settings of LaRe-RD: those of RD, and of its factors.

    Attributes:
        factors: What says them: a task's name for the hand-written program of the package, or the path of a program.
            None is the task's own, where it is known which task that is.
        standardize_factors: Whether the decoder sees factors with their mean removed and divided by their deviation,
            over all steps that updates saw. Ours: raw factors may differ a thousandfold; off as in the original.
        allow_weaker_sandbox: Run the program also where the system cannot be kept from it by seccomp.
        agent_decomposition: Whether each agent of a team is paid what the decoder says of it; if not, the agents of a
            step share what it says of all of them, the paper's "w/o AD". The fit is the same.
    """

    factors: str | None = None
    standardize_factors: bool = True
    allow_weaker_sandbox: bool = False
    agent_decomposition: bool = True


@dataclass(frozen=True)
class LaReRRDUnbiasedConfig(RRDConfig):
    """Settings of LaRe with the unbiased form of RRD: those of RRD, and of its factors.

    Attributes:
        factors, standardize_factors, allow_weaker_sandbox, agent_decomposition: As in `LaReRDConfig`.
    """

    factors: str | None = None
    standardize_factors: bool = True
    allow_weaker_sandbox: bool = False
    agent_decomposition: bool = True


def decomposed(rewards: Tensor, mask: Tensor, by_agent: bool) -> Tensor:
    """Return rewards `[B, L, A]` as they are, or each step's shared equally by the agents who are there."""
    return rewards if by_agent else share_among_agents(team_rewards(rewards, mask), mask)


class LaReRD(RD):
    """RD over factors: a program says a few numbers of each step, and a decoder that sees only those is fitted.

        min_psi mean_i (1/T_i sum_t f_psi(phi(s_t, a_t)) - R_i / T_i)^2

    The program phi is fixed, and runs in a process of its own that can neither open files nor connect anywhere. Where
    the reward is a function of the factors there is less to learn than from the state; where it is not, what the
    factors miss can never be paid. One decoder serves all agents of a step.

    Attributes:
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.

    Source:
        Qu et al., "Latent Reward: LLM-Empowered Credit Assignment in Episodic Reinforcement Learning", AAAI 2025
        (arXiv:2412.11120), equation 6; settings as RD's. Ours: factors are standardized, and computed once.
    """

    name = "lare_rd"

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: LaReRDConfig = LaReRDConfig(),
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
    ) -> None:
        """Start the program, and draw the decoder from `seed`.

        Raises:
            CageError: Programs cannot be caged on this machine.
            ValueError: `config.factors` is None, or names no program that can be used here.
        """
        factors = program_factors(self.name, config, observation_size, action_size)
        self._scaled = FactorInputs(factors, config.standardize_factors)
        self._decomposed = config.agent_decomposition
        super().__init__(observation_size, action_size, config, seed, device, agents, self._scaled.inputs)

    @property
    def factors(self) -> ProgramFactors:
        """What says the factors; a store that was told to `keep` it computes them once per step."""
        return self._scaled.factors

    @factors.setter
    def factors(self, factors: ProgramFactors) -> None:
        self._scaled.factors = factors

    def update(self, batch: BagBatch) -> Metrics:
        """Make one step of Adam on the labeled bags, which must be whole.

        Raises:
            ValueError: The batch has other sizes, or a bag is a sample of its steps.
            FloatingPointError: The loss or its gradient is not finite; nothing was changed.
        """
        self._model.sizes.check(self.name, batch)
        return self._scaled.updated(batch, super().update)

    def relabel(self, batch: BagBatch) -> Tensor:
        """Return the decoder's rewards, `[B, L, A]`; without agent decomposition, equal shares of each step's.

        Raises:
            ValueError: The batch has other sizes.
        """
        return decomposed(super().relabel(batch), batch.mask, self._decomposed)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the decoder's state, the scale of the factors and the program's digest."""
        return {**super().state_dict(), "factors": self._scaled.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: It is of another program.
        """
        self._scaled.load_state_dict(state["factors"])
        super().load_state_dict(state)


class LaReRRDUnbiased(RRDUnbiased):
    """LaRe with the unbiased loss of RRD, from random steps of each bag; else as `LaReRD`.

    Attributes:
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.

    Source:
        As `LaReRD`; the correction is that of `rrd_unbiased`, also for bags shorter than the sample, where the original
        has its sign reversed.
    """

    name = "lare_rrd_unbiased"

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: LaReRRDUnbiasedConfig = LaReRRDUnbiasedConfig(),
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
    ) -> None:
        """Start the program, and draw the decoder from `seed`.

        Raises:
            CageError: Programs cannot be caged on this machine.
            ValueError: `config.factors` is None, or names no program that can be used here, or `config.steps` is 1.
        """
        factors = program_factors(self.name, config, observation_size, action_size)
        self._scaled = FactorInputs(factors, config.standardize_factors)
        self._decomposed = config.agent_decomposition
        super().__init__(observation_size, action_size, config, seed, device, agents, self._scaled.inputs)

    @property
    def factors(self) -> ProgramFactors:
        """What says the factors; a store that was told to `keep` it computes them once per step."""
        return self._scaled.factors

    @factors.setter
    def factors(self, factors: ProgramFactors) -> None:
        self._scaled.factors = factors

    def update(self, batch: BagBatch) -> Metrics:
        """Make one step of Adam on the labeled bags, samples of their steps or whole.

        Raises:
            ValueError: The batch has other sizes.
            FloatingPointError: The loss or its gradient is not finite; nothing was changed.
        """
        self._model.sizes.check(self.name, batch)
        return self._scaled.updated(batch, super().update)

    def relabel(self, batch: BagBatch) -> Tensor:
        """Return the decoder's rewards, `[B, L, A]`; without agent decomposition, equal shares of each step's.

        Raises:
            ValueError: The batch has other sizes.
        """
        return decomposed(super().relabel(batch), batch.mask, self._decomposed)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the decoder's state, the scale of the factors and the program's digest."""
        return {**super().state_dict(), "factors": self._scaled.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: It is of another program.
        """
        self._scaled.load_state_dict(state["factors"])
        super().load_state_dict(state)
