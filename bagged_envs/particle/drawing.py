"""Pictures of a particle world, in plain NumPy: discs, rings and a polygon with smooth edges."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bagged_envs.batch import Floats
from bagged_envs.wrappers.arguments import known

Color: TypeAlias = tuple[int, int, int]

SIZE = 480  # pixels, both ways
MARGIN = 1.06  # of what is in view, around the bodies
SMALLEST_RADIUS = 3.0  # pixels: bodies of 0.005 would else be invisible
EDGE = 1.5  # pixels

PAPER: Color = (250, 250, 247)
GRID: Color = (228, 228, 224)
AGENT: Color = (66, 120, 212)
PREDATOR: Color = (209, 65, 55)
PREY: Color = (52, 163, 83)
OBSTACLE: Color = (150, 150, 158)
LANDMARK: Color = (45, 45, 50)
TRIANGLE: Color = (244, 180, 80)


class Picture:
    """A square of the plane around the origin, wide enough for all bodies.

    Args:
        positions: Of everything that must be in view, `(E, 2)`.
        radii: Theirs, `(E,)`.
        half_width: Of what is in view at least: the picture zooms out only when somebody leaves it.

    Example:
        >>> picture = Picture(np.zeros((1, 2)), np.ones(1), half_width=2.0)
        >>> picture.discs(np.zeros((1, 2)), 1.0, AGENT)
        >>> picture.pixels().shape, tuple(picture.pixels()[240, 240].tolist()) == AGENT
        ((480, 480, 3), True)
    """

    def __init__(self, positions: Floats, radii: Floats, half_width: float) -> None:
        farthest = float((np.abs(positions) + radii[:, None]).max())
        self._half_width = MARGIN * max(half_width, farthest)
        self._scale = SIZE / (2.0 * self._half_width)  # pixels per length
        self._canvas = np.full((SIZE, SIZE, 3), PAPER, dtype=np.float64)
        self._grid()

    def pixels(self) -> npt.NDArray[np.uint8]:
        """Return what is drawn, uint8 `(SIZE, SIZE, 3)`."""
        return np.rint(self._canvas).astype(np.uint8)

    def discs(self, positions: Floats, radius: float, color: Color) -> None:
        """Draw discs with a darker edge."""
        size = max(SMALLEST_RADIUS, radius * self._scale)
        for center in self._to_pixels(positions):
            self._blend_disc(center, size, _darker(color))
            self._blend_disc(center, size - EDGE, color)

    def rings(self, positions: Floats, radius: float, color: Color) -> None:
        """Draw circles."""
        for center in self._to_pixels(positions):
            box, distances = _around(center, radius * self._scale + EDGE)
            self._blend(box, _inside(EDGE / 2 - np.abs(distances - radius * self._scale)), color)

    def triangle(self, corners: Floats, color: Color) -> None:
        """Draw a filled triangle, lightly, with an edge of its color; `(3, 2)`."""
        points = self._to_pixels(corners)
        starts, sides = points, np.roll(points, -1, axis=0) - points
        across = sides[0, 0] * sides[1, 1] - sides[0, 1] * sides[1, 0]
        rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
        # Corners on a line enclose nothing.
        depth = np.full((SIZE, SIZE), np.inf if across else -np.inf)
        gap = np.full((SIZE, SIZE), np.inf)
        for start, side in zip(starts, sides, strict=True):
            x, y = columns - start[0], rows - start[1]
            length = max(float(np.hypot(*side)), 1e-9)
            depth = np.minimum(depth, np.sign(across) * (side[0] * y - side[1] * x) / length)
            along = np.clip((x * side[0] + y * side[1]) / length**2, 0.0, 1.0)
            gap = np.minimum(gap, np.hypot(x - along * side[0], y - along * side[1]))
        everything = (slice(None), slice(None))
        self._blend(everything, 0.35 * _inside(depth), color)
        self._blend(everything, _inside(EDGE / 2 - gap), color)

    def _grid(self) -> None:
        """Draw lines one length apart, in steps wide enough to be told apart."""
        apart = 2.0 ** np.ceil(np.log2(max(1.0, self._half_width / 8.0)))
        lines = np.arange(-np.floor(self._half_width / apart), self._half_width / apart + 1) * apart
        for place in np.rint((lines + self._half_width) * self._scale).astype(int):
            if 0 <= place < SIZE:
                self._canvas[place, :] = self._canvas[:, place] = GRID

    def _to_pixels(self, positions: Floats) -> Floats:
        """Return columns and rows, y upward, `(..., 2)`."""
        return (np.asarray(positions) * (1.0, -1.0) + self._half_width) * self._scale

    def _blend_disc(self, center: Floats, radius: float, color: Color) -> None:
        box, distances = _around(center, radius)
        self._blend(box, _inside(radius - distances), color)

    def _blend(self, box: tuple[slice, slice], opacity: Floats, color: Color) -> None:
        canvas = self._canvas[box]
        canvas += opacity[..., None] * (np.array(color) - canvas)


def draw(mode: str, positions: Floats, radii: Floats, half_width: float) -> Picture:
    """Return an empty picture for the render mode "rgb_array", the only one."""
    known("render_mode", mode, ("rgb_array",))
    return Picture(positions, radii, half_width)


def _inside(depth: Floats) -> Floats:
    """Return how much of a pixel is covered whose center lies `depth` pixels inside an edge."""
    return np.clip(depth + 0.5, 0.0, 1.0)


def _around(center: Floats, radius: float) -> tuple[tuple[slice, slice], Floats]:
    """Return the box of pixels around a disc, and their centers' distances from its center."""
    low = np.clip(np.floor(center - radius - 1.0), 0, SIZE).astype(int)
    high = np.clip(np.ceil(center + radius + 1.0), 0, SIZE).astype(int)
    columns, rows = (np.arange(low[axis], high[axis]) + 0.5 - center[axis] for axis in (0, 1))
    distances: Floats = np.hypot(columns[None, :], rows[:, None])
    return (slice(low[1], high[1]), slice(low[0], high[0])), distances


def _darker(color: Color) -> Color:
    red, green, blue = (round(0.6 * part) for part in color)
    return red, green, blue
