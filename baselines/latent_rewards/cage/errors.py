"""What can go wrong: by the program's fault, whose text is shown to its author to mend it, or by the machine's."""

from __future__ import annotations

from gymnasium.error import Error


class ProgramError(ValueError):
    """The program is at fault; the text says where, what, and what to write instead."""


class RefusedError(ProgramError):
    """The program was not run: something in its text is not on the allow-list."""


class FailedError(ProgramError):
    """The program was run and raised, died, took too much time or memory, or returned what it must not."""


class CageError(Error):
    """The machine is at fault: there is no cage here, or its process could not be started."""
