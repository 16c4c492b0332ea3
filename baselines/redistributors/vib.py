"""VIB: return decomposition through a variational information bottleneck, LaRe's counterpart without a program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bagged_envs.baselines.api import BagBatch, Context, Metrics, Sampling, Schedule
from bagged_envs.baselines.networks import MLP, generators
from bagged_envs.baselines.redistributors.fitting import Sizes, per_step, soft_clamp, step_features
from bagged_envs.baselines.redistributors.rd import return_decomposition_loss
from bagged_envs.baselines.redistributors.regression import LabelRegression
from bagged_envs.baselines.redistributors.rrd import RRDConfig, check_columns, unbiased_loss

LOG_VARIANCES = (-20.0, 4.0)  # ours: without bounds, states of large numbers overflow


@dataclass(frozen=True)
class VIBConfig(RRDConfig):
    """Settings of the bottleneck: those of RRD, and its own, which are those of thu-rllab/LaRe's MuJoCo code.

    Attributes:
        latent: How many numbers pass.
        kl_weight: What telling them apart from noise costs, per sampled step.
        unbiased: Whether the loss is that of unbiased RRD (the paper) or of RRD (what the code runs).
    """

    latent: int = 8
    kl_weight: float = 5e-3
    unbiased: bool = True


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of normal distributions from the standard one: `[...]` of `[..., Z]`.

        KL(N(m, v) || N(0, 1)) = 1/2 sum_z (m_z^2 + v_z - log v_z - 1)

    Example:
        >>> gaussian_kl(torch.tensor([1.0, 0.0]), torch.zeros(2)).item()
        0.5
    """
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=-1)


class Bottleneck(nn.Module):
    """An encoder of steps into a few noisy numbers, and a decoder of those into a reward."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], latent: int, generator: torch.Generator) -> None:
        super().__init__()
        self.encoder = MLP((inputs, *hidden, 2 * latent), generator, init="xavier")
        self.decoder = MLP((latent, *hidden, 1), generator, init="xavier")

    def encode(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and log-variances, `[..., Z]` each, of features `[..., inputs]`."""
        mean, log_variance = self.encoder(features).chunk(2, dim=-1)
        return mean, soft_clamp(log_variance, *LOG_VARIANCES)

    def forward(self, features: Tensor) -> Tensor:
        """Return rewards `[..., 1]` of the means, without noise."""
        rewards: Tensor = self.decoder(self.encode(features)[0])
        return rewards


class VIB:
    """RRD whose network lets only a few noisy numbers of each step through, at a price: a learned LaRe.

    Noise is drawn in updates alone, and its variances have bounds; both are ours: the source's rewards are noisy, too.
    Network input, agents and exactness are as in `rrd_unbiased`.

    Attributes:
        name, context, exact, stored, only_labeled, sampling, schedule: As in `api.Redistributor`.

    Source:
        The comparison "VIB" of the LaRe paper (arXiv:2412.11120) and thu-rllab/LaRe; its reconstruction decoder is left
        out, whose loss the code does not use.
    """

    name = "vib"
    context: Context = "step"
    exact = False
    stored = False
    only_labeled = False

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: VIBConfig = VIBConfig(),
        seed: int = 0,
        device: torch.device | str = "cpu",
        agents: int = 1,
    ) -> None:
        """Draw the networks from `seed`.

        Raises:
            ValueError: `config.steps` is 1 in the unbiased form: one step tells nothing of a variance.
        """
        if config.unbiased and config.steps < 2:
            raise ValueError(f"{self.name} needs at least 2 steps of each bag, got steps={config.steps}.")
        self.config, sizes = config, Sizes.of(observation_size, action_size, agents)
        self.sampling: Sampling | None = Sampling(bags=config.bags, steps=config.steps, weight="length")
        self.schedule = Schedule(every=config.every, updates=config.updates, warm_up=config.warm_up)
        weights, self._noise = generators(seed, 2, device)
        inputs = 2 * observation_size + action_size
        self._network = Bottleneck(inputs, config.hidden, config.latent, weights)
        self._model = LabelRegression(
            self.name, self._network, sizes, config.learning_rate, device, standardize=config.standardize
        )

    def update(self, batch: BagBatch) -> Metrics:
        """Make one step of Adam on the labeled bags, samples of their steps or whole.

        Raises:
            ValueError: The batch has other sizes.
            FloatingPointError: The loss or its gradient is not finite; nothing was changed.
        """
        drawn = self._noise.get_state()
        try:
            return self._model.fit(batch, self._loss)
        except FloatingPointError:
            self._noise.set_state(drawn)
            raise

    def relabel(self, batch: BagBatch) -> Tensor:
        """Return the rewards of the means, `[B, L, A]`.

        Raises:
            ValueError: The batch has other sizes.
        """
        return self._model.rewards(batch, lambda here: per_step(self._network, step_features(here)))

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the weights, the optimizer's state, the labels' scale and the noise's state."""
        return {**self._model.state_dict(), "noise": self._noise.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._noise.set_state(state["noise"].cpu())
        self._model.load_state_dict(state)

    def _loss(self, batch: BagBatch, label: Tensor) -> tuple[Tensor, Metrics]:
        if self.config.unbiased:
            check_columns(self.name, batch)
        mean, log_variance = self._network.encode(step_features(batch))  # [B, L, A, Z]
        noise = torch.randn(mean.shape, generator=self._noise, device=mean.device)
        rewards = self._network.decoder(mean + noise * torch.exp(0.5 * log_variance))[..., 0]
        loss = unbiased_loss if self.config.unbiased else return_decomposition_loss
        kl = gaussian_kl(mean, log_variance)[batch.mask].mean()
        return loss(rewards, batch.mask, label, batch.length) + self.config.kl_weight * kl, {"kl": kl.item()}
