"""Documents of rooms, memberships and system messages as they are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from hubbub.contracts.rooms import NewRoom
from hubbub.contracts.workspace import BOT_USER_ID, GENERAL_ROOM_ID, GENERAL_ROOM_NAME
from services.messaging.domain.sending import Person

BOT = Person(BOT_USER_ID, BOT_USER_ID, "Rocket.Cat")


def direct_room_id(user_ids: Sequence[str]) -> str | None:
    """The id of the direct room of one or two users; larger ones have random ids (None)."""
    if len(user_ids) > 2:
        return None
    first, last = min(user_ids), max(user_ids)
    return first + last


def room(
    room_id: str,
    wanted: NewRoom,
    name: str,
    creator: Person,
    members: int,
    now: datetime,
    display_name: str | None = None,
) -> dict[str, Any]:
    """A new channel or private group."""
    document: dict[str, Any] = {
        "_id": room_id,
        "t": wanted.type,
        "name": name,
        "fname": display_name or name,
        "msgs": 0,
        "usersCount": members,
        "u": creator.short_reference,
        "ts": now,
        "lm": now,
        "ro": wanted.read_only,
        "sysMes": True,
        "default": False,
        "broadcast": wanted.broadcast,
        "encrypted": False,
        "_updatedAt": now,
        "seq": 0,
        "countedSeq": 0,
    }
    optional = {
        "customFields": wanted.custom_fields,
        "topic": wanted.topic,
        "description": wanted.description,
        "announcement": wanted.announcement,
    }
    return document | {key: value for key, value in optional.items() if value}


def general_room(now: datetime) -> dict[str, Any]:
    """The room that every new user joins. Nobody owns it."""
    wanted = NewRoom(type="c", name=GENERAL_ROOM_NAME)
    made = room(GENERAL_ROOM_ID, wanted, GENERAL_ROOM_NAME, BOT, 0, now)
    return made | {"default": True}


def direct_room(
    room_id: str, people: Sequence[Person], creator: Person, now: datetime
) -> dict[str, Any]:
    """A new direct room. `people` are its members, each once."""
    by_name = sorted(people, key=lambda person: person.username)
    return {
        "_id": room_id,
        "t": "d",
        "usernames": [person.username for person in by_name],
        "uids": [person.user_id for person in by_name],
        "usersCount": len(by_name),
        "msgs": 0,
        "u": creator.short_reference,
        "ts": now,
        "lm": now,
        "ro": False,
        "sysMes": True,
        "default": False,
        "broadcast": False,
        "encrypted": False,
        "_updatedAt": now,
        "seq": 0,
        "countedSeq": 0,
    }


def membership(
    membership_id: str,
    room: Mapping[str, Any],
    person: Person,
    now: datetime,
    *,
    alert: bool,
    roles: Sequence[str] = (),
) -> dict[str, Any]:
    """A new membership of a channel or private group.

    Args:
        alert: whether the user should notice it: true for all but the room's creator.
    """
    document: dict[str, Any] = {
        "_id": membership_id,
        "rid": room["_id"],
        "t": room["t"],
        "name": room.get("name"),
        "fname": room.get("fname") or room.get("name"),
        "u": person.reference,
        "open": True,
        "alert": alert,
        "unread": 1 if alert else 0,
        "userMentions": 1 if alert else 0,
        "groupMentions": 0,
        "ts": now,
        "ls": now,
        "_updatedAt": now,
    }
    if roles:
        document["roles"] = list(roles)
    for inherited in ("prid", "broadcast", "teamId", "teamMain"):
        if room.get(inherited):
            document[inherited] = room[inherited]
    return document


def direct_membership(
    membership_id: str,
    room: Mapping[str, Any],
    person: Person,
    people: Sequence[Person],
    now: datetime,
    *,
    is_creator: bool,
) -> dict[str, Any]:
    """A new membership of a direct room: it is named after the others.

    With two people the other's list shows it only when something is said; its first message
    opens it.
    """
    others = [one for one in people if one.user_id != person.user_id] or [person]
    others.sort(key=lambda one: one.username)
    return {
        "_id": membership_id,
        "rid": room["_id"],
        "t": "d",
        "name": ", ".join(one.username for one in others),
        "fname": ", ".join(one.name or one.username for one in others),
        "u": person.reference,
        "open": is_creator or len(people) > 2,
        "alert": False,
        "unread": 0,
        "userMentions": 0,
        "groupMentions": 0,
        "ts": now,
        "ls": now,
        "_updatedAt": now,
    }


def system_message(
    message_id: str,
    kind: str,
    text: str,
    *,
    room_id: str,
    actor: Person,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A message that the server writes; `seq` and `ts` come with its commit."""
    return {
        "_id": message_id,
        "t": kind,
        "rid": room_id,
        "msg": text,
        "u": actor.short_reference,
        "groupable": False,
        **(extra or {}),
    }


def refusal(room_id: str, message_id: str, reason: str, now: datetime) -> dict[str, Any]:
    """The message that tells a sender, and only them, why nothing was sent."""
    return {
        "_id": message_id,
        "rid": room_id,
        "msg": reason,
        "ts": now,
        "_updatedAt": now,
        "u": BOT.short_reference,
        "private": True,
        "groupable": False,
    }


def notification(
    message: Mapping[str, Any], room: Mapping[str, Any], room_name: str | None
) -> dict[str, Any]:
    """The desktop notification of a message."""
    author = message.get("u") or {}
    who = author.get("name") or author.get("username") or ""
    direct = room.get("t") == "d"
    payload: dict[str, Any] = {
        "_id": message["_id"],
        "rid": message["rid"],
        "sender": dict(author),
        "type": room.get("t"),
        "message": {"msg": message.get("msg", "")},
    }
    if message.get("tmid"):
        payload["tmid"] = message["tmid"]
    if room_name:
        payload["name"] = room_name
    return {
        "title": f"@{who}" if direct else f"#{room.get('fname') or room.get('name') or ''}",
        "text": message.get("msg", "") if direct else f"{who}: {message.get('msg', '')}",
        "payload": payload,
    }
