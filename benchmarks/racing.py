"""Races of vector environments, backend beside backend, for `benchmarks.backends`."""

from __future__ import annotations

import csv
import dataclasses
import importlib.metadata
import importlib.util
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import bagged_envs

MOST_PROCESSES = 32  # AsyncVectorEnv has one per environment
PACKAGES = ("gymnasium", "mujoco", "numpy", "envpool", "dm-control", "stable-baselines3")


class Contender(NamedTuple):
    """A backend and how many threads it gets."""

    backend: str
    threads: int = 1

    def __str__(self) -> str:
        return f"{self.backend} {self.threads}" if self.backend in ("native", "envpool") else self.backend


SYNC = Contender("sync")


@dataclasses.dataclass(frozen=True)
class Speed:
    """What one contender reached: environment steps per second, and how that compares with the first of the race."""

    task: str
    num_envs: int
    backend: str
    threads: int
    steps_per_second: float
    lowest: float
    highest: float
    over_first: float


def contenders(backends: Sequence[str], threads: Sequence[int], num_envs: int) -> list[Contender]:
    """Return who takes part; SyncVectorEnv always does, AsyncVectorEnv with at most 32 environments."""
    chosen = [SYNC]
    if "async" in backends and num_envs <= MOST_PROCESSES:
        chosen.append(Contender("async"))
    threaded = [name for name in ("native", "envpool") if name in backends]
    return chosen + [Contender(name, count) for name in threaded for count in threads if count <= num_envs]


class Player(NamedTuple):
    """A vector environment, and how it begins a run."""

    envs: Any
    begin: Callable[[], Any]

    def seconds(self, actions: Sequence[Any]) -> float:
        """Return how long it takes to play the actions."""
        self.begin()
        before = time.perf_counter()
        for action in actions:
            self.envs.step(action)
        return time.perf_counter() - before


def make(task: str, num_envs: int, contender: Contender, delayed: bool) -> Player:
    """Return a contender's vector environment."""
    backend, threads = contender
    kwargs = {"num_threads": threads} if backend in ("native", "envpool") else {}
    if backend == "envpool" and not delayed:
        import envpool

        pool = envpool.make_gymnasium(f"{task}-v5", num_envs=num_envs, seed=0, **kwargs)
        return Player(pool, pool.reset)  # its seed is that of its making
    envs = bagged_envs.make_vec(f"Bagged{task}-v0", num_envs, backend=backend, vector_kwargs=kwargs)
    chosen: Any = envs if delayed else envs.env
    return Player(chosen, lambda: chosen.reset(seed=0))


def race(
    task: str, num_envs: int, whom: Sequence[Contender], rounds: int, duration: float, delayed: bool
) -> dict[Contender, list[float]]:
    """Return each contender's steps per second, round by round; a run of the first one lasts about `duration`."""
    players = {contender: make(task, num_envs, contender, delayed) for contender in whom}
    a_few = actions(task, num_envs, 25)
    for player in players.values():  # so that all are warm
        player.seconds(a_few)
    per_step = players[whom[0]].seconds(a_few) / len(a_few)
    chosen = actions(task, num_envs, max(2, round(duration / per_step)))
    runs = {name: partial(player.seconds, chosen) for name, player in players.items()}
    found = alternate(runs, rounds, len(chosen) * num_envs)
    for player in players.values():
        player.envs.close()
    return found


def alternate(runs: Mapping[Contender, Callable[[], float]], rounds: int, steps: int) -> dict[Contender, list[float]]:
    """Return the steps per second of runs that return their seconds, round by round; each begins with another one."""
    names = list(runs)
    found: dict[Contender, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for place in range(len(names)):
            name = names[(place + number) % len(names)]
            found[name].append(steps / runs[name]())
    return found


def actions(task: str, num_envs: int, count: int) -> list[Any]:
    """Return random actions, the same ones for everybody."""
    env = bagged_envs.dense(f"Bagged{task}-v0")
    space: Any = env.action_space
    env.close()
    size = (count, num_envs, *space.shape)
    return list(np.random.default_rng(0).uniform(space.low, space.high, size=size).astype(space.dtype))


def speeds(task: str, num_envs: int, found: dict[Contender, list[float]]) -> list[Speed]:
    """Return a row for each contender."""
    rows, first = [], next(iter(found.values()))
    for contender, rates in found.items():
        over = statistics.median(ours / theirs for ours, theirs in zip(rates, first, strict=True))
        middle = statistics.median(rates)
        rows.append(Speed(task, num_envs, *contender, middle, min(rates), max(rates), over))
    return rows


def machine() -> dict[str, str]:
    """Return what the figures come from."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    versions = {name: importlib.metadata.version(name) for name in PACKAGES if importlib.util.find_spec(_module(name))}
    return {
        "processor": model or platform.processor(),
        "cores": str(os.cpu_count()),
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "bagged_envs": bagged_envs.__version__,
        **versions,
    }


def _module(package: str) -> str:
    return package.replace("-", "_")


def read(file: Path) -> list[Speed]:
    """Return the figures of a file that was written by `write`.

    Raises:
        KeyError: It lacks a column.
        ValueError: A number is none.
    """
    kinds: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}
    columns = {field.name: kinds[str(field.type)] for field in dataclasses.fields(Speed)}
    with file.open(newline="") as stream:
        return [Speed(**{name: kind(row[name]) for name, kind in columns.items()}) for row in csv.DictReader(stream)]


def drawn(rows: Sequence[Speed]) -> Any:
    """Return a figure of how many times SyncVectorEnv's speed each backend reaches, a panel per number of environments.

    Races without SyncVectorEnv are left out.

    Raises:
        ValueError: None is left.
    """
    from matplotlib.figure import Figure

    raced = {(row.task, row.num_envs) for row in rows if row.backend == SYNC.backend}
    if not raced:
        raise ValueError("there is no race with SyncVectorEnv")
    rows = [row for row in rows if (row.task, row.num_envs) in raced]
    sizes, tasks = sorted({row.num_envs for row in rows}), list(dict.fromkeys(row.task for row in rows))
    names = list(dict.fromkeys(Contender(row.backend, row.threads) for row in rows))
    figure = Figure(figsize=(3.2 * len(sizes) + 1.8, 0.26 * len(tasks) + 1.6), layout="constrained")
    panels = figure.subplots(1, len(sizes), squeeze=False, sharex=True, sharey=True)[0]
    for panel, size in zip(panels, sizes, strict=True):
        for place, name in enumerate(names):
            reached = {
                row.task: row.over_first for row in rows if (row.num_envs, row.backend, row.threads) == (size, *name)
            }
            at = [tasks.index(task) for task in reached]
            panel.plot(list(reached.values()), at, "|" if name == SYNC else "osD^v"[place % 5], ms=5, label=str(name))
        panel.set_title(f"{size} environments", fontsize=9)
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_formatter("{x:g}")
        panel.grid(color="0.9")
        panel.set_axisbelow(True)
    panels[0].set_yticks(range(len(tasks)), tasks, fontsize=8)
    panels[0].invert_yaxis()
    figure.supxlabel("steps per second, times those of SyncVectorEnv", fontsize=9)
    figure.legend(*panels[0].get_legend_handles_labels(), ncols=len(names), fontsize=8, loc="outside upper center")
    return figure


def show(row: Speed) -> str:
    name = str(Contender(row.backend, row.threads))
    return f"{row.task:24} {row.num_envs:4} {name:10} {row.steps_per_second:10,.0f} steps/s {row.over_first:6.2f} x"
