"""Kills runners and runs of a small benchmark at random moments, and looks whether anything was lost or counted twice.

    python -m tests.baselines.benchmark.kills --kills 200

Sweeps of six short runs by two workers are struck again and again (SIGKILL, of the runner or of one of its runs) and
started anew until they are whole; then the next sweep begins, in a new folder. Every time: a run that was whole stays
as it was, to the bit; in the end the tables equal those of a sweep that nobody killed, and no unfinished file is left.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.baselines.benchmark.small import PROTOCOL_FILE

PROTOCOL = PROTOCOL_FILE.format(version="kills", tuning=[0])
SUITE = """
protocol = "{folder}/protocol.toml"
steps = 400
first_seeds = {seeds}
methods = ["first", "second"]
[[environments]]
id = "BaggedInvertedPendulum-v0"
arguments = {{ bag_len = 3 }}
[arms.first]
method = "uniform-td3"
source = "the tests' own"
trials = 0
learner = {{ hidden = [8, 8] }}
training = {{ random_steps = 30, batch_size = 8 }}
[arms.second]
method = "rrd-td3"
source = "the tests' own"
trials = 0
redistributor = {{ warm_up = 30, every = 10, updates = 1, hidden = [8] }}
learner = {{ hidden = [8, 8] }}
training = {{ random_steps = 30, batch_size = 8 }}
"""
TABLES = ("runs.csv", "evaluations.csv")


@dataclass
class Outcome:
    """What came out.

    Attributes:
        kills: How many processes were killed.
        sweeps: How many sweeps were brought to their end.
        lost: Names of runs that were whole, and later were not or were others.
        wrong: Tables that differ from those of the sweep that nobody killed.
        left: Unfinished files in the end.
    """

    kills: int = 0
    sweeps: int = 0
    lost: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def written(folder: Path, seeds: int = 3) -> Path:
    """Write protocol and suite into a folder; returns the suite's file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "protocol.toml").write_text(PROTOCOL)
    (folder / "suite.toml").write_text(SUITE.format(folder=folder, seeds=seeds))
    return folder / "suite.toml"


def started(suite: Path, out: Path) -> subprocess.Popen[bytes]:
    words = ["bench", "run", str(suite), "--out", str(out), "--workers", "2", "--checkpoint-every", "50"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", "bagged_envs.cli", *words], **quiet)


def runs_of(out: Path) -> list[int]:
    """Return the processes that work on runs in a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it ended meanwhile
            continue
        if b"one" in words and str(out).encode() in words:
            found.append(int(place.name))
    return found


def whole(out: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in out.glob("*/result.json")}


def siege(folder: Path, kills: int, seed: int = 0, seeds: int = 3) -> Outcome:
    """Kill until enough were killed and the sweep that goes on is whole."""
    suite, chance, found = written(folder, seeds), random.Random(seed), Outcome()
    calm = folder / "calm"
    if started(suite, calm).wait() != 0:
        raise RuntimeError(f"the sweep that nobody kills failed: see {calm}/*/log.txt")
    expected = {name: (calm / name).read_bytes() for name in TABLES}
    while found.kills < kills:
        out = folder / f"sweep-{found.sweeps}"
        code, before, begun = 1, {}, 0
        while code != 0:
            if (begun := begun + 1) > 100:
                raise RuntimeError(f"the sweep does not come to an end: see {out}/*/log.txt")
            runner = started(suite, out)
            while found.kills < kills and runner.poll() is None:
                found.kills += struck(runner, out, chance)
            code = runner.wait()
            after = whole(out)
            found.lost += tuple(name for name, content in before.items() if after.get(name) != content)
            before = after
        found.wrong += tuple(f"{out.name}/{name}" for name in TABLES if (out / name).read_bytes() != expected[name])
        found.left += tuple(str(path) for path in out.glob("*/.*"))
        found.sweeps += 1
        print(
            f"{found.kills} kills in {found.sweeps} sweeps, {len(found.lost)} lost, {len(found.wrong)} wrong",
            flush=True,
        )
        shutil.rmtree(out)
    return found


def struck(runner: subprocess.Popen[bytes], out: Path, chance: random.Random) -> int:
    """Kill the runner or one of its runs after a while; returns how many were killed."""
    time.sleep(chance.uniform(0.0, 8.0))
    runs = runs_of(out)
    victim = chance.choice(runs) if runs and chance.random() < 0.7 else runner.pid
    if victim == runner.pid and runner.poll() is not None:
        return 0
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        found = siege(Path(folder), given.kills, given.seed)
        print(f"{found} in {time.monotonic() - begin:.0f} s")
    return int(bool(found.lost or found.wrong or found.left))


if __name__ == "__main__":
    sys.exit(main())
