"""What an integration is made of, and what is wrong with one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from hubbub.contracts.documents import Page, Paging
from hubbub.contracts.integrations import (
    MOST_CHANNELS,
    MOST_URLS,
    MOST_WORDS,
    IntegrationFields,
    IntegrationKind,
    InvalidIntegration,
)
from services.apps_engine.domain.addresses import BadAddress, target_of

IMPERSONATE: Final = "message-impersonate"
SCOPES: Final = ("all_public_channels", "all_private_groups", "all_direct_messages")
"""What an outgoing integration may listen to beside single rooms and people."""

MOST_RETRIES: Final = 20
RETRIES: Final = 6
"""How often a failed call is repeated, where nothing else is said."""
DELAYS: Final = ("powers-of-ten", "powers-of-two", "increments-of-two")
_LONGEST_WORD: Final = 200

_SORTABLE: Final = ("name", "type", "enabled", "username", "_createdAt", "_updatedAt")


@dataclass(frozen=True, slots=True)
class Uses:
    """What an event needs or knows."""

    channel: bool = False
    words: bool = False
    target: bool = False


EVENTS: Final[Mapping[str, Uses]] = MappingProxyType(
    {
        "sendMessage": Uses(channel=True, words=True),
        "fileUploaded": Uses(channel=True),
        "roomArchived": Uses(),
        "roomCreated": Uses(),
        "roomJoined": Uses(channel=True),
        "roomLeft": Uses(channel=True),
        "userCreated": Uses(target=True),
    }
)
"""Events that an outgoing integration may hear, as clients spell them."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What somebody may do with integrations of one kind."""

    every: bool
    own: bool

    @property
    def some(self) -> bool:
        """Whether they may do anything at all."""
        return self.every or self.own

    def cover(self, integration: Mapping[str, Any], user_id: str) -> bool:
        """Whether they may manage this one."""
        return self.every or (self.own and maker_of(integration) == user_id)


def permission(kind: IntegrationKind, *, own: bool) -> str:
    """The permission to manage integrations of a kind: all of them, or one's own."""
    return f"manage-{'own-' if own else ''}{kind.value.removeprefix('webhook-')}-integrations"


PERMISSIONS: Final = tuple(
    permission(kind, own=own) for kind in IntegrationKind for own in (False, True)
)
"""Every permission about integrations."""


def rights(kind: IntegrationKind, held: Collection[str]) -> Rights:
    """What `held` permissions allow."""
    return Rights(every=permission(kind, own=False) in held, own=permission(kind, own=True) in held)


def maker_of(integration: Mapping[str, Any]) -> str:
    """The id of who made it; empty when nobody is known."""
    maker = integration.get("_createdBy")
    return str(maker.get("_id") or "") if isinstance(maker, Mapping) else ""


def settled(
    kind: IntegrationKind, fields: IntegrationFields, stored: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The fields to store, for what was said of a new integration or of one that is `stored`.

    Rooms and people are not looked up here, nor is its user. Raises: InvalidIntegration.
    """
    if fields.script_enabled:
        raise InvalidIntegration("Scripts are not run", code="error-scripts-disabled")
    before = dict(stored or {})
    said = fields.model_dump(by_alias=True, exclude_none=True)
    common = {
        "type": kind.value,
        "name": said.get("name", before.get("name", "")),
        "enabled": said.get("enabled", before.get("enabled", False)),
        "username": str(said.get("username", before.get("username", ""))).strip().lstrip("@"),
        "scriptEnabled": False,
        **{
            name: str(said.get(name, before.get(name, ""))).strip()
            for name in ("alias", "avatar", "emoji")
        },
    }
    if kind is IntegrationKind.INCOMING:
        common["channel"] = _channels(fields.channel, before, scopes=())
        common["overrideDestinationChannelEnabled"] = bool(
            said.get(
                "overrideDestinationChannelEnabled",
                before.get("overrideDestinationChannelEnabled", False),
            )
        )
        _check_username(common)
        return common
    uses = _uses(str(said.get("event", before.get("event", ""))))
    _check_username(common)
    return common | {
        "event": said.get("event", before.get("event")),
        "urls": _urls(said.get("urls", before.get("urls", []))),
        "channel": _channels(fields.channel, before, scopes=SCOPES) if uses.channel else [],
        "targetRoom": _target_room(said, before, needed=uses.target),
        "triggerWords": _words(said, before) if uses.words else [],
        **{
            name: bool(said.get(name, before.get(name, False)))
            for name in ("triggerWordAnywhere", "impersonateUser", "runOnEdits")
        },
        **_retrying(said, before),
    }


def has_script(integration: Mapping[str, Any]) -> bool:
    """Whether it relies on a script, which only those of another server do: scripts are not run,
    and without its own it would do something else than was meant."""
    return integration.get("scriptEnabled") is True and bool(integration.get("script"))


def is_scope(channel: str) -> bool:
    """Whether it stands for all rooms of a type."""
    return channel in SCOPES


def _check_username(common: Mapping[str, Any]) -> None:
    if not common["username"]:
        raise InvalidIntegration("Invalid username", code="error-invalid-username")


def _uses(event: str) -> Uses:
    if event not in EVENTS:
        raise InvalidIntegration("Invalid event type", code="error-invalid-event-type")
    return EVENTS[event]


def _channels(text: str | None, before: Mapping[str, Any], scopes: Sequence[str]) -> list[str]:
    given = before.get("channel", []) if text is None else text.split(",")
    channels = list(dict.fromkeys(part.strip() for part in given if part.strip()))
    if not channels or len(channels) > MOST_CHANNELS:
        raise InvalidIntegration("Invalid channel", code="error-invalid-channel")
    folded = [one.lower() if one.lower() in scopes else one for one in channels]
    for channel in folded:
        if channel not in scopes and channel[0] not in "@#":
            raise InvalidIntegration(
                "Invalid channel. Start with @ or #", code="error-invalid-channel-start-with-chars"
            )
        if len(channel) == 1:
            raise InvalidIntegration("Invalid channel", code="error-invalid-channel")
    return folded


def _target_room(said: Mapping[str, Any], before: Mapping[str, Any], *, needed: bool) -> str:
    target = str(said.get("targetRoom", before.get("targetRoom", ""))).strip()
    if needed and not target:
        raise InvalidIntegration("Invalid Target Room", code="error-invalid-targetRoom")
    return target


def _urls(given: Sequence[str]) -> list[str]:
    urls = list(dict.fromkeys(url.strip() for url in given if url.strip()))
    if not urls or len(urls) > MOST_URLS:
        raise InvalidIntegration("Invalid URLs", code="error-invalid-urls")
    for url in urls:
        try:
            target_of(url)
        except BadAddress as error:
            raise InvalidIntegration(f"Invalid URLs: {error}", code="error-invalid-urls") from None
    return urls


def _words(said: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    given = said.get("triggerWords", before.get("triggerWords", []))
    words = list(dict.fromkeys(word.strip() for word in given if word.strip()))
    if len(words) > MOST_WORDS or any(len(word) > _LONGEST_WORD for word in words):
        raise InvalidIntegration("Invalid triggerWords", code="error-invalid-triggerWords")
    return words


def _retrying(said: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    count = said.get("retryCount", before.get("retryCount", RETRIES))
    delay = str(said.get("retryDelay", before.get("retryDelay", DELAYS[0]))).strip().lower()
    if not delay:
        delay = DELAYS[0]
    if delay not in DELAYS:
        raise InvalidIntegration("Invalid retry delay", code="error-invalid-retryDelay")
    return {
        "retryFailedCalls": bool(
            said.get("retryFailedCalls", before.get("retryFailedCalls", True))
        ),
        "retryCount": min(count, MOST_RETRIES) if count > 0 else RETRIES,
        "retryDelay": delay,
    }


def page_of(integrations: Sequence[dict[str, Any]], paging: Paging) -> Page:
    """One page, newest first unless another order is asked for."""
    ordered = sorted(integrations, key=lambda one: str(one["_id"]))
    wanted = {key: way for key, way in (paging.sort or {}).items() if key in _SORTABLE}
    for key, way in reversed(list((wanted or {"_createdAt": -1}).items())):
        ordered.sort(key=lambda one, key=key: _comparable(one.get(key)), reverse=way < 0)  # type: ignore[misc]
    return Page(items=ordered[paging.offset : paging.offset + paging.count], total=len(ordered))


def _comparable(value: Any) -> tuple[int, Any]:
    match value:
        case None:
            return (0, 0)
        case datetime():
            return (1, value.timestamp())
        case str():
            return (2, value.casefold())
        case _:
            return (3, str(value))
