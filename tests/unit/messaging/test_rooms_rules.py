"""Rules about whole rooms: settings, discussions, what pruning tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hubbub.contracts.discussions import NewDiscussion, Stretch
from hubbub.contracts.rooms import InvalidRoomName
from hubbub.errors import BadRequest
from services.messaging.domain import discussions, pruning, room_settings
from services.messaging.domain.rules import Rules
from services.messaging.domain.sending import Person

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ROOM: dict[str, Any] = {"_id": "r", "t": "c", "name": "tea", "fname": "tea", "topic": "leaves"}
DISCUSSION = ROOM | {"prid": "parent", "name": "random", "fname": "Tea?"}
ADA = Person("u-ada", "ada", "Ada")


def changed(settings: dict[str, Any], room: dict[str, Any] = ROOM) -> list[Any]:
    return [
        (dict(change.fields), change.message, dict(change.membership_fields))
        for change in room_settings.changes(settings, room, "ada", Rules())
    ]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"roomTopic": "leaves"}, []),
        ({"roomTopic": ""}, [({"topic": ""}, ("room_changed_topic", ""), {})]),
        ({"roomName": "tea"}, []),
        (
            {"roomName": "coffee"},
            [
                (
                    {"name": "coffee", "fname": "coffee"},
                    ("r", "coffee"),
                    {"name": "coffee", "fname": "coffee"},
                )
            ],
        ),
        (
            {"roomType": "p"},
            [
                (
                    {"t": "p", "default": False},
                    ("room_changed_privacy", "Private Group"),
                    {"t": "p"},
                )
            ],
        ),
        (
            {"archived": True},
            [({"archived": True}, ("room-archived", "ada"), {"archived": True})],
        ),
        ({"readOnly": False}, []),
        ({"encrypted": True}, [({"encrypted": True}, None, {})]),
        ({"joinCode": ""}, [({"joinCode": None, "joinCodeRequired": False}, None, {})]),
        ({"systemMessages": ["uj"]}, [({"sysMes": ["uj"]}, None, {})]),
    ],
)
def test_what_settings_change(settings: dict[str, Any], expected: list[Any]) -> None:
    """Fields, one system message, and what memberships copy; nothing for what is so already."""
    assert changed(settings) == expected


def test_a_discussion_keeps_its_address() -> None:
    """Its display name may be anything; only that changes."""
    assert changed({"roomName": " More tea, please? "}, DISCUSSION) == [
        ({"fname": "More tea, please?"}, ("r", "More tea, please?"), {"fname": "More tea, please?"})
    ]
    assert changed({"roomName": "Tea?"}, DISCUSSION) == []
    for wrong in ("", "  ", "x" * 251):
        with pytest.raises(InvalidRoomName):
            changed({"roomName": wrong}, DISCUSSION)


@pytest.mark.parametrize(
    "settings",
    [
        {"planet": 1},
        {"readOnly": "yes"},
        {"roomTopic": 1},
        {"roomType": "d"},
        {"systemMessages": [1]},
        {"roomCustomFields": {"a.b": 1}},
        {"roomCustomFields": {"": 1}},
        {"roomCustomFields": {"x" * 65: 1}},
        {"encrypted": 1},
    ],
)
def test_settings_that_are_none(settings: dict[str, Any]) -> None:
    """Unknown keys and wrong values are refused."""
    with pytest.raises(BadRequest):
        changed(settings)


@pytest.mark.parametrize(
    ("settings", "fit"),
    [
        ({"roomTopic": "x"}, True),
        ({"roomDescription": "x", "roomAnnouncement": "x", "encrypted": True}, True),
        ({"roomTopic": "x", "roomName": "x"}, False),
        ({"readOnly": True}, False),
        ({"archived": True}, False),
    ],
)
def test_what_fits_a_direct_room(settings: dict[str, Any], fit: bool) -> None:
    """Texts and the flag."""
    assert room_settings.fit_direct_rooms(settings) is fit


@pytest.mark.parametrize(("kind", "expected"), [("c", "c"), ("p", "p"), ("d", "p")])
def test_a_discussion_is_as_public_as_its_parent(kind: str, expected: str) -> None:
    """Its topic is the parent's name unless another is given, its description the message."""
    wanted = NewDiscussion.model_validate({"prid": "r", "t_name": " Tea? "})
    about = {"_id": "m", "msg": "what about tea?"}

    made = discussions.room("d", "random", ROOM | {"t": kind}, about, wanted, ADA, NOW)

    assert (made["t"], made["fname"], made["name"], made["prid"], made["pmid"]) == (
        expected,
        "Tea?",
        "random",
        "r",
        "m",
    )
    assert (made["topic"], made["description"]) == ("tea", "what about tea?")


def test_a_quote_of_an_odd_message() -> None:
    """Whatever other tools wrote, a quote has a text and a link."""
    quote = discussions.quote({"_id": "m", "msg": 7, "u": "x"}, {"_id": "r", "t": "p"})
    assert quote["text"] == ""
    assert quote["message_link"] == "/group/r?msg=m"
    assert discussions.quote({"_id": "m"}, ROOM)["message_link"] == "/channel/tea?msg=m"
    assert discussions.quote({"_id": "m"}, {"_id": "r", "t": "d"})["message_link"] == (
        "/direct/r?msg=m"
    )


def test_the_record_of_a_portion() -> None:
    """Ids, and the time from the first message to the last."""
    stretch = Stretch(oldest=NOW, latest=NOW, usernames=["bo", "bo"], exclude_pinned=True)
    gone = [{"_id": f"m{number}", "ts": NOW + timedelta(seconds=number)} for number in range(3)]

    record = pruning.record("p", "r", gone, pruning.selection_of(stretch))

    assert record == {
        "_id": "p",
        "__collection__": "prune",
        "rid": "r",
        "first": NOW,
        "last": NOW + timedelta(seconds=2),
        "ids": ["m0", "m1", "m2"],
        "users": ["bo"],
        "excludePinned": True,
        "ignoreDiscussion": False,
    }


@pytest.mark.parametrize("attachments", [None, "x", [], [{"type": "file"}], ["x"]])
def test_a_message_says_that_its_file_is_gone(attachments: Any) -> None:
    """In place of the file's attachment; others stay."""
    left = pruning.without_files({"attachments": attachments})
    assert left[-1] == {"color": "#FD745E", "text": "_File removed by prune_"}
    assert {"type": "file"} not in left
