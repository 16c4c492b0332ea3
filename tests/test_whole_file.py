"""Files are whole or as they were, whatever happens to their writer."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from bagged_envs import whole_file as module
from bagged_envs.whole_file import remove_unfinished, whole_file, write_whole


def test_a_new_file_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "deep" / "file.csv"
    write_whole(path, "a\r\nä")
    assert path.read_bytes() == "a\r\nä".encode()
    write_whole(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert os.listdir(path.parent) == ["file.csv"]


def writing(path, error):
    with whole_file(path) as stream:
        stream.write(b"new")
        raise error


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(errno.EIO, "Input/output error")])
def test_what_fails_leaves_the_old_one_and_nothing_beside(tmp_path, error):
    path = tmp_path / "file"
    write_whole(path, "old")
    with pytest.raises(type(error)):
        writing(path, error)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_an_error_of_another_file_stays_as_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="No such file or directory: 'elsewhere'"):
        writing(tmp_path / "file", FileNotFoundError(errno.ENOENT, "No such file or directory", "elsewhere"))


def test_it_is_on_the_disk_before_it_takes_the_place(tmp_path, monkeypatch):
    path, order = tmp_path / "file", []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(module.os, "fsync", lambda number: (order.append("sync"), sync(number)))
    monkeypatch.setattr(module.os, "replace", lambda a, b: (order.append("replace"), replace(a, b)))
    write_whole(path, "x")
    assert order == ["sync", "replace", "sync"]  # the file, its new name, the folder


def test_a_full_disk_is_told_with_the_file_and_the_remedy(tmp_path):
    path = tmp_path / "file"
    write_whole(path, "old")
    with pytest.raises(OSError, match="could not be written: No space left.*before is whole.*Make room") as told:
        writing(path, OSError(errno.ENOSPC, "No space left on device"))
    assert (told.value.errno, told.value.filename) == (errno.ENOSPC, str(path))


def test_a_limit_on_size_is_told_too(tmp_path):
    code = (
        "import pathlib, resource, sys; from bagged_envs.whole_file import write_whole\n"
        "path = pathlib.Path(sys.argv[1]); write_whole(path, b'old')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write_whole(path, b'n' * 100_000)\n"
        "except OSError as error: print(error)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")], capture_output=True, text=True, check=True
    )
    assert "File too large" in found.stdout
    assert str(tmp_path / "file") in found.stdout
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OSError, match="could not be written.*taken/deep/file"):
        write_whole(tmp_path / "taken" / "deep" / "file", "x")


def test_what_a_killed_writer_leaves_is_found(tmp_path):
    path = tmp_path / "file"
    write_whole(path, "old")
    code = (
        "import os, pathlib, signal, sys; from bagged_envs.whole_file import whole_file\n"
        "with whole_file(pathlib.Path(sys.argv[1])) as stream:\n"
        "    stream.write(b'half'); stream.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    (left,) = set(os.listdir(tmp_path)) - {"file"}
    assert remove_unfinished(tmp_path) == [left]
    assert os.listdir(tmp_path) == ["file"]
