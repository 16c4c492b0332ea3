"""Where TAR2's shares lead the policy: the scores of a model that a run has fitted, paid in each of its ways.

    python -m bagged_envs.baselines.experiments.tar2_shares FOLDER ... --out docs/results/tar2_shares.csv

A folder is that of a run of `tar2-ippo` on CooperativeNavigation with 6 agents. Its policy, as it is at the end, plays
episodes; its model scores them; and of each way to pay the scores, all other settings the run's own, the policy
gradient is compared with the true one, as `gradient_variance` does. A method whose gradient has no part along the true
one leads the policy nowhere. Equal shares of the return are there for comparison. Told is also how many of
the 25 steps the return falls on, 1 / sum_t w_t^2, and how many of the agents of a step; of what is no share (both
signs) that is not told.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bagged_envs.baselines.api import BagBatch
from bagged_envs.baselines.checkpoint import CheckpointError
from bagged_envs.baselines.experiments.gradient_variance import (
    EPISODES,
    ID,
    TRUTH_EPISODES,
    arguments_of,
    noise_by,
    recorded,
    truth,
)
from bagged_envs.baselines.growing_table import append_row, done, read_rows
from bagged_envs.baselines.learners.ppo import PPO
from bagged_envs.baselines.redistributors.tar2 import TAR2, TAR2Config
from bagged_envs.baselines.redistributors.uniform import Uniform
from bagged_envs.baselines.runs import reopen
from bagged_envs.baselines.team_training import TeamTraining
from bagged_envs.baselines.training import Training

PAYMENTS: dict[str, dict[str, Any]] = {
    "none": {"normalization": "none"},
    "min_max": {"normalization": "min_max"},
    **{f"softmax / {heat}": {"normalization": "softmax", "temperature": heat} for heat in (0.5, 1.0, 2.0, 4.0, 8.0)},
}
EQUAL = "equal shares"
KEYS = ("run", "learned_by", "step", "seed", "paid_by")
SEED = 11  # of the episodes: those of training are drawn otherwise


def spread(shares: Tensor, dim: int) -> float:
    """Return on how many a whole falls along an axis, 1 / sum of squared shares: the mean over all others.

    What is less than a millionth of the largest whole counts as nothing: sums that are exact to the bit are made so by
    rounding somewhere. nan where some amount has not the sign of its whole: these are no shares.

    Example:
        >>> spread(torch.tensor([[4.0, 4.0, 0.0], [0.0, 3.0, 0.0]]), 1)
        1.5
        >>> spread(torch.tensor([2.0, -1.0]), 0)
        nan
    """
    whole = shares.sum(dim=dim, keepdim=True)
    least = 1e-6 * whole.abs().max()
    there, shares = (whole.abs() > least).squeeze(dim), torch.where(shares.abs() > least, shares, 0.0)
    if bool((shares * whole < 0.0).any()):
        return math.nan
    return (whole.square().squeeze(dim) / shares.square().sum(dim=dim))[there].mean().item()


def payments(made: TAR2, steps: Sequence[BagBatch]) -> Iterator[tuple[str, Tensor]]:
    """Yield the rewards `[B, L, A]` that a model's scores become, in each way to pay them, and equal shares.

    Args:
        made: The model.
        steps: Whole bags.
    """
    agents = steps[0].mask.shape[2]
    sizes: dict[str, Any] = {
        "observation_size": steps[0].observations.shape[3],
        "action_size": steps[0].actions.shape[3],
    }
    for name, settings in PAYMENTS.items():
        other = TAR2(config=replace(made.config, **settings), agents=agents, **sizes)
        other.load_state_dict(made.state_dict())
        yield name, torch.cat([other.relabel(batch) for batch in steps])
    yield EQUAL, torch.cat([Uniform(agents=agents, **sizes).relabel(batch) for batch in steps])


def run(folder: Path, out: Path) -> None:
    """Add the rows of a run to a table, those that it does not have.

    Raises:
        ValueError: The run is of another task or of another redistributor.
    """
    with closing(reopen(folder)) as training:
        _run(folder, training, out)


def _run(folder: Path, training: Training | TeamTraining, out: Path) -> None:
    made, learner = training.redistributor, training.learner
    told = (training.id, dict(training.arguments))
    if isinstance(training, Training) or told != (ID, arguments_of(ID)):
        raise ValueError(
            f"{folder} must be a run on {ID} with {arguments_of(ID)}, got one on {told[0]} with {told[1]}."
        )
    if not isinstance(made, TAR2) or not isinstance(learner, PPO) or training.method.name != "tar2-ippo":
        raise ValueError(f"{folder} must be a run of tar2-ippo, got {training.method.name}.")
    key = (folder.resolve().name, _payment(made.config), str(training.total_steps), str(training.seed))
    if {(*key, name) for name in (*PAYMENTS, EQUAL)} <= (finished := done(out, KEYS)):
        return
    asked, other = recorded(learner, EPISODES, SEED), recorded(learner, TRUTH_EPISODES, SEED + 1)
    direction, certainty = truth(learner, other)
    steps = [batch for _, batch in asked.all_bags()]
    for name, rewards in payments(made, steps):
        if (*key, name) not in finished:
            found = noise_by(learner, steps, rewards, direction)._asdict() | {"certainty": certainty}
            found |= {"steps": spread(rewards.sum(dim=2), 1), "agents": spread(rewards, 2)}
            numbers = {column: f"{value:.6g}" for column, value in found.items()}
            append_row(out, dict(zip(KEYS, (*key, name), strict=True)) | numbers)


def _payment(config: TAR2Config) -> str:
    """Return the name of how a run's rewards were made of its scores."""
    kind = config.normalization
    return f"{kind} / {config.temperature}" if kind == "softmax" else kind


def summary(out: Path) -> str:
    """Return a Markdown table of the cosines with the truth: a row for each payment, a column for each run."""
    rows = read_rows(out)
    runs = list(dict.fromkeys(tuple(row[name] for name in KEYS[:-1]) for row in rows))
    cells = {(tuple(row[name] for name in KEYS[:-1]), row["paid_by"]): row for row in rows}
    names = list(dict.fromkeys(row["paid_by"] for row in rows))
    heads = [f"{run}, learned by {learned}, step {step}, seed {seed}" for run, learned, step, seed in runs]
    lines = ["| paid by | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(runs)]
    for name in names:
        found = (cells.get((run, name)) for run in runs)
        lines.append(f"| {name} | " + " | ".join("–" if row is None else _told(row) for row in found) + " |")
    lines.append(
        "| the truth's halves | " + " | ".join(f"{float(cells[run, names[0]]['certainty']):.2f}" for run in runs) + " |"
    )
    return "\n".join(lines)


def _told(row: dict[str, str]) -> str:
    steps = float(row["steps"])
    return f"{float(row['cosine']):.2f}" + ("" if math.isnan(steps) else f" ({steps:.0f} steps)")


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="runs of tar2-ippo; none to tell what the table has")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(words)
    for folder in given.folders:
        try:
            run(folder, given.out)
        except (CheckpointError, FileNotFoundError, ValueError) as error:
            parser.error(str(error))
    print(summary(given.out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
