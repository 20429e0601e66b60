"""The filter of system calls, run by a machine of a few lines that stands for the kernel's."""

from __future__ import annotations

import errno

import pytest

from services.apps_engine.confinement import seccomp
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

_OWN_PID = 4711
_X86, _ARM = "x86_64", "aarch64"
_ARCHITECTURES = {_X86: 0xC000003E, _ARM: 0xC00000B7}
_COLUMN = {_X86: 0, _ARM: 1}
_ALLOW, _ERROR, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_REFUSED = _ERROR | errno.EPERM
_UNKNOWN = _ERROR | errno.ENOSYS


def _run(
    machine: str,
    number: int,
    *arguments: int,
    architecture: int | None = None,
    marks: bool = True,
) -> int:
    """What the filter for `machine` answers."""
    words = {0: number, 4: _ARCHITECTURES[machine] if architecture is None else architecture}
    for index in range(6):
        value = arguments[index] if index < len(arguments) else 0
        words[16 + 8 * index] = value & 0xFFFFFFFF
    lines = seccomp.program(machine, _OWN_PID, marks=marks)
    position = loaded = 0
    while True:
        code, if_true, if_false, value = lines[position]
        position += 1
        match code:
            case 0x20:
                loaded = words[value]
            case 0x06:
                return value
            case 0x15:
                position += if_true if loaded == value else if_false
            case 0x25:
                position += if_true if loaded > value else if_false
            case 0x35:
                position += if_true if loaded >= value else if_false
            case 0x45:
                position += if_true if loaded & value else if_false
            case _:
                raise AssertionError(f"an instruction that nobody wrote: {code:#x}")


def _number(name: str, machine: str) -> int:
    number = JUDGED[name][_COLUMN[machine]]
    assert number is not None
    return number


@pytest.mark.parametrize("machine", [_X86, _ARM])
@pytest.mark.parametrize("table", [NETWORK, PROCESSES, IDENTITY, NAMESPACES, KERNEL, MEMORY])
def test_what_no_app_needs_is_refused(
    table: dict[str, tuple[int | None, int | None]], machine: str
) -> None:
    for numbers in table.values():
        if (number := numbers[_COLUMN[machine]]) is not None:
            assert _run(machine, number) == _REFUSED


@pytest.mark.parametrize("machine", [_X86, _ARM])
def test_no_call_stands_in_two_tables(machine: str) -> None:
    numbers = [
        pair[_COLUMN[machine]]
        for table in (NETWORK, PROCESSES, IDENTITY, NAMESPACES, KERNEL, MEMORY, MARKS, JUDGED)
        for pair in table.values()
        if pair[_COLUMN[machine]] is not None
    ]

    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize(
    ("machine", "numbers"),
    [
        # read, write, openat, mmap, munmap, futex, recvfrom, sendto, epoll_pwait, getrandom, exit
        (_X86, [0, 1, 257, 9, 11, 202, 45, 44, 281, 318, 231]),
        (_ARM, [63, 64, 56, 222, 215, 98, 207, 206, 22, 278, 94]),
    ],
)
def test_what_every_app_needs_is_allowed(machine: str, numbers: list[int]) -> None:
    assert {_run(machine, number) for number in numbers} == {_ALLOW}


@pytest.mark.parametrize("machine", [_X86, _ARM])
def test_marks_on_files_are_refused_without_a_tree_of_its_own(machine: str) -> None:
    numbers = [pair[_COLUMN[machine]] for pair in MARKS.values()]

    for number in numbers:
        if number is not None:
            assert _run(machine, number, marks=True) == _ALLOW
            assert _run(machine, number, marks=False) == _REFUSED


@pytest.mark.parametrize("machine", [_X86, _ARM])
def test_threads_are_made_and_processes_are_not(machine: str) -> None:
    clone = _number("clone", machine)

    assert _run(machine, clone, 0x3D0F00) == _ALLOW  # as pthread_create calls it
    assert _run(machine, clone, 17) == _REFUSED  # as fork calls it
    assert _run(machine, clone, 0x10000000 | 17) == _REFUSED  # with a new user namespace
    assert _run(machine, _number("clone3", machine)) == _UNKNOWN


@pytest.mark.parametrize("machine", [_X86, _ARM])
@pytest.mark.parametrize("name", ["kill", "tgkill"])
def test_a_process_signals_itself_and_nobody_else(name: str, machine: str) -> None:
    number = _number(name, machine)

    assert _run(machine, number, _OWN_PID, _OWN_PID, 6) == _ALLOW
    for other in (1, 0, -1, -_OWN_PID):
        assert _run(machine, number, other, other, 9) == _REFUSED


@pytest.mark.parametrize("machine", [_X86, _ARM])
@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("socketpair", [(1, 1, 0)], [(2, 1, 0), (10, 1, 0), (16, 3, 0), (40, 1, 0)]),
        ("prlimit64", [(0, 7, 0)], [(1, 7, 0), (_OWN_PID, 7, 0)]),
        ("fcntl", [(3, 1), (3, 4, 2048)], [(3, 8, 1), (3, 15, 1)]),
        ("ioctl", [(3, 0x5421), (1, 0x5401)], [(0, 0x5412), (0, 0x541C)]),
        ("prctl", [(15, 0), (38, 1)], [(1, 0), (4, 1)]),
    ],
)
def test_arguments_decide(
    name: str,
    allowed: list[tuple[int, ...]],
    refused: list[tuple[int, ...]],
    machine: str,
) -> None:
    number = _number(name, machine)

    assert {_run(machine, number, *arguments) for arguments in allowed} == {_ALLOW}
    assert {_run(machine, number, *arguments) for arguments in refused} == {_REFUSED}


@pytest.mark.parametrize("machine", [_X86, _ARM])
def test_calls_that_nobody_has_judged_yet_are_unknown(machine: str) -> None:
    assert _run(machine, 462) == _ALLOW
    assert {_run(machine, number) for number in (463, 500, 100_000)} == {_UNKNOWN}


def test_another_table_of_calls_ends_the_process() -> None:
    assert _run(_X86, 0, architecture=0x40000003) == _KILL  # 32 bits
    assert _run(_X86, 0x40000000 + 41) == _KILL  # x32


@pytest.mark.parametrize("machine", [_X86, _ARM])
def test_the_program_fits_into_the_kernel(machine: str) -> None:
    lines = seccomp.program(machine, _OWN_PID, marks=False)

    assert len(lines) <= 4096
    assert all(
        0 <= jump <= 255 for _, if_true, if_false, _ in lines for jump in (if_true, if_false)
    )
