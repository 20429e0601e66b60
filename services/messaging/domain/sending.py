"""What has to hold for a message to be sent, and what is stored of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from hubbub.contracts.messages import (
    MUTED,
    ActionNotAllowed,
    InvalidMessageId,
    InvalidRoom,
    MessageTooLong,
    NewMessage,
)
from hubbub.contracts.workspace import SYSTEM_MESSAGE_TYPES
from hubbub.ddp import ejson
from hubbub.errors import BadRequest, HubbubError, NotAllowed
from services.messaging.domain import foreign, plain, text
from services.messaging.domain.rules import Rules

CLOCK_TOLERANCE: Final = 60.0  # seconds that a client's clock may be off

RIGHTS: Final = (
    "view-c-room",
    "view-p-room",
    "view-d-room",
    "view-joined-room",
    "post-readonly",
    "mention-all",
    "mention-here",
    "message-impersonate",
)
"""Every permission that a send may need: asked for in one call."""


@dataclass(frozen=True, slots=True)
class Person:
    """A user as messages and memberships carry it."""

    user_id: str
    username: str
    name: str | None = None
    active: bool = True

    @property
    def reference(self) -> dict[str, Any]:
        """`{"_id", "username", "name"}`, the name left out when there is none."""
        fields = {"_id": self.user_id, "username": self.username}
        return fields if self.name is None else fields | {"name": self.name}

    @property
    def short_reference(self) -> dict[str, Any]:
        """`{"_id", "username"}`."""
        return {"_id": self.user_id, "username": self.username}


@dataclass(frozen=True, slots=True)
class Thread:
    """The thread that a reply belongs to."""

    thread_id: str
    followers: tuple[str, ...]
    """User ids that follow it from this reply on, beside those who did before."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that passed every check that needs no database, on its way to its room."""

    message: dict[str, Any]
    """As stored, still without `seq`, `ts` and `_updatedAt`."""
    author: Person
    may_post_readonly: bool = False
    thread: Thread | None = None

    @property
    def message_id(self) -> str:
        return str(self.message["_id"])

    @property
    def in_room(self) -> bool:
        """Whether it shows in the room itself, not only in a thread."""
        return "tmid" not in self.message or self.message.get("tshow") is True


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the names in a text turned out to be."""

    people: Mapping[str, Person] = field(default_factory=dict)  # username → user
    channels: Sequence[Mapping[str, Any]] = ()


def check_shape(
    message: NewMessage, rules: Rules, now: float, *, allow_empty: bool = False
) -> None:
    """The checks that need nothing but the message itself, in the order clients know.

    Args:
        now: seconds since 1970.
        allow_empty: whether a message without text and attachments is one.

    Raises:
        BadRequest, NotAllowed, MessageTooLong.
    """
    if message.show_in_room and not message.thread_id:
        raise BadRequest("tshow provided but missing tmid", code="invalid-params")
    if message.thread_id and not rules.threads:
        raise NotAllowed("Threads are disabled")
    _check_clock(message.sent_at, now)
    if text.utf16_length(message.text) > rules.max_length:
        raise MessageTooLong("Message size exceeds Message_MaxAllowedSize")
    if not (allow_empty or message.text.strip() or message.attachments):
        raise BadRequest("A message needs a text", code="error-empty-message")
    if message.system_type is not None and message.system_type in SYSTEM_MESSAGE_TYPES:
        raise NotAllowed("Cannot send system messages using 'sendMessage'")
    plain.check_storable(message.text)
    if message.attachments:
        plain.check_attachments(message.attachments)
        _check_attachment_length(message.attachments, rules)
    if message.custom_fields:
        plain.check_custom_fields(message.custom_fields)
    if message.bot:
        plain.check_storable(message.bot)
    for label in (message.alias, message.avatar, message.emoji):
        plain.check_storable(label)
    if message.avatar and not plain.is_safe_link(message.avatar):
        raise BadRequest("avatar is not a link to the web", code="invalid-params")


def check_rights(message: NewMessage, room_type: str, held: Collection[str]) -> None:
    """Whether permissions allow it. Membership is judged later, with the commit.

    Raises:
        NotAllowed, ActionNotAllowed.
    """
    if not {"view-joined-room", f"view-{room_type}-room"}.intersection(held):
        raise NotAllowed("Not allowed")
    impersonates = message.alias or message.avatar or message.emoji
    if impersonates and "message-impersonate" not in held:
        raise ActionNotAllowed("Not enough permission")


def judge(
    room: Mapping[str, Any] | None, membership: Mapping[str, Any] | None, draft: Draft
) -> HubbubError | None:
    """Why the room does not take this message, or None.

    Called with what the transaction that stores the message sees.
    """
    if room is None:
        return InvalidRoom("Invalid room")
    if membership is None:
        return NotAllowed("You are not a member of this room")
    if room.get("archived") is True:
        return NotAllowed("Room is archived", code="room_is_archived")
    if membership.get("blocked") is True or membership.get("blocker") is True:
        return NotAllowed("Room is blocked", code="room_is_blocked")
    username = draft.author.username
    unmuted = username in foreign.names(room.get("unmuted"))
    if room.get("ro") is True and not draft.may_post_readonly and not unmuted:
        return NotAllowed("You can't send messages because the room is readonly.")
    if username in foreign.names(room.get("muted")):
        return NotAllowed("You have been muted and cannot speak in this room", code=MUTED)
    return None


def draft_of(
    message: NewMessage,
    *,
    message_id: str,
    author: Person,
    room_id: str,
    held: Collection[str],
    resolved: Resolved,
    thread: tuple[str, str] | None = None,
) -> Draft:
    """The message as it will be stored.

    Args:
        thread: id of the thread's first message and its author's user id.
    """
    found = text.mentions(message.text)
    groups = [group for group in sorted(found.groups) if f"mention-{group}" in held]
    people = _mentioned(found, resolved.people)
    document: dict[str, Any] = {
        "_id": message_id,
        "rid": room_id,
        "msg": message.text,
        "u": author.reference,
        "mentions": [{"_id": group, "username": group} for group in groups]
        + [{**person.reference, "type": "user"} for person in people],
        "channels": [dict(channel) for channel in resolved.channels],
        "urls": [{"url": url, "meta": {}} for url in text.urls(message.text)]
        if message.parse_urls
        else [],
    }
    document |= _optional_fields(message)
    if thread is None:
        return Draft(document, author, may_post_readonly="post-readonly" in held)
    thread_id, thread_author = thread
    document["tmid"] = thread_id
    if message.show_in_room:
        document["tshow"] = True
    mentioned = [person.user_id for person in people]
    followers = tuple(
        follower
        for follower in dict.fromkeys((author.user_id, thread_author, *mentioned))
        if follower  # a message of another tool may have no author
    )
    return Draft(
        document,
        author,
        may_post_readonly="post-readonly" in held,
        thread=Thread(thread_id, followers),
    )


def mention_fields(message_text: str, held: Collection[str], resolved: Resolved) -> dict[str, Any]:
    """The fields of a message that are read from its text, for an edit."""
    found = text.mentions(message_text)
    groups = [group for group in sorted(found.groups) if f"mention-{group}" in held]
    people = _mentioned(found, resolved.people)
    return {
        "msg": message_text,
        "mentions": [{"_id": group, "username": group} for group in groups]
        + [{**person.reference, "type": "user"} for person in people],
        "channels": [dict(channel) for channel in resolved.channels],
        "urls": [{"url": url, "meta": {}} for url in text.urls(message_text)],
    }


def is_repeat(stored: Mapping[str, Any], author_id: str, room_id: str) -> bool:
    """Whether a message with the same id is the same send.

    Raises:
        InvalidMessageId: it is somebody else's, or in another room.
    """
    author = stored.get("u")
    own = isinstance(author, Mapping) and author.get("_id") == author_id
    if own and stored.get("rid") == room_id:
        return True
    raise InvalidMessageId("Invalid message id")


def _mentioned(found: text.Mentions, people: Mapping[str, Person]) -> list[Person]:
    mentioned: dict[str, Person] = {}
    for spellings in found.names:
        for spelling in spellings:
            if spelling in people:
                mentioned.setdefault(people[spelling].user_id, people[spelling])
                break
    return list(mentioned.values())


def _optional_fields(message: NewMessage) -> dict[str, Any]:
    fields = {
        "bot": message.bot,
        "attachments": message.attachments,
        "alias": message.alias,
        "avatar": message.avatar,
        "emoji": message.emoji,
        "groupable": message.groupable,
        "customFields": message.custom_fields,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _check_clock(sent_at: Any, now: float) -> None:
    if sent_at is None:
        return
    if not isinstance(sent_at, datetime):
        sent_at = foreign.moment(sent_at)  # old SDKs send ISO text
        if sent_at is None:
            return
    if abs(sent_at.timestamp() - now) > CLOCK_TOLERANCE:
        raise BadRequest(
            "Message timestamp is out of sync with the server",
            code="error-message-ts-out-of-sync",
            details={
                "message_ts": ejson.milliseconds(sent_at),
                "server_ts": ejson.milliseconds(datetime.fromtimestamp(now, UTC)),
            },
        )


def _check_attachment_length(attachments: Sequence[Mapping[str, Any]], rules: Rules) -> None:
    for attachment in attachments:
        shown = attachment.get("text")
        if isinstance(shown, str) and text.utf16_length(shown) > rules.max_length:
            raise MessageTooLong("Message size exceeds Message_MaxAllowedSize")
