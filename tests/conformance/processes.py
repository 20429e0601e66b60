"""Finding the processes of a Hubbub that a test started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.conftest import Running


def children_running(hubbub: Running, service: str) -> list[int]:
    """The process ids of one service of this Hubbub, found by their command lines.

    Skips the test for a Hubbub that somebody else started: its processes are not ours to kill.
    """
    if hubbub.supervisor is None:
        pytest.skip("this Hubbub was not started by the tests")
    return [
        pid
        for pid in _descendants(hubbub.supervisor)
        if ["run", service] == _command_line(pid)[-2:]
    ]


def _descendants(root: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue  # it has ended meanwhile
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found, edge = [], [root]
    while edge:
        edge = [pid for pid, parent in parents.items() if parent in edge]
        found += edge
    return found


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    except OSError:
        return []


def servers_running(hubbub: Running, name: str) -> list[int]:
    """The process ids of `mongod` or `nats-server` of this Hubbub; skips as above."""
    if hubbub.supervisor is None:
        pytest.skip("this Hubbub was not started by the tests")
    return [
        pid
        for pid in _descendants(hubbub.supervisor)
        if (line := _command_line(pid)) and Path(line[0]).name == name
    ]
