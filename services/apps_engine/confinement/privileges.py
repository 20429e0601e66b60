"""Who the process is to the kernel, and that it cannot become more."""

from __future__ import annotations

import contextlib
import os

from services.apps_engine.confinement import kernel
from services.apps_engine.confinement.plan import Plan
from services.apps_engine.confinement.report import Confinement, Means, State

_ROOT = 0
_MOST_CAPABILITIES = 64
_PR_CAP_AMBIENT_CLEAR_ALL = 4


def leave_root(plan: Plan, readable: list[str], report: Confinement) -> None:
    """Take the user id of the plan, when we are root and it can read what an app needs."""
    if os.geteuid() != _ROOT:
        report.note(Means.USER_ID, State.ABSENT, "an engine that is not root has no other to give")
        return
    if plan.user is None:
        report.note(Means.USER_ID, State.ABSENT, "no user id is set aside for apps")
        return
    try:
        os.setgroups([])
        os.setresgid(plan.user, plan.user, _ROOT)
        os.setresuid(plan.user, plan.user, _ROOT)
    except OSError as error:
        report.note(Means.USER_ID, State.REFUSED, str(error.strerror))
        return
    hidden = [path for path in readable if not os.access(path, os.R_OK, effective_ids=True)]
    if hidden:
        os.setresuid(_ROOT, _ROOT, _ROOT)
        os.setresgid(_ROOT, _ROOT, _ROOT)
        report.note(Means.USER_ID, State.REFUSED, f"user {plan.user} may not read {hidden[0]}")
        return
    os.setresgid(plan.user, plan.user, plan.user)
    os.setresuid(plan.user, plan.user, plan.user)
    if kernel.IS_LINUX:
        # A process that changed its user may not write its own maps under /proc otherwise.
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    report.note(Means.USER_ID, State.ACTIVE, str(plan.user))


def renounce(report: Confinement) -> None:
    """Give up all capabilities, also those of the own user namespace, and all ways to new ones."""
    if not kernel.IS_LINUX:
        report.note(Means.CAPABILITIES, State.ABSENT, "only Linux has them")
        report.note(Means.NO_NEW_PRIVILEGES, State.ABSENT, "only Linux has it")
        return
    _drop_capabilities(report)
    try:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    except OSError as error:
        report.note(Means.NO_NEW_PRIVILEGES, State.ABSENT, str(error.strerror))
    else:
        report.note(Means.NO_NEW_PRIVILEGES, State.ACTIVE)
    # Nobody of the same user traces us or reads our memory.
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def _drop_capabilities(report: Confinement) -> None:
    with contextlib.suppress(OSError):  # too high a number, or none may be dropped by us
        for capability in range(_MOST_CAPABILITIES):
            kernel.prctl(kernel.PR_CAPBSET_DROP, capability)
    with contextlib.suppress(OSError):
        kernel.prctl(kernel.PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    try:
        kernel.clear_capabilities()
    except (OSError, KeyError) as error:
        report.note(Means.CAPABILITIES, State.REFUSED, repr(error))
    else:
        report.note(Means.CAPABILITIES, State.ACTIVE, "none are left")
