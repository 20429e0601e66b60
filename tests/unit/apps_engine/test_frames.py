"""Which event of apps an entry of the event log is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from hubbub.contracts.event_log import (
    LOG_SUBJECTS,
    Audience,
    Header,
    Kind,
    MembershipBegan,
    MembershipEnded,
    encode_control,
    room_audience,
    user_audience,
)
from hubbub.ddp import ejson
from hubbub.ddp.stream import stream_frame
from services.apps_engine.domain.frames import NEEDS, SUBJECTS, Heard, Reader

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=5)
ROOM: dict[str, Any] = {"_id": "r", "t": "c", "name": "x", "ts": NOW, "u": {"_id": "ann"}}


def read(
    reader: Reader, audience: Audience, stream: str, key: str, args: list[Any], **more: str
) -> list[Heard]:
    """What an entry with such a frame is."""
    headers = {
        Header.KIND: str(Kind.FRAME),
        Header.STREAM: stream,
        Header.KEY: quote(key, safe=""),
        Header.COMMITTED: str(ejson.milliseconds(LATER)),
        **more,
    }
    frame = stream_frame(stream, key, ejson.dumps(args))
    return reader.read(LOG_SUBJECTS + audience, headers, frame)


def message(**fields: Any) -> dict[str, Any]:
    return {
        "_id": "m",
        "rid": "r",
        "msg": "hi",
        "u": {"_id": "ann", "username": "ann"},
        "ts": NOW,
        "_updatedAt": NOW,
        **fields,
    }


def messages(args: list[Any]) -> list[Heard]:
    return read(Reader(), room_audience("r"), "room-messages", "r", args)


def test_a_message() -> None:
    (sent,) = messages([message()])
    assert (sent.name, sent.room_id, sent.author_id) == ("message_sent", "r", "ann")
    assert sent.payload["message"]["ts"] == {"$date": ejson.milliseconds(NOW)}

    (updated,) = messages([message(_updatedAt=LATER)])
    assert updated.name == "message_updated"


def test_what_the_server_says_is_no_message() -> None:
    assert messages([message(t="uj")]) == []


def test_deleted_messages() -> None:
    audience, reader = room_audience("r"), Reader()
    (one,) = read(reader, audience, "notify-room", "r/deleteMessage", [{"_id": "m"}])
    assert (one.name, one.payload) == ("message_deleted", {"message": "m", "room": "r"})
    bulk = read(reader, audience, "notify-room", "r/deleteMessageBulk", [{"ids": ["a", "b"]}])
    assert [heard.payload["message"] for heard in bulk] == ["a", "b"]


def test_a_room_changed_when_it_looks_otherwise() -> None:
    """Each message changes a room as well, and is no news."""
    reader = Reader()

    def shown(**fields: Any) -> list[str]:
        room = {**ROOM, "lm": NOW, "_updatedAt": NOW, **fields}
        return [heard.name for heard in read(reader, room_audience("r"), "room-data", "r", [room])]

    assert shown() == []
    assert shown(lm=LATER, _updatedAt=LATER, msgs=3) == []
    assert shown(topic="new") == ["room_changed"]
    assert shown(topic="new", archived=True) == ["room_changed", "room_archived"]
    assert shown(topic="new", archived=True, msgs=4) == []
    gone = read(reader, room_audience("r"), "room-data", "r", [{"_id": "r"}])
    assert gone == []


def test_a_room_is_made_once() -> None:
    """Its members get it into their lists; one of them made it, and may come back later."""
    reader = Reader()

    def inserted(user_id: str, **fields: Any) -> list[str]:
        key, room = f"{user_id}/rooms-changed", {**ROOM, **fields}
        audience = user_audience(user_id)
        return [
            heard.name for heard in read(reader, audience, "notify-user", key, ["inserted", room])
        ]

    assert inserted("bob") == []
    assert inserted("ann") == ["room_created"]
    assert inserted("ann") == []
    assert inserted("ann", _id="old", ts=NOW - timedelta(days=1)) == []


def test_members() -> None:
    reader, headers = Reader(), {Header.KIND: str(Kind.CONTROL)}
    ended = encode_control(MembershipEnded(user_id="bob", room_id="r"))
    began = encode_control(MembershipBegan(user_id="bob", room_id="r", room_type="c"))
    in_room, of_user = LOG_SUBJECTS + room_audience("r"), LOG_SUBJECTS + user_audience("bob")

    (left,) = reader.read(in_room, headers, ended)
    (joined,) = reader.read(of_user, headers, began)

    assert (left.name, left.user_id) == ("member_left", "bob")
    assert (joined.name, joined.user_id, joined.room_id) == ("member_joined", "bob", "r")
    assert reader.read(of_user, headers, ended) == []  # told in two audiences, heard once


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ({"type": "inserted", "data": {}}, ["user_created"]),
        ({"type": "updated", "diff": {"name": "B"}, "unset": {}}, ["user_changed"]),
        ({"type": "updated", "diff": {}, "unset": {"name": 1}}, ["user_changed"]),
        ({"type": "updated", "diff": {"status": "away"}, "unset": {}}, []),
        ({"type": "removed"}, []),
    ],
)
def test_users(data: dict[str, Any], names: list[str]) -> None:
    key = "bob/userData"
    found = read(Reader(), user_audience("bob"), "notify-user", key, [data])
    assert [heard.name for heard in found] == names
    assert all(heard.user_id == "bob" for heard in found)


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"fields":{"args":[]}}', b"\xff"])
def test_what_is_not_understood_is_skipped(payload: bytes) -> None:
    subject = LOG_SUBJECTS + room_audience("r")
    for stream in ("room-messages", "room-data", "notify-room"):
        headers = {
            Header.KIND: str(Kind.FRAME),
            Header.STREAM: stream,
            Header.KEY: "r%2FdeleteMessage",
        }
        assert Reader().read(subject, headers, payload) == []
    assert Reader().read(subject, {Header.KIND: str(Kind.CONTROL)}, payload) == []
    assert Reader().read(subject, {}, payload) == []


def test_every_event_of_apps_is_found_somewhere() -> None:
    assert NEEDS.keys() <= SUBJECTS.keys()
