"""When an outgoing webhook is called, and with what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.apps_engine.domain.outgoing import (
    Happened,
    Match,
    body_of,
    call_id,
    concerns,
    is_own_doing,
    is_told,
    mark_of,
    wait_before,
    wanted,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
ANN = {"_id": "a", "username": "ann", "services": {"password": "x"}, "emails": []}
CHANNEL = {"_id": "r1", "t": "c", "name": "general", "joinCode": "secret"}
GROUP = {"_id": "r2", "t": "p", "name": "ops"}
DIRECT = {"_id": "r3", "t": "d", "uids": ["a", "b"], "usernames": ["ann", "bo"]}
HOOK: dict[str, Any] = {"_id": "h", "enabled": True, "event": "sendMessage", "channel": []}


def said(text: str = "hello", room: Any = CHANNEL, **more: Any) -> Happened:
    message = {"_id": "m", "rid": room["_id"], "msg": text, "u": ANN, "ts": NOW, **more}
    return Happened("sendMessage", NOW, message, room, ANN, mark="m")


@pytest.mark.parametrize(
    ("channel", "room", "hears"),
    [
        ([], CHANNEL, True),
        ([], GROUP, False),
        (["all_public_channels"], CHANNEL, True),
        (["all_public_channels"], GROUP, False),
        (["all_private_groups"], GROUP, True),
        (["all_private_groups"], CHANNEL, False),
        (["all_direct_messages"], DIRECT, True),
        (["all_direct_messages"], GROUP, False),
        (["#general"], CHANNEL, True),
        (["#r1"], CHANNEL, True),
        (["#ops"], GROUP, True),
        (["#general"], GROUP, False),
        (["@bo"], DIRECT, True),
        (["@ann"], DIRECT, False),
        (["@b"], DIRECT, True),
        (["#r3"], DIRECT, False),
    ],
)
def test_rooms(channel: list[str], room: Any, hears: bool) -> None:
    assert (concerns(HOOK | {"channel": channel}, said(room=room)) is not None) is hears


def test_only_what_is_enabled_and_of_its_event() -> None:
    assert concerns(HOOK | {"enabled": False}, said()) is None
    assert concerns(HOOK | {"event": "roomJoined"}, said()) is None


def test_words() -> None:
    hook = HOOK | {"triggerWords": ["!deploy", "!d"]}
    assert concerns(hook, said("!deploy now")) == Match("!deploy")
    assert concerns(hook, said("!d now")) == Match("!d")
    assert concerns(hook, said("please !deploy")) is None
    assert concerns(hook | {"triggerWordAnywhere": True}, said("please !d")) == Match("!d")
    joined = Happened("roomJoined", NOW, None, CHANNEL, ANN)
    assert concerns(hook | {"event": "roomJoined"}, joined) == Match()


@pytest.mark.parametrize(
    "foreign",
    [
        {"triggerWords": "no list"},
        {"triggerWords": [None, 5]},
        {"channel": "all_public_channels"},
        {"channel": None},
        {"urls": 7},
    ],
)
def test_documents_of_other_tools(foreign: dict[str, Any]) -> None:
    assert concerns(HOOK | foreign, said()) == Match()
    assert concerns(HOOK | {"scriptEnabled": True, "script": "x"}, said()) is None


def test_edits_only_where_wanted() -> None:
    edit = said(editedAt=NOW)
    assert concerns(HOOK, edit) is None
    assert concerns(HOOK | {"runOnEdits": True}, edit) == Match()


def test_events_without_a_room() -> None:
    made = Happened("userCreated", NOW, user=ANN)
    assert concerns(HOOK | {"event": "userCreated"}, made) == Match()


def test_direct_rooms_are_neither_made_nor_joined() -> None:
    for event in ("roomCreated", "roomJoined", "roomLeft"):
        hook = HOOK | {"event": event, "channel": ["all_direct_messages", "@bo"]}
        assert concerns(hook, Happened(event, NOW, None, DIRECT, ANN)) is None


@pytest.mark.parametrize(
    ("integrations", "names"),
    [
        ([], set()),
        ([HOOK | {"enabled": False}], set()),
        ([HOOK], {"message_sent"}),
        ([HOOK, HOOK | {"runOnEdits": True}], {"message_sent", "message_updated"}),
        ([HOOK | {"event": "fileUploaded"}], {"message_sent", "file_uploaded"}),
        ([HOOK | {"event": "roomArchived"}, HOOK | {"event": "x"}], {"room_archived"}),
    ],
)
def test_what_has_to_be_heard_of(integrations: list[dict[str, Any]], names: set[str]) -> None:
    assert wanted(integrations) == names


def test_answers_of_integrations_call_none() -> None:
    assert is_own_doing(said(bot={"i": "h"}), {"h", "i"})
    assert is_own_doing(said(bot={"i": "i"}), {"h", "i"})
    assert not is_own_doing(said(bot={"i": "an incoming one"}), {"h", "i"})
    assert not is_own_doing(said(bot={"i": 5}), {"h"})
    assert not is_own_doing(said(), {"h"})


def test_the_server_itself_says_nothing() -> None:
    assert is_told({"msg": "x"})
    assert not is_told({"msg": "ann", "t": "uj"})
    assert not is_told({"msg": "x", "_hidden": True})


def test_the_body_of_a_message() -> None:
    happened = said("!d x", bot={"i": "in"}, alias="CI", tmid="t", editedAt=NOW)
    assert body_of(happened, Match("!d"), "https://chat.example.org") == {
        "bot": {"i": "in"},
        "trigger_word": "!d",
        "channel_id": "r1",
        "channel_name": "general",
        "message_id": "m",
        "timestamp": "2026-01-02T03:04:05.678Z",
        "user_id": "a",
        "user_name": "ann",
        "text": "!d x",
        "siteUrl": "https://chat.example.org",
        "isEdited": True,
        "tmid": "t",
        "alias": "CI",
    }
    plain = body_of(said(), Match(), "")
    assert plain["bot"] is False
    assert not {"trigger_word", "isEdited", "tmid", "alias", "room", "user"} & plain.keys()


@pytest.mark.parametrize("event", ["roomCreated", "roomArchived", "roomJoined", "userCreated"])
def test_other_events_carry_documents_without_secrets(event: str) -> None:
    body = body_of(Happened(event, NOW, None, CHANNEL, ANN), Match(), "")
    assert body["owner" if event == "roomCreated" else "user"] == {"_id": "a", "username": "ann"}
    assert body["room"] == {"_id": "r1", "t": "c", "name": "general"}
    assert "secret" not in str(body)
    assert "password" not in str(body)


def test_a_file() -> None:
    message = {"_id": "m", "msg": "", "u": ANN, "file": {"_id": "f"}, "ts": NOW, "seq": 4}
    body = body_of(Happened("fileUploaded", NOW, message, CHANNEL, ANN), Match(), "")
    assert body["message"]["file"] == {"_id": "f"}
    assert "seq" not in body["message"]


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        ("powers-of-ten", [0.1, 1, 10, 100, 1000, 10_000, 86_400, 86_400]),
        ("powers-of-two", [2, 4, 8, 16, 32]),
        ("increments-of-two", [2, 4, 6, 8, 10]),
    ],
)
def test_waits(delay: str, seconds: list[float]) -> None:
    assert [wait_before(delay, tries) for tries in range(len(seconds))] == seconds


def test_waits_never_grow_beyond_a_day() -> None:
    for delay in ("powers-of-ten", "powers-of-two", "increments-of-two"):
        assert wait_before(delay, 10_000) <= 86_400


def test_one_event_is_one_call_however_often_it_is_heard() -> None:
    first = call_id("h", "https://e.org/", said())
    assert first == call_id("h", "https://e.org/", said("edited meanwhile"))
    assert first != call_id("h", "https://e.org/2", said())
    assert first != call_id("i", "https://e.org/", said())


def test_marks() -> None:
    message = {"_id": "m", "msg": "x", "reactions": {}}
    assert mark_of("message_sent", message) == mark_of("message_sent", {**message, "msg": "y"})
    assert mark_of("message_sent", message) != mark_of("message_sent", {**message, "editedAt": NOW})
    joined = {"room": "r", "user": {"_id": "a"}, "ts": NOW}
    assert mark_of("member_joined", joined) == mark_of("member_joined", dict(joined))
    assert mark_of("member_joined", joined) != mark_of("member_joined", {**joined, "ts": 1})
