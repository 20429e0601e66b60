"""What an integration is made of."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hubbub.contracts.documents import Paging
from hubbub.contracts.integrations import IntegrationFields, IntegrationKind, InvalidIntegration
from hubbub.contracts.workspace import PERMISSIONS
from services.apps_engine.domain import integrations as rules

INCOMING, OUTGOING = IntegrationKind.INCOMING, IntegrationKind.OUTGOING
IN: dict[str, Any] = {
    "name": "ci",
    "enabled": True,
    "username": "rocket.cat",
    "channel": "#general",
}
OUT: dict[str, Any] = {
    **IN,
    "event": "sendMessage",
    "urls": ["https://example.org/hook"],
    "triggerWords": ["!deploy"],
}


def settled(kind: IntegrationKind, stored: Any = None, **fields: Any) -> dict[str, Any]:
    return rules.settled(kind, IntegrationFields.model_validate(fields), stored)


def test_the_permissions_exist() -> None:
    assert set(rules.PERMISSIONS) <= PERMISSIONS.keys()
    assert len(set(rules.PERMISSIONS)) == 4


def test_an_incoming_one() -> None:
    found = settled(INCOMING, **{**IN, "channel": " #general, @ann ,#general"})
    assert found["channel"] == ["#general", "@ann"]
    assert found["overrideDestinationChannelEnabled"] is False
    assert found["scriptEnabled"] is False
    assert "urls" not in found


def test_an_outgoing_one() -> None:
    found = settled(OUTGOING, **OUT)
    assert found["urls"] == ["https://example.org/hook"]
    assert (found["retryCount"], found["retryDelay"]) == (6, "powers-of-ten")
    assert found["runOnEdits"] is False


@pytest.mark.parametrize(
    ("kind", "wrong", "code"),
    [
        (INCOMING, {"username": " "}, "error-invalid-username"),
        (INCOMING, {"channel": ""}, "error-invalid-channel"),
        (INCOMING, {"channel": " , "}, "error-invalid-channel"),
        (INCOMING, {"channel": "#"}, "error-invalid-channel"),
        (INCOMING, {"channel": ",".join(f"#r{n}" for n in range(51))}, "error-invalid-channel"),
        (INCOMING, {"channel": "general"}, "error-invalid-channel-start-with-chars"),
        (INCOMING, {"channel": "all_public_channels"}, "error-invalid-channel-start-with-chars"),
        (INCOMING, {"scriptEnabled": True}, "error-scripts-disabled"),
        (OUTGOING, {"scriptEnabled": True}, "error-scripts-disabled"),
        (OUTGOING, {"event": "nothing"}, "error-invalid-event-type"),
        (OUTGOING, {"event": "__proto__"}, "error-invalid-event-type"),
        (OUTGOING, {"username": ""}, "error-invalid-username"),
        (OUTGOING, {"urls": []}, "error-invalid-urls"),
        (OUTGOING, {"urls": [" "]}, "error-invalid-urls"),
        (OUTGOING, {"urls": ["file:///etc/passwd"]}, "error-invalid-urls"),
        (OUTGOING, {"urls": ["https://a:b@example.org"]}, "error-invalid-urls"),
        (OUTGOING, {"urls": [f"https://e.org/{n}" for n in range(11)]}, "error-invalid-urls"),
        (OUTGOING, {"event": "userCreated"}, "error-invalid-targetRoom"),
        (OUTGOING, {"channel": "general"}, "error-invalid-channel-start-with-chars"),
        (OUTGOING, {"triggerWords": ["x" * 201]}, "error-invalid-triggerWords"),
        (OUTGOING, {"retryDelay": "sometimes"}, "error-invalid-retryDelay"),
    ],
)
def test_what_is_wrong_has_a_code(kind: IntegrationKind, wrong: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidIntegration) as refused:
        settled(kind, **{**(IN if kind is INCOMING else OUT), **wrong})
    assert refused.value.code == code


@pytest.mark.parametrize("name", ["username", "channel", "urls", "triggerWords", "token", "event"])
@pytest.mark.parametrize("value", [{"$ne": None}, {"$gt": ""}, 7, [{"$regex": ".*"}]])
def test_operators_are_no_texts(name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        IntegrationFields.model_validate({**OUT, name: value})


def test_nobody_sets_what_is_the_servers() -> None:
    forged = {"userId": "x", "_createdBy": {"_id": "x"}, "_id": "x", "type": "x", "script": "x"}
    found = settled(INCOMING, **IN, **forged)
    assert found["type"] == "webhook-incoming"
    assert not {"userId", "_createdBy", "_id", "script"} & found.keys()


def test_scopes_in_any_case_and_events_without_rooms() -> None:
    assert settled(OUTGOING, **{**OUT, "channel": "ALL_Public_Channels"})["channel"] == [
        "all_public_channels"
    ]
    assert settled(OUTGOING, **{**OUT, "event": "roomCreated"})["channel"] == []


def test_a_change_keeps_what_it_does_not_name() -> None:
    stored = settled(OUTGOING, **OUT, retryFailedCalls=True, retryCount=3, alias="bot")
    found = settled(OUTGOING, stored, enabled=False, retryCount=99)
    assert found == {**stored, "enabled": False, "retryCount": rules.MOST_RETRIES}


def test_rights() -> None:
    own = rules.rights(INCOMING, {"manage-own-incoming-integrations"})
    mine, theirs = {"_createdBy": {"_id": "me"}}, {"_createdBy": {"_id": "you"}}
    assert own.some
    assert own.cover(mine, "me")
    assert not own.cover(theirs, "me")
    assert rules.rights(INCOMING, {"manage-incoming-integrations"}).cover(theirs, "me")
    assert not rules.rights(OUTGOING, {"manage-incoming-integrations"}).some


def test_pages_are_newest_first_or_as_asked() -> None:
    some = [{"_id": str(n), "name": name, "_createdAt": None} for n, name in enumerate("bca")]
    found = rules.page_of(some, Paging(count=2, sort={"name": 1, "token": -1}))
    assert [one["name"] for one in found.items] == ["a", "b"]
    assert found.total == 3
