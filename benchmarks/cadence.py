"""What redistributors cost beside a learner, as `python -m benchmarks.cadence`.

For each redistributor that learns, at its own schedule, per environment step: seconds of its updates (drawing their
bags too) and of giving rewards to the 256 transitions of a batch (looking them up, where they are stored, and storing
them anew after each burst), over those of one TD3 update of that batch. Bags are 20 steps long, and whole episodes of
1,000; sizes are those of HalfCheetah. Time of this process's CPU, on one thread; the median of paired ratios.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box

import bagged_envs
from bagged_envs.baselines.learners.td3 import TD3
from bagged_envs.baselines.redistributors import REDISTRIBUTORS, make_redistributor, reads_factors
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.demo.rows import write
from bagged_envs.trajectory import Trajectory
from bagged_envs.wrappers.arguments import counted

OBSERVATION, ACTION, BATCH = 17, 6, 256
EPISODE, STORED = 1000, 100_000
BAG_LENGTHS = (20, EPISODE)
# With a third of an update on top, the loop of updates has three quarters of its speed.
GOALS = {"rrd": 0.33, "rrd_unbiased": 0.33}
GOAL = 1.0
NOTHING_TO_LEARN = ("identity", "labels_only", "oracle", "uniform", "reward_design")
NO_NETWORK = ("ircr", "constant")


@dataclass(frozen=True)
class Row:
    """What one redistributor costs with bags of one length.

    Attributes:
        name: Of the redistributor.
        bag_len: Steps of a bag.
        updates: Seconds of its updates per environment step, over those of a TD3 update.
        relabeling: The same of relabeling.
        ratio: Both together.
        goal: What that should reach at most.
        met: Whether it does.
    """

    name: str
    bag_len: int
    updates: float
    relabeling: float
    ratio: float
    goal: float
    met: bool


def filled(bag_len: int, steps: int) -> EpisodeStore:
    """Return a store of random episodes."""
    random = np.random.default_rng(0)
    store = EpisodeStore(steps, OBSERVATION, ACTION)
    ids = np.arange(EPISODE) // bag_len
    for _ in range(steps // (EPISODE + 1)):
        rewards = np.zeros(EPISODE)
        rewards[bag_len - 1 :: bag_len] = random.normal(size=EPISODE // bag_len) * bag_len
        store.add(
            Trajectory(
                random.normal(size=(EPISODE + 1, OBSERVATION)), random.uniform(-1, 1, (EPISODE, ACTION)), rewards, ids,
                np.ones(EPISODE // bag_len, bool), terminated=False,
            )
        )  # fmt: skip
    return store


class Measured:
    """One redistributor beside a learner."""

    def __init__(self, name: str, store: EpisodeStore, learner: TD3) -> None:
        self.store, self.learner, self.random = store, learner, np.random.default_rng(1)
        self.redistributor: Any = made(name)
        store.keep(getattr(self.redistributor, "factors", None))
        self.indices, self.batch = store.sample_transitions(BATCH, self.random)
        if self.redistributor.stored:
            store.relabel_all(self.redistributor)

    def update(self) -> None:
        self.redistributor.update(self.store.sample_bags(self.redistributor.sampling, self.random))

    def store_rewards(self) -> None:
        self.store.relabel_oldest(self.redistributor, self.redistributor.schedule.refresh)

    def reward(self) -> None:
        self.store.relabel(self.redistributor, self.indices)

    def learn(self) -> None:
        self.learner.update(self.batch)

    def ratios(self) -> tuple[float, float]:
        """Return the two costs per environment step, over the learner's, measured once."""
        schedule = self.redistributor.schedule
        before = seconds(self.learn)
        updates = seconds(self.update) * schedule.updates / schedule.every
        relabeling = seconds(self.reward)
        if self.redistributor.stored:
            relabeling += seconds(self.store_rewards) / schedule.every
        learning = (before + seconds(self.learn)) / 2.0
        return updates / learning, relabeling / learning


def seconds(call: Callable[[], None], least: float = 0.1) -> float:
    """Return the CPU's seconds that a call takes, on average over calls that take `least` seconds together."""
    begin, count = time.process_time(), 0
    while time.process_time() - begin < least:
        call()
        count += 1
    return (time.process_time() - begin) / count


def names() -> list[str]:
    """The redistributors with a network."""
    return [name for name in REDISTRIBUTORS if name not in (*NOTHING_TO_LEARN, *NO_NETWORK)]


def made(name: str) -> Any:
    """A redistributor with its defaults; its factors, if it reads any, are those of HalfCheetah."""
    settings = {"factors": "HalfCheetah"} if reads_factors(name) else {}
    return make_redistributor(name, OBSERVATION, ACTION, **settings)


def measure(chosen: Sequence[str], pairs: int, stored: int) -> list[Row]:
    learner = TD3(OBSERVATION, Box(-1.0, 1.0, (ACTION,), np.float32), seed=0)
    rows = []
    for bag_len in BAG_LENGTHS:
        store = filled(bag_len, stored)
        for name in chosen:
            one, goal = Measured(name, store, learner), GOALS.get(name, GOAL)
            one.update()
            one.learn()
            ratios = [one.ratios() for _ in range(pairs)]
            updates, relabeling = (statistics.median(column) for column in zip(*ratios, strict=True))
            both = statistics.median(map(sum, ratios))
            rows.append(Row(name, bag_len, updates, relabeling, both, goal, both <= goal))
    return rows


def show(row: Row) -> str:
    verdict = "met" if row.met else "NOT MET"
    parts = f"updates {row.updates:.3f}, relabeling {row.relabeling:.3f}"
    return f"{row.ratio:6.3f}  goal <= {row.goal}: {verdict}  {row.name}, bags of {row.bag_len} ({parts})"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=counted, default=5, help="measurements per ratio")
    parser.add_argument("--stored", type=counted, default=STORED, help="transitions in the store")
    parser.add_argument("--only", nargs="*", choices=names(), default=names(), help="which redistributors")
    parser.add_argument("--out", type=Path, help="also write the rows to this CSV file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a goal is not met")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = measure(chosen.only, chosen.pairs, chosen.stored)
    print(f"bagged_envs {bagged_envs.__version__}, torch {torch.__version__}, cost over that of a TD3 update")
    for row in rows:
        print(show(row))
    if chosen.out is not None:
        write(rows, chosen.out)
    return int(chosen.strict and not all(row.met for row in rows))


if __name__ == "__main__":
    sys.exit(main())
