"""Datasets in folders that Minari reads, too: whole or not there, and checked to the last bit when they are read.

A folder has `main_data.hdf5` and `metadata.json`, as Minari wants them, and `manifest.json`: what was recorded and how,
and for each episode where its arrays stand in the first file and their SHA-256. They stand there in one piece each, so
that reading them needs no HDF5: a damaged or hostile file never reaches its library.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import importlib.metadata
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Space

from bagged_envs.dataset_form import Dataset, DatasetError, Spaces, arrays_of, demand, the_minari, trajectory_of
from bagged_envs.trajectory import Array, Trajectory
from bagged_envs.whole_file import MARK, write_whole
from bagged_envs.wrappers import RewardSchedule

FORMAT = "bagged_envs dataset 1"
DATA, METADATA, MANIFEST = "main_data.hdf5", "metadata.json", "manifest.json"
PACKAGES = ("bagged_envs", "gymnasium", "minari", "mujoco", "numpy")
TYPES = ("<f2", "<f4", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "|b1")

MOST_STEPS, MOST_NUMBERS = 2**28, 2**31  # of an episode, and of a step: NumPy counts bytes in 63 bits
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """What one array has in each episode.

    Attributes:
        name: Its name in the file.
        dtype: Its type, one of `TYPES`.
        shape: The shape of one of its rows.
        more: How many rows it has more than there are steps: 0 or 1.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    more: int

    def bytes_of(self, steps: int) -> int:
        """Return how many bytes it takes in an episode of so many steps."""
        return (steps + self.more) * math.prod(self.shape) * np.dtype(self.dtype).itemsize


def save(dataset: Dataset, path: Path | str) -> None:
    """Write a dataset into a new folder, which is there when it is whole, and not before.

    Minari reads it as well: `MinariDataset(path)`, or `minari.load_dataset` where `path` is `local_path(dataset_id)`.

    Args:
        dataset: It; of all its episodes each array has the same type and, after time, the same shape.
        path: The folder; those above are made.

    Raises:
        FileExistsError: There is something: a dataset is never written over.
        OSError: It could not be written.
        gymnasium.error.DependencyNotInstalled: The extra `datasets` is not installed.
        ValueError: The episodes do not fit together, or a reward that is not shown is not 0.0.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(errno.EEXIST, "a dataset is never written over: remove it, or name another", str(path))
    the_minari()
    rows = _rows(dataset.trajectories[0])
    with _whole_folder(path) as folder:
        episodes = _write_arrays(folder / DATA, dataset, rows)
        metadata = json.dumps(_metadata(dataset, (folder / DATA).stat().st_size))
        write_whole(folder / METADATA, metadata)
        content = {**_described(dataset, metadata), "arrays": [asdict(row) for row in rows], "episodes": episodes}
        content = json.loads(json.dumps(content))  # as it will be read
        write_whole(folder / MANIFEST, json.dumps({"sha256": _digest_of_json(content), "content": content}))


def load(path: Path | str) -> Dataset:
    """Return what `save` wrote, every sum and every array checked. Nothing in the files can run code.

    Raises:
        FileNotFoundError: There is no such folder.
        DatasetError: A file is missing, cut, changed or something else; the message names file and field.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such dataset; `save` writes one", str(folder))
    content = _content(folder / MANIFEST)
    metadata = _checked_metadata(folder / METADATA, _told(folder / MANIFEST, content, "metadata_sha256", str))
    spaces = read_spaces(folder / METADATA, metadata)
    trajectories = _read_arrays(folder, content, spaces)
    try:
        return Dataset(tuple(trajectories), *spaces, **_description(folder / MANIFEST, content, metadata))
    except ValueError as error:
        raise error if isinstance(error, DatasetError) else DatasetError(f"{folder / MANIFEST}: {error}") from error


def remove_unfinished(path: Path) -> None:
    """Remove what was left beside a dataset's folder by a process that was killed while it saved it.

    Nobody else may be saving it.
    """
    for left in path.parent.glob(f".{path.name}.*{MARK}"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


@contextmanager
def _whole_folder(path: Path) -> Iterator[Path]:
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}{MARK}")
    beside.mkdir(parents=True)
    try:
        yield beside
        os.rename(beside, path)
    except BaseException:
        shutil.rmtree(beside)
        raise


def _write_arrays(file: Path, dataset: Dataset, rows: Sequence[Row]) -> list[dict[str, Any]]:
    import h5py

    episodes = []
    with h5py.File(file, "w", track_order=True) as stream:
        for number, trajectory in enumerate(dataset.trajectories):
            where = f"trajectories[{number}]"
            demand(_rows(trajectory) == rows, where, "arrays", f"alike in all episodes: {rows}", _rows(trajectory))
            arrays = arrays_of(trajectory)
            trajectory_of(where, arrays, (dataset.observation_space, dataset.action_space))
            group = stream.create_group(f"episode_{number}")
            group.attrs.update({"id": number, "total_steps": len(trajectory)})
            episodes.append(_write_episode(group, len(trajectory), arrays, rows))
    with file.open("rb") as written:
        os.fsync(written.fileno())
    return episodes


def _write_episode(group: Any, steps: int, arrays: Mapping[str, Array], rows: Sequence[Row]) -> dict[str, Any]:
    digests, places = [], []
    for row in rows:
        array = np.ascontiguousarray(arrays[row.name], dtype=row.dtype)
        digests.append(hashlib.sha256(array.tobytes()).hexdigest())
        # In one piece, of which HDF5 tells where it stands; an empty array stands nowhere.
        places.append(group.create_dataset(row.name, data=array).id.get_offset() or 0)
    return {"steps": steps, "places": places, "sha256": digests}


def _rows(trajectory: Trajectory) -> list[Row]:
    rows = []
    for name, array in arrays_of(trajectory).items():
        dtype = array.dtype.newbyteorder("<").str
        demand(dtype in TYPES, "trajectories", name, f"of a type in {TYPES}", dtype)
        rows.append(Row(name, dtype, array.shape[1:], len(array) - len(trajectory)))
    return rows


def _metadata(dataset: Dataset, size: int) -> dict[str, Any]:
    """Return what Minari reads."""
    from minari.serialization import serialize_space

    optional: dict[str, Any] = {"env_spec": dataset.env_spec}
    if dataset.reference is not None:
        optional |= dict(zip(("ref_min_score", "ref_max_score"), dataset.reference, strict=True))
    return {
        "dataset_id": dataset.dataset_id,
        "minari_version": the_minari().__version__,
        "data_format": "hdf5",
        "jpeg_encoding": False,
        "total_episodes": len(dataset),
        "total_steps": dataset.steps,
        "dataset_size": round(size / 1e6, 1),
        "observation_space": serialize_space(dataset.observation_space),
        "action_space": serialize_space(dataset.action_space),
        "bagged_envs": _recipe(dataset),
        **{name: value for name, value in optional.items() if value is not None},
    }


def _recipe(dataset: Dataset) -> dict[str, Any]:
    """Return how the rewards came to be; the labels themselves are in the arrays."""
    return {
        "source": dataset.source,
        "schedule": None if dataset.schedule is None else asdict(dataset.schedule),
        "seed": dataset.seed,
        "exact_count": dataset.exact_count,
        "reference": dataset.reference,
        "bags": dataset.num_bags,
        "labels": dataset.num_labels,
        **({} if dataset.redistributor is None else {"redistributor": dict(dataset.redistributor)}),
    }


def _described(dataset: Dataset, metadata: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "versions": dict(versions()),
        "metadata_sha256": hashlib.sha256(metadata.encode()).hexdigest(),
        **_recipe(dataset),
    }


@functools.cache
def versions() -> Mapping[str, str]:
    """Return the versions of the packages that a dataset depends on, those that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _digest_of_json(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_json(file: Path) -> dict[str, Any]:
    """Return the table in a JSON file.

    Raises:
        DatasetError: There is no such file, or something else is in it.
    """
    try:
        told = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise DatasetError(f"{file}: it is missing: this is no whole dataset.") from error
    except OSError as error:
        raise DatasetError(f"{file}: it cannot be read ({error}).") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{file}: it cannot be read as JSON ({error}): it is cut or changed.") from error
    demand(isinstance(told, dict), str(file), "the whole", "a table", type(told).__name__)
    return told  # type: ignore[no-any-return]


def _told(file: Path, table: Mapping[str, Any], name: str, kind: type[T]) -> T:
    value = table.get(name)
    fits = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    demand(fits, str(file), name, f"a {kind.__name__}", f"{value!r:.60}")
    return value  # type: ignore[return-value]


def _content(file: Path) -> dict[str, Any]:
    told = read_json(file)
    content = _told(file, told, "content", dict)
    right = _told(file, told, "sha256", str) == _digest_of_json(content)
    demand(right, str(file), "sha256", "that of the content: the file was changed", told["sha256"])
    written = _told(file, content, "format", str)
    by = content.get("versions")
    demand(written == FORMAT, str(file), "format", f"{FORMAT!r}", f"{written!r}, written by {by}; this is {versions()}")
    return content


def _checked_metadata(file: Path, digest: str) -> dict[str, Any]:
    metadata = read_json(file)
    right = hashlib.sha256(file.read_bytes()).hexdigest() == digest
    demand(right, str(file), "its SHA-256", f"{digest}, as {MANIFEST} has it: the file was changed", "another")
    return metadata


def read_spaces(file: Path, metadata: Mapping[str, Any]) -> Spaces:
    """Return the spaces that Minari's metadata describe: of observations and of actions.

    Raises:
        DatasetError: One is none that a `Dataset` can have.
    """
    return _space(file, metadata, "observation_space"), _space(file, metadata, "action_space")


def _space(file: Path, metadata: Mapping[str, Any], name: str) -> Space[Any]:
    try:
        told = json.loads(_told(file, metadata, name, str))
        return _SPACES[told["type"]](told)  # type: ignore[no-any-return]
    except DatasetError:
        raise
    except Exception as error:  # whatever spaces say of arguments that make no sense
        raise DatasetError(
            f"{file}: {name} must be a Box, Discrete, MultiDiscrete or MultiBinary, got {error!r:.200}."
        ) from error


def _box(told: Mapping[str, Any]) -> Box:
    dtype = np.dtype(told["dtype"])
    if dtype.kind not in "fiub":
        raise ValueError(f"dtype {dtype}")
    return Box(np.array(told["low"], dtype), np.array(told["high"], dtype), tuple(told["shape"]), dtype.type)


_SPACES: dict[str, Any] = {
    "Box": _box,
    "Discrete": lambda told: Discrete(told["n"], start=told["start"]),
    "MultiDiscrete": lambda told: MultiDiscrete(told["nvec"], np.dtype(told["dtype"]).type, start=told["start"]),
    "MultiBinary": lambda told: MultiBinary(told["n"]),
}


def _description(file: Path, content: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a `Dataset` besides episodes and spaces."""
    told = dict(content)
    for name, kind in (("seed", int), ("exact_count", int), ("source", str), ("redistributor", dict)):
        told[name] = None if content.get(name) is None else _told(file, content, name, kind)
    reference = content.get("reference")
    if reference is not None:
        plain = isinstance(reference, list) and all(type(r) in (int, float) for r in reference)
        fits = plain and len(reference) == 2 and all(isinstance(r, float) or abs(r) < 2**1000 for r in reference)
        demand(fits, str(file), "reference", "two numbers", reference)
    above = file.parent / METADATA
    return {
        "dataset_id": _told(above, metadata, "dataset_id", str),
        "env_spec": None if metadata.get("env_spec") is None else _told(above, metadata, "env_spec", str),
        "schedule": _schedule(file, content.get("schedule")),
        "reference": None if reference is None else tuple(map(float, reference)),
        "versions": _told(file, content, "versions", dict),
        **{name: told[name] for name in ("seed", "exact_count", "source", "redistributor")},
    }


def _schedule(file: Path, told: Any) -> RewardSchedule | None:
    if told is None:
        return None
    try:
        return RewardSchedule(**told)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{file}: schedule must be one: {error}") from error


def _read_arrays(folder: Path, content: Mapping[str, Any], spaces: Spaces) -> list[Trajectory]:
    manifest, file = folder / MANIFEST, folder / DATA
    rows = [_row(manifest, told) for told in _told(manifest, content, "arrays", list)]
    episodes = _told(manifest, content, "episodes", list)
    demand(len({row.name for row in rows}) == len(rows), str(manifest), "arrays", "of different names", rows)
    if not file.is_file():
        raise DatasetError(f"{file}: it is missing: this is no whole dataset.")
    # No more is ever read than the file has, whatever the manifest says.
    size, left = file.stat().st_size, file.stat().st_size
    trajectories = []
    with file.open("rb") as stream:
        for number, told in enumerate(episodes):
            where = f"{file}, episode {number}"
            demand(isinstance(told, dict), str(manifest), f"episodes[{number}]", "a table", f"{told!r:.60}")
            steps, places = _told(manifest, told, "steps", int), _told(manifest, told, "places", list)
            _check_places(manifest, number, steps, places, rows, size)
            left -= sum(row.bytes_of(steps) for row in rows)
            demand(left >= 0, str(file), "its size", "at least that of the episodes", f"{size} bytes: it was cut")
            digests = _told(manifest, told, "sha256", list)
            demand(
                len(digests) == len(rows), str(manifest), f"episodes[{number}]: sha256", f"{len(rows)}", len(digests)
            )
            arrays = {
                row.name: _read_array(where, stream, steps, place, row, digest)
                for row, place, digest in zip(rows, places, digests, strict=True)
            }
            trajectories.append(trajectory_of(where, arrays, spaces))
    return trajectories


def _check_places(manifest: Path, number: int, steps: int, places: list[Any], rows: Sequence[Row], size: int) -> None:
    plain = all(isinstance(place, int) and not isinstance(place, bool) and place >= 0 for place in places)
    fits = 0 < steps < MOST_STEPS and plain and len(places) == len(rows)
    demand(fits, str(manifest), f"episodes[{number}]", f"steps and {len(rows)} places", f"{steps}, {places!r:.60}")
    for place, row in zip(places, rows, strict=True):
        inside = place + row.bytes_of(steps) <= size
        demand(inside, str(manifest.parent / DATA), f"episode_{number}/{row.name}", "in the file", "a cut file")


def _row(manifest: Path, told: Any) -> Row:
    demand(isinstance(told, dict), str(manifest), "arrays", "tables", f"{told!r:.60}")
    name, dtype = _told(manifest, told, "name", str), _told(manifest, told, "dtype", str)
    more = _told(manifest, told, "more", int)
    shape = _told(manifest, told, "shape", list)
    plain = all(isinstance(size, int) and not isinstance(size, bool) and 0 <= size < MOST_NUMBERS for size in shape)
    small = plain and math.prod(size for size in shape if size) < MOST_NUMBERS  # also where there is nothing
    fits = dtype in TYPES and more in (0, 1) and small and len(shape) < 32
    demand(fits, str(manifest), f"arrays: {name}", "a type of ours, a shape, 0 or 1 more rows", f"{told!r:.90}")
    return Row(name, dtype, tuple(shape), more)


def _read_array(where: str, stream: BinaryIO, steps: int, place: int, row: Row, digest: object) -> Array:
    raw = np.empty(row.bytes_of(steps), dtype=np.uint8)
    stream.seek(place)
    whole = stream.readinto(raw) == len(raw)  # type: ignore[attr-defined]
    demand(whole, where, row.name, f"{len(raw)} bytes", "fewer: the file was cut")
    found = hashlib.sha256(raw.data).hexdigest()
    demand(found == digest, where, row.name, f"of the SHA-256 that {MANIFEST} has: it was changed", found)
    demand(row.dtype != "|b1" or not (raw > 1).any(), where, row.name, "True or False", "another byte")
    return raw.view(row.dtype).reshape(steps + row.more, *row.shape)
