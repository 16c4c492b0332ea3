"""Datasets made by our own SAC: what it does half trained, what it learned from until then, and what it does trained.

One training serves all qualities of a task: its states on the way are kept. Seeds are committed, data is not.

Source: the recipe of D4RL (arXiv:2004.07219). Unlike it: SAC is ours, and so are the steps after which it is stopped;
the tasks are Gymnasium's v5; only whole episodes of the replay buffer are taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Space

from bagged_envs.baselines import checkpoint, runs
from bagged_envs.baselines.features import Features
from bagged_envs.baselines.lease import lease
from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.runs import CHECKPOINT, Row, Run
from bagged_envs.baselines.scores import RANGES, normalized_score
from bagged_envs.baselines.store import EpisodeStore
from bagged_envs.baselines.team_training import TeamTraining
from bagged_envs.baselines.training import Training, TrainingConfig
from bagged_envs.dataset_file import remove_unfinished, versions
from bagged_envs.dataset_form import the_minari
from bagged_envs.datasets import Dataset, record, save
from bagged_envs.registration import env_id
from bagged_envs.tasks import TASKS
from bagged_envs.trajectory import Trajectory
from bagged_envs.whole_file import write_whole
from bagged_envs.wrappers.arguments import known, positive_int

Part: TypeAlias = Literal["medium", "expert", "replay"]
Report: TypeAlias = Callable[[int, Row | None], None]
Watch: TypeAlias = Callable[[str, int], AbstractContextManager[Report]]
QUALITIES: dict[str, tuple[Part, ...]] = {
    "medium": ("medium",),
    "medium-replay": ("replay",),
    "medium-expert": ("medium", "expert"),
}
STREAMS = {"medium": 0, "expert": 1}  # of the random numbers that policies are played with


@dataclass(frozen=True)
class Recipe:
    """How a dataset comes to be.

    Attributes:
        task: One of `TASKS`.
        quality: What it is called.
        parts: What it is made of, in equal shares: what the policy "medium" or "expert" plays, its actions drawn; or
            the "replay": what SAC played and learned from until "medium".
    """

    task: str
    quality: str
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        """What the command line and folders call it."""
        return f"{self.task.lower()}-{self.quality}"

    @property
    def stages(self) -> tuple[str, ...]:
        """The states of SAC that it takes, in the order in which they are reached."""
        return ("medium", "expert") if "expert" in self.parts else ("medium",)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(task, quality, parts)
        for task in ("HalfCheetah", "Hopper", "Walker2d")
        for quality, parts in QUALITIES.items()
    )
}


@dataclass(frozen=True)
class RecipeConfig:
    """How much is made, and how SAC is trained for it.

    Attributes:
        steps: Transitions of a dataset; at most so many of a replay buffer, which has what it has.
        medium: After how many environment steps SAC is half trained.
        expert: After how many it is trained.
        threads: Of torch.
        learner: Settings of SAC that are not its defaults.
        training: The same of its run; it is evaluated every 20,000 steps.
    """

    steps: int = 200_000
    medium: int = 200_000
    expert: int = 400_000
    threads: int = 1
    learner: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            TypeError: One is no int.
            ValueError: One is too small, there is no such setting, or the replay buffer would not hold what SAC played.
        """
        for name in ("steps", "medium", "expert", "threads"):
            positive_int(name, getattr(self, name))
        self.sac.resolved()  # wrong settings are refused here
        if self.expert <= self.medium:
            raise ValueError(f"expert must be more steps than medium={self.medium}, got {self.expert}.")
        if self.medium > self.of_run.capacity:
            raise ValueError(
                f"training.capacity must hold medium={self.medium} steps, got {self.of_run.capacity}: raise it."
            )

    @property
    def of_run(self) -> TrainingConfig:
        """Settings of SAC's run."""
        return runs.config_of(self.sac, {"evaluate_every": 20_000, **self.training})

    @property
    def sac(self) -> Method:
        """What is trained: SAC on rewards as they are paid, in each step."""
        return Method.named("identity-sac", learner=self.learner)


def silent(what: str, steps: int) -> AbstractContextManager[Report]:
    """Watch nothing."""
    return nullcontext(lambda step, row: None)


def make(
    name: str,
    out: Path,
    config: RecipeConfig | None = None,
    seed: int = 0,
    checkpoint_every: int = 25_000,
    watch: Watch = silent,
) -> dict[str, Any]:
    """Make a dataset by its recipe, or go on where that was stopped.

    In `out` stand the dataset's folder, named after the recipe, beside it `<name>.recipe.json`, and SAC's run,
    `sac-<task>`, which all recipes of the task share.

    Args:
        name: One of `RECIPES`.
        out: The folder.
        config: How much; None for the defaults.
        seed: Of SAC, and of what its policies play.
        checkpoint_every: Environment steps of SAC between two checkpoints.
        watch: Called with what is done and how many steps that takes; yields what is told of each step.

    Returns:
        What `<name>.recipe.json` says: the recipe, and of the dataset "transitions", "episodes", the mean "return" of
        its whole episodes, and their normalized "score".

    Raises:
        Taken: Another process makes a dataset of the task there.
        ValueError: There is no such recipe, or the folder has the dataset, or SAC's run, by other settings.
        gymnasium.error.DependencyNotInstalled: The extra `datasets` is not installed.
        Exception: As for `runs.train` and `datasets.save`.
    """
    recipe, config = RECIPES[known("recipe", name, list(RECIPES))], RecipeConfig() if config is None else config
    folder, sac = out / recipe.name, out / f"sac-{recipe.task.lower()}"
    run = sac_run(recipe.task, config, seed)
    told = described(recipe, config, run)
    the_minari()  # that it is missing should not show after hours
    with lease(sac):
        if folder.exists():
            return _made_before(folder, told)
        remove_unfinished(folder)
        kept = {stage: snapshot(run, sac, getattr(config, stage), checkpoint_every, watch) for stage in recipe.stages}
        dataset = _dataset(recipe, config, run, kept, watch)
        told |= summary(recipe.task, dataset)
        write_whole(recipe_file(folder), json.dumps(told, indent=2) + "\n")
        save(dataset, folder)
    return told


def recipe_file(folder: Path) -> Path:
    """Return the file beside a dataset that says how it was made."""
    return folder.with_name(f"{folder.name}.recipe.json")


def sac_run(task: str, config: RecipeConfig, seed: int) -> Run:
    """Return the training that all datasets of a task come from: SAC, paid in each step."""
    return Run(config.sac, env_id("Bagged", task), {"bag_len": 1}, config.of_run, seed, threads=config.threads)


def described(recipe: Recipe, config: RecipeConfig, run: Run) -> dict[str, Any]:
    """Return all that a dataset depends on, as JSON carries it."""
    own = {"recipe": recipe.name, "steps": config.steps, "seed": run.seed}
    sac = {name: value for name, value in run.described().items() if name in ("method", "config", "threads")}
    return {**own, **{stage: getattr(config, stage) for stage in recipe.stages}, "sac": sac}


def summary(task: str, dataset: Dataset) -> dict[str, Any]:
    """Return what a dataset came to; an episode that was cut has no return."""
    whole = [one for one in dataset.trajectories if _is_whole(task, one)]
    mean = float(np.mean([one.rewards.sum() for one in whole])) if whole else None
    score = None if mean is None else normalized_score(env_id("Bagged", task), mean)
    return {"transitions": dataset.steps, "episodes": len(dataset), "return": mean, "score": score}


def _is_whole(task: str, trajectory: Trajectory) -> bool:
    return trajectory.terminated or len(trajectory) == gym.spec(str(TASKS[task].base_id)).max_episode_steps


def _made_before(folder: Path, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is beside a dataset that is there.

    Raises:
        ValueError: It was made otherwise, or nothing is beside it.
    """
    file = recipe_file(folder)
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    for name, value in told.items():
        if found.get(name) != value:
            raise ValueError(
                f"{folder} is there, made with {name}={found.get(name)}, and this is {value}: choose another out, or "
                "remove it."
            )
    return found


def snapshot(run: Run, folder: Path, steps: int, checkpoint_every: int, watch: Watch = silent) -> Path:
    """Train until so many steps were made, and keep the state of then; return its file, a checkpoint.

    Args:
        run: What is trained.
        folder: Where; whoever calls has its lease.
        steps: Environment steps.
        checkpoint_every: Between two checkpoints.
        watch: As for `make`.

    Raises:
        ValueError: The run has gone further, and the state was not kept; or it is another run.
        Exception: As for `runs.train`.
    """
    kept = folder / f"checkpoint-{steps}.pt"
    with watch(f"{run.method.learner} of {run.id}", steps) as report:
        runs.train(run, folder, steps, checkpoint_every, report, owned=True)
    if not kept.exists():
        content = (folder / CHECKPOINT).read_bytes()
        reached = checkpoint.load(folder / CHECKPOINT)["training"]["counts"]["total_steps"]
        if reached != steps:
            there = ", ".join(sorted(path.stem.rpartition("-")[2] for path in folder.glob("checkpoint-*.pt")))
            raise ValueError(
                f"{folder} was trained for {reached} steps, and its state after {steps} was not kept: take one of "
                f"{there or 'none'}, or choose another out."
            )
        write_whole(kept, content)
    return kept


def _dataset(recipe: Recipe, config: RecipeConfig, run: Run, kept: Mapping[str, Path], watch: Watch) -> Dataset:
    """Return the parts of a dataset, one after the other; of all but the last one whole episodes."""
    made: list[Dataset] = []
    for place, part in enumerate(recipe.parts):
        share = (config.steps - sum(one.steps for one in made)) // (len(recipe.parts) - place)
        training = _restored(run, kept["medium" if part == "replay" else part])
        if part == "replay":
            made.append(_replayed(recipe, training.store, share, run.seed))
        else:
            made.append(_played(recipe, part, training, share, watch))
        training.close()
        if place + 1 < len(recipe.parts):
            made[-1] = _whole_ones(recipe.task, made[-1], share)
    episodes = tuple(one for dataset in made for one in dataset.trajectories)
    return replace(made[-1], trajectories=episodes, seed=run.seed)


def _restored(run: Run, file: Path) -> Training | TeamTraining:
    training = runs.begin(run)
    training.load_state_dict(checkpoint.load(file)["training"])
    return training


def _whole_ones(task: str, dataset: Dataset, steps: int) -> Dataset:
    whole = tuple(one for one in dataset.trajectories if _is_whole(task, one))
    if not whole:
        raise ValueError(f"steps must have room for whole episodes in each part, got {steps} for one: raise steps.")
    return replace(dataset, trajectories=whole)


def _spaces(task: str) -> tuple[Space[Any], Space[Any]]:
    env = gym.make(str(TASKS[task].base_id))
    env.close()
    return env.observation_space, env.action_space


def _dataset_id(recipe: Recipe) -> str:
    return f"bagged_envs/{recipe.task.lower()}/{recipe.quality}-v0"


def _played(recipe: Recipe, part: str, training: Any, steps: int, watch: Watch) -> Dataset:
    """Return what a policy plays, its actions drawn as while it learned."""
    base = str(TASKS[recipe.task].base_id)
    seen, acted = map(Features, _spaces(recipe.task))
    seed = int(np.random.SeedSequence(training.seed).generate_state(2)[STREAMS[part]])
    made = 0

    def act(observation: Any) -> Any:
        nonlocal made
        made += 1
        report(made, None)
        features = torch.from_numpy(seen.encode(observation[None]))
        return acted.decode(training.learner.act(features, explore=True).numpy())[0]

    with watch(f"{part} policy of {recipe.task}", steps) as report:
        return record(base, act, _dataset_id(recipe), steps=steps, seed=seed, reference=RANGES[recipe.task])


def _replayed(recipe: Recipe, store: EpisodeStore, steps: int, seed: int) -> Dataset:
    """Return the whole episodes of a replay buffer; random ones, in their order, where there are too many."""
    episodes = list(store.whole_episodes())
    order = np.random.default_rng(seed).permutation(len(episodes))
    fitting = np.cumsum([len(episodes[place]) for place in order]) <= steps
    if not fitting.any():
        raise ValueError(f"steps must have room for an episode of the replay buffer, got {steps}: raise steps.")
    chosen = sorted(order[fitting].tolist())
    return Dataset(
        tuple(_trajectory(store, episodes[place]) for place in chosen),
        *_spaces(recipe.task),
        dataset_id=_dataset_id(recipe),
        env_spec=gym.spec(str(TASKS[recipe.task].base_id)).to_json(),
        reference=RANGES[recipe.task],
        versions=versions(),
    )


def _trajectory(store: EpisodeStore, steps: Sequence[int]) -> Trajectory:
    """Return an episode of a store in which each step is a bag."""
    moves = store.transitions(np.asarray(steps))
    return Trajectory(
        observations=torch.cat((moves.observations, moves.next_observations[-1:])).numpy(),
        actions=moves.actions.numpy(),
        rewards=moves.rewards.double().numpy(),
        bag_ids=np.arange(len(steps)),
        labeled=np.ones(len(steps), dtype=np.bool_),
        terminated=bool(moves.terminated[-1]),
    )
