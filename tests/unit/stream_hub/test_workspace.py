"""What follows from changes of roles, permissions and settings."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.contracts.events import PermissionsChanged, RolesChanged, SettingsChanged
from tests.unit.stream_hub.made import DATE, WHEN, decided, frame, shown

Shown = tuple[str, str, str, str, bytes]


def _rights(what: bytes) -> Shown:
    return ("everyone", "control", "", "", b'{"type":"rights-changed","what":"%b"}' % what)


ROLE = {"_id": "owner", "name": "owner", "scope": "Subscriptions", "description": "Owner"}
PERMISSION = {"_id": "create-c", "roles": ["admin"]}
SETTING: dict[str, Any] = {
    "_id": "Site_Name",
    "value": "Hubbub",
    "public": True,
    "packageValue": "CANARY",
    "_updatedAt": WHEN,
}


@pytest.mark.parametrize("operation", ["insert", "update", "replace"])
def test_a_role(operation: str) -> None:
    decision = decided("rocketchat_roles", operation, ROLE, updated={"description": "Owner"})
    args = (
        b'[{"type":"changed","_id":"owner","name":"owner","scope":"Subscriptions",'
        b'"description":"Owner"}]'
    )
    assert shown(decision) == [
        _rights(b"roles"),
        ("logged", "frame", "roles", "roles", frame("roles", "roles", args)),
    ]
    assert decision.told == [RolesChanged()]


def test_a_deleted_role() -> None:
    decision = decided("rocketchat_roles", "delete", id_="owner")
    args = b'[{"type":"removed","_id":"owner"}]'
    assert shown(decision)[1] == (
        "logged", "frame", "roles", "roles", frame("roles", "roles", args)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "told"),
    [("insert", b"inserted"), ("update", b"updated"), ("replace", b"updated")],
)
def test_a_permission(operation: str, told: bytes) -> None:
    decision = decided("rocketchat_permissions", operation, PERMISSION, updated={"roles": []})
    args = b'["%b",{"_id":"create-c","roles":["admin"]}]' % told
    key = "permissions-changed"
    assert shown(decision) == [
        _rights(b"permissions"),
        ("logged", "frame", "notify-logged", key, frame("notify-logged", key, args)),
    ]
    assert decision.told == [PermissionsChanged()]


def test_a_deleted_permission_holds_nobody() -> None:
    decision = decided("rocketchat_permissions", "delete", id_="create-c")
    assert b'["removed",{"_id":"create-c","roles":[]}]' in decision.events[1].payload


def _setting(args: bytes) -> list[Shown]:
    key, bundle = "public-settings-changed", b'[["public-settings-changed",%b]]' % args
    return [
        ("everyone", "frame", "notify-all", key, frame("notify-all", key, args)),
        (
            *("everyone", "frame", "notify-all", "public-info"),
            frame("notify-all", "public-info", bundle),
        ),
    ]


def _private(args: bytes) -> Shown:
    key = "private-settings-changed"
    return ("logged", "frame", "notify-logged", key, frame("notify-logged", key, args))


def test_a_public_setting() -> None:
    decision = decided("rocketchat_settings", "update", SETTING, updated={"value": "Hubbub"})
    args = b'["updated",{"_id":"Site_Name","value":"Hubbub"}]'
    assert shown(decision) == [_rights(b"settings"), *_setting(args), _private(args)]
    assert decision.told == [SettingsChanged(setting_id="Site_Name")]


@pytest.mark.parametrize(
    "setting",
    [{**SETTING, "public": False}, {"_id": "X", "value": "Hubbub", "editor": "color", "u": 1}],
)
def test_a_private_setting_is_for_few(setting: dict[str, Any]) -> None:
    decision = decided("rocketchat_settings", "update", setting, updated={"value": "Hubbub"})
    control, told = shown(decision)
    assert control == _rights(b"settings")
    assert told[:4] == ("logged", "frame", "notify-logged", "private-settings-changed")
    assert b'"value":"Hubbub"' in told[4]
    assert b'"u"' not in told[4]
    assert decision.told == [SettingsChanged(setting_id=setting["_id"])]


@pytest.mark.parametrize(
    "setting",
    [
        {"_id": "LDAP_Password", "value": "s3cret"},
        {"_id": "SMTP_Pass", "type": "password", "value": "s3cret"},
        {"_id": "Some", "secret": True, "value": "s3cret"},
        {"_id": "Push_apn_privateKey", "value": "s3cret"},
    ],
)
def test_a_secret_setting_is_told_without_its_value(setting: dict[str, Any]) -> None:
    decision = decided("rocketchat_settings", "update", setting, updated={"value": "s3cret"})
    assert len(decision.events) == 2
    assert all(b"s3cret" not in event.payload for event in decision.events)


def test_a_hidden_setting_is_only_a_cache_matter() -> None:
    hidden = SETTING | {"hidden": True}
    decision = decided("rocketchat_settings", "update", hidden, updated={"value": 1})
    assert shown(decision) == [_rights(b"settings")]
    assert decision.told == [SettingsChanged(setting_id="Site_Name")]


def test_a_setting_that_becomes_private_disappears() -> None:
    private = SETTING | {"public": False}
    decision = decided("rocketchat_settings", "update", private, updated={"public": False})
    assert shown(decision)[1:3] == _setting(b'["removed",{"_id":"Site_Name"}]')


def test_a_deleted_setting_disappears_if_it_was_public() -> None:
    decision = decided("rocketchat_settings", "delete", id_="Site_Name")
    gone = b'["removed",{"_id":"Site_Name"}]'
    assert shown(decision)[1:] == [*_setting(gone), _private(gone)]
    private = shown(decided("rocketchat_settings", "delete", id_="LDAP_Secret"))[1:]
    assert private == [_private(b'["removed",{"_id":"LDAP_Secret"}]')]


STATUS = {"_id": "s1", "name": "lunch", "statusType": "away", "_updatedAt": WHEN}


@pytest.mark.parametrize("operation", ["insert", "update", "replace"])
def test_an_offered_status(operation: str) -> None:
    decision = decided("rocketchat_custom_user_status", operation, STATUS, updated={"name": "l"})
    key = "updateCustomUserStatus"
    args = (
        b'[{"userStatusData":{"_id":"s1","name":"lunch","statusType":"away","_updatedAt":%b}}]'
        % DATE
    )
    assert shown(decision) == [
        ("logged", "frame", "notify-logged", key, frame("notify-logged", key, args))
    ]
    assert decision.told == []


def test_an_offered_status_that_is_gone() -> None:
    decision = decided("rocketchat_custom_user_status", "delete", id_="s1")
    key, args = "deleteCustomUserStatus", b'[{"userStatusData":{"_id":"s1"}}]'
    assert shown(decision) == [
        ("logged", "frame", "notify-logged", key, frame("notify-logged", key, args))
    ]


@pytest.mark.parametrize("collection", ["roles", "permissions", "settings", "custom_user_status"])
def test_a_touched_date_is_no_news(collection: str) -> None:
    document = {"_id": "x", "public": True, "_updatedAt": WHEN}
    decision = decided(f"rocketchat_{collection}", "update", document, updated={"_updatedAt": WHEN})
    assert decision.events == []
    assert decision.told == []
