"""What follows from changes of messages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.stream_hub.made import DATE, GENERAL, WHEN, Known, decided, frame, shown

MESSAGE: dict[str, Any] = {
    "_id": "m1",
    "rid": "GENERAL",
    "msg": "hi",
    "ts": WHEN,
    "seq": 7,
    "u": {"_id": "u1", "username": "ann", "name": "Ann"},
    "_updatedAt": WHEN,
    "urls": [],
    "mentions": [],
    "channels": [],
}
ARGS = (
    b'[{"_id":"m1","rid":"GENERAL","msg":"hi","ts":' + DATE + b","
    b'"u":{"_id":"u1","username":"ann","name":"Ann"},"_updatedAt":' + DATE + b","
    b'"urls":[],"mentions":[],"channels":[]}]'
)
FRAME = frame("room-messages", "GENERAL", ARGS)


def test_a_new_message_is_one_frame_to_its_room() -> None:
    decision = decided("rocketchat_message", "insert", MESSAGE)
    assert shown(decision) == [
        (
            "room.GENERAL",
            "frame",
            "room-messages",
            "GENERAL",
            frame("room-messages", "GENERAL", ARGS),
        )
    ]
    assert decision.told == []


def test_its_headers_tell_the_room_and_the_author() -> None:
    (event,) = decided("rocketchat_message", "insert", MESSAGE).events
    assert event.headers == {
        "Hub-Kind": "frame",
        "Hub-Stream": "room-messages",
        "Hub-Key": "GENERAL",
        "Hub-Uid": "u1",
        "Hub-Room-Type": "c",
        "Hub-Room-Name": "general%20chat",
    }


def test_a_direct_room_has_no_name() -> None:
    known = Known(rooms={"GENERAL": {"_id": "GENERAL", "t": "d", "name": "odd"}})
    (event,) = decided("rocketchat_message", "insert", MESSAGE, known=known).events
    assert event.headers["Hub-Room-Type"] == "d"
    assert "Hub-Room-Name" not in event.headers


def test_an_unknown_room_leaves_its_type_out() -> None:
    (event,) = decided("rocketchat_message", "insert", MESSAGE, known=Known()).events
    assert "Hub-Room-Type" not in event.headers


@pytest.mark.parametrize("updated", [{"msg": "edited"}, {"reactions.:x:": {}}, {"t": "rm"}])
def test_an_edit_sends_the_whole_message_again(updated: dict[str, Any]) -> None:
    (event,) = decided("rocketchat_message", "update", MESSAGE, updated=updated).events
    assert event.payload == frame("room-messages", "GENERAL", ARGS)


def test_a_replacement_sends_the_message() -> None:
    (event,) = decided("rocketchat_message", "replace", MESSAGE).events
    assert event.payload == frame("room-messages", "GENERAL", ARGS)


@pytest.mark.parametrize(
    "updated", [{"_updatedAt": WHEN}, {"_updatedAt": WHEN, "starred": []}, {"tokens.0": "x"}]
)
def test_what_nobody_sees_is_no_news(updated: dict[str, Any]) -> None:
    assert decided("rocketchat_message", "update", MESSAGE, updated=updated).events == []


def test_hiding_a_message_deletes_it() -> None:
    hidden = MESSAGE | {"_hidden": True}
    decision = decided("rocketchat_message", "update", hidden, updated={"_hidden": True})
    key = "GENERAL/deleteMessage"
    assert shown(decision) == [
        ("room.GENERAL", "frame", "notify-room", key, frame("notify-room", key, b'[{"_id":"m1"}]'))
    ]


def test_a_hidden_message_stays_silent() -> None:
    hidden = MESSAGE | {"_hidden": True}
    assert decided("rocketchat_message", "insert", hidden).events == []
    assert decided("rocketchat_message", "update", hidden, updated={"msg": "x"}).events == []


def test_unhiding_shows_it_again() -> None:
    (event,) = decided("rocketchat_message", "update", MESSAGE, removed=("_hidden",)).events
    assert event.headers["Hub-Stream"] == "room-messages"


def test_a_message_in_the_trash_is_deleted() -> None:
    trashed = {"_id": "m1", "__collection__": "message", "rid": "GENERAL"}
    key = "GENERAL/deleteMessage"
    assert shown(decided("rocketchat__trash", "insert", trashed)) == [
        ("room.GENERAL", "frame", "notify-room", key, frame("notify-room", key, b'[{"_id":"m1"}]'))
    ]


def test_messages_removed_at_once_are_told_at_once() -> None:
    """One frame per portion with ids, dates and users; none for each of its messages."""
    record = {
        "_id": "p1",
        "__collection__": "prune",
        "rid": "GENERAL",
        "first": WHEN,
        "last": WHEN,
        "ids": ["m1", "m2"],
        "users": ["bob"],
        "excludePinned": True,
        "ignoreDiscussion": False,
        "secret": "x",
    }
    told = (
        b'[{"rid":"GENERAL","excludePinned":true,"ignoreDiscussion":false,'
        b'"ts":{"$gte":' + DATE + b',"$lte":' + DATE + b'},"users":["bob"],"ids":["m1","m2"]}]'
    )
    key = "GENERAL/deleteMessageBulk"
    assert shown(decided("rocketchat__trash", "insert", record)) == [
        ("room.GENERAL", "frame", "notify-room", key, frame("notify-room", key, told))
    ]
    one = {"_id": "m1", "__collection__": "message", "rid": "GENERAL", "prunedBy": "p1"}
    assert decided("rocketchat__trash", "insert", one).events == []


@pytest.mark.parametrize("odd", [None, 1, "x", {"a": 1}])
def test_an_odd_record_of_removed_messages_is_still_told(odd: object) -> None:
    """Clients call methods of `users`: it is always a list."""
    record = {"__collection__": "prune", "rid": "GENERAL", "users": odd, "ids": odd, "first": odd}
    (event,) = decided("rocketchat__trash", "insert", record).events
    assert b'"users":[]' in event.payload


@pytest.mark.parametrize("collection", ["room", "subscription", None])
def test_other_trash_is_nobodys_business(collection: str | None) -> None:
    trashed = {"_id": "x", "__collection__": collection, "rid": "GENERAL"}
    assert decided("rocketchat__trash", "insert", trashed).events == []


def test_system_messages_hide_where_the_workspace_or_the_room_says_so() -> None:
    joined = MESSAGE | {"t": "uj"}
    assert decided("rocketchat_message", "insert", joined).events
    known = Known(rooms={"GENERAL": GENERAL}, hidden=frozenset({"uj"}))
    assert decided("rocketchat_message", "insert", joined, known=known).events == []
    known = Known(rooms={"GENERAL": GENERAL | {"sysMes": ["uj"]}})
    assert decided("rocketchat_message", "insert", joined, known=known).events == []
    known = Known(rooms={"GENERAL": GENERAL | {"sysMes": True}})
    assert decided("rocketchat_message", "insert", joined, known=known).events


def test_one_word_hides_both_kinds_of_muting() -> None:
    known = Known(rooms={"GENERAL": GENERAL | {"sysMes": ["mute_unmute"]}})
    for kind in ("user-muted", "user-unmuted"):
        message = MESSAGE | {"t": kind}
        assert decided("rocketchat_message", "insert", message, known=known).events == []


@pytest.mark.parametrize(
    "message", [MESSAGE | {"imported": "slack"}, {"_id": "m1"}, MESSAGE | {"rid": 5}]
)
def test_imported_and_roomless_messages_are_skipped(message: dict[str, Any]) -> None:
    assert decided("rocketchat_message", "insert", message).events == []


def test_a_message_that_is_gone_again_is_skipped() -> None:
    assert (
        decided("rocketchat_message", "update", None, id_="m1", updated={"msg": "x"}).events == []
    )


def test_an_id_that_would_change_a_subject_is_encoded() -> None:
    (event,) = decided("rocketchat_message", "insert", MESSAGE | {"rid": "a.b >*"}).events
    assert event.audience.startswith("room.~")
    assert not set(event.audience.removeprefix("room.")) & set(". >*")
    assert event.headers["Hub-Key"] == "a.b%20%3E%2A"


def test_names_are_the_present_ones_where_names_are_shown() -> None:
    ben = {"_id": "u2", "username": "ben", "name": "Ben"}
    mentions = [ben, {"_id": "all", "username": "all"}, "odd"]
    known = Known(rooms={"GENERAL": GENERAL}, names={"u1": "Ann Marie", "u2": "Benjamin"})
    message = MESSAGE | {"mentions": mentions}
    (event,) = decided("rocketchat_message", "insert", message, known=known).events
    assert b'"u":{"_id":"u1","username":"ann","name":"Ann Marie"}' in event.payload
    assert (
        b'"mentions":[{"_id":"u2","username":"ben","name":"Benjamin"},'
        b'{"_id":"all","username":"all"},"odd"]'
    ) in event.payload
    nobody = Known(rooms={"GENERAL": GENERAL}, names={})
    (event,) = decided("rocketchat_message", "insert", MESSAGE, known=nobody).events
    assert event.payload == FRAME


@pytest.mark.parametrize("people", [{"u": 5, "mentions": 7}, {"u": {"_id": {"$ne": 1}}}, {}])
def test_names_of_odd_documents_are_left_alone(people: dict[str, Any]) -> None:
    known = Known(rooms={"GENERAL": GENERAL}, names={"u1": "Ann Marie"})
    bare = {name: value for name, value in MESSAGE.items() if name not in ("u", "mentions")}
    with_names = decided("rocketchat_message", "insert", bare | people, known=known)
    without = decided("rocketchat_message", "insert", bare | people)
    assert [event.payload for event in with_names.events] == [
        event.payload for event in without.events
    ]
