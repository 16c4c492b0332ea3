"""A redistributor of somebody else's, in a module that registers it: by the mean label per step of what it has seen."""

from dataclasses import dataclass

import torch

from bagged_envs.baselines.api import Sampling, Schedule
from bagged_envs.baselines.redistributors import register_redistributor
from bagged_envs.baselines.redistributors.fitting import Sizes


@dataclass(frozen=True)
class SlopeConfig:
    rate: float = 0.5
    most: float | None = None


class Slope:
    """Pays a slope times the first element of the observation, fitted by averaging."""

    name = "slope"
    context = "step"
    exact = False
    stored = False
    only_labeled = False

    def __init__(
        self, observation_size, action_size, config: SlopeConfig = SlopeConfig(), seed=0, device="cpu", agents=1
    ):
        self.config, self.sizes = config, Sizes.of(observation_size, action_size, agents)
        self.sampling, self.schedule = Sampling(bags=8), Schedule(every=10)
        self.slope = torch.rand(1, generator=torch.Generator().manual_seed(seed))

    def update(self, batch):
        self.sizes.check(self.name, batch)
        batch = batch.select(batch.labeled)
        if not batch.num_bags:
            return {"labeled": 0.0}
        rewards = self.rewards(batch).sum(dim=(1, 2))
        found = (batch.label * rewards).sum() / rewards.square().sum().clamp(min=1e-6)
        if not found.isfinite():
            raise FloatingPointError("slope: a label is not finite: nothing was changed.")
        if self.config.most is not None:
            found = found.clamp(max=self.config.most)
        self.slope = self.slope * (1 - self.config.rate + self.config.rate * found)
        return {"labeled": float(batch.num_bags), "loss": (rewards - batch.label).square().mean().item()}

    def relabel(self, batch):
        self.sizes.check(self.name, batch)
        return self.rewards(batch)

    def rewards(self, batch):
        return torch.where(batch.mask, batch.observations[..., 0] * self.slope, 0.0)

    def state_dict(self):
        return {"slope": self.slope.clone()}

    def load_state_dict(self, state):
        self.slope = state["slope"].clone()


register_redistributor(Slope)
