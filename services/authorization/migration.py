"""What authorization needs in the database."""

from __future__ import annotations

from hubbub.mongo import Database
from services.authorization.store import MongoAuthorizationStore, MongoRoleStore


async def expand(database: Database) -> None:
    """Make the indexes that are missing. Any number of processes may."""
    await MongoAuthorizationStore(database).prepare()
    await MongoRoleStore(database).prepare()
