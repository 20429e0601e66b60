"""Who may change or delete a message, and what then is stored."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from hubbub.contracts.messages import MUTED, ActionNotAllowed, MessageEdit
from hubbub.errors import BadRequest, NotAllowed
from services.messaging.domain import foreign, plain
from services.messaging.domain.rules import Rules

EDIT_RIGHTS: Final = (
    "edit-message",
    "bypass-time-limit-edit-and-delete",
    "message-impersonate",
    "mention-all",
    "mention-here",
)
DELETE_RIGHTS: Final = (
    "force-delete-message",
    "delete-message",
    "delete-own-message",
    "bypass-time-limit-edit-and-delete",
    "post-readonly",
)

_EDITABLE: Final = frozenset(
    "tshow alias attachments avatar emoji msg content customFields".split()
)
_NOT_COMPARED: Final = frozenset({"_updatedAt", "md", "starred"})
_EMOJI = re.compile(r":?([A-Za-z0-9_+-]{1,64}):?")


class Deletion(Enum):
    """What becomes of a deleted message."""

    REMOVED = "removed"
    HIDDEN = "hidden"
    EMPTIED = "emptied"
    """Stays as a mark that something was deleted."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A change that is allowed in form: only differing, editable fields."""

    fields: Mapping[str, Any]

    @property
    def text(self) -> str | None:
        """The new text, None when it stays."""
        return self.fields.get("msg")


def may_edit(
    message: Mapping[str, Any],
    user_id: str,
    held: Collection[str],
    rules: Rules,
    now: datetime,
    *,
    is_member: bool,
) -> None:
    """Raises: ActionNotAllowed; BadRequest: `error-message-editing-blocked`: too old."""
    own = _author_id(message) == user_id
    allowed = "edit-message" in held or (own and rules.allow_editing)
    if not is_member or not allowed or message.get("t"):
        raise ActionNotAllowed("Message editing not allowed")
    if _is_too_old(message, rules.edit_minutes, held, now):
        raise BadRequest("Message editing is blocked", code="error-message-editing-blocked")


def edit_of(edit: MessageEdit, stored: Mapping[str, Any]) -> Edit:
    """What `edit` really changes of `stored`.

    Clients send the whole message back: a field that may not be edited is fine as long as it
    is what is stored.

    Raises:
        BadRequest: `error-invalid-update-key`.
    """
    wanted: dict[str, Any] = dict(edit.model_extra or {})
    if edit.room_id is not None:
        wanted["rid"] = edit.room_id
    if edit.text is not None:
        wanted["msg"] = edit.text
    changed: dict[str, Any] = {}
    for key, value in wanted.items():
        if _same(key, value, stored.get(key)):
            continue
        if key not in _EDITABLE:
            raise BadRequest(f"Cannot update the message {key}", code="error-invalid-update-key")
        changed[key] = value
    _check_edit(changed)
    return Edit(changed)


def may_delete(
    message: Mapping[str, Any],
    room: Mapping[str, Any],
    user_id: str,
    username: str,
    held: Collection[str],
    rules: Rules,
    now: datetime,
    *,
    is_member: bool,
) -> None:
    """Raises: ActionNotAllowed."""
    if "force-delete-message" in held:
        return
    read_only = room.get("ro") is True and "post-readonly" not in held
    silenced = username in foreign.names(room.get("muted")) or (
        read_only and username not in foreign.names(room.get("unmuted"))
    )
    own = _author_id(message) == user_id
    allowed = "delete-message" in held or (
        own and "delete-own-message" in held and rules.allow_deleting
    )
    too_old = _is_too_old(message, rules.delete_minutes, held, now)
    if not is_member or silenced or not allowed or too_old:
        raise ActionNotAllowed("Not allowed")


def deletion_of(message: Mapping[str, Any], rules: Rules) -> Deletion:
    """What becomes of `message` when it is deleted."""
    if rules.show_deleted or foreign.number(message.get("tcount")) > 0:
        return Deletion.EMPTIED
    return Deletion.HIDDEN if rules.keep_history else Deletion.REMOVED


def emptied_fields(editor: Mapping[str, Any]) -> dict[str, Any]:
    """What a deleted message that stays visible is set to, beside `editedAt`."""
    return {
        "t": "rm",
        "msg": "",
        "urls": [],
        "mentions": [],
        "channels": [],
        "attachments": [],
        "reactions": {},
        "editedBy": dict(editor),
    }


def emoji_of(reaction: str) -> str:
    """A reaction's key, `:name:`. Raises: NotAllowed: no emoji."""
    match = _EMOJI.fullmatch(reaction)
    if match is None:
        raise NotAllowed("Invalid emoji provided.")
    return f":{match[1]}:"


def may_react(room: Mapping[str, Any], username: str, held: Collection[str]) -> None:
    """Raises: NotAllowed: muted, or a read-only room where only few may react."""
    if username in foreign.names(room.get("muted")):
        raise NotAllowed("You have been muted and cannot speak in this room", code=MUTED)
    read_only = room.get("ro") is True and room.get("reactWhenReadOnly") is not True
    excepted = "post-readonly" in held or username in foreign.names(room.get("unmuted"))
    if read_only and not excepted:
        raise NotAllowed("You can't react because the room is readonly.")


def has_reacted(message: Mapping[str, Any], emoji: str, username: str) -> bool:
    """Whether `username` is among those who reacted with `emoji`."""
    reactions = message.get("reactions")
    reaction = reactions.get(emoji) if isinstance(reactions, Mapping) else None
    usernames = reaction.get("usernames") if isinstance(reaction, Mapping) else None
    return username in foreign.names(usernames)


def _check_edit(changed: Mapping[str, Any]) -> None:
    for key, value in changed.items():
        if key in {"msg", "alias", "avatar", "emoji"} and not isinstance(value, str):
            raise BadRequest("Match failed", code=400)
        if key == "tshow" and not isinstance(value, bool):
            raise BadRequest("Match failed", code=400)
        if key == "attachments":
            if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
                raise BadRequest("Match failed", code=400)
            plain.check_attachments(value)
        elif key == "customFields":
            if not isinstance(value, dict):
                raise BadRequest("Match failed", code=400)
            plain.check_custom_fields(value)
        else:
            plain.check_storable(value)
    avatar = changed.get("avatar")
    if avatar and not plain.is_safe_link(avatar):
        raise BadRequest("avatar is not a link to the web", code="invalid-params")


def _same(key: str, value: Any, stored: Any) -> bool:
    if key in _NOT_COMPARED or value == stored:
        return True
    if stored is None and not value:
        return True  # SDKs fill absent fields with null, "", [] or false
    if isinstance(stored, datetime):
        sent = foreign.moment(value)
        return sent is not None and abs(sent - stored) < timedelta(milliseconds=1)
    if isinstance(stored, Mapping) and isinstance(value, Mapping) and "_id" in stored:
        return bool(value.get("_id") == stored["_id"])
    return False


def _author_id(message: Mapping[str, Any]) -> Any:
    author = message.get("u")
    return author.get("_id") if isinstance(author, Mapping) else None


def _is_too_old(
    message: Mapping[str, Any], minutes: int, held: Collection[str], now: datetime
) -> bool:
    if minutes <= 0 or "bypass-time-limit-edit-and-delete" in held:
        return False
    sent = foreign.moment(message.get("ts"))
    return sent is not None and now - sent > timedelta(minutes=minutes)
