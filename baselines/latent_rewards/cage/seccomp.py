"""A lock for a process: the kernel then grants it few system calls, and none that opens, sends, starts or kills.

Loaded by the worker by its path, so it imports the standard library only.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys

_NO_NEW_PRIVILEGES = 38  # of prctl
_SET_FILTER, _ALL_THREADS, _IS_KNOWN = 1, 1, 2  # of seccomp
_KILL, _REFUSE, _ALLOW = 0x80000000, 0x00050000 | 1, 0x7FFF0000  # refused with EPERM, which is 1
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # codes of the filter's machine
_NUMBER, _ARCHITECTURE = 0, 4  # where the machine finds them
_X32 = 0x40000000  # a second way to number calls on x86_64, which would go around the list

# Reading and writing what is open, memory, clocks, signals' return, and the end. Nothing takes a path or an address.
_CALLS = {
    "x86_64": {
        "read": 0,
        "write": 1,
        "mmap": 9,
        "mprotect": 10,
        "munmap": 11,
        "brk": 12,
        "rt_sigreturn": 15,
        "sched_yield": 24,
        "mremap": 25,
        "madvise": 28,
        "exit": 60,
        "gettimeofday": 96,
        "getppid": 110,
        "gettid": 186,
        "futex": 202,
        "restart_syscall": 219,
        "clock_gettime": 228,
        "exit_group": 231,
        "getcpu": 309,
        "getrandom": 318,
    },
    "aarch64": {
        "read": 63,
        "write": 64,
        "mmap": 222,
        "mprotect": 226,
        "munmap": 215,
        "brk": 214,
        "rt_sigreturn": 139,
        "sched_yield": 124,
        "mremap": 216,
        "madvise": 233,
        "exit": 93,
        "gettimeofday": 169,
        "getppid": 173,
        "gettid": 178,
        "futex": 98,
        "restart_syscall": 128,
        "clock_gettime": 113,
        "exit_group": 94,
        "getcpu": 168,
        "getrandom": 278,
    },
}
_NAMES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # by which the kernel tells them apart
_SECCOMP = {"x86_64": 317, "aarch64": 277}


class _Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def available() -> bool:
    """Return whether this platform has the lock: Linux on x86_64 or aarch64, with seccomp in its kernel."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _CALLS or sys.byteorder != "little" or struct.calcsize("P") != 8:
        return False
    action = ctypes.c_uint32(_KILL)
    known: int = ctypes.CDLL(None).syscall(_SECCOMP[machine], _IS_KNOWN, 0, ctypes.byref(action))
    return known == 0


def lock() -> None:
    """Lock this process, all its threads, for good. Other calls fail with EPERM; those of another architecture kill.

    Raises:
        OSError: The kernel refused.
    """
    machine, libc = platform.machine(), ctypes.CDLL(None, use_errno=True)
    code = instructions(machine)
    program = _Filter(len(code) // 8, code)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel must take NO_NEW_PRIVS, and refused: run without the lock")
    if libc.syscall(_SECCOMP[machine], _SET_FILTER, _ALL_THREADS, ctypes.byref(program)) != 0:
        raise OSError(ctypes.get_errno(), "the kernel must take a seccomp filter, and refused: run without the lock")


def instructions(machine: str) -> bytes:
    """Return the filter's program for a machine, 8 bytes per instruction."""
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, _NAMES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
    ]
    for number in _CALLS[machine].values():
        steps += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    steps.append((_RETURN, 0, 0, _REFUSE))
    return b"".join(struct.pack("<HBBI", *step) for step in steps)
