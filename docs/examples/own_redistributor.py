"""A redistributor of one's own: ridge regression of a reward per step on the labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule
from bagged_envs.baselines.redistributors import register_redistributor
from bagged_envs.baselines.redistributors.fitting import Sizes


@dataclass(frozen=True)
class RidgeConfig:
    """Settings: each has a default, and is set by `redistributor.penalty=0.1`."""

    bags: int = 64
    penalty: float = 1.0


class Ridge:
    """Pays each step `w . x`, where w fits the sums of x over bags to their labels."""

    name = "ridge"
    context: Context = "step"  # a step's reward depends on nothing but the step
    exact = False  # sums are near the labels, not equal to them
    stored = False  # rewards are computed when steps are sampled
    only_labeled = False

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: RidgeConfig = RidgeConfig(),
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
    ) -> None:
        self.config, self.sizes = config, Sizes.of(observation_size, action_size, agents)
        self.sampling = Sampling(bags=config.bags)  # whole ones, of those that are stored
        self.schedule = Schedule(every=100, warm_up=1000)  # in environment steps
        size = 2 * (2 * observation_size + action_size) + 1
        self.products = torch.zeros(size, size, dtype=torch.float64)
        self.moments = torch.zeros(size, dtype=torch.float64)

    def update(self, batch: BagBatch) -> Metrics:
        """Add some labeled bags to the sums of the regression."""
        self.sizes.check(self.name, batch)
        batch = batch.select(batch.labeled).to("cpu")
        if not batch.num_bags:
            return {"labeled": 0.0}
        bags, label = features(batch).sum(dim=(1, 2)), batch.label.double()  # [B, F], [B]
        loss = (bags @ self.weights - label).square().mean().item()
        if not (bags.isfinite().all() and label.isfinite().all()):
            raise FloatingPointError(f"{self.name}: a label or feature is not finite.")
        self.products = self.products + bags.T @ bags
        self.moments = self.moments + bags.T @ label
        return {"labeled": float(batch.num_bags), "loss": loss}

    def relabel(self, batch: BagBatch) -> Tensor:
        """Return a reward for every step and agent, [B, L, A]."""
        self.sizes.check(self.name, batch)
        return (features(batch) @ self.weights.to(batch.mask.device)).float()

    @property
    def weights(self) -> Tensor:
        """w."""
        penalty = self.config.penalty * torch.eye(len(self.moments), dtype=torch.float64)
        return torch.linalg.solve(self.products + penalty, self.moments)

    def state_dict(self) -> dict[str, Any]:
        """Return all that updates change."""
        return {"products": self.products.clone(), "moments": self.moments.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.products, self.moments = state["products"].clone(), state["moments"].clone()


def features(batch: BagBatch) -> Tensor:
    """Return x: what a step shows, its squares and a one, float64 [B, L, A, F]."""
    shown = torch.cat((batch.observations, batch.actions, batch.next_observations), dim=3).double()
    every = torch.cat((shown, shown.square(), torch.ones_like(shown[..., :1])), dim=3)
    return torch.where(batch.mask[..., None], every, 0.0)  # zeros in padding


register_redistributor(Ridge)

if __name__ == "__main__":
    from bagged_envs.baselines.check import check_redistributor

    check_redistributor(Ridge)
    print("ridge keeps what a redistributor promises")
