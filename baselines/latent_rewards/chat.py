"""Asking a language model: any server that speaks OpenAI's chat completions, every answer kept as text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Protocol

from gymnasium.error import DependencyNotInstalled

from bagged_envs.whole_file import write_whole
from bagged_envs.wrappers.arguments import positive_int

Message = Mapping[str, str]


class Chat(Protocol):
    """Answers messages.

    Attributes:
        model: Whose answers these are.
    """

    @property
    def model(self) -> str:
        """The model's name."""

    def __call__(self, messages: Sequence[Message], count: int, temperature: float, occasion: str = "") -> list[str]:
        """Return so many answers.

        Args:
            messages: What was said so far, `{"role": ..., "content": ...}` each.
            count: How many answers.
            temperature: Of the model.
            occasion: Which asking of the same question this is, for those who keep answers; not for the model.
        """


class ChatError(RuntimeError):
    """A server could not be asked, or gave no answer that can be used."""


class Server:
    """A model behind a server that speaks OpenAI's chat completions, by the package openai.

    Attributes:
        model: The model's name there.
    """

    def __init__(self, model: str, base_url: str | None = None, timeout: float = 300.0, retries: int = 2) -> None:
        """Prepare to ask; nothing is sent yet.

        Args:
            model: The model's name, as the server knows it.
            base_url: Such as "http://localhost:8000/v1"; None for the environment variable OPENAI_BASE_URL, or OpenAI.
            timeout: Seconds to wait for an answer.
            retries: How often to ask again where the connection or the server fails.

        Raises:
            DependencyNotInstalled: The extra llm is missing.
            ChatError: No key is in the environment variable OPENAI_API_KEY.
        """
        try:
            import openai
        except ImportError as error:
            raise DependencyNotInstalled(
                f'a server needs the llm extra: pip install "bagged_envs[llm]" ({error})'
            ) from error
        self.model, self._errors = model, openai.OpenAIError
        try:
            self._client = openai.OpenAI(base_url=base_url, timeout=timeout, max_retries=retries)
        except openai.OpenAIError as error:
            raise ChatError(
                "a key must be in the environment variable OPENAI_API_KEY, got none: set it; a server of your own "
                f"may take any text ({error})"
            ) from error

    def __call__(self, messages: Sequence[Message], count: int, temperature: float, occasion: str = "") -> list[str]:
        """Return so many answers; a server that gives one at a time is asked as often.

        Raises:
            ChatError: The server cannot be reached, refuses, or gives an empty answer.
        """
        positive_int("count", count)
        answers: list[str] = []
        while len(answers) < count:
            answers += self._asked(messages, count - len(answers), temperature)
        return answers[:count]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _asked(self, messages: Sequence[Message], count: int, temperature: float) -> list[str]:
        told: list[Any] = [dict(message) for message in messages]
        try:
            said = self._client.chat.completions.create(
                model=self.model,
                messages=told,
                n=count,
                temperature=temperature,
                response_format={"type": "json_object"},
            )
        except (self._errors, ValueError) as error:  # the latter where an answer is no JSON
            raise ChatError(f"{self.model} at {self._client.base_url} could not be asked: {error}") from error
        answers = _texts(said)
        if not answers:
            raise ChatError(
                f"{self.model} at {self._client.base_url} gave an empty answer, or none that follows the protocol: ask "
                "again, another model, or look whether the address is that of a model."
            )
        return answers


def _texts(said: Any) -> list[str]:
    """Return the texts of a completion; none where one is missing, or where it is no completion."""
    choices = getattr(said, "choices", None)
    messages = [getattr(choice, "message", None) for choice in (choices if isinstance(choices, list) else ())]
    texts = [getattr(message, "content", None) for message in messages]
    told = [text for text in texts if isinstance(text, str) and text]
    # A half of a pair of surrogates is no character, and could not be kept.
    return [text.encode("utf-8", "replace").decode() for text in told] if len(told) == len(texts) else []


class KeptAnswers:
    """Answers that are kept in a folder, one file for each question; without a chat, only those.

    A file is JSON to be read by people, too: the model, the SHA-256 of the question, on which occasion and when it was
    asked, its temperature, the messages and the answers.

    Attributes:
        model: Whose answers these are.
        folder: Where they are kept.
    """

    def __init__(self, folder: Path | str, model: str, chat: Chat | None = None) -> None:
        """Keep answers.

        Args:
            folder: Where; it is made with the first answer.
            model: Whose.
            chat: Who is asked what is not there yet; None for nobody.

        Raises:
            ValueError: The chat is with another model.
        """
        if chat is not None and chat.model != model:
            raise ValueError(f"chat must be with {model!r}, got one with {chat.model!r}.")
        self.folder, self.model, self._chat = Path(folder), model, chat

    def __call__(self, messages: Sequence[Message], count: int, temperature: float, occasion: str = "") -> list[str]:
        """Return the answers to a question on an occasion, kept or new.

        Raises:
            ChatError: There are none, and nobody is to be asked; or the server failed.
            ValueError: The file of the question is damaged.
        """
        digest = question(self.model, messages, count, temperature, occasion)
        file = self.folder / f"{digest[:16]}.json"
        if file.exists():
            return _answers(file, digest, count)
        if self._chat is None:
            raise ChatError(
                f"{self.folder} has no answer of {self.model} to this question, {file.name}: allow that the model "
                "is asked."
            )
        answers = self._chat(messages, count, temperature, occasion)
        told = {
            "model": self.model,
            "question": digest,
            "occasion": occasion,
            "temperature": temperature,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "messages": [dict(message) for message in messages],
            "answers": answers,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        return answers


class RecordedAnswers:
    """Answers that were recorded, given again in their order: nobody is asked.

    For examples and tests of what comes after a model. `KeptAnswers` is for going on with a model's own answers: it
    looks them up by their questions.

    Attributes:
        model: Whose answers these are.
        left: Those that were not given yet.
        prompt_sha256: How the conversations begin that they belong to; None for any.
    """

    def __init__(self, model: str, answers: Sequence[str], prompt_sha256: str | None = None) -> None:
        """Have given none yet."""
        self.model, self.left, self.prompt_sha256 = model, list(answers), prompt_sha256

    @classmethod
    def read(cls, file: Path | Traversable) -> RecordedAnswers:
        """Return the answers of a file: a JSON object with "model", a text, and "answers", a list of JSON objects.

        It may have a "prompt_sha256": of the text of the first message, in hex digits.

        Raises:
            OSError: The file cannot be read.
            ValueError: It has another form.
        """
        wanted = f'{file} must be a JSON object with a text as "model" and a list as "answers"'
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            model, answers = told["model"], told["answers"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{wanted}, got something else ({error!r}): mend it.") from error
        if not isinstance(model, str) or not isinstance(answers, list):
            raise ValueError(f"{wanted}, got {model!r:.80} and {answers!r:.80}: mend it.")
        said = [json.dumps(answer, ensure_ascii=False) for answer in answers]
        return cls(model, said, told.get("prompt_sha256"))

    def __call__(self, messages: Sequence[Message], count: int, temperature: float, occasion: str = "") -> list[str]:
        """Return the next so many answers.

        Raises:
            ChatError: Fewer are left, or they were given to another prompt.
        """
        if self.prompt_sha256 is not None:
            self._check_prompt(messages)
        if positive_int("count", count) > len(self.left):
            raise ChatError(f"{count} more answers must be recorded, got {len(self.left)}: record what is missing.")
        given, self.left = self.left[:count], self.left[count:]
        return given

    def _check_prompt(self, messages: Sequence[Message]) -> None:
        digest = hashlib.sha256(messages[0]["content"].encode()).hexdigest() if messages else "nothing"
        if digest != self.prompt_sha256:
            raise ChatError(
                f"the recorded answers are to a prompt with SHA-256 {self.prompt_sha256}, got {digest}: the task's "
                "text has changed since, record answers to it."
            )


def question(model: str, messages: Sequence[Message], count: int, temperature: float, occasion: str = "") -> str:
    """Return the SHA-256 of all that tells one asking from others, in hex digits."""
    told = [model, [dict(message) for message in messages], count, float(temperature), occasion]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _answers(file: Path, digest: str, count: int) -> list[str]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        answers, asked = told["answers"], told["question"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file} must be a kept answer, got something else ({error!r}): remove it to ask anew."
        ) from error
    if asked != digest:
        raise ValueError(f"{file} must answer question {digest}, got one to {asked!r:.80}: remove it to ask anew.")
    if not isinstance(answers, list) or len(answers) != count or not all(isinstance(one, str) for one in answers):
        raise ValueError(f"{file} must have {count} answers, got {answers!r:.80}: remove it to ask anew.")
    return answers
