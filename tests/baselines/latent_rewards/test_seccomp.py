"""The filter that the kernel is given: which calls it grants, by number, and that it is there."""

import ctypes
import platform
import struct
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from bagged_envs.baselines.latent_rewards.cage import seccomp

KERNEL = Path("/proc/sys/kernel/seccomp/actions_avail")
# Of each machine and its architecture for the kernel.
GRANTED = {
    ("x86_64", 0xC000003E): {0, 1, 9, 10, 11, 12, 15, 24, 25, 28, 60, 96, 110, 186, 202, 219, 228, 231, 309, 318},
    ("aarch64", 0xC00000B7): {
        *(63, 64, 93, 94, 98, 113, 124, 128, 139, 168, 169, 173, 178, 214, 215, 216, 222, 226, 233, 278)
    },
}


@pytest.mark.skipif(not KERNEL.exists() or platform.machine() != "x86_64", reason="asks Linux's /proc")
def test_where_the_kernel_tells_of_it_it_is_available():
    assert seccomp.available()  # else most tests of the cage would be skipped without a word


def judged(code, architecture, number):
    """Return what a filter says of a call."""
    steps, place, value = list(struct.iter_unpack("<HBBI", code)), 0, 0
    while steps[place][0] != 0x06:  # return
        kind, yes, no, operand = steps[place]
        if kind == 0x20:  # load
            value = {0: number, 4: architecture}[operand]
        else:
            place += yes if (value == operand if kind == 0x15 else value >= operand) else no
        place += 1
    return steps[place][3]


@pytest.mark.parametrize(("machine", "architecture"), list(GRANTED))
def test_the_lock_grants_these_calls_by_number(machine, architecture):
    allow, refuse, kill = 0x7FFF0000, 0x00050001, 0x80000000
    code = seccomp.instructions(machine)
    said = {number: judged(code, architecture, number) for number in range(1024)}
    assert {number for number, one in said.items() if one == allow} == GRANTED[machine, architecture]
    assert set(said.values()) == {allow, refuse}
    assert judged(code, architecture, 0x40000000) == kill  # a call by another numbering
    assert judged(code, 0x40000003, min(GRANTED[machine, architecture])) == kill  # or of another machine


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="has no filter")
@pytest.mark.parametrize("refused", ["prctl", "syscall"])
def test_a_lock_that_the_kernel_refuses_is_an_error(monkeypatch, refused):
    libc = SimpleNamespace(**{name: Mock(return_value=-(name == refused)) for name in ("prctl", "syscall")})
    loaded = SimpleNamespace(CDLL=lambda *_, **__: libc, byref=ctypes.byref, get_errno=lambda: 1)
    monkeypatch.setattr(seccomp, "ctypes", loaded)
    with pytest.raises(OSError, match="the kernel must take .*, and refused: run without the lock"):
        seccomp.lock()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_lock_begins_with_the_architecture_and_ends_with_no(machine):
    code = seccomp.instructions(machine)
    words = [code[i : i + 8] for i in range(0, len(code), 8)]
    assert words[0] == bytes.fromhex("2000000004000000")  # load the architecture
    assert words[2] == bytes.fromhex("0600000000000080")  # another one: kill
    assert words[-1] == bytes.fromhex("0600000001000500")  # not on the list: EPERM
    assert len(words) == 7 + 2 * 20
