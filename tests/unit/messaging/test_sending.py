"""What may be sent, and what is stored of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hubbub.contracts.messages import (
    ActionNotAllowed,
    InvalidMessageId,
    InvalidRoom,
    MessageTooLong,
    NewMessage,
)
from hubbub.contracts.workspace import SYSTEM_MESSAGE_TYPES
from hubbub.errors import BadRequest, HubbubError, NotAllowed
from services.messaging.domain import sending
from services.messaging.domain.rules import Rules, rules_of
from services.messaging.domain.sending import Person, Resolved

ADA = Person("u1", "ada", "Ada")
BOB = Person("u2", "bob")
NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def _message(**fields: Any) -> NewMessage:
    return NewMessage.model_validate({"rid": "r", "msg": "hello", **fields})


@pytest.mark.parametrize(
    ("fields", "error", "code"),
    [
        ({"tshow": True}, BadRequest, "invalid-params"),
        ({"msg": "x" * 11}, MessageTooLong, "error-message-size-exceeded"),
        ({"msg": "😀" * 6}, MessageTooLong, "error-message-size-exceeded"),
        ({"msg": " \n"}, BadRequest, "error-empty-message"),
        ({"msg": "", "attachments": []}, BadRequest, "error-empty-message"),
        ({"ts": {"$date": (NOW - 61) * 1000}}, BadRequest, "error-message-ts-out-of-sync"),
        ({"ts": "2025-12-31T23:58:00Z"}, BadRequest, "error-message-ts-out-of-sync"),
        ({"attachments": [{"text": "x" * 11}]}, MessageTooLong, "error-message-size-exceeded"),
        ({"attachments": [{"image_url": "javascript:x"}]}, BadRequest, "invalid-params"),
        ({"attachments": [{"actions": [{"url": "data:x"}]}]}, BadRequest, "invalid-params"),
        ({"attachments": [{"$where": 1}]}, BadRequest, 400),
        ({"attachments": [{"a": 2**63}]}, BadRequest, 400),
        ({"customFields": {"a.b": 1}}, BadRequest, 400),
        ({"customFields": {"a": {"$x": 1}}}, BadRequest, 400),
        ({"avatar": "vbscript:x"}, BadRequest, "invalid-params"),
        ({"msg": "\ud800"}, BadRequest, 400),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_shapes_that_are_refused(
    fields: dict[str, Any], error: type[HubbubError], code: str | int
) -> None:
    """Each with the code that clients know."""
    with pytest.raises(error) as refused:
        sending.check_shape(NewMessage.model_construct(**_fields(fields)), _RULES, NOW)

    assert refused.value.code == code


_RULES = Rules(max_length=10)


def _fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as a validated model has them, also such that pydantic would refuse before."""
    text = fields.pop("msg", "hello")
    made = _message(**fields).__dict__
    return {**made, "text": text}


@pytest.mark.parametrize(
    "fields",
    [
        {"msg": "x" * 10},
        {"msg": "", "attachments": [{"text": "x"}]},
        {"ts": {"$date": (NOW + 59) * 1000}},
        {"ts": {"$date": NOW * 1000}, "t": "no-system-type"},
        {"attachments": [{"title_link": "/file-upload/x", "image_url": "https://a.org"}]},
        {"customFields": {"a-B_1": {"b": [1, None, 1.5, "x"]}}},
    ],
    ids=repr,
)
def test_shapes_that_are_fine(fields: dict[str, Any]) -> None:
    """Nothing is raised."""
    sending.check_shape(_message(**fields), _RULES, NOW)


def test_empty_messages_where_they_are_allowed() -> None:
    """Some doors send them."""
    sending.check_shape(_message(msg=""), _RULES, NOW, allow_empty=True)


@pytest.mark.parametrize("kind", sorted(SYSTEM_MESSAGE_TYPES))
def test_nobody_writes_system_messages(kind: str) -> None:
    """Not one of them."""
    with pytest.raises(NotAllowed):
        sending.check_shape(_message(t=kind), Rules(), NOW)


def test_threads_can_be_off() -> None:
    """Then a reply is refused."""
    with pytest.raises(NotAllowed):
        sending.check_shape(_message(tmid="x"), Rules(threads=False), NOW)


@pytest.mark.parametrize(
    ("held", "fields", "error"),
    [
        (["view-c-room"], {}, None),
        (["view-joined-room"], {}, None),
        (["view-p-room"], {}, NotAllowed),
        ([], {}, NotAllowed),
        (["view-c-room"], {"alias": "x"}, ActionNotAllowed),
        (["view-c-room"], {"emoji": ":x:"}, ActionNotAllowed),
        (["view-c-room", "message-impersonate"], {"avatar": "http://a.org"}, None),
    ],
    ids=repr,
)
def test_rights(held: list[str], fields: dict[str, Any], error: type[HubbubError] | None) -> None:
    """The room's type, and another name, need a permission."""
    if error is None:
        sending.check_rights(_message(**fields), "c", held)
    else:
        with pytest.raises(error):
            sending.check_rights(_message(**fields), "c", held)


@pytest.mark.parametrize(
    ("room", "membership", "privileged", "code"),
    [
        (None, {}, False, "error-invalid-room"),
        ({}, None, False, "error-not-allowed"),
        ({}, {}, False, None),
        ({"archived": True}, {}, True, "room_is_archived"),
        ({}, {"blocked": True}, True, "room_is_blocked"),
        ({}, {"blocker": True}, True, "room_is_blocked"),
        ({"ro": True}, {}, False, "error-not-allowed"),
        ({"ro": True}, {}, True, None),
        ({"ro": True, "unmuted": ["ada"]}, {}, False, None),
        ({"muted": ["ada"]}, {}, True, "You_have_been_muted"),
        ({"muted": "ada", "ro": "yes", "archived": "no"}, {}, False, None),
    ],
    ids=repr,
)
def test_the_room_judges(room: Any, membership: Any, privileged: bool, code: str | None) -> None:
    """First what is most general; odd values of other tools do not count."""
    draft = sending.Draft({"_id": "m"}, ADA, may_post_readonly=privileged)
    reason = sending.judge(room, membership, draft)

    assert (None if reason is None else reason.code) == code
    if room is None:
        assert isinstance(reason, InvalidRoom)


def _draft(message: NewMessage, held: list[str], **more: Any) -> dict[str, Any]:
    draft = sending.draft_of(message, message_id="m", author=ADA, room_id="r", held=held, **more)
    return draft.message


def test_what_is_stored() -> None:
    """Names become users; groups need a right; what is absent stays absent."""
    message = _message(msg="@bob. @nobody @all http://a.org", groupable=False, bot={"i": "x"})
    resolved = Resolved({"bob": BOB}, [{"_id": "c", "name": "general"}])

    stored = _draft(message, [], resolved=resolved)
    with_right = _draft(message, ["mention-all"], resolved=resolved)

    assert stored == {
        "_id": "m",
        "rid": "r",
        "msg": "@bob. @nobody @all http://a.org",
        "u": {"_id": "u1", "username": "ada", "name": "Ada"},
        "mentions": [{"_id": "u2", "username": "bob", "type": "user"}],
        "channels": [{"_id": "c", "name": "general"}],
        "urls": [{"url": "http://a.org", "meta": {}}],
        "bot": {"i": "x"},
        "groupable": False,
    }
    assert with_right["mentions"][0] == {"_id": "all", "username": "all"}


def test_a_reply() -> None:
    """Author, the thread's author and who is mentioned follow the thread."""
    message = _message(msg="@bob", tmid="t", tshow=True)
    draft = sending.draft_of(
        message,
        message_id="m",
        author=ADA,
        room_id="r",
        held=[],
        resolved=Resolved({"bob": BOB}),
        thread=("t", "u9"),
    )

    assert draft.thread == sending.Thread("t", ("u1", "u9", "u2"))
    assert draft.in_room
    assert (draft.message["tmid"], draft.message["tshow"]) == ("t", True)


def test_repeats() -> None:
    """The same author and room, or it is somebody else's id."""
    stored = {"_id": "m", "rid": "r", "u": {"_id": "u1"}}

    assert sending.is_repeat(stored, "u1", "r")
    for author, room in (("u2", "r"), ("u1", "q")):
        with pytest.raises(InvalidMessageId):
            sending.is_repeat(stored, author, room)
    with pytest.raises(InvalidMessageId):
        sending.is_repeat({"_id": "m", "rid": "r"}, "u1", "r")


def test_rules_survive_odd_settings() -> None:
    """A value of another type is no value."""
    rules = rules_of(
        {
            "Message_MaxAllowedSize": "7",
            "Threads_enabled": 0,
            "Store_Last_Message": False,
            "Hide_System_Messages": ["uj", 5],
        }
    )

    assert rules.max_length == 5000
    assert rules.threads is True
    assert rules.store_last_message is False
    assert rules.hidden_types == ("uj",)
    assert rules_of({}) == Rules()
