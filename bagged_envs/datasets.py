"""Recorded episodes for learning offline: recorded by Minari, delayed by a schedule, kept in files that are checked.

Example:
    >>> import tempfile
    >>> from bagged_envs.wrappers import RewardSchedule
    >>> dense = record("InvertedPendulum-v5", None, "pendulum/random-v0", steps=200, seed=0)
    >>> bagged = delayed(dense, RewardSchedule(bag_len=5), seed=0)
    >>> few = delayed(dense, RewardSchedule(bag_len=1), seed=0, exact_count=2)
    >>> few.steps, few.num_labels
    (200, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(bagged, f"{folder}/bagged")
    ...     load(f"{folder}/bagged").dataset_id
    'pendulum/random-delayed-v0'
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from bagged_envs.dataset_delay import check_storable, delayed, dense_rewards
from bagged_envs.dataset_file import METADATA, load, read_json, save, versions
from bagged_envs.dataset_form import ID, SPACES, Dataset, DatasetError, demand, the_minari
from bagged_envs.dataset_minari import BORDERS, from_minari, local_path, minari_dataset, two_returns
from bagged_envs.dataset_spec import known_spec
from bagged_envs.registration import delay_of
from bagged_envs.trajectory import Trajectory
from bagged_envs.wrappers import RewardSchedule
from bagged_envs.wrappers.arguments import a_seed, positive_int, string, strings

__all__ = [
    "Dataset",
    "DatasetError",
    "delayed",
    "dense_rewards",
    "environment",
    "from_minari",
    "load",
    "local_path",
    "minari_dataset",
    "record",
    "save",
    "trajectories",
]

Policy: TypeAlias = Callable[[Any], Any]


def record(
    id: str,
    policy: Policy | None,
    dataset_id: str,
    *,
    steps: int | None = None,
    episodes: int | None = None,
    seed: int = 0,
    keep: Sequence[str] = (),
    reference: tuple[float, float] | None = None,
    **kwargs: Any,
) -> Dataset:
    """Play an environment under Minari's collector, and return what it recorded.

    What a delayed ID pays is recorded with the borders of its bags, and delaying what its dense twin recorded, with the
    same seed and policy, gives the same.

    Args:
        id: An ID of ours, or any other.
        policy: From an observation to an action; None for random actions, drawn from `seed`.
        dataset_id: Minari's name of the dataset, such as "mujoco/halfcheetah/medium-v0".
        steps: How many steps exactly; the last episode is cut there. Its last bag may be open.
        episodes: How many whole episodes.
        seed: Of the first reset; the random streams go on from there.
        keep: Keys of info to keep in each trajectory's `extras`, `[T + 1, ...]`; each must be there on reset, too. Take
            care that none gives the reward away.
        reference: The returns that are the scores 0 and 100.
        **kwargs: As for `gym.make`.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument has a value that cannot be meant, or a space is none that a dataset can have.
        DatasetError: What was recorded is not finite, or does not lie in the spaces.
        gymnasium.error.DependencyNotInstalled: The extra `datasets` is not installed.
    """
    if (steps is None) == (episodes is None):
        raise ValueError(f"record() needs either steps or episodes, got steps={steps}, episodes={episodes}.")
    wanted = positive_int("steps", steps) if episodes is None else positive_int("episodes", episodes)
    a_seed(seed)
    scores = two_returns("reference", reference)
    if not ID.fullmatch(string("dataset_id", dataset_id)):
        raise ValueError(f"dataset_id must be a name such as 'mujoco/halfcheetah/medium-v0', got {dataset_id!r}.")
    env = gym.make(id, **kwargs)
    for name in ("observation_space", "action_space"):
        if not isinstance(getattr(env, name), SPACES):
            raise ValueError(f"id={id!r} has the {name} {getattr(env, name)}, which no dataset can have: flatten it.")
    try:
        _check_spec(env.spec)
    except ValueError:
        env.close()
        raise
    env.action_space.seed(seed)
    act = policy if policy is not None else lambda observation: env.action_space.sample()
    schedule = _schedule_of(env)
    found = _collected(env, act, wanted, episodes is None, seed, dataset_id, strings("keep", keep))
    return replace(found, schedule=schedule, seed=seed, reference=scores)


def trajectories(dataset: Any, keep: Sequence[str] = ()) -> list[Trajectory]:
    """Return the episodes of a dataset.

    Those of a `MinariDataset` with dense rewards have bags of one step each, and `extras["dense_rewards"]`. Those with
    infos `bag_end` and `reward_observed` have the bags that these say, and 0.0 for rewards that are not shown, whatever
    the file has there.

    Args:
        dataset: A `Dataset` or a `MinariDataset`.
        keep: For a `MinariDataset`, the infos to keep in `extras`.

    Raises:
        DatasetError: A file is damaged, or an array is none that a trajectory can have.
    """
    return list((dataset if isinstance(dataset, Dataset) else from_minari(dataset, keep)).trajectories)


def environment(dataset: Any, *, allow: Collection[str] = (), **kwargs: Any) -> gym.Env[Any, Any]:
    """Make the environment that a dataset was recorded in, if all that its file names is known.

    Args:
        dataset: A `Dataset` or a `MinariDataset`.
        allow: Further entry points that may be called, such as "my_module:MyEnv": they run with your rights.
        **kwargs: As for `gym.make`.

    Raises:
        DatasetError: It names an entry point or a wrapper that is neither ours nor Gymnasium's; nothing was run.
        ValueError: It names no environment.
    """
    if isinstance(dataset, Dataset):
        told, where, written = dataset.env_spec, f"{dataset.dataset_id}: env_spec", dataset.versions
    else:
        file = Path(dataset.storage.data_path) / METADATA
        told, where, written = read_json(file).get("env_spec"), f"{file}: env_spec", {}
    if told is None:
        raise ValueError(f"{where} must be there to make an environment, got none: make it with gymnasium.make.")
    demand(isinstance(told, str), where, "the whole", "a text", type(told).__name__)
    spec = known_spec(told, where, allow)
    _warn_of_versions(where, written)
    return gym.make(spec, **kwargs)


class _OwnSeeds(gym.Wrapper[Any, Any, Any, Any]):
    """Lets no option of Minari's through: without `minari_autoseed=False` it would seed every episode anew."""

    @property
    def spec(self) -> Any:  # type: ignore[override]
        """That of the environment inside: this wrapper is no part of it."""
        return self.env.spec

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Reset without options."""
        return self.env.reset(seed=seed)


def _collected(
    env: gym.Env[Any, Any], act: Policy, wanted: int, by_steps: bool, seed: int, dataset_id: str, keep: Sequence[str]
) -> Dataset:
    """Play, and return what Minari's collector recorded."""
    minari = the_minari()
    from minari.dataset.minari_storage import MinariStorage

    callback = _step_callback(env, keep)
    collector = minari.DataCollector(_OwnSeeds(env), lambda: callback, record_infos=True, jpeg_encoding=False)
    spaces = env.observation_space, env.action_space
    with tempfile.TemporaryDirectory() as folder, _closed(collector):
        _play(collector, act, wanted, by_steps, seed)
        storage = MinariStorage.new(folder, *spaces, env.spec, jpeg_encoding=False)
        storage.update_metadata({"dataset_id": dataset_id, "minari_version": minari.__version__})
        dataset = minari.MinariDataset(storage)
        collector.add_to_dataset(dataset)
        return replace(from_minari(dataset, keep), versions=versions())


@contextmanager
def _closed(collector: Any) -> Iterator[None]:
    """Close Minari's collector, and the temporary folders that it leaves to the garbage collector and its warnings."""
    folders = [getattr(collector, "_tmp_dir", None)]
    try:
        yield
    finally:
        folders.append(getattr(collector, "_tmp_dir", None))
        collector.close()
        for folder in folders:
            if folder is not None:
                folder.cleanup()


def _step_callback(env: gym.Env[Any, Any], keep: Sequence[str]) -> Callable[..., dict[str, Any]]:
    """Return what tells Minari's collector what to keep of a step."""

    def told(env: Any, obs: Any, info: Any, action: Any = None, rew: Any = None, **ends: bool) -> dict[str, Any]:
        missing = [name for name in keep if name not in info]
        if missing:
            raise ValueError(f"keep must name keys that info has on reset and in each step, got {missing}.")
        names = [name for name in (*BORDERS, "dense_reward") if name in info]
        return {
            "observation": np.array(obs),  # an environment may change its own later
            "action": action if action is None else np.array(action),
            "reward": rew,
            "terminated": ends.get("terminated"),
            "truncated": ends.get("truncated"),
            "info": {name: info[name] for name in (*names, *keep)},
        }

    return told


def _play(collector: Any, act: Policy, wanted: int, by_steps: bool, seed: int) -> None:
    observation, _ = collector.reset(seed=seed)
    steps, episodes, over = 0, 0, False
    while (steps if by_steps else episodes) < wanted:
        if over:
            observation, _ = collector.reset(options={"minari_autoseed": False})
        observation, _, terminated, truncated, _ = collector.step(_fitting(act(observation), collector.action_space))
        over = bool(terminated or truncated)
        steps, episodes = steps + 1, episodes + over


def _fitting(action: Any, space: gym.Space[Any]) -> Any:
    """Return an action in the type of its space.

    Raises:
        ValueError: It does not lie in it.
    """
    given = np.asarray(action)
    fitting: Any = given.astype(space.dtype)
    same = np.dtype(space.dtype).kind not in "biu" or np.array_equal(fitting, given)  # 1.7 is no action 1
    if isinstance(space, gym.spaces.Discrete):
        fitting = fitting[()]  # a NumPy number, which can be a key
    if not (same and space.contains(fitting)):
        raise ValueError(f"policy must return actions in {space}, got {action!r:.60}: clip them.")
    return fitting


def _check_spec(spec: EnvSpec | None) -> None:
    """Refuse a specification that Minari cannot do without, before anything is played.

    Where arguments are no JSON values, Minari warns, and keeps no specification.
    """
    if spec is None:
        return
    try:
        spec.to_json()
    except TypeError:
        return
    except ValueError as error:
        raise ValueError(
            f"id={spec.id!r} must be registered with entry points that a file can hold, such as 'my_module:MyEnv', and "
            f"its arguments must be no functions: {error}"
        ) from error


def _schedule_of(env: gym.Env[Any, Any]) -> RewardSchedule | None:
    """Return the schedule that a recording of an environment follows: what is not shown is 0.0 there."""
    layer = delay_of(env)
    if layer is None:
        return None
    schedule = replace(layer.schedule, unlabeled_reward=0.0)
    check_storable(schedule, None)
    return schedule


def _warn_of_versions(where: str, written: Any) -> None:
    here = versions()
    for name in ("bagged_envs", "gymnasium", "mujoco"):
        if written.get(name, here.get(name)) != here.get(name):
            warnings.warn(
                f"{where}: it was recorded with {name} {written[name]}, and {here.get(name)} is installed: what the "
                "environment does may differ.",
                stacklevel=3,
            )
