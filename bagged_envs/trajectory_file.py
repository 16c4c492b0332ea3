"""Trajectories in a file: one compressed NumPy archive without pickles, whole or not there, checked when read."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bagged_envs.trajectory import Array, Trajectory
from bagged_envs.whole_file import whole_file

FORMAT = "bagged_envs trajectories 1"
PER_STEP, PER_STATE = "step_extras/", "state_extras/"  # extras of T and of T + 1 rows
ZIP = b"PK"  # a zip archive begins so
FIELDS = {  # the kinds of NumPy's types that each may have
    "steps": "i", "bags": "i", "terminated": "b", "closed": "b",
    "observations": "fiub", "actions": "fiub", "rewards": "f", "bag_ids": "i", "labeled": "b",
}  # fmt: skip
MUST_BE_FINITE = ("observations", "actions", f"{PER_STEP}dense_rewards")


class TrajectoryFileError(ValueError):
    """A file holds no whole trajectories of ours; the message names the file and the field."""


def save_trajectories(path: Path | str, trajectories: Sequence[Trajectory]) -> str:
    """Write trajectories in the place of an older file, which stays whole until the new one is.

    Args:
        path: The file; `.npz` by custom.
        trajectories: At least one; of all of them each array has the same dtype and, after time, the same shape.

    Returns:
        The SHA-256 of the content, which is kept in the file.

    Raises:
        OSError: The file could not be written.
        ValueError: There is none, they do not fit together, or a number is not finite.

    Example:
        >>> import tempfile
        >>> one = Trajectory(np.zeros((3, 1)), np.zeros(2), np.array([0.0, 5.0]), np.array([0, 0]),
        ...     np.array([True]), terminated=True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = save_trajectories(f"{folder}/one.npz", [one])
        ...     load_trajectories(f"{folder}/one.npz")[0].rewards.tolist()
        [0.0, 5.0]
    """
    path = Path(path)
    arrays = _as_arrays(trajectories)
    digest = _digest(arrays)
    told: dict[str, Any] = {"format": np.array(FORMAT), "sha256": np.array(digest)}
    with whole_file(path) as stream:
        np.savez_compressed(stream, **{**told, **arrays})
    return digest


def load_trajectories(path: Path | str) -> list[Trajectory]:
    """Return what `save_trajectories` wrote. Nothing in the file can run code.

    Raises:
        FileNotFoundError: There is no such file.
        TrajectoryFileError: It is cut, changed, or something else; the message names the field.
    """
    arrays = _read(Path(path))
    told = {name: _text(path, arrays, name) for name in ("format", "sha256")}
    if told["format"] != FORMAT:
        raise TrajectoryFileError(f"{path}: format must be {FORMAT!r}, got {told['format']!r}.")
    contents = {name: array for name, array in arrays.items() if name not in told}
    _check(path, contents)
    if _digest(contents) != told["sha256"]:
        raise TrajectoryFileError(f"{path}: sha256 does not fit the content: the file was changed. Write it anew.")
    return _as_trajectories(path, contents)


def _as_arrays(trajectories: Sequence[Trajectory]) -> dict[str, Array]:
    if not trajectories:
        raise ValueError("trajectories must be at least one, got none: record some episodes.")
    steps = np.array([len(one) for one in trajectories])
    parts: dict[str, list[Array]] = {}
    for one in trajectories:
        extras = {
            (PER_STEP if len(array) == len(one) else PER_STATE) + name: array for name, array in one.extras.items()
        }
        fields = {name: getattr(one, name) for name in ("observations", "actions", "rewards", "bag_ids", "labeled")}
        for name, array in {**fields, **extras}.items():
            parts.setdefault(name, []).append(array)
    arrays = {name: _joined(name, arrays, len(trajectories)) for name, arrays in parts.items()}
    arrays["steps"], arrays["bags"] = steps, np.array([one.num_bags for one in trajectories])
    for name in ("terminated", "closed"):
        arrays[name] = np.array([getattr(one, name) for one in trajectories], dtype=np.bool_)
    _check("trajectories", arrays)
    return arrays


def _joined(name: str, arrays: Sequence[Array], count: int) -> Array:
    kinds = {(array.dtype, array.shape[1:]) for array in arrays}
    if len(arrays) != count or len(kinds) != 1:
        raise ValueError(
            f"{name} must be in all {count} trajectories with one dtype and shape after time, got it in {len(arrays)} "
            f"with {sorted(map(str, kinds))}."
        )
    return np.concatenate(arrays)


def _digest(arrays: Mapping[str, Array]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype.str}{arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Array]:
    name = "the archive"
    try:
        with path.open("rb") as stream:
            if not ZIP.startswith(stream.read(len(ZIP))):  # a shorter file was cut
                raise TrajectoryFileError(f"{path}: this is no file of save_trajectories, it is no zip archive.")
            stream.seek(0)
            archive: Any = np.load(stream, allow_pickle=False)
            arrays = {}
            for name in archive.files:
                arrays[name] = archive[name]
    except TrajectoryFileError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, NotImplementedError) as error:
        raise TrajectoryFileError(f"{path}: {name} cannot be read ({error}): the file is cut or changed.") from error
    return arrays


def _text(path: Path | str, arrays: Mapping[str, Array], name: str) -> str:
    array = arrays.get(name)
    if array is None or array.dtype.kind != "U" or array.ndim:
        raise TrajectoryFileError(f"{path}: {name} must be a text, got {_shown(array)}: write it by save_trajectories.")
    return str(array)


def _check(path: Path | str, arrays: Mapping[str, Array]) -> None:
    """Check that every field is there, of its kind and length, and finite where it must be."""
    for name, kinds in FIELDS.items():
        array = arrays.get(name)
        if array is None or array.dtype.kind not in kinds or array.ndim == 0:
            raise TrajectoryFileError(f"{path}: {name} must be an array of kind {kinds!r}, got {_shown(array)}.")
    steps, bags = arrays["steps"], arrays["bags"]
    if not len(steps) or (steps < 1).any() or (bags < 1).any():
        raise TrajectoryFileError(f"{path}: steps and bags must be at least 1 in each of at least one episode.")
    total, episodes = int(steps.sum()), len(steps)
    rows = {"bags": episodes, "terminated": episodes, "closed": episodes, "labeled": int(bags.sum())}
    for name, array in arrays.items():
        states = name == "observations" or name.startswith(PER_STATE)
        wanted = rows.get(name, episodes if name == "steps" else total + episodes * states)
        if name not in FIELDS and not name.startswith((PER_STEP, PER_STATE)):
            raise TrajectoryFileError(f"{path}: {name} is no field of this format.")
        if array.dtype.hasobject:
            raise TrajectoryFileError(f"{path}: {name} must hold numbers, got Python objects.")
        if array.ndim == 0 or len(array) != wanted:
            raise TrajectoryFileError(f"{path}: {name} must have {wanted} rows, got {_shown(array)}.")
        # A reward that is not shown may be NaN, and what other extras mean is not ours to know.
        if name in MUST_BE_FINITE and not np.isfinite(array).all():
            raise TrajectoryFileError(f"{path}: {name} must be finite, got NaN or infinity.")


def _as_trajectories(path: Path | str, arrays: Mapping[str, Array]) -> list[Trajectory]:
    steps = arrays["steps"]
    ends = {
        "labeled": np.cumsum(arrays["bags"]),
        **{name: np.cumsum(steps + (name == "observations" or name.startswith(PER_STATE))) for name in arrays
           if name not in ("steps", "bags", "terminated", "closed", "labeled")},
    }  # fmt: skip
    parts = {name: np.split(arrays[name], ends[name][:-1]) for name in ends}
    trajectories = []
    for episode in range(len(steps)):
        own = {name: part[episode] for name, part in parts.items()}
        extras = {name.partition("/")[2]: array for name, array in own.items() if name not in FIELDS}
        fields: dict[str, Any] = {name: array for name, array in own.items() if name in FIELDS}
        flags: dict[str, Any] = {name: bool(arrays[name][episode]) for name in ("terminated", "closed")}
        try:
            trajectories.append(Trajectory(**fields, **flags, extras=extras))
        except (TypeError, ValueError) as error:
            raise TrajectoryFileError(f"{path}: episode {episode}: {error}") from error
    return trajectories


def _shown(array: Array | None) -> str:
    return "nothing" if array is None else f"{array.dtype} {array.shape}"
