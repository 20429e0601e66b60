"""Confines its own process step by step and then becomes the app.

What comes when is decided by the kernel: the own user namespace gives the right to the others
and to mounts; a process namespace holds only children, so there is one fork; mounts come before
Landlock, which forbids them; capabilities go when nothing needs them any more; the filter of
system calls is last, because it refuses most of what came before. Nothing of the app is loaded
until all of it is done.

With a process namespace there are two processes: the app, which is number 1 of its namespace,
and outside it the one that the engine started. That one waits, hands SIGTERM on, and takes the
whole namespace with it when it is killed.
"""

from __future__ import annotations

import asyncio  # noqa: F401 - loaded while everything can be read
import contextlib
import importlib
import importlib.util
import json
import os
import signal
import struct
import sysconfig
from pathlib import Path
from typing import NoReturn

from services.apps_engine.confinement import (
    kernel,
    landlock,
    limits,
    namespaces,
    privileges,
    seccomp,
    view,
)
from services.apps_engine.confinement.plan import KILL_THE_APP, Plan
from services.apps_engine.confinement.report import Confinement, Means, State

CHANNEL = 3
"""The file descriptor of the socket in the app, whatever number it was started with."""

_SYSTEM = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
)


def main(argument: str) -> None:
    """Be confined as the plan in `argument` says, and become the app."""
    plan = Plan.from_argument(argument)
    # Before the fork, so that what it takes of memory is taken once.
    host = importlib.import_module(plan.host)
    report = Confinement(without=frozenset(plan.without))
    _own_descriptors(plan)
    _own_session(report)
    limits.give_way(plan)
    readable = readable_paths(plan)
    privileges.leave_root(plan, readable, report)
    limits.die_with(plan.engine, report)
    namespaces.leave(report)
    limits.die_with(plan.engine, report)
    if report.has(Means.PROCESSES):
        _continue_inside(report)
    view.build(plan, readable, report)
    limits.limit(plan, report)
    privileges.renounce(report)
    landlock.restrict(plan, readable, _listable(), report)
    seccomp.install(report)
    os.chdir(plan.scratch)
    _tell("confinement", {"report": report.to_json()})
    host.main(CHANNEL, plan.folder, plan.package)


def readable_paths(plan: Plan) -> list[str]:
    """What an app reads: the interpreter's libraries, the packages beside it, our own, its own."""
    paths = {plan.folder, *_SYSTEM, *_package_folders(plan)}
    for name in ("stdlib", "platstdlib", "purelib", "platlib"):
        paths.add(sysconfig.get_path(name))
    # Where a folder is a link, what it stands for counts too.
    paths |= {os.path.realpath(path) for path in paths}
    return sorted(path for path in paths if os.path.lexists(path))


def _package_folders(plan: Plan) -> list[str]:
    """The folders of our own code that an app runs on, in a working copy or installed."""
    found = []
    for name in ("hubbub", plan.host.rpartition(".")[0]):
        spec = importlib.util.find_spec(name) if name else None
        found += list(spec.submodule_search_locations or ()) if spec else []
    return found


def _listable() -> list[str]:
    """Folders that the import system lists to find our packages in; their files stay closed."""
    spec = importlib.util.find_spec("hubbub")
    return [str(Path(one).parent) for one in (spec and spec.submodule_search_locations) or ()]


def _own_descriptors(plan: Plan) -> None:
    """Keep the standard three and the channel, as number 3."""
    if plan.channel != CHANNEL:
        os.dup2(plan.channel, CHANNEL)
    os.set_inheritable(CHANNEL, False)
    os.closerange(CHANNEL + 1, os.sysconf("SC_OPEN_MAX"))


def _own_session(report: Confinement) -> None:
    with contextlib.suppress(PermissionError):  # whoever started us did it already
        os.setsid()
    if os.getsid(0) == os.getpid():
        report.note(Means.SESSION, State.ACTIVE)
    else:
        report.note(Means.SESSION, State.REFUSED, "in the session of somebody else")


def _continue_inside(report: Confinement) -> None:
    """Return in the child, which is the first of the new process namespace."""
    waiting, going = os.pipe()
    child = os.fork()
    if child:
        os.close(waiting)
        _tell("process", {"pid": child})
        os.write(going, b"g")
        _wait_for(child, keep_open=going)
    os.close(going)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the line above: then nobody says go.
    if os.read(waiting, 1) != b"g":
        raise SystemExit("the launcher is gone")
    os.close(waiting)
    report.note(Means.DIES_WITH_ENGINE, State.ACTIVE)


def _wait_for(child: int, *, keep_open: int) -> NoReturn:
    """Wait for the app and end as it ended. Holds no end of its pipes meanwhile."""
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    signal.signal(KILL_THE_APP, lambda *_: os.kill(child, signal.SIGKILL))
    empty = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2, CHANNEL):
        os.dup2(empty, descriptor)
    os.closerange(CHANNEL + 1, keep_open)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _tell(name: str, arguments: dict[str, object]) -> None:
    """One frame to the engine: four bytes of length, most significant first, then JSON."""
    body = json.dumps({"tell": name, "args": arguments}).encode()
    whole = struct.pack(">I", len(body)) + body
    while whole:
        whole = whole[os.write(CHANNEL, whole) :]
