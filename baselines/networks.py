"""Networks of the learners: a perceptron, and several of the same shape computed at once.

All are built from a generator, on the CPU, and moved afterwards: one seed gives the same weights on every device, and
torch's global random state is neither read nor moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from bagged_envs.wrappers.arguments import a_seed, known, positive_int

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu_, "tanh": torch.tanh_}
INITS = ("default", "orthogonal", "xavier")


def generators(seed: int, count: int, device: torch.device | str = "cpu") -> list[torch.Generator]:
    """Return independent generators from one seed: the first on the CPU, for weights, the others on the device.

    Example:
        >>> weights, noise = generators(0, 2)
        >>> weights.initial_seed() == noise.initial_seed()
        False
    """
    seed = a_seed(seed)
    seeds = (int(child.generate_state(1, np.uint64)[0] >> np.uint64(1)) for child in _children(seed, count))
    return [torch.Generator(device if place else "cpu").manual_seed(seed) for place, seed in enumerate(seeds)]


def _children(seed: int, count: int) -> Iterator[np.random.SeedSequence]:
    return iter(np.random.SeedSequence(seed).spawn(count))


def initialize(weight: Tensor, bias: Tensor, init: str, gain: float, generator: torch.Generator) -> None:
    """Fill one layer: a weight `[out, in]` and its bias.

    Args:
        weight: Filled by `init`.
        bias: Filled as the weight by "default", and with zeros otherwise.
        init: "default", as `torch.nn.Linear` does it: uniform within one over the root of the inputs; "orthogonal";
            or "xavier", Glorot's uniform.
        gain: What multiplies the weight.
        generator: What is drawn from.
    """
    known("init", init, INITS)
    with torch.no_grad():
        if init == "default":
            bound = 1.0 / math.sqrt(weight.shape[1])
            weight.uniform_(-bound, bound, generator=generator)
            bias.uniform_(-bound, bound, generator=generator)
        else:
            fill = nn.init.orthogonal_ if init == "orthogonal" else nn.init.xavier_uniform_
            fill(weight, generator=generator)
            bias.zero_()
        weight.mul_(gain)


class MLP(nn.Module):
    """A perceptron with a linear last layer: `[..., sizes[0]]` to `[..., sizes[-1]]`.

    Args:
        sizes: Widths of the input, of every hidden layer, and of the output.
        generator: What the weights are drawn from.
        activation: "relu" or "tanh".
        init: See `initialize`.
        last_gain: What multiplies the last layer's weight.

    Example:
        >>> MLP((3, 8, 2), torch.Generator().manual_seed(0))(torch.zeros(5, 3)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        generator: torch.Generator,
        activation: str = "relu",
        init: str = "default",
        last_gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[known("activation", activation, tuple(ACTIVATIONS))]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in _layers(sizes):
            weight, bias = torch.empty(outputs, inputs), torch.empty(outputs)
            last = len(self.weights) == len(sizes) - 2
            initialize(weight, bias, init, last_gain if last else 1.0, generator)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(bias))
        # The same parameters once more: going through a ParameterList takes as long as starting a product does.
        self._layers: list[tuple[Tensor, Tensor]] = list(zip(self.weights, self.biases, strict=True))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs."""
        for weight, bias in self._layers[:-1]:
            inputs = self.activation(nn.functional.linear(inputs, weight, bias))
        return nn.functional.linear(inputs, *self._layers[-1])


class Ensemble(nn.Module):
    """Several perceptrons of one shape, such as twin critics, as batched matrix products: `[N, D]` to `[K, N]`.

    Half as many operations and half as many tensors for the optimizer as two networks side by side: the same speed
    where the products themselves take the time, and faster where starting them does.

    Args:
        members: How many, K.
        sizes: Widths of the input and of every hidden layer; each member has one output.
        generator: What the weights are drawn from, member after member.
        activation: "relu" or "tanh".
        init: See `initialize`.

    Example:
        >>> critics = Ensemble(2, (3, 8), torch.Generator().manual_seed(0))
        >>> critics(torch.zeros(5, 3)).shape, critics(torch.zeros(5, 3), members=1).shape
        (torch.Size([2, 5]), torch.Size([1, 5]))
    """

    def __init__(
        self,
        members: int,
        sizes: Sequence[int],
        generator: torch.Generator,
        activation: str = "relu",
        init: str = "default",
    ) -> None:
        super().__init__()
        self.members = positive_int("members", members)
        self.activation = ACTIVATIONS[known("activation", activation, tuple(ACTIVATIONS))]
        # Drawn as perceptrons side by side would be.
        alone = [MLP((*sizes, 1), generator, activation, init) for _ in range(members)]
        weights = [
            torch.stack([weight.detach().T for weight in layer])
            for layer in zip(*(one.weights for one in alone), strict=True)
        ]  # [K, in, out]
        biases = [
            torch.stack([bias.detach()[None] for bias in layer])
            for layer in zip(*(one.biases for one in alone), strict=True)
        ]  # [K, 1, out]
        self.weights, self.biases = nn.ParameterList(weights), nn.ParameterList(biases)
        self._layers: list[tuple[Tensor, Tensor]] = list(zip(self.weights, self.biases, strict=True))

    def forward(self, inputs: Tensor, members: int | None = None) -> Tensor:
        """Return the values of the first `members`, or of all."""
        count = self.members if members is None else members
        layers = self._layers if count == self.members else [(w[:count], b[:count]) for w, b in self._layers]
        hidden = inputs.expand(count, -1, -1)  # [K, N, D]
        for weight, bias in layers[:-1]:
            # Adding in place afterwards is faster than baddbmm, which first copies the bias N times.
            hidden = self.activation(torch.bmm(hidden, weight).add_(bias))  # [K, N, width]
        weight, bias = layers[-1]
        # A product with one column is several times slower than this on the CPU, and so are its gradients.
        return (hidden * weight.mT).sum(dim=2).add_(bias[:, 0])  # [K, N]


def _layers(sizes: Sequence[int]) -> list[tuple[int, int]]:
    for size in sizes:
        positive_int("a layer's width", size)
    return list(zip(sizes[:-1], sizes[1:], strict=True))
