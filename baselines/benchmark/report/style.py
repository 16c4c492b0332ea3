"""How figures look: the same color for a method everywhere, told apart by color-blind eyes too, on light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Light, and what takes its place on a dark page. Neighbors differ in brightness as well as in hue.
PALETTE = (
    ("#0072b2", "#4aa8e8"),
    ("#d55e00", "#ff8a3d"),
    ("#009e73", "#2fcf9f"),
    ("#b3478f", "#ea8fc4"),
    ("#7a5c00", "#d9b342"),
    ("#56a9dc", "#a5d8ff"),
    ("#4a3a9e", "#a698ff"),
    ("#5c6066", "#b9bec6"),
)
DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (5, 1.4, 1.2, 1.4)))
INK, FAINT, GRID, PAPER = ("#1c2024", "#e6e9ec"), ("#5f666e", "#a1a9b2"), ("#dfe3e7", "#353b42"), ("#fefefe", "#16191d")
RC: dict[str, Any] = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT[0],
    "axes.labelcolor": INK[0],
    "axes.titlecolor": INK[0],
    "axes.facecolor": PAPER[0],
    "figure.facecolor": PAPER[0],
    "text.color": INK[0],
    "xtick.color": FAINT[0],
    "ytick.color": FAINT[0],
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID[0],
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.7,
    "legend.frameon": False,
    "text.parse_math": False,  # names are shown as they are, dollar signs included
    "svg.fonttype": "none",
    "path.simplify_threshold": 0.2,
}


@dataclass(frozen=True)
class Look:
    """How a method is drawn.

    Attributes:
        place: Among all methods of the report.
    """

    place: int

    @property
    def color(self) -> str:
        """On white."""
        return PALETTE[self.place % len(PALETTE)][0]

    @property
    def dash(self) -> Any:
        """As matplotlib has it: with more methods than colors, lines are broken in different ways."""
        return DASHES[self.place // len(PALETTE) % len(DASHES)]

    @property
    def group(self) -> str:
        """The class of all that belongs to it on the page."""
        return f"m{self.place}"


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """Return how each method is drawn."""
    return {method: Look(place) for place, method in enumerate(sorted(set(methods)))}


def short(name: str, most: int = 30) -> str:
    """Return a name on one line that leaves room for a figure beside it, without signs that SVG cannot have.

    Example:
        >>> short("a method with a very long name", 12)
        'a method wi…'
    """
    line = "".join(sign if sign.isprintable() else "\ufffd" for sign in " ".join(name.split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"
