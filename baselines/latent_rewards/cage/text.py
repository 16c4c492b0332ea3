"""What is checked of a program's text before Python's parser sees it: size, characters, nesting."""

from __future__ import annotations

import io
import tokenize
import unicodedata
from collections.abc import Iterable

from bagged_envs.baselines.latent_rewards.cage.errors import RefusedError

MOST_BYTES = 16_000
DEEPEST = 30  # brackets and blocks within each other, and signs in a row
# Control characters, invisible ones that turn text around, and others that no editor shows: what is read must be what
# runs.
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_SIGNS = {"-", "+", "~", "not", "**", "lambda", "await"}
_LAYOUT = (tokenize.NL, tokenize.COMMENT)


def normalized(text: str) -> str:
    """Return a text with plain line ends and without a byte order mark: what is checked, hashed and run.

    Raises:
        TypeError: It is not a string.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a string with a program, got {type(text).__name__}: pass its source.")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def check_text(text: str) -> None:
    """Check a normalized text.

    Raises:
        RefusedError: It is too long, nested too deeply, has characters that do not show, or is no Python.
    """
    if len(text.encode("utf-8", "replace")) > MOST_BYTES:
        raise RefusedError(f"line 1: the program has more than {MOST_BYTES} bytes; write a shorter one.")
    for number, line in enumerate(text.split("\n"), start=1):
        _check_characters(number, line)
    try:
        _check_tokens(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError) as error:
        raise RefusedError(not_python(error)) from error


def not_python(error: Exception) -> str:
    """Return what to say of a text that Python does not parse."""
    line = error.lineno if isinstance(error, SyntaxError) else error.args[1][0] if len(error.args) > 1 else 1
    said = error.msg if isinstance(error, SyntaxError) else error.args[0] if error.args else type(error).__name__
    return f"line {line or 1}: this is not valid Python ({said}); mend it, and send nothing but the program."


def _check_characters(number: int, line: str) -> None:
    for character in line:
        if character not in "\t\f" and unicodedata.category(character) in _INVISIBLE:
            raise RefusedError(f"line {number}: the character U+{ord(character):04X} does not show; leave it out.")


def _check_tokens(tokens: Iterable[tokenize.TokenInfo]) -> None:
    brackets = blocks = signs = 0
    for token in tokens:
        if token.type in _LAYOUT:
            continue
        if token.type in (tokenize.NAME, tokenize.ERRORTOKEN) and not token.string.isascii():
            raise RefusedError(f"line {token.start[0]}: the name {token.string!r} must be of letters a to z.")
        brackets += (token.string in "([{") - (token.string in ")]}") if token.type == tokenize.OP else 0
        blocks += (token.type == tokenize.INDENT) - (token.type == tokenize.DEDENT)
        signs = signs + 1 if token.string in _SIGNS else 0
        if max(brackets + blocks, signs) > DEEPEST:
            raise RefusedError(f"line {token.start[0]}: nested more than {DEEPEST} deep; split it over more lines.")
