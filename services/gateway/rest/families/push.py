"""`push.*`: devices that want to be woken. Nothing is delivered yet."""

from __future__ import annotations

from typing import Any

from hubbub.contracts.messages import MessageNotFound
from hubbub.contracts.push import Device, DeviceKind
from hubbub.contracts.rooms import RoomNotFound
from hubbub.errors import NotAllowed
from hubbub.ids import MessageId, RoomId, random_id
from services.gateway.rest.answers import Answer, Refusal
from services.gateway.rest.asked import Asked, Required, Word
from services.gateway.rest.call import Call
from services.gateway.rest.router import Routes
from services.gateway.rest.validation import filled

routes = Routes()

_KINDS = frozenset(kind.value for kind in DeviceKind)


class DeviceToken(Asked):
    """A device, as the app on it knows itself."""

    type: Word | None = None
    """Whose push service: `apn`, `gcm` or `web`."""
    value: Word | None = None
    """The token that it gave the app."""
    app_name: Word | None = None
    id: Word | None = None
    """The app's own id for the device; a new one when absent."""


@routes.post("push.token")
async def register(call: Call, asked: DeviceToken) -> dict[str, Any]:
    """Remember a device of the caller's."""
    if asked.id is not None and not asked.id:
        raise _wrong("id", 'The required "id" body param is invalid.')
    if asked.type not in _KINDS:
        raise _wrong("type", 'The required "type" body param is missing or invalid.')
    if not asked.value:
        raise _wrong("token", 'The required "value" body param is missing or invalid.')
    if not asked.app_name:
        raise _wrong("appName", 'The required "appName" body param is missing or invalid.')
    # Made before the first attempt, so that a repeated attempt is the same device.
    named = {"id": asked.id or random_id(), "kind": asked.type, "value": asked.value}
    device = filled(Device, {**named, "app_name": asked.app_name})
    stored = await call.services.push.register_token(
        call.user_id, device, call.identity.hashed_token
    )
    return {"result": stored}


class TokenToForget(Asked):
    """The token of a device."""

    token: Word | None = None


async def remove(call: Call, asked: TokenToForget) -> Answer | None:
    """Forget a device of the caller's."""
    if not asked.token:
        raise _wrong("token", 'The required "token" body param is missing or invalid.')
    if not await call.services.push.remove_token(call.user_id, asked.token):
        return Answer({"success": False, "error": "Resource not found"}, status=404)
    return None


routes.add("DELETE", "push.token", remove)


@routes.get("push.info")
async def info(call: Call) -> dict[str, Any]:
    """How notifications are delivered: they are not."""
    return {"pushGatewayEnabled": False, "defaultPushGateway": False}


class NotificationOf(Asked):
    """The message that a notification is about."""

    id: Required


@routes.get("push.get")
async def get(call: Call, asked: NotificationOf) -> dict[str, Any]:
    """What a notification that carries only a message's id would say."""
    messaging = call.services.messaging
    try:
        message = await messaging.get_message(call.user_id, MessageId(asked.id))
        room = await messaging.get_room(call.user_id, room_id=RoomId(message["rid"]))
    except MessageNotFound:
        raise Refusal("Message not found", code="error-message-not-found") from None
    except (RoomNotFound, NotAllowed):
        raise Refusal("Not allowed", code="error-not-allowed") from None
    return {"data": {"message": message, "notification": _notification(message, room)}}


def _notification(message: dict[str, Any], room: dict[str, Any]) -> dict[str, Any]:
    author = message.get("u", {})
    sender = author.get("name") or author.get("username") or ""
    name = room.get("fname") or room.get("name")
    direct = room.get("t") == "d"
    return {
        "title": sender if direct or not name else f"#{name}",
        "text": message.get("msg", "") if direct else f"{sender}: {message.get('msg', '')}",
        "payload": {
            "messageId": message["_id"],
            "rid": message["rid"],
            "sender": author,
            "type": room.get("t"),
            "name": name,
            "tmid": message.get("tmid"),
        },
    }


@routes.post("push.test", permission="test-push-notifications", calls=1, window=1.0)
async def test(call: Call) -> None:
    """Always refused: there is no delivery that could be tried."""
    if not await call.services.push.tokens_of(call.user_id):
        raise Refusal("There are no tokens for this user", code="error-no-tokens-for-this-user")
    raise Refusal("Push is disabled: nothing is delivered yet", code="error-push-disabled")


def _wrong(name: str, sentence: str) -> Refusal:
    return Refusal(sentence, code=f"error-{name}-param-not-valid")
