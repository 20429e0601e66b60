"""The number of the schema: what a database has been made ready for, and what this code needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pymongo

from hubbub.mongo import Database

NEEDED: Final = 1
"""What this code needs. Raise it with every collection, option or index that queries rely on:
processes that wait for a migration go by it."""

SCHEMAS: Final = "hubbub_schema"
"""The collection with one document about this database."""

_ID: Final = "hubbub"
_TIMEOUT: Final = 4.0  # seconds for one query


@dataclass(frozen=True, slots=True)
class Version:
    """For which versions a database is ready: from `contracted` to `expanded`."""

    expanded: int = 0
    """Everything up to this number has been made. 0: services made what they lacked, if at all."""
    contracted: int = 0
    """What only versions below this number need has been removed."""
    by: str = ""
    """Version of Hubbub that expanded it last."""
    at: datetime | None = None

    @property
    def is_ready(self) -> bool:
        """Whether this code finds all it needs."""
        return self.contracted <= NEEDED <= self.expanded

    @property
    def is_beyond(self) -> bool:
        """Whether what this code needs has been removed."""
        return self.contracted > NEEDED

    def beyond(self) -> str:
        """What to tell of that."""
        return (
            f"the database was contracted to schema {self.contracted} by Hubbub {self.by}, and "
            f"this version needs schema {NEEDED}: run a later version, or restore a backup"
        )


async def read(database: Database) -> Version:
    """What the database says of itself. Raises: Unreachable."""
    with pymongo.timeout(_TIMEOUT):
        found = await database[SCHEMAS].find_one({"_id": _ID})
    if found is None:
        return Version()
    return Version(found["expanded"], found["contracted"], found["by"], found["at"])


async def record(database: Database, by: str) -> Version:
    """Note that everything up to `NEEDED` is there; a higher number stays. Raises: Unreachable."""
    expanded = {
        "expanded": {"$max": ["$expanded", NEEDED]},
        "contracted": {"$ifNull": ["$contracted", 0]},
        "by": {"$literal": by},
        "at": "$$NOW",
    }
    await database[SCHEMAS].update_one({"_id": _ID}, [{"$set": expanded}], upsert=True)
    return await read(database)
