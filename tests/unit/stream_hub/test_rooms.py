"""What follows from changes of rooms."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.contracts.events import RoomChanged
from hubbub.ids import RoomId
from tests.unit.stream_hub.made import WHEN, decided, frame, shown

ROOM: dict[str, Any] = {
    "_id": "r1",
    "t": "c",
    "name": "news",
    "msgs": 3,
    "joinCode": "CANARY",
    "importIds": ["CANARY"],
    "lastMessage": {"_id": "m1", "msg": "x", "starred": [{"_id": "CANARY"}]},
}
PUBLISHED = b'{"_id":"r1","t":"c","name":"news","msgs":3,"lastMessage":{"_id":"m1","msg":"x"}}'
ACCESS = b'{"type":"room-access-changed","room_id":"r1","deleted":false}'
CHANGED = ("room.r1", "args", "notify-user", "rooms-changed", b'["updated",' + PUBLISHED + b"]")
DATA = ("room.r1", "frame", "room-data", "r1", frame("room-data", "r1", b"[" + PUBLISHED + b"]"))
TOLD = [RoomChanged(room_id=RoomId("r1"))]


def test_a_new_room_is_told_to_caches_only() -> None:
    decision = decided("rocketchat_room", "insert", ROOM)
    assert decision.events == []
    assert decision.told == TOLD


def test_a_published_field_changed() -> None:
    decision = decided("rocketchat_room", "update", ROOM, updated={"msgs": 3, "lm": WHEN})
    assert shown(decision) == [CHANGED, DATA]
    assert decision.told == []


@pytest.mark.parametrize("field", ["t", "teamId", "prid", "archived", "joinCodeRequired", "ro"])
def test_access_is_judged_again_before_the_frames(field: str) -> None:
    decision = decided("rocketchat_room", "update", ROOM, updated={field: "x"})
    assert shown(decision) == [("room.r1", "control", "", "", ACCESS), CHANGED, DATA]
    assert decision.told == TOLD


def test_access_is_judged_though_the_room_is_gone_by_now() -> None:
    decision = decided("rocketchat_room", "update", id_="r1", updated={"t": "p"})
    assert shown(decision) == [("room.r1", "control", "", "", ACCESS)]


def test_a_new_name_concerns_caches() -> None:
    decision = decided("rocketchat_room", "update", ROOM, updated={"name": "news"})
    assert shown(decision) == [CHANGED, DATA]
    assert decision.told == TOLD


def test_a_new_picture_is_told_to_everybody() -> None:
    with_picture = decided(
        "rocketchat_room", "update", {**ROOM, "avatarETag": "e1"}, updated={"avatarETag": "e1"}
    )
    without = decided("rocketchat_room", "update", ROOM, removed=("avatarETag",))

    for decision, told in (
        (with_picture, b'[{"rid":"r1","etag":"e1"}]'),
        (without, b'[{"rid":"r1"}]'),
    ):
        payload = frame("notify-logged", "updateAvatar", told)
        assert shown(decision)[2] == ("logged", "frame", "notify-logged", "updateAvatar", payload)


def test_a_removed_field_is_a_change() -> None:
    assert shown(decided("rocketchat_room", "update", ROOM, removed=("topic",))) == [CHANGED, DATA]


def test_a_replacement_may_have_changed_everything() -> None:
    decision = decided("rocketchat_room", "replace", ROOM)
    assert shown(decision) == [("room.r1", "control", "", "", ACCESS), CHANGED, DATA]
    assert decision.told == TOLD


@pytest.mark.parametrize("updated", [{"_updatedAt": WHEN}, {"joinCode": "CANARY"}, {"seq": 4}])
def test_nothing_published_changed(updated: dict[str, Any]) -> None:
    decision = decided("rocketchat_room", "update", ROOM, updated=updated)
    assert decision.events == []
    assert decision.told == []


def test_a_deleted_room() -> None:
    decision = decided("rocketchat_room", "delete", id_="r1")
    removed = b'["removed",{"_id":"r1"}]'
    access = ACCESS.replace(b"false", b"true")
    assert shown(decision) == [
        ("room.r1", "args", "notify-user", "rooms-changed", removed),
        ("room.r1", "frame", "room-data", "r1", frame("room-data", "r1", b'[{"_id":"r1"}]')),
        ("room.r1", "control", "", "", access),
    ]
    assert decision.told == [RoomChanged(room_id=RoomId("r1"), deleted=True)]
