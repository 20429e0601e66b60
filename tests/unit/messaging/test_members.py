"""What a member may be made, and what a membership keeps of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hubbub.contracts.members import LastOwnerRemains, RoleUnchanged, RoomRole
from hubbub.contracts.rooms import NotInRoom
from hubbub.errors import BadRequest
from services.messaging.domain import departures, invites, members
from services.messaging.domain.departures import Erasure
from services.messaging.domain.sending import Person

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("roles", "role", "given", "owners", "code"),
    [
        pytest.param(["owner"], RoomRole.OWNER, True, 1, "error-user-already-owner", id="twice"),
        pytest.param([], RoomRole.LEADER, False, 1, "error-user-not-leader", id="never"),
        pytest.param(["owner"], RoomRole.OWNER, False, 0, "error-remove-last-owner", id="last"),
        pytest.param(["owner"], RoomRole.OWNER, False, 1, None, id="one of two"),
        pytest.param(["owner"], RoomRole.MODERATOR, True, 0, None, id="another role"),
        pytest.param(None, RoomRole.OWNER, True, 0, None, id="first owner"),
        pytest.param("owner", RoomRole.OWNER, True, 0, None, id="no list"),
    ],
)
def test_roles_that_can_change(
    roles: Any, role: RoomRole, given: bool, owners: int, code: str | None
) -> None:
    membership = {"roles": roles}
    if code is None:
        members.check_role(membership, role, owners, given=given)
        return
    with pytest.raises((RoleUnchanged, LastOwnerRemains)) as refused:
        members.check_role(membership, role, owners, given=given)
    assert refused.value.code == code


def test_only_members_have_roles() -> None:
    with pytest.raises(NotInRoom):
        members.check_role(None, RoomRole.OWNER, 0, given=True)


def test_roles_keep_their_order() -> None:
    membership = {"roles": ["leader", "owner", 7]}
    assert members.roles_after(membership, RoomRole.MODERATOR, given=True) == [
        "leader",
        "owner",
        "moderator",
    ]
    assert members.roles_after(membership, RoomRole.LEADER, given=False) == ["owner"]


@pytest.mark.parametrize(
    ("room", "muted", "after"),
    [
        pytest.param({}, True, {"muted": ["bob"], "unmuted": []}, id="muted"),
        pytest.param({"muted": ["bob"]}, True, None, id="muted already"),
        pytest.param({}, False, None, id="never muted"),
        pytest.param(
            {"muted": ["ann", "bob"]}, False, {"muted": ["ann"], "unmuted": []}, id="unmuted"
        ),
        pytest.param({"ro": True}, False, {"muted": [], "unmuted": ["bob"]}, id="free to write"),
        pytest.param({"ro": True, "unmuted": ["bob"]}, False, None, id="free already"),
        pytest.param(
            {"ro": True, "unmuted": ["bob"]},
            True,
            {"muted": ["bob"], "unmuted": []},
            id="not free any more",
        ),
        pytest.param({"muted": "bob"}, True, {"muted": ["bob"], "unmuted": []}, id="no list"),
    ],
)
def test_who_may_speak(room: dict[str, Any], muted: bool, after: dict[str, Any] | None) -> None:
    assert members.silenced(room, "bob", muted=muted) == after


def test_direct_rooms_are_named_after_the_others() -> None:
    ann, bob, cat = Person("1", "ann", "Ann"), Person("2", "bob"), Person("3", "cat", "Cat")
    assert members.direct_names("1", [ann, bob]) == ("bob", "bob")
    assert members.direct_names("2", [cat, bob, ann]) == ("ann, cat", "Ann, Cat")
    assert members.direct_names("1", [ann]) == ("ann", "Ann")


@pytest.mark.parametrize(
    ("wanted", "fields"),
    [
        (
            {"emailNotifications": "nothing"},
            {"emailNotifications": "nothing", "emailPrefOrigin": "subscription"},
        ),
        (
            {"mobilePushNotifications": "default"},
            {"mobilePushNotifications": None, "mobilePrefOrigin": None},
        ),
        ({"unreadAlert": "default"}, {"unreadAlert": None}),
        ({"hideUnreadStatus": "1"}, {"hideUnreadStatus": True}),
        ({"muteGroupMentions": False}, {"muteGroupMentions": False}),
        ({"audioNotificationValue": "chime"}, {"audioNotificationValue": "chime"}),
        ({"audioNotificationValue": "default"}, {"audioNotificationValue": None}),
    ],
)
def test_notification_settings(wanted: dict[str, Any], fields: dict[str, Any]) -> None:
    assert members.notification_fields(wanted) == fields


@pytest.mark.parametrize(
    "wanted",
    [
        {"roles": ["owner"]},
        {"desktopNotifications": "loud"},
        {"desktopNotifications": {"$gt": ""}},
        {"disableNotifications": "2"},
        {"disableNotifications": []},
        {"audioNotificationValue": "x" * 65},
        {"audioNotificationValue": None},
        {"$set": 1},
    ],
)
def test_odd_notification_settings(wanted: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as refused:
        members.notification_fields(wanted)
    assert refused.value.code == "error-invalid-settings"


def test_an_invitation_ends() -> None:
    """With its days, or with its uses."""
    invite = invites.invite("i", "r", "u", 7, 5, NOW)

    assert invites.is_valid(invite, NOW + timedelta(days=6))
    assert not invites.is_valid(invite, NOW + timedelta(days=7))
    assert invites.is_valid(invite | {"uses": 4}, NOW)
    assert not invites.is_valid(invite | {"uses": 5}, NOW)
    endless = invites.invite("i", "r", "u", 0, 0, NOW)
    assert invites.is_valid(endless | {"uses": 1_000_000}, NOW + timedelta(days=10_000))


def test_an_invitation_has_a_link() -> None:
    shown = invites.view(invites.invite("i", "r", "u", 1, 1, NOW) | {"x": 1}, "https://a.b/")

    assert shown["url"] == "https://a.b/invite/i"
    assert "x" not in shown


@pytest.mark.parametrize("setting", [None, 1, "delete", {"$gt": ""}])
def test_an_odd_setting_erases(setting: Any) -> None:
    assert departures.erasure_of(setting) is Erasure.DELETE


def test_a_departure_names_rooms() -> None:
    """By their ids where another tool left the name out."""
    found = departures.departure(
        [
            {"rid": "r1", "name": "one", "alone": False},
            {"rid": "r2", "name": None, "alone": True},
        ]
    )

    assert (found.should_change_owner, found.should_be_removed) == (["one"], ["r2"])
    assert not found.is_free
    assert departures.departure([]).is_free
