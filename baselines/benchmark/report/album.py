"""Each figure of a report, drawn once: for the page, and as files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from bagged_envs.baselines.benchmark.report import pictures, words
from bagged_envs.baselines.benchmark.report.content import Content
from bagged_envs.baselines.benchmark.report.figures import drawing, for_file
from bagged_envs.baselines.benchmark.report.pictures import Picture
from bagged_envs.baselines.benchmark.report.style import looks, short
from bagged_envs.baselines.benchmark.report.svg import content as drawn
from bagged_envs.baselines.benchmark.report.svg import inline
from bagged_envs.baselines.benchmark.report.views import View
from bagged_envs.whole_file import write_whole

KINDS = ("png", "pdf", "svg")


@dataclass(frozen=True)
class Shown:
    """A picture as the page shows it.

    Attributes:
        picture: What stands around it.
        svg: It.
    """

    picture: Picture
    svg: Markup


@dataclass(frozen=True)
class Album:
    """What was drawn.

    Attributes:
        shown: For the page, by the picture's name; nothing where no page was asked for.
        files: Those that were written.
    """

    shown: dict[str, Shown]
    files: list[Path]


def album(content: Content, made: Sequence[View], out: Path, formats: Sequence[str]) -> Album:
    """Draw the figures of a report.

    Args:
        content: Of the report.
        made: Its summaries; those of some environments only are on the page, and no files.
        out: The folder of the report.
        formats: With "html" figures are made for the page, with those of `KINDS` they are written as files.

    Raises:
        OSError: A file could not be written.
    """
    shown, files = {}, []
    kinds = [kind for kind in KINDS if kind in formats]
    with drawing():
        for picture, alone in _pictures(content, made):
            if "html" not in formats and not (alone and kinds):
                continue
            figure = picture.draw()
            if "html" in formats:
                shown[picture.name] = Shown(picture, inline(figure, picture.name, picture.title))
            if alone and kinds:
                files += _files(figure, picture, content, out / "figures", kinds)
    return Album(shown, files)


def _pictures(content: Content, made: Sequence[View]) -> Iterator[tuple[Picture, bool]]:
    """Yield all pictures, and whether each is a file of its own."""
    look = looks(content.methods)
    for view in made:
        for picture in pictures.of_view(view, look):
            yield picture, view.is_whole
    for cell in content.cells:
        yield pictures.of_cell(cell, content, look), True
        yield pictures.finals_of(cell, content, look), True
    for sample in content.samples:
        yield pictures.of_sample(sample, look), True


def _files(figure: Figure, picture: Picture, content: Content, folder: Path, kinds: Sequence[str]) -> list[Path]:
    mark = short(words.under(content.protocol), 80)
    for_file(figure, picture.methods, looks(content.methods), mark)
    written = []
    for kind in kinds:
        path = folder / f"{picture.name}.{kind}"
        write_whole(path, drawn(figure, kind, picture.name, mark))
        figure.set_layout_engine("none")  # it is laid out by now, and that takes as long as to draw it
        written.append(path)
    return written
