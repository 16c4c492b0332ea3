"""How much harder is a late reward? Stable-Baselines3's PPO on InvertedPendulum: dense, Bagged, Episodic."""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium as gym
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

import bagged_envs

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

DENSE = "dense InvertedPendulum-v5"
BAGGED = "BaggedInvertedPendulum-v0"
EPISODIC = "EpisodicInvertedPendulum-v0"
REWARDS = (DENSE, BAGGED, EPISODIC)
NUM_ENVS, EVALUATION_SEED, WORKERS = 8, 10_000, 2


@dataclass(frozen=True)
class Budget:
    """How long to train.

    Attributes:
        seeds: One training run per seed and reward.
        evaluations: How often the policy is evaluated.
        steps_between: Environment steps between evaluations.
        episodes: Episodes of an evaluation.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    evaluations: int = 10
    steps_between: int = 4096
    episodes: int = 5


FULL = Budget()
QUICK = Budget(seeds=(0,), evaluations=1, steps_between=NUM_ENVS * 64, episodes=1)


@dataclass(frozen=True)
class Point:
    """One evaluation: the mean dense return of the policy's mode after so many training steps."""

    reward: str
    seed: int
    steps: int
    dense_return: float


def make(reward: str) -> gym.Env[Any, Any]:
    """Make the environment that is trained on, or its dense twin."""
    env = bagged_envs.dense(BAGGED) if reward == DENSE else gym.make(reward)
    return Monitor(env)


def _vector(reward: str, num_envs: int, seed: int) -> VecEnv:
    envs = DummyVecEnv([lambda: make(reward)] * num_envs)
    envs.seed(seed)
    return envs


def train(reward: str, seed: int, budget: Budget) -> list[Point]:
    """Train one policy on one kind of reward, and evaluate it on the dense one."""
    import torch

    torch.set_num_threads(1)
    envs, judge = _vector(reward, NUM_ENVS, seed), _vector(DENSE, 1, EVALUATION_SEED + seed)
    steps = min(256, budget.steps_between // NUM_ENVS)
    model = PPO("MlpPolicy", envs, 1e-3, n_steps=steps, batch_size=256, seed=seed, device="cpu")
    points = []
    for _ in range(budget.evaluations):
        model.learn(budget.steps_between, reset_num_timesteps=False)
        mean, _ = evaluate_policy(model, judge, budget.episodes)
        points.append(Point(reward, seed, model.num_timesteps, float(mean)))  # type: ignore[arg-type]
    envs.close()
    judge.close()
    return points


def train_all(budget: Budget, console: Console) -> list[Point]:
    """Train every reward with every seed, two at a time, one thread each."""
    jobs = [(reward, seed, budget) for seed in budget.seeds for reward in REWARDS]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    points: list[Point] = []
    with (
        ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool,
        Progress(*columns, console=console) as progress,
    ):
        bar = progress.add_task("PPO on dense, bagged and episodic reward", total=len(jobs))
        for future in as_completed([pool.submit(train, *job) for job in jobs]):
            points += future.result()
            progress.advance(bar)
    return sorted(points, key=lambda point: (REWARDS.index(point.reward), point.seed, point.steps))


def mean_curve(points: Sequence[Point], reward: str) -> list[tuple[int, float, float, float]]:
    """Return steps, mean, lowest and highest dense return over seeds, in the order of steps."""
    steps = sorted({point.steps for point in points if point.reward == reward})
    returns = [[p.dense_return for p in points if (p.reward, p.steps) == (reward, step)] for step in steps]
    return [(step, statistics.mean(r), min(r), max(r)) for step, r in zip(steps, returns, strict=True)]


def table(points: Sequence[Point]) -> Table:
    """Return the last evaluations as a table for the terminal."""
    shown = Table(
        "trained on", box=box.SIMPLE_HEAD, title="Dense return of the trained policy, of 1000", highlight=False
    )
    for name in ("steps", "mean", "lowest seed", "highest seed"):
        shown.add_column(name, justify="right")
    for reward in REWARDS:
        steps, mean, low, high = mean_curve(points, reward)[-1]
        shown.add_row(reward, str(steps), f"{mean:.1f}", f"{low:.1f}", f"{high:.1f}")
    return shown
