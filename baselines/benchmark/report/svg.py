"""Figures as files, and inside of a page, where colors follow the page and parts can be hidden."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from bagged_envs.baselines.benchmark.report.style import FAINT, GRID, INK, PALETTE, PAPER

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# Nothing of when and with what they were written: the same figure is the same file.
METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "png": {"Software": None},
}
SUBJECT = {"svg": "Description", "pdf": "Subject", "png": "Description"}  # where each kind says what it is about
NAMES = {
    **{colors[0]: f"--c{place}" for place, colors in enumerate(PALETTE)},
    INK[0]: "--ink",
    FAINT[0]: "--faint",
    GRID[0]: "--grid",
    PAPER[0]: "--paper",
}
NUMBER = re.compile(r"-?\d+\.\d{3,}")
COLOR = re.compile(r"#[0-9a-f]{6}\b")
GROUP = re.compile(r"m\d+")


def content(figure: Figure, kind: str, name: str, subject: str | None = None) -> bytes:
    """Return a figure as a file of "svg", "pdf" or "png".

    Args:
        figure: It.
        kind: Of the file.
        name: What identifiers inside of it are made of: those of two figures differ.
        subject: What its metadata say; None for nothing.
    """
    stream, told = io.BytesIO(), {} if subject is None else {SUBJECT[kind]: subject}
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(stream, format=kind, metadata={**METADATA[kind], **told}, dpi=200)
    return stream.getvalue()


def inline(figure: Figure, name: str, title: str) -> Markup:
    """Return a figure as a part of a page.

    Colors are variables of the page, what belongs to a method has its class, and numbers are short.

    Args:
        figure: It.
        name: As for `content`.
        title: What it shows, for those who cannot see it.
    """
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", XLINK)
    root = ET.fromstring(content(figure, "svg", name))
    for parent in list(root.iter()):
        for child in [one for one in parent if one.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style")]:
            parent.remove(child)
    for element in root.iter():
        _rewrite(element)
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.attrib |= {"role": "img", "aria-label": title}
    return Markup(ET.tostring(root, encoding="unicode"))  # made by ElementTree, which escapes


def _rewrite(element: ET.Element) -> None:
    id = element.attrib.get("id", "")
    if GROUP.fullmatch(id):
        element.attrib["class"] = element.attrib.pop("id")
    elif element.tag == f"{{{SVG}}}g":
        element.attrib.pop("id", None)
    for name in ("d", "x", "y", "transform", "points"):
        if name in element.attrib:
            element.attrib[name] = NUMBER.sub(lambda found: f"{float(found[0]):.2f}", element.attrib[name])
    style = element.attrib.get("style")
    if style is not None:
        element.attrib["style"] = COLOR.sub(lambda found: _variable(found[0]), style)


def _variable(color: str) -> str:
    return f"var({NAMES[color]})" if color in NAMES else color
