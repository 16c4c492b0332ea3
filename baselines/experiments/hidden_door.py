"""What factors are for: on HiddenDoor, paid at its end, who pays for a lamp that only goes with success?

    python -m bagged_envs.baselines.experiments.hidden_door --seeds 10 --out hidden_door.csv
    python -m bagged_envs.baselines.experiments.hidden_door --plot hidden_door.png --out hidden_door.csv

A stopped command goes on with the rows that are not there yet. Each seed has random episodes of its own; those of a
small number are the first of those of a larger. Others are recorded, of a random, a half-trained and a trained policy.
RD and LaRe-RD are fitted to what the episodes are paid at their ends, with 200 updates, early in a fit, and with
1,000. LaRe-RD sees four factors of a program that the generation pipeline makes of recorded answers
(`latent_rewards/answers/hidden_door.json`; they were written by hand, by no model), or the six of the bundled program,
which was written by hand as well and one of which is whether the lamp is on.

Then each method is asked about steps of the task, with the door shut, in units of the label:

- light: the mean reward in a hall with the lamp on, minus that of the same steps with the lamp off; the press that
  turns it on is left out.
- lighting: the reward of turning the lamp on, minus the mean of the two other actions in the same place.
- correlation: Pearson's, with the true rewards of all steps of the episodes.

The truth is 0, 0 and 1. What a program does not see, a decoder cannot pay for: LaRe-RD with the recorded answers has 0
for both, whatever the episodes are. What they decide is whether the rest is right.

Source: the example, a light that goes with success and a button that causes it, is from LaRe (arXiv 2412.11120); cells,
    measures and numbers are ours.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch

from bagged_envs.baselines.collect import collect
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.growing_table import append_row, done, read_rows
from bagged_envs.baselines.judging.case import make_case, step_function, transitions_of
from bagged_envs.baselines.judging.epic import Floats, RewardFunction
from bagged_envs.baselines.judging.fit import Spaces, fit
from bagged_envs.baselines.judging.rebag import dense_rewards
from bagged_envs.baselines.judging.scores import pearson
from bagged_envs.baselines.latent_rewards.bundled import HERE
from bagged_envs.baselines.latent_rewards.chat import RecordedAnswers
from bagged_envs.baselines.latent_rewards.generation import Generated, GenerationConfig, generate
from bagged_envs.baselines.latent_rewards.prompts import task_text
from bagged_envs.baselines.latent_rewards.steps import random_steps
from bagged_envs.envs.hidden_door import LEFT, LENGTH, PRESS, RIGHT, layout
from bagged_envs.trajectory import Trajectory
from bagged_envs.wrappers.arguments import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ID = "EpisodicHiddenDoor-v0"
ANSWERS = HERE.joinpath("answers", "hidden_door.json")
CANDIDATES = 3  # that were recorded
METHODS = {
    "rd": "RD",
    "lare_rd answers": "LaRe-RD, program made of recorded answers",
    "lare_rd bundled": "LaRe-RD, bundled program, which sees the lamp",
}
RECORDED = "recorded"  # of a random, a half-trained and a trained policy, the episodes that judges fit to: 42
EPISODES = ("30", "100", "1000", RECORDED)  # so many random ones, or those
UPDATES = (200, 1000)  # environment steps whose worth of updates is made: early in a fit, and later
LAMP, OFF, ON, SHUT = LENGTH - 2, 0, 1, 0
ACTIONS = (LEFT, RIGHT, PRESS)
KEYS = ("method", "episodes", "seed", "updates")
TRUTH = {"light": 0.0, "lighting": 0.0, "correlation": 1.0}
TITLES = {
    "light": "Pay for the light\n(lamp on minus lamp off)",
    "lighting": "Pay for lighting it\n(press minus other actions)",
    "correlation": "Correlation with\nthe true reward",
}
COLORS = dict(zip(METHODS, ("#d55e00", "#0072b2", "#888888"), strict=True))
Step = tuple[tuple[int, int, int], int]  # a state, and an action there


def generated() -> Generated:
    """Return what the pipeline makes of the recorded answers: self-prompting, a failure, and its repair.

    Raises:
        CageError: Programs cannot be caged on this machine.
    """
    config = GenerationConfig(candidates=CANDIDATES)
    return generate(task_text(ID), RecordedAnswers.read(ANSWERS), *random_steps(ID), config)


def asked(reward: RewardFunction, steps: Sequence[Step]) -> Floats:
    """Return what a reward function pays for steps of the task, float64 `[N]`; what follows is the task's own."""
    spaces, table = _spaces(), layout(LENGTH)
    states, actions = np.array([state for state, _ in steps]), np.array([action for _, action in steps])
    following, _, _ = table.step(np.ravel_multi_index(tuple(states.T), table.sizes), actions)
    seen, acted = Features(spaces.observations), Features(spaces.actions)
    before, doing, after = seen.encode(states), acted.encode(actions), seen.encode(table.observe(following))
    return reward(before.astype(np.float64), doing.astype(np.float64), after.astype(np.float64))


def light(reward: RewardFunction) -> float:
    """Return how much more is paid where the lamp is on: the mean over cells and actions, with the door shut."""
    places = [place for place in itertools.product(range(LENGTH), ACTIONS) if place != (LAMP, PRESS)]
    lit, dark = (asked(reward, [((cell, lamp, SHUT), action) for cell, action in places]) for lamp in (ON, OFF))
    return float((lit - dark).mean())


def lighting(reward: RewardFunction) -> float:
    """Return how much more is paid for turning the lamp on than for the other actions there, with the door shut."""
    press, *others = asked(reward, [((LAMP, OFF, SHUT), action) for action in (PRESS, LEFT, RIGHT)])
    return float(press - np.mean(others))


def played(seed: int, told: str, most: int) -> Sequence[Trajectory]:
    """Return what methods are fitted to: so many random episodes, the first of `most`, or the recorded ones."""
    return make_case(ID, seed=seed).fitted if told == RECORDED else episodes(seed, most)[: int(told)]


@functools.lru_cache(maxsize=1)
def episodes(seed: int, count: int) -> tuple[Trajectory, ...]:
    """Return so many episodes of random actions, paid at their ends, with their dense rewards."""
    env = gym.make(ID, expose_reward=True)
    env.action_space.seed(seed)
    found = collect(env, lambda observation: env.action_space.sample(), episodes=count, seed=seed)
    env.close()
    return tuple(found)


def measure(method: str, data: Sequence[Trajectory], seed: int, program: str, updates: int) -> dict[str, float]:
    """Return the three numbers of a method that is fitted to some episodes.

    Args:
        method: One of `METHODS`.
        data: The episodes.
        seed: Of weights and of what is drawn.
        program: The path of the program for "lare_rd answers".
        updates: Environment steps whose worth of updates is made.
    """
    name, _, origin = method.partition(" ")
    settings: dict[str, Any] = {"factors": {"answers": program, "bundled": "HiddenDoor"}[origin]} if origin else {}
    spaces = _spaces()
    reward = step_function(fit(name, spaces.store(data), updates, seed, **settings).redistributor)
    steps = transitions_of(data, spaces)
    true = np.concatenate([dense_rewards(one) for one in data])
    correlation = pearson(true, reward(steps.states, steps.actions, steps.following))
    return {"light": light(reward), "lighting": lighting(reward), "correlation": correlation}


def run(out: Path, seeds: int, counts: Sequence[str] = EPISODES, budgets: Sequence[int] = UPDATES) -> None:
    """Add the rows that a table does not have, all of one seed before those of the next."""
    finished, most = done(out, KEYS), max((int(count) for count in counts if count != RECORDED), default=0)
    with _program_file() as program:
        for seed, updates, count, method in itertools.product(range(seeds), budgets, counts, METHODS):
            keys = dict(zip(KEYS, (method, count, seed, updates), strict=True))
            if tuple(map(str, keys.values())) in finished:
                continue
            numbers = measure(method, played(seed, count, most), seed, program, updates)
            append_row(out, {**keys, **{key: f"{value:.6g}" for key, value in numbers.items()}})


def summary(path: Path) -> str:
    """Return a Markdown table of means over seeds, with standard deviations."""
    rows = read_rows(path)
    lines = ["| updates | episodes | method | seeds | " + " | ".join(TRUTH) + " |", "|---" * (4 + len(TRUTH)) + "|"]
    for updates, count, method in itertools.product(_budgets(rows), _counts(rows), METHODS):
        mine = _rows_of(rows, method, count, updates)
        cells = [_told([float(row[key]) for row in mine]) for key in TRUTH if mine]
        if cells:
            lines.append(f"| {updates:,} | {_named(count)} | {method} | {len(mine)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(path: Path, picture: Path) -> None:
    """Draw a table's rows: a panel for each number and budget, a dot for each seed, a line where the truth is."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = read_rows(path)
    budgets = _budgets(rows)
    figure = Figure(figsize=(11, 1.2 + 3 * len(budgets)), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(budgets), len(TRUTH), sharex=True, sharey="col", squeeze=False)
    for line, updates in zip(panels, budgets, strict=True):
        for axes, key in zip(line, TRUTH, strict=True):
            _draw(axes, key, rows, updates)
        line[0].set_ylabel(f"after {updates:,} updates\nreward, in units of the return")
    for axes, key in zip(panels[0], TRUTH, strict=True):
        axes.set_title(TITLES[key], fontsize=10)
    for axes in panels[-1]:
        axes.set_xlabel("random episodes, or recorded ones")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(picture, metadata={"Software": None})


def _draw(axes: Axes, key: str, rows: Sequence[dict[str, str]], updates: int) -> None:
    """Draw one number of one budget's rows."""
    counts = _counts(rows)
    axes.axhline(TRUTH[key], color="black", linewidth=0.8, label="truth")
    for (shift, method), (place, count) in itertools.product(enumerate(METHODS), enumerate(counts)):
        values = [float(row[key]) for row in _rows_of(rows, method, count, updates)]
        places = _beside(place + 0.27 * (shift - 1), len(values))
        label = None if place else METHODS[method]
        axes.plot(places, values, ".", color=COLORS[method], alpha=0.7, label=label)
    axes.set_xticks(range(len(counts)), [_named(count) for count in counts])
    axes.spines[["top", "right"]].set_visible(False)


@functools.cache
def _spaces() -> Spaces:
    env = gym.make(ID)
    spaces = Spaces(env.observation_space, env.action_space)
    env.close()
    return spaces


@contextlib.contextmanager
def _program_file() -> Iterator[str]:
    """Yield the path of a file with the program that was made."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "hidden_door.txt"
        file.write_text(generated().text, encoding="utf-8")
        yield str(file)


def _budgets(rows: Sequence[dict[str, str]]) -> list[int]:
    return sorted({int(row["updates"]) for row in rows})


def _counts(rows: Sequence[dict[str, str]]) -> list[str]:
    told = {row["episodes"] for row in rows}
    return [*sorted(told - {RECORDED}, key=int), *(told & {RECORDED})]


def _named(count: str) -> str:
    return count if count == RECORDED else f"{int(count):,}"


def _rows_of(rows: Sequence[dict[str, str]], method: str, count: str, updates: int) -> list[dict[str, str]]:
    wanted = (method, count, str(updates))
    return [row for row in rows if (row["method"], row["episodes"], row["updates"]) == wanted]


def _told(values: Sequence[float]) -> str:
    return f"{round(float(np.mean(values)), 2) + 0.0:.2f} ± {np.std(values):.2f}"  # with 0.0 there is no -0.00


def _beside(middle: float, count: int) -> Floats:
    """Return places around a middle, so that dots of the same height can be told apart."""
    return middle + np.linspace(-0.09, 0.09, count) if count > 1 else np.full(count, middle)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=counted, default=10, help="seeds 0 to this, exclusive")
    parser.add_argument("--episodes", nargs="+", default=list(EPISODES), help="numbers, or recorded")
    parser.add_argument("--updates", nargs="+", type=counted, default=list(UPDATES), help="environment steps' worth")
    parser.add_argument("--out", type=Path, required=True, help="table to add rows to")
    parser.add_argument("--plot", type=Path, help="only draw what the table says, and print its means")
    given = parser.parse_args(words)
    if given.plot:
        plot(given.out, given.plot)
        print(summary(given.out))
        return 0
    torch.set_num_threads(1)
    run(given.out, given.seeds, given.episodes, given.updates)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
