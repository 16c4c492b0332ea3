"""The published demonstration of RUDDER: how many episodes until it is known which watches are worth repairing.

    python -m bagged_envs.baselines.experiments.pocket_watch --method rudder --seeds 20 --out pocket_watch.csv
    python -m bagged_envs.baselines.experiments.pocket_watch --summarize --out pocket_watch.csv

A stopped command goes on with the seeds that have no row yet.

Source: ml-jku/rudder-demonstration-code (arXiv 1806.07857): tabular agents, settings and criterion. Its published
    episodes, of three seeds: RUDDER 1,900 to 3,800; TD 71,800 to 71,900; Monte Carlo 27,700 to more than 240,000, with
    two of the three unfinished after ten minutes. Ours differs in this:

    - the random numbers, and with them the order in which they are drawn;
    - later actions are "leave" always, as there, but they are not looked up;
    - the network's last change of prediction is paid with the last step, where the demonstration drops it, and rewards
      come from the differences of observations it learned from, where the demonstration then feeds the observations
      themselves; neither touches the first step, whose action is the only one that is chosen.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from bagged_envs.baselines.api import BagBatch
from bagged_envs.baselines.experiments.lessons import Lessons
from bagged_envs.baselines.growing_table import append_row, done, quantile, read_rows
from bagged_envs.baselines.redistributors.rudder import RUDDER, RUDDERConfig
from bagged_envs.batch import Floats, Ints
from bagged_envs.envs.pocket_watch import BRANDS, HORIZON, LEAVE, REPAIR, PocketWatchBatch
from bagged_envs.wrappers.arguments import counted

OPTIMAL = (LEAVE, REPAIR, REPAIR, LEAVE)  # first actions, by brand
STEP_SIZE, RANDOM, OPTIMISM = 0.1, 0.1, 10.0
WINDOW, SOLVED = 750, 0.95  # episodes, share of optimal first actions among them
LIMIT = 300_000  # episodes
BLOCK = 500  # episodes that are simulated together

SIZES = (2, HORIZON + 1, HORIZON + 1, BRANDS, HORIZON + 1)
CHOICES = np.eye(2, dtype=np.float32)
STATES = int(np.prod(SIZES))

LESSONS, ENOUGH_LESSONS, TRAIN_EVERY = 2048, 256, 25  # episodes
FIRST_ERROR, GOOD_ERROR, ERROR_RATE = 0.3, 0.15, 0.01  # of the running loss that ends training
MOST_UPDATES = 20_000  # of one training; ours, so that it ends
SETTINGS = RUDDERConfig(
    units=16,
    inputs="raw",  # `features` are differences already
    auxiliary_weight=0.5,
    correction="none",
    label_scale=10.0,
    learning_rate=1e-2,
    weight_decay=1e-6,
    bags=8,
)


@dataclass(frozen=True)
class Episodes:
    """Episodes in which every watch is repaired; the way does not depend on that.

    Attributes:
        observations: int64 `[E, T + 1, 5]`.
        rewards: float64 `[E, T]`.
    """

    observations: Ints
    rewards: Floats

    def decided(self, episode: int, action: int) -> tuple[Ints, Floats]:
        """Return observations `[T + 1, 5]` and rewards `[T]` of an episode that begins with the action."""
        if action == REPAIR:
            return self.observations[episode], self.rewards[episode]
        observations = self.observations[episode].copy()
        observations[:, 0] = 0
        return observations, np.zeros(HORIZON)


def simulate(generators: list[np.random.Generator]) -> Episodes:
    """Play one episode for each generator in the environment itself."""
    batch = PocketWatchBatch(len(generators))
    batch.reset(np.arange(len(generators)), generators)
    observations, rewards, repair = [batch.observe()], [], np.full(len(generators), REPAIR)
    for _ in range(HORIZON):
        rewards.append(batch.step(repair)[0])
        observations.append(batch.observe())
    return Episodes(np.stack(observations, axis=1), np.stack(rewards, axis=1))


def episodes(seed: np.random.SeedSequence) -> Iterator[tuple[Episodes, int]]:
    """Yield one episode after the other, as its block and its place there."""
    generator = np.random.default_rng(seed)
    while True:
        block = simulate([generator] * BLOCK)
        yield from ((block, episode) for episode in range(BLOCK))


def first_values() -> Floats:
    """Return what the agents believe at first: Q[action, repaired, jams, tires, brand, time], flat.

    10 for leaving it anywhere and for both actions at time 0, and 0 at the end. Nothing else is ever looked up, and
    would show as NaN.
    """
    values = np.full((2, *SIZES), np.nan)
    values[LEAVE] = OPTIMISM
    values[..., 0] = OPTIMISM
    values[..., HORIZON] = 0.0
    return values.reshape(-1)


def numbers(observations: Ints) -> Ints:
    """Return the states' numbers, `[T + 1]`."""
    found: Ints = np.ravel_multi_index(tuple(observations.T), SIZES)
    return found


def learn(values: Floats, states: Ints, action: int, targets: Floats) -> None:
    """Move the values of an episode's actions, the first one and then always "leave", towards targets `[T]`."""
    places = states[:-1] + LEAVE * STATES
    places[0] = states[0] + action * STATES
    values[places] += STEP_SIZE * (targets - values[places])


def td_targets(values: Floats, states: Ints, rewards: Floats) -> Floats:
    """Return `r_t + Q[leave, s_(t+1)]`; one episode's states all differ, so updating in step order is the same."""
    return rewards + values[LEAVE * STATES + states[1:]]


def mc_targets(rewards: Floats) -> Floats:
    """Return what is still paid from each step on."""
    return rewards[::-1].cumsum()[::-1]


def features(observations: Ints) -> npt.NDArray[np.float32]:
    """Return what the demonstration's network reads of states `[T + 1, 5]`: `[T + 1, 8]`.

    Differences of consecutive states, the first one raw: repaired, jams, tires, one-hot brand, time / 51. After the
    first step the difference of brands is 0, whose one-hot code is brand 0's; it is so there.
    """
    changes = np.diff(observations, axis=0, prepend=np.zeros_like(observations[:1]))
    brands = np.eye(BRANDS)[changes[:, 3]]
    time_passed = changes[:, 4:] / len(observations)
    return np.concatenate([changes[:, :3], brands, time_passed], axis=1).astype(np.float32)


def running_error(error: float, main: float, loss: float) -> float:
    """Return the running error after an update: an average of the main loss that jumps where that doubled it."""
    error -= ERROR_RATE * (error - main)
    return loss if main > 2 * error else error


def train(rudder: RUDDER, draw: Callable[[], BagBatch]) -> int:
    """Update until the running error is small; returns how many updates that took."""
    error, updates = FIRST_ERROR, 0
    while error > GOOD_ERROR and updates < MOST_UPDATES:
        losses = rudder.update(draw())
        error = running_error(error, losses["main"], losses["loss"])
        updates += 1
    return updates


def run(method: str, seed: int, limit: int = LIMIT) -> tuple[int, bool, int]:
    """Learn until solved.

    Args:
        method: "rudder", "td" or "mc".
        seed: Of everything that is random.
        limit: Episodes after which it is given up.

    Returns:
        Episodes, whether it is solved, and updates of the network.
    """
    ways, policy_seed, lessons_seed, network_seed = np.random.SeedSequence(seed).spawn(4)
    policy, teacher = np.random.default_rng(policy_seed), np.random.default_rng(lessons_seed)
    values, lessons = first_values(), Lessons(LESSONS, HORIZON, BRANDS + 4, 2)
    rudder = RUDDER(BRANDS + 4, 2, SETTINGS, seed=int(network_seed.generate_state(1)[0]))
    window: deque[bool] = deque(maxlen=WINDOW)
    updates = optimal = 0
    for count, (block, episode) in enumerate(episodes(ways), start=1):
        start = numbers(block.observations[episode, :1])[0]
        action = int(values[LEAVE * STATES + start] > values[REPAIR * STATES + start])
        if policy.random() < RANDOM:
            action = int(policy.integers(2))
        observations, rewards = block.decided(episode, action)
        states = numbers(observations)
        if method == "td":
            learn(values, states, action, td_targets(values, states, rewards))
        elif method == "mc":
            learn(values, states, action, mc_targets(rewards))
        else:
            done_actions = CHOICES[[action] + [LEAVE] * (HORIZON - 1)]
            place = lessons.add(features(observations), done_actions, float(rewards.sum()), mark=float(rewards[-1]))
            if lessons.added > ENOUGH_LESSONS and lessons.differ():
                if count % TRAIN_EVERY == 0:
                    updates += train(rudder, lambda: lessons.sample(teacher, SETTINGS.bags))
                rewards = rudder.relabel(lessons.bags(torch.tensor([place]))).flatten().numpy().astype(np.float64)
            learn(values, states, action, rewards)
        if len(window) == WINDOW:
            optimal -= window[0]
        window.append(action == OPTIMAL[observations[0, 3]])
        optimal += window[-1]
        if len(window) == WINDOW and optimal >= SOLVED * WINDOW:
            return count, True, updates
        if count >= limit:
            break
    return limit, False, updates


def summary(path: Path) -> str:
    """Return a Markdown table of a file's rows; with an even number of seeds the median is the lower middle one."""
    lines = [
        "| method | seeds | solved | least | median | most | median CPU seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = read_rows(path)
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        counts = [float(row["episodes"]) for row in mine]
        given_up = min((float(row["episodes"]) for row in mine if row["solved"] != "1"), default=math.inf)
        middles = (quantile(counts, share) for share in (0.0, 0.5, 1.0))
        shown = [f"{'> ' if count >= given_up else ''}{count:,.0f}" for count in middles]
        solved = sum(row["solved"] == "1" for row in mine)
        seconds = statistics.median(float(row["seconds"]) for row in mine)
        lines.append(f"| {method} | {len(mine)} | {solved} | {' | '.join(shown)} | {seconds:.0f} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=("rudder", "td", "mc"), default="rudder")
    parser.add_argument("--seeds", type=counted, default=20, help="seeds 0 to this, exclusive")
    parser.add_argument("--limit", type=counted, default=LIMIT, help="episodes after which a seed is given up")
    parser.add_argument("--out", type=Path, required=True, help="table to add rows to")
    parser.add_argument("--summarize", action="store_true", help="only print what the table says")
    options = parser.parse_args(arguments)
    if options.summarize:
        print(summary(options.out))
        return
    torch.set_num_threads(1)
    finished = done(options.out, ("method", "seed"))
    for seed in range(options.seeds):
        if (options.method, str(seed)) in finished:
            continue
        begun = time.process_time()
        count, solved, updates = run(options.method, seed, options.limit)
        row = {"method": options.method, "seed": seed, "episodes": count, "solved": int(solved), "updates": updates}
        append_row(options.out, {**row, "seconds": round(time.process_time() - begun, 1)})
        print(row, flush=True)


if __name__ == "__main__":
    main()
