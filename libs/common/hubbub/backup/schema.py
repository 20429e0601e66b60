"""What collections are made of beside their documents: options, validators, indexes."""

from __future__ import annotations

from typing import Any

import orjson
from bson import json_util
from pymongo.errors import OperationFailure

from hubbub.backup.manifest import LEFT_OUT, BackupFailed, Shape
from hubbub.mongo import Database

_SYSTEM = "system."
_NAMESPACE_EXISTS = 48
_ID_INDEX = "_id_"

Collections = dict[str, tuple[Any, Shape]]
"""Name → (identity of the collection, its shape). Another collection of the same name differs."""


async def read(database: Database) -> Collections:
    """All collections of a database, but those that no copy has.

    Raises: BackupFailed: one cannot be copied.
    """
    found: Collections = {}
    async for info in await database.list_collections():
        name, kind = info["name"], info.get("type", "collection")
        if name in LEFT_OUT or name.startswith(_SYSTEM):
            continue
        if kind not in ("collection", "view"):
            raise BackupFailed(f"{name} is a {kind}, which cannot be read as of one moment")
        indexes = await _indexes(database, name) if kind == "collection" else []
        shape = Shape(name=name, kind=kind, options=extended(info["options"]), indexes=indexes)
        found[name] = (info.get("info", {}).get("uuid"), shape)
    return found


async def make(database: Database, shape: Shape) -> None:
    """Make a collection without documents; its indexes follow when they are in.

    Raises: BackupFailed: it is there.
    """
    try:
        await database.command({"create": shape.name, **plain(shape.options)})
    except OperationFailure as error:
        if error.code != _NAMESPACE_EXISTS:
            raise
        raise BackupFailed(
            f"somebody else made {shape.name}: is Hubbub still running on this database?"
        ) from None


async def index(database: Database, shape: Shape) -> None:
    """Make the indexes of a collection that has its documents."""
    indexes = [plain(index) for index in shape.indexes]
    missing = [one for one in indexes if one["name"] != _ID_INDEX and not one.get("clustered")]
    if "collation" in shape.options:  # an index that is listed without one has none of its own
        for one in missing:
            one.setdefault("collation", {"locale": "simple"})
    if missing:
        await database.command({"createIndexes": shape.name, "indexes": missing})


def extended(document: Any) -> dict[str, Any]:
    """BSON values as canonical Extended JSON."""
    text = json_util.dumps(document, json_options=json_util.CANONICAL_JSON_OPTIONS)
    found: dict[str, Any] = orjson.loads(text)
    return found


def plain(document: dict[str, Any]) -> dict[str, Any]:
    """The BSON values that canonical Extended JSON stands for."""
    found: dict[str, Any] = json_util.loads(
        orjson.dumps(document), json_options=json_util.CANONICAL_JSON_OPTIONS
    )
    return found


async def _indexes(database: Database, name: str) -> list[dict[str, Any]]:
    """Ordered by name, without what differs from server to server."""
    found = [extended(index) async for index in await database[name].list_indexes()]
    for one in found:
        one.pop("ns", None)
    return sorted(found, key=lambda one: str(one["name"]))
