"""What push needs in the database."""

from __future__ import annotations

from hubbub.mongo import Database
from services.push.store import MongoPushStore


async def expand(database: Database) -> None:
    """Make the indexes that are missing. Any number of processes may."""
    await MongoPushStore(database).prepare()
