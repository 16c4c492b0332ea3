"""How fast learners are against stable-baselines3's, and TD3+BC against our TD3: `python -m benchmarks.learners`.

Both sides run in one process, alternating, with the same networks, batch size and replayed transitions; a ratio is
taken per pair of runs and the median of the pairs is reported. "Updates" repeats gradient steps on what has been
stored; "whole loop" adds acting in HalfCheetah-v5, storing and sampling, one update per step. Needs the extra `sb3`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from bagged_envs.baselines.api import Transitions
from bagged_envs.baselines.learners.sac import SAC
from bagged_envs.baselines.learners.td3 import TD3, TD3Config
from bagged_envs.baselines.learners.td3_bc import td3_bc
from bagged_envs.wrappers.arguments import counted
from benchmarks.wrappers import PAIRS, Row, at_least, paired_ratios, tell

TASK = "HalfCheetah-v5"
BATCH, STORED = 256, 10_000
# Goals by threads of torch; SAC's is the same for any.
TD3_GOALS, SAC_GOAL, TD3_BC_GOAL = {1: 1.15, 2: 1.4}, 1.2, 0.95


class Replay:
    """The few lines of storage that a learner needs here; nothing is ever overwritten."""

    def __init__(self, observation_size: int, action_size: int, capacity: int, seed: int) -> None:
        sizes = (observation_size, action_size, 1, observation_size, 1)
        self.columns = [np.zeros((capacity, size), np.float32) for size in sizes]
        self.random = np.random.default_rng(seed)
        self.count = 0

    def add(self, *values: Any) -> None:
        for column, value in zip(self.columns, values, strict=True):
            column[self.count] = value
        self.count += 1

    def sample(self, size: int) -> Transitions:
        rows = self.random.integers(self.count, size=size)
        observations, actions, rewards, after, ended = (torch.from_numpy(column[rows]) for column in self.columns)
        return Transitions(observations, actions, rewards[:, 0], after, ended[:, 0])


class Ours:
    """One of our learners with its storage and its environment."""

    def __init__(self, learner: Callable[..., TD3 | SAC], stored: int, extra: int) -> None:
        self.env = gym.make(TASK)
        size, actions = self.env.observation_space.shape[0], self.env.action_space.shape[0]
        self.learner = learner(size, self.env.action_space, seed=0)
        self.replay = Replay(size, actions, stored + extra, seed=0)
        fill(self.env, stored, self.replay.add)
        self.observation, _ = self.env.reset(seed=1)

    def updates(self, count: int) -> None:
        for _ in range(count):
            self.learner.update(self.replay.sample(BATCH))

    def loop(self, count: int) -> None:
        for _ in range(count):
            here = torch.from_numpy(self.observation.astype(np.float32))[None]
            action = self.learner.act(here, explore=True)[0].numpy()
            after, reward, terminated, truncated, _ = self.env.step(action)
            self.replay.add(self.observation, action, reward, after, terminated)
            self.observation = self.env.reset()[0] if terminated or truncated else after
            self.learner.update(self.replay.sample(BATCH))


class Theirs:
    """The learner of the same name from stable-baselines3, with equal settings."""

    def __init__(self, name: str, stored: int, extra: int) -> None:
        import stable_baselines3

        self.env = gym.make(TASK)
        rate = TD3Config().actor_learning_rate  # SAC's too
        shared = {"learning_rate": rate, "buffer_size": stored + extra, "learning_starts": 0, "train_freq": 1}
        networks = {"net_arch": [256, 256]}
        noise = {}
        if name == "TD3":
            std = np.full(self.env.action_space.shape, TD3Config().exploration_noise)
            noise = {"action_noise": stable_baselines3.common.noise.NormalActionNoise(np.zeros_like(std), std)}
        algorithm = getattr(stable_baselines3, name)
        self.model = algorithm(
            "MlpPolicy", self.env, batch_size=BATCH, gradient_steps=1, policy_kwargs=networks, seed=0, **shared, **noise
        )
        fill(self.env, stored, self._add)
        self.loop(1)  # sets up what `train` needs

    def _add(self, observation: Any, action: Any, reward: Any, after: Any, ended: Any) -> None:
        self.model.replay_buffer.add(observation, after, action, np.array([reward]), np.array([ended]), [{}])

    def updates(self, count: int) -> None:
        self.model.train(gradient_steps=count, batch_size=BATCH)

    def loop(self, count: int) -> None:
        self.model.learn(count, reset_num_timesteps=False)


def fill(env: gym.Env[Any, Any], steps: int, add: Callable[..., None]) -> None:
    """Store random steps."""
    env.action_space.seed(0)
    observation, _ = env.reset(seed=0)
    for _ in range(steps):
        action = env.action_space.sample()
        after, reward, terminated, truncated, _ = env.step(action)
        add(observation, action, reward, after, terminated)
        observation = env.reset()[0] if terminated or truncated else after


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def seconds(run: Callable[[int], None], count: int, clock: str) -> float:
    begin = CLOCKS[clock]()
    run(count)
    return CLOCKS[clock]() - begin


def against_sb3(
    learner: type[TD3] | type[SAC], goal: float, steps: int, pairs: int, stored: int, clock: str
) -> list[Row]:
    """Updates alone, and the whole loop."""
    extra = steps * (pairs + 1) + 1
    ours, theirs, name = Ours(learner, stored, extra), Theirs(learner.__name__, stored, extra), learner.__name__
    threads = torch.get_num_threads()
    rows = []
    for what, mine, peer in (("updates", ours.updates, theirs.updates), ("whole loop", ours.loop, theirs.loop)):
        # Bound now: both are called before the loop goes on.
        def run(side: Callable[[int], None] = mine) -> float:
            return seconds(side, steps, clock)

        def other(side: Callable[[int], None] = peer) -> float:
            return seconds(side, steps, clock)

        ratios = paired_ratios(run, other, pairs)
        rows.append(at_least(f"{name} / stable-baselines3's, {what}, {TASK}, threads: {threads}", ratios, goal))
    ours.env.close()
    theirs.env.close()
    return rows


def against_td3(steps: int, pairs: int, stored: int, clock: str) -> Row:
    """Updates of TD3+BC over those of our TD3: the distance to the recorded actions should cost next to nothing."""
    ours, theirs = Ours(td3_bc, stored, 1), Ours(TD3, stored, 1)
    ratios = paired_ratios(
        lambda: seconds(ours.updates, steps, clock), lambda: seconds(theirs.updates, steps, clock), pairs
    )
    ours.env.close()
    theirs.env.close()
    return at_least(f"TD3+BC / TD3, updates, {TASK}, threads: {torch.get_num_threads()}", ratios, TD3_BC_GOAL)


def measure(steps: int, pairs: int, stored: int, clock: str) -> list[Row]:
    """Measure all learners with the threads that torch has."""
    goal = TD3_GOALS.get(torch.get_num_threads(), min(TD3_GOALS.values()))
    return [
        *against_sb3(TD3, goal, steps, pairs, stored, clock),
        *against_sb3(SAC, SAC_GOAL, steps, pairs, stored, clock),
        against_td3(steps, pairs, stored, clock),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=counted, default=300, help="updates, or environment steps, of one run")
    parser.add_argument("--pairs", type=counted, default=PAIRS, help="paired runs per ratio")
    parser.add_argument("--threads", type=counted, default=1, help="threads of torch")
    parser.add_argument("--stored", type=counted, default=STORED, help="random transitions to begin with")
    # Of one thread only: time of the processor, which other programs on a busy machine hardly move.
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall", help="which seconds are measured")
    parser.add_argument("--out", type=Path, help="also write the rows to this CSV file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a goal is not met")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    rows = measure(chosen.steps, chosen.pairs, chosen.stored, chosen.clock)
    return tell(rows, f"torch {torch.__version__}", chosen)


if __name__ == "__main__":
    sys.exit(main())
