"""What messaging needs in the database."""

from __future__ import annotations

from hubbub.clock import SystemClock
from hubbub.mongo import Database, answering
from hubbub.settings import load
from services.messaging.settings import MessagingSettings
from services.messaging.store import Store


async def expand(database: Database) -> None:
    """Make the collections, options and indexes that are missing. Any number of processes may.

    How long deleted documents are kept is one of the options: `HUBBUB_MESSAGING_TRASH_DAYS`.
    """
    with answering():
        await Store(database, SystemClock()).prepare(trash_days=load(MessagingSettings).trash_days)
