"""Teams whose reward comes at the end of the episode: eight ways to give it to agents and steps, with IPPO.

    python -m bagged_envs.baselines.experiments.teams --seeds 3 --runs runs --out docs/results/teams.csv

A process per run. Runs that were stopped go on, and those that the table has whole are left out. A run is 300
iterations of 2,050 environment steps, and evaluated every ten. `--tell` prints areas under the curves, final returns,
and how probably a method's final return is above that of Identity, with the seeds of both paired and drawn anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from bagged_envs.baselines.experiments import sweep
from bagged_envs.baselines.experiments.curves import Curve, final, plot, read, table
from bagged_envs.baselines.redistributors.rd import PARTICLE

TASKS: dict[str, tuple[str, ...]] = {  # with their arguments
    "EpisodicCooperativeNavigation-v0": ("num_agents=6",),
    "EpisodicPredatorPrey-v0": ("num_agents=6",),
    "EpisodicTriangleArea-v0": (),
}
ITERATION = 2050  # environment steps: 41 worlds, two episodes of 25 steps each
ITERATIONS = 300
EVERY = 10 * ITERATION
# Of all of them: the limit of 25 steps is a part of these tasks, and with a discount of 1 returns stay what they are.
SETTINGS = (
    "learner.discount=1.0",
    "training.worlds=41",
    "training.finite_horizon=True",
    f"training.evaluate_every={EVERY}",
)
REGRESSION = tuple(f"redistributor.{name}={value}" for name, value in PARTICLE.items())
METHODS: dict[str, tuple[str, ...]] = {  # with what of their settings is not the default
    "identity-ippo": (),
    "oracle-ippo": (),
    "uniform-ippo": (),
    "rd-ippo": REGRESSION,
    "arel-ippo": (),
    "stas-ippo": (),
    "tar2-ippo": (),
    "lare_rd-ippo": REGRESSION,
}
DRAWS = 10_000  # of the bootstrap


def commands(seeds: int, steps: int, runs: Path, out: Path, methods: Sequence[str]) -> Iterator[list[str]]:
    """Yield the command of each run that is not in the table: those with one seed before those with the next."""
    done = sweep.whole(out, steps)
    for seed in range(seeds):
        for id, arguments in TASKS.items():
            for method in methods:
                if (method, id, " ".join(arguments), str(seed)) not in done:
                    folder = runs / f"{method}-{id}-{seed}"
                    words = [*arguments, *SETTINGS, *METHODS[method]]
                    yield sweep.command(method, id, words, seed, steps, folder)


def improvement(curves: Mapping[str, Curve], others: Mapping[str, Curve], seed: int = 0) -> float:
    """Return how probably a method's mean final return is above another's, over seeds drawn anew in pairs.

    Args:
        curves: The method's, by seed.
        others: The other's; seeds that only one of them has are left out.
        seed: Of the draws.

    Example:
        >>> improvement({"0": {10: 2.0}, "1": {10: 4.0}}, {"0": {10: 1.0}, "1": {10: 3.0}})
        1.0
    """
    gains = np.array([final(curves[one]) - final(others[one]) for one in sorted(curves.keys() & others.keys())])
    drawn = np.random.default_rng(seed).integers(len(gains), size=(DRAWS, len(gains)))
    return float((gains[drawn].mean(axis=1) > 0).mean())


def tell(out: Path) -> list[str]:
    """Return lines of Markdown: of each method the areas and final returns, and the probability of improvement."""
    curves = read([out])
    lines = [*table(curves), "", "| environment | method | P(method > identity) |", "|---|---|---:|"]
    for id, methods in curves.items():
        for method in sorted(methods.keys() - {"identity-ippo"}):
            lines.append(f"| {id} | {method} | {improvement(methods[method], methods['identity-ippo']):.2f} |")
    return lines


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 where a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=ITERATIONS * ITERATION)
    parser.add_argument("--methods", default=",".join(METHODS), help="with commas between")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tell", action="store_true", help="run nothing, print what the table says")
    parser.add_argument("--plot", type=Path, help="run nothing, draw the table")
    given = parser.parse_args(words)
    if given.tell or given.plot:
        print("\n".join(tell(given.out)))
        if given.plot:
            plot(read([given.out]), given.plot)
        return 0
    try:
        sweep.claim(given.out, SETTINGS)
    except ValueError as error:
        parser.error(str(error))
    with ThreadPoolExecutor(given.workers) as pool:
        every = commands(given.seeds, given.steps, given.runs, given.out, given.methods.split(","))
        failed = 0
        for code in pool.map(sweep.run, every):
            failed += code != 0
            print(f"{sweep.collect(given.runs, given.out)} rows in {given.out}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
