"""The page in a real browser: filters hide and show, names run no script, nothing is fetched, it fits a phone."""

import shutil

import pytest

from bagged_envs.baselines.benchmark.protocol import Protocol
from bagged_envs.baselines.benchmark.report.write import write_report
from tests.baselines.benchmark.browser import CHROMIUM, Browser
from tests.baselines.benchmark.invented import benchmark, flat, judged, protocol_file, result, write

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not installed here")
EVIL = "<script>document.title='mine'</script>\"'><img src=x onerror=\"document.title='mine'\">"

SHOWN = """
[...document.querySelectorAll({selector!r})].filter(one => one.getClientRects().length).map({map})
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    protocol = protocol_file(folder / "protocol")
    kept = Protocol.load(protocol)
    evil = (result(kept, EVIL, seed, flat(seed)) for seed in (7, 8))
    write(folder / "runs", *benchmark(kept), *evil, judged(kept, "judged", 7, epic=0.5))
    write_report(folder / "runs", folder, protocol=str(protocol), formats=["html"])
    browser = Browser(folder / "home")
    browser.open(folder / "report.html")
    yield browser
    browser.close()
    shutil.rmtree(folder / "home", ignore_errors=True)


@pytest.fixture(autouse=True)
def fresh(page):
    page.resize(1280)
    choose(page, suite="", variant="")
    page.run("document.getElementById('all').click()")


def choose(page, **values):
    for name, value in values.items():
        page.run(
            f"(() => {{ const one = document.getElementById({name!r}); one.value = {value!r};"
            " one.dispatchEvent(new Event('change', {bubbles: true})); })()"
        )


def shown(page, selector, value="one => one.textContent.trim()"):
    return page.run(SHOWN.format(selector=selector, map=value))


def headings(page):
    return [text.partition("[")[0] for text in shown(page, "article h3")]


PENDULUM, DOOR, REACHER = "BaggedInvertedPendulum-v0", "EpisodicKeyDoor-v0", "EpisodicReacher-v0"


def test_all_is_shown_at_first(page):
    assert headings(page) == [PENDULUM, DOOR, REACHER]
    assert shown(page, ".view h3") == ["120 steps, 3 environments"]
    assert shown(page, "#nothing") == []
    assert shown(page, "#count") == ["5 of 5"]


@pytest.mark.parametrize(
    ("suite", "variant", "environments", "view", "tables"),
    [
        ("mujoco", "", [PENDULUM, REACHER], ["120 steps, 2 environments"], 1),
        ("mujoco", "Bagged", [PENDULUM], ["120 steps, 1 environment"], 1),
        ("symbolic", "", [DOOR], ["120 steps, 1 environment"], 0),
        ("", "Episodic", [DOOR, REACHER], ["120 steps, 2 environments"], 0),
        ("symbolic", "Bagged", [], [], 0),
    ],
)
def test_suite_and_variant(page, suite, variant, environments, view, tables):
    choose(page, suite=suite, variant=variant)
    assert headings(page) == environments
    assert [text.partition("[")[0] for text in shown(page, ".links a")] == environments
    assert shown(page, ".view h3") == view
    assert len(shown(page, "#redistribution table")) == tables
    assert len(shown(page, "#nothing")) == (not environments)


def test_the_summary_is_of_what_is_shown(page):
    choose(page, suite="symbolic", variant="")
    values = shown(page, ".view .iqm .value", "one => Number(one.dataset.value)")
    assert values == [pytest.approx((2.8 + 2.7) / 8), pytest.approx((1.7 + 1.8) / 8)]


def test_methods(page):
    names = shown(page, ".view tbody th")
    groups = "one => one.getAttribute('class')"
    assert "ours" in names
    assert "single" in names
    before = shown(page, "figure svg g[class]", groups)
    page.run(
        "[...document.querySelectorAll('#methods input')].find(o => o.parentNode.textContent.trim() == 'ours').click()"
    )
    assert shown(page, ".view tbody th") == [name for name in names if name != "ours"]
    after = shown(page, "figure svg g[class]", groups)
    assert set(before) - set(after) == {page.run(
        "[...document.querySelectorAll('#methods input')].find(o => !o.checked).value"
    )}  # fmt: skip
    assert shown(page, "#count") == ["4 of 5"]
    assert "ours" not in shown(page, ".legend li")
    page.run("document.getElementById('none').click()")
    assert shown(page, "tbody th[scope]:not(#how th)") == []
    page.run("document.getElementById('all').click()")
    assert shown(page, ".view tbody th") == names


def test_names_run_no_script_and_nothing_is_fetched(page):
    assert page.run("document.title") == "Benchmark report"
    assert page.run("document.scripts.length") == 1
    assert page.run("document.images.length") == 0
    assert any(EVIL in text for text in shown(page, ".view tbody th"))
    assert [address for address in page.requests if not address.startswith(("file:", "data:"))] == []
    assert page.errors == []


@pytest.mark.parametrize("width", [360, 390, 820, 1280])
def test_it_fits(page, width):
    page.resize(width)
    assert page.run("document.documentElement.scrollWidth") <= width


def test_light_and_dark(page):
    found = {}
    for dark in (False, True):
        page.resize(1280, dark=dark)
        found[dark] = page.run(
            "['body', 'h1', 'article', 'figure svg text', '.key'].map(one => document.querySelector(one))"
            ".map(one => getComputedStyle(one)).map(one => one.backgroundColor + one.fill + one.color)"
        )
    assert all(light != dark for light, dark in zip(found[False], found[True], strict=True))


def test_a_method_has_one_color_everywhere(page):
    found = page.run(
        "[...document.querySelectorAll('figure svg g.m1 path, figure svg g.m1 use')]"
        ".filter(one => !one.closest('defs'))"
        ".map(one => getComputedStyle(one)).flatMap(one => [one.stroke, one.fill]).filter(color => color != 'none')"
    )
    key = page.run("getComputedStyle(document.querySelector('tr.m1 .key')).backgroundColor")
    assert set(found) == {key}
