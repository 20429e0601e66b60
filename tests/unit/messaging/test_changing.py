"""Who may change or delete what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hubbub.contracts.messages import ActionNotAllowed, MessageEdit
from hubbub.contracts.rooms import InvalidRoomName
from hubbub.errors import BadRequest, HubbubError, NotAllowed
from services.messaging.domain import changing, room_settings
from services.messaging.domain.changing import Deletion
from services.messaging.domain.rules import Rules

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD = {"_id": "m", "u": {"_id": "ada"}, "ts": NOW - timedelta(minutes=5), "msg": "x"}


@pytest.mark.parametrize(
    ("user", "held", "rules", "member", "code"),
    [
        ("ada", [], Rules(), True, None),
        ("ada", [], Rules(allow_editing=False), True, "error-action-not-allowed"),
        ("bob", [], Rules(), True, "error-action-not-allowed"),
        ("bob", ["edit-message"], Rules(), True, None),
        ("bob", ["edit-message"], Rules(), False, "error-action-not-allowed"),
        ("ada", [], Rules(edit_minutes=4), True, "error-message-editing-blocked"),
        ("ada", [], Rules(edit_minutes=6), True, None),
        ("ada", ["bypass-time-limit-edit-and-delete"], Rules(edit_minutes=4), True, None),
    ],
)
def test_editing(user: str, held: list[str], rules: Rules, member: bool, code: str | None) -> None:
    """Own ones or by right, in time, as a member."""
    if code is None:
        changing.may_edit(OLD, user, held, rules, NOW, is_member=member)
        return
    with pytest.raises(HubbubError) as refused:
        changing.may_edit(OLD, user, held, rules, NOW, is_member=member)
    assert refused.value.code == code


def test_system_messages_stay() -> None:
    """Nobody edits them."""
    with pytest.raises(ActionNotAllowed):
        changing.may_edit({**OLD, "t": "uj"}, "ada", ["edit-message"], Rules(), NOW, is_member=True)


@pytest.mark.parametrize(
    ("user", "held", "room", "rules", "member", "allowed"),
    [
        ("ada", ["delete-own-message"], {}, Rules(), True, True),
        ("ada", ["delete-own-message"], {}, Rules(), False, False),
        ("ada", [], {}, Rules(), True, False),
        ("ada", ["delete-own-message"], {}, Rules(allow_deleting=False), True, False),
        ("ada", ["delete-own-message"], {"muted": ["ada"]}, Rules(), True, False),
        ("ada", ["delete-own-message"], {"ro": True}, Rules(), True, False),
        ("ada", ["delete-own-message", "post-readonly"], {"ro": True}, Rules(), True, True),
        ("ada", ["delete-own-message"], {"ro": True, "unmuted": ["ada"]}, Rules(), True, True),
        ("ada", ["delete-own-message"], {}, Rules(delete_minutes=4), True, False),
        ("bob", ["delete-own-message"], {}, Rules(), True, False),
        ("bob", ["delete-message"], {}, Rules(), True, True),
        ("bob", ["force-delete-message"], {"muted": ["bob"]}, Rules(delete_minutes=1), False, True),
    ],
)
def test_deleting(
    user: str, held: list[str], room: dict[str, Any], rules: Rules, member: bool, allowed: bool
) -> None:
    """Own ones or by right, in time, unless silenced."""
    arguments = (OLD, room, user, user, held, rules, NOW)
    if allowed:
        changing.may_delete(*arguments, is_member=member)
        return
    with pytest.raises(ActionNotAllowed):
        changing.may_delete(*arguments, is_member=member)


@pytest.mark.parametrize(
    ("rules", "message", "outcome"),
    [
        (Rules(), {}, Deletion.REMOVED),
        (Rules(), {"tcount": 0}, Deletion.REMOVED),
        (Rules(), {"tcount": 1}, Deletion.EMPTIED),
        (Rules(keep_history=True), {}, Deletion.HIDDEN),
        (Rules(show_deleted=True), {}, Deletion.EMPTIED),
    ],
)
def test_deletions(rules: Rules, message: dict[str, Any], outcome: Deletion) -> None:
    """Depends on the workspace, and on replies."""
    assert changing.deletion_of(message, rules) is outcome


@pytest.mark.parametrize(
    ("fields", "changed"),
    [
        ({"msg": "y"}, {"msg": "y"}),
        ({"msg": "x"}, {}),
        ({"msg": "x", "ts": "2025-12-31T23:55:00.000Z", "u": {"_id": "ada", "x": 1}}, {}),
        ({"mentions": [], "bot": None, "groupable": False, "_updatedAt": 5}, {}),
        ({"tshow": True}, {"tshow": True}),
        ({"attachments": [{"text": "a"}]}, {"attachments": [{"text": "a"}]}),
    ],
    ids=repr,
)
def test_what_an_edit_changes(fields: dict[str, Any], changed: dict[str, Any]) -> None:
    """Clients send everything back."""
    edit = MessageEdit.model_validate({"_id": "m", **fields})

    assert changing.edit_of(edit, OLD).fields == changed


@pytest.mark.parametrize(
    "fields",
    [
        {"u": {"_id": "bob"}},
        {"ts": "2020-01-01T00:00:00.000Z"},
        {"_hidden": True},
        {"pinned": True},
        {"rid": "other"},
        {"reactions": {":x:": {"usernames": ["ada"]}}},
        {"seq": 5},
    ],
    ids=repr,
)
def test_what_nobody_edits(fields: dict[str, Any]) -> None:
    """The server's own fields."""
    with pytest.raises(BadRequest) as refused:
        changing.edit_of(MessageEdit.model_validate({"_id": "m", **fields}), OLD)
    assert refused.value.code == "error-invalid-update-key"


@pytest.mark.parametrize(
    "fields",
    [
        {"alias": 5},
        {"tshow": "yes"},
        {"attachments": {"a": 1}},
        {"attachments": ["x"]},
        {"attachments": [{"thumb_url": "javascript:x"}]},
        {"customFields": {"$a": 1}},
        {"avatar": "javascript:x"},
        {"content": {"$where": 1}},
    ],
    ids=repr,
)
def test_edits_of_a_wrong_form(fields: dict[str, Any]) -> None:
    """Are refused like new messages."""
    with pytest.raises(BadRequest):
        changing.edit_of(MessageEdit.model_validate({"_id": "m", **fields}), OLD)


@pytest.mark.parametrize("name", ["smile", ":smile:", "+1", "a_b-c"])
def test_emoji(name: str) -> None:
    """Colons are optional."""
    assert changing.emoji_of(name) == f":{name.strip(':')}:"


@pytest.mark.parametrize("name", ["", ":", "a b", "é", "a.b", "$x", "a\x00", "x" * 65])
def test_no_emoji(name: str) -> None:
    """Nothing that could be a path or an operator."""
    with pytest.raises(NotAllowed):
        changing.emoji_of(name)


@pytest.mark.parametrize(
    ("settings", "kinds"),
    [
        ({"roomName": "new"}, ["r"]),
        ({"roomName": "old"}, []),
        (
            {"roomTopic": "t", "roomDescription": "d"},
            ["room_changed_topic", "room_changed_description"],
        ),
        ({"roomTopic": ""}, []),
        ({"readOnly": True}, ["room-set-read-only"]),
        ({"readOnly": False, "default": False, "archived": False}, []),
        ({"archived": True}, ["room-archived"]),
        ({"roomType": "p"}, ["room_changed_privacy"]),
        ({"roomType": "c"}, []),
        ({"systemMessages": ["uj"], "joinCode": "x", "roomCustomFields": {}}, [None] * 3),
    ],
    ids=repr,
)
def test_room_settings(settings: dict[str, Any], kinds: list[str | None]) -> None:
    """What differs is changed, and said where it has a message."""
    changes = room_settings.changes(
        settings, {"t": "c", "name": "old", "fname": "old"}, "ada", Rules()
    )

    assert [change.message and change.message[0] for change in changes] == kinds


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"unknown": 1}, BadRequest),
        ({"roomTopic": 5}, BadRequest),
        ({"readOnly": 1}, BadRequest),
        ({"roomType": "d"}, BadRequest),
        ({"roomType": {"$ne": 1}}, BadRequest),
        ({"systemMessages": [5]}, BadRequest),
        ({"roomCustomFields": {"a.b": 1}}, BadRequest),
        ({"roomName": "a b"}, InvalidRoomName),
    ],
    ids=repr,
)
def test_wrong_room_settings(settings: dict[str, Any], error: type[Exception]) -> None:
    """Nothing of it is done."""
    with pytest.raises(error):
        room_settings.changes(settings, {"t": "c", "name": "old"}, "ada", Rules())


def test_rights_for_room_settings() -> None:
    """Archiving has its own right; some keys need a further one."""
    assert room_settings.rights_for({"archived": True}) == {"archive-room"}
    assert room_settings.rights_for({"archived": False, "readOnly": True}) == {
        "edit-room",
        "unarchive-room",
        "set-readonly",
    }
