"""Database → file, as of one moment.

All documents are read at one cluster time, files in GridFS too: nobody has to stop writing, and
no reference in the copy leads to what came later. The server must be able to read that moment
until the last document is out (`minSnapshotHistoryWindowInSeconds`, five minutes unless set
otherwise, and less when its cache is short of room).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

from bson.timestamp import Timestamp
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import OperationFailure

from hubbub.backup import schema
from hubbub.backup.archive import Writer
from hubbub.backup.manifest import (
    FORMAT,
    LEFT_OUT,
    BackupFailed,
    ClusterTime,
    Copied,
    Manifest,
    Shape,
)
from hubbub.mongo import Client, Database
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.version import version

TRIES: Final = 5
"""Copies that are begun, where collections or indexes change under the first ones."""

_PAUSE = 1.0  # seconds between them
_TOO_OLD = frozenset({239})  # SnapshotTooOld
_UNAVAILABLE = frozenset({246})  # SnapshotUnavailable: a collection is younger than the moment

TOO_OLD_ADVICE: Final = (
    "the server no longer knows the moment that was being copied: raise its parameter "
    "minSnapshotHistoryWindowInSeconds, or use mongodump or a snapshot of its volume"
)

Tell = Callable[[Copied], None]
"""Is told of each collection that is copied."""


async def create(client: Client, database: Database, path: Path, tell: Tell) -> Manifest:
    """Copy `database` to `path`, which must not be there.

    Raises:
        BackupFailed: there is nothing to copy, the file cannot be written, collections kept
            changing, or the moment became too old. Nothing is left of the file.
    """
    for number in range(TRIES):
        if number:
            await asyncio.sleep(_PAUSE)
        try:
            with Writer(path) as writer:
                manifest = await _copy(client, database, writer, tell)
                await asyncio.to_thread(writer.finish, manifest)
                return manifest
        except _Moved:
            continue
        except OperationFailure as error:
            if error.code in _TOO_OLD:
                raise BackupFailed(TOO_OLD_ADVICE) from None
            if error.code not in _UNAVAILABLE:
                raise
    raise BackupFailed(
        "collections or indexes changed while they were copied: try again when nobody starts or "
        "upgrades Hubbub"
    )


class _Moved(Exception):
    """What the copy was of is not what there is now."""


async def _copy(client: Client, database: Database, writer: Writer, tell: Tell) -> Manifest:
    made = datetime.now(UTC)
    before = await schema.read(database)
    if not before:
        raise BackupFailed(f"the database {database.name} is empty: is it the right one?")
    copied = []
    async with client.start_session(snapshot=True) as session:
        shapes = [shape for _, (_, shape) in sorted(before.items())]
        moment = await _moment(database, shapes[0].name, session)
        for shape in shapes:
            copied.append(await _collection(database, shape, writer, session))
            tell(copied[-1])
    # Names are looked up in the present: a collection that was dropped reads as if it were empty.
    if await schema.read(database) != before:
        raise _Moved
    return Manifest(
        format=FORMAT,
        hubbub=version(),
        mongodb=str((await client.server_info())["version"]),
        database=database.name,
        made=made.isoformat(timespec="seconds"),
        cluster_time=ClusterTime(seconds=moment.time, number=moment.inc),
        left_out=sorted(LEFT_OUT),
        collections=copied,
    )


async def _moment(database: Database, name: str, session: AsyncClientSession) -> Timestamp:
    """The moment that `session` reads; its first query settles it."""
    first = {"find": name, "limit": 1, "singleBatch": True, "projection": {"_id": 1}}
    answer = await database.command(first, session=session)
    moment: Timestamp = answer["cursor"]["atClusterTime"]
    return moment


async def _collection(
    database: Database, shape: Shape, writer: Writer, session: AsyncClientSession
) -> Copied:
    with writer.collection(shape) as member:
        if shape.kind == "collection":
            async for batch in database[shape.name].find_raw_batches(session=session):
                heed_cancellation()
                await asyncio.to_thread(member.add, cast(bytes, batch))
        return member.copied
