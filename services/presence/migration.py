"""What presence needs in the database."""

from __future__ import annotations

from hubbub.mongo import Database
from services.presence.store import custom_statuses, sessions, users


async def expand(database: Database) -> None:
    """Make the indexes that are missing. Any number of processes may."""
    await sessions.prepare(database)
    await users.MongoUserStore(database).prepare()
    await custom_statuses.MongoCustomStatusStore(database).prepare()
