"""Pictures of small tasks in plain NumPy: colored cells, discs and bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Picture: TypeAlias = npt.NDArray[np.uint8]
Color: TypeAlias = tuple[int, int, int]

CELL = 32  # pixels
WALL: Color = (60, 64, 72)
FLOOR: Color = (236, 236, 230)
LINE: Color = (205, 205, 198)
AGENT: Color = (38, 110, 200)
GOLD: Color = (232, 178, 30)
GREEN: Color = (70, 160, 80)
RED: Color = (196, 70, 60)
GRAY: Color = (150, 150, 150)


def canvas(rows: int, columns: int, color: Color = WALL) -> Picture:
    """Return a picture of so many cells, all of one color."""
    return np.full((rows * CELL, columns * CELL, 3), color, dtype=np.uint8)


def cell(picture: Picture, row: int, column: int, color: Color = FLOOR) -> None:
    """Fill a cell, leaving a line at its border."""
    top, left = row * CELL, column * CELL
    picture[top : top + CELL, left : left + CELL] = LINE
    picture[top + 1 : top + CELL - 1, left + 1 : left + CELL - 1] = color


def disc(picture: Picture, row: float, column: float, color: Color, radius: float = 0.36) -> None:
    """Draw a disc in the middle of a cell; its radius is in cells."""
    y, x = np.ogrid[: picture.shape[0], : picture.shape[1]]
    away = np.hypot(y - (row + 0.5) * CELL + 0.5, x - (column + 0.5) * CELL + 0.5)
    picture[away <= radius * CELL] = color


def bar(picture: Picture, row: int, share: float, color: Color) -> None:
    """Draw how much of something there is, a share between 0 and 1, across a whole row of cells."""
    top, margin = row * CELL, CELL // 4
    width = picture.shape[1] - 2 * margin
    picture[top + margin : top + CELL - margin, margin : margin + width] = FLOOR
    picture[top + margin : top + CELL - margin, margin : margin + round(width * share)] = color


def text(rows: Sequence[str]) -> str:
    """Return rows of text as one, each ending its line."""
    return "".join(f"{row}\n" for row in rows)
