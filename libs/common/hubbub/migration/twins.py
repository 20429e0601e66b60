"""Which documents are in the way of a unique index: a report for whoever has to decide."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pymongo.errors import DuplicateKeyError

from hubbub.mongo import Database, Document

SHOWN: Final = 10
"""Values that a report names, and documents of each."""

_PLACE: Final = re.compile(r"collection: [^. ]+\.(\S+) index: (\S+)")
_SECRET: Final = re.compile("token|hash|password", re.IGNORECASE)
_LONGEST: Final = 80  # characters of a value


async def report(database: Database, error: DuplicateKeyError) -> str:
    """What MongoDB refused, and the documents that have to change first."""
    details: Mapping[str, Any] = error.details or {}
    place = _PLACE.search(str(details.get("errmsg", error)))
    fields = list(details.get("keyPattern", ()))
    if place is None or not fields:
        return f"a unique index could not be made: {error}"
    collection, index = place[1], place[2]
    found = await _all(database, collection, fields)
    if not found:  # twins by what they lack, or by a rule of the index's own
        found = [await _one(database, collection, details.get("keyValue", {}))]
    lines = [_line(values, ids) for values, ids in found[:SHOWN]]
    more = [f"  and more than these {SHOWN}"] if len(found) > SHOWN else []
    head = (
        f"{collection}: the index {index} wants each {' with '.join(fields)} once, and these "
        "are there more often. Nothing was changed; change or remove all but one of each:"
    )
    return "\n".join([head, *lines, *more])


async def _all(
    database: Database, collection: str, fields: list[str]
) -> list[tuple[Document, list[Any]]]:
    """Values that several documents have. Fields may lie within lists."""
    pipeline: list[Document] = [{"$match": {field: {"$exists": True} for field in fields}}]
    parts = dict.fromkeys(part for field in fields for part in _parts(field))
    pipeline += [{"$unwind": f"${part}"} for part in parts]
    pipeline += [
        {
            "$group": {
                "_id": {str(number): f"${field}" for number, field in enumerate(fields)},
                "ids": {"$addToSet": "$_id"},
            }
        },
        {"$match": {"ids.1": {"$exists": True}}},
        {"$limit": SHOWN + 1},
        {"$project": {"ids": {"$slice": ["$ids", SHOWN]}}},
    ]
    cursor = await database[collection].aggregate(pipeline, allowDiskUse=True)
    return [
        ({field: one["_id"].get(str(number)) for number, field in enumerate(fields)}, one["ids"])
        for one in await cursor.to_list()
    ]


async def _one(
    database: Database, collection: str, values: Mapping[str, Any]
) -> tuple[Document, list[Any]]:
    """The documents with the one value that MongoDB named."""
    found = database[collection].find(dict(values), {"_id": 1}).limit(SHOWN)
    return dict(values), [one["_id"] for one in await found.to_list()]


def _parts(field: str) -> Iterator[str]:
    """`a.b` → `a`, `a.b`."""
    names = field.split(".")
    for end in range(1, len(names) + 1):
        yield ".".join(names[:end])


def _line(values: Mapping[str, Any], ids: list[Any]) -> str:
    shown = ", ".join(f"{field} {_shown(field, value)}" for field, value in values.items())
    return f"  {shown}: {', '.join(map(repr, sorted(ids, key=repr)))}"


def _shown(field: str, value: Any) -> str:
    """A value, unless it opens a door."""
    if _SECRET.search(field):
        return "(not shown)"
    text = repr(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
