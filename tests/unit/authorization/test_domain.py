"""The rules of authorization."""

from __future__ import annotations

import pytest

from hubbub.contracts.workspace import PERMISSIONS
from hubbub.ids import RoomId
from services.authorization.domain import (
    ANONYMOUS_ROLES,
    Access,
    Room,
    Standing,
    Team,
    access,
    grants_of,
    is_permitted,
    may_preview,
    role_names,
)

GRANTS = {name: frozenset(roles) for name, roles in PERMISSIONS.items()}
USER = frozenset({"user"})
GUEST = frozenset({"guest"})
NOBODY: frozenset[str] = frozenset()
YES, NO, AS_PARENT = Access.YES, Access.NO, Access.AS_PARENT
STRANGER = Standing(ANONYMOUS_ROLES, is_anonymous=True)
READER = Standing(ANONYMOUS_ROLES, is_anonymous=True, anonymous_read=True)


def room(
    kind: str, *, team: str | None = None, parent: str | None = None, room_id: str = "r"
) -> Room:
    return Room(RoomId(room_id), kind, team, RoomId(parent) if parent else None)


@pytest.mark.parametrize(
    ("where", "who", "verdict"),
    [
        # public rooms
        pytest.param(room("c"), Standing(USER), YES, id="c-user"),
        pytest.param(room("c"), Standing(USER, is_member=True), YES, id="c-member"),
        pytest.param(room("c"), Standing(GUEST), NO, id="c-guest-outside"),
        pytest.param(room("c"), Standing(GUEST, is_member=True), YES, id="c-guest-inside"),
        pytest.param(room("c"), Standing(NOBODY, is_member=True), NO, id="c-member-without-roles"),
        pytest.param(room("c"), STRANGER, NO, id="c-anonymous"),
        pytest.param(room("c"), READER, YES, id="c-anonymous-allowed-by-the-workspace"),
        # private groups
        pytest.param(room("p"), Standing(USER), NO, id="p-outside"),
        pytest.param(room("p"), Standing(USER, is_member=True), YES, id="p-member"),
        pytest.param(room("p"), Standing(frozenset({"admin"})), NO, id="p-admin-outside"),
        pytest.param(
            room("p"), Standing(frozenset({"bot"}), is_member=True), YES, id="p-bot-joined"
        ),
        pytest.param(room("p"), Standing(NOBODY, is_member=True), NO, id="p-member-without-roles"),
        pytest.param(room("p"), READER, NO, id="p-anonymous"),
        # direct rooms
        pytest.param(room("d"), Standing(USER), NO, id="d-outside"),
        pytest.param(room("d"), Standing(USER, is_member=True), YES, id="d-member"),
        # other kinds
        pytest.param(room("l"), Standing(USER, is_member=True), NO, id="l-user"),
        pytest.param(room("l"), Standing(GUEST, is_member=True), YES, id="l-guest-joined"),
        # teams
        pytest.param(room("c", team="t"), Standing(USER, team=Team.PUBLIC), YES, id="team-public"),
        pytest.param(
            room("c", team="t"), Standing(GUEST, team=Team.PUBLIC), NO, id="team-public-guest"
        ),
        pytest.param(room("c", team="t"), Standing(USER, team=Team.MEMBER), YES, id="team-member"),
        pytest.param(
            room("c", team="t"), Standing(USER, team=Team.STRANGER), NO, id="team-stranger"
        ),
        pytest.param(
            room("c", team="t"),
            Standing(USER, is_member=True, team=Team.STRANGER),
            YES,
            id="team-stranger-in-the-room",
        ),
        pytest.param(
            room("p", team="t"), Standing(USER, team=Team.MEMBER), NO, id="team-private-room"
        ),
        pytest.param(
            room("c", team="t"),
            Standing(ANONYMOUS_ROLES, is_anonymous=True, anonymous_read=True, team=Team.STRANGER),
            NO,
            id="team-private-anonymous",
        ),
        # discussions
        pytest.param(room("p", parent="x"), Standing(USER), AS_PARENT, id="discussion-outside"),
        pytest.param(
            room("p", parent="x"), Standing(USER, is_member=True), YES, id="discussion-inside"
        ),
        pytest.param(room("c", parent="x"), Standing(USER), YES, id="discussion-public"),
    ],
)
def test_access(where: Room, who: Standing, verdict: Access) -> None:
    """Kinds of rooms × how somebody stands to them."""
    assert access(where, who, GRANTS) is verdict


@pytest.mark.parametrize(
    ("where", "who", "allowed"),
    [
        pytest.param(room("c"), Standing(USER), True, id="user"),
        pytest.param(room("c"), Standing(frozenset({"bot"})), False, id="bot-outside"),
        pytest.param(room("c"), Standing(frozenset({"bot"}), is_member=True), True, id="bot-in"),
        pytest.param(room("c"), READER, True, id="anonymous"),
        pytest.param(room("p"), Standing(NOBODY), True, id="not-public"),
    ],
)
def test_preview(where: Room, who: Standing, allowed: bool) -> None:
    """Reading a public room without joining needs a permission of its own."""
    assert may_preview(where, who, GRANTS) is allowed


def test_room_roles_count() -> None:
    """An owner holds what owners hold, a plain member does not."""
    assert is_permitted("edit-room", frozenset({"user", "owner"}), GRANTS)
    assert not is_permitted("edit-room", USER, GRANTS)


def test_unknown_permission_is_held_by_nobody() -> None:
    """Not even by administrators."""
    assert not is_permitted("fly", frozenset({"admin"}), GRANTS)


def test_stored_permissions_win_over_defaults() -> None:
    """A document without roles takes the permission from everybody; a missing one takes none."""
    grants = grants_of(
        [{"_id": "create-c", "roles": []}, {"_id": "own", "roles": ["user"]}, {"_id": "odd"}],
        {"create-c": frozenset({"user"}), "create-d": frozenset({"user"})},
    )

    assert grants == {
        "create-c": frozenset(),
        "create-d": frozenset({"user"}),
        "own": frozenset({"user"}),
        "odd": frozenset(),
    }


@pytest.mark.parametrize("value", [None, "admin", {"admin": True}, 7, [None, 3, ["admin"]]])
def test_what_is_no_list_of_names_gives_no_roles(value: object) -> None:
    """A text is not a list of letters, and never a role."""
    assert role_names(value) == frozenset()
