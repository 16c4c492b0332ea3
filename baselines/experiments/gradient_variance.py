"""How noisy the policy gradient of a team is, by whose rewards it is taken: of one task, with policies held still.

    python -m bagged_envs.baselines.experiments.gradient_variance --seeds 3 --out docs/results/gradient_variance.csv
    python -m bagged_envs.baselines.experiments.gradient_variance --out docs/results/gradient_variance.csv \
        --plot docs/results/gradient_variance.png

`--id` chooses another task of `teams`, into a table of its own, and `--methods` some of the methods.

A policy, random or trained on dense rewards for a few iterations, plays three sets of episodes, paid at their ends.
Redistributors are fitted to the first. Of each episode e of the second the gradient is taken that REINFORCE follows,

    g_e = sum_(t, i) grad log pi(a_ti | o_ti) (G_ti - b_t),    G_ti = r_ti + r_(t+1)i + ...,

with r the redistributed rewards of agent i and b_t the mean of G over all episodes and agents in that step. The truth
is the gradient of the team's return: the mean over the third set, with G the sum of all agents' dense rewards from
then on. No set serves two purposes: what a redistributor learned by chance would else be praised as truth. Told are
the variance (the trace of the covariance of g_e); how far the mean goes along the truth, with its standard error: its
square under the variance is noise over signal, in whatever units a method pays; and the cosine between the truth and
the mean of `BATCH` episodes. How well the truth itself is known says the cosine between the means of its two halves.
Later in training it is all but noise: that is why policies are early ones.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import bagged_envs
from bagged_envs.baselines.api import BagBatch
from bagged_envs.baselines.command import grouped
from bagged_envs.baselines.experiments.teams import EVERY, ITERATION, METHODS, TASKS, claim
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.growing_table import append_row, done, read_rows
from bagged_envs.baselines.judging.fit import fit
from bagged_envs.baselines.learners.ppo import PPO
from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.redistributors import settings_on
from bagged_envs.baselines.redistributors.identity import Identity
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.baselines.team_rollouts import TeamRollouts
from bagged_envs.baselines.team_training import TeamConfig, TeamTraining, agents_of, own_rewards
from bagged_envs.baselines.worlds import Worlds
from bagged_envs.wrappers.arguments import counted

ID = "EpisodicCooperativeNavigation-v0"
POLICIES = {"random": 0, "early": 3}  # iterations of IPPO on dense rewards
WORLDS, HORIZON = 41, 25
EPISODES = 2050  # of the first two sets
TRUTH_EPISODES = 4 * EPISODES
FITTING = 10 * EVERY  # environment steps whose worth of updates is made
BATCH = 82  # episodes of an iteration
KEYS = ("policy", "method", "seed")
ERRORS = 2.0  # standard errors that a mean must go along the truth to be called signal


def arguments_of(id: str) -> dict[str, Any]:
    """Return the arguments that a task has here, as `teams` has them.

    Example:
        >>> arguments_of(ID)
        {'num_agents': 6}
    """
    return grouped(TASKS[id])["environment"]


class Noise(NamedTuple):
    """What is told of a method's gradients.

    Attributes:
        variance: The trace of the covariance of an episode's gradient.
        along: The part of the mean gradient in the direction of the truth.
        error: Its standard error.
        cosine: Of the mean over a batch of episodes with the truth: the mean over batches.
    """

    variance: float
    along: float
    error: float
    cosine: float

    @property
    def ratio(self) -> float:
        """Noise over signal, of one episode; infinite where no signal can be told from noise."""
        return self.variance / self.along**2 if self.along > ERRORS * self.error else math.inf


def noise(gradients: Tensor, truth: Tensor, batch: int = BATCH) -> Noise:
    """Return what is told of gradients.

    Args:
        gradients: `[E, P]`, of each episode.
        truth: `[P]`, the direction to compare with.
        batch: How many of them make a batch; what is left over is in none.

    Example:
        >>> noise(torch.tensor([[3.0, 1.0], [1.0, 1.0]]), torch.tensor([1.0, 0.0]), batch=1).variance
        2.0
    """
    mean, count = gradients.mean(dim=0), len(gradients)
    variance = (gradients - mean).square().sum() / (count - 1)
    batches = gradients[: count // batch * batch].view(-1, batch, gradients.shape[1]).mean(dim=1)  # [E / batch, P]
    cosines = torch.nn.functional.cosine_similarity(batches, truth[None], dim=1)
    along = gradients @ truth / truth.norm()  # [E]
    error = along.std().item() / math.sqrt(count)
    return Noise(variance.item(), along.mean().item(), error, cosines.mean().item())


def to_go(rewards: Tensor) -> Tensor:
    """Return what each step and all later ones of its episode get: `[E, T, A]` to `[E, T, A]`.

    Example:
        >>> to_go(torch.tensor([[[1.0], [2.0], [4.0]]])).flatten().tolist()
        [7.0, 6.0, 4.0]
    """
    return rewards.flip(1).cumsum(dim=1).flip(1)


def gradients(learner: PPO, observations: Tensor, actions: Tensor, returns: Tensor) -> Tensor:
    """Return the gradient of each episode, `[E, P]` with P weights of the policy; episodes are of one length.

    Args:
        learner: Its policy is what the gradient is of.
        observations: `[E, T, A, D]`.
        actions: `[E, T, A, U]`.
        returns: `[E, T, A]`, G; the mean of each step is taken off.
    """
    weights = list(learner.policy.parameters())
    gains = returns - returns.mean(dim=(0, 2), keepdim=True)
    found = []
    for seen, acted, gain in zip(observations, actions, gains, strict=True):
        log_probs = learner.choice.log_probs(learner.policy(seen.flatten(0, 1)), acted.flatten(0, 1))
        parts = torch.autograd.grad((log_probs * gain.flatten()).sum(), weights)
        found.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(found)


def trained(iterations: int, seed: int, id: str = ID) -> PPO:
    """Return an IPPO learner after so many iterations on dense rewards."""
    config = TeamConfig(worlds=WORLDS, finite_horizon=True, evaluate_every=10**9)
    oracle = Method.named("oracle-ippo", learner={"discount": 1.0})
    training = TeamTraining(oracle, id, arguments_of(id), config, seed=seed)
    for _ in training.run(iterations * ITERATION):
        pass
    training.close()
    if not isinstance(training.learner, PPO):
        raise TypeError(f"the learner must be PPO's, got {type(training.learner).__name__}.")
    return training.learner


def recorded(learner: PPO, episodes: int, seed: int, id: str = ID) -> EpisodeStore:
    """Return so many episodes, at least, that the learner plays by samples, with each agent's dense rewards."""
    envs = bagged_envs.make_vec(id, WORLDS, **arguments_of(id), expose_reward=True)
    spaces = envs.single_observation_space, envs.single_action_space
    agents, _ = agents_of("ippo", id, *spaces)
    seen, acted = (Features(space, agents) for space in spaces)
    store = EpisodeStore.for_spaces(*spaces, agents, capacity=(episodes + WORLDS) * (HORIZON + 1))
    acting = TeamRollouts(learner, Identity(seen.size, acted.size), store, seen, acted, "cpu", sees_all=False)
    worlds = Worlds(envs, np.random.default_rng(seed), ("alive", "agent_rewards"))
    for episode in worlds.play(lambda: acting.begin(explore=True), episodes * HORIZON):
        store.add(own_rewards(episode))
    envs.close()
    return store


def measured(
    method: str, learner: PPO, fitted: EpisodeStore, asked: EpisodeStore, direction: Tensor, seed: int, id: str = ID
) -> Noise:
    """Return the noise of the gradients by a method's rewards.

    Args:
        method: One of `METHODS`.
        learner: Whose policy played.
        fitted: What the redistributor is fitted to.
        asked: Whose gradients are taken.
        direction: `[P]`, the truth, from other episodes.
        seed: Of the redistributor.
        id: The task.
    """
    name = method.partition("-")[0]
    settings = settings_on(name, grouped(METHODS[method])["redistributor"], id, each_agent=True)
    made = fit(name, fitted, FITTING, seed, agents=asked.agents, **settings).redistributor
    asked.keep(getattr(made, "factors", None))
    steps = [batch for _, batch in asked.all_bags()]
    return noise_by(learner, steps, torch.cat([made.relabel(batch) for batch in steps]), direction)


def noise_by(learner: PPO, steps: Sequence[BagBatch], rewards: Tensor, direction: Tensor) -> Noise:
    """Return the noise of the gradients of episodes, by the rewards that somebody gives their steps.

    Args:
        learner: Whose policy played.
        steps: Bags, each an episode, all of one length.
        rewards: `[E, T, A]`, theirs.
        direction: `[P]`, the truth, from other episodes.
    """
    return noise(_gradients(learner, steps, to_go(rewards)), direction)


def truth(learner: PPO, store: EpisodeStore) -> tuple[Tensor, float]:
    """Return the gradient of the team's return, by what all agents really earn from each step on.

    Returns:
        The mean over episodes, `[P]`, and the cosine between the means of their first and second half.

    Raises:
        ValueError: The dense rewards are not known.
    """
    steps = [batch for _, batch in store.all_bags()]
    if any(batch.dense is None for batch in steps):
        raise ValueError("episodes must have dense rewards, got none: record them with expose_reward=True.")
    dense = torch.cat([batch.dense for batch in steps if batch.dense is not None])  # [E, T, A]
    team = dense.sum(dim=2, keepdim=True).expand(dense.shape)
    each = _gradients(learner, steps, to_go(team))
    one, other = (half.mean(dim=0) for half in each.tensor_split(2))
    return each.mean(dim=0), torch.nn.functional.cosine_similarity(one, other, dim=0).item()


def _gradients(learner: PPO, steps: Sequence[BagBatch], returns: Tensor) -> Tensor:
    seen, acted = (torch.cat([getattr(batch, name) for batch in steps]) for name in ("observations", "actions"))
    return gradients(learner, seen, acted, returns)


def run(
    out: Path,
    seeds: int,
    policies: Mapping[str, int] = POLICIES,
    methods: Sequence[str] = tuple(METHODS),
    id: str = ID,
) -> None:
    """Add the rows that a table does not have."""
    finished = done(out, KEYS)
    for seed, (policy, iterations) in itertools.product(range(seeds), policies.items()):
        missing = [method for method in methods if (policy, method, str(seed)) not in finished]
        if not missing:
            continue
        learner = trained(iterations, seed, id)
        counts = (EPISODES, EPISODES, TRUTH_EPISODES)
        fitted, asked, other = (recorded(learner, count, 3 * seed + which, id) for which, count in enumerate(counts))
        direction, certainty = truth(learner, other)
        for method in missing:
            found = measured(method, learner, fitted, asked, direction, seed, id)._asdict() | {"certainty": certainty}
            numbers = {name: f"{value:.6g}" for name, value in found.items()}
            append_row(out, {"policy": policy, "method": method, "seed": seed, **numbers})


def summary(out: Path) -> str:
    """Return a Markdown table: medians over seeds."""
    columns = ("seeds", "variance", "noise over signal", f"cosine, mean of {BATCH}", "cosine of the truth's halves")
    lines = ["| policy | method | " + " | ".join(columns) + " |", "|---|---|---:|---:|---:|---:|---:|"]
    rows, names = read_rows(out), ("variance", "ratio", "cosine")
    for (policy, method), found in _grouped(out).items():
        certain = median(float(row["certainty"]) for row in rows if row["policy"] == policy)
        variance, ratio, cosine = (median(getattr(one, name) for one in found) for name in names)
        noisy = "no signal" if math.isinf(ratio) else f"{ratio:.0f}"
        told = f"{variance:.3g} | {noisy} | {cosine:.2f} | {certain:.2f}"
        lines.append(f"| {policy} | {method} | {len(found)} | {told} |")
    return "\n".join(lines)


def _grouped(out: Path) -> dict[tuple[str, str], list[Noise]]:
    grouped: dict[tuple[str, str], list[Noise]] = {(one, other): [] for one in POLICIES for other in METHODS}
    for row in read_rows(out):
        grouped[row["policy"], row["method"]].append(Noise(*(float(row[name]) for name in Noise._fields)))
    return {key: found for key, found in grouped.items() if found}


def plot(out: Path, picture: Path) -> None:
    """Draw a table: of each policy and method noise over signal, and the cosine; a dot for each seed.

    Where there is no signal there is no dot in the first.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    panels, names = figure.subplots(1, 2), list(METHODS)
    titles = {
        "ratio": "Noise over signal of an episode's gradient",
        "cosine": f"Cosine with the truth, {BATCH} episodes",
    }
    for axes, (column, title) in zip(panels, titles.items(), strict=True):
        for shift, policy, color in zip((-0.15, 0.15), POLICIES, ("#888888", "#0072b2"), strict=True):
            mine = [(key[1], one) for key, found in _grouped(out).items() if key[0] == policy for one in found]
            places = [names.index(method) + shift for method, _ in mine]
            axes.plot(places, [getattr(one, column) for _, one in mine], "o", color=color, label=f"{policy} policy")
        axes.set_title(title, fontsize=10)
        axes.set_xticks(range(len(names)), [name.partition("-")[0] for name in names], rotation=30)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yscale("log")
    panels[0].legend(frameon=False, fontsize="small")
    figure.savefig(picture, metadata={"Software": None})


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=counted, default=3)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--id", choices=list(TASKS), default=ID)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--plot", type=Path, help="run nothing, draw the table")
    given = parser.parse_args(words)
    if given.plot:
        plot(given.out, given.plot)
    else:
        try:
            claim(given.out, of=[f"gradients.id={given.id}"])
        except ValueError as error:
            parser.error(str(error))
        run(given.out, given.seeds, POLICIES, given.methods, given.id)
    print(summary(given.out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
