"""What a running Hubbub stores, logs and holds in memory, to be compared before and after."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import bson

from hubbub.mongo import Database
from tests.conformance.conftest import Running
from tests.conformance.processes import children_running
from tests.waiting import eventually

SERVICES: Final = ("ddp-streamer", "gateway", "messaging", "account", "authorization", "presence")

STILL: Final = 2.5  # seconds without a change; effects of a write come within two

BOOKKEEPING: Final = frozenset(
    {"usersSessions", "hubbub_leases", "hubbub_login_failures", "hubbub_audit", "hubbub_rates"}
    | {"hubbub_chores", "hubbub_once", "hubbub_rounds"}
    | {"rocketchat_statistics", "system.profile"}
)
"""Collections that change by themselves, or in which a refused call may leave a trace: who is
there, who leads, whose turn it is, who failed to sign in."""

_IGNORED: Final[Mapping[str, frozenset[str]]] = {
    "users": frozenset({"status", "statusConnection", "lastLogin", "_updatedAt"}),
    # How far the unread counters of its members are written.
    "rocketchat_room": frozenset({"countedSeq", "uncounted"}),
}
"""Fields of the same kind."""

Snapshot = dict[str, dict[Any, str]]


async def stored(database: Database) -> Snapshot:
    """A hash of every document, by collection and id."""
    found: Snapshot = {}
    for name in sorted(await database.list_collection_names()):
        if name in BOOKKEEPING:
            continue
        ignored = _IGNORED.get(name, frozenset())
        found[name] = {
            str(document["_id"]): _hash({k: v for k, v in document.items() if k not in ignored})
            async for document in database[name].find({})
        }
    return found


async def settled(database: Database) -> Snapshot:
    """`stored`, when nothing changes for a while: effects of earlier writes are done."""
    last, since = await stored(database), time.monotonic()

    async def is_still() -> bool:
        nonlocal last, since
        before, last = last, await stored(database)
        if before != last:
            since = time.monotonic()
        return time.monotonic() - since > STILL

    await eventually(is_still, within=30.0, what="the database is still")
    return last


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """Documents that came, went or changed, as `collection/id`."""
    return [
        f"{name}/{document_id}"
        for name in sorted({*before, *after})
        for document_id in sorted({*before.get(name, {}), *after.get(name, {})})
        if before.get(name, {}).get(document_id) != after.get(name, {}).get(document_id)
    ]


def _hash(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(bson.encode(document)).hexdigest()


@dataclass
class Logs:
    """The log files of a Hubbub, from now on."""

    folder: Path
    _read: dict[Path, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._read = {path: path.stat().st_size for path in self.folder.glob("*.log")}

    def defects(self) -> list[str]:
        """Lines that tell of a defect: an exception that nobody meant, or a level to act on."""
        return [line for line in self._lines() if _is_defect(line)]

    def _lines(self) -> list[str]:
        lines = []
        for path in self.folder.glob("*.log"):
            if path.stem in {"mongod", "nats-server"}:
                continue
            with path.open(errors="replace") as log:
                log.seek(self._read.get(path, 0))
                lines += [f"{path.stem}: {line.rstrip()}" for line in log]
        return lines


def _is_defect(line: str) -> bool:
    if "Traceback (most recent call last)" in line:
        return True
    _, _, text = line.partition(": ")
    try:
        entry = json.loads(text)
    except ValueError:
        return False
    return entry.get("level") in {"error", "critical"} or "exception" in entry


def memory(hubbub: Running) -> dict[str, int]:
    """Bytes of each service, all its processes together."""
    return {name: sum(map(_resident, children_running(hubbub, name))) for name in SERVICES}


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} tells nothing of its memory")
