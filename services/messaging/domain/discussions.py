"""What a discussion is made of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from hubbub.contracts.discussions import NewDiscussion
from hubbub.contracts.rooms import NewRoom
from services.messaging.domain import records
from services.messaging.domain.sending import Person

_QUOTED: Final = 1000  # characters of a quoted message


def room(
    room_id: str,
    name: str,
    parent: Mapping[str, Any],
    about: Mapping[str, Any] | None,
    wanted: NewDiscussion,
    creator: Person,
    now: datetime,
) -> dict[str, Any]:
    """A new discussion, without the number of its members.

    It is public where its parent is public, else private. People know it by its display name;
    `name`, which has to be unique, means nothing.
    """
    text = (about or {}).get("msg")
    new = NewRoom(
        type="c" if parent.get("t") == "c" else "p",
        name=name,
        topic=wanted.topic or _name_of(parent),
        description=text[:_QUOTED] if isinstance(text, str) else None,
    )
    document = records.room(room_id, new, name, creator, 0, now, wanted.name.strip())
    document["prid"] = parent["_id"]
    if about is not None:
        document["pmid"] = about["_id"]
    return document


def quote(message: Mapping[str, Any], parent: Mapping[str, Any]) -> dict[str, Any]:
    """A message as an attachment of another one."""
    author = message.get("u")
    username = author.get("username") if isinstance(author, Mapping) else None
    text = message.get("msg")
    quoted: dict[str, Any] = {
        "text": text[:_QUOTED] if isinstance(text, str) else "",
        "author_name": username,
        "author_icon": f"/avatar/{username}",
        "message_link": _link(message, parent),
        "ts": message.get("ts"),
    }
    attachments = message.get("attachments")
    if isinstance(attachments, list) and attachments:
        quoted["attachments"] = attachments[:10]
    return {key: value for key, value in quoted.items() if value is not None}


def _link(message: Mapping[str, Any], parent: Mapping[str, Any]) -> str:
    kind, name = ("channel", parent.get("name")) if parent.get("t") == "c" else ("group", None)
    if parent.get("t") == "d":
        kind = "direct"
    elif kind == "group":
        name = parent.get("name")
    return f"/{kind}/{name or parent['_id']}?msg={message['_id']}"


def _name_of(parent: Mapping[str, Any]) -> str | None:
    name = parent.get("fname") or parent.get("name")
    return name if isinstance(name, str) else None
