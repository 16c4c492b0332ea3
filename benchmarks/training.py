"""How fast training goes with a redistributor, over training without, as `python -m benchmarks.training`.

Two whole runs of one learner on one ID alternate in this process: the plain one (identity, or `--over` another
redistributor, as LaRe-RD over RD), and one whose rewards are redistributed, with everything that belongs to it: drawing
bags, updates at the redistributor's own cadence, rewards of the learner's batches. A ratio is taken per pair of chunks
of steps, and the median of the pairs is reported.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.redistributors import config_class
from bagged_envs.baselines.training import Training, TrainingConfig
from bagged_envs.wrappers.arguments import counted
from benchmarks.learners import CLOCKS, seconds
from benchmarks.wrappers import PAIRS, Row, at_least, paired_ratios, tell

ID = "EpisodicHalfCheetah-v0"
METHODS = ("uniform-td3", "ircr-td3", "rrd-td3", "rrd_unbiased-td3", "rbt-td3")
# RBT may cost as much as the learner's updates: half of the speed where those are all there is.
GOALS = {("rrd", "identity"): 0.75, ("rrd_unbiased", "identity"): 0.75, ("lare_rd", "rd"): 0.9}
GOAL = 0.5


def begun(name: str, id: str, warm_up: int) -> Training:
    """Return a run that has made its random steps, so that all its updates have begun."""
    kind, learner = name.split("-")
    settings: dict[str, Any] = {}
    if "warm_up" in (field.name for field in fields(config_class(kind))):
        settings["warm_up"] = warm_up // 2
    method = Method(kind, learner, settings)
    training = Training(method, id, config=TrainingConfig(random_steps=warm_up), seed=0)
    steps(training, warm_up)
    return training


def steps(training: Training, count: int) -> None:
    """Make steps, without evaluations."""
    for _ in range(count):
        training.step()


def measure(methods: Sequence[str], over: str, id: str, count: int, pairs: int, warm_up: int, clock: str) -> list[Row]:
    rows = []
    for name in methods:
        kind, learner = name.split("-")
        plain, redistributed = begun(f"{over}-{learner}", id, warm_up), begun(name, id, warm_up)

        # Bound now: both are called before the loop goes on.
        def delayed(training: Training = redistributed) -> float:
            return seconds(lambda steps_: steps(training, steps_), count, clock)

        def without(training: Training = plain) -> float:
            return seconds(lambda steps_: steps(training, steps_), count, clock)

        ratios = paired_ratios(delayed, without, pairs)
        rows.append(
            at_least(f"{name} / {over}-{learner}, {id}, steps per second", ratios, GOALS.get((kind, over), GOAL))
        )
        plain.close()
        redistributed.close()
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=METHODS, help="such as rrd-td3")
    parser.add_argument("--over", default="identity", help="the redistributor that methods are compared with")
    parser.add_argument("--id", default=ID)
    # As many as the rarest bursts of updates are apart.
    parser.add_argument("--steps", type=counted, default=1000, help="environment steps of one chunk")
    parser.add_argument("--pairs", type=counted, default=PAIRS, help="paired chunks per ratio")
    parser.add_argument("--warm-up", type=int, default=2000, help="steps before the first chunk")
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall", help="which seconds are measured")
    parser.add_argument("--out", type=Path, help="also write the rows to this CSV file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a goal is not met")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = measure(chosen.methods, chosen.over, chosen.id, chosen.steps, chosen.pairs, chosen.warm_up, chosen.clock)
    return tell(rows, f"torch {torch.__version__}", chosen)


if __name__ == "__main__":
    sys.exit(main())
