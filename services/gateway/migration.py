"""What the gateway needs in the database."""

from __future__ import annotations

from hubbub.mongo import Database
from services.gateway.store.pictures import Emoji
from services.gateway.store.rates import MongoRateStore
from services.gateway.store.uploads import Uploads


async def expand(database: Database) -> None:
    """Make the indexes that are missing. Any number of processes may."""
    await Uploads(database).prepare()
    await Emoji(database).prepare()
    await MongoRateStore(database).prepare()
