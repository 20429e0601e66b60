"""When an outgoing webhook is called, and with what. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from hubbub.contracts.workspace import INTERNAL_MESSAGE_FIELDS, PUBLISHED_ROOM_FIELDS
from hubbub.ddp import ejson
from services.apps_engine.domain.integrations import EVENTS, has_script

LONGEST_WAIT: Final = 86_400.0
"""Seconds between two tries, at most."""
SUCCESSES: Final = range(200, 300)
GONE: Final = 410
"""The other server does not want to be called again."""

HEARD: Final[Mapping[str, str]] = {
    "message_sent": "sendMessage",
    "message_updated": "sendMessage",
    "file_uploaded": "fileUploaded",
    "room_created": "roomCreated",
    "room_archived": "roomArchived",
    "member_joined": "roomJoined",
    "member_left": "roomLeft",
    "user_created": "userCreated",
}
"""What happens here → what integrations call it."""

_USER_FIELDS: Final = ("_id", "username", "name", "type", "roles", "active", "createdAt")
_ROOM_FIELDS: Final = PUBLISHED_ROOM_FIELDS - {"lastMessage"}


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that integrations may be told."""

    event: str
    """As integrations call it."""
    at: datetime
    message: Mapping[str, Any] | None = None
    room: Mapping[str, Any] | None = None
    user: Mapping[str, Any] | None = None
    """Who did it, or to whom it happened."""
    mark: str = field(default="")
    """Tells it from everything else of its kind, and is the same when it is told again."""

    @property
    def by_bot(self) -> str | None:
        """The integration or app that said it, by its own word."""
        bot = (self.message or {}).get("bot")
        found = bot.get("i") if isinstance(bot, Mapping) else None
        return found if isinstance(found, str) else None

    @property
    def is_edit(self) -> bool:
        """Whether a message was changed, and not said."""
        return bool((self.message or {}).get("editedAt"))


@dataclass(frozen=True, slots=True)
class Match:
    """That an integration is to be called."""

    word: str | None = None
    """What in the text made it."""


def concerns(integration: Mapping[str, Any], happened: Happened) -> Match | None:
    """Whether an integration is to be told of it.

    Args:
        integration: an outgoing one.
    """
    if integration.get("enabled") is not True or integration.get("event") != happened.event:
        return None
    if has_script(integration):
        return None
    if happened.message is None and (happened.room or {}).get("t") == "d":
        return None  # two people who talk are no room that was made or joined
    uses = EVENTS[happened.event]
    if uses.channel and not selectors(happened).intersection(_listened(integration)):
        return None
    if happened.is_edit and happened.event == "sendMessage" and not integration.get("runOnEdits"):
        return None
    words = texts(integration.get("triggerWords")) if uses.words else []
    if not words:
        return Match()
    text = str((happened.message or {}).get("msg") or "")
    anywhere = integration.get("triggerWordAnywhere") is True
    for word in words:
        if word in text if anywhere else text.startswith(word):
            return Match(word)
    return None


def wanted(integrations: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """What has to be heard of for the enabled ones among `integrations`."""
    enabled = [one for one in integrations if one.get("enabled") is True]
    events = {one.get("event") for one in enabled}
    names = {name for name, event in HEARD.items() if event in events}
    if not any(one.get("runOnEdits") is True for one in enabled):
        names.discard("message_updated")
    if "file_uploaded" in names:
        names.add("message_sent")  # a file comes with the message that shows it
    return frozenset(names)


def is_own_doing(happened: Happened, outgoing_ids: Collection[str]) -> bool:
    """Whether it is the answer of an outgoing integration: those call nobody, or two servers that
    answer each other would never end."""
    return happened.by_bot in outgoing_ids if happened.by_bot else False


def is_told(message: Mapping[str, Any]) -> bool:
    """Whether a message is one that somebody said; not of what the server writes itself."""
    return not message.get("t") and not message.get("_hidden")


def selectors(happened: Happened) -> frozenset[str]:
    """Everything by which an integration may have named the room where it happened."""
    room = happened.room
    if room is None:
        return frozenset()
    room_id, name = str(room.get("_id")), room.get("name")
    match room.get("t"):
        case "d":
            author = (happened.user or {}).get("username")
            people = {f"@{one}" for one in texts(room.get("uids"))}
            people |= {f"@{one}" for one in texts(room.get("usernames")) if one != author}
            return frozenset({"all_direct_messages", *people})
        case "c":
            scope = "all_public_channels"
        case _:
            scope = "all_private_groups"
    named = {f"#{name}"} if isinstance(name, str) and name else set()
    return frozenset({scope, f"#{room_id}", *named})


def body_of(happened: Happened, match: Match, site_url: str) -> dict[str, Any]:
    """What the other server is sent, without the token by which it knows us."""
    room, user, message = happened.room, happened.user or {}, happened.message
    body: dict[str, Any] = {"bot": {"i": happened.by_bot} if happened.by_bot else False}
    if match.word is not None:
        body["trigger_word"] = match.word
    if room is not None:
        body["channel_id"] = room.get("_id")
        body["channel_name"] = room.get("name")
    body |= {"user_id": user.get("_id"), "user_name": user.get("username")}
    body["timestamp"] = happened.at
    if message is not None:
        body |= {
            "message_id": message.get("_id"),
            "timestamp": message.get("ts") or happened.at,
            "text": message.get("msg", ""),
            "siteUrl": site_url,
            "alias": message.get("alias"),
            "tmid": message.get("tmid"),
        }
        if happened.is_edit:
            body["isEdited"] = True
    if happened.event != "sendMessage":
        body |= _documents(happened)
    shown: dict[str, Any] = ejson.to_iso({k: v for k, v in body.items() if v is not None})
    return shown


def wait_before(delay: str, tries: int) -> float:
    """Seconds until the next try, when there were `tries` repetitions before."""
    match delay:
        case "powers-of-two":
            seconds = 2.0 ** min(tries + 1, 30)
        case "increments-of-two":
            seconds = 2.0 * (tries + 1)
        case _:
            seconds = 10.0 ** min(tries + 2, 12) / 1000
    return min(seconds, LONGEST_WAIT)


def call_id(integration_id: str, url: str, happened: Happened) -> str:
    """The id of one call: the same when the event is heard again."""
    parts = orjson.dumps([integration_id, url, happened.event, happened.mark])
    return hashlib.sha256(parts).hexdigest()[:32]


def mark_of(name: str, payload: Mapping[str, Any]) -> str:
    """What tells an event from others, for events that come without a mark."""
    message_id = payload.get("_id") if HEARD.get(name) in ("sendMessage", "fileUploaded") else None
    if isinstance(message_id, str):
        edited = payload.get("editedAt") if name != "file_uploaded" else None
        return f"{message_id}/{ejson.to_iso(edited) if edited else ''}"
    whole = orjson.dumps(ejson.to_iso(dict(payload)), default=str, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(whole).hexdigest()


def _documents(happened: Happened) -> dict[str, Any]:
    """What other events than messages carry as well."""
    found: dict[str, Any] = {}
    if happened.room is not None:
        found["room"] = {k: v for k, v in happened.room.items() if k in _ROOM_FIELDS}
    if happened.user:
        shown = {k: happened.user[k] for k in _USER_FIELDS if k in happened.user}
        found["owner" if happened.event == "roomCreated" else "user"] = shown
    if happened.message is not None:
        found["message"] = {
            k: v for k, v in happened.message.items() if k not in INTERNAL_MESSAGE_FIELDS
        }
    return found


def _listened(integration: Mapping[str, Any]) -> Iterable[str]:
    return texts(integration.get("channel")) or ("all_public_channels",)


def texts(value: Any) -> list[str]:
    """The texts in a list; none where there is no list. Documents may be of another tool."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
