"""How a language model comes to a program: several answers, one made of them, and repairs until it runs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bagged_envs.baselines.latent_rewards.cage.allow_list import check_source
from bagged_envs.baselines.latent_rewards.cage.errors import ProgramError
from bagged_envs.baselines.latent_rewards.cage.verify import verify
from bagged_envs.baselines.latent_rewards.chat import Chat, Message, question
from bagged_envs.baselines.latent_rewards.prompts import FIELDS, Mode, TaskText, message
from bagged_envs.baselines.settings import check_settings

Floats = npt.NDArray[np.float64]
FENCE = re.compile(r"^\s*```[a-z]*\n(.*)\n```\s*$", re.DOTALL)
MOST_TEXT = 100_000  # of an answer
MOST_COMMENT = 400  # of a line


@dataclass(frozen=True)
class GenerationConfig:
    """Settings of a generation; without a remark, those of thu-rllab/LaRe.

    Attributes:
        candidates: How many answers the first question gets; 1 does without self-prompting.
        temperature: Of these.
        summary_temperature: Of the answer that is made of them, and of repairs.
        rounds: How often a program is tried at most; after each failure but the last the model is told and asked again.
        seed: Which of several generations this is: each has answers of its own among those that are kept.
        allow_weaker_sandbox: Try programs also where the system cannot be kept from them by seccomp.
    """

    candidates: int = 5
    temperature: float = 1.0
    summary_temperature: float = 0.3
    rounds: int = 5
    seed: int = 0
    allow_weaker_sandbox: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One of them is out of range.
        """
        check_settings(self)


class Answer(NamedTuple):
    """What a model said.

    Attributes:
        understanding: Of the task and of what is seen.
        analysis: Of good and bad behavior.
        function: The program's text.
    """

    understanding: str
    analysis: str
    function: str


@dataclass(frozen=True)
class Generated:
    """A program that passed the battery, and how it came about.

    Attributes:
        text: The program, with comments that tell where it is from.
        answer: What the model said with it.
        size: How many factors it says.
        failures: What was wrong with earlier ones, in the model's order.
    """

    text: str
    answer: Answer
    size: int
    failures: tuple[str, ...]


class GenerationError(RuntimeError):
    """No program passed."""


def generate(
    text: TaskText,
    chat: Chat,
    observations: Floats,
    actions: Floats,
    config: GenerationConfig | None = None,
    mode: Mode = "factors",
) -> Generated:
    """Have a model write a program for a task, and try it until it passes.

    The model answers several times, is shown its answers, and makes one of them (self-prompting). That is tried in a
    cage, on steps of the task; what is wrong is told to the model, which tries again.

    Args:
        text: The task, in words.
        chat: Who is asked.
        observations: float64 `[N, D]`, steps that it is tried on, such as `random_steps` has them.
        actions: float64 `[N, U]`.
        config: Settings.
        mode: "factors" for several, "reward" for one number, the reward itself.

    Raises:
        CageError: Programs cannot be caged on this machine.
        ChatError: A server failed, or an answer is not kept and nobody is to be asked.
        GenerationError: No program passed in all rounds.
    """
    config = GenerationConfig() if config is None else config
    asked: list[Message] = [{"role": "user", "content": message(text, mode)}]
    head = _provenance(text, chat.model, asked, (observations.shape[1], actions.shape[1]), config, mode)
    first = chat(asked, config.candidates, config.temperature, f"seed {config.seed}")
    said = first[0] if config.candidates == 1 else _improved(asked, first, chat, config, mode)
    failures: list[str] = []
    while True:
        try:
            answer = parsed(said)
            size = verify(answer.function, observations, actions, allow_weaker_sandbox=config.allow_weaker_sandbox)
            _check_size(size, mode)
            whole = f"{head}{answer.function.strip()}\n"
            check_source(whole)  # comments change nothing, but the text may have become too long
            return Generated(whole, answer, size, tuple(failures))
        except ProgramError as error:
            failures.append(str(error))
        if len(failures) == config.rounds:
            raise GenerationError(
                f"{chat.model} wrote no program that passed in {config.rounds} rounds; the last failed: {failures[-1]} "
                "Try another seed, for which it is asked anew, or another model, raise rounds, or write it by hand."
            )
        occasion = f"seed {config.seed}, repair {len(failures)}"
        (said,) = chat([*asked, *_told(said, failures[-1])], 1, config.summary_temperature, occasion)


def parsed(said: str) -> Answer:
    """Return the three fields of an answer.

    Raises:
        ProgramError: It is no JSON object with the fields, all of them texts.

    Example:
        >>> parsed('{"understanding": "a", "analysis": "b", "function": "c"}').function
        'c'
    """
    fenced = FENCE.match(said)
    try:
        found = json.loads((fenced[1] if fenced else said)[:MOST_TEXT])
    except (ValueError, RecursionError) as error:
        raise ProgramError(f"The answer must be one JSON object, but it cannot be read as such: {error}.") from error
    if not isinstance(found, dict) or not all(isinstance(found.get(field), str) for field in FIELDS):
        raise ProgramError(f"The answer must be a JSON object whose fields {', '.join(FIELDS)} are all strings.")
    code = FENCE.match(found["function"])
    return Answer(found["understanding"], found["analysis"], code[1] if code else found["function"])


def _improved(asked: Sequence[Message], first: Sequence[str], chat: Chat, config: GenerationConfig, mode: Mode) -> str:
    """Return the one answer that a model makes of its several (self-prompting)."""
    shown = "\n\n".join(f"Candidate {number}:\n{answer}" for number, answer in enumerate(first, 1))
    wanted = "returns every useful factor of them, and important ones that all of them miss"
    if mode == "reward":
        wanted = "returns the best reward that you can make of them"
    request = (
        f"Compare these {len(first)} candidates: what does each of them get right, and what does it miss? Then write "
        f"one new function that {wanted}. All rules stay as they were. Answer with one JSON object with the fields "
        f"{', '.join(FIELDS)}, as before."
    )
    (said,) = chat(
        [*asked, {"role": "assistant", "content": shown}, {"role": "user", "content": request}],
        1,
        config.summary_temperature,
        f"seed {config.seed}",
    )
    return said


def _told(said: str, failure: str) -> list[Message]:
    """Return the turns that tell a model what was wrong with its last answer: earlier ones are left out."""
    request = (
        f"This answer cannot be used. {failure}\n\nMend the function, keep what is good about it, and keep to all "
        f"rules. Answer with one JSON object with the fields {', '.join(FIELDS)}, as before."
    )
    return [{"role": "assistant", "content": said[:MOST_TEXT]}, {"role": "user", "content": request}]


def _check_size(size: int, mode: Mode) -> None:
    if mode == "reward" and size != 1:
        raise ProgramError(f"The function must return a list with exactly one array, the reward, but returned {size}.")


def _provenance(
    text: TaskText,
    model: str,
    asked: Sequence[Message],
    sizes: tuple[int, int],
    config: GenerationConfig,
    mode: Mode,
) -> str:
    """Return comments that tell where a program is from; the question is that of the first answers."""
    what = "Factors" if mode == "factors" else "The reward"
    first = question(model, asked, config.candidates, config.temperature, f"seed {config.seed}")
    lines = (
        f"{what} as written by {model}, {datetime.now(UTC).date().isoformat()}, for: {text.task}",
        f"question {first}, seed {config.seed}, {config.candidates} candidates at temperature {config.temperature:g}, "
        f"then {config.summary_temperature:g}",
        f"sizes: observation {sizes[0]}, action {sizes[1]}",
    )
    return "".join(f"# {_shown(line)}\n" for line in lines)


def _shown(line: str) -> str:
    """Return a text as one line of characters that show, not too long."""
    return "".join(sign if sign.isprintable() else " " for sign in line).strip()[:MOST_COMMENT]
