"""A redistributor of one's own in a benchmark: its module is imported by who runs it, and by nobody who reads rows."""

import json
import re
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from bagged_envs import cli
from bagged_envs.baselines.benchmark import probe
from bagged_envs.baselines.benchmark.arms import ARMS, Arm, arm_of, changed_of, defaults_of, is_agent
from bagged_envs.baselines.benchmark.job import Job
from bagged_envs.baselines.benchmark.protocol import Protocol
from bagged_envs.baselines.benchmark.report.control import Control, controls
from bagged_envs.baselines.benchmark.report.rows import runs_of
from bagged_envs.baselines.benchmark.result_file import digest
from bagged_envs.baselines.benchmark.suite import Suite
from bagged_envs.baselines.benchmark.validate import problems, reproduce
from bagged_envs.baselines.redistributors import REDISTRIBUTORS
from tests.baselines.benchmark.small import ID, PROTOCOL, PROTOCOL_FILE, TRAINING, results

OWN = (Path(__file__).parents[1] / "own.py").read_text()
METHOD = "their_slopes:slope-td3"
SUITE = f"""
protocol = "test.toml"
steps = 80
seeds = [7]
methods = ["mine", "plain"]
[[environments]]
id = "{ID}"
arguments = {{ bag_len = 3 }}
[arms.mine]
method = "{METHOD}"
redistributor = {{ rate = 0.25 }}
learner = {{ hidden = [8, 8] }}
training = {{ random_steps = 30, batch_size = 8 }}
source = "ours"
trials = 0
[arms.plain]
method = "identity-td3"
learner = {{ hidden = [8, 8] }}
training = {{ random_steps = 30, batch_size = 8 }}
source = "a control"
trials = 0
"""


def written(folder):
    """Return a folder with the module and the suite in it."""
    (folder / "their_slopes.py").write_text(OWN)
    (folder / "mine.toml").write_text(SUITE)
    (folder / "test.toml").write_text(PROTOCOL_FILE.format(version="test", tuning=[0]))
    return folder


@contextmanager
def current(folder):
    """A current folder whose modules can be imported; nothing stays registered."""
    before = dict(REDISTRIBUTORS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        yield folder
    forget()
    REDISTRIBUTORS.clear()
    REDISTRIBUTORS.update(before)


@pytest.fixture(autouse=True)
def place(tmp_path):
    """The current folder of a test."""
    with current(written(tmp_path)) as folder:
        yield folder


def forget():
    sys.modules.pop("their_slopes", None)
    REDISTRIBUTORS.pop("slope", None)


def imported():
    return "their_slopes" in sys.modules


def arm(method=METHOD, **changes):
    told = {"learner": {"hidden": (8, 8)}, "training": TRAINING, **changes}
    return Arm("mine", method, "ours", 0, **told)


def job(seed=7, **changes):
    return Job(arm(**changes), ID, {"bag_len": 3}, seed, 80, PROTOCOL)


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        (METHOD, "training"),
        ("pack.inside:slope-iql", "offline"),
        ("pack.inside:make", "agent"),
        ("rd", "redistribution"),
        ("rd-td3", "training"),
    ],
)
def test_what_a_method_is_stands_in_its_name(method, kind):
    settings = {} if kind in ("agent", "redistribution") else {"training": {"batch_size": 8}}
    assert Arm("mine", method, "ours", 0, **settings).kind == kind
    assert is_agent(method) == (kind == "agent")


def test_an_arm_is_checked_without_its_module():
    mine = arm(redistributor={"rate": 0.25})
    told = mine.known_settings()
    assert not imported()
    assert (told["redistributor"], told["learner"]["hidden"]) == ({"rate": 0.25}, (8, 8))
    assert not arm("their_slopes:identity-td3").is_control
    for changes, message in (
        ({"learner": {"hiden": 3}}, "hiden"),
        ({"training": {"batch_sise": 3}}, "batch_sise"),
        ({"method": "their_slopes:slope-td4"}, "td4"),
        ({"method": ":slope-td3"}, "module:<redistributor>-<learner>"),
        ({"method": "their_slopes:slope-ppo", "learner": {}}, "random_steps: ppo does without"),
    ):
        with pytest.raises(ValueError, match=message):
            arm(**changes)
    assert not imported()
    assert mine.settings()["redistributor"] == {"rate": 0.25, "most": None}
    assert arm().settings()["redistributor"] == {"rate": 0.5, "most": None}  # with its defaults, once it is imported
    assert imported()
    with pytest.raises(ValueError, match="rat.*Did you mean 'rate'"):
        arm(redistributor={"rat": 1.0}).settings()


def test_a_change_of_its_module_is_another_run(place):
    before = job().key
    assert job(redistributor={"rate": 0.5}).key == before
    assert job(redistributor={"rate": 0.25}).key != before
    forget()
    (place / "their_slopes.py").write_text(OWN + "\n# changed\n")
    assert job().key != before


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs of the suite, made by workers."""
    with current(written(tmp_path_factory.mktemp("made"))) as folder:
        assert cli.main(["bench", "run", "mine.toml", "--out", "runs"]) == 0
    return folder / "runs"


@pytest.fixture
def whole(made, place):
    """The folder of a run of it, in the current folder."""
    shutil.copytree(made, place / "runs")
    return next(place.glob("runs/their_slopes*"))


def test_workers_import_it(whole, place):
    made = {one["arm"]["name"]: one["job"] for one in results(place / "runs")}
    assert {name: job["redistributor"] for name, job in made.items()} == {
        "mine": {"rate": 0.25, "most": None},
        "plain": {},
    }
    assert made["mine"]["versions"]["their_slopes"]
    assert "their_slopes" not in made["plain"]["versions"]
    before = {path: path.stat().st_mtime_ns for path in place.glob("runs/*/result.json")}
    assert len(before) == 2
    assert cli.main(["bench", "run", "mine.toml", "--out", "runs"]) == 0
    assert {path: path.stat().st_mtime_ns for path in place.glob("runs/*/result.json")} == before


def test_readers_of_rows_do_not(whole, place):
    (place / "their_slopes.py").write_text("raise AssertionError('imported for a row')")
    assert problems(whole, protocol()) == []
    found = results(place / "runs")
    (mine,) = (one for one in found if one["arm"]["name"] == "mine")
    assert defaults_of(mine["job"])["redistributor"] == {}
    assert changed_of(mine["job"]) == {
        "redistributor": {"rate": 0.25},
        "learner": {"hidden": [8, 8]},
        "training": {"random_steps": 30, "batch_size": 8},
    }
    assert arm_of(mine).kind == "training"
    assert cli.main(["bench", "report", "runs", "--protocol", "test.toml", "--formats", "html"]) == 0
    words = (place / "runs" / "report" / "report.html").read_text()
    assert "its redistributor is none of ours, and nothing is imported for a report" in words
    assert "# needs the module their_slopes" in words
    assert not imported()


def test_its_control_is_identity_with_the_same_learner(whole, place):
    (control,) = controls(runs_of(results(place / "runs")), []).values()
    assert control.of(METHOD) == "plain"
    assert Control(plain={"sac": "another", "td3": "plain"}).of(METHOD) == "plain"


def test_it_comes_out_again(whole, place):
    again = reproduce(whole, protocol())
    assert (again.same, again.furthest) == (True, 0.0)
    cli.main(["bench", "report", "runs", "--protocol", "test.toml", "--formats", "html"])
    keys = {job.key for path in place.glob("runs/report/suite-*.toml") for job in told(path, place).jobs()}
    assert keys == {one["key"] for one in results(place / "runs")}


def test_a_row_that_lies_about_it(whole):
    result = json.loads((whole / "result.json").read_text())
    result.pop("sha256")
    result["kind"] = "agent"
    (whole / "result.json").write_text(json.dumps({**result, "sha256": digest(result)}))
    assert f"kind must be 'training' for method '{METHOD}', got 'agent'" in problems(whole, protocol())


def test_beside_the_methods_of_a_suite(place, capsys):
    plain, more = Suite.load("mine.toml"), Suite.load("mine.toml", METHOD)
    assert [arm.name for arm in more.arms] == [*(arm.name for arm in plain.arms), METHOD]
    assert Suite.load("mine.toml", "rrd-td3").arms[-1] is ARMS["rrd-td3"]
    assert cli.main(["bench", "run", "mine.toml", "--method", METHOD, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.endswith(f"--method {METHOD}") for line in lines)
    words = lines[-1].split()[1:]
    assert cli.main([*words[words.index("bench") :]]) == 1  # it is run, with TD3's own random steps
    assert re.search("nothing was learned in 80 steps.*their_slopes_slope-td3", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("nowhere_at_all:slope-td3", "there is no module 'nowhere_at_all' in the current folder"),
        ("their_slopes:slop-td3", "redistributor must be one of .*got 'slop'"),
        ("their slopes:slope-td3", "What stands before the colon must be a module"),
    ],
)
def test_what_cannot_be_run_is_a_line(method, message, capsys):
    assert cli.main(["bench", "run", "mine.toml", "--method", method]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line)


def test_a_package_that_its_module_misses_is_told_as_such(place, capsys):
    (place / "half_a_module.py").write_text("import a_package_that_is_not_here")
    assert cli.main(["bench", "run", "mine.toml", "--method", "half_a_module:slope-td3"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "No module named 'a_package_that_is_not_here'" in line
    assert "needs its module" not in line


def test_what_it_costs_is_measured():
    assert probe.early(arm(redistributor={"rate": 0.25})).redistributor == {"rate": 0.25}
    assert probe.training_cost(job(), 0.05).learning > 0


def protocol():
    return Protocol.load("test.toml")


def told(path, place):
    """Return a suite that a report wrote, beside the protocol that it names."""
    shutil.copy(path, place)
    return Suite.load(place / path.name)
