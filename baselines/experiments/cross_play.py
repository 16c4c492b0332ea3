"""Two teams against each other: policies learned with one redistribution meet those learned with another.

    python -m bagged_envs.baselines.experiments.cross_play --seeds 3 --out docs/results/cross_play.csv

In CompetitivePredatorPrey each side is trained with IPPO against the scripted other side, paid by the team's return at
the end of the episode. Then every pair of predators and prey of a seed plays the same episodes, scripted ones among
them. Told is how often predators touch prey in an episode.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch

from bagged_envs.baselines.command import grouped
from bagged_envs.baselines.experiments.teams import ITERATION, METHODS, SETTINGS, claim
from bagged_envs.baselines.growing_table import append_row, done, read_rows
from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.team_training import TeamConfig, TeamTraining
from bagged_envs.wrappers.arguments import counted

ID = "EpisodicCompetitivePredatorPrey-v0"
PREDATORS, PREY = "predators", "prey"
LEARNED = ("lare_rd-ippo", "rd-ippo")
SCRIPTED = "scripted"
ITERATIONS = 150
EPISODES = 200  # of each match
MATCHES = 2**40  # seeds of matches begin here, far from those of training
KEYS = (PREDATORS, PREY, "seed")
PAIRS = [pair for pair in itertools.product((*LEARNED, SCRIPTED), repeat=2) if pair != (SCRIPTED, SCRIPTED)]
Policy = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.int64]]  # what all of a team observe, to their actions


def trained(method: str, team: str, seed: int, iterations: int = ITERATIONS) -> Policy:
    """Return the policy of a team after so many iterations against the scripted other."""
    settings = grouped([*SETTINGS, *METHODS[method]])
    named = Method.named(method, settings["redistributor"], settings["learner"])
    config = TeamConfig(**{**settings["training"], "evaluate_every": 10**9})
    training = TeamTraining(named, ID, {"team": team}, config, seed=seed)
    for _ in training.run(iterations * ITERATION):
        pass
    training.close()
    return partial(_acted, training.learner)


def _acted(learner: Any, observations: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    chosen = learner.act(torch.from_numpy(observations), explore=False)  # [A, U], one-hot
    found: npt.NDArray[np.int64] = chosen.argmax(dim=1).numpy()
    return found


def as_opponents(policy: Policy) -> Callable[[Mapping[str, Any], np.random.Generator], dict[str, Any]]:
    """Return a policy as environments take it for the team that is not controlled."""

    def act(observations: Mapping[str, Any], generator: np.random.Generator) -> dict[str, Any]:
        return dict(zip(observations, policy(np.stack(list(observations.values()))), strict=True))

    return act


def match(predators: Policy | None, prey: Policy | None, seed: int, episodes: int = EPISODES) -> float:
    """Return how often predators touch prey in an episode, pairs that touch counted in each step: the mean over some.

    Args:
        predators: How they act; None for the scripted ones, then the prey must not be.
        prey: Likewise.
        seed: Of the first episode; the others are seeded with the numbers that follow.
        episodes: How many.

    Raises:
        ValueError: Both are scripted: one side must be ours to act for.
    """
    own, team, other = (prey, PREY, predators) if predators is None else (predators, PREDATORS, prey)
    if own is None:
        raise ValueError("predators and prey must not both be scripted, got None for both: train one of them.")
    opponents = SCRIPTED if other is None else as_opponents(other)
    env = gym.make(ID, disable_env_checker=True, team=team, opponents=opponents, expose_reward=True)
    touches = [_touches(env, own, seed + number) for number in range(episodes)]
    env.close()
    return float(np.mean(touches))


def _touches(env: gym.Env[Any, Any], policy: Policy, seed: int) -> int:
    observations, _ = env.reset(seed=seed)
    touches, ended = 0, False
    while not ended:
        observations, _, terminated, truncated, info = env.step(policy(observations))
        touches += int(info["captures"])
        ended = terminated or truncated
    return touches


def run(out: Path, seeds: int, iterations: int = ITERATIONS, episodes: int = EPISODES) -> None:
    """Add the matches that a table does not have; a seed's policies are trained anew where one is missing."""
    finished = done(out, KEYS)
    for seed in range(seeds):
        pairs = [pair for pair in PAIRS if (*pair, str(seed)) not in finished]
        teams: dict[tuple[str, str], Policy | None] = {(SCRIPTED, PREDATORS): None, (SCRIPTED, PREY): None}
        for method, team in itertools.product(LEARNED if pairs else (), (PREDATORS, PREY)):
            teams[method, team] = trained(method, team, seed, iterations)
        for predators, prey in pairs:
            touches = match(teams[predators, PREDATORS], teams[prey, PREY], MATCHES + seed * episodes, episodes)
            append_row(out, {PREDATORS: predators, PREY: prey, "seed": seed, "touches": f"{touches:.6g}"})


def summary(out: Path) -> str:
    """Return a Markdown table of touches in an episode: a row for each side of predators, a column for each of prey."""
    names = (*LEARNED, SCRIPTED)
    lines = ["| predators | " + " | ".join(f"prey: {name}" for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    found = {tuple(row[key] for key in KEYS): float(row["touches"]) for row in read_rows(out)}
    for predators in names:
        cells = [_told([value for key, value in found.items() if key[:2] == (predators, prey)]) for prey in names]
        lines.append(f"| {predators} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _told(values: Sequence[float]) -> str:
    each = ", ".join(f"{value:.1f}" for value in values)
    return f"{np.mean(values):.1f} ({each})" if values else ""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=counted, default=3)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(words)
    try:
        claim(given.out)
    except ValueError as error:
        parser.error(str(error))
    run(given.out, given.seeds)
    print(summary(given.out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
