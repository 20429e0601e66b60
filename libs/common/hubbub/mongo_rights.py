"""What each service may do in MongoDB: one table. Pure.

Every service is a user of its own: only account and presence write to users, only messaging to
messages; the audit log grows and nobody takes anything out of it; streamers and the operator have
no account at all. Collections and indexes are made by the user
`migrate` (`hubbub migrate expand`), so a service has no right to make, change or drop any:
an index that lets documents expire would be a way of deleting them.

`hubbub mongo-users` makes roles and users of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

Document = dict[str, Any]
Actions = tuple[str, ...]

MIGRATE: Final = "migrate"
"""The user that makes collections and indexes; no process of a running Hubbub is it."""

READ: Final[Actions] = ("find",)
APPEND: Final[Actions] = ("find", "insert")
WRITE: Final[Actions] = ("find", "insert", "update", "remove")

_PREPARE: Final[Actions] = (
    "collMod",
    "collStats",
    "createCollection",
    "createIndex",
    "dropIndex",
    "listCollections",
    "listIndexes",
)

# What the workspace is set to, and which version the database was made ready for.
_ALL: Final[Mapping[str, Actions]] = {"hubbub_schema": READ, "rocketchat_settings": READ}

COLLECTIONS: Mapping[str, Mapping[str, Actions]] = MappingProxyType(
    {
        "account": {
            **_ALL,
            "users": WRITE,
            "hubbub_once": WRITE,
            "hubbub_login_failures": WRITE,
            "hubbub_audit": APPEND,
        },
        "apps-engine": {
            **_ALL,
            "hubbub_app_jobs": WRITE,
            "hubbub_app_logs": WRITE,
            "hubbub_app_packages": WRITE,
            "hubbub_app_store": WRITE,
            "rocketchat_apps": WRITE,
            "rocketchat_integration_history": WRITE,
            "rocketchat_integrations": WRITE,
        },
        "authorization": {
            **_ALL,
            "rocketchat_roles": WRITE,
            "rocketchat_permissions": WRITE,
            "rocketchat__trash": WRITE,
            "rocketchat_room": READ,
            "rocketchat_subscription": READ,
            "rocketchat_team": READ,
            "rocketchat_team_member": READ,
            "users": READ,
        },
        "gateway": {
            **_ALL,
            "hubbub_rest_rates": WRITE,
            "hubbub_rounds": WRITE,
            "rocketchat__trash": WRITE,
            "rocketchat_avatars": WRITE,
            "rocketchat_custom_emoji": WRITE,
            "rocketchat_custom_emoji_pictures": WRITE,
            "rocketchat_uploads": WRITE,
            "rocketchat_uploads.chunks": WRITE,
            "rocketchat_uploads.files": WRITE,
            "users": READ,
        },
        "messaging": {
            **_ALL,
            "hubbub_chores": WRITE,
            "rocketchat__trash": WRITE,
            "rocketchat_invites": WRITE,
            "rocketchat_message": WRITE,
            "rocketchat_moderation_reports": WRITE,
            "rocketchat_room": WRITE,
            "rocketchat_settings": WRITE,
            "rocketchat_statistics": WRITE,
            "rocketchat_subscription": WRITE,
            "users": READ,
        },
        "presence": {
            **_ALL,
            "hubbub_once": WRITE,
            "rocketchat_custom_user_status": WRITE,
            "users": ("find", "update"),
            "usersSessions": WRITE,
        },
        "push": {**_ALL, "_raix_push_app_tokens": WRITE, "users": READ},
        "stream-hub": {"hubbub_leases": ("find", "insert", "update")},
    }
)
"""Service → collection → what it may do there."""

WHOLE_DATABASE: Mapping[str, Actions] = MappingProxyType(
    {
        # It reads every change, what stood there before, and looks rooms and people up.
        "stream-hub": ("find", "changeStream"),
        MIGRATE: ("find", *_PREPARE),
    }
)
"""User → what it may do in every collection of the database."""

_MIGRATING: Final[Mapping[str, Actions]] = {
    "hubbub_leases": WRITE,
    "hubbub_schema": ("find", "insert", "update"),
}


def users() -> tuple[str, ...]:
    """Everybody who has an account: no streamer, no operator."""
    return (*COLLECTIONS, MIGRATE)


def role_name(user: str, database: str) -> str:
    """The role of a user of `database`. It is a role of `admin`: the stream-hub's reaches beyond
    the database."""
    return f"{database}-{user}"


def privileges(user: str, database: str) -> list[Document]:
    """What the role of `user` lets it do, as `createRole` wants it."""
    collections = COLLECTIONS.get(user, _MIGRATING)
    found = [_privilege(database, name, collections[name]) for name in sorted(collections)]
    if user in WHOLE_DATABASE:
        found.append(_privilege(database, "", WHOLE_DATABASE[user]))
    if user == "stream-hub":
        # How far the database's history reaches back, for a metric and an alert.
        found.append(_privilege("local", "oplog.rs", READ))
    return found


def _privilege(database: str, collection: str, actions: Sequence[str]) -> Document:
    return {"resource": {"db": database, "collection": collection}, "actions": list(actions)}
