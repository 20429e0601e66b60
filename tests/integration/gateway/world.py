"""A small workspace in memory, which the fake services share."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from hubbub.contracts.documents import Page, Paging
from hubbub.contracts.workspace import PERMISSIONS
from hubbub.ids import hash_token

Doc = dict[str, Any]

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@dataclass
class World:
    """Users, rooms, memberships and messages, by id."""

    users: dict[str, Doc] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)  # hashed token → user id
    rooms: dict[str, Doc] = field(default_factory=dict)
    memberships: dict[tuple[str, str], Doc] = field(default_factory=dict)  # (room, user)
    messages: dict[str, Doc] = field(default_factory=dict)
    deleted: list[Doc] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    preferences: dict[str, Doc] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    """User → the second factor that is asked for."""
    revoked: set[str] = field(default_factory=set)
    """Permissions that nobody holds."""
    calls: list[str] = field(default_factory=list)
    """Names of the actions that were entered, in order."""
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def now(self) -> datetime:
        """A moment later than all before."""
        return START + timedelta(milliseconds=next(self._numbers))

    def new_id(self, prefix: str) -> str:
        return f"{prefix}{next(self._numbers)}"

    def add_user(self, username: str, *roles: str, password: str = "secret") -> Doc:
        user_id = f"id-{username}"
        self.users[user_id] = {
            "_id": user_id,
            "username": username,
            "name": username.capitalize(),
            "emails": [{"address": f"{username}@example.org", "verified": False}],
            "roles": list(roles) or ["user"],
            "active": True,
            "type": "user",
            "status": "offline",
            "createdAt": START,
            "_updatedAt": START,
        }
        self.passwords[user_id] = password
        return self.users[user_id]

    def token_for(self, username: str) -> dict[str, str]:
        """Headers of a signed-in call."""
        token = self.new_id("token-")
        self.tokens[hash_token(token)] = f"id-{username}"
        return {"X-Auth-Token": token, "X-User-Id": f"id-{username}"}

    def by_username(self, username: str) -> Doc | None:
        for user in self.users.values():
            if user["username"] == username:
                return user
        folded = [
            user
            for user in self.users.values()
            if user["username"].casefold() == username.casefold()
        ]
        return folded[0] if len(folded) == 1 else None

    def add_room(self, room_type: str, name: str | None, owner: str | None, *members: str) -> Doc:
        room_id = self.new_id("room")
        room: Doc = {
            "_id": room_id,
            "t": room_type,
            "msgs": 0,
            "usersCount": 0,
            "ts": self.now(),
            "ro": False,
            "default": False,
            "_updatedAt": self.now(),
        }
        if name is not None:
            room |= {"name": name, "fname": name}
        self.rooms[room_id] = room
        if owner is not None:
            room["u"] = {"_id": f"id-{owner}", "username": owner}
            self.join(room_id, f"id-{owner}", "owner" if room_type != "d" else None)
        for member in members:
            self.join(room_id, f"id-{member}")
        return room

    def join(self, room_id: str, user_id: str, role: str | None = None) -> Doc:
        room, user = self.rooms[room_id], self.users[user_id]
        membership: Doc = {
            "_id": self.new_id("sub"),
            "rid": room_id,
            "t": room["t"],
            "name": room.get("name", user["username"]),
            "u": {"_id": user_id, "username": user["username"], "name": user["name"]},
            "open": True,
            "alert": False,
            "unread": 0,
            "userMentions": 0,
            "groupMentions": 0,
            "ts": self.now(),
            "_updatedAt": self.now(),
        }
        if role:
            membership["roles"] = [role]
        self.memberships[room_id, user_id] = membership
        room["usersCount"] += 1
        return membership

    def leave(self, room_id: str, user_id: str) -> None:
        del self.memberships[room_id, user_id]
        self.rooms[room_id]["usersCount"] -= 1

    def may(self, user_id: str | None, permission: str) -> bool:
        """Whether a user holds a permission of a new workspace."""
        roles = self.users[user_id]["roles"] if user_id else ["anonymous"]
        return permission not in self.revoked and bool(
            set(roles) & set(PERMISSIONS.get(permission, ()))
        )

    def can_see(self, room: Doc, user_id: str | None) -> bool:
        return room["t"] == "c" or (room["_id"], user_id) in self.memberships

    def in_room(self, room_id: str) -> list[Doc]:
        """Messages of a room, newest first."""
        found = [message for message in self.messages.values() if message["rid"] == room_id]
        return sorted(found, key=lambda message: message["ts"], reverse=True)


def page(items: list[Doc], paging: Paging) -> Page:
    """One page, sorted by the first key that was asked for."""
    for key, direction in reversed((paging.sort or {}).items()):
        items = sorted(items, key=lambda item: str(item.get(key)), reverse=direction < 0)
    return Page(items=items[paging.offset : paging.offset + paging.count], total=len(items))
