"""LaRe without a decoder: each factor counts for or against, and that is all that is learned."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule
from bagged_envs.baselines.redistributors.factor_inputs import FactorInputs, program_factors
from bagged_envs.baselines.redistributors.fitting import Sizes, check_whole, labeled_bags
from bagged_envs.baselines.settings import check_settings

Floats = npt.NDArray[np.float64]
MOST_FACTORS = 16  # of 65,536 signs


@dataclass(frozen=True)
class LaReSignConfig:
    """Settings of LaRe without a reward model; the original has no code for it, so that all of them are ours.

    Attributes:
        factors: As in `LaReRDConfig`.
        standardize_factors: Whether factors count by how many of their deviations they are from their means.
        scaled: Whether the sum of the factors is brought to the labels' scale by the best factor and offset per step.
            False is the paper's reward, whose sums are labels only up to such a scale.
        bags: How many whole bags an update draws at most, ...
        batch_steps: ... but no more once they have so many steps.
        warm_up: No update before so many environment steps.
        every: Update every so many environment steps, ...
        updates: ... so many times.
        allow_weaker_sandbox: As in `LaReRDConfig`.
    """

    factors: str | None = None
    standardize_factors: bool = True
    scaled: bool = True
    bags: int = 64
    batch_steps: int | None = 16_000
    warm_up: int = 10_000
    every: int = 1000
    updates: int = 4
    allow_weaker_sandbox: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One of them is out of range.
        """
        check_settings(self)


@dataclass(frozen=True)
class SignFit:
    """Rewards `scale * sum_i signs_i z_i + offset` of a step and agent.

    Attributes:
        signs: float64 `[F]`, 1.0 or -1.0.
        scale: At least 0.
        offset: Of each agent that is there.
        error: The sum over bags of the squared errors of labels per step.
    """

    signs: Floats
    scale: float
    offset: float
    error: float


def best_signs(moments: Floats, scaled: bool = True) -> SignFit:
    """Return the signs whose sum of factors is nearest to the labels per step, of all 2^F that there are.

        min over s in {-1, 1}^F, a >= 0, b   sum_i (a s . z_i + b n_i - y_i)^2

    with z_i the factors of bag i, added up over agents and averaged over steps, n_i how many agents a step has on
    average, and y_i the label per step; without scale, a = 1 and b = 0.

    Args:
        moments: float64 `[F + 2, F + 2]`, the sum over bags of the outer product of (z_i, n_i, y_i) with itself.
        scaled: Whether scale and offset are fitted.

    Example:
        >>> rows = np.array([[1.0, 3.0, 1.0, -3.0], [2.0, 1.0, 1.0, 3.0], [0.0, 0.0, 1.0, 1.0]])  # y = 2 (z1 - z2) + 1
        >>> fit = best_signs(rows.T @ rows)
        >>> fit.signs.tolist(), round(fit.scale, 6), round(fit.offset, 6), round(fit.error, 6)
        ([1.0, -1.0], 2.0, 1.0, 0.0)
    """
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(moments) - 2)))  # [2^F, F]
    ones = moments[-2]
    rest = moments - np.outer(ones, ones) / ones[-2] if scaled else moments  # what offsets cannot explain
    sums = np.einsum("sf,fg,sg->s", signs, rest[:-2, :-2], signs)  # of squares of what the signs add up to
    products = signs @ rest[:-2, -1]
    told = sums > 1e-12 * max(1.0, float(sums.max()))
    scales = np.where(told, np.clip(products / np.where(told, sums, 1.0), 0.0, None), 0.0)
    scales = scales if scaled else np.ones(len(signs))
    errors = rest[-1, -1] - 2 * scales * products + scales**2 * sums
    best = int(errors.argmin())
    scale, error = float(scales[best]), max(0.0, float(errors[best]))
    offset = float((ones[-1] - scale * signs[best] @ ones[:-2]) / ones[-2]) if scaled else 0.0
    return SignFit(signs[best], scale, offset, error)


class LaReSign:
    """Pays the sum of a step's factors, each with the sign that fits the labels best: no network.

    Moments of all labeled bags that updates saw are kept, repeats included, and all signs are tried after each.

    Attributes:
        factors: As in `LaReRD`.
        fit: What is paid now; nothing before the first update.
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.

    Source:
        The ablation without reward model of the LaRe paper (arXiv:2412.11120), which names the aim and no procedure.
    """

    name = "lare_sign"
    own_units = True
    context: Context = "step"
    exact = False
    stored = False
    only_labeled = False

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: LaReSignConfig = LaReSignConfig(),
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
    ) -> None:
        """Start the program; nothing is drawn from `seed`, and nothing lives on `device`.

        Raises:
            CageError: Programs cannot be caged on this machine.
            ValueError: `config.factors` is None, or names no program that can be used here, or has too many factors.
        """
        self.config, self._sizes = config, Sizes.of(observation_size, action_size, agents)
        self.factors = program_factors(self.name, config, observation_size, action_size)
        if self.factors.size > MOST_FACTORS:
            raise ValueError(
                f"{self.name} tries all signs of at most {MOST_FACTORS} factors, got {self.factors.size}: use lare_rd."
            )
        self._scaled = FactorInputs(self.factors, config.standardize_factors)
        self.sampling: Sampling | None = Sampling(bags=config.bags, enough=config.batch_steps)
        self.schedule = Schedule(every=config.every, updates=config.updates, warm_up=config.warm_up)
        self._moments, self._count = np.zeros((self.factors.size + 2,) * 2), 0
        self.fit = SignFit(np.ones(self.factors.size), 0.0, 0.0, 0.0)

    def update(self, batch: BagBatch) -> Metrics:
        """Count the labeled bags in, which must be whole, and choose signs.

        Raises:
            ValueError: The batch has other sizes, or a bag is a sample of its steps.
            FloatingPointError: A label is not finite; nothing was changed.
        """
        self._sizes.check(self.name, batch)
        labeled = labeled_bags(batch, torch.device("cpu"))
        if not labeled.num_bags:
            return {"labeled": 0.0}
        return self._scaled.updated(labeled, self._counted)

    def relabel(self, batch: BagBatch) -> Tensor:
        """Return `scale * sum_i signs_i z_i + offset`, `[B, L, A]`.

        Raises:
            ValueError: The batch has other sizes.
        """
        self._sizes.check(self.name, batch)
        factors = self._scaled.of(batch).double()
        rewards = self.fit.scale * (factors @ factors.new_tensor(self.fit.signs)) + self.fit.offset
        return torch.where(batch.mask, rewards, 0.0).float()

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the moments, the scale of the factors and the program's digest."""
        moments = torch.from_numpy(self._moments.copy())
        return {"moments": moments, "bags": self._count, "factors": self._scaled.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: It is of another program.
        """
        self._scaled.load_state_dict(state["factors"])
        self._moments, self._count = state["moments"].numpy().copy(), int(state["bags"])
        if self._count:
            self.fit = self._best()

    def _counted(self, batch: BagBatch) -> Metrics:
        check_whole(self.name, batch)
        length = batch.length[:, None]
        factors = self._scaled.raw(batch).double().sum(dim=(1, 2)) / length  # [B, F]
        rows = torch.cat((factors, batch.mask.sum(dim=(1, 2))[:, None] / length, batch.label[:, None] / length), dim=1)
        if not bool(rows.isfinite().all()):
            raise FloatingPointError(
                f"{self.name}: a label or a factor is not finite: nothing was changed. Look for observations, actions "
                "or labels that are NaN, infinite or huge."
            )
        self._moments = self._moments + (rows.T @ rows).numpy()
        self._count += len(rows)
        self.fit = self._best()
        return {"loss": self.fit.error / self._count, "labeled": float(len(rows))}

    def _best(self) -> SignFit:
        return best_signs(self._standardized(), self.config.scaled)

    def _standardized(self) -> Floats:
        """Return the moments of what `relabel` adds up."""
        if not self.config.standardize_factors:
            return self._moments
        deviation, mean = (np.array(part) for part in (self._scaled.scale.deviation, self._scaled.scale.mean))
        change = np.eye(len(self._moments))
        change[:-2, :-2] = np.diag(1 / deviation)
        change[:-2, -2] = -mean / deviation
        moved: Floats = change @ self._moments @ change.T
        return moved
