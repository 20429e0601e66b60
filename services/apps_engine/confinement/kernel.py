"""System calls that Python has no functions for. All raise OSError."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from typing import Any

IS_LINUX = sys.platform == "linux"
MACHINE = platform.machine()

# prctl(2)
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47

# unshare(2)
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# mount(2), mount_setattr(2)
MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MNT_DETACH = 2

# The numbers above 423 are the same on every machine.
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_ADD_RULE = 445
LANDLOCK_RESTRICT_SELF = 446
_MOUNT_SETATTR = 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def syscall(number: int, *arguments: Any) -> int:
    """Make one system call; numbers are passed as C's `long`, everything else as it is."""
    passed = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *passed))


def prctl(option: int, argument: int = 0, second: Any = 0) -> int:
    """prctl(2) with up to two arguments."""
    if isinstance(second, int):
        second = ctypes.c_ulong(second)
    return _checked(
        _libc.prctl(
            ctypes.c_int(option),
            ctypes.c_ulong(argument),
            second,
            ctypes.c_ulong(0),
            ctypes.c_ulong(0),
        )
    )


def unshare(flags: int) -> None:
    """Leave the namespaces that `flags` name for new ones."""
    _checked(_libc.unshare(ctypes.c_int(flags)))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2)."""
    _checked(
        _libc.mount(
            source.encode(),
            os.fsencode(target),
            kind.encode(),
            ctypes.c_ulong(flags),
            options.encode(),
        ),
        target,
    )


class _MountAttributes(ctypes.Structure):
    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def set_mount_attributes(target: str, attributes: int, *, recursive: bool) -> None:
    """Add `attributes` to the mount at `target`, and to all below it; Linux 5.12."""
    wanted = _MountAttributes(attr_set=attributes)
    try:
        syscall(
            _MOUNT_SETATTR,
            _AT_FDCWD,
            ctypes.c_char_p(os.fsencode(target)),
            _AT_RECURSIVE if recursive else 0,
            ctypes.byref(wanted),
            ctypes.sizeof(wanted),
        )
    except OSError as error:
        raise OSError(error.errno, error.strerror, target) from None


def pivot_root_here() -> None:
    """Make the working directory, which is a mount, the root, and let the old root go."""
    here = ctypes.c_char_p(b".")
    syscall(_PIVOT_ROOT[MACHINE], here, here)
    _checked(_libc.umount2(here, ctypes.c_int(_MNT_DETACH)))
    os.chdir("/")


def unmount(target: str) -> None:
    """Take a mount away, with all below it."""
    _checked(_libc.umount2(os.fsencode(target), ctypes.c_int(_MNT_DETACH)))


def clear_capabilities() -> None:
    """Give up every capability of this thread."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    syscall(_CAPSET[MACHINE], ctypes.byref(header), ctypes.byref(sets))


def _checked(result: int, path: str | None = None) -> int:
    if result < 0:
        number = ctypes.get_errno()
        if path is None:
            raise OSError(number, os.strerror(number))
        raise OSError(number, os.strerror(number), path)
    return result
