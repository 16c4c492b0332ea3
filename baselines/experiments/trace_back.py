"""Learning time against delay on TraceBack, paid at the end: RUDDER, advice, Q(lambda), SARSA(lambda) and Monte Carlo.

    python -m bagged_envs.baselines.experiments.trace_back --seeds 30 --out trace_back.csv
    python -m bagged_envs.baselines.experiments.trace_back --plot trace_back.png --out trace_back.csv

A stopped command goes on with the runs that have no row yet; all runs of one seed come before those of the next. A run
is solved at the first episode from which on the greedy policy's expected return is at least 90 % of the optimal one for
500 episodes on end, where actions that tie count against it. With noise, an episode's return is blurred by the sum of
the noise of all steps after the second, so its variance grows with the delay.

All methods are tabular, with step size 0.1, 20 % random actions, lambda 0.9, no discount and values of 0 at first. What
potentials tell, "up" or "right", is the same at any time: potential shaping has 5 for each row above the middle, or for
each column right of it; advice has 5 for the action itself. "up" leads to the prize, "right" has nothing to do with it.

Source: the comparison is inspired by task III of RUDDER's artificial tasks (arXiv 1806.07857), whose process we do not
    know: it is no replication, and only orders of magnitude and growth can be compared.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from bagged_envs.baselines.experiments.lessons import Array, Lessons
from bagged_envs.baselines.growing_table import append_row, done, quantile, read_rows
from bagged_envs.baselines.learners.tabular import (
    Advice,
    LookAheadAdvice,
    LookBackAdvice,
    PotentialShaping,
    Row,
    TabularConfig,
    lambda_returns,
)
from bagged_envs.baselines.redistributors.rudder import RUDDER, RUDDERConfig
from bagged_envs.envs.table import Table
from bagged_envs.envs.trace_back import MATTERING, RIGHT, SIZE, START, UP, layout
from bagged_envs.wrappers.arguments import counted

DELAYS = (6, 8, 10, 12, 15, 20, 25, 50)
CONFIG = TabularConfig(step_size=0.1, discount=1.0, trace_decay=0.9, epsilon=0.2)
ACTIONS, OPTIMAL, GOOD = 4, 10.0, 0.9
SURE = 500  # consecutive episodes
NOISES = (2.0, 0.0)
LIMIT = 100_000  # episodes
WORTH = 5.0  # of what potentials like
POTENTIALS: dict[str, tuple[int, Callable[[int, int], int]]] = {  # an action, and how far a cell is where it leads
    "up": (UP, lambda row, column: max(START - row, 0)),
    "right": (RIGHT, lambda row, column: max(column - START, 0)),
}
ADVICE = ("shaping", "look-ahead", "look-back")
METHODS = (
    "rudder",
    "rudder-q-lambda",
    "mc",
    "q-lambda",
    "sarsa-lambda",
    *(f"{kind}-{potential}" for potential in POTENTIALS for kind in ADVICE),
)

LESSONS, ENOUGH_LESSONS, TRAIN_EVERY, UPDATES = 2048, 100, 25, 50  # episodes, and updates of one training
NETWORK = RUDDERConfig(label_scale=10.0, learning_rate=1e-2, weight_decay=1e-6)


def advice_of(method: str, table: Table) -> Advice | None:
    """Return a method's advice, or None where it takes none."""
    kind, _, name = method.rpartition("-")
    if kind not in ADVICE:
        return None
    liked, distance = POTENTIALS[name]
    if kind == "shaping":
        cells = [WORTH * distance(row, column) for row, column, _ in table.states.tolist()]
        return PotentialShaping(cells.__getitem__, CONFIG.discount)
    advise = LookAheadAdvice if kind == "look-ahead" else LookBackAdvice
    return advise(lambda _, action: WORTH * (action == liked), CONFIG.discount)


class Episode:
    """One episode of a table's states.

    Attributes:
        states: Their numbers, `[T + 1]`.
        actions: `[T]`.
        greedy: The greedy action in each state at its time, `[T]`.
        tied: Whether the action was as good as that, `[T]`.
        total: The return.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self.states: list[int] = []
        self.actions: list[int] = []
        self.greedy: list[int] = []
        self.tied: list[bool] = []
        self.total = 0.0


class World:
    """TraceBack's own table as lists, and who walks in it."""

    def __init__(self, delay: int, noise: float, seed: int) -> None:
        """Take the task's arguments, and the seed of walk and noise."""
        self.table = layout(delay)
        self.start = self.table.number(START, START, 0)
        self.following: list[int] = self.table.successors.tolist()
        self.rewards: list[float] = self.table.rewards.tolist()
        self.delay, self.noise, self.random = delay, noise, random.Random(seed)

    def walk(self, values: Sequence[Row], bias: Sequence[Row] | None) -> Episode:
        """Play an episode, epsilon-greedily for values with a bias."""
        episode, state, uniform = Episode(), self.start, self.random.random
        for _ in range(self.delay):
            row = values[state] if bias is None else [q + b for q, b in zip(values[state], bias[state], strict=True)]
            best = max(row)
            greedy = row.index(best)
            if row.count(best) > 1:
                greedy = self.random.choice([action for action, value in enumerate(row) if value == best])
            action = int(uniform() * ACTIONS) if uniform() < CONFIG.epsilon else greedy
            episode.states.append(state)
            episode.actions.append(action)
            episode.greedy.append(greedy)
            episode.tied.append(row[action] == best)
            place = state * ACTIONS + action
            episode.total += self.rewards[place]
            state = self.following[place]
        episode.states.append(state)
        if self.noise and self.delay > MATTERING:
            signs = self.random.getrandbits(self.delay - MATTERING).bit_count()  # how many are +
            episode.total += self.noise * (2 * signs - (self.delay - MATTERING))
        return episode

    def solved(self, values: Sequence[Row], bias: Sequence[Row] | None) -> bool:
        """Return whether the greedy policy earns 90 % of the optimal return, whatever it does where actions tie."""
        reached = {self.start: 0.0}  # and what is won by then: it hangs on the state alone
        for _ in range(MATTERING):
            following: dict[int, float] = {}
            for state in reached:
                row = (
                    values[state] if bias is None else [q + b for q, b in zip(values[state], bias[state], strict=True)]
                )
                for place in (state * ACTIONS + action for action in range(ACTIONS) if row[action] == max(row)):
                    following[self.following[place]] = self.rewards[place]
            reached = following
        return min(reached.values()) >= GOOD * OPTIMAL


def td_errors(
    values: Sequence[Row], episode: Episode, rewards: Sequence[float], advice: Advice | None, sarsa: bool = False
) -> list[float]:
    """Return an episode's temporal-difference errors, of values as they were before it.

    Args:
        values: Of each state's actions; they come once each, so that nothing moves before it is looked up.
        episode: It ends after its last step.
        rewards: `[T]`.
        advice: What is added to them.
        sarsa: Whether to bootstrap from the next action, and not from the greedy one.
    """
    states, actions = episode.states, episode.actions
    chosen = actions if sarsa else episode.greedy
    errors = []
    before: tuple[int, int] | None = None
    for step, reward in enumerate(rewards):
        now = states[step], actions[step]
        then = (states[step + 1], chosen[step + 1]) if step + 1 < len(rewards) else None
        error = reward - values[now[0]][now[1]]
        if then is not None:
            error += CONFIG.discount * values[then[0]][then[1]]
        if advice is not None:
            error += advice.reward(before, now, then)
        errors.append(error)
        before = now
    return errors


def learn_episode(
    method: str, values: Sequence[Row], episode: Episode, rewards: Sequence[float], advice: Advice | None = None
) -> None:
    """Learn from an episode as "q-lambda" (Watkins), "sarsa-lambda", "mc", or "mean" of the immediate rewards."""
    always = [True] * len(rewards)
    if method == "mean":
        targets = list(rewards)
    elif method == "mc":
        targets = lambda_returns(rewards, always, CONFIG.discount)
    else:
        sarsa = method == "sarsa-lambda"
        goes_on = always if sarsa else [*episode.tied[1:], True]
        errors = td_errors(values, episode, rewards, advice, sarsa)
        moves = lambda_returns(errors, goes_on, CONFIG.discount * CONFIG.trace_decay)
        for state, action, move in zip(episode.states, episode.actions, moves, strict=False):
            values[state][action] += CONFIG.step_size * move
        return
    for state, action, target in zip(episode.states, episode.actions, targets, strict=False):
        values[state][action] += CONFIG.step_size * (target - values[state][action])


class Teacher:
    """RUDDER and its lessons, on one-hot rows, columns and times."""

    def __init__(self, table: Table, delay: int, seed: int) -> None:
        """Make the network."""
        parts = [np.eye(size, dtype=np.float32)[table.states[:, part]] for part, size in enumerate(table.sizes)]
        self._observations: Array = np.concatenate(parts, axis=1)
        size = 2 * SIZE + delay + 1
        self._lessons = Lessons(LESSONS, delay, size, ACTIONS)
        self._rudder = RUDDER(size, ACTIONS, NETWORK, seed)
        self._random = np.random.default_rng(seed)

    def rewards(self, episode: Episode) -> list[float] | None:
        """Take an episode in, and return what it would be paid; None as long as there is not enough to learn from."""
        actions = np.eye(ACTIONS, dtype=np.float32)[episode.actions]
        place = self._lessons.add(self._observations[episode.states], actions, episode.total)
        if self._lessons.added < ENOUGH_LESSONS or not self._lessons.differ():
            return None
        if self._lessons.added % TRAIN_EVERY == 0:
            for _ in range(UPDATES):
                self._rudder.update(self._lessons.sample(self._random, NETWORK.bags))
        paid: list[float] = self._rudder.relabel(self._lessons.bags(torch.tensor([place]))).flatten().tolist()
        return paid


def run(method: str, delay: int, noise: float, seed: int, limit: int = LIMIT) -> tuple[int, bool]:
    """Learn until solved; returns the episode from which on it was, or the limit, and whether it was."""
    walk_seed, network_seed = np.random.SeedSequence(seed).generate_state(2).tolist()
    world = World(delay, noise, walk_seed)
    advice = advice_of(method, world.table)
    states = range(len(world.table.states))
    values = [[CONFIG.initial_value] * ACTIONS for _ in states]
    bias = None
    if isinstance(advice, LookAheadAdvice):
        bias = [[advice.bias(state, action) for action in range(ACTIONS)] for state in states]
    teacher = Teacher(world.table, delay, network_seed) if method.startswith("rudder") else None
    rule = {"rudder": "mean", "mc": "mc", "sarsa-lambda": "sarsa-lambda"}.get(method, "q-lambda")
    good = 0
    for count in range(1, limit + 1):
        episode = world.walk(values, bias)
        rewards = [0.0] * (delay - 1) + [episode.total]
        redistributed = teacher.rewards(episode) if teacher else rewards
        if redistributed is not None:
            learn_episode(rule, values, episode, redistributed, advice)
        good = good + 1 if world.solved(values, bias) else 0
        if good == SURE:
            return count - SURE + 1, True
    return limit, False


def summary(path: Path) -> str:
    """Return Markdown tables of medians, one for each noise, with the number of seeds in brackets."""
    rows, tables = read_rows(path), []
    delays = sorted({int(row["delay"]) for row in rows})
    for noise in sorted({float(row["noise"]) for row in rows}):
        lines = [f"| noise {noise:g} | " + " | ".join(map(str, delays)) + " |", "|---" * (len(delays) + 1) + "|"]
        for method in METHODS:
            cells = []
            for delay in delays:
                mine = runs(rows, method, noise, delay)
                middle = quantile([float(row["episodes"]) for row in mine], 0.5) if mine else 0.0
                cut = any(row["solved"] == "0" and float(row["episodes"]) <= middle for row in mine)
                cells.append(f"{'> ' if cut else ''}{middle:,.0f} ({len(mine)})" if mine else "")
            if any(cells):
                lines.append(f"| {method} | " + " | ".join(cells) + " |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def runs(rows: Sequence[dict[str, str]], method: str, noise: float, delay: int) -> list[dict[str, str]]:
    """Return the rows of one cell of the table."""
    cell = (method, noise, delay)
    return [row for row in rows if (row["method"], float(row["noise"]), int(row["delay"])) == cell]


def plot(path: Path, picture: Path) -> None:
    """Draw medians and the band from 40 to 60 % of a table's rows, one panel for each noise."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = read_rows(path)
    noises = sorted({float(row["noise"]) for row in rows})
    figure, panels = pyplot.subplots(
        1, len(noises), figsize=(5.0 * len(noises) + 2.0, 5.0), sharey=True, squeeze=False, layout="constrained"
    )
    for axes, noise in zip(panels[0], noises, strict=True):
        for color, method in zip(pyplot.get_cmap("tab20").colors, METHODS, strict=False):  # type: ignore[attr-defined]
            delays = sorted({int(row["delay"]) for row in rows if runs(rows, method, noise, int(row["delay"]))})
            if not delays:
                continue
            counts = [[float(row["episodes"]) for row in runs(rows, method, noise, delay)] for delay in delays]
            low, middle, high = ([quantile(count, share) for count in counts] for share in (0.4, 0.5, 0.6))
            axes.plot(delays, middle, label=method, color=color, marker=".")
            axes.fill_between(delays, low, high, color=color, alpha=0.25, linewidth=0)
        axes.set(xlabel="delay (steps)", ylabel="episodes until solved", yscale="log")
        axes.set_title(f"EpisodicTraceBack-v0[noise={noise:g}]")
    panels[0][-1].legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(picture, dpi=120, metadata={"Software": None})


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--delays", nargs="+", type=counted, default=list(DELAYS))
    parser.add_argument("--noises", nargs="+", type=float, default=list(NOISES))
    parser.add_argument("--seeds", type=counted, default=30, help="seeds 0 to this, exclusive")
    parser.add_argument("--limit", type=counted, default=LIMIT, help="episodes after which a run is given up")
    parser.add_argument("--out", type=Path, required=True, help="table to add rows to")
    parser.add_argument("--plot", type=Path, help="only draw what the table says, and print its medians")
    options = parser.parse_args(arguments)
    if options.plot:
        plot(options.out, options.plot)
        print(summary(options.out))
        return
    torch.set_num_threads(1)
    finished = done(options.out, ("method", "noise", "delay", "seed"))
    for seed, noise, delay, method in itertools.product(
        range(options.seeds), options.noises, options.delays, options.methods
    ):
        if (method, str(noise), str(delay), str(seed)) in finished:
            continue
        begun = time.process_time()
        count, solved = run(method, delay, noise, seed, options.limit)
        row = {"method": method, "noise": noise, "delay": delay, "seed": seed, "episodes": count, "solved": int(solved)}
        append_row(options.out, {**row, "seconds": round(time.process_time() - begun, 2)})


if __name__ == "__main__":
    main()
