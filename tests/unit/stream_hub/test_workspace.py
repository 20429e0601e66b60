"""What follows from changes of roles, permissions and settings."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.contracts.events import PermissionsChanged, RolesChanged, SettingsChanged
from tests.unit.stream_hub.made import WHEN, decided, frame, shown

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


def _setting(args: bytes) -> Shown:
    key = "public-settings-changed"
    return ("everyone", "frame", "notify-all", key, frame("notify-all", key, args))


def test_a_public_setting() -> None:
    decision = decided("rocketchat_settings", "update", SETTING, updated={"value": "Hubbub"})
    assert shown(decision) == [
        _rights(b"settings"),
        _setting(b'["updated",{"_id":"Site_Name","value":"Hubbub"}]'),
    ]
    assert decision.told == [SettingsChanged(setting_id="Site_Name")]


@pytest.mark.parametrize(
    "setting", [SETTING | {"public": False}, SETTING | {"hidden": True}, {"_id": "X", "value": 1}]
)
def test_a_private_or_hidden_setting_is_only_a_cache_matter(setting: dict[str, Any]) -> None:
    decision = decided("rocketchat_settings", "update", setting, updated={"value": 1})
    assert shown(decision) == [_rights(b"settings")]
    assert decision.told == [SettingsChanged(setting_id=setting["_id"])]


def test_a_setting_that_becomes_private_disappears() -> None:
    private = SETTING | {"public": False}
    decision = decided("rocketchat_settings", "update", private, updated={"public": False})
    assert shown(decision)[1:] == [_setting(b'["removed",{"_id":"Site_Name"}]')]


def test_a_deleted_setting_disappears_if_it_was_public() -> None:
    decision = decided("rocketchat_settings", "delete", id_="Site_Name")
    assert shown(decision)[1:] == [_setting(b'["removed",{"_id":"Site_Name"}]')]
    assert shown(decided("rocketchat_settings", "delete", id_="LDAP_Secret"))[1:] == []


@pytest.mark.parametrize("collection", ["roles", "permissions", "settings"])
def test_a_touched_date_is_no_news(collection: str) -> None:
    document = {"_id": "x", "public": True, "_updatedAt": WHEN}
    decision = decided(f"rocketchat_{collection}", "update", document, updated={"_updatedAt": WHEN})
    assert decision.events == []
    assert decision.told == []
