"""File → database, and whether what came out of a file is what went in."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, cast

from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError

from hubbub.backup import schema
from hubbub.backup.archive import Archive, verify
from hubbub.backup.manifest import LEFT_OUT, BackupFailed, Copied, Manifest
from hubbub.ids import random_id
from hubbub.mongo import Client, Database
from hubbub.tasks import heed_cancellation

LEASES: Final = "hubbub_leases"
HUB: Final = "stream-hub"
"""The lease of the hub that leads."""
HOLDER: Final = "a restore that is not finished"
"""Holds the hub's lease while documents come in, and for ever where that was cut short: no hub
may tell clients of documents that pour in, nor serve a part of them as if it were all."""

_FAR_AWAY = "9999-12-31T00:00:00Z"
_BATCH = 1000  # documents written at once
_BATCH_SIZE = 8 << 20  # bytes

Tell = Callable[[Copied], None]
"""Is told of each collection that is back."""


async def restore(database: Database, path: Path, tell: Tell, *, force: bool = False) -> Manifest:
    """Make `database` what it was when the copy was made.

    The file is read whole before anything is touched. The log of changes in NATS belongs to
    another history afterwards: the hub that starts next notices, begins a new one, and all
    clients load anew.

    Args:
        force: drop the collections that are there.

    Raises:
        BackupFailed: the file is damaged, a hub leads on this database, the database is not
            empty, or it came out differently.
    """
    await asyncio.to_thread(verify, path)
    await nobody_leads(database)
    present = [name for name in await database.list_collection_names() if _is_ours(name)]
    if present and not force:
        raise BackupFailed(
            f"the database {database.name} is not empty ({len(present)} collections): name "
            "another one, or drop what it has with --force"
        )
    await _bar_hubs(database)
    for name in present:
        if name != LEASES:
            await database.drop_collection(name)
    with Archive.opened(path) as archive:
        await _fill(database, archive, tell)
        await _compare(database, archive.manifest)
        await database.drop_collection(LEASES)
        return archive.manifest


async def try_out(client: Client, like: Database, path: Path, tell: Tell) -> Manifest:
    """Restore into a database of its own beside `like`, compare everything, and drop it.

    Raises: BackupFailed: the file is damaged, or came out differently.
    """
    scratch = client[f"{like.name[:40]}_verify_{random_id(8).lower()}"]
    try:
        with Archive.opened(path) as archive:
            await _fill(scratch, archive, tell)
            await _compare(scratch, archive.manifest)
            return archive.manifest
    finally:
        await client.drop_database(scratch.name)


async def _fill(database: Database, archive: Archive, tell: Tell) -> None:
    wanted = [one for one in archive.manifest.collections if one.name not in LEFT_OUT]
    # Views last: they are of collections.
    for copied in sorted(wanted, key=lambda one: one.kind == "view"):
        await schema.make(database, copied.shape)
        if copied.kind == "collection":
            documents = archive.documents(copied)
            while batch := await asyncio.to_thread(_batch, documents):
                heed_cancellation()
                await _insert(database, copied.name, batch)
            # Ahead of the indexes: one of them may be there to remove what is old.
            await _compare_documents(database, copied)
            await schema.index(database, copied.shape)
        tell(copied)


async def _insert(database: Database, name: str, batch: list[RawBSONDocument]) -> None:
    try:
        # A validator may be younger than a document, which has its place all the same.
        await database[name].insert_many(batch, ordered=True, bypass_document_validation=True)
    except BulkWriteError as error:
        faults = error.details.get("writeErrors") or error.details.get("writeConcernErrors") or []
        reason = str(faults[0].get("errmsg", "")) if faults else "unknown"
        raise BackupFailed(
            f"a document of {name} was not taken ({reason[:200]}): is Hubbub still running on "
            "this database?"
        ) from None


def _batch(documents: Iterator[bytes]) -> list[RawBSONDocument]:
    """The next documents, as many as go well at once; none at the end."""
    batch: list[RawBSONDocument] = []
    size = 0
    for document in islice(documents, _BATCH):
        batch.append(RawBSONDocument(document))
        size += len(document)
        if size >= _BATCH_SIZE:
            break
    return batch


async def _compare(database: Database, manifest: Manifest) -> None:
    """Raises: BackupFailed: collections, their options or their indexes differ from the copy."""
    wanted = {one.name: one for one in manifest.collections if one.name not in LEFT_OUT}
    found = {name: shape for name, (_, shape) in (await schema.read(database)).items()}
    if found.keys() != wanted.keys():
        other = sorted(found.keys() ^ wanted.keys())
        raise BackupFailed(f"the restored collections differ from the copy: {', '.join(other)}")
    for name, copied in wanted.items():
        if found[name].indexes != copied.indexes:
            raise BackupFailed(f"the indexes of {name} differ from the copy")
        if found[name] != copied.shape:
            raise BackupFailed(f"the options of {name} differ from the copy")


async def _compare_documents(database: Database, copied: Copied) -> None:
    """Raises: BackupFailed: there are more, fewer or other ones than in the copy."""
    count = await database[copied.name].count_documents({})
    if count != copied.count:
        raise BackupFailed(f"{copied.name} has {count} documents, the copy has {copied.count}")
    digest = hashlib.sha256()
    async for batch in database[copied.name].find_raw_batches():
        await asyncio.to_thread(digest.update, cast(bytes, batch))
    if digest.hexdigest() != copied.sha256:
        raise BackupFailed(f"the documents of {copied.name} differ from the copy")


async def nobody_leads(database: Database) -> None:
    """Raises: BackupFailed: a hub holds its lease, so Hubbub runs."""
    held = {"_id": HUB, "holder": {"$ne": HOLDER}, "$expr": {"$gt": ["$expires", "$$NOW"]}}
    if await database[LEASES].find_one(held, {"_id": 1}) is not None:
        raise BackupFailed(
            f"Hubbub is running on the database {database.name}: stop all of it, wait for five "
            "seconds, and try again"
        )


async def _bar_hubs(database: Database) -> None:
    barred = {"_id": HUB, "epoch": 0, "holder": HOLDER, "expires": {"$toDate": _FAR_AWAY}}
    await database[LEASES].update_one(
        {"_id": HUB},
        [{"$replaceWith": barred}],
        upsert=True,
    )


def _is_ours(name: str) -> bool:
    return not name.startswith("system.")
