"""Recorded episodes of a task: a mixture of random and half-trained policies, kept in files."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete

import bagged_envs
from bagged_envs.baselines.collect import Act, Collector
from bagged_envs.baselines.learners.sac import SAC, SACConfig
from bagged_envs.baselines.learners.tabular import QLambda, StateNumbers, TabularConfig, play
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.baselines.task_digest import task_digest
from bagged_envs.registration import task_arguments
from bagged_envs.trajectory import Trajectory
from bagged_envs.trajectory_file import load_trajectories, save_trajectories
from bagged_envs.wrappers import DelayedReward, RewardSchedule
from bagged_envs.wrappers.arguments import positive_int

Env = gym.Env[Any, Any]
FOLDER = "BAGGED_ENVS_CACHE"
POLICIES = ("random", "half_way", "trained")
LEAST_SHARE = 4  # times what SAC waits for: of the steps until half way it learns in at least a half
FORMAT = 1  # up by one whenever the same settings would give other episodes


@dataclass(frozen=True)
class RecordingConfig:
    """How episodes are recorded.

    Attributes:
        steps: How long a policy is trained on the dense rewards, in environment steps. It plays half way and at the
            end; as many steps leave most continuous tasks half solved.
        episodes: How many episodes each of the three policies plays, exploring as it trains: the first is random.
        random_steps: Before the first update, so many steps are random.
        batch: Transitions of one update of SAC.
    """

    steps: int = 20_000
    episodes: int = 20
    random_steps: int = 1_000
    batch: int = 256

    def __post_init__(self) -> None:
        """Check that all are positive ints.

        Raises:
            TypeError: One is no int.
            ValueError: One is less than 1.
        """
        for name in ("steps", "episodes", "random_steps", "batch"):
            positive_int(name, getattr(self, name))


RECORDING = RecordingConfig()


def recorded(
    id: str,
    arguments: Mapping[str, Any] | None = None,
    seed: int = 0,
    config: RecordingConfig = RECORDING,
    folder: Path | None = None,
) -> list[Trajectory]:
    """Return episodes of a task: from the file of the same task, arguments, seed and versions, or played now.

    A task of `register_task` is the same while its arguments are, and the files of its entry point and its wrappers.

    They do not depend on the delay, and so its arguments do not matter: each step is a bag of its own here, and
    `rebag` gives them any schedule. `extras["dense_rewards"]` and `extras["policy"]`, a number in `POLICIES`, are of
    each step.

    Args:
        id: An ID of ours.
        arguments: As for `gym.make`.
        seed: Of everything that is drawn.
        config: How.
        folder: Where the files are; None for the environment variable `BAGGED_ENVS_CACHE`, or `~/.cache/bagged_envs`.

    Raises:
        ValueError: SAC would hardly have learned anything in `config.steps`.
        TrajectoryFileError: The file was cut or changed; remove it to record anew.
        gymnasium.error.Error: The ID is not registered, or an extra is missing.
    """
    env = dense_env(id, arguments)
    _check_steps(env, config)
    path = (folder or cache_folder()) / file_name(env, seed, config)
    if not path.exists():
        save_trajectories(path, record(lambda: dense_env(id, arguments), seed, config))
    env.close()
    return load_trajectories(path)


def cache_folder() -> Path:
    """Return where recordings are kept."""
    named = os.environ.get(FOLDER)
    return Path(named) if named else Path.home() / ".cache" / "bagged_envs"


def file_name(env: Env, seed: int, config: RecordingConfig) -> str:
    """Return the name of the file: the task, the seed, and a hash of all that decides what is played."""
    spec = env.spec
    if spec is None:
        raise ValueError(f"env must have a spec, got {env}: make it from an ID.")
    entry_point = str(spec.entry_point)
    own = {key: value for key, value in spec.kwargs.items() if key != "render_mode"}
    told = {
        "task": [entry_point, own, spec.max_episode_steps],
        "seed": seed,
        "config": asdict(config),
        "format": FORMAT,
        "versions": [_version(name) for name in ("gymnasium", "numpy", "torch", "mujoco", "dm-control", "mpe2")],
        "machine": platform.machine(),
    }
    users = task_digest(spec)
    told |= {} if users is None else {"users": users}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=repr).encode()).hexdigest()
    return f"{entry_point.rpartition(':')[2].removeprefix('Dense')}-{seed}-{digest[:16]}.npz"


def dense_env(id: str, arguments: Mapping[str, Any] | None = None) -> Env:
    """Make the task of an ID so that each step is a bag, its dense reward in info; nothing of the delay remains."""
    twin = bagged_envs.dense(id, **task_arguments(arguments or {}))
    return DelayedReward(twin, RewardSchedule(bag_len=1), expose_reward=True)


def record(make: Callable[[], Env], seed: int, config: RecordingConfig) -> list[Trajectory]:
    """Train a policy, and play episodes before, half way and after.

    Boxes of actions are learned by SAC, tables by Q(lambda); where neither fits, all episodes are random, and say so.

    Args:
        make: Makes the environment, as `dense_env` does.
        seed: Of everything that is drawn.
        config: How.
    """
    streams = np.random.SeedSequence(seed).generate_state(5).tolist()
    env, watched = make(), make()
    episodes: list[Trajectory] = []

    def watch(policy: int, act: Act) -> None:
        played = Collector(watched, streams[len(episodes) // config.episodes]).collect(act, episodes=config.episodes)
        episodes.extend(_by(policy, one) for one in played)

    env.action_space.seed(streams[3])
    watched.action_space.seed(streams[3])
    watch(0, lambda observation: watched.action_space.sample())
    trainer = _trainer(env)
    if trainer is None:
        for _ in POLICIES[1:]:
            watch(0, lambda observation: watched.action_space.sample())
    else:
        trainer(env, streams[4], config, watch)
    env.close()
    watched.close()
    return episodes


def _by(policy: int, trajectory: Trajectory) -> Trajectory:
    return replace(trajectory, extras={**trajectory.extras, "policy": np.full(len(trajectory), policy)})


Watch = Callable[[int, Act], None]


def is_trained(env: Env) -> bool:
    """Return whether `record` trains a policy on an environment; where it does not, all episodes are random."""
    return _trainer(env) is not None


def _check_steps(env: Env, config: RecordingConfig) -> None:
    waits = max(config.random_steps, config.batch)
    if _trainer(env) is _train_sac and config.steps < LEAST_SHARE * waits:
        raise ValueError(
            f"steps must be at least {LEAST_SHARE * waits} for SAC to have learned half way, got {config.steps} with "
            f"random_steps={config.random_steps} and batch={config.batch}: take more steps."
        )


def _trainer(env: Env) -> Callable[[Env, int, RecordingConfig, Watch], None] | None:
    seen, acted = env.observation_space, env.action_space
    if isinstance(acted, Box) and isinstance(seen, Box):
        return _train_sac
    if isinstance(acted, Discrete) and isinstance(seen, (Discrete, MultiDiscrete)):
        return _train_table
    return None


def _train_sac(env: Env, seed: int, config: RecordingConfig, watch: Watch) -> None:
    store = EpisodeStore.for_spaces(env.observation_space, env.action_space, capacity=config.steps + 1)
    learner = SAC(store.observation_size, env.action_space, SACConfig(), seed=seed)
    generator, collector = np.random.default_rng(seed), Collector(env, seed)

    def act(observation: Any) -> Any:
        seen = torch.as_tensor(np.asarray(observation, dtype=np.float32).reshape(1, -1))
        return learner.act(seen, explore=True).numpy()[0].reshape(env.action_space.shape or ())

    def explore(observation: Any) -> Any:
        return env.action_space.sample() if collector.total_steps < config.random_steps else act(observation)

    updates = 0
    for step in range(1, config.steps + 1):
        for episode in collector.collect(explore, steps=1):
            store.add(episode)
        if step > config.random_steps and len(store) >= config.batch:
            learner.update(store.sample_transitions(config.batch, generator)[1])
            updates += 1
        if step == config.steps // 2 and not updates:
            raise ValueError(
                f"steps must be more than {config.steps}: no episode had ended half way, and SAC had learned nothing."
            )
        if step in (config.steps // 2, config.steps):
            watch(1 if step < config.steps else 2, act)


def _train_table(env: Env, seed: int, config: RecordingConfig, watch: Watch) -> None:
    number = StateNumbers(env.observation_space)
    space: Any = env.action_space
    learner, first = QLambda(int(space.n), TabularConfig(), seed), int(space.start)
    counted = gym.wrappers.RecordEpisodeStatistics(gym.wrappers.TransformAction(env, lambda a: a + first, None))
    steps = 0
    for policy, until in ((1, config.steps // 2), (2, config.steps)):
        while steps < until:
            play(counted, learner, seed=seed if steps == 0 else None)
            steps += counted.length_queue[-1]
        watch(policy, lambda observation: learner.values.act(number(observation)) + first)


def _version(name: str) -> str:
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"no {name}"
