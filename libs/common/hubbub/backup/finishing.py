"""The end of a restore that another tool did: mongodump's, or a snapshot of a volume.

Such a copy has what no copy of ours has: who led at that moment, how far the log of changes was,
whose sockets were open. All of it is of a life that did not go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hubbub.backup.manifest import LEFT_OUT, BackupFailed
from hubbub.backup.restoring import HOLDER, HUB, LEASES, nobody_leads
from hubbub.migration.version import SCHEMAS
from hubbub.mongo import Database

_LOGINS: Final = "services.resume.loginTokens"


@dataclass(frozen=True, slots=True)
class Finished:
    """What was removed."""

    leases: int
    connections: int
    counters: int
    logins: int
    """Users who have to sign in again."""


async def finish(database: Database, *, end_logins: bool = False) -> Finished:
    """Forget what belongs to the past of a database that another tool brought back.

    The hub that starts next finds no lease, throws the log away that NATS still has and begins a
    new one: no position of a client counts any more, and all of them load anew. Indexes stay.

    Args:
        end_logins: everybody has to sign in again, holders of personal access tokens too. Else
            tokens that were revoked since the copy was made are good again.

    Raises:
        BackupFailed: a hub leads on this database, or a restore of ours was cut short.
    """
    await nobody_leads(database)
    if await database[LEASES].find_one({"_id": HUB, "holder": HOLDER}, {"_id": 1}) is not None:
        raise BackupFailed(
            "a `hubbub backup restore` into this database was cut short, so that only a part is "
            "there: repeat it with --force"
        )
    removed = {
        name: (await database[name].delete_many({})).deleted_count
        for name in sorted(LEFT_OUT - {SCHEMAS})
    }
    logins = 0
    if end_logins:
        result = await database["users"].update_many(
            {f"{_LOGINS}.0": {"$exists": True}}, {"$set": {_LOGINS: []}}
        )
        logins = result.modified_count
    leases, connections = removed.pop(LEASES), removed.pop("usersSessions")
    return Finished(leases, connections, sum(removed.values()), logins)
