"""Every query of the messaging service, by what it is about."""

from __future__ import annotations

from hubbub.clock import Clock
from hubbub.mongo import Database
from services.messaging.store.batches import Batches
from services.messaging.store.chores import Chores
from services.messaging.store.counters import Counters
from services.messaging.store.departures import Departures
from services.messaging.store.discussions import Discussions
from services.messaging.store.edits import Edits
from services.messaging.store.erasing import Erasing
from services.messaging.store.explaining import Explaining
from services.messaging.store.highlights import Highlights
from services.messaging.store.identities import Identities
from services.messaging.store.invites import Invites
from services.messaging.store.marks import Marks
from services.messaging.store.members import Members
from services.messaging.store.memberships import Memberships
from services.messaging.store.messages import Messages
from services.messaging.store.moments import Moments
from services.messaging.store.places import Places
from services.messaging.store.pruning import Pruning
from services.messaging.store.reports import Reports
from services.messaging.store.room_lists import RoomLists
from services.messaging.store.rooms import Rooms
from services.messaging.store.schema import Collections
from services.messaging.store.searching import Searching
from services.messaging.store.statistics import Statistics
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
        self.explaining = Explaining(self._collections)
        self.chores = Chores(self._collections)
        self.erasing = Erasing(self._collections, transactions, self.trash, self.chores)
        self.pruning = Pruning(self._collections, transactions, self.trash, self.chores)
        self.discussions = Discussions(self._collections, transactions)
        self.room_lists = RoomLists(self._collections)
        self.members = Members(self._collections, transactions, self.trash)
        self.departures = Departures(self._collections, transactions, self.trash, self.chores)
        self.identities = Identities(self._collections)
        self.invites = Invites(self._collections)
        self.batches = Batches(self._collections, transactions)
        self.counters = Counters(self._collections)
        self.edits = Edits(self._collections, transactions, self.trash, self.chores)
        self.memberships = Memberships(self._collections)
        self.messages = Messages(self._collections)
        self.moments = Moments(self._collections)
        self.highlights = Highlights(self._collections)
        self.marks = Marks(self._collections, transactions)
        self.searching = Searching(self._collections)
        self.reports = Reports(self._collections)
        self.places = Places(self._collections, transactions, self.trash)
        self.rooms = Rooms(self._collections)
        self.statistics = Statistics(self._collections)
        self.users = Users(self._collections)
        self.workspace = Workspace(self._collections)

    async def prepare(self, *, trash_days: int) -> None:
        """Make collections, options and indexes that are missing."""
        await self._collections.prepare(trash_days=trash_days)
        await self.statistics.prepare()
