"""What the apps engine needs in the database."""

from __future__ import annotations

from hubbub.mongo import Database
from services.apps_engine.store import AppsStore


async def expand(database: Database) -> None:
    """Make the indexes that are missing. Any number of processes may."""
    await AppsStore(database).prepare()
