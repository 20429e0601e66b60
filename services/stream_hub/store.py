"""Every query of the hub: its lease with the checkpoint in it, and what decisions look up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import pymongo
from bson.timestamp import Timestamp
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from hubbub.mongo import Database
from hubbub.telemetry.log import get_logger
from services.stream_hub.domain import RoomFacts, facts_of, hidden_types
from services.stream_hub.domain.change import ROOMS, SETTINGS, TRASH, USERS, Moment
from services.stream_hub.domain.names import REAL_NAMES_SETTING
from services.stream_hub.domain.roles import names
from services.stream_hub.domain.workspace import ERASURE_SETTING, HIDDEN_TYPES_SETTING, erasure

LEASES = "hubbub_leases"
LEASE_ID = "stream-hub"
TIMEOUT = 1.0
"""Seconds for one query about the lease: it must fail well before the fence falls."""

_PAST = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = 2**32 - 1  # the largest number within a second

log = get_logger(__name__)

StoreError = PyMongoError
"""What the methods here raise while the database is away."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far the work is done. Everything up to `token` is in the log at `sequence` or below."""

    token: Mapping[str, Any] | None = None
    """Resume token of the change stream; None only before the first."""
    sequence: int = 0
    """Position in the log of the last event that is known to be in it; 0: none."""
    event_id: str = ""
    """Id of the event at `sequence`."""
    epoch: int = 0
    """Epoch of the leader that wrote this."""


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Which log it is: when it was created, and how often its continuity broke since."""

    created: str = ""
    breaks: int = 0

    @property
    def epoch(self) -> str:
        """The name of this continuity; two positions compare only under the same name."""
        return f"{self.created}/{self.breaks}"


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as it was acquired."""

    epoch: int
    checkpoint: Checkpoint
    log: LogIdentity


class LeaseStore(Protocol):
    """Keeps one lease. Times are judged by the database's clock alone."""

    async def is_held(self) -> bool:
        """Whether somebody holds the lease now."""
        ...

    async def acquire(self, holder: str, ttl: float) -> Lease | None:
        """Take the lease for `ttl` seconds if nobody holds it; each time with a new epoch."""
        ...

    async def renew(
        self, holder: str, epoch: int, ttl: float, checkpoint: Checkpoint | None
    ) -> bool:
        """Hold it for `ttl` seconds from now and save `checkpoint`; False: it is not ours."""
        ...

    async def save_log(self, holder: str, epoch: int, log: LogIdentity) -> bool:
        """Save which log this is; False: the lease is not ours."""
        ...

    async def release(self, holder: str, epoch: int, checkpoint: Checkpoint | None) -> None:
        """Let the next one begin at once."""
        ...


class MongoLeaseStore:
    """The lease as one document."""

    def __init__(self, database: Database) -> None:
        self._leases = database[LEASES]
        self._database = database

    async def is_held(self) -> bool:
        with pymongo.timeout(TIMEOUT):
            held = {"_id": LEASE_ID, "$expr": {"$gt": ["$expires", "$$NOW"]}}
            return await self._leases.find_one(held, {"_id": 1}) is not None

    async def acquire(self, holder: str, ttl: float) -> Lease | None:
        with pymongo.timeout(TIMEOUT):
            found = await self._take(holder, ttl)
            if found is None:
                try:
                    await self._leases.insert_one({"_id": LEASE_ID, "epoch": 0, "expires": _PAST})
                except DuplicateKeyError:  # it is there, and held
                    return None
                found = await self._take(holder, ttl)
        return Lease(found["epoch"], _checkpoint(found), _log(found)) if found else None

    async def renew(
        self, holder: str, epoch: int, ttl: float, checkpoint: Checkpoint | None
    ) -> bool:
        return await self._set(holder, epoch, checkpoint, {"expires": _from_now(ttl)})

    async def save_log(self, holder: str, epoch: int, log: LogIdentity) -> bool:
        identity = {"created": log.created, "breaks": log.breaks}
        return await self._set(holder, epoch, None, {"log": {"$literal": identity}})

    async def release(self, holder: str, epoch: int, checkpoint: Checkpoint | None) -> None:
        await self._set(holder, epoch, checkpoint, {"expires": "$$NOW"})

    async def oplog_window(self) -> float | None:
        """Seconds that the database's history reaches back; None when it may not be asked."""
        oplog = self._database.client["local"]["oplog.rs"]
        with pymongo.timeout(TIMEOUT):
            ends = [
                await oplog.find_one({}, {"ts": 1}, sort=[("$natural", order)]) for order in (1, -1)
            ]
        if ends[0] is None or ends[1] is None:
            return None
        return float(ends[1]["ts"].time - ends[0]["ts"].time)

    async def _take(self, holder: str, ttl: float) -> Mapping[str, Any] | None:
        free = {"_id": LEASE_ID, "$expr": {"$not": [{"$gt": ["$expires", "$$NOW"]}]}}
        taken = {
            "holder": {"$literal": holder},
            "epoch": {"$add": ["$epoch", 1]},
            "expires": _from_now(ttl),
            "acquired": "$$NOW",
        }
        return await self._leases.find_one_and_update(
            free, [{"$set": taken}], return_document=pymongo.ReturnDocument.AFTER
        )

    async def _set(
        self, holder: str, epoch: int, checkpoint: Checkpoint | None, values: dict[str, Any]
    ) -> bool:
        if checkpoint is not None:
            values = values | {"checkpoint": {"$literal": _stored(checkpoint)}}
        with pymongo.timeout(TIMEOUT):
            result = await self._leases.update_one(
                {"_id": LEASE_ID, "holder": holder, "epoch": epoch}, [{"$set": values}]
            )
        return result.matched_count == 1


class FactStore:
    """What decisions look up."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rooms = database[ROOMS]
        self._trash = database[TRASH]
        self._settings = database[SETTINGS]
        self._users = database[USERS]

    async def room_facts(self, room_ids: Iterable[str]) -> dict[str, RoomFacts]:
        """Type and name of those of the rooms that exist."""
        query = {"_id": {"$in": list(room_ids)}}
        rooms = self._rooms.find(query, {"t": 1, "name": 1, "sysMes": 1})
        return {room["_id"]: facts_of(room) async for room in rooms}

    async def room_documents(self, room_ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Those of the rooms that exist."""
        rooms = self._rooms.find({"_id": {"$in": list(room_ids)}})
        return {room["_id"]: room async for room in rooms}

    async def ended_memberships(self, ids: Iterable[Any]) -> dict[Any, Mapping[str, Any]]:
        """Trash records of those of the memberships that have one."""
        query = {"_id": {"$in": list(ids)}, "__collection__": "subscription"}
        return {record["_id"]: record async for record in self._trash.find(query)}

    async def roles_before(self, user_id: str, moment: Moment) -> list[str] | None:
        """The roles that a user held just before `moment`; None when nobody knows any more.

        The database keeps its recent past readable for some minutes. Asking it costs nothing
        where no role changes; images of all accounts before all their changes would.
        """
        seconds, number = moment
        at = Timestamp(seconds, number - 1) if number > 1 else Timestamp(seconds - 1, _LAST)
        try:
            with pymongo.timeout(TIMEOUT):
                answer = await self._database.command(
                    "find",
                    USERS,
                    filter={"_id": user_id},
                    projection={"roles": 1},
                    limit=1,
                    singleBatch=True,
                    readConcern={"level": "snapshot", "atClusterTime": at},
                )
        except OperationFailure as error:
            log.info("past_not_readable", code=error.code)
            return None
        found = answer["cursor"]["firstBatch"]
        return names(found[0].get("roles")) if found else None

    async def real_names(self) -> bool:
        """Whether the workspace shows names instead of usernames."""
        setting = await self._settings.find_one({"_id": REAL_NAMES_SETTING}, {"value": 1})
        return setting is not None and setting.get("value") is True

    async def names(self, user_ids: Iterable[str]) -> dict[str, str]:
        """Names of those of the users who have one."""
        users = self._users.find({"_id": {"$in": list(user_ids)}}, {"name": 1})
        return {
            user["_id"]: user["name"]
            async for user in users
            if type(user.get("name")) is str and user["name"]
        }

    async def erasure(self) -> str:
        """What becomes of the messages of a deleted account."""
        setting = await self._settings.find_one({"_id": ERASURE_SETTING}, {"value": 1})
        return erasure(setting.get("value") if setting is not None else None)

    async def hidden_types(self) -> frozenset[str]:
        """System messages that the workspace does not show."""
        setting = await self._settings.find_one({"_id": HIDDEN_TYPES_SETTING}, {"value": 1})
        return hidden_types(setting.get("value")) if setting is not None else frozenset()


def _from_now(seconds: float) -> dict[str, Any]:
    return {"$add": ["$$NOW", round(seconds * 1000)]}


def _stored(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "token": checkpoint.token,
        "sequence": checkpoint.sequence,
        "event_id": checkpoint.event_id,
        "epoch": checkpoint.epoch,
    }


def _checkpoint(lease: Mapping[str, Any]) -> Checkpoint:
    saved = lease.get("checkpoint", {})
    return Checkpoint(**{name: saved[name] for name in Checkpoint.__slots__ if name in saved})


def _log(lease: Mapping[str, Any]) -> LogIdentity:
    saved = lease.get("log", {})
    return LogIdentity(**{name: saved[name] for name in LogIdentity.__slots__ if name in saved})
