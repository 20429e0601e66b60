"""An own network, own processes, own mounts and own IPC, by unshare(2)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from services.apps_engine.confinement import kernel
from services.apps_engine.confinement.report import Confinement, Means, State

_OTHERS = (
    (Means.NETWORK, kernel.CLONE_NEWNET),
    (Means.PROCESSES, kernel.CLONE_NEWPID),
    (Means.MOUNTS, kernel.CLONE_NEWNS),
    (Means.IPC, kernel.CLONE_NEWIPC),
)
_UNKNOWN = (errno.EINVAL, errno.ENOSYS, errno.ENOSPC)  # ENOSPC: the kernel's count of them is 0


def leave(report: Confinement) -> None:
    """Leave every namespace that the kernel lets us leave, and say which.

    The user namespace comes first: it gives an ordinary user the right to the others. Inside
    it our id stands for itself and no other exists. Where it is refused, root may still have
    the others. The new process namespace holds the *children* of this process.
    """
    if not kernel.IS_LINUX:
        for means in (Means.USERS, *(means for means, _ in _OTHERS)):
            report.note(means, State.ABSENT, "only Linux has namespaces")
        return
    if not report.skips(Means.USERS):
        _leave_users(report)
    for means, flag in _OTHERS:
        if report.skips(means):
            continue
        try:
            kernel.unshare(flag)
        except OSError as error:
            _refused(means, error, report)
        else:
            report.note(means, State.ACTIVE)


def _leave_users(report: Confinement) -> None:
    user, group = os.getuid(), os.getgid()
    try:
        kernel.unshare(kernel.CLONE_NEWUSER)
    except OSError as error:
        _refused(Means.USERS, error, report)
        return
    try:
        _write("setgroups", "deny")
        _write("uid_map", f"{user} {user} 1")
        _write("gid_map", f"{group} {group} 1")
    except OSError as error:
        report.note(Means.USERS, State.REFUSED, f"its map: {error.strerror}")
    else:
        report.note(Means.USERS, State.ACTIVE)


def _write(name: str, text: str) -> None:
    Path(f"/proc/self/{name}").write_text(text, encoding="ascii")


def _refused(means: Means, error: OSError, report: Confinement) -> None:
    state = State.ABSENT if error.errno in _UNKNOWN else State.REFUSED
    report.note(means, state, str(error.strerror))
