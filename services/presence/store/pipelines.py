"""How a change of somebody's connections is written.

A user's connections are one document of `usersSessions`:

    {_id: <user id>, connections: [{id, instanceId, bootId, status, sequence, _createdAt,
     _updatedAt}], ended: [{id, sequence, at}], emptySince, version, _updatedAt,
     due, claim, claimedUntil, announced: {status, text}, announcedAt}

Changes are aggregation pipelines, so that what they depend on is read and written in one atomic
step. `ended` remembers connections for some minutes, so that a late message about one cannot
bring it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from hubbub.contracts.presence import Status
from hubbub.ids import UserId
from hubbub.mongo import Document
from services.presence.domain import Shown

_ENDED_KEPT = timedelta(minutes=5)
_ENDED_MOST = 50  # ended connections remembered per user


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection is there, with a status."""

    user_id: UserId
    connection_id: str
    instance: str
    boot_id: str
    status: Status
    sequence: int


@dataclass(frozen=True, slots=True)
class Departure:
    """Connections of a user are gone: id → sequence of the message that says so."""

    user_id: UserId
    connections: dict[str, int]


@dataclass(frozen=True, slots=True)
class Choice:
    """The user chose a status or text; `before` is what others saw until then."""

    user_id: UserId
    before: Shown


Change = Arrival | Departure | Choice


def pipeline(change: Change, now: datetime, grace: timedelta) -> list[Document]:
    """The update that applies a change of a user's connections.

    Args:
        grace: how long somebody without connections still appears as before.
    """
    match change:
        case Arrival():
            return _arrival(change, now)
        case Departure():
            return _departure(change, now, grace)
        case Choice():
            return [
                {
                    "$set": {
                        "connections": _array("connections"),
                        "announced": {"$ifNull": ["$announced", literal(change.before)]},
                        "version": {"$add": [{"$ifNull": ["$version", 0]}, 1]},
                        "due": _due(now, now),
                    }
                }
            ]


def _arrival(arrival: Arrival, now: datetime) -> list[Document]:
    """The newer message counts. The same one again only shows that it is still there."""
    is_it = {"$eq": ["$$c.id", {"$literal": arrival.connection_id}]}
    is_older_boot = {
        "$and": [
            {"$eq": ["$$c.instanceId", {"$literal": arrival.instance}]},
            {"$ne": ["$$c.bootId", {"$literal": arrival.boot_id}]},
        ]
    }
    stored = {"$first": {"$filter": {"input": "$connections", "as": "c", "cond": is_it}}}
    others = {
        "$filter": {
            "input": "$connections",
            "as": "c",
            "cond": {"$not": [{"$or": [is_it, is_older_boot]}]},
        }
    }
    connection = {
        "id": {"$literal": arrival.connection_id},
        "instanceId": {"$literal": arrival.instance},
        "bootId": {"$literal": arrival.boot_id},
        "status": arrival.status.value,
        "sequence": arrival.sequence,
        "_createdAt": {"$ifNull": ["$_stored._createdAt", now]},
        "_updatedAt": now,
    }
    has_ended = {
        "$anyElementTrue": {
            "$map": {
                "input": "$ended",
                "as": "c",
                "in": {"$and": [is_it, {"$gte": ["$$c.sequence", arrival.sequence]}]},
            }
        }
    }
    is_late = {"$or": [has_ended, {"$gt": ["$_stored.sequence", arrival.sequence]}]}
    is_known = {
        "$and": [
            {"$eq": ["$_stored.sequence", arrival.sequence]},
            {"$eq": ["$_stored.status", arrival.status.value]},
            {"$eq": ["$_stored.bootId", {"$literal": arrival.boot_id}]},
        ]
    }
    return [
        {"$set": {"connections": _array("connections"), "ended": _array("ended")}},
        {"$set": {"_stored": stored}},
        {"$set": {"_late": is_late, "_changed": {"$not": [{"$or": [is_late, is_known]}]}}},
        {
            "$set": {
                "connections": {
                    "$cond": [
                        "$_late",
                        "$connections",
                        {"$concatArrays": [others, [connection]]},
                    ]
                },
                "emptySince": {"$cond": ["$_late", "$emptySince", "$$REMOVE"]},
                "version": _version("$_changed"),
                "due": {"$cond": ["$_changed", _due(now, now), "$due"]},
                "_updatedAt": now,
            }
        },
        {"$unset": ["_stored", "_late", "_changed"]},
    ]


def _departure(departure: Departure, now: datetime, grace: timedelta) -> list[Document]:
    ended = [
        {"id": connection_id, "sequence": sequence, "at": now}
        for connection_id, sequence in departure.connections.items()
    ][-_ENDED_MOST:]
    gone = {
        "$or": [
            {
                "$and": [
                    {"$eq": ["$$c.id", {"$literal": connection_id}]},
                    {"$lte": ["$$c.sequence", sequence]},
                ]
            }
            for connection_id, sequence in departure.connections.items()
        ]
    }
    recent = {
        "$filter": {
            "input": _array("ended"),
            "as": "c",
            "cond": {"$gt": ["$$c.at", now - _ENDED_KEPT]},
        }
    }
    remembered = {"$slice": [{"$concatArrays": [recent, {"$literal": ended}]}, -_ENDED_MOST]}
    return [*without(gone, now, grace), {"$set": {"ended": remembered}}]


def without(gone: Document, now: datetime, grace: timedelta) -> list[Document]:
    """Remove the connections `$$c` for which `gone` holds. Of a user who had some and has
    none left, the grace begins."""
    kept = {"$filter": {"input": "$connections", "as": "c", "cond": {"$not": [gone]}}}
    is_empty = {"$eq": [{"$size": "$_kept"}, 0]}
    return [
        {"$set": {"connections": _array("connections")}},
        {"$set": {"_kept": kept}},
        {"$set": {"_changed": {"$ne": [{"$size": "$_kept"}, {"$size": "$connections"}]}}},
        {
            "$set": {
                "connections": "$_kept",
                "emptySince": {"$cond": [{"$and": ["$_changed", is_empty]}, now, "$emptySince"]},
                "version": _version("$_changed"),
                "due": {
                    "$cond": [
                        "$_changed",
                        {
                            "$cond": [
                                is_empty,
                                _due(now, now + grace),
                                _due(now, now),
                            ]
                        },
                        "$due",
                    ]
                },
                "_updatedAt": now,
            }
        },
        {"$unset": ["_kept", "_changed"]},
    ]


def _array(field: str) -> Document:
    return {"$ifNull": ["$" + field, []]}


def _version(changed: str) -> Document:
    version = {"$ifNull": ["$version", 0]}
    return {"$cond": [changed, {"$add": [version, 1]}, version]}


def _due(now: datetime, target: datetime) -> Document:
    """Due at `target`, if not earlier. While claimed: the claim's end; who has the claim sees
    the new version when releasing it, and makes the session due at once."""
    is_claimed = {"$gt": ["$claimedUntil", now]}
    return {"$cond": [is_claimed, "$due", {"$min": ["$due", target]}]}


def literal(shown: Shown) -> Document:
    """As a constant: a text that begins with `$` would else name a field."""
    return {"$literal": {"status": shown.status.value, "text": shown.text}}
