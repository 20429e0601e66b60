"""The update that gives messages their place in a room.

Commit order, `seq` and `ts` agree because all three come from one write to the room's document
inside the transaction that stores the messages. Fields that only messaging uses, never sent:

    seq         number of the room's last message
    tsHigh      the youngest `ts` given out; `lm` does not move for replies inside threads
    countedSeq  messages up to this number are in everybody's unread counters
    uncounted   when a message was stored whose counters were not known to be written
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

_ROOM_FACTS = (
    "t name fname ro archived muted unmuted seq tsHigh countedSeq lm usersCount sysMes prid"
)
ROOM_PROJECTION = dict.fromkeys(_ROOM_FACTS.split(), 1)


def allocation(
    messages: Sequence[Mapping[str, Any]],
    *,
    last_shown: int | None,
    store_last: bool,
    counted: int = 0,
    extra: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """The aggregation pipeline that takes `messages` into a room's document.

    Args:
        last_shown: index of the last message that shows in the room itself, if any does.
        store_last: whether the room keeps a copy of it.
        counted: number up to which this process knows the counters to be written.
        extra: further expressions to set, computed from the room as it was.
    """
    number = len(messages)
    # Foreign tools leave these out or write text: then the count begins anew.
    known_high = {"$max": [_date("$lm"), _date("$tsHigh")]}
    first: dict[str, Any] = {
        "seq": {"$add": [_long("$seq"), number]},
        "msgs": {"$add": [_long("$msgs"), number]},
        # Never earlier than the youngest, even after a change to a primary whose clock is behind.
        "tsHigh": {"$max": ["$$NOW", {"$add": [known_high, number]}]},
        "_updatedAt": "$$NOW",
        "uncounted": "$$NOW",
        # A room that nobody counted yet begins with what is there.
        "countedSeq": {"$max": [_long_or("$countedSeq", _long("$seq")), counted]},
        **(extra or {}),
    }
    stages: list[dict[str, Any]] = [{"$set": first}]
    if last_shown is not None:
        moment = {"$subtract": ["$tsHigh", number - 1 - last_shown]}
        second: dict[str, Any] = {"lm": moment}
        if store_last:
            second["lastMessage"] = {
                "$mergeObjects": [
                    # Literal: a text that begins with `$` is not an expression.
                    {"$literal": dict(messages[last_shown])},
                    {"ts": moment, "_updatedAt": moment},
                ]
            }
        stages.append({"$set": second})
    return stages


def placed(messages: Sequence[Mapping[str, Any]], room: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`messages` with the `seq` and `ts` that the room's document, after the update, gives them."""
    from_end = range(len(messages) - 1, -1, -1)
    return [
        {
            **message,
            "ts": _earlier(room["tsHigh"], behind),
            "_updatedAt": _earlier(room["tsHigh"], behind),
            "seq": int(room["seq"]) - behind,
        }
        for message, behind in zip(messages, from_end, strict=True)
    ]


def _earlier(moment: Any, milliseconds: int) -> Any:
    return moment - timedelta(milliseconds=milliseconds)


def _date(field: str) -> dict[str, Any]:
    return {"$convert": {"input": field, "to": "date", "onError": None, "onNull": None}}


def _long(field: str) -> dict[str, Any]:
    return _long_or(field, {"$toLong": 0})


def _long_or(field: str, otherwise: Any) -> dict[str, Any]:
    return {"$convert": {"input": field, "to": "long", "onError": otherwise, "onNull": otherwise}}
