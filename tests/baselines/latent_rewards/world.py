"""What programs must not touch: a folder, a file, a port, the trainer's process; and who notices when they do."""

from __future__ import annotations

import pickle
import signal
import socket
from pathlib import Path

import numpy as np
import pytest

from bagged_envs.baselines.latent_rewards.cage import channel, seccomp

OBSERVATIONS = np.random.default_rng(0).normal(size=(16, 24))
ACTIONS = np.random.default_rng(1).normal(size=(16, 6))
SIGNAL = 28  # SIGWINCH, which ends nobody

needs_lock = pytest.mark.skipif(not seccomp.available(), reason="there is no seccomp here")


class Touch:
    """What a pickle can do to those who load it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


class World:
    """A folder, a file, a port and a signal, watched."""

    def __init__(self, folder, monkeypatch):
        self.canary, self.planted = folder / "canary", folder / "planted"
        self.canary.mkdir()
        self.planted.write_bytes(pickle.dumps(Touch(str(self.canary / "loaded"))))
        self._planted = self._state()
        self._listener, self._packets = socket.create_server(("127.0.0.1", 0)), socket.socket(type=socket.SOCK_DGRAM)
        self.port = self._listener.getsockname()[1]
        self._packets.bind(("127.0.0.1", self.port))
        for one in (self._listener, self._packets):
            one.setblocking(False)
        self._signals, self._sessions = [], set()
        self._before = signal.signal(SIGNAL, lambda number, _: self._signals.append(number))
        start = channel._started

        def started(*arguments):
            process = start(*arguments)
            self._sessions.add(process.pid)
            return process

        monkeypatch.setattr(channel, "_started", started)

    def filled(self, text):
        places = {"CANARY": self.canary, "PLANTED": self.planted, "PORT": self.port}
        for word, place in places.items():
            text = text.replace(word, str(place))
        return text

    def effects(self):
        """Return what has been touched."""
        effects = [f"wrote {path.name}" for path in self.canary.iterdir()]
        effects += ["changed a file"] if self._state() != self._planted else []
        effects += ["called"] if self._came() else []
        effects += ["sent a signal"] if self._signals else []
        return effects + [f"left process {pid}" for pid in self._left()]

    def close(self):
        signal.signal(SIGNAL, self._before)
        self._listener.close()
        self._packets.close()

    def _state(self):
        return self.planted.exists() and (self.planted.read_bytes(), self.planted.stat().st_mode)

    def _came(self):
        for wait in (self._listener.accept, lambda: self._packets.recv(1)):
            try:
                wait()
            except BlockingIOError:
                continue
            return True
        return False

    def _left(self):
        return [pid for pid, session in sessions().items() if session in self._sessions]


def sessions():
    """Return the session of each process that runs; one that has ended may stay listed until someone asks how."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (place / "stat").read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        if state != "Z":
            found[int(place.name)] = int(session)
    return found
