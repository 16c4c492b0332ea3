"""What may come with the package: whole runs that keep the protocol, of a clean commit."""

import importlib.util
from pathlib import Path

import pytest

from bagged_envs.baselines.benchmark.job import Job
from bagged_envs.baselines.benchmark.protocol import Protocol
from bagged_envs.baselines.benchmark.report.released import released
from bagged_envs.baselines.benchmark.result_file import read_result, write_result
from tests.baselines.benchmark.invented import protocol_file
from tests.baselines.benchmark.small import arm

FILE = Path(__file__).parents[3] / "tools" / "release_results.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("release_results", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def made(tmp_path):
    """A folder with a whole run, its protocol's file, and the run's folder."""
    file = protocol_file(tmp_path / "protocol")
    one = Job(arm(), "BaggedInvertedPendulum-v0", {"bag_len": 3}, 7, 80, Protocol.load(file))
    one.work(tmp_path / "runs")
    return tmp_path / "runs", file, one.folder(tmp_path / "runs")


def of_revision(folder, revision):
    (part,) = read_result(folder)["parts"]
    write_result(
        folder, {**read_result(folder), "parts": [{**part, "revision": "0123456789ab"}, {**part, "revision": revision}]}
    )


def test_they_are_what_a_report_reads(tool, made, tmp_path):
    runs, file, folder = made
    of_revision(folder, "0123456789ab")
    assert tool.main([str(runs), "small", "--protocol", str(file)], tmp_path / "released") == 0
    (one,) = released(Protocol.load(file).hash, tmp_path / "released")
    assert {name: value for name, value in one.items() if name != "released"} == read_result(folder)
    assert one["released"] == "small"


@pytest.mark.parametrize("revision", [None, "0123456789ab-dirty"])
def test_not_from_a_working_copy_that_was_changed(tool, made, tmp_path, capsys, revision):
    runs, file, folder = made
    of_revision(folder, revision)
    assert tool.main([str(runs), "small", "--protocol", str(file)], tmp_path / "released") == 1
    assert "it was made from no clean commit" in capsys.readouterr().err
    assert not (tmp_path / "released").exists()


def test_not_what_breaks_the_protocol(tool, made, tmp_path, capsys):
    runs, file, folder = made
    of_revision(folder, "0123456789ab")
    write_result(folder, {**read_result(folder), "final": 1e9})
    assert tool.main([str(runs), "small", "--protocol", str(file)], tmp_path / "released") == 1
    assert "final must be" in capsys.readouterr().err


def test_nothing_is_no_release(tool, tmp_path, capsys):
    assert tool.main([str(tmp_path), "small"], tmp_path / "released") == 1
    assert "has no whole run" in capsys.readouterr().err


def test_what_comes_with_the_package_is_whole_and_of_ours():
    protocol = Protocol.load("v1")
    folders = [path.name for path in FILE.parents[1].joinpath("baselines/benchmark/released").glob("*")]
    for name in folders:
        assert released(name)
    assert set(folders) <= {protocol.hash}
