"""From a payload to a message."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.contracts.integrations import OverrideDisabled
from hubbub.errors import BadRequest
from services.apps_engine.domain.incoming import understood

HOOK: dict[str, Any] = {
    "_id": "hook",
    "channel": ["#general", "@ann"],
    "alias": "CI",
    "emoji": ":gear:",
    "overrideDestinationChannelEnabled": True,
}


def test_nothing_in_it_is_nothing_to_say() -> None:
    assert understood({}, HOOK) is None
    assert understood({"text": None}, HOOK) is None


def test_the_integrations_own_values_stand_in() -> None:
    wanted = understood({"text": " hi "}, HOOK)
    assert wanted is not None
    assert wanted.channels == ("#general", "@ann")
    assert not wanted.chosen
    message = wanted.message("m", "r")
    assert (message.text, message.alias, message.emoji) == ("hi", "CI", ":gear:")
    assert message.bot == {"i": "hook"}
    assert message.groupable is False
    assert message.parse_urls is True


def test_two_names_for_everything() -> None:
    wanted = understood(
        {
            "text": "a",
            "msg": "b",
            "username": "c",
            "alias": "d",
            "icon_url": "https://e.org/x.png",
            "icon_emoji": ":x:",
            "tmid": "t",
            "attachments": [{"msg": " in it ", "color": "#fff"}],
        },
        HOOK,
    )
    assert wanted is not None
    message = wanted.message("m", "r")
    assert (message.text, message.alias, message.thread_id) == ("a", "c", "t")
    assert (message.avatar, message.emoji) == ("https://e.org/x.png", None)
    assert message.attachments == [{"text": "in it", "color": "#fff"}]
    assert message.parse_urls is False


def test_a_payload_cannot_sign_for_another_or_set_what_is_the_servers() -> None:
    forged = {"text": "x", "bot": {"i": "other"}, "u": {"_id": "root"}, "ts": 0, "_id": "z"}
    wanted = understood({**forged, "t": "uj", "groupable": True, "rid": "elsewhere"}, HOOK)
    assert wanted is not None
    message = wanted.message("m", "r")
    assert (message.id, message.room_id, message.bot) == ("m", "r", {"i": "hook"})
    assert message.system_type is None
    assert message.sent_at is None


@pytest.mark.parametrize("name", ["channel", "roomId"])
def test_choosing_a_room_must_be_allowed(name: str) -> None:
    with pytest.raises(OverrideDisabled):
        understood({"text": "x", name: ["a"]}, HOOK | {"overrideDestinationChannelEnabled": False})
    wanted = understood({"text": "x", name: "#other"}, HOOK)
    assert wanted is not None
    assert wanted.channels == ("#other",)
    assert wanted.chosen


def test_each_room_once() -> None:
    wanted = understood({"text": "x", "channel": ["#a", "b", "#a"], "separateResponse": True}, HOOK)
    assert wanted is not None
    assert wanted.channels == ("#a", "b")
    assert wanted.separate


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": {"$ne": None}},
        {"msg": 5},
        {"tmid": {"$gt": ""}},
        {"alias": ["a"]},
        {"icon_url": {"a": 1}},
        {"channel": {"$regex": ".*"}},
        {"channel": [{"$ne": 1}]},
        {"channel": [f"#{n}" for n in range(51)]},
        {"attachments": ["no object"]},
        {"attachments": [{}] * 101},
    ],
)
def test_wrong_types_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as refused:
        understood(wrong, HOOK)
    assert refused.value.code == "invalid-params"


def test_nul_is_refused() -> None:
    wanted = understood({"text": "a\x00b"}, HOOK)
    assert wanted is not None
    with pytest.raises(BadRequest):
        wanted.message("m", "r")


def test_scripts_of_another_server_are_not_run() -> None:
    """Nor is the payload posted without what they would have made of it."""
    with pytest.raises(BadRequest) as refused:
        understood({"text": "x"}, HOOK | {"scriptEnabled": True, "script": "class Script {}"})
    assert refused.value.code == "error-scripts-disabled"
    assert understood({"text": "x"}, HOOK | {"scriptEnabled": True, "script": ""}) is not None


def test_attachments_that_are_no_list_are_overlooked() -> None:
    wanted = understood({"text": "x", "attachments": {"text": "y"}}, HOOK)
    assert wanted is not None
    assert wanted.message("m", "r").attachments is None
