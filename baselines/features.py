"""Flat float32 features of Gymnasium's spaces, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple

from bagged_envs.wrappers.arguments import positive_int

Array = npt.NDArray[Any]
Floats32 = npt.NDArray[np.float32]
KNOWN = "Box, Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple of those"


@dataclass(frozen=True)
class Features:
    """Turns batches of a space's elements into float32 features and back, as `gymnasium.spaces.utils.flatten` does.

    A Box and a MultiBinary are flattened, a Discrete is one-hot, a MultiDiscrete one-hot after one-hot, a Dict or a
    Tuple the features of its parts one after the other. Batches are as Gymnasium's vector environments have them:
    arrays with a first axis N, Dicts and Tuples of them.

    Attributes:
        space: The space.
        agents: A, for a space whose elements are A agents' side by side: Box `(A, ...)`, MultiDiscrete of A equal
            parts, MultiBinary `(A, ...)`, a Tuple of A equal spaces.

    Example:
        >>> from gymnasium.spaces import MultiDiscrete
        >>> features = Features(MultiDiscrete([3, 3]), agents=2)
        >>> features.encode(np.array([[0, 2]])).tolist()
        [[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]]
        >>> features.decode(features.encode(np.array([[0, 2]]))).tolist()
        [[0, 2]]
    """

    space: Space[Any]
    agents: int = 1

    def __post_init__(self) -> None:
        """Check that the space is known and splits into the agents.

        Raises:
            TypeError: The space has no flat features of fixed size.
            ValueError: `agents` is no positive int, or the space is not that many agents' side by side.
        """
        positive_int("agents", self.agents)
        _size(self.space)
        if self.agents > 1 and not _splits(self.space, self.agents):
            raise ValueError(
                f"agents={self.agents} needs Box ({self.agents}, ...), MultiBinary ({self.agents}, ...), MultiDiscrete "
                f"or Tuple of {self.agents} equal parts, got {self.space}: use agents=1 for one joint controller."
            )

    @property
    def size(self) -> int:
        """The number of features, of each agent: D of observations, U of actions."""
        return _size(self.space) // self.agents

    def encode(self, batch: Any) -> Floats32:
        """Return features, float32 `[N, size]`, or `[N, A, size]` with several agents.

        Args:
            batch: N elements. Those of a Dict or a Tuple may also come as their features `[N, A * size]`, which is
                how a `Trajectory` keeps them.

        Raises:
            ValueError: The batch has another shape than the space, or a number outside a Discrete or MultiDiscrete.
        """
        flat = _encoded(self.space, batch)
        return flat if self.agents == 1 else flat.reshape(len(flat), self.agents, -1)

    def decode(self, features: Any) -> Any:
        """Return the N elements: an array `[N, ...]` of the space's dtype, Dicts and Tuples of them.

        Of one-hot features the largest counts, so that scores will do.

        Args:
            features: `[N, size]`, or `[N, A, size]` with several agents.

        Raises:
            ValueError: The features have another shape.
        """
        features = np.asarray(features)
        wanted = (self.size,) if self.agents == 1 else (self.agents, self.size)
        if features.ndim < 2 or features.shape[1:] != wanted:
            raise ValueError(f"features must have shape {('N', *wanted)} for {self.space}, got {features.shape}.")
        return _decoded(self.space, features.reshape(len(features), -1))


def _size(space: Space[Any]) -> int:
    if isinstance(space, Discrete):
        return int(space.n)
    if isinstance(space, MultiDiscrete):
        return int(space.nvec.sum())
    if isinstance(space, (Box, MultiBinary)):
        return int(np.prod(space.shape))
    return sum(_size(part) for _, part in _parts(space))


def _parts(space: Space[Any]) -> Iterator[tuple[Any, Space[Any]]]:
    if isinstance(space, Dict):
        return iter(space.spaces.items())
    if isinstance(space, Tuple):
        return iter(enumerate(space.spaces))
    raise TypeError(f"space must be {KNOWN}, got {space}: it has no features of a fixed size; encode it yourself.")


def _splits(space: Space[Any], agents: int) -> bool:
    if isinstance(space, (Box, MultiBinary)):
        return len(space.shape) > 0 and space.shape[0] == agents
    if isinstance(space, MultiDiscrete):
        return len(space.nvec) == agents and bool((space.nvec == space.nvec[:1]).all())
    return isinstance(space, Tuple) and len(space) == agents and all(part == space[0] for part in space.spaces)


def _encoded(space: Space[Any], batch: Any) -> Floats32:
    if isinstance(space, (Dict, Tuple)):
        if isinstance(batch, np.ndarray):
            return _shaped(space, batch, (_size(space),)).astype(np.float32, copy=False)
        return np.concatenate([_encoded(part, batch[key]) for key, part in _parts(space)], axis=1)
    batch = _shaped(space, np.asarray(batch), space.shape or ())
    if isinstance(space, Discrete):
        return _one_hot(space, batch[:, None], np.array([space.n]), np.array([space.start]))
    if isinstance(space, MultiDiscrete):
        return _one_hot(space, batch.reshape(len(batch), -1), space.nvec.ravel(), space.start.ravel())
    return np.asarray(batch.reshape(len(batch), -1), dtype=np.float32)


def _shaped(space: Space[Any], batch: Array, shape: tuple[int, ...]) -> Array:
    if batch.ndim == 0 or batch.shape[1:] != shape:
        raise ValueError(f"batch must have shape {('N', *shape)} for {space}, got {batch.shape}.")
    return batch


def _one_hot(space: Space[Any], batch: Array, sizes: Array, starts: Array) -> Floats32:
    if batch.dtype.kind not in "iu":
        raise ValueError(f"batch must have integers for {space}, got {batch.dtype}.")
    sizes, numbers = sizes.astype(np.int64), batch.astype(np.int64) - starts.astype(np.int64)
    if ((numbers < 0) | (numbers >= sizes)).any():
        raise ValueError(f"batch must have elements of {space}, got numbers from {batch.min()} to {batch.max()}.")
    features = np.zeros((len(batch), int(sizes.sum())), dtype=np.float32)
    features[np.arange(len(batch))[:, None], numbers + (np.cumsum(sizes) - sizes)] = 1.0
    return features


def _decoded(space: Space[Any], flat: Array) -> Any:
    if isinstance(space, (Dict, Tuple)):
        ends = np.cumsum([_size(part) for _, part in _parts(space)])
        pieces = np.split(flat, ends[:-1], axis=1)
        decoded = {key: _decoded(part, piece) for (key, part), piece in zip(_parts(space), pieces, strict=True)}
        return decoded if isinstance(space, Dict) else tuple(decoded.values())
    if isinstance(space, Discrete):
        return (flat.argmax(axis=1) + space.start).astype(space.dtype)
    if isinstance(space, MultiDiscrete):
        pieces = np.split(flat, np.cumsum(space.nvec.ravel())[:-1], axis=1)
        largest = np.stack([piece.argmax(axis=1) for piece in pieces], axis=1)
        return (largest.reshape(-1, *space.shape) + space.start).astype(space.dtype)
    return flat.reshape(-1, *(space.shape or ())).astype(space.dtype)
