"""A filter of system calls (seccomp(2)), written for the kernel's packet-filter machine.

Calls that an app has no business with answer EPERM, whatever namespaces and Landlock say of
them. An app may have threads, but no processes. Calls newer than this list answer ENOSYS, as
on an older kernel: libraries ask that way and take the older call. A call of another machine's
table (32 bits, x32) ends the process.
"""

from __future__ import annotations

import ctypes
import errno
import os
from dataclasses import dataclass, field

from services.apps_engine.confinement import kernel
from services.apps_engine.confinement.report import Confinement, Means, State
from services.apps_engine.confinement.system_calls import (
    IDENTITY,
    JUDGED,
    KERNEL,
    MARKS,
    MEMORY,
    NAMESPACES,
    NETWORK,
    PROCESSES,
)

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 0, "aarch64": 1}
_X32 = 0x40000000  # numbers from here on are the x32 table of x86_64
_NEWEST = 462  # mseal, Linux 6.10; judged so far

# Instructions: load a word of `struct seccomp_data`, jump, return; the code of each.
_LOAD = 0x20
_JUMP_IF_EQUAL = 0x15
_JUMP_IF_GREATER = 0x25
_JUMP_IF_GREATER_OR_EQUAL = 0x35
_JUMP_IF_BIT = 0x45
_RETURN = 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets; both machines store the low half first

_ALLOW = 0x7FFF0000
_ERROR = 0x00050000
_KILL_PROCESS = 0x80000000

_CLONE_THREAD = 0x00010000
_AF_UNIX = 1
_F_SETOWN, _F_SETOWN_EX = 8, 15
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_FILTER_MODE = 2


class _Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    ]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("first", ctypes.POINTER(_Instruction))]


@dataclass(slots=True)
class _Writer:
    """Instructions so far, as (code, if true, if false, value)."""

    lines: list[tuple[int, int, int, int]] = field(default_factory=list)

    def load(self, offset: int) -> None:
        self.lines.append((_LOAD, 0, 0, offset))

    def answer(self, value: int) -> None:
        self.lines.append((_RETURN, 0, 0, value))

    def refuse(self, number: int, error: int = errno.EPERM) -> None:
        """Answer `error` to the call `number`, which is loaded."""
        self.lines.append((_JUMP_IF_EQUAL, 0, 1, number))
        self.answer(_ERROR | error)

    def judge(
        self, number: int, argument: int, code: int, values: list[int], *, good: bool
    ) -> None:
        """Of the call `number`: allow it when `argument` matches one of `values` and that is
        `good`, or matches none and that is not; else refuse it."""
        matched, other = (_ALLOW, _ERROR | errno.EPERM) if good else (_ERROR | errno.EPERM, _ALLOW)
        self.lines.append((_JUMP_IF_EQUAL, 0, 2 + 2 * len(values), number))
        self.load(_ARGUMENTS + 8 * argument)
        for value in values:
            self.lines.append((code, 0, 1, value & 0xFFFFFFFF))
            self.answer(matched)
        self.answer(other)


def install(report: Confinement) -> None:
    """Filter this thread's calls from now on, and those of all that come of it.

    The process must have renounced new privileges.
    """
    if report.skips(Means.SECCOMP):
        return
    if not kernel.IS_LINUX or kernel.MACHINE not in _ARCHITECTURES:
        report.note(Means.SECCOMP, State.ABSENT, f"no filter for {kernel.MACHINE}")
        return
    # In a tree of files of its own, an app may change modes and owners of what is its own.
    lines = program(kernel.MACHINE, os.getpid(), marks=report.has(Means.VIEW))
    instructions = (_Instruction * len(lines))(*(_Instruction(*line) for line in lines))
    whole = _Program(len(lines), instructions)
    try:
        kernel.prctl(kernel.PR_SET_SECCOMP, _FILTER_MODE, ctypes.byref(whole))
    except OSError as error:
        state = State.ABSENT if error.errno == errno.EINVAL else State.REFUSED
        report.note(Means.SECCOMP, state, str(error.strerror))
    else:
        report.note(Means.SECCOMP, State.ACTIVE, f"{len(lines)} instructions")


def program(machine: str, own_pid: int, *, marks: bool) -> list[tuple[int, int, int, int]]:
    """The filter for the process `own_pid`, which may signal itself and nobody else.

    Args:
        marks: whether it may change modes, owners, times and attributes of files.
    """
    column = _COLUMN[machine]
    write = _Writer()
    write.load(_ARCHITECTURE)
    write.lines.append((_JUMP_IF_EQUAL, 1, 0, _ARCHITECTURES[machine]))
    write.answer(_KILL_PROCESS)
    write.load(_NUMBER)
    write.lines.append((_JUMP_IF_GREATER_OR_EQUAL, 0, 1, _X32))
    write.answer(_KILL_PROCESS)
    write.lines.append((_JUMP_IF_GREATER, 0, 1, _NEWEST))
    write.answer(_ERROR | errno.ENOSYS)
    tables = (NETWORK, PROCESSES, IDENTITY, NAMESPACES, KERNEL, MEMORY)
    for table in tables if marks else (*tables, MARKS):
        for numbers in table.values():
            number = numbers[column]
            if number is not None:
                write.refuse(number)
    _judge(write, {name: numbers[column] or 0 for name, numbers in JUDGED.items()}, own_pid)
    write.answer(_ALLOW)
    return write.lines


def _judge(write: _Writer, numbers: dict[str, int], own_pid: int) -> None:
    # The flags of clone3 lie in memory, where a filter cannot look: glibc then takes clone.
    write.refuse(numbers["clone3"], errno.ENOSYS)
    write.judge(numbers["clone"], 0, _JUMP_IF_BIT, [_CLONE_THREAD], good=True)
    write.judge(numbers["socketpair"], 0, _JUMP_IF_EQUAL, [_AF_UNIX], good=True)
    write.judge(numbers["kill"], 0, _JUMP_IF_EQUAL, [own_pid], good=True)
    write.judge(numbers["tgkill"], 0, _JUMP_IF_EQUAL, [own_pid], good=True)
    write.judge(numbers["prlimit64"], 0, _JUMP_IF_EQUAL, [0], good=True)
    write.judge(numbers["fcntl"], 1, _JUMP_IF_EQUAL, [_F_SETOWN, _F_SETOWN_EX], good=False)
    write.judge(numbers["ioctl"], 1, _JUMP_IF_EQUAL, [_TIOCSTI, _TIOCLINUX], good=False)
    forbidden = [kernel.PR_SET_PDEATHSIG, kernel.PR_SET_DUMPABLE]
    write.judge(numbers["prctl"], 0, _JUMP_IF_EQUAL, forbidden, good=False)
