"""Teams whose reward comes at the end of the episode: eight ways to give it to agents and steps, with IPPO.

    python -m bagged_envs.baselines.experiments.teams --seeds 3 --runs runs --out docs/results/teams.csv

A process per run. Runs that were stopped go on, and those that the table has whole are left out. A run is 300
iterations of 2,050 environment steps, and evaluated every ten; `--preset frequent` lets AREL, STAS and TAR2 make as
many updates as RD does, 20 in each iteration; `--preset published` is 1,000 iterations, with the sizes and schedules of
the authors' codes. `--tell` prints areas under the curves, final returns, how much a method's final return is above
that of Identity, seed by seed, and how probably their mean is, with seeds drawn anew.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bagged_envs.baselines.experiments import sweep
from bagged_envs.baselines.experiments.curves import Curve, final, plot, read, table
from bagged_envs.baselines.learners.ippo import IPPO_PAPER
from bagged_envs.baselines.methods import LEARNERS
from bagged_envs.baselines.redistributors.arel import ARELConfig
from bagged_envs.baselines.redistributors.rd import PARTICLE
from bagged_envs.baselines.redistributors.stas import STASConfig
from bagged_envs.baselines.redistributors.tar2 import TAR2Config
from bagged_envs.wrappers.arguments import counted

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


CONTROL = "identity-ippo"


def words(group: str, settings: Any, default: Any) -> tuple[str, ...]:
    """Return what of settings is not the default, as the command line takes it.

    Example:
        >>> words("redistributor", STASConfig(bags=7), STASConfig())
        ('redistributor.bags=7',)
    """
    told = ((name, value) for name, value in vars(settings).items() if value != getattr(default, name))
    return tuple(f"{group}.{name}={value}" for name, value in told)


@dataclass(frozen=True)
class Preset:
    """How large the runs are.

    Attributes:
        name: Its own.
        iterations: Of 2,050 environment steps.
        settings: Of all methods.
        methods: What of each one's own settings is not the default.
    """

    name: str
    iterations: int
    settings: tuple[str, ...]
    methods: Mapping[str, tuple[str, ...]]


def _published() -> Preset:
    """Return the sizes and schedules of the authors' codes, for bigger machines: RD's and LaRe's as in LaRe's."""
    steps = 1000 * ITERATION
    learner = words("learner", IPPO_PAPER, LEARNERS["ippo"].config)
    regression = {**PARTICLE, "warm_up": 4000, "every": 10 * ITERATION, "updates": 50, "standardize": False}
    rd = tuple(f"redistributor.{name}={value}" for name, value in regression.items())
    attention = {
        "arel-ippo": words("redistributor", ARELConfig.paper(), ARELConfig()),
        "stas-ippo": words("redistributor", STASConfig.paper(), STASConfig()),
        "tar2-ippo": words("redistributor", TAR2Config.paper(), TAR2Config()),
    }
    own = {**attention, "rd-ippo": rd, "lare_rd-ippo": rd}
    others = tuple(word for word in SETTINGS if not word.startswith("learner."))
    settings = (*others, *learner, f"training.decay_steps={steps}", f"training.capacity={15_000 * 25}")
    return Preset("published", 1000, settings, {method: own.get(method, ()) for method in METHODS})


OFTEN = dict.fromkeys(("arel-ippo", "stas-ippo", "tar2-ippo"), ("redistributor.every=2048", "redistributor.updates=20"))
LAPTOP = Preset("laptop", ITERATIONS, SETTINGS, METHODS)
PRESETS = {
    preset.name: preset
    for preset in (LAPTOP, Preset("frequent", ITERATIONS, SETTINGS, {**METHODS, **OFTEN}), _published())
}


def commands(
    seeds: int, steps: int, runs: Path, out: Path, methods: Sequence[str], preset: Preset = LAPTOP
) -> Iterator[list[str]]:
    """Yield the command of each run that is not in the table: those with one seed before those with the next."""
    done = sweep.whole(out, steps)
    for seed in range(seeds):
        for id, arguments in TASKS.items():
            for method in methods:
                if (method, id, " ".join(arguments), str(seed)) not in done:
                    settings = [*arguments, *preset.settings, *preset.methods[method]]
                    yield sweep.command(method, id, settings, seed, steps, folder_of(method, id, seed, runs, preset))


def folder_of(method: str, id: str, seed: int, runs: Path, preset: Preset = LAPTOP) -> Path:
    """Return where a run is kept: not where `bagged-envs train` or another preset keeps those with other settings."""
    of = "teams" if preset == LAPTOP else f"teams-{preset.name}"
    return runs / f"{of}-{method}-{id}-{seed}"


def claim(out: Path, preset: Preset = LAPTOP, of: Sequence[str] = ()) -> None:
    """Keep beside a table with which settings, and which of each method, its rows are made, as `sweep.claim`.

    Args:
        out: The table.
        preset: Its settings.
        of: What else its rows are of.

    Raises:
        ValueError: The table is for others.
    """
    own = (f"{method}.{word}" for method, settings in preset.methods.items() for word in settings)
    sweep.claim(out, [*of, *preset.settings, *own])


def gains(curves: Mapping[str, Curve], others: Mapping[str, Curve]) -> list[float]:
    """Return by how much a method's final return is above another's, for each seed that both have.

    Where one of them has not come as far, both are cut to the steps that both have.

    Example:
        >>> gains({"0": {10: 2.0, 20: 9.0}, "1": {10: 4.0}}, {"0": {10: 1.0}, "2": {10: 3.0}})
        [1.0]
    """
    found = []
    for seed in sorted(curves.keys() & others.keys()):
        both = curves[seed].keys() & others[seed].keys()
        if both:
            mine, theirs = ({step: of[seed][step] for step in both} for of in (curves, others))
            found.append(final(mine) - final(theirs))
    return found


def improvement(gained: Sequence[float]) -> float:
    """Return how probably the mean gain is above 0, over seeds drawn anew: counted, not drawn, over all draws.

    Args:
        gained: Of each seed, at most seven, so that the draws can be counted.

    Example:
        >>> improvement([1.0, 2.0])
        1.0
        >>> improvement([1.0, -2.0])
        0.25
    """
    drawn = itertools.product(gained, repeat=len(gained))
    return float(np.mean([sum(one) > 0 for one in drawn]))


def tell(out: Path) -> list[str]:
    """Return lines of Markdown: of each method the areas and final returns, and the probability of improvement."""
    curves = read([out])
    heading = "| environment | method | gain over identity, per seed | P(method > identity) |"
    lines = [*table(curves), "", heading, "|---|---|---|---:|"]
    for id, methods in curves.items():
        for method in sorted(methods.keys() - {CONTROL}):
            found = gains(methods[method], methods.get(CONTROL, {}))
            each = ", ".join(f"{gain:.1f}" for gain in found)
            lines.append(f"| {id} | {method} | {each} | {f'{improvement(found):.2f}' if found else '–'} |")
    return lines


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 where a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=counted, default=3)
    parser.add_argument("--preset", choices=list(PRESETS), default="laptop", help="how large the runs are")
    parser.add_argument("--steps", type=counted, help="of each run, instead of the preset's")
    parser.add_argument("--methods", default=",".join(METHODS), help="with commas between")
    parser.add_argument("--workers", type=counted, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tell", action="store_true", help="run nothing, print what the table says")
    parser.add_argument("--plot", type=Path, help="run nothing, draw the table")
    given = parser.parse_args(words)
    methods = given.methods.split(",")
    for method in methods:
        if method not in METHODS:
            parser.error(f"--methods must be some of {', '.join(METHODS)}, got {method!r}.")
    if given.tell or given.plot:
        print("\n".join(tell(given.out)))
        if given.plot:
            plot(read([given.out]), given.plot)
        return 0
    preset = PRESETS[given.preset]
    steps = preset.iterations * ITERATION if given.steps is None else given.steps
    try:
        claim(given.out, preset)
    except ValueError as error:
        parser.error(str(error))
    failed = 0
    made = commands(given.seeds, steps, given.runs, given.out, methods, preset)
    for folder, code in sweep.run_each(made, given.workers):
        failed += code != 0
        if code == 0:
            print(f"{sweep.collect([folder], given.out)} rows in {given.out}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
