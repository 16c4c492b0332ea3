"""Reward design: a program says the reward of a step itself, and nothing is learned from labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule
from bagged_envs.baselines.redistributors.factor_inputs import FactorInputs, program_factors
from bagged_envs.baselines.redistributors.fitting import Sizes
from bagged_envs.baselines.settings import check_settings


@dataclass(frozen=True)
class RewardDesignConfig:
    """Settings of reward design.

    Attributes:
        factors: The file of a program that says one number of a step, such as `bagged-envs factors --reward` writes.
        allow_weaker_sandbox: As in `LaReRDConfig`.
    """

    factors: str | None = None
    allow_weaker_sandbox: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            TypeError: One of them is of another type.
        """
        check_settings(self)


class RewardDesign:
    """Pays what a program says of each step: labels are not looked at, and sums are whatever they are.

    Attributes:
        factors: What says the rewards; a store that was told to `keep` it computes them once per step.
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.

    Source:
        The comparison "LLM reward design" of the LaRe paper (arXiv:2412.11120): the same prompts, one number.
    """

    name = "reward_design"
    own_units = True
    context: Context = "step"
    exact = False
    stored = False
    only_labeled = False
    sampling: Sampling | None = None
    schedule = Schedule()

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: RewardDesignConfig = RewardDesignConfig(),
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
    ) -> None:
        """Start the program; nothing is drawn from `seed`, and nothing lives on `device`.

        Raises:
            CageError: Programs cannot be caged on this machine.
            ValueError: `config.factors` is None, or names no program that can be used here, or says several numbers.
        """
        self.config, self._sizes = config, Sizes.of(observation_size, action_size, agents)
        self.factors = program_factors(self.name, config, observation_size, action_size)
        if self.factors.size != 1:
            raise ValueError(
                f"{self.name} needs a program that says one number, the reward, got {self.factors.size} of "
                f"{self.factors.program.origin}: use lare_rd, which learns what they are worth."
            )
        self._inputs = FactorInputs(self.factors, standardize=False)

    def update(self, batch: BagBatch) -> Metrics:
        """Learn nothing.

        Raises:
            ValueError: The batch has other sizes.
        """
        self._sizes.check(self.name, batch)
        return {"labeled": float(batch.labeled.sum())}

    def relabel(self, batch: BagBatch) -> Tensor:
        """Return what the program says, `[B, L, A]`.

        Raises:
            ValueError: The batch has other sizes.
        """
        self._sizes.check(self.name, batch)
        return self._inputs.of(batch)[..., 0]

    def state_dict(self) -> dict[str, Any]:
        """Return the program's digest."""
        return self._inputs.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Check that a saved state is of the same program.

        Raises:
            ValueError: It is of another.
        """
        self._inputs.load_state_dict(state)
