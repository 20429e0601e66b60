"""Writing unread counters: one update per class of members, and how far they are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from pymongo import UpdateMany, UpdateOne

from services.messaging.domain.counters import Plan, Tally
from services.messaging.store.schema import Collections

GAP: Final = 256
"""Messages that one reading of a gap takes at most."""


class Counters:
    """Queries of the effects that follow a commit."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections

    async def apply(self, room_id: str, plan: Plan) -> None:
        """Write what `plan` says. Doing it again changes nothing.

        Memberships that would stay equal are not written: the filters leave them out.
        """
        writes: list[UpdateMany] = []
        for user_ids, tally in plan.special:
            if tally.last:
                who: dict[str, Any] = {"u._id": {"$in": sorted(user_ids)}}
                writes.append(_write(room_id, who, tally, plan.last))
        if plan.everybody.last:
            singled_out = sorted(plan.singled_out)
            who = {"u._id": {"$nin": singled_out}} if singled_out else {}
            writes.append(_write(room_id, who, plan.everybody, plan.last))
        if writes:
            await self._collections.memberships.bulk_write(writes, ordered=False)

    async def between(self, room_id: str, after: int, upto: int) -> list[dict[str, Any]]:
        """Stored messages with `after < seq <= upto`, ascending, at most `GAP`."""
        cursor = (
            self._collections.messages.find(
                {"rid": room_id, "seq": {"$exists": True, "$gt": after, "$lte": upto}},
                {"seq": 1, "u": 1, "t": 1, "tmid": 1, "tshow": 1, "mentions": 1, "msg": 1}
                | {"imported": 1, "_hidden": 1},
            )
            .sort("seq", 1)
            .limit(GAP)
        )
        return [message async for message in cursor]

    async def followers(self, thread_ids: Iterable[str]) -> dict[str, list[str]]:
        """Thread id → user ids that follow it."""
        cursor = self._collections.messages.find({"_id": {"$in": list(thread_ids)}}, {"replies": 1})
        return {
            str(message["_id"]): [str(user_id) for user_id in message.get("replies") or []]
            async for message in cursor
        }

    async def settle(self, counted: Mapping[str, int]) -> None:
        """Note how far rooms (id → `seq`) are counted, and that nothing is left if so."""
        writes = [
            UpdateOne(
                {"_id": room_id, "uncounted": {"$exists": True}},
                [
                    {
                        "$set": {
                            "countedSeq": {"$max": ["$countedSeq", seq]},
                            "uncounted": {"$cond": [{"$lte": ["$seq", seq]}, "$$REMOVE", "$$NOW"]},
                        }
                    }
                ],
            )
            for room_id, seq in counted.items()
        ]
        if writes:
            await self._collections.rooms.bulk_write(writes, ordered=False)

    async def abandoned(self, age: float, limit: int = 100) -> list[dict[str, Any]]:
        """Rooms with uncounted messages that nobody worked on for `age` seconds."""
        now = await self._collections.now()
        cursor = self._collections.rooms.find(
            {"uncounted": {"$exists": True, "$lt": now - timedelta(seconds=age)}},
            {"seq": 1, "countedSeq": 1, "t": 1, "name": 1, "fname": 1, "prid": 1},
        ).limit(limit)
        return [room async for room in cursor]


def _write(room_id: str, who: Mapping[str, Any], tally: Tally, upto: int) -> UpdateMany:
    not_equal: list[dict[str, Any]] = [{"alert": {"$ne": True}}]
    if tally.alert:
        not_equal.append({"open": {"$ne": True}})
    if tally.counts_unless_muted:
        not_equal.append({"muteGroupMentions": {"$ne": True}})
    query: dict[str, Any] = {
        "rid": room_id,
        **who,
        # Also true where it is missing: a membership that some other tool made.
        "countedSeq": {"$not": {"$gte": tally.last}},
    }
    if not tally.counts:
        query["$or"] = not_equal
    return UpdateMany(query, [{"$set": _fields(tally, upto)}])


def _fields(tally: Tally, upto: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"alert": True, "countedSeq": upto, "_updatedAt": "$$NOW"}
    if tally.alert:
        fields["open"] = _if_above(tally.alert, True, "$open")
    unread: list[Any] = [_number_above(tally.unread)] if tally.unread else []
    if tally.unread_group:
        unread.append(_unless_muted(_number_above(tally.unread_group), 0))
    if unread:
        fields["unread"] = {"$add": [_zero_if_absent("$unread"), *unread]}
    if tally.user_mentions:
        added = _number_above(tally.user_mentions)
        fields["userMentions"] = {"$add": [_zero_if_absent("$userMentions"), added]}
    if tally.group_mentions:
        added = _unless_muted(_number_above(tally.group_mentions), 0)
        fields["groupMentions"] = {"$add": [_zero_if_absent("$groupMentions"), added]}
    for name, threads in (
        ("tunread", tally.threads),
        ("tunreadUser", tally.threads_user),
        ("tunreadGroup", tally.threads_group),
    ):
        if threads:
            fields[name] = _with_threads(f"${name}", threads)
    return fields


def _number_above(seqs: Sequence[int]) -> dict[str, Any]:
    """How many of `seqs` the membership was not counted for."""
    if len(seqs) == 1:
        return _if_above(seqs[0], 1, 0)
    above = {"input": list(seqs), "cond": {"$gt": ["$$this", _zero_if_absent("$countedSeq")]}}
    return {"$size": {"$filter": above}}


def _if_above(seq: int, then: Any, otherwise: Any) -> dict[str, Any]:
    return {"$cond": [{"$gt": [seq, _zero_if_absent("$countedSeq")]}, then, otherwise]}


def _unless_muted(value: Any, otherwise: Any) -> dict[str, Any]:
    return {"$cond": [{"$eq": ["$muteGroupMentions", True]}, otherwise, value]}


def _zero_if_absent(field: str) -> dict[str, Any]:
    return {"$cond": [{"$isNumber": field}, field, 0]}


def _with_threads(field: str, threads: Sequence[tuple[str, int]]) -> dict[str, Any]:
    known = {"$cond": [{"$isArray": field}, field, []]}
    new = {
        "$map": {
            "input": {
                "$filter": {
                    "input": [{"id": {"$literal": thread}, "seq": seq} for thread, seq in threads],
                    "cond": {"$gt": ["$$this.seq", _zero_if_absent("$countedSeq")]},
                }
            },
            "in": "$$this.id",
        }
    }
    return {"$setUnion": [known, new]}
