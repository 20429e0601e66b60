"""From what somebody sent to an incoming webhook to the message that it asks for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from hubbub.contracts.integrations import MOST_CHANNELS, OverrideDisabled
from hubbub.contracts.messages import NewMessage
from hubbub.errors import BadRequest
from services.apps_engine.domain.integrations import has_script

MOST_ATTACHMENTS: Final = 100
OVERRIDES: Final = ("channel", "roomId")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be said, and where."""

    fields: dict[str, Any]
    """Of the message, by their names on the wire; still without its id and its room."""
    channels: tuple[str, ...]
    """`#name`, `@name`, or a name or id without either."""
    chosen: bool
    """Whether the payload chose the channels itself."""
    separate: bool = field(default=False)
    """Whether each channel has an answer of its own."""

    def message(self, message_id: str, room_id: str) -> NewMessage:
        """The message, for one room. Raises: BadRequest: a field is not what it should be."""
        try:
            return NewMessage.model_validate({**self.fields, "_id": message_id, "rid": room_id})
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise BadRequest(f"{where} must be valid", code="invalid-params") from None


def understood(payload: Mapping[str, Any], integration: Mapping[str, Any]) -> Wanted | None:
    """What a payload asks for; None: nothing.

    Raises: OverrideDisabled; BadRequest: `invalid-params`, `error-scripts-disabled`.
    """
    given = {key: value for key, value in payload.items() if value is not None}
    if not given:
        return None
    if has_script(integration):
        raise BadRequest("Scripts are not run", code="error-scripts-disabled")
    chosen = any(given.get(name) for name in OVERRIDES)
    if chosen and integration.get("overrideDestinationChannelEnabled") is not True:
        raise OverrideDisabled("overriding destination channel is disabled for this integration")
    channels = _channels(given) if chosen else _own_channels(integration)
    return Wanted(
        fields=fields_of(given, integration),
        channels=channels,
        chosen=chosen,
        separate=given.get("separateResponse") is True,
    )


def fields_of(given: Mapping[str, Any], integration: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the message, with the integration's own where nothing else is said.

    Raises: BadRequest: `invalid-params`.
    """
    attachments = _attachments(given.get("attachments"))
    fields: dict[str, Any] = {
        "msg": (_text(given, "text") or _text(given, "msg") or "").strip(),
        "alias": _text(given, "username") or _text(given, "alias") or integration.get("alias"),
        "tmid": _text(given, "tmid"),
        "attachments": attachments,
        "parseUrls": _flag(given, "parseUrls", default=not attachments),
        "groupable": False,
        "bot": {"i": str(integration["_id"])},
        **_face(given, integration),
    }
    return {name: value for name, value in fields.items() if value not in (None, "")} | {
        "msg": fields["msg"]
    }


def message_id(delivery_id: str, index: int) -> str:
    """The id of the message of one delivery in its `index`th channel: the same each time."""
    return f"{delivery_id}-{index}"


def _face(given: Mapping[str, Any], integration: Mapping[str, Any]) -> dict[str, Any]:
    """The picture beside the message: one of the two kinds."""
    avatar = _text(given, "icon_url") or _text(given, "avatar")
    emoji = _text(given, "icon_emoji") or _text(given, "emoji")
    if avatar:
        return {"avatar": avatar}
    if emoji:
        return {"emoji": emoji}
    if integration.get("avatar"):
        return {"avatar": integration["avatar"]}
    return {"emoji": integration.get("emoji")}


def _channels(given: Mapping[str, Any]) -> tuple[str, ...]:
    named = next(given[name] for name in OVERRIDES if given.get(name))
    channels = named if isinstance(named, list) else [named]
    if not all(isinstance(channel, str) and channel for channel in channels):
        raise _wrong("channel", "must be string")
    if len(channels) > MOST_CHANNELS:
        raise _wrong("channel", f"must NOT have more than {MOST_CHANNELS} items")
    return tuple(dict.fromkeys(channels))


def _own_channels(integration: Mapping[str, Any]) -> tuple[str, ...]:
    stored = integration.get("channel")
    channels = stored if isinstance(stored, list) else [stored]
    return tuple(channel for channel in channels if isinstance(channel, str) and channel)


def _attachments(given: Any) -> list[dict[str, Any]] | None:
    if not isinstance(given, list) or not given:
        return None  # what is no list is overlooked, as it always was
    if len(given) > MOST_ATTACHMENTS:
        raise _wrong("attachments", f"must NOT have more than {MOST_ATTACHMENTS} items")
    attachments = []
    for attachment in given:
        if not isinstance(attachment, Mapping):
            raise _wrong("attachments", "must be object")
        fields = dict(attachment)
        if isinstance(fields.get("msg"), str):
            fields["text"] = fields.pop("msg").strip()
        attachments.append(fields)
    return attachments


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is None or isinstance(value, str):
        return value
    raise _wrong(name, "must be string")


def _flag(given: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = given.get(name, default)
    return value if isinstance(value, bool) else str(value).lower() in ("true", "1")


def _wrong(name: str, problem: str) -> BadRequest:
    return BadRequest(f"{name} {problem}", code="invalid-params")
