"""Every query of the messaging service, by what it is about."""

from __future__ import annotations

from hubbub.clock import Clock
from hubbub.mongo import Database
from services.messaging.store.batches import Batches
from services.messaging.store.counters import Counters
from services.messaging.store.edits import Edits
from services.messaging.store.memberships import Memberships
from services.messaging.store.messages import Messages
from services.messaging.store.places import Places
from services.messaging.store.rooms import Rooms
from services.messaging.store.schema import Collections
from services.messaging.store.transactions import Transactions
from services.messaging.store.trash import Trash
from services.messaging.store.users import Users
from services.messaging.store.workspace import Workspace

__all__ = ["Store"]


class Store:
    """All queries over one database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._collections = Collections(database)
        transactions = Transactions(database.client, clock)
        self.trash = Trash(self._collections)
        self.batches = Batches(self._collections, transactions)
        self.counters = Counters(self._collections)
        self.edits = Edits(self._collections, transactions, self.trash)
        self.memberships = Memberships(self._collections)
        self.messages = Messages(self._collections)
        self.places = Places(self._collections, transactions, self.trash)
        self.rooms = Rooms(self._collections)
        self.users = Users(self._collections)
        self.workspace = Workspace(self._collections)

    async def prepare(self, *, trash_days: int) -> None:
        """Make collections, options and indexes that are missing."""
        await self._collections.prepare(trash_days=trash_days)
