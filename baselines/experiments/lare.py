"""Two tables of the LaRe paper with the factors of this package: reward errors, and correlations with the reward.

    python -m bagged_envs.baselines.experiments.lare --seeds 5 --out docs/results

It writes `lare_errors.csv` and `lare_correlations.csv` there, row by row: a stopped command goes on, and rows that are
there stay.

Errors: redistributors are fitted to recorded episodes paid at their end (random, half-trained and trained SAC, see
`judging.recordings`) and scored on held-out ones, without reinforcement learning. `lare_rd shuffled` is LaRe-RD whose
factors are those of other steps: what is left of it then is no merit of the factors. The paper's errors are of rewards
during the training of a policy, on tasks of 1,000 steps.

Correlations: the mean over the elements of an observation, and over factors, of the absolute Pearson correlation with
the dense reward of the step. MuJoCo's steps are the recorded ones; those of the particle tasks are random actions, each
agent with its own reward. An element that never moves counts as 0.

Source: Tables 1 and 4 of the LaRe paper (arXiv 2412.11120).
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bagged_envs
from bagged_envs.baselines.api import Floats32, Redistributor, StepFactors
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.growing_table import append_row, done
from bagged_envs.baselines.judging.case import Case, make_case, transitions_of
from bagged_envs.baselines.judging.fit import Spaces
from bagged_envs.baselines.judging.judge import Row, judge
from bagged_envs.baselines.judging.rebag import dense_rewards
from bagged_envs.baselines.judging.recordings import RECORDING, RecordingConfig, dense_env, recorded
from bagged_envs.baselines.latent_rewards.factors import ProgramFactors
from bagged_envs.baselines.latent_rewards.program import Program, program_name
from bagged_envs.wrappers.arguments import counted

Array = np.ndarray[Any, np.dtype[Any]]
ERRORS = ("EpisodicReacher-v0", "EpisodicHalfCheetah-v0", "EpisodicHumanoidStandup-v0")
METHODS = ("uniform", "rd", "rrd_unbiased", "vib", "lare_rd", "lare_rrd_unbiased", "lare_sign", "lare_rd shuffled")
RECORDED = ("EpisodicHalfCheetah-v0", "EpisodicHumanoidStandup-v0")
PLAYED = ("EpisodicCooperativeNavigation-v0", "EpisodicPredatorPrey-v0")
UPDATES = 5_000  # environment steps whose worth of updates is made, by each method's own schedule
STEPS = 2_000  # of the particle tasks


class Shuffled:
    """Factors of other steps: those of all that are asked for together, in random order.

    Attributes:
        size: As that of the factors.
        program: The factors' own.
    """

    def __init__(self, factors: ProgramFactors, seed: int) -> None:
        """Shuffle some factors; the order is drawn from `seed`."""
        self.size, self.program, self._factors = factors.size, factors.program, factors
        self._generator = np.random.default_rng(seed)

    def __call__(self, observations: Floats32, actions: Floats32, next_observations: Floats32) -> Floats32:
        """Return the factors of steps, float32 `[N, F]`, in random order."""
        return self._generator.permutation(self._factors(observations, actions, next_observations))


def error_row(id: str, method: str, seed: int, updates: int, config: RecordingConfig) -> Row:
    """Return the scores of a method, "shuffled" if its name says so.

    Args:
        id: An ID with a delay.
        method: One of `METHODS`.
        seed: Of recordings, split, weights and draws.
        updates: Environment steps whose worth of updates is made.
        config: How episodes are recorded.
    """
    name, _, shuffled = method.partition(" ")
    change = functools.partial(shuffle, seed=seed) if shuffled else nothing
    (row,) = judge(name, _case(id, seed, config), updates, change=change)
    return {**row, "method": method}


@functools.lru_cache(maxsize=1)
def _case(id: str, seed: int, config: RecordingConfig) -> Case:
    return make_case(id, seed=seed, config=config)


def nothing(made: Redistributor) -> None:
    """Leave a redistributor as it is."""


def shuffle(made: Any, seed: int) -> None:
    """Have a method over factors see those of other steps."""
    made.factors = Shuffled(made.factors, seed)


def correlations(id: str, seed: int, config: RecordingConfig, steps: int = STEPS) -> Row:
    """Return how an observation's elements, and factors, go with the dense reward, on average.

    Args:
        id: An ID with a delay.
        seed: Of the steps.
        config: How episodes are recorded, where they are.
        steps: How many there are at least, where they are played.
    """
    taken = _played if id in PLAYED else functools.partial(_recorded, config=config)
    seen, acted, rewards = taken(id, seed, steps=steps)
    name = program_name(id)
    if name is None:
        raise ValueError(f"id must be of a task with a program of its own, got {id!r}.")
    factors: StepFactors = ProgramFactors(Program.named(name), seen.shape[1], acted.shape[1])
    said = factors(seen, acted, seen)
    return {
        "id": id,
        "seed": seed,
        "steps": len(rewards),
        "elements": seen.shape[1],
        "elements_correlation": mean_correlation(seen, rewards),
        "factors": factors.size,
        "factors_correlation": mean_correlation(said, rewards),
    }


def mean_correlation(columns: Array, rewards: Array) -> float:
    """Return the mean absolute Pearson correlation of columns `[N, F]` with rewards `[N]`; constants count as 0.

    Example:
        >>> round(mean_correlation(np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]), np.array([-1.0, -2.0, -3.0])), 6)
        0.5
    """
    centered = columns.astype(np.float64) - columns.mean(axis=0, dtype=np.float64)
    deviations = rewards - rewards.mean()
    norms = np.linalg.norm(centered, axis=0) * np.linalg.norm(deviations)
    moving = norms > 1e-9 * max(1.0, float(norms.max()))
    products = np.abs(centered.T @ deviations)
    return float(np.where(moving, products / np.where(moving, norms, 1.0), 0.0).mean())


def _recorded(id: str, seed: int, steps: int, config: RecordingConfig) -> tuple[Floats32, Floats32, Array]:
    env = dense_env(id)
    spaces = Spaces(env.observation_space, env.action_space)
    env.close()
    episodes = recorded(id, {}, seed, config)
    told = transitions_of(episodes, spaces)
    rewards = np.concatenate([dense_rewards(one) for one in episodes])
    return told.states.astype(np.float32), told.actions.astype(np.float32), rewards


def _played(id: str, seed: int, steps: int) -> tuple[Floats32, Floats32, Array]:
    """Return steps of all agents under random actions, each with its agent's own reward."""
    env = bagged_envs.dense(id)
    env.action_space.seed(seed)
    agents = env.unwrapped.n_agents  # type: ignore[attr-defined]
    spaces = Features(env.observation_space, agents), Features(env.action_space, agents)
    seen, acted, paid = [], [], []
    observation, _ = env.reset(seed=seed)
    for _ in range(steps):
        seen.append(observation)
        acted.append(env.action_space.sample())
        observation, _, terminated, truncated, info = env.step(acted[-1])
        paid.append(info["agent_rewards"])
        if terminated or truncated:
            observation, _ = env.reset()
    env.close()
    rows = [space.encode(np.stack(values)) for space, values in zip(spaces, (seen, acted), strict=True)]
    seen_rows, acted_rows = (one.reshape(len(one) * agents, -1) for one in rows)
    return seen_rows, acted_rows, np.concatenate(paid)


def work(
    out: Path, seeds: int, updates: int, config: RecordingConfig, methods: Sequence[str], ids: Sequence[str]
) -> Iterator[tuple[Path, Callable[[], Row]]]:
    """Yield the file and the making of each row that is not there, those of one seed before those of the next."""
    errors, told = out / "lare_errors.csv", out / "lare_correlations.csv"
    there = done(errors, ("id", "method", "seed")), done(told, ("id", "seed"))
    for seed in range(seeds):
        for id in ids:
            for method in methods:
                if (id, method, str(seed)) not in there[0]:
                    yield errors, functools.partial(error_row, id, method, seed, updates, config)
        for id in (*RECORDED, *PLAYED):
            if (id, str(seed)) not in there[1]:
                yield told, functools.partial(correlations, id, seed, config)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=counted, default=5)
    parser.add_argument("--updates", type=counted, default=UPDATES)
    parser.add_argument("--methods", default=",".join(METHODS), help="with commas between")
    parser.add_argument("--ids", default=",".join(ERRORS), help="with commas between")
    parser.add_argument("--out", type=Path, required=True, help="the folder of both tables")
    given = parser.parse_args(words)
    torch.set_num_threads(1)
    for file, made in work(
        given.out, given.seeds, given.updates, RECORDING, given.methods.split(","), given.ids.split(",")
    ):
        row = made()
        append_row(file, row)
        print(file.name, row["id"], row.get("method", "correlations"), row["seed"], flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
