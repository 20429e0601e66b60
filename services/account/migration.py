"""What the account service needs in the database."""

from __future__ import annotations

from hubbub.mongo import Database
from services.account.store.audit import MongoAuditStore
from services.account.store.failures import MongoFailureStore
from services.account.store.users import MongoUserStore


async def expand(database: Database) -> None:
    """Make the collections and indexes that are missing. Any number of processes may."""
    await MongoUserStore(database).prepare()
    await MongoFailureStore(database).prepare()
    await MongoAuditStore(database).prepare()
