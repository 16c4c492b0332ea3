"""Checkpoints that are whole or not there: written beside, flushed, renamed, and checked by a hash when read.

What is saved are tensors, numbers, strings, and lists and dicts of them, and nothing else is loaded
(`torch.load(weights_only=True)`): a checkpoint from elsewhere runs no code.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bagged_envs.whole_file import write_whole

MAGIC = b"bagged_envs checkpoint 1\n"


class CheckpointError(RuntimeError):
    """A file is no whole checkpoint of ours."""


def save(path: Path, state: Mapping[str, Any]) -> str:
    """Write a checkpoint in the place of an older one, which stays whole until the new one is.

    Args:
        path: The file.
        state: Tensors, NumPy arrays, numbers, strings, None, and lists, tuples and dicts of them.

    Returns:
        The SHA-256 of the content.

    Raises:
        OSError: The file could not be written; the older one is whole.
        TypeError: Something else is in the state.
    """
    content = _content(state)
    digest = hashlib.sha256(content).hexdigest()
    write_whole(path, MAGIC + digest.encode() + b"\n" + content)
    return digest


def load(path: Path) -> dict[str, Any]:
    """Return what `save` wrote.

    Raises:
        CheckpointError: The file is cut, changed, or something else.
        FileNotFoundError: There is none.
    """
    data = path.read_bytes()
    head, _, content = data.removeprefix(MAGIC).partition(b"\n")
    if not data.startswith(MAGIC) or hashlib.sha256(content).hexdigest().encode() != head:
        raise CheckpointError(
            f"{path} is no whole checkpoint: it was cut, changed, or written by something else. Remove it to begin "
            f"anew."
        )
    return _state(content)


def copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state as it comes back from a checkpoint; nothing is shared with the other.

    Raises:
        TypeError: Something that a checkpoint cannot hold is in it.
    """
    return _state(_content(state))


def _content(state: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(packed(state), buffer)
    return buffer.getvalue()


def _state(content: bytes) -> dict[str, Any]:
    unpacked: dict[str, Any] = _unpacked(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    return unpacked


ARRAY = "__array__"


def packed(state: Any) -> Any:
    """Return the state with NumPy arrays and scalars as tensors and numbers.

    Raises:
        TypeError: Something that a checkpoint cannot hold is in it.
    """
    if isinstance(state, np.ndarray):
        return {ARRAY: torch.from_numpy(np.ascontiguousarray(state)), "shape": list(state.shape)}
    if isinstance(state, np.generic):
        return state.item()
    if isinstance(state, Mapping):
        return {key: packed(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(packed(value) for value in state)
    if state is None or isinstance(state, (torch.Tensor, bool, int, float, str)):
        return state
    raise TypeError(
        f"a checkpoint cannot hold {state!r} of type {type(state).__name__}: save tensors and plain values."
    )


def _unpacked(state: Any) -> Any:
    if isinstance(state, dict):
        if ARRAY in state:
            return state[ARRAY].numpy().reshape(state["shape"])
        return {key: _unpacked(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(_unpacked(value) for value in state)
    return state


def not_finite(state: Any) -> str | None:
    """Return where in a state of mappings a tensor is that has a number which is not finite; None if none has.

    Example:
        >>> not_finite({"actor": {"bias": torch.zeros(2), "weight": torch.tensor([1.0, float("nan")])}})
        'actor.weight'
    """
    if isinstance(state, torch.Tensor):
        return None if torch.isfinite(state).all() else ""
    if isinstance(state, Mapping):
        for name, part in state.items():
            if (found := not_finite(part)) is not None:
                return f"{name}.{found}" if found else str(name)
    return None


def fingerprint(state: Any) -> str:
    """Return the SHA-256 of a state's content: equal for equal states, to the bit, whatever file they came from.

    Example:
        >>> fingerprint({"a": np.arange(2), "b": [1.0]}) == fingerprint({"b": [1.0], "a": np.arange(2)})
        True
    """
    digest = hashlib.sha256()
    _feed(digest, state)
    return digest.hexdigest()


def _feed(digest: Any, state: Any) -> None:
    if isinstance(state, torch.Tensor):
        state = state.detach().cpu().numpy()
    if isinstance(state, np.ndarray):
        digest.update(f"{state.dtype}{state.shape}".encode())
        digest.update(np.ascontiguousarray(state).tobytes())
    elif isinstance(state, Mapping):
        for key in sorted(state, key=repr):
            digest.update(repr(key).encode())
            _feed(digest, state[key])
    elif isinstance(state, (list, tuple)):
        digest.update(f"[{len(state)}".encode())
        for value in state:
            _feed(digest, value)
    else:
        digest.update(repr(state.item() if isinstance(state, np.generic) else state).encode())
