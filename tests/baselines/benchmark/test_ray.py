"""Ray makes the runs of a suite, for real: a node is killed, a runner is stopped, and nothing is lost."""

import os
import signal
import subprocess
import sys
import time

import pytest

from bagged_envs.baselines.benchmark.queue import PROGRESS
from bagged_envs.baselines.benchmark.suite import Suite
from bagged_envs.baselines.lease import owner
from tests.baselines.benchmark.kills import TABLES, runs_of, written
from tests.baselines.benchmark.nodes import alive, ancestors, cluster, command_line

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def ray_cluster():
    with cluster() as made:
        yield made


def begun(suite, out, *words, env=None):
    words = ["bench", "run", str(suite), "--out", str(out), "--workers", "2", *words]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", "bagged_envs.cli", *words], env=env, **quiet)


def waited(found, seconds=90):
    """Return what a function returns as soon as it is something."""
    limit = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < limit, "it took too long"
        time.sleep(0.05)
    return value


@pytest.mark.long
def test_a_node_is_killed_and_the_tables_are_the_same(tmp_path, ray_cluster):
    suite, out, calm = written(tmp_path, seeds=1), tmp_path / "out", tmp_path / "calm"
    local = begun(suite, calm)
    raylet = ray_cluster.join()
    words = ("--executor", "ray", "--address", ray_cluster.address, "--checkpoint-every", "50")
    runner = begun(suite, out, *words, env=ray_cluster.env)

    def there():
        return [number for number in runs_of(out) if raylet in ancestors(number)]

    def told():
        folders = [path.parent for path in out.glob("*/checkpoint.pt")]
        owners = {owner(folder)["pid"]: folder for folder in folders if owner(folder)}
        return [(number, owners[number]) for number in there() if number in owners]

    ((run, folder),) = waited(told)
    os.kill(raylet, signal.SIGKILL)
    waited(lambda: not alive(run), seconds=12)  # nobody told it: who began it is gone
    assert runner.wait(timeout=120) == 0
    assert local.wait(timeout=120) == 0
    for name in TABLES:
        assert (out / name).read_bytes() == (calm / name).read_bytes()
    jobs = Suite.load(suite).jobs()
    taken = {job.folder(out): sorted(path.name for path in job.folder(out).glob("lease-*")) for job in jobs}
    assert taken.pop(folder) != ["lease-0.json"]  # somebody else went on with it
    assert list(taken.values()) == [["lease-0.json"]]


@pytest.mark.long
def test_sigterm_reaches_runs_with_checkpoints_and_those_that_wait_never_begin(tmp_path, ray_cluster):
    suite, out = written(tmp_path, seeds=1), tmp_path / "out"
    suite.write_text(suite.read_text().replace("steps = 400", "steps = 4000000"))
    words = ("--executor", "ray", "--address", ray_cluster.address, "--checkpoint-every", "10000000")
    runner = begun(suite, out, *words, env=ray_cluster.env)
    (told,) = waited(lambda: list(out.glob(f"*/{PROGRESS}")))  # the other one waits for a processor
    (run,) = [number for number in runs_of(out) if "leash.py" not in command_line(number)]
    begin = time.monotonic()
    runner.send_signal(signal.SIGTERM)
    waited((told.parent / "checkpoint.pt").exists, seconds=8)  # it is asked, not only killed after ten seconds
    assert runner.wait(timeout=30) == 1
    assert time.monotonic() - begin < 20.0  # ten, and what a busy machine takes to leave Python
    assert not alive(run)
    assert owner(told.parent) is None
    assert runs_of(out) == []
