"""Which files may be read and written (landlock(7), Linux 5.13 and later).

Rights are given to folders by what they are, not by their names: a link leads nowhere new.
Whatever no rule names is refused, and nothing may be executed.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable

from services.apps_engine.confinement import kernel
from services.apps_engine.confinement.plan import Plan
from services.apps_engine.confinement.report import Confinement, Means, State
from services.apps_engine.confinement.view import DEVICES

_VERSION_QUESTION = 1
_PATH_BENEATH = 1

# LANDLOCK_ACCESS_FS_*, by the version that brought them.
_WRITE_FILE = 1 << 1
_READ_FILE = 1 << 2
_READ_DIR = 1 << 3
_REMOVE_DIR = 1 << 4
_REMOVE_FILE = 1 << 5
_MAKE_DIR = 1 << 7
_MAKE_REG = 1 << 8
_ALL_FIRST = (1 << 13) - 1
_REFER = 1 << 13  # 2
_TRUNCATE = 1 << 14  # 3
_IOCTL_DEV = 1 << 15  # 5
_NET_TCP = 0b11  # 4: bind and connect
_SCOPE = 0b11  # 6: abstract sockets and signals of others

_READ = _READ_FILE | _READ_DIR
# No links, sockets, pipes and devices: whoever looks into the folder from outside finds files.
_SCRATCH = (
    _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
)
_OF_FILES = _READ_FILE | _WRITE_FILE | _TRUNCATE


class _Ruleset(ctypes.Structure):
    _fields_ = [
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    ]


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


def restrict(
    plan: Plan, readable: Iterable[str], listable: Iterable[str], report: Confinement
) -> None:
    """Let this process read `readable`, list `listable` and write the scratch folder, no more.

    The process must have renounced new privileges.
    """
    if report.skips(Means.LANDLOCK) or not (version := _version(report)):
        return
    handled = _handled(version)
    wanted = _Ruleset(handled, _NET_TCP if version >= 4 else 0, _SCOPE if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    try:
        ruleset = kernel.syscall(kernel.LANDLOCK_CREATE_RULESET, ctypes.byref(wanted), size, 0)
        try:
            for path in readable:
                _allow(ruleset, path, _READ & handled)
            for path in listable:
                _allow(ruleset, path, _READ_DIR & handled)
            for path in DEVICES:
                _allow(ruleset, path, (_READ_FILE | _WRITE_FILE) & handled)
            _allow(ruleset, plan.scratch, _SCRATCH & handled)
            kernel.syscall(kernel.LANDLOCK_RESTRICT_SELF, ruleset, 0)
        finally:
            os.close(ruleset)
    except OSError as error:
        report.note(Means.LANDLOCK, State.REFUSED, str(error))
        report.note(Means.SIGNAL_SCOPE, State.REFUSED, str(error))
        return
    report.note(Means.LANDLOCK, State.ACTIVE, f"version {version}")
    if version >= 6:
        report.note(Means.SIGNAL_SCOPE, State.ACTIVE)
    else:
        report.note(Means.SIGNAL_SCOPE, State.ABSENT, f"Landlock {version} has none")


def _version(report: Confinement) -> int:
    """The kernel's version of Landlock; 0, with the report's word on it, without one."""
    state, detail = State.ABSENT, "only Linux has it"
    if kernel.IS_LINUX:
        try:
            return kernel.syscall(kernel.LANDLOCK_CREATE_RULESET, None, 0, _VERSION_QUESTION)
        except OSError as error:
            if error.errno == errno.EPERM:
                state = State.REFUSED
            detail = str(error.strerror)
    report.note(Means.LANDLOCK, state, detail)
    report.note(Means.SIGNAL_SCOPE, state, detail)
    return 0


def _handled(version: int) -> int:
    rights = _ALL_FIRST
    if version >= 2:
        rights |= _REFER
    if version >= 3:
        rights |= _TRUNCATE
    if version >= 5:
        rights |= _IOCTL_DEV
    return rights


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):  # noqa: PTH112 - one call, and the file is open already
            rights &= _OF_FILES
        rule = _PathRule(rights, opened)
        kernel.syscall(kernel.LANDLOCK_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(opened)
