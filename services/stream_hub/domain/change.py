"""One change of the database, as far as anybody may hear of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

OPERATIONS: frozenset[str] = frozenset(
    ("insert", "update", "replace", "delete", "drop", "rename", "dropDatabase", "invalidate")
)

MESSAGES = "rocketchat_message"
ROOMS = "rocketchat_room"
MEMBERSHIPS = "rocketchat_subscription"
USERS = "users"
ROLES = "rocketchat_roles"
PERMISSIONS = "rocketchat_permissions"
SETTINGS = "rocketchat_settings"
CUSTOM_STATUSES = "rocketchat_custom_user_status"
TRASH = "rocketchat__trash"

Moment: TypeAlias = tuple[int, int]
"""A point in the database's history: seconds since 1970, and a number within the second."""

MAX_ID = 256  # characters of an id that can address anybody


@dataclass(slots=True)
class Change:
    """A committed change. Dotted names stay dotted, as MongoDB gives them."""

    token: str
    """Where the change stands in the history: comparable text, the same for every reader."""
    operation: str
    collection: str
    id: Any = None
    """The document's `_id`."""
    document: Mapping[str, Any] | None = None
    """The document: of an insert or replace as written, of an update as it is by now."""
    before: Mapping[str, Any] | None = None
    """What it was; only where the collection keeps it."""
    changed: tuple[str, ...] = ()
    """Names of the fields that an update set."""
    removed: tuple[str, ...] = ()
    """Names of the fields that an update removed."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """New values of fields in `changed`, where a decision passes them on."""
    committed: int = 0
    """When it was committed: milliseconds since 1970 of the database's clock."""
    moment: Moment = (0, 0)
    """The same as the database counts it: changes of one transaction share it."""

    @property
    def is_update(self) -> bool:
        """Part of the document may have changed. Otherwise it is new, other or gone."""
        return self.operation == "update"

    @property
    def is_written(self) -> bool:
        """There is a document afterwards."""
        return self.operation in ("insert", "update", "replace")

    def touched(self) -> frozenset[str]:
        """First path segments of the fields that an update set or removed."""
        return frozenset(name.partition(".")[0] for name in (*self.changed, *self.removed))

    def touches(self, names: frozenset[str]) -> bool:
        """Whether any field under `names` may have changed. A replacement changes all."""
        return not self.is_update or not names.isdisjoint(self.touched())


def read(raw: Mapping[str, Any]) -> Change | None:
    """The change in an event of the pipeline of `watched`; None for one that is of no use."""
    token = _mapping(raw.get("_id")).get("_data")
    operation = raw.get("operationType")
    if type(token) is not str or type(operation) is not str or operation not in OPERATIONS:
        return None
    collection = _mapping(raw.get("ns")).get("coll")
    document, before = raw.get("fullDocument"), raw.get("before")
    values = raw.get("values")
    return Change(
        token=token,
        operation=operation,
        collection=collection if type(collection) is str else "",
        id=_mapping(raw.get("documentKey")).get("_id"),
        document=document if isinstance(document, Mapping) else None,
        before=before if isinstance(before, Mapping) else None,
        changed=_names(raw.get("changed")),
        removed=_names(raw.get("removed")),
        values=_pairs(values) if values else {},
        committed=_milliseconds(raw),
        moment=_moment(raw.get("clusterTime")),
    )


def identifier(value: object) -> str | None:
    """`value` if it can be the id of a room or a user, else None.

    Its type is compared exactly, here and wherever a text is looked up: BSON's type `Code` is a
    text too, but one without a hash.
    """
    return value if type(value) is str and 0 < len(value) <= MAX_ID else None


def _milliseconds(raw: Mapping[str, Any]) -> int:
    wall = raw.get("wallTime")
    if isinstance(wall, datetime):
        return int(wall.timestamp() * 1000)
    seconds = getattr(raw.get("clusterTime"), "time", None)
    return seconds * 1000 if isinstance(seconds, int) else 0


def _moment(timestamp: object) -> Moment:
    seconds, number = getattr(timestamp, "time", None), getattr(timestamp, "inc", None)
    return (seconds, number) if isinstance(seconds, int) and isinstance(number, int) else (0, 0)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(name for name in value if type(name) is str)


def _pairs(value: object) -> dict[str, Any]:
    pairs = value if isinstance(value, list) else []
    return {
        pair["k"]: pair["v"]
        for pair in pairs
        if isinstance(pair, Mapping) and type(pair.get("k")) is str and "v" in pair
    }
