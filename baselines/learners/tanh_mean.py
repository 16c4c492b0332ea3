"""The policy of learners that regress on recorded actions: a Gaussian about tanh of a perceptron, not squashed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bagged_envs.baselines.networks import MLP


def gaussian_log_probs(actions: Tensor, means: Tensor, log_std: Tensor) -> Tensor:
    """Return log-densities of independent Gaussians, summed over the elements of an action: `[N]`.

    Args:
        actions: `[N, U]`.
        means: `[N, U]`.
        log_std: `[U]`, the logarithms of the standard deviations.
    """
    scaled = (actions - means) / log_std.exp()
    return (-0.5 * scaled.square() - log_std - 0.5 * math.log(2.0 * math.pi)).sum(dim=1)


class TanhMean(nn.Module):
    """Gaussian actions in [-1, 1] units, whose spread is the same in every state.

    Args:
        sizes: Widths of the input, of every hidden layer, and of an action.
        generator: What the weights are drawn from.
        activation: "relu" or "tanh".
        init: How weights begin.
        log_std_range: Where the logarithm of the standard deviation is clipped; it begins at 0.0.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        generator: torch.Generator,
        activation: str,
        init: str,
        log_std_range: tuple[float, float],
    ) -> None:
        super().__init__()
        self.network = MLP(sizes, generator, activation, init)
        self._log_std = nn.Parameter(torch.zeros(sizes[-1]))
        self._range = log_std_range

    @property
    def log_std(self) -> Tensor:
        """The clipped logarithms of the standard deviations, `[U]`."""
        return self._log_std.clamp(*self._range)

    def forward(self, observations: Tensor) -> Tensor:
        """Return the means, `[N, U]` in [-1, 1]."""
        means: Tensor = self.network(observations)
        return means.tanh()

    def log_probs(self, means: Tensor, actions: Tensor) -> Tensor:
        """Return log-densities of actions `[N, U]`: `[N]`."""
        return gaussian_log_probs(actions, means, self.log_std)

    def sample(self, means: Tensor, generator: torch.Generator) -> Tensor:
        """Return actions `[N, U]`, some of them outside [-1, 1]."""
        noise = torch.randn(means.shape, generator=generator, device=means.device)
        return torch.addcmul(means, self.log_std.exp(), noise)

    def trained(self, spread: bool) -> list[Tensor]:
        """Return the parameters, with those of the spread or without."""
        return [*self.network.parameters(), *([self._log_std] if spread else [])]
