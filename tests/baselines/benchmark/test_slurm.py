"""SLURM makes the runs of a suite: as its commands are called and answer, and for real where it is installed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bagged_envs.baselines.benchmark.executors import Lost, Work, slurm
from bagged_envs.baselines.benchmark.executors.slurm import SlurmArrays
from bagged_envs.baselines.benchmark.queue import PROGRESS
from bagged_envs.baselines.lease import owner
from tests.baselines.benchmark.kills import TABLES, runs_of, written
from tests.baselines.benchmark.test_executors import SLEEPS, read, waited
from tests.baselines.benchmark.test_ray import begun

pytest.importorskip("submitit")

# Stand-ins: sbatch counts jobs, squeue lists what a file says, all keep what they were called with.
COMMANDS = {
    "srun": "",
    "scontrol": 'echo "scontrol $*" >> calls',
    "scancel": 'echo "scancel $*" >> calls',
    "squeue": 'echo "squeue $*" >> calls; cat listed',
    "sbatch": 'echo "sbatch" >> calls; [ ! -f refused ] || { echo "sbatch: error: no such partition" >&2; exit 1; }; '
    'cat "$1" >> scripts; n=$(( $(cat count) + 1 )); echo $n > count; echo "Submitted batch job $n"',
}


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Returns the folder where the stand-ins keep what they are told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, code in COMMANDS.items():
        (folder / name).write_text(f"#!/bin/sh\ncd {folder}\n{code}\n")
        (folder / name).chmod(0o755)
    (folder / "listed").write_text("")
    (folder / "count").write_text("6")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "LOOK", 0.0)
    return folder


def work(folder, code="", cpus=1, **more):
    return Work([sys.executable, "-c", code], {}, folder, folder / "log.txt", cpus, **more)


def job(folder, place=0, number=7):
    """Do what srun does on a node, for one job of an array; interrupts are ignored, as beneath nohup ... &."""
    told = {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(place)}
    env = {**os.environ, **told, "SUBMITIT_EXECUTOR": "slurm"}
    words = [sys.executable, "-m", "submitit.core._submit", str(folder)]
    deaf = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *words]
    return subprocess.Popen(deaf, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class TestArrays:
    def test_runs_that_need_the_same_are_one_array_and_the_next_waits_for_it(self, tmp_path, stand_in):
        arrays = SlurmArrays(2, tmp_path / "slurm", 30, "short", "mine", 4)
        works = [work(tmp_path), work(tmp_path, cpus=2, gpus=1), work(tmp_path), work(tmp_path)]
        handles = arrays.begin(works)
        assert [handle.job.job_id for handle in handles] == ["7_0", "8", "7_1", "7_2"]
        first, second = (stand_in / "scripts").read_text().split("#!/bin/bash")[1:]
        for line in ("array=0-2%2", "time=30", "partition=short", "account=mine", "mem=4GB", "requeue"):
            assert f"#SBATCH --{line}\n" in first
        assert "dependency" not in first
        assert "gpus" not in first
        for line in ("dependency=afterany:7", "cpus-per-task=2", "gpus-per-node=1"):
            assert f"#SBATCH --{line}\n" in second
        assert "srun --unbuffered" in second
        assert "--cpus-per-task=2 " in second

    def test_no_array_is_larger_than_slurm_takes(self, tmp_path, stand_in, monkeypatch):
        monkeypatch.setattr(slurm, "LARGEST", 2)
        handles = SlurmArrays(2, tmp_path / "slurm").begin([work(tmp_path)] * 5)
        assert [handle.job.job_id for handle in handles] == ["7_0", "7_1", "8_0", "8_1", "9"]

    def test_what_slurm_refuses_is_said(self, tmp_path, stand_in):
        (stand_in / "refused").touch()
        with pytest.raises(ValueError, match="SLURM takes no jobs: .*no such partition"):
            SlurmArrays(2, tmp_path / "slurm").begin([work(tmp_path)] * 2)

    def test_stopping_takes_back_and_interrupts(self, tmp_path, stand_in):
        arrays = SlurmArrays(2, tmp_path / "slurm")
        handles = arrays.begin([work(tmp_path)] * 2)
        assert handles[0].poll() is None
        arrays.terminate(handles)
        with pytest.raises(Lost):  # what was taken back is over without delay
            handles[0].poll()
        arrays.kill(handles)
        assert [line for line in read(stand_in / "calls").splitlines() if "scancel" in line] == [
            "scancel --quiet --state=PENDING 7",
            "scancel --quiet --signal=INT 7",
            "scancel --quiet 7_0 7_1",
        ]


class TestJobs:
    @pytest.mark.long
    def test_exit_codes_come_back(self, tmp_path, stand_in):
        codes = ("", "raise SystemExit(75)", "import os; os.kill(os.getpid(), 9)")
        handles = SlurmArrays(3, tmp_path / "slurm").begin([work(tmp_path, code) for code in codes])
        (stand_in / "listed").write_text("7_0 None\n7_1 Resources\n7_2 Nodes required for job are DOWN\n")
        assert [handle.poll() for handle in handles] == [None] * 3
        for place in range(3):
            assert job(tmp_path / "slurm", place).wait() == 0
        assert [handle.poll() for handle in handles] == [0, 75, -9]

    def test_one_that_cannot_be_begun_says_why(self, tmp_path, stand_in):
        (handle, _) = SlurmArrays(2, tmp_path / "slurm").begin([work(tmp_path / "nowhere"), work(tmp_path)])
        assert job(tmp_path / "slurm").wait() == 1
        with pytest.raises(Lost, match="SLURM job 7_0: FileNotFoundError: .*nowhere"):
            handle.poll()

    def test_one_that_left_the_queue_for_long_is_lost(self, tmp_path, stand_in, monkeypatch):
        first, second = SlurmArrays(2, tmp_path / "slurm").begin([work(tmp_path)] * 2)
        (stand_in / "listed").write_text("7_1 None\n")
        assert (first.poll(), second.poll()) == (None, None)
        monkeypatch.setattr(slurm, "GONE", 0.0)
        with pytest.raises(Lost, match="SLURM job 7_0 ended without telling how"):
            first.poll()
        assert second.poll() is None
        (stand_in / "listed").unlink()  # SLURM does not answer
        assert second.poll() is None

    def test_one_that_slurm_never_begins_is_taken_back(self, tmp_path, stand_in):
        first, second = SlurmArrays(2, tmp_path / "slurm").begin([work(tmp_path)] * 2)
        (stand_in / "listed").write_text("7_0 PartitionTimeLimit\n7_1 Priority\n")
        with pytest.raises(Lost, match="SLURM never begins job 7_0: PartitionTimeLimit. Choose other settings"):
            first.poll()
        assert second.poll() is None
        assert [line for line in read(stand_in / "calls").splitlines() if "scancel" in line] == ["scancel --quiet 7_0"]

    def test_slurm_is_not_asked_all_the_time(self, tmp_path, stand_in, monkeypatch):
        monkeypatch.setattr(slurm, "LOOK", 100.0)
        first, second = SlurmArrays(2, tmp_path / "slurm").begin([work(tmp_path)] * 2)
        for handle in (first, second) * 3:
            handle.poll()
        assert (stand_in / "calls").read_text().count("squeue") == 1

    @pytest.fixture
    def running(self, tmp_path, stand_in):
        """A job whose run sleeps."""
        code = f"import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n{SLEEPS}"
        handle, _ = SlurmArrays(2, tmp_path / "slurm").begin([work(tmp_path, code), work(tmp_path)])
        process = job(tmp_path / "slurm")
        waited(lambda: "here" in read(tmp_path / "log.txt"))
        yield handle, process
        process.kill()
        process.wait()

    def test_our_own_stop_ends_it(self, running):
        handle, process = running
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert handle.poll() == 5

    def test_out_of_time_it_is_queued_again_and_goes_on(self, running, stand_in, tmp_path):
        handle, process = running
        process.send_signal(signal.SIGUSR2)
        assert process.wait(timeout=30) == 255
        assert "scontrol requeue 7_0" in (stand_in / "calls").read_text()
        assert not handle.job.paths.result_pickle.exists()
        again = job(tmp_path / "slurm")
        waited(lambda: read(tmp_path / "log.txt").count("here") == 2)
        again.send_signal(signal.SIGINT)
        assert again.wait(timeout=30) == 0
        assert handle.poll() == 5

    def test_preempted_its_run_stops_and_the_job_waits_for_slurm(self, running, tmp_path):
        handle, process = running
        process.send_signal(signal.SIGTERM)
        waited(lambda: not runs_in(tmp_path))
        time.sleep(0.5)
        assert process.poll() is None
        assert not handle.job.paths.result_pickle.exists()


def runs_in(folder):
    """Return the processes whose current folder is a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if (place / "cwd").readlink() == folder:
                found.append(place)
        except OSError:  # it ended meanwhile
            continue
    return found


SETUP = Path(__file__).with_name("slurm.sh")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """SLURM with two nodes on this machine."""
    if shutil.which("sbatch") is None or shutil.which("munged") is None:
        pytest.skip("SLURM is not installed: apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("only root can start SLURM here")
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([SETUP, "start", folder], check=True, stdout=subprocess.DEVNULL)
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    yield
    subprocess.run([SETUP, "stop", folder], check=True)
    os.environ.pop("SLURM_CONF")
    if before is not None:
        os.environ["SLURM_CONF"] = before


def asked(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()


def jobs_in(state):
    return asked("squeue", "--noheader", "--array", "--format=%i", f"--states={state}", "--partition=low")


def sent_on(*jobs):
    """Have jobs that were queued again begin without the two minutes that SLURM makes them wait."""
    for one in jobs:
        asked("scontrol", "update", f"JobId={one}", "StartTime=now")


@pytest.mark.slow
class TestReal:
    def test_jobs_are_told_preempted_and_killed_and_the_tables_are_the_same(self, tmp_path, real):
        suite, out, calm = written(tmp_path, seeds=1), tmp_path / "out", tmp_path / "calm"
        suite.write_text(suite.read_text().replace("steps = 400", "steps = 2000"))
        assert begun(suite, calm).wait() == 0
        words = ("--executor", "slurm", "--partition", "low", "--time", "20", "--checkpoint-every", "50")
        runner = begun(suite, out, *words)
        waited(lambda: len(list(out.glob("*/checkpoint.pt"))) == 2, seconds=120)
        told, preempted = sorted(jobs_in("RUNNING"))
        asked("scancel", "--signal=USR2", told)
        waited(lambda: told in jobs_in("PENDING"))
        (node,) = asked("squeue", "--noheader", "--format=%N", f"--jobs={preempted}")
        asked("sbatch", "--partition=high", f"--nodelist={node}", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
        waited(lambda: preempted in jobs_in("PENDING"), seconds=90)
        sent_on(told, preempted)
        waited(lambda: len(list(out.glob("*/lease-1.json"))) == 2, seconds=120)
        asked("scontrol", "requeue", preempted)  # by an operator
        waited(lambda: preempted in jobs_in("PENDING"), seconds=90)
        sent_on(preempted)
        assert runner.wait(timeout=300) == 0
        for name in TABLES:
            assert (out / name).read_bytes() == (calm / name).read_bytes()
        assert sorted(path.name for path in out.glob("*/lease-*")) == ["lease-1.json", "lease-2.json"]

    def test_more_time_than_there_is_is_said(self, tmp_path, real):
        suite = written(tmp_path, seeds=1)
        words = ["bench", "run", str(suite), "--out", str(tmp_path / "out"), "--executor", "slurm", "--time", "240"]
        ended = subprocess.run([sys.executable, "-m", "bagged_envs.cli", *words], capture_output=True, text=True)
        assert ended.returncode == 1
        assert "SLURM never begins job" in ended.stdout
        assert jobs_in("PENDING") == []

    def test_sigterm_stops_all(self, tmp_path, real):
        suite, out = written(tmp_path, seeds=2), tmp_path / "out"  # four runs by two workers
        suite.write_text(suite.read_text().replace("steps = 400", "steps = 4000000"))
        runner = begun(suite, out, "--executor", "slurm", "--time", "20", "--checkpoint-every", "10000000")
        told = waited(lambda: len(found := list(out.glob(f"*/{PROGRESS}"))) == 2 and found, seconds=120)
        assert (len(jobs_in("RUNNING")), len(jobs_in("PENDING"))) == (2, 2)
        begin = time.monotonic()
        runner.send_signal(signal.SIGTERM)
        assert runner.wait(timeout=30) == 1
        assert time.monotonic() - begin < 20.0
        waited(lambda: not jobs_in("all") or not jobs_in("RUNNING,PENDING"))
        assert runs_of(out) == []
        for path in told:
            assert (path.parent / "checkpoint.pt").exists()
            assert owner(path.parent) is None
