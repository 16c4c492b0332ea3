"""A disk that is full, or may not be written: what is told, and that the sweep goes on once there is room."""

import shutil
import subprocess
import sys

import pytest

from bagged_envs.baselines.benchmark.result_file import read_result
from bagged_envs.baselines.benchmark.suite import Suite
from bagged_envs.cli import main
from tests.baselines.benchmark.kills import written

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file systems are mounted as Linux does")


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own, and how to change it."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options, *words):
        return subprocess.run(["mount", "-t", "tmpfs", "-o", options, *words, "tmpfs", str(place)], capture_output=True)

    if shutil.which("mount") is None or mount("size=64k").returncode != 0:
        pytest.skip("this process may not mount a file system")
    yield place, lambda options: subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)
    subprocess.run(["umount", "-l", str(place)], check=True)


def run(suite, out):
    return main(["bench", "run", str(suite), "--out", str(out), "--workers", "1", "--checkpoint-every", "50"])


@pytest.mark.long
@pytest.mark.parametrize(
    ("size", "logged"),
    [("4k", ""), ("20k", ""), ("80k", "could not be written: No space left on device")],
    ids=["nothing fits", "a few files fit", "all but the checkpoint fit"],
)
def test_a_full_disk_is_told_with_its_path_and_the_sweep_goes_on(size, logged, tmp_path, disk, capsys):
    place, remount = disk
    remount(f"size={size}")
    suite, out = written(tmp_path, seeds=1), place / "out"
    code = run(suite, out)
    told = capsys.readouterr()
    assert code == 1
    words = " ".join((told.out + told.err).split())
    assert "its folder takes no files, because the disk is full" in words
    assert f"{out}/" in words.replace(" ", "")
    first, *others = Suite.load(suite).jobs()
    assert not any(job.folder(out).exists() for job in others)
    assert logged in (first.folder(out) / "log.txt").read_text()
    remount("size=64m")
    assert run(suite, out) == 0
    assert all(read_result(job.folder(out)) for job in (first, *others))
    assert not list(out.glob("*/.*"))


@pytest.mark.long
def test_a_folder_that_may_not_be_written_is_told(tmp_path, disk, capsys):
    place, remount = disk
    suite, out = written(tmp_path, seeds=1), place / "out"
    out.mkdir()
    remount("size=64m,ro")
    assert run(suite, out) in (1, 2)
    told = capsys.readouterr()
    words = " ".join((told.out + told.err).split())
    assert "Read-only file system" in words
    assert str(out) in words.replace(" ", "")
    remount("rw")
    assert run(suite, out) == 0
