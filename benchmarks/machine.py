"""This machine: processes' CPU time and memory, cores, free ports, what to say of it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from hubbub.local.programs import CannotStart, find_mongod, find_nats_server, free_port

__all__ = [
    "CACHE", "ROOT", "cores", "cpu_seconds", "describe", "free_port", "load_now", "on_cores",
    "open_files", "rss_bytes", "write_calls",
]  # fmt: skip

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "benchmarks"
_TICK = os.sysconf("SC_CLK_TCK")  # CPU ticks per second
_LIBRARIES = ("aiohttp", "nats-py", "orjson", "pydantic", "pymongo", "uvloop")


def cpu_seconds(pid: int) -> float:
    """User and system time that the process has used so far, all its threads together.

    In nanoseconds where the scheduler tells them, else in clock ticks (10 ms). Threads that ended
    are missing from the former, so take differences over a time in which none ends.
    """
    try:
        spent = [
            int((task / "schedstat").read_text().split()[0])
            for task in Path(f"/proc/{pid}/task").iterdir()
        ]
        if any(spent):
            return sum(spent) / 1e9
    except (OSError, IndexError):
        pass
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def write_calls(pid: int) -> int:
    """How often the process called `write` or `writev` so far; `send` is not among them."""
    counters = Path(f"/proc/{pid}/io").read_text()
    return int(counters.split("syscw:")[1].split()[0])


def rss_bytes(pid: int) -> int:
    """Resident memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def cores() -> tuple[set[int], set[int]]:
    """The server's core, and the others: for the load generator and all the rest.

    On one core both are the same.
    """
    usable = sorted(os.sched_getaffinity(0))
    return {usable[0]}, set(usable[1:]) or {usable[0]}


@contextmanager
def on_cores(chosen: set[int] | None) -> Iterator[None]:
    """Processes that are started inside run on `chosen` only; None: where they like."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def open_files() -> int:
    """How many files a process may have open; the limit is raised as far as allowed."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def load_now() -> float:
    """Processes that wanted a core in the last minute, on average."""
    return os.getloadavg()[0]


def describe() -> dict[str, Any]:
    """Machine and versions, for the results."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _LIBRARIES},
            **_programs(),
        },
    }


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _programs() -> dict[str, str]:
    commands: dict[str, list[str]] = {}
    with suppress(CannotStart):
        commands["nats-server"] = [str(find_nats_server()), "--version"]
    with suppress(CannotStart):
        commands["mongod"] = [str(find_mongod()), "--version"]
    for name, option in (("node", "--version"), ("go", "version"), ("gcc", "--version")):
        if (found := shutil.which(name)) is not None:
            commands[name] = [found, option]
    return {
        name: subprocess.run(command, capture_output=True, text=True, check=False)
        .stdout.strip()
        .partition("\n")[0]
        for name, command in commands.items()
    }
