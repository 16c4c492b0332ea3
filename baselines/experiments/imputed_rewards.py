"""Imputed rewards against true ones: how often which meets which, over the transitions whose reward was not shown.

    python -m bagged_envs.baselines.experiments.imputed_rewards datasets/halfcheetah-medium datasets/hopper-medium \
        --labels 0.01 --out docs/results/imputed_rewards.csv --plot docs/results/imputed_rewards.png

The imputer is fitted as in a run of `offline_run` with the same seed; no learner is trained. The table has the joint
histogram of each dataset, a row for each cell that is not empty; datasets that it has are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from bagged_envs.baselines.experiments.offline_run import OfflineRun, digest, late, task_id
from bagged_envs.baselines.growing_table import append_rows, done, read_rows
from bagged_envs.baselines.imputation import agreement
from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.offline import OfflineTraining
from bagged_envs.baselines.recorded import labeled_steps
from bagged_envs.datasets import dense_rewards, load
from bagged_envs.wrappers import RewardSchedule

Floats = npt.NDArray[np.float64]
KEYS = ("data", "labels", "seed")
BINS = 30
OUTSIDE = 0.001  # of the rewards at each end, which are counted in the outermost cells


def rewards_of(run: OfflineRun) -> tuple[Floats, Floats]:
    """Return the true and the imputed rewards of the transitions whose reward was not shown, `[N]` each."""
    dense = load(run.data)
    episodes = late(run, dense)
    training = OfflineTraining(run.method, task_id(dense), episodes, seed=run.seed)
    training.fit()
    training.close()
    hidden = np.concatenate([~labeled_steps(one) for one in episodes])
    true = np.concatenate(dense_rewards(dense))
    return true[hidden], np.concatenate(training.predictions())[hidden]


def joint(true: Floats, imputed: Floats, bins: int = BINS) -> list[tuple[float, float, int]]:
    """Return the middles of each cell of the joint histogram that is not empty, and its count.

    Both axes have the same cells, between quantiles of all rewards; what lies outside is counted in the outermost.

    Example:
        >>> joint(np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0]), bins=2)
        [(0.25, 0.25, 1), (0.25, 0.75, 1), (0.75, 0.75, 1)]
    """
    low, high = np.quantile(np.concatenate((true, imputed)), (OUTSIDE, 1.0 - OUTSIDE))
    low, high = (float(np.round(end, 6)) for end in (low, high))
    edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
    rows, columns = (np.clip(np.digitize(one, edges) - 1, 0, bins - 1) for one in (true, imputed))
    counts = np.zeros((bins, bins), dtype=np.int64)
    np.add.at(counts, (rows, columns), 1)
    middles = (edges[1:] + edges[:-1]) / 2
    places = zip(*np.nonzero(counts), strict=True)
    return [(float(middles[x]), float(middles[y]), int(counts[x, y])) for x, y in places]


def add(run: OfflineRun, out: Path) -> None:
    """Write the histogram of a dataset into a table, all of it at once."""
    true, imputed = rewards_of(run)
    found = agreement([imputed], [true], [np.ones(len(true), dtype=np.bool_)])
    told = {"data": run.data.name, "labels": run.labels, "seed": run.seed, "data_sha256": digest(run.data)}
    told |= {"r2": f"{found.r2:.4f}"}
    cells = joint(true, imputed)
    append_rows(out, [{**told, "true": f"{x:.6g}", "imputed": f"{y:.6g}", "count": count} for x, y, count in cells])
    print(f"{run.data.name}: R² {found.r2:.3f}, mean absolute error {found.error:.3f}", flush=True)


def plot(out: Path, file: Path) -> None:
    """Draw a panel per histogram: counts by true and by imputed reward, and the diagonal on which they are equal."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.colors import LogNorm

    rows = read_rows(out)
    if not rows:
        raise ValueError(f"{out} must have rows to draw, got none: name datasets.")
    names = list(dict.fromkeys(tuple(row[key] for key in KEYS) for row in rows))
    columns = min(3, len(names))
    shape = -(-len(names) // columns), columns
    figure, axes = plt.subplots(*shape, figsize=(3.4 * columns, 3.2 * shape[0]), squeeze=False)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for axis, name in zip(axes.flat, names, strict=False):
        own = [row for row in rows if tuple(row[key] for key in KEYS) == name]
        true, imputed, counts = (np.array([float(row[key]) for row in own]) for key in ("true", "imputed", "count"))
        axis.scatter(true, imputed, c=counts, norm=LogNorm(), s=14, marker="s", cmap="viridis")
        ends = [min(true.min(), imputed.min()), max(true.max(), imputed.max())]
        axis.plot(ends, ends, color="gray", linewidth=0.8)
        data, labels, seed = name
        title = f"{data}\n{100 * float(labels):g} % labeled, seed {seed}: R² {float(own[0]['r2']):.3f}"
        axis.set(title=title, xlabel="true reward", ylabel="imputed reward")
        axis.title.set_fontsize("small")
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="*", help="folders of dense datasets")
    parser.add_argument("--labels", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plot", type=Path, help="also draw the table")
    given = parser.parse_args(words)
    if not 0.0 < given.labels < 1.0:
        parser.error(f"--labels must be a share above 0 and below 1, which hides some rewards, got {given.labels}.")
    torch.set_num_threads(1)
    try:
        for folder in given.data:
            _add_missing(folder, given.labels, given.seed, given.out)
        if given.plot:
            plot(given.out, given.plot)
    except (OSError, FloatingPointError, TypeError, ValueError) as error:
        parser.error(str(error))
    return 0


def _add_missing(folder: Path, labels: float, seed: int, out: Path) -> None:
    """Write the histogram of a dataset into a table that has not got it."""
    for row in read_rows(out):
        if row["data"] == folder.name and row["data_sha256"] != digest(folder):
            raise ValueError(f"{out} has rows of another {folder.name}: choose another --out, or remove them.")
    if (folder.name, str(labels), str(seed)) not in done(out, KEYS):
        run = OfflineRun(Method.named("imputer-bc"), folder, RewardSchedule(bag_len=1), labels, {}, seed)
        add(run, out)


if __name__ == "__main__":
    raise SystemExit(main())
