"""Learners of other libraries in a benchmark: they train as they like, and are evaluated as all others are."""

from __future__ import annotations

import hashlib
import importlib.metadata
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import torch

from bagged_envs.baselines.evaluate import evaluate, evaluation_env
from bagged_envs.baselines.learned_reward import LearnedReward
from bagged_envs.baselines.player import SEEDS
from bagged_envs.baselines.redistributors.own import module_of
from bagged_envs.baselines.runs import Row, evaluation_row
from bagged_envs.baselines.training import Progress

Report = Callable[[int, Mapping[str, Any] | None], None]


class Agent(Protocol):
    """What a factory returns."""

    def learn(self, steps: int) -> None:
        """Train on the factory's environment for so many steps, or for a few more where it must."""

    def act(self, observation: Any) -> Any:
        """Return the best action for an observation, without exploring. It is asked in the middle of training."""


Factory = Callable[..., Agent]  # (env, seed, **settings)


def factory(name: str) -> Factory:
    """Import a function, `module:function`, that makes an agent of an environment, a seed and settings.

    Raises:
        ImportError: There is no such module or function, or a package is missing.
    """
    module, function = module_of(name), name.rpartition(":")[2]
    made: Factory | None = getattr(module, function, None)
    if not callable(made):
        raise ImportError(
            f"method must be module:function, or module:<redistributor>-<learner>, got {name!r}: {module.__name__} has "
            f"no function {function!r}."
        )
    return made


def packages(name: str) -> dict[str, str]:
    """Return the versions of the packages that a method's module names in `PACKAGES`, and a hash of the module itself.

    Modules of ours have our version.
    """
    module = module_of(name)
    found = {package: importlib.metadata.version(package) for package in getattr(module, "PACKAGES", ())}
    file = getattr(module, "__file__", None)
    if file is not None and not module.__name__.startswith("bagged_envs."):
        found[module.__name__] = hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]
    return found


def named(redistributor: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name of a redistributor, and its settings.

    Raises:
        ValueError: It has no name.
    """
    settings = dict(redistributor)
    if "name" not in settings:
        raise ValueError(f"redistributor must have a name, such as {{name = 'rrd'}}, got {settings}.")
    return settings.pop("name"), settings


def redistributed(
    env: gym.Env[Any, Any], redistributor: Mapping[str, Any] | None, seed: int
) -> gym.Env[Any, Any] | LearnedReward:
    """Return an environment in `LearnedReward`, or as it is where no redistributor is given: its `name`, and settings.

    What logs the returns of the task must be inside.
    """
    return env if redistributor is None else LearnedReward(env, *named(redistributor), seed=seed)


class Watched(gym.Wrapper[Any, Any, Any, Any]):
    """Counts the steps of a training environment, and calls back at every so many of them.

    The first reset without a seed has the run's.

    Attributes:
        steps: Steps so far.
        returns: What each whole episode so far was paid, in their order.
    """

    def __init__(self, env: gym.Env[Any, Any], seed: int, every: int, call: Callable[[], None]) -> None:
        """Wrap an environment."""
        super().__init__(env)
        self.steps, self.returns = 0, list[float]()
        self._seed: int | None = seed
        self._every, self._call, self._sum = every, call, 0.0
        env.action_space.seed(seed)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment."""
        first, self._seed, self._sum = self._seed, None, 0.0
        return self.env.reset(seed=first if seed is None else seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Make a step."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.steps += 1
        self._sum += float(reward)
        if terminated or truncated:
            self.returns.append(self._sum)
        if self.steps % self._every == 0:
            self._call()
        return observation, reward, terminated, truncated, info


def train_agent(
    name: str,
    settings: Mapping[str, Any],
    id: str,
    arguments: Mapping[str, Any],
    seed: int,
    steps: int,
    every: int,
    episodes: int,
    threads: int = 1,
    report: Report = lambda step, row: None,
) -> list[Row]:
    """Train an agent and evaluate it at every so many steps; it cannot be resumed.

    Args:
        name: `module:function` of its factory.
        settings: For the factory.
        id: A registered ID with a delay.
        arguments: Of the environment.
        seed: Of everything random.
        steps: Environment steps that it is asked to make; evaluations end there, though it may make more.
        every: Environment steps between two evaluations.
        episodes: Of each evaluation.
        threads: Of torch.
        report: Called at every evaluation.

    Raises:
        ImportError: There is no such factory.
        RuntimeError: It made fewer steps.
    """
    torch.set_num_threads(threads)
    training, judging = np.random.SeedSequence(seed).generate_state(2).tolist()
    training, first = training % SEEDS, SEEDS + judging % (SEEDS // 2)  # of training and of evaluation: never the same
    rows: list[Row] = []
    begun = time.perf_counter()

    def call() -> None:
        if len(rows) < steps // every:
            found = evaluate(judged, agent.act, episodes, first + len(rows) * episodes)
            paid = env.returns[rows[-1]["episodes"] if rows else 0 :]  # since the last evaluation
            means = {"training/paid": float(np.mean(paid))} if paid else {}
            progress = Progress(env.steps, len(env.returns), found, means)
            rows.append(evaluation_row(progress, None, round(time.perf_counter() - begun, 1)))
            report(env.steps, rows[-1])

    made = factory(name)
    env = Watched(gym.make(id, disable_env_checker=True, **arguments), training, every, call)
    judged = evaluation_env(id, arguments)
    try:
        agent = made(env, seed=training, **settings)
        agent.learn(steps)
    finally:
        env.close()
        judged.close()
    if env.steps < steps:
        raise RuntimeError(f"{name} must make {steps} steps in learn({steps}), made {env.steps}.")
    return rows
