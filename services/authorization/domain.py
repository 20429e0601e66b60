"""Rules of authorization. Pure: no clock, no database, no bus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from hubbub.ids import RoomId

ANONYMOUS_ROLES = frozenset({"anonymous"})
MAX_PARENTS = 8
"""Discussions inside discussions that are followed upwards; deeper ones count as not accessible."""

Grants = Mapping[str, frozenset[str]]
"""Permission → roles that hold it."""


@dataclass(frozen=True, slots=True)
class Room:
    """What the rules need to know of a room."""

    id: RoomId
    type: str
    """`c`, `p`, `d` or a letter of another maker."""
    team_id: str | None = None
    parent_id: RoomId | None = None
    """The room that a discussion hangs on."""


class Team(Enum):
    """How a user stands to the team that a room belongs to."""

    NONE = "none"
    """The room has no team, or one that is unknown."""
    PUBLIC = "public"
    MEMBER = "member"
    """Of a private team."""
    STRANGER = "stranger"
    """To a private team."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody stands to a room."""

    roles: frozenset[str]
    """Global roles and those held in the room."""
    is_member: bool = False
    is_anonymous: bool = False
    anonymous_read: bool = False
    """The workspace lets strangers read public rooms."""
    team: Team = Team.NONE


class Access(Enum):
    """What the rules say about following a room."""

    YES = "yes"
    NO = "no"
    AS_PARENT = "as-parent"
    """The room's parent decides."""


def role_names(value: object) -> frozenset[str]:
    """Roles as a document lists them; what is no list of texts holds none."""
    if not isinstance(value, list):
        return frozenset()
    return frozenset(name for name in value if isinstance(name, str))


def renames(role: Mapping[str, object], name: str | None, scope: str | None) -> bool:
    """Whether `role` would get another name or scope; None leaves one as it is."""
    # A role of an old server has no name beside its id.
    present = role.get("name") or role.get("_id")
    return (name is not None and name != present) or (
        scope is not None and scope != role.get("scope")
    )


def grants_of(documents: Iterable[Mapping[str, object]], defaults: Grants) -> Grants:
    """Permission documents as grants; `defaults` stand in for documents that are missing."""
    grants = dict(defaults)
    for document in documents:
        grants[str(document["_id"])] = role_names(document.get("roles"))
    return grants


def is_permitted(permission: str, roles: frozenset[str], grants: Grants) -> bool:
    """Whether any of `roles` holds `permission`. An unknown permission is held by nobody."""
    return not grants.get(permission, frozenset()).isdisjoint(roles)


def access(room: Room, standing: Standing, grants: Grants) -> Access:
    """Whether somebody may follow `room`; the first rule that says yes decides.

    1. A public room, unless a private team holds it: strangers if the workspace lets them read,
       others with `view-c-room`. Of a private team: the team's members.
    2. A member with `view-joined-room` or `view-<type>-room`.
    3. A discussion: as its parent.
    """
    if room.type == "c" and _may_follow_public(room, standing, grants):
        return Access.YES
    if standing.is_member and _may_follow_joined(room, standing.roles, grants):
        return Access.YES
    return Access.AS_PARENT if room.parent_id is not None else Access.NO


def may_preview(room: Room, standing: Standing, grants: Grants) -> bool:
    """Whether somebody who may follow `room` may also read in it: who has not joined a public
    room needs `preview-c-room`."""
    if room.type != "c" or standing.is_member:
        return True
    return is_permitted("preview-c-room", standing.roles, grants)


def _may_follow_public(room: Room, standing: Standing, grants: Grants) -> bool:
    if room.team_id is not None and standing.team is not Team.PUBLIC:
        return standing.team is Team.MEMBER
    if standing.is_anonymous:
        return standing.anonymous_read
    return is_permitted("view-c-room", standing.roles, grants)


def _may_follow_joined(room: Room, roles: frozenset[str], grants: Grants) -> bool:
    return is_permitted("view-joined-room", roles, grants) or is_permitted(
        f"view-{room.type}-room", roles, grants
    )
