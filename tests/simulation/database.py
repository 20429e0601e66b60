"""MongoDB in memory, as far as the pipeline touches it: history, lease, rooms and messages.

Everything happens in one order, that of the history. A question takes its time in both
directions, and is lost while its asker is cut off; then nobody knows whether it was heard.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NoReturn, TypeVar

from hubbub.contracts.base import Event
from services.messaging.domain.sending import Draft
from services.messaging.store.batches import Stored
from services.stream_hub.domain import Change, RoomFacts, facts_of
from services.stream_hub.domain.change import MEMBERSHIPS, MESSAGES, Moment
from services.stream_hub.feed import Feed, Position, Read
from services.stream_hub.store import Checkpoint, Lease, LogIdentity, StoreError
from tests.simulation.loop import Node, SimulatedLoop

T = TypeVar("T")

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
_PATIENCE = 1.0  # seconds that an asker waits
_AWAIT = 0.5  # seconds that the history is quiet until it says so
_READ = 32  # changes per answer


@dataclass
class Room:
    """A room and what was said in it."""

    members: set[str]
    seq: int = 0
    high: datetime = _BEGINNING
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)


class Database:
    """The truth."""

    def __init__(self, loop: SimulatedLoop, chance: random.Random) -> None:
        self.loop = loop
        self.rooms: dict[str, Room] = {}
        self.commits: list[tuple[str, str, str, int]] = []
        """(room, `message` or `ended`, id of message or user, version), in order: history number
        n is at n - 1."""
        self.away: dict[Node, float] = {}
        """Who is cut off until when."""
        self.leaseless: dict[Node, float] = {}
        """Who reaches all but the lease, until when."""
        self._chance = chance
        self._history: list[Change] = []
        self._begins = 0  # changes that nobody can read any more
        self._waiting: list[asyncio.Future[None]] = []
        self._lease: dict[str, Any] = {"holder": "", "epoch": 0, "expires": -1.0}
        self._checkpoint = Checkpoint()
        self._log = LogIdentity()

    async def ask(self, node: Node, action: Callable[[], T]) -> T:
        """Have `action` done in the database. Raises: StoreError: there was no answer."""
        loop = self.loop
        answer: asyncio.Future[T] = loop.create_future()

        def hear(result: T | None, error: Exception | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]  # there is one then

        def act() -> None:
            if self._is_away(node):
                return
            result, error = None, None
            try:
                result = action()
            except Exception as raised:  # whoever asked gets it
                error = raised
            if not self._is_away(node):
                loop.call_later(self._delay(), hear, result, error, context=node.context)

        loop.call_later(self._delay(), act, context=loop.world.context)
        try:
            async with asyncio.timeout(_PATIENCE):
                return await answer
        except TimeoutError:
            raise StoreError("no answer") from None

    # --- rooms and messages -------------------------------------------------------------------

    def moment(self) -> datetime:
        """The database's clock, in whole milliseconds."""
        return _BEGINNING + timedelta(milliseconds=int(self.loop.time() * 1000))

    def begin(self, room_id: str) -> int:
        """What a transaction of a room begins with."""
        return self.rooms[room_id].seq

    def insert(self, room_id: str, began: int, drafts: Sequence[Draft]) -> Stored:
        """Commit messages. Raises: Conflict: the room changed since the transaction began."""
        room = self.rooms[room_id]
        if room.seq != began:
            raise Conflict
        stored = []
        for draft in drafts:
            room.seq += 1
            room.high = max(self.moment(), room.high + timedelta(milliseconds=1))
            message = draft.message | {
                "seq": room.seq,
                "ts": room.high,
                "_updatedAt": room.high,
                "version": 0,
            }
            room.messages[draft.message_id] = message
            stored.append(message)
            self._commit_message(message, "insert")
        return Stored(stored, {"_id": room_id})

    def edit(self, room_id: str, message_id: str, updated: datetime) -> None:
        """Commit an edit that bears the date of when it began."""
        messages = self.rooms[room_id].messages
        old = messages[message_id]
        message = old | {"_updatedAt": updated, "version": old["version"] + 1}
        messages[message_id] = message
        self._commit_message(message, "update", ("msg", "_updatedAt"))

    def end_membership(self, room_id: str, user_id: str) -> None:
        """Commit that a user is no longer in a room."""
        self.rooms[room_id].members.discard(user_id)
        before = {"_id": f"{room_id}-{user_id}", "rid": room_id, "t": "p", "u": {"_id": user_id}}
        self.commits.append((room_id, "ended", user_id, 0))
        self._commit("delete", MEMBERSHIPS, before["_id"], before=before)

    def changed_after(self, room_id: str, since: datetime, count: int) -> list[dict[str, Any]]:
        """Messages by the date of their last change, one moment never cut in two."""
        messages = self.rooms[room_id].messages.values()
        found = sorted(
            (message for message in messages if message["_updatedAt"] > since),
            key=lambda message: message["_updatedAt"],
        )
        last = found[:count][-1]["_updatedAt"] if found else since
        return [message for message in found if message["_updatedAt"] <= last]

    def _commit_message(
        self, message: Mapping[str, Any], operation: str, changed: tuple[str, ...] = ()
    ) -> None:
        self.commits.append((message["rid"], "message", message["_id"], message["version"]))
        self._commit(operation, MESSAGES, message["_id"], document=message, changed=changed)

    def _commit(self, operation: str, collection: str, identity: object, **more: Any) -> None:
        token = _token(len(self._history) + 1)
        committed = int(self.moment().timestamp() * 1000)
        change = Change(token, operation, collection, identity, committed=committed, **more)
        self._history.append(change)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    # --- history ------------------------------------------------------------------------------

    def forget_history(self) -> None:
        """Nobody can read any more what happened until now."""
        self._begins = len(self._history)

    def present(self) -> Position:
        return _position(_token(len(self._history)))

    def behind(self, token: str) -> tuple[list[Change], bool]:
        """Changes behind `token`; False: some of them are gone."""
        index = int(token)
        return self._history[index : index + _READ], index >= self._begins

    async def news(self) -> None:
        """Wait until something happens, or not for long."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        self._waiting.append(waiter)
        await asyncio.wait([waiter], timeout=_AWAIT)

    # --- the lease ----------------------------------------------------------------------------

    @property
    def leader(self) -> str:
        """Who had the lease last."""
        return str(self._lease["holder"])

    def lease_is_held(self) -> bool:
        return bool(self.loop.time() < self._lease["expires"])

    def take_lease(self, holder: str, ttl: float) -> Lease | None:
        if self.lease_is_held():
            return None
        epoch = self._lease["epoch"] + 1
        self._lease = {"holder": holder, "epoch": epoch, "expires": self.loop.time() + ttl}
        return Lease(epoch, self._checkpoint, self._log)

    def write_lease(
        self,
        holder: str,
        epoch: int,
        checkpoint: Checkpoint | None = None,
        *,
        ttl: float | None = None,
        log: LogIdentity | None = None,
    ) -> bool:
        """Write what is given, if the lease is that of `holder` and `epoch`."""
        if (self._lease["holder"], self._lease["epoch"]) != (holder, epoch):
            return False
        self._checkpoint = checkpoint or self._checkpoint
        self._log = log or self._log
        if ttl is not None:
            self._lease["expires"] = self.loop.time() + ttl
        return True

    # --- inside -------------------------------------------------------------------------------

    def _is_away(self, node: Node) -> bool:
        return self.loop.time() < self.away.get(node, 0.0)

    def _delay(self) -> float:
        drawn = self._chance.random()
        return 0.05 * drawn if drawn < 0.02 else 0.002 * drawn


class Conflict(Exception):
    """Two transactions wrote the same room."""


class Committer:
    """Transactions of one messaging process, repeated while they conflict."""

    def __init__(self, database: Database, node: Node) -> None:
        self._database = database
        self._node = node

    async def commit(self, room_id: str, drafts: Sequence[Draft], deadline: float) -> Stored:
        database, node, attempt = self._database, self._node, 0
        while True:
            began = await database.ask(node, partial(database.begin, room_id))
            try:
                insert = partial(database.insert, room_id, began, drafts)
                return await database.ask(node, insert)
            except Conflict:
                await asyncio.sleep(random.random() * 0.004 * 2 ** min(attempt, 4))
                attempt += 1

    async def stored(self, message_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        raise AssertionError("nobody repeats a send here")


class SimulatedLeases:
    """The lease as one hub reaches it."""

    def __init__(self, database: Database, node: Node) -> None:
        self._database = database
        self._node = node

    async def is_held(self) -> bool:
        return await self._ask(self._database.lease_is_held)

    async def acquire(self, holder: str, ttl: float) -> Lease | None:
        return await self._ask(lambda: self._database.take_lease(holder, ttl))

    async def renew(
        self, holder: str, epoch: int, ttl: float, checkpoint: Checkpoint | None
    ) -> bool:
        return await self._ask(
            lambda: self._database.write_lease(holder, epoch, checkpoint, ttl=ttl)
        )

    async def save_log(self, holder: str, epoch: int, log: LogIdentity) -> bool:
        return await self._ask(lambda: self._database.write_lease(holder, epoch, log=log))

    async def release(self, holder: str, epoch: int, checkpoint: Checkpoint | None) -> None:
        await self._ask(lambda: self._database.write_lease(holder, epoch, checkpoint, ttl=0.0))

    async def _ask(self, action: Callable[[], T]) -> T:
        if self._database.loop.time() < self._database.leaseless.get(self._node, 0.0):
            await asyncio.sleep(_PATIENCE)
            raise StoreError("no answer")
        return await self._database.ask(self._node, action)


class SimulatedSource:
    """The history as one hub reads it."""

    def __init__(self, database: Database, node: Node) -> None:
        self._database = database
        self._node = node

    async def present(self) -> Position:
        return await self._database.ask(self._node, self._database.present)

    async def run(self, position: Position, feed: Feed) -> NoReturn:
        database, token = self._database, position.token
        while True:
            try:
                behind = partial(database.behind, token)
                changes, whole = await database.ask(self._node, behind)
                here = None if whole else await self.present()
            except StoreError:
                await asyncio.sleep(0.1)
                continue
            await feed.room()
            if here is not None:
                feed.put(Read(here, read_at=database.loop.time(), gap="history_lost"))
                token = here.token
                continue
            for change in changes:
                token = change.token
                feed.put(Read(_position(token), change, database.loop.time()))
            if not changes:
                feed.put(Read(_position(token)))
                if self._is_end(token):
                    await database.news()

    def _is_end(self, token: str) -> bool:
        return token == self._database.present().token


class SimulatedFacts:
    """What a hub looks up."""

    def __init__(self, database: Database, node: Node) -> None:
        self._database = database
        self._node = node

    async def room_facts(self, room_ids: Iterable[str]) -> dict[str, RoomFacts]:
        wanted = list(room_ids)
        return await self._database.ask(
            self._node, lambda: {one: facts_of({"t": "p", "name": one}) for one in wanted}
        )

    async def room_documents(self, room_ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        return {}

    async def ended_memberships(self, ids: Iterable[Any]) -> dict[Any, Mapping[str, Any]]:
        return {}

    async def hidden_types(self) -> frozenset[str]:
        return frozenset()

    async def erasure(self) -> str:
        return "Delete"

    async def real_names(self) -> bool:
        return await self._database.ask(self._node, lambda: False)

    async def names(self, user_ids: Iterable[str]) -> dict[str, str]:
        return {}

    async def roles_before(self, user_id: str, moment: Moment) -> list[str] | None:
        return None


class DeafTeller:
    """Caches of other services play no part here."""

    async def publish(self, event: Event) -> None:
        return None


def _token(number: int) -> str:
    return f"{number:08d}"


def _position(token: str) -> Position:
    return Position(token, {"_data": token})
