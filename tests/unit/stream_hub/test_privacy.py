"""What never leaves, and that no document whatsoever stops the hub."""

from __future__ import annotations

import string
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, ObjectId, Regex, Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.contracts.workspace import (
    INTERNAL_MESSAGE_FIELDS,
    PUBLISHED_ROOM_FIELDS,
    PUBLISHED_SUBSCRIPTION_FIELDS,
    USER_DATA_FIELDS,
)
from services.stream_hub.domain import breaks_continuity, decide, needs, read
from tests.unit.stream_hub.made import GENERAL, WHEN, Known, raw

CANARY = "CANARY"
OPERATIONS = ("insert", "update", "replace", "delete")

_PRIVATE_OF_USERS = (
    "services __rooms inviteToken reason e2e oauth ldap importIds federation banners "
    "livechat openBusinessHours lastLogin createdAt"
).split()

_PUBLIC: dict[str, dict[str, Any]] = {
    "rocketchat_room": {"_id": "r1", "t": "c", "name": "n", "msgs": 1},
    "rocketchat_subscription": {"_id": "s1", "rid": "GENERAL", "u": {"_id": "u1", "username": "a"}},
    "rocketchat_message": {"_id": "m1", "rid": "GENERAL", "u": {"_id": "u1"}, "msg": "x"},
    "users": {"_id": "u1", "username": "a", "name": "A", "roles": []},
    "rocketchat_settings": {"_id": "Some", "public": True, "value": 1},
}
_PRIVATE: dict[str, list[str]] = {
    "rocketchat_room": ["joinCode", "importIds", "seq", "x"],
    "rocketchat_subscription": ["E2EKey", "oldRoomKeys", "importIds", "x"],
    "rocketchat_message": sorted(INTERNAL_MESSAGE_FIELDS - {"_hidden", "imported"}),
    "users": _PRIVATE_OF_USERS,
    "rocketchat_settings": ["packageValue", "valueSource", "meta", "x"],
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("collection", sorted(_PRIVATE))
def test_no_private_field_is_in_any_event(collection: str, operation: str) -> None:
    private: dict[str, Any] = {name: {"deep": [CANARY]} for name in _PRIVATE[collection]}
    document = {**_PUBLIC[collection], **private}
    if collection == "rocketchat_room":
        document["lastMessage"] = dict.fromkeys(INTERNAL_MESSAGE_FIELDS, CANARY)
    public = {name: value for name, value in _PUBLIC[collection].items() if name != "_id"}
    event = raw(
        collection,
        operation,
        document if operation != "delete" else None,
        id_=document["_id"],
        before=document if operation == "delete" else None,
        updated={**public, **private} if operation == "update" else None,
    )
    known = Known(rooms={"GENERAL": GENERAL | {"joinCode": CANARY}})
    change = read(event)
    assert change is not None
    decision = decide(change, known)
    assert decision.skipped is None or collection == "rocketchat_room" or operation == "delete"
    for made in decision.events:
        assert CANARY.encode() not in made.payload
        assert CANARY not in repr(made.headers)
    assert CANARY not in repr(decision.told)


def test_the_lists_of_public_fields_hold_nothing_private() -> None:
    assert not PUBLISHED_ROOM_FIELDS & set(_PRIVATE["rocketchat_room"])
    assert not PUBLISHED_SUBSCRIPTION_FIELDS & set(_PRIVATE["rocketchat_subscription"])
    assert not USER_DATA_FIELDS & set(_PRIVATE["users"])


_NAMES = st.sampled_from(
    "_id rid u t name msg roles _hidden imported sysMes public hidden value username services "
    "services.totp.enabled emails lastMessage ts _updatedAt settings.x $date __collection__".split()
) | st.text(string.printable, max_size=8)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31))  # noqa: DTZ001
    | st.sampled_from(
        [
            Decimal128("1.5"),
            Regex("a.*", "i"),
            Timestamp(1, 2),
            MaxKey(),
            Code("x"),
            Int64(5),
            Binary(b"x", 5),
            ObjectId("65a1b2c3d4e5f60718293a4b"),
            "broken \ud800 text",
        ]
    )
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)
_DOCUMENTS = st.dictionaries(_NAMES, _VALUES, max_size=8)
_COLLECTIONS = (
    "rocketchat_message rocketchat_room rocketchat_subscription users rocketchat_roles "
    "rocketchat_permissions rocketchat_settings rocketchat__trash something_else"
).split()


@pytest.mark.parametrize("odd", [Code("x"), ObjectId(), Decimal128("1"), ["x"], {"x": 1}, 1.5])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("collection", _COLLECTIONS)
def test_odd_values_in_every_place(collection: str, operation: str, odd: Any) -> None:
    names = "_id rid t name u roles username avatarETag services public __collection__ sysMes"
    document = dict.fromkeys(names.split(), odd) | {"u": {"_id": odd, "username": odd}}
    for fixed in ({}, {"rid": "GENERAL", "u": {"_id": "u1"}}, {"_id": "x"}):
        shaped = document | fixed
        event = raw(collection, operation, shaped, before=shaped, updated=shaped)
        change = read(event)
        assert change is not None
        needs(change)
        decide(change, Known(rooms={"GENERAL": document}))


@given(
    collection=st.sampled_from(_COLLECTIONS),
    operation=st.sampled_from([*OPERATIONS, "drop", "invalidate"]),
    document=st.none() | _DOCUMENTS,
    before=st.none() | _DOCUMENTS,
    updated=_DOCUMENTS,
    removed=st.lists(_NAMES, max_size=3),
    room=st.none() | _DOCUMENTS,
)
@settings(max_examples=600)
def test_any_document_yields_events_or_nothing(
    collection: str,
    operation: str,
    document: Mapping[str, Any] | None,
    before: Mapping[str, Any] | None,
    updated: Mapping[str, Any],
    removed: list[str],
    room: Mapping[str, Any] | None,
) -> None:
    event = raw(
        collection, operation, document, before=before, updated=updated, removed=tuple(removed)
    )
    change = read(event)
    assert change is not None
    wanted = needs(change)
    rooms = {name: room for name in (wanted.room, wanted.room_document) if name and room}
    decision = decide(change, Known(rooms=rooms))
    assert isinstance(breaks_continuity(change), bool)
    for made in decision.events:
        made.payload.decode()
        for name, value in made.headers.items():
            assert (name + value).isascii()
            assert value.isprintable()
        assert " " not in made.audience


@given(event=st.dictionaries(st.sampled_from(
    "_id operationType ns documentKey fullDocument before changed removed values wallTime".split()
), _VALUES))  # fmt: skip
@settings(max_examples=300)
def test_any_event_is_read_or_not(event: dict[str, Any]) -> None:
    event["_id"] = {"_data": "82"}
    event.setdefault("operationType", "insert")
    change = read(event)
    assert change is None or change.token == "82"


def test_when_it_was_committed() -> None:
    event = raw("users", "insert", {"_id": "u1"})
    change = read(event)
    assert change is not None
    assert change.committed == int(WHEN.timestamp() * 1000)
    del event["wallTime"]
    change = read(event | {"clusterTime": Timestamp(1_700_000_000, 3)})
    assert change is not None
    assert change.committed == 1_700_000_000_000
