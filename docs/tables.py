"""Tables, items and figures in Markdown: what the generated pages are made of."""

import csv
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

RANDOM_POLICY = Path(__file__).parent / "random_policy.csv"
HIDDEN = "–"
BLOCK = re.compile(r"(<!-- generated: ([\w .-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: Path, made: Mapping[str, Callable[[], str]]) -> str:
    """A page whose tables between `<!-- generated: NAME -->` and `<!-- end -->` are made anew."""
    text = page.read_text()
    names = [match[2] for match in BLOCK.finditer(text)]
    if sorted(names) != sorted(made):
        raise ValueError(f"docs/{page.name} must have each of {sorted(made)} once, got {sorted(names)}.")
    return BLOCK.sub(lambda match: f"{match[1]}\n{made[match[2]]()}\n\n{match[3]}", text)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell(value) for value in line)} |" for line in lines)


def cell(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "**True**" if value else "False"
    if isinstance(value, (float, np.floating)):
        return f"{value:g}" if value != int(value) else f"{value:.1f}"
    return str(value)


def item(text: str) -> str:
    return wrapped(f"- {text}", subsequent_indent="  ")


def wrapped(text: str, **indents: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False, **indents)


def random_policy() -> dict[str, dict[str, str]]:
    with RANDOM_POLICY.open(newline="") as stream:
        return {row["task"]: row for row in csv.DictReader(stream)}


def spread(mean: str, deviation: str) -> str:
    """Both with as many decimals as two digits of the deviation take, but no more than three."""
    if not mean:
        return HIDDEN
    magnitude = math.floor(math.log10(float(deviation))) if float(deviation) > 0.0 else 0
    decimals = min(max(0, 1 - magnitude), 3)
    return f"{float(mean):.{decimals}f} ± {float(deviation):.{decimals}f}"


def successes(row: dict[str, str]) -> str:
    if not row["success_rate"]:
        return HIDDEN
    return f"{round(float(row['success_rate']) * int(row['episodes']))} of {row['episodes']}"
