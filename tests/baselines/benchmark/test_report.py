"""The report as files: what the page says, that everything is escaped, and that the same runs give the same bytes."""

import csv
import json
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from bagged_envs import cli
from bagged_envs.baselines import checkpoint
from bagged_envs.baselines.benchmark.arms import ARMS
from bagged_envs.baselines.benchmark.protocol import Protocol
from bagged_envs.baselines.benchmark.report import album, content, figures, pictures, samples, tables
from bagged_envs.baselines.benchmark.report.content import Choice, folders_of
from bagged_envs.baselines.benchmark.report.rows import cell_of, runs_of
from bagged_envs.baselines.benchmark.report.scores import NO_SCALE, Curve
from bagged_envs.baselines.benchmark.report.style import looks
from bagged_envs.baselines.benchmark.report.write import FORMATS, write_report
from bagged_envs.baselines.benchmark.result_file import name_of, read_result, write_result
from bagged_envs.baselines.benchmark.results import read_results, write_tables
from bagged_envs.baselines.benchmark.statistics import interval, probability_of_improvement
from bagged_envs.baselines.benchmark.suite import Suite
from bagged_envs.baselines.description import as_settings
from bagged_envs.baselines.judging.judge import SCORES
from bagged_envs.baselines.methods import Method
from bagged_envs.baselines.training import Training, TrainingConfig
from tests.baselines.benchmark.invented import benchmark, flat, judged, protocol_file, result, write
from tests.baselines.benchmark.small import TRAINING, job, redistributions, results
from tests.baselines.benchmark.small import judged as judged_job

EVIL = '<script>alert("x")</script> & _$a_1$ 100% \\ {b} \'"><img src=x onerror=alert(1)>'
SMALL_PROTOCOL = (  # that of the small runs
    'version = "test"\n[evaluation]\nevery = 40\nepisodes = 2\nfinal_share = 0.5\n[seeds]\ntuning = [0]\n'
    "test = [7, 8, 9]\n[steps]\nshort = 120\n[schedules.bags_of_3]\nbag_len = 3\n"
    "[recording]\nsteps = 200\nepisodes = 4\nrandom_steps = 20\nbatch = 8\n"
)
MOST_WORK = ((content, "curves"), (content, "standings"), (figures, "finals"), (figures, "profiles"))
VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """A page as a browser takes it: its elements, its texts, its tables."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.values, self.texts, self._open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def attributes(self, name):
        return [attrs[name] for _, attrs in self.tags if name in attrs]


@pytest.fixture(scope="module")
def protocol(tmp_path_factory):
    return str(protocol_file(tmp_path_factory.mktemp("protocol")))


@pytest.fixture(scope="module")
def kept(protocol):
    return Protocol.load(protocol)


@dataclass(frozen=True)
class Made:
    """A report in all formats, which tests read and leave as it is.

    Attributes:
        folder: Of the runs, with the report in it.
        written: Its files.
        counts: How often what is the most work was done.
        page: As a browser takes it.
    """

    folder: Path
    written: list[Path]
    counts: Counter
    page: Page


@pytest.fixture(scope="module")
def whole(tmp_path_factory, kept, protocol):
    counts = Counter()

    def count(patch, module, name):
        done = getattr(module, name)
        patch.setattr(module, name, lambda *args: (counts.update([name]), done(*args))[1])

    folder = write(tmp_path_factory.mktemp("whole") / "runs", *benchmark(kept))
    with pytest.MonkeyPatch.context() as patch:
        for module, name in MOST_WORK:
            count(patch, module, name)
        written = write_report(folder, protocol=protocol)
    return Made(folder, written, counts, Page((folder / "report" / "report.html").read_text()))


@pytest.fixture(scope="module")
def evil(tmp_path_factory, kept, protocol):
    """Runs of two methods, one with an evil name, with their report in all formats."""
    found = [result(kept, name, seed, flat(seed), source=name) for name in (EVIL, "plain") for seed in (7, 8)]
    folder = write(tmp_path_factory.mktemp("evil") / "runs", *found)
    write_report(folder, protocol=protocol)
    return folder


@pytest.fixture
def undrawn(monkeypatch):
    """Pages without their figures, which are nearly all of the work and none of the words."""
    for name in ("intervals", "curves", "finals", "profiles", "episode"):
        monkeypatch.setattr(figures, name, lambda *_: None)
    monkeypatch.setattr(album, "inline", lambda *_: "")


def page_of(folder, protocol, **more):
    out = folder / "report"
    write_report(folder, out, protocol=protocol, formats=["html"], **more)
    return (out / "report.html").read_text()


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_files(whole):
    folder, written = whole.folder, whole.written
    assert written[0] == folder / "report" / "report.html"
    names = {str(path.relative_to(folder / "report")) for path in (folder / "report").rglob("*") if path.is_file()}
    assert names == {str(path.relative_to(folder / "report")) for path in written}
    assert {"methods.txt", "summary-120.tex", "suite-1.toml", "invented.toml", "invented.csv"} <= names
    cells = ("curves-BaggedInvertedPendulum-v0-bag_len=20-120", "finals-EpisodicReacher-v0-120")
    whole = ("iqm", "median", "optimality_gap", "improvement", "efficiency", "profiles")
    figures = (*cells, *(f"{name}-120-0" for name in whole))
    assert {f"figures/{name}.{kind}" for name in figures for kind in ("png", "pdf", "svg")} <= names
    starts = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    for path in written:
        start = starts.get(path.suffix[1:])
        assert start is None or path.read_bytes().startswith(start)


@pytest.mark.long
def test_the_same_to_the_byte(evil, tmp_path, protocol):
    write_report(evil, tmp_path / "again", protocol=protocol)
    found = []
    for out in (evil / "report", tmp_path / "again"):
        files = sorted(path for path in out.rglob("*") if path.is_file())
        found.append({str(path.relative_to(out)): path.read_bytes() for path in files})
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", FORMATS)
def test_only_what_is_asked_for(tmp_path, kept, protocol, kind):
    folder = write(tmp_path / "runs", *benchmark(kept)[:2])
    write_report(folder, tmp_path / "out", protocol=protocol, formats=[kind])
    kinds = {path.suffix[1:] for path in (tmp_path / "out").rglob("*.*") if path.parent.name != "out"}
    kinds |= {path.suffix[1:] for path in (tmp_path / "out").glob("*.*")}
    assert kinds == ({"html", "toml", "csv"} if kind == "html" else {kind})


def test_numbers_of_the_page_and_of_tables(whole, kept):
    folder, page = whole.folder, whole.page
    assert r"\emph{(over 2 of 3 environments)}" in (folder / "report" / "summary-120.tex").read_text()
    scored = [[one["normalized"] for one in benchmark(kept) if (one["arm"]["name"], one["task"]) == ("ours", task)]
              for task in ("InvertedPendulum", "KeyDoor")]  # fmt: skip
    expected = interval(scored, "iqm")
    assert repr(expected.estimate) in page.attributes("data-value")
    ranges = list(zip(page.attributes("data-low"), page.attributes("data-high"), strict=True))
    assert (repr(expected.low), repr(expected.high)) in ranges
    assert f"[{expected.low:.2f}, {expected.high:.2f}]" in page.texts
    ours = rows(folder / "report" / "tables" / "summary.csv")[0]
    assert ours["method"] == "ours"
    assert [float(ours[name]) for name in ("iqm", "iqm_low", "iqm_high")] == list(expected)
    assert [ours[f"{name}_environments"] for name in ("gain", "improvement")] == ["2", "3"]
    assert page.texts.count("over 2 of 3 environments") == 1
    finals = [[[one["final"] for one in benchmark(kept) if (one["arm"]["name"], one["task"]) == (name, "Reacher")]]
              for name in ("ours", "identity")]  # fmt: skip
    stood = rows(folder / "report" / "tables" / "environments.csv")
    reacher = next(row for row in stood if (row["method"], row["task"]) == ("ours", "Reacher"))
    found = [float(reacher[name]) for name in ("improvement", "improvement_low", "improvement_high")]
    assert found == list(probability_of_improvement(*finals))
    assert (reacher["normalized"], reacher["normalized_words"], reacher["seeds"]) == ("", "no scale", "7 8 9")
    curve = [row for row in rows(folder / "report" / "tables" / "curves.csv") if row["id"] == "EpisodicKeyDoor-v0"]
    assert [(row["method"], row["step"], float(row["mean"])) for row in curve][2] == ("identity", "120", 1.75)
    assert {row["share"] for row in rows(folder / "report" / "tables" / "profiles.csv")} >= {"0.0", "1.0"}


def test_tables_name_environments_as_runs_csv_does(tmp_path, kept, protocol):
    folder = write(tmp_path / "runs", result(kept, "a", 7, flat(1.0), arguments={"x": "y", "bag_len": [3, 5]}))
    write_tables(folder, read_results(folder)[0])
    write_report(folder, tmp_path / "out", protocol=protocol, formats=["csv"])
    tables = [tmp_path / "out" / "tables" / f"{name}.csv" for name in ("environments", "curves")]
    told, stood, point = (rows(path)[0] for path in (folder / "runs.csv", *tables))
    shared = ("protocol", "method", "id", "arguments", "steps")
    joined = [[row[name] for name in shared] for row in (told, stood, point)]
    assert joined[0] == joined[1] == joined[2]
    assert json.loads(stood["arguments"]) == {"x": "y", "bag_len": [3, 5]}
    assert stood["label"] == point["label"] == "BaggedInvertedPendulum-v0[bag_len=(3, 5), x=y]"


def test_the_hash_of_the_protocol_is_on_all(whole, tmp_path, kept, protocol):
    check_hashes(whole.written, kept, empty=["redistribution.csv", "episodes.csv"])
    # Scores of another shape, and of what redistributors gave.
    found = [result(kept, "even", 7, flat(1.0)), judged(kept, "rd", 7, epic=0.5)]
    more = write_report(write(tmp_path / "runs", *found), protocol=protocol, formats=["csv", "npz"])
    assert {path.suffix for path in (*whole.written, *more)} == {f".{kind}" for kind in FORMATS} | {".toml"}
    check_hashes(more, kept, empty=["efficiency.csv", "profiles.csv", "episodes.csv"])


@pytest.mark.long
def test_the_hash_of_the_protocol_is_on_sample_episodes(tmp_path, made):
    file = tmp_path / "test.toml"
    file.write_text(SMALL_PROTOCOL)
    written = write_report(made, tmp_path / "out", protocol=str(file))
    assert any(path.name.startswith("episode-") for path in written)
    check_hashes(written, Protocol.load(file), empty=["efficiency.csv", "profiles.csv", "redistribution.csv"])


def check_hashes(written, kept, empty):
    """Each row, figure and text names the protocol; only some tables have no rows."""
    rowless = []
    for path in written:
        if path.suffix == ".npz":
            assert kept.hash in path.name
        elif path.suffix == ".csv" and path.parent.name == "tables":
            heading, *own = csv.reader(path.read_text().splitlines())
            assert heading[0] == "protocol"
            assert all(row[0] == kept.hash for row in own), path
            rowless += [path.name] * (not own)
        elif path.stem != kept.version:  # a copy of the protocol itself, which the hash is of
            assert kept.hash.encode() in path.read_bytes(), path
        if path.suffix == ".svg":
            texts = [one.text for one in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")]
            assert texts.count(f"protocol {kept.version} (hash {kept.hash})") == 1
    assert rowless == empty


@pytest.mark.parametrize("count", [0, 1, 16])
def test_the_mark_of_a_figure_is_below_all_else(count):
    names = [f"method {place}" for place in range(count)]
    look = looks(["alone", *names])
    points = np.array([1000.0, 2000.0])
    with figures.drawing():
        figure = figures.curves([Curve("alone", points, points, None, None, 1)], look, "return", "updates")
        assert figure.axes[0].get_xlabel() == "updates, in thousands"
        figures.for_file(figure, names, look, "protocol x (hash y)")
        figure.draw_without_rendering()
    (axis,), (mark,) = figure.axes, figure.texts
    boxes = [axis.get_tightbbox(), *(one.get_window_extent() for one in figure.legends), mark.get_window_extent()]
    for upper, lower in zip(boxes, boxes[1:], strict=False):
        assert upper.y0 >= lower.y1
    assert boxes[-1].y0 >= 0
    assert boxes[-1].x1 <= figure.bbox.x1


def test_nothing_is_done_twice(whole):
    """Figures, curves and standings are the most work of a report."""
    assert whole.counts == {"curves": 3, "standings": 3, "finals": 3, "profiles": 5}  # of six views one has no scale


def test_scores_in_rliables_shape(tmp_path, kept, protocol):
    door, reacher = {"id": "EpisodicKeyDoor-v0", "task": "KeyDoor"}, {"id": "EpisodicReacher-v0", "task": "Reacher"}
    found = [result(kept, "file", seed, flat(60.0 + seed)) for seed in (9, 7, 8)]
    found += [result(kept, name, seed, flat(seed / 10), **door) for name in ("file", "uneven") for seed in (8, 9, 7)]
    found += [result(kept, "uneven", seed, flat(60.0)) for seed in (7, 8)]
    found += [result(kept, "elsewhere", 7, flat(60.0)), result(kept, "file", 7, flat(1.0), **reacher)]
    write_report(write(tmp_path / "runs", *found), tmp_path / "out", protocol=protocol, formats=["npz"])
    scores = dict(np.load(tmp_path / "out" / "tables" / f"scores-120-{kept.hash}.npz"))
    assert list(scores) == ["file"]
    np.testing.assert_allclose(scores["file"], [[0.57, 0.175], [0.58, 0.2], [0.59, 0.225]], rtol=1e-12)


def test_nothing_is_fetched(whole):
    page = whole.page
    addresses = [attrs[name] for _, attrs in page.tags for name in ("href", "src", "xlink:href") if name in attrs]
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert "@import" not in "".join(page.texts)
    assert "url(http" not in "".join(page.texts)


def test_names_of_files(kept):
    cells = [cell_of(result(kept, "a", 7, flat(1.0), arguments={"x": value})) for value in ("a/b", "a b", "c" * 99)]
    names = [pictures.place_of(cell) for cell in cells]
    assert len({name.casefold() for name in names}) == 3
    assert all(re.fullmatch(r"[\w.,=-]{1,90}", name) for name in names)
    assert pictures.plain("RRD").casefold() != pictures.plain("rrd")


class TestEscaping:
    def test_page(self, tmp_path, kept, protocol):
        found = [result(kept, EVIL, seed, flat(seed), source=EVIL) for seed in (7, 8)]
        found += [result(kept, "identity", seed, flat(seed), arguments={"name": EVIL}) for seed in (7, 8)]
        folder = write(tmp_path / "runs", *found)
        (folder / "failing").mkdir()
        (folder / "failing" / "failure.json").write_text(json.dumps({"error": EVIL}))
        text = page_of(folder, protocol)
        assert "<script>alert" not in text
        assert "<img" not in text
        page = Page(text)
        assert [tag for tag, _ in page.tags].count("script") == 1
        assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
        assert any(EVIL in words for words in page.texts)

    def test_files(self, evil):
        written = [path for path in (evil / "report").rglob("*") if path.is_file()]
        assert {path.suffix for path in written} >= {".svg", ".tex", ".csv"}
        for path in written:
            assert re.fullmatch(r"[\w.,=-]+", path.name)
            if path.suffix == ".svg":
                ET.parse(path)
        tex = (evil / "report" / "summary-120.tex").read_text()
        assert r"\textless{}script\textgreater{}alert(\textquotedbl{}x\textquotedbl{})" in tex
        assert r"\& \_\$a\_1\$ 100\% \textbackslash{} \{b\}" in tex
        assert rows(evil / "report" / "tables" / "summary.csv")[0]["method"] == EVIL

    @pytest.mark.long
    def test_names_that_figures_would_swallow(self, tmp_path, kept, protocol):
        names = ["_hidden", "$x$", "two\nlines", "ünï", "bell\x07\x1b[0m"]
        folder = write(tmp_path / "runs", *(result(kept, name, seed, flat(seed)) for name in names for seed in (7, 8)))
        write_report(folder, protocol=protocol, formats=["svg"])
        svg = ET.parse(folder / "report" / "figures" / "efficiency-120-0.svg")
        texts = {one.text for one in svg.iter("{http://www.w3.org/2000/svg}text")}
        assert {"_hidden", "$x$", "two lines", "ünï", "bell\ufffd\ufffd[0m"} <= texts
        page_of(folder, protocol)

    def test_tex(self):
        assert (
            tables.tex("a_b & c%  #1\n{x} ~^\\")
            == r"a\_b \& c\% \#1 \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{}"
        )


@pytest.mark.usefixtures("undrawn")
class TestWords:
    def test_half_a_benchmark(self, tmp_path, kept, protocol):
        found = benchmark(kept)
        del found[0]
        folder = write(tmp_path / "runs", *found)
        (folder / "broken").mkdir()
        (folder / "broken" / "failure.json").write_text('{"error": "ValueError: too late"}')
        text = " ".join(Page(page_of(folder, protocol)).texts)
        assert re.search(r"16\s+runs done\s+1\s+failed\s+0\s+not whole\s+3\s+seeds missing", " ".join(text.split()))
        assert "failed: ValueError: too late" in text
        assert "it is the best Identity" not in text
        assert "no runs on tuning seeds to choose it by, and it is the plain one" in " ".join(text.split())

    def test_results_that_lack_something(self, tmp_path, kept, protocol):
        folder = write(tmp_path / "runs", result(kept, "ours", 7, flat(60.0)))
        other = result(kept, "ours", 8, flat(1.0))
        nameless = {name: value for name, value in other["arm"].items() if name != "name"}
        told = other["job"]
        for name, strange in (
            ("keyless", {key: value for key, value in other.items() if key != "key"}),
            ("nameless", {**other, "arm": nameless}),
            ("jobless", {**other, "job": None}),
            ("unscored", {**other, "kind": "redistribution"}),
            ("rowless", {**other, "rows": []}),
            ("unpaid", {**other, "rows": [{"step": 40, "return": 1.0}]}),
            ("wordy", {**other, "job": {**told, "seed": "8"}}),
            ("unversioned", {**other, "job": {**told, "versions": None}}),
            ("unfinal", {**other, "final": None}),
            ("untried", {**other, "arm": {**other["arm"], "trials": None}}),
            ("a-copy", other),
            (f"zzz-{other['key']}", {**other, "final": 999.0}),
        ):
            (folder / name).mkdir()
            write_result(folder / name, strange)
        page = Page(page_of(folder, protocol))
        left_out = [text.removeprefix("Left out: ") for text in page.texts if text.startswith("Left out: ")]
        assert sorted(left_out) == [
            f"a-copy, which must be called {name_of(told, other['key'])} to count.",
            "jobless, in whose result job must be of type dict, got None.",
            "keyless, in whose result key must be of type str, got nothing.",
            "nameless, in whose result arm.name must be of type str, got nothing.",
            "rowless, in whose result rows must have an evaluation, got none.",
            "unfinal, in whose result final must be of type float, got None.",
            "unpaid, in whose result rows[0].episodes must be of type int or float or null, got nothing, and 5 more.",
            "unscored, in whose result scores must be of type dict, got nothing, and 6 more.",
            "untried, in whose result arm.trials must be of type int, got None.",
            "unversioned, in whose result job.versions must be of type dict, got None.",
            "wordy, in whose result job.seed must be of type int, got '8'.",
            f"zzz-{other['key']}, which must be called {name_of(told, other['key'])} to count.",
        ]
        assert page.attributes("data-value") == ["60.0", "0.5"]

    def test_one_run(self, tmp_path, kept, protocol):
        page = Page(page_of(write(tmp_path / "runs", result(kept, "ours", 7, flat(60.0))), protocol))
        # The final score, on both scales, was measured; all else would be a statistic.
        assert page.attributes("data-value") == ["60.0", "0.5"]
        assert page.attributes("data-low") == []
        assert "No Identity was run here: gains cannot be stated." in page.texts

    def test_no_scale(self, tmp_path, kept, protocol):
        found = [result(kept, "a", seed, flat(seed), id="EpisodicReacher-v0", task="Reacher") for seed in (7, 8)]
        folder = write(tmp_path / "runs", *found)
        write_report(folder, protocol=protocol, formats=["html", "tex"])
        page = Page((folder / "report" / "report.html").read_text())
        assert page.texts.count(NO_SCALE) == 3
        assert any("None of these environments has a scale" in text for text in page.texts)
        assert rf"\emph{{{NO_SCALE}}}" in (folder / "report" / "summary-120.tex").read_text()

    def test_methods_paragraph(self, tmp_path, kept, protocol):
        found = [*benchmark(kept), *(result(kept, name, seed, flat(3.0)) for name in ("identity",) for seed in (0, 1))]
        folder = write(tmp_path / "runs", *found)
        write_report(folder, protocol=protocol, formats=["html", "txt"])
        said = (folder / "report" / "methods.txt").read_text().strip()
        assert said in Page((folder / "report" / "report.html").read_text()).texts
        for part in (
            "We trained 3 methods for 120 environment steps on 3 environments",
            f"protocol invented (hash {kept.hash})",
            "with the test seeds 7 to 9: 1 to 3 runs of each method in each environment where it was run, 17 in all",
            "apart from those that settings are chosen on, 0, 1, and reports only them",
            "Every 40 steps the policy was evaluated on 2 episodes",
            "the mean of the last 50 % of its evaluations, never the best",
            "2 of 3 environments have it.",
            "95 % percentile intervals from 2,000 bootstrap resamples, stratified by environment",
            "In 1 of 3 environments it is the only Identity that was run.",
            "In 2 of 3 environments there are no runs on tuning seeds",
            "identity, ours, single: the tests' own (0 trials)",
            f"numpy {np.__version__}",
        ):
            assert part in said, part

    @pytest.mark.parametrize(
        ("others", "what"),
        [
            (["rd-iql"], "120 updates on 1 environment"),
            (["rd-iql", "ours"], "120 environment steps and 120 updates on 2 environments"),
        ],
    )
    def test_the_methods_paragraph_of_learning_offline(self, tmp_path, kept, protocol, others, what):
        kinds = {"rd-iql": "offline", "ours": "training"}
        folder = write(tmp_path / "runs", *(result(kept, name, 7, flat(3.0), kind=kinds[name]) for name in others))
        write_report(folder, protocol=protocol, formats=["txt"])
        said = (folder / "report" / "methods.txt").read_text()
        assert f"for {what} " in said
        assert "Without playing learned rd-iql, whose steps are updates: from 4 episodes of each of three" in said

    def test_how_the_control_was_chosen(self, tmp_path, kept, protocol):
        doors = {"id": "EpisodicKeyDoor-v0", "task": "KeyDoor"}
        found = [result(kept, name, seed, flat(1.0)) for name in ("identity", "far identity") for seed in (0, 7, 8)]
        found += [result(kept, name, 7, flat(1.0), **doors) for name in ("identity", "far identity")]
        found += [result(kept, "identity", 0, flat(1.0), **doors)]
        folder = write(tmp_path / "runs", *found)
        write_report(folder, protocol=protocol, formats=["html", "tex", "txt"])
        for file in ("report.html", "summary-120.tex", "methods.txt"):
            said = (folder / "report" / file).read_text()
            assert "In 1 of 2 environments it is the best Identity, chosen on tuning seeds (0)." in said
            assert (
                "In 1 of 2 environments not all Identities have runs on the same tuning seeds (far identity without), "
                "and it is the plain one." in said
            )

    def test_commands_and_versions(self, tmp_path, kept, protocol):
        folder = write(tmp_path / "runs", *benchmark(kept))
        page = Page(page_of(folder, protocol, choice=Choice(suite="mujoco", methods=("ours", "identity"))))
        words = "".join(page.texts)
        assert "bagged-envs bench run suite-1.toml --out again\n" in words
        assert "bench report again --suite mujoco --method ours identity --protocol invented.toml" in words
        assert {"a processor", "a system", "0123456789ab", "cpu, 1 thread"} <= set(page.texts)

    @pytest.mark.parametrize("choice", [Choice(methods=("ours",)), Choice(variant="Episodic"), Choice()])
    def test_its_suites_have_what_gains_are_stated_over(self, tmp_path, kept, protocol, choice):
        doors = {"id": "EpisodicKeyDoor-v0", "task": "KeyDoor"}
        learner = job("identity-td3").described()["learner"]
        far = {"learner": {**learner, "discount": 0.5}}
        found = [
            result(kept, name, seed, flat(value + seed), **own, **place)
            for name, value, own in (("an identity", 10.0, {}), ("far identity", 12.0, far), ("ours", 50.0, {}))
            for seed in (0, 1, 7, 8)
            for place in ({}, doors)
            if seed > 1 or name != "ours"
        ]
        folder = write(tmp_path / "runs", *found)
        write_report(folder, tmp_path / "out", choice, ["html", "csv", "txt"], protocol)
        made = {
            (one.arm.name, one.id, one.seed)
            for path in (tmp_path / "out").glob("suite-*.toml")
            for one in Suite.load(path).jobs()
        }
        again = [one for one in found if (one["arm"]["name"], one["job"]["id"], one["job"]["seed"]) in made]
        assert len(again) == len(made) == {None: 20, "Episodic": 10}[choice.variant]
        write_report(write(tmp_path / "again", *again), tmp_path / "two", choice, ["html", "csv", "txt"], protocol)
        pages = [(tmp_path / out / "report.html").read_bytes() for out in ("out", "two")]
        assert pages[0] == pages[1]

    def test_offline_runs_stand_apart(self, tmp_path, kept, protocol):
        doors = {"id": "EpisodicKeyDoor-v0", "task": "KeyDoor"}
        offline = {"kind": "offline", **doors}
        found = [
            result(kept, name, seed, flat(value + seed / 10), method=name, **place)
            for name, value, place in (
                ("identity-td3", 1.0, doors), ("rrd-td3", 2.0, doors),
                ("identity-td3_bc", 3.0, offline), ("rd-iql", 3.5, offline),
            )
            for seed in (0, 7, 8)
        ]  # fmt: skip
        folder = write(tmp_path / "runs", *found)
        write_report(folder, protocol=protocol, formats=["html", "csv", "tex", "npz"])
        out = folder / "report"
        gains = {row["method"]: (row["control"], row["label"]) for row in rows(out / "tables" / "environments.csv")}
        online, apart = "EpisodicKeyDoor-v0", "EpisodicKeyDoor-v0[offline]"
        assert gains == {
            "identity-td3": ("identity-td3", online), "rrd-td3": ("identity-td3", online),
            "identity-td3_bc": ("identity-td3_bc", apart), "rd-iql": ("identity-td3_bc", apart),
        }  # fmt: skip
        units = {row["method"]: row["unit"] for row in rows(out / "tables" / "summary.csv")}
        assert units == {
            "identity-td3": "environment steps", "rrd-td3": "environment steps",
            "identity-td3_bc": "updates", "rd-iql": "updates",
        }  # fmt: skip
        assert "1 environment, 120 updates, " in (out / "summary-120-offline.tex").read_text()
        assert "rd-iql" not in (out / "summary-120.tex").read_text()
        assert len(list((out / "tables").glob("scores-120-*.npz"))) == 2
        assert "120 updates, 1 environment" in "".join(Page(out.joinpath("report.html").read_text()).texts)

    def test_nothing_is_imported_for_an_episode(self, tmp_path, kept, protocol, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "evil_task.py").write_text("raise AssertionError('imported for a row')")
        theirs = result(kept, "uniform-td3", 7, flat(1.0), id="evil_task:BaggedNew-v0", task="New")
        folder = write(tmp_path / "runs", theirs)
        (place,) = folder.iterdir()
        (place / "checkpoint.pt").write_bytes(b"anything")
        words = "".join(Page(page_of(folder, protocol)).texts)
        assert "its task is none of ours, and nothing is imported for a report" in words
        assert "evil_task" not in sys.modules

    def test_what_toml_cannot_say_is_left_out_of_suites_and_told(self, tmp_path, kept, protocol):
        null = {**job("uniform-td3").described()["learner"], "discount": [None]}
        folder = write(tmp_path / "runs", *benchmark(kept), result(kept, "unsaid", 7, flat(1.0), learner=null),
                       result(kept, "unsaid", 8, flat(1.0), arguments={"camera": None}))  # fmt: skip
        words = "".join(Page(page_of(folder, protocol)).texts)
        assert "In no suite below: 2 runs of unsaid, with a null, which TOML cannot say." in words
        suites = [path.read_text() for path in (folder / "report").glob("suite-*.toml")]
        assert any("ours" in text for text in suites)
        assert not any("unsaid" in text for text in suites)

    def test_modules_of_others_are_named_where_commands_need_them(self, tmp_path, kept, protocol):
        agent = result(kept, "mine", 7, flat(1.0), kind="agent", method="my_module:make", redistributor={}, training={})
        sb3 = result(kept, "sb3", 7, flat(1.0), kind="agent", method=ARMS["sb3-td3"].method, redistributor={},
                     training={})  # fmt: skip
        folder = write(tmp_path / "runs", agent, sb3, result(kept, "a", 7, flat(1.0), id="theirs.tasks:BaggedNew-v0",
                                                             task="New"))  # fmt: skip
        words = "".join(Page(page_of(folder, protocol)).texts)
        assert "# needs the module my_module: installed, or in this folder\n# needs the module theirs.tasks:" in words
        assert "the module bagged_envs" not in words

    def test_one_environment_is_one(self, tmp_path, kept, protocol):
        folder = write(tmp_path / "runs", *(result(kept, name, 7, flat(1.0)) for name in ("identity", "ours")))
        write_report(folder, protocol=protocol, formats=["tex"])
        assert r"\caption{1 environment, 120 steps," in (folder / "report" / "summary-120.tex").read_text()


@pytest.mark.usefixtures("undrawn")
class TestRedistribution:
    def test_a_table_of_means(self, tmp_path, kept, protocol):
        found = [
            result(kept, "rrd", 7, flat(1.0)),
            judged(kept, "rrd", 7, epic=0.25, regret=None, mine=1.0, pearson=None),
            judged(kept, "rrd", 8, epic=0.75, regret=None, mine=None, pearson=0.5),
            judged(kept, "rd", 8, epic=None, regret=None, mine=4.0, pearson=0.125),
            judged(kept, "rd", 0, epic=9.0, regret=9.0, mine=9.0, pearson=9.0),
        ]
        folder = write(tmp_path / "runs", *found)
        page = Page(page_of(folder, protocol))
        start = page.texts.index("Redistribution quality")
        texts = [text.strip() for text in page.texts[start : page.texts.index("Environments", start)] if text.strip()]
        assert texts[texts.index("Method") :] == [
            "Method", "Pearson", "more is better", "EPIC", "less is better", "mine",
            "rd", "0.125", "1 seed", "not defined", "4", "1 seed",
            "rrd", "0.5", "1 seed", "0.5", "2 seeds", "1", "1 seed",
        ]  # fmt: skip
        write_report(folder, protocol=protocol, formats=["csv"])
        table = rows(folder / "report" / "tables" / "redistribution.csv")
        assert len(table) == 3 * (len(SCORES) + 1)
        assert [row["value"] for row in table if row["score"] == "epic"] == ["", "0.25", "0.75"]

    def test_alone(self, tmp_path, kept, protocol):
        folder = write(tmp_path / "runs", judged(kept, "rd", 7, epic=0.5))
        page = Page(page_of(folder, protocol))
        assert "Redistribution quality" in page.texts
        assert "Environments" not in page.texts

    def test_alone_as_it_is_run(self, tmp_path):
        run = judged_job("rd", hidden=(8,))
        told = run.work(tmp_path / "runs")
        file = tmp_path / "test.toml"
        file.write_text(SMALL_PROTOCOL)
        write_report(tmp_path / "runs", tmp_path / "out", protocol=str(file))
        page = " ".join(" ".join(Page((tmp_path / "out" / "report.html").read_text()).texts).split())
        assert "1 method on 1 environment with delayed rewards" in page
        assert "1 judged" in page
        assert "runs done" not in page
        assert "Scale" not in page
        said = (tmp_path / "out" / "methods.txt").read_text()
        assert "We judged the rewards of 1 redistributor on 1 environment" in said
        assert "in 120 environment steps" in said
        assert "4 episodes of each of three policies" in said
        assert not any(words in said for words in ("evaluated", "no scale", "No method", "control"))
        assert "bench run suite-1.toml --out again" in page
        (again,) = Suite.load(tmp_path / "out" / "suite-1.toml").jobs()
        assert again.key == told["key"]

    def test_beside_runs_of_the_same_name(self, tmp_path, made):
        shutil.copytree(made, tmp_path / "runs")
        judged_job("rd", hidden=(8,)).work(tmp_path / "runs")
        for name in ("rrd-td3", "rd"):
            (folder,) = (tmp_path / "runs").glob(f"{name}-B*")
            write_result(folder, read_result(folder) | {"arm": {"name": "mine", "source": "s", "trials": 0}})
        keys = {one["key"] for one in (*results(tmp_path / "runs"), *redistributions(tmp_path / "runs"))}
        file = tmp_path / "test.toml"
        file.write_text(SMALL_PROTOCOL)
        write_report(tmp_path / "runs", tmp_path / "out", protocol=str(file), formats=["html"], episodes=False)
        suites = (tmp_path / "out").glob("suite-*.toml")
        assert sorted(one.key for path in suites for one in Suite.load(path).jobs()) == sorted(keys)
        assert len(keys) == 5

    @pytest.mark.parametrize("formats", [["png"], ["tex"], ["pdf", "svg"], []])
    def test_nothing_to_write(self, tmp_path, kept, protocol, formats):
        folder = write(tmp_path / "runs", judged(kept, "rd", 7, epic=0.5))
        with pytest.raises(ValueError, match=f"something to write, got {', '.join(formats) or 'none'}: .* html, csv"):
            write_report(folder, protocol=protocol, formats=formats)


@pytest.mark.usefixtures("undrawn")
def test_released_rows_stand_beside(tmp_path, kept, protocol):
    folder = write(tmp_path / "runs", *benchmark(kept))
    place = tmp_path / "released" / kept.hash
    place.mkdir(parents=True)
    released = [result(kept, name, seed, flat(5.0), source="theirs") for name in ("ours", "other") for seed in (7, 8)]
    (place / "all.json").write_text(json.dumps(released))
    page = Page(page_of(folder, protocol, reference=True, released_in=tmp_path / "released"))
    assert "ours (released)" in page.texts
    assert any(attrs.get("class") == "tag" for _, attrs in page.tags)
    assert any("ours (released) in Bagged" in text and "released results come without" in text for text in page.texts)
    suites = [path.read_text() for path in (folder / "report").glob("suite-*.toml")]
    assert any('"ours"' in text for text in suites)
    assert not any("theirs" in text or "(released)" in text for text in suites)
    with pytest.raises(ValueError, match="it has no released results"):
        write_report(folder, protocol=protocol, reference=True, released_in=tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    settings = {"warm_up": 30, "every": 10, "updates": 1, "hidden": (8,)}
    for one in (job("uniform-td3"), job("identity-td3"), job("oracle-td3"), job("rrd-td3", redistributor=settings)):
        one.work(out)
    return out


class TestSamples:
    def found(self, made):
        runs = runs_of(results(made))
        return samples.samples(runs, folders_of(made))

    def test_rewards_are_what_they_say(self, made):
        found, missing = self.found(made)
        assert missing == []
        told = {one.method: one for one in found}
        assert sorted(told) == ["identity-td3", "oracle-td3", "rrd-td3", "uniform-td3"]
        for one in told.values():
            assert len(one.dense) == len(one.paid) == len(one.redistributed) == one.borders[-1]
            assert one.borders[:-1] == tuple(range(3, len(one.dense), 3))
            sums = np.add.reduceat(one.dense, [0, *one.borders[:-1]])
            np.testing.assert_allclose(one.paid[np.array(one.borders) - 1], sums)
            assert np.isnan(one.paid).sum() == len(one.dense) - len(one.borders)
        np.testing.assert_allclose(told["oracle-td3"].redistributed, told["oracle-td3"].dense)
        np.testing.assert_allclose(told["identity-td3"].redistributed, np.nan_to_num(told["identity-td3"].paid))
        one = told["uniform-td3"]
        lengths = np.diff([0, *one.borders])
        np.testing.assert_allclose(one.redistributed, np.repeat(one.paid[np.array(one.borders) - 1] / lengths, lengths))
        assert len(set(told["rrd-td3"].redistributed.tolist())) > 1

    def test_the_same_again(self, made):
        first, second = (self.found(made)[0] for _ in range(2))
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one.redistributed, other.redistributed)

    def test_the_trained_policy_plays(self, made):
        for one, run in zip(self.found(made)[0], runs_of(results(made)), strict=True):
            told = run.result["job"]
            method = Method.named(told["method"], *(as_settings(told[name]) for name in ("redistributor", "learner")))
            config = TrainingConfig(**TRAINING, evaluate_every=40, evaluation_episodes=2)
            training = Training(method, told["id"], told["arguments"], config, seed=7)
            training.load_state_dict(checkpoint.load(folders_of(made)[run.result["key"]] / "checkpoint.pt")["training"])
            expected = training.evaluate(1, samples.SEED)
            training.close()
            assert (one.method, (len(one.dense),)) == (run.method, expected.lengths)
            assert one.dense.sum() == expected.mean

    def test_the_learned_state_is_used(self, made, tmp_path):
        run = next(run for run in runs_of(results(made)) if run.method == "rrd-td3")
        folder = folders_of(made)[run.result["key"]]
        state = checkpoint.load(folder / "checkpoint.pt")
        changed = {
            name: value * 2 + 1 for name, value in state["training"]["parts"]["redistributor"]["network"].items()
        }
        state["training"]["parts"]["redistributor"]["network"] = changed
        checkpoint.save(tmp_path / "checkpoint.pt", state)
        before, after = samples.sample(run, folder), samples.sample(run, tmp_path)
        assert before.dense.tolist() == after.dense.tolist()
        assert before.redistributed.tolist() != after.redistributed.tolist()

    def test_why_there_is_none(self, made, tmp_path):
        (run,) = (run for run in runs_of(results(made)) if run.method == "uniform-td3")
        folders = {run.result["key"]: tmp_path}
        assert samples.samples([run], {})[1] == [f"uniform-td3 in {run.cell.label}: its run has no checkpoint"]
        (tmp_path / "checkpoint.pt").write_bytes(b"cut")
        ((words,), _) = samples.samples([run], folders)[::-1]
        assert f"could not be played (CheckpointError: {tmp_path.name}/checkpoint.pt is no whole" in words
        assert str(tmp_path) not in words
        agent = json.loads(json.dumps(run.result))
        agent["job"]["method"] = "my_module:make"
        (words,) = samples.samples(runs_of([agent]), folders)[1]
        assert words.endswith("agents of other libraries leave no checkpoint")

    @pytest.mark.long
    def test_on_the_page(self, made, tmp_path):
        protocol = tmp_path / "test.toml"
        protocol.write_text(SMALL_PROTOCOL)
        write_report(made, tmp_path / "out", protocol=str(protocol), formats=["html", "csv", "svg"])
        page = Page((tmp_path / "out" / "report.html").read_text())
        assert "A sample episode of each trained policy" in page.texts
        assert len(list((tmp_path / "out" / "figures").glob("episode-*.svg"))) == 4
        table = rows(tmp_path / "out" / "tables" / "episodes.csv")
        assert [row["paid"] != "" for row in table[:3]] == [False, False, True]
        write_report(made, tmp_path / "none", protocol=str(protocol), formats=["html"], episodes=False)
        assert "A sample episode" not in (tmp_path / "none" / "report.html").read_text()


class TestCommand:
    def test_options(self, tmp_path, kept, protocol, capsys):
        folder = write(tmp_path / "runs", *benchmark(kept))
        words = ["bench", "report", str(folder), "--protocol", protocol, "--formats", "csv", "--no-episodes"]
        assert cli.main([*words, "--suite", "mujoco", "--variant", "Episodic", "--method", "ours"]) == 0
        assert "files in" in capsys.readouterr().out
        (row,) = rows(folder / "report" / "tables" / "environments.csv")
        assert (row["method"], row["id"], row["control"]) == ("ours", "EpisodicReacher-v0", "identity")

    def test_refusals(self, tmp_path, kept, protocol, capsys):
        folder = write(tmp_path / "runs", *benchmark(kept)[:1])
        for words, message in (
            ([str(folder)], f"protocol must be the one of the results, {kept.hash}"),
            ([str(folder), "--protocol", protocol, "--formats", "gif"], "formats must be one of 'html'"),
            ([str(folder), "--protocol", protocol, "--with", "reference"], f"left out for protocol {kept.hash}"),
            ([str(tmp_path / "none")], "there is no such folder"),
        ):
            assert cli.main(["bench", "report", *words]) == 2
            assert message in capsys.readouterr().err

    def test_the_extra_is_named(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setitem(__import__("sys").modules, "bagged_envs.baselines.benchmark.report.write", None)
        assert cli.main(["bench", "report", str(tmp_path)]) == 2
        assert 'needs the bench extra: pip install "bagged_envs[bench]"' in capsys.readouterr().err
