"""What follows from changes of memberships."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.contracts.events import MembershipChanged
from hubbub.ids import RoomId, UserId
from tests.unit.stream_hub.made import DATE, WHEN, Known, decided, frame, shown

MEMBERSHIP: dict[str, Any] = {
    "_id": "s1",
    "rid": "r1",
    "t": "p",
    "name": "secret",
    "u": {"_id": "u1", "username": "ann", "name": "Ann"},
    "open": True,
    "unread": 0,
    "_updatedAt": WHEN,
}
PUBLISHED = (
    b'{"_id":"s1","rid":"r1","t":"p","name":"secret",'
    b'"u":{"_id":"u1","username":"ann","name":"Ann"},"open":true,"unread":0,'
    b'"_updatedAt":' + DATE + b"}"
)
ROOM = {"_id": "r1", "t": "p", "name": "secret", "joinCode": "CANARY"}
KEY = "u1/subscriptions-changed"


def _told(change: Any) -> list[MembershipChanged]:
    return [MembershipChanged(user_id=UserId("u1"), room_id=RoomId("r1"), change=change)]


def test_a_new_membership_is_told_before_what_it_shows() -> None:
    known = Known(rooms={"r1": ROOM})
    decision = decided("rocketchat_subscription", "insert", MEMBERSHIP, known=known)
    began = (
        b'{"type":"membership-began","user_id":"u1","room_id":"r1",'
        b'"room_type":"p","room_name":"secret"}'
    )
    room = b'["inserted",{"_id":"r1","t":"p","name":"secret"}]'
    rooms = "u1/rooms-changed"
    assert shown(decision) == [
        ("user.u1", "control", "", "", began),
        ("user.u1", "frame", "notify-user", KEY,
         frame("notify-user", KEY, b'["inserted",' + PUBLISHED + b"]")),
        ("user.u1", "frame", "notify-user", rooms, frame("notify-user", rooms, room)),
    ]  # fmt: skip
    assert decision.told == _told("began")
    assert all(event.headers.get("Hub-Uid", "u1") == "u1" for event in decision.events)


def test_a_direct_room_begins_without_a_name() -> None:
    direct = MEMBERSHIP | {"t": "d"}
    (began, *_) = decided("rocketchat_subscription", "insert", direct, known=Known()).events
    assert b'"room_name":null' in began.payload


def test_a_room_that_is_gone_leaves_only_the_last_event_out() -> None:
    decision = decided("rocketchat_subscription", "insert", MEMBERSHIP, known=Known())
    assert [event.headers.get("Hub-Key", "") for event in decision.events] == ["", KEY]


def test_a_published_field_changed() -> None:
    decision = decided("rocketchat_subscription", "update", MEMBERSHIP, updated={"unread": 0})
    assert shown(decision) == [
        ("user.u1", "frame", "notify-user", KEY,
         frame("notify-user", KEY, b'["updated",' + PUBLISHED + b"]"))
    ]  # fmt: skip
    assert decision.told == []


@pytest.mark.parametrize("updated", [{"_updatedAt": WHEN}, {"_id": "s1"}, {"__rooms": []}])
def test_nothing_published_changed(updated: dict[str, Any]) -> None:
    decision = decided("rocketchat_subscription", "update", MEMBERSHIP, updated=updated)
    assert decision.events == []
    assert decision.told == []


def test_roles_are_told_to_everybody() -> None:
    now = MEMBERSHIP | {"roles": ["owner", "leader"]}
    before = {"_id": "s1", "roles": ["leader", "moderator"]}
    decision = decided(
        "rocketchat_subscription", "update", now, before=before, updated={"roles": now["roles"]}
    )
    user = b'"u":{"_id":"u1","username":"ann","name":"Ann"},"scope":"r1"}]'
    given = b'[{"type":"added","_id":"owner",' + user
    taken = b'[{"type":"removed","_id":"moderator",' + user
    key = "roles-change"
    assert shown(decision)[1:] == [
        ("logged", "frame", "notify-logged", key, frame("notify-logged", key, given)),
        ("logged", "frame", "notify-logged", key, frame("notify-logged", key, taken)),
    ]
    assert decision.told == _told("roles")


def test_roles_without_the_state_before_are_told_as_changed() -> None:
    now = MEMBERSHIP | {"roles": ["owner"]}
    decision = decided("rocketchat_subscription", "update", now, updated={"roles": ["owner"]})
    assert b'"type":"changed","_id":"owner"' in decision.events[1].payload


@pytest.mark.parametrize("source", ["before", "trash"])
def test_the_end_reaches_the_room_and_the_user(source: str) -> None:
    if source == "before":
        decision = decided("rocketchat_subscription", "delete", id_="s1", before=MEMBERSHIP)
    else:
        known = Known(trash={"s1": MEMBERSHIP | {"_deletedAt": WHEN}})
        decision = decided("rocketchat_subscription", "delete", id_="s1", known=known)
    ended = b'{"type":"membership-ended","user_id":"u1","room_id":"r1"}'
    args = b'["removed",{"_id":"s1","rid":"r1","u":{"_id":"u1","username":"ann"},"t":"p"}]'
    assert shown(decision) == [
        ("room.r1", "control", "", "", ended),
        ("user.u1", "control", "", "", ended),
        ("user.u1", "frame", "notify-user", KEY, frame("notify-user", KEY, args)),
    ]
    assert decision.told == _told("ended")


def test_an_end_that_nobody_remembers_is_counted() -> None:
    decision = decided("rocketchat_subscription", "delete", id_="s1", known=Known())
    assert decision.events == []
    assert decision.skipped == "unknown_member"


@pytest.mark.parametrize("user", [{"_id": "", "username": ""}, None, "u1"])
def test_a_membership_of_nobody_is_skipped(user: Any) -> None:
    decision = decided("rocketchat_subscription", "insert", MEMBERSHIP | {"u": user})
    assert decision.events == []
