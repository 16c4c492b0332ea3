"""What methods over factors share: factors of a batch, from its store or newly computed, on one scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch, Metrics
from bagged_envs.baselines.latent_rewards.factors import ProgramFactors
from bagged_envs.baselines.latent_rewards.program import Program
from bagged_envs.baselines.redistributors.fitting import Inputs

FARTHEST = 20.0  # deviations: a factor that hardly moved until now may do so any time


class FactorSettings(Protocol):
    """What every configuration of a method over factors has."""

    @property
    def factors(self) -> str | None:
        """The name of a program."""

    @property
    def allow_weaker_sandbox(self) -> bool:
        """Whether to do without seccomp."""


@dataclass(frozen=True)
class FactorScale:
    """Mean and spread of each factor, over all steps seen, repeats included.

    Attributes:
        count: How many steps, of single agents.
        mean: Of each factor.
        squares: The sums of squared deviations from the means.
    """

    count: int
    mean: tuple[float, ...]
    squares: tuple[float, ...]

    @classmethod
    def none(cls, size: int) -> FactorScale:
        """Return that of so many factors in no steps."""
        return cls(0, (0.0,) * size, (0.0,) * size)

    @property
    def deviation(self) -> tuple[float, ...]:
        """The standard deviations; 1.0 of factors that are all but constant so far."""
        deviations = (math.sqrt(squares / max(self.count, 1)) for squares in self.squares)
        floors = (1e-6 * max(abs(mean), 1e-6) for mean in self.mean)
        return tuple(one if one > floor else 1.0 for one, floor in zip(deviations, floors, strict=True))

    def after(self, steps: Tensor) -> FactorScale:
        """Return the scale after some more steps, `[N, F]`."""
        if not len(steps):
            return self
        added, more = len(steps), steps.double()
        mean = more.mean(dim=0)
        squares = (more - mean).square().sum(dim=0)
        old_mean, count = torch.tensor(self.mean, dtype=torch.float64, device=steps.device), self.count + added
        gap = mean - old_mean
        old_squares = torch.tensor(self.squares, dtype=torch.float64, device=steps.device)
        squares = old_squares + squares + gap.square() * (self.count * added / count)
        return FactorScale(count, tuple((old_mean + gap * (added / count)).tolist()), tuple(squares.tolist()))

    def standardize(self, factors: Tensor) -> Tensor:
        """Return factors `[..., F]` of mean 0 and deviation 1, over the steps that were seen, at most `FARTHEST`."""
        mean, deviation = (factors.new_tensor(values) for values in (self.mean, self.deviation))
        return ((factors - mean) / deviation).clamp(-FARTHEST, FARTHEST)


class FactorInputs:
    """What decoders see of a batch: its factors, those of the store or newly computed, on one scale.

    Attributes:
        factors: What says them.
        scale: Of what was seen so far.
        inputs: What a network is to see.
    """

    def __init__(self, factors: ProgramFactors, standardize: bool) -> None:
        """Have seen nothing yet."""
        self.factors, self._standardize = factors, standardize
        self.scale = FactorScale.none(factors.size)
        self.inputs = Inputs(factors.size, self.of)

    def raw(self, batch: BagBatch) -> Tensor:
        """Return the factors of a batch, `[B, L, A, F]`, 0.0 in padding.

        Raises:
            ValueError: The batch brings another number of them.
        """
        said = batch.factors if batch.factors is not None else self._computed(batch)
        if said.shape[3] != self.factors.size:
            raise ValueError(
                f"factors must be {self.factors.size} of each step, as {self.factors.program.origin} says them, got "
                f"{said.shape[3]}: have the store keep those of this redistributor."
            )
        return torch.where(batch.mask[..., None], said, torch.zeros_like(said))

    def of(self, batch: BagBatch) -> Tensor:
        """Return what the decoder sees of a batch, `[B, L, A, F]`, 0.0 in padding."""
        factors = self.raw(batch)
        if not self._standardize:
            return factors
        scaled = self.scale.standardize(factors)
        return torch.where(batch.mask[..., None], scaled, torch.zeros_like(scaled))

    def updated(self, batch: BagBatch, update: Callable[[BagBatch], Metrics]) -> Metrics:
        """Count the steps of labeled bags in, and update a decoder with the batch.

        Raises:
            FloatingPointError: The update's; the scale is what it was.
            ValueError: Likewise.
        """
        if batch.factors is None:
            batch = replace(batch, factors=self._computed(batch))
        before = self.scale
        self.scale = before.after(self.raw(batch)[batch.mask & batch.labeled[:, None, None]])
        try:
            return update(batch)
        except (FloatingPointError, ValueError):
            self.scale = before
            raise

    def _computed(self, batch: BagBatch) -> Tensor:
        there = batch.mask.cpu()
        rows = (part.cpu()[there].numpy() for part in (batch.observations, batch.actions, batch.next_observations))
        said = np.zeros((*there.shape, self.factors.size), np.float32)
        said[there.numpy()] = self.factors(*rows)
        return torch.from_numpy(said).to(batch.mask.device)

    def state_dict(self) -> dict[str, Any]:
        """Return the scale, and which program it is of."""
        return {"scale": asdict(self.scale), "program": self.factors.program.sha256}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: It is that of another program.
        """
        own = self.factors.program
        if state["program"] != own.sha256:
            raise ValueError(
                f"the saved decoder is for factors of the program with SHA-256 {state['program']}, got that of "
                f"{own.origin} with {own.sha256}: name the program that it was trained with as factors."
            )
        saved = state["scale"]
        self.scale = FactorScale(int(saved["count"]), tuple(saved["mean"]), tuple(saved["squares"]))


def program_factors(name: str, config: FactorSettings, observation_size: int, action_size: int) -> ProgramFactors:
    """Return what the setting `factors` of a method names.

    Raises:
        CageError: Programs cannot be caged on this machine.
        OSError: The file cannot be read.
        ValueError: There is no such program, it is refused or fails, or it is for other sizes.
    """
    if config.factors is None:
        own = (
            "" if name == "reward_design" else "a task whose hand-written ones fit, such as factors='HalfCheetah', or "
        )
        raise ValueError(
            f"{name} needs factors, got none: name {own}the file of a program, such as factors='my_factors.txt'."
        )
    return ProgramFactors(Program.named(config.factors), observation_size, action_size, config.allow_weaker_sandbox)
