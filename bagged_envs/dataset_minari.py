"""Datasets of Minari's, from its own files: checked before Minari sees them, and as they come out of it.

Minari by itself makes the environment that a file names where the file does not describe its spaces, and its files have
no sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bagged_envs.dataset_file import DATA, MANIFEST, METADATA, load, read_json, read_spaces
from bagged_envs.dataset_form import (
    BAG_END,
    ID,
    INFO,
    OBSERVED,
    Dataset,
    DatasetError,
    Spaces,
    demand,
    the_minari,
    trajectory_of,
)
from bagged_envs.dataset_spec import parsed_spec
from bagged_envs.trajectory import Array, Trajectory
from bagged_envs.wrappers.arguments import real_number, string, strings

BORDERS = ("bag_end", "reward_observed")
MOST_DENSE = 1100  # times what it takes on the disk: no compression of HDF5 gives more


def from_minari(dataset: Any, keep: Sequence[str] = (), labels_finite: bool = True) -> Dataset:
    """Return what a `MinariDataset` holds; of one that `save` wrote, what `load` returns.

    Minari's own files have no sums: a bit that flipped in one of their numbers cannot be seen.

    Args:
        dataset: A `MinariDataset`, or some episodes of one.
        keep: The infos to keep in `extras`.
        labels_finite: Whether to refuse labels that are NaN or infinite.

    Raises:
        TypeError: `dataset` is none.
        DatasetError: As for `trajectories`.
    """
    if not hasattr(dataset, "storage"):
        raise TypeError(
            f"dataset must be a Dataset or a MinariDataset, got {dataset!r:.60}: "
            "bagged_envs.datasets.load reads a folder."
        )
    folder = Path(dataset.storage.data_path)
    if (folder / MANIFEST).exists():
        whole = load(folder)
        return replace(whole, trajectories=tuple(whole.trajectories[index] for index in dataset.episode_indices))
    metadata = _checked_minari(folder)
    spaces = read_spaces(folder / METADATA, metadata)
    scores = metadata.get("ref_min_score"), metadata.get("ref_max_score")
    return Dataset(
        tuple(_minari_episodes(folder, dataset, spaces, strings("keep", keep), labels_finite)),
        *spaces,
        dataset_id=dataset.id,
        env_spec=metadata.get("env_spec"),
        reference=None if None in scores else _told_returns(folder / METADATA, scores),
        versions={"minari": dataset.minari_version},
    )


def local_path(dataset_id: str) -> Path:
    """Return the folder in which Minari looks for a dataset.

    Raises:
        gymnasium.error.DependencyNotInstalled: The extra `datasets` is not installed.
        ValueError: It is no name of a dataset.
    """
    the_minari()
    from minari.storage.datasets_root_dir import get_dataset_path

    if not ID.fullmatch(string("dataset_id", dataset_id)):
        raise ValueError(f"dataset_id must be a name such as 'mujoco/halfcheetah/medium-v0', got {dataset_id!r}.")
    return Path(get_dataset_path(dataset_id)) / "data"


def minari_dataset(dataset_id: str, download: bool = False) -> Any:
    """Return a dataset of Minari's by its name, its files checked before anything in them is believed.

    Minari by itself builds the environment that a file names where the file does not describe its spaces.

    Args:
        dataset_id: Its name, such as "mujoco/halfcheetah/medium-v0".
        download: Fetch it by Minari from its servers if it is not here.

    Returns:
        A `minari.MinariDataset`.

    Raises:
        FileNotFoundError: It is not here, and `download` is False.
        DatasetError: A file is damaged, or has what no dataset needs.
    """
    minari, folder = the_minari(), local_path(dataset_id)
    if download and not folder.exists():
        minari.download_dataset(dataset_id)
    if folder.exists():
        _checked_minari(folder)
        if (folder / MANIFEST).exists():
            load(folder)
    try:
        return minari.load_dataset(dataset_id)
    except (FileNotFoundError, ImportError):
        raise
    except Exception as error:  # Minari raises nearly anything about metadata that it does not expect
        raise DatasetError(
            f"{folder}: Minari cannot read it ({error!r:.200}): it is cut or changed, or of another version of Minari."
        ) from error


def two_returns(name: str, value: Any) -> tuple[float, float] | None:
    """Return two returns, the lower one first, as floats, or None.

    Raises:
        TypeError: It is no pair of numbers.
        ValueError: They are not finite, or not the lower one first.
    """
    if value is None:
        return None
    if isinstance(value, str) or not hasattr(value, "__len__") or len(value) != 2:
        raise TypeError(f"{name} must be two returns, (low, high), got {value!r:.60}.")
    low, high = (real_number(name, one) for one in value)
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"{name} must be two finite returns, the lower one first, got {value!r:.60}.")
    return low, high


def _told_returns(file: Path, scores: Any) -> tuple[float, float] | None:
    try:
        return two_returns("ref_min_score and ref_max_score", scores)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{file}: {error}") from error


def _checked_minari(folder: Path) -> dict[str, Any]:
    """Return the metadata of a folder of Minari's, in which nothing names what Minari would run or read elsewhere."""
    file = folder / METADATA
    metadata = read_json(file)
    for name in ("data_format", "dataset_id", "minari_version"):
        demand(isinstance(metadata.get(name), str), str(file), name, "a text", repr(metadata.get(name))[:60])
    for name in ("total_episodes", "total_steps"):
        counted = type(metadata.get(name)) is int and metadata[name] > 0
        demand(counted, str(file), name, "an int of at least 1", repr(metadata.get(name))[:60])
    for name in ("author", "author_email"):
        names = metadata.get(name, "")
        plain = isinstance(names, str) or (isinstance(names, list) and all(isinstance(one, str) for one in names))
        demand(plain, str(file), name, "a text, or several", repr(names)[:60])
    if metadata.get("env_spec") is not None:
        demand(isinstance(metadata["env_spec"], str), str(file), "env_spec", "a text", repr(metadata["env_spec"])[:60])
        parsed_spec(metadata["env_spec"], f"{file}: env_spec")
    for name in ("observation_space", "action_space"):
        demand(name in metadata, str(file), name, "there: without it Minari would run what env_spec names", "nothing")
    read_spaces(file, metadata)
    if metadata["data_format"] == "hdf5":
        data = folder / DATA
        demand(data.is_file(), str(data), "the file", "there", "nothing")
        _check_hdf5(data, metadata["total_episodes"])
    return metadata


def _check_hdf5(file: Path, episodes: int) -> None:
    import h5py

    try:
        with h5py.File(file, "r") as stream:
            found = sum(name.startswith("episode_") for name in stream)
            demand(found == episodes, str(file.parent / METADATA), "total_episodes", f"{found}, as in {DATA}", episodes)
            _check_group(file, stream)
    except DatasetError:
        raise
    except Exception as error:  # HDF5 and h5py raise nearly anything about a damaged file
        raise DatasetError(f"{file}: it cannot be read as HDF5 ({error!r:.200}): it is cut or changed.") from error


def _check_group(file: Path, group: Any) -> None:
    """Check that nothing in a group of HDF5 stands in another file, or is larger than what is on the disk."""
    import h5py

    for name in group:
        where, link = f"{group.name}/{name}", group.get(name, getlink=True)
        demand(isinstance(link, h5py.HardLink), str(file), where, "in this file", type(link).__name__)
        item = group[name]
        if isinstance(item, h5py.Group):
            _check_group(file, item)
            continue
        demand(isinstance(item, h5py.Dataset), str(file), where, "an array", type(item).__name__)
        demand(not item.is_virtual and not item.external, str(file), where, "in this file", "a place in another")
        size = item.id.get_storage_size()
        demand(item.nbytes <= MOST_DENSE * size, str(file), where, f"of at most {size:,} bytes, packed", item.shape)


def _minari_episodes(
    folder: Path, dataset: Any, spaces: Spaces, keep: Sequence[str], labels_finite: bool
) -> list[Trajectory]:
    episodes, number = [], -1
    try:
        for number, data in zip(dataset.episode_indices.tolist(), dataset.iterate_episodes(), strict=True):
            where = f"{folder / DATA}, episode {number}"
            arrays = _arrays_of_minari(where, data, keep)
            episodes.append(trajectory_of(where, arrays, spaces, labels_finite=labels_finite))
    except DatasetError:
        raise
    except Exception as error:  # Minari, HDF5 and h5py raise nearly anything about a damaged file
        raise DatasetError(
            f"{folder / DATA}, after episode {number}: it cannot be read ({error!r:.200}): it is cut or changed."
        ) from error
    return episodes


def _arrays_of_minari(where: str, data: Any, keep: Sequence[str]) -> dict[str, Array]:
    fields = {name: getattr(data, name) for name in ("observations", "actions", "terminations", "truncations")}
    arrays = {name: np.asarray(value) for name, value in fields.items()}
    infos = data.infos if isinstance(data.infos, dict) else {}
    rewards = np.asarray(data.rewards)
    demand(rewards.ndim == 1 and rewards.dtype.kind in "fiu", where, "rewards", "one number a step", rewards.shape)
    rewards = rewards.astype(np.float64)
    late = all(name in infos for name in BORDERS)
    for name in (BAG_END, OBSERVED):
        dense = np.arange(len(rewards) + 1) > 0
        arrays[name] = np.asarray(infos[name.removeprefix(INFO)]) if late else dense
    observed = arrays[OBSERVED]
    demand(observed.shape == (len(rewards) + 1,), where, OBSERVED, f"of {len(rewards) + 1} rows", observed.shape)
    demand(observed.dtype == np.bool_, where, OBSERVED, "bool", observed.dtype)
    arrays["rewards"] = np.where(observed[1:], rewards, 0.0)
    for name in keep:
        demand(name in infos and not isinstance(infos[name], dict), where, INFO + name, "there, an array", "none")
        arrays[INFO + name] = np.asarray(infos[name])
    if not late:
        arrays[f"{INFO}dense_rewards"] = rewards
    elif "dense_reward" in infos:
        arrays[f"{INFO}dense_rewards"] = np.asarray(infos["dense_reward"])[1:].astype(np.float64)
    return arrays
