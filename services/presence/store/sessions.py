"""The connections of users, and who settles them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import pymongo
from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, DuplicateKeyError

from hubbub.contracts.presence import Status
from hubbub.errors import Unavailable
from hubbub.ids import UserId, random_id
from hubbub.mongo import Database, Document, answering
from services.presence.domain import Decision, Session, Shown, status_of
from services.presence.store.pipelines import Change, literal, pipeline, without
from services.presence.store.users import PRESENT, QUERY_TIMEOUT

_DUPLICATE_KEY = 11000
_WRITE_TRIES = 3
_END_BATCH = 1000  # users


async def prepare(database: Database) -> None:
    """Make the indexes. Any number of replicas may do it at once."""
    sessions: AsyncCollection[Document] = database["usersSessions"]
    with answering():
        await sessions.create_index("due", sparse=True)
        await sessions.create_index("connections.instanceId", sparse=True)
        await sessions.create_index("connections._updatedAt", sparse=True)
        await sessions.create_index("announcedAt", sparse=True)


class MongoSessionStore:
    """The store on MongoDB. Every method raises `Unavailable` when the database is away."""

    def __init__(self, database: Database, *, grace: timedelta, claim_lease: timedelta) -> None:
        """
        Args:
            grace: how long somebody without connections still appears as before.
            claim_lease: after this time others may settle what a replica has claimed.
        """
        self._sessions: AsyncCollection[Document] = database["usersSessions"]
        self._users: AsyncCollection[Document] = database["users"]
        self._once: AsyncCollection[Document] = database["hubbub_once"]
        self._grace = grace
        self._claim_lease = claim_lease

    async def write(self, changes: Iterable[Change], now: datetime) -> None:
        """Apply changes; each is atomic, their order does not matter."""
        operations = [
            UpdateOne({"_id": change.user_id}, pipeline(change, now, self._grace), upsert=True)
            for change in changes
        ]
        for _ in range(_WRITE_TRIES):
            with answering(), pymongo.timeout(QUERY_TIMEOUT):
                try:
                    await self._sessions.bulk_write(operations, ordered=False)
                except BulkWriteError as error:
                    operations = _raced(error, operations)
                else:
                    return
        raise Unavailable("the sessions of a user change too often")

    async def end_instance(
        self, name: str, now: datetime, *, except_boot: str | None = None
    ) -> int:
        """End the connections of a streamer, or of its earlier starts; how many users had some."""
        of_instance: Document = {"instanceId": name}
        gone: Document = {"$eq": ["$$c.instanceId", {"$literal": name}]}
        if except_boot is not None:
            of_instance["bootId"] = {"$ne": except_boot}
            gone = {"$and": [gone, {"$ne": ["$$c.bootId", {"$literal": except_boot}]}]}
        match = {"connections": {"$elemMatch": of_instance}, "connections.instanceId": name}
        users = 0
        while ended := await self._end(match, gone, now, _END_BATCH):
            users += ended
        return users

    async def end_stale(self, updated_before: datetime, now: datetime, limit: int) -> int:
        """End connections that nobody announced since; how many users had some (at most
        `limit` are looked at)."""
        match = {"connections._updatedAt": {"$lt": updated_before}}
        gone = {"$lt": ["$$c._updatedAt", updated_before]}
        return await self._end(match, gone, now, limit)

    async def _end(self, match: Document, gone: Document, now: datetime, limit: int) -> int:
        """End connections of at most `limit` users; the condition is checked again when they
        are written. In small batches, since each has to fit into one answer's time."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = await self._sessions.find(match, {"_id": 1}).limit(limit).to_list()
            if not found:
                return 0
            ids = [session["_id"] for session in found]
            result = await self._sessions.update_many(
                {"_id": {"$in": ids}, **match}, without(gone, now, self._grace)
            )
        return result.modified_count

    async def stored_instances(self) -> list[str]:
        """Streamers that connections are stored of."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            names = await self._sessions.distinct("connections.instanceId")
        return [name for name in names if isinstance(name, str)]

    async def delete(self, user_id: UserId) -> None:
        """Forget a user."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._sessions.delete_one({"_id": user_id})

    async def session(self, user_id: UserId) -> Session:
        """A user's connections; an empty session when nothing is stored."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = await self._sessions.find_one({"_id": user_id})
        return _session(found) if found else Session(user_id)

    async def announced_since(self, moment: datetime, limit: int) -> list[UserId]:
        """Users of whom others were told something after `moment`, latest first."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = self._sessions.find({"announcedAt": {"$gt": moment}}, {"_id": 1})
            return [session["_id"] async for session in found.sort("announcedAt", -1).limit(limit)]

    async def claim(self, now: datetime, limit: int) -> tuple[str, list[Session]]:
        """Take sessions that are due; no other replica gets the same ones. With the name of the
        claim, which `release` needs."""
        claim = random_id()
        until = now + self._claim_lease
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            due = self._sessions.find({"due": {"$lte": now}}, {"_id": 1}).sort("due").limit(limit)
            ids = [session["_id"] async for session in due]
            if not ids:
                return claim, []
            before = await self._sessions.find({"_id": {"$in": ids}}, {"due": 1}).to_list()
            await self._sessions.update_many(
                {"_id": {"$in": ids}, "due": {"$lte": now}},
                {"$set": {"claim": claim, "claimedUntil": until, "due": until}},
            )
            taken = await self._sessions.find({"_id": {"$in": ids}, "claim": claim}).to_list()
        since = {session["_id"]: session.get("due") for session in before}
        return claim, [_session(session | {"due": since.get(session["_id"])}) for session in taken]

    async def release(
        self,
        claim: str,
        settled: Iterable[tuple[Session, Decision | None]],
        now: datetime,
    ) -> None:
        """Give claimed sessions back, with what was announced. One that has changed meanwhile
        is due at once."""
        operations = []
        for session, decision in settled:
            due = decision.due if decision else None
            fields: Document = {
                "due": {
                    "$cond": [
                        {"$eq": [{"$ifNull": ["$version", 0]}, session.version]},
                        "$$REMOVE" if due is None else due,
                        now,
                    ]
                },
                "claim": "$$REMOVE",
                "claimedUntil": "$$REMOVE",
            }
            if decision is not None and decision.announce:
                fields["announced"] = literal(decision.shown)
                fields["announcedAt"] = now
            operations.append(
                UpdateOne({"_id": session.user_id, "claim": claim}, [{"$set": fields}])
            )
        if operations:
            with answering(), pymongo.timeout(QUERY_TIMEOUT):
                await self._sessions.bulk_write(operations, ordered=False)

    async def adopt_strays(self, now: datetime, limit: int) -> int:
        """Make sessions for users who appear as present without having one, so that they are
        settled; how many there were."""
        adopted = 0
        batch: list[Document] = []
        with answering():
            async for user in self._users.find({"status": {"$in": PRESENT}}, {"_id": 1}):
                batch.append(user)
                if len(batch) == limit:
                    adopted += await self._adopt(batch, now)
                    batch.clear()
            return adopted + await self._adopt(batch, now)

    async def _adopt(self, users: list[Document], now: datetime) -> int:
        ids = [user["_id"] for user in users]
        known = {
            session["_id"]
            async for session in self._sessions.find({"_id": {"$in": ids}}, {"_id": 1})
        }
        operations = [
            UpdateOne(
                {"_id": user["_id"]},
                {"$setOnInsert": {"connections": [], "version": 1, "due": now}},
                upsert=True,
            )
            for user in users
            if user["_id"] not in known
        ]
        if not operations:
            return 0
        try:
            return (await self._sessions.bulk_write(operations, ordered=False)).upserted_count
        except BulkWriteError as error:
            return len(operations) - len(_raced(error, operations))

    async def claim_turn(self, name: str, now: datetime, interval: timedelta) -> bool:
        """Whether it is time for a job that one replica does once per `interval`."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            try:
                result = await self._once.update_one(
                    {"_id": name, "next": {"$lte": now}},
                    {"$set": {"next": now + interval}},
                    upsert=True,
                )
            except DuplicateKeyError:
                return False
        return result.modified_count == 1 or result.upserted_id is not None

    async def count_connections(self) -> int:
        """How many connections there are."""
        with answering():
            sums = await self._sessions.aggregate(
                [
                    {"$match": {"connections.instanceId": {"$gt": ""}}},
                    {"$group": {"_id": None, "sum": {"$sum": {"$size": "$connections"}}}},
                ]
            )
            rows = await sums.to_list()
        return int(rows[0]["sum"]) if rows else 0


def _raced(error: BulkWriteError, operations: list[UpdateOne]) -> list[UpdateOne]:
    """The operations that another writer was faster with. Raises: BulkWriteError: other faults."""
    faults = error.details.get("writeErrors", [])
    if error.details.get("writeConcernErrors"):
        raise Unavailable("the database does not answer") from error
    if not faults or any(fault["code"] != _DUPLICATE_KEY for fault in faults):
        raise error
    return [operations[fault["index"]] for fault in faults]


def _session(found: Document) -> Session:
    announced = found.get("announced")
    statuses = (status_of(connection.get("status")) for connection in found.get("connections", []))
    return Session(
        user_id=found["_id"],
        version=found.get("version", 0),
        statuses=tuple(status for status in statuses if status is not None),
        empty_since=found.get("emptySince"),
        due=found.get("due"),
        announced=None
        if announced is None
        else Shown(status_of(announced["status"]) or Status.OFFLINE, announced["text"]),
        announced_at=found.get("announcedAt"),
    )
