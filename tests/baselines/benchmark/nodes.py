"""Ray nodes on this machine, each of processes of its own, for tests that kill one."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

SMALL = ("--num-cpus=1", "--object-store-memory=80000000", "--min-worker-port=0", "--max-worker-port=0")


class Cluster:
    """A head of one processor, and what joins it.

    Attributes:
        address: Of the head.
        env: What a process needs to join it.
    """

    def __init__(self, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self._folder, self._nodes = folder, []
        # A token of its own: otherwise it depends on the user's whether it has one.
        self.env = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex * 2}
        self.env |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
        head = ("--head", "--node-ip-address=127.0.0.1", f"--port={port}", f"--temp-dir={folder}")
        self._begin(*head, "--include-dashboard=false")

    def join(self):
        """Start another node of one processor; returns the process of its raylet."""
        return self._begin(f"--address={self.address}", "--node-ip-address=127.0.0.1")

    def _begin(self, *words):
        """Start a node; returns the process of its raylet, which is the node as far as Ray is concerned."""
        ray = Path(sys.executable).with_name("ray")
        log = Path(self._folder) / f"start-{len(self._nodes)}.txt"
        with log.open("w") as file:
            told = {"stdout": file, "stderr": file}
            node = subprocess.Popen(
                [ray, "start", "--block", *words, *SMALL], env=self.env, start_new_session=True, **told
            )
        self._nodes.append(node)
        limit = time.monotonic() + 90
        while time.monotonic() < limit and node.poll() is None:
            for number in processes():
                if parent(number) == node.pid and Path(f"/proc/{number}/comm").read_text().strip() == "raylet":
                    return number
            time.sleep(0.1)
        raise RuntimeError(f"a Ray node did not start: {log.read_text()}")

    def stop(self):
        """Kill all that belongs to it."""
        for node in self._nodes:
            if node.poll() is None:
                os.killpg(node.pid, signal.SIGKILL)
                node.wait()
        for number in processes():
            if str(self._folder) in command_line(number):
                os.kill(number, signal.SIGKILL)


@contextmanager
def cluster():
    folder = tempfile.mkdtemp(prefix="ray")  # a short one: paths of sockets are
    made = None
    try:
        made = Cluster(folder)
        yield made
    finally:
        if made is not None:
            made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def processes():
    return [int(place.name) for place in Path("/proc").glob("[0-9]*")]


def command_line(number):
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:  # it ended meanwhile
        return ""


def parent(number):
    try:
        return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def ancestors(number):
    found = []
    while number > 1:
        number = parent(number)
        found.append(number)
    return found


def alive(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
