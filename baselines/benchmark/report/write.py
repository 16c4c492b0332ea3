"""What `bagged-envs bench report` does: reads a folder, and writes the page, figures, tables and words."""

from __future__ import annotations

import dataclasses
import io
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bagged_envs.baselines.benchmark import protocol as protocols
from bagged_envs.baselines.benchmark import statistics
from bagged_envs.baselines.benchmark.protocol import Protocol
from bagged_envs.baselines.benchmark.report import again, released, tables, words
from bagged_envs.baselines.benchmark.report.album import KINDS, album
from bagged_envs.baselines.benchmark.report.content import (
    Choice,
    Content,
    folders_of,
    gathered,
    methods_table,
    unfinished_runs,
)
from bagged_envs.baselines.benchmark.report.control import candidates
from bagged_envs.baselines.benchmark.report.page import render
from bagged_envs.baselines.benchmark.report.rows import RELEASED, Redistribution, Result, Run, counted
from bagged_envs.baselines.benchmark.report.samples import samples
from bagged_envs.baselines.benchmark.report.scores import even_scores
from bagged_envs.baselines.benchmark.report.views import View, views
from bagged_envs.baselines.benchmark.results import judged, read_results, trained
from bagged_envs.whole_file import write_whole
from bagged_envs.wrappers.arguments import known

PAGE = "report.html"
FORMATS = ("html", *KINDS, "csv", "npz", "tex", "txt")


def write_report(
    folder: Path,
    out: Path | None = None,
    choice: Choice | None = None,
    formats: Sequence[str] = FORMATS,
    protocol: str = "v1",
    reference: bool = False,
    episodes: bool = True,
    released_in: Path = released.FOLDER,
) -> list[Path]:
    """Write a report of the runs in a folder. The same runs give the same files, to the byte.

    Args:
        folder: Of the runs.
        out: Where to; None for `report` in there.
        choice: What of them is shown; None for all.
        formats: Some of `FORMATS`.
        protocol: The one of the runs: a name, or a file.
        reference: Whether to add the released results of this protocol.
        episodes: Whether trained policies play an episode each, which takes time.
        released_in: Where released results stand.

    Returns:
        What was written.

    Raises:
        OSError: The folder is not there, or a file could not be written.
        ValueError: There is nothing to report, results do not belong together, or an argument is wrong.
    """
    for name in formats:
        known("formats", name, FORMATS)
    if not folder.is_dir():
        raise FileNotFoundError(f"folder must be that of bench run --out, got {folder}: there is no such folder.")
    kept, choice = Protocol.load(protocol), choice or Choice()
    more = released.released(kept.hash, released_in) if reference else []
    content = _content(folder, more, kept, choice)
    if episodes:
        found, without = samples(content.runs, folders_of(folder))
        content = dataclasses.replace(content, samples=tuple(found), without_sample=tuple(without))
    suites = _suites(content, protocol)
    lines = [
        *(f"# needs the module {name}: installed, or in this folder" for name in again.modules(_shown(content))),
        *commands(choice, suites, protocol, reference),
    ]
    return _written(content, folder / "report" if out is None else out, lines, suites, protocol, formats)


def _content(folder: Path, more: Sequence[Result], kept: Protocol, choice: Choice) -> Content:
    """Return what the runs of a folder, and more results, come to, and say what is left out."""
    whole, notes = read_results(folder)
    everything = [*whole, *more]
    content = gathered(trained(everything), judged(everything), kept, choice, unfinished_runs(folder))
    if untold := [one for one in _shown(content) if not again.can_be_told(one)]:
        names = words.listed(sorted({one["arm"]["name"] for one in untold}))
        notes.append(
            f"In no suite below: {counted(len(untold), 'run')} of {names}, with a null, which TOML cannot say."
        )
    return dataclasses.replace(content, notes=(*content.notes, *notes))


def _written(
    content: Content,
    out: Path,
    lines: Sequence[str],
    suites: Mapping[str, str],
    protocol: str,
    formats: Sequence[str],
) -> list[Path]:
    made = views(content)
    drawn = album(content, made, out, formats)
    files: dict[str, bytes | str] = {}
    if "html" in formats:
        files |= {PAGE: render(content, made, drawn.shown, lines, suites), **suites, **_protocol_files(protocol)}
    if "csv" in formats:
        files |= _tables(content, made)
    if "npz" in formats:
        files |= _matrices(content, made)
    if "tex" in formats:
        files |= _latex(content, made)
    if "txt" in formats:
        files["methods.txt"] = f"{words.methods_paragraph(content)}\n"
    for name, data in files.items():
        write_whole(out / name, data)
    if not files and not drawn.files:
        raise ValueError(
            f"formats must leave something to write, got {', '.join(formats) or 'none'}: where redistributors were "
            "judged alone there are neither figures nor LaTeX, and npz needs as many runs in each environment: "
            "ask for html, csv or txt."
        )
    return [*(out / name for name in files), *drawn.files]


def _tables(content: Content, made: Sequence[View]) -> dict[str, bytes | str]:
    whole = {view.length: view for view in made if view.is_whole}
    versions = words.versions_of(words.results_of(content))
    found = {
        "summary": tables.summary({length: view.summaries for length, view in whole.items()}),
        "environments": tables.standings(content.standings, content.against),
        "curves": tables.curves(content.curves),
        "efficiency": tables.joint({length: view.curves for length, view in whole.items()}),
        "profiles": tables.profiles({length: view.profiles for length, view in whole.items()}),
        "redistribution": tables.redistributions(content.redistributions),
        "methods": tables.methods(methods_table(content)),
        "episodes": tables.samples(content.samples),
        "versions": tables.Table(("package", "versions"), [(name, " ".join(own)) for name, own in versions.items()]),
    }
    return {f"tables/{name}.csv": tables.csv_of(table, content.protocol.hash) for name, table in found.items()}


def _matrices(content: Content, made: Sequence[View]) -> dict[str, bytes | str]:
    """Return what rliable takes: `[runs, environments]` of normalized scores for each method that fills this shape.

    The protocol's hash stands in names of files: all that is in such a file is taken for a method.
    """
    found: dict[str, bytes | str] = {}
    for view in made:
        if view.is_whole and (scores := even_scores(view.runs)):
            file = io.BytesIO()
            statistics.export(file, scores)
            found[f"tables/scores-{view.length.name}-{content.protocol.hash}.npz"] = file.getvalue()
    return found


def _latex(content: Content, made: Sequence[View]) -> dict[str, bytes | str]:
    found: dict[str, bytes | str] = {}
    for view in made:
        if view.is_whole:
            caption = (
                f"{counted(len(view.cells), 'environment')}, {view.length.words}, {words.under(content.protocol)}, "
                f"with {words.INTERVAL}. "
                f"{' '.join(words.control_words([content.against[cell] for cell in view.cells]))}"
            )
            name = f"summary-{view.length.name}"
            found[f"{name}.tex"] = tables.summary_tex(view.summaries, caption, name)
    return found


def _shown(content: Content) -> list[Result]:
    """Return the results that did not come with the package, those that controls were chosen by included."""
    everything: list[Run | Redistribution] = [*_needed(content), *content.redistributions]
    return [one.result for one in everything if RELEASED not in one.result]


def _needed(content: Content) -> list[Run]:
    """Return the runs that are shown, and those of the Identities there that controls were chosen from."""
    among = candidates([*content.everything, *content.tuning], content.cells)
    others = [run for run in content.runs if (run.cell, run.method) not in among]
    return [*others, *(run for run in (*content.everything, *content.tuning) if (run.cell, run.method) in among)]


def _suites(content: Content, protocol: str) -> dict[str, str]:
    """Return files of suites whose runs are those of the report, and those that its controls were chosen from."""
    name = protocol if protocol in protocols.names() else Path(protocol).name
    found = []
    for kind in (_needed(content), content.redistributions):
        own = [one for one in kind if RELEASED not in one.result and again.can_be_told(one.result)]
        found += again.suites([one.result for one in own], [one.method for one in own], name, content.protocol.tuning)
    return {f"suite-{place}.toml": text for place, text in enumerate(found, 1)}


def _protocol_files(protocol: str) -> dict[str, bytes | str]:
    """Return what suites of a protocol that is none of ours need beside them."""
    if protocol in protocols.names():
        return {}
    path = Path(protocol)
    beside = [one for one in (path, path.with_suffix(".csv")) if one.exists()]
    return {one.name: one.read_bytes() for one in beside}


def commands(choice: Choice, suites: Iterable[str], protocol: str, reference: bool) -> list[str]:
    """Return what to type in the folder of a report to have its runs again, and the report."""
    told = [("suite", choice.suite), ("variant", choice.variant)]
    words = [f"--{name} {shlex.quote(value)}" for name, value in told if value is not None]
    words += [f"--method {' '.join(map(shlex.quote, choice.methods))}"] if choice.methods else []
    words += ["--with reference"] if reference else []
    words += [] if protocol in protocols.names() else [f"--protocol {shlex.quote(Path(protocol).name)}"]
    runs = [f"bagged-envs bench run {name} --out again" for name in suites]
    return [*runs, " ".join(["bagged-envs bench report again", *words])]
