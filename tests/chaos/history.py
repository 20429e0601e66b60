"""What happened in a failure drill, as clients saw it: typed records, kept as JSON lines.

One file per run; every process of the drill appends to it. Nothing of Hubbub is used here: who
judges must not share code with what is judged.

Units: `t_mono` and `asked` are seconds of this machine's monotonic clock, which all of its
processes share. `ts`, `version`, `edited` and `since` are milliseconds since 1970 as the server
said them. `rss` and `limit` are bytes. Users are named by username, everywhere. A socket has a
name that no other socket of the run has. The text of a message is `<writer>:<counter>`, so that
no two messages of a run have the same.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, TypeAlias

Outcome: TypeAlias = Literal["refused", "unknown"]
"""`refused`: certainly not stored, no repetition cures it. `unknown`: anything else, also a
socket that ended and an answer that never came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One thing that one process did or saw."""

    op: ClassVar[str]

    t_mono: float = field(default_factory=time.monotonic)
    proc: str
    """Which process of the drill writes this."""


# --- Writing ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Send(Record):
    """An attempt to send a message, noted before its first byte leaves. A repetition is another
    record with the same `id`."""

    op: ClassVar[str] = "send"

    room: str
    id: str
    user: str
    body: str
    socket: str | None = None
    """None: by REST."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack(Record):
    """The latest attempt was answered with success."""

    op: ClassVar[str] = "ack"

    room: str
    id: str
    user: str
    ts: int
    """The date in the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Err(Record):
    """The latest attempt was not answered with success."""

    op: ClassVar[str] = "err"

    room: str
    id: str
    user: str
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit(Record):
    """An attempt to give a message another text. `body` is unique as that of a message is."""

    op: ClassVar[str] = "edit"

    room: str
    id: str
    user: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited(Record):
    """The edit to `body` was answered with success."""

    op: ClassVar[str] = "edited"

    room: str
    id: str
    user: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(Record):
    """An attempt to delete a message."""

    op: ClassVar[str] = "delete"

    room: str
    id: str
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted(Record):
    """The deletion was answered with success."""

    op: ClassVar[str] = "deleted"

    room: str
    id: str
    user: str


# --- Reading ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Record):
    """A socket is signed in."""

    op: ClassVar[str] = "open"

    user: str
    socket: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Close(Record):
    """A socket is of no more use to its client: closed by the server, by the client, lost, or
    given up because nothing came from it for too long."""

    op: ClassVar[str] = "close"

    user: str
    socket: str
    code: int | None = None
    """Of the close frame that came; None: none came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sub(Record):
    """A subscription to a room's messages is asked for."""

    op: ClassVar[str] = "sub"

    user: str
    socket: str
    room: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready(Record):
    """The subscription stands."""

    op: ClassVar[str] = "ready"

    user: str
    socket: str
    room: str
    recovered: bool | None = None
    """True: the server says that the frames before this `ready` are all that was missed since
    the client's last frame of the room. None: it was not asked to recover."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSub(Record):
    """The subscription was refused, or was ended by the server."""

    op: ClassVar[str] = "nosub"

    user: str
    socket: str
    room: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resync(Record):
    """The server says that continuity is lost: load anew."""

    op: ClassVar[str] = "resync"

    user: str
    socket: str
    rooms: tuple[str, ...] | None = None
    """None: all rooms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame(Record):
    """A message came by itself. System messages are noted like all others."""

    op: ClassVar[str] = "frame"

    user: str
    socket: str
    room: str
    id: str
    body: str
    ts: int
    version: int
    """`_updatedAt`."""
    edited: int | None = None
    """`editedAt`; None: the message was never edited."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A message in an answer; the fields are those of `Frame`."""

    id: str
    body: str
    ts: int
    version: int
    edited: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchUp(Record):
    """The answer to "what did I miss since?". A client asks until an answer has nothing new."""

    op: ClassVar[str] = "catch_up"

    user: str
    socket: str
    room: str
    since: int
    asked: float
    """When the question was sent."""
    messages: tuple[Shown, ...]


# --- Memberships ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove(Record):
    """An attempt to end the membership of `user`."""

    op: ClassVar[str] = "remove"

    room: str
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed(Record):
    """It was answered: `user` is no member (any more)."""

    op: ClassVar[str] = "removed"

    room: str
    user: str
    seq: int | None = None
    """Of the removal in the room's log, if it was told; the database says it otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Record):
    """An attempt to make `user` a member."""

    op: ClassVar[str] = "add"

    room: str
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Added(Record):
    """It was answered: `user` is a member."""

    op: ClassVar[str] = "added"

    room: str
    user: str


# --- Around -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(Record):
    """How much memory a process holds."""

    op: ClassVar[str] = "memory"

    process: str
    """One life of one process: a restarted one has another name."""
    rss: int
    limit: int | None = None
    """Where this process must stay below; None: the limit of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Record):
    """Something is broken from now on."""

    op: ClassVar[str] = "fault"

    fault: str
    what: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowed(Record):
    """This user reads slowly until the fault is healed, and may be sent away for that."""

    op: ClassVar[str] = "slowed"

    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Healed(Record):
    """The latest fault of this name is over."""

    op: ClassVar[str] = "healed"

    fault: str


KINDS: Mapping[str, type[Record]] = {
    kind.op: kind
    for kind in (
        Send,
        Ack,
        Err,
        Edit,
        Edited,
        Delete,
        Deleted,
        Open,
        Close,
        Sub,
        Ready,
        NoSub,
        Resync,
        Frame,
        CatchUp,
        Remove,
        Removed,
        Add,
        Added,
        Memory,
        Fault,
        Slowed,
        Healed,
    )
}


# --- The file ---------------------------------------------------------------------------------


class Damaged(Exception):
    """A line of the file, which is not a torn last one, is no record."""


class Recorder:
    """Appends records to the file of a run; several processes may, each with its own recorder.

    Each record is handed to the system as one line in one write, and nothing is kept back: who
    is killed loses at most the line that was being written. A power failure may lose more.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, record: Record) -> None:
        """Append one record. Raises: OSError: the disk is full."""
        line = encode(record).encode() + b"\n"
        while line:
            line = line[os.write(self._file, line) :]

    def close(self) -> None:
        """Nothing is written any more."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read(path: Path) -> list[Record]:
    """All records of a run, in the order of time. A torn last line is left out.

    Raises:
        Damaged: another line is no record.
    """
    records = list(_lines(path))
    records.sort(key=lambda record: record.t_mono)
    return records


def _lines(path: Path) -> Iterator[Record]:
    lines = path.read_bytes().split(b"\n")
    torn = lines.pop()  # nothing, if the last line is whole
    for number, line in enumerate(lines, start=1):
        try:
            yield decode(line)
        except ValueError as error:
            raise Damaged(f"{path.name}, line {number}: {error}") from error
    if torn:
        try:
            yield decode(torn)
        except ValueError:
            return  # its writer was killed


def encode(record: Record) -> str:
    """One line, without its end. What has its default value is left out."""
    values: dict[str, Any] = {"op": record.op}
    for one in fields(record):
        value = getattr(record, one.name)
        if value is not None:
            values[one.name] = value
    if isinstance(record, CatchUp):
        values["messages"] = [
            [shown.id, shown.body, shown.ts, shown.version, shown.edited]
            for shown in record.messages
        ]
    return json.dumps(values, separators=(",", ":"))


def decode(line: str | bytes) -> Record:
    """The record of a line. Raises: ValueError: it is none."""
    try:
        return _record(json.loads(line))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"no record: {error!r}") from error


def _record(values: dict[str, Any]) -> Record:
    kind = KINDS[values.pop("op")]
    if not isinstance(values["t_mono"], float | int):
        raise TypeError("t_mono is no number")
    if "messages" in values:
        values["messages"] = tuple(Shown(*shown) for shown in values["messages"])
    if "rooms" in values:
        values["rooms"] = tuple(values["rooms"])
    return kind(**values)
