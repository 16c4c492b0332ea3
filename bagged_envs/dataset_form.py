"""What a dataset holds: episodes, their spaces, and how their rewards came to be. Every array is checked."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from gymnasium.error import DependencyNotInstalled
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Space

from bagged_envs.trajectory import Array, Trajectory
from bagged_envs.wrappers import RewardSchedule

INFO = "infos/"  # where Minari keeps what info says, from the reset on: T + 1 rows
BAG_END, OBSERVED = f"{INFO}bag_end", f"{INFO}reward_observed"
ROWS_MORE = {
    "observations": 1,
    "actions": 0,
    "rewards": 0,
    "terminations": 0,
    "truncations": 0,
    BAG_END: 1,
    OBSERVED: 1,
}
FLAGS = ("terminations", "truncations", BAG_END, OBSERVED)
Spaces: TypeAlias = "tuple[Space[Any], Space[Any]]"  # of observations, of actions
SPACES = (Box, Discrete, MultiDiscrete, MultiBinary)
ID = re.compile(r"(?:[-\w][-\w/]*[-\w]/)?[-\w]+-v\d+")


class DatasetError(ValueError):
    """A file, or what it holds, is no dataset that can be trusted; the message names the file and the field."""


@dataclass(frozen=True, eq=False)  # arrays have no one equality
class Dataset:
    """Recorded episodes and how their rewards came to be.

    A reward that is not shown is not there: it is 0.0, and the trajectory's `labeled` says so.

    Attributes:
        trajectories: The episodes, in order; the last one may have been cut.
        observation_space: A Box, Discrete, MultiDiscrete or MultiBinary.
        action_space: Likewise.
        dataset_id: Minari's name of it, such as "mujoco/halfcheetah/medium-v0".
        env_spec: The environment that was recorded, as Gymnasium's JSON, or None. `environment` makes it.
        schedule: The schedule that the rewards follow, or None where they are dense.
        seed: Of the recording, or of the schedule's lengths and labels.
        exact_count: How many labels were shown by count instead of by chance, or None.
        reference: The returns that are the scores 0 and 100, or None.
        source: The `dataset_id` of the dataset that this one was made of, or None.
        redistributor: Who said the rewards, with settings, as JSON carries them; None where they were paid.
        versions: Of the packages that it was written with.
    """

    trajectories: tuple[Trajectory, ...]
    observation_space: Space[Any]
    action_space: Space[Any]
    dataset_id: str
    env_spec: str | None = None
    schedule: RewardSchedule | None = None
    seed: int | None = None
    exact_count: int | None = None
    reference: tuple[float, float] | None = None
    source: str | None = None
    redistributor: Mapping[str, Any] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what is no array; arrays are checked where they are read and written.

        Raises:
            ValueError: There is no episode, or the ID, a space or the reference cannot be meant.
        """
        if not self.trajectories:
            raise ValueError("trajectories must be at least one, got none: record some episodes.")
        if not ID.fullmatch(self.dataset_id):
            raise ValueError(
                f"dataset_id must be a name such as 'mujoco/halfcheetah/medium-v0', got {self.dataset_id!r}."
            )
        for name in ("observation_space", "action_space"):
            if not isinstance(getattr(self, name), SPACES):
                raise ValueError(
                    f"{name} must be a Box, Discrete, MultiDiscrete or MultiBinary, got {getattr(self, name)}: "
                    "flatten it by Gymnasium's wrappers before it is recorded."
                )
        low, high = (0.0, 1.0) if self.reference is None else self.reference
        if not -math.inf < low < high < math.inf:
            raise ValueError(f"reference must be two finite returns, the lower one first, got {self.reference}.")

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self.trajectories)

    @property
    def steps(self) -> int:
        """The number of steps of all episodes."""
        return sum(map(len, self.trajectories))

    @property
    def num_bags(self) -> int:
        """The number of bags of all episodes."""
        return sum(one.num_bags for one in self.trajectories)

    @property
    def num_labels(self) -> int:
        """The number of labeled bags."""
        return sum(int(one.labeled.sum()) for one in self.trajectories)


def the_minari() -> Any:
    """Return Minari's module.

    Raises:
        gymnasium.error.DependencyNotInstalled: It is not there; the message names the extra.
    """
    try:
        return importlib.import_module("minari")
    except ImportError as error:
        raise DependencyNotInstalled(
            f'datasets need Minari and HDF5: pip install "bagged_envs[datasets]" ({error})'
        ) from error


def shown_at(trajectory: Trajectory) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which steps closed a bag, and which steps' rewards are labels: bool `[T]` each.

    Example:
        >>> one = Trajectory(np.zeros((4, 1)), np.zeros(3), np.array([0.0, 3.0, 0.0]), np.array([0, 0, 1]),
        ...     np.array([True, False]), terminated=True)
        >>> [flags.tolist() for flags in shown_at(one)]
        [[False, True, True], [False, True, False]]
    """
    lasts = np.flatnonzero(np.diff(trajectory.bag_ids, append=-1))
    ends, observed = (np.zeros(len(trajectory), dtype=np.bool_) for _ in range(2))
    ends[lasts], observed[lasts] = True, trajectory.labeled
    ends[-1] = trajectory.closed
    return ends, observed


def arrays_of(trajectory: Trajectory) -> dict[str, Array]:
    """Return a trajectory's arrays by the names that they have in Minari's files.

    Raises:
        ValueError: An extra has the name of a border, or one that no file can have.
    """
    ends, observed = shown_at(trajectory)
    last = np.arange(len(trajectory)) == len(trajectory) - 1
    arrays = {
        "observations": trajectory.observations,
        "actions": trajectory.actions,
        "rewards": trajectory.rewards,
        "terminations": last & trajectory.terminated,
        "truncations": last & (not trajectory.terminated),
        BAG_END: np.append(False, ends),
        OBSERVED: np.append(False, observed),
    }
    for name, array in trajectory.extras.items():
        if not name.isidentifier() or INFO + name in arrays:
            raise ValueError(f"extras must have names such as 'x_position', got {name!r}: rename it.")
        arrays[INFO + name] = array
    return arrays


def trajectory_of(
    where: str,
    arrays: Mapping[str, Array],
    spaces: Spaces,
    labels_finite: bool = True,
) -> Trajectory:
    """Return the episode that arrays describe, every one of them checked.

    Args:
        where: What messages call the place: a file and an episode.
        arrays: As `arrays_of` returns them.
        spaces: What observations and actions must fit in shape and kind; whole numbers also in range.
        labels_finite: Whether the rewards that are shown must be finite.

    Raises:
        DatasetError: One is missing, or has another shape or type, or says what cannot be.
    """
    _check_forms(where, arrays)
    for name, space in zip(("observations", "actions"), spaces, strict=True):
        _check_space(where, name, arrays[name], space)
    _check_flags(where, arrays)
    ends, observed = arrays[BAG_END][1:], arrays[OBSERVED][1:]
    rewards = arrays["rewards"]
    demand(not rewards[~observed].any(), where, "rewards", "0.0 where reward_observed is False", "another number")
    finite = not labels_finite or bool(np.isfinite(rewards).all())
    demand(finite, where, "rewards", "finite", "NaN or infinity")
    closed = bool(ends[-1])
    try:
        return Trajectory(
            observations=arrays["observations"],
            actions=arrays["actions"],
            rewards=rewards,
            bag_ids=np.cumsum(ends) - ends,
            labeled=np.append(observed[ends], [] if closed else [False]).astype(np.bool_),
            terminated=bool(arrays["terminations"][-1]),
            closed=closed,
            extras={name.removeprefix(INFO): array for name, array in arrays.items() if name not in ROWS_MORE},
        )
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{where}: {error}") from error


def demand(holds: bool, where: str, name: str, what: str, came: object) -> None:
    """Raise a `DatasetError` that names the place and the field unless something holds.

    Raises:
        DatasetError: It does not.
    """
    if not holds:
        raise DatasetError(f"{where}: {name} must be {what}, got {came}.")


def _check_forms(where: str, arrays: Mapping[str, Array]) -> None:
    for name in ROWS_MORE:
        demand(name in arrays, where, name, "there", "nothing")
    steps = len(arrays["actions"]) if arrays["actions"].ndim else 0
    demand(steps > 0, where, "actions", "of at least one step", steps)
    for name, array in arrays.items():
        allowed = (steps + ROWS_MORE[name],) if name in ROWS_MORE else (steps, steps + 1)
        fits = array.ndim > 0 and len(array) in allowed
        demand(fits, where, name, f"an array of {' or '.join(map(str, allowed))} rows", array.shape)
        demand(array.dtype.kind in "fiub", where, name, "an array of numbers", array.dtype)
    for name in FLAGS:
        plain = arrays[name].dtype == np.bool_ and arrays[name].ndim == 1
        demand(plain, where, name, "one bool a step", f"{arrays[name].dtype} {arrays[name].shape}")
    rewards = arrays["rewards"]
    plain = rewards.dtype == np.float64 and rewards.ndim == 1
    demand(plain, where, "rewards", "one float64 a step", f"{rewards.dtype} {rewards.shape}")


def _check_flags(where: str, arrays: Mapping[str, Array]) -> None:
    terminations, truncations = arrays["terminations"], arrays["truncations"]
    early = bool((terminations | truncations)[:-1].any())
    demand(not early, where, "terminations", "False before the last step", "an end within the episode")
    ended = bool(terminations[-1] | truncations[-1])
    demand(ended, where, "truncations", "True at the last step of an episode that did not terminate", "False")
    ends, observed = arrays[BAG_END], arrays[OBSERVED]
    demand(not ends[0], where, BAG_END, "False on reset", "True")
    demand(not (observed & ~ends).any(), where, OBSERVED, "False where no bag ends", "True")


def _check_space(where: str, name: str, array: Array, space: Space[Any]) -> None:
    shape = space.shape if space.shape is not None else ()
    demand(array.shape[1:] == shape, where, name, f"of shape {shape} in each row, as {space}", array.shape[1:])
    real = isinstance(space, Box) and space.dtype.kind == "f"
    kinds = "f" if real else "iub" if isinstance(space, (Box, MultiBinary)) else "iu"
    demand(array.dtype.kind in kinds, where, name, f"of a type that fits {space}", array.dtype)
    if isinstance(space, Box):
        demand(not real or bool(np.isfinite(array).all()), where, name, "finite", "NaN or infinity")
        return
    low, high = _choices(space)
    inside = bool(((array >= low) & (array < high)).all())
    demand(inside, where, name, f"in {space}", "a number outside")


def _choices(space: Space[Any]) -> tuple[Any, Any]:
    """Return the least choice and the first that is too large, of each element."""
    if isinstance(space, Discrete):
        return space.start, space.start + space.n
    return (space.start, space.start + space.nvec) if isinstance(space, MultiDiscrete) else (0, 2)
