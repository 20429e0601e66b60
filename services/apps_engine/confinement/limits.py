"""Limits that every Unix has, and who gives way when the machine is full."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from pathlib import Path

from services.apps_engine.confinement import kernel
from services.apps_engine.confinement.plan import Plan
from services.apps_engine.confinement.report import Confinement, Means, State

_ROOT = 0
_TRIES = 40
_PAUSE = 0.05  # seconds


def give_way(plan: Plan) -> None:
    """Everybody else goes first: for the processor, and to stay when memory ends."""
    with contextlib.suppress(OSError):
        os.nice(plan.niceness)
    _give_way_as_a_session(plan.niceness)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _give_way_as_a_session(niceness: int) -> None:
    """Where the kernel shares the processor among sessions (`sched_autogroup_enabled`), niceness
    counts only within one, and this one is the app's own: it has to give way as a whole."""
    for _ in range(_TRIES):
        try:
            Path("/proc/self/autogroup").write_text(str(niceness), encoding="ascii")
        except BlockingIOError:  # one such wish is taken every 100 ms, of all processes together
            time.sleep(_PAUSE)
        except OSError:
            return
        else:
            return


def die_with(parent: int, report: Confinement) -> None:
    """Be killed when `parent` ends, whatever ends it.

    The kernel forgets this wish when a process changes its user id or namespace, so it is made
    again after each of these.
    """
    if not kernel.IS_LINUX:
        report.note(Means.DIES_WITH_ENGINE, State.ABSENT, "only Linux has it")
        return
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit("the engine is gone")
    report.note(Means.DIES_WITH_ENGINE, State.ACTIVE)


def limit(plan: Plan, report: Confinement) -> None:
    """Set the rlimits; hard and soft, so that the app cannot raise them again."""
    for kind, most in (
        (resource.RLIMIT_AS, plan.memory),
        (resource.RLIMIT_FSIZE, plan.scratch_bytes),
        (resource.RLIMIT_NOFILE, plan.open_files),
        (resource.RLIMIT_CPU, plan.processor_seconds),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        _lower(kind, most)
    for name in ("RLIMIT_MSGQUEUE", "RLIMIT_RTPRIO", "RLIMIT_NICE"):
        if hasattr(resource, name):
            _lower(getattr(resource, name), 0)
    report.note(
        Means.LIMITS,
        State.ACTIVE,
        f"{plan.memory} bytes of addresses, {plan.open_files} open files, no core",
    )
    _limit_threads(plan, report)


def _limit_threads(plan: Plan, report: Confinement) -> None:
    """RLIMIT_NPROC counts all processes of a user id; Linux 5.14 counts per user namespace.

    So it is set only in a namespace of the app's own: elsewhere it would count the engine and
    the neighbours too. It never holds for the user id 0 of the machine.
    """
    if not report.has(Means.USERS):
        report.note(Means.THREADS, State.ABSENT, "would count other processes of this user too")
    elif _release() < (5, 14):
        report.note(Means.THREADS, State.ABSENT, "this kernel counts all processes of the user")
    elif os.getuid() == _ROOT:
        report.note(Means.THREADS, State.ABSENT, "does not hold for root")
    else:
        _lower(resource.RLIMIT_NPROC, plan.threads)
        report.note(Means.THREADS, State.ACTIVE, f"{plan.threads} threads")


def _lower(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(kind, (most, most))


def _release() -> tuple[int, int]:
    major, minor, *_ = os.uname().release.split(".")
    return int(major), int("".join(filter(str.isdigit, minor)) or 0)
