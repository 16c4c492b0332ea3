"""A program that says factors of steps: its text, where it came from, and what it was written for."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from bagged_envs.baselines.latent_rewards.bundled import bundled, names, task_name
from bagged_envs.baselines.latent_rewards.cage.text import normalized

SIZES = re.compile(r"^# sizes: observation (\d+|any), action (\d+|any)$", re.MULTILINE)
SUFFIXES = (".txt", ".py")
PINNED = 16  # hex digits


@dataclass(frozen=True)
class Program:
    """The text of a program with a function `evaluation_func(observation, action)`.

    Attributes:
        text: Python source.
        origin: Whose it is, for errors: a task's name or a file.

    Example:
        >>> Program.named("Reacher").sizes
        (10, 2)
    """

    text: str
    origin: str = "a program"

    @classmethod
    def named(cls, name: str) -> Program:
        """Return the hand-written program of a task, such as "HalfCheetah", or that of a file.

        Args:
            name: A task's name, or a path that ends in .txt or .py. After a `#` may stand how the SHA-256 of the text
                begins, so that a setting says which text it is: "factors.txt#1f0a".

        Raises:
            OSError: The file cannot be read.
            ValueError: There is no program of this name, or its text has another SHA-256.
        """
        path, _, digest = name.partition("#")
        if path.endswith(SUFFIXES):
            program = cls(normalized(Path(path).read_text(encoding="utf-8")), path)
        elif path in names():
            program = cls(bundled(path), path)
        else:
            raise ValueError(
                f"factors must be one of {', '.join(names())}, or a file that ends in .txt or .py, got {path!r}."
            )
        if not program.sha256.startswith(digest):
            raise ValueError(
                f"factors={name!r} must be a text whose SHA-256 begins with {digest}, got {program.sha256}: it has "
                "changed since; name it without what follows # to take it as it is."
            )
        return program

    @property
    def sha256(self) -> str:
        """Of the text, in hex digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def pinned(self) -> str:
        """Its name with the beginning of its SHA-256, for settings that are to say which text it was."""
        return f"{self.origin}#{self.sha256[:PINNED]}"

    @property
    def sizes(self) -> tuple[int | None, int | None]:
        """Elements of an observation and of an action that it was written for; None where no comment tells, or any."""
        found = SIZES.search(self.text)
        told = (None, None) if found is None else found.groups()
        seen, acted = (int(size) if size and size != "any" else None for size in told)
        return seen, acted

    def check_sizes(self, observation_size: int, action_size: int) -> None:
        """Check that it was written for features of these sizes, or for any.

        Raises:
            ValueError: It was written for others.
        """
        for what, wanted, came in zip(
            ("observations", "actions"), self.sizes, (observation_size, action_size), strict=True
        ):
            if wanted not in (None, came):
                raise ValueError(
                    f"factors of {self.origin} are for {what} of {wanted} elements, got {came}: use the task as it is "
                    "by default and agent by agent, or name a file with a program of your own, factors=my_factors.txt."
                )


def is_pinned_file(name: str) -> bool:
    """Return whether a program is a file, and its name says of which text, as `Program.pinned` does.

    Example:
        >>> is_pinned_file("my_factors.txt#0123456789abcdef"), is_pinned_file("my_factors.txt")
        (True, False)
    """
    path, _, digest = name.partition("#")
    return path.endswith(SUFFIXES) and re.fullmatch(f"[0-9a-f]{{{PINNED}}}", digest) is not None


def program_name(id: str) -> str | None:
    """Return the name of the hand-written program of an ID's task; None where there is none.

    Example:
        >>> program_name("EpisodicHopper-v0"), program_name("BaggedFishSwim-v0")
        ('Hopper', None)
    """
    name = task_name(id)
    return name if name in names() else None
