"""`/hooks/…`: what other servers send to incoming webhooks.

The last part of the path is the key to the integration. It stands in no log and in no metric:
those know requests by the template of their path.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from pydantic import Field

from hubbub.contracts.integrations import (
    HookDisabled,
    IntegrationFields,
    IntegrationNotFound,
    InvalidHook,
    OverrideDisabled,
)
from hubbub.errors import HubbubError, TooLarge, Unavailable
from hubbub.ids import random_id
from services.gateway.rest.answers import (
    Answer,
    InvalidParams,
    PlainRefusal,
    success,
    unavailable,
)
from services.gateway.rest.asked import Asked, Required, Word, ask
from services.gateway.rest.call import Call
from services.gateway.rest.requests import Parameters, parse_body, parse_hook
from services.gateway.rest.router import Routes
from services.gateway.rest.transport import read_body
from services.gateway.rest.validation import filled

routes = Routes()

_UNKNOWN: Final = "Invalid integration id or token provided."
_OPTIONS: Final[dict[str, Any]] = {"access": "anonymous", "page": True, "counted_apart": True}


class Hooked(Asked):
    """What an outgoing webhook is to be, for services that make their own."""

    event: Required
    """`newMessageOnChannel` or `newMessageToUser`."""
    name: Required
    target_url: Required = Field(alias="target_url")
    data: dict[str, Any] = Field(default={})
    """`channel_name` or `username`, and `trigger_words`."""


class Unhooked(Asked):
    """An outgoing webhook, by the address that it calls."""

    target_url: Required = Field(alias="target_url")


class Particulars(Asked):
    """What `data` may hold."""

    channel_name: Word | None = Field(default=None, alias="channel_name")
    username: Word | None = None
    trigger_words: list[Word] | None = Field(default=None, alias="trigger_words")


@routes.post("hooks/add/*", **_OPTIONS)
async def add(call: Call) -> Answer:
    """Make an outgoing webhook with the rights of an incoming one's user."""
    body = await _plain_body(call)
    if not await _is_known(call):
        return _unknown()
    hook_id, token = _key(call)
    asked = ask(Hooked, body)
    where = filled(Particulars, asked.data)
    match asked.event:
        case "newMessageOnChannel":
            channel = _prefixed("#", where.channel_name) or "all_public_channels"
        case "newMessageToUser" if where.username:
            channel = _prefixed("@", where.username)
        case "newMessageToUser":
            raise PlainRefusal("username-required")
        case _:
            raise InvalidParams("must be equal to one of the allowed values")
    fields = {
        "name": asked.name,
        "enabled": True,
        "username": "rocket.cat",
        "event": "sendMessage",
        "urls": [asked.target_url],
        "channel": channel,
        "triggerWords": where.trigger_words,
    }
    try:
        made = await call.services.apps.hook_creates(
            hook_id, token, filled(IntegrationFields, fields)
        )
    except InvalidHook:
        return _unknown()
    return success(made)


@routes.post("hooks/remove/*", **_OPTIONS)
async def remove(call: Call) -> Answer:
    """Forget an outgoing webhook, by the address that it calls."""
    body = await _plain_body(call)
    if not await _is_known(call):
        return _unknown()
    hook_id, token = _key(call)
    asked = ask(Unhooked, body)
    try:
        await call.services.apps.hook_removes(hook_id, token, asked.target_url)
    except InvalidHook:
        return _unknown()
    except IntegrationNotFound:
        raise PlainRefusal("integration-not-found") from None
    return success()


@routes.get("hooks/info/*", **_OPTIONS)
async def info(call: Call) -> Answer:
    """Whether there is such a webhook."""
    return success() if await _is_known(call) else _unknown()


@routes.get("hooks/sample/*", **_OPTIONS)
async def sample(call: Call) -> Answer:
    """What an outgoing webhook sends."""
    if not await _is_known(call):
        return _unknown()
    return Answer(
        [
            {
                "token": random_id(24),
                "channel_id": random_id(),
                "channel_name": "general",
                "timestamp": datetime.now(UTC),
                "user_id": random_id(),
                "user_name": "rocket.cat",
                "text": f"Sample text {number}",
                "trigger_word": "Sample",
            }
            for number in (1, 2, 3)
        ],
    )


@routes.get("hooks/*", **_OPTIONS)
async def knock(call: Call) -> Answer:
    """Nothing is posted: a message comes in a body."""
    return await _delivered(call, {})


@routes.post("hooks/*", **_OPTIONS)
async def deliver(call: Call) -> Answer:
    """Post what the body says.

    It is JSON, a form whose one field `payload` is JSON, JSON that calls itself a form, or a form
    with the fields themselves.
    """
    raw = await _raw(call)
    return await _delivered(call, parse_hook(raw, call.incoming.content_type).values)


async def _delivered(call: Call, payload: dict[str, Any]) -> Answer:
    hook_id, token = _key(call)
    try:
        done = await call.services.apps.deliver_hook(hook_id, token, payload, random_id())
    except InvalidHook:
        return _unknown()
    except HookDisabled:
        return unavailable()
    except OverrideDisabled as error:
        raise PlainRefusal(error.reason) from None
    except (Unavailable, TooLarge):
        raise
    except HubbubError as error:
        if error.code == "invalid-params":
            raise InvalidParams(error.reason) from None
        if error.status >= 500 or isinstance(error.code, int):
            raise
        # Programs read this, and know the code alone.
        raise PlainRefusal(str(error.code)) from None
    for _ in done:
        call.door.metrics.message_sent()
    if payload.get("separateResponse") is not True:
        return success()
    responses = [one.model_dump(exclude_none=True) for one in done]
    if all(one.error for one in done):
        return Answer({"success": False, "responses": responses}, status=400)
    return success({"responses": responses})


async def _is_known(call: Call) -> bool:
    """Asked before anything is said of what else is wrong."""
    hook_id, token = _key(call)
    try:
        await call.services.apps.check_hook(hook_id, token)
    except InvalidHook:
        return False
    return True


def _key(call: Call) -> tuple[str, str]:
    """The integration's id and its token. A user's id may stand between, and decides nothing."""
    parts = call.rest.split("/")
    if len(parts) not in (2, 3) or len(call.rest) > 512:
        return "", ""
    return parts[0], parts[-1]


def _unknown() -> Answer:
    return Answer({"success": False, "error": _UNKNOWN}, status=404)


def _prefixed(prefix: str, name: str | None) -> str:
    return prefix + name.removeprefix(prefix) if name else ""


async def _plain_body(call: Call) -> Parameters:
    return parse_body(await _raw(call), call.incoming.content_type)


async def _raw(call: Call) -> bytes:
    settings, request = call.door.settings, call.incoming
    return await read_body(
        request,
        limit=settings.max_body_bytes,
        grace=settings.body_grace,
        min_rate=settings.min_body_rate,
    )
