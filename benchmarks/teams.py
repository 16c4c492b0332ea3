"""How much of a team's training is playing, as `python -m benchmarks.teams`.

Two whole runs of one method alternate in this process: on our own CooperativeNavigation, whose worlds are played in one
NumPy call, and on mpe2's environment of the same game, played in a loop. Told are the share of the wall clock that each
spends on playing, the median over its iterations, and by how much the first is faster: in playing, and in all.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bagged_envs.baselines.team_training import TeamConfig, TeamTraining
from bagged_envs.wrappers.arguments import counted
from benchmarks.wrappers import PAIRS, Row, at_least, paired_ratios, tell

OURS, THEIRS = "EpisodicCooperativeNavigation-v0", "EpisodicSimpleSpread-v0"
GOAL = 0.25  # of the share, with our own worlds
FASTER = 10.0  # times, in playing


class Watched:
    """A run whose playing is timed.

    Attributes:
        shares: Of each iteration, playing over all of it.
        playing: Seconds of each iteration.
    """

    def __init__(self, method: str, id: str, arguments: Mapping[str, Any], config: TeamConfig) -> None:
        self.training = TeamTraining(method, id, arguments, config, seed=0)
        self.shares: list[float] = []
        self.playing: list[float] = []
        self._play = self.training._worlds.play
        self.training._worlds.play = self._timed  # type: ignore[method-assign]

    def _timed(self, act: Any, steps: int) -> Any:
        begin = time.perf_counter()
        episodes = self._play(act, steps)
        self.playing.append(time.perf_counter() - begin)
        return episodes

    def iterate(self) -> float:
        """Make an iteration; return its seconds."""
        begin = time.perf_counter()
        self.training.step()
        seconds = time.perf_counter() - begin
        self.shares.append(self.playing[-1] / seconds)
        return seconds


def at_most(name: str, shares: Sequence[float], goal: float | None) -> Row:
    share = statistics.median(shares)
    told = "none" if goal is None else f"<= {goal}"
    return Row(name, share, min(shares), max(shares), told, goal is None or share <= goal)


def measure(method: str, agents: int, worlds: int, rollout: int, pairs: int) -> list[Row]:
    config = TeamConfig(worlds=worlds, rollout=rollout)
    ours = Watched(method, OURS, {"num_agents": agents}, config)
    theirs = Watched(method, THEIRS, {"N": agents}, config)
    ratios = paired_ratios(ours.iterate, theirs.iterate, pairs)
    size = f"{worlds} worlds of {agents} agents"
    played = [theirs_took / ours_took for ours_took, theirs_took in zip(ours.playing, theirs.playing, strict=True)]
    rows = [
        at_most(f"share of playing, {method}, {OURS}, {size}", ours.shares[1:], GOAL),
        at_most(f"share of playing, {method}, {THEIRS}, {size}", theirs.shares[1:], None),
        at_least(f"{OURS} / {THEIRS}, {size}, rounds played per second", played[1:], FASTER),
        at_least(f"{OURS} / {THEIRS}, {method}, {size}, iterations per second", ratios, 1.0),
    ]
    ours.training.close()
    theirs.training.close()
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", default="uniform-ippo")
    parser.add_argument("--agents", type=counted, default=6)
    parser.add_argument("--worlds", type=counted, default=32)
    parser.add_argument("--rollout", type=counted, default=TeamConfig.rollout, help="environment steps of an iteration")
    parser.add_argument("--pairs", type=counted, default=PAIRS, help="paired iterations per ratio")
    parser.add_argument("--out", type=Path, help="also write the rows to this CSV file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a goal is not met")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = measure(chosen.method, chosen.agents, chosen.worlds, chosen.rollout, chosen.pairs)
    return tell(rows, f"torch {torch.__version__}", chosen)


if __name__ == "__main__":
    sys.exit(main())
