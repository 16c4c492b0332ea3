"""What `bagged-envs factors` does with its words."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path

from bagged_envs.baselines.command import GROUPS, grouped
from bagged_envs.baselines.judging.recordings import cache_folder
from bagged_envs.baselines.latent_rewards.bundled import bundled
from bagged_envs.baselines.latent_rewards.chat import ChatError, KeptAnswers, Server
from bagged_envs.baselines.latent_rewards.generation import GenerationConfig, GenerationError, generate
from bagged_envs.baselines.latent_rewards.prompts import message, task_text
from bagged_envs.baselines.latent_rewards.steps import random_steps
from bagged_envs.whole_file import write_whole


def factors_from_command(
    id: str,
    settings: Sequence[str],
    model: str | None,
    ask: bool,
    base_url: str | None,
    prompt: bool,
    reward: bool,
    config: GenerationConfig,
    answers: Path | None,
    seed: int,
    out: Path | None,
) -> int:
    """Print or write a program; see `bagged_envs.cli.factors_command`.

    Returns:
        0, or 1 where a model could not be asked, or wrote no program that passed.

    Raises:
        CageError: Programs cannot be caged on this machine.
        DependencyNotInstalled: The extra llm is missing.
        ValueError: The ID has no text or no program, or an argument does not go with the others.
    """
    groups = grouped(settings)
    for group in GROUPS:
        if groups[group]:
            raise ValueError(f"settings must be of the environment, got {group}.{next(iter(groups[group]))}.")
    if model is None and (ask or base_url is not None or (reward and not prompt)):
        raise ValueError("model must say whose program it is to be, got none: name one, such as --model gpt-4o.")
    if prompt:
        return _write(message(task_text(id, **groups["environment"]), "reward" if reward else "factors"), out)
    if model is None:
        return _write(bundled(id), out)
    text = task_text(id, **groups["environment"])
    steps = random_steps(id, seed=seed, **groups["environment"])
    folder = cache_folder() / "answers" if answers is None else answers
    try:
        with closing(Server(model, base_url)) if ask else nullcontext() as server:
            chat = KeptAnswers(folder, model, server)
            made = generate(text, chat, *steps, config, "reward" if reward else "factors")
    except (ChatError, GenerationError) as error:
        print(f"bagged-envs: {error}", file=sys.stderr)
        return 1
    for failure in made.failures:
        print(f"refused: {failure}", file=sys.stderr)
    return _write(made.text, out)


def _write(text: str, out: Path | None) -> int:
    if out is None:
        print(text, end="" if text.endswith("\n") else "\n")
    else:
        write_whole(out, text)
        print(f"written to {out}")
    return 0
