"""What `bagged-envs dataset make` does with its words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from bagged_envs.baselines.command import Bar, grouped
from bagged_envs.baselines.recipes import RecipeConfig, Report, make


def make_from_command(
    name: str,
    settings: Sequence[str],
    steps: int,
    seed: int,
    out: Path,
    medium: int,
    expert: int,
    threads: int,
    checkpoint_every: int,
) -> int:
    """Make a dataset with a progress bar; see `bagged_envs.cli.dataset_make_command`.

    Returns:
        0, or 1 where it failed or was interrupted.

    Raises:
        ValueError: A name or a setting is wrong, or something else is in the folder.
        gymnasium.error.DependencyNotInstalled: The extra `datasets` is not installed.
    """
    config = RecipeConfig(steps, medium, expert, threads, **_of_sac(settings))
    console = Console()

    @contextmanager
    def watch(what: str, most: int) -> Iterator[Report]:
        console.print(what, highlight=False)
        with Bar(console, most, what) as bar:
            yield bar.report
            bar.finished([])

    try:
        made = make(name, out, config, seed, checkpoint_every, watch)
    except (FloatingPointError, OSError, RuntimeError, KeyboardInterrupt) as error:
        console.print(f"bagged-envs: {error}", style="red", markup=False, highlight=False)
        return 1
    console.print(f"{out / name}: {told(made)}", highlight=False, soft_wrap=True)
    return 0


def told(made: dict[str, object]) -> str:
    """Return in words what a dataset came to.

    Example:
        >>> told({"transitions": 2000, "episodes": 2, "return": 4712.3, "score": 40.2})
        '2,000 transitions, 2 episodes, mean return 4712.3, normalized score 40.2'
        >>> told({"transitions": 20, "episodes": 1, "return": None, "score": None})
        '20 transitions, 1 episodes, none of them whole'
    """
    counts = f"{made['transitions']:,} transitions, {made['episodes']} episodes"
    if made["return"] is None:
        return f"{counts}, none of them whole"
    return f"{counts}, mean return {made['return']:.1f}, normalized score {made['score']:.1f}"


def _of_sac(settings: Sequence[str]) -> dict[str, dict[str, object]]:
    groups = grouped(settings)
    for group in ("environment", "redistributor"):
        if groups[group]:
            raise ValueError(
                f"settings must begin with learner. or training., got {next(iter(groups[group]))} of the {group}: a "
                "recipe has its own."
            )
    return {name: groups[name] for name in ("learner", "training")}
